//! What a snapshot is held against, and that nothing else passes.

use super::*;
use crate::snapshots::tests::{BASE, End, Forged, NEWEST, Plan, World, set};
use crate::storage::keys;
use chain_core::codec::{decode_trusted, encode};
use chain_core::execute::outcomes_root;
use chain_core::state::key;
use rocksdb::{ColumnFamily, DB, IteratorMode, Options};

pub(in crate::snapshots) fn check(world: &World, plan: &Plan<'_>) -> Result<Report, Refusal> {
    check_with(world, plan, Some(&world.recovery_keys))
}

fn check_with(world: &World, plan: &Plan<'_>, keys: Option<&RecoveryKeys>) -> Result<Report, Refusal> {
    let (_dir, consensus) = world.consensus(plan);
    let trust = Trust { chain_id: world.chain_id, committee: &world.first, recovery_keys: keys };
    verify(&world.snapshot(), Height::new(BASE), &consensus, &trust)
}

/// Changes a snapshot as somebody could who has the disk: checksums of the database are good afterwards.
fn tamper(world: &World, name: &str, change: impl FnOnce(&DB, &ColumnFamily)) {
    let mut options = Options::default();
    options.set_disable_auto_compactions(true);
    let families = DB::list_cf(&options, world.snapshot()).unwrap();
    let db = DB::open_cf(&options, world.snapshot(), families).unwrap();
    change(&db, db.cf_handle(name).unwrap());
}

/// Changes a bit of the value of the first entry that fits.
fn flip(db: &DB, cf: &ColumnFamily, fits: impl Fn(&[u8]) -> bool) {
    let (key, mut value) = first(db, cf, fits);
    let last = value.len() - 1;
    value[last] ^= 1;
    db.put_cf(cf, key, value).unwrap();
}

fn remove(db: &DB, cf: &ColumnFamily, fits: impl Fn(&[u8]) -> bool) {
    let (key, _) = first(db, cf, fits);
    db.delete_cf(cf, key).unwrap();
}

fn first(db: &DB, cf: &ColumnFamily, fits: impl Fn(&[u8]) -> bool) -> (Vec<u8>, Vec<u8>) {
    let mut entries = db.iterator_cf(cf, IteratorMode::Start).map(Result::unwrap);
    let (key, value) = entries.find(|(key, _)| fits(key)).unwrap();
    (key.into_vec(), value.into_vec())
}

/// Puts these families of one snapshot in the place of those of another.
pub(in crate::snapshots) fn pass_off(world: &World, honest: &World, families: &[&str]) {
    for family in families {
        let mut all = Vec::new();
        tamper(honest, family, |db, cf| {
            all.extend(db.iterator_cf(cf, IteratorMode::Start).map(Result::unwrap));
        });
        tamper(world, family, |db, cf| {
            for (key, value) in &all {
                db.put_cf(cf, key, value).unwrap();
            }
        });
    }
}

/// Whether a key is a number.
fn is(number: u64) -> impl Fn(&[u8]) -> bool {
    move |key| key == number.to_be_bytes()
}

/// First byte of a node of the tree.
const INNER: u8 = 1;
const LEAF: u8 = 2;

/// Changes a bit at the end of a node of the newest tree: of a leaf's hash, or of the number of leaves below a node.
fn flip_node(db: &DB, cf: &ColumnFamily, kind: u8) {
    let mut entries = db.iterator_cf(cf, IteratorMode::Start).map(Result::unwrap);
    let (wanted, _) =
        entries.find(|(key, value)| value[0] == kind && key[..8] == BASE.to_be_bytes()).unwrap();
    flip(db, cf, |key| *key == *wanted);
}

/// Puts what belongs to the height before in the place of what belongs to the base.
fn exchange(db: &DB, cf: &ColumnFamily) {
    let (_, before) = first(db, cf, is(BASE - 1));
    db.put_cf(cf, BASE.to_be_bytes(), before).unwrap();
}

fn refused(result: Result<Report, Refusal>, code: Code, words: &str, what: &str) {
    let refusal = result.expect_err(what);
    assert!(refusal.code == code && refusal.detail.contains(words), "{what}: {refusal}");
}

