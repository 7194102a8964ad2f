//! OCDS releases as rows: release packages, records with their releases, and single releases (Open Contracting Data Standard
//! 1.0 and 1.1).
//!
//! Only what the record holds is read. Points of contact, addresses and names of organisations are looked at for one purpose:
//! that none of them ends up in what is recorded.

pub(crate) mod chain;
mod contacts;
mod organisations;

use std::collections::{BTreeMap, BTreeSet};

use chain_core::code::{Code, Refusal};
use chain_core::crypto::Digest;
use chain_core::money::Currency;
use chain_core::org::OrgId;
use chain_core::record::egov::procurement::{ReleaseTag, Stage, process_of};
use chain_core::text::shown;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};

use self::chain::Process;
use super::contact;
use super::decimal::Decimal;
use super::field::Value;
use super::mapping::{Mapped, Mapping};
use super::normalise::prose;
use super::note::{Note, Notes};
use super::source::{File, Found};

/// Most releases of a file.
const RELEASES_MAX: usize = 100_000;

/// Stages of which one clerk files the first and another the second.
const SEPARATED: [(ReleaseTag, ReleaseTag); 2] =
    [(ReleaseTag::Tender, ReleaseTag::Award), (ReleaseTag::Contract, ReleaseTag::Implementation)];

/// How releases name organisations.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ocds {
    /// Scheme of identifiers that name none, e.g. `MX-RFC` (org-id.guide).
    #[serde(default)]
    scheme: Option<String>,
    /// Further schemes whose identifiers name organisations alone.
    #[serde(default)]
    schemes: Vec<String>,
    /// Identifiers of the buyer that files; any where empty.
    #[serde(default)]
    buyers: Vec<String>,
    /// Spellings of the method where a release and those before it do not say it.
    #[serde(default)]
    method: Option<String>,
}

#[derive(Deserialize)]
struct Package<'a> {
    #[serde(borrow, default)]
    releases: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    records: Option<Vec<Record<'a>>>,
    #[serde(default)]
    ocid: Option<String>,
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(default)]
    ocid: Option<String>,
    #[serde(borrow, default)]
    releases: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct Release<'a> {
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    ocid: Option<String>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(default)]
    date: Option<String>,
    #[serde(default)]
    tag: Option<Vec<String>>,
    #[serde(default)]
    language: Option<String>,
    #[serde(default, rename = "initiationType")]
    initiation: Option<String>,
    #[serde(borrow, default)]
    parties: Option<Vec<Party<'a>>>,
    #[serde(borrow, default)]
    buyer: Option<Party<'a>>,
    #[serde(borrow, default)]
    planning: Option<Planning<'a>>,
    #[serde(borrow, default)]
    tender: Option<Act<'a>>,
    #[serde(borrow, default)]
    awards: Option<Vec<Act<'a>>>,
    #[serde(borrow, default)]
    contracts: Option<Vec<Act<'a>>>,
}

#[derive(Deserialize)]
struct Planning<'a> {
    #[serde(borrow, default)]
    budget: Option<Budget<'a>>,
}

#[derive(Deserialize)]
struct Budget<'a> {
    #[serde(borrow, default)]
    amount: Option<Amount<'a>>,
}

/// Tender, award or contract.
#[derive(Deserialize)]
struct Act<'a> {
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default, rename = "procurementMethod")]
    method: Option<String>,
    #[serde(borrow, default)]
    value: Option<Amount<'a>>,
    #[serde(borrow, default)]
    suppliers: Option<Vec<Party<'a>>>,
}

#[derive(Deserialize)]
struct Amount<'a> {
    #[serde(borrow, default)]
    amount: Option<&'a RawValue>,
    #[serde(default)]
    currency: Option<String>,
}

/// An organisation: its reference among the parties (1.1), its identifier, or both.
#[derive(Deserialize)]
struct Party<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    identifier: Option<Identifier<'a>>,
}

#[derive(Deserialize)]
struct Identifier<'a> {
    #[serde(default)]
    scheme: Option<String>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
}

