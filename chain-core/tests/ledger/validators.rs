//! How validators come, change keys, move and go, and when the set of the next epoch is settled.

use chain_core::block::{Flags, Header as BlockHeader};
use chain_core::build;
use chain_core::code::Code;
use chain_core::committee::Committee;
use chain_core::crypto::{Digest, Signature};
use chain_core::execute::{self, GenesisState, LedgerRead as _, OrderedBlock, ReadError};
use chain_core::genesis::ValidatorSecrets;
use chain_core::id::{ChainId, Epoch, Height, RecordId};
use chain_core::layout::Layout;
use chain_core::leaf::Leaf;
use chain_core::ledger::MemoryLedger;
use chain_core::operation::{AmendReason, Effect, Operation, RevokeReason};
use chain_core::record::validator::{READY_AHEAD_MS_MAX, READY_MS, Ready, ValidatorDetails};
use chain_core::record::{Details, Header};
use chain_core::state::{AgencyEntry, EpochEntry, ReadyEntry, ValidatorEntry, key, tree};
use chain_core::subject::Index;
use chain_core::transaction::Submission;

use crate::city::{Accepted, City, DEDUPE_KEY, agency, chain, genesis, member_details, secret, verdict};
use crate::state_tree::Versions;

/// The agency that runs a validator.
fn home(name: &str) -> &'static str {
    ["A1", "A2", "N"][name.bytes().map(usize::from).sum::<usize>() % 3]
}

/// A validator of an agency under its first, second, ... keys.
fn details_at(name: &str, home: &str, generation: u8) -> ValidatorDetails {
    let key = |role: &str| secret(&format!("{name}/{role}{generation}"));
    let (consensus, network, log) = (key("consensus"), key("network"), key("log"));
    let secrets = ValidatorSecrets { consensus: &consensus, network: &network, log: &log };
    ValidatorDetails::prove(chain().chain_id, name, &agency(home), "/ip4/10.0.0.1/tcp/7101", secrets)
}

fn details_of(name: &str, generation: u8) -> ValidatorDetails {
    details_at(name, home(name), generation)
}

fn details(name: &str) -> ValidatorDetails {
    details_of(name, 1)
}

fn name(number: usize) -> String {
    format!("v{number:03}")
}

pub(crate) fn genesis_of(validators: usize) -> GenesisState {
    let validators = (1..=validators).map(|number| details(&name(number))).collect();
    GenesisState { validators, ..genesis() }
}

fn city_of(validators: usize) -> City {
    City::with(&genesis_of(validators))
}

fn epoch(city: &City) -> EpochEntry {
    execute::epoch(&city.ledger).unwrap().unwrap()
}

fn names(committee: &Committee) -> Vec<&str> {
    committee.validators().iter().map(|one| one.name.as_str()).collect()
}

/// Names of the settled set, or nothing.
fn next_names(city: &City) -> Vec<String> {
    let scheduled = epoch(city).scheduled;
    scheduled.map_or(Vec::new(), |one| names(&one.next).into_iter().map(str::to_owned).collect())
}

fn entry(city: &City, name: &str) -> ValidatorEntry {
    ValidatorEntry::from_canonical(&city.ledger.get(&key::validator(name)).unwrap().unwrap()).unwrap()
}

fn add(details: ValidatorDetails, key: &str) -> Operation {
    let details = Details::Validator(Box::new(details));
    Operation::Submit(Box::new(build::governance_header(
        chain().chain_id,
        &agency("A1"),
        DEDUPE_KEY,
        key,
        1,
        details,
    )))
}

/// The header in effect with other content, as the next version.
fn amend(city: &City, record: RecordId, details: ValidatorDetails) -> Operation {
    let version = city.head(record).current.version;
    let old = city.ledger.get(&key::governance(&record, version)).unwrap().unwrap();
    let details = Details::Validator(Box::new(details));
    let header = Header { version: version + 1, details, ..Header::from_canonical(&old).unwrap() };
    Operation::Amend { header: Box::new(header), reason: AmendReason::ChangeOnApplication }
}

fn revoke(city: &City, record: RecordId) -> Operation {
    Operation::Revoke {
        record,
        version: city.head(record).current.version,
        reason: RevokeReason::Ended,
        effect: Effect::FromNow,
        note: String::new(),
    }
}

/// Proposed by one council member and approved by another.
fn agree(city: &mut City, operation: Operation) -> Result<RecordId, Code> {
    let record = city.send("A1/council1", operation)?.record;
    city.countersign("A2/council1", record).map(|done| done.record)
}

/// What a validator signs to say that it is ready under its keys of a generation, at block time.
fn ready_of(city: &City, name: &str, generation: u8) -> Operation {
    let known = entry(city, name);
    let preimage = Ready {
        chain_id: chain().chain_id,
        epoch: epoch(city).current.epoch(),
        record: known.record,
        version: known.version,
        consensus_key: secret(&format!("{name}/consensus{generation}")).public(),
        time_ms: city.time_ms,
    };
    sign_ready(&format!("{name}/consensus{generation}"), &preimage)
}

fn sign_ready(post: &str, preimage: &Ready) -> Operation {
    let Ready { record, version, time_ms, .. } = *preimage;
    Operation::Ready { record, version, time_ms, signature: secret(post).sign(preimage) }
}

