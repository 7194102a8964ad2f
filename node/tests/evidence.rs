//! A validator signs two batches for one position of its lane: the others prove it, file it once, and order
//! nothing more from that lane.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use chain_core::api::{EvidenceView, Stage};
use chain_core::code::Code;
use chain_core::codec::encode;
use chain_core::crypto::Digest;
use chain_core::evidence::OffenceKind;
use chain_core::execute::Verdict;
use chain_core::id::{Epoch, Height, ValidatorIx};
use chain_core::lane::{BatchHeader, SignedBatchHeader};
use chain_core::receipt::Receipt;
use chain_core::transaction::{Batch, Submission, payload_root};
use chain_core::trust::TrustPolicy;
use city_node::driver::batches::payload_bytes;
use city_node::handle::ReceiptForm;
use city_node::link::Frame;
use common::{City, licence, secret};

/// The validator that the test plays.
const LIAR: usize = 3;

/// A batch of the liar's lane.
fn batch(city: &City, seq: u64, prev: Digest, submission: Submission) -> Batch {
    let header = BatchHeader {
        chain_id: city.genesis.chain_id(),
        epoch: Epoch::ZERO,
        author: ValidatorIx::new(3),
        seq,
        prev,
        payload_root: payload_root([&submission.signed.transaction.id()]),
        bytes: payload_bytes(&submission).unwrap(),
        count: 1,
        time_ms: 0,
    };
    let signature = secret(1, LIAR).sign(&header);
    Batch { signed: SignedBatchHeader { header, signature }, submissions: vec![submission] }
}

fn push(city: &City, batch: &Batch) {
    let bytes: Arc<[u8]> = encode(batch).unwrap().into();
    for honest in 0..3 {
        city.whisper(LIAR, honest, Frame::Batch(bytes.clone()));
    }
}

fn evidence(city: &City, ix: usize) -> Vec<EvidenceView> {
    city.node(ix).evidence(None, 10).unwrap().items
}

/// Outcomes of accusations at a node, over all blocks: how many took effect, and how many came too late.
fn accusations(city: &City, ix: usize) -> (usize, usize) {
    let node = city.node(ix);
    let mut found = (0, 0);
    let mut from = Height::new(1);
    loop {
        let blocks = node.raw_blocks(from, 64).unwrap();
        let Some(last) = blocks.last() else { return found };
        from = last.header.height.next();
        for block in &blocks {
            for outcome in &block.outcomes {
                match &outcome.verdict {
                    Verdict::Refused(refusal) if refusal.code == Code::EvidenceKnown => found.1 += 1,
                    Verdict::Accepted { record, .. }
                        if evidence(city, ix).iter().any(|one| one.entry.record == *record) =>
                    {
                        found.0 += 1;
                    }
                    _ => {}
                }
            }
        }
    }
}

#[test]
fn a_forked_lane_is_proven_filed_once_and_frozen_also_after_a_restart() {
    let mut city = City::new();
    (0..3).for_each(|ix| city.start(ix));
    city.until("three vote", |city| (0..3).all(|ix| city.node(ix).status().voting));
    let [one, two, later] = ["one", "two", "later"].map(|number| licence(&city.genesis, LIAR, number));
    let first = batch(&city, 0, Digest::ZERO, one);
    let rival = batch(&city, 0, Digest::ZERO, two);
    push(&city, &first);
    push(&city, &rival);
    city.until("the proof is recorded", |city| (0..3).all(|ix| !evidence(city, ix).is_empty()));

    // Everybody's turn to file has come and gone: it is there once.
    std::thread::sleep(Duration::from_secs(5));
    let found = evidence(&city, 0);
    assert_eq!(found.len(), 1, "{found:?}");
    let EvidenceView { entry, evidence: proof } = &found[0];
    assert_eq!((entry.offence.kind, entry.name.as_str()), (OffenceKind::Lane, "v3"));
    assert_eq!(entry.key, secret(1, LIAR).public());
    assert_eq!(proof.verify_by_key(city.genesis.chain_id(), &entry.key), Ok(entry.offence));
    let (accepted, late) = accusations(&city, 1);
    assert_eq!(accepted, 1);
    assert!(late <= 1, "usually one files; {late} came too late");

    // Shown where people look, with a receipt that needs no node.
    let offenders = city.node(2).validators().unwrap().offenders;
    assert_eq!(offenders.len(), 1, "{offenders:?}");
    assert_eq!((offenders[0].name.as_str(), offenders[0].offences), ("v3", 1));
    let policy = TrustPolicy::from_genesis(&city.genesis);
    city.until("a receipt", |city| city.node(0).receipt(entry.record, None, ReceiptForm::Bundle).is_ok());
    let receipt = city.node(0).receipt(entry.record, None, ReceiptForm::Bundle).unwrap();
    Receipt::parse(std::str::from_utf8(&receipt).unwrap()).unwrap().verify(&policy, None).unwrap();
    let sum = |name: &str| -> f64 {
        let all = (0..3).flat_map(|ix| city.node(ix).metrics());
        all.filter(|one| one.name == name).map(|one| one.value).sum()
    };
    assert!((sum("offences_proven") - 3.0).abs() < 0.1, "each of the three proved it");
    assert!(sum("evidence_filed") >= 1.0);

    // Nothing more is ordered from the lane, whichever of the two it goes on from, also after a restart.
    let tx = later.signed.transaction.id();
    let goes_on = |prev: &Batch| batch(&city, 1, prev.signed.header.digest(), later.clone());
    let (on_first, on_rival) = (goes_on(&first), goes_on(&rival));
    let ignored = |city: &City| {
        push(city, &on_first);
        push(city, &on_rival);
        std::thread::sleep(Duration::from_secs(2));
        (0..3).all(|ix| city.node(ix).transaction(tx).unwrap().stage == Stage::Unknown)
    };
    assert!(ignored(&city), "the lane is frozen");
    for ix in 0..3 {
        city.stop(ix);
        city.start(ix);
    }
    city.until("three vote again", |city| (0..3).all(|ix| city.node(ix).status().voting));
    assert!(ignored(&city), "the lane is still frozen");
    // The others' lanes go on.
    let tx = city.node(0).submit(licence(&city.genesis, 0, "after")).unwrap();
    assert_eq!(city.executed(1, tx).stage, Stage::Executed);
    assert_eq!(evidence(&city, 1).len(), 1);
}