/// Reads the releases of files in order. A link to a release of the same import is no row: the release is.
pub(crate) fn read(files: &[File], mapping: &Mapping) -> Vec<Found> {
    let parts: Vec<_> = files.iter().map(|file| (file, parts(&file.bytes))).collect();
    let mut known = BTreeSet::new();
    for part in parts.iter().filter_map(|(_, parts)| parts.as_ref().ok()).flatten() {
        known.extend(part.release_named());
    }
    let mut found = Vec::new();
    for (file, parts) in parts {
        let package = Digest::tagged(b"", &[&file.bytes]);
        match parts {
            Ok(parts) => found.extend(
                parts
                    .into_iter()
                    .filter(|part| !part.link_to().is_some_and(|named| known.contains(&named)))
                    .map(|part| (file.name.clone(), part.read(package, mapping))),
            ),
            Err(refusal) => found.push((file.name.clone(), Err(refusal))),
        }
    }
    found
}

fn malformed(why: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(Code::MalformedJson, format!("no OCDS: {why}"))
}

fn missing(what: &str) -> Refusal {
    Refusal::new(Code::MissingField, format!("{what} is absent or empty"))
}

/// What a file holds: a release, a link to one, or a record that has neither.
enum Part<'a> {
    /// The text of a release or link, and the ocid of the record that it stands in.
    Text(&'a str, Option<String>),
    /// A record without releases, by its number in the file.
    Bare(usize),
}

/// Which release a text is, or leads to.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    ocid: Option<String>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
}

impl Part<'_> {
    fn head(&self) -> Option<Head<'_>> {
        match self {
            Self::Text(text, _) => serde_json::from_str(text).ok(),
            Self::Bare(_) => None,
        }
    }

    /// Ocid and id of a release.
    fn release_named(&self) -> Option<(String, String)> {
        let head = self.head()?;
        Some((filled(head.ocid.as_ref())?.to_ascii_lowercase(), text_of(head.id)?))
    }

    /// Ocid and id of the release that a link leads to: the id is what stands behind `#`.
    fn link_to(&self) -> Option<(String, String)> {
        let Self::Text(_, Some(record)) = self else { return None };
        let head = self.head().filter(|head| head.ocid.is_none())?;
        let (_, id) = filled(head.url.as_ref())?.rsplit_once('#')?;
        Some((record.to_ascii_lowercase(), id.to_owned()))
    }

    fn read(&self, package: Digest, mapping: &Mapping) -> Result<Mapped, Refusal> {
        match self {
            Self::Text(text, _) => release(text, package, mapping),
            Self::Bare(number) => {
                let detail = format!(
                    "record {number} has no releases; a compiled release is made of them and not recorded: file the packages that it \
                     was made of"
                );
                Err(Refusal::new(Code::MissingField, detail))
            }
        }
    }
}

/// The parts of a file.
fn parts(bytes: &[u8]) -> Result<Vec<Part<'_>>, Refusal> {
    let text = std::str::from_utf8(bytes).map_err(|_| malformed(&"the file is not UTF-8"))?;
    let text = prose(text);
    let package: Package<'_> = serde_json::from_str(text).map_err(|error| malformed(&error))?;
    let found: Vec<Part<'_>> = match package {
        Package { releases: Some(releases), .. } => {
            releases.into_iter().map(|one| Part::Text(one.get(), None)).collect()
        }
        Package { records: Some(records), .. } => {
            (1..).zip(records).flat_map(|(number, record)| record.parts(number)).collect()
        }
        Package { ocid: Some(_), .. } => vec![Part::Text(text, None)],
        Package { .. } => Vec::new(),
    };
    if found.is_empty() || found.len() > RELEASES_MAX {
        return Err(malformed(&format!("{} releases in the file, wants 1 to {RELEASES_MAX}", found.len())));
    }
    Ok(found)
}

