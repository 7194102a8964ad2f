//! Putting a backup in the place of lost or damaged data.
//!
//! Nothing is changed before the backup verifies. Its copy takes the place of what is there in the way that
//! [`crate::restoring`] describes; what was there is set aside and never deleted.
//!
//! The node then follows without voting: no backup has a safety record, and the record that may be there belongs to the
//! data that is set aside. Where there is no data directory yet one is made, as `init` makes it; only a key that has never
//! been used anywhere gets a record, its first.
//!
//! The keys of bodies in a vault stand beside the backups. A body without one was destroyed since, and is left out.
//!
//! Bodies that a vault took in after the backup stand nowhere else. So what the present vault holds is added to the copy.
//! What has been destroyed there since is destroyed again when the ledger reaches the order.

use std::path::{Path, PathBuf};

use chain_core::code::{Code, Refusal};

use super::manifest::{Manifest, copy_checked};
use super::verify::Verified;
use super::{STORES, Shelf, Which, check_room, invalid};
use crate::datadir::{DataDir, Identity, Initialised, make_private, sync_files, take};
use crate::restoring::{self, Reached, Step, replace};
use crate::snapshots::verify::Trust;
use crate::start::Setup;
use crate::storage::StorageError;
use crate::storage::consensus::ConsensusStore;
use crate::storage::high_water::{HighWater, Mark};
use crate::vault::{Vaults, keys};

/// What putting a backup back did.
#[derive(Debug)]
pub struct Restored {
    /// The backup.
    pub verified: Verified,
    /// Where that is now which stood there before.
    pub set_aside: Vec<PathBuf>,
    /// Of a directory that was made for it: whether the validator may vote.
    pub initialised: Option<Initialised>,
    /// What became of the vault of the backup, if it has one.
    pub vault: Option<RestoredVault>,
}

/// A vault that was put back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RestoredVault {
    /// Entries of the vault that was there, which are in the new one too; or why it could not be read.
    pub kept: Option<Result<u64, Refusal>>,
    /// Bodies of the backup that were left out: there is no key for them any more.
    pub keyless: u64,
    /// Where the keys are looked for.
    pub keys: PathBuf,
}

/// How the copies are made.
struct Making<'a> {
    data: &'a DataDir,
    identity: &'a Identity,
    backup: PathBuf,
    /// The keys of bodies in vaults.
    keys: PathBuf,
    manifest: &'a Manifest,
    /// The consensus key's file, for a directory that is to be made.
    new_for: Option<&'a Path>,
}

impl Setup {
    /// Puts a backup in the place of what a stopped node holds, or where nothing is. `key_file` is the consensus key's.
    /// Where the validator can vote from what is there, that is given up only if the caller says so.
    ///
    /// # Errors
    /// `LOCK_HELD` while the node runs; `ALREADY_INITIALISED` where a vote would be given up; `NO_ROOM`; as
    /// [`Shelf::verify`], and `BACKUP_INVALID` for the first flaw in its stores; when the directory cannot be written.
    pub fn restore_backup(
        &self,
        (shelf, which): (&Shelf, &Which),
        key_file: &Path,
        gives_up_vote: bool,
    ) -> Result<Restored, Refusal> {
        let identity = self.identity();
        let name = shelf.find(which)?;
        self.data.make()?;
        let mut lock = self.data.lock_file()?;
        let _held = take(&mut lock, self.data.path())?;
        restoring::settle(&self.data)?;
        let is_new = self.data.identity()?.is_none();
        if !is_new {
            self.data.check(&identity)?;
        }
        if !gives_up_vote && remembers(&self.data, &identity) {
            return Err(gives_up(&self.data));
        }
        let verified = shelf.verify(&name, &Trust::of(&self.genesis))?;
        if let Some(flaw) = verified.report.findings.first() {
            let at = flaw.block.map_or_else(String::new, |height| format!(", block {height}"));
            return Err(invalid(format!("backup {name}: {} store{at}: {}", flaw.store, flaw.refusal)));
        }
        check_room(self.data.path(), verified.manifest.bytes())?;
        let making = Making {
            data: &self.data,
            identity: &identity,
            backup: shelf.path(&name),
            keys: shelf.vault_keys(),
            manifest: &verified.manifest,
            new_for: is_new.then_some(key_file),
        };
        let ((initialised, vault), set_aside) = making.put()?;
        Ok(Restored { verified, set_aside, initialised, vault })
    }
}

