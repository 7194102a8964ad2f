use serde_json::{Value, json};

use super::*;
use crate::json;

/// A schema with one property of each kind.
fn sample() -> Value {
    json!({
        "$schema": DIALECT,
        "title": "finding",
        "$defs": {
            "text": {
                "type": "object",
                "properties": { "lang": { "type": "string", "format": "language-tag" }, "text": { "type": "string", "minLength": 1, "maxLength": 20 } },
                "required": ["lang", "text"],
                "unevaluatedProperties": false
            },
            "texts": { "type": "array", "items": { "$ref": "#/$defs/text" }, "minItems": 1, "maxItems": 3 }
        },
        "type": "object",
        "properties": {
            "title": { "$ref": "#/$defs/texts", "title": "what it says" },
            "kind": { "enum": ["a", "b"], "type": "string" },
            "code": { "type": "string", "pattern": "^[A-Z]{2}[0-9]{1,3}$", "maxLength": 5 },
            "day": { "type": "string", "format": "date" },
            "count": { "type": "integer", "minimum": 0, "maximum": 99 },
            "step": { "type": "integer", "enum": [1, 5] },
            "open": { "type": "boolean" },
            "advisory": { "type": "boolean", "const": true },
            "codes": { "type": "array", "items": { "type": "string", "maxLength": 4 }, "maxItems": 3, "uniqueItems": true },
            "a/b": { "type": "boolean" }
        },
        "required": ["title", "kind"],
        "additionalProperties": false
    })
}

fn parse(schema: &Value) -> Result<Schema, Refusal> {
    Schema::parse(&json::canonicalise(&schema.to_string()).unwrap())
}

fn schema() -> Value {
    let mut schema = sample();
    // The name is there to show how pointers escape; schemas may not use it.
    schema["properties"].as_object_mut().unwrap().remove("a/b");
    schema
}

fn body() -> Value {
    json!({
        "title": [{ "lang": "en", "text": "x" }], "kind": "a", "code": "AB12", "day": "2026-05-06", "count": 7, "step": 5,
        "open": true, "advisory": true, "codes": ["a", "b"],
    })
}

/// A copy with the value at a pointer set, or removed where it is null.
fn with(value: &Value, pointer: &str, to: Value) -> Value {
    let mut value = value.clone();
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    let last = last.replace("~1", "/");
    match value.pointer_mut(parent).unwrap() {
        Value::Object(members) if to.is_null() => drop(members.remove(&last)),
        Value::Object(members) => drop(members.insert(last, to)),
        Value::Array(items) => items[last.parse::<usize>().unwrap()] = to,
        other => panic!("{other}"),
    }
    value
}

#[test]
fn a_body_is_judged_by_every_keyword_and_the_flaw_is_named() {
    let schema = parse(&schema()).unwrap();
    let judge = |body: &Value| {
        let text = json::canonicalise(&body.to_string()).unwrap();
        schema.judge(&json::parse_canonical(&text).unwrap())
    };
    assert_eq!(judge(&body()), Ok(()));
    assert_eq!(judge(&json!({ "title": [{ "lang": "en", "text": "好" }], "kind": "b" })), Ok(()));
    for (pointer, to, code, words) in [
        ("/title", Value::Null, Code::MissingField, "/title is absent"),
        ("/title", json!("x"), Code::SchemaInvalid, "/title is a text, wants a list"),
        ("/title", json!([]), Code::SchemaInvalid, "/title has 0 entries, wants 1 or more"),
        ("/title", json!([1, 2, 3, 4]), Code::SizeLimit, "/title has 4 entries, at most 3"),
        ("/title/0", json!("x"), Code::SchemaInvalid, "/title/0 is a text, wants an object"),
        ("/title/0/lang", Value::Null, Code::MissingField, "/title/0/lang is absent"),
        ("/title/0/lang", json!("zh_Hans"), Code::SchemaInvalid, "BCP 47"),
        ("/title/0/text", json!(""), Code::SchemaInvalid, "/title/0/text has 0 characters"),
        ("/title/0/text", json!("好".repeat(21)), Code::SizeLimit, "has 21 characters, at most 20"),
        ("/title/0/note", json!("x"), Code::UnknownField, "/title/0/note is not declared"),
        ("/title/0/credit_score", json!(1), Code::ScoreForbidden, "/title/0/credit_score"),
        ("/a~1b", json!(true), Code::UnknownField, "/a~1b is not declared"),
        ("/kind", json!("c"), Code::SchemaInvalid, "/kind is \"c\", wants one of: \"a\", \"b\""),
        ("/kind", json!(1), Code::SchemaInvalid, "/kind is a number, wants a text"),
        (
            "/code",
            json!("ab12"),
            Code::SchemaInvalid,
            "/code is \"ab12\", wants the form ^[A-Z]{2}[0-9]{1,3}$",
        ),
        ("/code", json!("AB1234"), Code::SizeLimit, "/code has 6 characters, at most 5"),
        ("/code", json!("AB1\n"), Code::SchemaInvalid, "/code"),
        ("/day", json!("2026-02-30"), Code::BadDate, "/day is \"2026-02-30\", wants a day"),
        ("/count", json!(100), Code::BadNumber, "/count is 100, wants 0 to 99"),
        ("/count", json!(-1), Code::BadNumber, "/count is -1, wants 0 to 99"),
        ("/count", json!("7"), Code::SchemaInvalid, "/count is a text, wants a whole number"),
        ("/step", json!(2), Code::SchemaInvalid, "/step is 2, wants one of: 1, 5"),
        ("/open", json!(1), Code::SchemaInvalid, "/open is a number, wants true or false"),
        ("/advisory", json!(false), Code::SchemaInvalid, "/advisory is false, wants true"),
        ("/codes", json!(["a", "b", "a"]), Code::SchemaInvalid, "/codes/2 stands in the list before"),
    ] {
        let refusal = judge(&with(&body(), pointer, to.clone())).expect_err(pointer);
        assert_eq!(refusal.code, code, "{pointer} {to}");
        assert!(refusal.detail.contains(words), "{pointer} {to}: {}", refusal.detail);
    }
    assert_eq!(judge(&json!([])).unwrap_err().code, Code::SchemaInvalid);
}

