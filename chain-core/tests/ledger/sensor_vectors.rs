//! Frozen bytes of the devices-and-sensors family.

use chain_core::canonical::Writer;
use chain_core::crypto::{Digest, Signable as _, Signature};
use chain_core::id::{Height, RecordId};
use chain_core::leaf::{FoundLeaf, Leaf};
use chain_core::record::Details;
use chain_core::record::device::batch::{BatchDetails, BatchPreimage, Sealing};
use chain_core::record::device::gap::{Extent, GapDetails, GapKind};
use chain_core::record::device::readings::{Reading, Run};
use chain_core::record::device::{DeviceDetails, KeyEventDetails, KeyEventKind, KeyEventProof, Span};
use chain_core::state::{DeviceEntry, DeviceKeyEntry, Status, StreamEntry};

use crate::city::{agency, chain, date, new_key, public, secret};
use crate::station::{basis, stream};
use crate::vectors::{canonical, compare};

const NOON_MS: u64 = 1_778_040_000_000;

fn device() -> RecordId {
    RecordId::new(Digest::tagged(b"vector", &[b"device"]))
}

fn batch() -> BatchDetails {
    let reading =
        |(at, value, quality): (u64, _, _)| Reading { time_ms: NOON_MS + at * 1_000, value, quality };
    let readings = [(0, 350, 0), (300, 350, 0), (600, -7, 3), (1_500, 349, 0), (1_500, 349, 0)].map(reading);
    let (stream, key) = (stream(), secret("D1/key1"));
    let prev = Digest::tagged(b"vector", &[b"prev"]);
    let sealing =
        Sealing { chain_id: chain().chain_id, device: device(), stream: &stream, seq: 2, prev, key: &key };
    sealing.seal(&readings).unwrap().0
}

fn gap(extent: Extent) -> GapDetails {
    let batches = vec![device(), RecordId::new(Digest::ZERO)];
    GapDetails { device: device(), stream: "pm25".to_owned(), kind: GapKind::Time, extent, batches }
}

fn key_event() -> KeyEventDetails {
    KeyEventDetails {
        device: device(),
        kind: KeyEventKind::Rotate,
        new_key: Some(new_key("D1/key2")),
        from_ms: NOON_MS,
        proof: Some(Signature::ZERO),
    }
}

#[test]
fn bytes_of_devices_are_frozen_and_read_back() {
    let mut failures = Vec::new();
    let details = DeviceDetails {
        key: new_key("D1/key1"),
        streams: vec![stream()],
        verified_until: Some(date("2026-10-31")),
    };
    let span = Span { from_ms: NOON_MS, to_ms: NOON_MS + 1_500_000 };
    let numbers = Details::Gap(Box::new(gap(Extent::Numbers { from: 2, to: 3 })));
    let times = gap(Extent::Times(span));
    let header = chain_core::build::device_header(
        chain().chain_id,
        &agency("A1"),
        times.idempotency(),
        Details::Gap(Box::new(times)),
    );
    let found = FoundLeaf { height: Height::new(258), time_ms: NOON_MS, header };
    let entry = DeviceEntry {
        agency: agency("A1"),
        legal_basis: basis("metrology"),
        details: details.clone(),
        status: Status::Suspended,
        key: Some(public("D1/key2")),
        before: Some(public("D1/key1")),
    };
    let of_stream = StreamEntry {
        seq: 2,
        prev: batch().digest(),
        batch: Some(device()),
        last_ms: span.to_ms,
        heard_ms: span.to_ms + 1,
        due_ms: Some(span.to_ms + 7_200_001),
        tail: Some(Run { value: -349, span }),
        stuck_from_ms: Some(NOON_MS),
    };
    let of_key = DeviceKeyEntry { device: device(), from_ms: NOON_MS, until_ms: Some(NOON_MS + 1) };
    canonical("details_device", &Details::Device(Box::new(details)), &mut failures);
    canonical("details_device_key", &Details::DeviceKey(Box::new(key_event())), &mut failures);
    canonical("details_batch", &Details::Batch(Box::new(batch())), &mut failures);
    canonical("details_gap", &numbers, &mut failures);
    canonical("leaf_found", &Leaf::Found(Box::new(found)), &mut failures);
    canonical("state_device", &entry, &mut failures);
    canonical("state_device_key", &of_key, &mut failures);
    canonical("state_stream", &of_stream, &mut failures);
    let mut signed = Writer::new();
    let chain_id = chain().chain_id;
    signed.bytes(&BatchPreimage { chain_id, digest: batch().digest() }.preimage());
    signed.bytes(&KeyEventProof { chain_id, event: &key_event() }.preimage());
    compare("device_preimages", &signed.finish(), &mut failures);
    assert_eq!(failures, Vec::<String>::new());
}
