//! Which column of a spreadsheet is which field of a record.
//!
//! A mapping is a TOML file that an agency writes once per export. Two are built in, for the official columns
//! of the "double publicity" of licences and penalties: see `city batch mappings`.

use std::collections::BTreeMap;
use std::path::Path;

use chain_core::code::{Code, Refusal};
use serde::Deserialize;

use crate::error::{CliError, CliResult};
use crate::files;

use super::amount::{self, Unit};
use super::date::{self, Day};
use super::normalise::{self, Normal};
use super::note::{Note, Notes};
use super::sheet::{Row, Sheet};

/// Mappings that come with the program: name and text.
pub(crate) const BUILT_IN: [(&str, &str); 2] = [
    ("licences", include_str!("mappings/licences.toml")),
    ("penalties", include_str!("mappings/penalties.toml")),
];

/// Name and version of the form.
const SCHEMA: &str = "city/v1/mapping";

/// A mapping file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mapping {
    schema: String,
    /// Record type, e.g. `credit.licence`.
    #[serde(rename = "type")]
    pub(crate) record_type: String,
    /// Who acts.
    pub(crate) authority: Column,
    /// Whom the record is about.
    pub(crate) subject: SubjectColumns,
    /// What it rests on.
    pub(crate) legal_basis: Basis,
    /// The other fields.
    #[serde(rename = "field")]
    pub(crate) fields: Vec<Field>,
    /// Columns of free text that no field takes but that are screened for persons' numbers.
    #[serde(default)]
    pub(crate) screened: Vec<String>,
}

/// A column that must not be empty.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Column {
    /// Its heading.
    pub(crate) column: String,
}

/// The columns about the subject.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubjectColumns {
    /// Name.
    pub(crate) name: String,
    /// Kind, spelled as in `kinds`.
    pub(crate) kind: String,
    /// Unified social credit code.
    pub(crate) code: String,
    /// Older codes, kept in the body when the first is empty: scheme by heading.
    #[serde(default)]
    pub(crate) other_codes: BTreeMap<String, String>,
    /// Number of a person's identity document.
    pub(crate) document: String,
    /// Number of the representative's identity document; never taken over.
    pub(crate) representative_document: String,
    /// Spellings of `organisation`, `individual_business` and `person`.
    pub(crate) kinds: BTreeMap<String, String>,
}

/// Where the legal basis comes from: a column with its title, or always the same entry of the catalogue.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Basis {
    /// Heading of a column with the title.
    #[serde(default)]
    pub(crate) column: Option<String>,
    /// Id in the catalogue.
    #[serde(default)]
    pub(crate) id: Option<String>,
}

/// One field.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Field {
    /// Name in the record.
    pub(crate) name: String,
    /// Heading; absent for a constant.
    #[serde(default)]
    column: Option<String>,
    /// How the cell is read.
    kind: Kind,
    /// Whether an empty cell is refused.
    #[serde(default)]
    required: bool,
    /// Unit of an amount: 万元, 元 or 分.
    #[serde(default)]
    unit: Option<String>,
    /// Spellings of a choice.
    #[serde(default)]
    values: BTreeMap<String, String>,
    /// Between several choices in one cell.
    #[serde(default)]
    separators: Vec<String>,
    /// What an empty cell, or no column at all, stands for.
    #[serde(default)]
    default: Option<String>,
    /// Whether a cell that is no choice stands for the default: for columns that also hold free text.
    #[serde(default)]
    or_default: bool,
}

/// How a cell is read.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Prose.
    Text,
    /// A number or code: full-width digits are narrowed.
    Code,
    /// A day.
    Date,
    /// A day, where 2099-12-31 means no end.
    DateOrOpen,
    /// An amount of money.
    Amount,
    /// One of a list.
    Choice,
    /// Several of a list.
    Choices,
}

/// A cell as the record wants it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Value {
    /// Text or code.
    Text(String),
    /// Day.
    Date(Day),
    /// Fen.
    Amount(u64),
    /// One or several names.
    Choices(Vec<String>),
    /// A cell that could not be read, in raw mode: the validators shall judge it.
    Unread(String),
    /// An amount that could not be read, in raw mode, as minor units with a sign or decimals.
    UnreadAmount(String),
}

/// What kind of subject a row names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SubjectKind {
    /// Legal person or other organisation.
    Organisation,
    /// Individual business.
    IndividualBusiness,
    /// Natural person.
    Person,
}

