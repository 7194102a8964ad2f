//! `city export`: the ledger's public parts as files.

mod chain;
mod formats;
mod tiles;

use std::path::PathBuf;

use clap::Subcommand;

use crate::app::City;
use crate::error::CliResult;

/// Write the ledger's public parts as files
///
/// city export tiles --out mirror        # a directory that any web server can host
///
/// city export chain --out chain.ndjson  # every block, for another program to replay
///
/// city export ocds --out releases.json   # published records in the formats of others: ocds, cap, ngsi, open311, sheet
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ExportCommand {
    /// The record log as C2SP tlog-tiles; what is there already is checked and kept
    ///
    /// Every leaf is hashed anew, also of tiles from an earlier run, and the whole must lead to the root that a quorum
    /// cosigned: the checkpoint is written last, and only then. Readers of the directory never see a half.
    Tiles {
        /// Directory of the mirror
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Every block with its transactions, certificates and outcomes as canonical bytes; no bodies
    ///
    /// One line of JSON each, the genesis first. docs/formats/chain.py replays it beside the record log of `city export
    /// tiles`, with none of our code.
    Chain {
        /// File to write; it must not exist
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Published procurements as an OCDS 1.1 release package
    Ocds {
        /// File to write; it must not exist
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Alerts in effect as CAP 1.2, a file each
    Cap {
        /// Directory of the files
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Requests, alerts, indicators and charging sites as NGSI-LD entities (FIWARE), key-value
    ///
    /// Alerts that are actual and call nothing off; tests, exercises and cancellations are counted as withheld.
    Ngsi {
        /// File to write; it must not exist
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Requests of citizens as the list of Open311 GeoReport v2
    Open311 {
        /// File to write; it must not exist
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Licences or penalties in the official columns of the "double publicity"
    Sheet {
        /// The mapping with the columns: licences, penalties, or a file made from one of them
        #[arg(long, value_name = "MAP")]
        map: String,
        /// File to write; it must not exist
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

pub(crate) fn run(command: ExportCommand, city: &City) -> CliResult {
    match command {
        ExportCommand::Tiles { out } => tiles::run(city, &out),
        ExportCommand::Chain { out } => chain::run(city, &out),
        ExportCommand::Ocds { out } => formats::releases(city, &out),
        ExportCommand::Cap { out } => formats::alerts(city, &out),
        ExportCommand::Ngsi { out } => formats::entities(city, &out),
        ExportCommand::Open311 { out } => formats::requests(city, &out),
        ExportCommand::Sheet { map, out } => formats::official(city, &map, &out),
    }
}