#[test]
fn a_snapshot_is_what_a_quorum_certified() {
    // (how the epoch ended, records in each block)
    for (end, records) in [(End::Closed, 1), (End::Closed, 40), (End::Act, 40), (End::Closed, 700)] {
        let world = World::of(end, records);
        let report = check(&world, &Plan::default()).unwrap();
        let Standing::Certified(by) = &report.standing else { panic!("{report:?}") };
        assert_eq!(by.root, report.contents.summary.root());
        assert_eq!((by.block.get(), by.final_by.get(), by.epoch.get()), (BASE + 2, NEWEST, 1));
        assert_eq!((by.signatures, by.validators), (3, 4));
        let leaves = records * (BASE + 1);
        let epoch_entry = 1;
        assert_eq!(report.contents.summary.log_size, leaves);
        assert_eq!(report.contents.entries, leaves + epoch_entry);
        assert_eq!(report.contents.hashes, leaves + leaves / 256);
        assert!(report.contents.nodes > report.contents.entries, "{report:?}");
        // Each height's one refused operation.
        assert_eq!(report.contents.outcomes, BASE + 1);
        assert!(report.contents.unrooted > leaves, "{report:?}");
    }
}

#[test]
fn what_no_quorum_certified_yet_is_told_apart_from_what_is_wrong() {
    let world = World::new(End::Closed);
    let newest = |height| Standing::NotYet { newest: Height::new(height) };
    let none = check(&world, &Plan { blocks: 0, ..Plan::default() }).unwrap();
    assert_eq!(none.standing, newest(BASE));
    let below = check(&world, &Plan { blocks: 1, ..Plan::default() }).unwrap();
    assert_eq!(below.standing, newest(BASE + 1));
    let idle = check(&world, &Plan { exec: [5, 5, 5], ..Plan::default() }).unwrap();
    assert_eq!(idle.standing, newest(NEWEST));
    let passed = check(&world, &Plan { exec: [5, 7, 8], ..Plan::default() }).unwrap();
    assert_eq!(passed.standing, Standing::PassedOver { by: Height::new(BASE + 2) });
    // It is read all the same.
    tamper(&world, "leaves", |db, cf| flip(db, cf, |_| true));
    refused(
        check(&world, &Plan { blocks: 0, ..Plan::default() }),
        Code::StorageCorrupt,
        "record log",
        "uncertified",
    );
}

type Damage = Box<dyn Fn(&DB, &ColumnFamily)>;

#[test]
fn anything_changed_in_a_snapshot_is_noticed_and_named() {
    let height = BASE.to_be_bytes();
    let in_tree = |key: &[u8]| key::is_in_tree(key);
    let last_leaf = World::RECORDS * (BASE + 1) - 1;
    let damages: [(&str, &str, &str, Damage); 17] = [
        ("a byte of a state entry", "state", "state", Box::new(move |db, cf| flip(db, cf, in_tree))),
        ("a state entry removed", "state", "state", Box::new(move |db, cf| remove(db, cf, in_tree))),
        ("a state entry added", "state", "state", Box::new(|db, cf| db.put_cf(cf, [1, 2, 3], [4]).unwrap())),
        ("a leaf of the tree", "tree", "state tree", Box::new(move |db, cf| flip_node(db, cf, LEAF))),
        ("a count in the tree", "tree", "state tree", Box::new(move |db, cf| flip_node(db, cf, INNER))),
        (
            "a node removed",
            "tree",
            "missing",
            Box::new(move |db, cf| remove(db, cf, |key| key[..8] == height)),
        ),
        ("a leaf", "leaves", "position 0", Box::new(|db, cf| flip(db, cf, |_| true))),
        ("a leaf removed", "leaves", "leaf 7 is missing", Box::new(|db, cf| remove(db, cf, is(7)))),
        (
            "the last leaf removed",
            "leaves",
            "does not follow",
            Box::new(move |db, cf| remove(db, cf, is(last_leaf))),
        ),
        ("a hash", "hashes", "position 5", Box::new(|db, cf| flip(db, cf, |key| is(5)(&key[1..])))),
        (
            "a hash too many",
            "hashes",
            "more leaves",
            Box::new(|db, cf| {
                db.put_cf(cf, keys::log_hash(1, 1), [0; 32]).unwrap();
            }),
        ),
        ("the frontier", "meta", "continues", Box::new(|db, cf| flip(db, cf, |key| key == b"log"))),
        ("a summary of another height", "summaries", "of height 5", Box::new(exchange)),
        (
            "an outcome",
            "outcomes",
            "outcomes",
            Box::new(move |db, cf| remove(db, cf, |key| key[..8] == height)),
        ),
        ("a block of another height", "tips", "block at height 6", Box::new(exchange)),
        ("no block", "tips", "is missing", Box::new(|db, cf| remove(db, cf, is(BASE)))),
        (
            "another height",
            "meta",
            "at height 5",
            Box::new(|db, cf| {
                db.put_cf(cf, "executed", 5_u64.to_be_bytes()).unwrap();
            }),
        ),
    ];
    for (what, family, words, damage) in damages {
        let world = World::new(End::Closed);
        tamper(&world, family, damage);
        // Where the root itself is another one, it is the certificate that says so.
        let code = if family == "summaries" { Code::StateMismatch } else { Code::StorageCorrupt };
        refused(check(&world, &Plan::default()), code, words, what);
    }
}

