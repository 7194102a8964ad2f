//! A node that lacks its first blocks among validators of which some lack bodies, or lie: it gets back what was ordered,
//! or nothing.

use chain_core::block::{Flags, HEADER_VERSION, Header, batches_root};
use chain_core::build::{Filing, file, submission};
use chain_core::certificate::Rank;
use chain_core::crypto::{SecretKey, Signature};
use chain_core::execute::{BlockResult, Verdict};
use chain_core::id::{Epoch, TxId, View};
use chain_core::lane::BatchHeader;
use chain_core::merkle::Frontier;
use chain_core::record::{BasisRef, Class, RecordType, SubjectKind};
use chain_core::state::{EpochEntry, Flags as RecordFlags, Needs, Status, VersionHead};
use chain_core::transaction::{Submission, payload_root};
use consensus::Write;
use consensus::engine::Tip;

use super::*;
use crate::driver::batches::payload_bytes;
use crate::link::town::{Answers, Town};
use crate::link::{SYNC_BATCHES_MAX, SYNC_BYTES_MAX};
use crate::snapshots::tests::{result_of, secret, set};
use crate::storage::consensus::tests::write_final;
use crate::storage::ledger::{Executed, LedgerStore};

/// The newest block, and the only one that the node keeps.
const NEWEST: u64 = 4;

fn chain_id() -> ChainId {
    ChainId::new(Digest::tagged(b"chain", &[]))
}

fn author_key() -> SecretKey {
    SecretKey::from_seed([99; 32])
}

/// A fingerprint of a document, with its body.
fn fingerprint(number: u64) -> (Operation, Option<chain_core::transaction::Body>) {
    let body = format!(
        r#"{{"custody":[{{"lang":"en","text":"desk"}}],"media_type":"application/pdf","origin":{{"method":"manual","system":"s"}},"purpose":"archive","sha256":"{}","size":4096}}"#,
        Digest::tagged(b"document", &[&number.to_be_bytes()])
    );
    let filing = Filing {
        chain_id: chain_id(),
        agency: "register:CN-T:0".parse().unwrap(),
        dedupe_key: b"dedupe",
        idempotency_key: &number.to_string(),
        record_type: RecordType::DocFingerprint,
        version: 1,
        class: Class::P0,
        subject_kind: SubjectKind::None,
        legal_basis: Some(BasisRef { id: "archives".into(), version: 1 }),
        salt: Digest::tagged(b"salt", &[&number.to_be_bytes()]),
        officers: Vec::new(),
        refs: Vec::new(),
        publication: [None; 3],
        dispose_on: None,
    };
    let (operation, body, _) = file(&filing, &body).unwrap().submit();
    (operation, body)
}

/// Blocks of one batch each, which files two fingerprints in one transaction.
struct Chain {
    committee: Committee,
    blocks: Vec<Proposal>,
    batches: Vec<Batch>,
    tips: Vec<Tip>,
    /// What the ledger calls a record whose bodies are gone.
    gone: Status,
}

impl Chain {
    fn new() -> Self {
        let committee = set(0, 0..4);
        let mut chain = Self {
            committee,
            blocks: Vec::new(),
            batches: Vec::new(),
            tips: vec![Tip::genesis(chain_id(), 0)],
            gone: Status::Erased,
        };
        (1..=NEWEST).for_each(|height| chain.grow(height));
        chain
    }

