//! What stands on a shelf, and removing what is old.

use std::num::NonZeroUsize;

use chain_core::code::Refusal;

use super::manifest::{Manifest, files_of};
use super::{Name, REMOVING, Shelf};
use crate::datadir::{make_private, remove_folder, rename, sync_directory, take};

/// A backup on a shelf, by a quick look.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its name.
    pub name: Name,
    /// Bytes of the files that are there.
    pub bytes: u64,
    /// What it says of itself if it is complete: all files are there with their sizes, and no other.
    pub manifest: Result<Manifest, Refusal>,
}

/// What was removed from a shelf.
#[derive(Clone, Debug, Default)]
pub struct Pruned {
    /// The backups that are gone, each with its bytes.
    pub removed: Vec<(Name, u64)>,
    /// Those that stay.
    pub kept: Vec<Name>,
    /// One that stays although it is old: of those that are newer, none is as it was written.
    pub spared: Option<Name>,
    /// Those that are not complete, which stay until somebody has looked at them.
    pub incomplete: Vec<(Name, Refusal)>,
}

impl Shelf {
    /// The backups on the shelf, the oldest first.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>, Refusal> {
        let look = |name: Name| {
            let backup = self.path(&name);
            let manifest =
                Manifest::read(&backup).and_then(|manifest| manifest.check_files(&backup).map(|()| manifest));
            let bytes = files_of(&backup).map_or(0, |files| files.values().sum());
            Listed { name, bytes, manifest }
        };
        Ok(self.names()?.into_iter().map(look).collect())
    }

    /// Removes all complete backups but so many of the newest ones. If none of these is as it was written, byte by byte, the
    /// newest one that is stays as well.
    ///
    /// # Errors
    /// `LOCK_HELD` while one is made; when one cannot be removed.
    pub fn prune(&self, keep: NonZeroUsize) -> Result<Pruned, Refusal> {
        make_private(&self.0)?;
        let mut lock = self.lock_file()?;
        let _held = take(&mut lock, &self.0)?;
        self.tidy()?;
        let mut pruned = Pruned::default();
        let mut complete = Vec::new();
        for one in self.list()? {
            match one.manifest {
                Ok(manifest) => complete.push((one.name, manifest, one.bytes)),
                Err(flaw) => pruned.incomplete.push((one.name, flaw)),
            }
        }
        complete.reverse();
        let whole =
            |(name, manifest, _): &&(Name, Manifest, u64)| manifest.check_digests(&self.path(name)).is_ok();
        let (kept, old) = complete.split_at(keep.get().min(complete.len()));
        if !old.is_empty() && !kept.iter().any(|one| whole(&one)) {
            pruned.spared = old.iter().find(whole).map(|(name, ..)| name.clone());
        }
        pruned.kept = kept.iter().map(|(name, ..)| name.clone()).collect();
        for (name, _, bytes) in old.iter().filter(|(name, ..)| pruned.spared.as_ref() != Some(name)) {
            self.remove(name)?;
            pruned.removed.push((name.clone(), *bytes));
        }
        Ok(pruned)
    }

    /// Removes a backup. One that is half removed must not pass for one.
    fn remove(&self, name: &Name) -> Result<(), Refusal> {
        let removing = self.0.join(format!("{REMOVING}{name}"));
        rename(&self.path(name), &removing)?;
        self.forget_note(name)?;
        sync_directory(&self.0)?;
        remove_folder(&removing)
    }
}