/// Handed in by the auditor or a clerk of the validator's agency.
fn ready(city: &mut City, name: &str, generation: u8) -> Result<Accepted, Code> {
    let operation = ready_of(city, name, generation);
    city.send(&format!("{}/clerk1", home(name)), operation)
}

/// The header that would close the epoch now.
fn closing(city: &City) -> BlockHeader {
    let epoch = epoch(city);
    BlockHeader {
        epoch: epoch.current.epoch(),
        flags: Flags::CLOSING.with(Flags::SEAL),
        n_batches: 0,
        validators_hash: epoch.current.hash(),
        next_validators_hash: epoch.scheduled.map_or(Digest::ZERO, |scheduled| scheduled.next.hash()),
        ..city.header()
    }
}

fn close(city: &mut City) -> Result<(), ReadError> {
    let header = closing(city);
    city.execute(&header, Vec::new(), None).map(drop)
}

/// Signs one operation for each post, to be sent in one block.
fn signed(city: &mut City, operations: Vec<(&str, Operation)>) -> Vec<Submission> {
    operations.into_iter().map(|(post, operation)| city.sign(post, vec![(operation, None)])).collect()
}

/// Approvals by one council member of what others proposed, in one block.
fn approve_all(city: &mut City, records: &[RecordId]) -> Vec<Result<Accepted, Code>> {
    let approvals = records.iter().map(|&record| {
        let head = city.head(record);
        let (version, header_digest) = match (&head.pending, &head.next) {
            (Some(pending), _) => (head.current.version, pending.digest),
            (None, Some(next)) => (next.version, next.header_digest),
            (None, None) => (head.current.version, head.current.header_digest),
        };
        ("A2/council1", Operation::Countersign { record, version, header_digest })
    });
    let approvals = approvals.collect();
    let submissions = signed(city, approvals);
    city.block(submissions).iter().map(|outcome| verdict(outcome).map_err(|refusal| refusal.code)).collect()
}

#[test]
fn genesis_lays_its_validators_down_under_the_state_root() {
    let city = city_of(4);
    let epoch = epoch(&city);
    assert_eq!(names(&epoch.current), ["v001", "v002", "v003", "v004"]);
    assert_eq!(epoch.current.epoch(), Epoch::ZERO);
    assert_eq!((epoch.base_height, epoch.base_digest), (Height::ZERO, *chain().chain_id.digest()));
    assert_eq!((epoch.scheduled.is_some(), epoch.changes), (false, 0));
    assert!(key::is_in_tree(&key::epoch()) && key::is_in_tree(&key::validator("v001")));
    let known = entry(&city, "v001");
    assert_eq!(known.validator, details("v001").validator());
    assert_eq!(city.status(known.record), "effective");
    let other = City::with(&GenesisState {
        validators: (1..=4).map(|at| details_of(&name(at), 2)).collect(),
        ..genesis()
    });
    assert_ne!(city.ledger.summary().state_root, other.ledger.summary().state_root);
    // Without validators there is no set, and nothing makes one.
    let mut bare = City::new();
    assert_eq!(execute::epoch(&bare.ledger).unwrap(), None);
    assert_eq!(bare.send("A1/council1", add(details("v001"), "x")), Err(Code::BadState));
    for bad in [1, 3, 101] {
        assert!(MemoryLedger::new(chain(), &genesis_of(bad)).is_err(), "{bad} validators");
    }
}

#[test]
fn a_validator_joins_when_the_council_agrees_and_it_is_ready() {
    let mut city = city_of(4);
    let record = city.send("A1/council1", add(details("v005"), "v005")).unwrap().record;
    for post in ["A1/admin1", "A1/clerk1"] {
        assert_eq!(city.send(post, add(details("v006"), "v006")), Err(Code::RoleNotAllowed), "{post}");
        assert_eq!(city.countersign(post, record), Err(Code::RoleNotAllowed), "{post}");
    }
    assert_eq!(city.countersign("A1/council1", record), Err(Code::SamePerson));
    assert_eq!(epoch(&city).changes, 0, "one of the council is not enough");
    city.countersign("N/council1", record).unwrap();
    assert_eq!(epoch(&city).changes, 1);
    assert_eq!(epoch(&city).scheduled, None, "it has not said that it is ready");
    let before = city.ledger.height();
    ready(&mut city, "v005", 1).unwrap();
    let scheduled = epoch(&city).scheduled.unwrap();
    assert_eq!(scheduled.height, before.next());
    assert_eq!(names(&scheduled.next), ["v001", "v002", "v003", "v004", "v005"]);
    assert_eq!(scheduled.next.epoch(), Epoch::new(1));
    assert_eq!(epoch(&city).current.size(), 4, "the set in force stays till the epoch's end");
    city.tick("2026-05-06T10:00:00+08:00");
    assert_eq!(epoch(&city).scheduled, Some(scheduled.clone()), "settled is settled");
    let header = closing(&city);
    close(&mut city).unwrap();
    let after = epoch(&city);
    assert_eq!(after.current, scheduled.next);
    assert_eq!((after.base_height, after.base_digest), (header.height, header.digest()));
    assert_eq!(after.scheduled, None);
}

