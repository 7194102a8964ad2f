//! Which schema may follow on another: FULL_TRANSITIVE, so that a reader of any version can read the records of all.

use std::collections::BTreeSet;

use super::{At, Property, Rule, Schema, Text, within};
use crate::code::{Code, Refusal};

impl Schema {
    /// Refuses a schema that is more than an earlier one with new optional properties and new values at the end of an
    /// `enum`. Titles and descriptions may change.
    ///
    /// # Errors
    /// `SCHEMA_INCOMPATIBLE` with the place in the body, as a JSON pointer, where `*` stands for every entry of a list.
    pub fn check_follows(&self, earlier: &Self) -> Result<(), Refusal> {
        let last = |schema: &Self| schema.rules.len().saturating_sub(1);
        let mut comparison = Comparison { new: self, old: earlier, done: BTreeSet::new() };
        comparison.rules(last(self), last(earlier), "")
    }
}

struct Comparison<'a> {
    new: &'a Schema,
    old: &'a Schema,
    /// Pairs of rules that were compared: a definition may be referred to many times.
    done: BTreeSet<(At, At)>,
}

impl Comparison<'_> {
    fn rules(&mut self, new: At, old: At, pointer: &str) -> Result<(), Refusal> {
        if !self.done.insert((new, old)) {
            return Ok(());
        }
        let changed = |what: &str| Err(refuse(pointer, what));
        let (new_rule, old_rule) = (self.new.rules.get(new), self.old.rules.get(old));
        match (new_rule, old_rule) {
            (Some(Rule::Object { properties: now }), Some(Rule::Object { properties: before })) => {
                self.objects(now, before, pointer)
            }
            (
                Some(Rule::List { items: now, min, max, unique }),
                Some(Rule::List { items: before, min: old_min, max: old_max, unique: old_unique }),
            ) => {
                if (min, max, unique) != (old_min, old_max, old_unique) {
                    return changed("how many entries it has, or whether each stands once, changed");
                }
                self.rules(*now, *before, &format!("{pointer}/*"))
            }
            (Some(Rule::Text(now)), Some(Rule::Text(before))) => texts(now, before, pointer),
            (
                Some(Rule::Integer { min, max, choices }),
                Some(Rule::Integer { min: old_min, max: old_max, choices: old_choices }),
            ) => {
                if (min, max) != (old_min, old_max) {
                    return changed("minimum or maximum changed");
                }
                extended(choices.as_deref(), old_choices.as_deref(), pointer)
            }
            (Some(Rule::Flag { only: now }), Some(Rule::Flag { only: before })) if now == before => Ok(()),
            _ => changed("the type changed"),
        }
    }

    fn objects(&mut self, new: &[Property], old: &[Property], pointer: &str) -> Result<(), Refusal> {
        for before in old {
            let at = within(pointer, &before.name);
            let Some(now) = new.iter().find(|now| now.name == before.name) else {
                return Err(refuse(&at, "the property is gone"));
            };
            if now.required != before.required {
                return Err(refuse(&at, "whether the property is required changed"));
            }
            if now.needs != before.needs {
                return Err(refuse(&at, "what must stand beside the property changed"));
            }
            self.rules(now.rule, before.rule, &at)?;
        }
        let added = |now: &&Property| now.required && !old.iter().any(|before| before.name == now.name);
        match new.iter().find(added) {
            Some(now) => Err(refuse(&within(pointer, &now.name), "a new property that is required")),
            None => Ok(()),
        }
    }
}

fn texts(now: &Text, before: &Text, pointer: &str) -> Result<(), Refusal> {
    // The maximum of a text with choices follows from them.
    let same_max =
        now.max == before.max || (now.choices.is_some() && before.choices.is_some() && now.max > before.max);
    if now.min != before.min || !same_max {
        return Err(refuse(pointer, "minLength or maxLength changed"));
    }
    if now.pattern != before.pattern || now.format != before.format {
        return Err(refuse(pointer, "pattern or format changed"));
    }
    extended(now.choices.as_deref(), before.choices.as_deref(), pointer)
}

fn extended<T: PartialEq>(now: Option<&[T]>, before: Option<&[T]>, pointer: &str) -> Result<(), Refusal> {
    match (now, before) {
        (None, None) => Ok(()),
        (Some(now), Some(before)) if now.starts_with(before) => Ok(()),
        _ => Err(refuse(pointer, "the values of enum or const changed other than by new ones at the end")),
    }
}

fn refuse(pointer: &str, what: &str) -> Refusal {
    let at = if pointer.is_empty() { "the body" } else { pointer };
    let detail = format!("{at}: {what}; only new optional properties and new values at the end may be added");
    Refusal::new(Code::SchemaIncompatible, detail)
}
