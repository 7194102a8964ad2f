//! One record judged from its first leaf to its head: every leaf under one checkpoint, every step signed, dated, entitled
//! and allowed, and the head that follows equal to the one that the state holds.

use chain_core::code::{Code, Refusal};
use chain_core::crypto::Digest;
use chain_core::execute::AppendedLeaf;
use chain_core::genesis::Genesis;
use chain_core::id::{Height, RecordId, TxId};
use chain_core::layout::Layout;
use chain_core::leaf::{ErasureLeaf, EvidenceLeaf, Leaf, SignedLeaf};
use chain_core::ledger::MemoryLedger;
use chain_core::lifecycle::replay::{Life, Moment};
use chain_core::receipt::TlogProof;
use chain_core::record::RecordType;
use chain_core::state::{EntryName, ErasureEntry, RecordHead};
use chain_core::state_proof::{Shown, StateProof};
use chain_core::transaction::Submission;
use serde_json::json;

use super::authority::{Leaves, Rights, decoded};
use super::report::{Row, Told};
use super::source::{Log, Source, wrong};
use super::types::Types;
use crate::commands::auditor::audit::content::{Judge, Judged};
use crate::commands::auditor::audit::finding::{Finding, Grade};
use crate::commands::auditor::audit::report::Report;
use crate::commands::auditor::audit::verify::Stopped;
use crate::error::CliError;
use crate::sets::Sets;

/// What is to be audited, and whom to believe.
pub(crate) struct Asked<'a> {
    /// The genesis.
    pub(crate) genesis: &'a Genesis,
    /// The validators of every epoch.
    pub(crate) sets: &'a Sets,
    /// The record.
    pub(crate) record: RecordId,
    /// Whether to read the whole log, so that nothing about the record can have been left out.
    pub(crate) complete: bool,
}

/// A leaf, its place in the log, and how many hashes its path has.
type Placed = (u64, Leaf, usize);

/// What everything is held against: one block whose state is proved, and the log under the checkpoint that proves it.
pub(super) struct Trail<'a, S> {
    source: &'a S,
    sets: &'a Sets,
    log: Log<'a, S>,
    /// The block, the root of its state, and the place of its seal.
    height: Height,
    state_root: Digest,
    last: u64,
    /// What the genesis laid down.
    genesis: Vec<AppendedLeaf>,
}

/// Audits a record.
///
/// # Errors
/// The first finding, or why it could not be had.
pub(crate) fn audit<S: Source>(
    source: &S,
    asked: &Asked<'_>,
    report: &mut Report,
    progress: impl FnMut(u64),
) -> Result<(), Stopped> {
    let (genesis, record) = (asked.genesis, asked.record);
    let (trail, shown) = Trail::begin(source, asked, report, progress)?;
    let own = trail.placed(&record)?;
    let head: Option<RecordHead> =
        shown.value.map(|value| decoded(&EntryName::Record(record), &value)).transpose()?;
    if own.is_empty() && head.is_none() {
        return Err(CliError::new(Code::RecordNotFound, record.to_string()).into());
    }
    let leaves = trail.with_acts(own, head.as_ref())?;
    let rights = Rights::new(&trail, genesis.chain_params());
    let mut life = Life::new(genesis.chain_params(), record);
    let mut steps = Steps {
        trail: &trail,
        rights: &rights,
        types: Types::new(&trail, &rights),
        judge: Judge::new(genesis.chain_id(), asked.sets),
        block: None,
    };
    let (mut words, mut held) = (Vec::new(), None);
    for (place, leaf, hashes) in &leaves {
        let illegal = |refusal: Refusal| trail.illegal(*place, leaf.moment().0, &refusal);
        let described = match leaf {
            Leaf::Recovery(act) if leaf.record() != Some(record) => {
                if !life.recover(*place, act).map_err(illegal)? {
                    continue;
                }
                life.head().map(|head| head.current.version)
            }
            _ => {
                life.take(*place, leaf, &rights).map_err(illegal)?;
                None
            }
        };
        let moment = life.newest().ok_or_else(|| CliError::internal("a life without a newest step"))?;
        let told = Told { described, ..steps.judge(*place, leaf, moment)? };
        if let Leaf::Erasure(word) = leaf {
            words.push((*place, word.as_ref().clone()));
        }
        held = held.or(told.body_held.then_some(*place));
        report.step(&Row { place: *place, leaf, moment, hashes: *hashes, told: &told });
    }
    if life.steps() == 0 {
        let detail = "the state holds the record, the node names no leaf of it";
        return Err(wrong(None, Code::LeafMismatch, detail));
    }
    trail.check_head(&record, &life)?;
    if life.head().is_some_and(|head| head.current.status.is_without_bodies()) {
        if let Some(place) = held {
            let detail = format!(
                "the node still gives out the body that leaf {place} files, and its erasure was ordered"
            );
            return Err(wrong(None, Code::BodyNotAllowed, detail));
        }
        trail.check_erasure(&record, &words, report)?;
    }
    report.lived(&life, trail.log.is_whole());
    Ok(())
}

