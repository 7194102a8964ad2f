//! `city batch`: a spreadsheet in, a verdict for every row out.

mod procurement;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use chain_core::code::{Code, Refusal};
use chain_core::date::Date;
use chain_core::genesis::Genesis;
use chain_core::record::RecordType;
use chain_core::record::registered::RegisteredType;
use clap::Subcommand;
use serde_json::{Value, json};

use crate::app::City;
use crate::catalogue::Catalogue;
use crate::commands::clerk::record::known_type;
use crate::draft::filed_by;
use crate::error::{CliError, CliResult};
use crate::exit::Exit;
use crate::files;
use crate::filing::now_ms;
use crate::import::journal::{Journal, Start, resume_hint};
use crate::import::mapping::{BUILT_IN, Format, Mapping};
use crate::import::ocds::chain::Processes;
use crate::import::plan::{Judged, Judging, judge_sheet, sign};
use crate::import::send::{Sending, send_all};
use crate::import::sheet::Sheet;
use crate::import::source::Source;
use crate::interrupt;
use crate::output::Shape;
use crate::registered;

/// File a spreadsheet: check it, submit it, resume it, report on it
///
/// A mapping says which column is which field; built in are those for the official columns of licences and penalties, for building
/// permits (BLDS), food inspections and citizens' requests (Open311), and for documents of others: NGSI entities, OCDS releases, CAP alerts, GTFS feeds, FHIR resources. Every row is judged before anything is sent and keeps its own verdict and receipt. A journal
/// beside the sheet remembers what was sent, so that Ctrl-C, a crash or a dead node never file a row twice.
///
/// city batch check licences.csv --map licences
///
/// city batch submit licences.csv --map licences --report licences.report.csv
///
/// city batch resume licences.csv
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum BatchCommand {
    /// Judge every row; send nothing
    Check {
        /// The sheet: CSV in UTF-8, or a JSON array of flat objects; a document or a folder of them; `-` for stdin
        sheet: PathBuf,
        /// Mapping file, or the name of a built-in mapping
        #[arg(long, value_name = "MAP")]
        map: String,
        /// The agency that acts, where the sheet does not say it
        #[arg(long, value_name = "ID")]
        agency: Option<String>,
        /// List of what should become of each row, to compare: CSV with `row`, `outcome` (accept, reject) and `notes`
        #[arg(long, value_name = "FILE")]
        expected: Option<PathBuf>,
    },
    /// Judge every row and file the good ones
    Submit(SubmitArgs),
    /// Go on with an import that was interrupted
    Resume {
        /// The sheet or its journal
        path: PathBuf,
        #[command(flatten)]
        how: How,
    },
    /// Show what became of every row
    Report {
        /// The sheet or its journal
        path: PathBuf,
    },
    /// Print a built-in mapping, to be adapted
    Mappings {
        /// Its name; without one the names are listed
        name: Option<String>,
    },
}

/// What `submit` takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SubmitArgs {
    /// The sheet: CSV in UTF-8, or a JSON array of flat objects; a document or a folder of them
    pub(crate) sheet: PathBuf,
    /// Mapping file, or the name of a built-in mapping
    #[arg(long, value_name = "MAP")]
    pub(crate) map: String,
    /// The agency that acts, where the sheet does not say it
    #[arg(long, value_name = "ID")]
    pub(crate) agency: Option<String>,
    /// Which of several clerks of the agency signs, from 1
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) nth: usize,
    /// Journal, in place of SHEET.journal
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: Option<PathBuf>,
    /// Records under one signature
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1024), value_name = "N")]
    pub(crate) group: u16,
    /// Skip local checks and let the validators judge; for tests
    #[arg(long)]
    pub(crate) raw: bool,
    /// Judge and sign, but send nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) how: How,
}

/// How an import is sent.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct How {
    /// Transactions under way at once
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256), value_name = "N")]
    pub(crate) window: u16,
    /// Give up when nothing has become final for this long
    #[arg(long, value_parser = crate::duration::parse, default_value = "2m", value_name = "TIME")]
    pub(crate) stall: Duration,
    /// Write the verdict of every row to this file as CSV
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
}

