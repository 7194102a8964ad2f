//! Batches of readings: what is refused, what is recorded, and that a gap is explained and never removed.

use chain_core::build;
use chain_core::code::Code;
use chain_core::crypto::Digest;
use chain_core::execute::{GAPS_MAX, SILENCES_MAX};
use chain_core::id::RecordId;
use chain_core::leaf::Leaf;
use chain_core::lifecycle::replay::{Bases, Life};
use chain_core::operation::{Effect, Operation, RevokeReason};
use chain_core::record::device::Span;
use chain_core::record::device::batch::{BatchDetails, DataPlace};
use chain_core::record::device::gap::{Extent, GapKind};
use chain_core::record::device::readings::{Reading, prove};
use chain_core::record::governance::BasisDetails;
use chain_core::record::{BasisRef, Class, RecordType, Reference, Relation};

use crate::city::{agency, chain, instant, secret};
use crate::station::{HOUR, Station, basis, readings, registration, registration_body};

fn times(from: &str, to: &str) -> Extent {
    Extent::Times(Span { from_ms: instant(from), to_ms: instant(to) })
}

#[test]
fn batches_follow_one_another_without_a_gap() {
    let mut station = Station::new();
    let first = station.hour(1).unwrap();
    station.hour(2).unwrap();
    assert_eq!(station.city.status(first.record), "effective");
    let sealed = station.seal(&readings("2026-05-06T03:00:00Z", &HOUR));
    station.send("2026-05-06T04:00:00Z", "A1/gateway1", sealed).unwrap();
    assert_eq!(station.kinds(), []);
}

#[test]
fn a_batch_sent_again_is_the_same_and_another_of_its_number_is_not() {
    let mut station = Station::new();
    let sealed = station.seal(&readings("2026-05-06T01:00:00Z", &HOUR));
    let first = station.send("2026-05-06T02:00:00Z", "D1/key1", sealed.clone()).unwrap();
    let again = station.send("2026-05-06T02:00:01Z", "D1/key1", sealed).unwrap();
    assert!(again.duplicate);
    assert_eq!(again.record, first.record);
    station.seq = 0;
    let other = station.seal(&readings("2026-05-06T03:00:00Z", &HOUR));
    assert_eq!(station.send("2026-05-06T04:00:00Z", "D1/key1", other), Err(Code::SeqReplay));
    station.seq = 3;
    station.hour(4).unwrap();
    // A number that was skipped stays skipped.
    station.seq = 1;
    assert_eq!(station.hour(5), Err(Code::SeqReplay));
}

type Change = fn(&mut BatchDetails);

