//! Schemas of registered types in the state.

use serde::{Deserialize, Serialize};

use super::Status;
use crate::canonical::{CanonicalError, Reader, Writer};
use crate::id::RecordId;
use crate::layout::Layout;
use crate::record::schema::SchemaDetails;

/// A version of a registered type as rules see it. It is never removed: records filed under it are judged by it for ever.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SchemaEntry {
    /// Its content.
    pub details: SchemaDetails,
    /// Effective, suspended or revoked.
    pub status: Status,
    /// The record that says so.
    pub record: RecordId,
}

impl Layout for SchemaEntry {
    fn write(&self, writer: &mut Writer) {
        self.details.write(writer);
        self.status.write(writer);
        self.record.write(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            details: SchemaDetails::read(reader)?,
            status: Status::read(reader)?,
            record: RecordId::read(reader)?,
        })
    }
}

/// State keys.
pub(super) mod key {
    use crate::canonical::Writer;
    use crate::layout::Layout as _;
    use crate::record::TypeKey;

    /// Of a [`super::SchemaEntry`].
    pub fn schema(type_key: TypeKey, version: u16) -> Vec<u8> {
        let mut writer = Writer::with_capacity(64);
        type_key.write(writer.u8(0x0d));
        writer.u16(version);
        writer.finish()
    }
}
