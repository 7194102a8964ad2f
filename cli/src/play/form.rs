//! The form of scenario files, and how what was got is compared with what was expected.

use std::collections::{BTreeMap, BTreeSet};

use chain_core::code::{Code, Refusal};
use chain_core::date::Date;
use serde::Deserialize;
use serde_json::{Map, Value};

/// What a step may be expected to be refused with, and the narrower code that the ledger has for it: the table of
/// transitions names one code where the ledger tells two apart.
const NARROWER: [(Code, Code); 2] =
    [(Code::RoleNotAllowed, Code::AgencyNotCompetent), (Code::BadState, Code::NotAmendable)];

/// A story about a few records.
#[derive(Debug, Deserialize)]
pub(crate) struct Scenario {
    /// Its name.
    #[serde(default)]
    pub(crate) name: String,
    /// Short names of agencies and what they are.
    #[serde(default, deserialize_with = "agencies")]
    pub(crate) agencies: BTreeMap<String, String>,
    /// What happens, in order.
    pub(crate) steps: Vec<Step>,
}

/// Agencies with what they are, or their names alone.
fn agencies<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(BTreeMap::new()),
        Value::Object(named) => Ok(named.into_iter().map(|(name, what)| (name, text(what))).collect()),
        Value::Array(names) => Ok(names.into_iter().map(|name| (text(name), String::new())).collect()),
        other => Err(serde::de::Error::custom(format!("agencies is {other}, wants an object or a list"))),
    }
}

/// One step. What it lacks makes that step fail, not the file.
#[derive(Debug, Default)]
pub(crate) struct Step {
    /// A local day, or an instant with its offset: block time.
    pub(crate) at: String,
    /// A post such as `A1/clerk1`, or `subject`, `auditor` or `reader`.
    pub(crate) who: String,
    /// The step.
    pub(crate) op: String,
    /// The story's own name of the record.
    pub(crate) record: String,
    /// What the step says.
    pub(crate) args: Map<String, Value>,
    /// What it must come to.
    pub(crate) expect: Expect,
    /// What keeps it from being read.
    flaw: Option<String>,
}

impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::read)
    }
}

impl Step {
    fn read(mut value: Value) -> Self {
        let mut flaw = (!value.is_object()).then(|| format!("the step is {value}, wants an object"));
        let mut text = |name: &str| match &value[name] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => {
                flaw = Some(format!("{name} is {other}, wants a text"));
                String::new()
            }
        };
        let [at, who, op, record] = ["at", "who", "op", "record"].map(&mut text);
        let mut take = |name: &str| value.get_mut(name).map(Value::take).unwrap_or_default();
        let args = match take("args") {
            Value::Null => Map::new(),
            Value::Object(args) => args,
            other => {
                flaw = Some(format!("args is {other}, wants an object"));
                Map::new()
            }
        };
        let expect = match take("expect") {
            Value::Null => Expect::default(),
            told => serde_json::from_value(told).unwrap_or_else(|error| {
                flaw = Some(format!("expect: {error}"));
                Expect { unread: true, ..Expect::default() }
            }),
        };
        Self { at, who, op, record, args, expect, flaw }
    }

    /// Refuses a step that cannot be read.
    ///
    /// # Errors
    /// `SCHEMA_INVALID`, and `MISSING_FIELD` without day or name of the step.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        if let Some(flaw) = &self.flaw {
            return Err(Refusal::new(Code::SchemaInvalid, flaw));
        }
        for (what, text) in [("at", &self.at), ("op", &self.op)] {
            if text.is_empty() {
                return Err(Refusal::new(
                    Code::MissingField,
                    format!("{what} of the step is absent or empty"),
                ));
            }
        }
        Ok(())
    }
}

/// What a step says, until somebody has read it; what nobody reads is an error and no silence.
#[derive(Clone, Debug)]
pub(crate) struct Args(Map<String, Value>);

impl Args {
    /// All that is said.
    pub(crate) fn of(args: &Map<String, Value>) -> Self {
        Self(args.clone())
    }

    /// Whether something is said under a name, be it that there is none.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// What is said, if it is said and not nothing. That it is nothing stays, for whoever takes it out of a body.
    pub(crate) fn value(&mut self, name: &str) -> Option<Value> {
        if self.0.get(name)?.is_null() { None } else { self.0.remove(name) }
    }

    /// Passes over what is read elsewhere.
    pub(crate) fn skip(&mut self, names: &[&str]) {
        self.0.retain(|name, _| !names.contains(&name.as_str()));
    }

