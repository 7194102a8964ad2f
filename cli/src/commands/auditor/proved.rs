//! What all proofs of how things stood have in common: fetching them, and whom to believe about them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chain_core::code::{Code, Refusal};
use chain_core::genesis::Genesis;
use chain_core::id::Epoch;
use chain_core::trust::TrustPolicy;
use serde_json::{Value, json};

use crate::app::City;
use crate::client::Client;
use crate::error::{CliError, CliResult};
use crate::output::Shape;
use crate::trust::Trust;
use crate::{files, interrupt};

/// Fetches a proof; waits while the first checkpoint is being cosigned.
pub(super) fn fetch(city: &City, client: &Client, path: &str) -> CliResult<String> {
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
pub(super) fn policy_of(client: &Client, genesis: &Genesis, epoch: Epoch) -> CliResult<TrustPolicy> {
    let sets = client.sets(genesis, Some(epoch))?;
    sets.policy(epoch)
        .ok_or_else(|| CliError::new(Code::UnknownSigner, format!("no hand-over leads to epoch {epoch}")))
}

/// Writes a proof where it was asked for; true when it went to stdout and nothing else may.
pub(super) fn write(city: &City, out: Option<&Path>, text: &str) -> CliResult<bool> {
    match out {
        Some(path) if path.as_os_str() == "-" => city.out.data(text).map(|()| true),
        Some(path) => files::replace(path, text).map(|()| false),
        None => Ok(false),
    }
}

/// Judges files one by one with whom the reader believes; `judge` gives a row. One bad file does not keep the others
/// from their verdict.
pub(super) fn verify(
    city: &City,
    shape: Shape,
    paths: &[PathBuf],
    trust: Option<&Path>,
    judge: impl Fn(&Path, &str, &Trust) -> CliResult<Value>,
) -> CliResult {
    let trust = city.trust(trust)?;
    let mut rows = Vec::new();
    let mut failed: Option<CliError> = None;
    for path in paths {
        match files::read(path).and_then(|text| judge(path, &text, &trust)) {
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
