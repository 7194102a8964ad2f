//! Reading blocks, tiles and entry bundles.

use chain_core::api::{BlockView, Page, RawBlock};
use chain_core::code::{Code, Refusal};
use chain_core::id::Height;
use chain_core::merkle::tile::{Bundle, Tile};

use super::{Local, corrupt, cursor_from, refuse};
use crate::handle::{PAGE_MAX, RAW_BLOCKS_MAX, RAW_BYTES_MAX};
use crate::storage::ledger::Snapshot;

impl Local {
    /// Refuses blocks that this node does not keep, and genesis, which is none.
    pub(super) fn check_kept(&self, height: Height) -> Result<(), Refusal> {
        let first = self.core.consensus.first().map_err(refuse)?;
        if height >= first || height == Height::ZERO {
            return Ok(());
        }
        Err(Refusal::new(Code::BlockPruned, format!("block {height}; kept here from {first} on")))
    }

    /// One executed block.
    pub(super) fn block_view(&self, snapshot: &Snapshot<'_>, height: Height) -> Result<BlockView, Refusal> {
        if height > snapshot.height() {
            let detail = format!("height {height}, executed {}", snapshot.height());
            return Err(Refusal::new(Code::NotYetExecuted, detail));
        }
        self.check_kept(height)?;
        let proposal = self.core.consensus.final_block(height).map_err(refuse)?;
        let Some(proposal) = proposal else {
            return Err(Refusal::new(Code::NotFound, format!("block {height}")));
        };
        let mut transactions = Vec::new();
        for name in snapshot.ordered(height).map_err(refuse)? {
            transactions.extend(self.tree(&name)?.ids.iter().copied());
        }
        let certified = self.core.consensus.certified_from(height).map_err(refuse)?;
        let (certificate, suffixes) = certified.map(|(_, one)| (one.certificate, one.suffixes)).unzip();
        Ok(BlockView {
            digest: proposal.header.digest(),
            certificate,
            suffixes: suffixes.unwrap_or_default(),
            header: proposal.header,
            transactions,
        })
    }

    /// A page of blocks, newest first.
    pub(super) fn block_page(&self, cursor: Option<&str>, limit: usize) -> Result<Page<BlockView>, Refusal> {
        let snapshot = self.snapshot()?;
        let newest = snapshot.height().get();
        let from = cursor_from(cursor)?.unwrap_or(newest).min(newest);
        let limit = limit.clamp(1, PAGE_MAX) as u64;
        let first = self.core.consensus.first().map_err(refuse)?.get();
        let down_to = (from.saturating_sub(limit) + 1).max(first);
        let items = (down_to..=from)
            .rev()
            .map(|height| self.block_view(&snapshot, Height::new(height)))
            .collect::<Result<_, _>>()?;
        let next_cursor = (down_to > first).then(|| (down_to - 1).to_string());
        Ok(Page { items, next_cursor, height: snapshot.height() })
    }

    /// Whole blocks for an audit; without the bodies that the reader may not see, which execution then takes as
    /// it takes erased ones.
    pub(super) fn raw(&self, from: Height, limit: usize) -> Result<Vec<RawBlock>, Refusal> {
        self.core.check_caught_up()?;
        let snapshot = self.snapshot()?;
        let store = &self.core.consensus;
        let mut blocks = Vec::new();
        let mut bytes = 0;
        let mut height = Height::new(from.get().max(1));
        self.check_kept(height)?;
        while blocks.len() < limit.clamp(1, RAW_BLOCKS_MAX)
            && bytes < RAW_BYTES_MAX
            && height <= snapshot.height()
        {
            let proposal = store.final_block(height).map_err(refuse)?;
            let proposal =
                proposal.ok_or_else(|| corrupt("block", format!("{height} is executed, not stored")))?;
            let summary = snapshot.summary(height).map_err(refuse)?;
            let summary =
                summary.ok_or_else(|| corrupt("summary", format!("of height {height} is missing")))?;
            let names = snapshot.ordered(height).map_err(refuse)?;
            let mut batches = names.iter().map(|name| self.stored(name)).collect::<Result<Vec<_>, _>>()?;
            for batch in &mut batches {
                self.withhold(&snapshot, batch)?;
            }
            bytes += proposal.header.n_bytes as usize + 4_096;
            let certified = store.certified_to(height).map_err(refuse)?.filter(|(last, _)| *last == height);
            let (certificate, suffixes) = certified.map(|(_, one)| (one.certificate, one.suffixes)).unzip();
            blocks.push(RawBlock {
                header: proposal.header,
                advances: proposal.advances,
                proposer_signature: proposal.signature,
                batches,
                outcomes: snapshot.block_outcomes(height).map_err(refuse)?,
                certificate,
                suffixes: suffixes.unwrap_or_default(),
                exec_root: summary.root(),
                index: snapshot.index_after(height).map_err(refuse)?,
            });
            height = height.next();
        }
        Ok(blocks)
    }

    /// A tile of hashes.
    pub(super) fn tile_bytes(&self, level: u8, index: u64, width: u16) -> Result<Vec<u8>, Refusal> {
        let missing = || Refusal::new(Code::NotFound, format!("tile {level}/{index} of width {width}"));
        let tile = Tile::new(level, index, width).ok_or_else(missing)?;
        let snapshot = self.snapshot()?;
        let whole = Tile::of_size(level, index, snapshot.log_size().map_err(refuse)?).ok_or_else(missing)?;
        if tile.width() > whole.width() {
            return Err(missing());
        }
        let first = index * chain_core::merkle::tile::WIDTH;
        let hashes = snapshot.log_hashes(level, first, u64::from(width)).map_err(refuse)?;
        Ok(hashes.iter().flat_map(|hash| *hash.as_bytes()).collect())
    }

    /// A bundle of leaves.
    pub(super) fn bundle_bytes(&self, index: u64, width: u16) -> Result<Vec<u8>, Refusal> {
        let missing = || Refusal::new(Code::NotFound, format!("bundle {index} of width {width}"));
        let bundle = Bundle::new(index, width).ok_or_else(missing)?;
        let snapshot = self.snapshot()?;
        if bundle.leaves().end > snapshot.log_size().map_err(refuse)? {
            return Err(missing());
        }
        let leaves = snapshot.leaves(bundle.leaves().start, usize::from(width)).map_err(refuse)?;
        bundle.encode(&leaves).map_err(|error| corrupt("record log", error))
    }
}
