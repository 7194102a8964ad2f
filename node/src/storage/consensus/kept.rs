//! Where what is kept of the chain begins: a node that joined with a snapshot never had the blocks below it, one that
//! was pruned has them no more.
//!
//! How epochs ended stays in any case: it proves who votes today. So does the safety record.

use chain_core::block::Flags;
use chain_core::codec::{Wire, decode_trusted};
use chain_core::id::Height;
use chain_core::lane::{BatchRef, LaneFrontier};
use chain_core::recovery::Passage;
use consensus::Write;
use rocksdb::{IteratorMode, WriteBatch};
use serde::{Deserialize, Serialize};

use super::super::rewriting;
use super::super::usage::{FamilyUsage, usage};
use super::{
    Certified, ClosingProof, ConsensusStore, FAMILIES, Header, Run, StorageError, SyncedWrite, encoded,
    family, keys, number,
};

const FIRST: &str = "first";
const FIRST_LANES: &str = "first_lanes";
/// Families whose entries are as many as there are blocks or batches.
const OF_BLOCKS: [&str; 5] = ["blocks", "heights", "certs", "batches", "recorded"];

impl ConsensusStore {
    /// The lowest block that is kept together with its batches; 1 where nothing is missing.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn first(&self) -> Result<Height, StorageError> {
        self.meta(FIRST)?.map_or(Ok(Height::new(1)), |bytes| number(&bytes).map(Height::new))
    }

    /// Where the lanes stand before the first block that is kept.
    ///
    /// # Errors
    /// When the disk refuses or the value does not decode.
    pub fn first_lanes(&self) -> Result<LaneFrontier, StorageError> {
        let Some(bytes) = self.meta(FIRST_LANES)? else { return Ok(LaneFrontier::default()) };
        let Lanes(lanes) = decode_trusted(&bytes).map_err(StorageError::decode("where lanes begin"))?;
        Ok(lanes)
    }

    fn set_first(&self, first: Height, lanes: LaneFrontier) -> Result<(), StorageError> {
        let mut write = SyncedWrite::default();
        self.put_first(&mut write, first, lanes)?;
        self.commit(write)
    }

    fn put_first(
        &self,
        write: &mut SyncedWrite,
        first: Height,
        lanes: LaneFrontier,
    ) -> Result<(), StorageError> {
        let meta = family(&self.db, "meta");
        write.batch.put_cf(meta, FIRST, keys::height(first));
        write.batch.put_cf(meta, FIRST_LANES, encoded("where lanes begin", &Lanes(lanes))?);
        Ok(())
    }

    /// Lays down how each epoch ended, for a new store; synced.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn found_epochs(&self, passages: &[Passage]) -> Result<(), StorageError> {
        for passage in passages {
            match passage {
                Passage::HandOver(hand_over) => self.found_closing(&hand_over.proof)?,
                Passage::Recovery(recovery) => self.set_act(recovery)?,
            }
        }
        Ok(())
    }

    fn found_closing(&self, proof: &ClosingProof) -> Result<(), StorageError> {
        let Some(closing) = proof.headers.first() else { return Ok(()) };
        let mut write = SyncedWrite::default();
        let key = keys::epoch(closing.epoch);
        write.batch.put_cf(family(&self.db, "epochs"), key, encoded("closing proof", proof)?);
        self.commit(write)
    }

    /// Lays down final blocks that somebody verified, for a new store that no engine has opened: in a running node it is
    /// the engine that makes blocks final. The store begins above the block `base`, which is the first of the first run and
    /// left the lanes where they stand.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn found(&self, base: Height, lanes: LaneFrontier, runs: &[Run]) -> Result<(), StorageError> {
        for run in runs {
            let mut write = SyncedWrite::default();
            for block in &run.blocks {
                self.add(&mut write, &Write::Block(Box::new(block.clone())))?;
            }
            self.commit(write)?;
            let mut write = SyncedWrite::default();
            let headers: Vec<Header> = run.blocks.iter().map(|block| block.header.clone()).collect();
            self.add_commit(&mut write, &run.certificate, &headers, &run.suffixes)?;
            self.commit(write)?;
        }
        self.set_first(base.next(), lanes)
    }

    /// Lays down blocks below the first that is kept, which somebody verified, and what else is in a write; synced. The run
    /// may go on past that block.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn refill(
        &self,
        mut write: SyncedWrite,
        first: Height,
        run: &Run,
        lanes: LaneFrontier,
    ) -> Result<(), StorageError> {
        let below = || run.blocks.iter().filter(|block| block.header.height < first);
        let Some(lowest) = below().next().map(|block| block.header.height) else { return Ok(()) };
        for block in below() {
            let (height, digest) = (block.header.height, block.header.digest());
            let key = keys::block(height, &digest);
            write.batch.put_cf(family(&self.db, "blocks"), key, encoded("block", block)?);
            write.batch.put_cf(family(&self.db, "heights"), keys::height(height), digest.as_bytes());
        }
        if let Some(last) = run.blocks.last().map(|block| block.header.height).filter(|last| *last < first) {
            let (suffixes, certificate) = (run.suffixes.clone(), run.certificate.clone());
            let certified = encoded("certificate", &Certified { suffixes, certificate })?;
            write.batch.put_cf(family(&self.db, "certs"), keys::height(last), certified);
        }
        // The block before the lowest is not there yet: what follows it names it.
        self.put_first(&mut write, lowest, lanes)?;
        self.commit(write)
    }

    /// Forgets the blocks below a height, with their certificates and the batches that they ordered, `ordered` by `height`;
    /// and writes anew the files in which they stood. What is left of it after a crash goes with the next time.
    ///
    /// # Errors
    /// When the disk refuses, or as `ordered`.
    pub(crate) fn prune(
        &self,
        to: Height,
        mut ordered: impl FnMut(Height) -> Result<Vec<BatchRef>, StorageError>,
    ) -> Result<Pruned, StorageError> {
        let first = self.first()?;
        let mut pruned = Pruned { from: first, to: to.max(first), ..Pruned::default() };
        let lanes = self.lanes_before(pruned.to)?;
        // What is said to be here must be here, also after a crash.
        self.set_first(pruned.to, lanes)?;
        let mut write = WriteBatch::default();
        let mut height = self.begins(first)?;
        while height < pruned.to {
            for name in ordered(height)? {
                write.delete_cf(family(&self.db, "batches"), keys::batch(&name));
                write.delete_cf(family(&self.db, "recorded"), keys::batch(&name));
                pruned.batches += 1;
            }
            height = height.next();
            pruned.blocks += 1;
            if write.len() >= PER_WRITE {
                self.write_unsynced(std::mem::take(&mut write))?;
            }
        }
        // The block before the first one that is kept says what that one follows.
        let end = pruned.to.previous().unwrap_or(Height::ZERO);
        for name in ["blocks", "heights", "certs"] {
            write.delete_range_cf(family(&self.db, name), keys::height(Height::ZERO), keys::height(end));
        }
        self.write_unsynced(write)?;
        self.rewrite(&OF_BLOCKS)?;
        Ok(pruned)
    }

    /// Where the lanes stand before a block, from where they stand before the first one that is kept.
    fn lanes_before(&self, height: Height) -> Result<LaneFrontier, StorageError> {
        let mut at = self.first()?;
        let mut lanes = self.first_lanes()?;
        let before = at.previous().map_or(Ok(None), |before| self.final_block(before))?;
        let mut epoch = before.map(|block| block.header.epoch);
        while at < height {
            let block = self.final_block(at)?;
            let block = block.ok_or_else(|| StorageError::corrupt(format!("block {at}"), "it is missing"))?;
            if epoch.is_some_and(|epoch| epoch < block.header.epoch) {
                // After an act of recovery, which no block announces.
                lanes = LaneFrontier::default();
            }
            epoch = Some(block.header.epoch);
            block.advances.iter().for_each(|advance| lanes.advance(advance));
            if block.header.flags.contains(Flags::CLOSING) {
                lanes = LaneFrontier::default();
            }
            at = at.next();
        }
        let next = self.final_block(height)?.map(|block| block.header.epoch);
        Ok(if next > epoch { LaneFrontier::default() } else { lanes })
    }

    /// The lowest block of which something may be left: the first one that is kept, or one that a pruning left that was
    /// cut off.
    fn begins(&self, first: Height) -> Result<Height, StorageError> {
        let mut entries = self.db.iterator_cf(family(&self.db, "heights"), IteratorMode::Start);
        let lowest = entries.next().transpose().map_err(StorageError::failed("reading the lowest block"))?;
        let lowest = lowest.map_or(Ok(first), |(key, _)| number(&key).map(Height::new))?;
        Ok(if lowest.next() < first { lowest } else { first })
    }

    fn write_unsynced(&self, write: WriteBatch) -> Result<(), StorageError> {
        self.db.write(write).map_err(StorageError::failed("forgetting old blocks"))
    }

    /// Writes every file of some families anew, so that nothing that was deleted takes room any more.
    fn rewrite(&self, names: &[&str]) -> Result<(), StorageError> {
        self.flush_families()?;
        for name in names {
            let handle = family(&self.db, name);
            self.collecting(name, || {
                self.db.compact_range_cf_opt(handle, None::<&[u8]>, None::<&[u8]>, &rewriting());
            })?;
        }
        self.healthy()
    }

    /// What each family takes on the disk.
    ///
    /// # Errors
    /// When the store cannot say.
    pub fn usage(&self) -> Result<Vec<FamilyUsage>, StorageError> {
        usage(&self.db, FAMILIES)
    }

    /// Writes every file of the store anew: what was deleted or replaced takes no room any more.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn compact(&self) -> Result<(), StorageError> {
        self.rewrite(&FAMILIES.iter().map(|one| one.name).collect::<Vec<_>>())
    }
}

/// Where lanes stand.
#[derive(Deserialize, Serialize)]
struct Lanes(LaneFrontier);

impl Wire for Lanes {
    const LIMIT: usize = 16 * 1024;
}

/// Entries deleted by one write.
const PER_WRITE: usize = 10_000;

/// What pruning took away.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Pruned {
    /// The lowest block that was kept before.
    pub from: Height,
    /// The lowest block that is kept now.
    pub to: Height,
    /// Blocks that are gone.
    pub blocks: u64,
    /// Batches that are gone.
    pub batches: u64,
}

#[cfg(test)]
mod tests;
