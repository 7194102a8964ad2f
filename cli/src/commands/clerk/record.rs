//! `city record`.

use clap::Subcommand;

use crate::app::City;
use crate::error::CliResult;

/// To come
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum RecordCommand {}

pub(crate) fn run(command: RecordCommand, _: &City) -> CliResult {
    match command {}
}