/// The certified root is of one height. What earlier heights came to stands under it too: each summary names the root
/// below.
#[test]
fn what_earlier_heights_came_to_is_under_the_certified_root() {
    let early = BASE - 3;
    let at = |height: u64| move |key: &[u8]| key[..8] == height.to_be_bytes();
    let outcomes = move |db: &DB, cf: &ColumnFamily| {
        let ((key, _), (_, others)) = (first(db, cf, at(early)), first(db, cf, at(early - 1)));
        db.put_cf(cf, key, others).unwrap();
    };
    let summary = move |db: &DB, cf: &ColumnFamily| {
        let (key, value) = first(db, cf, is(early));
        let mut forged: ExecSummary = decode_trusted(&value).unwrap();
        forged.outcomes_root = Digest::tagged(b"forged", &[]);
        db.put_cf(cf, key, encode(&forged).unwrap()).unwrap();
    };
    let both = move |db: &DB, cf: &ColumnFamily| {
        let (key, value) = first(db, cf, is(early));
        let mut forged: ExecSummary = decode_trusted(&value).unwrap();
        forged.outcomes_root = outcomes_root(&[]);
        db.put_cf(cf, key, encode(&forged).unwrap()).unwrap();
    };
    let none = move |db: &DB, cf: &ColumnFamily| remove(db, cf, at(early));
    let damages: [(&str, &[(&str, Damage)]); 4] = [
        ("its outcomes give root", &[("outcomes", Box::new(outcomes))]),
        ("its outcomes give root", &[("summaries", Box::new(summary))]),
        ("executed on root", &[("outcomes", Box::new(none)), ("summaries", Box::new(both))]),
        ("no summary of it", &[("summaries", Box::new(move |db, cf| remove(db, cf, is(early))))]),
    ];
    for (words, parts) in damages {
        let world = World::new(End::Closed);
        for (family, damage) in parts {
            tamper(&world, family, damage);
        }
        refused(check(&world, &Plan::default()), Code::StorageCorrupt, words, words);
    }
}

#[test]
fn a_summary_that_fits_a_changed_state_is_not_what_was_certified() {
    let world = World::new(End::Closed);
    let honest = check(&world, &Plan::default()).unwrap().contents.summary;
    let forged = ExecSummary { state_root: Digest::tagged(b"forged", &[]), ..honest };
    tamper(&world, "summaries", |db, cf| {
        db.put_cf(cf, BASE.to_be_bytes(), encode(&forged).unwrap()).unwrap();
    });
    let root = forged.root().to_string();
    refused(check(&world, &Plan::default()), Code::StateMismatch, &root, "a forged summary");
}

#[test]
fn a_ledger_that_is_whole_and_another_one_is_refused() {
    let honest = World::new(End::Closed);
    for (forged, words) in [(Forged::State, "state tree"), (Forged::Leaves, "record log: its entries")] {
        let world = World::made(End::Closed, World::RECORDS, forged);
        // It passes itself off as the honest one: trees, hashes and frontier fit what it holds.
        pass_off(&world, &honest, &["summaries", "tips"]);
        let (_dir, consensus) = honest.consensus(&Plan::default());
        let trust = Trust { chain_id: world.chain_id, committee: &world.first, recovery_keys: None };
        let found = verify(&world.snapshot(), Height::new(BASE), &consensus, &trust);
        refused(found, Code::StorageCorrupt, words, words);
    }
}

#[test]
fn only_the_root_of_this_very_height_counts() {
    let world = World::new(End::Closed);
    let (_dir, consensus) = world.consensus(&Plan::default());
    let other = consensus.final_block(Height::new(BASE + 1)).unwrap().unwrap().header;
    assert_eq!(other.exec_height.get(), BASE - 1);
    // The header of another height's root, under this height's name.
    let change = |header: &mut Header| {
        if header.exec_height.get() == BASE {
            header.exec_root = other.exec_root;
        }
    };
    let plan = Plan { change: &change, ..Plan::default() };
    refused(check(&world, &plan), Code::StateMismatch, "certifies", "another height's root");
}

