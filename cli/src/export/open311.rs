//! Requests of citizens as the list of Open311 GeoReport v2 (`GET requests.json`). What the caller said is a commitment in the
//! ledger, so no request has a description.

use serde_json::{Map, Value, json};

use super::{Published, number};

/// The list. `name_of` gives the name of an agency.
pub(crate) fn requests(records: &[Published], name_of: &dyn Fn(&str) -> Option<String>) -> Value {
    Value::Array(records.iter().map(|record| Value::Object(request(record, name_of))).collect())
}

fn request(record: &Published, name_of: &dyn Fn(&str) -> Option<String>) -> Map<String, Value> {
    let mut request = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        request.extend(value.map(|value| (name.to_owned(), value)));
    };
    for (name, member) in [
        ("service_request_id", "request_id"),
        ("service_code", "service_code"),
        ("status", "status"),
        ("requested_datetime", "requested"),
        ("updated_datetime", "updated"),
        ("expected_datetime", "expected"),
    ] {
        put(name, record.text(member).map(Value::from));
    }
    put("service_name", record.prose("summary").map(|(_, text)| json!(text)));
    put(
        "agency_responsible",
        record.text("agency").map(|id| json!(name_of(id).unwrap_or_else(|| id.to_owned()))),
    );
    for (name, member) in [("lat", "lat_e4"), ("long", "lon_e4")] {
        let degrees = record.body.get("place").and_then(|place| place.get(member)).and_then(Value::as_i64);
        put(name, degrees.map(|degrees| number(degrees, 4)));
    }
    request
}
