//! Proving what a validator may not do: two statements of one validator that contradict each other become
//! [`Evidence`] (docs/protocol.md, 9), and a lane that forked is left alone (M15).
//!
//! What each peer said within the windows is remembered, unverified: the channel proves who said it, and
//! signatures are checked when two statements collide. Nothing here changes what this validator votes for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chain_core::block::Header;
use chain_core::certificate::{Cert, Rank, VoteKind};
use chain_core::crypto::{Digest, Signature};
use chain_core::evidence::{Evidence, Offence, PATH_MAX, SignedHeader, SignedSlot};
use chain_core::id::{Height, ValidatorIx, View};
use chain_core::lane::SignedBatchHeader;

use super::Engine;
use crate::action::Action;
use crate::message::{Claim, EntryProof, Proposal, Vote};

/// Headers remembered beyond those of the tree and of the chain: a rival that lost still links votes.
const HEADERS_MAX: usize = 512;
/// Votes of one kind remembered of one validator: more than the windows of three views hold.
const VOTES_MAX: usize = 512;
/// VIEW-CHANGEs remembered of one validator.
const LEFT_MAX: usize = 4;
/// Offences told of one validator and epoch; more tell nothing new of it.
const OFFENCES_MAX: usize = 64;

/// What a vote says.
#[derive(Clone, Copy, Debug)]
struct Said {
    digest: Digest,
    signature: Signature,
}

/// What one validator said lately.
#[derive(Debug, Default)]
struct Statements {
    prepares: BTreeMap<Rank, Said>,
    commits: BTreeMap<Rank, Said>,
    /// Per view asked for, the lowest claim: an honest one may claim more when it repeats itself.
    left: BTreeMap<View, (Claim, Signature)>,
    told: usize,
}

impl Statements {
    fn votes(&mut self, kind: VoteKind) -> &mut BTreeMap<Rank, Said> {
        match kind {
            VoteKind::Prepare => &mut self.prepares,
            VoteKind::Commit => &mut self.commits,
        }
    }

    /// The vote below another one of the same view.
    fn below(&self, rank: Rank) -> Option<(Rank, Said)> {
        let first = Rank { view: rank.view, height: Height::ZERO };
        self.prepares.range(first..rank).next_back().map(|(rank, said)| (*rank, *said))
    }
}

/// Everything remembered in order to accuse.
#[derive(Debug, Default)]
pub(super) struct Accuser {
    /// By validator, as far as anybody was heard.
    peers: Vec<Statements>,
    /// PREPAREs of which it is not known yet whether they follow the one below.
    open: BTreeSet<(ValidatorIx, Rank)>,
    headers: BTreeMap<Digest, Header>,
    order: VecDeque<Digest>,
    told: BTreeSet<Offence>,
    frozen: BTreeSet<ValidatorIx>,
}

impl Accuser {
    /// What a member of the committee said.
    fn of(&mut self, signer: ValidatorIx) -> &mut Statements {
        if self.peers.len() <= signer.index() {
            self.peers.resize_with(signer.index() + 1, Statements::default);
        }
        &mut self.peers[signer.index()]
    }

    /// Votes and VIEW-CHANGEs remembered.
    pub(super) fn len(&self) -> usize {
        self.peers.iter().map(|one| one.prepares.len() + one.commits.len() + one.left.len()).sum()
    }
}

/// How two PREPAREs of one view stand to each other.
enum Link {
    /// The lower block is an ancestor of the upper one, or too far below it to show that it is not.
    Sound,
    /// It is not: the headers from the upper block down to the one above the lower height.
    Broken(Vec<Header>),
    /// A header is missing.
    Unknown,
}

impl Engine {
    /// A lane forked, as the ledger holds proven: it is not advanced, and nothing of it is owed, until the
    /// epoch ends.
    pub(super) fn on_lane_frozen(&mut self, author: ValidatorIx) {
        self.accuser.frozen.insert(author);
        if self.relayed.is_some_and(|(_, batch, _)| batch.author == author) {
            self.relayed = None;
        }
        if self.me == Some(author) {
            self.pushed_ms.clear();
        }
    }

