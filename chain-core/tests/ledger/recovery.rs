//! How a ledger goes on after its quorum was lost.

use chain_core::block::{Flags, Header as BlockHeader};
use chain_core::code::{Code, Refusal};
use chain_core::committee::{Committee, Validator};
use chain_core::crypto::{Digest, SecretKey};
use chain_core::execute::{self, BlockResult, GenesisState, OrderedBlock, ReadError};
use chain_core::genesis::ValidatorSecrets;
use chain_core::id::{Epoch, Height, RecordId};
use chain_core::layout::Layout;
use chain_core::leaf::{Leaf, RecoveryLeaf};
use chain_core::lifecycle::replay::{Bases, Life};
use chain_core::operation::{Effect, Operation, RevokeReason};
use chain_core::read;
use chain_core::record::BasisRef;
use chain_core::record::governance::BasisDetails;
use chain_core::record::validator::ValidatorDetails;
use chain_core::recovery::{RecoveryAct, RecoveryKey, RecoveryKeys, SignedRecovery};
use chain_core::state::{EpochEntry, ValidatorEntry, key};
use chain_core::subject::Index;

use crate::city::{City, agency, chain, genesis, secret};

const SAFES: [&str; 3] = ["A1", "A2", "N"];

fn safe(name: &str) -> SecretKey {
    secret(&format!("{name}/safe"))
}

fn details(name: &str) -> ValidatorDetails {
    let key = |role: &str| secret(&format!("{name}/{role}"));
    let (consensus, network, log) = (key("consensus"), key("network"), key("log"));
    let secrets = ValidatorSecrets { consensus: &consensus, network: &network, log: &log };
    ValidatorDetails::prove(chain().chain_id, name, &agency("A1"), "/ip4/10.0.0.1/tcp/7101", secrets)
}

/// Four validators, and two of three recovery keys.
fn city() -> City {
    let key = |name: &&str| RecoveryKey {
        name: format!("safe-{}", name.to_lowercase()),
        agency: agency(name),
        key: safe(name).public(),
    };
    City::with(&GenesisState {
        validators: ["v1", "v2", "v3", "v4"].map(details).to_vec(),
        recovery: Some(RecoveryKeys::new(2, SAFES.iter().map(key).collect()).unwrap()),
        ..genesis()
    })
}

fn epoch(city: &City) -> EpochEntry {
    execute::epoch(&city.ledger).unwrap().unwrap()
}

fn entry(city: &City, name: &str) -> ValidatorEntry {
    use chain_core::execute::LedgerRead as _;
    ValidatorEntry::from_canonical(&city.ledger.get(&key::validator(name)).unwrap().unwrap()).unwrap()
}

/// Two validators are gone for good: the two that are left, one under new keys, and two new ones.
fn next() -> Committee {
    let fresh = secret("v2/second");
    let v2 = Validator { consensus_key: fresh.public(), ..details("v2").validator() };
    let validators =
        vec![details("v1").validator(), v2, details("v5").validator(), details("v6").validator()];
    Committee::new(Epoch::new(1), validators).unwrap()
}

fn act(city: &City) -> RecoveryAct {
    RecoveryAct {
        chain_id: chain().chain_id,
        epoch: Epoch::ZERO,
        height: city.ledger.height(),
        block_digest: Digest::tagged(b"last block", &[]),
        next: next(),
        reason: "two machine rooms burnt".to_owned(),
        time_ms: city.time_ms,
    }
}

fn signed(act: RecoveryAct, safes: &[&str]) -> SignedRecovery {
    let signatures = safes.iter().map(|name| act.sign(&safe(name))).collect();
    SignedRecovery::new(act, signatures)
}

/// The header of the first block after an act.
fn header(city: &City, act: &RecoveryAct) -> BlockHeader {
    BlockHeader {
        epoch: act.next.epoch(),
        height: act.height.next(),
        parent: act.block_digest,
        flags: Flags::SEAL,
        n_batches: 0,
        validators_hash: act.next.hash(),
        next_validators_hash: act.next.hash(),
        ..city.header()
    }
}