#[test]
fn the_block_that_settles_the_next_set_says_so() {
    let mut city = city_of(4);
    agree(&mut city, add(details("v005"), "v005")).unwrap();
    let operation = ready_of(&city, "v005", 1);
    let submission = city.sign("A1/council1", vec![(operation, None)]);
    let header = city.header();
    let batch = crate::city::batch(vec![submission]);
    let ordered = execute::OrderedBatch { batch: &batch, signatures_ok: &[true], recorded: None };
    let block = OrderedBlock { header: &header, batches: vec![ordered], index: Index::None };
    let run = |city: &City| {
        execute::execute_block(&city.ledger, city.ledger.chain(), city.ledger.exec_state(), &block).unwrap()
    };
    let (result, again) = (run(&city), run(&city));
    assert_eq!(result.scheduled.as_ref().map(|next| names(next).len()), Some(5));
    assert_eq!(
        (&again.scheduled, again.summary, &again.state),
        (&result.scheduled, result.summary, &result.state)
    );
    city.ledger.apply(result);
    assert_eq!(next_names(&city).len(), 5);
}

#[test]
fn a_validator_leaves() {
    let mut city = city_of(5);
    let record = entry(&city, "v002").record;
    let operation = revoke(&city, record);
    agree(&mut city, operation).unwrap();
    assert_eq!(next_names(&city), ["v001", "v003", "v004", "v005"]);
    assert!(epoch(&city).names.contains(&"v002".to_owned()));
    close(&mut city).unwrap();
    assert_eq!(names(&epoch(&city).current), ["v001", "v003", "v004", "v005"]);
    assert!(!entry(&city, "v002").is_wanted());
    assert_eq!(city.status(record), "revoked");
}

/// Otherwise the newest sealed state, which proofs are of, would still be that of the epoch before.
#[test]
fn an_epoch_that_begins_is_sealed_though_it_leaves_nothing_else_in_the_log() {
    let mut city = city_of(5);
    let record = entry(&city, "v002").record;
    let operation = revoke(&city, record);
    agree(&mut city, operation).unwrap();
    let before = *city.ledger.summary();
    close(&mut city).unwrap();
    let after = *city.ledger.summary();
    assert_ne!(after.state_root, before.state_root);
    assert_eq!(after.log_size, before.log_size + 1);
    let Leaf::Seal(seal) = Leaf::decode(&city.ledger.leaves().last().unwrap().bytes).unwrap() else {
        panic!("the last leaf is no seal");
    };
    assert_eq!((seal.height, seal.state_root), (city.ledger.height(), after.state_root));
}

#[test]
fn at_the_smallest_size_one_leaves_only_as_another_joins() {
    let mut city = city_of(4);
    let leaver = entry(&city, "v001").record;
    let operation = revoke(&city, leaver);
    assert_eq!(city.send("A1/council1", operation.clone()), Err(Code::ValidatorSetSize));
    agree(&mut city, add(details("v005"), "v005")).unwrap();
    agree(&mut city, operation).unwrap();
    assert_eq!(epoch(&city).scheduled, None, "three would be too few");
    ready(&mut city, "v005", 1).unwrap();
    assert_eq!(next_names(&city), ["v002", "v003", "v004", "v005"]);
}

#[test]
fn a_removal_that_waits_holds_up_nothing_else() {
    let mut city = city_of(4);
    agree(&mut city, add(details("v005"), "v005")).unwrap();
    let operation = revoke(&city, entry(&city, "v001").record);
    agree(&mut city, operation).unwrap();
    let barred = ValidatorDetails { may_lead: false, ..details("v002") };
    let operation = amend(&city, entry(&city, "v002").record, barred.clone());
    agree(&mut city, operation).unwrap();
    let next = epoch(&city).scheduled.unwrap().next;
    assert_eq!((next.size(), &next.validators()[1]), (4, &barred.validator()));
}

#[test]
fn too_few_are_refused_again_when_the_last_approval_comes() {
    let mut city = city_of(5);
    let records = ["v001", "v002"].map(|name| entry(&city, name).record);
    for record in records {
        let operation = revoke(&city, record);
        city.send("A1/council1", operation).unwrap();
    }
    city.countersign("A2/council1", records[0]).unwrap();
    assert_eq!(city.countersign("A2/council1", records[1]), Err(Code::ValidatorSetSize));
    assert_eq!(city.status(records[1]), "effective");
    let suspend = Operation::Suspend { record: records[1], version: 1, until: None, reason: "x".to_owned() };
    assert_eq!(city.send("N/council1", suspend), Err(Code::ValidatorSetSize));
    assert_eq!(next_names(&city), ["v002", "v003", "v004", "v005"]);
}

#[test]
fn a_hundred_and_first_is_refused_at_both_times() {
    let mut city = city_of(99);
    let records =
        ["v100", "v101"].map(|name| city.send("A1/council1", add(details(name), name)).unwrap().record);
    city.countersign("A2/council1", records[0]).unwrap();
    assert_eq!(city.countersign("A2/council1", records[1]), Err(Code::ValidatorSetSize));
    assert_eq!(city.send("A1/council1", add(details("v102"), "v102")), Err(Code::ValidatorSetSize));
    ready(&mut city, "v100", 1).unwrap();
    assert_eq!(next_names(&city).len(), 100);
}

