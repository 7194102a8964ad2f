//! `audit.access_root`: what an agency's log of reads came to on a day ([`crate::access`]; Shenzhen credit regulation art. 45).

use serde::{Deserialize, Serialize};

use super::Details;
use super::SubjectKind;
use super::body::{Derived, Fields, Origin};
use crate::canonical::{CanonicalError, Reader, Writer};
use crate::code::{Code, Refusal};
use crate::crypto::Digest;
use crate::date::Date;
use crate::layout::Layout;
use crate::merkle;
use crate::org::OrgId;

/// Body of `audit.access_root`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AccessRootBody {
    /// Whose log it is; the header's agency.
    pub agency: OrgId,
    /// The day, in the city's zone; header details.
    pub day: Date,
    /// Entries of the log on that day; header details.
    pub queries: u32,
    /// RFC 6962 root over these entries in order; header details.
    pub root: Digest,
    /// Where it came from.
    pub origin: Origin,
}

/// What the header of `audit.access_root` says.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AccessRootDetails {
    /// The day, in the city's zone.
    pub day: Date,
    /// Entries of the log on that day.
    pub queries: u32,
    /// RFC 6962 root over these entries in order.
    pub root: Digest,
}

impl AccessRootDetails {
    /// Refuses a root over nothing beside a count, and the other way round.
    ///
    /// # Errors
    /// `BAD_PARAMETER`.
    pub fn check(&self) -> Result<(), Refusal> {
        if (self.queries == 0) == (self.root == merkle::empty_root()) {
            return Ok(());
        }
        let detail = format!(
            "queries is {} and root {}: no entries have the root of nothing",
            self.queries, self.root
        );
        Err(Refusal::new(Code::BadParameter, detail))
    }
}

impl Layout for AccessRootDetails {
    fn write(&self, writer: &mut Writer) {
        self.day.write(writer);
        writer.u32(self.queries).digest(&self.root);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self { day: Date::read(reader)?, queries: reader.u32()?, root: reader.digest()? })
    }
}

fn queries(fields: &mut Fields<'_>) -> Result<u32, Refusal> {
    let count = fields.count("queries")?;
    u32::try_from(count)
        .map_err(|_| Refusal::new(Code::BadNumber, format!("queries is {count}, at most {}", u32::MAX)))
}

pub(super) fn judge_access_root(fields: &mut Fields<'_>) -> Result<Derived, Refusal> {
    let issuer = fields.org("agency")?;
    let details = AccessRootDetails {
        day: fields.date("day")?,
        queries: queries(fields)?,
        root: fields.digest("root")?,
    };
    Ok(Derived {
        subject_kind: Some(SubjectKind::None),
        issuer: Some(issuer),
        details: Details::AccessRoot(details),
        captured_ms: fields.origin("origin")?,
        ..Derived::default()
    })
}
