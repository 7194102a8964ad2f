//! Answering peers that lack something, and getting what this node lacks.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chain_core::crypto::Digest;
use chain_core::id::{Epoch, Height, ValidatorIx};
use chain_core::lane::{BatchHeader, BatchRef};
use chain_core::recovery::Passage;
use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use tokio::sync::{Notify, oneshot};
use tokio::time::sleep;

use super::core::{Core, Input};
use super::hearsay::Taken;
use crate::link::{SYNC_BATCHES_MAX, SYNC_BYTES_MAX, SyncRequest, SyncResponse, SyncedBatch};
use crate::snapshots::verify::passage_of;
use crate::storage::StorageError;
use crate::storage::consensus::{ConsensusStore, RUN_BYTES_MAX};

/// Most fetches under way.
const FETCHES_MAX: usize = 16;
/// Most stored batches of one lane shown to the engine at a time.
const SHOWN_MAX: usize = 512;
/// Most questions of one fetch to one holder.
const ROUNDS_MAX: usize = 64;
/// When nothing came for this long the next holder is asked beside the one that is silent: a frozen one keeps its
/// connections and answers nothing, and a view is over in less time than a question may take.
const NEXT_AFTER: Duration = Duration::from_millis(300);

/// How epochs ended, from one on, for a peer.
///
/// # Errors
/// When a store cannot be read.
pub(crate) fn passages(core: &Core, from: Epoch) -> Result<SyncResponse, StorageError> {
    let snapshot = core.ledger.snapshot()?;
    let (mut passages, mut bytes, mut epoch) = (Vec::new(), 0, from);
    // An act for the present epoch may wait for its block.
    let present = core.committee().epoch();
    while epoch < present
        && let Some(passage) = passage_of(epoch, &snapshot, &core.consensus)?
    {
        bytes += match &passage {
            Passage::HandOver(hand_over) => {
                chain_core::codec::encode(hand_over).map_or(0, |bytes| bytes.len())
            }
            Passage::Recovery(recovery) => chain_core::codec::encode(recovery).map_or(0, |bytes| bytes.len()),
        };
        if bytes > RUN_BYTES_MAX {
            break;
        }
        passages.push(passage);
        epoch = epoch.next();
    }
    Ok(SyncResponse::Passages(passages))
}

/// Batches of a lane for a peer.
///
/// # Errors
/// When the store cannot be read.
pub(crate) fn answer(
    store: &ConsensusStore,
    from: u64,
    tip: &BatchRef,
) -> Result<SyncResponse, StorageError> {
    let batches = store.lane((tip.epoch, tip.author), from, tip.seq, SYNC_BATCHES_MAX, SYNC_BYTES_MAX)?;
    let batches = batches.into_iter().map(|(bytes, recorded)| SyncedBatch { bytes, recorded });
    Ok(SyncResponse::Batches(batches.collect()))
}

/// What is being fetched.
#[derive(Debug, Default)]
pub(crate) struct Fetches(Mutex<BTreeSet<Digest>>);

impl Fetches {
    /// Takes on a fetch unless it is under way or there are too many.
    fn begin(&self, tip: &BatchRef) -> bool {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.len() < FETCHES_MAX && running.insert(tip.digest)
    }

    fn end(&self, tip: &BatchRef) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&tip.digest);
    }
}

/// Shows the engine of an epoch final blocks that the store holds.
pub(crate) fn load_final(core: &Arc<Core>, epoch: Epoch, from: Height, count: usize) {
    let job = core.clone();
    core.pool.run(move || {
        if let Some(blocks) = job.guard(job.consensus.final_blocks(from, count)) {
            job.inputs.push(Input::Loaded { epoch, blocks });
        }
    });
}

/// Gets a run of batches, from the store as far as they are there, else from the first holder that gives them.
/// The engine asks again while it lacks any.
pub(crate) fn fetch(core: &Arc<Core>, from: u64, tip: BatchRef, holders: Vec<ValidatorIx>) {
    if !core.fetches.begin(&tip) {
        return;
    }
    let core = core.clone();
    let runtime = core.runtime.clone();
    runtime.spawn(async move {
        let (reply, answer) = oneshot::channel();
        let job = core.clone();
        core.pool.run(move || {
            let _ = reply.send(show_stored(&job, from, &tip));
        });
        if let Ok(Some(from)) = answer.await {
            let came = Notify::new();
            let questions = holders.into_iter().map(|holder| fetch_from(&core, holder, from, tip, &came));
            first_that_has(questions, &came).await;
        }
        core.fetches.end(&tip);
    });
}

/// Runs attempts one after the other until one gives true, and begins the next beside those that run whenever
/// nothing `came` for [`NEXT_AFTER`].
async fn first_that_has(attempts: impl IntoIterator<Item = impl Future<Output = bool>>, came: &Notify) {
    let mut attempts = attempts.into_iter().peekable();
    let mut running = FuturesUnordered::new();
    loop {
        running.extend(attempts.next());
        loop {
            tokio::select! {
                done = running.next() => match done {
                    None | Some(true) => return,
                    Some(false) => break,
                },
                () = came.notified() => {}
                () = sleep(NEXT_AFTER), if attempts.peek().is_some() => break,
            }
        }
    }
}

