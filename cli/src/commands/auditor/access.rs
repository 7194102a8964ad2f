//! `city access`: reading what is not public, and who read it.

use std::path::{Path, PathBuf};

use chain_core::access::{Answer, DayEntries, DayRoot, Query, Question};
use chain_core::code::Code;
use chain_core::crypto::Digest;
use chain_core::date::Date;
use chain_core::id::RecordId;
use chain_core::leaf::Leaf;
use chain_core::org::OrgId;
use chain_core::receipt::Receipt;
use chain_core::record::access::AccessRootDetails;
use chain_core::record::{Details, RecordType};
use clap::Subcommand;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::app::City;
use crate::client::paths;
use crate::clock::utc;
use crate::commands::clerk::receipt::{Form, fetch, proved};
use crate::error::{CliError, CliResult};
use crate::files;
use crate::filing::now_ms;
use crate::import::plan::home_of;
use crate::output::Shape;

/// Read what is not public, and see who did: every question is signed, logged, and anchored day by day
///
/// Bodies about persons, and of records that are not or no longer published, are at the agency's own node. It answers the
/// officers of that agency, each question after it has written it down; the day's entries are anchored in the ledger.
///
/// city access read 5f0c… --purpose "objection 2026-12" --key health-clerk
///
/// city access who 5f0c… --purpose "asked by the subject" --key health-privacy-officer --out asked.json
///
/// city access root 2026-05-06 --key health-gateway --legal-basis sz-social-credit --out root.json
///
/// city record submit root.json --key health-gateway
///
/// city access verify asked.json
#[derive(Clone, Debug, Subcommand)]
#[command(verbatim_doc_comment)]
pub(crate) enum AccessCommand {
    /// Read the body of a record of one's own agency
    #[command(disable_version_flag = true)]
    Read {
        /// The record
        record: RecordId,
        /// Which version, in place of the one that waits for approval or else the current one
        #[arg(long, value_name = "NUMBER")]
        version: Option<u32>,
        /// The agency whose record it is, where that names the officer's agency as a reader (class P2)
        #[arg(long, value_name = "AGENCY")]
        of: Option<String>,
        #[command(flatten)]
        asked: Asked,
    },
    /// Who asked for a record, with proofs: for its subject, or to supervise
    Who {
        /// The record
        record: RecordId,
        #[command(flatten)]
        asked: Asked,
        /// File for entries and proofs; `-` for stdout
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Every entry of a day, with proofs: for auditors
    Day {
        /// The day
        day: Date,
        #[command(flatten)]
        asked: Asked,
        /// File for entries and proofs; `-` for stdout
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// What the log of a day comes to, and which record anchors it
    Root {
        /// The day
        day: Date,
        /// Key of an officer or gateway of the agency, by name: it says whose node is asked
        #[arg(long)]
        key: String,
        /// Write the document of `audit.access_root`, for `city record submit`
        #[arg(long, value_name = "FILE", requires = "legal_basis")]
        out: Option<PathBuf>,
        /// The legal basis that the document names
        #[arg(long, value_name = "ID")]
        legal_basis: Option<String>,
    },
    /// Check entries and proofs in a file, and that receipts of the roots anchor them, which any node gives
    Verify {
        /// The file
        file: PathBuf,
    },
}

/// Who asks, and why.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Asked {
    /// For what purpose; it is logged, and the subject may read it
    #[arg(long, value_name = "TEXT")]
    purpose: String,
    /// Officer's key that signs the question, by name
    #[arg(long)]
    key: String,
}

/// Entries as a file holds them.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct AccessFile {
    format: String,
    /// Whether days are whole: no entry is left out.
    whole: bool,
    days: Vec<DayEntries>,
}

const FORMAT: &str = "city-ledger-access-log/1";

