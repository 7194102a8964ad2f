//! A joining node among validators, some of whom lie: it takes what a quorum certified, or nothing.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::*;
use crate::link::town::{Answers, Town};
use crate::snapshots::Snapshots;
use crate::snapshots::offer::Offers;
use crate::snapshots::tests::{BASE, End, Forged, NEWEST, Plan, World};
use crate::snapshots::verify::passage_of;
use crate::snapshots::verify::tests::pass_off;
use chain_core::certificate::Rank;
use chain_core::crypto::Digest;
use chain_core::id::{Epoch, View};
use consensus::safety::{SafetyRecord, Slot};

/// How a validator answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Manner {
    Honest,
    /// Names a manifest of its own invention.
    OtherManifest,
    /// Gives another manifest than it names.
    WrongManifest,
    /// Changes a bit of each chunk.
    ForgedChunks,
    /// Names the snapshot and gives no chunk.
    NoChunks,
    /// Names an earlier snapshot until it is asked for it, and has let go of it by then.
    MovedOn,
    /// Names a later snapshot each time, and has none of them.
    Racing,
    /// Leaves a signature out of each certificate.
    WeakCertificates,
    /// Changes a proposal that no certificate covers: its leader's signature.
    ForgedProposals,
    /// Gives no passage that proves itself.
    ForgedPassages,
    Silent,
}

struct Validator {
    manner: Manner,
    snapshots: Snapshots,
    consensus: ConsensusStore,
    passages: Vec<Passage>,
    offers: Offers,
    /// How often it was asked for something that it had named and has not.
    missed: AtomicU64,
}

impl Validator {
    /// A validator that agreed on what one world holds, and has the snapshot of another.
    fn of(agreed: &World, held: &World, manner: Manner) -> (tempfile::TempDir, Self) {
        let (dir, consensus) = agreed.consensus(&Plan::default());
        let ledger = LedgerStore::open_read_only(&agreed.data.ledger()).unwrap();
        let passage = passage_of(Epoch::ZERO, &ledger.snapshot().unwrap(), &consensus).unwrap();
        let passages = passage.into_iter().collect();
        let snapshots = Snapshots::of(&held.data);
        (
            dir,
            Self {
                manner,
                snapshots,
                consensus,
                passages,
                offers: Offers::default(),
                missed: AtomicU64::new(0),
            },
        )
    }
}

impl Answers for Validator {
    fn answer(&self, request: &SyncRequest) -> SyncResponse {
        let mut answer = match request {
            SyncRequest::Passages { from } => {
                let from = usize::try_from(from.get()).unwrap();
                SyncResponse::Passages(self.passages.get(from..).unwrap_or_default().to_vec())
            }
            SyncRequest::Blocks { from } => self
                .consensus
                .run_from(*from)
                .unwrap()
                .map_or(SyncResponse::Nothing, |run| SyncResponse::Blocks(Box::new(run))),
            request => self.offers.answer(&self.snapshots, &self.consensus, request),
        };
        match (self.manner, &mut answer, request) {
            (Silent, answer, _) => *answer = SyncResponse::Nothing,
            (MovedOn, SyncResponse::Snapshot(offer), _) if self.missed.load(Relaxed) == 0 => {
                *offer = Offer { height: Height::new(BASE - 1), manifest: Digest::ZERO };
            }
            (Racing, SyncResponse::Snapshot(offer), _) => {
                offer.height = Height::new(BASE + 1 + self.missed.load(Relaxed));
            }
            (MovedOn | Racing, SyncResponse::Nothing, SyncRequest::Manifest { .. }) => {
                self.missed.fetch_add(1, Relaxed);
            }
            (OtherManifest, SyncResponse::Snapshot(offer), _) => offer.manifest = Digest::ZERO,
            (WrongManifest, SyncResponse::Bytes(bytes), SyncRequest::Manifest { .. })
            | (ForgedChunks, SyncResponse::Bytes(bytes), SyncRequest::Chunk { .. }) => {
                *bytes.last_mut().unwrap() ^= 1;
            }
            (NoChunks, answer, SyncRequest::Chunk { .. }) => *answer = SyncResponse::Nothing,
            (WeakCertificates, SyncResponse::Blocks(run), _) => {
                run.certificate.signatures.pop();
            }
            (ForgedProposals, SyncResponse::Blocks(run), _) => {
                run.blocks[0].signature = chain_core::crypto::Signature::ZERO;
            }
            (ForgedPassages, SyncResponse::Passages(passages), _) => {
                for passage in passages {
                    if let Passage::HandOver(hand_over) = passage {
                        hand_over.proof.certificate.signatures.pop();
                    }
                }
            }
            _ => {}
        }
        answer
    }
}

