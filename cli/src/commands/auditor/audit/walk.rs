//! From block to block: what must follow from what came before, and execution once more.

pub(super) mod saved;

use std::collections::{BTreeMap, VecDeque};

use chain_core::block::{
    self, BLOCK_BYTES_MAX, BLOCK_RECORDS_MAX, EXEC_LAG_MAX, Flags, HEADER_VERSION, Header, LANE_BATCHES_MAX,
};
use chain_core::code::Code;
use chain_core::committee::Committee;
use chain_core::crypto::Digest;
use chain_core::execute::{self, OrderedBatch, OrderedBlock, Outcome, Verdict};
use chain_core::genesis::Genesis;
use chain_core::id::{ChainId, Epoch, Height, ValidatorIx, View};
use chain_core::ledger::MemoryLedger;
use chain_core::merkle::{Frontier, leaf_hash};
use chain_core::recovery::SignedRecovery;
use chain_core::subject::Index;
use serde::{Deserialize, Serialize};

use super::content::Judged;
use super::finding::{Finding, Grade};
use crate::error::CliResult;
use crate::sets::{Set, Sets};

/// What was counted on the way.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Totals {
    /// Blocks.
    pub(crate) blocks: u64,
    /// Batches.
    pub(crate) batches: u64,
    /// Transactions, each with a signature.
    pub(crate) transactions: u64,
    /// Operations.
    pub(crate) records: u64,
    /// Operations that took effect, as re-executed.
    pub(crate) accepted: u64,
    /// Operations that were refused, as re-executed.
    pub(crate) refused: u64,
    /// Bodies compared with their commitments.
    pub(crate) bodies: u64,
    /// Bodies that are not held any more; their first outcome stands.
    pub(crate) erased: u64,
    /// Commit certificates.
    pub(crate) certificates: u64,
    /// Signatures of validators: proposals, batches, votes.
    pub(crate) votes: u64,
    /// Execution roots in headers that re-execution confirmed.
    pub(crate) roots: u64,
}

/// Ends of blocks in the log that are remembered.
const ENDS_MAX: usize = 8 * 1024;

/// Where the walk stands in one lane.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
enum Lane {
    /// The walk began later: the first batch seen is taken as it is.
    Unknown,
    /// The newest batch ordered.
    At { next: u64, tip: Digest },
}

impl Lane {
    /// Before the first batch of an epoch.
    const START: Self = Self::At { next: 0, tip: Digest::ZERO };
}

/// The walk over a chain.
#[derive(Debug)]
pub(crate) struct Walk<'g> {
    sets: &'g Sets,
    chain_id: ChainId,
    /// The epoch that the walk is in; none before the first block of a part.
    epoch: Option<&'g Set>,
    /// The acts of recovery that stand between the newest block and the next one, to be executed with it.
    acts: Vec<SignedRecovery>,
    /// Height and digest of the newest block; none before the first of a part.
    at: Option<(Height, Digest)>,
    view: View,
    time_ms: u64,
    header: Option<Header>,
    lanes: Vec<Lane>,
    /// Digests of all blocks so far; none when the walk began later.
    history: Option<Frontier>,
    /// The ledger re-executed; none when the walk began later.
    ledger: Option<MemoryLedger>,
    /// Whether the chain keeps an index of subjects.
    indexed: bool,
    /// Execution roots computed and not yet below what headers certify.
    roots: VecDeque<(Height, Digest)>,
    /// Newest height whose execution root a certified header confirmed.
    confirmed: Height,
    /// Newest height under a commit certificate.
    covered: Option<Height>,
    /// What a properly signed header says wrongly; its grade depends on whether a quorum signed it too.
    doubt: Option<Finding>,
    /// What the node says came of a block and re-execution does not: graver if a quorum certified it.
    claim: Option<Finding>,
    /// Roots of the log at the sizes asked for.
    wanted: BTreeMap<u64, Option<Digest>>,
    /// Size and root of the log after the newest blocks that added to it, at most [`ENDS_MAX`]: an audit that goes on
    /// later is asked for sizes that it has passed.
    ends: VecDeque<(u64, Digest)>,
    /// The smallest size of the log whose root was seen since the walk was begun or gone on with.
    oldest: u64,
    pub(crate) totals: Totals,
}