#[test]
fn what_does_not_follow_or_does_not_agree_is_refused() {
    let mut station = Station::new();
    station.hour(1).unwrap();
    let next = readings("2026-05-06T02:00:00Z", &HOUR);
    let changes: [(&str, Change, Code); 17] = [
        ("prev", |batch| batch.prev = Digest::ZERO, Code::PrevMismatch),
        ("seq", |batch| batch.seq = 1, Code::SeqReplay),
        ("seq", |batch| batch.seq = 1 << 53, Code::BadNumber),
        ("stream", |batch| batch.stream = "pm10".to_owned(), Code::StreamNotDeclared),
        ("unit", |batch| batch.terms.unit = "CEL".to_owned(), Code::StreamNotDeclared),
        ("scale", |batch| batch.terms.scale = 0, Code::StreamNotDeclared),
        ("device", |batch| batch.device = RecordId::new(Digest::ZERO), Code::RoleNotAllowed),
        ("count", |batch| batch.count = 11, Code::BatchData),
        ("count", |batch| batch.count = 4_097, Code::SizeLimit),
        ("root", |batch| batch.root = Digest::ZERO, Code::BatchData),
        ("data", |batch| batch.data = Digest::ZERO, Code::BatchData),
        ("data_len", |batch| batch.data_len += 1, Code::BatchData),
        ("last", |batch| batch.last_ms += 1, Code::BatchData),
        ("last", |batch| batch.last_ms = batch.first_ms - 1, Code::TimeBackwards),
        ("sum", |batch| batch.statistics.sum += 1, Code::BatchData),
        ("max", |batch| batch.statistics.max = 0, Code::BatchData),
        ("place", |batch| batch.place_of_data = DataPlace::OffChain, Code::BodyNotAllowed),
    ];
    for (what, change, want) in changes {
        let before = (station.seq, station.prev);
        let sealed = station.forged(&next, change);
        // The body goes with it whatever the header says.
        let salt = Digest::ZERO;
        let mut inline = sealed.clone();
        inline.0.place_of_data = DataPlace::Inline;
        let (_, body) = build::batch(chain().chain_id, &agency("A1"), inline, salt).unwrap();
        let (operation, _) = build::batch(chain().chain_id, &agency("A1"), sealed, salt).unwrap();
        let Operation::Submit(mut header) = operation else { panic!() };
        header.body_commit = body.as_ref().map(chain_core::transaction::Body::commitment);
        let got =
            station.city.at("2026-05-06T03:00:00Z").send_with("D1/key1", Operation::Submit(header), body);
        assert_eq!(got, Err(want), "{what}");
        (station.seq, station.prev) = before;
    }
    // Not after the last reading of the batch before.
    let sealed = station.seal(&readings("2026-05-06T01:55:00Z", &HOUR));
    assert_eq!(station.send("2026-05-06T03:00:00Z", "D1/key1", sealed), Err(Code::TimeBackwards));
    // By another hand than the device's.
    let mut sealed = station.seal(&next);
    sealed.0.sign(chain().chain_id, &secret("A1/clerk1"));
    assert_eq!(station.send("2026-05-06T03:00:00Z", "A1/gateway1", sealed), Err(Code::BadSignature));
    let sealed = station.seal(&next);
    assert_eq!(station.send("2026-05-06T03:00:00Z", "A1/clerk1", sealed), Err(Code::RoleNotAllowed));
    assert_eq!(station.kinds(), []);
    station.hour(2).unwrap();
}

#[test]
fn data_kept_elsewhere_is_taken_on_the_devices_word_if_it_can_be() {
    let mut station = Station::new();
    let of_hour = readings("2026-05-06T01:00:00Z", &HOUR);
    let sealed = station.forged(&of_hour, |batch| {
        batch.place_of_data = DataPlace::OffChain;
        batch.statistics.holes = 12;
    });
    assert_eq!(station.send("2026-05-06T02:00:00Z", "D1/key1", sealed), Err(Code::BatchData));
    let sealed = station.forged(&of_hour, |batch| {
        batch.place_of_data = DataPlace::OffChain;
        batch.data = Digest::tagged(b"a Parquet file", &[]);
        batch.data_len = 70_000;
    });
    let record = station.send("2026-05-06T02:00:00Z", "D1/key1", sealed).unwrap().record;
    assert_eq!(station.city.head(record).current.body_commit, None);
}

#[test]
fn another_agency_files_no_batches_of_the_device() {
    let mut station = Station::new();
    let sealed = station.seal(&readings("2026-05-06T01:00:00Z", &HOUR));
    let (operation, body) = build::batch(chain().chain_id, &agency("A2"), sealed, Digest::ZERO).unwrap();
    station.city.at("2026-05-06T02:00:00Z");
    let got = station.city.send_with("A2/gateway1", operation, body);
    assert_eq!(got, Err(Code::AgencyNotCompetent));
}

