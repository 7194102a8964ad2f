//! `city batch`.

use clap::Subcommand;

use crate::app::City;
use crate::error::CliResult;

/// To come
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum BatchCommand {}

pub(crate) fn run(command: BatchCommand, _: &City) -> CliResult {
    match command {}
}