impl<'g> Walk<'g> {
    /// Starts at genesis, or with `part` in the middle: without ledger and history then. The roots of the log
    /// at `sizes` are noted on the way.
    pub(crate) fn new(genesis: &Genesis, sets: &'g Sets, part: bool, sizes: &[u64]) -> CliResult<Self> {
        let first = sets.get(Epoch::ZERO).filter(|_| !part);
        let n = first.map_or(0, |set| set.committee.size());
        let digest = *genesis.chain_id().digest();
        let ledger = match part {
            true => None,
            false => Some(MemoryLedger::new(genesis.chain_params(), &genesis.state()?)?.without_leaves()),
        };
        let mut walk = Self {
            sets,
            chain_id: genesis.chain_id(),
            epoch: first,
            acts: Vec::new(),
            at: (!part).then_some((Height::ZERO, digest)),
            view: View::ZERO,
            time_ms: if part { 0 } else { genesis.created_ms() },
            header: None,
            lanes: vec![Lane::START; n],
            history: (!part).then(Frontier::default),
            indexed: genesis.document().subject_key.is_some(),
            roots: VecDeque::new(),
            confirmed: Height::ZERO,
            covered: None,
            doubt: None,
            claim: None,
            wanted: sizes.iter().map(|&size| (size, None)).collect(),
            ends: VecDeque::new(),
            oldest: 0,
            totals: Totals::default(),
            ledger,
        };
        if let Some(ledger) = &walk.ledger {
            walk.roots.push_back((Height::ZERO, ledger.summary().root()));
        }
        walk.note_root();
        Ok(walk)
    }

    /// Whether it began at genesis and executes every block.
    pub(crate) fn is_whole(&self) -> bool {
        self.ledger.is_some()
    }

    /// Newest height under a commit certificate.
    pub(crate) fn covered(&self) -> Option<Height> {
        self.covered
    }

    /// Newest height walked.
    pub(crate) fn height(&self) -> Option<Height> {
        self.at.map(|(height, _)| height)
    }

    /// Digest of the newest block.
    pub(crate) fn digest(&self) -> Option<Digest> {
        self.at.map(|(_, digest)| digest)
    }

    /// Newest height whose execution a header certified.
    pub(crate) fn confirmed(&self) -> Height {
        self.confirmed
    }

    /// Time of the newest block.
    pub(crate) fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// Size and root of the re-executed log.
    pub(crate) fn log(&self) -> Option<(u64, Digest)> {
        self.ledger.as_ref().map(|ledger| (ledger.summary().log_size, ledger.summary().log_root))
    }

    /// Root of the log at a size that was asked for; `None` when no block ended there.
    pub(crate) fn root_at(&self, size: u64) -> Option<Digest> {
        self.wanted.get(&size).copied().flatten()
    }

    /// The smallest size of the log from which on every root was seen.
    pub(crate) fn oldest(&self) -> u64 {
        self.oldest
    }

    /// What remains in doubt when the blocks end.
    pub(crate) fn finish(&mut self) -> Result<(), Finding> {
        self.doubt.take().or(self.claim.take()).map_or(Ok(()), Err)
    }

    /// Takes the next block.
    ///
    /// # Errors
    /// The first thing that does not follow.
    pub(crate) fn step(&mut self, judged: &Judged) -> Result<(), Finding> {
        let header = &judged.block.header;
        self.link(judged)?;
        self.enter(header)?;
        if self.doubt.is_none() {
            match self.rules(header) {
                Err(finding) if finding.grade == Grade::Unknown => return Err(finding),
                verdict => self.doubt = verdict.err(),
            }
        }
        if self.doubt.is_none() {
            // The header certifies our root, so the node alone says otherwise.
            if self.claim.as_ref().is_some_and(|claim| claim.height <= Some(header.exec_height)) {
                return self.finish();
            }
            self.data(judged)?;
            self.execute(judged)?;
        }
        self.advance(judged);
        match (&judged.block.certificate, self.doubt.take()) {
            // A quorum signed what breaks the rules, or a descendant of it.
            (Some(_), Some(doubt)) => Err(Finding { grade: Grade::Tampered, ..doubt }),
            (_, doubt) => {
                self.doubt = doubt;
                Ok(())
            }
        }
    }

