//! What is found in a chain over two epochs.

use chain_core::crypto::Digest;

use super::*;
use crate::datadir::IDENTITY;
use crate::snapshots::tests::{BASE, End, Plan, World};

/// What is wrong with the blocks of a chain that goes on by a plan.
fn flaws(world: &World, plan: &Plan<'_>) -> Vec<(Option<Height>, String)> {
    let (dir, store) = world.consensus(plan);
    drop(store);
    let stores = Stores { consensus: dir.path().to_owned(), ledger: world.data.ledger() };
    let trust = Trust {
        chain_id: world.chain_id,
        committee: &world.first,
        recovery_keys: Some(&world.recovery_keys),
    };
    let report = examine(&stores, &trust, |_| Ok(()));
    let of_blocks = report.findings.into_iter().filter(|one| one.store == "consensus");
    of_blocks.map(|one| (one.block, one.refusal.detail)).collect()
}

#[test]
fn what_another_release_wrote_is_not_called_damaged() {
    let world = World::new(End::Closed);
    assert_eq!(flaw_of_identity(&world.data), Ok(None), "a copy without it");
    let file = world.data.path().join(IDENTITY);
    std::fs::write(&file, r#"{"format": 1, "chain_id": "another form"}"#).unwrap();
    assert_eq!(flaw_of_identity(&world.data).map_err(|refusal| refusal.code), Err(Code::StoreFormat));
    std::fs::write(&file, "{").unwrap();
    let flaw = flaw_of_identity(&world.data).unwrap().unwrap();
    assert_eq!(flaw.code, Code::StorageCorrupt);
}

#[test]
fn the_first_block_of_an_epoch_follows_the_last_one_of_the_epoch_before() {
    for end in [End::Closed, End::Act] {
        let world = World::new(end);
        assert_eq!(flaws(&world, &Plan::default()), Vec::new(), "{end:?}");
        let first = Height::new(BASE + 1);
        let astray = Plan {
            change: &|header| {
                if header.height == first {
                    header.parent = Digest::tagged(b"another block", &[]);
                }
            },
            ..Plan::default()
        };
        let found = flaws(&world, &astray);
        let wanted = (Some(first), format!("block {first} does not follow block {BASE}"));
        assert!(found.contains(&wanted), "{end:?}: {found:?}");
    }
}
