//! The verification of a chain: any source of raw blocks in, a verdict out. It reads no network and no file.
//!
//! Threads judge blocks one by one ([`super::content`]); the caller's thread walks them in order
//! ([`super::walk`]). At most a window of blocks is under way, whatever the chain's length.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};

use chain_core::api::RawBlock;
use chain_core::code::Code;
use chain_core::crypto::Digest;
use chain_core::genesis::Genesis;
use chain_core::id::{ChainId, Height};

use super::content::{Judge, Judged};
use super::finding::Finding;
use super::walk::{Totals, Walk};
use crate::error::{CliError, CliResult};
use crate::sets::Sets;

/// Blocks under way for each judging thread.
const AHEAD: usize = 4;
/// Most blocks at the end of the chain that may still wait for a commit certificate.
const OPEN_MAX: u64 = 64;

/// What is to be verified.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Judging threads.
    pub(crate) jobs: usize,
    /// First block to be given; a walk that begins above 1 without a memory executes nothing.
    pub(crate) from: Height,
    /// The first certified block at or above it is the last; none goes to the end.
    pub(crate) to: Option<Height>,
    /// Sizes of the record log whose roots are wanted.
    pub(crate) sizes: Vec<u64>,
}

/// What held.
#[derive(Clone, Debug)]
pub(crate) struct Verified {
    /// What was counted.
    pub(crate) totals: Totals,
    /// Newest height under a commit certificate.
    pub(crate) certified: Height,
    /// Newest block walked, and its digest.
    pub(crate) newest: (Height, Digest),
    /// Time of the newest block.
    pub(crate) time_ms: u64,
    /// Newest height whose re-execution a certified header confirms.
    pub(crate) confirmed: Height,
    /// Size and root of the record log as re-executed; none for a part.
    pub(crate) log: Option<(u64, Digest)>,
    /// Roots of the log at the sizes asked for, where a block ended there.
    pub(crate) roots: BTreeMap<u64, Digest>,
    /// Sizes of the log from here on were seen; below, an audit that went on remembers those only that it was asked for.
    pub(crate) oldest: u64,
}

impl Verified {
    /// Whether the log's root at a size is known, or known to be none.
    pub(crate) fn reaches(&self, size: u64) -> bool {
        size >= self.oldest || self.roots.contains_key(&size)
    }
}

/// Why there is no verdict of "holds".
#[derive(Debug)]
pub(crate) enum Stopped {
    /// Something is wrong; the block in question is kept as evidence.
    Found(Box<Finding>, Option<Box<RawBlock>>),
    /// The blocks could not be had, or Ctrl-C.
    Failed(CliError),
}

impl From<CliError> for Stopped {
    fn from(error: CliError) -> Self {
        Self::Failed(error)
    }
}

type Verdict = Result<Judged, (Box<Finding>, Box<RawBlock>)>;
type Work = (u64, RawBlock);
type Done = (u64, CliResult<Verdict>);