const ENTRIES: Shape = Shape {
    schema: "access-entries",
    columns: &["time", "day", "officer", "role", "question", "record", "purpose", "outcome"],
    id: "record",
    empty: "nobody asked",
};
const ROOT: Shape = Shape {
    schema: "access-root",
    columns: &["agency", "day", "queries", "root", "anchored_by"],
    id: "root",
    empty: "",
};
const VERDICTS: Shape = Shape {
    schema: "access-verdicts",
    columns: &["day", "verdict", "entries", "queries", "anchored_by"],
    id: "day",
    empty: "nobody asked",
};

pub(crate) fn run(command: AccessCommand, city: &City) -> CliResult {
    match command {
        AccessCommand::Read { record, version, of, asked } => {
            let query = |query| Query { record: Some(record), version, ..query };
            read(city, ask(city, of, &asked, query, Question::Body)?)
        }
        AccessCommand::Who { record, asked, out } => {
            let answer =
                ask(city, None, &asked, |query| Query { record: Some(record), ..query }, Question::WhoAsked)?;
            show(city, answer, false, out.as_deref())
        }
        AccessCommand::Day { day, asked, out } => {
            let answer = ask(city, None, &asked, |query| Query { day: Some(day), ..query }, Question::Day)?;
            show(city, answer, true, out.as_deref())
        }
        AccessCommand::Root { day, key, out, legal_basis } => {
            let agency = agency_of(city, &key)?;
            let home = home_of(&city.genesis()?, &agency)?;
            let agency: OrgId = agency.parse().map_err(CliError::internal)?;
            let root: DayRoot = city.client()?.get_from_named(&home, &paths::access_root(&agency, day))?;
            if let (Some(out), Some(basis)) = (&out, legal_basis) {
                let text = format!("{:#}\n", document(&root, &basis));
                write(city, out, &text)?;
            }
            let shown = serde_json::to_value(&root).map_err(CliError::internal)?;
            city.out.item(ROOT, &shown)
        }
        AccessCommand::Verify { file } => verify(city, &file),
    }
}

fn agency_of(city: &City, key: &str) -> CliResult<String> {
    let ring = city.ring()?;
    let entry = ring.find(key)?;
    entry.agency.clone().ok_or_else(|| {
        CliError::new(Code::NoKeyForAuthority, format!("key {key} is of no agency"))
            .hint("name the key of an officer: city key list")
    })
}

/// Signs a question and sends it to the node of the officer's agency, or of another one.
fn ask(
    city: &City,
    of: Option<String>,
    asked: &Asked,
    about: impl FnOnce(Query) -> Query,
    question: Question,
) -> CliResult<Answer> {
    let (genesis, ring) = (city.genesis()?, city.ring()?);
    let agency = match of {
        Some(agency) => agency,
        None => agency_of(city, &asked.key)?,
    };
    let query = about(Query {
        question,
        record: None,
        version: None,
        day: None,
        purpose: asked.purpose.clone(),
        time_ms: now_ms(),
        nonce: Digest::new(files::random()?),
    });
    query.check()?;
    let signed = query.sign(genesis.chain_id(), &*ring.secret(ring.find(&asked.key)?)?);
    city.client()?.post_to(&home_of(&genesis, &agency)?, paths::ACCESS, &signed)
}

fn read(city: &City, answer: Answer) -> CliResult {
    let Answer::Body { version, body } = answer else { return Err(strange()) };
    city.out.done(format!("version {version}, commitment {}", body.commitment()));
    city.out.data(format!("{}\n", body.json))
}

fn strange() -> CliError {
    CliError::new(Code::MalformedJson, "the node answered another question than the one that was asked")
        .hint("run the same release everywhere")
}

fn show(city: &City, answer: Answer, whole: bool, out: Option<&Path>) -> CliResult {
    let Answer::Entries(days) = answer else { return Err(strange()) };
    let chain = city.genesis()?.chain_id();
    days.iter().try_for_each(|day| day.verify(chain, whole))?;
    if let Some(out) = out {
        let file = AccessFile { format: FORMAT.to_owned(), whole, days };
        let text = serde_json::to_string_pretty(&file).map_err(CliError::internal)?;
        return write(city, out, &format!("{text}\n"));
    }
    let rows: Vec<Value> = days.iter().flat_map(rows_of).collect();
    city.out.list(ENTRIES, &rows)
}

