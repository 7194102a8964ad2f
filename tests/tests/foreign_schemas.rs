//! Other people's JSON Schema validator judges our registered types as we do.
//!
//! The examples of `genesis/schemas/`, and every one of them changed at each of its places, are judged by chain-core and by
//! `tests/foreign/schemas.py`, which leaves it to the PyPI package jsonschema. Without PyPI the test is skipped by name.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chain_core::code::Refusal;
use chain_core::json;
use chain_core::record::type_file::TypeFile;
use city_tests::python::judges;
use city_tests::skip;
use serde_json::{Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../genesis/schemas")
}

fn files() -> Vec<TypeFile> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| TypeFile::parse(&std::fs::read_to_string(path).unwrap()).unwrap()).collect()
}

/// A body of a type, what chain-core says of it by the schema alone, and what its file says of it.
struct Case {
    key: String,
    body: Value,
    ours: Result<(), Refusal>,
    expected: Option<bool>,
}

/// Every place of a value, as JSON pointers.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| places(member, &format!("{at}/{name}"), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(ix, item)| places(item, &format!("{at}/{ix}"), found));
        }
        _ => {}
    }
}

/// The body changed at a place in every way that a schema may object to, or not.
fn changed(body: &Value, place: &str) -> Vec<Value> {
    let old = body.pointer(place).unwrap();
    let mut values = vec![
        json!(true),
        json!(false),
        json!(0),
        json!(-1),
        json!(7),
        json!(101),
        json!(9_007_199_254_740_991_i64),
        json!(""),
        json!("x"),
        json!("好好"),
        json!("x".repeat(65)),
        json!("x".repeat(5_000)),
        json!("2026-05-06"),
        json!("2026-02-30"),
        json!("2026-05-06T09:00:00+08:00"),
        json!("2026-05-06T09:00:00"),
        json!([]),
        json!({}),
        json!([old]),
        json!([old, old, old]),
    ];
    match old {
        Value::Object(members) => {
            let mut more = members.clone();
            more.insert("colour".to_owned(), json!(1));
            values.push(Value::Object(more));
        }
        Value::Array(items) => {
            values.push(Value::Array(items.iter().chain(items).cloned().collect()));
            values.push(Value::Array(items.iter().cycle().take(items.len() * 200).cloned().collect()));
        }
        Value::String(text) => {
            values.extend([json!(text.to_uppercase()), json!(format!("{text}x")), json!(format!(" {text}"))]);
        }
        Value::Number(number) => {
            let number = number.as_i64().unwrap();
            values.extend([json!(number + 1), json!(-number), json!(number.to_string())]);
        }
        _ => {}
    }
    let with = |value: Value| {
        let mut body = body.clone();
        *body.pointer_mut(place).unwrap() = value;
        body
    };
    let mut bodies: Vec<Value> = values.into_iter().map(with).collect();
    if let Some((parent, last)) = place.rsplit_once('/') {
        let mut body = body.clone();
        match body.pointer_mut(parent).unwrap() {
            Value::Object(members) => drop(members.remove(last)),
            Value::Array(items) => drop(items.remove(last.parse::<usize>().unwrap())),
            _ => {}
        }
        bodies.push(body);
    }
    bodies
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for file in files() {
        let registered = file.check().unwrap();
        let judge = |body: &Value| {
            let text = json::canonicalise(&body.to_string()).unwrap();
            registered.schema().judge(&json::parse_canonical(&text).unwrap())
        };
        let mut add = |body: Value, expected: Option<bool>| {
            let (key, ours) = (file.details.key.to_string(), judge(&body));
            cases.push(Case { key, body, ours, expected });
        };
        for one in &file.examples.accepted {
            let body = Value::Object(one.body.clone());
            let mut found = Vec::new();
            places(&body, "", &mut found);
            for place in found {
                changed(&body, &place).into_iter().for_each(|body| add(body, None));
            }
            add(body, Some(true));
        }
        for one in &file.examples.refused {
            add(file.patched(one).unwrap(), Some(one.by_rules_alone));
        }
    }
    cases
}

/// Whether a refusal is for one of the formats that are our own.
fn is_our_format(refusal: &Refusal) -> bool {
    ["wants a BCP 47 language tag", "wants an organisation:"]
        .iter()
        .any(|words| refusal.detail.contains(words))
}

#[test]
fn python_judges_every_body_as_we_do() {
    let python = match judges() {
        Ok(python) => python,
        Err(why) => return skip("foreign_schemas::python_judges_every_body_as_we_do", &why),
    };
    let cases = cases();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("foreign/schemas.py");
    let mut child = Command::new(python)
        .arg(script)
        .arg(folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: String =
        cases.iter().map(|case| json!({ "type": case.key, "body": case.body }).to_string() + "\n").collect();
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    let verdicts = String::from_utf8(output.stdout).unwrap();
    let verdicts: Vec<bool> = verdicts.lines().map(|line| line == "valid").collect();
    assert_eq!(verdicts.len(), cases.len());
    let (mut valid, mut invalid) = (0, 0);
    for (case, theirs) in cases.iter().zip(verdicts) {
        let shown = format!("{} {}: {:?}", case.key, case.body, case.ours);
        match &case.ours {
            Ok(()) => assert!(theirs, "we accept {shown}"),
            Err(refusal) if is_our_format(refusal) => {}
            Err(_) => assert!(!theirs, "we refuse {shown}"),
        }
        if let Some(expected) = case.expected {
            let by_our_format = case.ours.as_ref().is_err_and(is_our_format);
            assert!(theirs == expected || by_our_format, "the file expects {expected} of {shown}");
        }
        if theirs { valid += 1 } else { invalid += 1 }
    }
    // Changes at every place of nineteen types: neither side of the verdict is idle.
    assert!(valid > 200 && invalid > 5_000, "{valid} valid, {invalid} invalid");
}
