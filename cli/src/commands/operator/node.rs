//! `city node`: run a validator, and ask a running one how it is.
//!
//! This program knows nothing of consensus or storage: it starts `city-node` and takes its exit code over.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use chain_core::api::NodeStatus;
use chain_core::code::Code;
use clap::Subcommand;
use serde_json::{Value, json};

use crate::app::City;
use crate::client::paths;
use crate::commands::start::devnet::process::node_program;
use crate::error::{CliError, CliResult};
use crate::output::Shape;

/// Initialise, check, start and watch a validator
///
/// city node init --config /etc/city/node.toml        (once in a validator's life)
///
/// city node start --config /etc/city/node.toml
///
/// city node why --node http://10.0.0.1:7100
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// Make the data directory of a new validator, once
    Init(ConfigArgs),
    /// Check configuration, genesis and keys without starting
    Check(ConfigArgs),
    /// Start the validator in the foreground
    Start(ConfigArgs),
    /// Show what the nodes of the context say of themselves and of each other
    Status,
    /// Say on one screen why the ledger moves or does not: which validator is silent, slow, skewed or refusing
    Why,
}

/// Which configuration.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ConfigArgs {
    /// Configuration of the node
    #[arg(long, value_name = "FILE", default_value = "node.toml")]
    config: PathBuf,
}

const STATUS: Shape = Shape {
    schema: "node-status",
    columns: &["name", "height", "executed", "view", "leader", "voting", "peers", "queued", "version", "url"],
    id: "name",
    empty: "the context names no node",
};

pub(crate) fn run(command: NodeCommand, city: &City) -> CliResult {
    match command {
        NodeCommand::Init(args) => become_step("init", &args),
        NodeCommand::Check(args) => become_step("check", &args),
        NodeCommand::Start(args) => become_step("start", &args),
        NodeCommand::Status => status(city),
        NodeCommand::Why => super::why::run(city),
    }
}

fn become_step(step: &str, args: &ConfigArgs) -> CliResult {
    become_node([step.as_ref(), "--config".as_ref(), args.config.as_os_str()])
}

/// Replaces this process by `city-node`, so that a service manager sees one process and its exit code.
pub(super) fn become_node<'a>(arguments: impl IntoIterator<Item = &'a OsStr>) -> CliResult {
    let program = node_program()?;
    let error = Command::new(&program).args(arguments).exec();
    Err(CliError::new(Code::NodeProgramMissing, format!("{}: {error}", program.display())))
}

fn status(city: &City) -> CliResult {
    let client = city.client()?;
    let mut rows = Vec::new();
    let mut answered = 0;
    for node in 0..client.len() {
        match client.get_from::<NodeStatus>(node, paths::STATUS) {
            Ok(status) => {
                answered += 1;
                if let Some(why) = &status.not_voting_because {
                    city.out.warn(format!("{} follows without voting: {why}", status.name));
                }
                rows.push(view(client.url(node), &status));
            }
            Err(error) => {
                city.out.warn(format!("{}", error.refusal));
                rows.push(json!({ "url": client.url(node), "name": "unreachable" }));
            }
        }
    }
    city.out.list(STATUS, &rows)?;
    if answered == 0 {
        return Err(CliError::new(Code::Unreachable, "no node of the context answers"));
    }
    Ok(())
}

fn view(url: &str, status: &NodeStatus) -> Value {
    let connected = status.peers.iter().filter(|peer| peer.connected).count();
    json!({
        "url": url,
        "name": status.name,
        "height": status.committed,
        "executed": status.executed,
        "view": status.view,
        "leader": status.leader,
        "voting": status.voting,
        "peers": format!("{connected}/{}", status.peers.len()),
        "queued": status.queued,
        "version": status.version,
        "chain_id": status.chain_id,
        "exec_root": status.exec_root,
    })
}
