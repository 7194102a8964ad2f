//! Devices in a scenario: whose they are, their keys, and the batches that they send.
//!
//! A device that sends a batch and of which the story told nothing before is registered by its agency's officers, and has
//! changed its key once.

use std::collections::BTreeMap;

use chain_core::build::{self, Filed};
use chain_core::code::{Code, Refusal};
use chain_core::crypto::{Digest, SecretKey};
use chain_core::id::RecordId;
use chain_core::leaf::Leaf;
use chain_core::operation::Operation;
use chain_core::record::device::batch::{BatchDetails, Sealing};
use chain_core::record::device::gap::{Extent, GapDetails, GapKind};
use chain_core::record::device::{DeviceDetails, KeyEventDetails, KeyEventKind, KeyEventProof, Stream};
use chain_core::record::governance::{NewKey, Possession};
use chain_core::record::{Details, Header, RecordType};
use chain_core::transaction::Body;
use serde_json::{Map, Value};

use super::{Act, Stage};
use crate::play::form::Args;
use crate::play::{cast, device};

/// A device of the story.
#[derive(Clone, Debug)]
pub(super) struct Station {
    record: RecordId,
    streams: Vec<Stream>,
    /// Number of its newest key.
    key: u32,
    /// Number and digest of the batch of each stream that it sent last and that was taken.
    sent: BTreeMap<String, (u64, Digest)>,
}

/// Which of its keys a device uses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Which {
    Newest,
    /// One that is out of use.
    Retired,
    Number(u32),
}

/// The post of a device, and the key that a text says it uses, as in `A1/device7 with a revoked key`.
fn device_and_key(who: &str) -> (&str, Which) {
    let (post, with) = who.split_once(" with ").unwrap_or((who, ""));
    let retired = ["retired", "revoked", "old", "compromised"].iter().any(|word| with.contains(word));
    let which = match with.strip_prefix("key ").and_then(|number| number.parse().ok()) {
        Some(number) => Which::Number(number),
        None if retired => Which::Retired,
        None => Which::Newest,
    };
    (post, which)
}

impl Station {
    /// The secret of a key.
    fn secret(&self, post: &str, which: Which) -> SecretKey {
        let number = match which {
            Which::Newest => self.key,
            Which::Retired => self.key.saturating_sub(1).max(1),
            Which::Number(number) => number,
        };
        device::secret(post, number)
    }
}

impl Stage {
    /// Remembers a device whose registration was filed.
    pub(super) fn keep_station(&mut self, record: RecordId, device: &str, details: DeviceDetails) {
        let station = Station { record, streams: details.streams, key: 1, sent: BTreeMap::new() };
        self.stations.entry(device.to_owned()).or_insert(station);
    }

    /// The key with which a device signs; none of a post that is no device.
    pub(super) fn device_key(&self, who: &str) -> Option<SecretKey> {
        let (post, which) = device_and_key(who);
        self.stations.get(post).map(|station| station.secret(post, which))
    }

    /// Sees to it that a device that takes a step is registered, and has a retired key if it uses one.
    pub(super) fn install(&mut self, who: &str) -> Result<(), Refusal> {
        let (post, which) = device_and_key(who);
        if !self.stations.contains_key(post) {
            return self.register(post);
        }
        let only_one = self.stations.get(post).is_some_and(|station| station.key == 1);
        if which == Which::Retired && only_one && self.is_key_in_force(post) {
            return self.rotate(post);
        }
        Ok(())
    }

    /// Whether the ledger takes the newest key of a device as it is now.
    fn is_key_in_force(&self, post: &str) -> bool {
        !self.acts.values().any(|act| match &act.filed.header.details {
            Details::DeviceKey(event) => {
                event.kind != KeyEventKind::Rotate
                    && self.stations.get(post).is_some_and(|station| station.record == event.device)
            }
            _ => false,
        })
    }

