//! The command tree and the manners that every command shares.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand, ValueEnum as _};

use crate::commands::{auditor, clerk, general, operator, start};
use crate::error::CliError;
use crate::exit::Exit;
use crate::output::{Color, Format, Output};

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
#[command(after_help = "Exit codes, environment and formats: city help exit-codes | environment | formats")]
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
    Play(start::play::PlayArgs),

    // Operator
    #[command(subcommand)]
    Genesis(operator::genesis::GenesisCommand),
    #[command(subcommand)]
    Node(operator::node::NodeCommand),
    Backup(operator::stores::BackupArgs),
    Snapshot(operator::stores::SnapshotArgs),
    Storage(operator::stores::StorageArgs),
    #[command(subcommand)]
    Key(operator::key::KeyCommand),
    #[command(subcommand)]
    Agency(operator::agency::AgencyCommand),
    #[command(subcommand)]
    Calendar(operator::calendar::CalendarCommand),
    #[command(subcommand)]
    Params(operator::params::ParamsCommand),
    #[command(subcommand)]
    Validator(operator::validator::ValidatorCommand),
    #[command(subcommand)]
    Recovery(operator::recovery::RecoveryCommand),
    #[command(subcommand)]
    Gateway(operator::gateway::GatewayCommand),

    // Clerk
    #[command(subcommand)]
    Schema(clerk::schema::SchemaCommand),
    #[command(subcommand)]
    Record(clerk::record::RecordCommand),
    #[command(subcommand)]
    Batch(clerk::batch::BatchCommand),
    #[command(subcommand)]
    Receipt(clerk::receipt::ReceiptCommand),
    #[command(subcommand)]
    Advise(clerk::advise::AdviseCommand),
    #[command(subcommand)]
    Indicator(clerk::indicator::IndicatorCommand),

    // Auditor
    #[command(subcommand)]
    Access(auditor::access::AccessCommand),
    #[command(subcommand)]
    Block(auditor::block::BlockCommand),
    #[command(subcommand)]
    State(auditor::state::StateCommand),
    #[command(subcommand)]
    Subject(auditor::subject::SubjectCommand),
    #[command(subcommand)]
    Trust(auditor::trust::TrustCommand),
    #[command(subcommand)]
    Export(auditor::export::ExportCommand),
    Feed(auditor::feed::FeedArgs),
    #[command(subcommand)]
    Audit(auditor::audit::AuditCommand),
    #[command(subcommand)]
    Witness(auditor::witness::WitnessCommand),

    // General
    #[command(subcommand)]
    Context(general::context::ContextCommand),
    Completions(general::completions::CompletionsArgs),
    HelpTopic(general::topic::TopicArgs),
    Version(general::version::VersionArgs),
}

/// Reads the command line; the exit code when it ends here.
pub(crate) fn read() -> Result<Args, ExitCode> {
    let words = topic_of_help(std::env::args_os().collect());
    Args::try_parse_from(&words).map_err(|error| {
        if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            // Help and version; a reader that closed the pipe has seen enough.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage.code()));
        }
        let wrong = wrong_usage(&error.render().to_string(), error.kind());
        Output::new(format_of(&words), Vec::new(), Color::Auto, false).failure(&wrong);
        ExitCode::from(wrong.exit.code())
    })
}

/// `city help exit-codes` is what the manual says; clap looks for a command of that name.
fn topic_of_help(mut words: Vec<OsString>) -> Vec<OsString> {
    if let [_, help, topic] = &mut words[..]
        && help == "help"
        && ["exit-codes", "environment", "formats"].iter().any(|known| topic == known)
    {
        *help = "help-topic".into();
    }
    words
}

/// What the parser says, as an error like every other: with a code and a way out.
fn wrong_usage(said: &str, kind: ErrorKind) -> CliError {
    let said = said.strip_prefix("error: ").unwrap_or(said);
    let said = said.split("\nFor more information").next().unwrap_or(said).trim_end();
    let hint = match kind {
        ErrorKind::InvalidSubcommand => "see `city help`",
        _ => "see the same command with --help",
    };
    CliError::usage(said).hint(hint)
}

/// The form asked for on a command line that does not parse, for the error about it.
fn format_of(words: &[OsString]) -> Format {
    let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    let flag = words.windows(2).find(|pair| ["-o", "--output"].contains(&pair[0])).map(|pair| pair[1]);
    let joined = words.iter().find_map(|word| {
        word.strip_prefix("--output=").or_else(|| word.strip_prefix("-o").filter(|rest| !rest.is_empty()))
    });
    let environment = std::env::var("CITY_OUTPUT").ok();
    let name = flag.or(joined).or(environment.as_deref()).unwrap_or_default();
    Format::from_str(name, true).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_command_tree_is_sound() {
        /// Of what is given twice clap says nothing in a release build.
        fn once_each(command: &clap::Command) {
            let mut given = std::collections::BTreeSet::new();
            for arg in command.get_arguments() {
                let long = arg.get_long().map(|long| format!("--{long}"));
                let short = arg.get_short().map(|short| format!("-{short}"));
                for name in [Some(arg.get_id().to_string()), long, short].into_iter().flatten() {
                    assert!(given.insert(name.clone()), "{} takes {name} twice", command.get_name());
                }
            }
            command.get_subcommands().for_each(once_each);
        }
        let mut command = <Args as clap::CommandFactory>::command();
        command.build();
        once_each(&command);
        command.debug_assert();
    }

    #[test]
    fn the_manuals_help_topics_are_found() {
        assert_eq!(topic_of_help(words("city help exit-codes")), words("city help-topic exit-codes"));
        for same in ["city help", "city help record", "city record get", "city help record get"] {
            assert_eq!(topic_of_help(words(same)), words(same));
        }
    }

    #[test]
    fn errors_about_the_command_line_come_in_the_form_asked_for() {
        for (line, format) in [
            ("city record get -o json", Format::Json),
            ("city --output jsonl x", Format::Jsonl),
            ("city --output=json", Format::Json),
            ("city -ojson", Format::Json),
            ("city -o xml", Format::Table),
        ] {
            assert_eq!(format_of(&words(line)), format, "{line}");
        }
    }
}