    fn grow(&mut self, height: u64) {
        let filed = vec![fingerprint(2 * height), fingerprint(2 * height + 1)];
        let one: Submission = submission(chain_id(), &author_key(), 1, false, filed);
        // The first batch is of a lane of its own.
        let author = ValidatorIx::new(u16::from(height == 1));
        let mut lane =
            self.batches.iter().map(|batch| &batch.signed.header).filter(|one| one.author == author);
        let before = lane.next_back().map(|one| (one.seq, one.digest()));
        let header = BatchHeader {
            chain_id: chain_id(),
            epoch: Epoch::ZERO,
            author,
            seq: before.map_or(0, |(seq, _)| seq + 1),
            prev: before.map_or(Digest::ZERO, |(_, digest)| digest),
            payload_root: payload_root(&[one.signed.transaction.id()]),
            bytes: payload_bytes(&one).unwrap(),
            count: 2,
            time_ms: 0,
        };
        let signature = self.key_of(author).sign(&header);
        let advance = LaneAdvance { author: header.author, seq: header.seq, tip: header.digest() };
        let parent = self.tips.last().unwrap().clone();
        let block = Header {
            version: HEADER_VERSION,
            chain_id: chain_id(),
            epoch: Epoch::ZERO,
            view: View::ZERO,
            height: Height::new(height),
            parent: parent.digest,
            proposer: ValidatorIx::new(0),
            time_ms: height * 1_000,
            flags: Flags::NONE,
            lanes_root: lanes_root(&[advance]),
            batches_root: batches_root(&[header.digest()]),
            n_batches: 1,
            n_records: 2,
            n_bytes: header.bytes,
            exec_height: Height::ZERO,
            exec_root: Digest::ZERO,
            history_root: parent.history.root(),
            validators_hash: self.committee.hash(),
            next_validators_hash: self.committee.hash(),
        };
        let signed = self.key_of(block.proposer).sign(&block.proposal());
        let proposal =
            Proposal { header: block, advances: vec![advance], signature: signed, justification: None };
        self.tips.push(parent.after(&proposal));
        self.blocks.push(proposal);
        self.batches.push(Batch { signed: SignedBatchHeader { header, signature }, submissions: vec![one] });
    }

    fn lanes_before(&self, height: u64) -> LaneFrontier {
        self.tips[usize::try_from(height).unwrap() - 1].lanes.clone()
    }

    fn key_of(&self, ix: ValidatorIx) -> SecretKey {
        let holds = |at: &u8| self.committee.index_of(&secret(*at).public()) == Some(ix);
        secret((0..4).find(holds).unwrap())
    }

    /// What these members of the set of epoch 0 sign.
    fn certificate(&self, header: &Header, signers: &[u8]) -> Cert {
        let rank = Rank { view: header.view, height: header.height };
        let size = self.committee.size();
        let empty = Cert::from_votes(VoteKind::Commit, Epoch::ZERO, rank, header.digest(), size, []);
        let slot = empty.slot(chain_id());
        let index = |at: &u8| self.committee.index_of(&secret(*at).public()).unwrap();
        let mut votes: Vec<_> = signers.iter().map(|at| (index(at), secret(*at).sign(&slot))).collect();
        votes.sort_by_key(|(signer, _)| *signer);
        Cert::from_votes(VoteKind::Commit, Epoch::ZERO, rank, header.digest(), size, votes)
    }

    fn name(&self, height: u64) -> BatchRef {
        BatchRef::of(&self.batch(height).signed.header)
    }

    fn batch(&self, height: u64) -> &Batch {
        &self.batches[usize::try_from(height).unwrap() - 1]
    }

    fn outcomes(&self, height: u64) -> Vec<Outcome> {
        let tx = self.batch(height).submissions[0].signed.transaction.id();
        let refused = || Verdict::Refused(Refusal::new(Code::Expired, "test"));
        (0..2).map(|operation| Outcome { tx, operation, verdict: refused() }).collect()
    }

