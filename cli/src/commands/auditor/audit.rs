//! `city audit`: verify everything again, from the first signature to the last root.

mod chain;
pub(crate) mod checkpoint;
mod compare;
mod consistency;
mod content;
pub(crate) mod fetch;
mod finding;
mod history;
mod record;
mod report;
#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
mod verify;
mod walk;

use clap::Subcommand;

use crate::app::City;
use crate::error::CliResult;

/// Check the ledger without trusting the node that is asked
///
/// Everything is judged with the genesis file and the rules in this program. The node only hands over bytes.
///
/// city audit chain
///
/// city audit chain --report audit.json --jobs 4
///
/// city audit record 5f0c… --report licence.html
///
/// city audit consistency
///
/// city audit history --agency uscc:11320100MAXP23YC3L --type credit.penalty --from 2026-05-01 --to 2026-05-31
///
/// city audit compare http://127.0.0.1:8101 http://127.0.0.1:8102
///
/// Exit codes: 0 all holds, 10 something does not verify, 11 there is too little to judge by,
/// 12 signed statements contradict each other (an evidence file is written), 6 no node answers.
#[derive(Clone, Debug, Subcommand)]
#[command(verbatim_doc_comment)]
pub(crate) enum AuditCommand {
    /// Verify every block from genesis and execute every record again
    Chain(chain::ChainArgs),
    /// Check one record from its first step to how it stands, with public keys alone
    Record(record::RecordArgs),
    /// Prove that the record log of today begins with that of the last audit; reads a few tiles only
    Consistency(consistency::ConsistencyArgs),
    /// List acts by agency, type, status, day and the agency's own number; what a node leaves out does not show
    History(history::HistoryArgs),
    /// Find out whether two nodes have the same ledger, and at which block they part
    Compare(compare::CompareArgs),
}

pub(crate) fn run(command: AuditCommand, city: &City) -> CliResult {
    match command {
        AuditCommand::Chain(args) => chain::run(&args, city),
        AuditCommand::Record(args) => record::run(&args, city),
        AuditCommand::Consistency(args) => consistency::run(&args, city),
        AuditCommand::History(args) => history::run(&args, city),
        AuditCommand::Compare(args) => compare::run(&args, city),
    }
}
