//! What waits for the engine thread, and how much of it each peer may have waiting.
//!
//! | per peer | bound |
//! |---|---|
//! | votes and other small messages | [`VOTES_PER_PEER`] |
//! | proposals, blocks | [`DATA_PER_PEER`] |
//! | batches being checked | [`BATCH_KIB_PER_PEER`] KiB |
//!
//! A peer that used its allowance up waits; the others do not notice. Votes are handled before data.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chain_core::block::ExecSummary;
use chain_core::code::Refusal;
use chain_core::crypto::{Digest, PublicKey, Signature};
use chain_core::id::{Epoch, ValidatorIx};
use chain_core::lane::SignedBatchHeader;
use chain_core::record::validator::Ready;
use consensus::message::{Message, Proposal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::link::{Frame, Recovered, Stream};

/// Small messages of one peer that may wait.
pub(crate) const VOTES_PER_PEER: usize = 512;
/// Proposals and blocks of one peer that may wait.
pub(crate) const DATA_PER_PEER: usize = 64;
/// KiB of batches of one peer that may be checked or wait for it.
pub(crate) const BATCH_KIB_PER_PEER: u32 = 8 * 1024;
/// Most inputs handled between two synced writes.
const DRAIN_MAX: usize = 2_048;

/// Something for the engine thread.
#[derive(Debug)]
pub(crate) enum Input {
    /// A message of a peer, by its index in an epoch.
    Message { epoch: Epoch, from: ValidatorIx, message: Box<Message>, permit: OwnedSemaphorePermit },
    /// A connection stands.
    Connected { epoch: Epoch, peer: ValidatorIx },
    /// It is gone.
    Disconnected { epoch: Epoch, peer: ValidatorIx },
    /// A batch was checked and stored.
    BatchStored(SignedBatchHeader),
    /// A block was executed; the hash of the next validator set when it scheduled one, and whether it closed the
    /// epoch.
    Executed { summary: ExecSummary, scheduled: Option<Digest>, closing: bool },
    /// Final blocks from the store, which the engine of an epoch asked for.
    Loaded { epoch: Epoch, blocks: Vec<Proposal> },
    /// A block froze a lane of its epoch.
    LaneFrozen { epoch: Epoch, author: ValidatorIx },
    /// A peer shows that the agencies ended an epoch; the act binds.
    Recovered { epoch: Epoch, from: ValidatorIx, shown: Box<Recovered> },
    /// The network needs the binding of its key signed.
    Hello {
        epoch: Epoch,
        network_key: PublicKey,
        challenge: Digest,
        reply: oneshot::Sender<Option<Signature>>,
    },
    /// A client asks for this node's word that it can take part.
    Ready { ready: Ready, reply: oneshot::Sender<Result<Signature, Refusal>> },
    /// Local submissions are waiting.
    Wake,
    /// The node is to stop.
    Shutdown,
}

/// The queue of the engine thread: urgent inputs first.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    queues: Mutex<Queues>,
    ready: Condvar,
}

#[derive(Debug, Default)]
struct Queues {
    urgent: VecDeque<Input>,
    data: VecDeque<Input>,
    woken: bool,
}

impl Inputs {
    /// Adds an input.
    pub(crate) fn push(&self, input: Input) {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        match input {
            Input::Wake if queues.woken => return,
            Input::Wake => queues.woken = true,
            Input::Message { ref message, .. } if stream(message) == Stream::Data => {
                queues.data.push_back(input)
            }
            Input::BatchStored(_) => queues.data.push_back(input),
            _ => queues.urgent.push_back(input),
        }
        drop(queues);
        self.ready.notify_one();
    }

