//! What a store takes on the disk, family by family.

use rocksdb::DB;

use super::{Family, StorageError, family};

/// What one family takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FamilyUsage {
    /// Its name.
    pub name: &'static str,
    /// Entries, by RocksDB's estimate.
    pub entries: u64,
    /// Bytes of its table files.
    pub tables: u64,
    /// Bytes of its files of large values.
    pub values: u64,
}

impl FamilyUsage {
    /// Bytes of all its files.
    pub fn bytes(&self) -> u64 {
        self.tables + self.values
    }
}

/// What each family of a store takes, in their order.
pub(super) fn usage(db: &DB, families: &[Family]) -> Result<Vec<FamilyUsage>, StorageError> {
    let property = |one: &Family, name: &str| {
        let value = db.property_int_value_cf(family(db, one.name), name);
        let value = value.map_err(StorageError::failed(format!("asking how much {} takes", one.name)))?;
        Ok(value.unwrap_or(0))
    };
    let of = |one: &Family| {
        Ok(FamilyUsage {
            name: one.name,
            entries: property(one, "rocksdb.estimate-num-keys")?,
            tables: property(one, "rocksdb.total-sst-files-size")?,
            values: property(one, "rocksdb.total-blob-file-size")?,
        })
    };
    families.iter().map(of).collect()
}
