//! What an operator may learn of how each validator takes part. Nothing here decides anything.
//!
//! PREPAREs are timed against each other: how long after the (f+1)-th vote for a block, so after at least one
//! honest one, a validator's own vote came in. A vote may come before its block, so slots are opened by votes;
//! those that only one validator votes for are few for each, and nothing is judged by them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chain_core::certificate::{Rank, VoteKind};
use chain_core::crypto::Digest;
use chain_core::id::{Height, ValidatorIx, View};

use super::Engine;
use crate::action::{Owed, Suspicion};
use crate::event::Now;
use crate::message::Vote;

/// A vote that comes this long after the (f+1)-th one counts as missed.
const MISSED_MS: u64 = 3_000;
/// After this long without a vote for a new block, votes are judged anew: what was late an hour ago says nothing.
const QUIET_MS: u64 = 10_000;
/// Most slots that one validator may have opened and f+1 have not voted in yet.
const OPENED_MAX: usize = 64;

/// How one validator takes part, as seen from here. All of it are hints.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Insight {
    /// Whether a connection to it stands.
    pub connected: bool,
    /// When it was last heard, in monotonic milliseconds.
    pub heard_ms: Option<u64>,
    /// Its committed height as it last said.
    pub committed: Height,
    /// Its executed height as it last said.
    pub executed: Height,
    /// Its view as it last said.
    pub view: View,
    /// When its newest vote for a block came in, in monotonic milliseconds.
    pub voted_ms: Option<u64>,
    /// How long after the (f+1)-th vote its votes come in, a moving average in milliseconds.
    pub lag_ms: Option<u64>,
    /// Blocks without its PREPARE, a moving average in thousandths; none before any was timed.
    pub missed: Option<u16>,
    /// The view it asks for, if that is above the present one.
    pub asks_for: Option<View>,
}

/// When and why this validator last gave a leader up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct GaveUp {
    /// The view given up.
    pub view: View,
    /// Its leader.
    pub leader: ValidatorIx,
    /// Why.
    pub why: Suspicion,
    /// When, in monotonic milliseconds.
    pub at_ms: u64,
}

/// The votes for one block.
#[derive(Debug)]
struct Timed {
    opened_by: ValidatorIx,
    /// When the (f+1)-th vote came.
    reference_ms: Option<u64>,
    seen: BTreeSet<ValidatorIx>,
}

/// What is remembered of one validator's votes.
#[derive(Clone, Copy, Debug, Default)]
struct Voter {
    voted_ms: Option<u64>,
    lag_ms: Option<u64>,
    missed: Option<u16>,
    /// Slots that it opened and f+1 have not voted in yet.
    opened: usize,
}

type Slot = (Rank, Digest);

/// When each validator's votes came in.
#[derive(Debug)]
pub(super) struct Pace {
    /// Votes of which at least one is honest: f+1.
    honest: usize,
    slots: BTreeMap<Slot, Timed>,
    /// When each slot was opened, in that order.
    order: VecDeque<(u64, Slot)>,
    /// When the newest one was.
    opened_ms: u64,
    voters: Vec<Voter>,
    pub(super) gave_up: Option<GaveUp>,
}

impl Pace {
    pub(super) fn new(n: usize, faults: usize) -> Self {
        let voters = vec![Voter::default(); n];
        Self {
            honest: faults + 1,
            slots: BTreeMap::new(),
            order: VecDeque::new(),
            opened_ms: 0,
            voters,
            gave_up: None,
        }
    }

