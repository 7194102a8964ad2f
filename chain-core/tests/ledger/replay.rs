//! The same blocks give the same ledger: on every machine, and after bodies were erased.

use chain_core::execute::Outcome;
use chain_core::leaf::{LEAF_BYTES_MAX, Leaf};
use chain_core::merkle;
use chain_core::transaction::Submission;
use serde_json::json;

use crate::city::{City, instant, licence, penalty, penalty_with};

/// Blocks with good and bad rows, an all-or-nothing transaction, approvals and the passing of time.
fn story(city: &mut City) -> Vec<(u64, Vec<Submission>)> {
    let filed = |filed: chain_core::build::Filed| {
        let (operation, body, _) = filed.submit();
        (operation, body)
    };
    let good = filed(penalty("1"));
    let record = good.0.record();
    let bad = filed(penalty_with("2", |body| body["fine"]["minor"] = json!(-5)));
    let digest = good.0.header().unwrap().digest();
    let countersign = |post: &str, city: &mut City| {
        let operation =
            chain_core::operation::Operation::Countersign { record, version: 1, header_digest: digest };
        city.sign(post, vec![(operation, None)])
    };
    city.at("2026-05-06T09:00:00+08:00");
    let first = city.sign("A1/clerk1", vec![good, bad.clone(), filed(licence("3"))]);
    let atomic = chain_core::build::submission(
        crate::city::chain().chain_id,
        &crate::city::secret("A1/clerk1"),
        city.time_ms + 5,
        true,
        vec![filed(licence("4")), bad],
    );
    let second = vec![countersign("A1/clerk2", city), countersign("A1/supervisor1", city)];
    vec![
        (city.time_ms, vec![first, atomic]),
        (city.time_ms + 1, second),
        (city.time_ms + 2, Vec::new()),
        (instant("2027-05-07"), Vec::new()),
    ]
}

fn erase(submissions: &[Submission]) -> Vec<Submission> {
    let mut erased = submissions.to_vec();
    for submission in &mut erased {
        submission.bodies.iter_mut().for_each(|body| *body = None);
    }
    erased
}

#[test]
fn two_validators_reach_the_same_roots_at_every_height() {
    let (mut one, mut two) = (City::new(), City::new());
    let story = story(&mut City::new());
    for (time_ms, submissions) in &story {
        (one.time_ms, two.time_ms) = (*time_ms, *time_ms);
        let outcomes = one.block(submissions.clone());
        assert_eq!(outcomes, two.block(submissions.clone()));
        assert_eq!(one.ledger.summary(), two.ledger.summary());
    }
}

/// A refusal leaves nothing in the log or the state, and a header may pass over its height: later roots must differ.
#[test]
fn the_root_of_a_height_covers_what_was_refused_below_it() {
    let (mut one, mut two) = (City::new(), City::new());
    for (city, fine) in [(&mut one, -5), (&mut two, -6)] {
        let bad = penalty_with("1", |body| body["fine"]["minor"] = json!(fine));
        city.submit("A1/clerk1", bad).unwrap_err();
    }
    for _ in 0..3 {
        let (first, second) = (one.ledger.summary(), two.ledger.summary());
        assert_eq!((first.log_root, first.state_root), (second.log_root, second.state_root));
        assert_ne!(first.root(), second.root());
        assert!(one.block(Vec::new()).is_empty() && two.block(Vec::new()).is_empty());
        assert_eq!(one.ledger.summary().outcomes_root, two.ledger.summary().outcomes_root);
    }
}

#[test]
fn replay_without_bodies_takes_the_recorded_outcomes() {
    let (mut first, mut replay) = (City::new(), City::new());
    for (time_ms, submissions) in &story(&mut City::new()) {
        (first.time_ms, replay.time_ms) = (*time_ms, *time_ms);
        let outcomes: Vec<Outcome> = first.block(submissions.clone());
        let again = replay.block_with(erase(submissions), Some(&outcomes));
        assert_eq!(outcomes, again);
        assert_eq!(first.ledger.summary(), replay.ledger.summary());
    }
    assert_eq!(first.ledger.leaves(), replay.ledger.leaves());
}

#[test]
fn replay_without_bodies_or_outcomes_is_another_ledger() {
    let (mut first, mut replay) = (City::new(), City::new());
    for (time_ms, submissions) in &story(&mut City::new()) {
        (first.time_ms, replay.time_ms) = (*time_ms, *time_ms);
        first.block(submissions.clone());
        replay.block(erase(submissions));
    }
    assert_ne!(first.ledger.summary(), replay.ledger.summary());
}

#[test]
fn every_leaf_decodes_to_what_it_was_made_from_and_leads_to_the_root() {
    let mut city = City::new();
    for (time_ms, submissions) in story(&mut City::new()) {
        city.time_ms = time_ms;
        city.block(submissions);
    }
    let leaves = city.ledger.leaves();
    for leaf in leaves {
        let decoded = Leaf::decode(&leaf.bytes).unwrap();
        assert_eq!(chain_core::layout::Layout::to_canonical(&decoded), leaf.bytes);
        assert_eq!(decoded.record(), leaf.record);
        assert!(leaf.bytes.len() <= LEAF_BYTES_MAX);
        assert!(decoded.to_json().is_object());
        for cut in 0..leaf.bytes.len() {
            assert!(Leaf::decode(&leaf.bytes[..cut]).is_err(), "{cut}");
        }
    }
    let root = merkle::root(leaves.iter().map(|leaf| &leaf.bytes));
    assert_eq!(root, city.ledger.summary().log_root);
    assert_eq!(leaves.len() as u64, city.ledger.summary().log_size);
}

#[test]
fn headers_are_digested_as_they_stand_in_the_leaf() {
    let mut city = City::new();
    let record = city.effective_licence("1");
    let head = city.head(record);
    let at = usize::try_from(head.current.leaf_index).unwrap();
    let leaf = Leaf::decode(&city.ledger.leaves()[at].bytes).unwrap();
    assert_eq!(leaf.header().unwrap().digest(), head.current.header_digest);
    assert_eq!(leaf.header().unwrap(), &licence("1").header);
}

#[test]
fn a_seal_follows_the_leaves_of_a_block_and_only_those() {
    let mut city = City::new();
    let size = city.ledger.summary().log_size;
    city.tick("2026-05-06T09:00:01+08:00");
    assert_eq!(city.ledger.summary().log_size, size);
    city.submit("A1/clerk1", licence("1")).unwrap();
    let header = city.header();
    assert_eq!(city.ledger.summary().log_size, size + 2);
    let Leaf::Seal(seal) = Leaf::decode(&city.ledger.leaves().last().unwrap().bytes).unwrap() else {
        panic!("the last leaf is no seal");
    };
    assert_eq!(seal.height, city.ledger.height());
    assert_eq!(seal.state_root, city.ledger.summary().state_root);
    assert_eq!(seal.epoch, header.epoch);
    let before = *city.ledger.summary();
    city.tick("2026-05-06T09:00:02+08:00");
    let after = *city.ledger.summary();
    assert_eq!((before.log_root, before.state_root), (after.log_root, after.state_root));
}