#[test]
fn a_batch_says_nothing_beside_its_details() {
    let mut station = Station::new();
    let file = |station: &mut Station, change: &dyn Fn(&mut chain_core::record::Header)| {
        let sealed = station.seal(&readings("2026-05-06T01:00:00Z", &HOUR));
        let (operation, body) = build::batch(chain().chain_id, &agency("A1"), sealed, Digest::ZERO).unwrap();
        let Operation::Submit(mut header) = operation else { panic!() };
        change(&mut header);
        station.city.at("2026-05-06T02:00:00Z").send_with("D1/key1", Operation::Submit(header), body)
    };
    let basis = |header: &mut chain_core::record::Header| header.legal_basis = basis("metrology");
    assert_eq!(file(&mut station, &basis), Err(Code::SchemaInvalid));
    let class = |header: &mut chain_core::record::Header| header.class = Class::P3;
    assert_eq!(file(&mut station, &class), Err(Code::ClassNotPermitted));
    let key = |header: &mut chain_core::record::Header| {
        header.idempotency = Digest::ZERO;
        let kind = RecordType::SensorBatch;
        header.record = chain_core::record::record_id(chain().chain_id, &agency("A1"), kind, &Digest::ZERO);
    };
    assert_eq!(file(&mut station, &key), Err(Code::BadParameter));
}

#[test]
fn a_batch_rests_on_the_legal_basis_of_its_device() {
    let mut station = Station::new();
    let sealed = station.seal(&readings("2027-01-01T01:00:00Z", &HOUR));
    assert_eq!(station.send("2027-01-01T02:00:00Z", "D1/key1", sealed), Err(Code::LegalBasisNotInForce));
    let mut filed = registration("D2", 1, &registration_body("D2", "D2/key1"));
    filed.header.legal_basis = basis("no-batches");
    station.city.at("2026-05-06T03:00:00Z");
    let device = station.city.submit("A1/clerk1", filed).unwrap().record;
    station.city.countersign("A1/supervisor1", device).unwrap();
    (station.device, station.key) = (device, secret("D2/key1"));
    let sealed = station.seal(&readings("2026-05-06T03:00:00Z", &HOUR));
    assert_eq!(station.send("2026-05-06T04:00:00Z", "D2/key1", sealed), Err(Code::TypeNotPermittedByBasis));
}

#[test]
fn lost_batches_and_readings_are_recorded() {
    let mut station = Station::new();
    let first = station.hour(1).unwrap().record;
    // The device made batches 2 and 3, which never came: what the fourth one names before it is not known here.
    (station.seq, station.prev) = (3, Digest::tagged(b"batch 3", &[]));
    let fourth = station.hour(2).unwrap().record;
    let gaps = station.gaps();
    assert_eq!(gaps.len(), 1);
    let (record, gap) = &gaps[0];
    assert_eq!((gap.kind, gap.extent), (GapKind::Sequence, Extent::Numbers { from: 2, to: 3 }));
    assert_eq!(gap.batches, [first, fourth]);
    assert_eq!(station.city.status(*record), "effective");
    let sealed = station.seal(&readings("2026-05-06T03:10:00Z", &HOUR));
    station.send("2026-05-06T04:10:00Z", "D1/key1", sealed).unwrap();
    assert_eq!(station.extents(GapKind::Time), [times("2026-05-06T02:55:00Z", "2026-05-06T03:10:00Z")]);
}

#[test]
fn a_hole_or_repeated_times_inside_a_batch_are_recorded() {
    let mut station = Station::new();
    let mut of_hour = readings("2026-05-06T01:00:00Z", &HOUR);
    of_hour.drain(3..6);
    let sealed = station.seal(&of_hour);
    assert_eq!((sealed.0.statistics.holes, sealed.0.statistics.missing), (1, 3));
    station.send("2026-05-06T02:00:00Z", "D1/key1", sealed).unwrap();
    let mut of_hour = readings("2026-05-06T02:00:00Z", &HOUR);
    of_hour[4].time_ms = of_hour[3].time_ms;
    // Ten minutes lie between the third distance and the next: within the tolerance is half a period only.
    of_hour[5].time_ms = of_hour[4].time_ms + 300_000;
    let sealed = station.seal(&of_hour[..6]);
    assert_eq!(sealed.0.statistics.repeated, 1);
    station.send("2026-05-06T02:30:00Z", "D1/key1", sealed).unwrap();
    let want = [
        times("2026-05-06T01:10:00Z", "2026-05-06T01:30:00Z"),
        times("2026-05-06T02:00:00Z", "2026-05-06T02:20:00Z"),
    ];
    assert_eq!(station.extents(GapKind::Time), want);
}

