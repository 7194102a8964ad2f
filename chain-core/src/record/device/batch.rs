//! Batches: up to 4,096 readings of one stream under one signature of the device, anchored by their root.
//!
//! Everything that the ledger judges stands in the header's details. The data itself is kept elsewhere, or travels as the
//! body of the record, `{"data":"…"}` in Base64; then every validator compares it with the header. Only the form, the
//! order and the statistics of a batch are rules: whether its values are true is not for the ledger to say.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::readings::{self, READINGS_MAX, Reading, Statistics, TIME_MS_MAX};
use super::{Span, Stream, Terms};
use crate::canonical::{CanonicalError, Reader, Writer};
use crate::code::{Code, Refusal};
use crate::crypto::{Digest, SIGNATURE_DOMAIN, SecretKey, Signable, Signature};
use crate::id::{ChainId, RecordId};
use crate::layout::{Layout, closed_list};
use crate::proof::InclusionPath;
use crate::record::body::{Derived, Fields};
use crate::record::governance::check_text;
use crate::record::{CODE_BYTES_MAX, SubjectKind};

/// Most bytes of data that travel with a batch.
pub const INLINE_BYTES_MAX: usize = 8 * 1024;
/// Largest number of a batch: what JSON carries exactly.
pub const SEQ_MAX: u64 = (1 << 53) - 1;

closed_list!(
    /// Where the data of a batch is.
    DataPlace as u8, "place of data" {
        /// Kept by the agency or the owner of the device.
        OffChain = 1, "off_chain";
        /// In the body of the record.
        Inline = 2, "inline";
    }
);

/// What the header of `sensor.batch` says.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BatchDetails {
    /// The device's registration.
    pub device: RecordId,
    /// The stream's name.
    pub stream: String,
    /// The terms it was read in: those of the stream.
    pub terms: Terms,
    /// Number of the batch in its stream, from 1; the next is one more.
    pub seq: u64,
    /// Time of the first reading, milliseconds since 1970.
    pub first_ms: u64,
    /// Time of the last reading.
    pub last_ms: u64,
    /// Readings, 1 to [`READINGS_MAX`].
    pub count: u32,
    /// Root of the tree over them; see [`readings::root`].
    pub root: Digest,
    /// [`BatchDetails::digest`] of the batch before; zero for the first one.
    pub prev: Digest,
    /// What the readings come to.
    pub statistics: Statistics,
    /// SHA-256 of the data; of data in the body, of its compact form.
    pub data: Digest,
    /// Bytes of the data.
    pub data_len: u32,
    /// Where the data is.
    pub place_of_data: DataPlace,
    /// The device's signature over [`BatchPreimage`].
    pub signature: Signature,
}

/// What makes a batch of readings.
#[derive(Clone, Copy, Debug)]
pub struct Sealing<'a> {
    /// The chain.
    pub chain_id: ChainId,
    /// The device's registration.
    pub device: RecordId,
    /// The stream.
    pub stream: &'a Stream,
    /// Number of the batch.
    pub seq: u64,
    /// Digest of the batch before.
    pub prev: Digest,
    /// The key in force.
    pub key: &'a SecretKey,
}

impl Sealing<'_> {
    /// Seals readings as a batch whose data is its compact form: in the body where it fits, else kept elsewhere.
    ///
    /// # Errors
    /// As [`Statistics::of`], and `MISSING_FIELD` without a reading.
    pub fn seal(&self, readings: &[Reading]) -> Result<(BatchDetails, Vec<u8>), Refusal> {
        let (Some(first), Some(last)) = (readings.first(), readings.last()) else {
            return Err(Refusal::new(Code::MissingField, "a batch has at least one reading"));
        };
        let data = readings::encode(readings);
        let fits = data.len() <= INLINE_BYTES_MAX;
        let mut details = BatchDetails {
            device: self.device,
            stream: self.stream.id.clone(),
            terms: self.stream.terms.clone(),
            seq: self.seq,
            first_ms: first.time_ms,
            last_ms: last.time_ms,
            count: u32::try_from(readings.len()).unwrap_or(u32::MAX),
            root: readings::root(readings),
            prev: self.prev,
            statistics: Statistics::of(readings, &self.stream.terms)?,
            data: Digest::tagged(&[], &[&data]),
            data_len: u32::try_from(data.len()).unwrap_or(u32::MAX),
            place_of_data: if fits { DataPlace::Inline } else { DataPlace::OffChain },
            signature: Signature::ZERO,
        };
        details.sign(self.chain_id, self.key);
        Ok((details, data))
    }
}

impl BatchDetails {
    /// What the next batch names, and what is signed: SHA-256 over everything but the signature.
    pub fn digest(&self) -> Digest {
        let mut writer = Writer::new();
        self.write_content(&mut writer);
        Digest::tagged(b"cityledger/batch/1", &[&writer.finish()])
    }

    /// Signs the batch as it is.
    pub fn sign(&mut self, chain_id: ChainId, key: &SecretKey) {
        self.signature = key.sign(&BatchPreimage { chain_id, digest: self.digest() });
    }

    /// What makes a batch the same when it is sent again: nobody can file two under one number.
    pub fn idempotency(&self) -> Digest {
        let mut writer = Writer::new();
        writer.digest(self.device.digest()).text(&self.stream).u64(self.seq);
        Digest::tagged(b"cityledger/batch-key/1", &[&writer.finish()])
    }