const ROWS: Shape = Shape {
    schema: "batch-rows",
    columns: &["row", "outcome", "notes", "detail", "record", "height"],
    id: "record",
    empty: "the sheet has no rows",
};
const COMPARED: Shape = Shape {
    schema: "batch-compared",
    columns: &["row", "outcome", "notes", "wanted", "wanted_notes", "same"],
    id: "row",
    empty: "the sheet has no rows",
};
const MAPPINGS: Shape = Shape { schema: "mappings", columns: &["name", "type"], id: "name", empty: "" };

pub(crate) fn run(command: BatchCommand, city: &City) -> CliResult {
    match command {
        BatchCommand::Check { sheet, map, agency, expected } => {
            check(city, &sheet, &map, agency.as_deref(), expected.as_deref())
        }
        BatchCommand::Submit(args) => submit(city, &args),
        BatchCommand::Resume { path, how } => resume(city, &path, &how),
        BatchCommand::Report { path } => {
            let journal = Journal::open(&journal_of(&path))?;
            city.out.list(ROWS, &rows(&journal))
        }
        BatchCommand::Mappings { name: None } => {
            let rows = BUILT_IN.iter().map(|(name, _)| {
                Mapping::load(name).map(|(mapping, _)| json!({ "name": name, "type": mapping.record_type }))
            });
            city.out.list(MAPPINGS, &rows.collect::<CliResult<Vec<_>>>()?)
        }
        BatchCommand::Mappings { name: Some(name) } => city.out.data(&Mapping::load(&name)?.1),
    }
}

fn check(city: &City, sheet: &Path, map: &str, agency: Option<&str>, expected: Option<&Path>) -> CliResult {
    let genesis = city.genesis()?;
    let catalogue = Catalogue::of(&genesis)?;
    let (mapping, _) = Mapping::load(map)?;
    let source = Source::read(sheet, &mapping, genesis.document().utc_offset_minutes)?;
    let ring = city.ring()?;
    // A clerk may check a sheet before having any key; with a ring, rows without a key are named too. A list says what becomes of a
    // row whoever holds the keys.
    let ring = (!ring.entries().is_empty() && expected.is_none()).then_some(&ring);
    let today = today(&genesis);
    let registered = registered_of(city, &genesis, &mapping, today, false)?;
    let registered = registered.as_ref();
    let (catalogue, mapping, processes) = (&catalogue, &mapping, Processes::new());
    let judging = Judging { catalogue, mapping, registered, agency, processes, today, raw: false, ring };
    let judged = judge_sheet(judging, &source, &BTreeSet::new())?;
    say_unnamed(city, &source, mapping);
    let mut view: Vec<(u64, Value)> = judged
        .ready
        .iter()
        .map(|(row, _)| {
            (row.row, json!({ "row": row.row, "outcome": "accept", "notes": row.notes.to_string() }))
        })
        .collect();
    view.extend(judged.refused.iter().map(|row| (row.row, refused_view(row.row, &row.refusal, None))));
    view.sort_by_key(|(row, _)| *row);
    let view: Vec<Value> = view.into_iter().map(|(_, view)| view).collect();
    if let Some(expected) = expected {
        return compare(city, &view, &Sheet::read(expected)?);
    }
    city.out.list(Shape { columns: &["row", "outcome", "notes", "detail"], id: "row", ..ROWS }, &view)?;
    let (good, wrong) = (judged.ready.len(), judged.refused.len());
    city.out.say(format!("  {good} rows are good, {wrong} are not"));
    if wrong == 0 {
        return Ok(());
    }
    let detail = format!("{wrong} of {} rows would be refused", good + wrong);
    Err(CliError::new(Code::BatchIncomplete, detail)
        .exit(if good == 0 { Exit::Refused } else { Exit::Partly })
        .hint("correct the rows named above in the source system"))
}

/// Names the columns of which nothing is taken.
fn say_unnamed(city: &City, source: &Source, mapping: &Mapping) {
    let unnamed = source.unnamed(mapping);
    if !unnamed.is_empty() {
        city.out.say(format!("  left out   the mapping does not name {}", unnamed.join(", ")));
    }
}