    /// A batch of the device that takes the step, or of the one that it names, as of a gateway.
    pub(super) fn send_batch(
        &mut self,
        who: &str,
        label: &str,
        said: &Map<String, Value>,
    ) -> Result<bool, Refusal> {
        let mut args = Args::of(said);
        args.text("type")?;
        let named = args.text("device")?;
        let by_device = cast::is_device(who);
        let sender = match &named {
            Some(named) if !by_device => self.device_named(who, named),
            _ => who.to_owned(),
        };
        let (post, which) = device_and_key(&sender);
        if !by_device && named.is_none() {
            let detail = format!("{who} has no readings of its own, wants a device or args.device");
            return Err(Refusal::new(Code::RoleNotAllowed, detail));
        }
        self.install(&sender)?;
        let Some(mut station) = self.stations.get(post).cloned() else {
            return Err(Refusal::new(Code::RecordNotFound, format!("device {post}")));
        };
        if let Some(named) = &named {
            let other = self.device_named(who, named);
            station.record = self.stations.get(&other).map_or_else(|| self.record(named), |one| one.record);
        }
        let key = station.secret(post, which);
        let chain_id = self.cast.chain.chain_id;
        let (details, data) = self.sealed(&station, &key, &mut args)?;
        let (stream, seq, digest) = (details.stream.clone(), details.seq, details.digest());
        let agency = cast::agency(cast::agency_of(post))?;
        let (operation, body) = build::batch(chain_id, &agency, (details, data), digest)?;
        let header = operation.header().cloned();
        let author = if by_device { key } else { cast::secret(who) };
        let duplicate = self.send_signed(&author, vec![(operation, body.clone())])?;
        if let Some(station) = self.stations.get_mut(post) {
            station.sent.insert(stream, (seq, digest));
        }
        if let Some(header) = header {
            self.keep_bare(label, header, body);
        }
        Ok(duplicate)
    }

