//! The store and the sender against a ledger that keeps the rules of a stream and loses answers.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chain_core::crypto::Digest;
use chain_core::id::{Height, TxId};
use chain_core::layout::Layout as _;
use chain_core::leaf::SignedLeaf;
use chain_core::operation::Operation;
use chain_core::record::Details;
use chain_core::record::governance::Role;
use chain_core::state::{Flags, Status};
use serde_json::json;

use super::*;
use crate::gateway::store::tests::{all_readings, chain, key, open, reading};

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fault {
    None,
    /// The request is lost.
    Lost,
    /// It is carried out, and the answer is lost.
    Unheard,
}

/// A ledger of one stream.
struct Fake {
    /// Records by id, with the header that was filed.
    records: BTreeMap<RecordId, (Header, Vec<u8>)>,
    last: (u64, Digest),
    /// Bytes that were sent for each record.
    seen: BTreeMap<RecordId, Vec<Vec<u8>>>,
    refusal: Option<Refusal>,
}

struct Faulty {
    fake: Mutex<Fake>,
    fault: Mutex<Box<dyn FnMut() -> Fault + Send>>,
}

impl Faulty {
    fn new(fault: impl FnMut() -> Fault + Send + 'static) -> Self {
        let fake =
            Fake { records: BTreeMap::new(), last: (0, Digest::ZERO), seen: BTreeMap::new(), refusal: None };
        Self { fake: Mutex::new(fake), fault: Mutex::new(Box::new(fault)) }
    }

    fn fault(&self) -> Fault {
        (self.fault.lock().unwrap())()
    }
}

fn lost() -> CliError {
    CliError::new(Code::Unreachable, "lost")
}

impl Ledger for Faulty {
    fn chain_id(&self) -> ChainId {
        chain()
    }

    fn validity_ms(&self) -> u64 {
        1_000_000
    }

    fn file(&self, submission: &Submission) -> CliResult<Verdict> {
        let fault = self.fault();
        let mut fake = self.fake.lock().unwrap();
        let operation = submission.signed.transaction.operations[0].clone();
        let header = operation.header().unwrap().clone();
        fake.seen.entry(header.record).or_default().push(codec::encode(submission).unwrap());
        if fault == Fault::Lost {
            return Err(lost());
        }
        if let Some(refusal) = &fake.refusal {
            return Ok(Verdict::Refused(refusal.clone()));
        }
        let Details::Batch(batch) = &header.details else { panic!("a batch") };
        let known = fake.records.get(&header.record).map(|(known, _)| known.digest());
        let duplicate = known == Some(header.digest());
        if !duplicate {
            assert_eq!(known, None, "other content under one number");
            assert_eq!((batch.seq, batch.prev), (fake.last.0 + 1, fake.last.1), "the chain of batches");
            fake.last = (batch.seq, batch.digest());
            let leaf = leaf(submission, operation);
            fake.records.insert(header.record, (header.clone(), leaf));
        }
        if fault == Fault::Unheard {
            return Err(lost());
        }
        Ok(Verdict::Accepted { record: header.record, version: 1, leaf_index: 0, duplicate })
    }

    fn receipt(&self, record: &RecordId) -> CliResult<Vec<u8>> {
        if self.fault() != Fault::None {
            return Err(lost());
        }
        let fake = self.fake.lock().unwrap();
        let (_, leaf) = fake
            .records
            .get(record)
            .ok_or_else(|| CliError::new(Code::RecordNotFound, record.to_string()))?;
        Ok(bundle(record, leaf))
    }
}

fn leaf(submission: &Submission, operation: Operation) -> Vec<u8> {
    let tx: TxId = submission.signed.transaction.id();
    Leaf::Signed(Box::new(SignedLeaf {
        height: Height::new(1),
        time_ms: 1,
        tx,
        operation_index: 0,
        author: key().public(),
        agency: "uscc:11320100MAXP23YC3L".parse().unwrap(),
        role: Role::Device,
        version: 1,
        status: Status::Effective,
        flags: Flags::NONE,
        operation,
    }))
    .to_canonical()
}

fn bundle(record: &RecordId, leaf: &[u8]) -> Vec<u8> {
    json!({
        "schema": "city/v1/receipt", "chain_id": chain(), "epoch": 0, "record": record, "version": 1,
        "leaf": STANDARD.encode(leaf), "decoded": null,
        "inclusion": { "index": 0, "size": 1, "hashes": [] }, "checkpoint": "", "validators": [],
    })
    .to_string()
    .into_bytes()
}

