use std::path::Path;

use super::*;

const ENTITY: &str = "urn:ngsi-ld:Device:d1";

fn device(number: &str, entity: &str, time: &str, streams: &[(&str, &str)]) -> Device {
    let streams = streams.iter().map(|(path, stream)| ((*path).to_owned(), (*stream).to_owned())).collect();
    Device {
        number: number.to_owned(),
        record: "4bb24efc9641afc5ded1ca77eabb6e2fcf062d2112ccd61bd8bd6acd89180bae".parse().unwrap(),
        key: number.to_owned(),
        ngsi: Some(Ngsi { entity: entity.to_owned(), time: time.to_owned(), streams }),
    }
}

fn d1(streams: &[(&str, &str)]) -> Vec<Device> {
    vec![device("d1", ENTITY, "dateObserved", streams)]
}

/// Stream and text of every reading, or stream and code of what is wrong with it.
fn told(body: &str, devices: &[Device]) -> Vec<String> {
    let found = read(body.as_bytes(), devices).unwrap();
    let told = |one: &Measured| match &one.wrong {
        Some(wrong) => format!("{} {}", one.stream, wrong.code.name()),
        None => format!("{} {}{}", one.stream, one.text, one.unit.as_deref().unwrap_or("")),
    };
    found.readings.iter().map(told).collect()
}

#[test]
fn the_same_reading_is_found_in_every_form() {
    let devices = d1(&[("temperature", "t"), ("power.L1", "p")]);
    let wanted = [
        r#"p {"time": "2026-05-06T08:00:00Z", "value": 1.50}"#,
        r#"t {"time": "2026-05-06T08:00:00Z", "value": 3.30}"#,
    ];
    let key_value = r#"{"id": "urn:x", "type": "W", "refDevice": ["urn:y", "urn:ngsi-ld:Device:d1"], "temperature": 3.30,
        "power": {"L1": 1.50, "L2": 9}, "dateObserved": "2026-05-06T08:00:00Z"}"#;
    let normalized = r#"{"id": "urn:x", "type": "W", "refDevice": {"type": "Relationship", "object": "urn:ngsi-ld:Device:d1"},
        "temperature": {"type": "Property", "value": 3.30, "observedAt": "2026-05-06T08:00:00Z"},
        "power": {"type": "Property", "value": {"L1": 1.50, "L2": 9}},
        "dateObserved": {"type": "Property", "value": {"@type": "DateTime", "@value": "2026-05-06T08:00:00Z"}}}"#;
    let concise = r#"{"id": "urn:ngsi-ld:Device:d1", "type": "W", "temperature": {"value": 3.30, "observedAt": "2026-05-06T08:00:00Z"},
        "power": {"value": {"L1": 1.50}, "observedAt": "2026-05-06T08:00:00Z"}}"#;
    let version_2 = r#"{"id": "urn:ngsi-ld:Device:d1", "type": "W",
        "temperature": {"type": "Number", "value": 3.30, "metadata": {"TimeInstant": {"type": "DateTime", "value": "2026-05-06T08:00:00Z"}}},
        "power": {"type": "StructuredValue", "value": {"L1": 1.50}, "metadata": {}},
        "dateObserved": {"type": "DateTime", "value": "2026-05-06T07:00:00Z/2026-05-06T08:00:00Z"}}"#;
    for entity in [key_value, normalized, concise, version_2] {
        let forms = [
            entity.to_owned(),
            format!("[{entity}]"),
            format!(
                r#"{{"id": "urn:n", "type": "Notification", "subscriptionId": "urn:s", "data": [{entity}]}}"#
            ),
            format!(r#"{{"subscriptionId": "5aeb", "data": [{entity}]}}"#),
        ];
        for form in forms {
            assert_eq!(told(&form, &devices), wanted, "{form}");
        }
    }
}

