//! What an audit finds wrong: which block, which thing, and how grave it is.

use chain_core::code::{Code, Refusal};
use chain_core::id::Height;
use serde::{Deserialize, Serialize};

use crate::error::CliError;
use crate::exit::Exit;

/// What a finding is worth to a court.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Grade {
    /// What the node gave does not hold together. Nobody's signature says so: another node may do better.
    Wrong,
    /// There is too little to judge by.
    Unknown,
    /// Signed statements contradict each other, or a part of what was signed is withheld.
    Tampered,
}

/// One thing that is wrong; an audit ends with the first.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Finding {
    /// The block, where one is concerned.
    pub(crate) height: Option<Height>,
    /// What it is worth.
    pub(crate) grade: Grade,
    /// Catalogue entry and detail.
    pub(crate) refusal: Refusal,
}

impl Finding {
    /// Something of this weight.
    pub(crate) fn of(grade: Grade, height: Option<Height>, code: Code, detail: impl Into<String>) -> Self {
        Self { height, grade, refusal: Refusal::new(code, detail) }
    }

    /// Something in a block that does not hold together.
    pub(crate) fn wrong(height: Height, code: Code, detail: impl Into<String>) -> Self {
        Self::of(Grade::Wrong, Some(height), code, detail)
    }

    /// Something in a block that cannot be judged.
    pub(crate) fn unknown(height: Height, code: Code, detail: impl Into<String>) -> Self {
        Self::of(Grade::Unknown, Some(height), code, detail)
    }

    /// Something in a block that signatures prove.
    pub(crate) fn tampered(height: Height, code: Code, detail: impl Into<String>) -> Self {
        Self::of(Grade::Tampered, Some(height), code, detail)
    }

    /// What the shell sees.
    pub(crate) fn exit(&self) -> Exit {
        match self.grade {
            Grade::Wrong => Exit::Invalid,
            Grade::Unknown => Exit::CannotVerify,
            Grade::Tampered => Exit::Tampered,
        }
    }
}

impl From<Finding> for CliError {
    fn from(finding: Finding) -> Self {
        let exit = finding.exit();
        let Refusal { code, detail } = finding.refusal;
        let detail = match finding.height {
            Some(height) => format!("block {height}: {detail}"),
            None => detail,
        };
        Self::new(code, detail).exit(exit)
    }
}
