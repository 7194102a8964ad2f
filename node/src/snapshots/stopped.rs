//! What is done with the snapshots of a stopped node.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use chain_core::code::{Code, Refusal};
use chain_core::id::Height;

use super::Snapshots;
use super::restore::{PutBack, put_back};
use super::verify::{Report, Standing, Trust, verify};
use crate::datadir::file_error;
use crate::start::Setup;
use crate::storage::consensus::ConsensusStore;

/// The snapshots that there are.
#[derive(Clone, Debug)]
pub struct List {
    /// Each with what it takes, ascending.
    pub snapshots: Vec<Size>,
    /// Why the last one could not be taken, if so.
    pub last_failure: Option<String>,
}

/// What one snapshot takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Size {
    /// Its height.
    pub height: Height,
    /// Its files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of those that it shares with nobody, not with the ledger and not with another snapshot.
    pub own_bytes: u64,
}

impl Size {
    fn of(height: Height, path: &Path) -> Result<Self, Refusal> {
        let failed = |error| file_error("reading", path, error);
        let mut size = Self { height, files: 0, bytes: 0, own_bytes: 0 };
        for entry in std::fs::read_dir(path).map_err(failed)? {
            let file = entry.and_then(|entry| entry.metadata()).map_err(failed)?;
            size.files += 1;
            size.bytes += file.len();
            if file.nlink() == 1 {
                size.own_bytes += file.len();
            }
        }
        Ok(size)
    }
}

impl Setup {
    /// Lists the snapshots of a stopped node.
    ///
    /// # Errors
    /// `LOCK_HELD` while it runs; when the folder cannot be read.
    pub fn list_snapshots(&self) -> Result<List, Refusal> {
        self.held(|_| {
            let snapshots = Snapshots::of(&self.data);
            let heights = snapshots.heights()?;
            let sizes = heights.into_iter().map(|height| Size::of(height, &snapshots.path(height)));
            Ok(List { snapshots: sizes.collect::<Result<_, _>>()?, last_failure: snapshots.last_failure() })
        })
    }

    /// Verifies a snapshot of a stopped node, the newest one unless told otherwise.
    ///
    /// # Errors
    /// `LOCK_HELD` while it runs; `NOT_FOUND` without such a snapshot; as [`verify`].
    pub fn verify_snapshot(&self, height: Option<Height>) -> Result<Report, Refusal> {
        self.held(|_| self.verify_held(height))
    }

    /// Puts a snapshot of a stopped node in the place of its ledger, if it verifies. One that no quorum has certified is
    /// taken only if the caller says so; otherwise nothing is done.
    ///
    /// # Errors
    /// As [`Self::verify_snapshot`], and when the directory cannot be written.
    pub fn restore_snapshot(
        &self,
        height: Option<Height>,
        uncertified: bool,
    ) -> Result<(Report, Option<PutBack>), Refusal> {
        self.held(|_| {
            let report = self.verify_held(height)?;
            if !uncertified && !matches!(report.standing, Standing::Certified(_)) {
                return Ok((report, None));
            }
            let path = Snapshots::of(&self.data).path(report.height);
            let put = put_back(&self.data, &path, &mut |_| Ok(()))?;
            Ok((report, Some(put)))
        })
    }

    fn verify_held(&self, height: Option<Height>) -> Result<Report, Refusal> {
        let snapshots = Snapshots::of(&self.data);
        let heights = snapshots.heights()?;
        let found = match height {
            Some(height) => heights.contains(&height).then_some(height),
            None => heights.last().copied(),
        };
        let none = || match height {
            Some(height) => format!("snapshot {height}"),
            None => "no snapshot: the first one is taken when the first epoch ends".to_owned(),
        };
        let height = found.ok_or_else(|| Refusal::new(Code::NotFound, none()))?;
        let consensus =
            ConsensusStore::open_read_only(&self.data.consensus()).map_err(|error| error.refusal())?;
        verify(&snapshots.path(height), height, &consensus, &Trust::of(&self.genesis))
    }
}
