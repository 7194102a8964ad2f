//! Proofs about the state: that a head is this one, and that there is none.

use std::collections::BTreeMap;

use chain_core::crypto::Digest;
use chain_core::execute::{OrderedBlock, execute_block};
use chain_core::id::{Height, RecordId};
use chain_core::layout::Layout as _;
use chain_core::state::tree::TreeWrite;
use chain_core::state::{key, tree};
use chain_core::subject::Index;
use jmt::storage::{LeafNode, Node, NodeKey, TreeReader};
use jmt::{KeyHash, OwnedValue, Version};
use proptest::prelude::*;

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
    assert!(proof.shows(&root, &head_key, &head));
    assert!(!proof.shows_absence(&root, &head_key));
    let mut altered = head.clone();
    altered[0] ^= 1;
    assert!(!proof.shows(&root, &head_key, &altered));
    assert!(!proof.shows(&Digest::ZERO, &head_key, &head));

    let missing = key::record(&RecordId::new(Digest::ZERO));
    let proof = tree::prove(&city.ledger, height, &missing).unwrap();
    assert!(proof.shows_absence(&root, &missing));
    assert!(!proof.shows_absence(&root, &head_key));
    assert!(!proof.shows(&root, &missing, &head));
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
        let present = proof.shows(&root, &state_key, &value);
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
    let block = OrderedBlock { header: &header, batches: Vec::new(), index: Index::None };
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

/// The tree of one version after the other, without what each made stale.
#[derive(Default)]
pub(crate) struct Versions {
    nodes: BTreeMap<NodeKey, Node>,
    next: u64,
}

impl TreeReader for Versions {
    fn get_node_option(&self, node_key: &NodeKey) -> anyhow::Result<Option<Node>> {
        Ok(self.nodes.get(node_key).cloned())
    }

    fn get_value_option(&self, _: Version, _: KeyHash) -> anyhow::Result<Option<OwnedValue>> {
        Ok(None)
    }

    fn get_rightmost_leaf(&self) -> anyhow::Result<Option<(NodeKey, LeafNode)>> {
        Ok(None)
    }
}

impl Versions {
    pub(crate) fn update(&mut self, entries: Vec<TreeWrite>) -> Digest {
        let (root, batch) = tree::update(self, Height::new(self.next), entries).unwrap();
        self.next += 1;
        for stale in batch.stale_node_index_batch {
            assert!(self.nodes.remove(&stale.node_key).is_some(), "{:?} was never there", stale.node_key);
        }
        self.nodes.extend(batch.node_batch.nodes().clone());
        root
    }
}

/// Places that part from each other at any depth: most nibbles are the same in all of them.
fn place(choice: u8) -> KeyHash {
    let mut place = [0; 32];
    for (at, bit) in [0_usize, 0, 1, 7, 30, 31].into_iter().zip(0..) {
        place[at] ^= ((choice >> bit) & 1) << (4 * (bit % 2));
    }
    KeyHash(place)
}

proptest! {
    /// However entries came, changed and went: root and number of nodes are those of a tree that was given the rest at
    /// once, and each version can be built on the one before without what that made stale.
    #[test]
    fn the_root_depends_on_the_entries_alone(
        blocks in prop::collection::vec(
            prop::collection::btree_map(0_u8..64, prop::option::weighted(0.6, any::<u8>()), 0..12),
            1..24,
        ),
    ) {
        let mut versions = Versions::default();
        let mut held = BTreeMap::new();
        for block in blocks {
            let writes = block
                .iter()
                .map(|(choice, value)| (place(*choice), value.map(|value| tree::tree_value(&[value]))))
                .collect();
            let root = versions.update(writes);
            for (choice, value) in block {
                match value {
                    Some(value) => held.insert(choice, value),
                    None => held.remove(&choice),
                };
            }
            let mut anew = Versions::default();
            let all = held
                .iter()
                .map(|(choice, value)| (place(*choice), Some(tree::tree_value(&[*value]))))
                .collect();
            prop_assert_eq!(root, anew.update(all));
            prop_assert_eq!(versions.nodes.len(), anew.nodes.len());
            if held.is_empty() {
                prop_assert_eq!(root, tree::EMPTY_ROOT);
            }
        }
    }
}