impl<'a> Record<'a> {
    fn parts(self, number: usize) -> Vec<Part<'a>> {
        let ocid = filled(self.ocid.as_ref()).map(str::to_owned).unwrap_or_default();
        match self.releases.filter(|releases| !releases.is_empty()) {
            Some(releases) => {
                releases.into_iter().map(|one| Part::Text(one.get(), Some(ocid.clone()))).collect()
            }
            None => vec![Part::Bare(number)],
        }
    }
}

/// A text, or a number as it is written.
fn text_of(raw: Option<&RawValue>) -> Option<String> {
    let raw = raw?.get();
    let text = if raw.starts_with('"') { serde_json::from_str(raw).ok()? } else { raw.to_owned() };
    Some(prose(&text).to_owned()).filter(|text| !text.is_empty() && text != "null")
}

fn filled(text: Option<&String>) -> Option<&str> {
    text.map(|text| prose(text)).filter(|text| !text.is_empty())
}

/// A release in the record's terms.
fn release(text: &str, package: Digest, mapping: &Mapping) -> Result<Mapped, Refusal> {
    let release: Release<'_> = serde_json::from_str(text).map_err(|error| malformed(&error))?;
    if release.url.is_some() && release.ocid.is_none() {
        let detail = "the record has a link in place of the release; file the package that the link leads to";
        return Err(Refusal::new(Code::MissingField, detail));
    }
    let mut notes = Notes::default();
    let ocid = ocid_of(filled(release.ocid.as_ref()).ok_or_else(|| missing("ocid"))?, &mut notes);
    let id = text_of(release.id).ok_or_else(|| missing("id"))?;
    // The standard has release ids unique within their process only.
    let number = if id.starts_with(&ocid) { id } else { format!("{ocid}-{id}") };
    contact::screen("id", &number)?;
    let date = filled(release.date.as_ref()).ok_or_else(|| missing("date"))?;
    filled(release.initiation.as_ref()).ok_or_else(|| missing("initiationType"))?;
    let tags = tags_of(&release)?;
    check_separated(&tags)?;
    let last = tags.iter().max().copied().ok_or_else(|| missing("tag"))?;
    let acts = Acts::of(&release, stage_of(last));
    release.check_buyer(&mapping.ocds)?;
    let language = filled(release.language.as_ref()).unwrap_or(&mapping.language);
    let title = acts.title.map(|text| json!([{ "lang": language, "text": text }]));
    let method = acts.method.map(str::to_owned).or_else(|| mapping.ocds.method.clone());
    let mut fields = BTreeMap::new();
    let mut put = |name: &str, value: Json| fields.insert(name.to_owned(), Value::Ready(value));
    put("ocid", json!(ocid));
    put("release_id", json!(number));
    put("tags", json!(tags.iter().map(|tag| tag.name()).collect::<Vec<_>>()));
    put("date", json!(date));
    put("status", json!(acts.status.ok_or_else(|| missing("status of the stage"))?));
    put("package", json!(package));
    if let Some(value) = total(&acts.values)? {
        put("value", value);
    }
    if stage_of(last) >= Stage::Award {
        let suppliers = release.suppliers(&mapping.ocds)?;
        if !suppliers.is_empty() {
            put("suppliers", json!(suppliers));
        }
    }
    if let Some(title) = acts.title {
        contact::screen("title", title)?;
    }
    contacts::screen(text, &fields, title.as_ref(), &mut notes)?;
    let process = Process { id: process_of(&ocid), method, title };
    Ok(Mapped { number: Some(number), process: Some(process), ..Mapped::of_document(fields, notes) })
}

/// The ocid with its prefix as it was registered: in small letters.
fn ocid_of(text: &str, notes: &mut Notes) -> String {
    match text.get(..11).map(str::to_ascii_lowercase) {
        Some(prefix) if prefix.starts_with("ocds-") && prefix != text[..11] => {
            notes.add(Note::NormalisedPrefix);
            format!("{prefix}{}", &text[11..])
        }
        _ => text.to_owned(),
    }
}

