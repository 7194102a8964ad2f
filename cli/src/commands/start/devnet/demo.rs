//! `city devnet demo`.

use crate::app::City;
use crate::error::CliResult;

/// To come
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DemoArgs {}

pub(crate) fn run(_: &DemoArgs, _: &City) -> CliResult {
    Ok(())
}
