//! `city doctor`.
use crate::app::City;
use crate::error::CliResult;

/// To come
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DoctorArgs {}

pub(crate) fn run(_: &DoctorArgs, _: &City) -> CliResult {
    Ok(())
}
