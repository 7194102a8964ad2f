//! Other people's JSON Schema validator judges our registered types as we do.
//!
//! The examples of `genesis/schemas/`, and every one of them changed at each of its places, are judged by chain-core and by
//! `tests/foreign/schemas.py`, which leaves it to the PyPI package jsonschema. Without PyPI the test is skipped by name.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chain_core::code::{Code, Refusal};
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
    /// Whether it is refused for what others do not know.
    by_our_format: bool,
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
        let schema: Value = serde_json::from_str(&registered.details().json_schema).unwrap();
        let judge = |body: &Value| {
            let text = json::canonicalise(&body.to_string()).unwrap();
            registered.schema().judge(&json::parse_canonical(&text).unwrap())
        };
        let mut add = |body: Value, expected: Option<bool>| {
            let (key, ours) = (file.details.key.to_string(), judge(&body));
            let by_our_format = ours.as_ref().is_err_and(|refusal| is_our_format(&schema, refusal));
            cases.push(Case { key, body, ours, by_our_format, expected });
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

/// Whether a refusal is for one of the formats that are our own, which others leave out: for its form, or for the length
/// that it bounds where the schema does not.
fn is_our_format(schema: &Value, refusal: &Refusal) -> bool {
    let form = ["wants a BCP 47 language tag", "wants an organisation:"];
    let pointer = refusal.detail.split(' ').next().unwrap();
    form.iter().any(|words| refusal.detail.contains(words))
        || (refusal.code == Code::SizeLimit && has_own_format(schema, pointer))
}

/// Whether the text that a body has at a place has a format of our own, and no bound beside it.
fn has_own_format(schema: &Value, pointer: &str) -> bool {
    let resolved = |at: &Value| match at["$ref"].as_str() {
        Some(reference) => schema.pointer(reference.trim_start_matches('#')).unwrap().clone(),
        None => at.clone(),
    };
    let within = |at: Value, step: &str| match step.parse::<usize>() {
        Ok(_) => resolved(&at["items"]),
        Err(_) => resolved(&at["properties"][step]),
    };
    let rule = pointer.split('/').skip(1).fold(resolved(schema), within);
    matches!(rule["format"].as_str(), Some("language-tag" | "org-id")) && rule["maxLength"].is_null()
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
            Err(_) if case.by_our_format => {}
            Err(_) => assert!(!theirs, "we refuse {shown}"),
        }
        if let Some(expected) = case.expected {
            assert!(theirs == expected || case.by_our_format, "the file expects {expected} of {shown}");
        }
        if theirs { valid += 1 } else { invalid += 1 }
    }
    // Changes at every place of nineteen types: neither side of the verdict is idle.
    assert!(valid > 200 && invalid > 5_000, "{valid} valid, {invalid} invalid");
}
