//! The voting rules as they are written, without messages, keys, disks or time: what the engine is measured
//! against.
//!
//! [`tree::Tree`] holds the blocks of one epoch, [`State`] what each honest validator has said and remembers,
//! [`Rules`] the guards R1 to R5 and the invariants I1 to I6. A statement is never taken back, and the
//! signatures of the Byzantine are at hand for every block and every claim, always. So a certificate exists as
//! soon as enough honest validators voted for a block, whoever assembles it.
//!
//! It serves three ends: an exhaustive search of small cases, [`trace`] that holds every run of the simulator
//! against the rules, and random walks that must find a fork once a rule is lost ([`Rule`]).

pub mod trace;
pub mod tree;

use tree::{BlockId, Kind, Tree};

/// A rule that a test may lose, one at a time.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Rule {
    /// R1a, the first half: no PREPARE in a view that was left.
    LeftViewPrepare,
    /// R1a, the second half: PREPAREs ascend, so there is one a slot.
    OneVoteASlot,
    /// R1b: votes of a view form one chain.
    VoteChain,
    /// R1c: nothing follows the end of a term in its view.
    TermEndIsLast,
    /// R1c and M14: nothing but a Suffix follows a closing block in its epoch.
    ClosingIsLast,
    /// M14: a Suffix has a closing ancestor.
    SuffixHasClosing,
    /// R1d: a term ends with a block that says so.
    TermEndHasFlag,
    /// R1d and M17: the base of a view outranks every claim of its timeout certificate.
    BaseIsBest,
    /// R2: no COMMIT in a view that was left.
    LeftViewCommit,
    /// R2, as code that unlocks would have it: a COMMIT in a view that was left, once that view is seen to have
    /// committed more than was claimed.
    NoHealing,
    /// R2 and R5: a COMMIT raises `high_qc`, so that a later claim is not below it.
    ClaimsRemember,
}

/// What one honest validator remembers, and everything it ever said.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Replica {
    /// The newest PREPARE.
    pub last_prepare: Option<BlockId>,
    /// The highest certified block it is known to have seen.
    pub high_qc: BlockId,
    /// The highest view it asked for.
    pub vc_view: u64,
    /// Blocks it sent PREPARE for, ascending by id.
    pub prepared: Vec<BlockId>,
    /// Blocks it sent COMMIT for, ascending by id.
    pub committed: Vec<BlockId>,
    /// Views it sent VIEW-CHANGE for, ascending, each with the least it claimed there.
    pub claims: Vec<(u64, BlockId)>,
}

impl Replica {
    /// One that has said nothing.
    pub const fn new() -> Self {
        Self {
            last_prepare: None,
            high_qc: Tree::BASE,
            vc_view: 0,
            prepared: Vec::new(),
            committed: Vec::new(),
            claims: Vec::new(),
        }
    }

    /// The least it claimed in a VIEW-CHANGE for this view.
    pub fn claim(&self, view: u64) -> Option<BlockId> {
        self.claims.binary_search_by_key(&view, |(view, _)| *view).ok().map(|at| self.claims[at].1)
    }
}

impl Default for Replica {
    fn default() -> Self {
        Self::new()
    }
}

/// Adds to an ascending set.
fn put(set: &mut Vec<BlockId>, block: BlockId) {
    if let Err(at) = set.binary_search(&block) {
        set.insert(at, block);
    }
}

/// All honest validators of an epoch.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct State {
    /// Each of them.
    pub replicas: Vec<Replica>,
}

impl State {
    /// Nobody has said anything.
    pub fn new(honest: usize) -> Self {
        Self { replicas: vec![Replica::new(); honest] }
    }
}

/// Why an action is not allowed, or what does not hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct Broken(pub &'static str);

fn unless(holds: bool, rule: &'static str) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken(rule)) }
}

