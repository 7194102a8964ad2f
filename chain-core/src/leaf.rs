//! Leaves of the record log: what an auditor decodes, years later, without us.
//!
//! Every accepted operation, every automatic step and every genesis entry is one leaf; after the leaves of a
//! block comes one seal. A leaf stays under 65,535 bytes (C2SP tlog-tiles).

use serde::{Deserialize, Serialize};

use crate::canonical::{CanonicalError, Reader, Writer};
use crate::crypto::{Digest, PublicKey};
use crate::date::Date;
use crate::evidence::Evidence;
use crate::genesis::NAME_MAX;
use crate::id::{Epoch, Height, RecordId, TxId};
use crate::layout::{Layout, closed_list};
use crate::operation::{Operation, Step};
use crate::org::OrgId;
use crate::record::Header;
use crate::record::governance::Role;
use crate::recovery::SignedRecovery;
use crate::state::{Flags, Status};

/// Version of the leaf layout, the first byte of every leaf.
pub const LEAF_VERSION: u8 = 1;
/// Most bytes of a leaf.
pub const LEAF_BYTES_MAX: usize = 65_534;

closed_list!(
    /// The kinds of leaves, the second byte.
    LeafKind as u8, "leaf kind" {
        /// A step that a member signed.
        Signed = 1, "signed";
        /// A step that the ledger took by itself.
        Automatic = 2, "automatic";
        /// The end of a block's leaves.
        Seal = 3, "seal";
        /// An entry of the genesis.
        Genesis = 4, "genesis";
        /// Proof of an offence of a validator.
        Evidence = 5, "evidence";
        /// The agencies' act after a lost quorum.
        Recovery = 6, "recovery";
        /// A validator's word that it destroyed bodies.
        Erasure = 7, "erasure";
        /// A step that followed from a step on another record.
        Linked = 8, "linked";
        /// A record that the ledger wrote by itself.
        Found = 16, "found";
    }
);

/// One leaf of the record log.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Leaf {
    /// A step that a member signed.
    Signed(Box<SignedLeaf>),
    /// A step that the ledger took by itself.
    Automatic(AutomaticLeaf),
    /// The end of a block's leaves.
    Seal(SealLeaf),
    /// An entry of the genesis.
    Genesis(Box<GenesisLeaf>),
    /// Proof of an offence of a validator.
    Evidence(Box<EvidenceLeaf>),
    /// The agencies' act after a lost quorum.
    Recovery(Box<RecoveryLeaf>),
    /// A validator's word that it destroyed bodies.
    Erasure(Box<ErasureLeaf>),
    /// A step that followed from a step on another record.
    Linked(LinkedLeaf),
    /// A record that the ledger wrote by itself.
    Found(Box<FoundLeaf>),
}

/// An accepted operation and what it led to.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SignedLeaf {
    /// Block height.
    pub height: Height,
    /// Block time, milliseconds since 1970.
    pub time_ms: u64,
    /// The transaction.
    pub tx: TxId,
    /// Position of the operation in it.
    pub operation_index: u16,
    /// Key of the member who signed.
    pub author: PublicKey,
    /// The agency the member acts for.
    pub agency: OrgId,
    /// The role acted in.
    pub role: Role,
    /// Version of the record concerned.
    pub version: u32,
    /// Status of that version after the step.
    pub status: Status,
    /// Flags of the record after the step.
    pub flags: Flags,
    /// The operation.
    pub operation: Operation,
}

/// What every signed leaf says before its operation's bytes.
#[derive(Clone, Copy, Debug)]
pub struct SignedLeafHead<'a> {
    /// Block height.
    pub height: Height,
    /// Block time, milliseconds since 1970.
    pub time_ms: u64,
    /// The transaction.
    pub tx: &'a TxId,
    /// Position of the operation in it.
    pub operation_index: u16,
    /// Key of the member who signed.
    pub author: &'a PublicKey,
    /// The agency the member acts for.
    pub agency: &'a OrgId,
    /// The role acted in.
    pub role: Role,
    /// Version of the record concerned.
    pub version: u32,
    /// Status of that version after the step.
    pub status: Status,
    /// Flags of the record after the step.
    pub flags: Flags,
}

