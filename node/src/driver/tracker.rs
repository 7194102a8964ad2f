//! How far the transactions of this node's clients have come, for those who wait.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use chain_core::api::Stage;
use chain_core::id::TxId;
use tokio::sync::watch;

use crate::storage::ledger::Place;

/// Most transactions followed; beyond it clients ask again instead of waiting.
const FOLLOWED_MAX: usize = 256 * 1024;

/// Stages of transactions that are not executed yet.
#[derive(Debug, Default)]
pub(crate) struct Tracker(Mutex<HashMap<TxId, Followed>>);

#[derive(Debug)]
struct Followed {
    stage: watch::Sender<Stage>,
    place: Option<Place>,
}

impl Tracker {
    /// Follows a transaction that was just queued. False when it is followed already.
    pub(crate) fn accept(&self, tx: TxId) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(tx);
    }

    /// Where a transaction stands, and its place once it is final.
    pub(crate) fn stage(&self, tx: &TxId) -> Option<(Stage, Option<Place>)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(tx).map(|followed| (*followed.stage.borrow(), followed.place))
    }

    /// A block ordered these transactions.
    pub(crate) fn finalise(&self, ordered: impl IntoIterator<Item = (TxId, Place)>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
    pub(crate) fn executed<'a>(&self, ids: impl IntoIterator<Item = &'a TxId>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}
