//! Putting a snapshot in the place of the ledger store.
//!
//! The ledger follows from the consensus store, so an old ledger is only a late one: it is executed up to the present
//! from there. The consensus store and the safety record are not touched by any of this, and no snapshot of them
//! exists. A validator that votes from an old safety record may sign the opposite of what it signed.
//!
//! How a crash in the middle ends is told in [`crate::restoring`].

use std::fs;
use std::path::{Path, PathBuf};

use chain_core::code::Refusal;

use crate::datadir::{DataDir, file_error, sync_files};
use crate::restoring::{Reached, Step, replace};

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

/// Puts a copy of a snapshot in the place of the ledger. `reached` is told of each step.
///
/// # Errors
/// When the directory cannot be written, or where `reached` refuses.
pub(crate) fn put_back(
    data: &DataDir,
    snapshot: &Path,
    reached: &mut Reached<'_>,
) -> Result<PutBack, Refusal> {
    let ((linked, copied), set_aside) = replace(
        data,
        |copies, reached| copy_store(snapshot, &copies.join("ledger"), || reached(Step::Copying)),
        reached,
    )?;
    Ok(PutBack { set_aside: set_aside.into_iter().next(), linked, copied })
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
