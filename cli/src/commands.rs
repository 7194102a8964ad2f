//! One file per command, grouped as the help shows them.

pub(crate) mod auditor;
pub(crate) mod clerk;
pub(crate) mod general;
pub(crate) mod operator;
pub(crate) mod start;

use crate::app::City;
use crate::args::Command;
use crate::error::CliResult;

/// Runs a command.
pub(crate) fn run(command: Command, city: &City) -> CliResult {
    match command {
        Command::Devnet(command) => start::devnet::run(command, city),
        Command::Doctor(args) => start::doctor::run(&args, city),
        Command::Explain(args) => start::explain::run(&args, city),
        Command::Play(args) => start::play::run(&args, city),
        Command::Genesis(command) => operator::genesis::run(command, city),
        Command::Node(command) => operator::node::run(command, city),
        Command::Backup(args) => operator::stores::backup(&args),
        Command::Snapshot(args) => operator::stores::snapshot(&args),
        Command::Storage(args) => operator::stores::storage(&args),
        Command::Key(command) => operator::key::run(command, city),
        Command::Agency(command) => operator::agency::run(command, city),
        Command::Calendar(command) => operator::calendar::run(command, city),
        Command::Params(command) => operator::params::run(command, city),
        Command::Validator(command) => operator::validator::run(command, city),
        Command::Recovery(command) => operator::recovery::run(command, city),
        Command::Gateway(command) => operator::gateway::run(command, city),
        Command::Schema(command) => clerk::schema::run(command, city),
        Command::Record(command) => clerk::record::run(command, city),
        Command::Batch(command) => clerk::batch::run(command, city),
        Command::Receipt(command) => clerk::receipt::run(command, city),
        Command::Access(command) => auditor::access::run(command, city),
        Command::Advise(command) => clerk::advise::run(command, city),
        Command::Indicator(command) => clerk::indicator::run(command, city),
        Command::Block(command) => auditor::block::run(command, city),
        Command::State(command) => auditor::state::run(command, city),
        Command::Trust(command) => auditor::trust::run(command, city),
        Command::Subject(command) => auditor::subject::run(command, city),
        Command::Feed(args) => auditor::feed::run(&args, city),
        Command::Export(command) => auditor::export::run(command, city),
        Command::Audit(command) => auditor::audit::run(command, city),
        Command::Witness(command) => auditor::witness::run(command, city),
        Command::Context(command) => general::context::run(command, city),
        Command::Completions(args) => general::completions::run(&args, city),
        Command::HelpTopic(args) => general::topic::run(&args, city),
        Command::Version(args) => general::version::run(&args, city),
    }
}