/// What a state proof shows, by the validators of its epoch; it must be about this entry.
fn shown(proof: &StateProof, entry: &EntryName, sets: &Sets) -> Result<Shown, Stopped> {
    let Some(policy) = sets.policy(proof.epoch) else {
        let detail = format!("no hand-over leads to epoch {}", proof.epoch);
        return Err(Stopped::Found(
            Box::new(Finding::of(Grade::Unknown, None, Code::UnknownSigner, detail)),
            None,
        ));
    };
    if proof.entry != *entry {
        let detail = format!("asked for {entry}, the node proves {}", proof.entry);
        return Err(wrong(None, Code::ProofInvalid, detail));
    }
    proof.verify(&policy).map_err(|refusal| {
        let grade = match refusal.code {
            Code::QuorumNotMet | Code::UnknownSigner | Code::TrustMissing => Grade::Unknown,
            _ => Grade::Wrong,
        };
        let detail = format!("the state proof of {entry}: {}", refusal.detail);
        Stopped::Found(Box::new(Finding::of(grade, None, refusal.code, detail)), None)
    })
}

impl<'a, S: Source> Trail<'a, S> {
    /// Takes the proof of the record's head, and with it the checkpoint under which everything must stand.
    pub(super) fn begin(
        source: &'a S,
        asked: &Asked<'a>,
        report: &mut Report,
        progress: impl FnMut(u64),
    ) -> Result<(Self, Shown), Stopped> {
        let entry = EntryName::Record(asked.record);
        let proof = source.state(&entry, None)?;
        let shown = shown(&proof, &entry, asked.sets)?;
        let seal =
            TlogProof::parse(&proof.seal).map_err(|refusal| wrong(None, refusal.code, refusal.detail))?;
        let checkpoint = &seal.checkpoint.checkpoint;
        let mut log = Log::new(source, checkpoint.size, checkpoint.root);
        report.proved(&seal.checkpoint, &shown);
        if asked.complete {
            log.read_whole(progress)?;
        }
        let genesis = asked.genesis;
        let ledger = MemoryLedger::new(genesis.chain_params(), &genesis.state().map_err(CliError::from)?);
        let trail = Self {
            source,
            sets: asked.sets,
            log,
            height: shown.height,
            state_root: shown.state_root,
            last: seal.index,
            genesis: ledger.map_err(CliError::from)?.leaves().to_vec(),
        };
        Ok((trail, shown))
    }

    /// What contradicts certified leaves: the validators' affair once no leaf can have been left out.
    fn grade(&self) -> Grade {
        if self.log.is_whole() { Grade::Tampered } else { Grade::Wrong }
    }

    /// A step that the rules do not allow.
    pub(super) fn illegal(&self, place: u64, height: Height, refusal: &Refusal) -> Stopped {
        // What a rule needs could not be had; that is no breach of it.
        if refusal.code.number() / 100 == 6 {
            return CliError::from(refusal.clone()).into();
        }
        let detail = format!("leaf {place}: {}", refusal.detail);
        let finding = Finding::of(self.grade(), Some(height), refusal.code, detail);
        Stopped::Found(Box::new(finding), None)
    }

