//! The file of a registered type, as people write and review it: what `gov.schema` will say, and examples of bodies.
//!
//! ```json
//! {"key": "env.finding", "version": 1, "title": "…", "terms": {…}, "classes": ["P0"], …, "schema": {…},
//!  "examples": {"accepted": [{"body": {…}}], "refused": [{"why": "…", "code": "BAD_NUMBER", "at": "/value", "patch": {…}}]}}
//! ```
//! The other members are those of [`SchemaDetails`]; `schema` is the JSON Schema in any layout. A refused example is the first
//! accepted one after a merge patch (RFC 7396).

use serde::Deserialize;
use serde_json::{Map, Value};

use super::Class;
use super::registered::RegisteredType;
use super::schema::SchemaDetails;
use crate::code::{Code, Refusal};
use crate::json;

/// Most bytes of a file.
pub const FILE_BYTES_MAX: usize = 512 * 1024;

/// A file that was read.
#[derive(Clone, Debug)]
pub struct TypeFile {
    /// What stands to the side, e.g. that it is a sample.
    pub notice: String,
    /// What is registered.
    pub details: SchemaDetails,
    /// Bodies that show what the schema means.
    pub examples: Examples,
}

/// Bodies that show what a schema means.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Examples {
    /// What it accepts.
    #[serde(default)]
    pub accepted: Vec<Accepted>,
    /// What it refuses.
    #[serde(default)]
    pub refused: Vec<Refused>,
}

/// A body that is accepted.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// The class it is filed in; absent means the first of the type.
    #[serde(default)]
    pub class: Option<Class>,
    /// The body.
    pub body: Map<String, Value>,
}

/// A change of the first accepted body that makes it one to refuse.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// What is wrong with it.
    pub why: String,
    /// The refusal.
    pub code: Code,
    /// The place as a JSON pointer; empty for the body itself.
    #[serde(default)]
    pub at: String,
    /// The class it is filed in; absent means that of the first accepted body.
    #[serde(default)]
    pub class: Option<Class>,
    /// Whether a reader of JSON Schema alone accepts it, because the rule is one that schemas cannot say.
    #[serde(default)]
    pub by_rules_alone: bool,
    /// The merge patch.
    pub patch: Map<String, Value>,
}

impl TypeFile {
    /// Reads a file; [`Self::check`] judges what it says.
    ///
    /// # Errors
    /// `SIZE_LIMIT`, `MALFORMED_JSON`, `MISSING_FIELD`, and the codes of [`json::canonicalise`] for the schema.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if text.len() > FILE_BYTES_MAX {
            let detail = format!("the file has {} bytes, at most {FILE_BYTES_MAX}", text.len());
            return Err(Refusal::new(Code::SizeLimit, detail));
        }
        let malformed = |error: serde_json::Error| Refusal::new(Code::MalformedJson, error.to_string());
        let mut members: Map<String, Value> = serde_json::from_str(text).map_err(malformed)?;
        let schema = members.remove("schema").ok_or_else(|| {
            Refusal::new(Code::MissingField, "schema: the JSON Schema of the type's bodies is absent")
        })?;
        let notice = members.remove("notice").and_then(|notice| notice.as_str().map(str::to_owned));
        let examples = match members.remove("examples") {
            Some(examples) => serde_json::from_value(examples).map_err(malformed)?,
            None => Examples::default(),
        };
        members.insert("json_schema".to_owned(), json::canonicalise(&schema.to_string())?.into());
        let details = serde_json::from_value(Value::Object(members)).map_err(malformed)?;
        Ok(Self { notice: notice.unwrap_or_default(), details, examples })
    }

    /// Judges the type, and its examples by it.
    ///
    /// # Errors
    /// As [`RegisteredType::new`]; `BAD_PARAMETER` for an example that is judged otherwise than it says.
    pub fn check(&self) -> Result<RegisteredType, Refusal> {
        let registered = RegisteredType::new(self.details.clone())?;
        let judge = |class: Option<Class>, body: &Value| {
            let class = class.or(self.details.classes.first().copied()).unwrap_or(Class::P0);
            registered.judge(class, &json::canonicalise(&body.to_string())?)
        };
        for (at, one) in self.examples.accepted.iter().enumerate() {
            judge(one.class, &Value::Object(one.body.clone())).map_err(|refusal| {
                Refusal::new(Code::BadParameter, format!("accepted example {at} is refused: {refusal}"))
            })?;
        }
        for one in &self.examples.refused {
            let wrong = |got: String| {
                let detail = format!(
                    "the example \"{}\" wants {} at {:?}, got {got}",
                    one.why,
                    one.code.name(),
                    one.at
                );
                Refusal::new(Code::BadParameter, detail)
            };
            let body = self.patched(one).ok_or_else(|| wrong("no accepted example to change".to_owned()))?;
            let class = one.class.or_else(|| self.examples.accepted.first().and_then(|first| first.class));
            match judge(class, &body) {
                Ok(_) => return Err(wrong("no refusal".to_owned())),
                Err(refusal) if refusal.code != one.code || !refusal.detail.contains(&one.at) => {
                    return Err(wrong(refusal.to_string()));
                }
                Err(_) => {}
            }
        }
        Ok(registered)
    }

    /// The body of a refused example.
    pub fn patched(&self, refused: &Refused) -> Option<Value> {
        let mut body = Value::Object(self.examples.accepted.first()?.body.clone());
        merge(&mut body, &Value::Object(refused.patch.clone()));
        Some(body)
    }
}

/// RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    if let Value::Object(members) = target {
        for (name, change) in changes {
            if change.is_null() {
                members.remove(name);
            } else {
                merge(members.entry(name.clone()).or_insert(Value::Null), change);
            }
        }
    }
}
