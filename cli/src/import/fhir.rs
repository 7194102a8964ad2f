//! FHIR resources as batches of commitments, one for each day: nothing of what they say leaves the reporter.
//!
//! A file holds a resource or a Bundle of them. A document is a resource as its text stands in the file. Salts and filling are
//! random; without them nobody can open a batch, so they are kept beside the journal before anything is sent.

use std::collections::BTreeMap;

use chain_core::code::{Code, Refusal};
use chain_core::crypto::Digest;
use chain_core::date::Date;
use chain_core::record::health::{SizeClass, batch_root, document_commitment};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};

use super::field::Value;
use super::mapping::Mapped;
use super::normalise::prose;
use super::note::Notes;
use super::source::{File, Found};
use crate::files;

#[derive(Deserialize)]
struct Bundle<'a> {
    #[serde(rename = "resourceType")]
    kind: String,
    #[serde(borrow, default)]
    entry: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    resource: &'a RawValue,
}

/// The members that say which day a resource is of.
#[derive(Deserialize)]
struct Dated {
    #[serde(default)]
    meta: Option<Meta>,
    #[serde(default)]
    recorded: Option<String>,
    #[serde(default, rename = "occurrenceDateTime")]
    occurrence: Option<String>,
    #[serde(default, rename = "effectiveDateTime")]
    effective: Option<String>,
    #[serde(default)]
    issued: Option<String>,
    #[serde(default, rename = "authoredOn")]
    authored: Option<String>,
    #[serde(default)]
    date: Option<String>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(default, rename = "lastUpdated")]
    updated: Option<String>,
}

/// A document and where it stands.
struct Document<'a> {
    place: String,
    text: &'a str,
}

/// Reads resources: a row for each day, then one for each resource that is of none.
pub(crate) fn read(files: &[File]) -> Vec<Found> {
    let mut days: BTreeMap<Date, Vec<Document<'_>>> = BTreeMap::new();
    let mut refused = Vec::new();
    for file in files {
        match resources(&file.bytes) {
            Ok(texts) => {
                for (text, number) in texts.into_iter().zip(1..) {
                    let place = format!("{}#{number}", file.name);
                    match day_of(text) {
                        Ok(day) => days.entry(day).or_default().push(Document { place, text }),
                        Err(refusal) => {
                            let detail = format!("resource {number}: {}", refusal.detail);
                            refused.push((file.name.clone(), Err(Refusal::new(refusal.code, detail))));
                        }
                    }
                }
            }
            Err(refusal) => refused.push((file.name.clone(), Err(refusal))),
        }
    }
    let batches = days.into_iter().map(|(day, documents)| (String::new(), batch(day, &documents)));
    batches.collect::<Vec<_>>().into_iter().chain(refused).collect()
}

/// Texts of a person's file are never repeated.
fn malformed() -> Refusal {
    Refusal::new(Code::MalformedJson, "no FHIR resource in JSON")
}

fn resources(bytes: &[u8]) -> Result<Vec<&str>, Refusal> {
    let text = prose(std::str::from_utf8(bytes).map_err(|_| malformed())?);
    let bundle: Bundle<'_> = serde_json::from_str(text).map_err(|_| malformed())?;
    Ok(match bundle.kind.as_str() {
        "Bundle" => bundle.entry.into_iter().map(|entry| entry.resource.get()).collect(),
        _ => vec![text],
    })
}

fn day_of(text: &str) -> Result<Date, Refusal> {
    let dated: Dated = serde_json::from_str(text).map_err(|_| malformed())?;
    let updated = dated.meta.and_then(|meta| meta.updated);
    let times = [
        updated,
        dated.recorded,
        dated.occurrence,
        dated.effective,
        dated.issued,
        dated.authored,
        dated.date,
    ];
    let time = times.into_iter().flatten().next().ok_or_else(|| {
        let detail = "no day: meta.lastUpdated, recorded, occurrenceDateTime, effectiveDateTime, issued, authoredOn or date";
        Refusal::new(Code::MissingField, detail)
    })?;
    let day = time.get(..10).and_then(|day| day.parse().ok());
    day.ok_or_else(|| Refusal::new(Code::BadDate, "a time without its whole day"))
}