/// What a node holds before it joins.
struct Joiner {
    dir: tempfile::TempDir,
    own: ConsensusStore,
}

impl Joiner {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let own = ConsensusStore::open(&dir.path().join("own")).unwrap();
        Self { dir, own }
    }

    /// One whose consensus store has blocks.
    fn with(own: ConsensusStore) -> Self {
        Self { own, ..Self::new() }
    }

    fn folder(&self) -> std::path::PathBuf {
        self.dir.path().join("new")
    }

    /// Joins the chain of a world by what these validators say, of whom each holds the snapshot of one.
    fn fetch(&self, of: &World, town: &[(&World, Manner)]) -> Result<Fetched, Refusal> {
        let (_dirs, town): (Vec<_>, Vec<_>) =
            town.iter().map(|(held, manner)| Validator::of(of, held, *manner)).unzip();
        let trust =
            Trust { chain_id: of.chain_id, committee: &of.first, recovery_keys: Some(&of.recovery_keys) };
        let network: Arc<dyn Network> = Arc::new(Town(town));
        let patience = Duration::from_secs(3);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut ladder = Ladder::new(&trust);
            let committee = ladder.newest().committee.clone();
            ladder.ask(&trust, &Source { patience, ..Source::new(network.clone(), committee) }).await;
            let committee = ladder.newest().committee.clone();
            let source = Source { patience, ..Source::new(network, committee) };
            std::fs::create_dir_all(self.folder()).unwrap();
            source.fetch(&trust, &ladder, &self.folder(), &self.own).await
        })
    }
}

use Manner::{
    ForgedChunks, ForgedPassages, ForgedProposals, Honest, MovedOn, NoChunks, OtherManifest, Racing, Silent,
    WeakCertificates, WrongManifest,
};

#[test]
fn what_a_quorum_certified_is_taken_whatever_some_say() {
    for end in [End::Closed, End::Act] {
        let world = World::of(end, 700);
        for town in [
            [Honest, Honest, Honest, Honest],
            [ForgedChunks, Honest, Honest, Honest],
            [NoChunks, Honest, ForgedChunks, Honest],
            [OtherManifest, Honest, Honest, Silent],
            [WrongManifest, WrongManifest, Honest, Honest],
            [WeakCertificates, ForgedProposals, Honest, Silent],
            [ForgedPassages, Honest, ForgedPassages, ForgedPassages],
            [MovedOn, MovedOn, MovedOn, MovedOn],
        ] {
            let joiner = Joiner::new();
            let fetched = joiner.fetch(&world, &town.map(|manner| (&world, manner)));
            let fetched = fetched.unwrap_or_else(|refusal| panic!("{end:?} {town:?}: {refusal}"));
            assert_eq!(fetched.report.height, Height::new(BASE), "{end:?} {town:?}");
            assert!(fetched.report.is_certified(), "{town:?}");
            assert!(fetched.chunks > 10, "{} chunks", fetched.chunks);
            assert_eq!(fetched.shares.iter().map(|one| one.chunks).sum::<usize>(), fetched.chunks);
            for one in &fetched.shares {
                // The others may be done before a liar was asked often enough to be dropped.
                let place = world_place(&one.name);
                let liar = matches!(town[place], ForgedChunks | NoChunks);
                assert!(liar || one.dropped.is_none(), "{town:?}: {one:?}");
                assert!(!liar || one.chunks == 0, "{town:?}: {one:?}");
            }
        }
    }
}