#[test]
fn a_silence_is_found_without_the_device() {
    let mut station = Station::new();
    station.hour(1).unwrap();
    station.city.tick("2026-05-06T04:00:00Z");
    assert_eq!(station.kinds(), [], "the promise of two hours includes its last moment");
    station.city.tick("2026-05-06T04:00:01Z");
    assert_eq!(station.extents(GapKind::Silent), [times("2026-05-06T02:00:00Z", "2026-05-06T04:00:00Z")]);
    station.city.tick("2026-05-07T04:00:01Z");
    assert_eq!(station.kinds(), [GapKind::Silent], "one silence is one gap");
    // A stream that never began is silent too, one put out of use is not.
    let mut station = Station::new();
    station.city.tick("2026-05-06T02:30:01Z");
    assert_eq!(station.kinds(), [GapKind::Silent]);
    let mut station = Station::new();
    let record = station.device;
    let suspend = Operation::Suspend { record, version: 1, until: None, reason: "moved".to_owned() };
    station.city.send("A1/admin1", suspend).unwrap();
    station.city.tick("2026-05-07T02:30:01Z");
    assert_eq!(station.kinds(), []);
}

#[test]
fn a_clock_that_goes_wrong_is_recorded() {
    let mut station = Station::new();
    let sealed = station.seal(&readings("2026-05-06T01:00:00Z", &HOUR));
    station.send("2026-05-06T01:53:00Z", "D1/key1", sealed).unwrap();
    assert_eq!(station.kinds(), [], "two minutes ahead");
    let sealed = station.seal(&readings("2026-05-06T02:00:00Z", &HOUR));
    station.send("2026-05-06T02:52:59Z", "D1/key1", sealed).unwrap();
    assert_eq!(station.extents(GapKind::Clock), [times("2026-05-06T02:52:59Z", "2026-05-06T02:55:00Z")]);
    let mut station = Station::new();
    let sealed = station.seal(&readings("2026-05-05T01:00:00Z", &HOUR));
    station.send("2026-05-06T01:00:00Z", "D1/key1", sealed).unwrap();
    assert_eq!(station.extents(GapKind::Clock), [times("2026-05-05T01:55:00Z", "2026-05-06T01:00:00Z")]);
}

#[test]
fn a_stuck_sensor_is_recorded_once() {
    let mut station = Station::new();
    let half = |from: &str, value: i64| readings(from, &[value; 6]);
    let send = |station: &mut Station, from: &str, at: &str, value: i64| {
        let sealed = station.seal(&half(from, value));
        station.send(at, "D1/key1", sealed).unwrap();
    };
    send(&mut station, "2026-05-06T01:00:00Z", "2026-05-06T01:30:00Z", 7);
    send(&mut station, "2026-05-06T01:30:00Z", "2026-05-06T02:00:00Z", 7);
    assert_eq!(station.kinds(), [], "55 minutes");
    send(&mut station, "2026-05-06T02:00:00Z", "2026-05-06T02:30:00Z", 7);
    assert_eq!(station.extents(GapKind::Stuck), [times("2026-05-06T01:00:00Z", "2026-05-06T02:25:00Z")]);
    send(&mut station, "2026-05-06T02:30:00Z", "2026-05-06T03:00:00Z", 7);
    assert_eq!(station.kinds(), [GapKind::Stuck]);
    send(&mut station, "2026-05-06T03:00:00Z", "2026-05-06T03:30:00Z", 8);
    send(&mut station, "2026-05-06T03:30:00Z", "2026-05-06T04:00:00Z", 7);
    assert_eq!(station.kinds(), [GapKind::Stuck]);
    // Within one batch.
    let sealed = station.seal(&readings("2026-05-06T04:00:00Z", &[[1; 14], [2; 14]].concat()));
    station.send("2026-05-06T06:20:00Z", "D1/key1", sealed).unwrap();
    let want = times("2026-05-06T04:00:00Z", "2026-05-06T05:05:00Z");
    assert_eq!(station.extents(GapKind::Stuck)[1..], [want]);
}

