use std::path::Path;

use chain_core::crypto::{Digest, SecretKey};
use chain_core::id::RecordId;
use chain_core::record::device::readings::{GOOD, Statistics};
use chain_core::record::device::{Stream, Terms};

use super::recover::Opening;
use super::*;

const NOW: u64 = 1_000_000_000;

pub(crate) fn key() -> SecretKey {
    SecretKey::from_seed([7; 32])
}

pub(crate) fn chain() -> ChainId {
    ChainId::new(Digest::tagged(b"gateway test", &[]))
}

pub(crate) fn bounds(window_readings: usize) -> Bounds {
    Bounds { window_readings, window_ms: 1_000, inline: false, bytes_max: 1 << 30, ahead_ms: 1_000 }
}

pub(crate) fn opening(device: &str) -> Opening {
    let terms = Terms { unit: "CEL".to_owned(), scale: -1, period_s: 1, tolerance_pct: 50 };
    let stream = Stream {
        id: "s1".to_owned(),
        property: "temperature".to_owned(),
        terms,
        min: None,
        max: None,
        batch_within_s: 3_600,
        stuck_after_s: None,
    };
    let declared = Declared {
        device: device.to_owned(),
        record: RecordId::new(Digest::tagged(device.as_bytes(), &[])),
        agency: "uscc:11320100MAXP23YC3L".parse().unwrap(),
        stream,
        base: Base { seq: 0, prev: Digest::ZERO, last_ms: None },
    };
    Opening { declared, key: key() }
}

pub(crate) fn open(folder: &Path, window: usize) -> Store {
    Store::open(folder, chain(), bounds(window), vec![opening("d1"), opening("d2")]).unwrap()
}

pub(crate) fn reading(stream: usize, time_ms: u64, value: i64) -> Incoming {
    Incoming { stream, reading: Reading { time_ms, value, quality: GOOD } }
}

fn take(store: &mut Store, all: &[Incoming]) -> Vec<Taken> {
    store.take(all, NOW).unwrap()
}

/// Every reading of every batch, and of the open window, in order; the chain of batches is checked.
pub(crate) fn all_readings(store: &Store, stream: usize) -> Vec<Reading> {
    let (mut all, mut prev) = (Vec::new(), Digest::ZERO);
    for seq in 1..=store.streams[stream].tip.seq {
        let sealed = store.batch(stream, seq).unwrap().unwrap();
        assert_eq!((sealed.details.seq, sealed.details.prev), (seq, prev));
        let readings = sealed.readings().unwrap();
        assert_eq!(Statistics::of(&readings, &sealed.details.terms).unwrap(), sealed.details.statistics);
        let message = chain_core::record::device::batch::BatchPreimage {
            chain_id: chain(),
            digest: sealed.details.digest(),
        };
        assert!(key().public().verify(&message, &sealed.details.signature));
        prev = sealed.details.digest();
        all.extend(readings);
    }
    all.extend(&store.streams[stream].open);
    assert!(all.is_sorted_by_key(|one| one.time_ms));
    all
}

#[test]
fn readings_are_taken_once_put_in_order_and_sealed_when_the_window_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), 4);
    let sent = [10, 30, 20, 20, 40, 50].map(|time| reading(0, time, 1));
    let taken = take(&mut store, &sent);
    assert_eq!(taken, [Taken::New, Taken::New, Taken::New, Taken::Doubled, Taken::New, Taken::New]);
    let sealed = store.batch(0, 1).unwrap().unwrap();
    assert_eq!((sealed.details.count, sealed.details.first_ms, sealed.details.last_ms), (4, 10, 40));
    let standing = store.standing(0).unwrap();
    assert_eq!((standing.open, standing.sealed, standing.waiting), (1, 1, 1));
    let tally = Tally { taken: 5, out_of_order: 1, doubled: 1, late: 0, refused: 0 };
    assert_eq!(standing.tally, tally);
}