#[test]
fn new_keys_wait_for_the_word_of_the_new_key() {
    let mut city = city_of(4);
    let record = entry(&city, "v003").record;
    let operation = amend(&city, record, details_of("v003", 2));
    agree(&mut city, operation).unwrap();
    assert_eq!(epoch(&city).scheduled, None);
    let old = ready_of(&city, "v003", 1);
    assert_eq!(city.send("A1/council1", old), Err(Code::BadSignature));
    ready(&mut city, "v003", 2).unwrap();
    let next = epoch(&city).scheduled.unwrap().next;
    assert_eq!(next.validators()[2], details_of("v003", 2).validator());
    assert_eq!(next.size(), 4);
    close(&mut city).unwrap();
    assert_eq!(epoch(&city).current.validators()[2], details_of("v003", 2).validator());
    // Back to the first keys, in one more change.
    let operation = amend(&city, record, details_of("v003", 1));
    agree(&mut city, operation).unwrap();
    ready(&mut city, "v003", 1).unwrap();
    assert_eq!(epoch(&city).scheduled.unwrap().next.validators()[2], details("v003").validator());
}

#[test]
fn one_changed_key_of_three_is_new_keys() {
    for role in 0..3 {
        let mut city = city_of(4);
        let record = entry(&city, "v003").record;
        let (mut changed, other) = (details("v003"), details_of("v003", 2));
        let generation = if role == 0 { 2 } else { 1 };
        match role {
            0 => changed.consensus_key = other.consensus_key,
            1 => changed.network_key = other.network_key,
            _ => changed.log_key = other.log_key,
        }
        let operation = amend(&city, record, changed.clone());
        agree(&mut city, operation).unwrap();
        assert_eq!(epoch(&city).scheduled, None, "role {role}");
        ready(&mut city, "v003", generation).unwrap();
        assert_eq!(epoch(&city).scheduled.unwrap().next.validators()[2], changed.validator(), "role {role}");
    }
}

#[test]
fn moving_and_being_barred_from_leading_wait_for_nobody() {
    let mut city = city_of(4);
    let record = entry(&city, "v001").record;
    let moved = ValidatorDetails { address: "/ip6/2001:db8::1/tcp/7102".to_owned(), ..details("v001") };
    let operation = amend(&city, record, moved.clone());
    agree(&mut city, operation).unwrap();
    assert_eq!(epoch(&city).scheduled.unwrap().next.validators()[0], moved.validator());
    close(&mut city).unwrap();
    let barred = ValidatorDetails { may_lead: false, ..moved };
    let operation = amend(&city, record, barred);
    agree(&mut city, operation).unwrap();
    let next = epoch(&city).scheduled.unwrap().next;
    assert_eq!(next.leaders().len(), 3);
    assert_eq!(next.epoch(), Epoch::new(2));
}

#[test]
fn an_amendment_keeps_name_and_agency_and_any_of_the_council_proposes_it() {
    let mut city = city_of(4);
    let record = entry(&city, "v001").record;
    let elsewhere = if home("v001") == "N" { "A1" } else { "N" };
    for other in [details("v009"), details_at("v009", home("v001"), 1), details_at("v001", elsewhere, 1)] {
        let operation = amend(&city, record, other);
        assert_eq!(city.send("A1/council1", operation), Err(Code::NotAmendable));
    }
    let barred = ValidatorDetails { may_lead: false, ..details("v001") };
    let operation = amend(&city, record, barred);
    assert_eq!(city.send("A1/admin1", operation.clone()), Err(Code::RoleNotAllowed));
    for post in ["A1", "A2", "N"] {
        let mut town = city_of(4);
        assert!(town.send(&format!("{post}/council1"), operation.clone()).is_ok(), "{post}");
    }
}

#[test]
fn what_comes_after_the_set_is_settled_waits_for_the_next_epoch() {
    let mut city = city_of(6);
    for name in ["v001", "v002"] {
        let operation = revoke(&city, entry(&city, name).record);
        agree(&mut city, operation).unwrap();
    }
    assert_eq!(next_names(&city), ["v002", "v003", "v004", "v005", "v006"]);
    let before = city.ledger.height();
    close(&mut city).unwrap();
    // Settled by the closing block itself, for the epoch after the one that begins.
    let scheduled = epoch(&city).scheduled.unwrap();
    assert_eq!((scheduled.height, scheduled.next.epoch()), (before.next(), Epoch::new(2)));
    assert_eq!(names(&scheduled.next), ["v003", "v004", "v005", "v006"]);
    close(&mut city).unwrap();
    assert_eq!(names(&epoch(&city).current), ["v003", "v004", "v005", "v006"]);
}

