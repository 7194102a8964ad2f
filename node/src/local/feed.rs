//! The feed: the record log as events.

use chain_core::api::{Cursor, FeedEvent, FeedKind};
use chain_core::code::{Code, Refusal};
use chain_core::id::Height;
use chain_core::leaf::Leaf;

use super::{Local, corrupt, refuse};
use crate::handle::{FeedPage, FeedQuery};

impl Local {
    /// Events from a leaf on, in the order of the record log.
    pub(super) fn feed_page(&self, query: &FeedQuery, limit: usize) -> Result<FeedPage, Refusal> {
        let snapshot = self.snapshot()?;
        let chain = self.core.chain_id();
        let from = match &query.cursor {
            None => 0,
            Some(cursor) if cursor.is_of(chain) => cursor.leaf,
            Some(cursor) => {
                return Err(Refusal::new(
                    Code::GenesisMismatch,
                    format!("cursor {cursor} is of another chain"),
                ));
            }
        };
        let size = snapshot.log_size().map_err(refuse)?;
        if from > size {
            let detail = format!("cursor at leaf {from}, the record log here has {size}");
            return Err(Refusal::new(Code::NotYetExecuted, detail));
        }
        let mut events = Vec::new();
        let mut next = from;
        for bytes in snapshot.leaves(from, limit).map_err(refuse)? {
            let leaf = Leaf::decode(&bytes).map_err(|error| corrupt("leaf", error))?;
            if query.kinds.is_empty() || query.kinds.contains(&FeedKind::of(&leaf)) {
                let time_ms = match &leaf {
                    Leaf::Seal(seal) => self.time_of(seal.height)?,
                    _ => None,
                };
                events.push(FeedEvent::new(chain, next, &bytes, &leaf, time_ms, query.whole));
            }
            next += 1;
        }
        Ok(FeedPage { events, next: Cursor::new(chain, next) })
    }

    /// The first leaf of a height: where a feed from there on begins.
    pub(super) fn feed_cursor(&self, height: Height) -> Result<Cursor, Refusal> {
        let snapshot = self.snapshot()?;
        let Some(before) = height.previous() else { return Ok(Cursor::new(self.core.chain_id(), 0)) };
        let summary = snapshot.summary(before).map_err(refuse)?;
        let summary = summary.ok_or_else(|| {
            let detail = format!("block {height}; the newest executed here is {}", snapshot.height());
            Refusal::new(Code::NotYetExecuted, detail)
        })?;
        Ok(Cursor::new(self.core.chain_id(), summary.log_size))
    }

    fn time_of(&self, height: Height) -> Result<Option<u64>, Refusal> {
        let block = self.core.consensus.final_block(height).map_err(refuse)?;
        Ok(block.map(|block| block.header.time_ms))
    }
}
