//! `gov.schema`: one version of a registered type, voted by the council: its JSON Schema and what the ledger makes of it.

use serde::{Deserialize, Serialize};

use super::governance::{Instrument, LIST_MAX, Role, check_text};
use super::record_type::{Lifecycle, RecordType, TypeKey};
use super::{
    CODE_BYTES_MAX, Class, NAME_BYTES_MAX, OFFICERS_MAX, REFERENCES_MAX, Relation, SubjectKind, read_bool,
};
use crate::canonical::{CanonicalError, Reader, Writer};
use crate::code::{Code, Refusal};
use crate::crypto::Digest;
use crate::date::Date;
use crate::layout::{Layout, closed_list, read_list, read_option, write_list, write_option};
use crate::schema::SCHEMA_BYTES_MAX;

/// Most versions of one type.
pub const VERSIONS_MAX: u16 = 64;
/// Most properties that a type screens.
pub const SCREENED_MAX: usize = 32;
/// Longest retention, years.
pub const RETENTION_YEARS_MAX: u16 = 200;

closed_list!(
    /// Whose keys file the first version of a type's records. Later versions are filed by clerks: a person answers for them.
    Filer as u8, "filer" {
        /// A clerk of the agency.
        Clerk = 1, "clerk";
        /// A service of the agency with a gateway's key, e.g. one that exports or exchanges.
        Gateway = 2, "gateway";
        /// Either, e.g. a clerk or the intake system.
        ClerkOrGateway = 3, "clerk_or_gateway";
    }
);

impl Filer {
    /// The roles.
    pub const fn roles(self) -> &'static [Role] {
        match self {
            Self::Clerk => &[Role::Clerk],
            Self::Gateway => &[Role::Gateway],
            Self::ClerkOrGateway => &[Role::Clerk, Role::Gateway],
        }
    }

    const fn default_of_files() -> Self {
        Self::Clerk
    }
}

/// What the headers of a type's records repeat, because state changes read headers only: how they live, who must agree.
/// The same in every version of a type, but for the retention.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TypeTerms {
    /// Which life they lead; every one but `status`.
    pub lifecycle: Lifecycle,
    /// How many officers a record names, the clerk who files it among them: none, or 2 to [`OFFICERS_MAX`]. Where there are
    /// any, a second one of them must countersign.
    pub officers: u8,
    /// Whether a supervisor must countersign.
    pub supervisor: bool,
    /// Whether a legal reviewer must countersign.
    pub legal_review: bool,
    /// Whether they have a number of the agency's own, which must be unique.
    pub numbered: bool,
    /// Years that the body is kept after the record ended, where the legal basis asks for less; 0 means permanently.
    pub retention_years: u16,
    /// Who files them.
    #[serde(default = "Filer::default_of_files")]
    pub filed_by: Filer,
}

impl TypeTerms {
    /// Checks the terms by themselves.
    ///
    /// # Errors
    /// `BAD_PARAMETER`.
    pub fn check(&self) -> Result<(), Refusal> {
        let bad = |detail: String| Err(Refusal::new(Code::BadParameter, detail));
        if self.lifecycle == Lifecycle::Status {
            return bad("lifecycle status is that of governance alone".to_owned());
        }
        if self.officers == 1 || usize::from(self.officers) > OFFICERS_MAX {
            return bad(format!("{} officers, wants none or 2 to {OFFICERS_MAX}", self.officers));
        }
        if self.officers > 0 && self.filed_by != Filer::Clerk {
            return bad(
                "records of several officers are filed by one of them: filed_by wants clerk".to_owned()
            );
        }
        if self.retention_years > RETENTION_YEARS_MAX {
            return bad(format!(
                "retention of {} years, at most {RETENTION_YEARS_MAX}",
                self.retention_years
            ));
        }
        Ok(())
    }

    /// How many years bodies are kept: as long as type and legal basis ask, whichever is longer; 0 means permanently.
    pub fn retention(&self, of_basis: u16) -> u16 {
        if self.retention_years == 0 || of_basis == 0 { 0 } else { self.retention_years.max(of_basis) }
    }
}

