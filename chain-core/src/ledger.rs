//! A ledger in memory: for simulators, offline audits and tests.
//!
//! It keeps the state, the newest nodes of the state tree, and all leaves and outcomes. Validators keep the
//! same things in a database; both go through [`crate::execute`].

use std::collections::BTreeMap;

use jmt::storage::{LeafNode, Node, NodeKey, TreeReader};
use jmt::{KeyHash, OwnedValue, Version};

use crate::block::ExecSummary;
use crate::code::Refusal;
use crate::execute::{
    self, AppendedLeaf, BlockResult, ChainParams, ExecState, GenesisState, LedgerRead, OrderedBlock, Outcome,
    ReadError, StateEntry,
};
use crate::id::{Height, RecordId};
use crate::layout::Layout;
use crate::recovery::SignedRecovery;
use crate::state::{RecordHead, key, tree};

/// The whole ledger of one chain, in memory.
#[derive(Clone, Debug)]
pub struct MemoryLedger {
    chain: ChainParams,
    at: ExecState,
    state: BTreeMap<Vec<u8>, Vec<u8>>,
    nodes: BTreeMap<NodeKey, Node>,
    leaves: Vec<AppendedLeaf>,
    keep_leaves: bool,
}

impl MemoryLedger {
    /// A ledger at height 0.
    ///
    /// # Errors
    /// When the genesis breaks a rule.
    pub fn new(chain: ChainParams, genesis: &GenesisState) -> Result<Self, Refusal> {
        let result = execute::genesis_block(&chain, genesis)?;
        let at = ExecState { summary: result.summary, log: result.log.clone() };
        let mut ledger = Self {
            chain,
            at,
            state: BTreeMap::new(),
            nodes: BTreeMap::new(),
            leaves: Vec::new(),
            keep_leaves: true,
        };
        ledger.apply(result);
        Ok(ledger)
    }

    /// A ledger as it stood once: from what [`Self::entries`] and [`Self::exec_state`] gave. Its tree is made anew from
    /// the entries, and must have the root that it had. It keeps no leaves.
    ///
    /// # Errors
    /// When the entries or the log do not lead to the roots.
    pub fn restore(
        chain: ChainParams,
        at: ExecState,
        state: BTreeMap<Vec<u8>, Vec<u8>>,
    ) -> Result<Self, ReadError> {
        let entries = state.iter().filter(|(key, _)| key::is_in_tree(key));
        let entries = entries.map(|(key, value)| (tree::key_hash(key), Some(tree::tree_value(value))));
        let entries = entries.collect();
        let (height, state_root) = (at.summary.height, at.summary.state_root);
        let (log_size, log_root) = (at.log.size(), at.log.root());
        let mut ledger =
            Self { chain, at, state, nodes: BTreeMap::new(), leaves: Vec::new(), keep_leaves: false };
        let (root, batch) = tree::update(&ledger, Height::ZERO, entries)?;
        if root != state_root {
            return Err(ReadError(format!("the state has root {root}, wants {state_root}")));
        }
        if (log_size, log_root) != (ledger.at.summary.log_size, ledger.at.summary.log_root) {
            return Err(ReadError(format!("the log has {log_size} leaves with root {log_root}")));
        }
        let nodes = batch.node_batch.nodes();
        ledger.nodes.extend(nodes.iter().map(|(key, node)| (key.clone(), node.clone())));
        // The next block looks for the root under the height before its own; all below it is found from there.
        if let Some(node) = ledger.nodes.remove(&tree::root_key(Height::ZERO)) {
            ledger.nodes.insert(tree::root_key(height), node);
        }
        Ok(ledger)
    }

    /// Every entry of the state, by ascending key.
    pub fn entries(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.state.iter().map(|(key, value)| (key.as_slice(), value.as_slice()))
    }

    /// Forgets leaves instead of keeping them: a simulator needs their root only.
    pub fn without_leaves(mut self) -> Self {
        self.keep_leaves = false;
        self.leaves = Vec::new();
        self
    }

    /// The parameters of the chain.
    pub fn chain(&self) -> &ChainParams {
        &self.chain
    }

    /// Newest height, log size and roots.
    pub fn summary(&self) -> &ExecSummary {
        &self.at.summary
    }

    /// Where the ledger stands, as execution wants it.
    pub fn exec_state(&self) -> &ExecState {
        &self.at
    }

    /// All leaves of the record log, in order.
    pub fn leaves(&self) -> &[AppendedLeaf] {
        &self.leaves
    }

    /// The head of a record.
    pub fn head(&self, record: &RecordId) -> Option<RecordHead> {
        RecordHead::from_canonical(self.state.get(&key::record(record))?).ok()
    }

    /// Executes a block and takes its result over.
    ///
    /// # Errors
    /// When the state does not decode, which only a bug can cause.
    pub fn execute(&mut self, block: &OrderedBlock<'_>) -> Result<Vec<Outcome>, ReadError> {
        let mut result = execute::execute_block(self, &self.chain, &self.at, block)?;
        let outcomes = std::mem::take(&mut result.outcomes);
        self.apply(result);
        Ok(outcomes)
    }

    /// As [`Self::execute`], for the first block of an epoch that acts of recovery began.
    ///
    /// # Errors
    /// As [`execute::execute_recovered_block`].
    pub fn execute_recovered(
        &mut self,
        block: &OrderedBlock<'_>,
        recoveries: &[SignedRecovery],
    ) -> Result<Vec<Outcome>, ReadError> {
        let mut result = execute::execute_recovered_block(self, &self.chain, &self.at, block, recoveries)?;
        let outcomes = std::mem::take(&mut result.outcomes);
        self.apply(result);
        Ok(outcomes)
    }

    /// Takes over what a block does.
    pub fn apply(&mut self, result: BlockResult) {
        self.at = ExecState { summary: result.summary, log: result.log };
        for (key, value) in result.state {
            match value {
                Some(value) => self.state.insert(key, value),
                None => self.state.remove(&key),
            };
        }
        for stale in &result.tree.stale_node_index_batch {
            self.nodes.remove(&stale.node_key);
        }
        for (key, node) in result.tree.node_batch.nodes() {
            self.nodes.insert(key.clone(), node.clone());
        }
        if self.keep_leaves {
            self.leaves.extend(result.leaves);
        }
    }

    /// Newest height.
    pub fn height(&self) -> Height {
        self.at.summary.height
    }
}

impl LedgerRead for MemoryLedger {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.state.get(key).cloned())
    }

    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<StateEntry>, ReadError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let range = self.state.range(from.to_vec()..to.to_vec());
        Ok(range.take(limit).map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

impl TreeReader for MemoryLedger {
    fn get_node_option(&self, key: &NodeKey) -> anyhow::Result<Option<Node>> {
        Ok(self.nodes.get(key).cloned())
    }

    /// Values are not kept beside the tree.
    fn get_value_option(&self, _: Version, _: KeyHash) -> anyhow::Result<Option<OwnedValue>> {
        Ok(None)
    }

    fn get_rightmost_leaf(&self) -> anyhow::Result<Option<(NodeKey, LeafNode)>> {
        Ok(None)
    }
}
