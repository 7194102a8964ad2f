//! `city state`: how things stood after a block, proved; checked offline.

use std::path::{Path, PathBuf};

use chain_core::code::Refusal;
use chain_core::id::{Epoch, Height};
use chain_core::state::EntryName;
use chain_core::state_proof::StateProof;
use chain_core::trust::TrustPolicy;
use clap::Subcommand;
use serde_json::{Value, json};

use super::proved::{Proof, Wanted, prove, verify};
use crate::app::City;
use crate::client::paths;
use crate::error::CliResult;
use crate::output::Shape;

/// Prove how things stood: that something was in force, or that it was not there
///
/// A receipt shows that a step was recorded; a state proof shows what held after a block: a record's status, an
/// agency, a member's role, or that no such entry exists. Checking it needs the genesis or a trust file, and no
/// network.
///
/// city state prove record:5f0c… --out licence.state-proof.json
///
/// city state prove member:9a31… --at 1204
///
/// city state verify licence.state-proof.json
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum StateCommand {
    /// Fetch the proof about an entry, verify it, and write it to a file
    Prove {
        /// record:ID, agency:ORGANISATION, member:KEY, basis:ID@VERSION, validator:NAME or epoch
        entry: EntryName,
        /// After which block, in place of the newest that can be proved
        #[arg(long, value_name = "HEIGHT")]
        at: Option<u64>,
        /// File for the proof; `-` for stdout
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Check proofs; nothing is fetched
    Verify {
        /// The proofs
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Trust file (`city trust`, or a C2SP policy), in place of the genesis and what stands beside it
        #[arg(long, value_name = "FILE")]
        trust: Option<PathBuf>,
    },
}

const SHOWN: Shape = Shape {
    schema: "state-verdicts",
    columns: &["file", "verdict", "entry", "there", "height", "cosigners", "status", "value"],
    id: "entry",
    empty: "",
};

pub(crate) fn run(command: StateCommand, city: &City) -> CliResult {
    match command {
        StateCommand::Prove { entry, at, out } => {
            let at = at.map(Height::new);
            let about = entry.to_string();
            let wanted = Wanted { path: paths::state_proof(&about, at), about, at, out: out.as_deref() };
            prove::<StateProof>(city, SHOWN, &wanted)
        }
        StateCommand::Verify { files, trust } => verify::<StateProof>(city, SHOWN, &files, trust.as_deref()),
    }
}

impl Proof for StateProof {
    fn parse(text: &str) -> Result<Self, Refusal> {
        Self::parse(text)
    }

    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn height(&self) -> Height {
        self.height
    }

    fn about(&self) -> String {
        self.entry.to_string()
    }

    fn row(&self, file: Option<&Path>, policy: &TrustPolicy) -> Result<Value, Refusal> {
        let shown = self.verify(policy)?;
        let names: Vec<&str> = shown.vouched.cosigners.iter().map(|one| one.name.as_str()).collect();
        let status = self.decoded.pointer("/current/status").or_else(|| self.decoded.get("status"));
        Ok(json!({
            "file": file,
            "verdict": "VALID",
            "entry": self.entry,
            "there": shown.value.is_some(),
            "height": shown.height,
            "state_root": shown.state_root,
            "cosigners": names,
            "status": status,
            "value": self.decoded,
        }))
    }
}
