//! Verifying a backup: that its files are those that were written, and that what they hold is the chain.
//!
//! Nothing in a backup is believed but by the genesis: its stores are read as those of a stopped node are ([`crate::fsck`]).
//! The manifest comes first because it is quicker and names the file.

use std::time::{Duration, Instant};

use chain_core::code::{Code, Refusal};

use super::manifest::Manifest;
use super::{Name, Shelf, invalid};
use crate::fsck::{self, Stores};
use crate::snapshots::verify::Trust;
use crate::storage::StorageError;
use crate::storage::consensus::ConsensusStore;

/// What was found of a backup whose files are all as they were written.
#[derive(Debug)]
pub struct Verified {
    /// Its name.
    pub name: Name,
    /// What it says of itself.
    pub manifest: Manifest,
    /// What was found in its stores.
    pub report: fsck::Report,
    /// How long all of it took.
    pub took: Duration,
}

impl Shelf {
    /// Verifies a backup. What is wrong inside its stores is in the report.
    ///
    /// # Errors
    /// `NOT_FOUND`; `BACKUP_INVALID` when a file is not as it was written, or missing, or one too many; `GENESIS_MISMATCH`
    /// for a backup of another chain.
    pub fn verify(&self, name: &Name, trust: &Trust<'_>) -> Result<Verified, Refusal> {
        let start = Instant::now();
        let backup = self.path(name);
        if !backup.exists() {
            return Err(Refusal::new(Code::NotFound, format!("no backup {name} in {}", self.0.display())));
        }
        let manifest = Manifest::read(&backup)?;
        if manifest.chain_id != trust.chain_id {
            let detail =
                format!("backup {name} is of chain {}, the genesis of {}", manifest.chain_id, trust.chain_id);
            return Err(Refusal::new(Code::GenesisMismatch, detail));
        }
        let own = Name::new(manifest.begun_ms, manifest.final_height);
        if own != *name {
            return Err(invalid(format!("{}: it is backup {own}", backup.display())));
        }
        manifest.check_digests(&backup)?;
        let stores = Stores { consensus: backup.join("consensus"), ledger: backup.join("ledger") };
        let report = fsck::examine(&stores, trust, |consensus| check_consensus(&manifest, consensus));
        if let Some(ledger) = &report.ledger {
            let found = (ledger.height, ledger.contents.summary.root());
            if found != (manifest.ledger_height, manifest.ledger_root) {
                let detail = format!(
                    "backup {name}: its ledger is at block {} with root {}, its manifest says block {} with {}",
                    found.0, found.1, manifest.ledger_height, manifest.ledger_root
                );
                return Err(invalid(detail));
            }
        }
        Ok(Verified { name: name.clone(), manifest, report, took: start.elapsed() })
    }
}

/// The consensus store must be as far as the manifest says, and remember no vote.
fn check_consensus(manifest: &Manifest, consensus: &ConsensusStore) -> Result<(), Refusal> {
    if !matches!(consensus.safety(), Ok(None)) {
        return Err(invalid(
            "it holds a safety record, which no backup has: whoever put it back might vote twice",
        ));
    }
    let height = consensus.final_height().map_err(refuse)?;
    let digest = consensus.final_digest(height).map_err(refuse)?.unwrap_or(*manifest.chain_id.digest());
    if (height, digest) == (manifest.final_height, manifest.final_digest) {
        return Ok(());
    }
    let detail = format!(
        "its newest final block is {height} {digest}, its manifest says {} {}",
        manifest.final_height, manifest.final_digest
    );
    Err(invalid(detail))
}

fn refuse(error: StorageError) -> Refusal {
    error.refusal()
}
