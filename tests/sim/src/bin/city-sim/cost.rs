//! placeholder
use super::{Outcome, Output};
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct CostArgs {}
pub(crate) fn run(_: &CostArgs, _: Output) -> Result<Outcome, Box<dyn std::error::Error>> {
    Ok(Outcome::Held)
}
