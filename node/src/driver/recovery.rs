//! Acts of recovery while the node runs: one that a peer shows, and the way to the block that it names.

use std::sync::Arc;

use chain_core::code::Refusal;
use chain_core::id::{Epoch, ValidatorIx};
use chain_core::recovery::{RecoveryAct, SignedRecovery};
use consensus::message::Message;
use consensus::{Action, Event, Peers};

use super::core::{Core, Input};
use super::{Driver, refuse};
use crate::link::{Frame, Recovered};
use crate::recovery::{Effect, Standing, may_hear};

impl Core {
    /// Looks at an act that a peer shows, off the engine's thread: whoever is no match for the recovery keys must
    /// not cost the engine any time.
    pub(crate) fn judge_recovered(&self, epoch: Epoch, from: ValidatorIx, shown: &Recovered) {
        let act = &shown.recovery.act;
        if act.epoch != epoch || self.committee().epoch() != epoch {
            return;
        }
        let Some(known) = self.guard(self.consensus.act(epoch)) else { return };
        let is_known = known.is_some_and(|known| known == shown.recovery);
        let binds = || {
            let keys = self.recovery_keys.as_ref()?;
            shown.recovery.verify(self.chain_id(), epoch, keys).ok()
        };
        if is_known || binds().is_some() {
            self.inputs.push(Input::Recovered { epoch, from, shown: Box::new(shown.clone()) });
        } else {
            tracing::warn!(%from, epoch = epoch.get(), "a peer shows an act of recovery that binds nobody");
        }
    }
}

impl Driver {
    /// The act that ended the epoch which the engine only follows.
    pub(super) fn ended_by(&self) -> Option<RecoveryAct> {
        self.core.part().ended_by.as_ref().map(|recovery| recovery.act.clone())
    }

    /// Whether the engine may hear a message of a peer.
    pub(super) fn hears(&self, message: &Message) -> bool {
        self.core.part().ended_by.as_ref().is_none_or(|recovery| may_hear(message, &recovery.act))
    }

    /// A peer shows that the agencies ended this epoch, and what made its last block final. The act is taken between
    /// two turns.
    pub(super) fn on_recovered(&mut self, from: ValidatorIx, shown: Recovered, actions: &mut Vec<Action>) {
        let last = shown.recovery.act.height;
        match &self.core.part().ended_by {
            None => self.shown = Some(Box::new(shown.recovery)),
            Some(ended_by) if ended_by.act == shown.recovery.act => {
                let certificate = shown.certificate.filter(|one| one.height <= last);
                if let Some(certificate) = certificate {
                    let message = Box::new(Message::Certificate(Box::new(certificate)));
                    let now = self.now();
                    self.engine.handle(now, Event::Message { from, message }, actions);
                }
            }
            Some(ended_by) => tracing::error!(
                taken = %ended_by.act.record(),
                shown = %shown.recovery.act.record(),
                "a peer shows another act for the end of this epoch: the recovery keys signed both"
            ),
        }
    }

    /// Takes the act that a peer showed, unless it does not fit what is final here; the node goes on in the epoch that
    /// it begins, or follows to its block.
    pub(super) fn take_shown(&mut self, actions: &mut Vec<Action>) -> Result<(), Refusal> {
        let Some(recovery) = self.shown.take() else { return Ok(()) };
        let store = &self.core.consensus;
        let standing = Standing::read(store, self.core.chain_id()).map_err(refuse)?;
        let known = store.act(recovery.act.epoch).map_err(refuse)?;
        let (act, record) = (&recovery.act, recovery.act.record());
        match standing.judge(&recovery, self.core.recovery_keys.as_ref(), known.as_ref()) {
            Err(refusal) => {
                if self.refused_act.replace(record) != Some(record) {
                    let (code, detail) = (refusal.code.name(), &refusal.detail);
                    tracing::error!(code, detail, act = %record, "a peer shows an act of recovery that is not taken");
                }
                Ok(())
            }
            Ok(effect) => {
                store.set_act(&recovery).map_err(refuse)?;
                tracing::warn!(
                    epoch = act.epoch.get(),
                    block = act.height.get(),
                    act = %record,
                    reason = act.reason,
                    at_once = effect == Effect::AtOnce,
                    "the agencies ended the epoch: nothing is signed in it any more"
                );
                self.begin_epoch(actions)
            }
        }
    }

    /// Tells one that is in an ended epoch how it ended.
    pub(super) fn send_closing(&self, to: ValidatorIx, epoch: Epoch) -> Result<(), Refusal> {
        let Some(network) = self.core.network() else { return Ok(()) };
        let frame = match self.core.consensus.closing(epoch).map_err(refuse)? {
            Some(proof) => Some(Frame::Message(Arc::new(Message::Closing(Box::new(proof))))),
            None => self.recovered(epoch)?.map(|recovered| Frame::Recovered(Arc::new(recovered))),
        };
        if let Some(frame) = frame {
            network.send(Peers::One(to), frame);
        }
        Ok(())
    }

    fn recovered(&self, epoch: Epoch) -> Result<Option<Recovered>, Refusal> {
        let store = &self.core.consensus;
        let Some(recovery): Option<SignedRecovery> = store.act(epoch).map_err(refuse)? else {
            return Ok(None);
        };
        let height = recovery.act.height;
        let certified = store.certified_to(height).map_err(refuse)?.filter(|(last, _)| *last == height);
        Ok(Some(Recovered { recovery, certificate: certified.map(|(_, one)| one.certificate) }))
    }
}
