//! The cosigned checkpoint of the record log: today's, and the one that the last audit kept.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chain_core::checkpoint::SignedCheckpoint;
use chain_core::code::{Code, Refusal};
use chain_core::genesis::Genesis;
use chain_core::trust::Cosigner;

use super::finding::{Finding, Grade};
use super::verify::Verified;
use crate::client::{Client, paths};
use crate::error::{CliError, CliResult};
use crate::sets::Sets;
use crate::{files, interrupt};

/// How long a checkpoint may take to be cosigned by a quorum.
const PATIENCE: Duration = Duration::from_secs(5);

/// A checkpoint that a quorum cosigned.
#[derive(Clone, Debug)]
pub(crate) struct Cosigned {
    /// The note as it was given.
    pub(crate) text: String,
    /// What it says.
    pub(crate) signed: SignedCheckpoint,
    /// Who cosigned it.
    pub(crate) cosigners: Vec<Cosigner>,
}

impl Cosigned {
    /// Reads a note and judges its signatures.
    ///
    /// # Errors
    /// `RECEIPT_MALFORMED`, or why the signatures are not enough.
    pub(crate) fn judge(sets: &Sets, text: String) -> Result<Self, Refusal> {
        let signed = SignedCheckpoint::parse(&text)
            .map_err(|error| Refusal::new(Code::ReceiptMalformed, format!("checkpoint: {error}")))?;
        // A checkpoint does not say in which epoch it was made; the newest is most likely. What no set cosigned is
        // judged by the newest.
        let mut refused = None;
        for policy in sets.policies() {
            match policy.verify(&signed) {
                Ok(cosigners) => return Ok(Self { text, signed, cosigners }),
                Err(refusal) => refused = refused.or(Some(refusal)),
            }
        }
        let refusal =
            refused.unwrap_or_else(|| Refusal::new(Code::TrustMissing, "no validator set is known"));
        Err(Refusal::new(refusal.code, format!("checkpoint: {}", refusal.detail)))
    }

    /// Leaves that it covers.
    pub(crate) fn size(&self) -> u64 {
        self.signed.checkpoint.size
    }

    /// When the first of its cosigners signed, seconds since 1970.
    pub(crate) fn time_s(&self) -> u64 {
        self.cosigners.iter().map(|one| one.time_s).min().unwrap_or(0)
    }

    /// Compares it with the log as re-executed.
    ///
    /// # Errors
    /// `HISTORY_ALTERED` when a quorum cosigned another log.
    pub(crate) fn compare(&self, verified: &Verified, which: &str) -> Result<(), Finding> {
        let size = self.size();
        let found = |grade, code, detail: String| {
            Err(Finding { height: None, grade, refusal: Refusal::new(code, detail) })
        };
        match verified.roots.get(&size) {
            Some(root) if *root == self.signed.checkpoint.root => Ok(()),
            Some(root) => {
                let theirs = self.signed.checkpoint.root;
                let detail = format!(
                    "{which} of {size} leaves: a quorum cosigned root {theirs}, the blocks give {root}"
                );
                found(Grade::Tampered, Code::HistoryAltered, detail)
            }
            None if verified.log.is_some_and(|(ours, _)| ours > size) => {
                let detail = format!("{which}: a quorum cosigned {size} leaves, but no block ends there");
                found(Grade::Tampered, Code::HistoryAltered, detail)
            }
            None => {
                let ours = verified.log.map_or(0, |(ours, _)| ours);
                let detail =
                    format!("{which}: a quorum cosigned {size} leaves, the blocks given hold {ours}");
                found(Grade::Tampered, Code::HistoryAltered, detail)
            }
        }
    }
}

/// The newest checkpoint; `None` before the first. Cosignatures come in one by one, so one that has too few
/// of them is asked for again for a while.
pub(crate) fn newest(client: &Client, genesis: &Genesis) -> CliResult<Option<Cosigned>> {
    let until = Instant::now() + PATIENCE;
    loop {
        let sets = client.sets(genesis, None)?;
        let text = match client.get_bytes(paths::CHECKPOINT) {
            Ok(bytes) => String::from_utf8(bytes)
                .map_err(|_| CliError::new(Code::ReceiptMalformed, "the checkpoint is no text"))?,
            Err(error) if matches!(error.code(), Code::NotFound | Code::NotYetExecuted) => return Ok(None),
            Err(error) => return Err(error),
        };
        match Cosigned::judge(&sets, text) {
            Ok(cosigned) => return Ok(Some(cosigned)),
            Err(refusal) => {
                let early = matches!(refusal.code, Code::QuorumNotMet | Code::UnknownSigner);
                if !early || Instant::now() >= until || !interrupt::sleep(Duration::from_millis(250)) {
                    return Err(refusal.into());
                }
            }
        }
    }
}

/// Where the checkpoint of the last audit of a chain is kept: `XDG_STATE_HOME` or `~/.local/state`.
pub(crate) fn memory(genesis: &Genesis) -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    let base = set("XDG_STATE_HOME").or_else(|| set("HOME").map(|home| home.join(".local/state")))?;
    Some(base.join("city/checkpoints").join(format!("{}.note", genesis.chain_id())))
}

/// The checkpoint of the last audit. One that is damaged or not this chain's is an error, not a clean slate.
pub(crate) fn remembered(path: &Path, sets: &Sets) -> CliResult<Option<Cosigned>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Cosigned::judge(sets, text).map(Some).map_err(|refusal| {
            CliError::from(refusal)
                .hint(format!("the file {} was altered; keep it, and give --no-memory", path.display()))
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CliError::file(path, &error)),
    }
}

/// Keeps a checkpoint for the next audit.
pub(crate) fn remember(path: &Path, checkpoint: &Cosigned) -> CliResult {
    if let Some(folder) = path.parent() {
        files::make_dir(folder)?;
    }
    files::replace(path, &checkpoint.text)
}