#[test]
fn values_that_cannot_be_are_recorded() {
    for (value, want) in [(0, 0), (10_000, 0), (-1, 1), (10_001, 1)] {
        let mut station = Station::new();
        let mut of_hour = readings("2026-05-06T01:00:00Z", &HOUR);
        of_hour[5].value = value;
        let sealed = station.seal(&of_hour);
        station.send("2026-05-06T02:00:00Z", "D1/key1", sealed).unwrap();
        assert_eq!(station.extents(GapKind::Range).len(), want, "{value}");
    }
    // A reading that says itself that it is none counts for nothing.
    let mut station = Station::new();
    let mut of_hour = readings("2026-05-06T01:00:00Z", &HOUR);
    of_hour[5] = Reading { value: -9_999, quality: 3, ..of_hour[5] };
    let sealed = station.seal(&of_hour);
    station.send("2026-05-06T02:00:00Z", "D1/key1", sealed).unwrap();
    assert_eq!(station.kinds(), []);
}

#[test]
fn a_gap_is_explained_and_never_removed() {
    let mut station = Station::new();
    station.hour(1).unwrap();
    station.city.tick("2026-05-06T05:00:00Z");
    let gap = station.gaps()[0].0;
    let explain = |key: &str, by: &str, target: RecordId| {
        let mut filing = crate::city::filing(RecordType::DocFingerprint, key);
        filing.class = Class::P0;
        filing.agency = agency(by);
        filing.legal_basis = basis("metrology");
        filing.refs = vec![Reference { rel: Relation::Explains, record: target }];
        build::file(&filing, &crate::city::fingerprint_body().to_string()).unwrap()
    };
    let device = station.device;
    let city = &mut station.city;
    assert_eq!(city.submit("A2/clerk1", explain("1", "A2", gap)), Err(Code::AgencyNotCompetent));
    assert_eq!(city.submit("A1/clerk1", explain("1", "A1", device)), Err(Code::ReferenceNotFound));
    let first = city.submit("A1/clerk1", explain("1", "A1", gap)).unwrap().record;
    assert_eq!((city.status(gap), city.head(gap).flags.names()), ("effective", vec!["explained"]));
    let second = city.submit("A1/clerk1", explain("2", "A1", gap)).unwrap().record;
    let invalidate = |record| Operation::Revoke {
        record,
        version: 1,
        reason: RevokeReason::FiledInError,
        effect: Effect::FromStart,
        note: String::new(),
    };
    city.send("A1/supervisor1", invalidate(first)).unwrap();
    assert_eq!(city.head(gap).flags.names(), ["explained"], "the second explanation holds");
    city.send("A1/supervisor1", invalidate(second)).unwrap();
    assert!(city.head(gap).flags.names().is_empty());
    // Its history replays from its own leaves.
    let mut life = Life::new(chain(), gap);
    for (index, leaf) in (0..).zip(city.ledger.leaves()).filter(|(_, leaf)| leaf.record == Some(gap)) {
        life.take(index, &Leaf::decode(&leaf.bytes).unwrap(), &NoBases).unwrap();
    }
    assert_eq!(life.head(), Some(&city.head(gap)));
}

struct NoBases;

impl Bases for NoBases {
    fn basis(&self, _: &BasisRef) -> Result<Option<BasisDetails>, chain_core::code::Refusal> {
        Ok(None)
    }
}

#[test]
fn nobody_files_a_gap() {
    let mut station = Station::new();
    station.city.tick("2026-05-06T05:00:00Z");
    let mut gap = station.gaps()[0].1.clone();
    gap.kind = GapKind::Clock;
    let details = chain_core::record::Details::Gap(Box::new(gap.clone()));
    let header = build::device_header(chain().chain_id, &agency("A1"), gap.idempotency(), details);
    for post in ["A1/clerk1", "A1/supervisor1", "A1/gateway1", "D1/key1"] {
        let submit = Operation::Submit(Box::new(header.clone()));
        assert_eq!(station.city.send(post, submit), Err(Code::RoleNotAllowed), "{post}");
    }
}

