//! A city with a measuring station: agency A1 has a device with one stream, and a gateway.

use chain_core::build::{self, Filed, Filing};
use chain_core::code::{Code, Refusal};
use chain_core::crypto::{Digest, SecretKey};
use chain_core::execute::GenesisState;
use chain_core::id::RecordId;
use chain_core::leaf::Leaf;
use chain_core::operation::Operation;
use chain_core::record::device::batch::{BatchDetails, Sealing};
use chain_core::record::device::gap::{Extent, GapDetails, GapKind};
use chain_core::record::device::readings::{GOOD, Reading};
use chain_core::record::device::{KeyEventDetails, KeyEventKind, KeyEventProof, Stream, Terms};
use chain_core::record::governance::{BasisDetails, MemberDetails, Possession, Role};
use chain_core::record::{BasisRef, Class, Details, RecordType, SubjectKind};
use serde_json::{Value, json};

use crate::city::{self, Accepted, City, agency, chain, instant, new_key, public, secret};

pub(crate) const TYPES: [RecordType; 6] = [
    RecordType::Penalty,
    RecordType::Decision,
    RecordType::DocFingerprint,
    RecordType::Device,
    RecordType::DeviceKey,
    RecordType::SensorBatch,
];

pub(crate) fn genesis() -> GenesisState {
    let mut genesis = city::genesis();
    for details in &mut genesis.agencies {
        details.types = TYPES.to_vec();
    }
    for name in ["A1", "A2"] {
        let key = new_key(&format!("{name}/gateway1"));
        genesis.members.push(MemberDetails {
            key,
            role: Role::Gateway,
            ..city::member_details(name, "clerk9")
        });
    }
    let metrology = BasisDetails { types: TYPES.to_vec(), ..city::basis_details("metrology") };
    genesis.bases.push(BasisDetails { ends: Some(city::date("2026-12-31")), ..metrology });
    genesis.bases.push(BasisDetails { types: TYPES[..5].to_vec(), ..city::basis_details("no-batches") });
    genesis
}

pub(crate) fn stream() -> Stream {
    Stream {
        id: "pm25".to_owned(),
        property: "pm25".to_owned(),
        terms: Terms { unit: "GQ".to_owned(), scale: -1, period_s: 300, tolerance_pct: 50 },
        min: Some(0),
        max: Some(10_000),
        batch_within_s: 7_200,
        stuck_after_s: Some(3_600),
    }
}

pub(crate) fn registration_body(number: &str, key: &str) -> Value {
    json!({
        "device_id": number,
        "model": "示例 PM-1",
        "owner": agency("A1").to_string(),
        "key": public(key).to_string(),
        "possession": Possession::prove(chain().chain_id, &secret(key)).to_string(),
        "streams": [{
            "id": "pm25", "property": "pm25", "unit": "GQ", "scale": -1, "period_s": 300, "tolerance_pct": 50,
            "min": 0, "max": 10_000, "batch_within_s": 7_200, "stuck_after_s": 3_600,
        }],
        "place": { "longitude_e7": 1_187_969_000, "latitude_e7": 320_603_000, "datum": "WGS84" },
        "installed": "2026-05-01",
        "verified_until": "2026-10-31",
        "personal_data": false,
        "purpose": [{ "lang": "zh-Hans", "text": "环境空气监测" }],
        "origin": { "system": "assets", "method": "manual" },
    })
}

pub(crate) fn basis(name: &str) -> Option<BasisRef> {
    Some(BasisRef { id: name.to_owned(), version: 1 })
}

pub(crate) fn registration(number: &str, version: u32, body: &Value) -> Filed {
    file_registration(number, version, body).unwrap()
}

pub(crate) fn file_registration(number: &str, version: u32, body: &Value) -> Result<Filed, Refusal> {
    let filing = Filing {
        version,
        class: Class::P0,
        subject_kind: SubjectKind::Thing,
        legal_basis: basis("metrology"),
        ..city::filing(RecordType::Device, number)
    };
    build::file(&filing, &body.to_string())
}

/// Readings five minutes apart.
pub(crate) fn readings(from: &str, values: &[i64]) -> Vec<Reading> {
    let from = instant(from);
    let reading = |(at, &value): (u64, &i64)| Reading { time_ms: from + at * 300_000, value, quality: GOOD };
    (0..).zip(values).map(reading).collect()
}

/// Twelve good values, no two neighbours the same.
pub(crate) const HOUR: [i64; 12] = [350, 351, 349, 352, 348, 353, 350, 347, 351, 349, 352, 350];

/// The city, its device and how far its stream has come.
pub(crate) struct Station {
    pub(crate) city: City,
    pub(crate) device: RecordId,
    pub(crate) key: SecretKey,
    pub(crate) seq: u64,
    pub(crate) prev: Digest,
}