    /// Times a vote.
    pub(super) fn note(&mut self, now_ms: u64, vote: &Vote) {
        self.close(now_ms);
        let Some(voter) = self.voters.get_mut(vote.signer.index()) else { return };
        voter.voted_ms = Some(now_ms);
        // COMMITs are not owed by one that learns first that the block is final.
        if vote.kind != VoteKind::Prepare {
            return;
        }
        let key = (vote.rank(), vote.digest);
        let slot = match self.slots.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(_) if voter.opened >= OPENED_MAX => return,
            Entry::Vacant(place) => {
                voter.opened += 1;
                if now_ms > self.opened_ms + QUIET_MS {
                    self.voters.iter_mut().for_each(|voter| (voter.lag_ms, voter.missed) = (None, None));
                }
                self.opened_ms = now_ms;
                self.order.push_back((now_ms, key));
                place.insert(Timed { opened_by: vote.signer, reference_ms: None, seen: BTreeSet::new() })
            }
        };
        // Votes are repeated; only the first one has a time.
        if !slot.seen.insert(vote.signer) {
            return;
        }
        let late = slot.reference_ms.map_or(0, |at| now_ms.saturating_sub(at));
        if slot.reference_ms.is_none() && slot.seen.len() >= self.honest {
            slot.reference_ms = Some(now_ms);
            let opener = slot.opened_by.index();
            self.voters[opener].opened -= 1;
        }
        let voter = &mut self.voters[vote.signer.index()];
        // From nothing on, so that one late vote is not yet a habit.
        voter.lag_ms = Some((voter.lag_ms.unwrap_or(0) * 7 + late) / 8);
    }

    /// A validator that connects anew is not judged by what it missed before.
    pub(super) fn forget(&mut self, ix: ValidatorIx) {
        if let Some(voter) = self.voters.get_mut(ix.index()) {
            (voter.lag_ms, voter.missed) = (None, None);
        }
    }

    /// Closes slots whose time is over: whoever has not voted there missed it.
    fn close(&mut self, now_ms: u64) {
        while let Some((_, key)) = self.order.front().copied().filter(|(at, _)| now_ms >= at + MISSED_MS) {
            let since = self.slots.get(&key).and_then(|slot| slot.reference_ms);
            if since.is_some_and(|at| now_ms < at + MISSED_MS) {
                return;
            }
            self.order.pop_front();
            let Some(slot) = self.slots.remove(&key) else { continue };
            if slot.reference_ms.is_none() {
                self.voters[slot.opened_by.index()].opened -= 1;
                continue;
            }
            for (at, voter) in (0..).zip(&mut self.voters) {
                let missed: u32 = if slot.seen.contains(&ValidatorIx::new(at)) { 0 } else { 1_000 };
                let known = u32::from(voter.missed.unwrap_or(0));
                voter.missed = u16::try_from((known * 7 + missed) / 8).ok();
            }
        }
    }
}

impl Engine {
    /// How a validator takes part; this one's own votes count from when they are durable.
    pub fn insight(&self, ix: ValidatorIx) -> Option<Insight> {
        let (peer, voter) = (self.peers.get(ix.index())?, self.pace.voters.get(ix.index())?);
        let own = Some(ix) == self.me;
        let asked = peer.view_change.as_ref().map(|one| one.new_view);
        Some(Insight {
            connected: own || peer.connected,
            heard_ms: peer.heard_ms,
            committed: if own { self.chain.committed().height } else { peer.committed },
            executed: if own { self.executed } else { peer.executed },
            view: if own { self.view } else { peer.view },
            voted_ms: voter.voted_ms,
            lag_ms: voter.lag_ms,
            missed: voter.missed,
            asks_for: asked.filter(|view| *view > self.view),
        })
    }

    /// When and why this validator last gave a leader up.
    pub fn gave_up(&self) -> Option<GaveUp> {
        self.pace.gave_up
    }

    /// When a block last became final here, or the engine started, in monotonic milliseconds.
    pub fn progressed_ms(&self) -> u64 {
        self.commit_ms
    }

