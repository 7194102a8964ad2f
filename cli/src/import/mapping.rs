//! Which column of a spreadsheet is which field of a record.
//!
//! A mapping is a TOML file that an agency writes once per export. Built in are those for the official columns of the "double
//! publicity" of licences and penalties, for building permits (BLDS), food inspections and citizens' requests (Open311
//! GeoReport v2), and for documents in the formats of others (NGSI entities, OCDS releases, CAP alerts, GTFS
//! feeds, FHIR resources): see `city batch mappings`.

mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chain_core::code::{Code, Refusal};
use chain_core::record::Class;
use serde::Deserialize;

use crate::error::{CliError, CliResult};
use crate::files;

use super::cap::Cap;
use super::decimal::Decimal;
use super::entities::Entities;
use super::field::{Field, Value, missing};
use super::gtfs::Gtfs;
use super::normalise;
use super::note::{Note, Notes};
use super::ocds::Ocds;
use super::ocds::chain::Process;
use super::place::{Area, Town};
use super::sheet::{Row, Sheet};

/// Mappings that come with the program: name and text.
pub(crate) const BUILT_IN: [(&str, &str); 11] = [
    ("licences", include_str!("mappings/licences.toml")),
    ("penalties", include_str!("mappings/penalties.toml")),
    ("permits", include_str!("mappings/permits.toml")),
    ("inspections", include_str!("mappings/inspections.toml")),
    ("requests", include_str!("mappings/requests.toml")),
    ("fiware", include_str!("mappings/fiware.toml")),
    ("fiware-requests", include_str!("mappings/fiware_requests.toml")),
    ("ocds", include_str!("mappings/ocds.toml")),
    ("cap", include_str!("mappings/cap.toml")),
    ("gtfs", include_str!("mappings/gtfs.toml")),
    ("fhir", include_str!("mappings/fhir.toml")),
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
    /// Who acts; without it the agency is named on the command line.
    #[serde(default)]
    pub(crate) authority: Option<Column>,
    /// Whom the record is about; absent for records about things or nobody.
    #[serde(default)]
    pub(crate) subject: Option<SubjectColumns>,
    /// Privacy class, where it does not follow from the subject.
    #[serde(default)]
    pub(crate) class: Option<Class>,
    /// BCP 47 tag of the prose.
    #[serde(default = "chinese")]
    pub(crate) language: String,
    /// How the files are read.
    #[serde(default)]
    pub(crate) format: Format,
    /// Where the points of the sheet lie.
    #[serde(default)]
    area: Option<Area>,
    /// Where those lie that name a town, in the cells of an entity that name a place.
    #[serde(default, rename = "town")]
    towns: Vec<Town>,
    /// What entities may not be, and what they must say.
    #[serde(default)]
    pub(crate) entities: Entities,
    /// How releases name organisations.
    #[serde(default)]
    pub(crate) ocds: Ocds,
    /// How alerts are read.
    #[serde(default)]
    pub(crate) cap: Cap,
    /// What a feed does not say.
    #[serde(default)]
    pub(crate) gtfs: Gtfs,
    /// What it rests on.
    pub(crate) legal_basis: Basis,
    /// The other fields.
    #[serde(default, rename = "field")]
    pub(crate) fields: Vec<Field>,
    /// Lists of the record that a row gives one entry to.
    #[serde(default, rename = "list")]
    pub(crate) lists: Vec<List>,
    /// Columns of free text that no field takes but that are screened for persons' numbers.
    #[serde(default)]
    pub(crate) screened: Vec<String>,
    /// Columns that are not taken over.
    #[serde(default)]
    left_out: Vec<String>,
    /// Columns about persons that are never taken over; a sheet may lack them.
    #[serde(default)]
    personal: Vec<String>,
    /// Whether a column that the mapping does not name is refused.
    #[serde(default)]
    closed: bool,
    /// The headings of the official form, in its order: those of an export.
    #[serde(default)]
    columns: Vec<String>,
}