    /// Whether the ledger holds proof that a lane forked in this epoch.
    pub fn lane_is_frozen(&self, author: ValidatorIx) -> bool {
        self.accuser.frozen.contains(&author)
    }

    /// Whether this validator's own lane is frozen.
    pub(super) fn own_lane_is_frozen(&self) -> bool {
        self.me.is_some_and(|me| self.lane_is_frozen(me))
    }

    /// Remembers a header whose signature or certificate verified.
    pub(super) fn remember_header(&mut self, digest: Digest, header: &Header) {
        if self.accuser.headers.insert(digest, header.clone()).is_none() {
            self.accuser.order.push_back(digest);
        }
        while self.accuser.order.len() > HEADERS_MAX {
            if let Some(oldest) = self.accuser.order.pop_front() {
                self.accuser.headers.remove(&oldest);
            }
        }
    }

    /// Compares a block, whose signature verified, with the ones held of its slot.
    pub(super) fn weigh_proposal(&mut self, proposal: &Proposal, out: &mut Vec<Action>) {
        let header = &proposal.header;
        let digest = header.digest();
        let rank = Rank { view: header.view, height: header.height };
        let rival = self.chain.in_slot(rank).find(|entry| entry.digest != digest);
        let Some(rival) = rival.map(|entry| &entry.proposal) else { return };
        let signed = |one: &Proposal| SignedHeader { header: one.header.clone(), signature: one.signature };
        let evidence =
            Evidence::Proposals { first: Box::new(signed(rival)), second: Box::new(signed(proposal)) };
        self.tell(evidence, out);
    }

    /// Compares a batch with the other one of its position.
    pub(super) fn weigh_batch(
        &mut self,
        first: SignedBatchHeader,
        second: SignedBatchHeader,
        out: &mut Vec<Action>,
    ) {
        self.tell(Evidence::Lane { first, second }, out);
    }

    /// Compares the votes of a certificate with what its signers said elsewhere.
    pub(super) fn weigh_certificate(&mut self, cert: &Cert, out: &mut Vec<Action>) {
        let signers: Vec<usize> = cert.signers().collect();
        for (signer, signature) in signers.into_iter().zip(&cert.signatures) {
            let Ok(signer) = u16::try_from(signer) else { return };
            let vote = Vote {
                kind: cert.kind,
                epoch: cert.epoch,
                view: cert.view,
                height: cert.height,
                digest: cert.digest,
                signer: ValidatorIx::new(signer),
                signature: *signature,
            };
            self.weigh_vote(&vote, out);
        }
    }

    /// Compares what a quorum claimed on leaving a view with what each of them had committed to.
    pub(super) fn weigh_entry(&mut self, proof: &EntryProof, out: &mut Vec<Action>) {
        if let EntryProof::Timeout(tc) = proof {
            for (signer, claim, signature) in &tc.claims {
                self.weigh_view_change(*signer, tc.new_view, *claim, *signature, out);
            }
        }
    }

    /// Votes that are remembered: as far around the committed block as votes may be, of the views around the
    /// present one.
    fn is_recent(&self, rank: Rank) -> bool {
        let window = 2 * self.params.window;
        rank.view <= self.view.next()
            && rank.view.next() >= self.view
            && rank.height.since(self.anchor()) <= window
            && self.chain.committed().height.since(rank.height) < window
    }

