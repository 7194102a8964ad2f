//! Snapshots of the ledger store: what they are, when one is taken, how many are kept.
//!
//! A snapshot is the ledger store as a block left it. One is taken where an epoch ends: after the closing block, or after
//! the block that an act of recovery names. Nothing of the next epoch is in it. The first header of that epoch to certify
//! an execution that far certifies exactly this one (docs/protocol.md, section 10), so a snapshot can be held against a
//! root that a quorum signed: [`verify`] does that, [`restore`] puts one in the place of a lost ledger, [`offer`] hands it
//! to a node that joins, and [`fetch`] is what that node does.
//!
//! Another one is taken every so many blocks, a multiple of [`CERTIFIED_EVERY`]: headers do not certify every height, but
//! they pass over none of these.
//!
//! [`CERTIFIED_EVERY`]: chain_core::block::CERTIFIED_EVERY
//!
//! ```text
//! snapshots/<height>            a snapshot: a RocksDB store whose large files are linked with the ledger's
//! snapshots/taking-<height>     one that is being taken
//! snapshots/removing-<height>   one that is being removed
//! snapshots/last-failure        why the last one could not be taken
//! ```

pub mod fetch;
pub mod join;
pub mod offer;
pub mod restore;
pub mod stopped;
pub mod verify;

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chain_core::code::Refusal;
use chain_core::id::Height;

use crate::datadir::{
    DataDir, file_error, names_in, remove_folder, rename, sync_directory, sync_files, write_synced,
};
use crate::storage::StorageError;
use crate::storage::ledger::LedgerStore;

/// Blocks after which one is taken unless the configuration says otherwise.
pub const EVERY: u64 = 8_192;
/// How many are kept: should the newest one not be certified yet, or be damaged, there is the one before.
pub const KEPT: usize = 2;
/// How long one that a joining node asks for stays after its last question.
const HELD: Duration = Duration::from_secs(60);
const TAKING: &str = "taking-";
const REMOVING: &str = "removing-";
const FAILURE: &str = "last-failure";

/// The snapshots of a data directory.
#[derive(Clone, Debug)]
pub struct Snapshots {
    folder: PathBuf,
    /// Blocks after which one is taken; 0 for only where epochs end.
    every: u64,
    /// One is taken, or all are removed, never both at once.
    turn: Arc<Mutex<()>>,
    /// The one that a joining node fetches, and when it last asked.
    fetched: Arc<Mutex<Option<(Height, Instant)>>>,
}

impl Snapshots {
    /// Those of a data directory, which may have none yet.
    pub fn of(data: &DataDir) -> Self {
        Self {
            folder: data.path().join("snapshots"),
            every: EVERY,
            turn: Arc::default(),
            fetched: Arc::default(),
        }
    }

    /// The same, one taken every so many blocks.
    #[must_use]
    pub fn every(self, blocks: u64) -> Self {
        Self { every: blocks, ..self }
    }

    /// Whether one is taken after this block, wherever epochs end.
    pub(crate) fn is_due(&self, height: Height) -> bool {
        self.every > 0 && height.get().is_multiple_of(self.every)
    }

    /// Where the snapshot of a height is, if there is one.
    pub fn path(&self, height: Height) -> PathBuf {
        self.folder.join(height.to_string())
    }

