//! The data keys of vaulted bodies, beside the backups and in none of them (ADR 0027).
//!
//! Each backup adds the keys of the bodies in it; the node takes out those of bodies that it destroys. Nothing else does: a
//! backup of a vault that was lost and begun anew leaves the keys of the older backups where they are.

use std::path::{Path, PathBuf};

use chain_core::code::Refusal;

use super::Shelf;
use crate::datadir::{make_private, remove_folder, sync_files, take};
use crate::storage::StorageError;
use crate::storage::live::Copied;
use crate::vault::{Vaults, keys};

impl Shelf {
    /// Where the keys are, if any backup has a vault.
    pub(super) fn vault_keys(&self) -> PathBuf {
        self.0.join("vault-keys")
    }

    /// Adds the keys of a vault, which may be in use. Whoever calls it makes a backup, and gives a folder that is removed with
    /// one that is not completed.
    pub(super) fn add_keys(&self, vault: &Path, making: &Path) -> Result<Copied, Refusal> {
        let (copy, scratch) = (making.join("keys"), making.join("view"));
        let copied = keys::copy_keys(vault, &copy, &scratch).map_err(refuse)?;
        let all = self.vault_keys();
        make_private(&all)?;
        Vaults::add_all(&copy, &all).map_err(refuse)?;
        sync_files(&all)?;
        remove_folder(&copy)?;
        remove_folder(&scratch)?;
        Ok(copied)
    }

    /// Destroys the keys of bodies, by their places in the vaults.
    ///
    /// # Errors
    /// `LOCK_HELD` while a backup is made or removed; when the folder cannot be read or written.
    pub(crate) fn destroy_keys(&self, places: &[Vec<u8>]) -> Result<u32, Refusal> {
        if !self.0.exists() {
            return Ok(0);
        }
        let mut lock = self.lock_file()?;
        let _held = take(&mut lock, &self.0)?;
        // One that was cut off may have left a copy of the keys.
        self.tidy()?;
        let all = self.vault_keys();
        if !all.join("CURRENT").exists() {
            return Ok(0);
        }
        keys::destroy_at(&all, places).map_err(refuse)
    }
}

fn refuse(error: StorageError) -> Refusal {
    error.refusal()
}
