//! Submissions of this node's own clients, waiting for a place in its lane.
//!
//! Each agency has its own bounded queue, and batches are filled one submission per agency in turn: an agency
//! that files a million records does not hold up the others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use chain_core::code::{Code, Refusal};
use chain_core::id::TxId;
use chain_core::transaction::Submission;

/// Most bytes that wait in one agency's queue.
pub const AGENCY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most operations that wait in one agency's queue.
pub const AGENCY_OPERATIONS_MAX: usize = 16 * 1024;
/// Most bytes that wait in all queues.
pub const TOTAL_BYTES_MAX: usize = 64 * 1024 * 1024;
/// A batch is sealed without waiting at this many bytes ...
pub const BATCH_BYTES_TARGET: usize = 256 * 1024;
/// ... or this many operations ...
pub const BATCH_OPERATIONS_TARGET: usize = 1_024;
/// ... or when its oldest submission has waited this long.
pub const BATCH_WAIT_MS: u64 = 10;

/// The queue of what was taken and came back; no agency has this name.
const RETURNED: &str = "";

/// One submission that waits.
#[derive(Debug)]
pub struct Queued {
    /// The submission, without bodies that may not travel.
    pub submission: Submission,
    /// Its transaction.
    pub id: TxId,
    /// What it adds to a batch.
    pub bytes: u32,
    /// When it came, monotonic milliseconds.
    pub at_ms: u64,
}

impl Queued {
    fn operations(&self) -> usize {
        self.submission.signed.transaction.operations.len()
    }
}

/// All queues.
#[derive(Debug, Default)]
pub struct Intake(Mutex<Queues>);

#[derive(Debug, Default)]
struct Queues {
    agencies: BTreeMap<String, Agency>,
    /// Agencies with something to send, next first.
    turn: VecDeque<String>,
    bytes: usize,
    operations: usize,
    transactions: usize,
}

#[derive(Debug, Default)]
struct Agency {
    waiting: VecDeque<Queued>,
    bytes: usize,
    operations: usize,
}

impl Intake {
    /// Queues a submission for its agency.
    ///
    /// # Errors
    /// `QUEUE_FULL`.
    pub fn push(&self, agency: &str, queued: Queued) -> Result<(), Refusal> {
        let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (bytes, operations) = (queued.bytes as usize, queued.operations());
        let full = |what: String| Err(Refusal::new(Code::QueueFull, what));
        if queues.bytes + bytes > TOTAL_BYTES_MAX {
            return full(format!("{} bytes wait at this node, at most {TOTAL_BYTES_MAX}", queues.bytes));
        }
        if !queues.agencies.contains_key(agency) {
            queues.agencies.insert(agency.to_owned(), Agency::default());
            queues.turn.push_back(agency.to_owned());
        }
        let queue = queues.agencies.entry(agency.to_owned()).or_default();
        if queue.bytes + bytes > AGENCY_BYTES_MAX || queue.operations + operations > AGENCY_OPERATIONS_MAX {
            return full(format!(
                "{} operations with {} bytes wait in the agency's queue, at most {AGENCY_OPERATIONS_MAX} with {AGENCY_BYTES_MAX}",
                queue.operations, queue.bytes
            ));
        }
        queue.waiting.push_back(queued);
        queue.bytes += bytes;
        queue.operations += operations;
        queues.bytes += bytes;
        queues.operations += operations;
        queues.transactions += 1;
        Ok(())
    }

    /// Puts submissions back that were taken and not ordered, ahead of everything else and whatever the limits:
    /// they were counted against those before.
    pub fn put_back(&self, returned: Vec<Queued>) {
        if returned.is_empty() {
            return;
        }
        let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !queues.agencies.contains_key(RETURNED) {
            queues.agencies.insert(RETURNED.to_owned(), Agency::default());
            queues.turn.push_front(RETURNED.to_owned());
        }
        let waits =
            queues.agencies.get(RETURNED).map(|queue| queue.waiting.iter().map(|one| one.id).collect());
        let mut waits: BTreeSet<TxId> = waits.unwrap_or_default();
        for queued in returned.into_iter().filter(|one| waits.insert(one.id)) {
            let (bytes, operations) = (queued.bytes as usize, queued.operations());
            queues.bytes += bytes;
            queues.operations += operations;
            queues.transactions += 1;
            let Some(queue) = queues.agencies.get_mut(RETURNED) else { return };
            queue.waiting.push_back(queued);
            queue.bytes += bytes;
            queue.operations += operations;
        }
    }

