//! Chains of records that follow one another by reference: what the ledger keeps of each, where a procurement stands, and
//! the queue of alerts that took effect before anybody approved them.

use crate::canonical::{CanonicalError, Reader, Writer};
use crate::crypto::PublicKey;
use crate::id::RecordId;
use crate::layout::{Layout, read_list, read_option, write_list, write_option};
use crate::record::egov::procurement::Stage;
use crate::record::read_bool;

/// A stage that a procurement has reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct StageEntry {
    /// The stage.
    pub(crate) stage: Stage,
    /// The release that began it.
    pub(crate) record: RecordId,
    /// The clerk who filed that.
    pub(crate) by: PublicKey,
}

impl Layout for StageEntry {
    fn write(&self, writer: &mut Writer) {
        self.stage.write(writer);
        self.record.write(writer);
        self.by.write(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            stage: Stage::read(reader)?,
            record: RecordId::read(reader)?,
            by: PublicKey::read(reader)?,
        })
    }
}

/// Where a procurement stands.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct ProcessEntry {
    /// The last release that took effect.
    pub(crate) last: Option<RecordId>,
    /// Whether the tender was called off.
    pub(crate) called_off: bool,
    /// The stages that were reached, ascending.
    pub(crate) stages: Vec<StageEntry>,
}

impl ProcessEntry {
    /// The entry of a stage, if it was reached.
    pub(crate) fn stage(&self, stage: Stage) -> Option<&StageEntry> {
        self.stages.iter().find(|reached| reached.stage == stage)
    }
}

impl Layout for ProcessEntry {
    fn write(&self, writer: &mut Writer) {
        write_option(writer, self.last.as_ref());
        writer.u8(u8::from(self.called_off));
        write_list(writer, &self.stages);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            last: read_option(reader)?,
            called_off: read_bool(reader)?,
            stages: read_list(reader, Stage::ALL.len())?,
        })
    }
}

/// State keys.
pub(super) mod key {
    use crate::canonical::{Reader, Writer};
    use crate::crypto::Digest;
    use crate::date::Date;
    use crate::id::RecordId;
    use crate::layout::Layout as _;
    use crate::org::OrgId;

    /// Of where a procurement of an agency stands.
    pub fn process(agency: &OrgId, process: &Digest) -> Vec<u8> {
        let mut writer = Writer::with_capacity(80);
        agency.write(writer.u8(0x9d));
        writer.digest(process);
        writer.finish()
    }

    /// Of the newest version of a status list of an agency.
    pub fn newest_list(agency: &OrgId, list: &Digest) -> Vec<u8> {
        let mut writer = Writer::with_capacity(80);
        agency.write(writer.u8(0x9e));
        writer.digest(list);
        writer.finish()
    }

    /// Of the record that is the root of an agency's log of reads on a day. In the state tree: whether a day has one can be
    /// proved.
    pub fn access_root(agency: &OrgId, day: Date) -> Vec<u8> {
        let mut writer = Writer::with_capacity(48);
        agency.write(writer.u8(0x13));
        day.write(&mut writer);
        writer.finish()
    }

    /// Of the details of a record that later records of its chain are held against.
    pub fn chained(record: &RecordId) -> Vec<u8> {
        let mut writer = Writer::with_capacity(40);
        writer.u8(0x9b).digest(record.digest());
        writer.finish()
    }

    /// In the queue of alerts whose approval is due.
    pub fn confirmation(due_ms: u64, record: &RecordId) -> Vec<u8> {
        let mut writer = Writer::with_capacity(48);
        writer.u8(0x9c).u64(due_ms).digest(record.digest());
        writer.finish()
    }

    /// First possible key of that queue at a time or later.
    pub fn confirmations_from(due_ms: u64) -> Vec<u8> {
        let mut writer = Writer::with_capacity(16);
        writer.u8(0x9c).u64(due_ms);
        writer.finish()
    }

    /// The record of such a key.
    pub fn parse_confirmation(key: &[u8]) -> Option<RecordId> {
        let mut reader = Reader::new(key.get(9..)?);
        RecordId::read(&mut reader).ok()
    }
}
