//! As a leader, proposes blocks that break one rule each, well signed, and votes for them itself. Of its votes for
//! others' blocks some are not signed.

use std::collections::BTreeMap;

use chain_core::block::{Flags, Header, batches_root, lanes_root};
use chain_core::crypto::{Digest, Signature};
use chain_core::id::{Height, View};
use chain_core::lane::LaneAdvance;
use consensus::message::{Message, Proposal, Vote};

use super::{Hand, Liar, Spoken, honestly};
use crate::sim::parcel::Parcel;

/// Forgeries remembered before the oldest digests are forgotten.
const FORGED_MAX: usize = 4_096;
/// An hour.
const HOUR_MS: u64 = 3_600_000;

#[derive(Debug, Default)]
pub(super) struct Forge {
    /// Blocks of its engine, and what it showed in their place.
    forged: BTreeMap<Digest, Digest>,
    /// Whether it forges in this view: a leader that never made a sound block would soon lead nothing.
    view: Option<(View, bool)>,
}

/// One field that is not what the rules want.
fn spoil(header: &mut Header, advances: &mut [LaneAdvance], which: usize) {
    let other = Digest::tagged(b"forged", &[&header.height.get().to_be_bytes()]);
    match which {
        0 | 1 => header.exec_root = other,
        2 => (header.exec_height, header.exec_root) = (Height::new(header.height.get() - 1), other),
        3 => header.history_root = other,
        4 => header.time_ms += HOUR_MS,
        5 => header.time_ms -= HOUR_MS,
        6 => header.n_records += 1,
        7 => {
            header.flags = Flags::SEAL.with(Flags::CLOSING);
            header.next_validators_hash = other;
        }
        8 => header.validators_hash = other,
        _ => match advances.first_mut() {
            Some(advance) => {
                advance.tip = other;
                header.batches_root = batches_root([&other]);
                header.lanes_root = lanes_root(advances);
            }
            None => header.batches_root = other,
        },
    }
}

impl Forge {
    fn forge(&mut self, hand: &mut Hand<'_>, proposal: &Proposal) -> Option<Proposal> {
        let view = proposal.header.view;
        if self.view.is_none_or(|(known, _)| known != view) {
            self.view = Some((view, hand.random.chance(500)));
        }
        // One block in four of such a view, so that the forged ones stand at any place of it.
        let (_, forges) = self.view?;
        if !forges || !hand.random.chance(250) {
            return None;
        }
        let mut forged = proposal.clone();
        spoil(&mut forged.header, &mut forged.advances, hand.random.index(10));
        forged.signature = hand.signer.sign(&forged.header.proposal());
        if self.forged.len() > FORGED_MAX {
            self.forged.pop_first();
        }
        self.forged.insert(proposal.header.digest(), forged.header.digest());
        Some(forged)
    }
}

impl Liar for Forge {
    fn speak(&mut self, hand: &mut Hand<'_>, to: &[usize], parcel: &Parcel) -> Vec<Spoken> {
        let Parcel::Message(message) = parcel else { return honestly(to, parcel) };
        let instead = match &**message {
            Message::Propose(proposal) if proposal.header.proposer == hand.me => {
                self.forge(hand, proposal).map(|forged| Message::Propose(Box::new(forged)))
            }
            Message::Vote(vote, executed) => match self.forged.get(&vote.digest) {
                Some(digest) => {
                    let mut vote = Vote { digest: *digest, ..*vote };
                    vote.signature = hand.signer.sign(&vote.slot(hand.chain_id));
                    Some(Message::Vote(vote, *executed))
                }
                // In time and for the right block, but not signed: it must not count.
                None if hand.random.chance(60) => {
                    Some(Message::Vote(Vote { signature: Signature::ZERO, ..*vote }, *executed))
                }
                None => None,
            },
            _ => None,
        };
        match instead {
            Some(lie) => honestly(to, &Parcel::Message(Box::new(lie))),
            None => honestly(to, parcel),
        }
    }
}