#[test]
fn a_schema_is_refused_for_anything_that_the_ledger_does_not_read() {
    assert!(parse(&schema()).is_ok());
    let unsupported = |pointer: &str, to: Value, words: &str| {
        let refusal = parse(&with(&schema(), pointer, to.clone())).expect_err(&format!("{pointer} {to}"));
        assert_eq!(refusal.code, Code::SchemaUnsupported, "{pointer} {to}: {refusal}");
        assert!(refusal.detail.contains(words), "{pointer} {to}: {}", refusal.detail);
    };
    for keyword in [
        "$anchor",
        "$dynamicRef",
        "$id",
        "$vocabulary",
        "allOf",
        "anyOf",
        "contains",
        "contentEncoding",
        "default",
        "dependentSchemas",
        "exclusiveMaximum",
        "if",
        "minProperties",
        "multipleOf",
        "not",
        "nullable",
        "oneOf",
        "patternProperties",
        "prefixItems",
        "propertyNames",
        "readOnly",
        "unevaluatedItems",
        "x-note",
    ] {
        unsupported(
            &format!("/{keyword}"),
            json!(true),
            &format!("/{keyword}: keyword \"{keyword}\" is not read"),
        );
        unsupported(
            &format!("/properties/count/{keyword}"),
            json!(1),
            &format!("/properties/count/{keyword}"),
        );
        unsupported(&format!("/$defs/text/{keyword}"), json!(1), &format!("/$defs/text/{keyword}"));
    }
    for (pointer, to, words) in [
        ("/$schema", json!("http://json-schema.org/draft-07/schema#"), "/$schema: wants to be https"),
        ("/$schema", Value::Null, "/$schema"),
        ("/type", json!("array"), "does not belong to type array"),
        ("/type", json!(["object"]), "/type: wants a text"),
        ("/properties/count/type", json!("number"), "\"number\" is no type here"),
        ("/properties/count/type", json!("null"), "is no type here"),
        ("/properties/count/type", Value::Null, "/properties/count: wants a type"),
        ("/properties/count/maxLength", json!(1), "maxLength does not belong to type integer"),
        ("/properties/count/minimum", json!(100), "/properties/count/maximum: 99 lies below"),
        ("/properties/count/minimum", json!("0"), "wants a whole number"),
        ("/properties/open/enum", json!([true]), "enum does not belong to type boolean"),
        ("/properties/kind/enum", json!([]), "1 to 128 values"),
        ("/properties/kind/enum", json!(["a", "a"]), "names a value twice"),
        ("/properties/kind/enum", json!(["a", 1]), "wants values of the type"),
        ("/properties/kind/const", json!("a"), "const beside enum"),
        ("/properties/code/maxLength", Value::Null, "/properties/code: wants maxLength"),
        ("/properties/code/maxLength", json!(4097), "4097, wants 0 to 4096"),
        ("/properties/code/minLength", json!(6), "6, wants 0 to 5"),
        ("/properties/code/pattern", json!("^\\d$"), "/properties/code/pattern: the pattern escapes"),
        ("/properties/code/pattern", json!(1), "wants a text"),
        ("/properties/day/format", json!("time"), "format \"time\" is unknown; known are date, date-time"),
        ("/properties/codes/maxItems", Value::Null, "/properties/codes: wants maxItems"),
        ("/properties/codes/maxItems", json!(129), "129, wants 0 to 128"),
        ("/properties/codes/items", Value::Null, "wants items"),
        ("/properties/codes/items", json!(true), "is a boolean, wants an object"),
        ("/properties/codes/uniqueItems", json!(1), "wants true or false"),
        ("/$defs/texts/maxItems", json!(513), "513, wants 0 to 512"),
        ("/additionalProperties", Value::Null, "content is closed"),
        ("/additionalProperties", json!(true), "content is closed"),
        ("/additionalProperties", json!({ "type": "boolean" }), "wants true or false"),
        ("/$defs/text/unevaluatedProperties", Value::Null, "/$defs/text: wants unevaluatedProperties: false"),
        ("/properties", Value::Null, "wants properties"),
        ("/required", json!(["nothing"]), "/required: \"nothing\" is no property"),
        ("/required", json!(["kind", "kind"]), "different names"),
        ("/properties/title/$ref", json!("#/$defs/none"), "/properties/title/$ref"),
        ("/properties/title/$ref", json!("https://example.org/schema"), "no schema elsewhere"),
        ("/properties/title/$ref", json!("other.json#/$defs/text"), "no schema elsewhere"),
        ("/properties/title/$ref", json!("#"), "no schema elsewhere"),
        ("/properties/title/maxItems", json!(1), "keyword maxItems beside $ref"),
        ("/$defs/text/properties/text", json!({ "$ref": "#/$defs/texts" }), "leads back to itself"),
        ("/$defs/text/$defs", json!({}), "$defs does not belong to type object here"),
        ("/title", json!(1), "/title: wants a text"),
        ("/properties/A", json!({ "type": "boolean" }), "/properties/A: a name wants"),
        ("/properties/a~1b", json!({ "type": "boolean" }), "/properties/a~1b: a name wants"),
    ] {
        unsupported(pointer, to, words);
    }
    unsupported("/$ref", json!("#/$defs/text"), "beside $ref");
}