impl Layout for TypeTerms {
    fn write(&self, writer: &mut Writer) {
        self.lifecycle.write(writer);
        writer.u8(self.officers);
        for flag in [self.supervisor, self.legal_review, self.numbered] {
            writer.u8(u8::from(flag));
        }
        writer.u16(self.retention_years);
        self.filed_by.write(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            lifecycle: Lifecycle::read(reader)?,
            officers: reader.u8()?,
            supervisor: read_bool(reader)?,
            legal_review: read_bool(reader)?,
            numbered: read_bool(reader)?,
            retention_years: reader.u16()?,
            filed_by: Filer::read(reader)?,
        })
    }
}

/// A property whose texts name records that the header refers to.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RefProperty {
    /// The property: a record id, or a list of them.
    pub property: String,
    /// How the record relates to them.
    pub rel: Relation,
    /// The types that they may be of, ascending; empty for any.
    #[serde(default)]
    pub types: Vec<RecordType>,
}

impl Layout for RefProperty {
    fn write(&self, writer: &mut Writer) {
        writer.text(&self.property);
        self.rel.write(writer);
        write_list(writer, &self.types);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            property: reader.text(CODE_BYTES_MAX)?,
            rel: Relation::read(reader)?,
            types: read_list(reader, LIST_MAX)?,
        })
    }
}

/// Which top-level properties of a body the header takes its fields from.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Bindings {
    /// The agency's own number; there where the type is numbered.
    #[serde(default)]
    pub number: Option<String>,
    /// When it was decided or issued; wanted of register entries.
    #[serde(default)]
    pub decided_on: Option<String>,
    /// First day of effect; wanted of everything that has an end.
    #[serde(default)]
    pub effective_from: Option<String>,
    /// Last day of effect.
    #[serde(default)]
    pub effective_to: Option<String>,
    /// The acting agency; it must be that of the header.
    #[serde(default)]
    pub issuer: Option<String>,
    /// The keys of the officers; of types whose records name some. The header names the same ones.
    #[serde(default)]
    pub officers: Option<String>,
    /// Records that it refers to.
    #[serde(default)]
    pub refs: Vec<RefProperty>,
}

impl Layout for Bindings {
    fn write(&self, writer: &mut Writer) {
        let single = [
            &self.number,
            &self.decided_on,
            &self.effective_from,
            &self.effective_to,
            &self.issuer,
            &self.officers,
        ];
        for property in single {
            writer.option(property.as_deref(), |writer, property| {
                writer.text(property);
            });
        }
        write_list(writer, &self.refs);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        let mut single = || reader.option(|reader| reader.text(CODE_BYTES_MAX));
        Ok(Self {
            number: single()?,
            decided_on: single()?,
            effective_from: single()?,
            effective_to: single()?,
            issuer: single()?,
            officers: single()?,
            refs: read_list(reader, REFERENCES_MAX)?,
        })
    }
}

/// Content of `gov.schema`: one version of a registered type. Versions are never changed; a new one is filed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SchemaDetails {
    /// The type; unique together with the version.
    pub key: TypeKey,
    /// Version, from 1 without gaps, at most [`VERSIONS_MAX`].
    pub version: u16,
    /// What the type is for, 1 to 256 bytes.
    pub title: String,
    /// How its records live.
    pub terms: TypeTerms,
    /// The classes that its records may have, ascending.
    pub classes: Vec<Class>,
    /// The kinds of subjects that they may be about, ascending.
    pub subject_kinds: Vec<SubjectKind>,
    /// The kinds of instruments that their legal basis may be, ascending; empty for any.
    #[serde(default)]
    pub instruments: Vec<Instrument>,
    /// Where the header takes its fields from.
    pub bindings: Bindings,
    /// Top-level properties with free texts in which words that mean a score are refused.
    #[serde(default)]
    pub screened: Vec<String>,
    /// SHA-256 of the impact assessment; wanted where P3 is among the classes (PIPL arts. 55-56).
    #[serde(default)]
    pub impact_assessment: Option<Digest>,
    /// First day on which records may be filed under it.
    pub from: Date,
    /// Last day on which records may still be filed under the version before; absent of version 1.
    #[serde(default)]
    pub previous_until: Option<Date>,
    /// The schema as canonical JSON, at most [`SCHEMA_BYTES_MAX`] bytes.
    pub json_schema: String,
}

