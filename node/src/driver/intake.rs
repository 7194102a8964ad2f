//! Submissions of this node's own clients, waiting for a place in its lane.
//!
//! Each agency has its own bounded queue, and batches are filled one submission per agency in turn: an agency
//! that files a million records does not hold up the others.

use std::collections::{BTreeMap, VecDeque};
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