    /// Height and parent.
    fn link(&mut self, judged: &Judged) -> Result<(), Finding> {
        let header = &judged.block.header;
        let Some((height, digest)) = self.at else {
            // The first block of a part: the one below it is known by its digest only.
            self.at = header.height.previous().map(|below| (below, header.parent));
            self.view = header.view;
            return Ok(());
        };
        if header.height > height.next() {
            let detail = format!("the node skips from block {height} to {}", header.height);
            return Err(Finding::tampered(
                height.next(),
                Code::ChainBroken,
                format!("the block is missing: {detail}"),
            ));
        }
        if header.height != height.next() {
            let detail = format!("wants height {}", height.next());
            return Err(Finding::wrong(header.height, Code::ChainBroken, format!("out of order: {detail}")));
        }
        if header.parent != digest {
            let detail = format!("its parent is {}, block {height} is {digest}", header.parent);
            // Both ends certified, and they do not meet: a quorum signed two histories.
            let forked = judged.block.certificate.is_some() && self.covered == Some(height);
            return Err(match forked {
                true => Finding::tampered(header.height, Code::ForkDetected, detail),
                false => Finding::wrong(header.height, Code::ChainBroken, detail),
            });
        }
        Ok(())
    }

    /// Goes on to the block's epoch: after a closing block it is the next one, with the validators that a quorum
    /// handed over to, on that very block; and so it is after the block that an act of the agencies names.
    fn enter(&mut self, header: &Header) -> Result<(), Finding> {
        let height = header.height;
        let Some(set) = self.sets.get(header.epoch) else {
            let detail = format!("no hand-over leads to epoch {}", header.epoch);
            return Err(Finding::unknown(height, Code::UnknownSigner, detail));
        };
        let Some(present) = self.epoch else {
            // The first block of a part: lanes and view are taken as they are.
            self.epoch = Some(set);
            self.lanes = vec![Lane::Unknown; set.committee.size()];
            return Ok(());
        };
        let (from, closed) = (present.committee.epoch(), self.closed());
        if header.epoch == from && !closed {
            return Ok(());
        }
        let mut reached = if closed { from.next() } else { from };
        while reached < header.epoch
            && let Some(next) = self.sets.get(reached.next())
            && let Some(recovery) = next.begun_by.as_ref().filter(|_| self.at == Some(next.base))
        {
            self.acts.push(recovery.clone());
            reached = reached.next();
        }
        let ended_elsewhere = set.begun_by.is_some() && self.at != Some(set.base);
        if header.epoch != reached && !ended_elsewhere {
            let why = if closed { "which its parent closes" } else { "which no block has closed" };
            let detail = format!("epoch {} after epoch {from}, {why}", header.epoch);
            return Err(Finding::wrong(height, Code::ChainBroken, detail));
        }
        if self.at != Some(set.base) {
            let (at, digest) = set.base;
            let who = if ended_elsewhere { "the agencies ended" } else { "a quorum closed" };
            let detail = format!("{who} epoch {from} with block {at} {digest}");
            // The parent has a certificate of its own when it was the newest one covered.
            return Err(match self.covered == self.height() {
                true => Finding::tampered(height, Code::ForkDetected, detail),
                false => Finding::wrong(height, Code::ChainBroken, detail),
            });
        }
        self.epoch = Some(set);
        self.view = View::ZERO;
        self.lanes = vec![Lane::START; set.committee.size()];
        Ok(())
    }

    /// Whether the newest block closes its epoch.
    fn closed(&self) -> bool {
        self.header.as_ref().is_some_and(|header| header.flags.contains(Flags::CLOSING))
    }

    /// What every header must say, given the one before.
    fn rules(&self, header: &Header) -> Result<(), Finding> {
        let height = header.height;
        let broken = |detail: String| Err(Finding::wrong(height, Code::ChainBroken, detail));
        let Some(Set { committee, base, .. }) = self.epoch else {
            return broken("it is of no epoch".to_owned());
        };
        if header.version != HEADER_VERSION {
            let detail = format!("header version {}, this program knows {HEADER_VERSION}", header.version);
            return Err(Finding::unknown(height, Code::UnsupportedVersion, detail));
        }
        if Flags::from_bits(header.flags.bits()).is_none() {
            return broken(format!("unknown flags {:#04x}", header.flags.bits()));
        }
        let leader = committee.leader(&base.1, header.view);
        if header.proposer != leader {
            return broken(format!(
                "proposer {}, leader of view {} is {leader}",
                header.proposer, header.view
            ));
        }
        if header.view < self.view {
            return broken(format!("view {} after view {}", header.view, self.view));
        }
        if header.time_ms <= self.time_ms {
            return broken(format!("time {} ms after {} ms", header.time_ms, self.time_ms));
        }
        if header.validators_hash != committee.hash() {
            return broken("the header names another validator set".to_owned());
        }
        if let Some(history) = &self.history
            && header.history_root != history.root()
        {
            return broken("history_root is not the root over the blocks before".to_owned());
        }
        self.ends(header, committee)?;
        self.terms(header)?;
        self.lag(header)
    }