fn run(city: &City, header: &BlockHeader, recovery: &SignedRecovery) -> Result<BlockResult, ReadError> {
    let block = OrderedBlock { header, batches: Vec::new(), index: Index::None };
    let ledger = &city.ledger;
    execute::execute_recovered_block(
        ledger,
        ledger.chain(),
        ledger.exec_state(),
        &block,
        std::slice::from_ref(recovery),
    )
}

fn recovered() -> (City, SignedRecovery) {
    let mut city = city();
    city.effective_licence("1");
    let recovery = signed(act(&city), &["A1", "N"]);
    let result = run(&city, &header(&city, &recovery.act), &recovery).unwrap();
    city.ledger.apply(result);
    (city, recovery)
}

#[test]
fn the_act_of_a_majority_makes_its_set_the_current_one() {
    let (city, recovery) = recovered();
    let after = epoch(&city);
    assert_eq!(after.current, next());
    // Offences of this epoch, and of the one that was lost, can still be judged.
    assert_eq!(execute::set_of(&city.ledger, Epoch::new(1)).unwrap(), Some(next()));
    assert_eq!(execute::set_of(&city.ledger, Epoch::ZERO).unwrap().map(|set| set.size()), Some(4));
    assert_eq!((after.base_height, after.base_digest), (recovery.act.height, recovery.act.block_digest));
    assert_eq!(after.scheduled, None, "who is left out comes back only when it is ready");
    assert_eq!(after.names, ["v1", "v2", "v3", "v4", "v5", "v6"]);
    let keys = execute::recovery_keys(&city.ledger).unwrap().unwrap();
    assert_eq!((keys.threshold(), keys.keys().len()), (2, 3));
    assert!(key::is_in_tree(&key::recovery()));
}

#[test]
fn the_act_stays_in_the_record_log() {
    let (city, recovery) = recovered();
    let leaves: Vec<Leaf> =
        city.ledger.leaves().iter().map(|leaf| Leaf::decode(&leaf.bytes).unwrap()).collect();
    let at = leaves.iter().position(|leaf| matches!(leaf, Leaf::Recovery(_))).unwrap();
    assert!(matches!(leaves[at - 1], Leaf::Seal(_)), "the first leaf of its block");
    let Leaf::Recovery(leaf) = &leaves[at] else { unreachable!() };
    assert_eq!((leaf.height, &leaf.recovery), (city.ledger.height(), &recovery));
    assert_eq!(leaves[at].record(), Some(recovery.act.record()));
    assert_eq!(city.ledger.leaves()[at].record, Some(recovery.act.record()));
    assert_eq!(leaves[at].to_canonical(), city.ledger.leaves()[at].bytes);
    assert_eq!(read::history_entry(&leaves[at], at as u64).unwrap().operation, "recover");
    let json = serde_json::to_string(&leaves[at]).unwrap();
    assert_eq!(serde_json::from_str::<Leaf>(&json).unwrap(), leaves[at]);
    let Leaf::Seal(seal) = leaves.last().unwrap() else { panic!("the last leaf is no seal") };
    assert_eq!(seal.epoch, Epoch::new(1));
}

#[test]
fn whom_the_act_describes_anew_has_a_record_that_the_council_can_change() {
    let (mut city, _) = recovered();
    // Known as it was: nothing changes.
    assert_eq!((entry(&city, "v1").version, entry(&city, "v1").order), (1, 0));
    let rekeyed = entry(&city, "v2");
    assert_eq!((rekeyed.version, &rekeyed.validator), (2, &next().validators()[1]));
    assert_eq!(city.head(rekeyed.record).current.version, 2);
    let new = entry(&city, "v5");
    assert_eq!((new.version, city.status(new.record)), (1, "effective"));
    for record in [rekeyed.record, new.record] {
        let version = city.head(record).current.version;
        let revoke = Operation::Revoke {
            record,
            version,
            reason: RevokeReason::Ended,
            effect: Effect::FromNow,
            note: String::new(),
        };
        city.send("A1/council1", revoke).unwrap();
        city.countersign("A2/council1", record).unwrap();
        assert_eq!(city.status(record), "revoked");
    }
    assert!(!entry(&city, "v2").is_wanted() && !entry(&city, "v5").is_wanted());
}