/// The size of the network, and which rule is lost.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Validators whose signatures are always at hand.
    pub byzantine: usize,
    /// Votes that make a certificate.
    pub quorum: usize,
    /// The rule taken away; a test's doing.
    pub lost: Option<Rule>,
}

impl Rules {
    /// `n` validators, as many of them Byzantine as the protocol bears, and the quorum ⌈(n+f+1)/2⌉.
    pub const fn of(n: usize) -> Self {
        let byzantine = (n - 1) / 3;
        Self { byzantine, quorum: (n + byzantine + 1).div_ceil(2), lost: None }
    }

    fn keeps(&self, rule: Rule) -> bool {
        self.lost != Some(rule)
    }

    fn enough(&self, honest: usize) -> bool {
        honest + self.byzantine >= self.quorum
    }

    /// Whether a PREPARE certificate of this block can exist. The base counts as certified.
    pub fn certified(&self, state: &State, block: BlockId) -> bool {
        let voted = |one: &&Replica| one.prepared.binary_search(&block).is_ok();
        block == Tree::BASE || self.enough(state.replicas.iter().filter(voted).count())
    }

    /// Whether a COMMIT certificate of this block can exist: R4 makes it and all its ancestors final.
    pub fn committed(&self, state: &State, block: BlockId) -> bool {
        let voted = |one: &&Replica| one.committed.binary_search(&block).is_ok();
        self.enough(state.replicas.iter().filter(voted).count())
    }

    /// R1d, the predicate J: why the first block of this block's view may stand where it does.
    pub fn justified(&self, tree: &Tree, state: &State, block: BlockId) -> bool {
        let view = tree.view(block);
        let base = tree.stand(block);
        if !self.certified(state, base) {
            return false;
        }
        if view == 0 {
            return base == Tree::BASE;
        }
        let flagged = tree.kind(base) == Kind::TermEnd || !self.keeps(Rule::TermEndHasFlag);
        if flagged && base != Tree::BASE && tree.view(base) == view - 1 {
            return true;
        }
        // A timeout certificate whose best claim is exactly this base: each honest claim in it ranks no
        // higher, and if none names the base itself, a Byzantine one does.
        let below = |one: &&Replica| {
            let claim = one.claim(view);
            claim.is_some_and(|it| tree.rank(it) <= tree.rank(base) || !self.keeps(Rule::BaseIsBest))
        };
        self.enough(state.replicas.iter().filter(below).count())
    }

    /// What V says of a block's place in its epoch (M14): ordinary blocks until one closes it, only Suffixes
    /// from then on.
    fn well_placed(&self, tree: &Tree, block: BlockId) -> bool {
        let closed = tree.closing(tree.parent(block)).is_some();
        match tree.kind(block) {
            Kind::Suffix => closed || !self.keeps(Rule::SuffixHasClosing),
            _ => !closed || !self.keeps(Rule::ClosingIsLast),
        }
    }

    /// R1: whether a validator may PREPARE a block.
    ///
    /// # Errors
    /// Names the rule that forbids it.
    pub fn may_prepare(&self, tree: &Tree, state: &State, who: usize, block: BlockId) -> Result<(), Broken> {
        let me = &state.replicas[who];
        let view = tree.view(block);
        unless(block != Tree::BASE, "V: the base is voted for by nobody")?;
        unless(
            me.vc_view <= view || !self.keeps(Rule::LeftViewPrepare),
            "R1a: PREPARE in a view that was left",
        )?;
        if let Some(last) = me.last_prepare {
            if self.keeps(Rule::OneVoteASlot) {
                unless(tree.rank(block) > tree.rank(last), "R1a: PREPARE not above the newest")?;
                let chained = tree.view(last) != view || tree.descends(block, last);
                unless(
                    chained || !self.keeps(Rule::VoteChain),
                    "R1b: PREPARE on another branch of the view",
                )?;
            } else {
                let again = me.prepared.binary_search(&block).is_ok();
                unless(!again && tree.view(last) <= view, "R1a: PREPARE not above the newest")?;
            }
        }
        unless(
            !tree.past_term_end(block) || !self.keeps(Rule::TermEndIsLast),
            "R1c: PREPARE above the end of a term",
        )?;
        unless(
            !tree.past_closing(block) || !self.keeps(Rule::ClosingIsLast),
            "R1c: PREPARE above a closing block in its view",
        )?;
        unless(self.justified(tree, state, block), "R1d: PREPARE in a view whose base is not justified")?;
        // V, for the block and for every ancestor that no quorum has checked (M1).
        let mut at = block;
        while at == block || !self.certified(state, at) {
            unless(
                self.well_placed(tree, at),
                "V: a Suffix without a closing ancestor, or another block above one",
            )?;
            at = tree.parent(at);
        }
        Ok(())
    }

