//! Records that ended epochs left unordered, and that this node files again: those of its own lane, and after an act of
//! recovery those of validators that are gone.
//!
//! They are kept by the names of their batches, in the consensus store, until some block has ordered them: through
//! any number of epochs, and over restarts in between. Before an epoch ends here its leftovers are added.

use std::collections::BTreeSet;

use chain_core::id::{Epoch, TxId};
use chain_core::lane::BatchRef;
use chain_core::transaction::Submission;

use crate::storage::StorageError;
use crate::storage::consensus::ConsensusStore;

/// Most names kept, the newest: as many as fit into their entry of the store. A hundred lanes with all that an author
/// makes ahead of what is ordered are fewer.
const NAMES_MAX: usize = 16 * 1_024;

/// What is kept, and what tells whether a transaction was ordered.
pub(super) struct Carried<'a> {
    store: &'a ConsensusStore,
    is_ordered: &'a dyn Fn(&TxId) -> Result<bool, StorageError>,
}

impl<'a> Carried<'a> {
    pub(super) fn new(
        store: &'a ConsensusStore,
        is_ordered: &'a dyn Fn(&TxId) -> Result<bool, StorageError>,
    ) -> Self {
        Self { store, is_ordered }
    }

    /// Keeps the names of batches that an epoch leaves unordered, beside those kept before that hold a record which
    /// still waits; durable when this returns.
    ///
    /// # Errors
    /// When the store refuses.
    pub(super) fn keep(&self, left: impl IntoIterator<Item = BatchRef>) -> Result<(), StorageError> {
        let mut names: BTreeSet<BatchRef> = left.into_iter().collect();
        for name in self.store.carried()? {
            if !names.contains(&name) && !self.unordered(&name)?.is_empty() {
                names.insert(name);
            }
        }
        if names.len() > NAMES_MAX {
            tracing::warn!(dropped = names.len() - NAMES_MAX, "batches of long ended epochs are given up");
        }
        let surplus = names.len().saturating_sub(NAMES_MAX);
        let names: Vec<BatchRef> = names.into_iter().skip(surplus).collect();
        self.store.set_carried(&names)
    }

    /// The records that epochs before this one left unordered and that no block has ordered since, each once.
    ///
    /// # Errors
    /// When the store refuses.
    pub(super) fn waiting(&self, epoch: Epoch) -> Result<Vec<(TxId, Submission)>, StorageError> {
        let (mut seen, mut waiting) = (BTreeSet::new(), Vec::new());
        for name in self.store.carried()?.into_iter().filter(|name| name.epoch < epoch) {
            // One that waited through two epochs may be in a batch of each.
            waiting.extend(self.unordered(&name)?.into_iter().filter(|(id, _)| seen.insert(*id)));
        }
        Ok(waiting)
    }

