//! Every behaviour of a small network, one by one: four validators of which one is Byzantine, few views and
//! heights, two blocks a slot. Agreement, the invariants and one closing block hold in each, and what the
//! protocol is for happens in some.
//!
//! The states are what has been said. Three ways through them, each the more reduced:
//! * as written: PREPARE, COMMIT and VIEW-CHANGE one at a time, each whenever its guard allows.
//! * COMMITs folded: a COMMIT binds its sender only at its next VIEW-CHANGE, where it may not claim less, and it
//!   helps nobody but finality. So before a VIEW-CHANGE its sender commits to all that its claim covers, and a
//!   state is judged as if everybody now committed to everything it may. More COMMITs can only show more.
//! * view by view: whatever can be said can be said in the order of views, and in one view VIEW-CHANGEs first,
//!   PREPAREs by height, COMMITs last: each guard then sees at least what it saw, because what lets a
//!   statement of view v pass is of lower views or of VIEW-CHANGE(v), and what forbids it is its sender's own
//!   of a later place in that order. A PREPARE without a certificate binds only its sender, so blocks are
//!   voted for by a bare quorum, at once.
//!
//! A test compares the second and the third: both reach the same final chains.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::collections::BTreeSet;
use std::sync::Mutex;

use consensus::spec::tree::{BlockId, Kind, Tree};
use consensus::spec::{Rule, Rules, State};
use stateright::{Checker, HasDiscoveries, Model, Property, Representative};

/// Honest validators.
const HONEST: usize = 3;

/// What was said; honest validators are all alike.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Said(State);

