//! What the state holds of devices, their keys and their streams.

use serde::Serialize;

use super::Status;
use crate::canonical::{CanonicalError, Reader, Writer};
use crate::crypto::{Digest, PublicKey};
use crate::id::RecordId;
use crate::layout::{Layout, read_option, write_option};
use crate::org::OrgId;
use crate::record::BasisRef;
use crate::record::device::DeviceDetails;
use crate::record::device::readings::Run;

/// A device as the rules for its batches see it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct DeviceEntry {
    /// The agency whose device it is.
    pub agency: OrgId,
    /// The legal basis that its batches rest on too.
    pub legal_basis: Option<BasisRef>,
    /// Streams and verification in the version in effect; the key in it is the first one.
    pub details: DeviceDetails,
    /// Effective, suspended or revoked.
    pub status: Status,
    /// The newest key; none after one was revoked and before another came.
    pub key: Option<PublicKey>,
    /// The key that the newest one takes the place of.
    pub before: Option<PublicKey>,
}

impl Layout for DeviceEntry {
    fn write(&self, writer: &mut Writer) {
        self.agency.write(writer);
        write_option(writer, self.legal_basis.as_ref());
        self.details.write(writer);
        self.status.write(writer);
        write_option(writer, self.key.as_ref());
        write_option(writer, self.before.as_ref());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            agency: OrgId::read(reader)?,
            legal_basis: read_option(reader)?,
            details: DeviceDetails::read(reader)?,
            status: Status::read(reader)?,
            key: read_option(reader)?,
            before: read_option(reader)?,
        })
    }
}

/// A key that a device has or had; it is never forgotten, so that no other device can get it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct DeviceKeyEntry {
    /// The device's registration.
    pub device: RecordId,
    /// From when it counts, milliseconds since 1970.
    pub from_ms: u64,
    /// From when it counts no more.
    pub until_ms: Option<u64>,
}

impl DeviceKeyEntry {
    /// Whether it counts at a block time.
    pub fn is_in_force(&self, time_ms: u64) -> bool {
        self.from_ms <= time_ms && self.until_ms.is_none_or(|until| time_ms < until)
    }

    /// The same, counting no longer than to a time.
    #[must_use]
    pub fn ended(self, at_ms: u64) -> Self {
        Self { until_ms: Some(self.until_ms.map_or(at_ms, |until| until.min(at_ms))), ..self }
    }
}

impl Layout for DeviceKeyEntry {
    fn write(&self, writer: &mut Writer) {
        self.device.write(writer);
        writer.u64(self.from_ms).option(self.until_ms, |writer, until| {
            writer.u64(until);
        });
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            device: RecordId::read(reader)?,
            from_ms: reader.u64()?,
            until_ms: reader.option(Reader::u64)?,
        })
    }
}

/// How far a stream has come.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct StreamEntry {
    /// Number of the last batch; 0 before the first.
    pub seq: u64,
    /// Digest of the last batch; zero before the first.
    pub prev: Digest,
    /// The last batch.
    pub batch: Option<RecordId>,
    /// Time of the last reading, by the device's clock.
    pub last_ms: u64,
    /// Block time of the last batch; before the first, of the registration.
    pub heard_ms: u64,
    /// When the promise of the next batch runs out; none once that was found.
    pub due_ms: Option<u64>,
    /// The value that the stream ended with, and since when.
    pub tail: Option<Run>,
    /// The beginning of the last run of one value that was found too long.
    pub stuck_from_ms: Option<u64>,
}

impl StreamEntry {
    /// A stream that has no batch yet.
    pub fn new(registered_ms: u64) -> Self {
        Self {
            seq: 0,
            prev: Digest::ZERO,
            batch: None,
            last_ms: 0,
            heard_ms: registered_ms,
            due_ms: None,
            tail: None,
            stuck_from_ms: None,
        }
    }
}

impl Layout for StreamEntry {
    fn write(&self, writer: &mut Writer) {
        writer.u64(self.seq).digest(&self.prev);
        write_option(writer, self.batch.as_ref());
        writer.u64(self.last_ms).u64(self.heard_ms);
        writer.option(self.due_ms, |writer, due| {
            writer.u64(due);
        });
        write_option(writer, self.tail.as_ref());
        writer.option(self.stuck_from_ms, |writer, from| {
            writer.u64(from);
        });
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            seq: reader.u64()?,
            prev: reader.digest()?,
            batch: read_option(reader)?,
            last_ms: reader.u64()?,
            heard_ms: reader.u64()?,
            due_ms: reader.option(Reader::u64)?,
            tail: read_option(reader)?,
            stuck_from_ms: reader.option(Reader::u64)?,
        })
    }
}

/// Keys of devices and streams, and of the queues of gaps.
pub(super) mod key {
    use super::{Layout as _, PublicKey, Reader, RecordId, Writer};
    use crate::id::Height;
    use crate::record::CODE_BYTES_MAX;

    /// Of a [`super::DeviceEntry`].
    pub fn device(record: &RecordId) -> Vec<u8> {
        let mut writer = Writer::with_capacity(40);
        writer.u8(0x10).digest(record.digest());
        writer.finish()
    }

    /// Of a [`super::StreamEntry`].
    pub fn stream(device: &RecordId, stream: &str) -> Vec<u8> {
        let mut writer = Writer::with_capacity(64);
        writer.u8(0x11).digest(device.digest()).text(stream);
        writer.finish()
    }

    /// Of a [`super::DeviceKeyEntry`].
    pub fn device_key(key: &PublicKey) -> Vec<u8> {
        let mut writer = Writer::with_capacity(40);
        writer.u8(0x12).public_key(key);
        writer.finish()
    }

    /// In the queue of promises that run out.
    pub fn promise(due_ms: u64, device: &RecordId, stream: &str) -> Vec<u8> {
        let mut writer = Writer::with_capacity(72);
        writer.u8(0x98).u64(due_ms).digest(device.digest()).text(stream);
        writer.finish()
    }

    /// First possible key of the queue of promises that run out at a time or later.
    pub fn promises_from(due_ms: u64) -> Vec<u8> {
        let mut writer = Writer::with_capacity(16);
        writer.u8(0x98).u64(due_ms);
        writer.finish()
    }

    /// Time, device and stream of such a key.
    pub fn parse_promise(key: &[u8]) -> Option<(u64, RecordId, String)> {
        let mut reader = Reader::new(key.get(1..)?);
        Some((reader.u64().ok()?, RecordId::read(&mut reader).ok()?, reader.text(CODE_BYTES_MAX).ok()?))
    }

    /// Of the device of a batch, and the time of its last reading.
    pub fn batch_source(batch: &RecordId) -> Vec<u8> {
        let mut writer = Writer::with_capacity(40);
        writer.u8(0x9a).digest(batch.digest());
        writer.finish()
    }

    /// In the queue of gaps that a block had no room for.
    pub fn gap_to_write(height: Height, number: u32) -> Vec<u8> {
        let mut writer = Writer::with_capacity(16);
        writer.u8(0x99).u64(height.get()).u32(number);
        writer.finish()
    }

    /// First and last possible key of that queue.
    pub fn all_gaps_to_write() -> (Vec<u8>, Vec<u8>) {
        (vec![0x99], vec![0x9a])
    }
}