/// A sequence that a seed decides (Knuth's multiplier for 64 bits).
fn random(seed: u64) -> impl FnMut(u64) -> u64 {
    let state = Cell::new(seed);
    move |below| {
        state
            .set(state.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
        (state.get() >> 33) % below
    }
}

/// Readings in and out of order, doubled and late ones; windows sealed at any time; requests and answers lost; the gateway killed
/// and started anywhere in between. In the end the ledger has every reading that was acknowledged as new, once, and nothing else.
#[test]
fn whatever_is_lost_on_the_way_every_reading_is_in_the_ledger_once() {
    for seed in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let mut faults = random(seed + 1_000);
        let ledger = Faulty::new(move || match faults(4) {
            0 => Fault::Lost,
            1 => Fault::Unheard,
            _ => Fault::None,
        });
        let mut chance = random(seed);
        let mut store = Mutex::new(open(dir.path(), 7));
        let (mut taken, mut now) = (Vec::new(), 1_000_u64);
        for _ in 0..300 {
            now += chance(50);
            match chance(10) {
                0..5 => {
                    let time = (now / 4).saturating_sub(chance(8));
                    let sent = [reading(0, time, i64::try_from(chance(3)).unwrap())];
                    let answer = lock(&store).take(&sent, now).unwrap();
                    if answer == [crate::gateway::store::Taken::New] {
                        taken.push(sent[0].reading);
                    }
                }
                5 => lock(&store).seal_due(now, chance(2) == 0).unwrap(),
                6..9 => {
                    let _ = step(&store, &ledger, &key(), 0, now);
                }
                _ => {
                    drop(store);
                    store = Mutex::new(open(dir.path(), 7));
                }
            }
        }
        lock(&store).seal_due(now, true).unwrap();
        *ledger.fault.lock().unwrap() = Box::new(|| Fault::None);
        while step(&store, &ledger, &key(), 0, now).unwrap() != Step::Idle {}
        let store = lock(&store);
        let standing = store.standing(0).unwrap();
        assert_eq!((standing.waiting, standing.open), (0, 0), "seed {seed}");
        assert_eq!(standing.tally.taken, taken.len() as u64, "seed {seed}");
        taken.sort_by_key(|one| (one.time_ms, one.value));
        let fake = ledger.fake.lock().unwrap();
        assert_eq!(fake.records.len() as u64, standing.sealed, "seed {seed}");
        assert_eq!(all_readings(&store, 0), taken, "seed {seed}");
        for (record, sent) in &fake.seen {
            assert!(
                sent.iter().all(|bytes| *bytes == sent[0]),
                "seed {seed}: {record} was sent in other bytes"
            );
        }
    }
}

#[test]
fn a_transaction_is_signed_anew_only_when_its_time_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let store = Mutex::new(open(dir.path(), 1));
    lock(&store).take(&[reading(0, 1, 1)], 1).unwrap();
    let ledger = Faulty::new(|| Fault::Lost);
    for now in [0, 1_000, 900_000, 950_000, 1_000_000] {
        step(&store, &ledger, &key(), 0, now).unwrap_err();
    }
    let fake = ledger.fake.lock().unwrap();
    let sent = fake.seen.values().next().unwrap();
    let same: Vec<bool> = sent.windows(2).map(|pair| pair[0] == pair[1]).collect();
    assert_eq!(same, [true, true, false, true], "valid for 1,000 s, not sent in its last 60");
}

#[test]
fn a_refused_batch_holds_the_stream_and_another_under_its_number_is_never_taken_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Mutex::new(open(dir.path(), 1));
    lock(&store).take(&[reading(0, 1, 1), reading(0, 2, 1)], 10).unwrap();
    let ledger = Faulty::new(|| Fault::None);
    ledger.fake.lock().unwrap().refusal = Some(Refusal::new(Code::DeviceNotInForce, "x"));
    let held = step(&store, &ledger, &key(), 0, 10).unwrap();
    assert!(matches!(held, Step::Held { seq: 1, ref refusal } if refusal.code == Code::DeviceNotInForce));
    assert_eq!(step(&store, &ledger, &key(), 0, 10).unwrap(), Step::Idle);
    drop(store);
    // A store put back from an old copy: the ledger has other batches under these numbers.
    let other = tempfile::tempdir().unwrap();
    let stranger = Mutex::new(open(other.path(), 1));
    lock(&stranger).take(&[reading(0, 7, 7)], 10).unwrap();
    ledger.fake.lock().unwrap().refusal = None;
    assert_eq!(step(&stranger, &ledger, &key(), 0, 10).unwrap(), Step::Confirmed { seq: 1 });
    ledger.fake.lock().unwrap().refusal = Some(Refusal::new(Code::SeqReplay, "x"));
    let store = Mutex::new(open(dir.path(), 1));
    let held = step(&store, &ledger, &key(), 0, 10).unwrap();
    assert!(
        matches!(held, Step::Held { seq: 1, ref refusal } if refusal.code == Code::SeqReplay),
        "{held:?}"
    );
}
