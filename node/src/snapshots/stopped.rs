//! What is done with the snapshots of a stopped node.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use chain_core::code::{Code, Refusal};
use chain_core::id::Height;

use super::Snapshots;
use super::restore::{PutBack, put_back};
use super::verify::{Report, Trust, verify};
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

/// What [`Setup::restore_snapshot`] read and did.
#[derive(Debug)]
pub struct Restored {
    /// Every snapshot that was read, the newest first; the last is the one that was taken, if any was.
    pub reports: Vec<Report>,
    /// What took the ledger's place; nothing if no snapshot may.
    pub put: Option<PutBack>,
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

    /// Puts a snapshot of a stopped node in the place of its ledger, if it verifies: the one of this height, or else the
    /// newest that a quorum has certified. One that none has certified is taken only if the caller says so; otherwise
    /// nothing is done.
    ///
    /// # Errors
    /// As [`Self::verify_snapshot`], and when the directory cannot be written.
    pub fn restore_snapshot(&self, height: Option<Height>, uncertified: bool) -> Result<Restored, Refusal> {
        self.held(|_| {
            let reports = match height {
                Some(_) => vec![self.verify_held(height)?],
                None if uncertified => vec![self.verify_held(None)?],
                None => {
                    down_to_certified(&self.snapshot_heights()?, |height| self.verify_held(Some(height)))?
                }
            };
            let usable = |report: &&Report| uncertified || report.is_certified();
            let put = match reports.last().filter(usable) {
                Some(report) => {
                    let path = Snapshots::of(&self.data).path(report.height);
                    Some(put_back(&self.data, &path, &mut |_| Ok(()))?)
                }
                None => None,
            };
            Ok(Restored { reports, put })
        })
    }

    /// The heights of its snapshots, ascending; at least one.
    fn snapshot_heights(&self) -> Result<Vec<Height>, Refusal> {
        let heights = Snapshots::of(&self.data).heights()?;
        if heights.is_empty() {
            let detail = "no snapshot: the first one is taken when the first epoch ends";
            return Err(Refusal::new(Code::NotFound, detail));
        }
        Ok(heights)
    }

    fn verify_held(&self, height: Option<Height>) -> Result<Report, Refusal> {
        let snapshots = Snapshots::of(&self.data);
        let heights = self.snapshot_heights()?;
        let missing = |height| Refusal::new(Code::NotFound, format!("snapshot {height}"));
        let height = match height {
            Some(height) if !heights.contains(&height) => return Err(missing(height)),
            Some(height) => height,
            None => heights.last().copied().unwrap_or_default(),
        };
        let consensus =
            ConsensusStore::open_read_only(&self.data.consensus()).map_err(|error| error.refusal())?;
        verify(&snapshots.path(height), height, &consensus, &Trust::of(&self.genesis))
    }
}

/// Verifies snapshots from the newest down to the first that a quorum has certified: the very newest may be too young
/// for that. What was read, in that order; the last one is not certified only if none is.
///
/// # Errors
/// As `verify`, of the first that has something wrong with it.
fn down_to_certified(
    ascending: &[Height],
    mut verify: impl FnMut(Height) -> Result<Report, Refusal>,
) -> Result<Vec<Report>, Refusal> {
    let mut read = Vec::new();
    for height in ascending.iter().rev() {
        let report = verify(*height)?;
        let certified = report.is_certified();
        read.push(report);
        if certified {
            break;
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::snapshots::tests::{BASE, End, Plan, World};
    use crate::snapshots::verify::tests::check;

    #[test]
    fn a_snapshot_too_young_to_be_certified_is_passed_by() {
        let world = World::new(End::Closed);
        let report = |blocks, height| {
            let report = check(&world, &Plan { blocks, ..Plan::default() }).unwrap();
            Report { height: Height::new(height), ..report }
        };
        let whole = Plan::default().blocks;
        // Which heights are certified, and which are read.
        for (certified, read) in
            [(&[1, 2, 3][..], &[3][..]), (&[1, 2], &[3, 2]), (&[1], &[3, 2, 1]), (&[], &[3, 2, 1])]
        {
            let mut reports: BTreeMap<Height, Report> = (1..=3)
                .map(
                    |height| {
                        if certified.contains(&height) { report(whole, height) } else { report(0, height) }
                    },
                )
                .map(|report| (report.height, report))
                .collect();
            let heights: Vec<Height> = reports.keys().copied().collect();
            let found = down_to_certified(&heights, |height| Ok(reports.remove(&height).unwrap())).unwrap();
            assert_eq!(found.iter().map(|one| one.height.get()).collect::<Vec<_>>(), read);
            assert_eq!(found.last().is_some_and(Report::is_certified), !certified.is_empty());
        }
        let damaged = |height| match height {
            Height::ZERO => Ok(report(whole, BASE)),
            _ => Err(Refusal::new(Code::StorageCorrupt, "damaged")),
        };
        let refused = down_to_certified(&[Height::ZERO, Height::new(BASE)], damaged).unwrap_err();
        assert_eq!(refused.code, Code::StorageCorrupt, "what is wrong with the newest is not passed by");
    }
}
