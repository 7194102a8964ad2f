//! placeholder
use super::{Outcome, Output};
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct CampaignArgs {}
pub(crate) fn run(_: &CampaignArgs, _: Output) -> Result<Outcome, Box<dyn std::error::Error>> {
    Ok(Outcome::Held)
}