#[test]
fn a_root_that_is_not_proved_is_refused() {
    let world = World::new(End::Closed);
    let with = |change: &dyn Fn(&mut Header)| check(&world, &Plan { change, ..Plan::default() });
    let of = |height: u64, change: fn(&mut Header)| {
        move |header: &mut Header| {
            if header.height.get() == height {
                change(header);
            }
        }
    };
    let stray = of(BASE + 3, |header| header.parent = Digest::ZERO);
    refused(with(&stray), Code::ChainBroken, "block 9 does not follow block 8", "a link");
    let stray = of(BASE + 1, |header| header.parent = Digest::ZERO);
    refused(with(&stray), Code::ChainBroken, "block 7 does not follow block 6", "the first link");
    let stray = of(BASE + 1, |header| header.chain_id = ChainId::new(Digest::ZERO));
    refused(with(&stray), Code::ChainBroken, "block 7", "another chain");
    let stray = of(BASE + 1, |header| header.history_root = Digest::ZERO);
    refused(with(&stray), Code::StorageCorrupt, "list of blocks", "another history");

    let signed = |signers: &[u8]| check(&world, &Plan { signers, ..Plan::default() });
    refused(signed(&[1, 2]), Code::CertificateInvalid, "2 signatures, needs 3", "too few");
    refused(signed(&[]), Code::CertificateInvalid, "0 signatures", "nobody");
    let closed = |closers: &[u8]| check(&world, &Plan { closers, ..Plan::default() });
    refused(closed(&[0, 1]), Code::CertificateInvalid, "validators of epoch 1", "too few closed the epoch");

    // Validators of somebody's own making, who signed everything: the closing block does not name them.
    let second = set(1, 5..9);
    let (_dir, consensus) =
        world.consensus(&Plan { second: second.clone(), signers: &[5, 6, 7, 8], ..Plan::default() });
    tamper(&world, "sets", |db, cf| {
        db.put_cf(cf, 1_u64.to_be_bytes(), encode(&second).unwrap()).unwrap();
    });
    let trust = Trust { chain_id: world.chain_id, committee: &world.first, recovery_keys: None };
    let forged = verify(&world.snapshot(), Height::new(BASE), &consensus, &trust);
    refused(forged, Code::CertificateInvalid, "the set handed over", "validators of somebody's own");
}

#[test]
fn a_certificate_of_another_block_proves_nothing() {
    let world = World::new(End::Closed);
    let (_dir, consensus) = world.consensus(&Plan::default());
    let header = |height: u64| consensus.final_block(Height::new(height)).unwrap().unwrap().header;
    let (_, good) = consensus.certified_from(Height::new(NEWEST)).unwrap().unwrap();
    // The good certificate of block 9 stands under block 8.
    let headers = [header(BASE + 1), header(BASE + 2)];
    crate::storage::consensus::tests::write_final(&consensus, &good.certificate, &headers, &[]);
    let trust = Trust { chain_id: world.chain_id, committee: &world.first, recovery_keys: None };
    let found = verify(&world.snapshot(), Height::new(BASE), &consensus, &trust);
    refused(found, Code::CertificateInvalid, "over another block", "a certificate of another block");
}

#[test]
fn an_act_counts_only_as_the_genesis_says() {
    let world = World::new(End::Act);
    let saved = |savers: &[u8]| check(&world, &Plan { savers, ..Plan::default() });
    assert!(matches!(saved(&[0, 1]).unwrap().standing, Standing::Certified(_)));
    refused(saved(&[0]), Code::RecoveryShort, "1 signatures, needs 2", "one agency");
    refused(saved(&[0, 7]), Code::RecoveryInvalid, "no recovery key", "a stranger");
    refused(
        check_with(&world, &Plan::default(), None),
        Code::RecoveryUnknown,
        "epoch 1",
        "no keys in the genesis",
    );
}

#[test]
fn a_snapshot_of_another_chain_height_or_consensus_store_is_refused() {
    let world = World::new(End::Closed);
    let (_dir, consensus) = world.consensus(&Plan::default());
    let other = Trust { chain_id: ChainId::new(Digest::ZERO), committee: &world.first, recovery_keys: None };
    let found = verify(&world.snapshot(), Height::new(BASE), &consensus, &other);
    refused(found, Code::GenesisMismatch, "not of chain", "another chain");
    let trust = Trust { chain_id: world.chain_id, ..other };
    let found = verify(&world.snapshot(), Height::new(BASE + 1), &consensus, &trust);
    refused(found, Code::StorageCorrupt, "wants 7", "under another height's name");
    let empty = tempfile::tempdir().unwrap();
    let empty = ConsensusStore::open(empty.path()).unwrap();
    let found = verify(&world.snapshot(), Height::new(BASE), &empty, &trust);
    refused(found, Code::ChainBroken, "final here is none", "a consensus store that lacks the block");
    let nothing = verify(&world.data.path().join("nothing"), Height::new(BASE), &consensus, &trust);
    assert!(nothing.is_err());
}
