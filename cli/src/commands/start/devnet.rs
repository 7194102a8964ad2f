//! `city devnet`.

use clap::Subcommand;

use crate::app::City;
use crate::error::CliResult;

/// To come
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum DevnetCommand {}

pub(crate) fn run(command: DevnetCommand, _: &City) -> CliResult {
    match command {}
}
