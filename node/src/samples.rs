//! Values that several tests of this crate begin with; none is signed, and no store or network is behind them.

use chain_core::committee::{Committee, Validator};
use chain_core::crypto::{Digest, SecretKey};
use chain_core::id::{ChainId, Epoch, Height, ValidatorIx};
use chain_core::lane::BatchHeader;
use chain_core::recovery::RecoveryAct;

/// The header of an empty batch.
pub(crate) fn batch_header(epoch: u64, author: u16, seq: u64) -> BatchHeader {
    BatchHeader {
        chain_id: ChainId::new(Digest::ZERO),
        epoch: Epoch::new(epoch),
        author: ValidatorIx::new(author),
        seq,
        prev: Digest::ZERO,
        payload_root: Digest::ZERO,
        bytes: 0,
        count: 0,
        time_ms: 0,
    }
}

/// A validator with keys of its own, below 16.
pub(crate) fn validator(at: u8) -> Validator {
    let key = |kind: u8| SecretKey::from_seed([kind * 16 + at; 32]).public();
    Validator {
        name: format!("v{at}"),
        agency: format!("register:CN-T:{at}"),
        consensus_key: key(1),
        network_key: key(2),
        log_key: key(3),
        address: String::new(),
        may_lead: true,
    }
}

/// An act that ends an epoch at a block, with four validators in the next one.
pub(crate) fn recovery_act(epoch: u64, (height, block_digest): (u64, Digest), reason: &str) -> RecoveryAct {
    RecoveryAct {
        chain_id: ChainId::new(Digest::ZERO),
        epoch: Epoch::new(epoch),
        height: Height::new(height),
        block_digest,
        next: Committee::new(Epoch::new(epoch + 1), (0..4).map(validator).collect()).unwrap(),
        reason: reason.to_owned(),
        time_ms: 0,
    }
}