    /// Transactions that wait.
    pub fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).transactions
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When the next batch is due: `Some(0)` at once, none while nothing waits.
    pub fn due_ms(&self, lane_idle: bool) -> Option<u64> {
        let queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if queues.transactions == 0 {
            return None;
        }
        if lane_idle || queues.bytes >= BATCH_BYTES_TARGET || queues.operations >= BATCH_OPERATIONS_TARGET {
            return Some(0);
        }
        let oldest =
            queues.agencies.values().filter_map(|queue| queue.waiting.front()).map(|one| one.at_ms).min();
        oldest.map(|at| at + BATCH_WAIT_MS)
    }

    /// Takes the next batch: one submission per agency in turn, up to the targets, at least one.
    pub fn take(&self) -> Vec<Queued> {
        let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken: Vec<Queued> = Vec::new();
        let (mut bytes, mut operations) = (0, 0);
        while let Some(name) = queues.turn.pop_front() {
            let Some(queue) = queues.agencies.get_mut(&name) else { continue };
            let fits = queue.waiting.front().is_some_and(|next| {
                taken.is_empty()
                    || (bytes + next.bytes as usize <= BATCH_BYTES_TARGET
                        && operations + next.operations() <= BATCH_OPERATIONS_TARGET)
            });
            let Some(next) = fits.then(|| queue.waiting.pop_front()).flatten() else {
                if queue.waiting.is_empty() {
                    queues.agencies.remove(&name);
                    continue;
                }
                // Its turn stays first: a large submission is not overtaken for ever.
                queues.turn.push_front(name);
                break;
            };
            queue.bytes -= next.bytes as usize;
            queue.operations -= next.operations();
            if queue.waiting.is_empty() {
                queues.agencies.remove(&name);
            } else {
                queues.turn.push_back(name);
            }
            bytes += next.bytes as usize;
            operations += next.operations();
            taken.push(next);
        }
        queues.bytes -= bytes;
        queues.operations -= operations;
        queues.transactions -= taken.len();
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chain_core::crypto::{Digest, SecretKey};
    use chain_core::id::{ChainId, RecordId};
    use chain_core::operation::Operation;
    use chain_core::transaction::{TRANSACTION_VERSION, Transaction};

    /// A submission of `operations` that counts for `bytes`.
    fn queued(n: u64, operations: usize, bytes: u32) -> Queued {
        let key = SecretKey::from_seed([1; 32]);
        let operation = Operation::Withdraw { record: RecordId::new(Digest::ZERO), version: 1 };
        let transaction = Transaction {
            version: TRANSACTION_VERSION,
            chain_id: ChainId::new(Digest::ZERO),
            author: key.public(),
            valid_until_ms: n,
            atomic: false,
            operations: vec![operation; operations],
        };
        let id = transaction.id();
        let submission = Submission { signed: transaction.sign(&key), bodies: vec![None; operations] };
        Queued { submission, id, bytes, at_ms: 100 + n }
    }

    #[test]
    fn what_is_put_back_twice_waits_once() {
        let intake = Intake::default();
        intake.put_back(vec![queued(1, 1, 200), queued(2, 1, 200), queued(1, 1, 200)]);
        intake.put_back(vec![queued(2, 1, 200), queued(3, 1, 200)]);
        let order: Vec<u64> =
            intake.take().iter().map(|one| one.submission.signed.transaction.valid_until_ms).collect();
        assert_eq!(order, [1, 2, 3]);
        assert!(intake.is_empty());
    }

    #[test]
    fn a_batch_takes_agencies_in_turn() {
        let intake = Intake::default();
        for n in 0..2_000 {
            intake.push("large", queued(n, 1, 200)).unwrap();
        }
        for n in 0..3 {
            intake.push("small", queued(5_000 + n, 1, 200)).unwrap();
        }
        let batch = intake.take();
        let small =
            batch.iter().take(6).filter(|one| one.submission.signed.transaction.valid_until_ms >= 5_000);
        assert_eq!(small.count(), 3, "the small agency's three are among the first six");
        assert_eq!(batch.len(), BATCH_OPERATIONS_TARGET);
        assert_eq!(intake.len(), 2_003 - batch.len());
        while !intake.take().is_empty() {}
        assert!(intake.is_empty());
        assert_eq!(intake.due_ms(true), None);
    }

    #[test]
    fn a_full_queue_refuses_its_own_agency_only() {
        let intake = Intake::default();
        let mut n = 0;
        while intake.push("large", queued(n, 1_024, 500_000)).is_ok() {
            n += 1;
        }
        assert_eq!(n, 16, "16 times 1,024 operations fill the queue");
        let refusal = intake.push("large", queued(99, 1, 1)).unwrap_err();
        assert_eq!(refusal.code, Code::QueueFull);
        intake.push("small", queued(100, 1, 1)).unwrap();
        let mut agencies = 0;
        while intake.push(&format!("more {agencies}"), queued(1_000 + agencies, 1, 8_000_000)).is_ok() {
            agencies += 1;
        }
        assert_eq!(agencies, 7, "all queues together are bounded, too");
    }

    #[test]
    fn an_idle_lane_seals_at_once_and_a_busy_one_gathers() {
        let intake = Intake::default();
        intake.push("one", queued(0, 1, 200)).unwrap();
        assert_eq!(intake.due_ms(true), Some(0));
        assert_eq!(intake.due_ms(false), Some(100 + BATCH_WAIT_MS));
        intake.push("two", queued(1, 1_024, 300_000)).unwrap();
        assert_eq!(intake.due_ms(false), Some(0), "a full batch does not wait");
        assert_eq!(intake.take().len(), 1);
        assert_eq!(intake.take().len(), 1, "what did not fit comes next");
    }
}
