//! What the state holds of validators: what governance wants, and the set of the epoch.

use serde::Serialize;

use crate::canonical::{CanonicalError, Reader, Writer};
use crate::committee::{Committee, VALIDATORS_MAX, Validator};
use crate::crypto::Digest;
use crate::genesis::NAME_MAX;
use crate::id::{Epoch, Height, RecordId};
use crate::layout::{Layout, read_list, read_option, write_list, write_option};
use crate::record::validator::READY_MS;
use crate::record::{NAME_BYTES_MAX, read_bool};
use crate::state::Status;

impl Layout for Validator {
    fn write(&self, writer: &mut Writer) {
        writer.text(&self.name).text(&self.agency);
        writer.public_key(&self.consensus_key).public_key(&self.network_key).public_key(&self.log_key);
        writer.text(&self.address).u8(u8::from(self.may_lead));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            name: reader.text(NAME_MAX)?,
            agency: reader.text(NAME_BYTES_MAX)?,
            consensus_key: reader.public_key()?,
            network_key: reader.public_key()?,
            log_key: reader.public_key()?,
            address: reader.text(NAME_BYTES_MAX)?,
            may_lead: read_bool(reader)?,
        })
    }
}

impl Layout for Committee {
    fn write(&self, writer: &mut Writer) {
        writer.u64(self.epoch().get());
        write_list(writer, self.validators());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        let epoch = Epoch::new(reader.u64()?);
        let validators = read_list(reader, VALIDATORS_MAX)?;
        Self::new(epoch, validators).map_err(|_| reader.error("these validators make no set"))
    }
}

/// A validator's word that it is ready.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct ReadyEntry {
    /// The epoch in which it said so.
    pub epoch: Epoch,
    /// When it said so, by its own clock: milliseconds since 1970.
    pub time_ms: u64,
}

impl Layout for ReadyEntry {
    fn write(&self, writer: &mut Writer) {
        writer.u64(self.epoch.get()).u64(self.time_ms);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self { epoch: Epoch::new(reader.u64()?), time_ms: reader.u64()? })
    }
}

/// A validator as governance wants it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ValidatorEntry {
    /// Its keys and address in the version in effect.
    pub validator: Validator,
    /// Effective: wanted in the set; suspended: kept out of it for a time; revoked: gone.
    pub status: Status,
    /// The record that says so.
    pub record: RecordId,
    /// The version in effect.
    pub version: u32,
    /// The how-manieth approved change of the validator set this is.
    pub order: u64,
    /// That it is ready for this version, if it said so.
    pub ready: Option<ReadyEntry>,
}

impl ValidatorEntry {
    /// Whether governance wants it in the set.
    pub fn is_wanted(&self) -> bool {
        self.status == Status::Effective
    }

    /// Whether its word that it is ready counts in an epoch at a block time.
    pub fn is_ready(&self, epoch: Epoch, time_ms: u64) -> bool {
        self.ready
            .is_some_and(|ready| ready.epoch == epoch && time_ms.saturating_sub(ready.time_ms) <= READY_MS)
    }
}

impl Layout for ValidatorEntry {
    fn write(&self, writer: &mut Writer) {
        self.validator.write(writer);
        self.status.write(writer);
        self.record.write(writer);
        writer.u32(self.version).u64(self.order);
        write_option(writer, self.ready.as_ref());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            validator: Validator::read(reader)?,
            status: Status::read(reader)?,
            record: RecordId::read(reader)?,
            version: reader.u32()?,
            order: reader.u64()?,
            ready: read_option(reader)?,
        })
    }
}

/// The set of the next epoch, once it is settled.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Scheduled {
    /// The height whose execution settled it: the epoch's closing block is the first that certifies it.
    pub height: Height,
    /// The set.
    pub next: Committee,
}

impl Layout for Scheduled {
    fn write(&self, writer: &mut Writer) {
        writer.u64(self.height.get());
        self.next.write(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self { height: Height::new(reader.u64()?), next: Committee::read(reader)? })
    }
}

/// Most names of [`EpochEntry::names`]: everyone who may join, takes part, or will from the next epoch on.
pub const NAMES_MAX: usize = 3 * VALIDATORS_MAX;

/// The epoch: who votes, since which block, and who will.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct EpochEntry {
    /// The set in force.
    pub current: Committee,
    /// The block before the epoch's first one: the closing block of the epoch before, or genesis.
    pub base_height: Height,
    /// Digest of that block; of genesis the chain id.
    pub base_digest: Digest,
    /// The next set, frozen from the block that settled it until the epoch's end.
    pub scheduled: Option<Scheduled>,
    /// Names of all validators that are not revoked, of those revoked ones that still take part or are about
    /// to, and of those that left last; ascending.
    pub names: Vec<String>,
    /// How many changes of the validator set were approved.
    pub changes: u64,
}

impl Layout for EpochEntry {
    fn write(&self, writer: &mut Writer) {
        self.current.write(writer);
        writer.u64(self.base_height.get()).digest(&self.base_digest);
        write_option(writer, self.scheduled.as_ref());
        writer.count(self.names.len());
        for name in &self.names {
            writer.text(name);
        }
        writer.u64(self.changes);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            current: Committee::read(reader)?,
            base_height: Height::new(reader.u64()?),
            base_digest: reader.digest()?,
            scheduled: read_option(reader)?,
            names: {
                let count = reader.count(NAMES_MAX)?;
                (0..count).map(|_| reader.text(NAME_MAX)).collect::<Result<_, _>>()?
            },
            changes: reader.u64()?,
        })
    }
}