    /// From the first reading to the last.
    pub const fn span(&self) -> Span {
        Span { from_ms: self.first_ms, to_ms: self.last_ms }
    }

    /// Checks content without state and without the data.
    ///
    /// # Errors
    /// The code of the first flaw.
    pub fn check(&self) -> Result<(), Refusal> {
        check_text("stream", &self.stream, CODE_BYTES_MAX)?;
        self.terms.check()?;
        if self.last_ms < self.first_ms {
            let detail = format!("the last reading is of {}, the first of {}", self.last_ms, self.first_ms);
            return Err(Refusal::new(Code::TimeBackwards, detail));
        }
        if !(1..=READINGS_MAX).contains(&(self.count as usize)) {
            let detail = format!("{} readings, wants 1 to {READINGS_MAX}", self.count);
            return Err(Refusal::new(Code::SizeLimit, detail));
        }
        let inline = self.place_of_data == DataPlace::Inline;
        if self.data_len == 0 || (inline && self.data_len as usize > INLINE_BYTES_MAX) {
            let detail = format!("{} bytes of data, in the body 1 to {INLINE_BYTES_MAX}", self.data_len);
            return Err(Refusal::new(Code::SizeLimit, detail));
        }
        if !(1..=SEQ_MAX).contains(&self.seq) || self.last_ms > TIME_MS_MAX {
            let detail = format!("seq {} or time {} out of range", self.seq, self.last_ms);
            return Err(Refusal::new(Code::BadNumber, detail));
        }
        self.statistics.check(self.count, self.span())
    }

    /// Compares the batch with its data in compact form.
    ///
    /// # Errors
    /// `BATCH_DATA` for what does not agree, `TIME_BACKWARDS` for readings out of order.
    pub fn check_data(&self, data: &[u8]) -> Result<Vec<Reading>, Refusal> {
        let differs = |what: &str| {
            Err(Refusal::new(Code::BatchData, format!("{what} of the header is not that of the data")))
        };
        if data.len() != self.data_len as usize || Digest::tagged(&[], &[data]) != self.data {
            return differs("digest or length");
        }
        let readings = readings::decode(data)?;
        if readings.len() != self.count as usize {
            return differs("count");
        }
        let statistics = Statistics::of(&readings, &self.terms)?;
        let ends = [readings.first(), readings.last()].map(|reading| reading.map(|one| one.time_ms));
        if ends != [Some(self.first_ms), Some(self.last_ms)] {
            return differs("first or last time");
        }
        if readings::root(&readings) != self.root {
            return differs("root");
        }
        if statistics != self.statistics {
            return differs("one of the statistics");
        }
        Ok(readings)
    }

    /// Checks that a reading is one of the batch.
    ///
    /// # Errors
    /// `PROOF_INVALID`.
    pub fn verify_reading(&self, reading: &Reading, path: &InclusionPath) -> Result<(), Refusal> {
        readings::verify(reading, path, self.count, &self.root)
    }

    fn write_content(&self, writer: &mut Writer) {
        self.device.write(writer);
        writer.text(&self.stream);
        self.terms.write(writer);
        writer.u64(self.seq).u64(self.first_ms).u64(self.last_ms).u32(self.count);
        writer.digest(&self.root).digest(&self.prev);
        self.statistics.write(writer);
        writer.digest(&self.data).u32(self.data_len);
        self.place_of_data.write(writer);
    }
}

/// Kind 20: domain, kind, chain, digest of the batch.
#[derive(Clone, Copy, Debug)]
pub struct BatchPreimage {
    /// The chain.
    pub chain_id: ChainId,
    /// [`BatchDetails::digest`].
    pub digest: Digest,
}

impl Signable for BatchPreimage {
    fn preimage(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.raw(SIGNATURE_DOMAIN).u8(20).digest(self.chain_id.digest()).digest(&self.digest);
        writer.finish()
    }
}

impl Layout for BatchDetails {
    fn write(&self, writer: &mut Writer) {
        self.write_content(writer);
        writer.signature(&self.signature);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            device: RecordId::read(reader)?,
            stream: reader.text(CODE_BYTES_MAX)?,
            terms: Terms::read(reader)?,
            seq: reader.u64()?,
            first_ms: reader.u64()?,
            last_ms: reader.u64()?,
            count: reader.u32()?,
            root: reader.digest()?,
            prev: reader.digest()?,
            statistics: Statistics::read(reader)?,
            data: reader.digest()?,
            data_len: reader.u32()?,
            place_of_data: DataPlace::read(reader)?,
            signature: reader.signature()?,
        })
    }
}

/// Body of `sensor.batch`, where its data travels with it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BatchBody {
    /// The data in compact form (see [`readings`]), at most [`INLINE_BYTES_MAX`] bytes, in Base64 with padding.
    pub data: String,
}

impl BatchBody {
    /// The body of data.
    pub fn new(data: &[u8]) -> Self {
        Self { data: STANDARD.encode(data) }
    }
}

pub(crate) fn judge_batch(fields: &mut Fields<'_>) -> Result<Derived, Refusal> {
    let text = fields.text("data", INLINE_BYTES_MAX * 4 / 3 + 4)?;
    let data = STANDARD.decode(text).map_err(|_| {
        Refusal::new(Code::SchemaInvalid, "data is no Base64 with padding (RFC 4648 section 4)")
    })?;
    Ok(Derived { subject_kind: Some(SubjectKind::Thing), data: Some(data), ..Derived::default() })
}
