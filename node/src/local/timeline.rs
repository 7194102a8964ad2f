//! How a record held on a day: its leaves, replayed up to a moment.

use chain_core::api::TimelineView;
use chain_core::code::{Code, Refusal};
use chain_core::date::Date;
use chain_core::execute::LedgerRead as _;
use chain_core::id::{Height, RecordId};
use chain_core::layout::Layout as _;
use chain_core::lifecycle::replay::Bases;
use chain_core::record::BasisRef;
use chain_core::record::governance::BasisDetails;
use chain_core::state::{BasisEntry, key};
use chain_core::timeline::{Known, Question, answer};

use super::records::not_found;
use super::{Local, corrupt, read, refuse};
use crate::handle::AskedMoment;
use crate::storage::ledger::Snapshot;

/// Most leaves of a record that an answer goes through.
const LEAVES_MAX: usize = 4_096;

/// The catalogue of legal bases at one height; what an entry says never changes.
struct Catalogue<'a, 's>(&'a Snapshot<'s>);

impl Bases for Catalogue<'_, '_> {
    fn basis(&self, basis: &BasisRef) -> Result<Option<BasisDetails>, Refusal> {
        let found = self.0.get(&key::basis(basis)).map_err(read)?;
        let entry = found.map(|bytes| BasisEntry::from_canonical(&bytes)).transpose();
        Ok(entry.map_err(|error| corrupt("legal basis", error))?.map(|entry| entry.details))
    }
}

impl Local {
    /// Answers what held of a record at a moment.
    pub(super) fn timeline_of(&self, record: RecordId, moment: AskedMoment) -> Result<TimelineView, Refusal> {
        let snapshot = self.snapshot()?;
        let places = snapshot.record_leaves(&record, 0, LEAVES_MAX + 1).map_err(refuse)?;
        if places.is_empty() {
            return Err(not_found(&record));
        }
        if places.len() > LEAVES_MAX {
            let detail =
                format!("over {LEAVES_MAX} steps; go through them: GET /v1/records/{record}/history");
            return Err(Refusal::new(Code::SizeLimit, detail));
        }
        let leaf = |index: u64| Ok::<_, Refusal>((index, self.leaf(&snapshot, index)?));
        let leaves = places.into_iter().map(leaf).collect::<Result<Vec<_>, _>>()?;
        let height = snapshot.height();
        let asked = match moment {
            AskedMoment::At(at) if at > height => {
                let detail = format!("block {at}; the newest executed here is {height}");
                return Err(Refusal::new(Code::NotYetExecuted, detail));
            }
            AskedMoment::At(at) => {
                let day = self
                    .day_of(at)?
                    .ok_or_else(|| Refusal::new(Code::BlockPruned, format!("block {at} is not kept here")))?;
                Question { as_of: day, known: Known::Until(at), known_at: day, known_height: at, height }
            }
            AskedMoment::AsOf { day, known_at } => Question {
                as_of: day,
                known: Known::On(known_at),
                known_at,
                known_height: self.newest_of(known_at, height)?,
                height,
            },
        };
        answer(&self.core.chain, record, &leaves, &Catalogue(&snapshot), &asked).map_err(|refusal| {
            match refusal.code {
                Code::RecordNotFound => refusal,
                // The node executed these very steps.
                _ => corrupt("record log", refusal),
            }
        })
    }

    /// The local day of a block; none where this node does not keep it.
    fn day_of(&self, height: Height) -> Result<Option<Date>, Refusal> {
        let block = self.core.consensus.final_block(height).map_err(refuse)?;
        Ok(block.map(|block| Date::of_time(block.header.time_ms, self.core.chain.utc_offset_minutes)))
    }

    /// The newest block up to a height that is not of a later day; times grow with heights.
    fn newest_of(&self, day: Date, height: Height) -> Result<Height, Refusal> {
        let (mut low, mut high) = (0, height.get());
        while low < high {
            let middle = high - (high - low) / 2;
            // Blocks that are not kept are older than those that are.
            match self.day_of(Height::new(middle))? {
                Some(of_block) if of_block > day => high = middle - 1,
                _ => low = middle,
            }
        }
        if low > 0 && self.day_of(Height::new(low))?.is_none() {
            let detail = format!("blocks of {day} and before are not kept here");
            return Err(Refusal::new(Code::BlockPruned, detail));
        }
        Ok(Height::new(low))
    }
}
