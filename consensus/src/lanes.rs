//! Which batches of which lane are held, and whether a lane's advance is fully covered by them.

use std::collections::BTreeMap;

use chain_core::crypto::Digest;
use chain_core::id::{Epoch, ValidatorIx};
use chain_core::lane::{
    BATCH_BYTES_MAX, BATCH_RECORDS_MAX, BatchHeader, BatchRef, LaneAdvance, LaneFrontier, SignedBatchHeader,
};

/// Most batches remembered per lane above the committed frontier.
pub const LANE_BATCHES_HELD_MAX: usize = 512;

/// A run of batches that a lane advance orders.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Run {
    /// The batches in order.
    pub(crate) batches: Vec<BatchRef>,
    /// Operations in them.
    pub(crate) records: u32,
    /// Bytes of them.
    pub(crate) bytes: u32,
}

/// A batch that is needed but not held.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Missing {
    /// First sequence number of which nothing is held.
    pub(crate) from: u64,
    /// Newest batch needed and not held.
    pub(crate) tip: BatchRef,
}

/// Why an advance is not covered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Uncovered {
    /// Data is missing; it may still come.
    Missing(Missing),
    /// The lane does not lead from the frontier to the tip: it never will.
    Broken,
}

/// Headers of the batches held.
#[derive(Debug)]
pub(crate) struct Lanes {
    epoch: Epoch,
    held: BTreeMap<(ValidatorIx, u64), Vec<(Digest, SignedBatchHeader)>>,
    /// The newest of each lane, for the echo: also when it was ordered since and is held no more.
    newest: BTreeMap<ValidatorIx, SignedBatchHeader>,
}

impl Lanes {
    /// Nothing held yet of an epoch's lanes.
    pub(crate) fn new(epoch: Epoch) -> Self {
        Self { epoch, held: BTreeMap::new(), newest: BTreeMap::new() }
    }

    fn name(&self, author: ValidatorIx, seq: u64, digest: Digest) -> BatchRef {
        BatchRef { epoch: self.epoch, author, seq, digest }
    }

    /// Remembers a batch. Gives the other one when it shows that the author signed two different batches for
    /// one position; a third shows nothing new, and is kept only when it is `wanted`: a quorum may have ordered it
    /// while two rivals of it came here. It then takes the place of the later one.
    pub(crate) fn add(
        &mut self,
        signed: SignedBatchHeader,
        frontier: &LaneFrontier,
        wanted: bool,
    ) -> Option<SignedBatchHeader> {
        let BatchHeader { author, seq, .. } = signed.header;
        let next = frontier.next_seq(author);
        if seq < next || seq - next >= LANE_BATCHES_HELD_MAX as u64 {
            return None;
        }
        let newest = self.newest.entry(author).or_insert_with(|| signed.clone());
        if seq > newest.header.seq {
            *newest = signed.clone();
        }
        let digest = signed.header.digest();
        let slot = self.held.entry((author, seq)).or_default();
        if slot.iter().any(|(held, _)| *held == digest) {
            return None;
        }
        if let [_, later] = &mut slot[..] {
            if wanted {
                *later = (digest, signed);
            }
            return None;
        }
        let rival = slot.first().map(|(_, rival)| rival.clone());
        slot.push((digest, signed));
        rival
    }

    fn get(&self, author: ValidatorIx, seq: u64, digest: &Digest) -> Option<&BatchHeader> {
        let slot = self.held.get(&(author, seq))?;
        slot.iter().find(|(held, _)| held == digest).map(|(_, signed)| &signed.header)
    }

    /// Whether a batch is held.
    pub(crate) fn holds(&self, batch: &BatchRef) -> bool {
        self.get(batch.author, batch.seq, &batch.digest).is_some()
    }