#[test]
fn no_more_than_f_members_leave_and_no_more_than_f_join_in_one_epoch() {
    // (validators, most that leave or join): max(1, f).
    for (n, most) in [(9, 2), (10, 3), (13, 4), (7, 2)] {
        let mut city = city_of(n);
        let leaving: Vec<RecordId> = (1..=n - 4).map(|at| entry(&city, &name(at)).record).collect();
        for &record in &leaving {
            let operation = revoke(&city, record);
            city.send("A1/council1", operation).unwrap();
        }
        assert!(approve_all(&mut city, &leaving).iter().all(Result::is_ok), "n={n}");
        assert_eq!(next_names(&city).len(), n - most, "n={n}: those approved first leave first");
        assert_eq!(next_names(&city)[0], name(most + 1), "n={n}");

        let mut city = city_of(n);
        let joining: Vec<String> = (n + 1..=n + most + 2).map(name).collect();
        for name in &joining {
            agree(&mut city, add(details(name), name)).unwrap();
        }
        let words = joining.iter().map(|name| ("A1/council1", ready_of(&city, name, 1))).collect();
        let submissions = signed(&mut city, words);
        city.block(submissions);
        assert_eq!(next_names(&city).len(), n + most, "n={n}");
        assert_eq!(next_names(&city)[n..], joining[..most], "n={n}: those approved first join first");
        close(&mut city).unwrap();
        assert_eq!(epoch(&city).scheduled, None, "a word of the epoch before counts no longer");
        ready(&mut city, &joining[most], 1).unwrap();
        assert_eq!(next_names(&city).len(), n + most + 1, "n={n}");
    }
}

#[test]
fn changed_keys_and_removals_share_one_limit() {
    let mut city = city_of(5);
    let records = ["v001", "v002"].map(|name| entry(&city, name).record);
    let operations = [amend(&city, records[0], details_of("v001", 2)), revoke(&city, records[1])];
    for operation in operations {
        city.send("A1/council1", operation).unwrap();
    }
    assert!(approve_all(&mut city, &records).iter().all(Result::is_ok));
    // The changed keys come first in order, but are not ready: the removal takes the one place.
    assert_eq!(next_names(&city), ["v001", "v003", "v004", "v005"]);
    assert_eq!(ready(&mut city, "v001", 2), Err(Code::ReadyNotNeeded));
    close(&mut city).unwrap();
    ready(&mut city, "v001", 2).unwrap();
    assert_eq!(epoch(&city).scheduled.unwrap().next.validators()[0], details_of("v001", 2).validator());
}

#[test]
fn a_word_counts_for_ten_minutes_for_its_epoch_version_and_key() {
    let mut city = city_of(4);
    let record = agree(&mut city, add(details("v005"), "v005")).unwrap();
    let good = Ready {
        chain_id: chain().chain_id,
        epoch: Epoch::ZERO,
        record,
        version: 1,
        consensus_key: secret("v005/consensus1").public(),
        time_ms: city.time_ms,
    };
    let now = city.time_ms;
    for time_ms in [now - READY_MS - 1, now + READY_AHEAD_MS_MAX + 1, 0, u64::MAX] {
        let stale = sign_ready("v005/consensus1", &Ready { time_ms, ..good });
        assert_eq!(city.send("A1/council1", stale), Err(Code::ReadyStale), "{time_ms} at {now}");
    }
    for bad in [
        Ready { epoch: Epoch::new(1), ..good },
        Ready { chain_id: ChainId::new(Digest::ZERO), ..good },
        Ready { consensus_key: secret("v004/consensus1").public(), ..good },
    ] {
        let operation = sign_ready("v005/consensus1", &bad);
        assert_eq!(city.send("A1/council1", operation), Err(Code::BadSignature), "{bad:?}");
    }
    let Operation::Ready { signature, .. } = sign_ready("v005/consensus1", &good) else { unreachable!() };
    let moved = Operation::Ready { record, version: 1, time_ms: now + 1, signature };
    assert_eq!(city.send("A1/council1", moved), Err(Code::BadSignature));
    let later = sign_ready("v005/consensus1", &Ready { version: 2, ..good });
    assert_eq!(city.send("A1/council1", later), Err(Code::VersionConflict));
    let by = |post: &str, city: &mut City| city.send(post, sign_ready("v005/consensus1", &good));
    let stranger = ["A1", "A2", "N"].into_iter().find(|name| *name != home("v005")).unwrap();
    assert_eq!(by(&format!("{stranger}/clerk1"), &mut city), Err(Code::AgencyNotCompetent));
    assert!(by("N/council1", &mut city).is_ok());

    for (time_ms, ready) in [(now - READY_MS, true), (now + READY_AHEAD_MS_MAX, true)] {
        let mut town = city_of(4);
        agree(&mut town, add(details("v005"), "v005")).unwrap();
        let word = sign_ready("v005/consensus1", &Ready { time_ms, ..good });
        assert_eq!(town.send("A1/council1", word).is_ok(), ready, "{time_ms} at {now}");
        assert_eq!(next_names(&town).len(), 5);
    }
    let known = ValidatorEntry {
        ready: Some(ReadyEntry { epoch: Epoch::new(3), time_ms: now }),
        ..entry(&city, "v005")
    };
    assert!(known.is_ready(Epoch::new(3), now + READY_MS));
    assert!(!known.is_ready(Epoch::new(3), now + READY_MS + 1));
    assert!(!known.is_ready(Epoch::new(4), now));
}