/// A record's leaves and those of acts, replayed in the order of the log; says how often an act changed the record.
fn replayed(city: &City, record: RecordId) -> (Life, usize) {
    let (mut life, mut changed) = (Life::new(chain(), record), 0);
    for (at, leaf) in (0..).zip(city.ledger.leaves()) {
        match Leaf::decode(&leaf.bytes).unwrap() {
            Leaf::Recovery(act) => changed += usize::from(life.recover(at, &act).unwrap()),
            own if leaf.record == Some(record) => life.take(at, &own, &NoBases).unwrap(),
            _ => {}
        }
    }
    (life, changed)
}

/// No validator's record names a legal basis.
struct NoBases;

impl Bases for NoBases {
    fn basis(&self, _: &BasisRef) -> Result<Option<BasisDetails>, Refusal> {
        Ok(None)
    }
}

#[test]
fn a_validators_record_follows_from_its_leaves_and_the_act_alone() {
    let (mut city, recovery) = recovered();
    let records = ["v1", "v2", "v3", "v5"].map(|name| entry(&city, name).record);
    // (record, steps, acts among them)
    let lives = [(records[0], 1, 0), (records[1], 2, 1), (records[2], 1, 0), (records[3], 1, 1)];
    for (record, steps, acts) in lives {
        let (life, changed) = replayed(&city, record);
        assert_eq!((life.head(), life.steps(), changed), (Some(&city.head(record)), steps, acts), "{record}");
    }
    // The council goes on from what the act made of it.
    for record in [records[1], records[3]] {
        let version = city.head(record).current.version;
        let suspend =
            Operation::Suspend { record, version, reason: "keys under review".to_owned(), until: None };
        city.send("A1/council1", suspend).unwrap();
        city.countersign("A2/council1", record).unwrap();
        let (life, changed) = replayed(&city, record);
        assert_eq!((life.head(), changed), (Some(&city.head(record)), 1));
    }
    // An act before the newest step is out of order.
    let (mut life, _) = replayed(&city, records[1]);
    let early = RecoveryLeaf { height: recovery.act.height, time_ms: 0, recovery };
    assert_eq!(life.recover(0, &early).unwrap_err().code, Code::LeafMismatch);
}

#[test]
fn an_act_puts_an_end_to_what_waits_and_begins_anew_after_a_revocation() {
    let (mut city, _) = recovered();
    let (waits, revoked) = (entry(&city, "v2").record, entry(&city, "v5").record);
    let suspend =
        Operation::Suspend { record: waits, version: 2, reason: "under review".to_owned(), until: None };
    city.send("A1/council1", suspend).unwrap();
    assert!(city.head(waits).pending.is_some());
    let (reason, effect, note) = (RevokeReason::Ended, Effect::FromNow, String::new());
    let revoke = Operation::Revoke { record: revoked, version: 1, reason, effect, note };
    city.send("A1/council1", revoke).unwrap();
    city.countersign("A2/council1", revoked).unwrap();
    // The second act gives v2 its old keys again, and takes v5 in again.
    let mut validators = next().validators().to_vec();
    validators[1] = details("v2").validator();
    let second = RecoveryAct {
        epoch: Epoch::new(1),
        next: Committee::new(Epoch::new(2), validators).unwrap(),
        ..act(&city)
    };
    let second = signed(second, &["A1", "A2"]);
    let result = run(&city, &header(&city, &second.act), &second).unwrap();
    city.ledger.apply(result);
    let anew = entry(&city, "v5").record;
    assert_eq!((city.head(waits).pending, city.head(waits).current.version), (None, 3));
    assert_ne!(revoked, anew, "a revoked record is not taken up again");
    // (record, acts that changed it)
    for (record, acts) in [(waits, 2), (revoked, 1), (anew, 1)] {
        let (life, changed) = replayed(&city, record);
        assert_eq!((life.head(), changed), (Some(&city.head(record)), acts), "{record}");
    }
}

