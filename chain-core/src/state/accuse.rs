//! What the state holds of offences: for ever, each once.

use serde::{Deserialize, Serialize};

use crate::canonical::{CanonicalError, Reader, Writer};
use crate::crypto::PublicKey;
use crate::evidence::{Offence, OffenceKind};
use crate::genesis::NAME_MAX;
use crate::id::{Epoch, Height, RecordId, ValidatorIx};
use crate::layout::Layout;

/// An offence that the ledger holds proof of.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct OffenceEntry {
    /// What was done, by which place of which epoch's set.
    pub offence: Offence,
    /// The offender's consensus key.
    pub key: PublicKey,
    /// The offender's name in that epoch.
    pub name: String,
    /// The record id under which outcomes and leaf name it.
    pub record: RecordId,
    /// Block that accepted the proof.
    pub height: Height,
    /// Its time, milliseconds since 1970.
    pub time_ms: u64,
    /// Leaf that holds the proof.
    pub leaf_index: u64,
    /// Key of whoever filed it.
    pub accuser: PublicKey,
}

impl Layout for OffenceEntry {
    fn write(&self, writer: &mut Writer) {
        self.offence.write(writer);
        writer.public_key(&self.key).text(&self.name);
        self.record.write(writer);
        writer.u64(self.height.get()).u64(self.time_ms).u64(self.leaf_index).public_key(&self.accuser);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            offence: Offence::read(reader)?,
            key: reader.public_key()?,
            name: reader.text(NAME_MAX)?,
            record: RecordId::read(reader)?,
            height: Height::new(reader.u64()?),
            time_ms: reader.u64()?,
            leaf_index: reader.u64()?,
            accuser: reader.public_key()?,
        })
    }
}

/// A consensus key with which an offence was committed: it leads no epoch that begins later.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct OffenderEntry {
    /// Offences proven.
    pub offences: u64,
    /// Block that accepted the first proof.
    pub since: Height,
}

impl Layout for OffenderEntry {
    fn write(&self, writer: &mut Writer) {
        writer.u64(self.offences).u64(self.since.get());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self { offences: reader.u64()?, since: Height::new(reader.u64()?) })
    }
}

/// Keys of kind 0x08; the second byte says which entry.
pub(super) mod key {
    use super::{Epoch, Layout as _, Offence, PublicKey, ValidatorIx, Writer};

    fn of(sort: u8) -> Writer {
        let mut writer = Writer::with_capacity(64);
        writer.u8(0x08).u8(sort);
        writer
    }

    /// Of an [`super::OffenceEntry`]: the offender's consensus key, kind, epoch and view.
    pub fn offence(offender: &PublicKey, offence: &Offence) -> Vec<u8> {
        let mut writer = of(1);
        writer.public_key(offender);
        offence.kind.write(&mut writer);
        writer.u64(offence.epoch.get()).u64(offence.view.get());
        writer.finish()
    }

    /// First and last possible key of every offence.
    pub fn all_offences() -> (Vec<u8>, Vec<u8>) {
        (of(1).finish(), of(2).finish())
    }

    /// Of an [`super::OffenderEntry`].
    pub fn offender(consensus_key: &PublicKey) -> Vec<u8> {
        let mut writer = of(2);
        writer.public_key(consensus_key);
        writer.finish()
    }

    /// Of the height from which on a lane of an epoch counts no more.
    pub fn frozen_lane(epoch: Epoch, author: ValidatorIx) -> Vec<u8> {
        let mut writer = of(3);
        writer.u64(epoch.get()).u16(author.get());
        writer.finish()
    }

    /// First and last possible key of the frozen lanes of an epoch.
    pub fn frozen_lanes(epoch: Epoch) -> (Vec<u8>, Vec<u8>) {
        let of_epoch = |epoch: Epoch| {
            let mut writer = of(3);
            writer.u64(epoch.get());
            writer.finish()
        };
        (of_epoch(epoch), of_epoch(epoch.next()))
    }

    /// Of the validator set of an epoch, kept for as long as offences in it may be filed.
    pub fn set_of(epoch: Epoch) -> Vec<u8> {
        let mut writer = of(4);
        writer.u64(epoch.get());
        writer.finish()
    }
}

/// The place of a frozen lane's author, from the lane's state key.
pub fn author_of_frozen_lane(key: &[u8]) -> Option<ValidatorIx> {
    let (_, author) = key.split_last_chunk::<2>()?;
    Some(ValidatorIx::new(u16::from_be_bytes(*author)))
}

impl OffenceKind {
    /// Whether it freezes a lane.
    pub const fn freezes(self) -> bool {
        matches!(self, Self::Lane)
    }
}
