//! The validator set, how one followed from the other, and this node's word that it can take part.

use chain_core::api::{PassageView, ReadyView, ScheduledView, ValidatorView, ValidatorsView};
use chain_core::code::{Code, Refusal};
use chain_core::committee::{Committee, Validator};
use chain_core::epoch::HandOver;
use chain_core::execute;
use chain_core::id::Epoch;
use chain_core::record::validator::{READY_MS, Ready};
use chain_core::state::{EpochEntry, ValidatorEntry};
use tokio::sync::oneshot;

use super::status::LAG_MAX;
use super::{Local, corrupt, read, refuse};
use crate::driver::core::{Core, Input, running};
use crate::storage::ledger::Snapshot;

/// A node whose newest block is older than this is not taken for one that has caught up, however few blocks it knows
/// of. Heartbeats are at most five minutes apart.
const AGE_MAX_MS: u64 = 6 * 60 * 1_000;

impl Local {
    fn epoch_entry(&self, snapshot: &Snapshot<'_>) -> Result<EpochEntry, Refusal> {
        let entry = execute::epoch(snapshot).map_err(read)?;
        entry.ok_or_else(|| corrupt("ledger", "it holds no validator set"))
    }

    pub(super) fn validators_view(&self) -> Result<ValidatorsView, Refusal> {
        let snapshot = self.snapshot()?;
        let entry = self.epoch_entry(&snapshot)?;
        let known = execute::validators(&snapshot).map_err(read)?;
        let view = |one: ValidatorEntry| {
            let offender = execute::offender(&snapshot, &one.validator.consensus_key).map_err(read)?;
            let ready = one.ready.filter(|ready| ready.epoch == entry.current.epoch());
            Ok(ValidatorView {
                in_set: takes_part(&entry.current, &one.validator),
                in_next: entry.scheduled.as_ref().map(|next| takes_part(&next.next, &one.validator)),
                status: one.status.name().to_owned(),
                record: one.record,
                version: one.version,
                ready_until_ms: ready.map(|ready| ready.time_ms.saturating_add(READY_MS)),
                offences: offender.map_or(0, |one| one.offences),
                validator: one.validator,
            })
        };
        let known = known.into_iter().map(view).collect::<Result<_, Refusal>>()?;
        let committee = entry.current;
        Ok(ValidatorsView {
            offenders: self.offenders(&committee)?,
            epoch: committee.epoch(),
            base_height: entry.base_height,
            faults: committee.faults(),
            quorum: committee.quorum(),
            committee,
            scheduled: entry.scheduled.map(|one| ScheduledView { height: one.height, next: one.next }),
            known,
            height: snapshot.height(),
        })
    }

    pub(super) fn passage_of(&self, epoch: Epoch) -> Result<PassageView, Refusal> {
        let snapshot = self.snapshot()?;
        let next = snapshot.validator_set(epoch.next()).map_err(refuse)?;
        let proof = self.core.consensus.closing(epoch).map_err(refuse)?;
        // An act proves itself, so it is told as soon as this node goes by it.
        let act = self.core.consensus.act(epoch).map_err(refuse)?;
        let act = act.filter(|_| epoch < self.core.committee().epoch());
        match (proof, next, act) {
            (Some(proof), Some(next), _) => Ok(PassageView::HandOver(Box::new(HandOver { proof, next }))),
            (None, _, Some(recovery)) => Ok(PassageView::Recovery { recovery: Box::new(recovery) }),
            _ => {
                let present = self.epoch_entry(&snapshot)?.current.epoch();
                let detail = format!("epoch {epoch} has not ended here, this is epoch {present}");
                Err(Refusal::new(Code::NotYetExecuted, detail))
            }
        }
    }

    pub(super) fn ready_word(&self) -> Result<ReadyView, Refusal> {
        running(&self.core)?;
        let snapshot = self.snapshot()?;
        let entry = self.epoch_entry(&snapshot)?;
        let key = self.core.key;
        let known = execute::validators(&snapshot).map_err(read)?;
        let wanted = known.into_iter().find(|one| one.validator.consensus_key == key && one.is_wanted());
        let wanted = wanted.ok_or_else(|| {
            let detail = format!(
                "consensus key {} is in no validator record that is effective at height {}",
                key.short(),
                snapshot.height()
            );
            Refusal::new(Code::NotWanted, detail)
        });
        // A node that is far behind knows the records of long ago.
        let wanted = match wanted {
            Ok(wanted) => wanted,
            Err(refusal) => return Err(self.caught_up(&snapshot).err().unwrap_or(refusal)),
        };
        let needless = |detail: String| Err(Refusal::new(Code::ReadyNotNeeded, detail));
        let name = wanted.validator.name.clone();
        if takes_part(&entry.current, &wanted.validator) {
            return needless(format!("{name} takes part in epoch {}", entry.current.epoch()));
        }
        if let Some(scheduled) = &entry.scheduled {
            return needless(format!("the set of epoch {} is settled", scheduled.next.epoch()));
        }
        self.caught_up(&snapshot)?;
        let ready = Ready {
            chain_id: self.core.chain_id(),
            epoch: entry.current.epoch(),
            record: wanted.record,
            version: wanted.version,
            consensus_key: key,
            time_ms: Core::wall_ms(),
        };
        let (reply, answer) = oneshot::channel();
        self.core.inputs.push(Input::Ready { ready, reply });
        let stopped = |_| Refusal::new(Code::NotReady, "the node is stopping");
        Ok(ReadyView {
            signature: answer.blocking_recv().map_err(stopped)??,
            agency: wanted.validator.agency,
            record: ready.record,
            version: ready.version,
            epoch: ready.epoch,
            time_ms: ready.time_ms,
            consensus_key: key,
            name,
        })
    }

    /// Whether this node stands where the others stand, as far as it can know.
    fn caught_up(&self, snapshot: &Snapshot<'_>) -> Result<(), Refusal> {
        let behind = |detail: String| Err(Refusal::new(Code::NotReady, detail));
        self.readiness()?;
        let (executed, certified) = (snapshot.height(), self.core.engine_view().certified);
        if certified.since(executed) > LAG_MAX {
            return behind(format!(
                "executed {executed}, a quorum has certified {certified}; wants to be within {LAG_MAX} blocks"
            ));
        }
        let time_ms = snapshot.tip().map_err(refuse)?.map_or(0, |tip| tip.time_ms);
        let age_s = Core::wall_ms().saturating_sub(time_ms) / 1_000;
        if age_s > AGE_MAX_MS / 1_000 {
            return behind(format!(
                "the newest block here, {executed}, is {age_s} s old; wants at most {} s",
                AGE_MAX_MS / 1_000
            ));
        }
        Ok(())
    }
}

/// Whether a validator is in a set under the same keys.
fn takes_part(committee: &Committee, validator: &Validator) -> bool {
    let identity = |one: &Validator| (one.consensus_key, one.network_key, one.log_key);
    committee
        .validators()
        .iter()
        .any(|one| one.name == validator.name && identity(one) == identity(validator))
}