#[test]
fn a_word_that_nobody_waits_for_is_refused() {
    let mut city = city_of(5);
    assert_eq!(ready(&mut city, "v001", 1), Err(Code::ReadyNotNeeded));
    let licence = city.effective_licence("1");
    let signature = Signature::ZERO;
    let odd = Operation::Ready { record: licence, version: 1, time_ms: city.time_ms, signature };
    assert_eq!(city.send("A1/council1", odd), Err(Code::BadState));
    let nothing = Operation::Ready { record: RecordId::new(Digest::ZERO), version: 1, time_ms: 0, signature };
    assert_eq!(city.send("A1/council1", nothing), Err(Code::RecordNotFound));
    let filed = city.send("A1/council1", add(details("v006"), "v006")).unwrap().record;
    let early = Operation::Ready { record: filed, version: 1, time_ms: city.time_ms, signature };
    assert_eq!(city.send("A1/council1", early), Err(Code::BadState));
}

#[test]
fn removed_and_added_again() {
    let mut city = city_of(5);
    let first = entry(&city, "v002").record;
    let operation = revoke(&city, first);
    agree(&mut city, operation).unwrap();
    // Wanted back before it has left: the settled set stands, the next one takes it in again.
    let second = agree(&mut city, add(details("v002"), "again")).unwrap();
    assert_ne!(first, second);
    assert_eq!(next_names(&city), ["v001", "v003", "v004", "v005"]);
    assert_eq!(city.send("A1/council1", add(details("v002"), "thrice")), Err(Code::AlreadyExists));
    close(&mut city).unwrap();
    assert_eq!(epoch(&city).scheduled, None, "it must be ready like any other");
    ready(&mut city, "v002", 1).unwrap();
    close(&mut city).unwrap();
    assert_eq!(epoch(&city).current.size(), 5);
    // The first record is past and governs nothing.
    let operation = revoke(&city, first);
    assert_eq!(city.send("A1/council1", operation), Err(Code::BadState));
    assert_eq!(entry(&city, "v002").record, second);
}

#[test]
fn the_tree_forgets_the_sets_that_the_state_forgets() {
    let mut city = city_of(7);
    for name in ["v002", "v003", "v004"] {
        let operation = revoke(&city, entry(&city, name).record);
        agree(&mut city, operation).unwrap();
        close(&mut city).unwrap();
        let all = city.ledger.range(&[0], &[0xff], 1_000).unwrap();
        let writes: Vec<_> = all.into_iter().map(|(key, value)| (key, Some(value))).collect();
        let root = Versions::default().update(tree::entries(&writes));
        assert_eq!(root, city.ledger.summary().state_root, "after {name} left");
    }
}

#[test]
fn removed_and_added_in_one_block_changes_nothing() {
    let mut city = city_of(5);
    let first = entry(&city, "v002").record;
    let operation = revoke(&city, first);
    city.send("A1/council1", operation).unwrap();
    let digest = city.head(first).pending.unwrap().digest;
    let again = add(details("v002"), "again");
    let header = again.header().unwrap().clone();
    let approve = |record, header_digest| Operation::Countersign { record, version: 1, header_digest };
    let operations = vec![
        ("A2/council1", approve(first, digest)),
        ("A1/council1", again),
        ("N/council1", approve(header.record, header.digest())),
    ];
    let submissions = signed(&mut city, operations);
    assert!(city.block(submissions).iter().all(|outcome| verdict(outcome).is_ok()));
    assert_eq!(epoch(&city).scheduled, None);
    assert_eq!(entry(&city, "v002").record, header.record);
}

#[test]
fn a_suspended_validator_sits_out_and_comes_back_ready() {
    let mut city = city_of(5);
    let record = entry(&city, "v004").record;
    let suspend = Operation::Suspend { record, version: 1, until: None, reason: "inquiry".to_owned() };
    agree(&mut city, suspend).unwrap();
    close(&mut city).unwrap();
    assert_eq!(names(&epoch(&city).current), ["v001", "v002", "v003", "v005"]);
    assert_eq!(ready(&mut city, "v004", 1), Err(Code::BadState));
    // Its name and keys stay its own.
    assert_eq!(city.send("A1/council1", add(details("v004"), "x")), Err(Code::AlreadyExists));
    let mut twin = details("v006");
    twin.log_key = details("v004").log_key;
    assert_eq!(city.send("A1/council1", add(twin, "y")), Err(Code::BadParameter));
    agree(&mut city, Operation::Resume { record, version: 1 }).unwrap();
    assert_eq!(epoch(&city).scheduled, None);
    ready(&mut city, "v004", 1).unwrap();
    assert_eq!(next_names(&city).len(), 5);
}

