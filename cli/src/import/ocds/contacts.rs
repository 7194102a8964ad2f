//! Points of contact: looked at so that none of them ends up in what is recorded.

use std::collections::{BTreeMap, BTreeSet};

use chain_core::code::{Code, Refusal};
use serde_json::Value as Json;

use super::malformed;
use crate::import::field::Value;
use crate::import::normalise::prose;
use crate::import::note::{Note, Notes};

/// Shortest value of a point of contact that is looked for in what is recorded; shorter ones stand in words by chance.
const CONTACT_CHARS_MIN: usize = 5;

/// Refuses a release whose record would repeat a point of contact, and notes that there are such.
pub(super) fn screen(
    text: &str,
    fields: &BTreeMap<String, Value>,
    title: Option<&Json>,
    notes: &mut Notes,
) -> Result<(), Refusal> {
    let all: Json = serde_json::from_str(text).map_err(|error| malformed(&error))?;
    let mut contacts = BTreeSet::new();
    collect_contacts(&all, &mut contacts);
    if contacts.is_empty() {
        return Ok(());
    }
    notes.add(Note::StripPersonal);
    let ready = fields.values().filter_map(|value| match value {
        Value::Ready(json) => Some(json.to_string()),
        _ => None,
    });
    let recorded: Vec<String> =
        ready.chain(title.map(Json::to_string)).map(|text| text.to_lowercase()).collect();
    for contact in contacts.iter().filter(|one| one.chars().count() >= CONTACT_CHARS_MIN) {
        if recorded.iter().any(|text| text.contains(contact.as_str())) {
            let detail =
                "the title or a number repeats a point of contact; leave it out in the source system";
            return Err(Refusal::new(Code::PersonalDataInClear, detail));
        }
    }
    Ok(())
}

/// Adds every text of every point of contact, in small letters.
fn collect_contacts(value: &Json, contacts: &mut BTreeSet<String>) {
    match value {
        Json::Object(members) => {
            for (name, member) in members {
                match member {
                    Json::Object(contact) if name == "contactPoint" => {
                        let texts = contact.values().filter_map(Json::as_str).map(prose);
                        contacts.extend(texts.filter(|text| !text.is_empty()).map(str::to_lowercase));
                    }
                    _ => collect_contacts(member, contacts),
                }
            }
        }
        Json::Array(items) => items.iter().for_each(|item| collect_contacts(item, contacts)),
        _ => {}
    }
}