    /// That the epoch ends with the block that must end it, and with no other.
    fn ends(&self, header: &Header, committee: &Committee) -> Result<(), Finding> {
        let broken = |detail: String| Err(Finding::wrong(header.height, Code::ChainBroken, detail));
        if header.flags.contains(Flags::SUFFIX) {
            return broken("a suffix is no block of the ledger".to_owned());
        }
        let closing = header.flags.contains(Flags::CLOSING);
        if !closing && header.next_validators_hash != committee.hash() {
            return broken("the header names another validator set to come".to_owned());
        }
        let next = self.sets.get(committee.epoch().next()).filter(|_| closing);
        if next.is_some_and(|next| next.committee.hash() != header.next_validators_hash) {
            return broken(
                "it closes the epoch with another next set than a quorum handed over to".to_owned(),
            );
        }
        let Some(ledger) = &self.ledger else { return Ok(()) };
        // As re-executed up to the block before, which is more than what the header certifies.
        let settled = execute::epoch(ledger).map_err(|error| {
            Finding::unknown(header.height, Code::Internal, format!("re-execution stopped: {error}"))
        })?;
        let settled = settled.and_then(|epoch| epoch.scheduled);
        let due = settled.filter(|settled| settled.height <= header.exec_height);
        match due {
            Some(_) if !closing => broken("the next set is settled, and the block does not close".to_owned()),
            Some(settled) if settled.next.hash() != header.next_validators_hash => broken(format!(
                "it closes the epoch with another next set than height {} settled",
                settled.height
            )),
            None if closing => broken("it closes the epoch, and no next set is settled".to_owned()),
            _ => Ok(()),
        }
    }

    /// Where views begin and end, and what seals may hold.
    fn terms(&self, header: &Header) -> Result<(), Finding> {
        let broken = |what: &str| Err(Finding::wrong(header.height, Code::ChainBroken, what));
        if header.is_empty() != header.flags.contains(Flags::SEAL) {
            return broken("the seal flag does not say whether the block is empty");
        }
        let Some(parent) = self.header.as_ref().filter(|parent| parent.epoch == header.epoch) else {
            let first = self.history.is_some() || self.header.is_some();
            return match first && !header.is_empty() {
                true => broken("the first block of the epoch is not empty"),
                false => Ok(()),
            };
        };
        if parent.flags.contains(Flags::TERM_END) && parent.view == header.view {
            return broken("the leader goes on after it ended its term");
        }
        if parent.view < header.view && !header.is_empty() {
            return broken("the first block of a view is not empty");
        }
        Ok(())
    }

    /// How execution is certified.
    fn lag(&self, header: &Header) -> Result<(), Finding> {
        let broken = |detail: String| Err(Finding::wrong(header.height, Code::ChainBroken, detail));
        if header.exec_height >= header.height {
            return broken(format!("it certifies the execution of height {}", header.exec_height));
        }
        if !header.is_empty() && header.height.since(header.exec_height) > EXEC_LAG_MAX {
            return broken(format!("execution lags behind at height {}", header.exec_height));
        }
        if let Some(parent) = &self.header {
            if header.exec_height < parent.exec_height {
                return broken(format!(
                    "exec_height falls from {} to {}",
                    parent.exec_height, header.exec_height
                ));
            }
            let base = self.epoch.as_ref().map_or(Height::ZERO, |set| set.base.0);
            if parent.exec_height < base && header.exec_height > base {
                return broken(format!(
                    "it certifies the execution of height {} before that of its epoch's base, {base}",
                    header.exec_height
                ));
            }
            if header.exec_height == parent.exec_height && header.exec_root != parent.exec_root {
                return broken(format!("two execution roots for height {}", header.exec_height));
            }
        }
        if header.n_bytes > BLOCK_BYTES_MAX || header.n_records > BLOCK_RECORDS_MAX {
            return broken(format!("{} bytes and {} records", header.n_bytes, header.n_records));
        }
        if self.ledger.is_none() {
            return Ok(());
        }
        let ours = self.roots.iter().find(|(height, _)| *height == header.exec_height);
        match ours {
            Some((_, ours)) if *ours != header.exec_root => {
                let detail = format!(
                    "the header certifies execution root {} at height {}, re-execution gives {ours}",
                    header.exec_root, header.exec_height
                );
                Err(Finding::wrong(header.height, Code::StateMismatch, detail))
            }
            _ => Ok(()),
        }
    }

