//! The data keys of bodies, apart from the bodies.
//!
//! A backup copies sealed bodies and no key. The wrapped keys are copied into one store that stands beside all backups of a
//! node, is added to by each, and loses a key when its body is to be destroyed. So a body that is destroyed is gone from
//! every backup of it, wherever that is kept, also for whoever has the vault's key.

use std::path::Path;

use rocksdb::{DB, IteratorMode, WriteBatch};

use super::{BODIES, BUDGET, FAMILIES, KEYS, log, split_space};
use crate::storage::live::{Copied, Source, copy};
use crate::storage::{Family, StorageError, family, healthy, open, rewriting, synced};

/// Copies the keys of vaults, which may be in use, and nothing else.
///
/// # Errors
/// As [`copy`].
pub(crate) fn copy_keys(path: &Path, to: &Path, scratch: &Path) -> Result<Copied, StorageError> {
    let source =
        Source { name: "vault", path, scratch, families: FAMILIES, without: &[BODIES], budget: BUDGET };
    copy(&source, to)
}

/// Destroys what stands at places of a store that nobody has open; gives how many keys or bodies there were.
///
/// # Errors
/// When the store cannot be opened or the disk refuses.
pub(crate) fn destroy_at(path: &Path, places: &[Vec<u8>]) -> Result<u32, StorageError> {
    destroy_in(&open(path, FAMILIES, BUDGET)?, places, true)
}

/// Destroys what stands at places, and writes every file anew in which it stood; gives at how many places something was.
/// Where nothing was, files are written anew only if the caller says so: a deletion may have been cut off before that.
///
/// # Errors
/// When the disk refuses.
pub(super) fn destroy_in(db: &DB, places: &[Vec<u8>], rewrite: bool) -> Result<u32, StorageError> {
    let count = delete(db, places)?;
    if count > 0 || rewrite {
        for Family { name, .. } in FAMILIES {
            db.flush_cf(family(db, name)).map_err(StorageError::failed("flushing the vault"))?;
        }
        for Family { name, .. } in FAMILIES {
            db.compact_range_cf_opt(family(db, name), None::<&[u8]>, None::<&[u8]>, &rewriting());
        }
        healthy(db, "vault")?;
    }
    Ok(count)
}

/// Deletes what stands at places, durably; gives at how many something was. Files hold it still.
fn delete(db: &DB, places: &[Vec<u8>]) -> Result<u32, StorageError> {
    let mut batch = WriteBatch::default();
    let mut count = 0;
    for place in places {
        let mut kept = false;
        for Family { name, .. } in FAMILIES {
            let found = db.get_pinned_cf(family(db, name), place);
            if found.map_err(StorageError::failed("reading the vault"))?.is_some() {
                batch.delete_cf(family(db, name), place);
                kept = true;
            }
        }
        count += u32::from(kept);
    }
    db.write_opt(batch, &synced()).map_err(StorageError::failed("deleting from the vault"))?;
    Ok(count)
}

/// What a crash leaves of a destruction: it is deleted, and stands in the files.
#[cfg(test)]
pub(crate) fn delete_at(path: &Path, places: &[Vec<u8>]) -> Result<u32, StorageError> {
    delete(&open(path, FAMILIES, BUDGET)?, places)
}

/// Takes what is of no use out of a store that nobody has open: bodies without a key, which nothing opens, and keys without a
/// body. Gives how many bodies there were.
///
/// # Errors
/// When the store cannot be read to its end or not be written.
pub(crate) fn drop_single(path: &Path) -> Result<u64, StorageError> {
    let db = open(path, FAMILIES, BUDGET)?;
    let mut dropped = [0, 0];
    for (count, [name, other]) in dropped.iter_mut().zip([[BODIES, KEYS], [KEYS, BODIES]]) {
        for entry in db.iterator_cf(family(&db, name), IteratorMode::Start) {
            let (place, _) = entry.map_err(StorageError::failed("reading the vault"))?;
            let pair = db.get_pinned_cf(family(&db, other), &place);
            let paired = pair.map_err(StorageError::failed("reading the vault"))?.is_some();
            if !paired && log::Place::parse(split_space(&place).1).is_none() {
                let gone = db.delete_cf(family(&db, name), place);
                gone.map_err(StorageError::failed("deleting from the vault"))?;
                *count += 1;
            }
        }
        db.flush_cf(family(&db, name)).map_err(StorageError::failed("flushing the vault"))?;
    }
    let [bodies, _] = dropped;
    Ok(bodies)
}
