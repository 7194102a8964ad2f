//! One field of a record: the cells that it is read from, and how.

mod written;

use std::collections::BTreeMap;

use chain_core::code::{Code, Refusal};
use chain_core::record::body::parse_instant;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::amount::{self, Unit};
use super::date::{self, Day};
use super::decimal::Decimal;
use super::normalise::{self, Normal};
use super::note::{Note, Notes};
use super::place::Area;
use super::sheet::{Row, Sheet};

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
    /// Headings of a field that is read from several cells: a point's latitude and longitude, dates, parts of a number.
    #[serde(default)]
    columns: Vec<String>,
    /// What a decimal number is multiplied with: the unit of the column in that of the record.
    #[serde(default)]
    factor: Option<String>,
    /// Places after the point that a point's degrees keep: 4 (about 10 m) or 7.
    #[serde(default)]
    places: Option<u32>,
    /// Geodetic datum of a point.
    #[serde(default)]
    datum: Option<String>,
    /// Between the parts of a joined number.
    #[serde(default)]
    joint: String,
    /// Only where another column says so.
    #[serde(default)]
    when: Option<When>,
    /// The last day of a term, where the cell of a date is empty.
    #[serde(default)]
    term: Option<Term>,
}

/// What another column must say.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct When {
    column: String,
    is: String,
}

/// A term in the working days of the city.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Term {
    /// Column with the day after which it begins.
    from: String,
    working_days: u16,
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
    /// Prose that is of no language: a name.
    Plain,
    /// A time with its offset (RFC 3339).
    Instant,
    /// The day of a time, where the time's own offset stands.
    Day,
    /// The latest of several days.
    LatestDate,
    /// A whole number.
    Integer,
    /// A decimal number.
    Decimal,
    /// Yes or no, spelled as in `values`.
    Flag,
    /// Latitude and longitude in degrees.
    Point,
    /// Several cells as one number.
    Joined,
    /// A commitment to a text that stays where it is: only the agency can open it.
    Commitment,
    /// The acting agency.
    Agency,
    /// The officers who answer for the row; the cell says how many there were.
    Officers,
}

/// A cell as the record wants it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Value {
    /// Prose in the language of the sheet.
    Text(String),
    /// A code, a number, a name.
    Plain(String),
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
    /// As the body has it.
    Ready(Json),
    /// A text that the body holds a commitment to.
    Committed(String),
    /// The last day of so many working days after a day.
    Term(Day, u16),
    /// The day of the import.
    Today,
    /// Records that the agency filed under these numbers.
    Earlier(Vec<String>),
    /// The acting agency.
    Agency,
    /// So many officers.
    Officers(u64),
}

impl Field {
    /// Refuses a field of a mapping that could read nothing.
    pub(crate) fn check(&self) -> Result<(), String> {
        let name = &self.name;
        let several = match self.kind {
            Kind::Point => self.columns.len() == 2,
            Kind::LatestDate | Kind::Joined => self.columns.len() >= 2,
            _ => self.columns.is_empty(),
        };
        if !several {
            return Err(format!("field {name}: {} headings in `columns`", self.columns.len()));
        }
        if self.kind == Kind::Amount && self.unit.as_deref().and_then(Unit::from_name).is_none() {
            return Err(format!("field {name} needs a unit: 万元, 元 or 分"));
        }
        let reads = self.column.is_some() || self.default.is_some() || !self.columns.is_empty();
        if !reads && self.kind != Kind::Agency {
            return Err(format!("field {name} has neither a column nor a default"));
        }
        if let Some(factor) = &self.factor {
            Decimal::parse(name, factor).map_err(|refusal| refusal.detail)?;
        }
        // What a kind does not read would be ignored in silence.
        for (given, member, kind) in [
            (self.factor.is_some(), "factor", Kind::Decimal),
            (self.term.is_some(), "term", Kind::Date),
            (self.datum.is_some(), "datum", Kind::Point),
            (!self.joint.is_empty(), "joint", Kind::Joined),
            (self.unit.is_some(), "unit", Kind::Amount),
        ] {
            if given && self.kind != kind {
                return Err(format!("field {name}: {member} is for another kind"));
            }
        }
        match (self.kind, self.places) {
            (Kind::Point, Some(4 | 7)) | (_, None) => {}
            _ => return Err(format!("field {name}: places wants to be 4 or 7, of a point")),
        }
        if self.kind == Kind::Point && (self.places.is_none() || self.datum.is_none()) {
            return Err(format!("field {name}: a point has places and a datum"));
        }
        Ok(())
    }