fn tags_of(release: &Release<'_>) -> Result<BTreeSet<ReleaseTag>, Refusal> {
    let names = release.tag.as_deref().filter(|names| !names.is_empty()).ok_or_else(|| missing("tag"))?;
    let tag = |name: &String| {
        name.parse().map_err(|_| {
            let detail = format!("tag {}: compiled releases and unknown tags are not recorded", shown(name));
            Refusal::new(Code::SchemaInvalid, detail)
        })
    };
    names.iter().map(tag).collect()
}

/// Refuses a release that begins two stages which two clerks file.
fn check_separated(tags: &BTreeSet<ReleaseTag>) -> Result<(), Refusal> {
    for (first, second) in SEPARATED {
        if tags.contains(&first) && tags.contains(&second) {
            let (first, second) = (first.name(), second.name());
            let detail =
                format!("tags {first} and {second}: two clerks file them, so give each a release of its own");
            return Err(Refusal::new(Code::SamePerson, detail));
        }
    }
    Ok(())
}

/// The stage that a tag is about.
fn stage_of(tag: ReleaseTag) -> Stage {
    tag.begins().or(tag.wants()).unwrap_or(Stage::Planning)
}

/// What the release says of the stage that it is about.
struct Acts<'a> {
    title: Option<&'a str>,
    status: Option<&'a str>,
    method: Option<&'a str>,
    values: Vec<&'a Amount<'a>>,
}

impl<'a> Acts<'a> {
    fn of(release: &'a Release<'a>, stage: Stage) -> Self {
        let tender = release.tender.as_ref();
        let acts = match stage {
            Stage::Planning | Stage::Tender => None,
            Stage::Award => release.awards.as_deref(),
            Stage::Contract | Stage::Implementation => release.contracts.as_deref(),
        };
        let acts: Vec<&Act<'_>> =
            acts.map_or_else(|| tender.into_iter().collect(), |acts| acts.iter().collect());
        let named = |act: &&'a Act<'a>| filled(act.title.as_ref());
        let budget = release.planning.as_ref().and_then(|one| one.budget.as_ref()?.amount.as_ref());
        let values: Vec<&Amount<'_>> = acts.iter().filter_map(|act| act.value.as_ref()).collect();
        let planned = (stage == Stage::Planning).then_some("planning");
        Self {
            title: tender.as_ref().and_then(named).or_else(|| acts.iter().find_map(named)),
            status: acts.iter().find_map(|act| filled(act.status.as_ref())).or(planned),
            method: tender.and_then(|tender| filled(tender.method.as_ref())),
            values: if stage == Stage::Planning { budget.into_iter().collect() } else { values },
        }
    }
}

