//! Putting a snapshot in the place of the ledger store.
//!
//! The ledger follows from the consensus store, so an old ledger is only a late one: it is executed up to the present
//! from there. The consensus store and the safety record are not touched by any of this, and no snapshot of them
//! exists. A validator that votes from an old safety record may sign the opposite of what it signed.
//!
//! Each step is durable before the next one begins, and a name says how far it went:
//!
//! | after the step | `ledger` | `ledger-restoring` | `ledger-restored` |
//! |---|---|---|---|
//! | the copy is being made | the present one | unfinished | |
//! | the copy is complete | the present one | | the copy |
//! | the present ledger is set aside | | | the copy |
//! | the copy takes its place | the copy | | |
//!
//! The present ledger stays under `ledger-set-aside-<n>` until somebody deletes it.

use std::fs;
use std::path::{Path, PathBuf};

use chain_core::code::Refusal;

use crate::datadir::{DataDir, file_error, remove_folder, rename, sync_directory, sync_files};

/// A step that is durable.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// Some of the copy is there.
    Copying,
    /// All of it is.
    Copied,
    /// The present ledger has another name.
    SetAside,
    /// The copy is the ledger.
    Done,
}

/// What putting a snapshot back did.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PutBack {
    /// Where the ledger is that stood there before, if one did.
    pub set_aside: Option<PathBuf>,
    /// Files that the new ledger shares with the snapshot.
    pub linked: usize,
    /// Files of its own.
    pub copied: usize,
}

/// Ends a restoring that was cut off: by taking the copy over if the present ledger was set aside already, otherwise by
/// forgetting the copy. True in the first case.
///
/// # Errors
/// When the directory cannot be written.
pub(crate) fn settle(data: &DataDir) -> Result<bool, Refusal> {
    remove_folder(&restoring(data))?;
    let copy = restored(data);
    if !copy.exists() {
        return Ok(false);
    }
    if data.ledger().exists() {
        remove_folder(&copy)?;
        return Ok(false);
    }
    take_over(data)?;
    Ok(true)
}

/// Puts a copy of a snapshot in the place of the ledger. `reached` is told of each step; what it refuses ends the
/// restoring there, as a crash would.
///
/// # Errors
/// When the directory cannot be written, or where `reached` refuses.
pub(crate) fn put_back(
    data: &DataDir,
    snapshot: &Path,
    mut reached: impl FnMut(Step) -> Result<(), Refusal>,
) -> Result<PutBack, Refusal> {
    settle(data)?;
    let copy = restoring(data);
    let (linked, copied) = copy_store(snapshot, &copy, || reached(Step::Copying))?;
    rename(&copy, &restored(data))?;
    sync_directory(data.path())?;
    reached(Step::Copied)?;
    let set_aside = set_aside(data)?;
    reached(Step::SetAside)?;
    take_over(data)?;
    reached(Step::Done)?;
    Ok(PutBack { set_aside, linked, copied })
}

fn restoring(data: &DataDir) -> PathBuf {
    data.path().join("ledger-restoring")
}

fn restored(data: &DataDir) -> PathBuf {
    data.path().join("ledger-restored")
}

fn set_aside(data: &DataDir) -> Result<Option<PathBuf>, Refusal> {
    let ledger = data.ledger();
    if !ledger.exists() {
        return Ok(None);
    }
    let mut number = 1_u32;
    let aside = loop {
        let aside = data.path().join(format!("ledger-set-aside-{number}"));
        if !aside.exists() {
            break aside;
        }
        number += 1;
    };
    rename(&ledger, &aside)?;
    sync_directory(data.path())?;
    Ok(Some(aside))
}

fn take_over(data: &DataDir) -> Result<(), Refusal> {
    rename(&restored(data), &data.ledger())?;
    sync_directory(data.path())
}

/// Copies a closed store, durably; gives how many files were linked and how many copied. RocksDB never changes a table
/// file once it is written, so the two stores may share it; all others it appends to or replaces.
fn copy_store(
    from: &Path,
    to: &Path,
    mut reached: impl FnMut() -> Result<(), Refusal>,
) -> Result<(usize, usize), Refusal> {
    fs::create_dir(to).map_err(|error| file_error("making", to, error))?;
    let (mut linked, mut copied) = (0, 0);
    for entry in fs::read_dir(from).map_err(|error| file_error("reading", from, error))? {
        let entry = entry.map_err(|error| file_error("reading", from, error))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name == "LOCK" || name.starts_with("LOG") {
            continue;
        }
        // On a file system without links, or with too many of one file, a copy does as well.
        if name.ends_with(".sst") && fs::hard_link(&source, &target).is_ok() {
            linked += 1;
        } else {
            fs::copy(&source, &target).map_err(|error| file_error("copying", &source, error))?;
            copied += 1;
        }
        reached()?;
    }
    sync_files(to)?;
    Ok((linked, copied))
}

#[cfg(test)]
mod tests;