    /// Says PREPARE.
    pub fn prepare(&self, state: &mut State, who: usize, block: BlockId) {
        let me = &mut state.replicas[who];
        me.last_prepare = Some(block);
        put(&mut me.prepared, block);
    }

    /// R2: whether a validator may COMMIT a block.
    ///
    /// # Errors
    /// Names the rule that forbids it.
    pub fn may_commit(&self, tree: &Tree, state: &State, who: usize, block: BlockId) -> Result<(), Broken> {
        let me = &state.replicas[who];
        unless(
            block != Tree::BASE && self.certified(state, block),
            "R2: COMMIT without a PREPARE certificate",
        )?;
        let open = me.vc_view <= tree.view(block) || !self.keeps(Rule::LeftViewCommit);
        unless(open || self.healed(tree, state, me, block), "R2: COMMIT in a view that was left")
    }

    /// The tempting mistake: the view went on without me, so I may as well help it.
    fn healed(&self, tree: &Tree, state: &State, me: &Replica, block: BlockId) -> bool {
        let view = tree.view(block);
        let left = me.claims.iter().find(|(asked, _)| *asked > view);
        !self.keeps(Rule::NoHealing)
            && left.is_some_and(|(_, claim)| {
                tree.ids().any(|one| {
                    tree.view(one) == view && tree.rank(one) > tree.rank(*claim) && self.committed(state, one)
                })
            })
    }

    /// Says COMMIT.
    pub fn commit(&self, tree: &Tree, state: &mut State, who: usize, block: BlockId) {
        let me = &mut state.replicas[who];
        if self.keeps(Rule::ClaimsRemember) && tree.rank(block) > tree.rank(me.high_qc) {
            me.high_qc = block;
        }
        put(&mut me.committed, block);
    }

    /// R3 and R5: whether a validator may VIEW-CHANGE to a view, having seen a certificate of `claim`, its
    /// highest. For the view it asked for last this is the same message again, with a claim that may have grown.
    ///
    /// # Errors
    /// Names the rule that forbids it.
    pub fn may_view_change(
        &self,
        tree: &Tree,
        state: &State,
        who: usize,
        (view, claim): (u64, BlockId),
    ) -> Result<(), Broken> {
        let me = &state.replicas[who];
        let again = view == me.vc_view && me.claim(view).is_some();
        unless(
            view > me.vc_view || again,
            "R3: VIEW-CHANGE to a view that is not above the last one asked for",
        )?;
        unless(self.certified(state, claim), "R3: VIEW-CHANGE claims what has no certificate")?;
        unless(
            tree.rank(claim) >= tree.rank(me.high_qc),
            "R5: VIEW-CHANGE claims less than was seen certified",
        )?;
        unless(
            claim == Tree::BASE || tree.view(claim) < view,
            "R3: VIEW-CHANGE to a view that is not above the certificate's",
        )
    }

