//! The command tree and the manners that every command shares.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::commands::{auditor, clerk, general, operator, start};
use crate::output::{Color, Format};

/// Files a city's official acts with a ledger that several agencies keep together, and checks what it says.
///
/// Start with a network on this machine:   city devnet up
///
/// File a spreadsheet:                     city batch submit licences.csv --map licences
///
/// Check a receipt, offline:               city receipt verify licence.receipt.json
///
/// Check the whole ledger:                 city audit chain
#[derive(Debug, Parser)]
#[command(name = "city", version, propagate_version = true, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes, environment and formats: city help-topic exit-codes | environment | formats"
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) manners: Manners,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Common options")]
pub(crate) struct Manners {
    /// Form of the results
    #[arg(short, long, global = true, value_enum, default_value_t, env = "CITY_OUTPUT")]
    pub(crate) output: Format,
    /// Show only these fields, in this order
    #[arg(long, global = true, value_delimiter = ',', value_name = "A,B")]
    pub(crate) fields: Vec<String>,
    /// When to colour what is said on stderr
    #[arg(long, global = true, value_enum, default_value_t)]
    pub(crate) color: Color,
    /// Say nothing but results and errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Never ask; fail where an answer would be needed
    #[arg(long, global = true, env = "CITY_NO_INPUT")]
    pub(crate) no_input: bool,
    /// Answer yes where a dangerous step asks
    #[arg(short = 'y', long, global = true)]
    pub(crate) yes: bool,
    /// Network to talk to, by its name in `city context list`
    #[arg(long, global = true, env = "CITY_CONTEXT", value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Node to talk to, in place of the context's; repeat it for fail-over
    #[arg(long, global = true, env = "CITY_NODE", value_name = "URL", value_delimiter = ',')]
    pub(crate) node: Vec<String>,
    /// Genesis file to trust, in place of the context's
    #[arg(long, global = true, env = "CITY_GENESIS", value_name = "FILE")]
    pub(crate) genesis: Option<PathBuf>,
    /// Key ring folder, in place of the context's
    #[arg(long, global = true, env = "CITY_KEYS", value_name = "DIR")]
    pub(crate) keys: Option<PathBuf>,
    /// File with the passphrase of the keys
    #[arg(long, global = true, env = "CITY_PASSPHRASE_FILE", value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// How long to wait for an answer or for a record to become final
    #[arg(long, global = true, value_parser = crate::duration::parse, default_value = "30s", value_name = "TIME")]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    // Start here
    #[command(subcommand)]
    Devnet(start::devnet::DevnetCommand),
    Doctor(start::doctor::DoctorArgs),
    Explain(start::explain::ExplainArgs),

    // Operator
    #[command(subcommand)]
    Genesis(operator::genesis::GenesisCommand),
    #[command(subcommand)]
    Node(operator::node::NodeCommand),
    #[command(subcommand)]
    Key(operator::key::KeyCommand),
    #[command(subcommand)]
    Agency(operator::agency::AgencyCommand),

    // Clerk
    #[command(subcommand)]
    Record(clerk::record::RecordCommand),
    #[command(subcommand)]
    Batch(clerk::batch::BatchCommand),
    #[command(subcommand)]
    Receipt(clerk::receipt::ReceiptCommand),

    // Auditor
    #[command(subcommand)]
    Block(auditor::block::BlockCommand),
    #[command(subcommand)]
    Audit(auditor::audit::AuditCommand),

    // General
    #[command(subcommand)]
    Context(general::context::ContextCommand),
    Completions(general::completions::CompletionsArgs),
    HelpTopic(general::topic::TopicArgs),
    Version(general::version::VersionArgs),
}