/// How files are read.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// CSV, or a JSON array of flat objects.
    #[default]
    Sheet,
    /// NGSI-LD or NGSIv2 entities, key-value or normalized.
    Entities,
    /// OCDS release packages and records.
    Ocds,
    /// CAP alerts.
    Cap,
    /// A GTFS feed.
    Gtfs,
    /// FHIR resources, as commitments.
    Fhir,
}

impl Format {
    /// What the records say of the system that they come from.
    pub(crate) fn system(self) -> &'static str {
        match self {
            Self::Sheet => "spreadsheet",
            Self::Entities => "ngsi",
            Self::Ocds => "ocds",
            Self::Cap => "cap",
            Self::Gtfs => "gtfs",
            Self::Fhir => "fhir",
        }
    }
}

/// A list with one entry.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct List {
    /// Name in the record.
    pub(crate) name: String,
    /// Columns of which one is filled where there is an entry.
    filled: Vec<String>,
    /// The fields of an entry.
    #[serde(rename = "field")]
    pub(crate) fields: Vec<Field>,
}

fn chinese() -> String {
    "zh-Hans".to_owned()
}

/// A column that must not be empty.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Column {
    /// Its heading.
    pub(crate) column: String,
    /// Heading of the name, for exports.
    #[serde(default)]
    name: Option<String>,
}

/// The columns about the subject.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubjectColumns {
    /// Name.
    pub(crate) name: String,
    /// Kind, spelled as in `kinds`; without it an organisation, or what its code says.
    #[serde(default)]
    pub(crate) kind: Option<String>,
    /// Unified social credit code.
    pub(crate) code: String,
    /// Older codes, kept in the body when the first is empty: scheme by heading.
    #[serde(default)]
    pub(crate) other_codes: BTreeMap<String, String>,
    /// Number of a person's identity document.
    #[serde(default)]
    pub(crate) document: Option<String>,
    /// Number of the representative's identity document; never taken over.
    #[serde(default)]
    pub(crate) representative_document: Option<String>,
    /// Spellings of `organisation`, `individual_business` and `person`.
    #[serde(default)]
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

/// Whom a row is about.
#[derive(Clone, Debug)]
pub(crate) struct MappedSubject {
    /// Kind of subject.
    pub(crate) kind: SubjectKind,
    /// Its name.
    pub(crate) name: String,
    /// Its unified social credit code, if any.
    pub(crate) code: String,
    /// Its other codes: scheme and number.
    pub(crate) other_codes: Vec<(String, String)>,
    /// Number of a person's document; goes to the vault.
    pub(crate) document: String,
}

/// A row in the record's terms, before the ledger's rules.
#[derive(Clone, Debug)]
pub(crate) struct Mapped {
    /// Number of the row.
    pub(crate) row: u64,
    /// Code of the acting authority, where the sheet names it.
    pub(crate) authority: Option<String>,
    /// Whom it is about.
    pub(crate) subject: Option<MappedSubject>,
    /// Title of the legal basis in the row, or `None` when the mapping names the basis.
    pub(crate) basis_title: Option<String>,
    /// The fields that are not empty.
    pub(crate) fields: BTreeMap<String, Value>,
    /// Entries of lists, by the list's name.
    pub(crate) lists: BTreeMap<String, BTreeMap<String, Value>>,
    /// Texts that no field takes, to be screened.
    pub(crate) screened: Vec<String>,
    /// The record's own number, by which it is recognised whatever else it says; without one the row's content is.
    pub(crate) number: Option<String>,
    /// What else the contracting process of a release tells.
    pub(crate) process: Option<Process>,
    /// What opens the commitments of the record; kept by whoever files it.
    pub(crate) openings: Option<serde_json::Value>,
    /// What was changed so far.
    pub(crate) notes: Notes,
}

impl Mapped {
    /// What a document says, about nobody, by its fields.
    pub(crate) fn of_document(fields: BTreeMap<String, Value>, notes: Notes) -> Self {
        Self {
            row: 0,
            authority: None,
            subject: None,
            basis_title: None,
            fields,
            lists: BTreeMap::new(),
            screened: Vec::new(),
            number: None,
            process: None,
            openings: None,
            notes,
        }
    }
}

