//! One validator's consensus store: what is written, and what of it would survive a power cut.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use chain_core::block::{Flags, Header};
use chain_core::certificate::Cert;
use chain_core::crypto::Digest;
use chain_core::epoch::ClosingProof;
use chain_core::id::{Epoch, Height};
use chain_core::lane::{BatchRef, SignedBatchHeader};
use consensus::action::Write;
use consensus::engine::Tip;
use consensus::message::Proposal;
use consensus::safety::SafetyRecord;

use super::random::Random;

/// One row, ready for any table; shared, since the log and both views of the tables hold it.
#[derive(Clone, Debug)]
enum Row {
    Safety(Arc<SafetyRecord>),
    Block(Digest, Arc<Proposal>),
    Commit(Arc<Certified>, Vec<(Height, Digest)>),
    Closing(Arc<ClosingProof>),
    Batch(BatchRef, Arc<SignedBatchHeader>),
}

/// What made a height final.
#[derive(Clone, Debug)]
pub struct Certified {
    /// The height.
    pub height: Height,
    /// When it closed its epoch: the Suffixes between it and the certified header.
    pub suffixes: Vec<Header>,
    /// Commit certificate of the last of them, or of the height itself.
    pub certificate: Cert,
}

impl Row {
    fn of(write: Write) -> Vec<Self> {
        let row = match write {
            Write::Safety(record) => Self::Safety(Arc::from(record)),
            Write::Block(proposal) => Self::Block(proposal.header.digest(), Arc::from(proposal)),
            Write::Commit { certificate, blocks, suffixes, .. } => {
                let Some(last) = blocks.last() else { return Vec::new() };
                let heights = blocks.iter().map(|header| (header.height, header.digest())).collect();
                let mut rows = Vec::new();
                if last.flags.contains(Flags::CLOSING) {
                    let headers = std::iter::once(last).chain(&suffixes).cloned().collect();
                    let proof = ClosingProof { headers, certificate: certificate.clone() };
                    rows.push(Self::Closing(Arc::new(proof)));
                }
                let certified = Certified { height: last.height, suffixes, certificate };
                rows.push(Self::Commit(Arc::new(certified), heights));
                return rows;
            }
            Write::OwnBatch(batch) => Self::batch(batch),
        };
        vec![row]
    }

    fn batch(batch: SignedBatchHeader) -> Self {
        Self::Batch(BatchRef::of(&batch.header), Arc::new(batch))
    }
}

/// The tables that the log adds up to.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// The safety record.
    pub safety: Option<Arc<SafetyRecord>>,
    /// Blocks by digest.
    pub blocks: BTreeMap<Digest, Arc<Proposal>>,
    /// Final blocks by height.
    pub heights: BTreeMap<Height, Digest>,
    /// Commit certificates by the newest height that they make final.
    pub certificates: BTreeMap<Height, Arc<Certified>>,
    /// How each epoch ended.
    pub closings: BTreeMap<Epoch, Arc<ClosingProof>>,
    /// Batches.
    pub batches: BTreeMap<BatchRef, Arc<SignedBatchHeader>>,
}

impl Tables {
    fn apply(&mut self, rows: &[Row]) {
        for row in rows {
            match row {
                Row::Safety(record) => self.safety = Some(record.clone()),
                Row::Block(digest, proposal) => {
                    self.blocks.insert(*digest, proposal.clone());
                }
                Row::Commit(certificate, heights) => {
                    self.heights.extend(heights.iter().copied());
                    self.certificates.insert(certificate.height, certificate.clone());
                }
                Row::Closing(proof) => {
                    self.closings.insert(proof.certificate.epoch, proof.clone());
                }
                Row::Batch(name, batch) => {
                    self.batches.insert(*name, batch.clone());
                }
            }
        }
    }

    /// The final block at a height.
    pub fn block_at(&self, height: Height) -> Option<&Arc<Proposal>> {
        self.heights.get(&height).and_then(|digest| self.blocks.get(digest))
    }

    /// Final blocks from a height on, ascending without gaps.
    pub fn final_blocks(&self, from: Height) -> impl Iterator<Item = &Arc<Proposal>> {
        self.heights.range(from..).map_while(|(_, digest)| self.blocks.get(digest))
    }

    /// The chain at the newest final height of an epoch, for a ledger that was executed so far.
    pub fn committed(&self, executed: &Tip, epoch: Epoch) -> Tip {
        let above = self.final_blocks(executed.height.next());
        // Later epochs wait until this one is executed to its end.
        let above = above.take_while(|block| block.header.epoch == epoch);
        above.fold(executed.clone(), |tip, block| tip.after(block))
    }
}