    /// The ledger after all blocks, in which these fingerprints are erased.
    fn ledger(&self, path: &std::path::Path, erased: &[u64]) -> LedgerStore {
        let ledger = LedgerStore::open(path).unwrap();
        for (height, tip) in (0..).zip(&self.tips) {
            let mut state = Vec::new();
            if height == 0 {
                let entry = EpochEntry {
                    current: self.committee.clone(),
                    base_height: Height::ZERO,
                    base_digest: Digest::ZERO,
                    scheduled: None,
                    names: Vec::new(),
                    changes: 0,
                };
                state.push((key::epoch(), Some(entry.to_canonical())));
            }
            for number in [2 * height, 2 * height + 1] {
                let status = if erased.contains(&number) { self.gone } else { Status::Effective };
                let head = head(number, status);
                state.push((key::record(&fingerprint(number).0.record()), Some(head.to_canonical())));
            }
            let outcomes = if height == 0 { Vec::new() } else { self.outcomes(height) };
            let result =
                BlockResult { outcomes, ..result_of(&ledger, tip, state, Vec::new(), Frontier::default()) };
            let place = Place { height: tip.height, batch: 0, position: 0 };
            let batches: Vec<BatchRef> = (height > 0).then(|| self.name(height)).into_iter().collect();
            let transactions: Vec<(TxId, Place)> =
                result.outcomes.first().map(|one| (one.tx, place)).into_iter().collect();
            let block = Executed {
                tip,
                result: &result,
                batches: &batches,
                transactions: &transactions,
                listed: &[],
                certified: Height::ZERO,
            };
            ledger.writer().unwrap().write(&block).unwrap();
        }
        ledger
    }

    /// All blocks in a store, without the batches.
    fn store(&self, path: &std::path::Path) -> ConsensusStore {
        let store = ConsensusStore::open(path).unwrap();
        let mut write = SyncedWrite::default();
        for block in &self.blocks {
            store.add(&mut write, &Write::Block(Box::new(block.clone()))).unwrap();
        }
        store.commit(write).unwrap();
        let headers: Vec<Header> = self.blocks.iter().map(|block| block.header.clone()).collect();
        write_final(&store, &self.certificate(headers.last().unwrap(), &[0, 1, 3]), &headers, &[]);
        store
    }
}

/// The head of a fingerprint.
fn head(number: u64, status: Status) -> RecordHead {
    let (operation, _) = fingerprint(number);
    let header = operation.header().unwrap().clone();
    let version = VersionHead {
        version: 1,
        status,
        header_digest: header.digest(),
        body_commit: header.body_commit,
        leaf_index: 0,
        needs: Needs::NONE,
        signers: Vec::new(),
        officers: Vec::new(),
        notary: None,
        natural_key: None,
        legal_basis: None,
        decided_on: None,
        effective_from: None,
        effective_to: None,
        publish_from: None,
        publish_min_until: None,
        publish_until: None,
        dispose_on: None,
        severity: None,
        refs: Vec::new(),
        attachments_root: None,
    };
    RecordHead { flags: RecordFlags::NONE, ..RecordHead::first(&header, version, Height::ZERO) }
}

/// What a validator gives, given the truth.
type Lie = Box<dyn Fn(&SyncRequest, SyncResponse) -> SyncResponse + Send + Sync>;

/// A validator with a store of its own.
struct Holder {
    _dir: tempfile::TempDir,
    store: ConsensusStore,
    lie: Lie,
}

impl Holder {
    /// Has everything, but for the bodies of these fingerprints; without the outcomes that would stand in their place
    /// nothing of it could be served.
    fn without(chain: &Chain, gone: &[u64]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = chain.store(dir.path());
        let mut write = SyncedWrite::default();
        for height in 1..=NEWEST {
            let mut batch = chain.batch(height).clone();
            for (number, body) in (2 * height..).zip(&mut batch.submissions[0].bodies) {
                if gone.contains(&number) {
                    *body = None;
                }
            }
            let bytes = encode(&batch).unwrap();
            if batch == *chain.batch(height) {
                store.add_batch(&mut write, &chain.name(height), &bytes);
            } else {
                let recorded = Recorded(chain.outcomes(height));
                store.add_stripped(&mut write, &chain.name(height), &bytes, &recorded).unwrap();
            }
        }
        store.commit(write).unwrap();
        Self { _dir: dir, store, lie: Box::new(|_, answer| answer) }
    }

    fn lying(
        chain: &Chain,
        lie: impl Fn(&SyncRequest, SyncResponse) -> SyncResponse + Send + Sync + 'static,
    ) -> Self {
        Self { lie: Box::new(lie), ..Self::without(chain, &[]) }
    }
}