    /// The heights of all complete ones, ascending.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn heights(&self) -> Result<Vec<Height>, Refusal> {
        let names = self.names()?;
        let mut heights: Vec<Height> =
            names.iter().filter_map(|name| name.parse().ok().map(Height::new)).collect();
        heights.sort_unstable();
        Ok(heights)
    }

    /// Why the last snapshot could not be taken, if so.
    pub fn last_failure(&self) -> Option<String> {
        fs::read_to_string(self.folder.join(FAILURE)).ok()
    }

    /// Takes the snapshot of a height at which the store stands, unless there is one. A failure is said, and left for
    /// whoever lists the snapshots; the node goes on without one.
    ///
    /// # Errors
    /// When the store itself takes no writes any more.
    pub(crate) fn keep(&self, ledger: &LedgerStore, height: Height) -> Result<(), StorageError> {
        let start = Instant::now();
        match self.take(ledger, height) {
            Ok(false) => {}
            Ok(true) => {
                let ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
                tracing::info!(height = height.get(), ms, "took a snapshot of the ledger");
            }
            Err(refusal) => {
                ledger.healthy()?;
                let (code, detail) = (refusal.code.name(), &refusal.detail);
                tracing::warn!(height = height.get(), code, detail, "no snapshot of the ledger was taken");
                let told = write_synced(&self.folder.join(FAILURE), &format!("block {height}: {refusal}\n"));
                if let Err(refusal) = told {
                    tracing::warn!(detail = refusal.detail, "nor could this be written down");
                }
            }
        }
        Ok(())
    }

    /// Takes the snapshot of a height and removes old ones; false when there was one already.
    fn take(&self, ledger: &LedgerStore, height: Height) -> Result<bool, Refusal> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.path(height);
        if path.exists() {
            return Ok(false);
        }
        fs::create_dir_all(&self.folder).map_err(|error| file_error("making", &self.folder, error))?;
        let taking = self.folder.join(format!("{TAKING}{height}"));
        remove_folder(&taking)?;
        ledger.copy_to(&taking).map_err(|error| error.refusal())?;
        sync_files(&taking)?;
        rename(&taking, &path)?;
        sync_directory(&self.folder)?;
        let failure = self.folder.join(FAILURE);
        if failure.exists() {
            fs::remove_file(&failure).map_err(|error| file_error("removing", &failure, error))?;
        }
        self.remove_old(Instant::now())?;
        Ok(true)
    }

    /// Keeps a snapshot that is being fetched: until nothing was asked of it for [`HELD`], and one at a time, so that
    /// whoever asks costs the room of one.
    pub(crate) fn hold(&self, height: Height, now: Instant) {
        let mut fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        if fetched.is_none_or(|(held, asked)| held == height || now.duration_since(asked) >= HELD) {
            *fetched = Some((height, now));
        }
    }

    fn held(&self, now: Instant) -> Option<Height> {
        let fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        fetched.filter(|(_, asked)| now.duration_since(*asked) < HELD).map(|(height, _)| height)
    }

    /// Removes all but the newest [`KEPT`] and the one that is being fetched. One that is half removed must not pass for a
    /// snapshot.
    fn remove_old(&self, now: Instant) -> Result<(), Refusal> {
        let (heights, held) = (self.heights()?, self.held(now));
        let old = heights.iter().rev().skip(KEPT).filter(|height| Some(**height) != held);
        old.copied().try_for_each(|height| self.remove(height))
    }

    fn remove(&self, height: Height) -> Result<(), Refusal> {
        let removing = self.folder.join(format!("{REMOVING}{height}"));
        rename(&self.path(height), &removing)?;
        remove_folder(&removing)
    }

    /// Removes all: they hold what must go, as the ledger's files do until they are written anew by `scrub`. The next
    /// snapshot is taken where the next epoch begins.
    ///
    /// # Errors
    /// As `scrub`; when the folder cannot be read or written.
    pub(crate) fn forget(&self, scrub: impl FnOnce() -> Result<(), Refusal>) -> Result<(), Refusal> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        scrub()?;
        let heights = self.heights()?;
        heights.iter().try_for_each(|height| self.remove(*height))?;
        if !heights.is_empty() {
            tracing::info!(snapshots = heights.len(), "removed snapshots that held what is erased");
        }
        Ok(())
    }

    /// Removes what a crash left of a snapshot that was being taken or removed.
    ///
    /// # Errors
    /// When the folder cannot be read or written.
    pub(crate) fn tidy(&self) -> Result<(), Refusal> {
        for name in self.names()? {
            if name.starts_with(TAKING) || name.starts_with(REMOVING) {
                remove_folder(&self.folder.join(name))?;
            }
        }
        Ok(())
    }

    fn names(&self) -> Result<Vec<String>, Refusal> {
        names_in(&self.folder)
    }
}

#[cfg(test)]
pub(crate) mod tests;
