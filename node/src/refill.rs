//! Getting back the blocks that a node does not keep, with the bodies in them: newest first, from the others.
//!
//! A node that joined with a snapshot never had them, a pruned one let go of them. Nothing is executed, and nobody is
//! believed: each block is the one that the block above it names, each batch is the one that the ledger says was ordered,
//! and a body that is not in it must be one of a record that the ledger calls erased. One that is erased is taken out
//! before anything is written.

use std::collections::BTreeMap;
use std::sync::Arc;

use chain_core::block::lanes_root;
use chain_core::certificate::{Cert, VoteKind};
use chain_core::code::{Code, Refusal};
use chain_core::codec::encode;
use chain_core::committee::Committee;
use chain_core::crypto::Digest;
use chain_core::execute::{LedgerRead as _, Outcome};
use chain_core::id::{ChainId, Height, ValidatorIx};
use chain_core::lane::{BatchRef, LaneAdvance, LaneFrontier, SignedBatchHeader};
use chain_core::layout::Layout as _;
use chain_core::operation::Operation;
use chain_core::state::{RecordHead, key};
use chain_core::transaction::Batch;
use consensus::message::Proposal;
use consensus::signer::{CommitteeKeys, Verifier as _};

use crate::driver::batches::{BatchJudge, CheckedBatch};
use crate::link::{SyncRequest, SyncResponse, SyncedBatch};
use crate::snapshots::fetch::Source;
use crate::storage::StorageError;
use crate::storage::consensus::{ConsensusStore, Recorded, Run, SyncedWrite};
use crate::storage::ledger::{Place, Snapshot};

/// Blocks asked for at a time.
const BLOCKS: u64 = 32;
/// Validator sets of epochs tried before a range is given up: an answer is of one epoch.
const ANSWERS_MAX: usize = 64;

/// What came back.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Refilled {
    /// The lowest block that was kept before.
    pub from: Height,
    /// The lowest block that is kept now.
    pub to: Height,
    /// Batches.
    pub batches: u64,
    /// Bodies that are not there because they are erased.
    pub erased: u64,
}

/// Where blocks come from and what they are held against.
pub(crate) struct Refill<'a> {
    pub(crate) chain_id: ChainId,
    pub(crate) source: &'a Source,
    pub(crate) consensus: &'a ConsensusStore,
    pub(crate) ledger: &'a Snapshot<'a>,
}

/// A batch, ready to be written.
struct Ready {
    name: BatchRef,
    header: SignedBatchHeader,
    bytes: Vec<u8>,
    recorded: Option<Recorded>,
}

