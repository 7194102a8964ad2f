//! `city validator evidence`: who signed two statements that contradict each other.

use chain_core::api::EvidenceView;
use chain_core::code::Code;
use chain_core::id::ChainId;
use serde_json::{Value, json};

use crate::app::City;
use crate::client::paths;
use crate::error::{CliError, CliResult};
use crate::output::Shape;

const LIST: Shape = Shape {
    schema: "evidence",
    columns: &["validator", "offence", "epoch", "view", "height", "leaf", "record", "key"],
    id: "record",
    empty: "nothing is proven against any validator",
};

pub(super) fn run(city: &City) -> CliResult {
    let chain_id = city.genesis()?.chain_id();
    let client = city.client()?;
    let views = client.list::<EvidenceView>(usize::MAX, paths::evidence)?.items;
    let rows: CliResult<Vec<Value>> = views.iter().map(|view| row(chain_id, view)).collect();
    city.out.list(LIST, &rows?)
}

/// One offence. Whoever shows one must show statements that prove it.
fn row(chain_id: ChainId, view: &EvidenceView) -> CliResult<Value> {
    let EvidenceView { entry, evidence } = view;
    let proven = evidence.verify_by_key(chain_id, &entry.key);
    if proven.as_ref() != Ok(&entry.offence) {
        let why = proven.err().map_or_else(|| "they prove another one".to_owned(), |error| error.to_string());
        let detail = format!("the statements against {} do not prove the offence: {why}", entry.name);
        return Err(CliError::new(Code::ProofInvalid, detail));
    }
    Ok(json!({
        "validator": entry.name,
        "offence": entry.offence.kind,
        "epoch": entry.offence.epoch,
        "view": entry.offence.view,
        "height": entry.height,
        "leaf": entry.leaf_index,
        "record": entry.record,
        "key": entry.key,
        "accuser": entry.accuser,
        "time_ms": entry.time_ms,
        "evidence": evidence,
    }))
}