/// Shows the engine what is stored of a run: it forgets what was far ahead of it when it came. Gives the
/// first batch to ask others for; none when all of it is here.
fn show_stored(core: &Arc<Core>, from: u64, tip: &BatchRef) -> Option<u64> {
    let stored =
        core.guard(core.consensus.lane_headers((tip.epoch, tip.author), from, tip.seq, SHOWN_MAX))?;
    let missing = first_missing(stored.iter().map(|one| &one.header), from, tip);
    for signed in stored {
        core.inputs.push(Input::BatchStored(signed));
    }
    missing
}

/// The first place of a run up to a tip of which nothing is stored, or the tip's if only rivals of it are.
fn first_missing<'a>(
    stored: impl Iterator<Item = &'a BatchHeader>,
    from: u64,
    tip: &BatchRef,
) -> Option<u64> {
    let (mut next, mut tip_stored) = (from, false);
    for header in stored {
        next += u64::from(header.seq == next);
        tip_stored |= header.seq == tip.seq && header.digest() == tip.digest;
    }
    (!tip_stored || next <= tip.seq).then_some(next.min(tip.seq))
}

/// Asks one holder until it has no more, and says when something `came`. True when the tip did.
async fn fetch_from(
    core: &Arc<Core>,
    holder: ValidatorIx,
    mut from: u64,
    tip: BatchRef,
    came: &Notify,
) -> bool {
    let Some(network) = core.network() else { return false };
    for _ in 0..ROUNDS_MAX {
        let request = SyncRequest::Batches { from, tip };
        let Ok(SyncResponse::Batches(batches)) = network.request(holder, request).await else { return false };
        let batches = batches.into_iter().take(SYNC_BATCHES_MAX);
        let taken = join_all(batches.map(|batch| core.take_batch(holder, batch))).await;
        let of_run = |name: BatchRef| name.author == tip.author && (from..=tip.seq).contains(&name.seq);
        let mut newest = None;
        for taken in taken {
            match taken {
                Some(Taken::Stored(name)) if name == tip => return true,
                // The next holder's word may be the one that is missing.
                Some(Taken::Heard(name)) if name == tip => return false,
                Some(taken) if of_run(taken.name()) => newest = newest.max(Some(taken.name().seq)),
                // Not what was asked for, or refused: this holder is not worth another question.
                _ => return false,
            }
        }
        match newest {
            Some(seq) if seq < tip.seq => from = seq + 1,
            _ => return false,
        }
        came.notify_one();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::batch_header;

    fn header(seq: u64, count: u32) -> BatchHeader {
        BatchHeader { count, ..batch_header(0, 0, seq) }
    }

    /// How many holders are asked, when each has it or not, or never answers.
    async fn asked(holders: &[Option<bool>]) -> usize {
        let asked = std::cell::Cell::new(0);
        let attempts = holders.iter().map(|has| {
            let asked = &asked;
            async move {
                asked.set(asked.get() + 1);
                match has {
                    Some(has) => *has,
                    None => std::future::pending().await,
                }
            }
        });
        let came = Notify::new();
        let done = tokio::time::timeout(Duration::from_secs(60), first_that_has(attempts, &came)).await;
        done.expect("somebody silent is waited for");
        asked.get()
    }

    #[tokio::test]
    async fn a_silent_holder_is_not_waited_for() {
        let (has, lacks, silent) = (Some(true), Some(false), None);
        assert_eq!(asked(&[has, has]).await, 1);
        assert_eq!(asked(&[lacks, has, has]).await, 2);
        assert_eq!(asked(&[lacks, lacks]).await, 2, "nobody has it");
        assert_eq!(asked(&[silent, has, has]).await, 2);
        assert_eq!(asked(&[silent, silent, lacks, has]).await, 4);
    }

    #[test]
    fn only_what_is_not_stored_is_asked_for() {
        let tip = BatchRef::of(&header(7, 1));
        let missing = |stored: &[(u64, u32)]| {
            let stored: Vec<_> = stored.iter().map(|(seq, count)| header(*seq, *count)).collect();
            first_missing(stored.iter(), 5, &tip)
        };
        assert_eq!(missing(&[]), Some(5));
        assert_eq!(missing(&[(5, 1)]), Some(6));
        assert_eq!(missing(&[(5, 1), (6, 1)]), Some(7));
        assert_eq!(missing(&[(5, 1), (6, 1), (7, 1)]), None);
        assert_eq!(missing(&[(5, 1), (7, 1)]), Some(6), "a gap below the tip");
        assert_eq!(missing(&[(5, 1), (5, 2), (6, 1), (7, 2), (7, 1)]), None, "rivals do no harm");
        assert_eq!(missing(&[(5, 1), (6, 1), (7, 2)]), Some(7), "a rival of the tip is not the tip");
    }
}
