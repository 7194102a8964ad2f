//! Calendars of working days in the state, and the list of what agencies owe by days reckoned with them.

use serde::{Deserialize, Serialize};

use super::Status;
use crate::canonical::{CanonicalError, Reader, Writer};
use crate::id::RecordId;
use crate::layout::Layout;
use crate::record::calendar::CalendarDetails;

/// The calendar of a year as deadlines see it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct CalendarEntry {
    /// Its content.
    pub details: CalendarDetails,
    /// Effective, suspended or revoked.
    pub status: Status,
    /// The record that says so.
    pub record: RecordId,
}

impl CalendarEntry {
    /// Its content, where it is in force.
    pub fn in_force(self) -> Option<CalendarDetails> {
        (self.status == Status::Effective).then_some(self.details)
    }
}

impl Layout for CalendarEntry {
    fn write(&self, writer: &mut Writer) {
        self.details.write(writer);
        self.status.write(writer);
        self.record.write(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            details: CalendarDetails::read(reader)?,
            status: Status::read(reader)?,
            record: RecordId::read(reader)?,
        })
    }
}

/// State keys.
pub(super) mod key {
    use crate::canonical::{Reader, Writer};
    use crate::date::Date;
    use crate::id::RecordId;
    use crate::layout::Layout as _;
    use crate::org::OrgId;
    use crate::record::deadline::DeadlineKind;

    /// Of a [`super::CalendarEntry`].
    pub fn calendar(year: u32) -> Vec<u8> {
        let mut writer = Writer::with_capacity(8);
        writer.u8(0x0c).u32(year);
        writer.finish()
    }

    /// What all keys of what an agency owes begin with.
    pub fn all_owed_by(agency: &OrgId) -> Vec<u8> {
        let mut writer = Writer::with_capacity(80);
        agency.write(writer.u8(0x90));
        writer.finish()
    }

    /// Of what an agency owes since a day.
    pub fn owed(agency: &OrgId, from: Date, record: &RecordId, step: DeadlineKind) -> Vec<u8> {
        let mut writer = Writer::with_capacity(80);
        writer.raw(&all_owed_by(agency)).u32(from.day_number()).digest(record.digest()).u8(step.number());
        writer.finish()
    }

    /// Of the agency that owes a step on a record.
    pub fn owed_by(record: &RecordId, step: DeadlineKind) -> Vec<u8> {
        let mut writer = Writer::with_capacity(40);
        writer.u8(0x91).digest(record.digest()).u8(step.number());
        writer.finish()
    }

    /// First and last possible key of all that agencies owe.
    pub fn all_owed() -> (Vec<u8>, Vec<u8>) {
        (vec![0x90], vec![0x91])
    }

    /// Agency and record of such a key.
    pub fn parse_owed(key: &[u8]) -> Option<(OrgId, RecordId)> {
        let mut reader = Reader::new(key.get(1..)?);
        let agency = OrgId::read(&mut reader).ok()?;
        reader.u32().ok()?;
        Some((agency, RecordId::read(&mut reader).ok()?))
    }
}
