//! What an operator does with the stores of a node: see what they take, write them anew, read them through, and let go of
//! old blocks.

use std::fs;
use std::path::Path;

use chain_core::code::{Code, Refusal};
use chain_core::id::Height;

use crate::datadir::file_error;
use crate::snapshots::Snapshots;
use crate::snapshots::verify::{Standing, Trust, verify};
use crate::start::Setup;
use crate::storage::StorageError;
use crate::storage::consensus::{ConsensusStore, Pruned};
use crate::storage::ledger::LedgerStore;
use crate::storage::usage::FamilyUsage;

/// Fewest blocks that are kept: a node that starts looks at so many.
pub const KEEP_MIN: u64 = 256;

/// What a data directory takes.
#[derive(Clone, Debug)]
pub struct Usage {
    /// The families of the consensus store.
    pub consensus: Vec<FamilyUsage>,
    /// Those of the ledger store; none where it is lost.
    pub ledger: Vec<FamilyUsage>,
    /// Everything in the directory by its name, with the bytes that nothing before it in this list holds too: files are
    /// shared between the ledger and its snapshots.
    pub folders: Vec<(String, u64)>,
    /// The lowest block that is kept.
    pub first: Height,
    /// The newest final one.
    pub newest: Height,
    /// Leaves of the record log in the ledger's files.
    pub leaves: u64,
}

/// What was read through.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ReadThrough {
    /// Entries of the consensus store.
    pub consensus: u64,
    /// Entries of the ledger store.
    pub ledger: u64,
}

/// Bytes in the data directory before and after something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Freed {
    /// Before.
    pub before: u64,
    /// After.
    pub after: u64,
}

impl Setup {
    /// What the data directory takes, also while the node runs: then without what is still in memory.
    ///
    /// # Errors
    /// When the directory is another node's, or cannot be read.
    pub fn usage(&self) -> Result<Usage, Refusal> {
        self.data.check(&self.identity())?;
        let consensus = ConsensusStore::open_read_only(&self.data.consensus()).map_err(refuse)?;
        let (mut ledger, mut leaves) = (Vec::new(), 0);
        if self.data.ledger().exists() {
            let store = LedgerStore::open_read_only(&self.data.ledger()).map_err(refuse)?;
            ledger = store.usage().map_err(refuse)?;
            leaves = store.snapshot().and_then(|snapshot| snapshot.log_size()).map_err(refuse)?;
        }
        Ok(Usage {
            consensus: consensus.usage().map_err(refuse)?,
            ledger,
            folders: folders(self.data.path())?,
            first: consensus.first().map_err(refuse)?,
            newest: consensus.final_height().map_err(refuse)?,
            leaves,
        })
    }

    /// Writes both stores of a stopped node anew: what was deleted or replaced takes no room any more.
    ///
    /// # Errors
    /// `LOCK_HELD` while it runs; when the disk refuses.
    pub fn compact(&self) -> Result<Freed, Refusal> {
        self.held(|_| {
            let before = bytes_of(self.data.path())?;
            ConsensusStore::open(&self.data.consensus()).and_then(|store| store.compact()).map_err(refuse)?;
            if self.data.ledger().exists() {
                LedgerStore::open(&self.data.ledger()).and_then(|store| store.compact()).map_err(refuse)?;
            }
            Ok(Freed { before, after: bytes_of(self.data.path())? })
        })
    }

    /// Reads every entry of both stores of a stopped node for the disk's checksums. What they mean is for
    /// [`crate::fsck`] to judge, which takes longer.
    ///
    /// # Errors
    /// `LOCK_HELD` while it runs; `STORAGE_CORRUPT` with file and byte where a checksum fails.
    pub fn read_through(&self) -> Result<ReadThrough, Refusal> {
        self.held(|_| {
            let consensus = ConsensusStore::open_read_only(&self.data.consensus());
            let consensus = consensus.and_then(|store| store.read_all()).map_err(refuse)?;
            let ledger = match self.data.ledger().exists() {
                true => LedgerStore::open_read_only(&self.data.ledger())
                    .and_then(|store| store.snapshot()?.read_all())
                    .map_err(refuse)?,
                false => 0,
            };
            Ok(ReadThrough { consensus, ledger })
        })
    }

    /// Lets a stopped node go of all but its newest `keep` blocks, with the bodies in them. What is in the record log and in
    /// the state stays, and so do the proofs of it. A snapshot that a quorum certified must stand above what goes: it is what
    /// a lost ledger is made of then.
    ///
    /// # Errors
    /// `LOCK_HELD` while it runs; `CONFIG_INVALID` for fewer than [`KEEP_MIN`]; `NO_SNAPSHOT` without such a snapshot; when
    /// the disk refuses.
    pub fn prune(&self, keep: u64) -> Result<(Pruned, Freed), Refusal> {
        if keep < KEEP_MIN {
            let detail = format!("{keep} blocks are to be kept, at least {KEEP_MIN} must be");
            return Err(Refusal::new(Code::ConfigInvalid, detail));
        }
        self.held(|_| {
            let before = bytes_of(self.data.path())?;
            let consensus = ConsensusStore::open(&self.data.consensus()).map_err(refuse)?;
            let ledger = LedgerStore::open(&self.data.ledger()).map_err(refuse)?;
            let snapshot = ledger.snapshot().map_err(refuse)?;
            let first = consensus.first().map_err(refuse)?;
            let to = lowest_kept(consensus.final_height().map_err(refuse)?, snapshot.height(), keep);
            if to > first {
                check_snapshot(&Snapshots::of(&self.data), to, &consensus, &Trust::of(&self.genesis))?;
            }
            let pruned = consensus.prune(to, |height| snapshot.ordered(height)).map_err(refuse)?;
            drop(snapshot);
            drop((consensus, ledger));
            Ok((pruned, Freed { before, after: bytes_of(self.data.path())? }))
        })
    }
}

