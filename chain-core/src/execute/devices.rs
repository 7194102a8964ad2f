//! Devices: whose key a transaction may bear, what a registration and an event of a key do to the state.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::overlay::Fail;
use super::{Author, Execution, LedgerRead, ReadError};
use crate::canonical::Reader;
use crate::code::{Code, Refusal};
use crate::crypto::PublicKey;
use crate::date::Date;
use crate::id::RecordId;
use crate::layout::{Layout as _, read_option};
use crate::record::device::{DeviceDetails, KeyEventDetails, KeyEventKind, KeyEventProof};
use crate::record::governance::Role;
use crate::record::{Details, Header, RecordType, Relation};
use crate::state::{DeviceEntry, DeviceKeyEntry, MemberEntry, RecordHead, Status, StreamEntry, key};

/// How far evidence is followed to the readings that it rests on: a finding names an advisory, and that one batches.
const EVIDENCE_DEPTH_MAX: u8 = 3;
/// Most records that are looked at for one penalty.
const EVIDENCE_RECORDS_MAX: usize = 512;

impl<L: LedgerRead> Execution<'_, L> {
    /// The device with a key, when key, device and agency are in force; none when the key is no device's.
    pub(super) fn device_author(&mut self, author: &PublicKey) -> Result<Option<Author>, Fail> {
        let Some(entry) = self.state.read::<DeviceKeyEntry>(&key::device_key(author))? else {
            return Ok(None);
        };
        self.check_key_in_force(author, &entry)?;
        let device = self.device(&entry.device)?;
        let member = MemberEntry {
            agency: device.agency,
            role: Role::Device,
            from: Date::MIN,
            to: None,
            label: device.details.key.label,
            status: Status::Effective,
            record: entry.device,
        };
        Ok(Some(Author { key: *author, member: Rc::new(member) }))
    }

    pub(super) fn check_key_in_force(
        &self,
        author: &PublicKey,
        entry: &DeviceKeyEntry,
    ) -> Result<(), Refusal> {
        if entry.is_in_force(self.time_ms) {
            return Ok(());
        }
        let until = entry.until_ms.map_or_else(String::new, |until| format!(" to before {until}"));
        let (short, from, now) = (author.short(), entry.from_ms, self.time_ms);
        let detail = format!("key {short} of the device counts from {from}{until}, block time is {now}");
        Err(Refusal::new(Code::KeyRetired, detail))
    }

    /// A device in force.
    pub(super) fn device(&self, record: &RecordId) -> Result<DeviceEntry, Fail> {
        let Some(device) = self.state.read::<DeviceEntry>(&key::device(record))? else {
            return Err(Refusal::new(Code::ReferenceNotFound, format!("device {record}")).into());
        };
        if device.status != Status::Effective {
            let detail = format!("device {record} has status {}", device.status);
            return Err(Refusal::new(Code::DeviceNotInForce, detail).into());
        }
        Ok(device)
    }

    /// Refuses a key that serves somebody already: a member, a validator or a device.
    pub(super) fn check_device_key_free(&mut self, wanted: &PublicKey) -> Result<(), Fail> {
        if self.state.member(wanted)?.is_some() {
            let detail = format!("key {} serves a member", wanted.short());
            return Err(Refusal::new(Code::KeyInUse, detail).into());
        }
        self.check_no_device_key(wanted)?;
        self.check_no_validator_key(wanted)
    }

    /// Refuses a key that a device has or had.
    pub(super) fn check_no_device_key(&self, wanted: &PublicKey) -> Result<(), Fail> {
        if self.state.get(&key::device_key(wanted))?.is_some() {
            let detail = format!("key {} serves a device, or did", wanted.short());
            return Err(Refusal::new(Code::KeyInUse, detail).into());
        }
        Ok(())
    }

    /// What must hold of a registration or a key event when it is filed, and when it takes effect.
    pub(super) fn check_device_record(
        &mut self,
        header: &Header,
        before: Option<&Header>,
    ) -> Result<(), Fail> {
        match (&header.details, before.map(|before| &before.details)) {
            (Details::Device(details), Some(Details::Device(before))) => Ok(details.check_follows(before)?),
            (Details::Device(details), _) => self.check_device_key_free(&details.key.key),
            (Details::DeviceKey(event), _) => self.check_key_event(header, event),
            _ => Ok(()),
        }
    }

    fn check_key_event(&mut self, header: &Header, event: &KeyEventDetails) -> Result<(), Fail> {
        let device = self.device(&event.device)?;
        if device.agency != header.agency {
            let detail = format!("the device is of {}, the event of {}", device.agency, header.agency);
            return Err(Refusal::new(Code::AgencyNotCompetent, detail).into());
        }
        if let Some(proof) = &event.proof {
            let message = KeyEventProof { chain_id: self.chain.chain_id, event };
            let in_force = match device.key {
                Some(old) if old.verify(&message, proof) => {
                    let entry = self.state.read::<DeviceKeyEntry>(&key::device_key(&old))?;
                    entry.is_some_and(|entry| entry.is_in_force(self.time_ms))
                }
                _ => false,
            };
            if !in_force {
                let detail = "the proof is not the signature of the device's key in force";
                return Err(Refusal::new(Code::BadSignature, detail).into());
            }
        }
        match &event.new_key {
            Some(new) => self.check_device_key_free(&new.key),
            None => Ok(()),
        }
    }

    /// A registration took effect, for the first time or in a later version.
    pub(super) fn register_device(
        &mut self,
        record: &RecordId,
        head: &RecordHead,
        details: DeviceDetails,
    ) -> Result<(), Fail> {
        let known = self.state.read::<DeviceEntry>(&key::device(record))?;
        let first = details.key.key;
        if known.is_none() {
            let entry = DeviceKeyEntry { device: *record, from_ms: self.time_ms, until_ms: None };
            self.state.put(key::device_key(&first), entry.to_canonical());
        }
        let (newest, before) = known.map_or((Some(first), None), |known| (known.key, known.before));
        let entry = DeviceEntry {
            agency: head.agency.clone(),
            legal_basis: head.current.legal_basis.clone(),
            details,
            status: Status::Effective,
            key: newest,
            before,
        };
        self.promise_batches(record, &entry)?;
        self.state.put(key::device(record), entry.to_canonical());
        Ok(())
    }

    /// The status of a registration changed.
    pub(super) fn device_status(&mut self, record: &RecordId, status: Status) -> Result<(), Fail> {
        let Some(entry) = self.state.read::<DeviceEntry>(&key::device(record))? else {
            return Ok(());
        };
        let entry = DeviceEntry { status, ..entry };
        if status == Status::Effective {
            self.promise_batches(record, &entry)?;
        }
        self.state.put(key::device(record), entry.to_canonical());
        Ok(())
    }

    /// From now on every stream of a device owes its next batch.
    fn promise_batches(&mut self, record: &RecordId, device: &DeviceEntry) -> Result<(), Fail> {
        for stream in &device.details.streams {
            let known = self.state.read::<StreamEntry>(&key::stream(record, &stream.id))?;
            let mut entry = known.unwrap_or_else(|| StreamEntry::new(self.time_ms));
            if entry.due_ms.is_none_or(|due| due <= self.time_ms) {
                self.promise(record, stream, &mut entry);
                self.state.put(key::stream(record, &stream.id), entry.to_canonical());
            }
        }
        Ok(())
    }

    /// An event of a key took effect.
    pub(super) fn change_device_key(&mut self, event: &KeyEventDetails) -> Result<(), Fail> {
        let Some(mut device) = self.state.read::<DeviceEntry>(&key::device(&event.device))? else {
            return Ok(());
        };
        // A key that somebody else has ends at once, whatever day was named; none ends before this block.
        let from_ms = match event.kind {
            KeyEventKind::Compromised => self.time_ms,
            _ => event.from_ms.max(self.time_ms),
        };
        for old in [device.key, device.before].into_iter().flatten() {
            if let Some(entry) = self.state.read::<DeviceKeyEntry>(&key::device_key(&old))? {
                self.state.put(key::device_key(&old), entry.ended(from_ms).to_canonical());
            }
        }
        device.before = device.key;
        device.key = event.new_key.as_ref().map(|new| new.key);
        if let Some(new) = device.key {
            let entry = DeviceKeyEntry { device: event.device, from_ms, until_ms: None };
            self.state.put(key::device_key(&new), entry.to_canonical());
        }
        self.state.put(key::device(&event.device), device.to_canonical());
        Ok(())
    }

    /// Refuses a penalty that rests on readings which no officer has reviewed, or of a device without a verification in
    /// force when they were taken (Administrative Penalty Law art. 41; Metrology Law art. 9).
    pub(super) fn check_automatic_evidence(&self, header: &Header) -> Result<(), Fail> {
        if header.record_type != RecordType::Penalty {
            return Ok(());
        }
        let named = header.refs.iter().filter(|reference| reference.rel == Relation::Evidence);
        let mut evidence: Vec<(RecordId, u8)> = named.map(|reference| (reference.record, 0)).collect();
        let (mut readings, mut review) = (false, false);
        let mut seen = BTreeSet::new();
        while let Some((record, distance)) = evidence.pop() {
            if !seen.insert((record, distance)) {
                continue;
            }
            if seen.len() > EVIDENCE_RECORDS_MAX {
                let detail = format!("the evidence rests on more than {EVIDENCE_RECORDS_MAX} records");
                return Err(Refusal::new(Code::SizeLimit, detail).into());
            }
            let Some(head) = self.state.read::<RecordHead>(&key::record(&record))? else { continue };
            review |= distance == 0
                && matches!(head.record_type, RecordType::DocFingerprint | RecordType::Decision);
            if head.record_type != RecordType::SensorBatch {
                // Findings and advice are worth what the readings are that they rest on.
                if distance < EVIDENCE_DEPTH_MAX {
                    let below = head.current.related(Relation::Evidence);
                    evidence.extend(below.map(|record| (record, distance + 1)));
                }
                continue;
            }
            readings = true;
            let live = head.current.status == Status::Effective;
            let (until, day) = match self.source_of(&record)? {
                Some((until, last_ms)) => (until, Date::of_time(last_ms, self.chain.utc_offset_minutes)),
                None => (None, self.today),
            };
            if !live || until.is_none_or(|until| day > until) {
                let until = until.map_or_else(|| "never".to_owned(), |until| format!("to {until}"));
                let detail = format!("readings to {day} of a device that was verified {until}");
                return Err(Refusal::new(Code::DeviceUnverified, detail).into());
            }
        }
        if readings && !review {
            let detail = "batches are named as evidence, and no decision or document that reviews them";
            return Err(Refusal::new(Code::ReviewMissing, detail).into());
        }
        Ok(())
    }

    /// To which day the device of a batch was verified when the batch was filed, and the time of the batch's last reading.
    fn source_of(&self, batch: &RecordId) -> Result<Option<(Option<Date>, u64)>, ReadError> {
        let Some(source) = self.state.get(&key::batch_source(batch))? else { return Ok(None) };
        let mut reader = Reader::new(&source);
        if RecordId::read(&mut reader).is_err() {
            return Ok(None);
        }
        let (last_ms, until) = (reader.u64(), read_option(&mut reader));
        Ok(last_ms.ok().zip(until.ok()).map(|(last_ms, until)| (until, last_ms)))
    }
}
