//! Records as NGSI-LD entities of the FIWARE smart data models, key-value: requests, alerts, indicators and charging sites.

use std::collections::BTreeSet;

use chain_core::code::{Code, Refusal};
use chain_core::record::alert::{AlertBody, AlertKind, AlertStatus};
use chain_core::record::{Details, Header};
use serde_json::{Map, Value, json};

use super::{Published, number};

/// The context of NGSI-LD's own terms (ETSI GS CIM 009).
const CONTEXT: &str = "https://uri.etsi.org/ngsi-ld/v1/ngsi-ld-core-context.jsonld";
/// Types that have a data model.
pub(crate) const TYPES: [&str; 4] =
    ["egov.service_request", "security.alert", "kpi.value", "energy.charging_site"];

/// What records come to.
#[derive(Debug, Default)]
pub(crate) struct Entities {
    /// An entity each.
    pub(crate) entities: Vec<Value>,
    /// How many records are published and have none: alerts that nobody is to act on.
    pub(crate) withheld: usize,
}

/// The entities of records; those of other types have none. The data model of alerts cannot say of one that it is a test, an
/// exercise or a cancellation: those are withheld, for whoever reads an `Alert` takes it for an actual one.
///
/// # Errors
/// `SCHEMA_INVALID` for a body that is not of its type.
pub(crate) fn entities(records: &[Published]) -> Result<Entities, Refusal> {
    let mut found = Entities::default();
    for record in records {
        let (kind, members) = match record.header.record_type.name() {
            "egov.service_request" => ("service_requests", request(record)),
            "security.alert" => match alert(record)? {
                Some(members) => ("Alert", members),
                None => {
                    found.withheld += 1;
                    continue;
                }
            },
            "kpi.value" => ("KeyPerformanceIndicator", indicator(record)),
            "energy.charging_site" => ("EVChargingStation", charging_site(record)),
            _ => continue,
        };
        let mut entity = Map::new();
        entity.insert("id".to_owned(), json!(format!("urn:ngsi-ld:{kind}:{}", record.header.record)));
        entity.insert("type".to_owned(), json!(kind));
        entity.extend(members.into_iter().filter(|(_, value)| !value.is_null()));
        entity.insert("@context".to_owned(), json!([CONTEXT]));
        found.entities.push(Value::Object(entity));
    }
    Ok(found)
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

/// Whether an alert is to be acted on by everybody. The header decides, whose digest was checked; the body must say the same.
fn is_meant(header: &Header, body: &AlertBody) -> bool {
    let Details::Alert(details) = &header.details else { return false };
    [(details.status, details.kind), (body.status, body.msg_type)]
        .iter()
        .all(|(status, kind)| *status == AlertStatus::Actual && *kind != AlertKind::Cancel)
}

/// Category and severity in the words of the data model, which are fewer than CAP's; nothing for what is not meant.
fn alert(record: &Published) -> Result<Option<Members>, Refusal> {
    let body: AlertBody = record.body_of()?;
    if !is_meant(&record.header, &body) {
        return Ok(None);
    }
    let Some(info) = body.info.first() else {
        let detail = format!("the body of record {}: an alert without info", record.header.record);
        return Err(Refusal::new(Code::SchemaInvalid, detail));
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
    Ok(Some(vec![
        member("category", category),
        member("severity", severity),
        member("dateIssued", body.sent),
        member("validFrom", info.effective.clone().map_or(Value::Null, Value::from)),
        member("validTo", info.expires.clone()),
        member("description", info.description.clone()),
        member("alertSource", format!("urn:{}", body.sender)),
        member("location", ring.unwrap_or(Value::Null)),
    ]))
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

#[cfg(test)]
mod tests {
    use chain_core::build::{Filing, file};
    use chain_core::crypto::Digest;
    use chain_core::id::ChainId;
    use chain_core::record::{BasisRef, Class, RecordType, SubjectKind};

    use super::*;

    /// An alert of a status and kind, as a node shows it.
    fn shown(status: &str, kind: &str) -> Published {
        let agency = "uscc:11320100MAXEYHTT33".parse().unwrap();
        let mut body = json!({
            "identifier": format!("EX-{status}-{kind}"), "sender": agency, "sent": "2026-05-06T08:00:00+08:00",
            "status": status, "msg_type": kind,
            "info": [{
                "lang": "zh-Hans", "category": "met", "event": "暴雨", "urgency": "expected", "severity": "severe",
                "certainty": "likely", "level": "II", "expires": "2026-05-07T08:00:00+08:00", "headline": "注意防范",
                "description": "暴雨", "instruction": "请留在室内",
            }],
            "areas": [{ "desc": "示例区" }],
            "origin": { "system": "duty", "method": "manual" },
        });
        if kind != "alert" {
            body["references"] = json!([Digest::tagged(b"earlier", &[])]);
        }
        let filing = Filing {
            chain_id: ChainId::new(Digest::ZERO),
            agency,
            dedupe_key: b"key",
            idempotency_key: "alert",
            record_type: RecordType::Alert,
            version: 1,
            class: Class::P0,
            subject_kind: SubjectKind::None,
            legal_basis: Some(BasisRef { id: "law".to_owned(), version: 1 }),
            salt: Digest::tagged(b"salt", &[]),
            officers: Vec::new(),
            refs: Vec::new(),
            publication: [None; 3],
            dispose_on: None,
        };
        let header = file(&filing, &body.to_string()).unwrap().header;
        Published { header, body }
    }

    #[test]
    fn only_alerts_that_are_meant_become_entities_and_the_rest_is_counted() {
        let meant = [shown("actual", "alert"), shown("actual", "update")];
        let found = entities(&meant).unwrap();
        assert_eq!((found.entities.len(), found.withheld), (2, 0));
        assert_eq!(found.entities[0]["category"], "weather");
        let mut all: Vec<Published> = meant.into();
        for (status, kind) in [
            ("test", "alert"),
            ("exercise", "alert"),
            ("system", "alert"),
            ("exercise", "update"),
            ("actual", "cancel"),
            ("test", "cancel"),
        ] {
            let one = shown(status, kind);
            let found = entities(std::slice::from_ref(&one)).unwrap();
            assert_eq!((found.entities.len(), found.withheld), (0, 1), "{status} {kind}");
            all.push(one);
        }
        let found = entities(&all).unwrap();
        assert_eq!((found.entities.len(), found.withheld), (2, 6));
    }

    #[test]
    fn a_body_that_calls_a_test_actual_is_not_believed() {
        let (test, actual) = (shown("test", "alert"), shown("actual", "alert"));
        for (header, body) in [(&test, &actual), (&actual, &test)] {
            let mixed = Published { header: header.header.clone(), body: body.body.clone() };
            let found = entities(&[mixed]).unwrap();
            assert_eq!((found.entities.len(), found.withheld), (0, 1));
        }
    }
}
