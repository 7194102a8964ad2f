//! The blocks of one epoch as a tree.

/// View, then height; `None`, the epoch's base, ranks lowest.
pub type Rank = (u64, u64);

/// A block of a tree, in the order of arrival.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct BlockId(u32);

impl BlockId {
    /// Its place in the order of arrival; the base is 0.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a block does to its view and its epoch.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// Nothing.
    Plain,
    /// Ends its view: the next leader takes over.
    TermEnd,
    /// Ends its epoch.
    Closing,
    /// Helps a closing block of an earlier view to become final; no part of the ledger.
    Suffix,
}

#[derive(Clone, Debug)]
struct Block {
    view: u64,
    height: u64,
    parent: BlockId,
    kind: Kind,
    /// What the first block of its view stands on.
    stand: BlockId,
    /// The closing block at or below it.
    closing: Option<BlockId>,
    /// A strict ancestor in its view ended the term.
    past_term_end: bool,
    /// A strict ancestor in its view is a closing block or a Suffix.
    past_closing: bool,
}

/// Every block of an epoch that was ever proposed, on the epoch's base.
#[derive(Clone, Debug)]
pub struct Tree {
    blocks: Vec<Block>,
}

impl Tree {
    /// The epoch's base.
    pub const BASE: BlockId = BlockId(0);

    /// Only the base, at this height.
    pub fn new(height: u64) -> Self {
        let base = Block {
            view: 0,
            height,
            parent: Self::BASE,
            kind: Kind::Plain,
            stand: Self::BASE,
            closing: None,
            past_term_end: false,
            past_closing: false,
        };
        Self { blocks: vec![base] }
    }

    /// Adds a block; `None` when its view is below its parent's or there is no height above, at which no
    /// validator would look.
    pub fn add(&mut self, parent: BlockId, view: u64, kind: Kind) -> Option<BlockId> {
        let id = BlockId(u32::try_from(self.blocks.len()).ok()?);
        let below = &self.blocks[parent.index()];
        if view < below.view {
            return None;
        }
        let height = below.height.checked_add(1)?;
        let same_view = parent != Self::BASE && below.view == view;
        let block = Block {
            view,
            height,
            parent,
            kind,
            stand: if same_view { below.stand } else { parent },
            closing: if kind == Kind::Closing { Some(id) } else { below.closing },
            past_term_end: same_view && (below.past_term_end || below.kind == Kind::TermEnd),
            past_closing: same_view
                && (below.past_closing || matches!(below.kind, Kind::Closing | Kind::Suffix)),
        };
        self.blocks.push(block);
        Some(id)
    }

    /// Blocks, the base among them.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = BlockId> + use<> {
        (0..u32::try_from(self.blocks.len()).unwrap_or(u32::MAX)).map(BlockId)
    }

    /// Blocks besides the base.
    pub fn len(&self) -> usize {
        self.blocks.len() - 1
    }

    /// Whether there is only the base.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// View; 0 for the base, whose rank is below it.
    pub fn view(&self, block: BlockId) -> u64 {
        self.blocks[block.index()].view
    }

    /// Height.
    pub fn height(&self, block: BlockId) -> u64 {
        self.blocks[block.index()].height
    }

    /// Parent; the base is its own.
    pub fn parent(&self, block: BlockId) -> BlockId {
        self.blocks[block.index()].parent
    }

    /// Kind.
    pub fn kind(&self, block: BlockId) -> Kind {
        self.blocks[block.index()].kind
    }

    /// Rank; `None` is the base.
    pub fn rank(&self, block: BlockId) -> Option<Rank> {
        let one = &self.blocks[block.index()];
        (block != Self::BASE).then_some((one.view, one.height))
    }

    /// What the first block of this block's view, on this block's branch, stands on.
    pub fn stand(&self, block: BlockId) -> BlockId {
        self.blocks[block.index()].stand
    }

    /// The closing block at or below it.
    pub fn closing(&self, block: BlockId) -> Option<BlockId> {
        self.blocks[block.index()].closing
    }

    /// Whether a strict ancestor in its view ended the term.
    pub fn past_term_end(&self, block: BlockId) -> bool {
        self.blocks[block.index()].past_term_end
    }

    /// Whether a strict ancestor in its view is a closing block or a Suffix.
    pub fn past_closing(&self, block: BlockId) -> bool {
        self.blocks[block.index()].past_closing
    }

    /// Whether the second is the first or an ancestor of it.
    pub fn descends(&self, block: BlockId, ancestor: BlockId) -> bool {
        let height = self.height(ancestor);
        let mut at = block;
        while self.height(at) > height {
            at = self.parent(at);
        }
        at == ancestor
    }

    /// Whether two blocks lie on one branch.
    pub fn comparable(&self, a: BlockId, b: BlockId) -> bool {
        if self.height(a) < self.height(b) { self.descends(b, a) } else { self.descends(a, b) }
    }
}
