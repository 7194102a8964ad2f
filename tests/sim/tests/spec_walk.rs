//! The alarm test of the rules: an adversary that walks at random through what the rules allow finds a fork
//! once any rule is lost, and never while they all stand.
//!
//! The adversary decides who speaks when, makes blocks at will, and has the Byzantine signatures under all of
//! them (see [`consensus::spec`]).

use city_sim::sim::random::Random;
use consensus::spec::tree::{BlockId, Kind, Tree};
use consensus::spec::{Replica, Rule, Rules, State};

/// Views of a walk.
const VIEWS: u64 = 4;
/// Heights of a walk.
const HEIGHTS: u64 = 5;
/// Statements tried in a walk.
const STEPS: usize = 220;

struct Walk {
    rules: Rules,
    /// Messages leave before what they rest on is durable, and a crash forgets it.
    forgetful: bool,
    random: Random,
    tree: Tree,
    state: State,
    /// What each validator's disk holds when it is one statement behind.
    behind: Vec<Replica>,
}

impl Walk {
    fn new(rules: Rules, forgetful: bool, n: usize, seed: u64) -> Self {
        let state = State::new(n - rules.byzantine);
        let behind = state.replicas.clone();
        Self { rules, forgetful, random: Random::new(seed), tree: Tree::new(0), state, behind }
    }

    fn up_to(&mut self, last: u64) -> u64 {
        self.random.between(0, last)
    }

    /// Any block, the newer half more often.
    fn some_block(&mut self) -> Option<BlockId> {
        let len = self.tree.len();
        let from = if self.random.chance(500) { len / 2 } else { 0 };
        let at = from + self.random.index(len - from + 1);
        self.tree.ids().nth(at).filter(|block| *block != Tree::BASE)
    }

    fn some_certified(&mut self) -> BlockId {
        let all: Vec<BlockId> =
            self.tree.ids().filter(|block| self.rules.certified(&self.state, *block)).collect();
        all[self.random.index(all.len())]
    }

    /// A leader makes a block: anywhere in its view, or on anything certified.
    fn grow(&mut self) {
        for _ in 0..4 {
            let parent = self.some_block().unwrap_or(Tree::BASE);
            let from = self.tree.view(parent);
            let view = from + self.up_to(VIEWS - 1 - from);
            let same = parent != Tree::BASE && view == from;
            if self.tree.height(parent) == HEIGHTS || !(same || self.rules.certified(&self.state, parent)) {
                continue;
            }
            let closed = self.tree.closing(parent).is_some();
            let kind = match self.random.index(10) {
                0..3 => Kind::TermEnd,
                3 => Kind::Closing,
                4 => Kind::Suffix,
                _ if closed => Kind::Suffix,
                _ => Kind::Plain,
            };
            self.tree.add(parent, view, kind);
            return;
        }
    }

    fn step(&mut self) {
        let who = self.random.index(self.state.replicas.len());
        let before = self.state.replicas[who].clone();
        match self.random.index(100) {
            0..55 => {
                if self.tree.is_empty() || self.random.chance(350) {
                    self.grow();
                }
                if let Some(block) = self.some_block()
                    && self.rules.may_prepare(&self.tree, &self.state, who, block).is_ok()
                {
                    self.rules.prepare(&mut self.state, who, block);
                }
            }
            55..82 => {
                let block = self.some_certified();
                if self.rules.may_commit(&self.tree, &self.state, who, block).is_ok() {
                    self.rules.commit(&self.tree, &mut self.state, who, block);
                }
            }
            82..97 => {
                let asked = (1 + self.up_to(VIEWS - 2), self.some_certified());
                if self.rules.may_view_change(&self.tree, &self.state, who, asked).is_ok() {
                    self.rules.view_change(&self.tree, &mut self.state, who, asked);
                }
            }
            _ if self.forgetful => {
                let disk = self.behind[who].clone();
                let one = &mut self.state.replicas[who];
                (one.last_prepare, one.high_qc, one.vc_view) =
                    (disk.last_prepare, disk.high_qc, disk.vc_view);
                return;
            }
            _ => return,
        }
        if before != self.state.replicas[who] {
            self.behind[who] = before;
        }
    }
}

/// Walks until one goes wrong; the count and what was wrong. With all rules, invariants are checked too.
fn walk(n: usize, rules: Rules, forgetful: bool, walks: u64) -> Option<(u64, &'static str)> {
    (0..walks).find_map(|seed| {
        let mut walk = Walk::new(rules, forgetful, n, seed);
        (0..STEPS).for_each(|_| walk.step());
        let mut judged = rules.agreement(&walk.tree, &walk.state);
        if rules.lost.is_none() && !forgetful && rules.quorum == Rules::of(n).quorum {
            judged = judged.and_then(|()| rules.invariants(&walk.tree, &walk.state));
        }
        judged.err().map(|broken| (seed + 1, broken.0))
    })
}

#[test]
fn the_rules_never_fork() {
    for n in 4..=8 {
        assert_eq!(walk(n, Rules::of(n), false, 20_000), None, "n={n}");
    }
}

/// Walks that find what a lost rule allows.
const BUDGET: u64 = 60_000;

#[test]
fn every_lost_rule_forks() {
    for lost in [
        Rule::OneVoteASlot,
        Rule::VoteChain,
        Rule::TermEndIsLast,
        Rule::ClosingIsLast,
        Rule::SuffixHasClosing,
        Rule::TermEndHasFlag,
        Rule::BaseIsBest,
        Rule::LeftViewCommit,
        Rule::NoHealing,
        Rule::ClaimsRemember,
    ] {
        let rules = Rules { lost: Some(lost), ..Rules::of(4) };
        let (walks, what) = walk(4, rules, false, BUDGET).unwrap_or_else(|| panic!("{lost:?} never forks"));
        println!("{lost:?}: walk {walks}, {what}");
    }
}

#[test]
fn speaking_before_the_write_forks() {
    let (walks, what) =
        walk(4, Rules::of(4), true, BUDGET).expect("a crash between message and write does harm");
    println!("send before durable: walk {walks}, {what}");
}

#[test]
fn a_quorum_that_is_too_small_forks() {
    // Sawtooth's 2f+1 for n that is not 3f+1, and Iroha's ⌊(2n+1)/3⌋.
    for (n, quorum) in [(5, 3), (6, 3), (8, 5)] {
        let rules = Rules { quorum, ..Rules::of(n) };
        assert!(quorum < Rules::of(n).quorum, "n={n}");
        let (walks, what) =
            walk(n, rules, false, BUDGET).unwrap_or_else(|| panic!("q={quorum} at n={n} never forks"));
        println!("quorum {quorum} of {n}: walk {walks}, {what}");
    }
}

/// R1a's half that says so keeps a validator from useless work, not from harm: its COMMITs are what counts.
#[test]
fn a_prepare_in_a_view_that_was_left_harms_nobody() {
    let rules = Rules { lost: Some(Rule::LeftViewPrepare), ..Rules::of(4) };
    assert_eq!(walk(4, rules, false, 4_000), None);
}
