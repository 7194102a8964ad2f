//! Accusations: proof that a validator broke a rule, filed by a validator or a member, kept for ever.
//!
//! A node files what its engine proves under the validator's log key, which may file nothing else. An offence
//! is counted once. Its offender leads no later epoch; whoever forked its lane has its lane frozen: what later
//! blocks of the epoch order from it is refused, transaction by transaction (M15).

use super::overlay::Fail;
use super::{Done, Execution, LedgerRead, ReadError};
use crate::code::{Code, Refusal};
use crate::committee::{Committee, Validator};
use crate::crypto::PublicKey;
use crate::evidence::Evidence;
use crate::id::{Epoch, TxId, ValidatorIx};
use crate::layout::Layout;
use crate::leaf::{EvidenceLeaf, Leaf};
use crate::operation::Operation;
use crate::state::{OffenceEntry, OffenderEntry, author_of_frozen_lane, key};
use crate::transaction::{Submission, Transaction};

fn read<T: Layout>(ledger: &(impl LedgerRead + ?Sized), key: &[u8]) -> Result<Option<T>, ReadError> {
    let decode = |bytes: Vec<u8>| {
        T::from_canonical(&bytes).map_err(|error| ReadError(format!("state value of an offence: {error}")))
    };
    ledger.get(key)?.map(decode).transpose()
}

/// What a ledger holds against a consensus key, if anything: such a validator leads no later epoch.
///
/// # Errors
/// When the ledger cannot be read.
pub fn offender<L: LedgerRead + ?Sized>(
    ledger: &L,
    consensus_key: &PublicKey,
) -> Result<Option<OffenderEntry>, ReadError> {
    read(ledger, &key::offender(consensus_key))
}

/// The validator set of this epoch, or of the one before: of the epochs in which an offence may still be filed.
///
/// # Errors
/// When the ledger cannot be read.
pub fn set_of<L: LedgerRead + ?Sized>(ledger: &L, epoch: Epoch) -> Result<Option<Committee>, ReadError> {
    read(ledger, &key::set_of(epoch))
}

/// The frozen lanes of an epoch, ascending.
///
/// # Errors
/// When the ledger cannot be read.
pub fn frozen_lanes<L: LedgerRead + ?Sized>(ledger: &L, epoch: Epoch) -> Result<Vec<ValidatorIx>, ReadError> {
    let (from, to) = key::frozen_lanes(epoch);
    let entries = ledger.range(&from, &to, crate::committee::VALIDATORS_MAX)?;
    Ok(entries.iter().filter_map(|(key, _)| author_of_frozen_lane(key)).collect())
}

