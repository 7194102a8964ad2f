//! Operations: the steps in a record's life, as public headers.
//!
//! A header identifies no person, holds everything a state change needs, and binds its removable body by a
//! salted commitment.

use serde::{Deserialize, Serialize};

use crate::canonical::Writer;
use crate::crypto::Digest;
use crate::id::RecordId;

/// One step in a record's life.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Approves the content that the digest names.
    Countersign {
        /// The record.
        record: RecordId,
        /// Its version.
        version: u32,
        /// Digest of the header approved.
        header_digest: Digest,
    },
}

impl Operation {
    /// The canonical layout that transactions hash.
    pub fn canonical(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        match self {
            Self::Countersign { record, version, header_digest } => {
                writer.u8(2).digest(record.digest()).u32(*version).digest(header_digest);
            }
        }
        writer.finish()
    }
}
