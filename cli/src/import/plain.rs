//! From a mapped row to header and body for types without official columns: the row becomes the document that a clerk would
//! have written, and is judged as one.

use chain_core::code::{Code, Refusal};
use chain_core::crypto::Digest;
use chain_core::date::Date;
use chain_core::operation::Operation;
use chain_core::record::registered::RegisteredType;
use chain_core::record::{SubjectKind as Kind, idempotency_digest, record_id};
use chain_core::working_days::add_working_days;
use serde_json::{Map, Value as Json, json};

use super::field::Value;
use super::judge::{self, Authority, Ready, Rules};
use super::mapping::{Mapped, Mapping};
use super::note::{Note, Notes};
use crate::draft::{Draft, Office};
use crate::error::CliError;

/// Fewest officers where a row says how many there were (Food inspection measures art. 23).
const OFFICERS_MIN: u64 = 2;

/// Builds and judges a row. `occurrence` counts rows of this file with the same content, from 0.
pub(crate) fn judge(
    rules: &Rules<'_>,
    mapping: &Mapping,
    registered: Option<&RegisteredType>,
    mapped: &Mapped,
    authority: &Authority,
    occurrence: u32,
) -> Result<Ready, Refusal> {
    judge::screen(mapped)?;
    let system = mapping.format.system();
    let mut row = Row { rules, mapped, authority, system, notes: mapped.notes.clone() };
    let body = row.body()?;
    let number = registered.and_then(|one| one.details().bindings.number.as_deref());
    let number = number.and_then(|name| body.get(name)).and_then(Json::as_str).unwrap_or("").to_owned();
    let key = mapped
        .number
        .clone()
        .unwrap_or_else(|| format!("{number}#{}#{occurrence}", judge::content_digest(mapped)));
    let office = Office {
        agency: authority.agency.clone(),
        dedupe: &authority.dedupe,
        officers: authority.officers.clone(),
    };
    let basis = rules.basis_id.unwrap_or_default();
    let draft = Draft::of_row(&mapping.record_type, basis, mapping.class, body);
    let types =
        |key| registered.cloned().ok_or_else(|| CliError::new(Code::SchemaNotInForce, format!("type {key}")));
    let built = draft.build(rules.catalogue, &types, &office, Some(&key), None, rules.today);
    let (header, body) = built.map_err(|error| error.refusal)?;
    Ok(Ready {
        row: mapped.row,
        class: header.class,
        natural_key: header.natural_key,
        operation: Operation::Submit(Box::new(header)),
        body,
        openings: mapped.openings.clone(),
        notes: row.notes,
    })
}

/// A row while it is being built.
struct Row<'a> {
    rules: &'a Rules<'a>,
    mapped: &'a Mapped,
    authority: &'a Authority,
    system: &'static str,
    notes: Notes,
}

impl Row<'_> {
    fn body(&mut self) -> Result<Map<String, Json>, Refusal> {
        let mapped = self.mapped;
        let mut body = self.values(&mapped.fields)?;
        for (name, entry) in &mapped.lists {
            body.insert(name.clone(), json!([self.values(entry)?]));
        }
        if let Some(named) = &mapped.subject {
            let kind = judge::kind_of(named, &mut self.notes);
            if kind != Kind::Person {
                judge::check_subject_code(named)?;
            }
            body.insert("subject".to_owned(), Json::Object(judge::subject_json(named, kind)));
        }
        body.insert("origin".to_owned(), json!({ "method": "import", "system": self.system }));
        Ok(body)
    }

    fn values(
        &mut self,
        values: &std::collections::BTreeMap<String, Value>,
    ) -> Result<Map<String, Json>, Refusal> {
        let mut members = Map::new();
        for (name, value) in values {
            members.insert(name.clone(), self.value(name, value)?);
        }
        Ok(members)
    }

    /// A cell as the body has it, with what the agency, its officers and the city's calendars add.
    fn value(&mut self, name: &str, value: &Value) -> Result<Json, Refusal> {
        Ok(match value {
            Value::Agency => json!(self.authority.agency),
            Value::Today => json!(self.rules.today),
            Value::Earlier(numbers) => {
                let (agency, kind) = (&self.authority.agency, self.rules.record_type);
                let id = |number: &String| {
                    let idempotency = idempotency_digest(&self.authority.dedupe, kind, number);
                    record_id(self.rules.catalogue.chain_id, agency, kind, &idempotency)
                };
                json!(numbers.iter().map(id).collect::<Vec<_>>())
            }
            Value::Officers(count) if *count < OFFICERS_MIN => {
                let detail = format!("{name}: {count}, wants {OFFICERS_MIN} or more");
                return Err(Refusal::new(Code::OfficersRequired, detail));
            }
            Value::Officers(_) => json!(self.authority.officers),
            Value::Committed(text) => {
                let (secret, row) = (&self.authority.dedupe, judge::content_digest(self.mapped));
                json!(Digest::tagged(b"city/import-commitment/1", &[secret, row.as_bytes(), text.as_bytes()]))
            }
            Value::Term(from, days) => {
                let from: Date = from.to_string().parse().map_err(|_| {
                    Refusal::new(Code::BadDate, format!("{name}: {from} is beyond the ledger's calendar"))
                })?;
                let Ok(last) = add_working_days(&self.rules.catalogue.calendars, from, *days);
                self.notes.add(Note::TermComputed);
                json!(last.day)
            }
            value => judge::json_of(self.rules.language, value),
        })
    }
}
