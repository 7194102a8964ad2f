//! Everything that a stopped node or a backup holds, read byte by byte and held against what was signed.
//!
//! Nothing is changed and nothing is believed but the genesis. The chain is walked from its first block: each block is the
//! one its parent's child names, its batches lead to the roots in its header, their transactions and bodies to the roots
//! of the batches, and every commit certificate is judged by the validators of its epoch, who are proved as
//! [`crate::snapshots::verify`] proves them. Then the ledger store is hashed anew and held against the root that a quorum
//! certified. What stands under no root is read for the disk's checksums. RocksDB names file and byte where one fails. The
//! entries of a vault are read, too, and opened with its key.

mod blocks;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use chain_core::code::{Code, Refusal};
use chain_core::genesis::Genesis;
use chain_core::id::Height;

use crate::datadir::{DataDir, take};
use crate::restoring;
use crate::snapshots::verify::{self, Trust};
use crate::storage::StorageError;
use crate::storage::consensus::ConsensusStore;
use crate::storage::high_water::{HighWater, Mark};
use crate::storage::ledger::LedgerStore;
use crate::vault::{Examined, Vaults};

/// Flaws after which nobody reads on.
pub const FINDINGS_MAX: usize = 100;

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// The first block that is kept.
    pub first: Height,
    /// Final blocks that were read.
    pub blocks: u64,
    /// Their batches.
    pub batches: u64,
    /// The transactions in them, each with its signature and the commitments to its bodies.
    pub transactions: u64,
    /// Batches some of whose bodies are gone, with what they came to beside them.
    pub stripped: u64,
    /// Commit certificates whose signatures hold.
    pub certificates: u64,
    /// Entries of the consensus store, of whatever kind, that were read.
    pub entries: u64,
    /// The ledger store, where it is whole.
    pub ledger: Option<verify::Report>,
    /// The vault, where there is one.
    pub vault: Option<Examined>,
    /// Flaws, the lowest block of each store first.
    pub findings: Vec<Finding>,
    /// How long it took.
    pub took: Duration,
}

/// A flaw.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// Where: `consensus`, `ledger` or `vault`.
    pub store: &'static str,
    /// The final block that it concerns, where it is one's.
    pub block: Option<Height>,
    /// What is wrong; where a checksum fails, with file and byte.
    pub refusal: Refusal,
}

impl Report {
    fn find(&mut self, store: &'static str, block: Option<Height>, refusal: Refusal) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { store, block, refusal });
        }
    }
}

/// Where the stores are that are read.
#[derive(Clone, Debug)]
pub(crate) struct Stores {
    /// The consensus store.
    pub(crate) consensus: PathBuf,
    /// The ledger store, if there is one.
    pub(crate) ledger: PathBuf,
}

/// Reads everything in a data directory that no process holds. Without the keys of its vaults the entries there are not opened.
///
/// # Errors
/// `LOCK_HELD` while a node runs on it; `NOT_INITIALISED` when there is none; `STORE_FORMAT` where another release wrote it;
/// `KEY_FILE_INVALID` or `KEY_FILE_PERMISSIONS` for a vault's key. What is wrong inside is in the report.
pub fn fsck(data: &DataDir, genesis: &Genesis, vault_keys: &[PathBuf]) -> Result<Report, Refusal> {
    let mut lock = data.lock_file()?;
    let _held = take(&mut lock, data.path())?;
    let identity = flaw_of_identity(data)?;
    let stores = Stores {
        consensus: restoring::standing(data, "consensus"),
        ledger: restoring::standing(data, "ledger"),
    };
    let start = Instant::now();
    let vault = data.vault();
    let vault = vault.exists().then(|| Vaults::examine(&vault, vault_keys)).transpose()?;
    let mut report = examine(&stores, &Trust::of(genesis), |consensus| check_safety(data, consensus));
    if let Some(flaw) = identity {
        report.find("identity", None, flaw);
    }
    for flaw in vault.iter().flat_map(|vault| &vault.flaws) {
        report.find("vault", None, flaw.clone());
    }
    report.vault = vault;
    report.took = start.elapsed();
    Ok(report)
}

/// Reads everything in two stores that nobody changes. What `memory` finds wrong with the safety record is reported with
/// the rest.
pub(crate) fn examine(
    stores: &Stores,
    trust: &Trust<'_>,
    memory: impl FnOnce(&ConsensusStore) -> Result<(), Refusal>,
) -> Report {
    let start = Instant::now();
    let mut report = Report::default();
    match ConsensusStore::open_read_only(&stores.consensus) {
        Err(error) => report.find("consensus", None, error.refusal()),
        Ok(consensus) => {
            let ledger = ledger_of(stores, &mut report);
            blocks::walk(&consensus, ledger.as_ref(), trust, &mut report);
            match consensus.read_all() {
                Ok(entries) => report.entries = entries,
                Err(error) => report.find("consensus", None, error.refusal()),
            }
            if let Err(refusal) = memory(&consensus) {
                report.find("consensus", None, refusal);
            }
            if let Some(height) = ledger.as_ref().and_then(|ledger| height_of(ledger, &mut report)) {
                drop(ledger);
                match verify::verify(&stores.ledger, height, &consensus, trust) {
                    Ok(verified) => report.ledger = Some(verified),
                    Err(refusal) => report.find("ledger", None, refusal),
                }
            }
        }
    }
    report.took = start.elapsed();
    report
}

/// What is wrong with the file that says whom a directory belongs to. A copy may lack it. What a release of another format
/// wrote is not damaged, and this one cannot judge it.
fn flaw_of_identity(data: &DataDir) -> Result<Option<Refusal>, Refusal> {
    match data.identity() {
        Ok(_) => Ok(None),
        Err(refusal) if refusal.code == Code::StoreFormat => Err(refusal),
        Err(refusal) => Ok(Some(refusal)),
    }
}

/// The safety record must be whole, and as new as what was signed. One that is missing is no flaw: such a node follows.
fn check_safety(data: &DataDir, consensus: &ConsensusStore) -> Result<(), Refusal> {
    let remembered = HighWater::remembered(&data.high_water()).map_err(refuse)?;
    match (consensus.safety().map_err(refuse)?, remembered) {
        (Some(record), Some(mark)) if Mark::of(&record).fell_behind(&mark) => {
            Err(Refusal::new(Code::SafetyLost, "the safety record is older than what this validator signed"))
        }
        _ => Ok(()),
    }
}

/// The ledger store, if there is one that opens. One that is lost is no flaw: it is made anew from the blocks.
fn ledger_of(stores: &Stores, report: &mut Report) -> Option<LedgerStore> {
    if !stores.ledger.exists() {
        return None;
    }
    let opened = LedgerStore::open_read_only(&stores.ledger);
    opened.map_err(|error| report.find("ledger", None, error.refusal())).ok()
}

fn height_of(ledger: &LedgerStore, report: &mut Report) -> Option<Height> {
    match ledger.snapshot() {
        Ok(snapshot) => Some(snapshot.height()),
        Err(error) => {
            report.find("ledger", None, error.refusal());
            None
        }
    }
}

fn refuse(error: StorageError) -> Refusal {
    error.refusal()
}

fn broken(detail: String) -> Refusal {
    Refusal::new(Code::ChainBroken, detail)
}

#[cfg(test)]
mod tests;
