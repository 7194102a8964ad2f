//! What the state holds of an erasure: who was to destroy the bodies, and who said that it did.

use serde::{Deserialize, Serialize};

use crate::canonical::{CanonicalError, Reader, Writer};
use crate::committee::VALIDATORS_MAX;
use crate::genesis::NAME_MAX;
use crate::id::Height;
use crate::layout::{Layout, read_list, write_list};

/// A validator's word that it destroyed the bodies of a record.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Confirmation {
    /// Its name.
    pub validator: String,
    /// How many bodies it held until then.
    pub bodies: u32,
    /// The leaf that holds its word.
    pub leaf_index: u64,
}

impl Layout for Confirmation {
    fn write(&self, writer: &mut Writer) {
        writer.text(&self.validator).u32(self.bodies).u64(self.leaf_index);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self { validator: reader.text(NAME_MAX)?, bodies: reader.u32()?, leaf_index: reader.u64()? })
    }
}

/// A name as a list holds it.
struct Name(String);

impl Layout for Name {
    fn write(&self, writer: &mut Writer) {
        writer.text(&self.0);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self(reader.text(NAME_MAX)?))
    }
}

/// Where a body stands: an operation of an ordered transaction.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct BodyPlace {
    /// The block.
    pub height: Height,
    /// Which of its batches.
    pub batch: u32,
    /// Which transaction of the batch.
    pub position: u32,
    /// Which operation of the transaction.
    pub operation: u16,
}

impl Layout for BodyPlace {
    fn write(&self, writer: &mut Writer) {
        writer.u64(self.height.get()).u32(self.batch).u32(self.position).u16(self.operation);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            height: Height::new(reader.u64()?),
            batch: reader.u32()?,
            position: reader.u32()?,
            operation: reader.u16()?,
        })
    }
}

/// The certificate of an erasure: proved against the state's root, it says who has destroyed what.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ErasureEntry {
    /// Block from which on nobody may hold the bodies.
    pub height: Height,
    /// The leaf that made the order complete.
    pub leaf_index: u64,
    /// The version that it named.
    pub version: u32,
    /// Names of the validators of that block's epoch that have not confirmed yet.
    pub awaited: Vec<String>,
    /// Those that have, in order.
    pub confirmed: Vec<Confirmation>,
}

impl Layout for ErasureEntry {
    fn write(&self, writer: &mut Writer) {
        writer.u64(self.height.get()).u64(self.leaf_index).u32(self.version);
        let awaited: Vec<Name> = self.awaited.iter().cloned().map(Name).collect();
        write_list(writer, &awaited);
        write_list(writer, &self.confirmed);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        let (height, leaf_index, version) = (Height::new(reader.u64()?), reader.u64()?, reader.u32()?);
        let awaited: Vec<Name> = read_list(reader, VALIDATORS_MAX)?;
        let awaited = awaited.into_iter().map(|name| name.0).collect();
        Ok(Self { height, leaf_index, version, awaited, confirmed: read_list(reader, VALIDATORS_MAX)? })
    }
}
