//! `city agency`.

use clap::Subcommand;

use crate::app::City;
use crate::error::CliResult;

/// To come
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum AgencyCommand {}

pub(crate) fn run(command: AgencyCommand, _: &City) -> CliResult {
    match command {}
}