    /// Says VIEW-CHANGE.
    pub fn view_change(&self, tree: &Tree, state: &mut State, who: usize, (view, claim): (u64, BlockId)) {
        let me = &mut state.replicas[who];
        me.vc_view = view;
        me.high_qc = claim;
        match me.claims.binary_search_by_key(&view, |(view, _)| *view) {
            Ok(at) if tree.rank(me.claims[at].1) > tree.rank(claim) => me.claims[at].1 = claim,
            Ok(_) => {}
            Err(at) => me.claims.insert(at, (view, claim)),
        }
    }

    /// Agreement: of two blocks with COMMIT certificates one is an ancestor of the other. And an epoch closes
    /// once: a final Suffix has a closing ancestor, all final blocks that have one have the same, and nothing
    /// but Suffixes is final above it.
    ///
    /// # Errors
    /// When it does not hold.
    pub fn agreement(&self, tree: &Tree, state: &State) -> Result<(), Broken> {
        let finals = self.finals(state);
        finals.iter().try_for_each(|a| finals.iter().try_for_each(|b| Self::agree(tree, *a, *b)))
    }

    /// Whether the second of two final blocks goes together with the first.
    ///
    /// # Errors
    /// When it does not.
    pub fn agree(tree: &Tree, one: BlockId, other: BlockId) -> Result<(), Broken> {
        Self::closes(tree, other)?;
        unless(tree.comparable(one, other), "agreement: two final blocks on two branches")?;
        let (Some(a), Some(b)) = (tree.closing(one), tree.closing(other)) else { return Ok(()) };
        unless(a == b, "epoch: two closing blocks are final")
    }

    /// What one final block says of its epoch's end: a Suffix has something to close, and nothing else stands
    /// above a closing block.
    fn closes(tree: &Tree, block: BlockId) -> Result<(), Broken> {
        let closed = tree.closing(tree.parent(block)).is_some();
        if tree.kind(block) == Kind::Suffix {
            unless(closed, "epoch: a final Suffix closes nothing")
        } else {
            unless(!closed, "epoch: another block than a Suffix is final above a closing one")
        }
    }

    /// Blocks with a COMMIT certificate.
    pub fn finals(&self, state: &State) -> Vec<BlockId> {
        let mut all: Vec<BlockId> =
            state.replicas.iter().flat_map(|one| one.committed.iter().copied()).collect();
        all.sort_unstable();
        all.dedup();
        all.retain(|one| self.committed(state, *one));
        all
    }

    /// The invariants of the proof. I1: PREPAREs of a view lie on one branch. I2: what was committed is certified.
    /// I3: no claim below an earlier COMMIT. I4: what is claimed is certified, in an earlier view. I5: what was
    /// prepared is justified. I6: nothing was prepared above the end of its view.
    ///
    /// # Errors
    /// Names the first that does not hold.
    pub fn invariants(&self, tree: &Tree, state: &State) -> Result<(), Broken> {
        for one in &state.replicas {
            for (at, a) in one.prepared.iter().enumerate() {
                let rival = |b: &BlockId| tree.view(*a) == tree.view(*b) && !tree.comparable(*a, *b);
                unless(
                    !one.prepared[at + 1..].iter().any(rival),
                    "I1: PREPAREs of one view on two branches",
                )?;
                unless(self.justified(tree, state, *a), "I5: a PREPARE that is not justified")?;
                unless(
                    !tree.past_term_end(*a) && !tree.past_closing(*a),
                    "I6: a PREPARE above the end of its view",
                )?;
            }
            for block in &one.committed {
                unless(self.certified(state, *block), "I2: a COMMIT without a certificate")?;
                let forgot = |(view, claim): &(u64, BlockId)| {
                    tree.view(*block) < *view && tree.rank(*block) > tree.rank(*claim)
                };
                unless(!one.claims.iter().any(forgot), "I3: a claim below a COMMIT")?;
            }
            for (view, claim) in &one.claims {
                let earlier = *claim == Tree::BASE || tree.view(*claim) < *view;
                unless(
                    earlier && self.certified(state, *claim),
                    "I4: a claim of what is not certified earlier",
                )?;
            }
        }
        Ok(())
    }
}
