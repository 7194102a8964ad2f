//! `city export`: the ledger's public parts as files.

mod tiles;

use std::path::PathBuf;

use clap::Subcommand;

use crate::app::City;
use crate::error::CliResult;

/// Write the ledger's public parts as files
///
/// city export tiles --out mirror        # a directory that any web server can host
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
}

pub(crate) fn run(command: ExportCommand, city: &City) -> CliResult {
    match command {
        ExportCommand::Tiles { out } => tiles::run(city, &out),
    }
}
