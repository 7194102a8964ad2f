//! Readings of a stream: the tree over them, proofs of single ones, the compact form of the data, and their statistics.
//!
//! A reading's leaf in the tree is `time ‖ value ‖ quality`, 8, 8 and 1 bytes, big-endian; the tree is that of
//! [`crate::merkle`] (RFC 6962). The data file holds for each reading the change of the distance to the reading before
//! (milliseconds), the change of the value, and the quality byte; the two numbers are zigzag LEB128 varints, and the
//! times and values before the first reading count as 0.

use serde::{Deserialize, Serialize};

use super::{Span, Terms};
use crate::canonical::{CanonicalError, Reader, Writer};
use crate::code::{Code, Refusal};
use crate::crypto::Digest;
use crate::layout::{Layout, read_option, write_option};
use crate::merkle::{self, Tree};
use crate::proof::InclusionPath;

/// Most readings of a batch.
pub const READINGS_MAX: usize = 4_096;
/// Largest value of a reading, either sign: the sum of a whole batch stays exact in every JSON reader.
pub const VALUE_MAX: i64 = 1 << 40;
/// Latest time of a reading, milliseconds since 1970: what JSON carries exactly.
pub const TIME_MS_MAX: u64 = (1 << 53) - 1;
/// The quality of a good reading; what other numbers say is the device's affair.
pub const GOOD: u8 = 0;

/// One reading.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Reading {
    /// When it was taken, by the device's clock: milliseconds since 1970, at most [`TIME_MS_MAX`].
    pub time_ms: u64,
    /// The value in units of 10^scale of the stream's unit, within ±[`VALUE_MAX`].
    pub value: i64,
    /// [`GOOD`], or why it is not.
    pub quality: u8,
}

impl Reading {
    /// The bytes of its leaf.
    pub fn leaf(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(17);
        writer.u64(self.time_ms).i64(self.value).u8(self.quality);
        writer.finish()
    }
}

/// Root of the tree over readings, in order.
pub fn root(readings: &[Reading]) -> Digest {
    merkle::root(readings.iter().map(Reading::leaf))
}

/// Path from one reading to the root of all; `None` when there is no such reading.
pub fn prove(readings: &[Reading], index: u64) -> Option<InclusionPath> {
    Tree::from_leaves(readings.iter().map(Reading::leaf)).inclusion(index)
}

/// Checks that a reading is one of the `count` under a batch's root.
///
/// # Errors
/// `PROOF_INVALID`.
pub fn verify(reading: &Reading, path: &InclusionPath, count: u32, root: &Digest) -> Result<(), Refusal> {
    if path.size != u64::from(count) {
        let detail = format!("the path is of a tree of {} readings, the batch has {count}", path.size);
        return Err(Refusal::new(Code::ProofInvalid, detail));
    }
    if !merkle::verify_inclusion(&merkle::leaf_hash(&reading.leaf()), path, root) {
        let detail = format!("the path of reading {} does not lead to the root of the batch", path.index);
        return Err(Refusal::new(Code::ProofInvalid, detail));
    }
    Ok(())
}

/// The compact form.
pub fn encode(readings: &[Reading]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(readings.len() * 4);
    let (mut before, mut distance, mut value) = (0, 0, 0);
    for reading in readings {
        let time = i64::from_be_bytes(reading.time_ms.to_be_bytes());
        let now = time.wrapping_sub(before);
        varint(&mut bytes, now.wrapping_sub(distance));
        varint(&mut bytes, reading.value.wrapping_sub(value));
        bytes.push(reading.quality);
        (before, distance, value) = (time, now, reading.value);
    }
    bytes
}

fn varint(bytes: &mut Vec<u8>, value: i64) {
    let mut rest = u64::from_be_bytes(((value << 1) ^ (value >> 63)).to_be_bytes());
    while rest >= 0x80 {
        bytes.push(0x80 | (rest & 0x7f).to_be_bytes()[7]);
        rest >>= 7;
    }
    bytes.push(rest.to_be_bytes()[7]);
}