/// What is known once the copies are made.
type Made = (Option<Initialised>, Option<RestoredVault>);

impl Making<'_> {
    fn put(&self) -> Result<(Made, Vec<PathBuf>), Refusal> {
        self.put_told(&mut |_| Ok(()))
    }

    fn put_told(&self, reached: &mut Reached<'_>) -> Result<(Made, Vec<PathBuf>), Refusal> {
        let put = replace(self.data, |copies, reached| self.make(copies, reached), reached);
        if put.is_err() {
            // Half a copy would fill the disk until the next start.
            let _ = restoring::forget_unfinished(self.data);
        }
        put
    }

    /// Makes the copies in a folder.
    fn make(&self, copies: &Path, reached: &mut Reached<'_>) -> Result<Made, Refusal> {
        let is_there = |store: &&str| self.backup.join(store).exists();
        let stores: Vec<&str> = STORES.into_iter().filter(is_there).collect();
        for store in &stores {
            make_private(&copies.join(store))?;
        }
        for (file, entry) in &self.manifest.files {
            copy_checked(&self.backup.join(file), &copies.join(file), entry)?;
            reached(Step::Copying)?;
        }
        let vault = self.complete_vault(&copies.join("vault"))?;
        let initialised = self.initialise(copies)?;
        for store in stores {
            sync_files(&copies.join(store))?;
        }
        Ok((initialised, vault))
    }

    /// Gives the copy of a vault its keys, and what the present vault holds.
    fn complete_vault(&self, copy: &Path) -> Result<Option<RestoredVault>, Refusal> {
        if !copy.exists() {
            return Ok(None);
        }
        if self.keys.join("CURRENT").exists() {
            Vaults::add_all(&self.keys, copy).map_err(refuse)?;
        }
        let keyless = keys::drop_single(copy).map_err(refuse)?;
        let present = self.data.vault();
        let there = present.join("CURRENT").exists();
        let kept = there.then(|| Vaults::add_all(&present, copy).map_err(refuse));
        Ok(Some(RestoredVault { kept, keyless, keys: self.keys.clone() }))
    }

    /// Makes the copies those of a directory, where there is none yet.
    fn initialise(&self, copies: &Path) -> Result<Option<Initialised>, Refusal> {
        let Some(key_file) = self.new_for else { return Ok(None) };
        let is_fresh = self.data.take_marker(key_file, &self.identity.consensus_key)?;
        if is_fresh {
            let store = ConsensusStore::open(&copies.join("consensus")).map_err(refuse)?;
            self.identity.lay_down_record(&store)?;
        }
        self.identity.write_to(copies)?;
        Ok(Some(if is_fresh { Initialised::Voting } else { Initialised::Following }))
    }
}

/// Whether the validator could vote from the record that is there.
fn remembers(data: &DataDir, identity: &Identity) -> bool {
    if !data.consensus().join("CURRENT").exists() {
        return false;
    }
    let record = ConsensusStore::open_read_only(&data.consensus()).and_then(|store| store.safety());
    let Ok(Some(record)) = record else { return false };
    let mark = HighWater::remembered(&data.high_water()).ok().flatten();
    record.chain_id == identity.chain_id
        && record.key == identity.consensus_key
        && !mark.is_some_and(|mark| Mark::of(&record).fell_behind(&mark))
}

fn gives_up(data: &DataDir) -> Refusal {
    let detail = format!(
        "{} holds the safety record from which this validator votes, and no backup has one: put back, the node follows \
         and does not vote until its keys are changed. If that is wanted, repeat it with --yes-it-will-not-vote",
        data.path().display()
    );
    Refusal::new(Code::AlreadyInitialised, detail)
}

fn refuse(error: StorageError) -> Refusal {
    error.refusal()
}

#[cfg(test)]
mod tests;
