//! An audit that was interrupted and went on says what an uninterrupted one says, whatever the block; and a file that was
//! altered is refused.

use std::time::Duration;

use chain_core::api::RawBlock;

use super::*;
use crate::commands::auditor::audit::report::Report;
use crate::commands::auditor::audit::sample::{Chain, genesis};
use crate::commands::auditor::audit::verify::{Plan, Stopped, Verified, verify};

fn plan(from: u64, sizes: &[u64]) -> Plan {
    Plan { jobs: 2, from: Height::new(from), to: None, sizes: sizes.to_vec() }
}

/// What a report says of a verdict, the time that it took aside.
fn document(chain: &Chain, verified: &Verified) -> String {
    let mut report = Report::new(&chain.genesis, 1);
    report.sets(&chain.sets);
    report.verified(verified, Duration::from_secs(1));
    report.document().unwrap()
}

fn whole(chain: &Chain, sizes: &[u64]) -> String {
    let mut walk = Walk::new(&chain.genesis, &chain.sets, false, sizes).unwrap();
    let blocks = chain.blocks.iter().cloned().map(Ok);
    let verified =
        verify(&chain.genesis, &chain.sets, &mut walk, &plan(1, sizes), blocks, |_| Ok(())).unwrap();
    document(chain, &verified) + &format!("{:?} {:?}", verified.roots, verified.newest)
}

/// Verifies the blocks from where a walk stands, until one block is verified or they are lost; gives what is then saved.
fn broken_off(
    chain: &Chain,
    mut walk: Walk<'_>,
    blocks: Vec<CliResult<RawBlock>>,
    stop_at: Option<u64>,
) -> Vec<u8> {
    let from = walk.height().map_or(1, |height| height.get() + 1);
    let stopped = verify(
        &chain.genesis,
        &chain.sets,
        &mut walk,
        &plan(from, &[]),
        blocks.into_iter(),
        |walk| match walk.height().map(Height::get) == stop_at {
            true => Err(CliError::new(Code::Interrupted, "Ctrl-C")),
            false => Ok(()),
        },
    );
    assert!(matches!(stopped, Err(Stopped::Failed(_))), "{stopped:?}");
    walk.saved(7).unwrap().unwrap()
}

fn went_on(chain: &Chain, bytes: &[u8], sizes: &[u64]) -> String {
    let saved = Saved::parse(bytes).unwrap();
    assert_eq!(saved.took_ms(), 7);
    let (height, digest) = saved.newest();
    let at = usize::try_from(height.get()).unwrap();
    assert_eq!(chain.blocks[at - 1].header.digest(), digest);
    let mut walk = Walk::resumed(&chain.genesis, &chain.sets, saved, sizes).unwrap();
    // Only what is new is given.
    let blocks = chain.blocks[at..].iter().cloned().map(Ok);
    let plan = plan(height.get() + 1, sizes);
    let verified = verify(&chain.genesis, &chain.sets, &mut walk, &plan, blocks, |_| Ok(())).unwrap();
    document(chain, &verified) + &format!("{:?} {:?}", verified.roots, verified.newest)
}

fn chains() -> Vec<(&'static str, Chain)> {
    vec![
        ("sample", Chain::sample()),
        ("two epochs", Chain::two_epochs(false)),
        ("two epochs and a suffix", Chain::two_epochs(true)),
        ("recovered", Chain::recovered(1)),
        ("recovered twice", Chain::recovered(2)),
        ("decided", Chain::decided().0),
    ]
}

#[test]
fn an_audit_that_goes_on_says_what_an_uninterrupted_one_says() {
    for (name, chain) in chains() {
        let size = chain.ledger.summary().log_size;
        // The whole log, its length after block 3, and one at which no block ends.
        let mut some = Walk::new(&chain.genesis, &chain.sets, false, &[]).unwrap();
        let first = chain.blocks.iter().take(4).cloned().map(Ok);
        verify(&chain.genesis, &chain.sets, &mut some, &plan(1, &[]), first, |_| Ok(())).unwrap();
        let sizes = [size, some.log().unwrap().0, 3];
        let want = whole(&chain, &sizes);
        assert!(want.contains("\"PASS\""), "{want}");
        let start = || Walk::new(&chain.genesis, &chain.sets, false, &[]).unwrap();
        let blocks = || chain.blocks.iter().cloned().map(Ok).collect::<Vec<_>>();
        for at in 1..=chain.blocks.len() {
            let interrupted = broken_off(&chain, start(), blocks(), Some(at as u64));
            assert_eq!(went_on(&chain, &interrupted, &sizes), want, "{name}: Ctrl-C after block {at}");
            let mut lost = blocks();
            lost.truncate(at);
            lost.push(Err(CliError::new(Code::Unreachable, "no node")));
            let lost = broken_off(&chain, start(), lost, None);
            assert_eq!(went_on(&chain, &lost, &sizes), want, "{name}: connection lost after block {at}");
        }
        // Broken off after every single block.
        let mut bytes = broken_off(&chain, start(), blocks(), Some(1));
        for at in 2..=chain.blocks.len() {
            let saved = Saved::parse(&bytes[..]).unwrap();
            let walk = Walk::resumed(&chain.genesis, &chain.sets, saved, &[]).unwrap();
            bytes = broken_off(&chain, walk, blocks().split_off(at - 1), Some(at as u64));
        }
        assert_eq!(went_on(&chain, &bytes, &sizes), want, "{name}: broken off after every block");
    }
}

