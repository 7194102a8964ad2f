//! Records as NGSI-LD entities of the FIWARE smart data models, key-value: requests, alerts, indicators and charging sites.

use std::collections::BTreeSet;

use chain_core::code::Refusal;
use chain_core::record::alert::AlertBody;
use serde_json::{Map, Value, json};

use super::{Published, number};

/// The context of NGSI-LD's own terms (ETSI GS CIM 009).
const CONTEXT: &str = "https://uri.etsi.org/ngsi-ld/v1/ngsi-ld-core-context.jsonld";
/// Types that have a data model.
pub(crate) const TYPES: [&str; 4] =
    ["egov.service_request", "security.alert", "kpi.value", "energy.charging_site"];

/// The entities of records; those of other types have none.
///
/// # Errors
/// `SCHEMA_INVALID` for a body that is not of its type.
pub(crate) fn entities(records: &[Published]) -> Result<Vec<Value>, Refusal> {
    let mut entities = Vec::new();
    for record in records {
        let (kind, members) = match record.header.record_type.name() {
            "egov.service_request" => ("service_requests", request(record)),
            "security.alert" => ("Alert", alert(record)?),
            "kpi.value" => ("KeyPerformanceIndicator", indicator(record)),
            "energy.charging_site" => ("EVChargingStation", charging_site(record)),
            _ => continue,
        };
        let mut entity = Map::new();
        entity.insert("id".to_owned(), json!(format!("urn:ngsi-ld:{kind}:{}", record.header.record)));
        entity.insert("type".to_owned(), json!(kind));
        entity.extend(members.into_iter().filter(|(_, value)| !value.is_null()));
        entity.insert("@context".to_owned(), json!([CONTEXT]));
        entities.push(Value::Object(entity));
    }
    Ok(entities)
}

type Members = Vec<(String, Value)>;

fn member(name: &str, value: impl Into<Value>) -> (String, Value) {
    (name.to_owned(), value.into())
}

fn text(record: &Published, name: &str, from: &str) -> (String, Value) {
    member(name, record.text(from).map_or(Value::Null, Value::from))
}

fn prose(record: &Published, name: &str, from: &str) -> (String, Value) {
    member(name, record.prose(from).map_or(Value::Null, |(_, text)| Value::from(text)))
}

/// A GeoJSON point, longitude first.
fn point(record: &Published, names: [&str; 2], places: u32) -> (String, Value) {
    let place = record.body.get("place");
    let degrees = |name: &str| place?.get(name)?.as_i64().map(|units| number(units, places));
    let coordinates = names.map(degrees);
    let [Some(longitude), Some(latitude)] = coordinates else { return member("location", Value::Null) };
    member("location", json!({ "type": "Point", "coordinates": [longitude, latitude] }))
}

fn request(record: &Published) -> Members {
    vec![
        text(record, "service_request_id", "request_id"),
        text(record, "service_code", "service_code"),
        prose(record, "service_name", "summary"),
        text(record, "status", "status"),
        text(record, "agency_responsible", "agency"),
        text(record, "requested_datetime", "requested"),
        text(record, "updated_datetime", "updated"),
        text(record, "expected_datetime", "expected"),
        point(record, ["lon_e4", "lat_e4"], 4),
    ]
}

/// Category and severity in the words of the data model, which are fewer than CAP's.
fn alert(record: &Published) -> Result<Members, Refusal> {
    let body: AlertBody = record.body_of()?;
    let source = member("alertSource", format!("urn:{}", body.sender));
    let Some(info) = body.info.first() else {
        // A cancellation without a block of its own.
        return Ok(vec![source, member("category", "security"), member("dateIssued", body.sent)]);
    };
    let category = match info.category.name() {
        "met" => "weather",
        "geo" => "naturalDisaster",
        "env" => "environment",
        "health" | "cbrne" => "health",
        "transport" => "traffic",
        _ => "security",
    };
    let severity = match info.severity.name() {
        "extreme" => "critical",
        "severe" => "high",
        "moderate" => "medium",
        "minor" => "low",
        _ => "informational",
    };
    let ring = body.areas.iter().find(|area| !area.polygon.is_empty()).map(|area| {
        let at = |[longitude, latitude]: &[i64; 2]| json!([number(*longitude, 7), number(*latitude, 7)]);
        json!({ "type": "Polygon", "coordinates": [area.polygon.iter().map(at).collect::<Vec<_>>()] })
    });
    Ok(vec![
        member("category", category),
        member("severity", severity),
        member("dateIssued", body.sent),
        member("validFrom", info.effective.clone().map_or(Value::Null, Value::from)),
        member("validTo", info.expires.clone()),
        member("description", info.description.clone()),
        source,
        member("location", ring.unwrap_or(Value::Null)),
    ])
}

fn indicator(record: &Published) -> Members {
    let value = record.body.get("value");
    let part = |name: &str| value?.get(name)?.as_i64();
    let scale = part("scale").and_then(|scale| u32::try_from(scale).ok());
    let value = part("digits").zip(scale).map_or(Value::Null, |(digits, scale)| number(digits, scale));
    let period = record.body.get("period").cloned().unwrap_or(Value::Null);
    vec![
        prose(record, "name", "name"),
        member("kpiValue", value),
        text(record, "unitCode", "unit"),
        member("calculationPeriod", period),
        text(record, "source", "source_standard"),
        text(record, "area", "area"),
    ]
}

fn charging_site(record: &Published) -> Members {
    let evses = record.body.get("evses").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let sockets: BTreeSet<&str> =
        evses.iter().filter_map(|one| one.get("standard")?.as_str()).map(socket).collect();
    vec![
        text(record, "name", "site_id"),
        text(record, "operator", "operator"),
        member("capacity", evses.len()),
        member("socketType", sockets.into_iter().collect::<Vec<_>>()),
        member("allowedVehicleType", vec!["car"]),
        point(record, ["lon_e7", "lat_e7"], 7),
    ]
}

/// The data model's names of sockets.
fn socket(standard: &str) -> &'static str {
    match standard {
        "ccs2" => "CCS/SAE",
        "chademo" => "CHAdeMO",
        "type2" => "Type2",
        _ => "Other",
    }
}