#[test]
fn what_comes_after_its_window_is_doubled_or_late_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), 2);
    take(&mut store, &[reading(0, 10, 1), reading(0, 20, 2), reading(0, 30, 3), reading(0, 40, 4)]);
    // The very same as in either batch; the same time with another value; a time between batches.
    let sent = [reading(0, 20, 2), reading(0, 30, 3), reading(0, 40, 5), reading(0, 25, 1)];
    assert_eq!(take(&mut store, &sent), [Taken::Doubled, Taken::Doubled, Taken::Late, Taken::Late]);
    let ahead = reading(0, NOW + 1_001, 1);
    assert!(
        matches!(&take(&mut store, &[ahead])[..], [Taken::Refused(refusal)] if refusal.code == Code::ClockSkew)
    );
    store.set_aside(&Refusal::new(Code::MalformedJson, "x"), None, b"{", NOW).unwrap();
    drop(store);
    let store = open(dir.path(), 2);
    let tally = Tally { taken: 4, out_of_order: 0, doubled: 2, late: 2, refused: 1 };
    assert_eq!((store.standing(0).unwrap().tally, store.strays()), (tally, 1));
    let mut kept = Vec::new();
    Lines::open(&dir.path().join("aside"), |aside: Aside| kept.push(aside.why.code)).unwrap();
    assert_eq!(kept, [Code::TimeBackwards, Code::TimeBackwards, Code::ClockSkew, Code::MalformedJson]);
}

#[test]
fn a_window_is_sealed_when_its_time_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), 100);
    take(&mut store, &[reading(0, 10, 1), reading(1, 10, 1)]);
    store.take(&[reading(1, 20, 1)], NOW + 999).unwrap();
    store.seal_due(NOW + 999, false).unwrap();
    assert_eq!(store.standing(0).unwrap().sealed, 0);
    store.seal_due(NOW + 1_000, false).unwrap();
    assert_eq!((store.standing(0).unwrap().sealed, store.standing(1).unwrap().sealed), (1, 1));
    store.seal_due(NOW + 9_000, true).unwrap();
    assert_eq!(store.standing(0).unwrap().sealed, 1, "an empty window is no batch");
}

/// The journal cut at every byte after the first acknowledged call, with the batch file there and not: what was acknowledged is
/// there once, and what was not may be sent again.
#[test]
fn a_crash_at_any_byte_loses_nothing_acknowledged_and_doubles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let first = [reading(0, 10, 1), reading(0, 20, 2)];
    let second = [reading(0, 30, 3), reading(0, 40, 4)];
    let mut store = open(dir.path(), 3);
    take(&mut store, &first);
    let acknowledged = usize::try_from(store.journal.bytes()).unwrap();
    take(&mut store, &second);
    drop(store);
    let journal = std::fs::read(dir.path().join("journal")).unwrap();
    let batch = dir.path().join("batches/0000/000000000001.batch.json");
    let sealed = std::fs::read(&batch).unwrap();
    for (cut, with_batch) in (acknowledged..=journal.len()).flat_map(|cut| [(cut, false), (cut, true)]) {
        std::fs::write(dir.path().join("journal"), &journal[..cut]).unwrap();
        match with_batch {
            true => std::fs::write(&batch, &sealed).unwrap(),
            false => std::fs::remove_file(&batch).unwrap_or_default(),
        }
        std::fs::write(batch.with_extension("json.99.tmp"), &sealed[..20]).unwrap();
        let mut store = open(dir.path(), 100);
        let times: Vec<u64> = all_readings(&store, 0).iter().map(|one| one.time_ms).collect();
        assert!(times.starts_with(&[10, 20]), "{times:?}, cut at {cut}, batch {with_batch}");
        let again = take(&mut store, &second);
        assert!(again.iter().all(|taken| matches!(taken, Taken::New | Taken::Doubled)), "{again:?}");
        let times: Vec<u64> = all_readings(&store, 0).iter().map(|one| one.time_ms).collect();
        assert_eq!(times, [10, 20, 30, 40], "cut at {cut}, batch {with_batch}");
        store.seal_due(0, true).unwrap();
        assert_eq!(all_readings(&store, 0).len(), 4);
        drop(store);
        for entry in std::fs::read_dir(dir.path().join("batches/0000")).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }
}

