//! Filing what the engine proves: evidence goes into the ledger under this validator's log key.
//!
//! Every honest validator that saw both statements holds the same proof. They file in turn, starting with the
//! one after the offender, and whoever's turn comes looks first whether the ledger holds the offence already:
//! usually one files. Proofs that wait are not kept over a restart; the other validators hold them too.

use std::sync::atomic::Ordering;

use chain_core::code::{Code, Refusal};
use chain_core::crypto::SecretKey;
use chain_core::evidence::{Evidence, Offence};
use chain_core::execute::{self, LedgerRead as _};
use chain_core::id::{Epoch, ValidatorIx};
use chain_core::operation::Operation;
use chain_core::state::key;
use chain_core::transaction::{Submission, TRANSACTION_VERSION, Transaction};
use consensus::{Action, Event};

use super::batches::payload_bytes;
use super::core::Core;
use super::intake::Queued;
use super::{Driver, refuse};

/// The queue of evidence; no agency has this name.
const QUEUE: &str = "evidence";
/// How much later each validator files than the one before it.
const TURN_MS: u64 = 1_000;
/// The longest any waits for its turn.
const TURN_MS_MAX: u64 = 30_000;
/// Filed again when the ledger does not hold it after this long.
const AGAIN_MS: u64 = 60_000;
/// How long a filed transaction may wait for its order.
const VALID_MS: u64 = 50_000;
/// Most proofs that wait; the engine tells at most 64 of one validator.
const WAITING_MAX: usize = 1_024;

/// A proof that is not in the ledger yet.
#[derive(Debug)]
struct Waiting {
    evidence: Box<Evidence>,
    due_ms: u64,
}

/// What waits to be filed, and the key it is filed under.
#[derive(Debug)]
pub(crate) struct Accuser {
    log_key: SecretKey,
    waiting: Vec<Waiting>,
}

impl Accuser {
    pub(crate) fn new(log_key: SecretKey) -> Self {
        Self { log_key, waiting: Vec::new() }
    }

    fn sign(&self, core: &Core, evidence: Evidence, block_ms: u64) -> Submission {
        let transaction = Transaction {
            version: TRANSACTION_VERSION,
            chain_id: core.chain_id(),
            author: self.log_key.public(),
            valid_until_ms: block_ms.max(Core::wall_ms()).saturating_add(VALID_MS),
            atomic: false,
            operations: vec![Operation::Accuse(Box::new(evidence))],
        };
        Submission { signed: transaction.sign(&self.log_key), bodies: vec![None] }
    }
}

/// How long a validator waits before it files: the one after the offender not at all.
fn turn_ms(me: ValidatorIx, offender: ValidatorIx, n: usize) -> u64 {
    let after = (me.index() + n).saturating_sub(offender.index() + 1) % n.max(1);
    (after as u64 * TURN_MS).min(TURN_MS_MAX)
}

impl Driver {
    /// The engine proved something: its turn to be filed comes.
    pub(super) fn accuse(&mut self, evidence: Box<Evidence>) {
        let Offence { offender, kind, view, .. } = evidence.offence();
        let committee = self.core.committee();
        let name = committee.get(offender).map_or("an unknown validator", |one| &one.name);
        tracing::error!(offender = name, kind = kind.name(), view = view.get(), "proof of an offence");
        self.core.counters.offences.fetch_add(1, Ordering::Relaxed);
        // An observer leaves it to the validators.
        if let Some(me) = self.core.me()
            && self.accuser.waiting.len() < WAITING_MAX
        {
            let due_ms = self.core.mono_ms() + turn_ms(me, offender, committee.size());
            self.accuser.waiting.push(Waiting { evidence, due_ms });
        }
    }

    /// Files what is due and not in the ledger yet.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub(super) fn file_evidence(&mut self) -> Result<(), Refusal> {
        let now = self.core.mono_ms();
        // Without a lane of its own this validator leaves it to the others.
        if !self.engine.accepts_local() || self.accuser.waiting.iter().all(|one| one.due_ms > now) {
            return Ok(());
        }
        let block_ms = self.engine.committed().time_ms;
        let mut kept = Vec::new();
        for mut one in std::mem::take(&mut self.accuser.waiting) {
            if one.due_ms <= now {
                if is_recorded(&self.core, &one.evidence.offence())? {
                    continue;
                }
                let submission = self.accuser.sign(&self.core, (*one.evidence).clone(), block_ms);
                self.queue_evidence(submission, now)?;
                one.due_ms = now + AGAIN_MS;
            }
            kept.push(one);
        }
        self.accuser.waiting = kept;
        Ok(())
    }

    fn queue_evidence(&self, submission: Submission, at_ms: u64) -> Result<(), Refusal> {
        let id = submission.signed.transaction.id();
        let bytes = payload_bytes(&submission)?;
        match self.core.intake.push(QUEUE, Queued { submission, id, bytes, at_ms }) {
            Ok(()) => {
                self.core.counters.evidence_filed.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            // It is tried again.
            Err(refusal) if refusal.code == Code::QueueFull => Ok(()),
            Err(refusal) => Err(refusal),
        }
    }

    /// Tells the engine which lanes the ledger holds as frozen.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub(super) fn tell_frozen_lanes(&mut self, actions: &mut Vec<Action>) -> Result<(), Refusal> {
        let now = self.now();
        for author in frozen_lanes(&self.core, self.engine.epoch())? {
            self.engine.handle(now, Event::LaneFrozen(author), actions);
        }
        Ok(())
    }
}

fn frozen_lanes(core: &Core, epoch: Epoch) -> Result<Vec<ValidatorIx>, Refusal> {
    let snapshot = core.ledger.snapshot().map_err(refuse)?;
    execute::frozen_lanes(&snapshot, epoch).map_err(unread)
}

/// Whether the ledger holds an offence. Its key is that of the epoch's set, which the ledger remembers.
fn is_recorded(core: &Core, offence: &Offence) -> Result<bool, Refusal> {
    let snapshot = core.ledger.snapshot().map_err(refuse)?;
    let Some(committee) = execute::set_of(&snapshot, offence.epoch).map_err(unread)? else {
        // Too old to be filed.
        return Ok(true);
    };
    let Some(offender) = committee.get(offence.offender) else { return Ok(true) };
    let entry = snapshot.get(&key::offence(&offender.consensus_key, offence)).map_err(unread)?;
    Ok(entry.is_some())
}

fn unread(error: execute::ReadError) -> Refusal {
    Refusal::new(Code::StorageFailed, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validators_file_in_turn_and_the_one_after_the_offender_first() {
        let ix = ValidatorIx::new;
        let turns = |offender: u16| [0, 1, 2, 3].map(|me| turn_ms(ix(me), ix(offender), 4));
        assert_eq!(turns(0), [3_000, 0, 1_000, 2_000]);
        assert_eq!(turns(3), [0, 1_000, 2_000, 3_000]);
        assert_eq!(turn_ms(ix(98), ix(99), 100), TURN_MS_MAX, "nobody waits for ever");
    }
}
