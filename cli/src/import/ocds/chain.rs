//! The releases of a contracting process, one after another.

use std::collections::BTreeMap;

use chain_core::code::{Code, Refusal};
use chain_core::crypto::Digest;
use chain_core::id::RecordId;
use chain_core::operation::Operation;
use chain_core::record::Details;
use serde_json::{Value as Json, json};

use crate::import::field::Value;
use crate::import::mapping::Mapped;

/// What a release takes from, and leaves to, the others of its contracting process.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Process {
    /// Digest of the ocid, as headers have it.
    pub(crate) id: Digest,
    /// Method, where the release says it.
    pub(crate) method: Option<String>,
    /// Title, where the release says it: as the body has it.
    pub(crate) title: Option<Json>,
}

/// The newest known release of a process.
#[derive(Clone, Debug)]
pub(crate) struct Newest {
    /// Its record.
    pub(crate) record: RecordId,
    /// Its method.
    pub(crate) method: Option<String>,
    /// Its title.
    pub(crate) title: Option<Json>,
    /// Whether it has to be approved before another can follow it: an award or contract of this import.
    pub(crate) waits: bool,
}

/// The newest release of every process that is known of.
pub(crate) type Processes = BTreeMap<Digest, Newest>;

/// Completes a release by what came before it in its process.
///
/// # Errors
/// `RELEASE_ORDER` after a release that waits for its approval.
pub(crate) fn complete(mapped: &mut Mapped, processes: &Processes) -> Result<(), Refusal> {
    let Some(process) = &mut mapped.process else { return Ok(()) };
    if let Some(newest) = processes.get(&process.id) {
        if newest.waits {
            let detail =
                "the award or contract before it in this import waits for a supervisor; file it after that";
            return Err(Refusal::new(Code::ReleaseOrder, detail));
        }
        mapped.fields.insert("previous".to_owned(), Value::Ready(json!(newest.record)));
        process.method = process.method.take().or_else(|| newest.method.clone());
        process.title = process.title.take().or_else(|| newest.title.clone());
    }
    for (name, value) in
        [("method", process.method.clone().map(Json::from)), ("title", process.title.clone())]
    {
        if let Some(value) = value {
            mapped.fields.entry(name.to_owned()).or_insert(Value::Ready(value));
        }
    }
    Ok(())
}

/// Remembers a release that was found good.
pub(crate) fn remember(mapped: &Mapped, operation: &Operation, processes: &mut Processes) {
    let (Some(process), Some(header)) = (&mapped.process, operation.header()) else { return };
    let Details::Procurement(details) = &header.details else { return };
    let Process { id, method, title } = process.clone();
    processes.insert(id, Newest { record: header.record, method, title, waits: details.is_decision() });
}
