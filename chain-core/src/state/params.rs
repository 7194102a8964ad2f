//! Parameters that the council has voted, in the state.

use serde::{Deserialize, Serialize};

use super::Status;
use crate::canonical::{CanonicalError, Reader, Writer};
use crate::id::RecordId;
use crate::layout::Layout;
use crate::record::params::ParamsDetails;

/// A set of parameters and the day from which it holds.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ParamsEntry {
    /// Its content.
    pub details: ParamsDetails,
    /// Effective, suspended or revoked.
    pub status: Status,
    /// The record that says so.
    pub record: RecordId,
}

impl Layout for ParamsEntry {
    fn write(&self, writer: &mut Writer) {
        self.details.write(writer);
        self.status.write(writer);
        self.record.write(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            details: ParamsDetails::read(reader)?,
            status: Status::read(reader)?,
            record: RecordId::read(reader)?,
        })
    }
}

/// State keys.
pub(super) mod key {
    use crate::canonical::Writer;
    use crate::date::Date;

    /// Of the [`super::ParamsEntry`] that begins on a day. Later days come first.
    pub fn params(from: Date) -> Vec<u8> {
        let mut writer = Writer::with_capacity(8);
        writer.u8(0x0e).u32(u32::MAX - from.day_number());
        writer.finish()
    }

    /// The first key after all of them.
    pub fn params_end() -> Vec<u8> {
        vec![0x0f]
    }
}