impl SignedLeafHead<'_> {
    /// The leaf's bytes, given the operation as its canonical bytes.
    pub fn with_operation(&self, operation: &[u8]) -> Vec<u8> {
        let mut writer = Writer::with_capacity(160 + operation.len());
        writer.u8(LEAF_VERSION).u8(LeafKind::Signed.number()).u64(self.height.get()).u64(self.time_ms);
        self.tx.write(&mut writer);
        writer.u16(self.operation_index).public_key(self.author);
        self.agency.write(&mut writer);
        self.role.write(&mut writer);
        writer.u32(self.version);
        self.status.write(&mut writer);
        self.flags.write(&mut writer);
        writer.raw(operation);
        writer.finish()
    }
}

/// A step that follows from dates and block time alone.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct AutomaticLeaf {
    /// Block height.
    pub height: Height,
    /// Block time, milliseconds since 1970.
    pub time_ms: u64,
    /// Expire or publication end.
    pub step: Step,
    /// The record.
    pub record: RecordId,
    /// Its version.
    pub version: u32,
    /// Its status after the step.
    pub status: Status,
    /// Its flags after the step.
    pub flags: Flags,
    /// The first day on which the step was due.
    pub due: Date,
}

/// A step that the ledger took because of a step on another record, in the same block or in one of the next ones.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LinkedLeaf {
    /// Block height.
    pub height: Height,
    /// Block time, milliseconds since 1970.
    pub time_ms: u64,
    /// Expire, suspend or resume with a base; open or end a dispute; apply for repair; close a case.
    pub step: Step,
    /// The record.
    pub record: RecordId,
    /// Its version.
    pub version: u32,
    /// Its status after the step.
    pub status: Status,
    /// Its flags after the step.
    pub flags: Flags,
    /// The record whose step it follows.
    pub cause: RecordId,
}

/// A record that the ledger wrote by itself, effective at once: a gap in a stream of readings.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct FoundLeaf {
    /// Block height.
    pub height: Height,
    /// Block time, milliseconds since 1970.
    pub time_ms: u64,
    /// Its header.
    pub header: Header,
}

/// The end of a block's leaves: ties the log to the chain of blocks and the state tree.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SealLeaf {
    /// Block height.
    pub height: Height,
    /// Digest of the block's header.
    pub header_digest: Digest,
    /// Root of the state tree after the block.
    pub state_root: Digest,
    /// The epoch.
    pub epoch: Epoch,
}

/// A record laid down in the genesis, effective from the start.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct GenesisLeaf {
    /// Its header.
    pub header: Header,
}

/// Proof of an offence, as a validator or a member filed it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct EvidenceLeaf {
    /// Block height.
    pub height: Height,
    /// Block time, milliseconds since 1970.
    pub time_ms: u64,
    /// The transaction.
    pub tx: TxId,
    /// Key of whoever filed it: a validator's log key or a member's.
    pub author: PublicKey,
    /// Consensus key of the offender, which verifies both statements.
    pub offender: PublicKey,
    /// The statements.
    pub evidence: Evidence,
}

/// The act by which the chain went on after a lost quorum: the first leaf of the epoch that it began.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RecoveryLeaf {
    /// Block height.
    pub height: Height,
    /// Block time, milliseconds since 1970.
    pub time_ms: u64,
    /// The act and who signed it.
    pub recovery: SignedRecovery,
}

/// A validator's word that it destroyed the bodies of a record.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ErasureLeaf {
    /// Block height.
    pub height: Height,
    /// Block time, milliseconds since 1970.
    pub time_ms: u64,
    /// The transaction.
    pub tx: TxId,
    /// Position of the operation in it.
    pub operation_index: u16,
    /// The validator's log key, which signed.
    pub author: PublicKey,
    /// The validator's name.
    pub validator: String,
    /// The record.
    pub record: RecordId,
    /// The version that the order named.
    pub version: u32,
    /// How many bodies it held until then.
    pub bodies: u32,
}

impl Leaf {
    /// The record it belongs to; a seal belongs to none, and an act of recovery to one of its own.
    pub fn record(&self) -> Option<RecordId> {
        match self {
            Self::Signed(leaf) => Some(leaf.operation.record()),
            Self::Automatic(leaf) => Some(leaf.record),
            Self::Seal(_) => None,
            Self::Genesis(leaf) => Some(leaf.header.record),
            Self::Evidence(leaf) => Some(leaf.evidence.offence().record()),
            Self::Recovery(leaf) => Some(leaf.recovery.act.record()),
            Self::Erasure(leaf) => Some(leaf.record),
            Self::Linked(leaf) => Some(leaf.record),
            Self::Found(leaf) => Some(leaf.header.record),
        }
    }

