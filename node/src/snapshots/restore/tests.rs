//! A restoring that is cut off after any of its steps leaves a ledger that the next start opens.

use super::*;
use crate::restoring::settle;
use crate::snapshots::tests::{BASE, End, NEWEST, Plan, World};
use crate::snapshots::verify::{Trust, verify};
use crate::storage::ledger::LedgerStore;
use chain_core::code::Code;
use chain_core::id::Height;

/// The height of the ledger, opened as a node opens it.
fn ledger(data: &DataDir) -> Option<u64> {
    if !data.ledger().exists() {
        return None;
    }
    let store = LedgerStore::open(&data.ledger()).unwrap();
    let height = store.snapshot().unwrap().height().get();
    Some(height)
}

fn folders(data: &DataDir) -> Vec<String> {
    let names =
        fs::read_dir(data.path()).unwrap().map(|one| one.unwrap().file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("ledger")).collect();
    names.sort();
    names
}

/// Puts the snapshot back and is cut off once a step is reached.
fn cut_off(world: &World, at: Step) {
    let mut crash = |step| {
        if step == at { Err(Refusal::new(Code::Internal, "a crash")) } else { Ok(()) }
    };
    put_back(&world.data, &world.snapshot(), &mut crash).unwrap_err();
}

#[test]
fn whatever_step_a_crash_follows_the_old_ledger_or_the_new_one_is_there() {
    // (cut off after, whether a ledger was there, height that the next start finds)
    for (step, there, found) in [
        (Step::Copying, true, Some(NEWEST)),
        (Step::Copied, true, Some(BASE)),
        (Step::SetAside("ledger"), true, Some(BASE)),
        (Step::Placed("ledger"), true, Some(BASE)),
        (Step::Done, true, Some(BASE)),
        (Step::Copying, false, None),
        (Step::Copied, false, Some(BASE)),
        (Step::Placed("ledger"), false, Some(BASE)),
        (Step::Done, false, Some(BASE)),
    ] {
        let world = World::new(End::Closed);
        if !there {
            fs::remove_dir_all(world.data.ledger()).unwrap();
        }
        cut_off(&world, step);
        settle(&world.data).unwrap();
        assert_eq!(ledger(&world.data), found, "{step:?}, {there}");
        for left in ["restoring", "restored"] {
            assert!(!world.data.path().join(left).exists(), "{step:?}: {left}");
        }
        // Told again, it is done.
        let put = put_back(&world.data, &world.snapshot(), &mut |_| Ok(())).unwrap();
        assert_eq!(put.set_aside.is_some(), found.is_some(), "{step:?}");
        assert_eq!(ledger(&world.data), Some(BASE), "{step:?}");
    }
}

#[test]
fn a_restoring_cut_off_twice_is_still_resolved() {
    let world = World::new(End::Closed);
    for step in [Step::Copied, Step::Copying, Step::SetAside("ledger")] {
        cut_off(&world, step);
    }
    assert_eq!(settle(&world.data), Ok(true));
    assert_eq!(settle(&world.data), Ok(false));
    assert_eq!(ledger(&world.data), Some(BASE));
}

#[test]
fn the_ledger_that_was_there_is_set_aside_and_the_snapshot_stays_whole() {
    let world = World::new(End::Closed);
    let (_dir, consensus) = world.consensus(&Plan::default());
    for number in 1..=2 {
        let put = put_back(&world.data, &world.snapshot(), &mut |_| Ok(())).unwrap();
        let aside = world.data.path().join(format!("ledger-set-aside-{number}"));
        assert_eq!(put.set_aside, Some(aside));
        assert!(put.linked > 0 && put.copied >= 2, "{put:?}");
        // The ledger goes on: what it writes, compacts and deletes is not the snapshot's.
        let store = LedgerStore::open(&world.data.ledger()).unwrap();
        store.set_chain(b"another chain").unwrap();
        drop(store);
    }
    assert_eq!(folders(&world.data), ["ledger", "ledger-set-aside-1", "ledger-set-aside-2"]);
    let trust = Trust { chain_id: world.chain_id, committee: &world.first, recovery_keys: None };
    let report = verify(&world.snapshot(), Height::new(BASE), &consensus, &trust).unwrap();
    assert!(report.is_certified());
}