#[test]
fn a_holder_that_lies_or_fails_too_often_is_asked_no_more() {
    let work = Work::new(Height::new(BASE), (0..10).collect(), 3);
    let dropped = |place: usize| work.with(|state| state.shares[place].dropped.clone());
    work.give_back(0, 0, true);
    assert!(dropped(0).unwrap().contains("forged"));
    for failure in 1..FAILURES_MAX {
        work.give_back(1, 0, false);
        assert_eq!(dropped(1), None, "{failure}");
    }
    // What comes after failures is an excuse for them.
    work.done(1);
    for failure in 1..FAILURES_MAX {
        work.give_back(1, 0, false);
        assert_eq!(dropped(1), None, "{failure}");
    }
    work.give_back(1, 0, false);
    assert!(dropped(1).unwrap().contains("did not give chunk 0"));
    assert_eq!((work.turn(0), work.turn(1)), (None, None));
    assert_eq!(work.turn(2), Some(Some(0)), "what was given back goes to another");
}

/// Where a validator of the second set stands in the town.
fn world_place(name: &str) -> usize {
    let set = Plan::default().second;
    set.validators().iter().position(|one| one.name == name).unwrap()
}

#[test]
fn the_stores_that_come_of_it_are_those_that_were_named_and_begin_above_the_snapshot() {
    let world = World::of(End::Closed, 300);
    let joiner = Joiner::new();
    // The key signed something in the epoch before: its memory stays.
    let base = (Height::ZERO, *world.chain_id.digest());
    let key = crate::samples::validator(1).consensus_key;
    let fresh = SafetyRecord::fresh(world.chain_id, Epoch::ZERO, key, base);
    let rank = Rank { view: View::ZERO, height: Height::new(2) };
    let record = SafetyRecord { last_prepare: Some(Slot { rank, digest: Digest::ZERO }), ..fresh };
    let mut write = SyncedWrite::default();
    joiner.own.add(&mut write, &Write::Safety(Box::new(record.clone()))).unwrap();
    joiner.own.commit(write).unwrap();

    // So does an act that somebody handed to this node, and that nobody has acted on yet.
    let act = crate::samples::recovery_act(1, (NEWEST, Digest::ZERO), "two machine rooms burnt");
    let act = chain_core::recovery::SignedRecovery::new(act, Vec::new());
    joiner.own.set_act(&act).unwrap();

    joiner.fetch(&world, &[(&world, Honest); 4]).unwrap();
    let consensus = ConsensusStore::open(&joiner.folder().join(CONSENSUS)).unwrap();
    assert_eq!(consensus.act(Epoch::new(1)).unwrap(), Some(act));
    assert_eq!(consensus.first().unwrap(), Height::new(BASE + 1));
    assert_eq!(consensus.final_height().unwrap(), Height::new(NEWEST));
    assert!(consensus.final_block(Height::new(BASE)).unwrap().is_some(), "what the first block follows");
    assert!(consensus.final_block(Height::new(BASE - 1)).unwrap().is_none());
    assert!(consensus.closing(Epoch::ZERO).unwrap().is_some());
    assert_eq!(consensus.safety().unwrap(), Some(record));

    // The ledger is entry by entry the one that was named: it could be handed on.
    let named = |path: &Path| {
        let store = LedgerStore::open_read_only(path).unwrap();
        let snapshot = store.snapshot().unwrap();
        let stale = snapshot.stale().unwrap();
        (snapshot.manifest(&stale).unwrap(), snapshot.read_all().unwrap())
    };
    let (ours, ours_entries) = named(&joiner.folder().join(LEDGER));
    let (theirs, theirs_entries) = named(&world.snapshot());
    assert_eq!(ours, theirs);
    assert!(ours_entries < theirs_entries, "earlier versions of the state are not handed over");
    assert_eq!(
        LedgerStore::open(&joiner.folder().join(LEDGER)).unwrap().snapshot().unwrap().oldest_state().unwrap(),
        Height::new(BASE)
    );
}