/// Verifies the blocks that an iterator gives, in ascending order from where the walk stands, with the validators of
/// their epochs. Whenever it ends, by an error of the iterator or of `progress` too, the walk stands after the last block
/// that holds.
///
/// # Errors
/// The first finding, or why the blocks ended early.
pub(crate) fn verify<I>(
    genesis: &Genesis,
    sets: &Sets,
    walk: &mut Walk<'_>,
    plan: &Plan,
    blocks: I,
    mut progress: impl FnMut(&Walk<'_>) -> CliResult,
) -> Result<Verified, Stopped>
where
    I: Iterator<Item = CliResult<RawBlock>> + Send,
{
    let jobs = plan.jobs.max(1);
    let ended = std::thread::scope(|scope| {
        let (permit, permits) = channel();
        for _ in 0..jobs * AHEAD {
            let _ = permit.send(());
        }
        let (work, queue) = sync_channel::<Work>(jobs);
        let (done, results) = channel::<Done>();
        let queue = std::sync::Arc::new(Mutex::new(queue));
        for _ in 0..jobs {
            let (queue, done) = (std::sync::Arc::clone(&queue), done.clone());
            scope.spawn(move || judge_all(genesis.chain_id(), sets, &queue, &done));
        }
        drop(queue);
        scope.spawn(move || feed(blocks, &permits, &work, &done));
        // Leaving this closure drops both channels' ends here, and every thread ends with its next send.
        walk_all(walk, plan, &results, &permit, &mut progress)
    });
    ended?;
    conclude(walk, plan)
}

/// Hands blocks to the judges while there are permits.
fn feed(
    blocks: impl Iterator<Item = CliResult<RawBlock>>,
    permits: &Receiver<()>,
    work: &SyncSender<Work>,
    done: &Sender<Done>,
) {
    for (at, block) in (0_u64..).zip(blocks) {
        if permits.recv().is_err() {
            return;
        }
        let sent = match block {
            Ok(block) => work.send((at, block)).is_ok(),
            Err(error) => {
                let _ = done.send((at, Err(error)));
                false
            }
        };
        if !sent {
            return;
        }
    }
}

fn judge_all(chain_id: ChainId, sets: &Sets, queue: &Mutex<Receiver<Work>>, done: &Sender<Done>) {
    let mut judge = Judge::new(chain_id, sets);
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((at, block)) = next else { return };
        if done.send((at, Ok(judge.judge(block)))).is_err() {
            return;
        }
    }
}

/// Walks the judged blocks in order.
fn walk_all(
    walk: &mut Walk<'_>,
    plan: &Plan,
    results: &Receiver<Done>,
    permit: &Sender<()>,
    progress: &mut impl FnMut(&Walk<'_>) -> CliResult,
) -> Result<(), Stopped> {
    if plan.to.is_some_and(|to| walk.covered() >= Some(to)) {
        return Ok(());
    }
    let mut waiting = BTreeMap::new();
    let mut next = 0;
    for (at, result) in results {
        waiting.insert(at, result);
        while let Some(result) = waiting.remove(&next) {
            next += 1;
            let judged = match result? {
                Ok(judged) => judged,
                Err((finding, block)) => return Err(Stopped::Found(finding, Some(block))),
            };
            if let Err(finding) = walk.step(&judged) {
                return Err(Stopped::Found(Box::new(finding), Some(Box::new(judged.block))));
            }
            progress(walk)?;
            if plan.to.is_some_and(|to| walk.covered() >= Some(to)) {
                return Ok(());
            }
            let _ = permit.send(());
        }
    }
    Ok(())
}

fn conclude(walk: &mut Walk<'_>, plan: &Plan) -> Result<Verified, Stopped> {
    let found = |finding: Finding| Stopped::Found(Box::new(finding), None);
    walk.finish().map_err(found)?;
    let (Some(newest), Some(digest)) = (walk.height(), walk.digest()) else {
        return Err(no_block(plan));
    };
    if walk.totals.blocks == 0 {
        return Err(no_block(plan));
    }
    let certified = walk.covered().unwrap_or(Height::ZERO);
    let below = if walk.is_whole() { Height::ZERO } else { Height::new(plan.from.get().saturating_sub(1)) };
    let open = newest.since(certified.max(below));
    if open > OPEN_MAX || walk.covered().is_none() {
        let first = Height::new(newest.get() - open).next();
        let detail = format!("no commit certificate covers it, nor any of the {} blocks to {newest}", open);
        return Err(found(Finding::unknown(first, Code::QuorumNotMet, detail)));
    }
    if let Some(to) = plan.to.filter(|to| certified < *to) {
        let detail = format!("the node gave blocks to {newest}, certified to {certified}");
        return Err(found(Finding::unknown(to, Code::QuorumNotMet, detail)));
    }
    let roots = plan.sizes.iter().filter_map(|&size| Some((size, walk.root_at(size)?)));
    Ok(Verified {
        totals: walk.totals.clone(),
        certified,
        newest: (newest, digest),
        time_ms: walk.time_ms(),
        confirmed: walk.confirmed(),
        log: walk.log(),
        roots: roots.collect(),
        oldest: walk.oldest(),
    })
}

fn no_block(plan: &Plan) -> Stopped {
    CliError::new(Code::NotFound, format!("there is no block {}", plan.from)).into()
}