#[test]
fn a_batch_replays_from_its_own_leaf() {
    let mut station = Station::new();
    let record = station.hour(1).unwrap().record;
    let mut life = Life::new(chain(), record);
    for (index, leaf) in
        (0..).zip(station.city.ledger.leaves()).filter(|(_, leaf)| leaf.record == Some(record))
    {
        life.take(index, &Leaf::decode(&leaf.bytes).unwrap(), &NoBases).unwrap();
    }
    assert_eq!(life.head(), Some(&station.city.head(record)));
}

#[test]
fn one_reading_is_proved_by_its_batch() {
    let station = Station::new();
    let of_hour = readings("2026-05-06T01:00:00Z", &HOUR);
    let (batch, _) = station.seal(&of_hour);
    let path = prove(&of_hour, 5).unwrap();
    batch.verify_reading(&of_hour[5], &path).unwrap();
    let refused = |reading: Reading, path: &chain_core::proof::InclusionPath| {
        batch.verify_reading(&reading, path).unwrap_err().code
    };
    assert_eq!(refused(of_hour[6], &path), Code::ProofInvalid);
    assert_eq!(refused(Reading { value: 0, ..of_hour[5] }, &path), Code::ProofInvalid);
    assert_eq!(refused(Reading { quality: 1, ..of_hour[5] }, &path), Code::ProofInvalid);
    let mut longer = path;
    longer.size += 1;
    assert_eq!(refused(of_hour[5], &longer), Code::ProofInvalid);
}

#[test]
fn a_block_looks_at_a_bounded_number_of_promises() {
    let mut station = Station::new();
    let count = SILENCES_MAX + 10;
    // Many streams: sixteen to a device.
    let devices = count.div_ceil(16);
    for at in 0..devices {
        let (number, key) = (format!("S{at}"), format!("S{at}/key1"));
        let mut body = registration_body(&number, &key);
        let stream = body["streams"][0].clone();
        let streams = (0..16).map(|at| {
            let mut stream = stream.clone();
            stream["id"] = serde_json::json!(format!("s{at}"));
            stream
        });
        body["streams"] = streams.collect();
        let record = station.city.submit("A1/clerk1", registration(&number, 1, &body)).unwrap().record;
        station.city.countersign("A1/supervisor1", record).unwrap();
    }
    let all = devices * 16 + 1;
    station.city.tick("2026-05-06T05:00:00Z");
    assert_eq!(station.kinds().len(), SILENCES_MAX);
    station.city.tick("2026-05-06T05:00:01Z");
    assert_eq!(station.kinds().len(), all);
}

#[test]
fn a_block_writes_a_bounded_number_of_gaps() {
    let mut station = Station::new();
    let batches = 300;
    let mut operations = Vec::new();
    for at in 0..batches {
        // Old, not next in number, not next in time, and out of range: four gaps, the first batch has three.
        let mut of_batch = readings("2026-05-01T00:00:00Z", &[-1, 2]);
        for reading in &mut of_batch {
            reading.time_ms += at * 3_600_000;
        }
        station.seq += 1;
        let sealed = station.seal(&of_batch);
        (station.seq, station.prev) = (sealed.0.seq, sealed.0.digest());
        operations.push(build::batch(chain().chain_id, &agency("A1"), sealed, Digest::ZERO).unwrap());
    }
    station.city.at("2026-05-20T00:00:00Z");
    // The promise of the first batch ran out before it came.
    let all = usize::try_from(batches).unwrap() * 4;
    let outcomes = station.city.send_all("A1/gateway1", operations);
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(station.kinds().len(), GAPS_MAX);
    station.city.tick("2026-05-20T00:00:01Z");
    assert_eq!(station.kinds().len(), all);
    station.city.tick("2026-05-20T00:00:02Z");
    assert_eq!(station.kinds().len(), all);
}