    /// Waits until there is something or `until` has passed, then takes what there is, votes first. The flag
    /// says whether local submissions woke the thread.
    pub(crate) fn drain(&self, until: Instant, into: &mut Vec<Input>) -> bool {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        while queues.urgent.is_empty() && queues.data.is_empty() && !queues.woken {
            let left = until.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                return false;
            }
            queues = self.ready.wait_timeout(queues, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let urgent = queues.urgent.len().min(DRAIN_MAX);
        into.extend(queues.urgent.drain(..urgent));
        let data = queues.data.len().min(DRAIN_MAX - urgent);
        into.extend(queues.data.drain(..data));
        std::mem::take(&mut queues.woken)
    }
}

fn stream(message: &Message) -> Stream {
    crate::link::stream_of(message)
}

/// What each peer may have waiting.
#[derive(Debug)]
pub(crate) struct Allowances(Vec<Allowance>);

#[derive(Debug)]
struct Allowance {
    votes: Arc<Semaphore>,
    data: Arc<Semaphore>,
    batches: Arc<Semaphore>,
}

impl Allowances {
    pub(crate) fn new(n: usize) -> Self {
        let one = || Allowance {
            votes: Arc::new(Semaphore::new(VOTES_PER_PEER)),
            data: Arc::new(Semaphore::new(DATA_PER_PEER)),
            batches: Arc::new(Semaphore::new(BATCH_KIB_PER_PEER as usize)),
        };
        Self((0..n).map(|_| one()).collect())
    }

    /// Waits for room for a frame of this peer; none for a stranger.
    pub(crate) async fn admit(&self, from: ValidatorIx, frame: &Frame) -> Option<OwnedSemaphorePermit> {
        let allowance = self.0.get(from.index())?;
        let (semaphore, permits) = match (frame, frame.stream()) {
            (Frame::Batch(bytes), _) => {
                let kib = u32::try_from(bytes.len() / 1024 + 1).unwrap_or(u32::MAX);
                (&allowance.batches, kib.min(BATCH_KIB_PER_PEER))
            }
            (_, Stream::Votes) => (&allowance.votes, 1),
            (_, Stream::Data) => (&allowance.data, 1),
        };
        semaphore.clone().acquire_many_owned(permits).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chain_core::id::Height;

    fn message(allowances: &Allowances, message: Message) -> Input {
        let frame = Frame::Message(Arc::new(message.clone()));
        let admitted = allowances.admit(ValidatorIx::new(0), &frame);
        let permit = futures::executor::block_on(admitted).unwrap();
        let (epoch, from) = (Epoch::ZERO, ValidatorIx::new(0));
        Input::Message { epoch, from, message: Box::new(message), permit }
    }

    #[test]
    fn votes_come_before_data_and_an_empty_queue_waits_its_time() {
        let (inputs, allowances) = (Inputs::default(), Allowances::new(1));
        inputs.push(message(&allowances, Message::GetBlocks { from: Height::ZERO }));
        inputs.push(message(&allowances, Message::GetCertificate));
        inputs.push(Input::Wake);
        inputs.push(Input::Wake);
        let mut got = Vec::new();
        assert!(inputs.drain(Instant::now(), &mut got));
        let first = got.first().map(
            |input| matches!(input, Input::Message { message, .. } if **message == Message::GetCertificate),
        );
        assert_eq!((got.len(), first), (2, Some(true)));
        got.clear();
        let start = Instant::now();
        assert!(!inputs.drain(start + Duration::from_millis(20), &mut got));
        assert!(start.elapsed() >= Duration::from_millis(20) && got.is_empty());
    }

    #[test]
    fn a_peer_over_its_allowance_waits_alone() {
        let allowances = Allowances::new(2);
        let held: Vec<Input> =
            (0..VOTES_PER_PEER).map(|_| message(&allowances, Message::GetCertificate)).collect();
        let frame = Frame::Message(Arc::new(Message::GetCertificate));
        use futures::FutureExt;
        assert!(allowances.admit(ValidatorIx::new(0), &frame).now_or_never().is_none());
        assert!(allowances.admit(ValidatorIx::new(1), &frame).now_or_never().flatten().is_some());
        let large = Frame::Batch(Arc::from(vec![0; 100]));
        assert!(allowances.admit(ValidatorIx::new(0), &large).now_or_never().flatten().is_some());
        assert!(allowances.admit(ValidatorIx::new(7), &frame).now_or_never().unwrap().is_none());
        drop(held);
        assert!(allowances.admit(ValidatorIx::new(0), &frame).now_or_never().flatten().is_some());
    }
}