/// Readings from their compact form; there is one form only, so that equal readings have equal digests.
///
/// # Errors
/// `BATCH_DATA` when the bytes are no compact form, hold more than [`READINGS_MAX`] readings, or one with a time or
/// value out of range.
pub fn decode(bytes: &[u8]) -> Result<Vec<Reading>, Refusal> {
    let refuse = |at: usize, why: &str| Refusal::new(Code::BatchData, format!("data at byte {at}: {why}"));
    let mut readings = Vec::new();
    let (mut at, mut before, mut distance, mut value) = (0, 0_i64, 0_i64, 0_i64);
    while at < bytes.len() {
        if readings.len() == READINGS_MAX {
            return Err(refuse(at, &format!("more than {READINGS_MAX} readings")));
        }
        let begin = at;
        let change = unvarint(bytes, &mut at).ok_or_else(|| refuse(begin, "no varint"))?;
        let step = unvarint(bytes, &mut at).ok_or_else(|| refuse(begin, "no varint"))?;
        let quality = *bytes.get(at).ok_or_else(|| refuse(at, "a reading without its quality"))?;
        at += 1;
        let now = distance.checked_add(change);
        let time = now.and_then(|now| before.checked_add(now));
        let next = value.checked_add(step).filter(|next| next.abs() <= VALUE_MAX);
        let (Some(now), Some(time), Some(next)) = (now, time, next) else {
            return Err(refuse(begin, "a time or value out of range"));
        };
        let time_ms = u64::try_from(time).ok().filter(|time_ms| *time_ms <= TIME_MS_MAX);
        let time_ms = time_ms.ok_or_else(|| refuse(begin, "a time out of range"))?;
        readings.push(Reading { time_ms, value: next, quality });
        (before, distance, value) = (time, now, next);
    }
    Ok(readings)
}

/// Reads a varint that is not longer than its value needs.
fn unvarint(bytes: &[u8], at: &mut usize) -> Option<i64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            let shortest = byte != 0 || shift == 0;
            let half = i64::from_be_bytes((value >> 1).to_be_bytes());
            return shortest.then_some(if value & 1 == 0 { half } else { !half });
        }
    }
    None
}

/// One value over a time, without a hole: from its first good reading to its last.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The value.
    pub value: i64,
    /// When.
    pub span: Span,
}

impl Layout for Run {
    fn write(&self, writer: &mut Writer) {
        writer.i64(self.value);
        self.span.write(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self { value: reader.i64()?, span: Span::read(reader)? })
    }
}

/// The runs of one value that a batch begins and ends with, and its longest.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Runs {
    /// The first one.
    pub first: Run,
    /// The last one; the same as the first when the value never changed.
    pub last: Run,
    /// The longest one, the earliest of equal ones.
    pub longest: Run,
}

impl Layout for Runs {
    fn write(&self, writer: &mut Writer) {
        for run in [&self.first, &self.last, &self.longest] {
            run.write(writer);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self { first: Run::read(reader)?, last: Run::read(reader)?, longest: Run::read(reader)? })
    }
}

/// What a batch says of its readings. Values are those of good readings; without one they are 0.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Statistics {
    /// Good readings.
    pub good: u32,
    /// The least value.
    pub min: i64,
    /// The greatest value.
    pub max: i64,
    /// The sum of the values.
    pub sum: i64,
    /// Distances between readings that are longer than the stream's tolerance.
    pub holes: u32,
    /// How many readings are missing in them, estimated from the nominal period.
    pub missing: u32,
    /// The longest of them, the earliest of equal ones.
    pub longest_hole: Option<Span>,
    /// Readings with the time of the one before.
    pub repeated: u32,
    /// Runs of one value.
    pub runs: Option<Runs>,
}