    /// That the data is what the header commits to.
    fn data(&mut self, judged: &Judged) -> Result<(), Finding> {
        let block = &judged.block;
        let header = &block.header;
        let wrong = |code, detail: String| Err(Finding::wrong(header.height, code, detail));
        if header.lanes_root != block::lanes_root(&block.advances) {
            return wrong(Code::ProofInvalid, "the lane advances are not under lanes_root".to_owned());
        }
        if !block.advances.is_sorted_by(|a, b| a.author < b.author) {
            return wrong(Code::ChainBroken, "lane advances are unsorted".to_owned());
        }
        if header.n_batches as usize != judged.batches.len()
            || header.batches_root != block::batches_root(&judged.batches)
        {
            let detail = format!(
                "the {} batches given are not the {} under batches_root",
                judged.batches.len(),
                header.n_batches
            );
            return wrong(Code::ProofInvalid, detail);
        }
        let records: u64 = block.batches.iter().map(|one| u64::from(one.signed.header.count)).sum();
        let bytes: u64 = block.batches.iter().map(|one| u64::from(one.signed.header.bytes)).sum();
        if (u64::from(header.n_records), u64::from(header.n_bytes)) != (records, bytes) {
            let detail = format!(
                "the header counts {} records in {} bytes, the batches {records} in {bytes}",
                header.n_records, header.n_bytes
            );
            return wrong(Code::ProofInvalid, detail);
        }
        self.lanes(judged)
    }

    /// That each lane goes on where it stood, link by link, to the tip that the block names.
    fn lanes(&mut self, judged: &Judged) -> Result<(), Finding> {
        let block = &judged.block;
        let height = block.header.height;
        let mut batches = block.batches.iter().zip(&judged.batches).peekable();
        for advance in &block.advances {
            let name = self.name(advance.author);
            let broken = |detail: String| {
                Err(Finding::wrong(height, Code::ChainBroken, format!("lane of {name}: {detail}")))
            };
            let Some(mut lane) = self.lanes.get(advance.author.index()).copied() else {
                return broken("no such validator".to_owned());
            };
            let mut taken = 0;
            while let Some((batch, digest)) =
                batches.next_if(|(batch, _)| batch.signed.header.author == advance.author)
            {
                let header = &batch.signed.header;
                if let Lane::At { next, tip } = lane
                    && (header.seq, header.prev) != (next, tip)
                {
                    return broken(format!(
                        "batch {} does not follow the one before, wants {next}",
                        header.seq
                    ));
                }
                lane = Lane::At { next: header.seq.saturating_add(1), tip: *digest };
                taken += 1;
            }
            if taken == 0 || taken > LANE_BATCHES_MAX {
                return broken(format!("{taken} batches"));
            }
            if lane != (Lane::At { next: advance.seq.saturating_add(1), tip: advance.tip }) {
                return broken("the last batch is not the tip that the block names".to_owned());
            }
            self.lanes[advance.author.index()] = lane;
        }
        match batches.next() {
            Some((batch, _)) => {
                let name = self.name(batch.signed.header.author);
                let detail = format!("lane of {name}: a batch stands where the block advances no lane");
                Err(Finding::wrong(height, Code::ChainBroken, detail))
            }
            None => Ok(()),
        }
    }

