//! `city node`.

use clap::Subcommand;

use crate::app::City;
use crate::error::CliResult;

/// To come
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum NodeCommand {}

pub(crate) fn run(command: NodeCommand, _: &City) -> CliResult {
    match command {}
}
