//! Holds what validators really say against the rules: every PREPARE, COMMIT and VIEW-CHANGE that leaves one is
//! an action of the specification, and must be allowed there at that moment.

use std::collections::BTreeMap;

use chain_core::block::{Flags, Header};
use chain_core::certificate::{Rank, VoteKind};
use chain_core::crypto::Digest;
use chain_core::id::{Epoch, Height, ValidatorIx};

use super::tree::{BlockId, Kind, Tree};
use super::{Broken, Rules, State};
use crate::message::{HighQc, Message};

/// A statement that the rules do not allow.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{who}, epoch {epoch}, {action}: {broken}")]
pub struct Violation {
    /// Who said it.
    pub who: ValidatorIx,
    /// The epoch.
    pub epoch: Epoch,
    /// What was said.
    pub action: String,
    /// The rule.
    pub broken: Broken,
}

/// A header as far as the rules see it.
#[derive(Clone, Copy, Debug)]
struct Seen {
    parent: Digest,
    rank: Rank,
    kind: Kind,
}

/// All validators of one epoch, watched from outside. It remembers across their crashes.
#[derive(Clone, Debug)]
pub struct TraceChecker {
    epoch: Epoch,
    rules: Rules,
    state: State,
    tree: Tree,
    blocks: BTreeMap<Digest, BlockId>,
    /// Headers that were shown and that nobody honest has spoken of yet.
    shown: BTreeMap<Digest, Seen>,
    liars: Vec<ValidatorIx>,
    newest_final: BlockId,
}

impl TraceChecker {
    /// An epoch of `n` validators on its base, all of them honest until said otherwise.
    pub fn new(epoch: Epoch, base: (Height, Digest), n: usize) -> Self {
        Self {
            epoch,
            rules: Rules { byzantine: 0, ..Rules::of(n) },
            state: State::new(n),
            tree: Tree::new(base.0.get()),
            blocks: BTreeMap::from([(base.1, Tree::BASE)]),
            shown: BTreeMap::new(),
            liars: Vec::new(),
            newest_final: Tree::BASE,
        }
    }

    /// From now on this validator may lie: its signature counts under everything, and it is held to nothing.
    pub fn expect_lies(&mut self, who: ValidatorIx) {
        if !self.liars.contains(&who) {
            self.liars.push(who);
            self.rules.byzantine = self.liars.len();
            // What it said before stands for what it says anyway.
            self.state.replicas[who.index()] = super::Replica::new();
        }
    }

    /// A header that somebody can show, on the wire or on a disk. Needed before a vote for it.
    pub fn learn(&mut self, header: &Header) {
        let digest = header.digest();
        if !self.blocks.contains_key(&digest) {
            let rank = Rank { view: header.view, height: header.height };
            self.shown.insert(digest, Seen { parent: header.parent, rank, kind: kind_of(header.flags) });
        }
    }

    fn knows(&self, digest: &Digest) -> bool {
        self.blocks.contains_key(digest) || self.shown.contains_key(digest)
    }

