//! `city state`: how things stood after a block, proved; checked offline.

use std::path::{Path, PathBuf};

use chain_core::code::Code;
use chain_core::id::Height;
use chain_core::state::EntryName;
use chain_core::state_proof::{Shown, StateProof};
use clap::Subcommand;
use serde_json::{Value, json};

use super::proved;
use crate::app::City;
use crate::client::paths;
use crate::error::{CliError, CliResult};
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
        /// record:<id>, agency:<organisation>, member:<key>, basis:<id>@<version>, validator:<name> or epoch
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
        StateCommand::Prove { entry, at, out } => prove(city, &entry, at.map(Height::new), out.as_deref()),
        StateCommand::Verify { files, trust } => {
            proved::verify(city, SHOWN, &files, trust.as_deref(), |path, text, trust| {
                let proof = StateProof::parse(text)?;
                let shown = proof.verify(&trust.policy(proof.epoch)?)?;
                Ok(row(Some(path), &proof, &shown))
            })
        }
    }
}

fn prove(city: &City, entry: &EntryName, at: Option<Height>, out: Option<&Path>) -> CliResult {
    let client = city.client()?;
    let genesis = city.genesis()?;
    let text = proved::fetch(city, &client, &paths::state_proof(&entry.to_string(), at))?;
    let proof = StateProof::parse(&text)?;
    let shown = proof.verify(&proved::policy_of(&client, &genesis, proof.epoch)?)?;
    if proof.entry != *entry || at.is_some_and(|at| proof.height > at) {
        let at = at.map_or_else(String::new, |at| format!(" after block {at}"));
        let detail =
            format!("asked for {entry}{at}, the node gave {} after block {}", proof.entry, proof.height);
        return Err(CliError::new(Code::ProofInvalid, detail));
    }
    match proved::write(city, out, &text)? {
        true => Ok(()),
        false => city.out.list(SHOWN, &[row(out, &proof, &shown)]),
    }
}

fn row(path: Option<&Path>, proof: &StateProof, shown: &Shown) -> Value {
    let names: Vec<&str> = shown.vouched.cosigners.iter().map(|one| one.name.as_str()).collect();
    let status = proof.decoded.pointer("/current/status").or_else(|| proof.decoded.get("status"));
    json!({
        "file": path,
        "verdict": "VALID",
        "entry": proof.entry,
        "there": shown.value.is_some(),
        "height": shown.height,
        "state_root": shown.state_root,
        "cosigners": names,
        "status": status,
        "value": proof.decoded,
    })
}