impl Station {
    pub(crate) fn new() -> Self {
        let mut city = City::with(&genesis());
        city.at("2026-05-06T00:30:00Z");
        let filed = registration("D1", 1, &registration_body("D1", "D1/key1"));
        let device = city.submit("A1/clerk1", filed).unwrap().record;
        city.countersign("A1/supervisor1", device).unwrap();
        Self { city, device, key: secret("D1/key1"), seq: 0, prev: Digest::ZERO }
    }

    /// Seals the next batch; nothing is sent.
    pub(crate) fn seal(&self, readings: &[Reading]) -> (BatchDetails, Vec<u8>) {
        self.seal_for(&stream(), readings)
    }

    /// Seals the next batch of a stream.
    pub(crate) fn seal_for(&self, stream: &Stream, readings: &[Reading]) -> (BatchDetails, Vec<u8>) {
        let sealing = Sealing {
            chain_id: chain().chain_id,
            device: self.device,
            stream,
            seq: self.seq + 1,
            prev: self.prev,
            key: &self.key,
        };
        sealing.seal(readings).unwrap()
    }

    /// Sends a batch, signed by a post or a device's key, at a time.
    pub(crate) fn send(
        &mut self,
        at: &str,
        post: &str,
        sealed: (BatchDetails, Vec<u8>),
    ) -> Result<Accepted, Code> {
        self.city.at(at);
        self.send_now(post, sealed)
    }

    /// Sends a batch, signed by a post or a device's key.
    pub(crate) fn send_now(&mut self, post: &str, sealed: (BatchDetails, Vec<u8>)) -> Result<Accepted, Code> {
        let (seq, prev) = (sealed.0.seq, sealed.0.digest());
        let salt = Digest::tagged(b"salt", &[prev.as_bytes()]);
        let (operation, body) = build::batch(chain().chain_id, &agency("A1"), sealed, salt).unwrap();
        let accepted = self.city.send_with(post, operation, body)?;
        (self.seq, self.prev) = (seq, prev);
        Ok(accepted)
    }

    /// Seals and sends an hour of readings that end five minutes before a full hour.
    pub(crate) fn hour(&mut self, hour: u32) -> Result<Accepted, Code> {
        let sealed = self.seal(&readings(&format!("2026-05-06T{hour:02}:00:00Z"), &HOUR));
        self.send(&format!("2026-05-06T{:02}:00:00Z", hour + 1), "D1/key1", sealed)
    }

    /// A batch sealed as one made up by somebody who has the device's key.
    pub(crate) fn forged(
        &self,
        readings: &[Reading],
        change: impl FnOnce(&mut BatchDetails),
    ) -> (BatchDetails, Vec<u8>) {
        let (mut details, data) = self.seal(readings);
        change(&mut details);
        details.sign(chain().chain_id, &self.key);
        (details, data)
    }

    /// Every gap that the ledger wrote, with its record.
    pub(crate) fn gaps(&self) -> Vec<(RecordId, GapDetails)> {
        let gap = |leaf: &chain_core::execute::AppendedLeaf| match Leaf::decode(&leaf.bytes).unwrap() {
            Leaf::Found(found) => match &found.header.details {
                Details::Gap(gap) => Some((found.header.record, (**gap).clone())),
                _ => None,
            },
            _ => None,
        };
        self.city.ledger.leaves().iter().filter_map(gap).collect()
    }

    pub(crate) fn kinds(&self) -> Vec<GapKind> {
        self.gaps().into_iter().map(|(_, gap)| gap.kind).collect()
    }

    /// From where to where the gaps of a kind reach.
    pub(crate) fn extents(&self, kind: GapKind) -> Vec<Extent> {
        self.gaps().into_iter().filter(|(_, gap)| gap.kind == kind).map(|(_, gap)| gap.extent).collect()
    }

    /// The operation that files an event of the device's key.
    pub(crate) fn key_event(
        &self,
        kind: KeyEventKind,
        new: Option<&str>,
        from: &str,
        signed: Option<&SecretKey>,
    ) -> Operation {
        let chain_id = chain().chain_id;
        let new_key = new.map(|post| {
            let mut key = new_key(post);
            key.possession = Possession::prove(chain_id, &secret(post));
            key
        });
        let mut event =
            KeyEventDetails { device: self.device, kind, new_key, from_ms: instant(from), proof: None };
        event.proof = signed.map(|old| old.sign(&KeyEventProof { chain_id, event: &event }));
        let idempotency = Digest::tagged(b"event", &[kind.name().as_bytes(), from.as_bytes()]);
        let details = Details::DeviceKey(Box::new(event));
        let mut header = build::device_header(chain_id, &agency("A1"), idempotency, details);
        header.legal_basis = basis("metrology");
        Operation::Submit(Box::new(header))
    }
}
