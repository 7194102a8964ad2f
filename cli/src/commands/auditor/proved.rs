//! What all proofs of how things stood have in common: fetching them, and whom to believe about them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chain_core::code::{Code, Refusal};
use chain_core::genesis::Genesis;
use chain_core::id::{Epoch, Height};
use chain_core::state::EntryName;
use chain_core::state_proof::{Shown, StateProof};
use chain_core::trust::TrustPolicy;
use serde_json::{Value, json};

use crate::app::City;
use crate::client::{Client, paths};
use crate::error::{CliError, CliResult};
use crate::output::Shape;
use crate::{files, interrupt};

/// A proof of how things stood after a block.
pub(super) trait Proof: Sized {
    /// Reads a proof.
    fn parse(text: &str) -> Result<Self, Refusal>;
    /// Whose validators vouch for it.
    fn epoch(&self) -> Epoch;
    /// The block after which it holds.
    fn height(&self) -> Height;
    /// What it is about, as a person would name it.
    fn about(&self) -> String;
    /// Verifies it; what it shows, as a row.
    fn row(&self, file: Option<&Path>, policy: &TrustPolicy) -> Result<Value, Refusal>;
}

/// What a proof is fetched for.
pub(super) struct Wanted<'a> {
    /// Where it is.
    pub(super) path: String,
    /// What it must be about.
    pub(super) about: String,
    /// After which block at the latest.
    pub(super) at: Option<Height>,
    /// File to write; `-` for stdout.
    pub(super) out: Option<&'a Path>,
}

impl Wanted<'_> {
    /// Refuses a proof about something else, or of a later block.
    fn check(&self, proof: &impl Proof) -> CliResult {
        if proof.about() == self.about && self.at.is_none_or(|at| proof.height() <= at) {
            return Ok(());
        }
        let at = self.at.map_or_else(String::new, |at| format!(" after block {at}"));
        let (about, got, height) = (&self.about, proof.about(), proof.height());
        let detail = format!("asked for {about}{at}, the node gave {got} after block {height}");
        Err(CliError::new(Code::ProofInvalid, detail))
    }
}

/// Fetches a proof, verifies it, and writes it where it was asked for.
pub(super) fn prove<P: Proof>(city: &City, shape: Shape, wanted: &Wanted<'_>) -> CliResult {
    let client = city.client()?;
    let genesis = city.genesis()?;
    let text = fetch(city, &client, &wanted.path)?;
    let proof = P::parse(&text)?;
    let row = proof.row(wanted.out, &policy_of(&client, &genesis, proof.epoch())?)?;
    wanted.check(&proof)?;
    match wanted.out {
        Some(path) if path.as_os_str() == "-" => return city.out.data(&text),
        Some(path) => files::replace(path, &text)?,
        None => {}
    }
    city.out.list(shape, &[row])
}

/// Fetches the proof about an entry of the state after a block, or the newest that can be proved, and verifies it.
pub(crate) fn state(
    city: &City,
    client: &Client,
    genesis: &Genesis,
    entry: &EntryName,
    at: Option<Height>,
) -> CliResult<Shown> {
    let proof = state_proof(city, client, entry, at)?;
    Ok(proof.verify(&policy_of(client, genesis, proof.epoch)?)?)
}

/// Fetches the proof about an entry of the state; it is about this entry, and not of a later block than asked for.
pub(crate) fn state_proof(
    city: &City,
    client: &Client,
    entry: &EntryName,
    at: Option<Height>,
) -> CliResult<StateProof> {
    let about = entry.to_string();
    let proof = <StateProof as Proof>::parse(&fetch(city, client, &paths::state_proof(&about, at))?)?;
    let wanted = Wanted { path: String::new(), about, at, out: None };
    wanted.check(&proof)?;
    Ok(proof)
}

/// Fetches a proof; waits while the first checkpoint is being cosigned.
fn fetch(city: &City, client: &Client, path: &str) -> CliResult<String> {
    let deadline = Instant::now() + city.manners.timeout;
    loop {
        match client.get_bytes(path) {
            Ok(bytes) => {
                return String::from_utf8(bytes)
                    .map_err(|_| CliError::new(Code::ReceiptMalformed, "the proof is not UTF-8"));
            }
            Err(error) if error.code() == Code::ReceiptPending && Instant::now() < deadline => {
                if !interrupt::sleep(Duration::from_millis(100)) {
                    return Err(CliError::new(Code::Interrupted, "no checkpoint is cosigned yet"));
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whom to believe about a proof that a node just gave: the validators of its epoch, as hand-overs from the genesis
/// prove them.
fn policy_of(client: &Client, genesis: &Genesis, epoch: Epoch) -> CliResult<TrustPolicy> {
    let sets = client.sets(genesis, Some(epoch))?;
    sets.policy(epoch)
        .ok_or_else(|| CliError::new(Code::UnknownSigner, format!("no hand-over leads to epoch {epoch}")))
}

/// Judges files one by one with whom the reader believes. One bad file does not keep the others from their verdict.
pub(super) fn verify<P: Proof>(
    city: &City,
    shape: Shape,
    paths: &[PathBuf],
    trust: Option<&Path>,
) -> CliResult {
    let trust = city.trust(trust)?;
    let judge = |path: &Path| -> CliResult<Value> {
        let proof = P::parse(&files::read(path)?)?;
        Ok(proof.row(Some(path), &trust.policy(proof.epoch())?)?)
    };
    let mut rows = Vec::new();
    let mut failed: Option<CliError> = None;
    for path in paths {
        match judge(path) {
            Ok(row) => rows.push(row),
            Err(error) => {
                city.out.say(format!("  {} {}", city.out.paint("✘", "31"), error.refusal));
                rows.push(json!({ "file": path, "verdict": "NOT SHOWN", "code": error.code().name() }));
                let detail = format!("{}: {}", path.display(), error.refusal.detail);
                let error = CliError { refusal: Refusal::new(error.code(), detail), ..error };
                failed.get_or_insert(error);
            }
        }
    }
    city.out.list(shape, &rows)?;
    failed.map_or(Ok(()), Err)
}