#[test]
fn a_key_serves_one_validator_and_no_member() {
    let mut city = city_of(4);
    let with = |validator: &str, key: &str| {
        let key = secret(key);
        let other = secret("other/network");
        let secrets = ValidatorSecrets { consensus: &key, network: &other, log: &secret("other/log") };
        let home = agency(home(validator));
        ValidatorDetails::prove(chain().chain_id, validator, &home, "/ip4/10.0.0.1/tcp/7101", secrets)
    };
    for taken in ["v002/consensus1", "v002/network1", "v002/log1", "A1/clerk1"] {
        assert_eq!(city.send("A1/council1", add(with("v005", taken), taken)), Err(Code::KeyInUse), "{taken}");
        let operation = amend(&city, entry(&city, "v001").record, with("v001", taken));
        assert_eq!(city.send("A1/council1", operation), Err(Code::KeyInUse), "{taken}");
    }
    // Two proposals with one key: the second finds it taken when the last approval comes.
    let records = ["v005", "v006"]
        .map(|name| city.send("A1/council1", add(with(name, "shared"), name)).unwrap().record);
    city.countersign("A2/council1", records[0]).unwrap();
    assert_eq!(city.countersign("A2/council1", records[1]), Err(Code::KeyInUse));
    // Nor does a validator's key become a member's.
    let mut member = member_details("A1", "clerk4");
    member.key.key = secret("v002/log1").public();
    member.key.possession =
        chain_core::record::governance::Possession::prove(chain().chain_id, &secret("v002/log1"));
    let details = Details::Member(Box::new(member));
    let header = build::governance_header(chain().chain_id, &agency("A1"), DEDUPE_KEY, "m", 1, details);
    assert_eq!(city.send("A1/admin1", Operation::Submit(Box::new(header))), Err(Code::KeyInUse));
}

#[test]
fn f02_a_proposal_out_of_bounds_is_refused_at_the_door() {
    let mut city = city_of(4);
    let good = details("v005");
    let other = details("v006");
    let foreign = {
        let key = secret("v005/consensus1");
        let secrets = ValidatorSecrets { consensus: &key, network: &secret("n"), log: &secret("l") };
        ValidatorDetails::prove(ChainId::new(Digest::ZERO), "v005", &good.agency, &good.address, secrets)
    };
    let mut swapped = good.clone();
    std::mem::swap(&mut swapped.network_key, &mut swapped.log_key);
    let twice = {
        let key = secret("v005/consensus1");
        let secrets = ValidatorSecrets { consensus: &key, network: &secret("n"), log: &secret("n") };
        ValidatorDetails::prove(chain().chain_id, "v005", &good.agency, &good.address, secrets)
    };
    let mut weak = good.clone();
    let mut identity = [0; 32];
    identity[0] = 1;
    weak.log_key.key = chain_core::crypto::PublicKey::new(identity);
    let cases = [
        ("a name with a capital", details_at("V005", "A1", 1), Code::BadParameter),
        ("no name", details_at("", "A1", 1), Code::MissingField),
        ("a long name", details_at(&"a".repeat(41), "A1", 1), Code::SizeLimit),
        ("another's name", ValidatorDetails { name: "v006".to_owned(), ..good.clone() }, Code::BadParameter),
        (
            "another's agency",
            ValidatorDetails { agency: agency("A2"), ..details("v004") },
            Code::BadParameter,
        ),
        (
            "no port",
            ValidatorDetails { address: "/ip4/10.0.0.1".to_owned(), ..good.clone() },
            Code::BadParameter,
        ),
        ("a long address", ValidatorDetails { address: "/".repeat(257), ..good.clone() }, Code::SizeLimit),
        ("another's key", ValidatorDetails { log_key: other.log_key, ..good.clone() }, Code::BadParameter),
        ("one key twice", twice, Code::BadParameter),
        ("keys in each other's place", swapped, Code::BadParameter),
        ("a weak key", weak.clone(), Code::BadParameter),
        ("proofs for another chain", foreign, Code::BadParameter),
    ];
    let lower = GenesisState { validators: vec![weak], ..genesis_of(4) };
    assert!(
        MemoryLedger::new(chain(), &lower).unwrap_err().detail.contains("log key"),
        "a weak key in a genesis"
    );
    for (what, details, code) in cases {
        assert_eq!(city.send("A1/council1", add(details, what)), Err(code), "{what}");
    }
    let unknown = {
        let key = secret("v005/consensus1");
        let secrets = ValidatorSecrets { consensus: &key, network: &secret("n"), log: &secret("l") };
        ValidatorDetails::prove(chain().chain_id, "v005", &agency("X"), &good.address, secrets)
    };
    assert_eq!(city.send("A1/council1", add(unknown, "unknown agency")), Err(Code::UnknownAgency));
    assert!(city.send("A1/council1", add(good, "good")).is_ok());
}

#[test]
fn no_validator_of_an_agency_that_is_out_of_force_is_added() {
    let mut city = city_of(4);
    let stands = details_at("v005", "N", 1);
    let early = city.send("A1/council1", add(stands, "early")).unwrap().record;
    let bytes = city.ledger.get(&key::agency(&agency("N"))).unwrap().unwrap();
    let record = AgencyEntry::from_canonical(&bytes).unwrap().record;
    let suspend = Operation::Suspend { record, version: 1, until: None, reason: "inquiry".to_owned() };
    agree(&mut city, suspend).unwrap();
    assert_eq!(city.send("A1/council1", add(details_at("v006", "N", 1), "late")), Err(Code::AgencySuspended));
    assert_eq!(city.countersign("A2/council1", early), Err(Code::AgencySuspended));
    agree(&mut city, Operation::Resume { record, version: 1 }).unwrap();
    city.countersign("A2/council1", early).unwrap();
}