impl<L: LedgerRead> Execution<'_, L> {
    /// Carries out a transaction that is one accusation.
    pub(super) fn accusation(
        &mut self,
        transaction: &Transaction,
        tx: &TxId,
        signature_ok: bool,
        evidence: &Evidence,
    ) -> Result<(), ReadError> {
        let author = transaction.author;
        let admitted =
            self.admit_by(transaction, tx, signature_ok, |execution| execution.check_accuser(&author));
        let verdict = match admitted.and_then(|()| self.accuse(&author, tx, evidence)) {
            Ok(done) => Ok(done),
            Err(Fail::Refused(refusal)) => Err(refusal),
            Err(Fail::Read(error)) => return Err(error),
        };
        self.report(tx, vec![verdict]);
        Ok(())
    }

    /// The log key of a validator of this epoch, or a member in force.
    fn check_accuser(&mut self, author: &PublicKey) -> Result<(), Fail> {
        if let Some(epoch) = self.state.epoch()?
            && epoch.current.validators().iter().any(|one| one.log_key == *author)
        {
            return Ok(());
        }
        self.author(author).map(|_| ())
    }

    fn accuse(&mut self, author: &PublicKey, tx: &TxId, evidence: &Evidence) -> Result<Done, Fail> {
        let invalid = |detail: String| Fail::Refused(Refusal::new(Code::EvidenceInvalid, detail));
        let offence = evidence.offence();
        let Some(committee) = self.state.read::<Committee>(&key::set_of(offence.epoch))? else {
            let detail = format!("epoch {} is neither this one nor the one before", offence.epoch);
            return Err(invalid(detail));
        };
        let Some(offender) = committee.get(offence.offender) else {
            return Err(invalid(format!(
                "{} is not in the set of epoch {}",
                offence.offender, offence.epoch
            )));
        };
        let entry_key = key::offence(&offender.consensus_key, &offence);
        // Before any signature is looked at: what is known costs nothing more.
        if let Some(known) = self.state.read::<OffenceEntry>(&entry_key)? {
            let detail = format!("{} of {} is leaf {}", offence.kind, known.name, known.leaf_index);
            return Err(Refusal::new(Code::EvidenceKnown, detail).into());
        }
        evidence.verify(self.chain.chain_id, &committee).map_err(|error| invalid(error.to_string()))?;
        let record = offence.record();
        let leaf = EvidenceLeaf {
            height: self.height,
            time_ms: self.time_ms,
            tx: *tx,
            author: *author,
            offender: offender.consensus_key,
            evidence: evidence.clone(),
        };
        let leaf_index = self.append(Some(record), Leaf::Evidence(Box::new(leaf)).to_canonical());
        let entry = OffenceEntry {
            offence,
            key: offender.consensus_key,
            name: offender.name.clone(),
            record,
            height: self.height,
            time_ms: self.time_ms,
            leaf_index,
            accuser: *author,
        };
        self.state.put(entry_key, entry.to_canonical());
        self.flag(&offender.consensus_key)?;
        if offence.kind.freezes() && offence.epoch == self.epoch {
            let since = self.height.get().to_be_bytes().to_vec();
            self.state.put(key::frozen_lane(offence.epoch, offence.offender), since);
            self.frozen.push(offence.offender);
        }
        Ok(Done { record, version: 1, leaf_index, duplicate: false })
    }

    /// Counts one more offence of a consensus key.
    fn flag(&mut self, offender: &PublicKey) -> Result<(), Fail> {
        let flag_key = key::offender(offender);
        let mut entry =
            self.state.read(&flag_key)?.unwrap_or(OffenderEntry { offences: 0, since: self.height });
        entry.offences += 1;
        self.state.put(flag_key, entry.to_canonical());
        Ok(())
    }

    /// Takes the turn to lead from everybody whose consensus key committed an offence.
    pub(super) fn bar(&self, set: &mut [Validator]) -> Result<(), ReadError> {
        for one in set {
            one.may_lead &= self.state.get(&key::offender(&one.consensus_key))?.is_none();
        }
        Ok(())
    }

    /// Remembers the set of an epoch that begins, for as long as offences in it may be filed: until the end of
    /// the next one.
    pub(super) fn remember_set(&mut self, committee: &Committee) {
        let epoch = committee.epoch();
        self.state.put(key::set_of(epoch), committee.to_canonical());
        if let Some(past) = epoch.previous().and_then(Epoch::previous) {
            self.state.remove(key::set_of(past));
        }
    }

    /// Whether a lane was frozen by an earlier block of this epoch.
    pub(super) fn lane_was_frozen(&self, author: ValidatorIx) -> Result<bool, ReadError> {
        Ok(self.state.ledger().get(&key::frozen_lane(self.epoch, author))?.is_some())
    }

    /// Refuses what a frozen lane carries. The transaction is not remembered: another lane may still bring it.
    pub(super) fn refuse_frozen(&mut self, submission: &Submission, author: ValidatorIx) {
        let transaction = &submission.signed.transaction;
        let count = transaction.operations.len().max(1);
        let refusal = Refusal::new(Code::LaneFrozen, format!("ordered in the lane of {author}"));
        self.report(&transaction.id(), (0..count).map(|_| Err(refusal.clone())).collect());
    }
}

/// The evidence that a transaction consists of, when it is one accusation and nothing else.
pub(super) fn accusation(transaction: &Transaction) -> Option<&Evidence> {
    match &transaction.operations[..] {
        [Operation::Accuse(evidence)] => Some(evidence),
        _ => None,
    }
}
