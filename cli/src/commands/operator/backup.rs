//! `city backup`: copies of what a validator holds.
//!
//! This program knows nothing of storage: it starts `city-node backup` and takes its exit code over.

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

pub(crate) fn run(args: &BackupArgs) -> CliResult {
    become_node(std::iter::once(OsStr::new("backup")).chain(args.arguments.iter().map(OsString::as_os_str)))
}
