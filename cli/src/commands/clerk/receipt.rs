//! `city receipt`.

use clap::Subcommand;

use crate::app::City;
use crate::error::CliResult;

/// To come
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ReceiptCommand {}

pub(crate) fn run(command: ReceiptCommand, _: &City) -> CliResult {
    match command {}
}
