//! Gaps: what the ledger itself finds missing or odd in a stream. They are recorded, never a reason to refuse a batch,
//! and never removed; a record of the device's agency may explain one later.

use serde::{Deserialize, Serialize};

use super::Span;
use crate::canonical::{CanonicalError, Reader, Writer};
use crate::crypto::Digest;
use crate::id::RecordId;
use crate::layout::{Layout, closed_list, read_list, write_list};
use crate::record::CODE_BYTES_MAX;

/// Most batches that a gap names: the one before and the one after.
pub const BATCHES_MAX: usize = 2;

closed_list!(
    /// What is missing or odd.
    GapKind as u8, "kind of gap" {
        /// Batches are missing: the numbers jump.
        Sequence = 1, "sequence";
        /// Readings are missing, or several are of one time.
        Time = 2, "time";
        /// No batch came within the promise.
        Silent = 3, "silent";
        /// The device's time is far from that of the block.
        Clock = 4, "clock";
        /// One value for too long.
        Stuck = 5, "stuck";
        /// A value that is declared as impossible.
        Range = 6, "range";
    }
);

closed_list!(
    /// From where to where a gap reaches.
    ExtentKind as u8, "extent" {
        /// Times.
        Times = 1, "times";
        /// Numbers of batches.
        Numbers = 2, "numbers";
    }
);

/// From where to where a gap reaches, both included.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// Times.
    Times(Span),
    /// Numbers of the batches that are missing.
    Numbers {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
}

impl Layout for Extent {
    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Times(span) => {
                ExtentKind::Times.write(writer);
                span.write(writer);
            }
            Self::Numbers { from, to } => {
                ExtentKind::Numbers.write(writer);
                writer.u64(*from).u64(*to);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(match ExtentKind::read(reader)? {
            ExtentKind::Times => Self::Times(Span::read(reader)?),
            ExtentKind::Numbers => Self::Numbers { from: reader.u64()?, to: reader.u64()? },
        })
    }
}

/// What the header of `sensor.gap` says; it has no body and nobody's signature.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GapDetails {
    /// The device's registration.
    pub device: RecordId,
    /// The stream's name.
    pub stream: String,
    /// What is missing or odd.
    pub kind: GapKind,
    /// From where to where.
    pub extent: Extent,
    /// The batches it was found in, or between; of a silence, the last one before it.
    pub batches: Vec<RecordId>,
}

impl GapDetails {
    /// What its record id is made of: the same gap is recorded once.
    pub fn idempotency(&self) -> Digest {
        Digest::tagged(b"cityledger/gap/1", &[&self.to_canonical()])
    }
}

impl Layout for GapDetails {
    fn write(&self, writer: &mut Writer) {
        self.device.write(writer);
        writer.text(&self.stream);
        self.kind.write(writer);
        self.extent.write(writer);
        write_list(writer, &self.batches);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            device: RecordId::read(reader)?,
            stream: reader.text(CODE_BYTES_MAX)?,
            kind: GapKind::read(reader)?,
            extent: Extent::read(reader)?,
            batches: read_list(reader, BATCHES_MAX)?,
        })
    }
}
