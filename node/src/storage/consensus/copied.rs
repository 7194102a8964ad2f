//! A copy of the store for a backup: everything but the memory of what was signed.

use std::path::Path;

use super::{BUDGET, ConsensusStore, FAMILIES, StorageError};
use crate::storage::live::{Copied, Source, copy};

/// What no copy has. A validator that votes from a record of an earlier day may sign the opposite of what it signed since.
const STAYS: &[&str] = &["safety"];

impl ConsensusStore {
    /// Copies the store of a node, which may run, without its safety record.
    ///
    /// # Errors
    /// As [`copy`].
    pub(crate) fn copy(path: &Path, to: &Path, scratch: &Path) -> Result<Copied, StorageError> {
        let source =
            Source { name: "consensus", path, scratch, families: FAMILIES, without: STAYS, budget: BUDGET };
        copy(&source, to)
    }
}
