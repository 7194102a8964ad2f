//! One validator's consensus store: what is written, and what of it would survive a power cut.

use std::collections::BTreeMap;

use chain_core::certificate::Cert;
use chain_core::crypto::Digest;
use chain_core::id::Height;
use chain_core::lane::{BatchHeader, BatchRef, SignedBatchHeader};
use consensus::action::Write;
use consensus::message::Proposal;
use consensus::safety::SafetyRecord;

use super::random::Random;

/// One entry of the write-ahead log.
#[derive(Clone, Debug)]
pub enum Logged {
    /// What the engine asked to persist: one atomic write.
    Engine(Vec<Write>),
    /// A batch of any lane, written without a sync.
    Batch(SignedBatchHeader),
}

/// The tables that the log adds up to.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// The safety record.
    pub safety: Option<SafetyRecord>,
    /// Blocks by digest.
    pub blocks: BTreeMap<Digest, Proposal>,
    /// Final blocks by height.
    pub heights: BTreeMap<Height, Digest>,
    /// Commit certificates by height.
    pub certificates: BTreeMap<Height, Cert>,
    /// Batches.
    pub batches: BTreeMap<BatchRef, SignedBatchHeader>,
}

impl Tables {
    fn apply(&mut self, logged: Logged) {
        match logged {
            Logged::Engine(writes) => writes.into_iter().for_each(|write| self.apply_write(write)),
            Logged::Batch(batch) => self.put_batch(batch),
        }
    }

    fn apply_write(&mut self, write: Write) {
        match write {
            Write::Safety(record) => self.safety = Some(*record),
            Write::Block(proposal) => {
                self.blocks.insert(proposal.header.digest(), *proposal);
            }
            Write::Commit { certificate, blocks } => {
                for header in blocks {
                    self.heights.insert(header.height, header.digest());
                }
                self.certificates.insert(certificate.height, certificate);
            }
            Write::OwnBatch(batch) => self.put_batch(batch),
        }
    }

    fn put_batch(&mut self, batch: SignedBatchHeader) {
        let BatchHeader { author, seq, .. } = batch.header;
        self.batches.insert(BatchRef { author, seq, digest: batch.header.digest() }, batch);
    }
}

/// A store with a write-ahead log: writes are readable at once and durable after a sync.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    durable: Tables,
    unsynced: Vec<Logged>,
    now: Tables,
}

impl Disk {
    /// A store that holds a fresh safety record, as key creation makes it.
    pub fn new(record: SafetyRecord) -> Self {
        let tables = Tables { safety: Some(record), ..Tables::default() };
        Self { durable: tables.clone(), unsynced: Vec::new(), now: tables }
    }

    /// Appends to the log.
    pub fn write(&mut self, logged: Logged) {
        self.now.apply(logged.clone());
        self.unsynced.push(logged);
    }

    /// Entries written since the last sync began to be counted.
    pub fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// Makes the first `count` unsynced entries durable.
    pub fn sync(&mut self, count: usize) {
        for logged in self.unsynced.drain(..count) {
            self.durable.apply(logged);
        }
    }

    /// Power cut: the log loses everything after a random point behind the last sync. Returns how many
    /// entries were lost.
    pub fn crash(&mut self, random: &mut Random) -> usize {
        let kept = if self.unsynced.is_empty() { 0 } else { random.index(self.unsynced.len() + 1) };
        self.cut(kept)
    }

    /// Power cut that leaves the first `kept` unsynced entries. Returns how many were lost.
    pub fn cut(&mut self, kept: usize) -> usize {
        let lost = self.unsynced.len() - kept;
        self.sync(kept);
        self.unsynced.clear();
        self.now = self.durable.clone();
        lost
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
}