/// Shows what became of each row beside what a list says; fails where they differ.
fn compare(city: &City, rows: &[Value], expected: &Sheet) -> CliResult {
    let rows = beside(rows, expected)?;
    city.out.list(COMPARED, &rows)?;
    let others = rows.iter().filter(|row| row["same"] == false).count();
    city.out.say(format!("  {} rows as listed, {others} not", rows.len() - others));
    if others == 0 {
        return Ok(());
    }
    let detail = format!("{others} of {} rows came to something else than the list says", rows.len());
    Err(CliError::new(Code::BatchIncomplete, detail)
        .exit(Exit::Partly)
        .hint("see the rows with `same` false"))
}

/// Each row that was judged or is listed, with both.
fn beside(rows: &[Value], expected: &Sheet) -> CliResult<Vec<Value>> {
    let missing: Vec<&str> =
        ["row", "outcome", "notes"].into_iter().filter(|heading| !expected.has(heading)).collect();
    if !missing.is_empty() {
        let detail = format!("the list has no column {}", missing.join(", "));
        return Err(CliError::new(Code::UnknownColumn, detail));
    }
    let mut both: BTreeMap<u64, [[String; 2]; 2]> = BTreeMap::new();
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    for row in rows {
        let number = row["row"].as_u64().unwrap_or_default();
        both.entry(number).or_default()[0] = [text(&row["outcome"]), text(&row["notes"])];
    }
    for row in expected.rows() {
        let number = row.cell("row").trim().parse().map_err(|_| {
            CliError::new(
                Code::BadSpreadsheet,
                format!("line {} of the list: no number of a row", row.number),
            )
        })?;
        both.entry(number).or_default()[1] =
            ["outcome", "notes"].map(|heading| row.cell(heading).trim().to_owned());
    }
    let shown = both.into_iter().map(|(row, [got, want])| {
        json!({
            "row": row, "outcome": got[0], "notes": got[1], "wanted": want[0], "wanted_notes": want[1],
            "same": got[0] == want[0] && notes_of(&got[1]) == notes_of(&want[1]),
        })
    });
    Ok(shown.collect())
}

/// The notes of a cell, in whatever order it has them.
fn notes_of(cell: &str) -> BTreeSet<&str> {
    cell.split('|').map(str::trim).filter(|note| !note.is_empty()).collect()
}

/// Judges, journals and sends a sheet; returns the journal at its end.
pub(crate) fn file(city: &City, args: &SubmitArgs) -> CliResult<Journal> {
    interrupt::install();
    if args.sheet.as_os_str() == "-" {
        return Err(CliError::usage(
            "a sheet from stdin cannot be filed: its journal needs a file beside it",
        )
        .hint("save it first; `city batch check -` judges it all the same"));
    }
    let genesis = city.genesis()?;
    let (mapping, text) = Mapping::load(&args.map)?;
    let source = Source::read(&args.sheet, &mapping, genesis.document().utc_offset_minutes)?;
    let mut start = Start::new(
        genesis.chain_id(),
        (&args.sheet, source.bytes()),
        (&args.map, &text),
        source.len() as u64,
        args.raw,
        // Unchecked rows stand alone: a node that refuses one must not refuse its neighbours with it.
        if args.raw { 1 } else { usize::from(args.group) },
        args.agency.clone(),
    );
    start.nth = args.nth;
    let path = args.journal.clone().unwrap_or_else(|| Journal::beside(&args.sheet));
    let mut journal = Journal::create(&path, start)?;
    proceed(city, &genesis, &source, &mapping, &mut journal, &args.how)?;
    Ok(journal)
}

/// The version of its type that the rows are filed under, where the council registered it.
fn registered_of(
    city: &City,
    genesis: &Genesis,
    mapping: &Mapping,
    today: Date,
    ask: bool,
) -> CliResult<Option<RegisteredType>> {
    match known_type(&mapping.record_type)? {
        RecordType::Registered(key) => registered::find(city, genesis, key, today, ask).map(Some),
        _ => Ok(None),
    }
}

fn submit(city: &City, args: &SubmitArgs) -> CliResult {
    if args.dry_run {
        return check(city, &args.sheet, &args.map, args.agency.as_deref(), None);
    }
    let journal = file(city, args)?;
    finish(city, &journal, args.how.report.as_deref())
}