/// Where the newest `keep` blocks begin, counted from what is both final and executed: nothing goes that the ledger has not
/// executed.
fn lowest_kept(newest: Height, executed: Height, keep: u64) -> Height {
    Height::new((newest.min(executed).get() + 1).saturating_sub(keep))
}

/// There must be a certified snapshot of a block not below the one before `first`.
fn check_snapshot(
    snapshots: &Snapshots,
    first: Height,
    consensus: &ConsensusStore,
    trust: &Trust<'_>,
) -> Result<(), Refusal> {
    let mut why = "there is none".to_owned();
    for height in snapshots.heights()?.into_iter().rev().filter(|height| height.next() >= first) {
        match verify(&snapshots.path(height), height, consensus, trust) {
            Ok(report) if matches!(report.standing, Standing::Certified(_)) => return Ok(()),
            Ok(_) => why = format!("no header certifies snapshot {height}"),
            Err(refusal) => why = format!("snapshot {height}: {refusal}"),
        }
    }
    let detail = format!(
        "a certified snapshot of block {} or later must be here first, and {why}; keep more blocks",
        first.previous().unwrap_or(Height::ZERO)
    );
    Err(Refusal::new(Code::NoSnapshot, detail))
}

/// Everything in a folder by its name, largest first, each file counted once, where it is met first in the order of names.
fn folders(path: &Path) -> Result<Vec<(String, u64)>, Refusal> {
    let failed = |error| file_error("reading", path, error);
    let entries: Result<Vec<fs::DirEntry>, _> = fs::read_dir(path).map_err(failed)?.collect();
    let mut entries = entries.map_err(failed)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    let mut seen = std::collections::HashSet::new();
    let mut folders = Vec::new();
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        folders.push((name, bytes_below(&entry.path(), &mut seen)?));
    }
    folders.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    Ok(folders)
}

/// Bytes of all files below a folder, each counted once.
fn bytes_of(path: &Path) -> Result<u64, Refusal> {
    bytes_below(path, &mut std::collections::HashSet::new())
}

fn bytes_below(path: &Path, seen: &mut std::collections::HashSet<u64>) -> Result<u64, Refusal> {
    use std::os::unix::fs::MetadataExt as _;
    // A running node removes files meanwhile.
    let gone = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if gone(&error) => return Ok(0),
        Err(error) => return Err(file_error("reading", path, error)),
    };
    if !meta.is_dir() {
        // What it takes on the disk, which is less than its length where there are holes.
        return Ok(if seen.insert(meta.ino()) { meta.blocks() * 512 } else { 0 });
    }
    let mut bytes = 0;
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if gone(&error) => return Ok(0),
        Err(error) => return Err(file_error("reading", path, error)),
    };
    for entry in entries {
        bytes += bytes_below(&entry.map_err(|error| file_error("reading", path, error))?.path(), seen)?;
    }
    Ok(bytes)
}

fn refuse(error: StorageError) -> Refusal {
    error.refusal()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshots::tests::{BASE, End, Plan, World};

    #[test]
    fn what_is_kept_is_counted_from_the_newest_executed_block() {
        for (newest, executed, keep, lowest) in [
            (1_000, 1_000, 256, 745),
            (1_000, 900, 256, 645),
            (900, 1_000, 256, 645),
            (256, 256, 256, 1),
            (9, 9, 256, 0),
        ] {
            let found = lowest_kept(Height::new(newest), Height::new(executed), keep);
            assert_eq!(found, Height::new(lowest), "{newest} {executed} {keep}");
        }
    }

    #[test]
    fn blocks_go_only_below_a_snapshot_that_a_quorum_certified() {
        let world = World::new(End::Closed);
        let trust = Trust { chain_id: world.chain_id, committee: &world.first, recovery_keys: None };
        let check = |first: u64, plan: &Plan<'_>| {
            let (_dir, consensus) = world.consensus(plan);
            check_snapshot(&Snapshots::of(&world.data), Height::new(first), &consensus, &trust)
        };
        // With the snapshot itself everything up to its block may go.
        for first in [2, BASE, BASE + 1] {
            assert_eq!(check(first, &Plan::default()), Ok(()), "{first}");
        }
        let not_yet = Plan { exec: [4, 5, 5], ..Plan::default() };
        let too_few = Plan { signers: &[1, 2], ..Plan::default() };
        for (first, plan, why) in [
            (BASE + 2, &Plan::default(), "there is none"),
            (BASE + 1, &not_yet, "no header certifies snapshot 6"),
            (BASE + 1, &too_few, "2 signatures, needs 3"),
        ] {
            let refusal = check(first, plan).expect_err(why);
            assert_eq!(refusal.code, Code::NoSnapshot, "{refusal}");
            assert!(refusal.detail.contains(why), "{refusal}");
        }
    }
}