#[test]
fn a_schema_is_bounded_in_every_direction() {
    let refused = |schema: &Value, words: &str| {
        let refusal = parse(schema).expect_err(words);
        assert!(refusal.detail.contains(words), "{}", refusal.detail);
    };
    let many: serde_json::Map<String, Value> =
        (0..=DEFINITIONS_MAX).map(|at| (format!("d{at}"), json!({ "type": "boolean" }))).collect();
    refused(&with(&schema(), "/$defs", json!(many)), "65 entries, at most 64");
    let long = with(&schema(), "/title", json!("x".repeat(SCHEMA_BYTES_MAX)));
    assert_eq!(parse(&long).unwrap_err().code, Code::SizeLimit);
    // Each entry holds two of the next: as many bodies as atoms in the world, and one rule for each entry.
    let chain = |levels: usize| {
        let next = |at: usize| json!({ "$ref": format!("#/$defs/d{:02}", at + 1) });
        let object = |at: usize| json!({ "type": "object", "properties": { "a": next(at), "b": next(at) }, "additionalProperties": false });
        let mut all: serde_json::Map<String, Value> =
            (0..levels).map(|at| (format!("d{at:02}"), object(at))).collect();
        all.insert(format!("d{levels:02}"), json!({ "type": "boolean" }));
        let top = json!({ "a": { "$ref": "#/$defs/d00" } });
        with(&with(&schema(), "/$defs", json!(all)), "/properties", top)
    };
    let chain = |levels: usize| with(&chain(levels), "/required", Value::Null);
    let sound = parse(&chain(json::DEPTH_MAX - 1)).unwrap();
    assert_eq!(sound.check_follows(&sound), Ok(()));
    refused(&chain(json::DEPTH_MAX), "more than 16 levels of lists and objects");
    refused(&chain(40), "schemas within one another");
    // References to nothing but references.
    let refs: serde_json::Map<String, Value> = (0..60)
        .map(|at| (format!("d{at:02}"), json!({ "$ref": format!("#/$defs/d{:02}", (at + 1) % 60) })))
        .collect();
    assert_eq!(parse(&with(&schema(), "/$defs", json!(refs))).unwrap_err().code, Code::SchemaUnsupported);
    let text = json::canonicalise(&schema().to_string()).unwrap();
    assert_eq!(Schema::parse(&format!(" {text}")).unwrap_err().code, Code::JsonNotCanonical);
    assert_eq!(Schema::parse("[]").unwrap_err().code, Code::SchemaUnsupported);
}

