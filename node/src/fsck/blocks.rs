//! The chain of final blocks, from the first one that is kept.

use std::sync::Arc;

use chain_core::block::{batches_root, lanes_root};
use chain_core::certificate::VoteKind;
use chain_core::code::{Code, Refusal};
use chain_core::committee::Committee;
use chain_core::crypto::Digest;
use chain_core::id::{Epoch, Height};
use chain_core::lane::{BatchRef, LaneAdvance, LaneFrontier};
use consensus::message::Proposal;

use super::{Report, broken, refuse};
use crate::driver::batches::BatchJudge;
use crate::snapshots::verify::{Trust, committee_of};
use crate::storage::consensus::ConsensusStore;
use crate::storage::ledger::LedgerStore;

const STORE: &str = "consensus";

/// Walks from the first final block that is kept to the last; whatever is wrong goes to the report, with its height.
pub(super) fn walk(
    consensus: &ConsensusStore,
    ledger: Option<&LedgerStore>,
    trust: &Trust<'_>,
    report: &mut Report,
) {
    let last = match consensus.final_height() {
        Ok(last) => last,
        Err(error) => return report.find(STORE, None, error.refusal()),
    };
    let mut walk = Walk {
        consensus,
        ledger,
        trust,
        parent: Some(*trust.chain_id.digest()),
        lanes: LaneFrontier::default(),
        epoch: Epoch::ZERO,
        judge: Some(BatchJudge::new(trust.chain_id, Arc::new(trust.committee.clone()))),
        committee: Some(trust.committee.clone()),
    };
    let first = consensus.first().map_err(refuse);
    let begun = first.and_then(|first| walk.begin(first).map(|()| first));
    let mut height = match begun {
        Ok(first) => {
            report.first = first;
            first.previous().unwrap_or(Height::ZERO)
        }
        Err(refusal) => return report.find(STORE, None, refusal),
    };
    while height < last {
        height = height.next();
        for refusal in walk.block(height, report) {
            report.find(STORE, Some(height), refusal);
        }
    }
}

struct Walk<'a> {
    consensus: &'a ConsensusStore,
    ledger: Option<&'a LedgerStore>,
    trust: &'a Trust<'a>,
    /// Digest of the block before; unknown after one that could not be read.
    parent: Option<Digest>,
    lanes: LaneFrontier,
    epoch: Epoch,
    judge: Option<BatchJudge>,
    /// The validators of the epoch, where they could be proved.
    committee: Option<Committee>,
}