/// The batch of a day, with what opens it.
fn batch(day: Date, documents: &[Document<'_>]) -> Result<Mapped, Refusal> {
    let count = documents.len();
    let size = SizeClass::for_count(count).ok_or_else(|| {
        let most = SizeClass::UpTo1024.leaves();
        Refusal::new(Code::SizeLimit, format!("{day}: {count} documents, a batch holds {most}"))
    })?;
    let random = || files::random().map(Digest::new).map_err(|error| error.refusal);
    let (mut commitments, mut openings) = (Vec::new(), Vec::new());
    for document in documents {
        let salt = random()?;
        let commitment = document_commitment(&salt, document.text.as_bytes());
        openings.push(json!({ "document": document.place, "salt": salt, "commitment": commitment }));
        commitments.push(commitment);
    }
    let filling: Vec<Digest> = (count..size.leaves()).map(|_| random()).collect::<Result<_, _>>()?;
    let root = batch_root(size, &commitments, &filling)?;
    let ready = |value: Json| Value::Ready(value);
    let fields = BTreeMap::from(
        [("root", ready(json!(root))), ("size_class", ready(json!(size))), ("day", ready(json!(day)))]
            .map(|(name, value)| (name.to_owned(), value)),
    );
    let openings = json!({ "day": day, "root": root, "documents": openings, "filling": filling });
    Ok(Mapped { openings: Some(openings), ..Mapped::of_document(fields, Notes::default()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> File {
        File { name: "wang.json".to_owned(), bytes: text.as_bytes().to_vec() }
    }

    #[test]
    fn resources_become_a_batch_for_each_day_that_their_openings_lead_back_to() {
        let bundle = r#"{"resourceType": "Bundle", "entry": [
            {"resource": {"resourceType": "Immunization", "patient": "Wang", "occurrenceDateTime": "2026-11-20"}},
            {"resource": {"resourceType": "Observation", "issued": "2026-11-20T23:00:00+08:00"}},
            {"resource": {"resourceType": "Observation", "meta": {"lastUpdated": "2026-11-21T01:00:00Z"}}},
            {"resource": {"resourceType": "Organization", "name": "Wang"}}]}"#;
        let found =
            read(&[file(bundle), file("{"), file(r#"{"resourceType": "Observation", "date": "2026-11"}"#)]);
        let codes: Vec<_> =
            found.iter().map(|(_, one)| one.as_ref().map(|_| ()).map_err(|one| one.code)).collect();
        let wanted = [Code::MissingField, Code::MalformedJson, Code::BadDate];
        assert_eq!(codes, [[Ok(()); 2].to_vec(), wanted.map(Err).to_vec()].concat());
        let first = found[0].1.as_ref().unwrap();
        let openings = first.openings.as_ref().unwrap();
        let digest = |value: &Json| -> Digest { serde_json::from_value(value.clone()).unwrap() };
        let list = |name: &str| openings[name].as_array().unwrap().clone();
        let text =
            r#"{"resourceType": "Immunization", "patient": "Wang", "occurrenceDateTime": "2026-11-20"}"#;
        let salt = digest(&list("documents")[0]["salt"]);
        let commitments: Vec<Digest> =
            list("documents").iter().map(|one| digest(&one["commitment"])).collect();
        assert_eq!(document_commitment(&salt, text.as_bytes()), commitments[0]);
        let filling: Vec<Digest> = list("filling").iter().map(digest).collect();
        let root = batch_root(SizeClass::UpTo64, &commitments, &filling).unwrap();
        assert_eq!(first.fields["root"], Value::Ready(json!(root)));
        assert_eq!((commitments.len(), filling.len()), (2, 62));
        // Another reading has other salts, so that two batches of one document are not known for it.
        let again = read(&[file(bundle)]);
        assert_ne!(again[0].1.as_ref().unwrap().fields["root"], first.fields["root"]);
        let recorded =
            format!("{:?} {:?}", first.fields, found[2..].iter().map(|one| &one.1).collect::<Vec<_>>());
        assert!(!recorded.contains("Wang"), "{recorded}");
    }

    #[test]
    fn more_documents_than_a_batch_holds_are_refused() {
        let resource = r#"{"resource": {"resourceType": "Observation", "date": "2026-11-20"}}"#;
        let bundle = |count: usize| {
            file(&format!(r#"{{"resourceType": "Bundle", "entry": [{}]}}"#, vec![resource; count].join(",")))
        };
        assert!(read(&[bundle(1_024)])[0].1.is_ok());
        assert_eq!(read(&[bundle(1_025)])[0].1.as_ref().unwrap_err().code, Code::SizeLimit);
    }
}