#[test]
fn what_may_not_be_recorded_has_no_property() {
    let refused = |name: &str, rule: Value| {
        let mut schema = schema();
        schema["$defs"]["text"]["properties"][name] = rule;
        parse(&schema).map(|_| ()).map_err(|refusal| refusal.code)
    };
    let text = || json!({ "type": "string", "maxLength": 9 });
    for name in
        ["credit_score", "trust_rank", "level", "risk_level", "xinyong_pingfen", "信用评分", "排名", "points"]
    {
        assert_eq!(refused(name, text()), Err(Code::ScoreForbidden), "{name}");
    }
    for name in [
        "religion",
        "blood_type",
        "face",
        "face_image",
        "number_plate",
        "income",
        "monthly_income",
        "宗教",
        "车牌号",
    ] {
        assert_eq!(refused(name, text()), Err(Code::DataForbidden), "{name}");
    }
    // Words that only look alike.
    for name in ["surface", "template", "generator", "outcome", "shipment"] {
        assert_eq!(refused(name, text()), Ok(()), "{name}");
    }
    assert_eq!(refused("biometric", text()), Err(Code::DataForbidden));
    assert_eq!(refused("biometric", json!({ "type": "boolean" })), Err(Code::DataForbidden));
    assert_eq!(refused("biometric", json!({ "type": "boolean", "const": true })), Err(Code::DataForbidden));
    // Saying that there is none is no such data.
    assert_eq!(refused("biometric", json!({ "type": "boolean", "const": false })), Ok(()));
}

#[test]
fn only_what_every_reader_can_take_may_follow() {
    let old = parse(&schema()).unwrap();
    let follows = |new: &Value| parse(new).unwrap().check_follows(&old);
    for (pointer, to) in [
        ("/title", json!("another title")),
        ("/properties/kind/description", json!("which one")),
        ("/properties/note", json!({ "type": "string", "maxLength": 9 })),
        ("/$defs/text/properties/note", json!({ "type": "string", "maxLength": 9 })),
        ("/properties/kind/enum", json!(["a", "b", "longer"])),
        ("/properties/step/enum", json!([1, 5, 2])),
        // The same rule, written at its place.
        ("/properties/title", schema()["$defs"]["texts"].clone()),
        ("/$defs/more", json!({ "type": "boolean" })),
    ] {
        assert_eq!(follows(&with(&schema(), pointer, to)), Ok(()), "{pointer}");
    }
    for (pointer, to, place) in [
        ("/properties/count", Value::Null, "/count: the property is gone"),
        ("/properties/count", json!({ "type": "string", "maxLength": 9 }), "/count: the type changed"),
        ("/properties/count/maximum", json!(100), "/count: minimum or maximum"),
        ("/properties/count/minimum", Value::Null, "/count: minimum or maximum"),
        ("/properties/kind/enum", json!(["a"]), "/kind: the values"),
        ("/properties/kind/enum", json!(["b", "a"]), "/kind: the values"),
        ("/properties/kind/enum", json!(["new", "a", "b"]), "/kind: the values"),
        ("/properties/kind", json!({ "type": "string", "maxLength": 1 }), "/kind: the values"),
        ("/properties/step/enum", Value::Null, "/step: the values"),
        ("/properties/code/pattern", json!("^[A-Z]{2}[0-9]{1,4}$"), "/code: pattern or format"),
        ("/properties/code/pattern", Value::Null, "/code: pattern or format"),
        ("/properties/code/maxLength", json!(6), "/code: minLength or maxLength"),
        ("/properties/day/format", json!("date-time"), "/day: minLength or maxLength"),
        ("/properties/codes/uniqueItems", json!(false), "/codes: how many entries"),
        ("/properties/codes/maxItems", json!(4), "/codes: how many entries"),
        ("/properties/codes/items/maxLength", json!(5), "/codes/*: minLength or maxLength"),
        ("/properties/advisory/const", Value::Null, "/advisory: the type changed"),
        ("/properties/advisory/const", json!(false), "/advisory: the type changed"),
        ("/required", json!(["title"]), "/kind: whether the property is required"),
        ("/required", json!(["title", "kind", "day"]), "/day: whether the property is required"),
        ("/$defs/text/required", json!(["lang"]), "/title/*/text: whether"),
        ("/$defs/text/properties/text/maxLength", json!(21), "/title/*/text: minLength or maxLength"),
    ] {
        let refusal = follows(&with(&schema(), pointer, to.clone())).expect_err(pointer);
        assert_eq!(refusal.code, Code::SchemaIncompatible);
        assert!(refusal.detail.contains(place), "{pointer} {to}: {}", refusal.detail);
    }
    let mut required = with(&schema(), "/properties/note", json!({ "type": "boolean" }));
    required["required"] = json!(["title", "kind", "note"]);
    assert!(follows(&required).unwrap_err().detail.contains("/note: a new property that is required"));
}
