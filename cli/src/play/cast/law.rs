//! What a text about a legal basis says.

use chain_core::crypto::Digest;
use chain_core::date::Date;
use chain_core::record::governance::{BasisDetails, Instrument, PublicationRules, RepairRules, Term};
use chain_core::record::{Class, RecordType, SubjectKind};

use super::content_types;

/// Words by which a text says that a basis is no longer in force.
const OVER: [&str; 7] =
    ["not in force", "no longer in force", "out of force", "repealed", "abrogated", "expired", "lapsed"];
/// Words by which a text says that a basis is to come into force.
const TO_COME: [&str; 3] = ["not yet in force", "future", "not in force yet"];
/// Words by which a text excludes kinds of subjects.
const EXCLUDES: [&str; 5] = ["no ", "not ", "without ", "except ", "excludes "];

/// The entry of the catalogue that a text describes. It allows every type and kind of subject, unless it speaks of some.
pub(crate) fn basis(id: &str, text: &str) -> BasisDetails {
    let lower = text.to_lowercase();
    let speaks = |word: &str| lower.contains(word);
    let any = |words: &[&str]| words.iter().any(|word| speaks(word));
    let term = |min_months, max_months| Term { min_months, max_months };
    let of_class = |class: &Class| speaks(&format!("class {}", class.name().to_lowercase()));
    let to_come = any(&TO_COME);
    let over = any(&OVER) && !to_come;
    let begins = day_after(&lower, &["since ", "from ", "in force on "]);
    let ends = day_after(&lower, &["until ", "ended ", "ends ", "ended on ", "ends on ", "repealed on "]);
    // `no longer in force since` names the end.
    let (begins, ends) = if over { (None, ends.or(begins).or(Some(Date::MIN))) } else { (begins, ends) };
    let in_force = begins.unwrap_or(if to_come { Date::MAX } else { Date::MIN });
    BasisDetails {
        id: id.to_owned(),
        version: 1,
        title: format!("Sample {id}"),
        instrument: Instrument::Law,
        issuer: "sample".to_owned(),
        doc_no: String::new(),
        article: String::new(),
        text: Digest::tagged(b"city/play/basis/1", &[text.as_bytes()]),
        in_force,
        ends: ends.filter(|last| *last >= in_force),
        types: types_of(&lower),
        subject_kinds: subject_kinds_of(&lower),
        max_class: Class::ALL.iter().copied().find(of_class).unwrap_or(Class::P4),
        publication: PublicationRules {
            allowed: true,
            minor: term(0, Some(3)),
            ordinary: term(3, Some(12)),
            serious: term(12, Some(36)),
            unclassified: term(0, None),
        },
        repair: RepairRules {
            allowed: !any(&["no repair", "without repair", "excludes repair"]),
            after_months: months_after(&lower),
        },
        deadlines: Vec::new(),
        supervisor: false,
        legal_review: speaks("legal review"),
        hearing: false,
        expiry_required: speaks("expiry") || speaks("end date"),
        retention_years: 5,
        codes: Vec::new(),
    }
}

/// The types that an agency may file: those of which a text about it says that it files them only, else all.
pub(super) fn competence(text: &str) -> Vec<RecordType> {
    let lower = text.to_lowercase();
    if lower.contains("only") { types_of(&lower) } else { content_types() }
}

/// Months after which a repair may be asked for, as in `repair after 6 months`.
fn months_after(text: &str) -> u16 {
    let after = text.split_once("after ").and_then(|(_, rest)| rest.split_once(" month"));
    after.and_then(|(number, _)| number.parse().ok()).unwrap_or(0)
}

/// The day that follows one of some words.
fn day_after(text: &str, words: &[&str]) -> Option<Date> {
    words.iter().find_map(|word| {
        let at = text.find(word)? + word.len();
        text.get(at..at + 10)?.parse().ok()
    })
}

/// The types that a text speaks of, by name or by a word for them; all, where it speaks of none.
fn types_of(text: &str) -> Vec<RecordType> {
    let allows = text.contains("allow") || text.contains("only");
    let named = |one: &RecordType| {
        let word = match one {
            RecordType::Penalty => "penalt",
            RecordType::Licence => "licen",
            RecordType::ListEntry => "list",
            RecordType::Measure => "measure",
            RecordType::PropertyEvent => "property",
            RecordType::Commitment if allows => "commitment",
            RecordType::Procurement if allows => "procurement",
            RecordType::Certificate if allows => "certificate",
            RecordType::Alert if allows => "alert",
            other => other.name(),
        };
        text.contains(word) || text.contains(one.name())
    };
    let content = content_types();
    let found: Vec<RecordType> = content.iter().copied().filter(named).collect();
    if found.is_empty() { content } else { found }
}

/// The kinds of subjects that a text speaks of as allowed, or all but those that it excludes. What is about nobody is always
/// allowed.
fn subject_kinds_of(text: &str) -> Vec<SubjectKind> {
    let names = |kind: SubjectKind| match kind {
        SubjectKind::Organisation => ["organisation", "organization"],
        SubjectKind::IndividualBusiness => ["individual business", "individual_business"],
        SubjectKind::Person => ["person", "citizen"],
        SubjectKind::None | SubjectKind::Thing => ["nobody", "things"],
    };
    let excluded = |kind: SubjectKind| {
        names(kind).iter().any(|name| EXCLUDES.iter().any(|not| text.contains(&format!("{not}{name}"))))
    };
    let spoken = |kind: SubjectKind| names(kind).iter().any(|name| has_word(text, name)) && !excluded(kind);
    let about = [SubjectKind::Organisation, SubjectKind::IndividualBusiness, SubjectKind::Person];
    let some = about.iter().any(|kind| spoken(*kind));
    let allowed = |kind: &SubjectKind| match kind {
        SubjectKind::None | SubjectKind::Thing => true,
        kind if some => spoken(*kind),
        kind => !excluded(*kind),
    };
    SubjectKind::ALL.iter().copied().filter(allowed).collect()
}

/// Whether a text has a word, in the singular or the plural.
fn has_word(text: &str, word: &str) -> bool {
    let ends = |rest: &str| {
        let rest = rest.strip_prefix("es").or(rest.strip_prefix('s')).unwrap_or(rest);
        !rest.starts_with(char::is_alphanumeric)
    };
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(char::is_alphanumeric) && ends(&text[at + word.len()..]))
}