impl Mapping {
    /// Reads a mapping: the name of a built-in one, or a file.
    pub(crate) fn load(name: &str) -> CliResult<(Self, String)> {
        let text = match BUILT_IN.iter().find(|(built_in, _)| *built_in == name) {
            Some((_, text)) => (*text).to_owned(),
            None => files::read(Path::new(name)).map_err(|error| {
                let names = BUILT_IN.map(|(name, _)| name).join(", ");
                error.hint(format!("give a mapping file, or one of the built-in mappings: {names}"))
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
        for field in mapping.all_fields() {
            field.check().map_err(&bad)?;
            if mapping.is_official() && field.asks_for_more_than_the_row() {
                return Err(bad(format!("field {}: not in the official columns", field.name)));
            }
        }
        for area in mapping.area.iter().chain(mapping.towns.iter().map(|town| &town.area)) {
            area.check().map_err(|refusal| bad(refusal.detail))?;
        }
        Ok(mapping)
    }

    /// Whether it is for the official columns, whose records have rules of publication of their own.
    pub(crate) fn is_official(&self) -> bool {
        matches!(self.record_type.as_str(), "credit.licence" | "credit.penalty")
    }

    /// Refuses a point outside the area, if there is one.
    ///
    /// # Errors
    /// `GEO_OUT_OF_AREA`.
    pub(crate) fn check_point(&self, latitude: Decimal, longitude: Decimal) -> Result<(), Refusal> {
        self.area.as_ref().map_or(Ok(()), |area| area.check_point(latitude, longitude))
    }

    fn all_fields(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().chain(self.lists.iter().flat_map(|list| &list.fields))
    }

    /// Checks that the sheet has every column without which no row is good, and no unnamed one where the mapping is closed.
    ///
    /// # Errors
    /// `UNKNOWN_COLUMN` with the columns.
    pub(crate) fn check_columns(&self, sheet: &Sheet) -> CliResult {
        let mut wanted: Vec<&String> = self.authority.iter().map(|authority| &authority.column).collect();
        if let Some(subject) = &self.subject {
            wanted.extend([&subject.name, &subject.code]);
            wanted.extend(&subject.kind);
        }
        wanted.extend(self.legal_basis.column.as_ref());
        wanted.extend(self.fields.iter().flat_map(|field| field.lacking(sheet)));
        let missing: BTreeSet<&str> =
            wanted.into_iter().filter(|heading| !sheet.has(heading)).map(String::as_str).collect();
        if !missing.is_empty() {
            let missing: Vec<&str> = missing.into_iter().collect();
            let detail = format!("the sheet has no column {}", missing.join(", "));
            return Err(CliError::new(Code::UnknownColumn, detail));
        }
        let strange = self.unnamed(sheet);
        if self.closed && !strange.is_empty() {
            let detail = format!("the mapping does not say what becomes of column {}", strange.join(", "));
            return Err(CliError::new(Code::UnknownColumn, detail)
                .hint("name it in a field, or in left_out, screened or personal"));
        }
        Ok(())
    }

    /// Columns of a sheet that the mapping does not name: nothing of them is taken.
    pub(crate) fn unnamed<'a>(&self, sheet: &'a Sheet) -> Vec<&'a str> {
        sheet.headings().filter(|heading| !self.names(heading)).collect()
    }

    /// Whether the mapping says what becomes of a column.
    fn names(&self, heading: &str) -> bool {
        let subject = self.subject.iter().flat_map(|subject| {
            let optional =
                subject.kind.iter().chain(&subject.document).chain(&subject.representative_document);
            [&subject.name, &subject.code].into_iter().chain(optional).chain(subject.other_codes.keys())
        });
        let lists = self.lists.iter().flat_map(|list| &list.filled);
        let authority = self.authority.iter().flat_map(|one| one.name.iter().chain([&one.column]));
        let mut all = authority
            .chain(subject)
            .chain(&self.legal_basis.column)
            .chain(self.all_fields().flat_map(Field::headings))
            .chain(lists)
            .chain(&self.screened)
            .chain(&self.left_out)
            .chain(&self.personal)
            .chain(&self.columns);
        all.any(|name| name == heading)
    }

    /// Reads a row.
    ///
    /// # Errors
    /// The refusal of the first cell that cannot be read.
    pub(crate) fn map(&self, row: Row<'_>, raw: bool) -> Result<Mapped, Refusal> {
        if self.format == Format::Entities {
            self.entities.check(row, self.area.as_ref(), &self.towns)?;
        }
        if row.overflows() {
            let detail = format!("the row has {} cells, more than the heading", row.cells().len());
            return Err(Refusal::new(Code::BadSpreadsheet, detail));
        }
        let mut notes = Notes::default();
        let authority = self.authority.as_ref().map(|authority| code(row, &authority.column, &mut notes));
        let subject = self.subject.as_ref().map(|subject| subject.map(row, &mut notes)).transpose()?;
        let within = |heading: &str, name: &String| {
            heading.strip_prefix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        if row.filled().any(|(heading, _)| self.personal.iter().any(|name| within(heading, name))) {
            notes.add(Note::StripPersonal);
        }
        if self.format == Format::Sheet && row.filled().any(|(heading, _)| !self.names(heading)) {
            notes.add(Note::LeftOut);
        }
        let fields = self.read(&self.fields, row, raw, &mut notes)?;
        let mut lists = BTreeMap::new();
        for list in &self.lists {
            if list.filled.iter().any(|heading| !normalise::prose(row.cell(heading)).is_empty()) {
                lists.insert(list.name.clone(), self.read(&list.fields, row, raw, &mut notes)?);
            }
        }
        let prose = |heading: &String| normalise::prose(row.cell(heading)).to_owned();
        Ok(Mapped {
            row: row.number,
            authority,
            subject,
            basis_title: self.legal_basis.column.as_ref().map(prose),
            fields,
            lists,
            screened: self.screened.iter().map(prose).collect(),
            number: None,
            process: None,
            openings: None,
            notes,
        })
    }

    fn read(
        &self,
        fields: &[Field],
        row: Row<'_>,
        raw: bool,
        notes: &mut Notes,
    ) -> Result<BTreeMap<String, Value>, Refusal> {
        let mut values = BTreeMap::new();
        for field in fields {
            match field.read(row, self.area.as_ref(), notes) {
                Ok(Some(value)) => {
                    values.insert(field.name.clone(), value);
                }
                Ok(None) => {}
                Err(_) if raw => {
                    values.extend(field.unread(row).map(|value| (field.name.clone(), value)));
                }
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(values)
    }
}

impl SubjectColumns {
    fn map(&self, row: Row<'_>, notes: &mut Notes) -> Result<MappedSubject, Refusal> {
        let kind = self.kind_of(row)?;
        let number = code(row, &self.code, notes);
        let document = self.document.as_ref().map(|heading| code(row, heading, notes)).unwrap_or_default();
        let mut other_codes = Vec::new();
        for (heading, scheme) in &self.other_codes {
            let number = code(row, heading, notes);
            if !number.is_empty() {
                other_codes.push((scheme.clone(), number));
            }
        }
        let representative = self.representative_document.as_ref();
        if kind != SubjectKind::Person
            && representative.is_some_and(|heading| !code(row, heading, notes).is_empty())
        {
            notes.add(Note::StripRepresentativeId);
        }
        let name = normalise::prose(row.cell(&self.name)).to_owned();
        Ok(MappedSubject { kind, name, code: number, other_codes, document })
    }

    fn kind_of(&self, row: Row<'_>) -> Result<SubjectKind, Refusal> {
        let Some(heading) = &self.kind else { return Ok(SubjectKind::Organisation) };
        let cell = normalise::prose(row.cell(heading));
        match self.kinds.get(cell).map(String::as_str) {
            Some("organisation") => Ok(SubjectKind::Organisation),
            Some("individual_business") => Ok(SubjectKind::IndividualBusiness),
            Some("person") => Ok(SubjectKind::Person),
            _ if cell.is_empty() => Err(missing(heading)),
            _ => {
                let known: Vec<&str> = self.kinds.keys().map(String::as_str).collect();
                let detail = format!("{heading}: none of {}", known.join(", "));
                Err(Refusal::new(Code::SchemaInvalid, detail))
            }
        }
    }
}

fn code(row: Row<'_>, heading: &str, notes: &mut Notes) -> String {
    let normal = normalise::code(row.cell(heading));
    if normal.narrowed {
        notes.add(Note::NormalisedFullWidth);
    }
    normal.text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet(text: &str) -> Sheet {
        Sheet::parse("sheet", text.as_bytes()).unwrap()
    }

    /// A request with every column that a good row needs, and what else is given.
    fn request(more: (&str, &str)) -> Sheet {
        let json = serde_json::json!([{
            "service_request_id": "R-1", "service_code": "S1", "status": "open", "service_name": "灯不亮", "description": "路灯",
            "requested_datetime": "2026-05-06T09:00:00+08:00", "updated_datetime": "2026-05-06T09:00:00+08:00",
            "lat": 32.06, "long": 118.79, more.0: more.1,
        }]);
        sheet(&json.to_string())
    }

    #[test]
    fn columns_that_no_row_needs_may_be_absent_and_unnamed_ones_are_left_out_with_a_note() {
        let (mapping, _) = Mapping::load("requests").unwrap();
        let notes = |more| {
            let sheet = request(more);
            mapping.check_columns(&sheet).unwrap();
            let mapped = mapping.map(sheet.rows().next().unwrap(), false).unwrap();
            (mapping.unnamed(&sheet).join(" "), mapped.notes.to_string(), format!("{mapped:?}"))
        };
        let (unnamed, said, _) = notes(("media_url", "https://x.example/1.jpg"));
        assert_eq!((unnamed.as_str(), said.as_str()), ("", ""));
        let (unnamed, said, mapped) = notes(("caller", "Wang Fang"));
        assert_eq!((unnamed.as_str(), said.as_str()), ("caller", "LEFT_OUT"));
        assert!(!mapped.contains("Wang"), "{mapped}");
        let (unnamed, said, _) = notes(("caller", ""));
        assert_eq!((unnamed.as_str(), said.as_str()), ("caller", ""));
        let short = sheet(r#"[{"service_request_id": "R-1", "service_code": "S1", "lat": 1}]"#);
        let error = mapping.check_columns(&short).unwrap_err();
        assert_eq!(error.code(), Code::UnknownColumn);
        for column in ["status", "long", "description"] {
            assert!(error.report().contains(column), "{}", error.report());
        }
        assert!(!error.report().contains("expected_datetime"), "{}", error.report());
    }

    #[test]
    fn the_official_form_may_lack_a_column_about_persons_and_has_no_others() {
        let (mapping, _) = Mapping::load("penalties").unwrap();
        let headings = |without: &str, more: Option<&str>| {
            let official = mapping.columns().iter().map(String::as_str).filter(|one| *one != without);
            sheet(&(official.chain(more).collect::<Vec<_>>().join(",") + "\n"))
        };
        assert!(mapping.check_columns(&headings("", None)).is_ok());
        assert!(mapping.check_columns(&headings("法定代表人证件号码", None)).is_ok());
        let error = mapping.check_columns(&headings("", Some("手机号"))).unwrap_err();
        assert!(
            error.code() == Code::UnknownColumn && error.report().contains("手机号"),
            "{}",
            error.report()
        );
    }

    #[test]
    fn a_permit_has_one_of_the_days_that_say_its_status() {
        let (mapping, text) = Mapping::load("permits").unwrap();
        assert!(!text.contains("closed"));
        let base =
            "PermitNum,Description,StatusCurrentMapped,PermitTypeMapped,WorkClassMapped,Latitude,Longitude";
        assert!(mapping.check_columns(&sheet(&format!("{base},IssuedDate\n"))).is_ok());
        assert!(
            mapping.check_columns(&sheet(&format!("{base}\n"))).unwrap_err().report().contains("IssuedDate")
        );
    }
}
