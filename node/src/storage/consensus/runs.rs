//! Final blocks in a row, for whoever lacks them.

use chain_core::block::Header;
use chain_core::certificate::Cert;
use chain_core::codec::encode;
use chain_core::id::Height;
use consensus::message::{Proposal, SYNC_BLOCKS_MAX};
use serde::{Deserialize, Serialize};

use super::{Certified, ConsensusStore, StorageError};

/// Most bytes of blocks in one answer: well inside a frame.
pub(crate) const RUN_BYTES_MAX: usize = 3 * 1024 * 1024;
/// Most blocks in one answer, however far apart certificates are.
const BLOCKS_MAX: usize = 256;

/// Final blocks in a row, with what made the last of them final.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Run {
    /// The blocks, ascending without gaps.
    pub blocks: Vec<Proposal>,
    /// When the last of them closes its epoch: the headers after it, up to the one that the certificate is over.
    pub suffixes: Vec<Header>,
    /// Commit certificate of the last of them, or of the last Suffix.
    pub certificate: Cert,
}

impl ConsensusStore {
    /// Final blocks from a height on, with the certificate of the last; none when this node has none.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn run_from(&self, from: Height) -> Result<Option<Run>, StorageError> {
        let wanted = Height::new(from.get().saturating_add(SYNC_BLOCKS_MAX - 1));
        let mut found = self.certified_to(wanted)?.filter(|(last, _)| *last >= from);
        if found.is_none() {
            found = self.certified_from(from)?;
        }
        let Some((last, _)) = found else { return Ok(None) };
        let count = usize::try_from(last.since(from) + 1).unwrap_or(usize::MAX);
        let mut blocks = self.final_blocks(from, count.min(BLOCKS_MAX))?;
        // One answer is of one epoch, and fits into one frame.
        let epoch = blocks.first().map(|block| block.header.epoch);
        let mut bytes = 0;
        let fits = blocks.iter().take_while(|block| {
            bytes += encode(*block).map_or(0, |bytes| bytes.len());
            bytes <= RUN_BYTES_MAX && Some(block.header.epoch) == epoch
        });
        let fits = fits.count();
        if fits < count {
            // Too much: end at a lower certificate.
            let Some(last) = blocks.get(fits.saturating_sub(1)).map(|block: &Proposal| block.header.height)
            else {
                return Ok(None);
            };
            found = self.certified_to(last)?.filter(|(last, _)| *last >= from);
        }
        let Some((last, Certified { suffixes, certificate })) = found else { return Ok(None) };
        blocks.truncate(usize::try_from(last.since(from) + 1).unwrap_or(usize::MAX));
        Ok(Some(Run { blocks, suffixes, certificate }))
    }
}
