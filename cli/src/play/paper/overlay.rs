//! How what a step says takes the place of what would be filled in.

use chain_core::record::RecordType;
use serde_json::{Map, Value, json};

use super::subject::with_scheme;
use super::{attachment, text};
use crate::play::cast;

/// Members that name an agency or another organisation.
const ORGANISATIONS: [&str; 13] = [
    "agency",
    "issuer",
    "data_source",
    "body",
    "buyer",
    "suppliers",
    "sender",
    "owner",
    "reporter",
    "notary",
    "publisher",
    "operator",
    "contractor",
];
/// Members that name posts.
const POSTS: [&str; 3] = ["inspectors", "human", "reviewer"];
/// Members that are files.
const FILES: [&str; 5] = ["attachments", "evidence", "documents", "certificate", "media"];
/// Texts in languages that a body need not have.
const TEXTS: [&str; 5] = ["remark", "remedies", "basis_cited", "grounds", "reasons"];
/// Amounts of money that a body need not have.
const AMOUNTS: [&str; 3] = ["fine", "confiscated", "cost"];
/// Most bytes of a text in one language, and most languages.
const TEXT_BYTES: usize = 4_096;
const LANGUAGES: [&str; 8] = ["zh-Hans", "zh-Hant", "en", "fr", "de", "es", "ru", "ar"];

/// What the domain's description, or a neighbouring type, calls a member that a type calls otherwise.
fn own_name(record_type: RecordType, name: &str) -> Option<&'static str> {
    use RecordType as T;
    Some(match (record_type, name) {
        (T::Licence | T::Penalty | T::Commitment | T::DocFingerprint, "holder") => "subject",
        (T::Licence | T::Penalty, "effective_to") | (T::Licence, "valid_until") => "valid_to",
        (T::ListEntry, "notice") => "prior_notice",
        (T::ListEntry, "until" | "effective_to") => "entry_until",
        (T::Measure, "prior_notice") => "notice",
        (T::Measure, "effective_to") => "until",
        (T::Decision, "decided_on") => "adopted",
        (T::Decision, "decision_no") => "doc_no",
        (T::PropertyEvent, "registered_at" | "decided_on") => "registered_on",
        (T::PropertyEvent, "previous") => "prior",
        (T::PropertyEvent, "unit_code") => "event_no",
        (T::Certificate, "decided_on") => "issued_on",
        (T::Certificate, "valid_to" | "effective_to") => "valid_until",
        (T::Procurement, "tag") => "tags",
        (T::CommitBatch, "period") => "day",
        _ => return None,
    })
}

/// The arguments under the names that the type has for them.
pub(super) fn renamed(record_type: RecordType, args: &Map<String, Value>) -> Map<String, Value> {
    args.iter()
        .map(|(name, value)| match own_name(record_type, name) {
            Some(own) if !args.contains_key(own) => (own.to_owned(), value.clone()),
            _ => (name.clone(), value.clone()),
        })
        .collect()
}

/// Puts what is said into a body; what is said to be nothing is taken out of it.
pub(super) fn lay_over(body: &mut Value, said: Map<String, Value>) {
    let Value::Object(members) = body else { return };
    for (name, value) in said {
        match value {
            Value::Null => drop(members.remove(&name)),
            value => {
                let fitting = fitted(members.get(&name), &name, value);
                members.insert(name, fitting);
            }
        }
    }
    members.retain(|_, value| !value.is_null());
}

/// A value in the form that its member has.
fn fitted(filled: Option<&Value>, name: &str, value: Value) -> Value {
    let first = filled.and_then(|filled| filled.get(0));
    let localised = first.is_some_and(|first| first.get("lang").is_some()) || TEXTS.contains(&name);
    match value {
        Value::Array(list)
            if FILES.contains(&name) || ORGANISATIONS.contains(&name) || POSTS.contains(&name) =>
        {
            list.into_iter().map(|one| fitted(None, name, one)).map(unlisted).collect()
        }
        Value::String(said) if FILES.contains(&name) => {
            listed(filled.is_none_or(Value::is_array), attachment(&said))
        }
        Value::String(said) if ORGANISATIONS.contains(&name) => {
            listed(filled.is_some_and(Value::is_array), organisation(&said))
        }
        Value::String(said) if POSTS.contains(&name) && said.contains('/') => {
            listed(filled.is_some_and(Value::is_array), json!(cast::public(&said)))
        }
        Value::String(said) if localised => text(&said),
        Value::String(said) if filled.is_some_and(Value::is_array) => json!([said]),
        Value::Number(said) if filled.is_some_and(|filled| filled.get("digits").is_some()) => {
            json!({ "digits": said, "scale": 0 })
        }
        Value::Number(said) if is_money(filled, name) => {
            match said.as_i64().and_then(|said| said.checked_mul(100)) {
                Some(minor) => json!({ "currency": "CNY", "minor": minor }),
                None => Value::Number(said),
            }
        }
        other => other,
    }
}

fn is_money(filled: Option<&Value>, name: &str) -> bool {
    filled.is_some_and(|filled| filled.get("currency").is_some()) || AMOUNTS.contains(&name)
}

fn listed(list: bool, value: Value) -> Value {
    if list { json!([value]) } else { value }
}

/// One of a list, which was fitted as if it were the whole.
fn unlisted(value: Value) -> Value {
    match value {
        Value::Array(mut one) if one.len() == 1 => one.remove(0),
        other => other,
    }
}

/// An agency by its short name, else an identifier.
fn organisation(said: &str) -> Value {
    let code = said.chars().filter(|c| c.is_numeric()).count() >= 8;
    match cast::agency(said) {
        Ok(agency) if !code && !said.contains(':') => json!(agency.to_string()),
        _ => json!(with_scheme(said)),
    }
}

/// Makes a body at least so large, by the first text that may stand in several languages, else by its origin.
pub(super) fn swell(body: &mut Value, bytes: u64) {
    let missing = usize::try_from(bytes).unwrap_or(usize::MAX).saturating_sub(body.to_string().len());
    let Value::Object(members) = body else { return };
    let many = |value: &&mut Value| value.get(0).is_some_and(|one| one.get("text").is_some());
    if let Some(texts) = members.values_mut().find(many) {
        let each = (missing / LANGUAGES.len() + 1).min(TEXT_BYTES * 2);
        *texts = LANGUAGES.iter().map(|lang| json!({ "lang": lang, "text": "x".repeat(each) })).collect();
    } else if let Some(origin) = members.get_mut("origin") {
        origin["system"] = json!("x".repeat(missing.min(TEXT_BYTES * LANGUAGES.len())));
    }
}
