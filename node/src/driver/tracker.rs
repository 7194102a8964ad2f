//! How far the transactions of this node's clients have come, for those who wait.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use chain_core::api::Stage;
use chain_core::id::{Height, TxId};
use chain_core::lane::BatchRef;
use tokio::sync::watch;

use crate::storage::ledger::Place;

/// Most transactions followed; beyond it clients ask again instead of waiting.
const FOLLOWED_MAX: usize = 256 * 1024;

/// Stages of transactions that are not executed yet.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    followed: Mutex<HashMap<TxId, Followed>>,
    /// Batches of final blocks that are not executed yet; at most the executor's backlog.
    ordered: Mutex<BTreeMap<Height, Arc<[BatchRef]>>>,
}

#[derive(Debug)]
struct Followed {
    stage: watch::Sender<Stage>,
    place: Option<Place>,
}

impl Tracker {
    /// Follows a transaction that was just queued. False when it is followed already.
    pub(crate) fn accept(&self, tx: TxId) -> bool {
        let mut all = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get(&tx) {
            Some(followed) if *followed.stage.borrow() >= Stage::Accepted => false,
            Some(followed) => {
                followed.stage.send_replace(Stage::Accepted);
                true
            }
            None => {
                all.insert(tx, Followed { stage: watch::Sender::new(Stage::Accepted), place: None });
                true
            }
        }
    }

    /// A transaction that could not be queued after all.
    pub(crate) fn forget(&self, tx: &TxId) {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner).remove(tx);
    }

    /// Where a transaction stands, and its place once it is final.
    pub(crate) fn stage(&self, tx: &TxId) -> Option<(Stage, Option<Place>)> {
        let all = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(tx).map(|followed| (*followed.stage.borrow(), followed.place))
    }

    /// A block became final and orders these batches.
    pub(crate) fn order(&self, height: Height, batches: &[BatchRef]) {
        self.ordered.lock().unwrap_or_else(PoisonError::into_inner).insert(height, Arc::from(batches));
    }

    /// The batches of a final block that is not executed yet.
    pub(crate) fn ordered(&self, height: Height) -> Option<Arc<[BatchRef]>> {
        self.ordered.lock().unwrap_or_else(PoisonError::into_inner).get(&height).cloned()
    }

    /// A block ordered these transactions.
    pub(crate) fn finalise(&self, ordered: impl IntoIterator<Item = (TxId, Place)>) {
        let mut all = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        if all.is_empty() {
            return;
        }
        for (tx, place) in ordered {
            if let Some(followed) = all.get_mut(&tx) {
                followed.place = Some(place);
                followed.stage.send_replace(Stage::Final);
            }
        }
    }

    /// A block with these transactions was executed and written: the ledger answers for them from now on.
    pub(crate) fn executed<'a>(&self, height: Height, ids: impl IntoIterator<Item = &'a TxId>) {
        self.ordered.lock().unwrap_or_else(PoisonError::into_inner).retain(|one, _| *one > height);
        let mut all = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        if all.is_empty() {
            return;
        }
        for tx in ids {
            if let Some(followed) = all.remove(tx) {
                followed.stage.send_replace(Stage::Executed);
            }
        }
    }

    /// A receiver of the transaction's stages. None when too many are followed.
    pub(crate) fn watch(&self, tx: TxId) -> Option<watch::Receiver<Stage>> {
        let mut all = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= FOLLOWED_MAX {
            all.retain(|_, followed| {
                *followed.stage.borrow() > Stage::Unknown || !followed.stage.is_closed()
            });
        }
        if all.len() >= FOLLOWED_MAX && !all.contains_key(&tx) {
            return None;
        }
        let followed = all
            .entry(tx)
            .or_insert_with(|| Followed { stage: watch::Sender::new(Stage::Unknown), place: None });
        Some(followed.stage.subscribe())
    }

    /// Transactions followed.
    pub(crate) fn len(&self) -> usize {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}