fn rows_of(day: &DayEntries) -> impl Iterator<Item = Value> + '_ {
    day.entries.iter().map(|proved| {
        let entry = &proved.entry;
        let refused = entry.refused.and_then(Code::from_number).map(Code::name);
        json!({
            "time": utc(entry.time_ms),
            "day": day.root.day,
            "officer": entry.asked.officer.short(),
            "role": entry.role,
            "question": entry.asked.query.question,
            "record": entry.asked.query.record,
            "purpose": entry.asked.query.purpose,
            "outcome": refused.unwrap_or("answered"),
        })
    })
}

/// The document that anchors a day.
fn document(root: &DayRoot, legal_basis: &str) -> Value {
    json!({
        "type": RecordType::AccessRoot.name(),
        "legal_basis": legal_basis,
        "body": {
            "agency": root.agency,
            "day": root.day,
            "queries": root.queries,
            "root": root.root,
            "origin": { "system": "access-log", "method": "import" },
        },
    })
}

fn write(city: &City, out: &Path, text: &str) -> CliResult {
    if out == Path::new("-") {
        return city.out.data(text);
    }
    files::replace(out, text)?;
    city.out.done(format!("wrote {}", out.display()));
    Ok(())
}

fn verify(city: &City, path: &Path) -> CliResult {
    let text = files::read(path)?;
    let file: AccessFile = serde_json::from_str(&text).map_err(|error| {
        let detail = format!("{}: {error}", path.display());
        CliError::new(Code::MalformedJson, detail).hint("wanted: a file of city access who or day")
    })?;
    if file.format != FORMAT {
        let detail =
            format!("{}: format {}, wants {FORMAT}", path.display(), chain_core::text::shown(&file.format));
        return Err(CliError::new(Code::UnsupportedVersion, detail));
    }
    let chain = city.genesis()?.chain_id();
    let mut rows = Vec::new();
    let mut open = 0;
    for day in &file.days {
        day.verify(chain, file.whole)?;
        let anchored = match &day.root.anchored_by {
            Some(record) => {
                anchors(city, record, &day.root)?;
                true
            }
            None => false,
        };
        open += usize::from(!anchored);
        rows.push(json!({
            "day": day.root.day,
            "verdict": if anchored { "VALID" } else { "NOT ANCHORED" },
            "entries": day.entries.len(),
            "queries": day.root.queries,
            "anchored_by": day.root.anchored_by,
        }));
    }
    city.out.list(VERDICTS, &rows)?;
    if open > 0 {
        let detail =
            format!("{open} of {} days are not anchored: their entries may still change", rows.len());
        return Err(CliError::new(Code::NotFinal, detail)
            .hint("the agency's gateway files audit.access_root once the day is over"));
    }
    Ok(())
}

/// Refuses a record whose receipt does not say what the day comes to. The newest receipt counts: that of a root that was
/// invalidated since says so.
fn anchors(city: &City, record: &RecordId, root: &DayRoot) -> CliResult {
    let client = city.client()?;
    let bytes = fetch(&client, record, None, Form::Bundle, city.manners.timeout)?;
    proved(&client, &city.genesis()?, &bytes)?;
    let text = String::from_utf8(bytes).map_err(CliError::internal)?;
    let leaf = Leaf::decode(&Receipt::parse(&text)?.leaf_bytes()?)
        .map_err(|error| CliError::new(Code::ReceiptMalformed, error.to_string()))?;
    let said = leaf.header().map(|header| (&header.agency, &header.details));
    let wanted = AccessRootDetails { day: root.day, queries: root.queries, root: root.root };
    let wanted = (&root.agency, &Details::AccessRoot(wanted));
    let fits = said == Some(wanted);
    if fits {
        return Ok(());
    }
    let detail = format!(
        "record {record} does not anchor {} entries of {} under {}",
        root.queries, root.day, root.root
    );
    Err(CliError::new(Code::ProofInvalid, detail)
        .hint("ask the agency, and file an objection with this file"))
}
