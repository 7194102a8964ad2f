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
    entry: Vec<Option<Entry<'a>>>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow, default)]
    resource: Option<&'a RawValue>,
}

/// The members that say which day a resource is of, the first that names a whole day; as JSON pointers.
const DAYS: [&str; 16] = [
    "/meta/lastUpdated",
    "/recorded",
    "/recordedDate",
    "/occurrenceDateTime",
    "/effectiveDateTime",
    "/effectiveInstant",
    "/effectivePeriod/start",
    "/performedDateTime",
    "/performedPeriod/start",
    "/issued",
    "/authoredOn",
    "/date",
    "/created",
    "/sent",
    "/period/start",
    "/onsetDateTime",
];

/// A document and where it stands.
struct Document<'a> {
    place: String,
    text: &'a str,
}

/// Reads resources: a row for each day, then one for those of no day, which are of `today`, then one for each refused.
pub(crate) fn read(files: &[File], today: Date) -> Vec<Found> {
    let mut days: BTreeMap<Date, Vec<Document<'_>>> = BTreeMap::new();
    let (mut undated, mut refused) = (Vec::new(), Vec::new());
    for file in files {
        let texts = match resources(&file.bytes) {
            Ok(texts) => texts,
            Err(refusal) => {
                refused.push((file.name.clone(), Err(refusal)));
                continue;
            }
        };
        for (text, number) in texts.into_iter().zip(1..) {
            let place = format!("{}#{number}", file.name);
            match text.and_then(|text| Ok((text, day_of(text)?))) {
                Ok((text, Some(day))) => days.entry(day).or_default().push(Document { place, text }),
                Ok((text, None)) => undated.push(Document { place, text }),
                Err(refusal) => {
                    let detail = format!("resource {number}: {}", refusal.detail);
                    refused.push((file.name.clone(), Err(Refusal::new(refusal.code, detail))));
                }
            }
        }
    }
    // Those of no day stand by themselves, so that rows keep their numbers when an import is resumed on another day.
    let undated = Some((today, undated)).filter(|(_, documents)| !documents.is_empty());
    let batches =
        days.into_iter().chain(undated).map(|(day, documents)| (String::new(), batch(day, &documents)));
    batches.collect::<Vec<_>>().into_iter().chain(refused).collect()
}

/// Texts of a person's file are never repeated.
fn malformed() -> Refusal {
    Refusal::new(Code::MalformedJson, "no FHIR resource in JSON")
}

/// The texts of a file's resources; an entry of a Bundle without one is refused by itself.
fn resources(bytes: &[u8]) -> Result<Vec<Result<&str, Refusal>>, Refusal> {
    let text = prose(std::str::from_utf8(bytes).map_err(|_| malformed())?);
    let bundle: Bundle<'_> = serde_json::from_str(text).map_err(|_| malformed())?;
    let missing = || Refusal::new(Code::MissingField, "the entry has no resource");
    Ok(match bundle.kind.as_str() {
        "Bundle" => {
            let entries = bundle.entry.into_iter();
            entries.map(|entry| Ok(entry.and_then(|one| one.resource).ok_or_else(missing)?.get())).collect()
        }
        _ => vec![Ok(text)],
    })
}

/// The day that a resource names, if it names a whole one.
fn day_of(text: &str) -> Result<Option<Date>, Refusal> {
    let resource: Json = serde_json::from_str(text).map_err(|_| malformed())?;
    resource.get("resourceType").and_then(Json::as_str).ok_or_else(malformed)?;
    let times = DAYS.iter().filter_map(|pointer| resource.pointer(pointer)?.as_str());
    Ok(times.filter_map(|time| time.get(..10)?.parse().ok()).next())
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

    fn today() -> Date {
        "2026-11-23".parse().unwrap()
    }

    #[test]
    fn resources_become_a_batch_for_each_day_that_their_openings_lead_back_to() {
        let bundle = r#"{"resourceType": "Bundle", "entry": [
            {"resource": {"resourceType": "Immunization", "patient": "Wang", "occurrenceDateTime": "2026-11-20"}},
            {"resource": {"resourceType": "Observation", "issued": "2026-11-20T23:00:00+08:00"}},
            {"resource": {"resourceType": "Observation", "meta": {"lastUpdated": "2026-11-21T01:00:00Z"}}},
            {"resource": {"resourceType": "Condition", "recordedDate": "2026-11", "onsetDateTime": "2026-11-21"}},
            {"resource": {"resourceType": "Observation", "effectivePeriod": {"start": "2026-11-21T08:00:00+08:00"}}},
            {"resource": {"resourceType": "Organization", "name": "Wang"}},
            {"resource": {"resourceType": "Patient", "birthDate": "1970-01-01"}},
            {"resource": {"name": "Wang"}}, {"fullUrl": "urn:x"}, null]}"#;
        let found = read(
            &[file(bundle), file("{"), file(r#"{"resourceType": "Observation", "date": "2026-11"}"#)],
            today(),
        );
        let codes: Vec<_> =
            found.iter().map(|(_, one)| one.as_ref().map(|_| ()).map_err(|one| one.code)).collect();
        let wanted = [Code::MalformedJson, Code::MissingField, Code::MissingField, Code::MalformedJson];
        assert_eq!(codes, [[Ok(()); 3].to_vec(), wanted.map(Err).to_vec()].concat());
        let of_day = |at: usize| {
            let openings = found[at].1.as_ref().unwrap().openings.clone().unwrap();
            (openings["day"].as_str().unwrap().to_owned(), openings["documents"].as_array().unwrap().len())
        };
        let wanted = [("2026-11-20", 2), ("2026-11-21", 3), ("2026-11-23", 3)];
        assert_eq!([of_day(0), of_day(1), of_day(2)], wanted.map(|(day, count)| (day.to_owned(), count)));
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
        let again = read(&[file(bundle)], today());
        assert_ne!(again[0].1.as_ref().unwrap().fields["root"], first.fields["root"]);
        let recorded =
            format!("{:?} {:?}", first.fields, found[3..].iter().map(|one| &one.1).collect::<Vec<_>>());
        assert!(!recorded.contains("Wang"), "{recorded}");
    }

    #[test]
    fn more_documents_than_a_batch_holds_are_refused() {
        let resource = r#"{"resource": {"resourceType": "Observation", "date": "2026-11-20"}}"#;
        let bundle = |count: usize| {
            file(&format!(r#"{{"resourceType": "Bundle", "entry": [{}]}}"#, vec![resource; count].join(",")))
        };
        assert!(read(&[bundle(1_024)], today())[0].1.is_ok());
        assert_eq!(read(&[bundle(1_025)], today())[0].1.as_ref().unwrap_err().code, Code::SizeLimit);
    }
}
