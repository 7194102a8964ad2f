//! `city validator`: the validators, and what the ledger holds against them.

mod evidence;

use clap::Subcommand;

use crate::app::City;
use crate::error::CliResult;

/// Look at what is proven against validators
///
/// city validator evidence
///
/// city validator evidence -o json
#[derive(Clone, Debug, Subcommand)]
#[command(verbatim_doc_comment)]
pub(crate) enum ValidatorCommand {
    /// List every offence that the ledger holds proof of; each proof is checked here
    Evidence,
}

pub(crate) fn run(command: ValidatorCommand, city: &City) -> CliResult {
    match command {
        ValidatorCommand::Evidence => evidence::run(city),
    }
}
