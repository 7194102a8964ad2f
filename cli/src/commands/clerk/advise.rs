//! `city advise`: detectors over anchored streams; a person closes what they say.

mod close;
mod file;

use std::path::PathBuf;

use chain_core::id::RecordId;
use chain_core::record::{RecordType, TypeKey};
use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::advise::detector::Detector;
use crate::advise::evaluate::{Figures, Labelled};
use crate::app::City;
use crate::commands::operator::gateway::Address;
use crate::error::{CliError, CliResult};
use crate::output::Shape;

/// Record type of what a detector says.
const ADVISORY: &str = "ai.advisory";

/// Have deterministic detectors look at anchored streams, and close what they say
///
/// An advisory is a hint for a person about a device's stream, never about a person, and nothing follows from it by itself. It
/// names the model by its registration (ai.model, whose artefact is the hash of the parameters) and the batches it rests on.
/// Somebody else than who filed it closes it.
///
/// city advise evaluate --data nab
///
/// city advise run --device RECORD --stream speed --detector median --model RECORD --basis cn-government-information
///     --key clerk-1
///
/// city advise close RECORD --review confirmed --key clerk-2
#[derive(Clone, Debug, Subcommand)]
#[command(verbatim_doc_comment)]
pub(crate) enum AdviseCommand {
    /// List the detectors with their parameters and the hash to register
    Models,
    /// Count windows found and false alarms on labelled series (NAB)
    Evaluate {
        /// Folder with windows.json and the series
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// One detector, in place of all
        #[arg(long, value_enum)]
        detector: Option<Detector>,
    },
    /// Look at a stream and file an advisory for each episode
    Run {
        /// The device's registration
        #[arg(long, value_name = "RECORD")]
        device: RecordId,
        /// Name of the stream
        #[arg(long)]
        stream: String,
        /// The detector
        #[arg(long, value_enum)]
        detector: Detector,
        /// The registration of the model (ai.model)
        #[arg(long, value_name = "RECORD")]
        model: RecordId,
        /// Legal basis of the advisories
        #[arg(long)]
        basis: String,
        /// Key to sign with, by name
        #[arg(long)]
        key: String,
        /// Where readings are that are not in the ledger
        #[command(flatten)]
        gateway: Address,
        /// Show the episodes, but file nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Close an advisory after a look at it
    Close {
        /// The advisory
        record: RecordId,
        /// What the look came to
        #[arg(long, value_enum)]
        review: Review,
        /// Key of the reviewer, by name: somebody else than who filed it
        #[arg(long)]
        key: String,
    },
    /// Count advisories by what became of them
    Report {
        /// Of this agency only
        #[arg(long)]
        agency: Option<String>,
    },
}

/// What a person's look came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Review {
    /// There was something
    Confirmed,
    /// There was nothing
    FalseAlarm,
    /// There was something, and nothing needs to be done
    NoAction,
}

impl Review {
    const ALL: [Self; 3] = [Self::Confirmed, Self::FalseAlarm, Self::NoAction];

    const fn name(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::FalseAlarm => "false_alarm",
            Self::NoAction => "no_action",
        }
    }
}

const MODELS: Shape = Shape {
    schema: "advise-models",
    columns: &["detector", "finding", "artefact", "parameters"],
    id: "artefact",
    empty: "",
};

const FIGURES: Shape = Shape {
    schema: "advise-figures",
    columns: &["detector", "series", "readings", "days", "windows", "found", "false_alarms"],
    id: "series",
    empty: "",
};

const REPORT: Shape = Shape {
    schema: "advise-report",
    columns: &["model", "advisories", "open", "confirmed", "false_alarm", "no_action", "confirmed_pct"],
    id: "model",
    empty: "no advisory is filed",
};

pub(crate) fn run(command: AdviseCommand, city: &City) -> CliResult {
    match command {
        AdviseCommand::Models => {
            let row = |detector: Detector| {
                json!({
                    "detector": detector.name(), "finding": detector.finding(),
                    "artefact": detector.artefact(), "parameters": detector.parameters(),
                })
            };
            city.out.list(MODELS, &Detector::ALL.map(row))
        }
        AdviseCommand::Evaluate { data, detector } => {
            let series = Labelled::folder(&data)?;
            let detectors = detector.map_or_else(|| Detector::ALL.to_vec(), |one| vec![one]);
            let rows: Vec<Value> = detectors.into_iter().flat_map(|one| figures(&series, one)).collect();
            city.out.list(FIGURES, &rows)
        }
        AdviseCommand::Run { device, stream, detector, model, basis, key, gateway, dry_run } => {
            let wanted = file::Wanted { device, stream: &stream, detector, model, basis: &basis, key: &key };
            file::run(city, &wanted, &gateway, dry_run)
        }
        AdviseCommand::Close { record, review, key } => close::close(city, &record, review, &key),
        AdviseCommand::Report { agency } => close::report(city, agency, REPORT),
    }
}

/// A row for each series, and one for all.
fn figures(series: &[Labelled], detector: Detector) -> Vec<Value> {
    let row = |name: &str, readings: usize, figures: &Figures| {
        json!({
            "detector": detector.name(),
            "series": name,
            "readings": readings,
            "days": format!("{}.{}", figures.minutes / 1_440, figures.minutes % 1_440 * 10 / 1_440),
            "windows": figures.windows,
            "found": figures.found,
            "false_alarms": figures.false_alarms,
        })
    };
    let each: Vec<Figures> = series.iter().map(|one| one.figures(detector)).collect();
    let total = each.iter().copied().fold(Figures::default(), Figures::and);
    let readings = series.iter().map(|one| one.readings.len()).sum();
    let rows = series.iter().zip(&each).map(|(one, figures)| row(&one.name, one.readings.len(), figures));
    rows.chain([row("all", readings, &total)]).collect()
}

/// The registered type of advisories.
fn advisory_type() -> CliResult<TypeKey> {
    match RecordType::from_name(ADVISORY) {
        Some(RecordType::Registered(key)) => Ok(key),
        _ => Err(CliError::internal(format!("{ADVISORY} is no registered type"))),
    }
}