/// The sum of amounts in one currency, exact; nothing where there is none.
fn total(values: &[&Amount<'_>]) -> Result<Option<Json>, Refusal> {
    let mut sum: i64 = 0;
    let mut common: Option<Currency> = None;
    for value in values {
        let Some(amount) = text_of(value.amount) else { continue };
        let code = filled(value.currency.as_ref()).ok_or_else(|| missing("value.currency"))?;
        let currency: Currency = code.parse().map_err(|error| {
            Refusal::new(Code::BadNumber, format!("value.currency {}: {error}", shown(code)))
        })?;
        if common.is_some_and(|common| common != currency) {
            let detail = "value: amounts in several currencies have no sum; file a release for each";
            return Err(Refusal::new(Code::BadNumber, detail));
        }
        common = Some(currency);
        let (digits, scale) = Decimal::parse("value.amount", &amount)?.parts("value.amount")?;
        if digits < 0 {
            return Err(Refusal::new(Code::NegativeAmount, "value.amount is negative"));
        }
        let places = currency.exponent().checked_sub(scale).ok_or_else(|| {
            let detail = format!("value.amount is finer than the minor unit of {currency}");
            Refusal::new(Code::AmountBelowMinorUnit, detail)
        })?;
        let minor = 10_i64.checked_pow(places).and_then(|unit| digits.checked_mul(unit));
        let added = minor.and_then(|minor| sum.checked_add(minor)).filter(|sum| *sum < 1 << 53);
        sum = added.ok_or_else(|| Refusal::new(Code::BadNumber, "value.amount is too large"))?;
    }
    Ok(common.map(|currency| json!({ "currency": currency, "minor": sum })))
}

impl Release<'_> {
    /// Refuses a release of another buyer than those who file.
    fn check_buyer(&self, ocds: &Ocds) -> Result<(), Refusal> {
        let buyer = self.buyer.as_ref().ok_or_else(|| missing("buyer"))?;
        let named = [text_of(buyer.id), buyer.identifier.as_ref().and_then(|one| text_of(one.id))];
        if ocds.buyers.is_empty() || named.iter().flatten().any(|id| ocds.buyers.contains(id)) {
            return Ok(());
        }
        let detail = format!("the buyer is none of {}", ocds.buyers.join(", "));
        Err(Refusal::new(Code::AgencyNotCompetent, detail))
    }

    /// The suppliers of all awards, each once.
    fn suppliers(&self, ocds: &Ocds) -> Result<Vec<OrgId>, Refusal> {
        let mut suppliers = Vec::new();
        let awards = self.awards.iter().flatten();
        for supplier in awards.flat_map(|award| award.suppliers.iter().flatten()) {
            let id = text_of(supplier.id);
            let listed = self.parties.iter().flatten().find(|party| id.is_some() && text_of(party.id) == id);
            let identifier = supplier.identifier.as_ref().or_else(|| listed?.identifier.as_ref());
            let identifier = identifier.ok_or_else(|| missing("suppliers: identifier"))?;
            let supplier = organisations::supplier(identifier, ocds)?;
            if !suppliers.contains(&supplier) {
                suppliers.push(supplier);
            }
        }
        Ok(suppliers)
    }
}

#[cfg(test)]
mod tests {
    use chain_core::id::RecordId;

    use super::chain::{Newest, Processes, complete};
    use super::*;

    fn one(release: Json) -> Result<Mapped, Code> {
        let (mapping, _) = Mapping::load("ocds").unwrap();
        let bytes = json!({ "releases": [release] }).to_string().into_bytes();
        let found = read(&[File { name: String::new(), bytes }], &mapping);
        found.into_iter().next().unwrap().1.map_err(|refusal| refusal.code)
    }

    fn award() -> Json {
        json!({
            "ocid": "ocds-213czf-1", "id": "3", "date": "2026-05-06T09:00:00+08:00", "tag": ["award"],
            "initiationType": "tender", "buyer": { "id": "b" }, "tender": { "title": "路灯", "procurementMethod": "open" },
            "parties": [{
                "id": "s", "name": "X", "identifier": { "scheme": "GB-COH", "id": 1234567 },
                "contactPoint": { "name": "Wang Fang", "email": "wang@x.example" },
            }],
            "awards": [
                { "status": "active", "value": { "amount": 10.05, "currency": "GBP" }, "suppliers": [{ "id": "s" }] },
                { "status": "active", "value": { "amount": 1, "currency": "GBP" }, "suppliers": [{ "id": "s" }] },
            ],
        })
    }

