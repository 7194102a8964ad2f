//! Registered types: those of the sample city, and bodies made of their first accepted example.

use std::sync::LazyLock;

use chain_core::code::{Code, Refusal};
use chain_core::date::Date;
use chain_core::record::registered::RegisteredType;
use chain_core::record::schema::SchemaDetails;
use chain_core::record::type_file::TypeFile;
use chain_core::record::{RecordType, SubjectKind, TypeKey};
use serde_json::{Value, json};

use super::Sheet;

/// The files of the sample city.
const FILES: [&str; 19] = [
    include_str!("../../../../genesis/schemas/ai.advisory.json"),
    include_str!("../../../../genesis/schemas/ai.decision_trace.json"),
    include_str!("../../../../genesis/schemas/ai.model.json"),
    include_str!("../../../../genesis/schemas/commerce.food_inspection.json"),
    include_str!("../../../../genesis/schemas/commerce.registration.json"),
    include_str!("../../../../genesis/schemas/device.check.json"),
    include_str!("../../../../genesis/schemas/egov.building_permit.json"),
    include_str!("../../../../genesis/schemas/egov.exchange_batch.json"),
    include_str!("../../../../genesis/schemas/egov.inspection.json"),
    include_str!("../../../../genesis/schemas/egov.service_request.json"),
    include_str!("../../../../genesis/schemas/energy.charging_site.json"),
    include_str!("../../../../genesis/schemas/env.finding.json"),
    include_str!("../../../../genesis/schemas/export.manifest.json"),
    include_str!("../../../../genesis/schemas/health.aggregate.json"),
    include_str!("../../../../genesis/schemas/kpi.value.json"),
    include_str!("../../../../genesis/schemas/planning.plan.json"),
    include_str!("../../../../genesis/schemas/security.camera_register.json"),
    include_str!("../../../../genesis/schemas/transport.feed.json"),
    include_str!("../../../../genesis/schemas/transport.works.json"),
];
/// The day on which the examples are filed.
const FILED_ON: &str = "2026-05-06";

static TYPES: LazyLock<Vec<TypeFile>> = LazyLock::new(|| {
    let read = |text: &&str| TypeFile::parse(text).ok();
    FILES.iter().filter_map(read).map(from_the_first_day).collect()
});

/// Scenarios may happen before the sample city was founded.
fn from_the_first_day(file: TypeFile) -> TypeFile {
    TypeFile { details: SchemaDetails { from: Date::MIN, ..file.details }, ..file }
}

/// Every type of the sample city.
pub(crate) fn all() -> &'static [TypeFile] {
    &TYPES
}

fn file(key: TypeKey) -> Option<&'static TypeFile> {
    all().iter().find(|file| file.details.key == key)
}

/// A type of the sample city.
///
/// # Errors
/// `UNKNOWN_TYPE`.
pub(crate) fn known(key: TypeKey) -> Result<RegisteredType, Refusal> {
    let file = file(key).ok_or_else(|| {
        let known: Vec<&str> = all().iter().map(|file| file.details.key.as_str()).collect();
        Refusal::new(Code::UnknownType, format!("type {key}, wants a core type or {}", known.join(", ")))
    })?;
    RegisteredType::new(file.details.clone())
}

/// Whether no record of a type is about anybody.
pub(super) fn is_about_nobody(registered: &RegisteredType) -> bool {
    let nobody = |kind: &SubjectKind| matches!(kind, SubjectKind::None | SubjectKind::Thing);
    registered.details().subject_kinds.iter().all(nobody)
}

/// The properties by which records of a type refer to others.
pub(crate) fn references(registered: &RegisteredType) -> impl Iterator<Item = &str> {
    registered.details().bindings.refs.iter().map(|bound| bound.property.as_str())
}

/// The first of the types that a property may refer to; none where it may be any.
pub(crate) fn target_of(registered: &RegisteredType, property: &str) -> Option<RecordType> {
    let bound = registered.details().bindings.refs.iter().find(|bound| bound.property == property)?;
    bound.types.first().copied()
}

/// Whether every body of a type has a property.
pub(crate) fn is_required(registered: &RegisteredType, property: &str) -> bool {
    schema(registered)["required"].as_array().is_some_and(|names| names.contains(&json!(property)))
}

/// Whether a property is a list.
pub(crate) fn is_list(registered: &RegisteredType, property: &str) -> bool {
    schema(registered)["properties"][property]["type"] == "array"
}

fn schema(registered: &RegisteredType) -> Value {
    serde_json::from_str(&registered.details().json_schema).unwrap_or_default()
}

/// The first accepted example as of today: its days moved, its numbers, agency and officers the story's own.
pub(super) fn body(sheet: &Sheet<'_>, whom: &Value) -> Result<Value, Refusal> {
    let unknown = || Refusal::new(Code::UnknownType, format!("type {}", sheet.record_type));
    let registered = sheet.registered.as_ref().ok_or_else(unknown)?;
    let example = file(registered.details().key).and_then(|file| file.examples.accepted.first());
    let mut body = Value::Object(example.ok_or_else(unknown)?.body.clone());
    move_days(&mut body, sheet.day);
    let bindings = &registered.details().bindings;
    if let Some(number) = &bindings.number
        && schema(registered)["properties"][number]["pattern"].is_null()
    {
        body[number] = json!(sheet.label);
    }
    if let Some(issuer) = &bindings.issuer {
        body[issuer] = json!(sheet.agency.to_string());
    }
    if let Value::Object(members) = &mut body {
        members.retain(|name, _| bindings.refs.iter().all(|bound| bound.property != *name));
        if members.contains_key("inspectors") {
            members.insert("inspectors".to_owned(), json!(sheet.officers));
        }
        if members.contains_key("subject") {
            members.insert("subject".to_owned(), whom.clone());
        }
    }
    Ok(body)
}

/// Moves every day and instant as far as the day of filing lies from that of the examples.
fn move_days(value: &mut Value, today: Date) {
    match value {
        Value::String(text) => {
            if let Some(moved) = moved(text, today) {
                *text = moved;
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|one| move_days(one, today)),
        Value::Object(members) => members.values_mut().for_each(|one| move_days(one, today)),
        _ => {}
    }
}

fn moved(text: &str, today: Date) -> Option<String> {
    let (day, rest) = text.split_at_checked(10)?;
    let (day, filed_on): (Date, Date) = (day.parse().ok()?, FILED_ON.parse().ok()?);
    let number =
        i64::from(day.day_number()) + i64::from(today.day_number()) - i64::from(filed_on.day_number());
    let day = Date::from_day_number(u32::try_from(number).ok()?)?;
    Some(format!("{day}{rest}"))
}
