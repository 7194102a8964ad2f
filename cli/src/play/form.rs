//! The form of scenario files, and how what was got is compared with what was expected.

use std::collections::{BTreeMap, BTreeSet};

use chain_core::code::Code;
use serde::Deserialize;
use serde_json::{Map, Value};

/// A story about a few records.
#[derive(Debug, Deserialize)]
pub(crate) struct Scenario {
    /// Its name.
    pub(crate) name: String,
    /// Short names of agencies and what they are.
    #[serde(default)]
    pub(crate) agencies: BTreeMap<String, String>,
    /// What happens, in order.
    pub(crate) steps: Vec<Step>,
}

/// One step.
#[derive(Debug, Deserialize)]
pub(crate) struct Step {
    /// A local day, or an instant with its offset: block time.
    pub(crate) at: String,
    /// A post such as `A1/clerk1`, or `subject`, `auditor` or `reader`.
    pub(crate) who: String,
    /// The step.
    pub(crate) op: String,
    /// The story's own name of the record.
    #[serde(default)]
    pub(crate) record: String,
    /// What the step says.
    #[serde(default)]
    pub(crate) args: Map<String, Value>,
    /// What it must come to.
    #[serde(default)]
    pub(crate) expect: Expect,
}

/// What a step must come to; what is absent is not compared.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Expect {
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
        let code = |name: &String| name.parse::<Code>().ok();
        let set = |names: &[String]| names.iter().cloned().collect::<BTreeSet<String>>();
        self.ok.is_none_or(|ok| ok == got.error.is_none())
            && self
                .error
                .as_ref()
                .is_none_or(|name| got.error.as_ref().is_some_and(|(found, _)| code(name) == Some(*found)))
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
