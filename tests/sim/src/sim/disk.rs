//! One validator's consensus store: what is written, and what of it would survive a power cut.

use std::collections::BTreeMap;

use chain_core::block::{Flags, Header};
use chain_core::certificate::Cert;
use chain_core::crypto::Digest;
use chain_core::epoch::ClosingProof;
use chain_core::id::{Epoch, Height};
use chain_core::lane::{BatchRef, SignedBatchHeader};
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
    /// Commit certificates by the height of the newest block that they make final, each with the Suffixes
    /// between that block and the certified one.
    pub certificates: BTreeMap<Height, (Vec<Header>, Cert)>,
    /// How each epoch ended.
    pub closings: BTreeMap<Epoch, ClosingProof>,
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
            Write::Commit { certificate, blocks, suffixes } => {
                for header in &blocks {
                    self.heights.insert(header.height, header.digest());
                }
                let Some(last) = blocks.last() else { return };
                if last.flags.contains(Flags::CLOSING) {
                    let headers = std::iter::once(last).chain(&suffixes).cloned().collect();
                    let proof = ClosingProof { headers, certificate: certificate.clone() };
                    self.closings.insert(last.epoch, proof);
                }
                self.certificates.insert(last.height, (suffixes, certificate));
            }
            Write::OwnBatch(batch) => self.put_batch(batch),
        }
    }

    fn put_batch(&mut self, batch: SignedBatchHeader) {
        self.batches.insert(BatchRef::of(&batch.header), batch);
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
