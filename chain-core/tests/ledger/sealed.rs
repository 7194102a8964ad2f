//! Checkpoints over the log of a test city, cosigned by a quorum of four.

use chain_core::checkpoint::{Checkpoint, SignedCheckpoint, origin};
use chain_core::committee::{Committee, Validator};
use chain_core::crypto::SecretKey;
use chain_core::id::Epoch;
use chain_core::merkle::Tree;
use chain_core::receipt::TlogProof;
use chain_core::trust::TrustPolicy;

use crate::city::{City, chain};

fn key(role: u8, ix: u8) -> SecretKey {
    SecretKey::from_seed([role * 64 + ix; 32])
}

/// The validators that readers trust.
pub(crate) fn policy() -> TrustPolicy {
    let validator = |ix: u8| Validator {
        name: format!("validator-{ix}"),
        agency: format!("register:CN-T:{ix}"),
        consensus_key: key(0, ix).public(),
        network_key: key(1, ix).public(),
        log_key: key(2, ix).public(),
        address: "/ip4/127.0.0.1/tcp/7101".to_owned(),
        may_lead: true,
    };
    let committee = Committee::new(Epoch::ZERO, (0..4).map(validator).collect()).unwrap();
    TrustPolicy::from_committee("test", chain().chain_id, &committee)
}

/// The newest seal leaf, under a checkpoint with exactly a quorum of cosignatures.
pub(crate) fn seal(city: &City) -> TlogProof {
    let log = Tree::from_leaves(city.ledger.leaves().iter().map(|leaf| leaf.bytes.clone()));
    let checkpoint =
        Checkpoint { origin: origin("test", &chain().chain_id), size: log.size(), root: log.root() };
    let mut lines = vec![checkpoint.sign(&key(2, 3))];
    for ix in 0..3 {
        let key = key(2, ix);
        lines.push(checkpoint.cosign(1_795_392_000, &key).line(&format!("validator-{ix}"), &key.public()));
    }
    let index = log.size() - 1;
    TlogProof {
        extra: city.ledger.leaves().last().map(|leaf| leaf.bytes.clone()),
        index,
        hashes: log.inclusion(index).unwrap().hashes,
        checkpoint: SignedCheckpoint { checkpoint, lines },
    }
}
