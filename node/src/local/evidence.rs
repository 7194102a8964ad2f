//! Reading what the ledger holds against validators.

use chain_core::api::{EvidenceView, OffenderView, Page};
use chain_core::code::Refusal;
use chain_core::committee::Committee;
use chain_core::execute::{self, LedgerRead as _};
use chain_core::layout::Layout as _;
use chain_core::leaf::Leaf;
use chain_core::state::{OffenceEntry, key};

use super::cursor::{bytes_of, hex};
use super::{Local, corrupt, read, refuse};
use crate::handle::PAGE_MAX;
use crate::storage::ledger::Snapshot;

impl Local {
    /// A page of offences, by offender, kind, epoch and view.
    pub(super) fn evidence_page(
        &self,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<EvidenceView>, Refusal> {
        let snapshot = self.snapshot()?;
        let (first, to) = key::all_offences();
        let from = match cursor {
            None => first,
            Some(text) => [first, bytes_of(text)?].concat(),
        };
        let limit = limit.clamp(1, PAGE_MAX);
        let mut entries = snapshot.range(&from, &to, limit + 1).map_err(read)?;
        let next = (entries.len() > limit).then(|| entries.pop()).flatten();
        let items = entries.iter().map(|(_, value)| evidence_view(&snapshot, value));
        let next_cursor = next.map(|(key, _)| hex(key.get(2..).unwrap_or_default()));
        Ok(Page { items: items.collect::<Result<_, _>>()?, next_cursor, height: snapshot.height() })
    }

    /// Those of a set against whom the ledger holds something.
    pub(super) fn offenders(&self, committee: &Committee) -> Result<Vec<OffenderView>, Refusal> {
        let snapshot = self.snapshot()?;
        let frozen = execute::frozen_lanes(&snapshot, committee.epoch()).map_err(read)?;
        let mut views = Vec::new();
        for (ix, validator) in committee.indices().zip(committee.validators()) {
            if let Some(entry) = execute::offender(&snapshot, &validator.consensus_key).map_err(read)? {
                views.push(OffenderView {
                    name: validator.name.clone(),
                    offences: entry.offences,
                    since: entry.since,
                    lane_frozen: frozen.contains(&ix),
                });
            }
        }
        Ok(views)
    }
}

fn evidence_view(snapshot: &Snapshot<'_>, value: &[u8]) -> Result<EvidenceView, Refusal> {
    let entry = OffenceEntry::from_canonical(value).map_err(|error| corrupt("offence", error))?;
    let bytes = snapshot.leaf(entry.leaf_index).map_err(refuse)?.unwrap_or_default();
    match Leaf::decode(&bytes) {
        Ok(Leaf::Evidence(leaf)) => Ok(EvidenceView { entry, evidence: leaf.evidence }),
        _ => Err(corrupt("offence", format!("leaf {} holds no evidence", entry.leaf_index))),
    }
}
