//! `city calendar`: the working days of each year, as the council has filed them.

use std::path::{Path, PathBuf};

use chain_core::code::{Code, Refusal};
use chain_core::genesis::CalendarEntry;
use chain_core::operation::{AmendReason, Operation};
use chain_core::record::calendar::CalendarDetails;
use chain_core::record::{Details, Header, RecordType};
use clap::Subcommand;
use serde_json::{Value, json};

use super::agency;
use crate::app::City;
use crate::commands::clerk::record::list;
use crate::draft::shown_header;
use crate::error::{CliError, CliResult};
use crate::files;
use crate::output::Shape;

/// Working days: list the calendars, file the next year's
///
/// Deadlines that count working days need the calendar of the year in which they begin. Its file is TOML with the fields
/// of a `[[calendar]]` of a genesis: year, holidays, work_days, source, doc_no, text_hash.
///
/// city calendar list
///
/// city calendar propose 2027.toml --key market-regulation-council-member
///
/// city record countersign RECORD --key ecology-environment-council-member
#[derive(Clone, Debug, Subcommand)]
#[command(verbatim_doc_comment)]
pub(crate) enum CalendarCommand {
    /// List the calendars
    List,
    /// Propose the calendar of a year to the council, or a correction of the one in force
    Propose {
        /// The file
        file: PathBuf,
        /// Council member's key that signs, by name
        #[arg(long)]
        key: String,
    },
}

const CALENDARS: Shape = Shape {
    schema: "calendars",
    columns: &["year", "holidays", "work_days", "source", "doc_no", "status", "record"],
    id: "year",
    empty: "no calendars; the council files one: city calendar propose FILE --key NAME",
};

pub(crate) fn run(command: CalendarCommand, city: &City) -> CliResult {
    match command {
        CalendarCommand::List => {
            let mut rows = Vec::new();
            for (header, details, status) in known(city)? {
                rows.push(row(&header, &details, &status));
            }
            rows.sort_by_key(|row| row["year"].as_u64());
            city.out.list(CALENDARS, &rows)
        }
        CalendarCommand::Propose { file, key } => {
            let details = read(&file)?;
            let genesis = city.genesis()?;
            let same = |(_, one, status): &(Header, CalendarDetails, String)| {
                one.year == details.year && status == "effective"
            };
            let operation = match known(city)?.into_iter().find(same) {
                Some((old, ..)) => {
                    let version = old.version.saturating_add(1);
                    let details = Details::Calendar(Box::new(details));
                    let header = Box::new(Header { version, details, ..old });
                    Operation::Amend { header, reason: AmendReason::ChangeOnApplication }
                }
                None => agency::first(city, &genesis, Details::Calendar(Box::new(details)), &key)?,
            };
            agency::send(city, &genesis, operation, &key)
        }
    }
}

/// Header, content and status of every calendar record.
fn known(city: &City) -> CliResult<Vec<(Header, CalendarDetails, String)>> {
    let filter = [("type", Some(RecordType::Calendar.name().to_owned()))];
    let mut all = Vec::new();
    for view in list(&city.client()?, &filter, usize::MAX)?.items {
        let header = shown_header(&view)?;
        let Details::Calendar(details) = &header.details else { return Err(agency::strange(&view)) };
        let details = (**details).clone();
        all.push((header, details, view.status));
    }
    Ok(all)
}

fn row(header: &Header, details: &CalendarDetails, status: &str) -> Value {
    json!({
        "year": details.year,
        "holidays": details.holidays.len(),
        "work_days": details.work_days.len(),
        "source": details.source,
        "doc_no": details.doc_no,
        "status": status,
        "record": header.record,
    })
}

fn read(path: &Path) -> CliResult<CalendarDetails> {
    parse(&files::read(path)?).map_err(|refusal| {
        let detail = format!("{}: {}", path.display(), refusal.detail);
        CliError::new(refusal.code, detail)
            .hint("the fields are those of a [[calendar]] in genesis/example-city.toml")
    })
}

fn parse(text: &str) -> Result<CalendarDetails, Refusal> {
    let mut entry: CalendarEntry =
        toml::from_str(text).map_err(|error| Refusal::new(Code::BadParameter, error.to_string()))?;
    // The order of days has no meaning, as in a genesis.
    entry.holidays.sort();
    entry.work_days.sort();
    entry.details()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_a_calendar_or_says_what_is_wrong() {
        let hash = "00".repeat(32);
        let file = |days: &str| {
            format!("year = 2027\nsource = \"notice\"\ntext_hash = \"{hash}\"\nholidays = [{days}]\n")
        };
        let details = parse(&file("\"2027-01-02\", \"2027-01-01\"")).unwrap();
        assert_eq!((details.year, details.holidays.len(), details.work_days.len()), (2027, 2, 0));
        for days in ["\"2026-01-01\"", "\"2027-02-30\"", "\"2027-01-01\", \"2027-01-01\"", "1"] {
            assert!(parse(&file(days)).is_err(), "{days}");
        }
        assert!(parse("year = 2027").is_err());
    }
}
