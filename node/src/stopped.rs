//! What is done with the data directory of a stopped node: looking at it, and giving it an act of recovery.

use chain_core::code::Refusal;
use chain_core::committee::Committee;
use chain_core::recovery::SignedRecovery;
use consensus::engine::SafetyAtStart;
use serde_json::{Value, json};

use crate::datadir::{Identity, take};
use crate::epoch::Part;
use crate::recovery::{Effect, Standing};
use crate::restoring;
use crate::start::Setup;
use crate::storage::StorageError;
use crate::storage::consensus::ConsensusStore;
use crate::storage::ledger::LedgerStore;

/// An act that a node has taken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Taken {
    /// When it takes effect.
    pub effect: Effect,
    /// Where the node stands.
    pub standing: Standing,
    /// Whether this node's consensus key is in the set of the next epoch.
    pub member: bool,
}

impl Setup {
    /// Does something with the data directory while nobody else can. A restoring that was cut off ends first.
    ///
    /// # Errors
    /// `LOCK_HELD` while the node runs; when the directory is another node's; and what `work` refuses.
    pub(crate) fn held<T>(&self, work: impl FnOnce(&Identity) -> Result<T, Refusal>) -> Result<T, Refusal> {
        let identity = self.identity();
        let mut lock = self.data.lock_file()?;
        let _held = take(&mut lock, self.data.path())?;
        restoring::settle(&self.data)?;
        self.data.check(&identity)?;
        work(&identity)
    }

    /// Looks at the data directory of a stopped node without changing it.
    ///
    /// # Errors
    /// The first thing that would keep the node from starting.
    pub fn inspect(&self) -> Result<Value, Refusal> {
        self.held(|identity| self.inspect_held(identity))
    }

    fn inspect_held(&self, identity: &Identity) -> Result<Value, Refusal> {
        let store = ConsensusStore::open(&self.data.consensus()).map_err(refuse)?;
        let (safety, _) = self.data.safety(&store, identity)?;
        let standing = Standing::read(&store, identity.chain_id).map_err(refuse)?;
        let (mut executed, mut in_force) = (None, None);
        if self.data.ledger().exists() {
            let ledger = LedgerStore::open(&self.data.ledger()).map_err(refuse)?;
            let snapshot = ledger.snapshot().map_err(refuse)?;
            executed = snapshot.summary(snapshot.height()).map_err(refuse)?;
            if executed.is_some() {
                in_force = Some(Part::entry(&snapshot)?.current);
            }
        }
        let act = store.act(standing.epoch).map_err(refuse)?;
        // A ledger that lags behind may not know the present set.
        let in_force = in_force.filter(|committee: &Committee| committee.epoch() == standing.epoch);
        Ok(json!({
            "chain_id": identity.chain_id,
            "validator": self.named.as_ref().map(|one| &one.name),
            "votes": matches!(safety, SafetyAtStart::Present(_)),
            "does_not_vote_because": match &safety {
                SafetyAtStart::Present(_) => None,
                SafetyAtStart::Lost(refusal) => Some(refusal),
            },
            "safety": match &safety {
                SafetyAtStart::Present(record) => Some(json!({
                    "epoch": record.epoch,
                    "last_prepare": record.last_prepare.map(|slot| slot.rank),
                    "high_qc": record.high_qc.rank(),
                    "vc_view": record.vc_view,
                    "lane": record.lane.map(|(seq, _)| seq),
                })),
                SafetyAtStart::Lost(_) => None,
            },
            "epoch": standing.epoch,
            "final_height": standing.newest.0,
            "final_digest": standing.newest.1,
            "validators": in_force.as_ref().map(Committee::validators),
            "waits_for_act": act.map(|one| json!({ "act": one.act.record(), "height": one.act.height })),
            "executed": executed,
        }))
    }

    /// Takes an act of recovery for a stopped node: from its next start on it signs nothing in the epoch that the act
    /// ends.
    ///
    /// # Errors
    /// As [`Standing::judge`]; `LOCK_HELD` while the node runs.
    pub fn recover(&self, recovery: &SignedRecovery) -> Result<Taken, Refusal> {
        self.held(|identity| self.recover_held(identity, recovery))
    }

    fn recover_held(&self, identity: &Identity, recovery: &SignedRecovery) -> Result<Taken, Refusal> {
        let store = ConsensusStore::open(&self.data.consensus()).map_err(refuse)?;
        let standing = Standing::read(&store, identity.chain_id).map_err(refuse)?;
        let known = store.act(recovery.act.epoch).map_err(refuse)?;
        let effect = standing.judge(recovery, self.genesis.recovery_keys(), known.as_ref())?;
        if known.is_none_or(|known| known.act != recovery.act) {
            store.set_act(recovery).map_err(refuse)?;
        }
        let member = recovery.act.next.index_of(&identity.consensus_key).is_some();
        Ok(Taken { effect, standing, member })
    }
}

fn refuse(error: StorageError) -> Refusal {
    error.refusal()
}