impl Answers for Holder {
    fn answer(&self, request: &SyncRequest) -> SyncResponse {
        let truth = match request {
            SyncRequest::Blocks { from } => self
                .store
                .run_from(*from)
                .unwrap()
                .map_or(SyncResponse::Nothing, |run| SyncResponse::Blocks(Box::new(run))),
            SyncRequest::Batches { from, tip } => {
                let lane = (tip.epoch, tip.author);
                let found = self.store.lane(lane, *from, tip.seq, SYNC_BATCHES_MAX, SYNC_BYTES_MAX).unwrap();
                let given = found.into_iter().map(|(bytes, recorded)| SyncedBatch { bytes, recorded });
                SyncResponse::Batches(given.collect())
            }
            _ => SyncResponse::Nothing,
        };
        (self.lie)(request, truth)
    }
}

/// What became of a node that keeps its newest block alone and asks these validators for the others.
struct Ended {
    refilled: Result<Refilled, Refusal>,
    /// The batches that it has then, by height.
    batches: Vec<Option<Batch>>,
    /// Whether each is noted as one whose bodies are gone.
    stripped: Vec<bool>,
    /// Where lanes stand before the first block that it has.
    lanes: LaneFrontier,
}

fn refill(chain: &Chain, holders: Vec<Holder>, erased: &[u64]) -> Ended {
    refill_to(1, chain, holders, erased)
}

fn refill_to(lowest: u64, chain: &Chain, holders: Vec<Holder>, erased: &[u64]) -> Ended {
    let dir = tempfile::tempdir().unwrap();
    let ledger = chain.ledger(&dir.path().join("ledger"), erased);
    let own = ConsensusStore::open(&dir.path().join("own")).unwrap();
    let newest = chain.store(&dir.path().join("all")).run_from(Height::new(NEWEST)).unwrap().unwrap();
    own.found(Height::new(NEWEST - 1), chain.lanes_before(NEWEST), &[newest]).unwrap();
    let source = Source::new(Arc::new(Town(holders)), Arc::new(chain.committee.clone()));
    let snapshot = ledger.snapshot().unwrap();
    let refill = Refill { chain_id: chain_id(), source: &source, consensus: &own, ledger: &snapshot };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let refilled = runtime.block_on(refill.down_to(Height::new(lowest), |_| {}));
    let names: Vec<BatchRef> = (1..NEWEST).map(|height| chain.name(height)).collect();
    Ended {
        refilled,
        batches: names.iter().map(|name| own.batch(name).unwrap()).collect(),
        stripped: names.iter().map(|name| own.is_stripped(name).unwrap()).collect(),
        lanes: own.first_lanes().unwrap(),
    }
}

/// Everything is there as it was ordered.
#[track_caller]
fn whole(chain: &Chain, ended: &Ended) {
    let want = Refilled { from: Height::new(NEWEST), to: Height::new(1), batches: NEWEST - 1, erased: 0 };
    assert_eq!(ended.refilled, Ok(want));
    let all: Vec<_> = (1..NEWEST).map(|height| Some(chain.batch(height).clone())).collect();
    assert_eq!(ended.batches, all);
    assert_eq!(ended.stripped, [false; 3]);
}

/// Nothing was taken, for this reason.
#[track_caller]
fn nothing(ended: &Ended, why: &str) {
    let refusal = ended.refilled.as_ref().expect_err("blocks were taken");
    assert_eq!(refusal.code, Code::NotReady);
    assert!(refusal.detail.contains(why), "{}", refusal.detail);
    assert_eq!(ended.batches, [None, None, None]);
}

