//! `city devnet bench`.

use crate::app::City;
use crate::error::CliResult;

/// To come
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct BenchArgs {}

pub(crate) fn run(_: &BenchArgs, _: &City) -> CliResult {
    Ok(())
}
