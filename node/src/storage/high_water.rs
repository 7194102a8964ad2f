//! A small file that remembers how far the safety record went.
//!
//! RocksDB may come back older than it was: a restored snapshot, a damaged log. The file is written after
//! each synced write of a new record, into one of two slots in turn, each with its checksum; so it is never
//! ahead of the store, and a torn write costs one slot. It is evidence only: nothing is restored from it, and
//! a missing file proves nothing.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use chain_core::certificate::Rank;
use chain_core::crypto::Digest;
use consensus::safety::SafetyRecord;

use super::StorageError;

const SLOT: usize = 128;
const TAG: &[u8] = b"city-node/high-water/1";

/// How far a safety record went; compared field by field.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Mark {
    /// Newest PREPARE: view and height, plus one each so that zero is "none".
    pub prepare: (u64, u64),
    /// Highest certificate, likewise.
    pub high_qc: (u64, u64),
    /// Highest view asked for.
    pub vc_view: u64,
    /// Batches of the own lane.
    pub lane: u64,
    /// Epoch.
    pub epoch: u64,
}

impl Mark {
    /// The mark of a record.
    pub fn of(record: &SafetyRecord) -> Self {
        let rank = |rank: Option<Rank>| {
            rank.map_or((0, 0), |rank| (rank.view.next().get(), rank.height.next().get()))
        };
        Self {
            prepare: rank(record.last_prepare.map(|slot| slot.rank)),
            high_qc: rank(record.high_qc.rank()),
            vc_view: record.vc_view.get(),
            lane: record.lane.map_or(0, |(seq, _)| seq.saturating_add(1)),
            epoch: record.epoch.get(),
        }
    }

    /// Whether a record with this mark has forgotten something that `remembered` knew.
    pub fn fell_behind(&self, remembered: &Self) -> bool {
        if self.epoch != remembered.epoch {
            return self.epoch < remembered.epoch;
        }
        self.prepare < remembered.prepare
            || self.high_qc < remembered.high_qc
            || self.vc_view < remembered.vc_view
            || self.lane < remembered.lane
    }

    fn numbers(&self) -> [u64; 7] {
        [self.prepare.0, self.prepare.1, self.high_qc.0, self.high_qc.1, self.vc_view, self.lane, self.epoch]
    }
}

/// The open file.
#[derive(Debug)]
pub struct HighWater {
    file: File,
    path: PathBuf,
    count: u64,
    mark: Mark,
}

impl HighWater {
    /// Opens or creates the file and reads the newest intact slot.
    ///
    /// # Errors
    /// When the file cannot be opened or read.
    pub fn open(path: &Path) -> Result<(Self, Option<Mark>), StorageError> {
        let fail = |what| move |source| StorageError::File { what, path: path.to_owned(), source };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(fail("opening"))?;
        let newest = newest_slot(&file).map_err(fail("reading"))?;
        let (count, mark) = newest.unwrap_or_default();
        Ok((Self { file, path: path.to_owned(), count, mark }, newest.map(|(_, mark)| mark)))
    }

    /// What the file remembers, without making or changing it.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn remembered(path: &Path) -> Result<Option<Mark>, StorageError> {
        let read = match File::open(path) {
            Ok(file) => newest_slot(&file),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => Err(error),
        };
        let newest =
            read.map_err(|source| StorageError::File { what: "reading", path: path.to_owned(), source })?;
        Ok(newest.map(|(_, mark)| mark))
    }

    /// Remembers a record that is durable in the store. Not synced: the file may lag, never lead.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn raise(&mut self, mark: Mark) -> Result<(), StorageError> {
        if mark == self.mark {
            return Ok(());
        }
        self.count += 1;
        self.mark = mark;
        self.file
            .write_all_at(&format(self.count, &mark), (self.count % 2) * SLOT as u64)
            .map_err(|source| StorageError::File { what: "writing", path: self.path.clone(), source })
    }

    /// Makes the newest slot durable; called now and then and at shutdown.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&self) -> Result<(), StorageError> {
        self.file.sync_data().map_err(|source| StorageError::File {
            what: "syncing",
            path: self.path.clone(),
            source,
        })
    }
}

/// The newest slot that is intact.
fn newest_slot(file: &File) -> Result<Option<(u64, Mark)>, std::io::Error> {
    let mut newest: Option<(u64, Mark)> = None;
    for slot in 0..2 {
        let mut bytes = [0; SLOT];
        match file.read_exact_at(&mut bytes, slot * SLOT as u64) {
            Ok(()) => newest = newest.max_by_count(parse(&bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {}
            Err(error) => return Err(error),
        }
    }
    Ok(newest)
}

trait MaxByCount {
    fn max_by_count(self, other: Self) -> Self;
}

impl MaxByCount for Option<(u64, Mark)> {
    fn max_by_count(self, other: Self) -> Self {
        match (self, other) {
            (Some(one), Some(two)) => Some(if two.0 > one.0 { two } else { one }),
            (one, two) => one.or(two),
        }
    }
}

fn format(count: u64, mark: &Mark) -> [u8; SLOT] {
    let mut bytes = [0; SLOT];
    for (at, number) in std::iter::once(count).chain(mark.numbers()).enumerate() {
        bytes[at * 8..at * 8 + 8].copy_from_slice(&number.to_be_bytes());
    }
    let checksum = Digest::tagged(TAG, &[&bytes[..SLOT - 32]]);
    bytes[SLOT - 32..].copy_from_slice(checksum.as_bytes());
    bytes
}

fn parse(bytes: &[u8; SLOT]) -> Option<(u64, Mark)> {
    if Digest::tagged(TAG, &[&bytes[..SLOT - 32]]).as_bytes()[..] != bytes[SLOT - 32..] {
        return None;
    }
    let number = |at: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[at * 8..at * 8 + 8]);
        u64::from_be_bytes(word)
    };
    let mark = Mark {
        prepare: (number(1), number(2)),
        high_qc: (number(3), number(4)),
        vc_view: number(5),
        lane: number(6),
        epoch: number(7),
    };
    Some((number(0), mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(height: u64) -> Mark {
        Mark { prepare: (1, height), lane: height, ..Mark::default() }
    }

    #[test]
    fn the_newest_intact_slot_wins() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("high-water");
        let (mut file, none) = HighWater::open(&path).unwrap();
        assert_eq!(none, None);
        for height in 1..=5 {
            file.raise(mark(height)).unwrap();
        }
        file.sync().unwrap();
        drop(file);
        assert_eq!(HighWater::open(&path).unwrap().1, Some(mark(5)));

        // Tear the slot of the fifth write: the fourth is left.
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[SLOT + 20] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let (mut file, left) = HighWater::open(&path).unwrap();
        assert_eq!(left, Some(mark(4)));
        file.raise(mark(6)).unwrap();
        assert_eq!(HighWater::open(&path).unwrap().1, Some(mark(6)));

        std::fs::write(&path, b"short").unwrap();
        assert_eq!(HighWater::open(&path).unwrap().1, None);
    }

    #[test]
    fn any_field_that_went_back_shows() {
        let high = Mark { prepare: (2, 9), high_qc: (2, 8), vc_view: 2, lane: 5, epoch: 1 };
        assert!(!high.fell_behind(&high));
        for lower in [
            Mark { prepare: (2, 8), ..high },
            Mark { high_qc: (1, 99), ..high },
            Mark { vc_view: 1, ..high },
            Mark { lane: 4, ..high },
            Mark { epoch: 0, lane: 99, ..high },
        ] {
            assert!(lower.fell_behind(&high), "{lower:?}");
        }
    }
}
