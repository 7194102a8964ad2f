//! Whole blocks as they leave a node's archive: what an auditor needs to check and re-execute a chain.

use serde::{Deserialize, Serialize};

use crate::block::Header;
use crate::certificate::Cert;
use crate::codec::Wire;
use crate::crypto::{Digest, Signature};
use crate::execute::Outcome;
use crate::lane::LaneAdvance;
use crate::transaction::Batch;

/// Most blocks of one answer; also bounded by [`PAGE_BYTES_MAX`].
pub const PAGE_BLOCKS_MAX: usize = 64;
/// An answer ends with the block that crosses this many encoded bytes.
pub const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Media type of an encoded [`RawBlocks`].
pub const MEDIA_TYPE: &str = "application/vnd.city-ledger.blocks";

/// A block with everything that its header commits to, and what a node says came of it.
///
/// Only the header and what hashes into it is proved by a certificate; an auditor recomputes the rest.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RawBlock {
    /// The header.
    pub header: Header,
    /// Lane advances, under `lanes_root`.
    pub advances: Vec<LaneAdvance>,
    /// The proposer's signature, kind 1.
    pub proposer_signature: Signature,
    /// Every batch ordered here, in execution order, with the bodies still held.
    pub batches: Vec<Batch>,
    /// One outcome per operation, in order of execution; under `outcomes_root`.
    pub outcomes: Vec<Outcome>,
    /// Commit certificate of this block, where it is the one that was certified.
    pub certificate: Option<Cert>,
    /// `exec_root` that the node computed for this height.
    pub exec_root: Digest,
}

impl Wire for RawBlock {
    /// A full block and as many refusals as it may have operations, each at its longest.
    const LIMIT: usize = 48 * 1024 * 1024;
}

/// Blocks of one answer, ascending without gaps.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct RawBlocks {
    /// The blocks.
    pub blocks: Vec<RawBlock>,
}

impl Wire for RawBlocks {
    const LIMIT: usize = RawBlock::LIMIT + PAGE_BYTES_MAX;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::{Flags, HEADER_VERSION, lanes_root};
    use crate::codec::{decode, encode};
    use crate::id::{ChainId, Epoch, Height, ValidatorIx, View};

    #[test]
    fn a_page_survives_both_encodings() {
        let header = Header {
            version: HEADER_VERSION,
            chain_id: ChainId::new(Digest::ZERO),
            epoch: Epoch::ZERO,
            view: View::ZERO,
            height: Height::new(1),
            parent: Digest::ZERO,
            proposer: ValidatorIx::new(2),
            time_ms: 1,
            flags: Flags::SEAL,
            lanes_root: lanes_root(&[]),
            batches_root: Digest::ZERO,
            n_batches: 0,
            n_records: 0,
            n_bytes: 0,
            exec_height: Height::ZERO,
            exec_root: Digest::ZERO,
            history_root: Digest::ZERO,
            validators_hash: Digest::ZERO,
            next_validators_hash: Digest::ZERO,
        };
        let block = RawBlock {
            header,
            advances: Vec::new(),
            proposer_signature: Signature::ZERO,
            batches: Vec::new(),
            outcomes: Vec::new(),
            certificate: None,
            exec_root: Digest::ZERO,
        };
        let page = RawBlocks { blocks: vec![block.clone(), block] };
        assert_eq!(decode::<RawBlocks>(&encode(&page).unwrap()), Ok(page.clone()));
        let json = serde_json::to_string(&page).unwrap();
        assert_eq!(serde_json::from_str::<RawBlocks>(&json).unwrap(), page);
    }
}