    /// The batches from the frontier to the advance's tip, if all are held.
    pub(crate) fn cover(&self, advance: &LaneAdvance, frontier: &LaneFrontier) -> Result<Run, Uncovered> {
        let author = advance.author;
        let from = frontier.next_seq(author);
        let before = frontier.tip(author).map_or(Digest::ZERO, |(_, digest)| digest);
        if advance.seq < from {
            return Err(Uncovered::Broken);
        }
        let mut run = Run::default();
        let (mut seq, mut digest) = (advance.seq, advance.tip);
        loop {
            let Some(header) = self.get(author, seq, &digest) else {
                let from = (from..seq).find(|at| !self.held.contains_key(&(author, *at))).unwrap_or(seq);
                return Err(Uncovered::Missing(Missing { from, tip: self.name(author, seq, digest) }));
            };
            run.batches.push(self.name(author, seq, digest));
            run.records = run.records.saturating_add(header.count);
            run.bytes = run.bytes.saturating_add(header.bytes);
            digest = header.prev;
            if seq == from {
                break;
            }
            seq -= 1;
        }
        run.batches.reverse();
        if digest == before { Ok(run) } else { Err(Uncovered::Broken) }
    }

    /// The longest run of held batches above a frontier, at most `batches`, `bytes` and `records`.
    pub(crate) fn longest(
        &self,
        author: ValidatorIx,
        frontier: &LaneFrontier,
        batches: u64,
        mut bytes: u32,
        mut records: u32,
    ) -> Option<(LaneAdvance, Run)> {
        let mut tip = frontier.tip(author).map_or(Digest::ZERO, |(_, digest)| digest);
        let first = frontier.next_seq(author);
        let mut run = Run::default();
        for seq in first..first.saturating_add(batches) {
            let next = self
                .held
                .get(&(author, seq))
                .and_then(|slot| slot.iter().find(|(_, signed)| signed.header.prev == tip));
            let Some((digest, signed)) = next else { break };
            let (size, count) = (signed.header.bytes, signed.header.count);
            if size > bytes || count > records {
                break;
            }
            bytes -= size;
            records -= count;
            run.bytes += size;
            run.records += count;
            run.batches.push(self.name(author, seq, *digest));
            tip = *digest;
        }
        let last = *run.batches.last()?;
        Some((LaneAdvance { author, seq: last.seq, tip: last.digest }, run))
    }

    /// Whether an author signed two of the batches held for one place of its lane.
    pub(crate) fn is_disputed(&self, author: ValidatorIx) -> bool {
        self.held.range((author, 0)..=(author, u64::MAX)).any(|(_, slot)| slot.len() > 1)
    }

    /// The batches held that come next in a lane, up to the first place for which its author signed two: at most
    /// `batches`, and together no larger than one batch may be.
    pub(crate) fn undisputed(
        &self,
        author: ValidatorIx,
        frontier: &LaneFrontier,
        batches: u64,
    ) -> Vec<BatchRef> {
        let one_batch = u32::try_from(BATCH_BYTES_MAX).unwrap_or(u32::MAX);
        let longest = self.longest(author, frontier, batches, one_batch, BATCH_RECORDS_MAX);
        let alone =
            |batch: &BatchRef| self.held.get(&(author, batch.seq)).is_some_and(|slot| slot.len() == 1);
        let run = longest.map(|(_, run)| run.batches).unwrap_or_default();
        run.into_iter().take_while(alone).collect()
    }

    /// First sequence number of a lane that is not held, following hash links from the frontier.
    pub(crate) fn reach(&self, author: ValidatorIx, frontier: &LaneFrontier) -> u64 {
        let all = LANE_BATCHES_HELD_MAX as u64;
        let longest = self.longest(author, frontier, all, u32::MAX, u32::MAX);
        longest.map_or(frontier.next_seq(author), |(advance, _)| advance.seq.saturating_add(1))
    }

    /// Newest batch header seen of a lane.
    pub(crate) fn newest(&self, author: ValidatorIx) -> Option<SignedBatchHeader> {
        self.newest.get(&author).cloned()
    }

    /// Batches of a lane above the frontier, oldest first.
    pub(crate) fn pending(&self, author: ValidatorIx, frontier: &LaneFrontier) -> Vec<BatchRef> {
        self.held
            .range((author, frontier.next_seq(author))..=(author, u64::MAX))
            .flat_map(|((author, seq), slot)| {
                slot.iter().map(|(digest, _)| self.name(*author, *seq, *digest))
            })
            .collect()
    }

    /// Forgets batches at or below the frontier.
    pub(crate) fn prune(&mut self, frontier: &LaneFrontier) {
        self.held.retain(|(author, seq), _| *seq >= frontier.next_seq(*author));
    }

    /// Batches held, over all lanes.
    pub(crate) fn len(&self) -> usize {
        self.held.values().map(Vec::len).sum()
    }

    /// Whether this validator's own batch is pending.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}
