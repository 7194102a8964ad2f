//! Which release of each contracting process the network has last.

use std::collections::BTreeSet;

use chain_core::code::Code;
use chain_core::id::RecordId;
use chain_core::record::{Details, RecordType};

use crate::app::City;
use crate::commands::clerk::record::list;
use crate::draft::shown_header;
use crate::error::{CliError, CliResult};
use crate::import::ocds::chain::{Newest, Processes};

/// The newest release of every process: the one that no other follows.
pub(super) fn processes(city: &City) -> CliResult<Processes> {
    let filter = [("type", Some(RecordType::Procurement.name().to_owned()))];
    let mut releases = Vec::new();
    let mut followed: BTreeSet<RecordId> = BTreeSet::new();
    for view in list(&city.client()?, &filter, usize::MAX)?.items {
        // What waits for approval, or was rejected, is followed by nothing.
        if view.status != "effective" {
            continue;
        }
        let Details::Procurement(details) = shown_header(&view)?.details else {
            let detail = format!("record {} is no {}", view.record, RecordType::Procurement);
            return Err(CliError::new(Code::HeaderMismatch, detail));
        };
        followed.extend(details.previous);
        let body = |name: &str| view.body.as_ref().and_then(|body| body.get(name)).cloned();
        let method = body("method").and_then(|method| method.as_str().map(str::to_owned));
        releases.push((
            details.process,
            Newest { record: view.record, method, title: body("title"), waits: false },
        ));
    }
    releases.retain(|(_, newest)| !followed.contains(&newest.record));
    Ok(releases.into_iter().collect())
}