impl Representative for Said {
    fn representative(&self) -> Self {
        let mut state = self.0.clone();
        state.replicas.sort_unstable();
        Self(state)
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Act {
    Prepare(usize, BlockId),
    /// All but one PREPARE.
    Certify(usize, BlockId),
    Commit(usize, BlockId),
    ViewChange(usize, u64, BlockId),
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Steps {
    AsWritten,
    CommitsFolded,
    ViewByView,
}

/// A final chain, whoever made its blocks: view, height and kind of each, from the top down.
type Chain = Vec<(u64, u64, Kind)>;

struct Small {
    rules: Rules,
    steps: Steps,
    views: u64,
    heights: u64,
    /// Every block there can be.
    tree: Tree,
    /// The block that differs in nothing but its name and must be used first.
    twin: Vec<Option<BlockId>>,
    finals: Mutex<BTreeSet<Chain>>,
}

impl Small {
    fn new(steps: Steps, views: u64, heights: u64, lost: Option<Rule>) -> Self {
        let rules = Rules { lost, ..Rules::of(4) };
        let mut tree = Tree::new(0);
        let mut twin = vec![None];
        let mut layer = vec![Tree::BASE];
        for height in 1..=heights {
            let mut next = Vec::new();
            for parent in layer {
                for view in tree.view(parent)..views {
                    for kind in [Kind::Plain, Kind::TermEnd, Kind::Closing, Kind::Suffix] {
                        // Nothing stands on the topmost, so ending a view or an epoch there means nothing.
                        if height == heights && matches!(kind, Kind::TermEnd | Kind::Closing) {
                            continue;
                        }
                        let first = tree.add(parent, view, kind).unwrap();
                        twin.push(None);
                        next.push(first);
                        next.push(tree.add(parent, view, kind).unwrap());
                        twin.push(Some(first));
                    }
                }
            }
            layer = next;
        }
        Self { rules, steps, views, heights, tree, twin, finals: Mutex::default() }
    }

    fn slot(&self, block: BlockId) -> usize {
        usize::try_from(self.tree.view(block) * self.heights + self.tree.height(block) - 1).unwrap()
    }

    /// Blocks that exist so far, since somebody honest prepared them or one above, and how many in each slot.
    fn used(&self, state: &State) -> (Vec<bool>, Vec<usize>) {
        let mut used = vec![false; self.tree.len() + 1];
        let mut slots = vec![0; usize::try_from(self.views * self.heights).unwrap()];
        for block in state.replicas.iter().flat_map(|one| &one.prepared) {
            let mut at = *block;
            while at != Tree::BASE && !used[at.index()] {
                used[at.index()] = true;
                slots[self.slot(at)] += 1;
                at = self.tree.parent(at);
            }
        }
        (used, slots)
    }

    /// Whether a block exists or still may: two a slot, and of two alike the first one first.
    fn has_room(&self, (used, slots): &(Vec<bool>, Vec<usize>), block: BlockId) -> bool {
        let mut at = block;
        while at != Tree::BASE && !used[at.index()] {
            if slots[self.slot(at)] == 2 || self.twin[at.index()].is_some_and(|twin| !used[twin.index()]) {
                return false;
            }
            at = self.tree.parent(at);
        }
        true
    }

    fn certified(&self, state: &State) -> Vec<BlockId> {
        self.tree.ids().filter(|block| self.rules.certified(state, *block)).collect()
    }

    fn commit_all(&self, state: &mut State, who: usize, blocks: &[BlockId]) {
        for block in blocks {
            if self.rules.may_commit(&self.tree, state, who, *block).is_ok() {
                self.rules.commit(&self.tree, state, who, *block);
            }
        }
    }

    /// The state that is judged.
    fn outcome(&self, said: &Said) -> State {
        let mut state = said.0.clone();
        if self.steps > Steps::AsWritten {
            let certified = self.certified(&state);
            (0..HONEST).for_each(|who| self.commit_all(&mut state, who, &certified));
        }
        state
    }

    fn some_final(&self, said: &Said, of: impl Fn(BlockId) -> bool) -> bool {
        self.rules.finals(&self.outcome(said)).into_iter().any(of)
    }

    /// Votes in the order of views, when that is the way.
    fn in_turn(&self, state: &State, view: u64, height: u64) -> bool {
        let voted = state.replicas.iter().filter_map(|one| one.last_prepare);
        self.steps < Steps::ViewByView
            || (voted.filter_map(|block| self.tree.rank(block)).all(|rank| rank <= (view, height))
                && state.replicas.iter().all(|one| one.vc_view <= view))
    }

    fn prepares(&self, state: &State, actions: &mut Vec<Act>) {
        let used = self.used(state);
        for block in self.tree.ids().skip(1) {
            let may = |who| self.rules.may_prepare(&self.tree, state, who, block).is_ok();
            if !self.in_turn(state, self.tree.view(block), self.tree.height(block))
                || !self.has_room(&used, block)
            {
                continue;
            }
            if self.steps < Steps::ViewByView {
                let who = (0..HONEST).filter(|who| may(*who));
                actions.extend(who.map(|who| Act::Prepare(who, block)));
            } else if !self.rules.certified(state, block) {
                let out = (0..HONEST).filter(|out| (0..HONEST).all(|who| who == *out || may(who)));
                actions.extend(out.map(|out| Act::Certify(out, block)));
            }
        }
    }
}

impl Model for Small {
    type State = Said;
    type Action = Act;

    fn init_states(&self) -> Vec<Said> {
        vec![Said(State::new(HONEST))]
    }

    fn actions(&self, said: &Said, actions: &mut Vec<Act>) {
        let state = &said.0;
        self.prepares(state, actions);
        let certified = self.certified(state);
        for who in 0..HONEST {
            for block in &certified {
                let fresh = state.replicas[who].committed.binary_search(block).is_err();
                if self.steps == Steps::AsWritten
                    && fresh
                    && self.rules.may_commit(&self.tree, state, who, *block).is_ok()
                {
                    actions.push(Act::Commit(who, *block));
                }
                for view in state.replicas[who].vc_view + 1..self.views {
                    let asked = (view, *block);
                    if self.in_turn(state, view, 0)
                        && self.rules.may_view_change(&self.tree, state, who, asked).is_ok()
                    {
                        actions.push(Act::ViewChange(who, view, *block));
                    }
                }
            }
        }
    }

    fn next_state(&self, said: &Said, action: Act) -> Option<Said> {
        let mut state = said.0.clone();
        match action {
            Act::Prepare(who, block) => self.rules.prepare(&mut state, who, block),
            Act::Certify(out, block) => (0..HONEST)
                .filter(|who| *who != out)
                .for_each(|who| self.rules.prepare(&mut state, who, block)),
            Act::Commit(who, block) => self.rules.commit(&self.tree, &mut state, who, block),
            Act::ViewChange(who, view, claim) => {
                if self.steps > Steps::AsWritten {
                    let mut covered = self.certified(&state);
                    covered.retain(|block| self.tree.rank(*block) <= self.tree.rank(claim));
                    self.commit_all(&mut state, who, &covered);
                }
                self.rules.view_change(&self.tree, &mut state, who, (view, claim));
            }
        }
        Some(Said(state))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("agreement", |model: &Self, said: &Said| {
                let state = model.outcome(said);
                let mut finals = model.rules.finals(&state);
                finals.sort_by_key(|block| std::cmp::Reverse(model.tree.height(*block)));
                let tree = &model.tree;
                let chain = finals.iter().map(|one| (tree.view(*one), tree.height(*one), tree.kind(*one)));
                model.finals.lock().unwrap().insert(chain.collect());
                model.rules.agreement(tree, &state).is_ok()
                    && (model.rules.lost.is_some() || model.rules.invariants(tree, &state).is_ok())
            }),
            Property::sometimes("a commit in the last view", |model: &Self, said: &Said| {
                model.some_final(said, |block| model.tree.view(block) + 1 == model.views)
            }),
            Property::sometimes("a commit above the end of a term", |model: &Self, said: &Said| {
                model.some_final(said, |block| model.tree.kind(model.tree.stand(block)) == Kind::TermEnd)
            }),
            Property::sometimes("a commit above a timeout certificate", |model: &Self, said: &Said| {
                model.some_final(said, |block| {
                    model.tree.view(block) > 0 && model.tree.kind(model.tree.stand(block)) != Kind::TermEnd
                })
            }),
            Property::sometimes("a closing block final by itself", |model: &Self, said: &Said| {
                model.some_final(said, |block| model.tree.kind(block) == Kind::Closing)
            }),
            Property::sometimes("a closing block final by a Suffix", |model: &Self, said: &Said| {
                let finals = model.rules.finals(&model.outcome(said));
                finals.iter().any(|block| model.tree.kind(*block) == Kind::Suffix)
                    && finals.iter().all(|block| model.tree.kind(*block) != Kind::Closing)
            }),
        ]
    }
}

/// Explores everything; the states, and the final chains seen.
fn explore(steps: Steps, views: u64, heights: u64, never: &[&str]) -> (usize, BTreeSet<Chain>) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let checker =
        Small::new(steps, views, heights, None).checker().threads(threads).symmetry().spawn_dfs().join();
    let found = checker.discoveries();
    for property in checker.model().properties() {
        let want = property.name != "agreement" && !never.contains(&property.name);
        assert_eq!(found.contains_key(property.name), want, "{steps:?} {views} {heights}: {}", property.name);
    }
    println!("{steps:?}, {views} views, {heights} heights: {} states", checker.unique_state_count());
    let finals = checker.model().finals.lock().unwrap().clone();
    (checker.unique_state_count(), finals)
}

/// What needs two heights.
const HIGH: [&str; 3] = [
    "a commit above the end of a term",
    "a closing block final by itself",
    "a closing block final by a Suffix",
];

#[test]
fn every_behaviour_of_three_views_at_one_height() {
    let (states, _) = explore(Steps::AsWritten, 3, 1, &HIGH);
    assert!(states > 100_000, "{states}");
}

#[test]
fn every_behaviour_of_two_views_and_two_heights_and_its_reduction() {
    let (states, finals) = explore(Steps::CommitsFolded, 2, 2, &[]);
    assert!(states > 100_000, "{states}");
    let (_, reduced) = explore(Steps::ViewByView, 2, 2, &[]);
    assert_eq!(finals, reduced);
    let (_, finals) = explore(Steps::CommitsFolded, 3, 1, &HIGH);
    let (_, reduced) = explore(Steps::ViewByView, 3, 1, &HIGH);
    assert_eq!(finals, reduced);
}

#[test]
fn every_behaviour_of_three_views_and_two_heights_view_by_view() {
    let (states, _) = explore(Steps::ViewByView, 3, 2, &[]);
    assert!(states > 100_000, "{states}");
}

/// The search is not blind: with a rule lost, it finds the fork.
#[test]
fn a_lost_rule_is_found() {
    for (lost, views, heights) in [
        (Rule::OneVoteASlot, 1, 1),
        (Rule::VoteChain, 1, 2),
        (Rule::BaseIsBest, 2, 1),
        (Rule::LeftViewCommit, 2, 1),
        (Rule::ClaimsRemember, 2, 1),
        (Rule::SuffixHasClosing, 1, 1),
        (Rule::ClosingIsLast, 1, 2),
    ] {
        let checker = Small::new(Steps::AsWritten, views, heights, Some(lost))
            .checker()
            .symmetry()
            .finish_when(HasDiscoveries::AnyFailures)
            .spawn_dfs()
            .join();
        let found = checker.discovery("agreement").unwrap_or_else(|| panic!("{lost:?} went unnoticed"));
        println!("{lost:?}: a fork after {} statements", found.into_actions().len());
    }
}