impl SchemaDetails {
    /// The name of the version, for messages.
    pub fn name(&self) -> String {
        format!("{} v{}", self.key, self.version)
    }

    /// Checks what stands beside the schema; [`super::registered::RegisteredType::new`] checks all of it.
    ///
    /// # Errors
    /// The code of the first flaw.
    pub(super) fn check_terms(&self) -> Result<(), Refusal> {
        let bad = |detail: String| Err(Refusal::new(Code::BadParameter, detail));
        check_text("title", &self.title, NAME_BYTES_MAX)?;
        self.terms.check()?;
        if !(1..=VERSIONS_MAX).contains(&self.version) {
            return bad(format!("version {}, wants 1 to {VERSIONS_MAX}", self.version));
        }
        if self.classes.is_empty() || self.subject_kinds.is_empty() {
            return Err(Refusal::new(Code::MissingField, "classes and subject_kinds must not be empty"));
        }
        let ascending = self.classes.is_sorted_by(|one, two| one < two)
            && self.subject_kinds.is_sorted_by(|one, two| one < two)
            && self.instruments.is_sorted_by(|one, two| one < two);
        if !ascending {
            return bad("classes, subject_kinds and instruments must be ascending without repeats".to_owned());
        }
        if self.classes.contains(&Class::P4) {
            let detail = "records of class P4 stand on the chain in batches alone (health.commit_batch)";
            return Err(Refusal::new(Code::ClassNotPermitted, detail));
        }
        let about_persons = self.subject_kinds.iter().any(|kind| kind.is_personal());
        if about_persons && !self.classes.contains(&Class::P3) {
            let detail = "subjects that are persons want class P3 among the classes";
            return Err(Refusal::new(Code::ClassNotPermitted, detail));
        }
        if self.classes.contains(&Class::P3) && self.impact_assessment.is_none() {
            return Err(Refusal::new(
                Code::MissingField,
                "class P3 wants an impact_assessment (PIPL art. 55)",
            ));
        }
        if self.screened.len() > SCREENED_MAX {
            let detail = format!("{} screened properties, at most {SCREENED_MAX}", self.screened.len());
            return Err(Refusal::new(Code::SizeLimit, detail));
        }
        match (self.version, self.previous_until) {
            (1, None) => Ok(()),
            (1, Some(_)) => bad("version 1 has none before it, previous_until wants to be absent".to_owned()),
            (_, None) => {
                Err(Refusal::new(Code::MissingField, "previous_until: the last day of the version before"))
            }
            (_, Some(until)) if until.next() < self.from => {
                bad(format!("previous_until {until} leaves days before {} without a version", self.from))
            }
            (_, Some(_)) => Ok(()),
        }
    }
}

impl Layout for SchemaDetails {
    fn write(&self, writer: &mut Writer) {
        self.key.write(writer);
        writer.u16(self.version).text(&self.title);
        self.terms.write(writer);
        write_list(writer, &self.classes);
        write_list(writer, &self.subject_kinds);
        write_list(writer, &self.instruments);
        self.bindings.write(writer);
        writer.count(self.screened.len());
        for property in &self.screened {
            writer.text(property);
        }
        write_option(writer, self.impact_assessment.as_ref());
        self.from.write(writer);
        write_option(writer, self.previous_until.as_ref());
        writer.text(&self.json_schema);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            key: TypeKey::read(reader)?,
            version: reader.u16()?,
            title: reader.text(NAME_BYTES_MAX)?,
            terms: TypeTerms::read(reader)?,
            classes: read_list(reader, Class::ALL.len())?,
            subject_kinds: read_list(reader, SubjectKind::ALL.len())?,
            instruments: read_list(reader, Instrument::ALL.len())?,
            bindings: Bindings::read(reader)?,
            screened: {
                let count = reader.count(SCREENED_MAX)?;
                (0..count).map(|_| reader.text(CODE_BYTES_MAX)).collect::<Result<_, _>>()?
            },
            impact_assessment: read_option(reader)?,
            from: Date::read(reader)?,
            previous_until: read_option(reader)?,
            json_schema: reader.text(SCHEMA_BYTES_MAX)?,
        })
    }
}
