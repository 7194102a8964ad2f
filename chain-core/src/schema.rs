//! Schemas of registered record types: the closed part of JSON Schema 2020-12 that validators read alike.
//!
//! A [`Schema`] is read once, when the council registers it, and again whenever a node needs it; [`Schema::judge`] then
//! judges bodies. What is left out of the vocabulary is left out because it would cost one of these promises:
//!
//! * **One verdict everywhere.** No floats, no schema elsewhere, no keyword that a reader could leave out: a keyword that is
//!   not in [`KEYWORDS`] refuses the schema, and every `format` is asserted.
//! * **Work bounded by the body.** There is no choice between schemas and no recursion, so every value of a body is judged
//!   by one rule; patterns are matched in time linear in the text; every list and every text has a maximum.
//! * **Closed content.** Every object refuses what it does not declare, so that a new property is a new version.
//!
//! Whether one schema may follow on another is [`Schema::check_follows`]'s question.

mod compatible;
mod format;
mod judge;
mod pattern;
mod read;

use crate::code::{Code, Refusal};
pub use format::Format;
use pattern::Pattern;

/// Most bytes of a schema in canonical form: with its header it must fit one leaf of the record log.
pub const SCHEMA_BYTES_MAX: usize = 24 * 1024;
/// Most entries under `$defs`.
pub const DEFINITIONS_MAX: usize = 64;
/// Most levels of schemas within one another, references counted.
pub const LEVELS_MAX: usize = 48;
/// Most characters that a schema may allow a text.
pub const TEXT_LENGTH_MAX: usize = 4_096;
/// Most entries that a schema may allow a list.
pub const LIST_ITEMS_MAX: usize = 512;
/// Most entries of a list that holds each of them once.
pub const UNIQUE_ITEMS_MAX: usize = 128;
/// Most values of an `enum`.
pub const CHOICES_MAX: usize = 128;
/// The dialect that `$schema` must name.
pub const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Every keyword that a schema may use.
pub const KEYWORDS: &[&str] = &[
    "$defs",
    "$ref",
    "$schema",
    "additionalProperties",
    "const",
    "dependentRequired",
    "description",
    "enum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "pattern",
    "properties",
    "required",
    "title",
    "type",
    "unevaluatedProperties",
    "uniqueItems",
];

/// A schema that was read and found sound.
#[derive(Clone, Debug)]
pub struct Schema {
    /// The rule of the body itself is the last one.
    rules: Vec<Rule>,
}

/// A rule by its place in [`Schema::rules`].
type At = usize;

/// What one value must be.
#[derive(Clone, Debug)]
enum Rule {
    Object { properties: Vec<Property> },
    List { items: At, min: usize, max: usize, unique: bool },
    Text(Text),
    Integer { min: i64, max: i64, choices: Option<Vec<i64>> },
    Flag { only: Option<bool> },
}

/// A member of an object.
#[derive(Clone, Debug)]
struct Property {
    name: String,
    rule: At,
    required: bool,
    /// Properties that must stand beside it where it stands (`dependentRequired`).
    needs: Vec<String>,
}

#[derive(Clone, Debug, Default)]
struct Text {
    min: usize,
    max: usize,
    pattern: Option<Pattern>,
    format: Option<Format>,
    choices: Option<Vec<String>>,
}

/// What a top-level property must be for a header to take its value from it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shape {
    /// A text.
    Text,
    /// A text with the format `date`.
    Date,
    /// A text or a list of texts.
    Texts,
    /// An object.
    Object,
    /// A list of objects.
    Objects,
}

impl Schema {
    /// Reads a schema, given as canonical JSON.
    ///
    /// # Errors
    /// `SIZE_LIMIT`, `MALFORMED_JSON`, `JSON_NOT_CANONICAL`, `BAD_TEXT`; `SCHEMA_UNSUPPORTED` with the pointer for a keyword
    /// or a use of one that is not allowed; `SCORE_FORBIDDEN` and `DATA_FORBIDDEN` for a property that may not be recorded.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        read::read(text)
    }

    fn body(&self) -> &Rule {
        // Reading pushes the rule of the body last, and refuses a schema without one.
        self.rules.last().unwrap_or(&Rule::Flag { only: None })
    }

    fn property(&self, name: &str) -> Option<&Property> {
        match self.body() {
            Rule::Object { properties } => properties.iter().find(|property| property.name == name),
            _ => None,
        }
    }

    /// Whether bodies may have a top-level property.
    pub fn has(&self, name: &str) -> bool {
        self.property(name).is_some()
    }

    /// Refuses a top-level property that is not there, is not of a shape, or may be left out where it is `needed`.
    ///
    /// # Errors
    /// `BAD_PARAMETER`, naming the property.
    pub fn check_property(&self, name: &str, shape: Shape, needed: bool) -> Result<(), Refusal> {
        let refuse = |why: &str| {
            let detail = format!("property {} of the schema {why}", crate::text::shown(name));
            Err(Refusal::new(Code::BadParameter, detail))
        };
        let Some(property) = self.property(name) else {
            return refuse("is not there");
        };
        if needed && !property.required {
            return refuse("may be left out, wants to be required");
        }
        let rule = |at: At| self.rules.get(at);
        let fits = match (shape, rule(property.rule)) {
            (Shape::Text | Shape::Texts, Some(Rule::Text(_)))
            | (Shape::Object, Some(Rule::Object { .. })) => true,
            (Shape::Date, Some(Rule::Text(text))) => text.format == Some(Format::Date),
            (Shape::Texts, Some(Rule::List { items, .. })) => matches!(rule(*items), Some(Rule::Text(_))),
            (Shape::Objects, Some(Rule::List { items, .. })) => {
                matches!(rule(*items), Some(Rule::Object { .. }))
            }
            _ => false,
        };
        if fits { Ok(()) } else { refuse(&format!("wants to be {}", shape.name())) }
    }
}

impl Shape {
    const fn name(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Date => "a text with format date",
            Self::Texts => "a text or a list of texts",
            Self::Object => "an object",
            Self::Objects => "a list of objects",
        }
    }
}

/// A JSON pointer (RFC 6901) to a member of what another one points to.
fn within(pointer: &str, member: &str) -> String {
    let escaped = member.replace('~', "~0").replace('/', "~1");
    format!("{pointer}/{}", crate::text::clip(&escaped))
}

#[cfg(test)]
mod tests;