    fn unordered(&self, name: &BatchRef) -> Result<Vec<(TxId, Submission)>, StorageError> {
        let mut left = Vec::new();
        for submission in self.store.batch(name)?.into_iter().flat_map(|batch| batch.submissions) {
            let id = submission.signed.transaction.id();
            if !(self.is_ordered)(&id)? {
                left.push((id, submission));
            }
        }
        Ok(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::batch_header;
    use chain_core::crypto::{Digest, PublicKey, Signature};
    use chain_core::id::ChainId;
    use chain_core::lane::SignedBatchHeader;
    use chain_core::transaction::{Batch, SignedTransaction, TRANSACTION_VERSION, Transaction};

    fn submission(number: u64) -> Submission {
        let transaction = Transaction {
            version: TRANSACTION_VERSION,
            chain_id: ChainId::new(Digest::ZERO),
            author: PublicKey::new([1; 32]),
            valid_until_ms: number,
            atomic: false,
            operations: Vec::new(),
        };
        let signed = SignedTransaction { transaction, signature: Signature::ZERO };
        Submission { signed, bodies: Vec::new() }
    }

    /// Stores a batch of an epoch's own lane with these transactions.
    fn stored(store: &ConsensusStore, epoch: u64, seq: u64, numbers: &[u64]) -> BatchRef {
        let header = batch_header(epoch, 0, seq);
        let name = BatchRef::of(&header);
        let signed = SignedBatchHeader { header, signature: Signature::ZERO };
        let submissions = numbers.iter().map(|number| submission(*number)).collect();
        let bytes = chain_core::codec::encode(&Batch { signed, submissions }).unwrap();
        store.put_batch(&name, &bytes).unwrap();
        name
    }

    /// A node that keeps what its epochs leave, and may lose power at any time.
    struct Node {
        dir: tempfile::TempDir,
        store: Option<ConsensusStore>,
        /// What blocks have ordered so far.
        ordered: BTreeSet<TxId>,
    }

    impl Node {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let store = Some(ConsensusStore::open(dir.path()).unwrap());
            Self { dir, store, ordered: BTreeSet::new() }
        }

        fn crash(&mut self) {
            self.store = None;
            self.store = Some(ConsensusStore::open(self.dir.path()).unwrap());
        }

        fn batch(&self, epoch: u64, seq: u64, numbers: &[u64]) -> BatchRef {
            stored(self.store.as_ref().unwrap(), epoch, seq, numbers)
        }

        fn order(&mut self, number: u64) {
            self.ordered.insert(submission(number).signed.transaction.id());
        }

        fn ends(&self, left: &[BatchRef]) {
            let is_ordered = |id: &TxId| Ok(self.ordered.contains(id));
            let carried = Carried::new(self.store.as_ref().unwrap(), &is_ordered);
            carried.keep(left.iter().copied()).unwrap();
        }

        /// The numbers of the transactions that wait at the beginning of an epoch.
        fn waiting(&self, epoch: u64) -> Vec<u64> {
            let is_ordered = |id: &TxId| Ok(self.ordered.contains(id));
            let carried = Carried::new(self.store.as_ref().unwrap(), &is_ordered);
            let waiting = carried.waiting(Epoch::new(epoch)).unwrap();
            waiting.iter().map(|(_, one)| one.signed.transaction.valid_until_ms).collect()
        }
    }

    /// The second set change comes before what the first one left is in a batch again.
    #[test]
    fn two_set_changes_back_to_back_with_a_crash_between_lose_nothing() {
        let mut node = Node::new();
        let first = node.batch(0, 7, &[1, 2]);
        node.ends(&[first]);
        assert_eq!(node.waiting(0), [0_u64; 0], "its own epoch may still order them");
        assert_eq!(node.waiting(1), [1, 2]);
        node.crash();
        assert_eq!(node.waiting(1), [1, 2]);
        let second = node.batch(1, 0, &[3]);
        node.ends(&[second]);
        node.crash();
        assert_eq!(node.waiting(2), [1, 2, 3]);
        // A ledger that was lost comes by the end of the first epoch again.
        node.ends(&[first]);
        assert_eq!(node.waiting(2), [1, 2, 3]);
        node.order(1);
        node.order(3);
        assert_eq!(node.waiting(2), [2]);
        node.ends(&[]);
        node.crash();
        assert_eq!(node.waiting(3), [2]);
        assert_eq!(node.store.as_ref().unwrap().carried().unwrap(), [first], "what is ordered is forgotten");
    }

    #[test]
    fn a_record_that_waits_in_two_batches_is_filed_once() {
        let node = Node::new();
        let batches = [node.batch(0, 7, &[1, 2]), node.batch(1, 0, &[2, 4])];
        node.ends(&batches[..1]);
        node.ends(&batches[1..]);
        assert_eq!(node.waiting(2), [1, 2, 4]);
    }

    #[test]
    fn the_names_kept_are_bounded_and_fit_into_their_entry() {
        let node = Node::new();
        let first = node.batch(0, 0, &[1]);
        node.ends(&[first]);
        let named = |seq: u64| BatchRef { epoch: Epoch::new(1), seq, ..first };
        let left: Vec<BatchRef> = (0..NAMES_MAX as u64).map(named).collect();
        node.ends(&left);
        assert_eq!(node.store.as_ref().unwrap().carried().unwrap(), left);
    }
}
