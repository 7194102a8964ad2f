use std::sync::{Arc, Mutex};

use super::*;
use crate::gateway::config::Ngsi;
use crate::gateway::store::tests::open;

fn api(dir: &std::path::Path, token: Option<&str>) -> Api {
    let ngsi = Ngsi {
        entity: "urn:d1".to_owned(),
        time: "dateObserved".to_owned(),
        streams: [("temperature".to_owned(), "s1".to_owned())].into(),
    };
    let record = chain_core::id::RecordId::new(Digest::tagged(b"d1", &[]));
    let device = Device { number: "d1".to_owned(), record, key: "d1".to_owned(), ngsi: Some(ngsi) };
    Api::new(Arc::new(Mutex::new(open(dir, 3))), token, vec![device])
}

fn request(method: &str, path: &str, body: &str, bearer: Option<&str>) -> Request {
    Request::of(method, path, body, bearer)
}

fn json(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

#[test]
fn readings_are_posted_counted_and_shown() {
    let dir = tempfile::tempdir().unwrap();
    let api = api(dir.path(), None);
    let body = r#"{"device": "d1", "stream": "s1", "readings": [{"time": 1, "value": 0.5}, {"time": 1, "value": 0.5},
        {"time": 2, "value": 1}, {"time": 9007199254740991, "value": 1}]}"#;
    let answer = api.answer(&request("POST", "/v1/readings", body, None));
    let said = json(&answer);
    assert_eq!(answer.status, 200, "{said}");
    assert_eq!(
        (&said["taken"], &said["doubled"], &said["late"], &said["refused"]),
        (&json!(2), &json!(1), &json!(0), &json!(1))
    );
    assert_eq!(said["problems"][0]["reading"], 3);
    let streams = json(&api.answer(&request("GET", "/v1/streams", "", None)));
    assert_eq!(streams["items"][0]["open"], 2);
}

#[test]
fn entities_give_readings_and_what_is_none_stands_aside_without_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let api = api(dir.path(), None);
    let body = r#"{"subscriptionId": "s", "data": [
        {"id": "urn:d1", "dateObserved": 1, "temperature": 0.5, "owner": "somebody"},
        {"id": "urn:d1", "dateObserved": 1, "temperature": 0.5},
        {"id": "urn:d1", "dateObserved": 2, "temperature": {"value": 0.05}, "owner": "somebody"},
        {"id": "urn:d1", "dateObserved": 2, "temperature": {"value": 33.8, "unitCode": "FAH"}, "owner": "somebody"},
        {"id": "urn:d2", "dateObserved": 2, "temperature": 1, "owner": "somebody"}]}"#;
    let answer = api.answer(&request("POST", "/v1/entities", body, None));
    let said = json(&answer);
    let problem = |stream: &str, device: &str, name: &str, detail: &Value| json!({ "device": device, "stream": stream, "name": name, "detail": detail });
    let detail = |at: usize| &said["problems"][at]["detail"];
    let wanted = json!({
        "entities": 5, "taken": 1, "doubled": 1, "late": 0, "refused": 3, "unread": ["owner"],
        "problems": [
            problem("s1", "d1", "BAD_NUMBER", detail(0)),
            problem("s1", "d1", "STREAM_NOT_DECLARED", detail(1)),
            problem("", "", "STREAM_NOT_DECLARED", detail(2)),
        ],
    });
    assert_eq!((answer.status, &said), (200, &wanted));
    assert_eq!(*detail(1), json!("unit \"FAH\", stream s1 is declared in CEL"));
    assert!(detail(2).as_str().unwrap().starts_with("entity \"urn:d2\" speaks of no device here"), "{said}");
    let streams = json(&api.answer(&request("GET", "/v1/streams", "", None)));
    assert_eq!(streams["items"][0]["open"], 1);
    assert_eq!((&streams["items"][0]["refused"], &streams["strays"]), (&json!(2), &json!(1)));
    let aside = std::fs::read_to_string(dir.path().join("aside")).unwrap();
    assert_eq!(aside.lines().count(), 3, "{aside}");
    assert!(aside.contains("0.05") && aside.contains("33.8") && aside.contains("urn:d2"), "{aside}");
    assert!(!aside.contains("somebody"), "{aside}");
    let nothing = api.answer(&request("POST", "/v1/entities", "7", None));
    assert_eq!((nothing.status, &json(&nothing)["name"]), (400, &json!("MALFORMED_JSON")));
}

#[test]
fn what_cannot_be_answered_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let api = api(dir.path(), None);
    for (method, path, body, status, name) in [
        ("GET", "/v1/nothing", "", 404, "NOT_FOUND"),
        ("POST", "/v1/readings", "{", 400, "MALFORMED_JSON"),
        (
            "POST",
            "/v1/readings",
            r#"{"device": "d9", "stream": "s1", "readings": []}"#,
            404,
            "STREAM_NOT_DECLARED",
        ),
        ("POST", "/v1/readings", r#"{"device": "d1", "stream": "s1", "readings": []}"#, 413, "SIZE_LIMIT"),
        (
            "POST",
            "/v1/readings",
            r#"{"device": "d1", "stream": "s1", "readings": [{"time": 1, "value": 0.05}]}"#,
            400,
            "BAD_NUMBER",
        ),
        ("GET", "/v1/proof?device=d1&stream=s1&time=5", "", 404, "NOT_FOUND"),
        ("GET", "/v1/proof?device=d1&stream=s1&time=x", "", 400, "BAD_DATE"),
        ("GET", "/v1/batch?device=d1&stream=s1&seq=1", "", 404, "NOT_FOUND"),
    ] {
        let answer = api.answer(&request(method, path, body, None));
        assert_eq!((answer.status, &json(&answer)["name"]), (status, &json!(name)), "{path} {body}");
    }
    let three = r#"{"device": "d1", "stream": "s1", "readings": [{"time": 1, "value": 1}, {"time": 2, "value": 1}, {"time": 3, "value": 1}]}"#;
    assert_eq!(api.answer(&request("POST", "/v1/readings", three, None)).status, 200);
    let pending = api.answer(&request("GET", "/v1/proof?device=d1&stream=s1&time=2", "", None));
    assert_eq!((pending.status, &json(&pending)["name"]), (503, &json!("RECEIPT_PENDING")));
    let sealed = json(&api.answer(&request("GET", "/v1/batch?device=d1&stream=s1&seq=1", "", None)));
    assert_eq!(sealed["details"]["count"], 3);
}

#[test]
fn without_the_token_only_health_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let api = api(dir.path(), Some("secret"));
    for (path, bearer, status) in [
        ("/v1/streams", None, 401),
        ("/v1/streams", Some("secre"), 401),
        ("/v1/streams", Some("secret"), 200),
        ("/healthz", None, 200),
    ] {
        assert_eq!(api.answer(&request("GET", path, "", bearer)).status, status, "{path} {bearer:?}");
    }
}
