//! Devices in a scenario: whose they are, their keys, and the batches that they send.
//!
//! A device that sends a batch and of which the story told nothing before is registered by its agency's officers, and has
//! changed its key once.

use chain_core::build::{self, Filed};
use chain_core::code::{Code, Refusal};
use chain_core::crypto::Digest;
use chain_core::id::RecordId;
use chain_core::leaf::Leaf;
use chain_core::operation::Operation;
use chain_core::record::body::parse_instant;
use chain_core::record::device::batch::Sealing;
use chain_core::record::device::gap::{Extent, GapDetails, GapKind};
use chain_core::record::device::{KeyEventDetails, KeyEventKind, KeyEventProof};
use chain_core::record::governance::{NewKey, Possession};
use chain_core::record::{Details, Header, RecordType};
use chain_core::transaction::Body;
use serde_json::{Map, Value};

use super::{Act, Stage};
use crate::play::{cast, device};

/// A device of the story.
#[derive(Clone, Debug)]
pub(super) struct Station {
    record: RecordId,
    args: Map<String, Value>,
    /// Number of its newest key.
    key: u32,
    /// Number and digest of the batch that it sent last and that was taken.
    seq: u64,
    prev: Digest,
}

/// The post of a device, and the number of the key that a text says it uses, when its newest is this one.
fn device_and_key(who: &str, newest: u32) -> (String, u32) {
    let (post, with) = who.split_once(" with ").unwrap_or((who, ""));
    let key = match with.strip_prefix("key ") {
        Some(number) => number.parse().unwrap_or(newest),
        None if with.contains("retired") => newest.saturating_sub(1).max(1),
        None => newest,
    };
    (post.to_owned(), key)
}

impl Stage {
    /// Remembers a device whose registration was filed.
    pub(super) fn keep_station(&mut self, record: RecordId, label: &str, args: &Map<String, Value>) {
        let device = args.get("device").and_then(Value::as_str).unwrap_or(label).to_owned();
        let station = Station { record, args: args.clone(), key: 1, seq: 0, prev: Digest::ZERO };
        self.stations.entry(device).or_insert(station);
    }

    pub(super) fn send_batch(
        &mut self,
        who: &str,
        label: &str,
        args: &Map<String, Value>,
    ) -> Result<bool, Refusal> {
        let (post, _) = device_and_key(who, 1);
        if !self.stations.contains_key(&post) {
            self.register(&post)?;
        }
        let Some(station) = self.stations.get(&post).cloned() else {
            return Err(Refusal::new(Code::RecordNotFound, format!("device {post}")));
        };
        let (_, number) = device_and_key(who, station.key);
        let (key, stream) = (device::secret(&post, number), device::stream(&station.args));
        let chain_id = self.cast.chain.chain_id;
        let seq = args.get("seq").and_then(Value::as_u64).unwrap_or(station.seq + 1);
        let readings = device::readings(args, self.time_ms)?;
        let sealing =
            Sealing { chain_id, device: station.record, stream: &stream, seq, prev: station.prev, key: &key };
        let sealed = sealing.seal(&readings)?;
        let prev = sealed.0.digest();
        let agency = cast::agency(cast::agency_of(&post))?;
        let (operation, body) = build::batch(chain_id, &agency, sealed, prev)?;
        let header = operation.header().cloned();
        let duplicate = self.send_signed(&key, operation, body.clone())?;
        if let Some(station) = self.stations.get_mut(&post) {
            (station.seq, station.prev) = (seq, prev);
        }
        if let Some(header) = header {
            self.keep_bare(label, header, body);
        }
        Ok(duplicate)
    }

    /// The device's officers register it; its first key is followed by another at once.
    fn register(&mut self, post: &str) -> Result<(), Refusal> {
        let agency = cast::agency_of(post).to_owned();
        let args = Map::from_iter([("type".to_owned(), Value::from(RecordType::Device.name()))]);
        self.submit(&format!("{agency}/clerk1"), post, &args)?;
        let record = self.record(post);
        if let Some(head) = self.ledger.head(&record) {
            let version = head.current.version;
            let header_digest = head.current.header_digest;
            let approve = Operation::Countersign { record, version, header_digest };
            self.send(&format!("{agency}/supervisor1"), approve, None)?;
        }
        let args = Map::from_iter([("kind".to_owned(), Value::from(KeyEventKind::Rotate.name()))]);
        self.send_key_event(post, &format!("{post}/key event"), &args).map(|_| ())
    }