    /// Compares a vote with the others of its signer. Its sender, or a certificate, vouches for the signer.
    pub(super) fn weigh_vote(&mut self, vote: &Vote, out: &mut Vec<Action>) {
        let (signer, rank) = (vote.signer, vote.rank());
        if Some(signer) == self.me || !self.is_recent(rank) {
            return;
        }
        let said = Said { digest: vote.digest, signature: vote.signature };
        let statements = self.accuser.of(signer);
        match statements.votes(vote.kind).get(&rank).copied() {
            Some(held) if held.digest == vote.digest => return,
            Some(held) => {
                if self.is_forged(vote.kind, signer, rank, held) {
                    self.remember_vote(vote.kind, signer, rank, said);
                } else {
                    let evidence = Evidence::Votes {
                        kind: vote.kind,
                        epoch: vote.epoch,
                        signer,
                        first: slot(rank, held),
                        second: slot(rank, said),
                    };
                    self.tell(evidence, out);
                    return;
                }
            }
            None => self.remember_vote(vote.kind, signer, rank, said),
        }
        match vote.kind {
            VoteKind::Prepare => {
                // The one above followed another vote until now.
                let above = Rank { view: rank.view, height: Height::new(u64::MAX) };
                let statements = self.accuser.of(signer);
                let next = statements.prepares.range(rank..=above).nth(1).map(|(next, _)| *next);
                self.accuser.open.extend([Some(rank), next].into_iter().flatten().map(|one| (signer, one)));
                self.weigh_chain(signer, rank, out);
            }
            VoteKind::Commit => self.weigh_memory(signer, out),
        }
    }

    fn remember_vote(&mut self, kind: VoteKind, signer: ValidatorIx, rank: Rank, said: Said) {
        let votes = self.accuser.of(signer).votes(kind);
        votes.insert(rank, said);
        if votes.len() > VOTES_MAX {
            votes.pop_first();
        }
    }

    fn is_forged(&self, kind: VoteKind, signer: ValidatorIx, rank: Rank, said: Said) -> bool {
        let Said { digest, signature, .. } = said;
        let (view, height) = (rank.view, rank.height);
        !self.judge.vote(&Vote { kind, epoch: self.epoch(), view, height, digest, signer, signature })
    }

    /// R1b: the PREPARE of a rank follows the one below it in the same view.
    fn weigh_chain(&mut self, signer: ValidatorIx, rank: Rank, out: &mut Vec<Action>) {
        loop {
            let statements = self.accuser.peers.get(signer.index());
            let upper = statements.and_then(|one| one.prepares.get(&rank).copied());
            let (Some(statements), Some(upper)) = (statements, upper) else { break };
            let below = statements.below(rank);
            let link = below.map_or(Link::Sound, |lower| self.link(lower, (rank, upper)));
            match (link, below) {
                (Link::Unknown, _) => return,
                (Link::Broken(path), Some((under, lower))) => {
                    // Forged votes would hide the real ones between which they stand.
                    let forged = [(under, lower), (rank, upper)]
                        .into_iter()
                        .find(|(rank, said)| self.is_forged(VoteKind::Prepare, signer, *rank, *said));
                    if let (Some((rank, _)), Some(statements)) =
                        (forged, self.accuser.peers.get_mut(signer.index()))
                    {
                        statements.prepares.remove(&rank);
                        continue;
                    }
                    let (lower, upper) = (slot(under, lower), slot(rank, upper));
                    self.tell(Evidence::VoteChain { epoch: self.epoch(), signer, lower, upper, path }, out);
                }
                _ => {}
            }
            break;
        }
        self.accuser.open.remove(&(signer, rank));
    }

    fn link(&self, lower: (Rank, Said), upper: (Rank, Said)) -> Link {
        let (until, mut height) = (lower.0.height, upper.0.height);
        if height.since(until) > PATH_MAX as u64 {
            return Link::Sound;
        }
        let mut digest = upper.1.digest;
        let mut path = Vec::new();
        while height > until {
            let Some(header) = self.header_of(&digest, height) else { return Link::Unknown };
            // No block has this vote's rank: it can be neither linked nor held against anybody.
            if header.height != height {
                return Link::Sound;
            }
            digest = header.parent;
            path.push(header);
            let Some(next) = height.previous() else { return Link::Sound };
            height = next;
        }
        if digest == lower.1.digest { Link::Sound } else { Link::Broken(path.into_iter().cloned().collect()) }
    }

