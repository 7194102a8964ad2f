//! `city record history`: every step of a record's life.

use chain_core::api::HistoryEntry;
use chain_core::id::RecordId;
use serde_json::{Value, json};

use crate::app::City;
use crate::client::paths;
use crate::error::CliResult;
use crate::output::Shape;

const HISTORY: Shape = Shape {
    schema: "history",
    columns: &["height", "time", "operation", "version", "status", "author", "leaf_index"],
    id: "leaf_index",
    empty: "the record has no history here yet",
};

pub(super) fn history(city: &City, record: &RecordId) -> CliResult {
    let client = city.client()?;
    let listed =
        client.list::<HistoryEntry>(usize::MAX, |size, cursor| paths::history(record, size, cursor))?;
    city.out.list(HISTORY, &listed.items.iter().map(row).collect::<Vec<_>>())
}

fn row(entry: &HistoryEntry) -> Value {
    let ms = i64::try_from(entry.time_ms).unwrap_or(0);
    json!({
        "height": entry.height,
        "time": jiff::Timestamp::from_millisecond(ms).unwrap_or_default().to_string(),
        "operation": entry.operation,
        "version": entry.version,
        "status": entry.status,
        "author": entry.author.map(|author| author.short()),
        "leaf_index": entry.leaf_index,
        "leaf": entry.leaf,
    })
}
