//! The dry run: a submission is executed on the newest state, in a block of its own that never was, and thrown away.

use chain_core::block::{ExecSummary, Flags, HEADER_VERSION, Header};
use chain_core::code::{Code, Refusal};
use chain_core::committee::Committee;
use chain_core::crypto::{Digest, Signature};
use chain_core::execute::{ExecState, OrderedBatch, OrderedBlock, Outcome, Verdict, try_block};
use chain_core::id::{ValidatorIx, View};
use chain_core::lane::{BatchHeader, SignedBatchHeader};
use chain_core::operation::Operation;
use chain_core::subject::Index;
use chain_core::transaction::{Batch, Body, Submission};
use consensus::engine::Tip;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::submit::Flaws;
use super::{Local, corrupt, read, refuse};
use crate::driver::core::Core;
use crate::handle::Trial;
use crate::storage::ledger::Snapshot;

/// Dry runs at once. Each costs as much as the execution of a block, and nobody may take the readers of all others.
const TRIALS_MAX: usize = 2;

/// The dry runs that may begin now.
#[derive(Debug)]
pub(super) struct Trials(Semaphore);

impl Default for Trials {
    fn default() -> Self {
        Self(Semaphore::new(TRIALS_MAX))
    }
}

impl Trials {
    /// Begins one; it is under way until what this gives is dropped.
    fn begin(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        self.0.try_acquire().map_err(|_| {
            let detail = format!("{TRIALS_MAX} dry runs are under way at this node, at most {TRIALS_MAX}");
            Refusal::new(Code::QueueFull, detail)
        })
    }
}

impl Local {
    /// Tries a submission out.
    pub(super) fn trial(&self, submission: &Submission) -> Result<Trial, Refusal> {
        self.check_whole(submission)?;
        let _turn = self.trials.begin()?;
        let sorted = self.sort(submission)?;
        let mut flaws = body_flaws(&sorted.travelling);
        flaws.extend(sorted.flaws);
        let snapshot = self.snapshot()?;
        let mut outcomes = self.execute(&snapshot, sorted.travelling)?;
        let atomic = submission.signed.transaction.atomic;
        settle(&mut outcomes, flaws, atomic);
        let passed = outcomes.iter().all(|outcome| matches!(outcome.verdict, Verdict::Accepted { .. }));
        Ok(Trial { tx: submission.signed.transaction.id(), passed, height: snapshot.height(), outcomes })
    }

    /// What the operations of a submission would come to in the next block, if it stood there alone.
    fn execute(&self, snapshot: &Snapshot<'_>, submission: Submission) -> Result<Vec<Outcome>, Refusal> {
        let missing = || corrupt("ledger", "the newest block has no tip or no summary");
        let tip = snapshot.tip().map_err(refuse)?.ok_or_else(missing)?;
        let summary = snapshot.summary(tip.height).map_err(refuse)?.ok_or_else(missing)?;
        let committee = self.core.committee();
        let author = self.core.me().unwrap_or(ValidatorIx::new(0));
        let header = header(&self.core, &committee, &tip, &summary, author);
        let batch = batch(&header, author, submission);
        let ordered = OrderedBatch { batch: &batch, signatures_ok: &[true], recorded: None };
        // What is published about whom changes no verdict, and costs a proof for each record: it is left out.
        let block = OrderedBlock { header: &header, batches: vec![ordered], index: Index::Recorded(None) };
        let before = ExecState { summary, log: snapshot.log_frontier().map_err(refuse)? };
        try_block(snapshot, &self.core.chain, &before, &block).map_err(read)
    }
}

/// What is wrong with the bodies that travel: execution relies on it that they are those that the headers commit to.
fn body_flaws(travelling: &Submission) -> Flaws {
    let operations = travelling.signed.transaction.operations.iter().zip(&travelling.bodies);
    let flaw = |(at, (operation, body)): (u16, (&Operation, &Option<Body>))| {
        let (code, detail) = match (operation.shared_body_commit(), body) {
            (None, None) => return None,
            (None, Some(_)) => (Code::BodyNotAllowed, "no body may travel with it"),
            (Some(_), None) => (Code::BodyMissing, "the body is absent"),
            (Some(commit), Some(body)) if body.commitment() == commit => return None,
            (Some(_), Some(_)) => (Code::BodyCommitment, "the body is not the one the header commits to"),
        };
        Some((at, Refusal::new(code, detail)))
    };
    (0..).zip(operations).filter_map(flaw).collect()
}

