//! `city export`: the ledger's public parts as files.

mod chain;
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
}

pub(crate) fn run(command: ExportCommand, city: &City) -> CliResult {
    match command {
        ExportCommand::Tiles { out } => tiles::run(city, &out),
        ExportCommand::Chain { out } => chain::run(city, &out),
    }
}