#[test]
fn a_unit_goes_with_its_value() {
    let devices = d1(&[("t", "t")]);
    let ld = r#"{"id": "urn:ngsi-ld:Device:d1", "t": {"type": "Property", "value": 1, "unitCode": "CEL", "observedAt": 5}}"#;
    let v2 = r#"{"id": "urn:ngsi-ld:Device:d1", "dateObserved": 5,
        "t": {"type": "Number", "value": 1, "metadata": {"unitCode": {"type": "Text", "value": "CEL"}}}}"#;
    for form in [ld, v2] {
        assert_eq!(told(form, &devices), [r#"t {"time": 5, "value": 1}CEL"#], "{form}");
    }
}

#[test]
fn what_is_missing_is_said_and_what_nobody_reads_is_named() {
    let devices = d1(&[("t", "t")]);
    let untimed = r#"{"id": "urn:ngsi-ld:Device:d1", "type": "W", "t": 3, "owner": "somebody"}"#;
    assert_eq!(told(untimed, &devices), ["t MISSING_FIELD"]);
    let found = read(untimed.as_bytes(), &devices).unwrap();
    assert_eq!(found.unread, BTreeSet::from(["owner".to_owned()]));
    let other = r#"{"id": "urn:ngsi-ld:Device:d1", "dateObserved": 1, "owner": "somebody"}"#;
    assert_eq!(told(other, &devices), [" MISSING_FIELD"]);
    let stranger = r#"[{"id": "urn:z", "t": 3, "dateObserved": 1, "owner": "somebody"}]"#;
    assert_eq!(told(stranger, &devices), [" STREAM_NOT_DECLARED"]);
    for body in [untimed, other, stranger] {
        let kept = format!("{:?}", read(body.as_bytes(), &devices).unwrap().readings);
        assert!(!kept.contains("somebody"), "{kept}");
    }
}

#[test]
fn a_wrong_entity_or_attribute_holds_no_other_up() {
    let devices = d1(&[("t", "t"), ("u", "u")]);
    let entity = r#"{"id": "urn:ngsi-ld:Device:d1", "t": 3, "dateObserved": 1}"#;
    let fine = r#"t {"time": 1, "value": 3}"#;
    for (wrong, told_of_it) in [
        ("7", " MALFORMED_JSON"),
        (r#"{"type": "W"}"#, " MISSING_FIELD"),
        (r#"{"id": "urn:a", "id": "urn:b"}"#, " MALFORMED_JSON"),
        (r#"{"id": 7}"#, " MALFORMED_JSON"),
        (r#"{"id": "urn:a", "refDevice": 7}"#, " MALFORMED_JSON"),
        (
            r#"{"id": "urn:ngsi-ld:Device:d1", "t": 3, "dateObserved": {"type": "Property"}}"#,
            " MALFORMED_JSON",
        ),
    ] {
        assert_eq!(
            told(&format!("[{entity}, {wrong}, {entity}]"), &devices),
            [fine, told_of_it, fine],
            "{wrong}"
        );
    }
    let half = r#"{"id": "urn:ngsi-ld:Device:d1", "t": 3, "u": {"type": "Property"}, "dateObserved": 1}"#;
    assert_eq!(told(half, &devices), [fine, "u MALFORMED_JSON"]);
}

#[test]
fn what_cannot_be_read_is_refused_as_a_whole() {
    let devices = d1(&[("t", "t")]);
    let entity = r#"{"id": "urn:ngsi-ld:Device:d1", "t": 3, "dateObserved": 1}"#;
    let many = format!("[{}]", [entity; ENTITIES_MAX + 1].join(","));
    for (body, code) in [
        ("", Code::MalformedJson),
        ("7", Code::MalformedJson),
        (r#"{"id": 7, "type": 7}"#, Code::MalformedJson),
        (r#"{"type": "Notification", "subscriptionId": "urn:s"}"#, Code::MalformedJson),
        (&many, Code::SizeLimit),
    ] {
        assert_eq!(
            read(body.as_bytes(), &devices).map(|_| ()).map_err(|refusal| refusal.code),
            Err(code),
            "{body}"
        );
    }
    let most = format!("[{}]", [entity; ENTITIES_MAX].join(","));
    assert_eq!(read(most.as_bytes(), &devices).unwrap().readings.len(), ENTITIES_MAX);
}

/// The examples of the data models of environment, weather, transport, energy and devices.
#[test]
fn the_examples_of_the_data_models_give_their_readings() {
    let Some(data) = std::env::var_os("CITY_TEST_DATA") else {
        println!("skipped: the_examples_of_the_data_models_give_their_readings: CITY_TEST_DATA is not set");
        return;
    };
    let example = |model: &str, file: &str| {
        let path = Path::new(&data).join("fiware").join(model).join(file);
        std::fs::read_to_string(path).unwrap()
    };
    let weather = "urn:ngsi-ld:Device:device-0A3478";
    let road = "urn:ngsi-ld:TrafficFlowObserved:TrafficFlowObserved-Valladolid-osm-60821110";
    let meter = "urn:ngsi-ld:ACMeasurement:ACMeasurement:MNCA-ACM-001";
    let room = "urn:ngsi-ld:MEASUREMENT:refDevice:ZMHH:32871158";
    let cases = [
        (
            "WeatherObserved",
            device("w", weather, "dateObserved", &[("temperature", "t"), ("atmosphericPressure", "p")]),
            &[
                r#"p {"time": "2016-11-30T07:00:00.00Z", "value": 938.9}"#,
                r#"t {"time": "2016-11-30T07:00:00.00Z", "value": 3.3}"#,
            ][..],
        ),
        (
            "TrafficFlowObserved",
            device("r", road, "dateObservedTo", &[("intensity", "i")]),
            &[r#"i {"time": "2016-12-07T11:15:00Z", "value": 197}"#],
        ),
        (
            "ACMeasurement",
            device("m", meter, "dateObserved", &[("activePower.L2", "l2")]),
            &[r#"l2 {"time": "2020-02-24T22:00:00.173Z", "value": 9461.501953}"#],
        ),
        (
            "DeviceMeasurement",
            device("h", room, "dateObserved", &[("numValue", "h")]),
            &[r#"h {"time": "2021-09-03T07:33:18Z", "value": 55.2}"#],
        ),
    ];
    for (model, device, wanted) in cases {
        assert_eq!(told(&example(model, "example-normalized.jsonld"), &[device]), wanted, "{model}");
    }
}