    /// What a device signs as its next batch, or as the one that the step tells of.
    fn sealed(
        &self,
        station: &Station,
        key: &SecretKey,
        args: &mut Args,
    ) -> Result<(BatchDetails, Vec<u8>), Refusal> {
        let chain_id = self.cast.chain.chain_id;
        let stream = stream_of(station, args)?;
        let (last, before) = station.sent.get(&stream.id).copied().unwrap_or((0, Digest::ZERO));
        let seq = args.number("seq")?.unwrap_or(last + 1);
        let prev = args.value("prev").map_or(before, |named| digest_of(&named));
        let readings = device::readings(args, self.time_ms)?;
        let sealing = Sealing { chain_id, device: station.record, stream: &stream, seq, prev, key };
        let (mut details, data) = sealing.seal(&readings)?;
        misstate(&mut details, args)?;
        args.clone().finish("a batch")?;
        details.sign(chain_id, key);
        Ok((details, data))
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
            self.send(&format!("{agency}/supervisor1"), vec![(approve, None)])?;
        }
        self.rotate(post)
    }

    /// A device changes its key.
    fn rotate(&mut self, post: &str) -> Result<(), Refusal> {
        let args = Map::from_iter([("kind".to_owned(), Value::from(KeyEventKind::Rotate.name()))]);
        self.send_key_event(post, &format!("{post}/key event"), &args).map(|_| ())
    }

    pub(super) fn send_key_event(
        &mut self,
        who: &str,
        label: &str,
        said: &Map<String, Value>,
    ) -> Result<bool, Refusal> {
        let mut args = Args::of(said);
        args.text("type")?;
        args.text("legal_basis")?;
        let named = args.text("device")?;
        let (own, _) = device_and_key(who);
        let post = named.map_or_else(|| own.to_owned(), |named| self.device_named(who, &named));
        let Some(station) = self.stations.get(&post).cloned() else {
            return Err(Refusal::new(Code::ReferenceNotFound, format!("device {post}: no such record")));
        };
        let chain_id = self.cast.chain.chain_id;
        let kind = args.choice("kind", KeyEventKind::from_name)?.unwrap_or(KeyEventKind::Rotate);
        let from_ms = device::instant(&mut args, "from")?.unwrap_or(self.time_ms);
        args.finish("a key event")?;
        let new_key = (kind != KeyEventKind::Revoke).then(|| {
            let new = device::secret(&post, station.key + 1);
            NewKey {
                key: new.public(),
                label: "device".to_owned(),
                possession: Possession::prove(chain_id, &new),
            }
        });
        let mut event = KeyEventDetails { device: station.record, kind, new_key, from_ms, proof: None };
        // The device signs with the key that it has; a clerk has none of its keys.
        let by_device = who.starts_with(&post);
        let old = station.secret(&post, device_and_key(who).1);
        if by_device && kind != KeyEventKind::Compromised {
            event.proof = Some(old.sign(&KeyEventProof { chain_id, event: &event }));
        }
        let agency = cast::agency(cast::agency_of(who))?;
        let idempotency = Digest::tagged(b"city/play/key-event/1", &[label.as_bytes()]);
        let details = Details::DeviceKey(Box::new(event));
        let mut header = build::device_header(chain_id, &agency, idempotency, details);
        header.legal_basis = self.basis(said, RecordType::DeviceKey);
        let operation = Operation::Submit(Box::new(header.clone()));
        let key = if by_device { old } else { cast::secret(who) };
        let duplicate = self.send_signed(&key, vec![(operation, None)])?;
        if let (true, Some(station)) = (by_device, self.stations.get_mut(&post)) {
            station.key += 1;
        }
        self.keep_bare(label, header, None);
        Ok(duplicate)
    }

    /// The device that a step names: by its post, with or without the agency, or by the name of its registration.
    fn device_named(&self, who: &str, named: &str) -> String {
        let of_agency = format!("{}/{named}", cast::agency_of(who));
        let registered = self.acts.get(named).map(|act| act.record);
        let by_record = self.stations.iter().find(|(_, station)| Some(station.record) == registered);
        match by_record {
            Some((post, _)) => post.clone(),
            None if self.cast.devices.contains(&of_agency) => of_agency,
            None => named.to_owned(),
        }
    }

    /// Gives a registration the number of the device that the story lets act, where the step names none.
    pub(super) fn name_device(&self, who: &str, said: &mut Map<String, Value>) {
        let agency = cast::agency_of(who);
        let of_agency =
            |post: &&String| cast::agency_of(post) == agency && !self.stations.contains_key(*post);
        let mut acting = self.cast.devices.iter().filter(of_agency);
        let number = match said.get("device").or(said.get("device_id")).and_then(Value::as_str) {
            Some(named) => self.device_named(who, named),
            None => match (acting.next(), acting.next()) {
                (Some(only), None) => only.clone(),
                _ => return,
            },
        };
        said.remove("device_id");
        said.insert("device".to_owned(), Value::from(number));
    }

    /// A gap that somebody claims to have found; the ledger alone writes them.
    pub(super) fn send_gap(
        &mut self,
        who: &str,
        label: &str,
        said: &Map<String, Value>,
    ) -> Result<bool, Refusal> {
        let mut args = Args::of(said);
        args.skip(&["type"]);
        let device = args.text("device")?.unwrap_or_default();
        let gap = GapDetails {
            device: self.record(&device),
            stream: args.text("stream")?.unwrap_or_else(|| "s1".to_owned()),
            kind: args.choice("kind", GapKind::from_name)?.unwrap_or(GapKind::Sequence),
            extent: Extent::Numbers {
                from: args.number("from")?.unwrap_or(1),
                to: args.number("to")?.unwrap_or(1),
            },
            batches: Vec::new(),
        };
        args.finish("a gap")?;
        let agency = cast::agency(cast::agency_of(who))?;
        let idempotency = Digest::tagged(b"city/play/gap/1", &[label.as_bytes()]);
        let details = Details::Gap(Box::new(gap));
        let header = build::device_header(self.cast.chain.chain_id, &agency, idempotency, details);
        self.send(who, vec![(Operation::Submit(Box::new(header)), None)])
    }

    /// Keeps a record that no office drew up.
    fn keep_bare(&mut self, label: &str, header: Header, body: Option<Body>) {
        let (record, record_type) = (header.record, header.record_type);
        let body = body.unwrap_or(Body { salt: Digest::ZERO, json: String::new() });
        let filed = Filed { header, body };
        let (args, newest) = (Map::new(), Map::new());
        let act = Act { record, record_type, filed, args, newest, application: None };
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

/// The stream that a batch names, declared or not; else the first of the device.
fn stream_of(station: &Station, args: &mut Args) -> Result<Stream, Refusal> {
    let named = args.text("stream")?.or(args.text("stream_id")?);
    let declared = station.streams.iter().find(|stream| named.as_ref().is_none_or(|id| stream.id == *id));
    let mut stream = declared
        .or(station.streams.first())
        .cloned()
        .ok_or_else(|| Refusal::new(Code::StreamNotDeclared, "the device declares no stream"))?;
    stream.id = named.unwrap_or(stream.id);
    stream.terms.unit = args.text("unit")?.unwrap_or(stream.terms.unit);
    if let Some(scale) = args.value("scale") {
        let narrow = scale.as_i64().and_then(|scale| i8::try_from(scale).ok());
        stream.terms.scale = narrow.ok_or_else(|| {
            Refusal::new(Code::BadNumber, format!("args.scale is {scale}, wants -128 to 127"))
        })?;
    }
    Ok(stream)
}

/// Lets a batch say of its data what the step says of it, true or not.
fn misstate(batch: &mut BatchDetails, args: &mut Args) -> Result<(), Refusal> {
    if let Some(root) = args.value("root") {
        batch.root = digest_of(&root);
    }
    if let Some(count) = args.number("count")? {
        batch.count = u32::try_from(count).map_err(|_| {
            Refusal::new(Code::BadNumber, format!("args.count is {count}, at most {}", u32::MAX))
        })?;
    }
    Ok(())
}

/// A digest, or one that words stand for.
fn digest_of(said: &Value) -> Digest {
    serde_json::from_value(said.clone())
        .unwrap_or_else(|_| Digest::tagged(b"city/play/said/1", &[said.to_string().as_bytes()]))
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
