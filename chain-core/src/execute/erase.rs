//! Erasure and sealing: an order of a privacy officer and an auditor, or the end of retention, and the word of every validator that it was carried out.
//!
//! The ledger forgets here what it holds of the record's subject; headers, leaves and commitments stay, and no byte that
//! was ever signed changes. Bodies stand beside the blocks: whoever executes the order destroys them, and says so under
//! its log key. The words are collected in an [`ErasureEntry`], whose state proof is the certificate of the erasure.

use super::overlay::Fail;
use super::{Done, Execution, LedgerRead, Outcome, ReadError, Verdict};
use crate::code::{Code, Refusal};
use crate::crypto::PublicKey;
use crate::id::{RecordId, TxId};
use crate::layout::Layout as _;
use crate::leaf::{ErasureLeaf, Leaf};
use crate::operation::Operation;
use crate::state::{BodyPlace, Confirmation, ErasureEntry, RecordHead, key};
use crate::transaction::Transaction;

impl<L: LedgerRead> Execution<'_, L> {
    /// Has every holder destroy the bodies of a record that was sealed or erased by the step that comes next in the log.
    pub(super) fn dispose(&mut self, record: &RecordId, head: &RecordHead) -> Result<(), ReadError> {
        let epoch = self.state.epoch()?;
        let validators = epoch.iter().flat_map(|epoch| epoch.current.validators());
        let entry = ErasureEntry {
            height: self.height,
            leaf_index: self.log.size(),
            version: head.current.version,
            awaited: validators.map(|one| one.name.clone()).collect(),
            confirmed: Vec::new(),
        };
        self.state.put(key::erasure(record), entry.to_canonical());
        self.erased.insert(*record);
        Ok(())
    }

    /// Drops what waited of a record that is sealed or erased, and frees its number.
    pub(super) fn drop_waiting(&mut self, head: &RecordHead) {
        if let Some(next) = &head.next
            && next.natural_key != head.current.natural_key
        {
            self.free_natural_key(head, next.natural_key.as_ref());
        }
    }

    /// Remembers where an operation that did nothing, refused or a repetition, brought a body for a record, so that an
    /// erasure finds that one too; where the record is erased already, the body goes at once.
    pub(super) fn note_idle_bodies(
        &mut self,
        operations: &[Operation],
        place: (u32, u32),
        outcomes: usize,
    ) -> Result<(), ReadError> {
        let idle = |outcome: &Outcome| {
            matches!(outcome.verdict, Verdict::Refused(_) | Verdict::Accepted { duplicate: true, .. })
        };
        let ended = self.outcomes.iter().skip(outcomes).map(idle);
        let idle: Vec<bool> = ended.collect();
        for ((at, operation), idle) in (0..).zip(operations).zip(idle) {
            if !idle || operation.shared_body_commit().is_none() {
                continue;
            }
            let record = operation.record();
            let place = BodyPlace { height: self.height, batch: place.0, position: place.1, operation: at };
            self.state.put(key::idle_body(&record, &place), Vec::new());
            if self.state.get(&key::erasure(&record))?.is_some() {
                self.erased.insert(record);
            }
        }
        Ok(())
    }

    /// Whose bodies must go with this block. An erasure may have been taken back with the transaction it stood in.
    pub(super) fn take_erased(&mut self) -> Result<Vec<RecordId>, ReadError> {
        let mut erased = Vec::new();
        for record in std::mem::take(&mut self.erased) {
            if self.state.get(&key::erasure(&record))?.is_some() {
                erased.push(record);
            }
        }
        Ok(erased)
    }

    /// Carries out a transaction of confirmations.
    pub(super) fn confirmations(
        &mut self,
        transaction: &Transaction,
        tx: &TxId,
        signature_ok: bool,
    ) -> Result<(), ReadError> {
        let author = transaction.author;
        let admitted = self.admit_by(transaction, tx, signature_ok, |execution| execution.confirmer(&author));
        let name = match admitted {
            Ok(name) => name,
            Err(Fail::Read(error)) => return Err(error),
            Err(Fail::Refused(refusal)) => {
                self.report(tx, transaction.operations.iter().map(|_| Err(refusal.clone())).collect());
                return Ok(());
            }
        };
        let mut verdicts = Vec::with_capacity(transaction.operations.len());
        for (index, operation) in (0..).zip(&transaction.operations) {
            let word = ErasureLeaf {
                height: self.height,
                time_ms: self.time_ms,
                tx: *tx,
                operation_index: index,
                author,
                validator: name.clone(),
                record: operation.record(),
                version: operation.version(),
                bodies: if let Operation::ConfirmErasure { bodies, .. } = operation { *bodies } else { 0 },
            };
            verdicts.push(match self.confirm(word) {
                Ok(done) => Ok(done),
                Err(Fail::Refused(refusal)) => Err(refusal),
                Err(Fail::Read(error)) => return Err(error),
            });
        }
        self.report(tx, verdicts);
        Ok(())
    }

    /// The validator of this epoch that has a log key.
    fn confirmer(&mut self, author: &PublicKey) -> Result<String, Fail> {
        let epoch = self.state.epoch()?;
        let mut validators = epoch.iter().flat_map(|epoch| epoch.current.validators());
        match validators.find(|one| one.log_key == *author) {
            Some(validator) => Ok(validator.name.clone()),
            None => {
                let detail = format!("key {} is no validator's log key in this epoch", author.short());
                Err(Refusal::new(Code::UnknownAuthor, detail).into())
            }
        }
    }

    fn confirm(&mut self, word: ErasureLeaf) -> Result<Done, Fail> {
        let (record, version) = (word.record, word.version);
        let refuse = |code, detail: String| Err(Refusal::new(code, detail).into());
        let Some(mut entry) = self.state.read::<ErasureEntry>(&key::erasure(&record))? else {
            return refuse(Code::NotAwaited, format!("record {record} was not erased"));
        };
        if entry.version != version {
            let detail = format!("version {version}, the erasure was of version {}", entry.version);
            return refuse(Code::VersionConflict, detail);
        }
        let Some(at) = entry.awaited.iter().position(|name| *name == word.validator) else {
            return refuse(Code::NotAwaited, format!("record {record}, validator {}", word.validator));
        };
        let leaf_index = self.log.size();
        let validator = entry.awaited.remove(at);
        entry.confirmed.push(Confirmation { validator, bodies: word.bodies, leaf_index });
        self.append(Some(record), Leaf::Erasure(Box::new(word)).to_canonical());
        self.state.put(key::erasure(&record), entry.to_canonical());
        Ok(Done { record, version, leaf_index, duplicate: false })
    }
}

/// Whether a transaction consists of confirmations and nothing else.
pub(super) fn is_confirmation(transaction: &Transaction) -> bool {
    let confirms = |operation: &Operation| matches!(operation, Operation::ConfirmErasure { .. });
    !transaction.operations.is_empty() && transaction.operations.iter().all(confirms)
}