    /// What has been owed to this validator for longest, and since when in monotonic milliseconds.
    pub fn waiting_for(&self, now: Now) -> Option<(Owed, u64)> {
        let due = self.owed_since(now).filter(|(at, _)| *at <= now.mono_ms);
        due.min_by_key(|(at, _)| *at).map(|(at, owed)| (owed, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chain_core::crypto::Signature;
    use chain_core::id::Epoch;

    fn vote(kind: VoteKind, height: u64, signer: u16) -> Vote {
        Vote {
            kind,
            epoch: Epoch::ZERO,
            view: View::ZERO,
            height: Height::new(height),
            digest: Digest::tagged(b"block", &[&height.to_be_bytes()]),
            signer: ValidatorIx::new(signer),
            signature: Signature::new([0; 64]),
        }
    }

    fn prepare(height: u64, signer: u16) -> Vote {
        vote(VoteKind::Prepare, height, signer)
    }

    #[test]
    fn a_vote_is_timed_against_the_second_of_four_and_only_once() {
        let mut pace = Pace::new(4, 1);
        pace.note(1_000, &prepare(1, 0));
        pace.note(1_010, &prepare(1, 1));
        pace.note(1_034, &prepare(1, 2));
        pace.note(1_410, &prepare(1, 3));
        pace.note(2_500, &prepare(1, 3));
        let lags = |pace: &Pace| pace.voters.iter().map(|voter| voter.lag_ms).collect::<Vec<_>>();
        assert_eq!(
            lags(&pace),
            [Some(0), Some(0), Some(3), Some(50)],
            "an eighth of what this vote was late"
        );
        assert_eq!(pace.voters[3].voted_ms, Some(2_500), "a repetition is still a sign of life");
        for height in 2..30 {
            let at = height * 1_000;
            for (signer, late) in [(3, 0), (1, 1), (0, 2), (2, 402)] {
                pace.note(at + late, &prepare(height, signer));
            }
        }
        assert!(pace.voters[2].lag_ms.is_some_and(|lag| (350..=401).contains(&lag)), "{:?}", lags(&pace));
        // After a quiet time, nobody is judged by what was before.
        pace.note(60_000, &prepare(99, 0));
        assert_eq!(lags(&pace), [Some(0), None, None, None]);
        assert_eq!(pace.voters[2].missed, None);
    }

    #[test]
    fn who_never_votes_has_missed_every_slot_and_commits_are_not_owed() {
        let mut pace = Pace::new(4, 1);
        for height in 1..=40 {
            for signer in 0..3 {
                pace.note(height * 100, &prepare(height, signer));
                pace.note(height * 100 + 50, &vote(VoteKind::Commit, height, signer.min(1)));
            }
        }
        pace.note(12_000, &prepare(99, 0));
        let missed: Vec<_> = pace.voters.iter().map(|voter| voter.missed).collect();
        assert_eq!(missed[..3], [Some(0); 3]);
        assert!(missed[3].is_some_and(|missed| missed > 950), "{missed:?}");
        assert_eq!((pace.voters[3].voted_ms, pace.voters[3].lag_ms), (None, None));
        pace.forget(ValidatorIx::new(3));
        assert_eq!(pace.voters[3].missed, None, "it is given a new start");
    }

    #[test]
    fn invented_blocks_and_floods_take_little_room_and_accuse_nobody() {
        let mut pace = Pace::new(4, 1);
        for height in 0..10_000 {
            pace.note(1_000, &prepare(height, 3));
        }
        assert_eq!((pace.slots.len(), pace.order.len()), (OPENED_MAX, OPENED_MAX));
        // Blocks of the others are timed all the same, and the flood is forgotten.
        for height in 20_000..20_100 {
            for signer in 0..3 {
                pace.note(height, &prepare(height, signer));
            }
        }
        pace.note(30_000, &prepare(1, 77));
        assert!(pace.slots.is_empty() && pace.order.is_empty());
        assert!(pace.voters.iter().all(|voter| voter.opened == 0));
        assert_eq!(pace.voters[0].missed, Some(0));
        assert!(pace.voters[3].missed.is_some_and(|missed| missed > 950));
    }
}