    /// The version of the record that it is about; a seal is about none.
    pub fn version(&self) -> Option<u32> {
        match self {
            Self::Signed(leaf) => Some(leaf.version),
            Self::Automatic(leaf) => Some(leaf.version),
            Self::Seal(_) => None,
            Self::Genesis(leaf) => Some(leaf.header.version),
            Self::Evidence(_) | Self::Recovery(_) => Some(1),
            Self::Erasure(leaf) => Some(leaf.version),
            Self::Linked(leaf) => Some(leaf.version),
            Self::Found(leaf) => Some(leaf.header.version),
        }
    }

    /// Height and time of its block. What the genesis laid down is of no time, and a seal names none: 0.
    pub fn moment(&self) -> (Height, u64) {
        match self {
            Self::Signed(leaf) => (leaf.height, leaf.time_ms),
            Self::Automatic(leaf) => (leaf.height, leaf.time_ms),
            Self::Seal(leaf) => (leaf.height, 0),
            Self::Genesis(_) => (Height::ZERO, 0),
            Self::Evidence(leaf) => (leaf.height, leaf.time_ms),
            Self::Recovery(leaf) => (leaf.height, leaf.time_ms),
            Self::Erasure(leaf) => (leaf.height, leaf.time_ms),
            Self::Linked(leaf) => (leaf.height, leaf.time_ms),
            Self::Found(leaf) => (leaf.height, leaf.time_ms),
        }
    }

    /// The header it files, if it files one.
    pub fn header(&self) -> Option<&Header> {
        match self {
            Self::Signed(leaf) => leaf.operation.header(),
            Self::Genesis(leaf) => Some(&leaf.header),
            Self::Found(leaf) => Some(&leaf.header),
            Self::Automatic(_)
            | Self::Seal(_)
            | Self::Evidence(_)
            | Self::Recovery(_)
            | Self::Erasure(_)
            | Self::Linked(_) => None,
        }
    }

    /// Decodes the bytes of a leaf.
    ///
    /// # Errors
    /// When they follow another layout.
    pub fn decode(bytes: &[u8]) -> Result<Self, CanonicalError> {
        Self::from_canonical(bytes)
    }

    /// The leaf as JSON, for showing.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or(serde_json::Value::Null)
    }
}

