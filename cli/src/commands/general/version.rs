//! `city version`.

use chain_core::{block, transaction};
use serde_json::json;

use crate::app::City;
use crate::error::CliResult;
use crate::output::Shape;

/// Print the version and the formats this program speaks
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct VersionArgs {}

const SHAPE: Shape = Shape {
    schema: "version",
    columns: &["version", "transaction_format", "block_format"],
    id: "version",
    empty: "",
};

pub(crate) fn run(_: &VersionArgs, city: &City) -> CliResult {
    let version = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "transaction_format": transaction::TRANSACTION_VERSION,
        "block_format": block::HEADER_VERSION,
    });
    city.out.item(SHAPE, &version)
}