    pub(super) fn send_key_event(
        &mut self,
        who: &str,
        label: &str,
        args: &Map<String, Value>,
    ) -> Result<bool, Refusal> {
        let text = |name: &str| args.get(name).and_then(Value::as_str);
        let (post, _) = device_and_key(text("device").unwrap_or(who), 1);
        let Some(station) = self.stations.get(&post).cloned() else {
            return Err(Refusal::new(Code::RecordNotFound, format!("device {post}")));
        };
        let chain_id = self.cast.chain.chain_id;
        let kind = text("kind").unwrap_or("rotate");
        let kind = super::chosen("kind", kind, KeyEventKind::from_name)?;
        let new_key = (kind != KeyEventKind::Revoke).then(|| {
            let new = device::secret(&post, station.key + 1);
            NewKey {
                key: new.public(),
                label: "device".to_owned(),
                possession: Possession::prove(chain_id, &new),
            }
        });
        let from_ms = text("from").and_then(parse_instant).unwrap_or(self.time_ms);
        let mut event = KeyEventDetails { device: station.record, kind, new_key, from_ms, proof: None };
        // The device signs with the key that it has; a clerk has none of its keys.
        let by_device = who.starts_with(&post);
        let (_, number) = device_and_key(who, station.key);
        let old = device::secret(&post, number);
        if by_device && kind != KeyEventKind::Compromised {
            event.proof = Some(old.sign(&KeyEventProof { chain_id, event: &event }));
        }
        let agency = cast::agency(cast::agency_of(who))?;
        let idempotency = Digest::tagged(b"city/play/key-event/1", &[label.as_bytes()]);
        let details = Details::DeviceKey(Box::new(event));
        let mut header = build::device_header(chain_id, &agency, idempotency, details);
        header.legal_basis = self.cast.basis(text("legal_basis"), RecordType::DeviceKey);
        let operation = Operation::Submit(Box::new(header.clone()));
        let key = if by_device { old } else { cast::secret(who) };
        let duplicate = self.send_signed(&key, operation, None)?;
        if let (true, Some(station)) = (by_device, self.stations.get_mut(&post)) {
            station.key += 1;
        }
        self.keep_bare(label, header, None);
        Ok(duplicate)
    }

    /// Keeps a record that no office drew up.
    fn keep_bare(&mut self, label: &str, header: Header, body: Option<Body>) {
        let (record, record_type) = (header.record, header.record_type);
        let body = body.unwrap_or(Body { salt: Digest::ZERO, json: String::new() });
        let filed = Filed { header, body };
        let act = Act { record, record_type, filed, args: Map::new(), application: None };
        self.acts.insert(label.to_owned(), act);
    }

    /// The gaps that the ledger wrote since it had so many leaves; the story knows them as `gap 1` and so on.
    pub(super) fn gaps_since(&mut self, leaves: usize) -> Vec<String> {
        let found = self.ledger.leaves().get(leaves..).unwrap_or_default().iter();
        let headers: Vec<Header> = found
            .filter_map(|leaf| match Leaf::decode(&leaf.bytes) {
                Ok(Leaf::Found(found)) => Some(found.header),
                _ => None,
            })
            .collect();
        let mut events = Vec::new();
        for header in headers {
            if let Details::Gap(gap) = &header.details {
                events.push(event(gap));
            }
            self.gaps += 1;
            let label = format!("gap {}", self.gaps);
            self.keep_bare(&label, header, None);
        }
        events
    }
}

/// How a scenario writes a gap.
fn event(gap: &GapDetails) -> String {
    let kind = match gap.kind {
        GapKind::Sequence => "SEQ_GAP",
        GapKind::Time => "TIME_GAP",
        GapKind::Silent => "SILENT_GAP",
        GapKind::Clock => "CLOCK_GAP",
        GapKind::Stuck => "STUCK_GAP",
        GapKind::Range => "RANGE_GAP",
    };
    match gap.extent {
        Extent::Numbers { from, to } => format!("{kind} {from}..{to}"),
        Extent::Times(_) => kind.to_owned(),
    }
}