impl Layout for Leaf {
    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Signed(leaf) => {
                let head = SignedLeafHead {
                    height: leaf.height,
                    time_ms: leaf.time_ms,
                    tx: &leaf.tx,
                    operation_index: leaf.operation_index,
                    author: &leaf.author,
                    agency: &leaf.agency,
                    role: leaf.role,
                    version: leaf.version,
                    status: leaf.status,
                    flags: leaf.flags,
                };
                writer.raw(&head.with_operation(&leaf.operation.canonical()));
            }
            Self::Automatic(leaf) => {
                writer.u8(LEAF_VERSION).u8(LeafKind::Automatic.number());
                writer.u64(leaf.height.get()).u64(leaf.time_ms);
                leaf.step.write(writer);
                leaf.record.write(writer);
                writer.u32(leaf.version);
                leaf.status.write(writer);
                leaf.flags.write(writer);
                leaf.due.write(writer);
            }
            Self::Linked(leaf) => {
                writer.u8(LEAF_VERSION).u8(LeafKind::Linked.number());
                writer.u64(leaf.height.get()).u64(leaf.time_ms);
                leaf.step.write(writer);
                leaf.record.write(writer);
                writer.u32(leaf.version);
                leaf.status.write(writer);
                leaf.flags.write(writer);
                leaf.cause.write(writer);
            }
            Self::Found(leaf) => {
                writer.u8(LEAF_VERSION).u8(LeafKind::Found.number());
                writer.u64(leaf.height.get()).u64(leaf.time_ms);
                leaf.header.write(writer);
            }
            Self::Seal(leaf) => {
                writer.u8(LEAF_VERSION).u8(LeafKind::Seal.number()).u64(leaf.height.get());
                writer.digest(&leaf.header_digest).digest(&leaf.state_root).u64(leaf.epoch.get());
            }
            Self::Genesis(leaf) => {
                writer.u8(LEAF_VERSION).u8(LeafKind::Genesis.number());
                leaf.header.write(writer);
            }
            Self::Evidence(leaf) => {
                writer.u8(LEAF_VERSION).u8(LeafKind::Evidence.number());
                writer.u64(leaf.height.get()).u64(leaf.time_ms);
                leaf.tx.write(writer);
                writer.public_key(&leaf.author).public_key(&leaf.offender);
                leaf.evidence.write(writer);
            }
            Self::Recovery(leaf) => {
                writer.u8(LEAF_VERSION).u8(LeafKind::Recovery.number());
                writer.u64(leaf.height.get()).u64(leaf.time_ms);
                leaf.recovery.write(writer);
            }
            Self::Erasure(leaf) => {
                writer.u8(LEAF_VERSION).u8(LeafKind::Erasure.number());
                writer.u64(leaf.height.get()).u64(leaf.time_ms);
                leaf.tx.write(writer);
                writer.u16(leaf.operation_index).public_key(&leaf.author).text(&leaf.validator);
                leaf.record.write(writer);
                writer.u32(leaf.version).u32(leaf.bodies);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        if reader.u8()? != LEAF_VERSION {
            return Err(reader.error("unknown leaf version"));
        }
        Ok(match LeafKind::read(reader)? {
            LeafKind::Signed => Self::Signed(Box::new(SignedLeaf {
                height: Height::new(reader.u64()?),
                time_ms: reader.u64()?,
                tx: TxId::read(reader)?,
                operation_index: reader.u16()?,
                author: reader.public_key()?,
                agency: OrgId::read(reader)?,
                role: Role::read(reader)?,
                version: reader.u32()?,
                status: Status::read(reader)?,
                flags: Flags::read(reader)?,
                operation: Operation::read(reader)?,
            })),
            LeafKind::Automatic => Self::Automatic(AutomaticLeaf {
                height: Height::new(reader.u64()?),
                time_ms: reader.u64()?,
                step: Step::read(reader)?,
                record: RecordId::read(reader)?,
                version: reader.u32()?,
                status: Status::read(reader)?,
                flags: Flags::read(reader)?,
                due: Date::read(reader)?,
            }),
            LeafKind::Linked => Self::Linked(LinkedLeaf {
                height: Height::new(reader.u64()?),
                time_ms: reader.u64()?,
                step: Step::read(reader)?,
                record: RecordId::read(reader)?,
                version: reader.u32()?,
                status: Status::read(reader)?,
                flags: Flags::read(reader)?,
                cause: RecordId::read(reader)?,
            }),
            LeafKind::Found => Self::Found(Box::new(FoundLeaf {
                height: Height::new(reader.u64()?),
                time_ms: reader.u64()?,
                header: Header::read(reader)?,
            })),
            LeafKind::Seal => Self::Seal(SealLeaf {
                height: Height::new(reader.u64()?),
                header_digest: reader.digest()?,
                state_root: reader.digest()?,
                epoch: Epoch::new(reader.u64()?),
            }),
            LeafKind::Genesis => Self::Genesis(Box::new(GenesisLeaf { header: Header::read(reader)? })),
            LeafKind::Evidence => Self::Evidence(Box::new(EvidenceLeaf {
                height: Height::new(reader.u64()?),
                time_ms: reader.u64()?,
                tx: TxId::read(reader)?,
                author: reader.public_key()?,
                offender: reader.public_key()?,
                evidence: Evidence::read(reader)?,
            })),
            LeafKind::Recovery => Self::Recovery(Box::new(RecoveryLeaf {
                height: Height::new(reader.u64()?),
                time_ms: reader.u64()?,
                recovery: SignedRecovery::read(reader)?,
            })),
            LeafKind::Erasure => Self::Erasure(Box::new(ErasureLeaf {
                height: Height::new(reader.u64()?),
                time_ms: reader.u64()?,
                tx: TxId::read(reader)?,
                operation_index: reader.u16()?,
                author: reader.public_key()?,
                validator: reader.text(NAME_MAX)?,
                record: RecordId::read(reader)?,
                version: reader.u32()?,
                bodies: reader.u32()?,
            })),
        })
    }
}
