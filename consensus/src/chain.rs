//! The blocks above the committed one, as a tree, and the recent committed headers below it.

use std::collections::{BTreeMap, VecDeque};

use chain_core::block::Header;
use chain_core::certificate::{Cert, Rank};
use chain_core::crypto::Digest;
use chain_core::id::{Height, ValidatorIx, View};

use crate::engine::Tip;
use crate::lanes::Run;
use crate::message::Proposal;
use crate::safety::OwnedFoundation;
use crate::verified::Verified;

/// Recent committed headers kept for linking votes and noticing forks.
const RECENT_MAX: usize = 1_024;
/// Most blocks of one leader held above the committed one, as long as nothing certifies them: two for each
/// slot of the windows, so that a liar's blocks never crowd out another leader's.
pub(crate) const BLOCKS_PER_LEADER_MAX: usize = 128;

/// What is known about a block's validity.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Validity {
    /// Not judged yet, or waiting for data, execution or its parent.
    Open,
    /// R1e holds.
    Valid,
    /// It never will.
    Invalid,
}

/// One block above the committed one.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) proposal: Proposal,
    pub(crate) digest: Digest,
    /// The chain after it; known once its parent's is.
    pub(crate) tip: Option<Tip>,
    /// For the first block of a view: why it may stand on its parent.
    pub(crate) foundation: Option<OwnedFoundation>,
    pub(crate) validity: Validity,
    /// Whether its time was too long past when it first arrived.
    pub(crate) late: bool,
    /// A PREPARE or COMMIT certificate, if held.
    pub(crate) certificate: Option<Verified<Cert>>,
    /// What it orders, once its data is held.
    pub(crate) runs: Option<Vec<Run>>,
    /// Whether a write that holds it was issued.
    pub(crate) stored: bool,
    /// When it was first seen.
    pub(crate) seen_ms: u64,
}

impl Entry {
    pub(crate) fn header(&self) -> &Header {
        &self.proposal.header
    }

    pub(crate) fn rank(&self) -> Rank {
        Rank { view: self.header().view, height: self.header().height }
    }
}

/// The tree.
#[derive(Debug)]
pub(crate) struct Chain {
    committed: Tip,
    recent: VecDeque<Header>,
    entries: BTreeMap<Digest, Entry>,
    by_rank: BTreeMap<(Height, View, Digest), ()>,
}

impl Chain {
    pub(crate) fn new(committed: Tip) -> Self {
        let recent = committed.header.clone().into_iter().collect();
        Self { committed, recent, entries: BTreeMap::new(), by_rank: BTreeMap::new() }
    }

    /// Headers of committed blocks just below the tip, as the store held them; ascending, ending at the tip.
    pub(crate) fn set_recent(&mut self, headers: impl IntoIterator<Item = Header>) {
        let below = self.committed.height;
        let mut recent: VecDeque<Header> = headers.into_iter().filter(|one| one.height <= below).collect();
        if recent.back().map(|one| one.height) == Some(below) {
            while recent.len() > RECENT_MAX {
                recent.pop_front();
            }
            self.recent = recent;
        }
    }

    pub(crate) fn committed(&self) -> &Tip {
        &self.committed
    }

    pub(crate) fn get(&self, digest: &Digest) -> Option<&Entry> {
        self.entries.get(digest)
    }

    pub(crate) fn get_mut(&mut self, digest: &Digest) -> Option<&mut Entry> {
        self.entries.get_mut(digest)
    }

    pub(crate) fn contains(&self, digest: &Digest) -> bool {
        self.entries.contains_key(digest)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many blocks of one leader are held.
    pub(crate) fn proposed_by(&self, leader: ValidatorIx) -> usize {
        self.entries.values().filter(|entry| entry.header().proposer == leader).count()
    }

    /// Blocks in ascending order of height, then view.
    pub(crate) fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.by_rank.keys().filter_map(|(.., digest)| self.entries.get(digest))
    }