    /// Whether its value takes the agency, its officers or the city's calendars.
    pub(crate) fn asks_for_more_than_the_row(&self) -> bool {
        self.term.is_some() || matches!(self.kind, Kind::Agency | Kind::Officers | Kind::Commitment)
    }

    /// Every heading that it reads.
    pub(crate) fn headings(&self) -> impl Iterator<Item = &String> {
        let when = self.when.iter().map(|when| &when.column);
        let term = self.term.iter().map(|term| &term.from);
        self.column.iter().chain(&self.columns).chain(when).chain(term)
    }

    /// The headings without which it is never good and that a sheet does not have.
    pub(crate) fn lacking<'a>(&'a self, sheet: &Sheet) -> Vec<&'a String> {
        let needed = match self.kind {
            Kind::Joined => true,
            Kind::LatestDate => self.required && !self.columns.iter().any(|heading| sheet.has(heading)),
            _ => self.required && self.default.is_none(),
        };
        let own = self.column.iter().chain(&self.columns);
        own.filter(|heading| needed && !sheet.has(heading)).collect()
    }

    /// Reads the cells of a row.
    ///
    /// # Errors
    /// The refusal of the first cell that cannot be read.
    pub(crate) fn read(
        &self,
        row: Row<'_>,
        area: Option<&Area>,
        notes: &mut Notes,
    ) -> Result<Option<Value>, Refusal> {
        if self.when.as_ref().is_some_and(|when| normalise::prose(row.cell(&when.column)) != when.is) {
            return Ok(None);
        }
        match self.kind {
            Kind::Agency => return Ok(Some(Value::Agency)),
            Kind::Point => return self.point(row, area),
            Kind::LatestDate => return self.latest(row),
            Kind::Joined => return self.joined(row),
            _ => {}
        }
        let cell = self.column.as_deref().map_or("", |heading| row.cell(heading));
        let heading = self.column.as_deref().unwrap_or(&self.name);
        let normal = match self.kind {
            Kind::Code => normalise::code(cell),
            Kind::Date
            | Kind::DateOrOpen
            | Kind::Amount
            | Kind::Integer
            | Kind::Decimal
            | Kind::Officers
            | Kind::Instant
            | Kind::Day => normalise::number(cell),
            _ => Normal { text: normalise::prose(cell).to_owned(), narrowed: false },
        };
        if normal.narrowed {
            notes.add(Note::NormalisedFullWidth);
        }
        let text = match (&self.default, normal.text.is_empty()) {
            (Some(default), true) => default.as_str(),
            _ => normal.text.as_str(),
        };
        if text.is_empty() {
            return match &self.term {
                Some(term) => {
                    let from = normalise::number(row.cell(&term.from)).text;
                    Ok(Some(Value::Term(date::parse(&term.from, &from)?, term.working_days)))
                }
                None if self.required => Err(missing(heading)),
                None => Ok(None),
            };
        }
        Ok(Some(match self.kind {
            Kind::Text => Value::Text(text.to_owned()),
            Kind::Code | Kind::Plain => Value::Plain(text.to_owned()),
            Kind::Commitment => Value::Committed(text.to_owned()),
            Kind::Integer => Value::Ready(json!(whole(heading, text)?)),
            Kind::Officers => {
                let count = u64::try_from(whole(heading, text)?).unwrap_or(0);
                Value::Officers(count)
            }
            Kind::Flag => Value::Ready(json!(self.choice(heading, text)? == "true")),
            Kind::Decimal => {
                let number = Decimal::parse(heading, text)?;
                let factor = self.factor.as_deref().map_or("1", |factor| factor);
                let (digits, scale) = number.times(Decimal::parse(heading, factor)?).parts(heading)?;
                Value::Ready(json!({ "digits": digits, "scale": scale }))
            }
            Kind::Instant | Kind::Day => {
                let known = parse_instant(text).and(text.get(..10));
                let Some(day) = known else {
                    let detail =
                        format!("{heading} wants a time with its offset, as 2026-05-06T09:00:00+08:00");
                    return Err(Refusal::new(Code::BadDate, detail));
                };
                if self.kind == Kind::Instant {
                    Value::Ready(json!(text))
                } else {
                    Value::Date(date::parse(heading, day)?)
                }
            }
            // Read above.
            Kind::Agency | Kind::Point | Kind::LatestDate | Kind::Joined => return Ok(None),
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

    fn point(&self, row: Row<'_>, area: Option<&Area>) -> Result<Option<Value>, Refusal> {
        let [latitude, longitude] = &self.columns[..] else { return Ok(None) };
        let cell = |heading: &String| normalise::number(row.cell(heading)).text;
        let (at, to) = (cell(latitude), cell(longitude));
        if at.is_empty() && to.is_empty() && !self.required {
            return Ok(None);
        }
        for (heading, text) in [(latitude, &at), (longitude, &to)] {
            if text.is_empty() {
                return Err(missing(heading));
            }
        }
        let (at, to) = (Decimal::parse(latitude, &at)?, Decimal::parse(longitude, &to)?);
        if let Some(area) = area {
            area.check_point(at, to)?;
        }
        let places = self.places.unwrap_or(7);
        let names = if places == 4 { ["lat_e4", "lon_e4"] } else { ["lat_e7", "lon_e7"] };
        let degrees = |number: Decimal| i64::try_from(number.rounded(places)).unwrap_or(i64::MAX);
        Ok(Some(Value::Ready(json!({ names[0]: degrees(at), names[1]: degrees(to), "datum": self.datum }))))
    }

    fn latest(&self, row: Row<'_>) -> Result<Option<Value>, Refusal> {
        let mut latest = None;
        for heading in &self.columns {
            let text = normalise::number(row.cell(heading)).text;
            if !text.is_empty() {
                latest = latest.max(Some(date::parse(heading, &text)?));
            }
        }
        match latest {
            None if self.required => Err(missing(&self.columns.join(", "))),
            latest => Ok(latest.map(Value::Date)),
        }
    }

    fn joined(&self, row: Row<'_>) -> Result<Option<Value>, Refusal> {
        let mut parts = Vec::new();
        for heading in &self.columns {
            let text = normalise::code(row.cell(heading)).text;
            if text.is_empty() {
                return Err(missing(heading));
            }
            parts.push(text);
        }
        Ok(Some(Value::Plain(parts.join(&self.joint))))
    }

    /// What stands for a cell that cannot be read; nothing for an empty one.
    pub(crate) fn unread(&self, row: Row<'_>) -> Option<Value> {
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

fn whole(heading: &str, text: &str) -> Result<i64, Refusal> {
    let wrong = || {
        let shown = if text.len() <= 20 { text } else { "a longer text" };
        Refusal::new(Code::BadNumber, format!("{heading}: {shown} is no whole number"))
    };
    let plain = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !plain(text.strip_prefix('-').unwrap_or(text)) {
        return Err(wrong());
    }
    text.parse().map_err(|_| wrong())
}

/// The refusal of an empty cell.
pub(crate) fn missing(heading: &str) -> Refusal {
    Refusal::new(Code::MissingField, format!("{heading} is empty"))
}