    #[test]
    fn an_award_has_its_exact_sum_and_its_supplier_once_and_no_contact() {
        let mapped = one(award()).unwrap();
        let field = |name: &str| match &mapped.fields[name] {
            Value::Ready(json) => json.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(field("value"), json!({ "currency": "GBP", "minor": 1_105 }));
        assert_eq!(field("suppliers"), json!(["register:GB-COH:1234567"]));
        assert_eq!(field("release_id"), json!("ocds-213czf-1-3"));
        assert_eq!(mapped.notes.to_string(), "STRIP_PERSONAL");
        assert!(!format!("{mapped:?}").to_lowercase().contains("wang"));
    }

    #[test]
    fn what_a_release_must_not_say_or_leave_open_is_refused() {
        for (pointer, value, code) in [
            ("/tender/title", json!("ask Wang Fang"), Code::PersonalDataInClear),
            ("/tender/title", json!("ask wang@y.example"), Code::PersonalDataInClear),
            ("/tender/title", json!("11010519491231002X"), Code::NaturalPersonId),
            ("/awards/0/value/currency", json!(null), Code::MissingField),
            ("/awards/0/value/currency", json!("USD"), Code::BadNumber),
            ("/awards/0/value/amount", json!(1.005), Code::AmountBelowMinorUnit),
            ("/awards/0/value/amount", json!(-1), Code::NegativeAmount),
            ("/awards/0/status", json!(null), Code::MissingField),
            ("/tag/0", json!("compiled"), Code::SchemaInvalid),
            ("/tag", json!(["tender", "award"]), Code::SamePerson),
            ("/initiationType", json!(null), Code::MissingField),
            ("/parties/0/identifier/scheme", json!(null), Code::MissingField),
            (
                "/parties/0/identifier",
                json!({ "scheme": "MX-RFC", "id": "ABCD010203XY1" }),
                Code::PersonalDataInClear,
            ),
        ] {
            let mut release = award();
            *release.pointer_mut(pointer).unwrap() = value.clone();
            let got = one(release.clone()).map(|_| ());
            // The status of the first award that has one counts.
            let want = if pointer == "/awards/0/status" { Ok(()) } else { Err(code) };
            assert_eq!(got, want, "{pointer} {value}");
        }
        assert_eq!(one(json!({ "url": "https://x.example/1" })).unwrap_err(), Code::MissingField);
    }

    #[test]
    fn a_release_follows_the_newest_of_its_process() {
        let mut processes = Processes::new();
        let mut first = one(award()).unwrap();
        complete(&mut first, &processes).unwrap();
        assert!(!first.fields.contains_key("previous") && first.fields.contains_key("method"));
        let record = RecordId::new(Digest::tagged(b"r", &[]));
        let Process { id, method, title } = first.process.clone().unwrap();
        processes.insert(id, Newest { record, method, title, waits: false });
        let mut next = award();
        next["tender"] = json!(null);
        let mut next = one(next).unwrap();
        complete(&mut next, &processes).unwrap();
        assert_eq!(next.fields["previous"], Value::Ready(json!(record)));
        assert_eq!(next.fields["method"], Value::Ready(json!("open")));
        assert_eq!(next.fields["title"], first.fields["title"]);
        processes.get_mut(&process_of("ocds-213czf-1")).unwrap().waits = true;
        assert_eq!(complete(&mut next, &processes).unwrap_err().code, Code::ReleaseOrder);
    }

    #[test]
    fn links_lead_to_releases_of_the_import_and_bare_records_are_refused_each() {
        let (mapping, _) = Mapping::load("ocds").unwrap();
        let link = |id: &str| json!({ "url": format!("https://x.example/all.json#{id}"), "tag": ["award"] });
        let records = json!({ "records": [
            { "ocid": "ocds-213czf-1", "releases": [link("3"), link("4")], "compiledRelease": { "id": "c" } },
            { "ocid": "ocds-213czf-2", "compiledRelease": award() },
            { "ocid": "ocds-213czf-3", "releases": [] },
        ]});
        let file =
            |name: &str, json: &Json| File { name: name.to_owned(), bytes: json.to_string().into_bytes() };
        let files = [file("a", &records), file("b", &json!({ "releases": [award()] }))];
        let found = read(&files, &mapping);
        let codes: Vec<_> = found
            .iter()
            .map(|(file, one)| (file.as_str(), one.as_ref().map(|_| ()).map_err(|refusal| refusal.code)))
            .collect();
        let gone = Err(Code::MissingField);
        assert_eq!(codes, [("a", gone), ("a", gone), ("a", gone), ("b", Ok(()))]);
        let details: Vec<_> = found[..3].iter().map(|(_, one)| &one.as_ref().unwrap_err().detail).collect();
        assert!(details[0].contains("a link"), "{details:?}");
        assert!(details[1].contains("record 2") && details[2].contains("record 3"), "{details:?}");
    }
}