    /// Blocks of one proposer's slot.
    pub(crate) fn in_slot(&self, rank: Rank) -> impl Iterator<Item = &Entry> {
        let low = (rank.height, rank.view, Digest::ZERO);
        let high = (rank.height, rank.view, Digest::new([0xff; 32]));
        self.by_rank.range(low..=high).filter_map(|((.., digest), ())| self.entries.get(digest))
    }

    /// The chain after the block with this digest: a tree entry, or the committed tip.
    pub(crate) fn tip_of(&self, digest: &Digest) -> Option<&Tip> {
        if *digest == self.committed.digest {
            return Some(&self.committed);
        }
        self.entries.get(digest).and_then(|entry| entry.tip.as_ref())
    }

    /// A committed header at a height, if recent.
    pub(crate) fn committed_header(&self, height: Height) -> Option<&Header> {
        let first = self.recent.front()?.height;
        self.recent.get(usize::try_from(height.get().checked_sub(first.get())?).ok()?)
    }

    /// Adds a block and connects it and its descendants where possible.
    pub(crate) fn insert(&mut self, mut entry: Entry) {
        let digest = entry.digest;
        entry.tip = self.tip_of(&entry.header().parent).map(|parent| parent.after(&entry.proposal));
        let connected = entry.tip.is_some();
        self.by_rank.insert((entry.header().height, entry.header().view, digest), ());
        self.entries.insert(digest, entry);
        if connected {
            self.connect_children();
        }
    }

    fn connect_children(&mut self) {
        let order: Vec<Digest> = self.by_rank.keys().map(|(.., digest)| *digest).collect();
        for digest in order {
            let Some(entry) = self.entries.get(&digest) else { continue };
            if entry.tip.is_some() {
                continue;
            }
            let tip = self.tip_of(&entry.header().parent).map(|parent| parent.after(&entry.proposal));
            if let Some(entry) = self.entries.get_mut(&digest) {
                entry.tip = tip;
            }
        }
    }

    /// Digests from just above the committed block up to this one, ascending; `None` when it does not
    /// descend from the committed block or links are missing.
    pub(crate) fn path(&self, digest: &Digest) -> Option<Vec<Digest>> {
        let mut path = Vec::new();
        let mut at = *digest;
        while at != self.committed.digest {
            let entry = self.entries.get(&at)?;
            path.push(at);
            at = entry.header().parent;
        }
        path.reverse();
        Some(path)
    }

    /// Whether `ancestor` is `digest` or one of its ancestors above the committed block.
    pub(crate) fn descends(&self, digest: &Digest, ancestor: &Digest) -> bool {
        let mut at = *digest;
        loop {
            if at == *ancestor {
                return true;
            }
            match self.entries.get(&at) {
                Some(entry) => at = entry.header().parent,
                None => return false,
            }
        }
    }

    /// Makes a block and its ancestors final. Returns the newly final proposals, ascending, and drops
    /// every block that does not descend from it.
    pub(crate) fn finalise(&mut self, digest: &Digest) -> Option<Vec<Proposal>> {
        let path = self.path(digest)?;
        let mut proposals = Vec::with_capacity(path.len());
        for digest in path {
            let Some(entry) = self.remove(&digest) else { continue };
            let header = entry.proposal.header.clone();
            if let Some(tip) = entry.tip {
                self.committed = tip;
            } else {
                self.committed = self.committed.after(&entry.proposal);
            }
            self.recent.push_back(header);
            if self.recent.len() > RECENT_MAX {
                self.recent.pop_front();
            }
            proposals.push(entry.proposal);
        }
        let stale: Vec<Digest> = self
            .entries
            .iter()
            .filter(|(digest, entry)| {
                entry.header().height <= self.committed.height
                    || (entry.tip.is_some() && self.path(digest).is_none())
            })
            .map(|(digest, _)| *digest)
            .collect();
        for digest in stale {
            self.remove(&digest);
        }
        self.connect_children();
        Some(proposals)
    }

    /// Removes one block.
    pub(crate) fn remove(&mut self, digest: &Digest) -> Option<Entry> {
        let entry = self.entries.remove(digest)?;
        self.by_rank.remove(&(entry.header().height, entry.header().view, *digest));
        Some(entry)
    }
}
