//! `city audit record`: everything about one record, with public keys alone.

mod authority;
pub(super) mod judge;
pub(super) mod report;
pub(super) mod source;
#[cfg(test)]
mod tests;
mod types;

use std::path::PathBuf;

use chain_core::api::NodeStatus;
use chain_core::code::Code;
use chain_core::genesis::Genesis;
use chain_core::id::RecordId;

use super::report::{Files, Report, conclude};
use super::verify::Stopped;
use crate::app::City;
use crate::client::{Client, paths};
use crate::error::{CliError, CliResult};
use crate::interrupt;
use crate::progress::Progress;
use judge::Asked;
use source::Nodes;

/// Check one record from its first step to how it stands, with public keys alone
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RecordArgs {
    /// The record
    record: RecordId,
    /// Read the whole log, too: then no step can have been left out, not even two that undo each other
    #[arg(long)]
    complete: bool,
    /// Write a report, whatever the verdict: in JSON, or as a page where the name ends with .html
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Folder for the evidence file
    #[arg(long, default_value = ".", value_name = "DIR")]
    evidence: PathBuf,
}

pub(super) fn run(args: &RecordArgs, city: &City) -> CliResult {
    interrupt::install();
    let genesis = city.genesis()?;
    let client = city.client()?;
    let mut report = Report::of_record(&genesis, &args.record);
    let audited = audit(args, city, &genesis, &client, &mut report);
    let files = Files { report: args.report.as_deref(), evidence: &args.evidence };
    conclude(city, &mut report, &files, audited)
}

fn audit(
    args: &RecordArgs,
    city: &City,
    genesis: &Genesis,
    client: &Client,
    report: &mut Report,
) -> Result<(), Stopped> {
    let status: NodeStatus = client.get(paths::STATUS)?;
    if status.chain_id != genesis.chain_id() {
        let detail =
            format!("the node is of chain {}, the genesis file of {}", status.chain_id, genesis.chain_id());
        return Err(CliError::new(Code::GenesisMismatch, detail).into());
    }
    let sets = client.sets(genesis, None)?;
    let asked = Asked { genesis, sets: &sets, record: args.record, complete: args.complete };
    let mut progress = args.complete.then(|| Progress::new("leaves", status.log_size));
    judge::audit(&Nodes { city, client }, &asked, report, |read| {
        if let Some(progress) = &mut progress {
            progress.set(read, "");
        }
    })
}
