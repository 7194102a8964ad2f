//! `city block`.

use clap::Subcommand;

use crate::app::City;
use crate::error::CliResult;

/// To come
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum BlockCommand {}

pub(crate) fn run(command: BlockCommand, _: &City) -> CliResult {
    match command {}
}