#[test]
fn a_node_with_blocks_takes_what_its_own_blocks_certify() {
    let world = World::new(End::Closed);
    let honest = [(&world, Honest); 4];
    let (_dir, whole) = world.consensus(&Plan::default());
    let newest = whole.run_from(Height::new(NEWEST)).unwrap().unwrap();
    let joiner = Joiner::with(whole);
    let fetched = joiner.fetch(&world, &honest).unwrap();
    assert!(fetched.report.is_certified());
    assert!(!joiner.folder().join(CONSENSUS).exists(), "it has one");

    let (_dir, behind) = world.consensus(&Plan { blocks: 0, ..Plan::default() });
    let (_dir2, over) = world.consensus(&Plan { exec: [5, 7, 8], ..Plan::default() });
    let dir = tempfile::tempdir().unwrap();
    let above = ConsensusStore::open(dir.path()).unwrap();
    above.found(Height::new(NEWEST - 1), LaneFrontier::default(), &[newest]).unwrap();
    for (own, code, words) in [
        (behind, Code::NotReady, "no header up to block 6 certifies the execution of 6"),
        (over, Code::NoSnapshot, "block 8 certifies a later execution than that of 6"),
        (above, Code::NoSnapshot, "the blocks here begin with 9"),
    ] {
        let refusal = Joiner::with(own).fetch(&world, &honest).expect_err(words);
        assert!(refusal.code == code && refusal.detail.contains(words), "wants {words}: {refusal}");
    }
}

/// A ledger that is whole and another one, which passes itself off as the honest one by these families.
fn impostor(honest: &World, forged: Forged, families: &[&str]) -> World {
    let world = World::made(End::Closed, World::RECORDS, forged);
    pass_off(&world, honest, families);
    world
}

#[test]
fn nothing_is_taken_that_too_few_name_or_that_no_quorum_certified() {
    let world = World::new(End::Closed);
    let state = impostor(&world, Forged::State, &["tips"]);
    let leaves = impostor(&world, Forged::Leaves, &["tips", "summaries"]);
    let of = |held, manner| (held, manner);
    let silent = of(&world, Silent);
    // (what each of the four holds and how it answers, code, words)
    type Case<'a> = ([(&'a World, Manner); 4], Code, &'a str);
    let cases: [Case<'_>; 9] = [
        ([of(&world, Honest), silent, silent, silent], Code::NoSnapshot, "2 validators must name"),
        ([silent; 4], Code::NoSnapshot, "none names any"),
        ([of(&world, Honest), of(&state, Honest), of(&leaves, Honest), silent], Code::NoSnapshot, "v1 name"),
        // More than f lie together: the certified root tells.
        ([of(&state, Honest), of(&state, Honest), silent, silent], Code::StateMismatch, "certifies"),
        ([of(&leaves, Honest), of(&leaves, Honest), silent, silent], Code::StorageCorrupt, "record log"),
        ([of(&world, ForgedChunks), of(&world, NoChunks), silent, silent], Code::NotReady, "is forged"),
        ([of(&world, WrongManifest), of(&world, WrongManifest), silent, silent], Code::NotReady, "manifest"),
        ([of(&world, Racing); 4], Code::NotReady, "manifest of snapshot"),
        (
            [of(&world, WeakCertificates), of(&world, ForgedProposals), silent, silent],
            Code::NotReady,
            "are missing",
        ),
    ];
    for (number, (town, code, words)) in cases.into_iter().enumerate() {
        let refusal = Joiner::new().fetch(&world, &town).expect_err("it is taken");
        assert!(refusal.code == code && refusal.detail.contains(words), "{number}: {refusal}");
    }
}