impl Walk<'_> {
    /// Takes up the chain before the first block that is kept. What that one follows is not proved by any block here, but
    /// by the ledger whose root is certified: a joining node began with it, or a pruned one had executed it.
    fn begin(&mut self, first: Height) -> Result<(), Refusal> {
        if first.get() <= 1 {
            return Ok(());
        }
        let Some(block) = self.consensus.final_block(first).map_err(refuse)? else { return Ok(()) };
        let before = first.previous().map_or(Ok(None), |before| self.consensus.final_block(before));
        self.parent = before.map_err(refuse)?.map(|before| before.header.digest());
        self.lanes = self.consensus.first_lanes().map_err(refuse)?;
        self.epoch = block.header.epoch;
        self.committee = self.proved(self.epoch)?;
        let judge = |committee| BatchJudge::new(self.trust.chain_id, Arc::new(committee));
        self.judge = self.committee.clone().map(judge);
        Ok(())
    }

    /// Everything that is wrong with one height.
    fn block(&mut self, height: Height, report: &mut Report) -> Vec<Refusal> {
        let mut flaws = Vec::new();
        let block = match self.consensus.final_block(height) {
            Ok(Some(block)) => block,
            Ok(None) => {
                self.parent = None;
                return vec![broken(format!("block {height} is missing below the newest final one"))];
            }
            Err(error) => {
                self.parent = None;
                return vec![error.refusal()];
            }
        };
        report.blocks += 1;
        self.enter(&block, &mut flaws);
        self.link(height, &block, &mut flaws);
        let mut digests = Vec::new();
        for advance in &block.advances {
            match self.lane(&block, advance, report) {
                Ok(run) => digests.extend(run),
                Err(flaw) => flaws.push(flaw),
            }
            self.lanes.advance(advance);
        }
        if flaws.is_empty() && block.header.batches_root != batches_root(&digests) {
            flaws.push(broken(format!("block {height}: its batches are not those that its header names")));
        }
        if let Err(flaw) = self.certificate(height, report) {
            flaws.push(flaw);
        }
        flaws
    }

    /// With the first block of an epoch its validators judge, and its lanes begin anew.
    fn enter(&mut self, block: &Proposal, flaws: &mut Vec<Refusal>) {
        let epoch = block.header.epoch;
        if epoch == self.epoch {
            return;
        }
        self.epoch = epoch;
        self.lanes = LaneFrontier::default();
        self.committee = match self.proved(epoch) {
            Ok(committee) => committee,
            Err(flaw) => {
                flaws.push(flaw);
                None
            }
        };
        self.judge =
            self.committee.clone().map(|committee| BatchJudge::new(self.trust.chain_id, Arc::new(committee)));
    }

    /// The validators of an epoch; none where the ledger that names them is lost.
    fn proved(&self, epoch: Epoch) -> Result<Option<Committee>, Refusal> {
        let Some(ledger) = self.ledger else { return Ok(None) };
        let snapshot = ledger.snapshot().map_err(refuse)?;
        committee_of(epoch, &snapshot, self.consensus, self.trust).map(Some)
    }

    fn link(&mut self, height: Height, block: &Proposal, flaws: &mut Vec<Refusal>) {
        let header = &block.header;
        if header.height != height || header.chain_id != self.trust.chain_id {
            flaws.push(broken(format!("block {height} says it is block {} of another place", header.height)));
        }
        if self.parent.is_some_and(|parent| parent != header.parent) {
            flaws.push(broken(format!("block {height} does not follow block {}", height.get() - 1)));
        }
        if header.lanes_root != lanes_root(&block.advances) {
            flaws.push(broken(format!("block {height}: its lanes are not those that its header names")));
        }
        let digest = header.digest();
        if self.consensus.final_digest(height).map_err(refuse) != Ok(Some(digest)) {
            flaws.push(broken(format!("block {height} has another digest than the final one")));
        }
        // The first block of an epoch follows the last one of the epoch before: Suffixes are no part of the chain.
        self.parent = Some(digest);
    }

    /// The batches of a lane that a block orders, ascending.
    fn lane(
        &self,
        block: &Proposal,
        advance: &LaneAdvance,
        report: &mut Report,
    ) -> Result<Vec<Digest>, Refusal> {
        let from = self.lanes.next_seq(advance.author);
        let mut name = advance.tip_in(block.header.epoch);
        let mut run = Vec::new();
        loop {
            let prev = self.batch(&name, report)?;
            run.push(name.digest);
            if name.seq <= from {
                break;
            }
            name = BatchRef { seq: name.seq - 1, digest: prev, ..name };
        }
        run.reverse();
        Ok(run)
    }

    /// One batch, whole; gives the digest of the one before it.
    fn batch(&self, name: &BatchRef, report: &mut Report) -> Result<Digest, Refusal> {
        let of = |refusal: Refusal| {
            let place = format!("batch {} of lane {} in epoch {}", name.seq, name.author, name.epoch);
            Refusal::new(refusal.code, format!("{place}: {}", refusal.detail))
        };
        let bytes = self.consensus.batch_bytes(name).map_err(|error| of(error.refusal()))?;
        let missing = || of(Refusal::new(Code::StorageCorrupt, "it is ordered, and not stored"));
        let bytes: Arc<[u8]> = bytes.ok_or_else(missing)?.into();
        let recorded = self.consensus.recorded(name).map_err(|error| of(error.refusal()))?;
        report.batches += 1;
        report.stripped += u64::from(recorded.is_some());
        let (prev, digest, count) = match &self.judge {
            Some(judge) => {
                let checked = match recorded {
                    Some(recorded) => judge.check_stripped(bytes, recorded.0),
                    None => judge.check(bytes),
                };
                let checked = checked.map_err(of)?;
                let header = &checked.batch.signed.header;
                (header.prev, header.digest(), checked.ids.len())
            }
            // Nobody here can say whose signature it should bear.
            None => {
                let batch = self.consensus.batch(name).map_err(|error| of(error.refusal()))?;
                let batch = batch.ok_or_else(missing)?;
                (batch.signed.header.prev, batch.signed.header.digest(), batch.submissions.len())
            }
        };
        report.transactions += count as u64;
        match digest == name.digest {
            true => Ok(prev),
            false => Err(of(broken("it is not the one that is ordered".to_owned()))),
        }
    }

    /// The certificate that names this height, if one does.
    fn certificate(&self, height: Height, report: &mut Report) -> Result<(), Refusal> {
        let Some((at, certified)) = self.consensus.certified_from(height).map_err(refuse)? else {
            return Ok(());
        };
        if at != height {
            return Ok(());
        }
        let certificate = &certified.certificate;
        // An act of recovery makes the first block of an epoch final with the certificate of the next one.
        let Some(committee) = self.committee.as_ref().filter(|_| certificate.epoch == self.epoch) else {
            return Ok(());
        };
        certificate.verify(self.trust.chain_id, committee, VoteKind::Commit).map_err(|error| {
            Refusal::new(Code::CertificateInvalid, format!("the certificate of block {height}: {error}"))
        })?;
        let over = certified.suffixes.last().map(|suffix| (suffix.digest(), suffix.height));
        let own = self.consensus.final_digest(height).map_err(refuse)?.map(|digest| (digest, height));
        if over.or(own) != Some((certificate.digest, certificate.height)) {
            let detail = format!("the certificate of block {height} is over another block");
            return Err(Refusal::new(Code::CertificateInvalid, detail));
        }
        report.certificates += 1;
        Ok(())
    }
}