#[test]
fn what_was_in_doubt_stays_in_doubt() {
    // The node claims another root for block 6; block 7, which certifies it, comes after the interruption.
    let mut chain = Chain::sample();
    chain.blocks[5].exec_root = Digest::ZERO;
    let start = Walk::new(&chain.genesis, &chain.sets, false, &[]).unwrap();
    let blocks = chain.blocks.iter().cloned().map(Ok).collect();
    let bytes = broken_off(&chain, start, blocks, Some(6));
    let saved = Saved::parse(&bytes[..]).unwrap();
    let mut walk = Walk::resumed(&chain.genesis, &chain.sets, saved, &[]).unwrap();
    let rest = chain.blocks[6..].iter().cloned().map(Ok);
    match verify(&chain.genesis, &chain.sets, &mut walk, &plan(7, &[]), rest, |_| Ok(())) {
        Err(Stopped::Found(finding, _)) => assert_eq!(finding.refusal.code, Code::StateMismatch),
        other => panic!("{other:?}"),
    }
}

fn remembered() -> (Chain, Vec<u8>) {
    let chain = Chain::sample();
    let start = Walk::new(&chain.genesis, &chain.sets, false, &[]).unwrap();
    let blocks = chain.blocks.iter().cloned().map(Ok).collect();
    let bytes = broken_off(&chain, start, blocks, Some(4));
    (chain, bytes)
}

#[test]
fn a_file_that_was_altered_is_refused() {
    let (chain, bytes) = remembered();
    Saved::parse(&bytes[..]).unwrap();
    for at in (0..bytes.len()).step_by(61) {
        let mut altered = bytes.clone();
        altered[at] ^= 1;
        assert!(Saved::parse(&altered[..]).is_err(), "byte {at}");
        assert!(Saved::parse(&bytes[..at]).is_err(), "{at} bytes");
    }
    assert!(Saved::parse(&[&bytes[..], &[0]].concat()[..]).is_err());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.state");
    assert!(Saved::read(&path, &chain.genesis).unwrap().is_none(), "there is none yet");
    std::fs::write(&path, &bytes).unwrap();
    assert!(Saved::read(&path, &chain.genesis).unwrap().is_some());
    let other = Saved::read(&path, &genesis("2026-11-24T00:00:00Z")).unwrap_err();
    assert_eq!(other.code(), Code::GenesisMismatch);
    std::fs::write(&path, &bytes[1..]).unwrap();
    let refused = Saved::read(&path, &chain.genesis).unwrap_err();
    assert_eq!(refused.code(), Code::StorageCorrupt);
}

#[test]
fn a_state_that_does_not_lead_to_its_root_is_refused_whatever_its_digest() {
    let (chain, bytes) = remembered();
    let lies: [fn(&mut Saved); 4] = [
        |saved| drop(saved.state.pop_first()),
        |saved| {
            let mut first = saved.state.first_entry().unwrap();
            first.get_mut().push(0);
        },
        |saved| saved.position.summary.state_root = Digest::ZERO,
        |saved| saved.position.log = Frontier::default(),
    ];
    for (at, lie) in lies.into_iter().enumerate() {
        let mut saved = Saved::parse(&bytes[..]).unwrap();
        lie(&mut saved);
        let refused = Walk::resumed(&chain.genesis, &chain.sets, saved, &[]).unwrap_err();
        assert_eq!(refused.code(), Code::StorageCorrupt, "lie {at}");
    }
    // An epoch that no hand-over leads to.
    let mut saved = Saved::parse(&bytes[..]).unwrap();
    saved.position.epoch = Epoch::new(9);
    let refused = Walk::resumed(&chain.genesis, &chain.sets, saved, &[]).unwrap_err();
    assert_eq!(refused.code(), Code::UnknownSigner);
}