#[test]
fn f05_an_act_that_does_not_bind_or_a_block_that_does_not_follow_is_not_executed() {
    let city = city();
    let good = act(&city);
    let flaw = |recovery: &SignedRecovery, change: &dyn Fn(&mut BlockHeader)| {
        let mut header = header(&city, &recovery.act);
        change(&mut header);
        run(&city, &header, recovery).err().map_or_else(String::new, |error| error.0)
    };
    let bound = signed(good.clone(), &["A1", "A2"]);
    assert_eq!(flaw(&bound, &|_| {}), "");
    assert!(flaw(&signed(good.clone(), &["A1"]), &|_| {}).contains("1 signatures, needs 2"));
    let strangers = SignedRecovery::new(
        good.clone(),
        ["A1/council1", "A2/council1"].map(|post| good.sign(&secret(post))).to_vec(),
    );
    assert!(flaw(&strangers, &|_| {}).contains("no recovery key"), "the council has no such power");
    let later = RecoveryAct {
        epoch: Epoch::new(1),
        next: Committee::new(Epoch::new(2), next().validators().to_vec()).unwrap(),
        ..good
    };
    assert!(flaw(&signed(later, &["A1", "A2"]), &|_| {}).contains("ends epoch 1, in force is 0"));
    let changes: [(&str, fn(&mut BlockHeader)); 4] = [
        ("a block of the ended epoch", |header| header.epoch = Epoch::ZERO),
        ("on another block", |header| header.parent = Digest::ZERO),
        ("at another height", |header| header.height = Height::new(9)),
        ("with another set", |header| header.validators_hash = Digest::ZERO),
    ];
    for (what, change) in changes {
        assert!(flaw(&bound, &change).contains("does not follow from it"), "{what}");
    }
    // A chain whose genesis names no recovery keys has no such way out.
    let validators = ["v1", "v2", "v3", "v4"].map(details).to_vec();
    let without = City::with(&GenesisState { validators, ..genesis() });
    let bound = signed(act(&without), &["A1", "A2"]);
    assert!(run(&without, &header(&without, &bound.act), &bound).is_err());
    // Once only.
    let (city, recovery) = recovered();
    assert!(run(&city, &header(&city, &recovery.act), &recovery).is_err());
}

#[test]
fn an_act_that_named_the_wrong_machines_is_put_right_by_another_before_any_block() {
    let mut city = city();
    city.effective_licence("1");
    let first = signed(act(&city), &["A1", "N"]);
    let validators = ["v1", "v2", "v5", "v7"].map(|name| details(name).validator()).to_vec();
    let second = RecoveryAct {
        epoch: Epoch::new(1),
        next: Committee::new(Epoch::new(2), validators).unwrap(),
        reason: "v6 never started".to_owned(),
        ..first.act
    };
    let second = signed(second, &["A2", "N"]);
    let header = header(&city, &second.act);
    let block = OrderedBlock { header: &header, batches: Vec::new(), index: Index::None };
    let run = |acts: &[SignedRecovery]| {
        let ledger = &city.ledger;
        execute::execute_recovered_block(ledger, ledger.chain(), ledger.exec_state(), &block, acts)
    };
    let turned = [second.clone(), first.clone()];
    for acts in [&turned[1..], &turned[..1], &turned, &[]] {
        assert!(run(acts).is_err(), "{} acts", acts.len());
    }
    let result = run(&[first, second.clone()]).unwrap();
    let acts = result.leaves.iter().filter(|leaf| matches!(Leaf::decode(&leaf.bytes), Ok(Leaf::Recovery(_))));
    assert_eq!(acts.count(), 2, "both stay in the log");
    city.ledger.apply(result);
    assert_eq!(epoch(&city).current, second.act.next);
}

#[test]
fn two_nodes_that_recover_reach_the_same_state() {
    let ((one, _), (two, _)) = (recovered(), recovered());
    assert_eq!(one.ledger.summary(), two.ledger.summary());
    assert_eq!(one.ledger.leaves(), two.ledger.leaves());
}