/// A row in the record's terms, before the ledger's rules.
#[derive(Clone, Debug)]
pub(crate) struct Mapped {
    /// Number of the row.
    pub(crate) row: u64,
    /// Code of the acting authority.
    pub(crate) authority: String,
    /// Kind of subject.
    pub(crate) subject_kind: SubjectKind,
    /// Its name.
    pub(crate) subject_name: String,
    /// Its unified social credit code, if any.
    pub(crate) subject_code: String,
    /// Its other codes: scheme and number.
    pub(crate) other_codes: Vec<(String, String)>,
    /// Number of a person's document; goes to the vault.
    pub(crate) document: String,
    /// Title of the legal basis in the row, or `None` when the mapping names the basis.
    pub(crate) basis_title: Option<String>,
    /// The fields that are not empty.
    pub(crate) fields: BTreeMap<String, Value>,
    /// Texts that no field takes, to be screened.
    pub(crate) screened: Vec<String>,
    /// What was changed so far.
    pub(crate) notes: Notes,
}

impl Mapping {
    /// Reads a mapping: the name of a built-in one, or a file.
    pub(crate) fn load(name: &str) -> CliResult<(Self, String)> {
        let text = match BUILT_IN.iter().find(|(built_in, _)| *built_in == name) {
            Some((_, text)) => (*text).to_owned(),
            None => files::read(Path::new(name)).map_err(|error| {
                error.hint("give a mapping file, or one of the built-in mappings: licences, penalties")
            })?,
        };
        Ok((Self::parse(name, &text)?, text))
    }

    fn parse(name: &str, text: &str) -> CliResult<Self> {
        let bad = |detail: String| CliError::new(Code::BadMapping, format!("{name}: {detail}"));
        let mapping: Self = toml::from_str(text).map_err(|error| bad(error.to_string().trim().to_owned()))?;
        if mapping.schema != SCHEMA {
            return Err(bad(format!("schema {:?}, wanted {SCHEMA:?}", mapping.schema)));
        }
        for field in &mapping.fields {
            if field.kind == Kind::Amount && field.unit.as_deref().and_then(Unit::from_name).is_none() {
                return Err(bad(format!("field {} needs a unit: 万元, 元 or 分", field.name)));
            }
            if field.column.is_none() && field.default.is_none() {
                return Err(bad(format!("field {} has neither a column nor a default", field.name)));
            }
        }
        Ok(mapping)
    }