/// Goes on with a journal; returns it at its end.
pub(crate) fn go_on(city: &City, path: &Path, how: &How) -> CliResult<Journal> {
    interrupt::install();
    let mut journal = Journal::open(&journal_of(path))?;
    let genesis = city.genesis()?;
    let beside = journal.path().to_string_lossy().strip_suffix(".journal").map(PathBuf::from);
    // A sheet that is named is the one that is meant, even when the journal remembers another place.
    let named = Some(path.to_owned()).filter(|path| !is_journal(path));
    let remembered = Some(journal.start.sheet.clone()).filter(|sheet| sheet.exists());
    let place = named.or(remembered).or(beside).unwrap_or_else(|| journal.start.sheet.clone());
    let (mapping, text) = Mapping::load(&journal.start.mapping)?;
    let source = Source::read(&place, &mapping, genesis.document().utc_offset_minutes)?;
    let mut start = Start::new(
        genesis.chain_id(),
        (&place, source.bytes()),
        (&journal.start.mapping, &text),
        source.len() as u64,
        journal.start.raw,
        journal.start.group,
        journal.start.agency.clone(),
    );
    start.nth = journal.start.nth;
    journal.check(&start)?;
    proceed(city, &genesis, &source, &mapping, &mut journal, how)?;
    Ok(journal)
}

fn resume(city: &City, path: &Path, how: &How) -> CliResult {
    let journal = go_on(city, path, how)?;
    finish(city, &journal, how.report.as_deref())
}

/// Signs the rows that the journal does not know, then sends everything that has no verified end.
fn proceed(
    city: &City,
    genesis: &Genesis,
    source: &Source,
    mapping: &Mapping,
    journal: &mut Journal,
    how: &How,
) -> CliResult {
    let catalogue = Catalogue::of(genesis)?;
    let ring = city.ring()?;
    let raw = journal.start.raw;
    let today = today(genesis);
    let registered = registered_of(city, genesis, mapping, today, true)?;
    let (registered, agency) = (registered.as_ref(), journal.start.agency.as_deref());
    let ring_of = Some(&ring);
    let processes =
        if mapping.format == Format::Ocds { procurement::processes(city)? } else { Processes::new() };
    let catalogue = &catalogue;
    let judging = Judging { catalogue, mapping, registered, agency, processes, today, raw, ring: ring_of };
    let Judged { ready, refused } = judge_sheet(judging, source, &journal.known_rows())?;
    city.out.say(format!(
        "  check      {}/{}   {} rows wrong",
        source.len(),
        source.len(),
        refused.len() + journal.refused.len()
    ));
    say_unnamed(city, source, mapping);
    journal.keep(ready.iter().filter_map(|(ready, _)| ready.openings.as_ref()))?;
    let signer = (filed_by(&mapping.record_type), journal.start.nth);
    let sent = sign(&ring, genesis, ready, signer, journal.start.group, now_ms())?;
    journal.refuse(refused)?;
    journal.sending(sent)?;
    let queue = journal.unfinished();
    if queue.is_empty() {
        return Ok(());
    }
    // Rows with one decision number, releases of one process and updates of alerts must be judged in their order, which only one at a time
    // keeps.
    let window = if raw || matches!(mapping.format, Format::Ocds | Format::Cap) {
        1
    } else {
        usize::from(how.window).min(queue.len())
    };
    let client = city.client()?;
    let result = {
        let journal = Mutex::new(&mut *journal);
        send_all(&client, genesis, &journal, queue, Sending { window, stall: how.stall })
    };
    let open: usize = journal.unfinished().iter().map(|sent| sent.rows.len()).sum();
    let done: usize = journal.finals.values().map(|end| end.outcomes.len()).sum();
    if open > 0 && interrupt::asked() {
        let detail = format!("stopped safely: {done} rows are final, {open} are not known to be");
        return Err(CliError::new(Code::Interrupted, detail).hint(resume_hint(journal.path())));
    }
    result.map_err(|error| error.hint(resume_hint(journal.path())))
}

