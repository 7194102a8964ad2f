//! `city backup`, `city snapshot`, `city storage`: what is done with the stores of a validator.
//!
//! This program knows nothing of storage: it starts `city-node` with the same words and takes its exit code over.

use std::ffi::{OsStr, OsString};

use super::node::become_node;
use crate::error::CliResult;

/// Back up a validator's data while it runs; list, verify, restore and prune backups
///
/// city backup create --config /etc/city/node.toml
///
/// city backup verify newest --config /etc/city/node.toml
///
/// city backup restore newest --config /etc/city/node.toml        (a stopped node, or none yet)
///
/// See city backup create --help, and so on.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct BackupArgs {
    /// create, list, verify, restore or prune, and what `city-node backup` is told with it
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
}

/// Let a node join with a snapshot of the ledger; list, verify and put back those of a stopped node
///
/// city snapshot fetch --config /etc/city/node.toml        (a node that has no block yet)
///
/// city snapshot list --config /etc/city/node.toml
///
/// See city snapshot fetch --help, and so on.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SnapshotArgs {
    /// list, fetch, verify or restore, and what `city-node snapshot` is told with it
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
}

/// See what a validator's stores take on the disk; write them anew, read them through, let go of old blocks
///
/// city storage usage --config /etc/city/node.toml
///
/// city storage prune --keep 100000 --config /etc/city/node.toml        (a stopped node)
///
/// See city storage usage --help, and so on.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct StorageArgs {
    /// usage, compact, verify, prune or refill, and what `city-node storage` is told with it
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
}

pub(crate) fn backup(args: &BackupArgs) -> CliResult {
    hand_on("backup", &args.arguments)
}

pub(crate) fn snapshot(args: &SnapshotArgs) -> CliResult {
    hand_on("snapshot", &args.arguments)
}

pub(crate) fn storage(args: &StorageArgs) -> CliResult {
    hand_on("storage", &args.arguments)
}

fn hand_on(command: &str, arguments: &[OsString]) -> CliResult {
    become_node(std::iter::once(OsStr::new(command)).chain(arguments.iter().map(OsString::as_os_str)))
}
