//! `city state`: how things stood after a block, proved; checked offline.

use std::path::{Path, PathBuf};
use std::time::Instant;

use chain_core::code::{Code, Refusal};
use chain_core::genesis::Genesis;
use chain_core::id::Height;
use chain_core::state::EntryName;
use chain_core::state_proof::{Shown, StateProof};
use chain_core::trust::TrustPolicy;
use clap::Subcommand;
use serde_json::{Value, json};

use crate::app::City;
use crate::client::{Client, paths};
use crate::error::{CliError, CliResult};
use crate::output::Shape;
use crate::{files, interrupt};

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
        /// Trust file (C2SP policy), in place of the genesis
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
        StateCommand::Verify { files, trust } => verify(city, &files, trust.as_deref()),
    }
}

fn prove(city: &City, entry: &EntryName, at: Option<Height>, out: Option<&Path>) -> CliResult {
    let client = city.client()?;
    let genesis = city.genesis()?;
    let text = fetch(city, &client, entry, at)?;
    let proof = StateProof::parse(&text)?;
    let shown = proof.verify(&policy_of(&client, &genesis, &proof)?)?;
    asked_for(&proof, entry, at)?;
    match out {
        Some(path) if path.as_os_str() == "-" => return city.out.data(&text),
        Some(path) => files::replace(path, &text)?,
        None => {}
    }
    city.out.list(SHOWN, &[row(out, &proof, &shown)])
}

/// Fetches a proof; waits while the first checkpoint is being cosigned.
fn fetch(city: &City, client: &Client, entry: &EntryName, at: Option<Height>) -> CliResult<String> {
    let deadline = Instant::now() + city.manners.timeout;
    loop {
        match client.get_bytes(&paths::state_proof(&entry.to_string(), at)) {
            Ok(bytes) => {
                return String::from_utf8(bytes)
                    .map_err(|_| CliError::new(Code::ReceiptMalformed, "the proof is not UTF-8"));
            }
            Err(error) if error.code() == Code::ReceiptPending && Instant::now() < deadline => {
                if !interrupt::sleep(std::time::Duration::from_millis(100)) {
                    return Err(CliError::new(Code::Interrupted, "no checkpoint is cosigned yet"));
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whom to believe about a proof that a node just gave.
fn policy_of(client: &Client, genesis: &Genesis, proof: &StateProof) -> CliResult<TrustPolicy> {
    let sets = client.sets(genesis, Some(proof.epoch))?;
    sets.policy(proof.epoch).ok_or_else(|| {
        CliError::new(Code::UnknownSigner, format!("no hand-over leads to epoch {}", proof.epoch))
    })
}

/// The node must give the proof that was asked for: about this entry, and not of a later block.
fn asked_for(proof: &StateProof, entry: &EntryName, at: Option<Height>) -> CliResult {
    if proof.entry == *entry && at.is_none_or(|at| proof.height <= at) {
        return Ok(());
    }
    let at = at.map_or_else(String::new, |at| format!(" after block {at}"));
    let detail = format!("asked for {entry}{at}, the node gave {} after block {}", proof.entry, proof.height);
    Err(CliError::new(Code::ProofInvalid, detail))
}

fn verify(city: &City, paths: &[PathBuf], trust: Option<&Path>) -> CliResult {
    let policy = match trust {
        Some(path) => TrustPolicy::parse(&files::read(path)?)?,
        None => TrustPolicy::from_genesis(&city.genesis()?),
    };
    let mut rows = Vec::new();
    let mut failed: Option<CliError> = None;
    for path in paths {
        // One bad file does not keep the others from their verdict.
        match judge(path, &policy) {
            Ok((proof, shown)) => rows.push(row(Some(path), &proof, &shown)),
            Err(error) => {
                city.out.say(format!("  {} {}", city.out.paint("✘", "31"), error.refusal));
                rows.push(json!({ "file": path, "verdict": "NOT SHOWN", "code": error.code().name() }));
                let detail = format!("{}: {}", path.display(), error.refusal.detail);
                let error = CliError { refusal: Refusal::new(error.code(), detail), ..error };
                failed.get_or_insert(error);
            }
        }
    }
    city.out.list(SHOWN, &rows)?;
    failed.map_or(Ok(()), Err)
}

fn judge(path: &Path, policy: &TrustPolicy) -> CliResult<(StateProof, Shown)> {
    let proof = StateProof::parse(&files::read(path)?)?;
    let shown = proof.verify(policy).map_err(|refusal| {
        let other = policy.epoch().is_some_and(|trusted| trusted != proof.epoch);
        let error = CliError::from(refusal);
        match other && error.code() == Code::TrustMissing {
            true => error.hint(format!(
                "write that epoch's trust file, then give it with --trust: city validator trust --epoch {} --out FILE",
                proof.epoch
            )),
            false => error,
        }
    })?;
    Ok((proof, shown))
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
