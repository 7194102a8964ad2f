//! Proofs about the state: that a head is this one, and that there is none.

use chain_core::crypto::Digest;
use chain_core::execute::{OrderedBlock, execute_block};
use chain_core::id::{Height, RecordId};
use chain_core::layout::Layout as _;
use chain_core::state::{key, tree};

use crate::city::{City, agency, chain, licence, public};

#[test]
fn presence_and_absence_are_proved_against_the_root() {
    let mut city = City::new();
    let record = city.effective_licence("1");
    let root = city.ledger.summary().state_root;
    let height = city.ledger.height();
    let head = city.head(record).to_canonical();
    let head_key = key::record(&record);
    let proof = tree::prove(&city.ledger, height, &head_key).unwrap();
    assert!(tree::proves_presence(&proof, &root, &head_key, &head));
    assert!(!tree::proves_absence(&proof, &root, &head_key));
    let mut altered = head.clone();
    altered[0] ^= 1;
    assert!(!tree::proves_presence(&proof, &root, &head_key, &altered));
    assert!(!tree::proves_presence(&proof, &Digest::ZERO, &head_key, &head));

    let missing = key::record(&RecordId::new(Digest::ZERO));
    let proof = tree::prove(&city.ledger, height, &missing).unwrap();
    assert!(tree::proves_absence(&proof, &root, &missing));
    assert!(!tree::proves_absence(&proof, &root, &head_key));
    assert!(!tree::proves_presence(&proof, &root, &missing, &head));
}

#[test]
fn everything_under_0x80_is_in_the_tree_and_nothing_else() {
    let mut city = City::new();
    city.effective_licence("1");
    city.tick("2026-05-07");
    use chain_core::execute::LedgerRead as _;
    let (root, height) = (city.ledger.summary().state_root, city.ledger.height());
    let all = city.ledger.range(&[0], &[0xff], 1_000).unwrap();
    assert!(all.iter().any(|(key, _)| !key::is_in_tree(key)));
    for (state_key, value) in all {
        let proof = tree::prove(&city.ledger, height, &state_key).unwrap();
        let present = tree::proves_presence(&proof, &root, &state_key, &value);
        assert_eq!(present, key::is_in_tree(&state_key), "{state_key:02x?}");
    }
    for state_key in [key::agency(&agency("A1")), key::member(&public("A1/clerk1"))] {
        assert!(key::is_in_tree(&state_key));
    }
}

#[test]
fn idle_blocks_keep_the_root_and_every_height_has_one() {
    let mut city = City::new();
    let genesis = city.ledger.summary().state_root;
    assert_ne!(genesis, tree::EMPTY_ROOT);
    for second in 1..5 {
        city.time_ms += second;
        city.block(Vec::new());
        assert_eq!(city.ledger.summary().state_root, genesis);
    }
    // The root node carried over replaces the one before it, which may be pruned.
    let header = city.header();
    let block = OrderedBlock { header: &header, batches: Vec::new() };
    let at = city.ledger.exec_state();
    let idle = execute_block(&city.ledger, &chain(), at, &block).unwrap();
    assert_eq!(idle.tree.node_batch.nodes().len(), 1);
    let stale: Vec<_> =
        idle.tree.stale_node_index_batch.iter().map(|stale| stale.node_key.version()).collect();
    assert_eq!(stale, [4]);
    city.submit("A1/clerk1", licence("1")).unwrap();
    assert_ne!(city.ledger.summary().state_root, genesis);
    assert_eq!(city.ledger.height(), Height::new(5));
}