    /// A record's leaves up to the block, each with its place and the length of its path.
    fn placed(&self, record: &RecordId) -> Result<Vec<Placed>, Stopped> {
        let mut leaves = Vec::new();
        for place in self.log.places(record, self.last)? {
            let (bytes, leaf, hashes) = self.log.leaf(place)?;
            if leaf.record() != Some(*record) {
                let detail = format!("leaf {place} is none of record {record}, the node names it as one");
                return Err(wrong(None, Code::LeafMismatch, detail));
            }
            let at = usize::try_from(place).unwrap_or(usize::MAX);
            let laid_down = self.genesis.get(at).is_some_and(|laid_down| laid_down.bytes == bytes);
            if matches!(leaf, Leaf::Genesis(_)) && !laid_down {
                let detail = format!("leaf {place} says that the genesis laid it down, the genesis does not");
                let finding = Finding::of(Grade::Tampered, Some(Height::ZERO), Code::GenesisMismatch, detail);
                return Err(Stopped::Found(Box::new(finding), None));
            }
            leaves.push((place, leaf, hashes));
        }
        Ok(leaves)
    }

    /// The leaves of a record, and where it is a validator's, those of the acts of recovery, too: an act may describe a
    /// validator anew, and its own leaf alone tells that.
    fn with_acts(&self, own: Vec<Placed>, head: Option<&RecordHead>) -> Result<Vec<Placed>, Stopped> {
        let filed = own.iter().find_map(|(_, leaf, _)| leaf.header()).map(|header| header.record_type);
        let mut leaves = own;
        if filed.or(head.map(|head| head.record_type)) == Some(RecordType::Validator) {
            for (recovery, _) in self.sets.recoveries() {
                leaves.extend(self.placed(&recovery.act.record())?);
            }
            leaves.sort_by_key(|(place, ..)| *place);
        }
        Ok(leaves)
    }

    /// As [`Self::placed`], without the lengths.
    pub(super) fn leaves(&self, record: &RecordId) -> Result<Leaves, Stopped> {
        Ok(self.placed(record)?.into_iter().map(|(place, leaf, _)| (place, leaf)).collect())
    }

    /// An entry of the state after the block; none where there was none.
    pub(super) fn entry<T: Layout>(&self, entry: &EntryName) -> Result<Option<T>, Stopped> {
        let shown = shown(&self.source.state(entry, Some(self.height))?, entry, self.sets)?;
        if (shown.height, shown.state_root) != (self.height, self.state_root) {
            let detail = format!(
                "{entry} is proved in the state {} of block {}, wants {} of block {}",
                shown.state_root, shown.height, self.state_root, self.height
            );
            return Err(wrong(Some(self.height), Code::StateMismatch, detail));
        }
        shown.value.map(|value| decoded(entry, &value)).transpose()
    }

    /// That a record's leaves lead to the head that the state holds.
    pub(super) fn check_head(&self, record: &RecordId, life: &Life) -> Result<(), Stopped> {
        let held = self.entry::<RecordHead>(&EntryName::Record(*record))?;
        if held.as_ref() == life.head() {
            return Ok(());
        }
        let told = |head: Option<&RecordHead>| match head {
            Some(head) => format!(
                "version {} {} {:?}, changed in block {}",
                head.current.version,
                head.current.status,
                head.flags.names(),
                head.changed_at
            ),
            None => "no head".to_owned(),
        };
        let detail = format!(
            "record {record}: its {} steps lead to {}, the state after block {} holds {}",
            life.steps(),
            told(life.head()),
            self.height,
            told(held.as_ref())
        );
        let finding = Finding::of(self.grade(), Some(self.height), Code::StateMismatch, detail);
        Err(Stopped::Found(Box::new(finding), None))
    }

    /// That the certificate of an erasure is what the validators' words make of it.
    fn check_erasure(
        &self,
        record: &RecordId,
        words: &[(u64, ErasureLeaf)],
        report: &mut Report,
    ) -> Result<(), Stopped> {
        let entry: Option<ErasureEntry> = self.entry(&EntryName::Erasure(*record))?;
        let Some(entry) = entry else {
            return Err(wrong(
                None,
                Code::StateMismatch,
                "the record is erased, and the state has no certificate of it",
            ));
        };
        let given = words.iter().map(|(place, word)| (word.validator.as_str(), word.bodies, *place));
        let held = entry.confirmed.iter().map(|one| (one.validator.as_str(), one.bodies, one.leaf_index));
        if !given.eq(held) {
            let detail =
                format!("{} leaves confirm the erasure, its certificate holds other words", words.len());
            return Err(wrong(Some(entry.height), Code::StateMismatch, detail));
        }
        let confirmed: Vec<&str> = entry.confirmed.iter().map(|one| one.validator.as_str()).collect();
        report.set(
            "erasure",
            json!({ "block": entry.height, "leaf": entry.leaf_index, "confirmed_by": confirmed, "awaited": entry.awaited }),
        );
        Ok(())
    }
}