/// A store with a write-ahead log: writes are readable at once and durable after a sync.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    durable: Tables,
    /// Entries of the log: each is written whole or not at all.
    unsynced: VecDeque<Vec<Row>>,
    now: Tables,
}

impl Disk {
    /// A store that holds a fresh safety record, as key creation makes it.
    pub fn new(record: SafetyRecord) -> Self {
        let tables = Tables { safety: Some(Arc::new(record)), ..Tables::default() };
        Self { durable: tables.clone(), unsynced: VecDeque::new(), now: tables }
    }

    /// Writes what the engine asked to persist: one entry.
    pub fn write(&mut self, writes: Vec<Write>) {
        self.log(writes.into_iter().flat_map(Row::of).collect());
    }

    /// Writes a batch of any lane, without asking for a sync.
    pub fn write_batch(&mut self, batch: SignedBatchHeader) {
        self.log(vec![Row::batch(batch)]);
    }

    fn log(&mut self, rows: Vec<Row>) {
        self.now.apply(&rows);
        self.unsynced.push_back(rows);
    }

    /// Entries written since the last sync began to be counted.
    pub fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// Makes the first `count` unsynced entries durable.
    pub fn sync(&mut self, count: usize) {
        for rows in self.unsynced.drain(..count) {
            self.durable.apply(&rows);
        }
    }

    /// Power cut. `torn` loses the log from a random point behind the last sync on, the entry at that point
    /// being torn; otherwise the operating system had written everything. Returns how many entries were lost.
    pub fn crash(&mut self, torn: bool, random: &mut Random) -> usize {
        let written = self.unsynced.len();
        let kept = if torn && written > 0 { random.index(written) } else { written };
        self.sync(kept);
        self.lose_unsynced();
        written - kept
    }

    /// Nothing behind the last sync is kept: the write that would have made it durable failed.
    pub fn lose_unsynced(&mut self) {
        self.unsynced.clear();
        self.now = self.durable.clone();
    }

    /// The safety record is gone: a damaged store, or a restored one that must not be trusted.
    pub fn lose_safety(&mut self) {
        self.durable.safety = None;
        self.now.safety = None;
    }

    /// What reads see.
    pub fn tables(&self) -> &Tables {
        &self.now
    }

    /// What a power cut would leave.
    pub fn durable(&self) -> &Tables {
        &self.durable
    }

    /// A copy of the store as a power cut would leave it, to be put back later.
    pub fn copy(&self) -> Self {
        let tables = self.durable.clone();
        Self { durable: tables.clone(), unsynced: VecDeque::new(), now: tables }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chain_core::crypto::PublicKey;
    use chain_core::id::{ChainId, Epoch, View};

    fn record(view: u64) -> SafetyRecord {
        let chain = ChainId::new(Digest::ZERO);
        let base = (Height::ZERO, Digest::ZERO);
        let mut record = SafetyRecord::fresh(chain, Epoch::ZERO, PublicKey::new([1; 32]), base);
        record.vc_view = View::new(view);
        record
    }

    fn view(tables: &Tables) -> u64 {
        tables.safety.as_ref().map_or(0, |record| record.vc_view.get())
    }

    #[test]
    fn a_torn_write_is_lost_whole_and_what_was_synced_stays() {
        for seed in 0..50 {
            let mut disk = Disk::new(record(0));
            for at in 1..=4 {
                disk.write(vec![Write::Safety(Box::new(record(at)))]);
            }
            disk.sync(2);
            assert_eq!((view(disk.durable()), view(disk.tables())), (2, 4));
            let lost = disk.crash(true, &mut Random::new(seed));
            assert!((1..=2).contains(&lost), "a torn write loses at least the last entry");
            assert_eq!(view(disk.tables()), 4 - lost as u64);
            assert_eq!(view(disk.durable()), view(disk.tables()));
        }
    }

    #[test]
    fn a_failed_write_keeps_nothing_behind_the_last_sync() {
        let mut disk = Disk::new(record(0));
        disk.write(vec![Write::Safety(Box::new(record(1)))]);
        disk.sync(1);
        disk.write(vec![Write::Safety(Box::new(record(2)))]);
        let copy = disk.copy();
        disk.lose_unsynced();
        assert_eq!((view(disk.tables()), view(copy.tables())), (1, 1));
    }
}