#[test]
fn a_body_that_one_validator_lacks_comes_from_another() {
    let chain = Chain::new();
    // The first lacks a body that nobody ordered to be erased, or the batch, or all of it.
    let silent = || Holder::lying(&chain, |_, _| SyncResponse::Nothing);
    let no_batches = || {
        Holder::lying(&chain, |request, answer| match request {
            SyncRequest::Batches { .. } => SyncResponse::Batches(Vec::new()),
            _ => answer,
        })
    };
    let firsts = [Holder::without(&chain, &[4]), Holder::without(&chain, &[4, 5]), silent(), no_batches()];
    for first in firsts {
        whole(&chain, &refill(&chain, vec![first, Holder::without(&chain, &[])], &[]));
    }
    // Nobody has all of it, and together they have.
    let both = vec![Holder::without(&chain, &[4, 6]), Holder::without(&chain, &[5, 7])];
    whole(&chain, &refill(&chain, both, &[]));
}

#[test]
fn lanes_go_on_from_where_they_stood_before_the_first_block() {
    let chain = Chain::new();
    for lowest in 1..NEWEST {
        let ended = refill_to(lowest, &chain, vec![Holder::without(&chain, &[])], &[]);
        assert_eq!(ended.refilled.map(|refilled| refilled.to), Ok(Height::new(lowest)));
        assert_eq!(ended.lanes, chain.lanes_before(lowest), "before block {lowest}");
    }
}

#[test]
fn a_body_that_nobody_has_is_missed_unless_it_is_erased() {
    let chain = Chain::new();
    let lacking = || vec![Holder::without(&chain, &[4]), Holder::without(&chain, &[4])];
    nothing(
        &refill(&chain, lacking(), &[]),
        "a body is gone that the ledger of block 4 does not call erased",
    );
    nothing(&refill(&chain, lacking(), &[5]), "does not call erased");
    let ended = refill(&chain, lacking(), &[4]);
    assert_eq!(ended.refilled.map(|refilled| (refilled.batches, refilled.erased)), Ok((3, 1)));
    assert_eq!(ended.stripped, [false, true, false]);
}

#[test]
fn what_is_erased_is_taken_from_nobody() {
    // Whether a validator still gives it or not.
    for (status, gone) in [(Status::Erased, &[][..]), (Status::Erased, &[4]), (Status::Sealed, &[])] {
        let chain = Chain { gone: status, ..Chain::new() };
        let ended = refill(&chain, vec![Holder::without(&chain, gone)], &[4]);
        assert_eq!(ended.refilled.map(|refilled| (refilled.batches, refilled.erased)), Ok((3, 1)));
        let bodies = |at: usize| {
            let batch = ended.batches[at].as_ref().unwrap();
            batch.submissions[0].bodies.iter().map(Option::is_some).collect::<Vec<_>>()
        };
        assert_eq!([bodies(0), bodies(1), bodies(2)], [[true, true], [false, true], [true, true]]);
        assert_eq!(ended.stripped, [false, true, false]);
    }
}

#[test]
fn what_a_batch_came_to_is_read_here_and_not_believed() {
    let chain = Chain::new();
    let forget = |_: &SyncRequest, answer| match answer {
        SyncResponse::Batches(mut given) => {
            for one in given.iter_mut().filter(|one| one.recorded.is_some()) {
                one.recorded = Some(encode(&Recorded(Vec::new())).unwrap());
            }
            SyncResponse::Batches(given)
        }
        answer => answer,
    };
    let holder = Holder { lie: Box::new(forget), ..Holder::without(&chain, &[4]) };
    let ended = refill(&chain, vec![holder], &[4]);
    assert_eq!(ended.refilled.map(|refilled| (refilled.batches, refilled.erased)), Ok((3, 1)));
}

/// A change to the run of blocks that a validator gives.
fn forged(chain: &Chain, change: impl Fn(&mut Run) + Send + Sync + 'static) -> Holder {
    Holder::lying(chain, move |_, answer| match answer {
        SyncResponse::Blocks(mut run) => {
            change(&mut run);
            SyncResponse::Blocks(run)
        }
        answer => answer,
    })
}