    /// Checks that the sheet has every column the mapping names.
    pub(crate) fn check_columns(&self, sheet: &Sheet) -> CliResult {
        let subject = &self.subject;
        let mut wanted = vec![&self.authority.column, &subject.name, &subject.kind, &subject.code];
        wanted.extend([&subject.document, &subject.representative_document]);
        wanted.extend(self.legal_basis.column.as_ref());
        wanted.extend(self.fields.iter().filter_map(|field| field.column.as_ref()));
        wanted.extend(subject.other_codes.keys().chain(&self.screened));
        let missing: Vec<&str> =
            wanted.iter().filter(|heading| !sheet.has(heading)).map(|heading| heading.as_str()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(CliError::new(Code::UnknownColumn, format!("the sheet has no column {}", missing.join(", "))))
    }

    /// Reads a row.
    ///
    /// # Errors
    /// The refusal of the first cell that cannot be read.
    pub(crate) fn map(&self, row: Row<'_>, raw: bool) -> Result<Mapped, Refusal> {
        if row.overflows() {
            let detail = format!("the row has {} cells, more than the heading", row.cells().len());
            return Err(Refusal::new(Code::BadSpreadsheet, detail));
        }
        let mut notes = Notes::default();
        let mut code = |heading: &str| {
            let normal = normalise::code(row.cell(heading));
            if normal.narrowed {
                notes.add(Note::NormalisedFullWidth);
            }
            normal.text
        };
        let subject = &self.subject;
        let authority = code(&self.authority.column);
        let subject_code = code(&subject.code);
        let document = code(&subject.document);
        let other_codes = subject
            .other_codes
            .iter()
            .map(|(heading, scheme)| (scheme.clone(), code(heading)))
            .filter(|(_, number)| !number.is_empty())
            .collect();
        let subject_kind = self.subject_kind(row)?;
        if subject_kind != SubjectKind::Person && !code(&subject.representative_document).is_empty() {
            notes.add(Note::StripRepresentativeId);
        }
        let mut fields = BTreeMap::new();
        for field in &self.fields {
            match field.read(row, &mut notes) {
                Ok(Some(value)) => {
                    fields.insert(field.name.clone(), value);
                }
                Ok(None) => {}
                Err(_) if raw => {
                    fields.extend(field.unread(row).map(|value| (field.name.clone(), value)));
                }
                Err(refusal) => return Err(refusal),
            }
        }
        let prose = |heading: &String| normalise::prose(row.cell(heading)).to_owned();
        Ok(Mapped {
            row: row.number,
            authority,
            subject_kind,
            subject_name: prose(&subject.name),
            subject_code,
            other_codes,
            document,
            basis_title: self.legal_basis.column.as_ref().map(prose),
            fields,
            screened: self.screened.iter().map(prose).collect(),
            notes,
        })
    }

    fn subject_kind(&self, row: Row<'_>) -> Result<SubjectKind, Refusal> {
        let cell = normalise::prose(row.cell(&self.subject.kind));
        match self.subject.kinds.get(cell).map(String::as_str) {
            Some("organisation") => Ok(SubjectKind::Organisation),
            Some("individual_business") => Ok(SubjectKind::IndividualBusiness),
            Some("person") => Ok(SubjectKind::Person),
            _ if cell.is_empty() => Err(missing(&self.subject.kind)),
            _ => {
                let known: Vec<&str> = self.subject.kinds.keys().map(String::as_str).collect();
                let detail = format!("{}: none of {}", self.subject.kind, known.join(", "));
                Err(Refusal::new(Code::SchemaInvalid, detail))
            }
        }
    }
}

impl Field {
    fn read(&self, row: Row<'_>, notes: &mut Notes) -> Result<Option<Value>, Refusal> {
        let cell = self.column.as_deref().map_or("", |heading| row.cell(heading));
        let heading = self.column.as_deref().unwrap_or(&self.name);
        let normal = match self.kind {
            Kind::Text | Kind::Choice | Kind::Choices => {
                Normal { text: normalise::prose(cell).to_owned(), narrowed: false }
            }
            Kind::Code => normalise::code(cell),
            Kind::Date | Kind::DateOrOpen | Kind::Amount => normalise::number(cell),
        };
        if normal.narrowed {
            notes.add(Note::NormalisedFullWidth);
        }
        let text = match (&self.default, normal.text.is_empty()) {
            (Some(default), true) => default.as_str(),
            _ => normal.text.as_str(),
        };
        if text.is_empty() {
            return if self.required { Err(missing(heading)) } else { Ok(None) };
        }
        Ok(Some(match self.kind {
            Kind::Text | Kind::Code => Value::Text(text.to_owned()),
            Kind::Date => Value::Date(date::parse(heading, text)?),
            Kind::DateOrOpen => {
                let day = date::parse(heading, text)?;
                if day == date::NO_END {
                    notes.add(Note::SentinelDateOpenEnded);
                    return Ok(None);
                }
                Value::Date(day)
            }
            Kind::Amount => {
                let unit = self.unit.as_deref().and_then(Unit::from_name).unwrap_or(Unit::YUAN);
                Value::Amount(amount::fen(heading, text, unit)?)
            }
            Kind::Choice => Value::Choices(vec![self.choice(heading, text)?]),
            Kind::Choices => {
                let mut parts = vec![text.to_owned()];
                for separator in &self.separators {
                    parts = parts
                        .iter()
                        .flat_map(|part| part.split(separator.as_str()))
                        .map(str::to_owned)
                        .collect();
                }
                let mut names = Vec::new();
                for part in parts.iter().map(|part| normalise::prose(part)).filter(|part| !part.is_empty()) {
                    let name = self.choice(heading, part)?;
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
                Value::Choices(names)
            }
        }))
    }

    /// What stands for a cell that cannot be read; nothing for an empty one.
    fn unread(&self, row: Row<'_>) -> Option<Value> {
        let text = normalise::number(row.cell(self.column.as_deref()?)).text;
        if text.is_empty() {
            return None;
        }
        Some(match self.kind {
            Kind::Amount => {
                let unit = self.unit.as_deref().and_then(Unit::from_name).unwrap_or(Unit::YUAN);
                Value::UnreadAmount(amount::shifted(&text, unit))
            }
            _ => Value::Unread(text),
        })
    }

    fn choice(&self, heading: &str, text: &str) -> Result<String, Refusal> {
        if self.values.values().any(|name| name == text) {
            return Ok(text.to_owned());
        }
        let fallback = self.default.as_ref().filter(|_| self.or_default);
        self.values.get(text).or(fallback).cloned().ok_or_else(|| {
            let known: Vec<&str> = self.values.keys().map(String::as_str).collect();
            Refusal::new(Code::SchemaInvalid, format!("{heading}: none of {}", known.join(", ")))
        })
    }
}

fn missing(heading: &str) -> Refusal {
    Refusal::new(Code::MissingField, format!("{heading} is empty"))
}