/// What judges the steps of a record one by one.
struct Steps<'a, 's, S> {
    trail: &'a Trail<'a, S>,
    rights: &'a Rights<'a, S>,
    types: Types<'a, S>,
    judge: Judge<'s>,
    /// The block of the newest step: the next step is often of the same.
    block: Option<Judged>,
}

impl<S: Source> Steps<'_, '_, S> {
    /// That a step stands in the block that it names, signed by whom it names, who was entitled to it then.
    fn judge(&mut self, place: u64, leaf: &Leaf, moment: Moment) -> Result<Told, Stopped> {
        if let Leaf::Genesis(_) = leaf {
            return Ok(Told::of("laid down in the genesis that is trusted"));
        }
        self.dated(place, moment)?;
        match leaf {
            Leaf::Signed(leaf) => self.signed(place, leaf, moment),
            Leaf::Erasure(word) => {
                let (_, by) = self.found(place, moment, &word.tx)?;
                let epoch = self.judged(moment)?.block.header.epoch;
                let set = self.trail.sets.get(epoch).map(|set| set.committee.validators());
                let one = set.into_iter().flatten().find(|one| one.name == word.validator);
                if one.is_none_or(|one| one.log_key != word.author) || by != word.author {
                    let detail = format!(
                        "leaf {place}: key {} is not the log key of validator {}",
                        word.author.short(),
                        word.validator
                    );
                    return Err(wrong(Some(moment.height), Code::UnknownAuthor, detail));
                }
                Ok(Told {
                    signature: true,
                    authority: format!("validator {} of epoch {epoch}", word.validator),
                    ..Told::default()
                })
            }
            Leaf::Evidence(leaf) => self.evidence(place, leaf, moment),
            Leaf::Recovery(leaf) => {
                let act = &leaf.recovery.act;
                let header = &self.judged(moment)?.block.header;
                if (header.height, header.parent) != (act.height.next(), act.block_digest) {
                    let detail = format!(
                        "leaf {place}: the act is of block {} {}, its leaf of block {} after {}",
                        act.height, act.block_digest, header.height, header.parent
                    );
                    return Err(wrong(Some(moment.height), Code::RecoveryInvalid, detail));
                }
                let known = self.trail.sets.recoveries().find(|(act, _)| **act == leaf.recovery);
                let (_, names) = known.ok_or_else(|| {
                    wrong(
                        Some(moment.height),
                        Code::RecoveryInvalid,
                        format!("leaf {place}: no epoch was begun by this act"),
                    )
                })?;
                Ok(Told {
                    signature: true,
                    authority: format!("recovery keys {}", names.join(", ")),
                    ..Told::default()
                })
            }
            Leaf::Linked(step) => Ok(Told::of(&format!("follows from record {}", step.cause))),
            Leaf::Found(_) => Ok(Told::of("found by the ledger in a stream of readings")),
            _ => Ok(Told::of("follows from its date")),
        }
    }

    fn signed(&mut self, place: u64, leaf: &SignedLeaf, moment: Moment) -> Result<Told, Stopped> {
        let (submission, by) = self.found(place, moment, &leaf.tx)?;
        let transaction = &submission.signed.transaction;
        let at = usize::from(leaf.operation_index);
        if by != leaf.author || transaction.operations.get(at) != Some(&leaf.operation) {
            let detail = format!(
                "leaf {place}: operation {at} of transaction {} is another one, or of another key",
                leaf.tx
            );
            return Err(wrong(Some(moment.height), Code::LeafMismatch, detail));
        }
        let body = submission.bodies.get(at).and_then(Option::as_ref);
        let mut told = Told { signature: true, ..Told::default() };
        if let Some(header) = leaf.operation.header() {
            let held = body.filter(|_| header.class.body_is_shared());
            self.types.check(place, moment, &leaf.operation, held)?;
            told.body_held = held.is_some();
            told.body = match (header.body_commit, header.class.body_is_shared()) {
                (None, _) => String::new(),
                (Some(_), false) => format!("class {}: kept by its agency alone", header.class),
                (Some(_), true) if told.body_held => "held, equal to its commitment".to_owned(),
                (Some(_), true) => "not held: erased or withheld".to_owned(),
            };
        }
        told.authority = self.rights.check(place, moment, leaf)?;
        Ok(told)
    }

