//! Judging a body by a schema: every value by one rule, the first flaw in the order of the body.

use std::borrow::Cow;

use super::{At, Property, Rule, Schema, Text, within};
use crate::code::{Code, Refusal};
use crate::json::Json;
use crate::record::body::means_a_score;
use crate::text::shown;

impl Schema {
    /// Judges a body.
    ///
    /// # Errors
    /// `UNKNOWN_FIELD` or `SCORE_FORBIDDEN`, `MISSING_FIELD`, `SCHEMA_INVALID`, `SIZE_LIMIT`, `BAD_DATE`, `BAD_NUMBER` or the
    /// code of an identifier's flaw; the detail names the place as a JSON pointer, the value got and the value wanted.
    pub fn judge(&self, body: &Json<'_>) -> Result<(), Refusal> {
        self.value(self.rules.len().saturating_sub(1), body, "")
    }

    fn value(&self, at: At, value: &Json<'_>, pointer: &str) -> Result<(), Refusal> {
        let kind = |wanted: &str| {
            refuse(Code::SchemaInvalid, pointer, format!("is {}, wants {wanted}", value.kind()))
        };
        match (self.rules.get(at), value) {
            (Some(Rule::Object { properties }), Json::Object(members)) => {
                self.object(properties, members, pointer)
            }
            (Some(Rule::List { items, min, max, unique }), Json::Array(values)) => {
                check_count(values.len(), *min, *max, "entries", pointer)?;
                for (place, value) in values.iter().enumerate() {
                    let pointer = format!("{pointer}/{place}");
                    self.value(*items, value, &pointer)?;
                    if *unique && values[..place].contains(value) {
                        return Err(refuse(
                            Code::SchemaInvalid,
                            &pointer,
                            "stands in the list before, wants each once",
                        ));
                    }
                }
                Ok(())
            }
            (Some(Rule::Text(rule)), Json::Text(text)) => check_text(rule, text, pointer),
            (Some(Rule::Integer { min, max, choices }), Json::Integer(value)) => {
                if !(*min..=*max).contains(value) {
                    let detail = format!("is {value}, wants {min} to {max}");
                    return Err(refuse(Code::BadNumber, pointer, detail));
                }
                check_choice(choices.as_deref(), value, pointer, ToString::to_string)
            }
            (Some(Rule::Flag { only }), Json::Bool(flag)) => match only {
                Some(only) if only != flag => {
                    Err(refuse(Code::SchemaInvalid, pointer, format!("is {flag}, wants {only}")))
                }
                _ => Ok(()),
            },
            (Some(Rule::Object { .. }), _) => Err(kind("an object")),
            (Some(Rule::List { .. }), _) => Err(kind("a list")),
            (Some(Rule::Text(_)), _) => Err(kind("a text")),
            (Some(Rule::Integer { .. }), _) => Err(kind("a whole number")),
            (Some(Rule::Flag { .. }), _) => Err(kind("true or false")),
            (None, _) => Err(Refusal::new(Code::Internal, "a schema without a rule")),
        }
    }

    fn object(
        &self,
        properties: &[Property],
        members: &[(Cow<'_, str>, Json<'_>)],
        pointer: &str,
    ) -> Result<(), Refusal> {
        for (name, value) in members {
            let at = within(pointer, name);
            let Some(property) = properties.iter().find(|property| property.name == *name) else {
                let code = if means_a_score(name) { Code::ScoreForbidden } else { Code::UnknownField };
                return Err(refuse(code, &at, "is not declared by the schema"));
            };
            self.value(property.rule, value, &at)?;
        }
        let missing = |property: &&Property| {
            property.required && !members.iter().any(|(name, _)| *name == property.name)
        };
        if let Some(property) = properties.iter().find(missing) {
            return Err(refuse(Code::MissingField, &within(pointer, &property.name), "is absent"));
        }
        let has = |wanted: &str| members.iter().any(|(name, _)| name == wanted);
        let alone = properties.iter().filter(|property| has(&property.name)).find_map(|property| {
            property.needs.iter().find(|needed| !has(needed)).map(|needed| (&property.name, needed))
        });
        match alone {
            Some((name, needed)) => {
                let detail = format!("is absent, and {name} wants it beside");
                Err(refuse(Code::MissingField, &within(pointer, needed), detail))
            }
            None => Ok(()),
        }
    }
}

fn check_text(rule: &Text, text: &str, pointer: &str) -> Result<(), Refusal> {
    check_count(text.chars().count(), rule.min, rule.max, "characters", pointer)?;
    check_choice(rule.choices.as_deref(), &text.to_owned(), pointer, |text| shown(text))?;
    if let Some(format) = rule.format {
        format
            .check(text)
            .map_err(|(code, wanted)| refuse(code, pointer, format!("is {}, wants {wanted}", shown(text))))?;
    }
    match &rule.pattern {
        Some(pattern) if !pattern.matches(text) => {
            let detail = format!("is {}, wants the form {}", shown(text), pattern.shown());
            Err(refuse(Code::SchemaInvalid, pointer, detail))
        }
        _ => Ok(()),
    }
}

fn check_count(got: usize, min: usize, max: usize, what: &str, pointer: &str) -> Result<(), Refusal> {
    if got > max {
        return Err(refuse(Code::SizeLimit, pointer, format!("has {got} {what}, at most {max}")));
    }
    if got < min {
        return Err(refuse(Code::SchemaInvalid, pointer, format!("has {got} {what}, wants {min} or more")));
    }
    Ok(())
}

fn check_choice<T: PartialEq>(
    choices: Option<&[T]>,
    value: &T,
    pointer: &str,
    show: impl Fn(&T) -> String,
) -> Result<(), Refusal> {
    match choices {
        Some(choices) if !choices.contains(value) => {
            let known: Vec<String> = choices.iter().map(&show).collect();
            let detail = format!("is {}, wants one of: {}", show(value), known.join(", "));
            Err(refuse(Code::SchemaInvalid, pointer, detail))
        }
        _ => Ok(()),
    }
}

fn refuse(code: Code, pointer: &str, what: impl Into<String>) -> Refusal {
    let at = if pointer.is_empty() { "the body" } else { pointer };
    Refusal::new(code, format!("{at} {}", what.into()))
}
