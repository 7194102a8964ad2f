//! Erasures that this node has still to carry out, or to confirm.

use chain_core::id::{Height, RecordId};
use chain_core::layout::Layout as _;
use chain_core::state::key;
use chain_core::subject::IndexEntry;
use rocksdb::WriteBatch;

use super::super::consensus::number;
use super::super::{StorageError, family, keys, rewriting};
use super::{LedgerStore, Snapshot, unlogged};

/// How far an erasure has come at this node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Erasure {
    /// The bodies may still be here.
    Ordered,
    /// They are gone; so many were here.
    Done(u32),
}

impl Erasure {
    fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::Ordered => vec![0],
            Self::Done(bodies) => [&[1], &bodies.to_be_bytes()[..]].concat(),
        }
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, StorageError> {
        match bytes {
            [0] => Ok(Self::Ordered),
            [1, a, b, c, d] => Ok(Self::Done(u32::from_be_bytes([*a, *b, *c, *d]))),
            _ => Err(StorageError::corrupt("erasure", format!("{} bytes", bytes.len()))),
        }
    }
}

impl LedgerStore {
    /// Notes the records whose bodies a block orders to be destroyed.
    pub(super) fn put_erasures(&self, batch: &mut WriteBatch, records: &[RecordId]) {
        for record in records {
            let key = record.digest().as_bytes();
            batch.put_cf(family(&self.db, "erasures"), key, Erasure::Ordered.to_bytes());
        }
    }

    /// Notes how far erasures have come; none where there is nothing left to do. A crash may undo it, and then it is done
    /// again.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn set_erasures(&self, progress: &[(RecordId, Option<Erasure>)]) -> Result<(), StorageError> {
        let erasures = family(&self.db, "erasures");
        let mut batch = WriteBatch::default();
        for (record, erasure) in progress {
            match erasure {
                Some(erasure) => batch.put_cf(erasures, record.digest().as_bytes(), erasure.to_bytes()),
                None => batch.delete_cf(erasures, record.digest().as_bytes()),
            }
        }
        self.db.write_opt(batch, &unlogged()).map_err(StorageError::failed("writing erasures"))
    }

    /// Whether somebody reads the store as it was when it had so many entries written.
    ///
    /// # Errors
    /// When the store does not say.
    pub fn is_read_before(&self, sequence: u64) -> Result<bool, StorageError> {
        let oldest = self.db.property_int_value("rocksdb.oldest-snapshot-sequence");
        let oldest = oldest.map_err(StorageError::failed("asking for the oldest reader"))?;
        Ok(oldest.is_some_and(|oldest| oldest != 0 && oldest < sequence))
    }

    /// How many entries were ever written.
    pub fn sequence(&self) -> u64 {
        self.db.latest_sequence_number()
    }

    /// Writes the files anew in which stood what linked records with their organisations: what the state has removed. Nobody
    /// may read the store as it was before that.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn scrub_links(&self) -> Result<(), StorageError> {
        self.flush()?;
        let options = rewriting();
        for (from, to) in key::all_links() {
            self.db.compact_range_cf_opt(family(&self.db, "state"), Some(&from), Some(&to), &options);
        }
        self.db.compact_range_cf_opt(family(&self.db, "replaced"), None::<&[u8]>, None::<&[u8]>, &options);
        self.healthy()
    }
}

impl Snapshot<'_> {
    /// Erasures with something left to do, at most `limit`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn erasures(&self, limit: usize) -> Result<Vec<(RecordId, Erasure)>, StorageError> {
        let mut found = Vec::new();
        for entry in self.from("erasures", &[]).take(limit) {
            let (key, value) = entry?;
            let record = RecordId::from_canonical(&key)
                .map_err(|error| StorageError::corrupt("erasure", error.to_string()))?;
            found.push((record, Erasure::from_bytes(&value)?));
        }
        Ok(found)
    }

    /// The index of subjects after each block above a height, up to another, that changed it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn indexes(&self, above: Height, to: Height) -> Result<Vec<(Height, IndexEntry)>, StorageError> {
        let mut found = Vec::new();
        for entry in self.from("indexes", &keys::height(above.next())) {
            let (key, value) = entry?;
            let height = Height::new(number(&key)?);
            if height > to {
                break;
            }
            let entry = IndexEntry::from_canonical(&value)
                .map_err(|error| StorageError::corrupt("index of subjects", error.to_string()))?;
            found.push((height, entry));
        }
        Ok(found)
    }
}