    /// An offence proves itself; whoever filed it must be a validator or a member.
    fn evidence(&mut self, place: u64, leaf: &EvidenceLeaf, moment: Moment) -> Result<Told, Stopped> {
        let refuse =
            |code, detail: String| Err(wrong(Some(moment.height), code, format!("leaf {place}: {detail}")));
        let (_, by) = self.found(place, moment, &leaf.tx)?;
        let header = &self.judged(moment)?.block.header;
        let (chain_id, epoch) = (header.chain_id, header.epoch);
        if let Err(error) = leaf.evidence.verify_by_key(chain_id, &leaf.offender) {
            return refuse(Code::EvidenceInvalid, error.to_string());
        }
        if by != leaf.author {
            return refuse(Code::LeafMismatch, "another key signed the transaction".to_owned());
        }
        let validators = self.trail.sets.get(epoch).map(|set| set.committee.validators());
        let authority = match validators.into_iter().flatten().find(|one| one.log_key == leaf.author) {
            Some(one) => format!("validator {} of epoch {epoch}", one.name),
            None => match self.rights.member(&leaf.author)? {
                Some(record) => format!("member by record {record}"),
                None => return refuse(Code::UnknownAuthor, format!("key {}", leaf.author.short())),
            },
        };
        Ok(Told { signature: true, authority, ..Told::default() })
    }

    /// The block of a step, judged by itself.
    fn judged(&mut self, moment: Moment) -> Result<&Judged, Stopped> {
        let known = self.block.take().filter(|judged| judged.block.header.height == moment.height);
        let judged = match known {
            Some(judged) => judged,
            None => {
                let block = self.trail.source.block(moment.height)?;
                self.judge.judge(block).map_err(|(finding, block)| Stopped::Found(finding, Some(block)))?
            }
        };
        Ok(self.block.insert(judged))
    }

    /// That a leaf's date is that of its block, and the block the one that the log's seal names.
    fn dated(&mut self, place: u64, moment: Moment) -> Result<(), Stopped> {
        let seal = self.trail.log.seal_after(place)?;
        let judged = self.judged(moment)?;
        let header = &judged.block.header;
        if (seal.height, seal.header_digest) != (header.height, judged.digest) {
            let detail = format!(
                "the node's block is {}, the log's seal after leaf {place} names block {} {}",
                judged.digest, seal.height, seal.header_digest
            );
            return Err(wrong(Some(moment.height), Code::ChainBroken, detail));
        }
        if header.time_ms != moment.time_ms {
            let detail =
                format!("leaf {place} is dated {} ms, its block {} ms", moment.time_ms, header.time_ms);
            return Err(wrong(Some(moment.height), Code::LeafMismatch, detail));
        }
        Ok(())
    }

    /// The transaction of a step, whose signature holds, and its author.
    fn found(
        &mut self,
        place: u64,
        moment: Moment,
        tx: &TxId,
    ) -> Result<(Submission, chain_core::crypto::PublicKey), Stopped> {
        let judged = self.judged(moment)?;
        let batches = judged.block.batches.iter().zip(&judged.signatures);
        let mut all = batches.flat_map(|(batch, signatures)| batch.submissions.iter().zip(signatures));
        let Some((submission, holds)) = all.find(|(one, _)| one.signed.transaction.id() == *tx) else {
            let detail = format!("leaf {place}: the block has no transaction {tx}");
            return Err(wrong(Some(moment.height), Code::LeafMismatch, detail));
        };
        let author = submission.signed.transaction.author;
        if !holds {
            let detail = format!(
                "leaf {place}: the signature of key {} under transaction {tx} does not verify",
                author.short()
            );
            return Err(wrong(Some(moment.height), Code::BadSignature, detail));
        }
        Ok((submission.clone(), author))
    }
}