#[test]
fn a_block_is_the_one_that_the_next_one_names_or_none() {
    let chain = Chain::new();
    type Change = fn(&mut Run);
    let lies: [(&str, Change); 6] = [
        ("does not follow block 1", |run| run.blocks[0].header.time_ms += 1),
        ("block 3 is another one", |run| run.blocks[2].header.time_ms += 1),
        ("block 3 is another one", |run| drop(run.blocks.remove(0))),
        ("does not follow block 1", |run| drop(run.blocks.remove(1))),
        ("lacks its leader's signature", |run| run.blocks[1].signature = Signature::ZERO),
        ("not what its header says", |run| run.blocks[1].advances.clear()),
    ];
    for (why, change) in lies {
        nothing(&refill(&chain, vec![forged(&chain, change)], &[]), why);
        let honest = Holder::without(&chain, &[]);
        whole(&chain, &refill(&chain, vec![forged(&chain, change), honest], &[]));
    }
    // The certificate is given to others later.
    let weak = chain.certificate(&chain.blocks[3].header, &[0, 1]);
    let lie = forged(&chain, move |run| run.certificate = weak.clone());
    nothing(&refill(&chain, vec![lie], &[]), "signatures");
    let other = chain.certificate(&chain.blocks[2].header, &[0, 1, 3]);
    let lie = forged(&chain, move |run| run.certificate = other.clone());
    nothing(&refill(&chain, vec![lie], &[]), "over another block");
    // One that is above what is wanted names another epoch, and everything else of it is right.
    let mut above = chain.blocks[3].clone();
    above.header.epoch = Epoch::new(1);
    above.signature = chain.key_of(above.header.proposer).sign(&above.header.proposal());
    let certificate = chain.certificate(&above.header, &[0, 1, 3]);
    let lie = forged(&chain, move |run| {
        run.blocks[3] = above.clone();
        run.certificate = certificate.clone();
    });
    nothing(&refill(&chain, vec![lie], &[]), "block 4: not what its header says");
}

#[test]
fn a_batch_is_the_one_that_was_ordered_or_none() {
    let chain = Chain::new();
    type Change = fn(&mut Batch);
    let lies: [(&str, Change); 3] = [
        ("the body is not the one the header commits to", |batch| {
            let body = batch.submissions[0].bodies[0].as_mut().unwrap();
            body.json = body.json.replace("4096", "4097");
        }),
        ("batch of v1", |batch| batch.signed.signature = Signature::ZERO),
        ("2118 bytes, its header says 1059", |batch| batch.submissions.push(batch.submissions[0].clone())),
    ];
    for (what, change) in lies {
        let lie = || {
            Holder::lying(&chain, move |_, answer| match answer {
                SyncResponse::Batches(mut given) => {
                    for one in &mut given {
                        let mut batch: Batch = chain_core::codec::decode(&one.bytes).unwrap();
                        change(&mut batch);
                        one.bytes = encode(&batch).unwrap();
                    }
                    SyncResponse::Batches(given)
                }
                answer => answer,
            })
        };
        nothing(&refill(&chain, vec![lie()], &[]), what);
        whole(&chain, &refill(&chain, vec![lie(), Holder::without(&chain, &[])], &[]));
    }
}

#[test]
fn a_rival_of_the_batch_that_was_ordered_is_passed_over() {
    let chain = Chain::new();
    // Its author signed another one for each place.
    let rival = |height| {
        let mut batch = chain.batch(height).clone();
        batch.signed.header.time_ms += 1;
        batch.signed.signature = chain.key_of(batch.signed.header.author).sign(&batch.signed.header);
        batch
    };
    let rivals: Vec<Batch> = (1..NEWEST).map(rival).collect();
    let place = |batch: &Batch| (batch.signed.header.author, batch.signed.header.seq);
    let lie = move |_: &SyncRequest, answer| match answer {
        SyncResponse::Batches(mut given) => {
            for one in &mut given {
                let batch: Batch = chain_core::codec::decode(&one.bytes).unwrap();
                one.bytes = encode(rivals.iter().find(|one| place(one) == place(&batch)).unwrap()).unwrap();
            }
            SyncResponse::Batches(given)
        }
        answer => answer,
    };
    let ended = refill(&chain, vec![Holder::lying(&chain, lie)], &[]);
    nothing(&ended, "ordered by block 1, is missing: nobody has it");
}
