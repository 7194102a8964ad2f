//! Who voted for what: bounded, verified lazily, one vote per validator and slot.

use std::collections::BTreeMap;

use chain_core::certificate::{Cert, Rank, VoteKind};
use chain_core::crypto::{Digest, Signature};
use chain_core::id::{Height, ValidatorIx, View};

use crate::message::Vote;
use crate::verified::{Judge, Verified};

/// Votes for one block, by signer.
#[derive(Debug, Default)]
struct Tally {
    votes: BTreeMap<ValidatorIx, (Signature, bool)>,
    certified: bool,
}

/// What a vote led to.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    /// A quorum was reached by this vote.
    pub(crate) certificate: Option<Verified<Cert>>,
    /// The signer voted for another block at the same view and height before; both votes verified.
    pub(crate) equivocation: bool,
}

/// All votes of the current window.
#[derive(Debug, Default)]
pub(crate) struct VoteBook {
    tallies: BTreeMap<(VoteKind, Rank, Digest), Tally>,
    /// The newest vote of each validator and kind, for the echo.
    newest: BTreeMap<(ValidatorIx, VoteKind), Vote>,
}

impl VoteBook {
    /// Counts a vote. `trusted` is this validator's own. The caller has checked window, view and signer.
    pub(crate) fn add(&mut self, vote: Vote, trusted: bool, judge: &Judge) -> Counted {
        let mut counted = Counted::default();
        let place = (vote.kind, vote.rank(), vote.digest);
        let known = |tally: &Tally| tally.certified || tally.votes.contains_key(&vote.signer);
        if self.tallies.get(&place).is_some_and(known) {
            return counted;
        }
        let mut verified = trusted;
        match self.other_votes(&vote)[..] {
            [] => {}
            // A second block in one slot: worth a check at once.
            [other] => {
                if !judge.vote(&vote) {
                    return counted;
                }
                verified = true;
                if judge.vote(&other) {
                    counted.equivocation = true;
                } else {
                    self.forget(&other);
                }
            }
            // Two prove what is to be proved; a liar may not fill the book with more.
            _ => return counted,
        }
        let tally = self.tallies.entry(place).or_default();
        tally.votes.insert(vote.signer, (vote.signature, verified));
        let quorum = judge.quorum();
        if tally.votes.len() >= quorum {
            let check = |signer, signature| judge.vote(&Vote { signer, signature, ..vote });
            tally.votes.retain(|signer, (signature, verified)| {
                *verified = *verified || check(*signer, *signature);
                *verified
            });
            if tally.votes.len() >= quorum {
                tally.certified = true;
                let votes = tally.votes.iter().map(|(signer, (signature, _))| (*signer, *signature));
                counted.certificate = Some(judge.cert_of_verified_votes(&vote, votes));
            }
        }
        counted
    }

    /// Keeps a vote for the echo if it is its signer's newest: also one that came too late to count, since a slow
    /// validator has no other. Who sent it must be the signer; whether it is genuine, the one it is echoed to checks.
    pub(crate) fn remember(&mut self, vote: Vote) {
        let newest = self.newest.entry((vote.signer, vote.kind)).or_insert(vote);
        if vote.rank() > newest.rank() {
            *newest = vote;
        }
    }

    /// Votes of the same signer and slot for other blocks.
    fn other_votes(&self, vote: &Vote) -> Vec<Vote> {
        let low = (vote.kind, vote.rank(), Digest::ZERO);
        let high = (vote.kind, vote.rank(), Digest::new([0xff; 32]));
        let others = self.tallies.range(low..=high).filter(|((.., digest), _)| *digest != vote.digest);
        others
            .filter_map(|((.., digest), tally)| {
                let (signature, _) = tally.votes.get(&vote.signer)?;
                Some(Vote { digest: *digest, signature: *signature, ..*vote })
            })
            .collect()
    }

    fn forget(&mut self, vote: &Vote) {
        let place = (vote.kind, vote.rank(), vote.digest);
        if let Some(tally) = self.tallies.get_mut(&place) {
            tally.votes.remove(&vote.signer);
            if tally.votes.is_empty() {
                self.tallies.remove(&place);
            }
        }
    }

    /// The newest vote of a validator.
    pub(crate) fn newest(&self, signer: ValidatorIx, kind: VoteKind) -> Option<Vote> {
        self.newest.get(&(signer, kind)).copied()
    }

    /// Validators that sent a PREPARE for a block, best witnesses of its data.
    pub(crate) fn voters(&self, rank: Rank, digest: Digest) -> Vec<ValidatorIx> {
        self.tallies
            .get(&(VoteKind::Prepare, rank, digest))
            .map(|tally| tally.votes.keys().copied().collect())
            .unwrap_or_default()
    }

    /// Forgets votes that can no longer matter: at or below the committed height.
    pub(crate) fn prune(&mut self, committed: Height, view: View) {
        self.tallies.retain(|(_, rank, _), _| rank.height > committed && rank.view.next() >= view);
    }

    /// Votes held: at most two of each validator for each slot of the windows.
    pub(crate) fn len(&self) -> usize {
        self.tallies.values().map(|tally| tally.votes.len()).sum()
    }
}