fn finish(city: &City, journal: &Journal, report: Option<&Path>) -> CliResult {
    let rows = rows(journal);
    if let Some(path) = report {
        files::replace(path, &report_csv(&rows)?)?;
        city.out.done(format!("report in {}", path.display()));
    }
    city.out.list(ROWS, &rows)?;
    let refused = rows.iter().filter(|row| row["outcome"] == "reject").count();
    let accepted = rows.len() - refused;
    city.out.done(format!("{accepted} rows are final, {refused} were refused"));
    match (refused, accepted) {
        (0, _) => Ok(()),
        (_, 0) => Err(CliError::new(Code::BatchIncomplete, "every row was refused")
            .exit(Exit::Refused)
            .hint("see the table above")),
        _ => Err(CliError::new(
            Code::BatchIncomplete,
            format!("{refused} of {} rows were refused", rows.len()),
        )
        .hint(format!("city batch report {}", journal.path().display()))),
    }
}

/// What became of every row, in order.
pub(crate) fn rows(journal: &Journal) -> Vec<Value> {
    let mut rows: Vec<(u64, Value)> =
        journal.refused.iter().map(|(row, refusal)| (*row, refused_view(*row, refusal, None))).collect();
    for sent in &journal.sent {
        let end = journal.finals.get(&sent.tx.to_string());
        for (at, (&row, notes)) in sent.rows.iter().zip(&sent.notes).enumerate() {
            if end.is_none() && journal.refused.contains_key(&row) {
                continue;
            }
            let outcome = end.and_then(|end| Some((end.height, end.outcomes.get(at)?)));
            let view = match outcome {
                None => json!({ "row": row, "outcome": "open", "notes": notes.to_string() }),
                Some((height, outcome)) => match &outcome.refusal {
                    Some(refusal) => refused_view(row, refusal, Some(height.get())),
                    None => json!({
                        "row": row,
                        "outcome": "accept",
                        "notes": notes.to_string(),
                        "detail": if outcome.duplicate { "filed before" } else { "" },
                        "record": outcome.record,
                        "height": height,
                    }),
                },
            };
            rows.push((row, view));
        }
    }
    rows.sort_by_key(|(row, _)| *row);
    rows.into_iter().map(|(_, view)| view).collect()
}

fn refused_view(row: u64, refusal: &Refusal, height: Option<u64>) -> Value {
    json!({
        "row": row,
        "outcome": "reject",
        "notes": refusal.code.name(),
        "detail": refusal.detail,
        "height": height,
    })
}

fn report_csv(rows: &[Value]) -> CliResult<String> {
    crate::output::csv_text(ROWS, rows)
}

fn is_journal(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "journal")
}

fn journal_of(path: &Path) -> PathBuf {
    if is_journal(path) { path.to_owned() } else { Journal::beside(path) }
}

/// The local day of the network.
pub(crate) fn today(genesis: &Genesis) -> Date {
    Date::of_time(now_ms(), genesis.document().utc_offset_minutes)
}

/// Cells as one line of CSV.
pub(crate) fn csv_line<'a>(cells: impl IntoIterator<Item = &'a str>) -> String {
    let quoted = cells.into_iter().map(|cell| {
        if cell.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", cell.replace('"', "\"\""))
        } else {
            cell.to_owned()
        }
    });
    quoted.collect::<Vec<_>>().join(",") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_came_to_something_else_or_is_not_listed_shows() {
        let rows = [
            json!({ "row": 1, "outcome": "accept", "notes": "" }),
            json!({ "row": 2, "outcome": "reject", "notes": "BAD_DATE" }),
            json!({ "row": 3, "outcome": "accept", "notes": "LEFT_OUT|STRIP_PERSONAL" }),
        ];
        let same = |list: &str| -> Vec<(u64, bool)> {
            let list = Sheet::parse("list", list.as_bytes()).unwrap();
            let rows = beside(&rows, &list).unwrap();
            rows.iter().map(|row| (row["row"].as_u64().unwrap(), row["same"] == true)).collect()
        };
        let good = "row,outcome,notes\n1,accept,\n2,reject,BAD_DATE\n3,accept,STRIP_PERSONAL | LEFT_OUT\n";
        assert_eq!(same(good), [(1, true), (2, true), (3, true)]);
        let other = "row,outcome,notes\n1,reject,\n2,reject,BAD_NUMBER\n4,accept,\n";
        assert_eq!(same(other), [(1, false), (2, false), (3, false), (4, false)]);
        let short = Sheet::parse("list", b"row,outcome\n1,accept\n").unwrap();
        assert_eq!(beside(&rows, &short).unwrap_err().code(), Code::UnknownColumn);
    }
}