#[test]
fn a_closing_block_hands_over_to_the_settled_set_or_is_not_executed() {
    let mut city = city_of(5);
    assert!(close(&mut city).is_err(), "nothing is settled");
    let operation = revoke(&city, entry(&city, "v001").record);
    agree(&mut city, operation).unwrap();
    let before = *city.ledger.summary();
    let header = BlockHeader { next_validators_hash: Digest::ZERO, ..closing(&city) };
    assert!(city.execute(&header, Vec::new(), None).is_err(), "another set");
    assert_eq!(*city.ledger.summary(), before);
    assert!(close(&mut city).is_ok());
    assert!(close(&mut city).is_err(), "closed twice");
}

#[test]
fn a_change_that_was_taken_back_leaves_no_trace() {
    let mut city = city_of(5);
    let record = entry(&city, "v001").record;
    let operation = revoke(&city, record);
    city.send("A1/council1", operation).unwrap();
    let digest = city.head(record).pending.unwrap().digest;
    let approve = Operation::Countersign { record, version: 1, header_digest: digest };
    let absent = Operation::Withdraw { record: RecordId::new(Digest::ZERO), version: 1 };
    let valid_until_ms = city.time_ms + 1_000;
    let submission = build::submission(
        chain().chain_id,
        &secret("A2/council1"),
        valid_until_ms,
        true,
        vec![(approve, None), (absent, None)],
    );
    let before = epoch(&city);
    assert!(city.block(vec![submission]).iter().all(|outcome| verdict(outcome).is_err()));
    assert_eq!(epoch(&city), before);
    assert_eq!(entry(&city, "v001").order, 0);
}

/// Anything the council may do to validators, at random, in a city of few names. False when it was refused.
fn step(city: &mut City, random: &mut impl FnMut(u64) -> u64) -> bool {
    let validator = name(usize::try_from(random(9)).unwrap() + 1);
    let generation = u8::try_from(random(2)).unwrap() + 1;
    let known = city.ledger.get(&key::validator(&validator)).unwrap();
    let known = known.map(|bytes| ValidatorEntry::from_canonical(&bytes).unwrap());
    city.time_ms += random(400_000);
    match (random(8), known) {
        (0, _) | (_, None) => {
            let operation = add(details_of(&validator, generation), &city.time_ms.to_string());
            agree(city, operation).is_ok()
        }
        (1 | 2, Some(known)) => {
            let operation = revoke(city, known.record);
            agree(city, operation).is_ok()
        }
        (3, Some(known)) => {
            let operation = amend(city, known.record, details_of(&validator, generation));
            agree(city, operation).is_ok()
        }
        (4, Some(known)) => {
            let version = known.version;
            let operation = match random(2) {
                0 => Operation::Resume { record: known.record, version },
                _ => {
                    Operation::Suspend { record: known.record, version, until: None, reason: "x".to_owned() }
                }
            };
            agree(city, operation).is_ok()
        }
        (5, Some(_)) if epoch(city).scheduled.is_some() => close(city).is_ok(),
        _ => ready(city, &validator, generation).is_ok(),
    }
}

#[test]
fn whatever_the_council_does_the_set_stays_sound_and_the_same_everywhere() {
    for seed in 0..12 {
        let (mut one, mut two) = (city_of(5), city_of(5));
        let randoms = || {
            let mut state = seed;
            move |below: u64| {
                state = u64::from_be_bytes(
                    Digest::tagged(b"walk", &[&u64::to_be_bytes(state)]).as_bytes()[..8].try_into().unwrap(),
                );
                state % below
            }
        };
        let (mut first, mut second) = (randoms(), randoms());
        let mut changes = 0;
        for at in 0..150 {
            let before = epoch(&one);
            assert_eq!(step(&mut one, &mut first), step(&mut two, &mut second), "seed {seed}, step {at}");
            assert_eq!(one.ledger.summary(), two.ledger.summary(), "seed {seed}, step {at}");
            let after = epoch(&one);
            if let (Some(was), Some(is)) = (&before.scheduled, &after.scheduled)
                && before.current == after.current
            {
                assert_eq!(was, is, "seed {seed}, step {at}: a settled set changed");
            }
            if before.current != after.current {
                changes += 1;
                assert_eq!(Some(&after.current), before.scheduled.as_ref().map(|one| &one.next));
                assert_eq!(after.current.epoch(), before.current.epoch().next());
                let stays = |set: &Committee, other: &Committee| {
                    let same = |one| other.validators().iter().any(|two| two == one);
                    set.validators().iter().filter(|one| same(*one)).count()
                };
                let limit = before.current.faults().max(1);
                assert!(
                    before.current.size() - stays(&before.current, &after.current) <= limit,
                    "seed {seed}"
                );
                assert!(
                    after.current.size() - stays(&after.current, &before.current) <= 2 * limit,
                    "seed {seed}"
                );
            }
            assert!(after.names.len() <= 9 && after.names.is_sorted(), "seed {seed}: {:?}", after.names);
        }
        assert!(changes >= 3, "seed {seed}: only {changes} epochs");
    }
}