    /// A message leaves a validator. Saying the same again is always allowed; messages of other epochs are not
    /// looked at. A block may be known only from the speaker's disk, since its proposal was lost with a crash:
    /// `held` looks there.
    ///
    /// # Errors
    /// When the rules do not allow it now.
    pub fn observe<'a>(
        &mut self,
        who: ValidatorIx,
        message: &Message,
        held: impl Fn(&Digest) -> Option<&'a Header>,
    ) -> Result<(), Violation> {
        match message {
            Message::Propose(proposal) => self.learn(&proposal.header),
            Message::Vote(vote, _) => {
                let mut at = vote.digest;
                while let Some(header) = held(&at).filter(|_| !self.knows(&at)) {
                    self.learn(header);
                    at = header.parent;
                }
            }
            _ => {}
        }
        if self.liars.contains(&who) {
            return Ok(());
        }
        let done = match message {
            Message::Vote(vote, _) if vote.epoch == self.epoch => {
                let slot = (vote.rank(), vote.digest);
                match vote.kind {
                    VoteKind::Prepare => self.prepare(who.index(), slot),
                    VoteKind::Commit => self.commit(who.index(), slot),
                }
                .map_err(|broken| (format!("{:?} of {:?}", vote.kind, vote.rank()), broken))
            }
            Message::ViewChange(message) if message.epoch == self.epoch => self
                .view_change(who.index(), message.new_view.get(), &message.high_qc)
                .map_err(|broken| (format!("VIEW-CHANGE({})", message.new_view), broken)),
            _ => Ok(()),
        };
        done.map_err(|(action, broken)| Violation { who, epoch: self.epoch, action, broken })
    }

    /// Brings a block and its ancestors into the tree.
    fn block(&mut self, (rank, digest): (Rank, Digest)) -> Result<BlockId, Broken> {
        let mut above = Vec::new();
        let mut at = digest;
        let mut id = loop {
            if let Some(id) = self.blocks.get(&at) {
                break *id;
            }
            let seen = *self.shown.get(&at).ok_or(Broken("a vote for a block that nobody has shown"))?;
            above.push((at, seen));
            at = seen.parent;
        };
        while let Some((digest, seen)) = above.pop() {
            id = self
                .tree
                .add(id, seen.rank.view.get(), seen.kind)
                .ok_or(Broken("V: a block of an earlier view than its parent's"))?;
            if self.tree.height(id) != seen.rank.height.get() {
                return Err(Broken("V: a block that does not stand right above its parent"));
            }
            self.shown.remove(&digest);
            self.blocks.insert(digest, id);
        }
        let named = Some((rank.view.get(), rank.height.get()));
        if id != Tree::BASE && self.tree.rank(id) != named {
            return Err(Broken("a vote that names another rank than its block has"));
        }
        Ok(id)
    }

    fn prepare(&mut self, who: usize, slot: (Rank, Digest)) -> Result<(), Broken> {
        let block = self.block(slot)?;
        if self.state.replicas[who].prepared.binary_search(&block).is_err() {
            self.rules.may_prepare(&self.tree, &self.state, who, block)?;
            self.rules.prepare(&mut self.state, who, block);
        }
        Ok(())
    }

    /// A quorum of liars, as some tests have it, certifies what nobody has shown; the rules say nothing of it.
    fn is_made_up(&self, digest: &Digest) -> bool {
        let mut at = digest;
        while let Some(seen) = self.shown.get(at) {
            at = &seen.parent;
        }
        self.rules.byzantine >= self.rules.quorum && !self.blocks.contains_key(at)
    }

    fn commit(&mut self, who: usize, slot: (Rank, Digest)) -> Result<(), Broken> {
        if self.is_made_up(&slot.1) {
            return Ok(());
        }
        let block = self.block(slot)?;
        if self.state.replicas[who].committed.binary_search(&block).is_ok() {
            return Ok(());
        }
        self.rules.may_commit(&self.tree, &self.state, who, block)?;
        self.rules.commit(&self.tree, &mut self.state, who, block);
        // More liars than the protocol bears can make anything final.
        let bearable = Rules::of(self.state.replicas.len()).byzantine;
        if self.rules.byzantine <= bearable && self.rules.committed(&self.state, block) {
            Rules::agree(&self.tree, self.newest_final, block)?;
            if self.tree.height(block) > self.tree.height(self.newest_final) {
                self.newest_final = block;
            }
        }
        Ok(())
    }

    fn view_change(&mut self, who: usize, view: u64, high_qc: &HighQc) -> Result<(), Broken> {
        let claim = match high_qc {
            HighQc::Base { digest, .. } if self.blocks.get(digest) == Some(&Tree::BASE) => Tree::BASE,
            HighQc::Base { .. } => return Err(Broken("R3: VIEW-CHANGE names another base")),
            HighQc::Qc(cert) if self.is_made_up(&cert.digest) => return Ok(()),
            HighQc::Qc(cert) => self.block((cert.rank(), cert.digest))?,
        };
        self.rules.may_view_change(&self.tree, &self.state, who, (view, claim))?;
        self.rules.view_change(&self.tree, &mut self.state, who, (view, claim));
        Ok(())
    }
}

fn kind_of(flags: Flags) -> Kind {
    if flags.contains(Flags::SUFFIX) {
        Kind::Suffix
    } else if flags.contains(Flags::CLOSING) {
        Kind::Closing
    } else if flags.contains(Flags::TERM_END) {
        Kind::TermEnd
    } else {
        Kind::Plain
    }
}
