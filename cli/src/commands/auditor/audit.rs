//! `city audit`.

use clap::Subcommand;

use crate::app::City;
use crate::error::CliResult;

/// To come
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum AuditCommand {}

pub(crate) fn run(command: AuditCommand, _: &City) -> CliResult {
    match command {}
}
