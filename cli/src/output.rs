//! Results on stdout in the form asked for; talk on stderr.
//!
//! Every command hands over JSON objects and the names of their columns; tables, CSV and ids are drawn from
//! the same objects, so no form can say something another does not.

mod csv;
mod table;

use std::io::{IsTerminal as _, Write as _};

use clap::ValueEnum;
use serde_json::{Map, Value, json};

use crate::error::{CliError, CliResult};

/// Form of the results.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people
    #[default]
    Table,
    /// One JSON document with a versioned `schema`
    Json,
    /// One JSON object per line
    Jsonl,
    /// Comma-separated values, formula cells escaped
    Csv,
    /// Ids only, one per line
    Id,
}

/// When to colour.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The shape of a result: schema name, columns of the table and the column that identifies a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Last part of `city/v1/…`.
    pub(crate) schema: &'static str,
    /// Columns in the order of tables and CSV.
    pub(crate) columns: &'static [&'static str],
    /// The column that `-o id` prints.
    pub(crate) id: &'static str,
    /// What to say when a list is empty.
    pub(crate) empty: &'static str,
}

/// Where results and talk go.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    format: Format,
    fields: Vec<String>,
    color: bool,
    quiet: bool,
}

impl Output {
    /// Output for the given manners.
    pub(crate) fn new(format: Format, fields: Vec<String>, color: Color, quiet: bool) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let color = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => set("CLICOLOR_FORCE") || (std::io::stderr().is_terminal() && !set("NO_COLOR")),
        };
        Self { format, fields, color, quiet }
    }

    /// The form of results.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Whether talk is wanted.
    pub(crate) fn talks(&self) -> bool {
        !self.quiet
    }

    /// Prints a list.
    pub(crate) fn list(&self, shape: Shape, rows: &[Value]) -> CliResult {
        let columns = self.columns(shape, rows)?;
        let text = match self.format {
            Format::Table if rows.is_empty() => {
                if !shape.empty.is_empty() {
                    self.say(shape.empty);
                }
                String::new()
            }
            Format::Table => table::columns(&columns, rows),
            Format::Json => {
                let items: Vec<Value> = rows.iter().map(|row| self.narrow(row)).collect();
                document(&json!({ "schema": format!("city/v1/{}", shape.schema), "items": items }))?
            }
            Format::Jsonl => lines(rows.iter().map(|row| self.narrow(row)))?,
            Format::Csv => csv::text(&columns, rows)?,
            // A row without an id has none to hand on: a blank line would be an argument to the next command.
            Format::Id => {
                let ids = rows.iter().map(|row| table::cell(&row[shape.id]));
                ids.filter(|id| !id.is_empty()).map(|id| id + "\n").collect()
            }
        };
        self.data(&text)
    }

    /// Prints one thing: a table has one line per field.
    pub(crate) fn item(&self, shape: Shape, item: &Value) -> CliResult {
        let rows = std::slice::from_ref(item);
        let columns = self.columns(shape, rows)?;
        let text = match self.format {
            Format::Table => table::fields(&columns, item),
            Format::Json => {
                let mut object = Map::new();
                object.insert("schema".to_owned(), json!(format!("city/v1/{}", shape.schema)));
                if let Value::Object(members) = self.narrow(item) {
                    object.extend(members);
                }
                document(&Value::Object(object))?
            }
            Format::Jsonl => lines([self.narrow(item)])?,
            Format::Csv => csv::text(&columns, rows)?,
            Format::Id => table::cell(&item[shape.id]) + "\n",
        };
        self.data(&text)
    }

    /// Writes data to stdout. A reader that closed the pipe has seen enough: no error.
    pub(crate) fn data(&self, data: impl AsRef<[u8]>) -> CliResult {
        let mut out = std::io::stdout().lock();
        match out.write_all(data.as_ref()).and_then(|()| out.flush()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(CliError::internal(error)),
            _ => Ok(()),
        }
    }

    /// Says something on stderr, unless `--quiet`.
    pub(crate) fn say(&self, text: impl AsRef<str>) {
        if !self.quiet {
            eprintln!("{}", text.as_ref());
        }
    }

    /// Says that a step succeeded.
    pub(crate) fn done(&self, text: impl AsRef<str>) {
        self.say(format!("  {} {}", self.paint("✔", "32"), text.as_ref()));
    }

    /// Says that something is wrong but the work goes on.
    pub(crate) fn warn(&self, text: impl AsRef<str>) {
        eprintln!("{} {}", self.paint("warning:", "33"), text.as_ref());
    }

    /// Prints a failure.
    pub(crate) fn failure(&self, error: &CliError) {
        if self.format == Format::Json || self.format == Format::Jsonl {
            let code = error.code();
            let document = json!({
                "schema": "city/v1/error",
                "code": format!("E{:04}", code.number()),
                "name": code.name(),
                "detail": error.refusal.detail,
                "hint": error.hint.as_deref().unwrap_or_else(|| code.hint()),
                "exit": error.exit.code(),
            });
            eprintln!("{document}");
            return;
        }
        let report = error.report();
        match report.split_once(": ") {
            Some((head, rest)) if self.color => eprint!("{}: {rest}", self.paint(head, "1;31")),
            _ => eprint!("{report}"),
        }
    }

    /// Text in an ANSI colour, when colours are on.
    pub(crate) fn paint(&self, text: &str, ansi: &str) -> String {
        if self.color { format!("\u{1b}[{ansi}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn columns(&self, shape: Shape, rows: &[Value]) -> CliResult<Vec<String>> {
        if self.fields.is_empty() {
            return Ok(shape.columns.iter().map(|&name| name.to_owned()).collect());
        }
        for field in &self.fields {
            let known =
                shape.columns.contains(&field.as_str()) || rows.iter().any(|row| row.get(field).is_some());
            if !known {
                let detail = format!("no field {field}; there are {}", shape.columns.join(", "));
                return Err(CliError::usage(detail).hint("name them with --fields A,B"));
            }
        }
        Ok(self.fields.clone())
    }

    fn narrow(&self, row: &Value) -> Value {
        match row {
            Value::Object(members) if !self.fields.is_empty() => {
                let chosen = self
                    .fields
                    .iter()
                    .filter_map(|field| members.get(field).map(|value| (field.clone(), value.clone())));
                Value::Object(chosen.collect())
            }
            other => other.clone(),
        }
    }
}

/// Rows as CSV text, for report files.
pub(crate) fn csv_text(shape: Shape, rows: &[Value]) -> CliResult<String> {
    let columns: Vec<String> = shape.columns.iter().map(|&name| name.to_owned()).collect();
    csv::text(&columns, rows)
}

fn document(value: &Value) -> CliResult<String> {
    serde_json::to_string_pretty(value).map(|text| text + "\n").map_err(CliError::internal)
}

fn lines(values: impl IntoIterator<Item = Value>) -> CliResult<String> {
    let mut text = String::new();
    for value in values {
        text.push_str(&serde_json::to_string(&value).map_err(CliError::internal)?);
        text.push('\n');
    }
    Ok(text)
}