impl Refill<'_> {
    /// Gets blocks back down to a height; `told` is called with the lowest one after each step. What came is kept when it is
    /// cut off.
    ///
    /// # Errors
    /// `NOT_READY` when no validator gives what is needed; when a store cannot be read or written.
    pub(crate) async fn down_to(
        &self,
        lowest: Height,
        mut told: impl FnMut(Height),
    ) -> Result<Refilled, Refusal> {
        let first = self.consensus.first().map_err(refuse)?;
        let mut refilled = Refilled { from: first, to: first, ..Refilled::default() };
        let lowest = lowest.max(Height::new(1));
        while refilled.to > lowest {
            self.step(lowest, &mut refilled).await?;
            told(refilled.to);
        }
        Ok(refilled)
    }

    /// Gets the blocks of one answer below the lowest that is kept.
    async fn step(&self, lowest: Height, refilled: &mut Refilled) -> Result<(), Refusal> {
        let first = refilled.to;
        let from = Height::new(first.get().saturating_sub(BLOCKS)).max(lowest);
        let (run, committee) = self.run_below(from, first).await?;
        let blocks: Vec<&Proposal> = run.blocks.iter().filter(|block| block.header.height < first).collect();
        let judge = BatchJudge::new(self.chain_id, Arc::new(committee));
        let mut ready = Vec::new();
        for block in &blocks {
            for (batch, name) in (0..).zip(self.ledger.ordered(block.header.height).map_err(refuse)?) {
                let place = Place { height: block.header.height, batch, position: 0 };
                ready.push(self.batch(&judge, place, name, refilled).await?);
            }
        }
        let lanes = self.lanes_before(&ready).map_err(refuse)?;
        self.write(first, &run, lanes, ready)?;
        refilled.to = blocks.first().map_or(first, |block| block.header.height);
        Ok(())
    }

    /// The run of blocks that ends with the one below `first` or goes on past it, judged.
    async fn run_below(&self, from: Height, first: Height) -> Result<(Run, Committee), Refusal> {
        let last = first.previous().unwrap_or(Height::ZERO);
        let known = match self.consensus.final_block(first).map_err(refuse)? {
            Some(block) => Some(block.header.parent),
            // Nothing came after the snapshot yet.
            None => self.consensus.final_digest(last).map_err(refuse)?,
        };
        let known = known.ok_or_else(|| {
            Refusal::new(Code::StorageCorrupt, format!("nothing here says which block {last} is"))
        })?;
        let mut why = "nobody has them".to_owned();
        for holder in self.source.connected() {
            let mut next = from;
            for _ in 0..ANSWERS_MAX {
                let request = SyncRequest::Blocks { from: next };
                let answer = self.source.network.request(holder, request).await;
                let Ok(SyncResponse::Blocks(run)) = answer else { break };
                let Some(end) = run.blocks.last().map(|block| block.header.height) else { break };
                if end < last && end >= next {
                    // Another epoch, or a certificate below: what is wanted comes after it.
                    next = end.next();
                    continue;
                }
                match self.judge(&run, next, (last, known)) {
                    Ok(committee) => return Ok((*run, committee)),
                    Err(refusal) => {
                        why = format!("{}: {}", self.source.name(holder), refusal.detail);
                        break;
                    }
                }
            }
        }
        Err(Refusal::new(Code::NotReady, format!("the blocks from {from} to {last} are missing: {why}")))
    }

    /// Blocks are judged by what follows them: the last one wanted is known by its digest.
    fn judge(&self, run: &Run, from: Height, (last, digest): (Height, Digest)) -> Result<Committee, Refusal> {
        let broken = |detail: String| Refusal::new(Code::ChainBroken, detail);
        let below = run.blocks.iter().filter(|block| block.header.height <= last);
        let below: Vec<&Proposal> = below.collect();
        let (Some(lowest), Some(highest)) = (below.first(), below.last()) else {
            return Err(broken("no block".to_owned()));
        };
        if lowest.header.height != from || highest.header.digest() != digest {
            return Err(broken(format!("block {last} is another one than the one that follows it names")));
        }
        for pair in run.blocks.windows(2) {
            let (before, after) = (&pair[0].header, &pair[1].header);
            if after.parent != before.digest() || after.height != before.height.next() {
                return Err(broken(format!(
                    "block {} does not follow block {}",
                    after.height, before.height
                )));
            }
        }
        let epoch = lowest.header.epoch;
        let committee = self.ledger.validator_set(epoch).map_err(refuse)?;
        let committee = committee.ok_or_else(|| broken(format!("epoch {epoch} is unknown")))?;
        let keys = CommitteeKeys::new(&committee);
        for block in &run.blocks {
            let header = &block.header;
            if header.epoch != epoch || header.lanes_root != lanes_root(&block.advances) {
                return Err(broken(format!("block {}: not what its header says", header.height)));
            }
            if !keys.verify(header.proposer, &header.proposal(), &block.signature) {
                return Err(broken(format!("block {} lacks its leader's signature", header.height)));
            }
        }
        self.judge_certificate(run, &committee)?;
        Ok(committee)
    }

    /// The certificate is kept for others, and proves the last block or its last Suffix.
    fn judge_certificate(&self, run: &Run, committee: &Committee) -> Result<(), Refusal> {
        let over = run.suffixes.last().or(run.blocks.last().map(|block| &block.header));
        let over = over.map(|header| (header.digest(), header.height));
        let Cert { digest, height, .. } = run.certificate;
        if over != Some((digest, height)) {
            return Err(Refusal::new(Code::CertificateInvalid, "the certificate is over another block"));
        }
        run.certificate
            .verify(self.chain_id, committee, VoteKind::Commit)
            .map_err(|error| Refusal::new(Code::CertificateInvalid, error.to_string()))
    }

    /// One batch, whole but for what is erased. Bodies that one validator lacks are taken from the next one.
    async fn batch(
        &self,
        judge: &BatchJudge,
        place: Place,
        name: BatchRef,
        refilled: &mut Refilled,
    ) -> Result<Ready, Refusal> {
        let outcomes = self.outcomes(place).map_err(refuse)?;
        let mut held: Option<Batch> = None;
        let mut why = "nobody has it".to_owned();
        for holder in self.source.connected() {
            let request = SyncRequest::Batches { from: name.seq, tip: name };
            let Ok(SyncResponse::Batches(answer)) = self.source.network.request(holder, request).await else {
                continue;
            };
            for given in answer {
                let stripped = match check(judge, given, &outcomes) {
                    // A rival of the one that is ordered.
                    Ok(checked) if checked.name != name => continue,
                    Ok(checked) => {
                        let batch = joined(held.take(), checked.batch);
                        self.strip(held.insert(batch))
                    }
                    Err(refusal) => Err(refusal),
                };
                match (stripped, &held) {
                    (Ok(erased), Some(batch)) => {
                        refilled.batches += 1;
                        refilled.erased += erased;
                        return ready(name, batch, erased, outcomes);
                    }
                    (Err(refusal), _) => why = format!("{}: {}", self.source.name(holder), refusal.detail),
                    (Ok(_), None) => {}
                }
            }
        }
        let BatchRef { epoch, author, seq, .. } = name;
        let detail = format!(
            "batch {seq} of lane {author} in epoch {epoch}, ordered by block {}, is missing: {why}",
            place.height
        );
        Err(Refusal::new(Code::NotReady, detail))
    }

    /// Takes out of a batch what is erased; gives how many bodies are gone. Each that is must be one of an erased record.
    fn strip(&self, batch: &mut Batch) -> Result<u64, Refusal> {
        let mut gone = 0;
        for submission in &mut batch.submissions {
            let operations = &submission.signed.transaction.operations;
            for (operation, body) in operations.iter().zip(&mut submission.bodies) {
                if operation.shared_body_commit().is_none() {
                    continue;
                }
                let erased = self.is_erased(operation)?;
                if body.is_none() && !erased {
                    let height = self.ledger.height();
                    let detail =
                        format!("a body is gone that the ledger of block {height} does not call erased");
                    return Err(Refusal::new(Code::MalformedBytes, detail));
                }
                if erased {
                    *body = None;
                    gone += 1;
                }
            }
        }
        Ok(gone)
    }

    fn is_erased(&self, operation: &Operation) -> Result<bool, Refusal> {
        let Some(header) = operation.header() else { return Ok(false) };
        let entry = self.ledger.get(&key::record(&header.record));
        let entry = entry.map_err(|error| Refusal::new(Code::StorageFailed, error.to_string()))?;
        let Some(entry) = entry else { return Ok(false) };
        let head = RecordHead::from_canonical(&entry)
            .map_err(|error| Refusal::new(Code::StorageCorrupt, format!("record head: {error}")))?;
        Ok(head.current.status.is_without_bodies())
    }

    /// What the operations of a batch came to, by this node's own ledger.
    fn outcomes(&self, place: Place) -> Result<Vec<Outcome>, StorageError> {
        let mut outcomes = Vec::new();
        for position in 0.. {
            let found = self.ledger.outcomes(Place { position, ..place })?;
            if found.is_empty() {
                break;
            }
            outcomes.extend(found);
        }
        Ok(outcomes)
    }

    /// Where the lanes stand before blocks: each before the first of its batches in them, the others as before what follows,
    /// which is at the beginning where the blocks end their epoch.
    fn lanes_before(&self, ready: &[Ready]) -> Result<LaneFrontier, StorageError> {
        let after = self.consensus.first_lanes()?;
        let mut lowest: BTreeMap<ValidatorIx, &SignedBatchHeader> = BTreeMap::new();
        for one in ready {
            let known = lowest.entry(one.name.author).or_insert(&one.header);
            if one.header.header.seq < known.header.seq {
                *known = &one.header;
            }
        }
        let mut lanes = LaneFrontier::default();
        for author in (0..chain_core::committee::VALIDATORS_MAX).filter_map(|ix| u16::try_from(ix).ok()) {
            let author = ValidatorIx::new(author);
            let tip = match lowest.get(&author) {
                Some(first) => first.header.seq.checked_sub(1).map(|seq| (seq, first.header.prev)),
                None => after.tip(author),
            };
            if let Some((seq, tip)) = tip {
                lanes.advance(&LaneAdvance { author, seq, tip });
            }
        }
        Ok(lanes)
    }

    fn write(&self, first: Height, run: &Run, lanes: LaneFrontier, ready: Vec<Ready>) -> Result<(), Refusal> {
        let mut write = SyncedWrite::default();
        for one in ready {
            match &one.recorded {
                None => self.consensus.add_batch(&mut write, &one.name, &one.bytes),
                Some(recorded) => {
                    self.consensus
                        .add_stripped(&mut write, &one.name, &one.bytes, recorded)
                        .map_err(refuse)?;
                }
            }
        }
        self.consensus.refill(write, first, run, lanes).map_err(refuse)
    }
}

