use std::sync::{Arc, Mutex};

use super::*;
use crate::gateway::store::tests::open;

fn api(dir: &std::path::Path, token: Option<&str>) -> Api {
    Api::new(Arc::new(Mutex::new(open(dir, 3))), token)
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