/// Puts what this node says of operations in the place of what execution says, which does not ask it. In a transaction
/// whose operations stand or fall together, those that would have passed fall.
fn settle(outcomes: &mut [Outcome], mut flaws: Flaws, atomic: bool) {
    let first = flaws.keys().next().copied();
    for outcome in outcomes {
        let passes = matches!(outcome.verdict, Verdict::Accepted { .. });
        if let Some(flaw) = flaws.remove(&outcome.operation) {
            outcome.verdict = Verdict::Refused(flaw);
        } else if let Some(first) = first.filter(|_| atomic && passes) {
            let detail = format!("operation {first} was refused");
            outcome.verdict = Verdict::Refused(Refusal::new(Code::AtomicFailed, detail));
        }
    }
}

/// The header of a block after the newest one, at this time. Nothing asks for the roots of what it orders.
fn header(
    core: &Core,
    committee: &Committee,
    tip: &Tip,
    summary: &ExecSummary,
    proposer: ValidatorIx,
) -> Header {
    Header {
        version: HEADER_VERSION,
        chain_id: core.chain_id(),
        epoch: committee.epoch(),
        view: View::ZERO,
        height: tip.height.next(),
        parent: tip.digest,
        proposer,
        time_ms: Core::wall_ms().max(tip.time_ms.saturating_add(1)),
        flags: Flags::NONE,
        lanes_root: Digest::ZERO,
        batches_root: Digest::ZERO,
        n_batches: 1,
        n_records: 0,
        n_bytes: 0,
        exec_height: summary.height,
        exec_root: summary.root(),
        history_root: Digest::ZERO,
        validators_hash: committee.hash(),
        next_validators_hash: committee.hash(),
    }
}

/// A batch of this node with one submission; nobody asks for its signature.
fn batch(header: &Header, author: ValidatorIx, submission: Submission) -> Batch {
    let header = BatchHeader {
        chain_id: header.chain_id,
        epoch: header.epoch,
        author,
        seq: 0,
        prev: Digest::ZERO,
        payload_root: Digest::ZERO,
        bytes: 0,
        count: 0,
        time_ms: header.time_ms,
    };
    let signed = SignedBatchHeader { header, signature: Signature::ZERO };
    Batch { signed, submissions: vec![submission] }
}

#[cfg(test)]
mod tests {
    use chain_core::id::{RecordId, TxId};

    use super::*;

    fn outcomes(verdicts: &[Option<Code>]) -> Vec<Outcome> {
        let tx = TxId::new(Digest::ZERO);
        let verdict = |code: &Option<Code>| match code {
            Some(code) => Verdict::Refused(Refusal::new(*code, "by execution")),
            None => {
                let record = RecordId::new(Digest::ZERO);
                Verdict::Accepted { record, version: 1, leaf_index: 0, duplicate: false }
            }
        };
        (0..)
            .zip(verdicts)
            .map(|(operation, code)| Outcome { tx, operation, verdict: verdict(code) })
            .collect()
    }

    fn settled(verdicts: &[Option<Code>], flaws: &[(u16, Code)], atomic: bool) -> Vec<Option<Code>> {
        let mut outcomes = outcomes(verdicts);
        let flaws = flaws.iter().map(|&(at, code)| (at, Refusal::new(code, "by this node")));
        settle(&mut outcomes, flaws.collect(), atomic);
        let code = |outcome: Outcome| match outcome.verdict {
            Verdict::Accepted { .. } => None,
            Verdict::Refused(refusal) => Some(refusal.code),
        };
        outcomes.into_iter().map(code).collect()
    }

    #[test]
    fn what_this_node_would_not_take_in_counts_as_refused_whatever_execution_says() {
        let (flaw, other) = (Code::UnknownField, Code::LegalBasisMissing);
        let verdicts = [None, None, Some(other), Some(other)];
        assert_eq!(settled(&verdicts, &[], true), verdicts);
        let flaws = [(1, flaw), (3, flaw)];
        assert_eq!(settled(&verdicts, &flaws, false), [None, Some(flaw), Some(other), Some(flaw)]);
        let together = [Some(Code::AtomicFailed), Some(flaw), Some(other), Some(flaw)];
        assert_eq!(settled(&verdicts, &flaws, true), together);
    }

    #[test]
    fn no_more_than_so_many_dry_runs_are_under_way() {
        let trials = Trials::default();
        let mut turns: Vec<_> = (0..TRIALS_MAX).map(|_| trials.begin().unwrap()).collect();
        assert_eq!(trials.begin().unwrap_err().code, Code::QueueFull);
        turns.pop();
        assert!(trials.begin().is_ok());
    }
}