    /// A text.
    ///
    /// # Errors
    /// `BAD_PARAMETER`.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wants(name, &other, "a text")),
        }
    }

    /// A text that has a meaning.
    ///
    /// # Errors
    /// `BAD_PARAMETER`.
    pub(crate) fn choice<T>(
        &mut self,
        name: &str,
        from_name: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        from_name(&text).map(Some).ok_or_else(|| wants(name, &Value::from(text), "a name of the list"))
    }

    /// A whole number.
    ///
    /// # Errors
    /// `BAD_NUMBER`.
    pub(crate) fn number(&mut self, name: &str) -> Result<Option<u64>, Refusal> {
        let Some(value) = self.value(name) else { return Ok(None) };
        value.as_u64().map(Some).ok_or_else(|| {
            Refusal::new(Code::BadNumber, format!("args.{name} is {value}, wants a whole number from 0"))
        })
    }

    /// A day.
    ///
    /// # Errors
    /// `BAD_DATE`.
    pub(crate) fn date(&mut self, name: &str) -> Result<Option<Date>, Refusal> {
        let Some(value) = self.value(name) else { return Ok(None) };
        value
            .as_str()
            .and_then(|text| text.parse().ok())
            .map(Some)
            .ok_or_else(|| Refusal::new(Code::BadDate, format!("args.{name} is {value}, wants YYYY-MM-DD")))
    }

    /// What was not read.
    pub(crate) fn rest(self) -> Map<String, Value> {
        self.0
    }

    /// Refuses what nobody read.
    ///
    /// # Errors
    /// `UNKNOWN_FIELD`.
    pub(crate) fn finish(self, what: &str) -> Result<(), Refusal> {
        match self.0.iter().find(|(_, value)| !value.is_null()) {
            None => Ok(()),
            Some((name, value)) => {
                let detail = format!("args.{name} is {value}: {what} reads no such argument");
                Err(Refusal::new(Code::UnknownField, detail))
            }
        }
    }
}

fn wants(name: &str, got: &Value, wanted: &str) -> Refusal {
    Refusal::new(Code::BadParameter, format!("args.{name} is {got}, wants {wanted}"))
}

/// What a step must come to; what is absent is not compared.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    /// Whether it could not be read; nothing meets it then.
    #[serde(skip)]
    unread: bool,
    /// Whether it is accepted.
    #[serde(default)]
    ok: Option<bool>,
    /// NAME of the refusal.
    #[serde(default)]
    error: Option<String>,
    /// Status of the record after it.
    #[serde(default)]
    status: Option<String>,
    /// Flags of the record after it.
    #[serde(default)]
    flags: Option<Vec<String>>,
    /// Whether it repeats an earlier step.
    #[serde(default)]
    duplicate: Option<bool>,
    /// What the ledger noted by itself.
    #[serde(default)]
    events: Option<Vec<String>>,
}

/// What a step came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Got {
    pub(crate) error: Option<(Code, String)>,
    pub(crate) status: Option<String>,
    pub(crate) flags: Vec<String>,
    pub(crate) duplicate: bool,
    pub(crate) events: Vec<String>,
}

impl Expect {
    /// Whether a step came to this.
    pub(crate) fn is_met(&self, got: &Got) -> bool {
        let set = |names: &[String]| names.iter().cloned().collect::<BTreeSet<String>>();
        !self.unread
            && self.ok.is_none_or(|ok| ok == got.error.is_none())
            && self
                .error
                .as_ref()
                .is_none_or(|name| got.error.as_ref().is_some_and(|(found, _)| means(name, *found)))
            && self.status.as_ref().is_none_or(|status| got.status.as_ref() == Some(status))
            && self.flags.as_ref().is_none_or(|flags| set(flags) == set(&got.flags))
            && self.duplicate.is_none_or(|duplicate| duplicate == got.duplicate)
            && self.events.as_ref().is_none_or(|events| set(events) == set(&got.events))
    }

    /// In words.
    pub(crate) fn shown(&self) -> String {
        let events = self.events.as_deref().unwrap_or_default().join(", ");
        shown(
            self.error.as_deref(),
            self.status.as_deref(),
            self.flags.as_deref().unwrap_or_default(),
            self.duplicate.unwrap_or(false),
            &events,
        )
    }
}

impl Got {
    /// In words.
    pub(crate) fn shown(&self) -> String {
        let error = self.error.as_ref().map(|(code, _)| code.name());
        shown(error, self.status.as_deref(), &self.flags, self.duplicate, &self.events.join(", "))
    }
}

/// Whether an expected code is the one found, or the broader one that the table of transitions has for it.
fn means(expected: &str, found: Code) -> bool {
    let expected = expected.parse::<Code>().ok();
    expected == Some(found)
        || NARROWER.iter().any(|(broad, narrow)| expected == Some(*broad) && found == *narrow)
}

fn shown(error: Option<&str>, status: Option<&str>, flags: &[String], again: bool, events: &str) -> String {
    if let Some(error) = error {
        return error.to_owned();
    }
    let mut words = vec![status.unwrap_or("ok").to_owned()];
    words.extend(flags.iter().map(|flag| format!("+{flag}")));
    words.extend(again.then(|| "again".to_owned()));
    words.extend((!events.is_empty()).then(|| format!("[{events}]")));
    words.join(" ")
}