#[test]
fn a_journal_begun_anew_keeps_what_is_open_and_what_was_counted() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), 1_000);
    let (mut time, mut before) = (0, 0);
    while store.journal.bytes() >= before {
        before = store.journal.bytes();
        assert!(time < 1_000_000, "the journal is never begun anew");
        let all: Vec<Incoming> = (time + 1..=time + 4_000).map(|time| reading(0, time, 5)).collect();
        take(&mut store, &all);
        time += 4_000;
    }
    take(&mut store, &[reading(1, 1, 1), reading(0, time + 1, 5), reading(0, 1, 5)]);
    let (before, tally) = (all_readings(&store, 0), store.standing(0).unwrap().tally);
    drop(store);
    let store = open(dir.path(), 1_000);
    assert_eq!(all_readings(&store, 0), before);
    assert_eq!(before.len() as u64, time + 1);
    assert_eq!((store.standing(0).unwrap().tally, tally.doubled), (tally, 1));
}

#[test]
fn a_full_store_refuses_plainly_and_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let bounds = Bounds { bytes_max: 2 * ANSWERS_BYTES, ..bounds(4_096) };
    let mut store = Store::open(dir.path(), chain(), bounds, vec![opening("d1")]).unwrap();
    let room = usize::try_from(ANSWERS_BYTES / READING_BYTES).unwrap();
    let all: Vec<Incoming> = (0..=room as u64).map(|time| reading(0, time, 1)).collect();
    let error = store.take(&all, NOW).unwrap_err();
    assert_eq!(error.code(), Code::NoRoom);
    assert_eq!((store.bytes(), store.standing(0).unwrap().tally.taken), (0, 0));
    take(&mut store, &all[..10]);
    let small = Bounds { bytes_max: 1, ..bounds };
    drop(store);
    let refused = Store::open(dir.path(), chain(), small, vec![opening("d1")]).unwrap_err();
    assert_eq!(refused.code(), Code::ConfigInvalid);
}

#[test]
fn a_folder_serves_one_process_and_one_network() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), 3);
    let twice = Store::open(dir.path(), chain(), bounds(3), vec![opening("d1"), opening("d2")]).unwrap_err();
    assert_eq!(twice.code(), Code::LockHeld);
    drop(store);
    let other = ChainId::new(Digest::ZERO);
    let error = Store::open(dir.path(), other, bounds(3), vec![opening("d1"), opening("d2")]).unwrap_err();
    assert_eq!(error.code(), Code::StoreFormat);
    let fewer = Store::open(dir.path(), chain(), bounds(3), vec![opening("d2"), opening("d1")]).unwrap_err();
    assert_eq!(fewer.code(), Code::StorageCorrupt);
}

#[test]
fn a_refused_batch_holds_its_stream_and_is_signed_again_by_a_new_key_after_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), 2);
    take(&mut store, &[1, 2, 3, 4].map(|time| reading(0, time, 1)));
    store.sending(0, 1, b"transaction").unwrap();
    store.refuse(0, 1, &Refusal::new(Code::KeyRetired, "x")).unwrap();
    assert!(store.waiting(0).unwrap().is_none());
    assert_eq!(store.standing(0).unwrap().held.unwrap().code, Code::KeyRetired);
    drop(store);
    let other = SecretKey::from_seed([8; 32]);
    let rotated = Opening { key: SecretKey::from_seed([8; 32]), ..opening("d1") };
    let store = Store::open(dir.path(), chain(), bounds(2), vec![rotated, opening("d2")]).unwrap();
    let waiting = store.waiting(0).unwrap().unwrap();
    assert!(waiting.transaction.is_none());
    let mut prev = Digest::ZERO;
    for seq in [1, 2] {
        let details = store.batch(0, seq).unwrap().unwrap().details;
        let message =
            chain_core::record::device::batch::BatchPreimage { chain_id: chain(), digest: details.digest() };
        assert!(other.public().verify(&message, &details.signature), "batch {seq}");
        assert_eq!(details.prev, prev);
        prev = details.digest();
    }
}

#[test]
fn a_batch_whose_file_was_changed_is_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path(), 2);
    take(&mut store, &[reading(0, 10, 1), reading(0, 20, 2)]);
    let sealed = store.batch(0, 1).unwrap().unwrap();
    let other = Sealed::new(sealed.details, &chain_core::record::device::readings::encode(&[]), Digest::ZERO);
    store.streams[0].shelf.put(&other).unwrap();
    assert_eq!(store.batch_at(0, 10).unwrap_err().code(), Code::BatchData);
}