    /// Executes the block once more and compares what the node says came of it.
    fn execute(&mut self, judged: &Judged) -> Result<(), Finding> {
        let Some(ledger) = self.ledger.as_mut() else { return Ok(()) };
        let block = &judged.block;
        let height = block.header.height;
        let given = recorded(judged);
        let batches = block.batches.iter().zip(&judged.signatures).zip(&given);
        let ordered = OrderedBlock {
            header: &block.header,
            batches: batches
                .map(|((batch, signatures_ok), recorded)| OrderedBatch {
                    batch,
                    signatures_ok,
                    recorded: *recorded,
                })
                .collect(),
            // The key is the validators' own; what the node says of the index stands under the certified root.
            index: match self.indexed {
                true => Index::Recorded(block.index),
                false => Index::None,
            },
        };
        let acts = std::mem::take(&mut self.acts);
        let outcomes = match &acts[..] {
            [] => ledger.execute(&ordered),
            acts => ledger.execute_recovered(&ordered, acts),
        };
        let outcomes = outcomes.map_err(|error| {
            Finding::unknown(height, Code::Internal, format!("re-execution stopped: {error}"))
        })?;
        let root = ledger.summary().root();
        let claimed = (block.exec_root != root).then(|| {
            format!("the node claims execution root {}, re-execution gives {root}", block.exec_root)
        });
        if let Some(detail) = difference(&block.outcomes, &outcomes).or(claimed) {
            self.claim.get_or_insert_with(|| Finding::wrong(height, Code::StateMismatch, detail));
        }
        self.roots.push_back((height, root));
        for outcome in &outcomes {
            match outcome.verdict {
                Verdict::Accepted { .. } => self.totals.accepted += 1,
                Verdict::Refused(_) => self.totals.refused += 1,
            }
        }
        Ok(())
    }

    fn advance(&mut self, judged: &Judged) {
        let block = &judged.block;
        let header = &block.header;
        self.at = Some((header.height, judged.digest));
        self.view = header.view;
        self.time_ms = header.time_ms;
        if let Some(history) = &mut self.history {
            history.push(&leaf_hash(judged.digest.as_bytes()));
        }
        while self.roots.front().is_some_and(|(height, _)| *height < header.exec_height) {
            self.roots.pop_front();
        }
        let totals = &mut self.totals;
        totals.blocks += 1;
        totals.batches += block.batches.len() as u64;
        totals.transactions += judged.signatures.iter().map(|one| one.len() as u64).sum::<u64>();
        totals.records += u64::from(header.n_records);
        totals.bodies += judged.bodies;
        totals.erased += judged.erased.iter().sum::<u64>();
        totals.votes += 1 + block.batches.len() as u64;
        if self.header.as_ref().is_none_or(|parent| parent.exec_height < header.exec_height) {
            totals.roots += 1;
        }
        if let Some(certificate) = &block.certificate {
            totals.certificates += 1;
            totals.votes += certificate.signatures.len() as u64;
            self.covered = Some(header.height);
            self.confirmed = self.confirmed.max(header.exec_height);
        }
        self.header = Some(header.clone());
        self.note_root();
    }

    fn note_root(&mut self) {
        let Some((size, root)) = self.log() else { return };
        if let Some(wanted) = self.wanted.get_mut(&size) {
            *wanted = Some(root);
        }
        if self.ends.back().is_none_or(|(last, _)| *last < size) {
            self.ends.push_back((size, root));
        }
        if self.ends.len() > ENDS_MAX {
            self.ends.pop_front();
        }
    }

    fn name(&self, validator: ValidatorIx) -> String {
        let known = self.epoch.and_then(|set| set.committee.get(validator));
        known.map_or_else(|| validator.to_string(), |one| one.name.clone())
    }
}

/// Per batch: the outcomes that the node recorded, where bodies are gone and execution must rely on them.
/// They are no matter of trust: they hash into the certified execution root.
fn recorded(judged: &Judged) -> Vec<Option<&[Outcome]>> {
    let mut rest = judged.block.outcomes.as_slice();
    let batches = judged.block.batches.iter().zip(&judged.erased);
    batches
        .map(|(batch, erased)| {
            let operations =
                batch.submissions.iter().map(|one| one.signed.transaction.operations.len().max(1));
            let (mine, after) = rest.split_at(operations.sum::<usize>().min(rest.len()));
            rest = after;
            (*erased > 0).then_some(mine)
        })
        .collect()
}

/// What differs first between the outcomes given and those computed, in what hashes into the root.
fn difference(given: &[Outcome], ours: &[Outcome]) -> Option<String> {
    if given.len() != ours.len() {
        return Some(format!("{} outcomes given, re-execution gives {}", given.len(), ours.len()));
    }
    let (given, ours) = given.iter().zip(ours).find(|(given, ours)| given.canonical() != ours.canonical())?;
    let said = |outcome: &Outcome| match &outcome.verdict {
        Verdict::Accepted { record, .. } => format!("accepted as {record}"),
        Verdict::Refused(refusal) => format!("refused with {}", refusal.code),
    };
    Some(format!(
        "operation {} of transaction {}: the node says {}, re-execution says {}",
        ours.operation,
        ours.tx,
        said(given),
        said(ours)
    ))
}