impl Statistics {
    /// Of readings of a stream with these terms.
    ///
    /// # Errors
    /// `TIME_BACKWARDS` when a reading is older than the one before, `BAD_NUMBER` for a value or a time out of range.
    pub fn of(readings: &[Reading], terms: &Terms) -> Result<Self, Refusal> {
        let mut found = Self::default();
        let mut before: Option<u64> = None;
        let mut broken = false;
        for (at, reading) in readings.iter().enumerate() {
            if reading.value.unsigned_abs() > VALUE_MAX.unsigned_abs() || reading.time_ms > TIME_MS_MAX {
                let detail = format!("reading {at}: value or time out of range");
                return Err(Refusal::new(Code::BadNumber, detail));
            }
            if let Some(before) = before {
                let Some(distance) = reading.time_ms.checked_sub(before) else {
                    let detail =
                        format!("reading {at} is of {}, the one before of {before}", reading.time_ms);
                    return Err(Refusal::new(Code::TimeBackwards, detail));
                };
                found.repeated += u32::from(distance == 0);
                if terms.is_hole(distance) {
                    broken = true;
                    found.holes += 1;
                    found.missing = found.missing.saturating_add(terms.missing_in(distance));
                    let hole = Span { from_ms: before, to_ms: reading.time_ms };
                    if found.longest_hole.is_none_or(|longest| hole.length_ms() > longest.length_ms()) {
                        found.longest_hole = Some(hole);
                    }
                }
            }
            before = Some(reading.time_ms);
            if reading.quality == GOOD {
                found.count_good(reading, broken);
                broken = false;
            }
        }
        Ok(found)
    }

    fn count_good(&mut self, reading: &Reading, broken: bool) {
        let value = reading.value;
        let alone = Run { value, span: Span { from_ms: reading.time_ms, to_ms: reading.time_ms } };
        let Some(runs) = &mut self.runs else {
            (self.good, self.min, self.max, self.sum) = (1, value, value, value);
            self.runs = Some(Runs { first: alone, last: alone, longest: alone });
            return;
        };
        self.good += 1;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.sum = self.sum.saturating_add(value);
        let in_first = runs.first == runs.last;
        runs.last = if runs.last.value == value && !broken {
            Run { value, span: Span { to_ms: reading.time_ms, ..runs.last.span } }
        } else {
            alone
        };
        if in_first
            && runs.last.span.from_ms == runs.first.span.from_ms
            && runs.last.value == runs.first.value
        {
            runs.first = runs.last;
        }
        if runs.last.span.length_ms() > runs.longest.span.length_ms() {
            runs.longest = runs.last;
        }
    }

    /// Refuses statistics that no `count` readings within a span could have.
    ///
    /// # Errors
    /// `BATCH_DATA`.
    pub fn check(&self, count: u32, span: Span) -> Result<(), Refusal> {
        let inside = |inner: &Span| {
            span.from_ms <= inner.from_ms && inner.from_ms <= inner.to_ms && inner.to_ms <= span.to_ms
        };
        let good = i64::from(self.good);
        let valued = |value: i64| self.min <= value && value <= self.max;
        let fits = |run: &Run| inside(&run.span) && valued(run.value);
        for (what, holds) in [
            ("good", self.good <= count),
            ("repeated", self.repeated < count),
            ("holes", self.holes < count && (self.holes == 0) == self.longest_hole.is_none()),
            ("missing", self.holes > 0 || self.missing == 0),
            ("longest_hole", self.longest_hole.iter().all(inside)),
            ("min or max", self.min <= self.max && self.min >= -VALUE_MAX && self.max <= VALUE_MAX),
            ("sum", self.min.saturating_mul(good) <= self.sum && self.sum <= self.max.saturating_mul(good)),
            ("runs", self.runs.is_some() == (self.good > 0)),
            ("runs", self.runs.iter().all(|runs| [runs.first, runs.last, runs.longest].iter().all(fits))),
        ] {
            if !holds {
                let detail = format!("statistics: {what} is none that {count} readings could have");
                return Err(Refusal::new(Code::BatchData, detail));
            }
        }
        Ok(())
    }
}

impl Layout for Statistics {
    fn write(&self, writer: &mut Writer) {
        writer.u32(self.good).i64(self.min).i64(self.max).i64(self.sum);
        writer.u32(self.holes).u32(self.missing);
        write_option(writer, self.longest_hole.as_ref());
        writer.u32(self.repeated);
        write_option(writer, self.runs.as_ref());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            good: reader.u32()?,
            min: reader.i64()?,
            max: reader.i64()?,
            sum: reader.i64()?,
            holes: reader.u32()?,
            missing: reader.u32()?,
            longest_hole: read_option(reader)?,
            repeated: reader.u32()?,
            runs: read_option(reader)?,
        })
    }
}

#[cfg(test)]
mod tests;