    fn header_of(&self, digest: &Digest, height: Height) -> Option<&Header> {
        let tree = self.chain.get(digest).map(crate::chain::Entry::header);
        tree.or_else(|| self.accuser.headers.get(digest))
            .or_else(|| self.chain.committed_header(height).filter(|header| header.digest() == *digest))
    }

    /// Compares a VIEW-CHANGE, whose signature verified, with the COMMITs of its signer.
    pub(super) fn weigh_view_change(
        &mut self,
        signer: ValidatorIx,
        new_view: View,
        claim: Claim,
        signature: Signature,
        out: &mut Vec<Action>,
    ) {
        if Some(signer) == self.me {
            return;
        }
        let left = &mut self.accuser.of(signer).left;
        let lowest = left.get(&new_view).is_none_or(|(held, _)| claim.rank() < held.rank());
        if !lowest {
            return;
        }
        left.insert(new_view, (claim, signature));
        while left.len() > LEFT_MAX {
            left.pop_first();
        }
        self.weigh_memory(signer, out);
    }

    /// R2 and R3: who leaves a view claims at least what it committed to below, before and after.
    fn weigh_memory(&mut self, signer: ValidatorIx, out: &mut Vec<Action>) {
        while let Some((evidence, rank, said)) = self.forgotten(signer) {
            if !self.is_forged(VoteKind::Commit, signer, rank, said) {
                return self.tell(evidence, out);
            }
            // A forged COMMIT would hide the real one below it.
            self.accuser.of(signer).commits.remove(&rank);
        }
    }

    /// A view that `signer` left claiming less than its highest COMMIT below, if there is one.
    fn forgotten(&self, signer: ValidatorIx) -> Option<(Evidence, Rank, Said)> {
        let statements = self.accuser.peers.get(signer.index())?;
        statements.left.iter().find_map(|(new_view, (claim, signature))| {
            let first = Rank { view: *new_view, height: Height::ZERO };
            let (rank, said) = statements.commits.range(..first).next_back()?;
            (claim.rank() < Some(*rank)).then(|| {
                let (epoch, commit) = (self.epoch(), slot(*rank, *said));
                let (new_view, claim, signature) = (*new_view, *claim, *signature);
                (Evidence::Amnesia { epoch, signer, commit, new_view, claim, signature }, *rank, *said)
            })
        })
    }

    /// Links votes whose blocks have come meanwhile.
    pub(super) fn review_statements(&mut self, out: &mut Vec<Action>) {
        for (signer, rank) in self.accuser.open.clone() {
            self.weigh_chain(signer, rank, out);
        }
    }

    /// Forgets what is out of the windows. There is a bound on each kind in between.
    pub(super) fn forget_statements(&mut self) {
        let mut accuser = std::mem::take(&mut self.accuser);
        for one in &mut accuser.peers {
            one.prepares.retain(|rank, _| self.is_recent(*rank));
            // The highest COMMIT is what a later VIEW-CHANGE must not forget.
            let highest = one.commits.keys().next_back().copied();
            one.commits.retain(|rank, _| Some(*rank) == highest || self.is_recent(*rank));
        }
        self.accuser = accuser;
    }

    /// Hands sound evidence to the owner, each offence once.
    fn tell(&mut self, evidence: Evidence, out: &mut Vec<Action>) {
        let offence = evidence.offence();
        if self.accuser.told.contains(&offence) || Some(offence.offender) == self.me {
            return;
        }
        let told = self.accuser.peers.get(offence.offender.index()).map_or(0, |one| one.told);
        if told >= OFFENCES_MAX || self.judge.evidence(&evidence).is_err() {
            return;
        }
        self.accuser.of(offence.offender).told += 1;
        self.accuser.told.insert(offence);
        out.push(Action::Evidence(Box::new(evidence)));
    }
}

fn slot(rank: Rank, said: Said) -> SignedSlot {
    SignedSlot { view: rank.view, height: rank.height, digest: said.digest, signature: said.signature }
}