/// Judges a batch by itself.
fn check(judge: &BatchJudge, given: SyncedBatch, outcomes: &[Outcome]) -> Result<CheckedBatch, Refusal> {
    let bytes: Arc<[u8]> = given.bytes.into();
    match given.recorded {
        None => judge.check(bytes),
        // What they came to this node's ledger knows, whatever the other says.
        Some(_) => judge.check_stripped(bytes, outcomes.to_vec()),
    }
}

/// A batch with the bodies that one of two answers has. Both were held against the commitments in it.
fn joined(held: Option<Batch>, given: Batch) -> Batch {
    let Some(mut batch) = held else { return given };
    for (one, other) in batch.submissions.iter_mut().zip(given.submissions) {
        for (body, found) in one.bodies.iter_mut().zip(other.bodies) {
            if body.is_none() {
                *body = found;
            }
        }
    }
    batch
}

fn ready(name: BatchRef, batch: &Batch, erased: u64, outcomes: Vec<Outcome>) -> Result<Ready, Refusal> {
    let bytes = encode(batch).map_err(|error| Refusal::new(Code::Internal, error.to_string()))?;
    let recorded = (erased > 0).then_some(Recorded(outcomes));
    Ok(Ready { name, header: batch.signed.clone(), bytes, recorded })
}

fn refuse(error: StorageError) -> Refusal {
    error.refusal()
}

#[cfg(test)]
mod tests;
