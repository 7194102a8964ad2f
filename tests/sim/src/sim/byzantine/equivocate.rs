//! Shows half of the others another block, another vote and another batch for the same place.

use std::collections::BTreeMap;

use chain_core::crypto::Digest;
use consensus::message::{Message, Vote};

use super::{Hand, Liar, Spoken, honestly};
use crate::sim::parcel::Parcel;

/// Twins remembered before the oldest digests are forgotten.
const TWINS_MAX: usize = 4_096;

#[derive(Debug, Default)]
pub(super) struct Equivocate {
    /// Blocks of its own and the twins it showed to others.
    twins: BTreeMap<Digest, Digest>,
}

impl Equivocate {
    fn twin(&mut self, hand: &mut Hand<'_>, parcel: &Parcel) -> Option<Parcel> {
        if self.twins.len() > TWINS_MAX {
            self.twins.pop_first();
        }
        match parcel {
            Parcel::Message(message) => {
                let twin = match &**message {
                    Message::Propose(proposal) if proposal.header.proposer == hand.me => {
                        let mut twin = (**proposal).clone();
                        twin.header.time_ms += 1;
                        twin.signature = hand.signer.sign(&twin.header.proposal());
                        self.twins.insert(proposal.header.digest(), twin.header.digest());
                        Message::Propose(Box::new(twin))
                    }
                    Message::Vote(vote, executed) => {
                        let digest = *self.twins.get(&vote.digest)?;
                        let mut vote = Vote { digest, ..*vote };
                        vote.signature = hand.signer.sign(&vote.slot(hand.chain_id));
                        Message::Vote(vote, *executed)
                    }
                    _ => return None,
                };
                Some(Parcel::Message(Box::new(twin)))
            }
            // One batch in four has a twin, so that its lane is good for something, too.
            Parcel::Batch(batch) if batch.header.author == hand.me && batch.header.seq % 4 == 3 => {
                let mut twin = batch.clone();
                twin.header.time_ms += 1;
                twin.signature = hand.signer.sign(&twin.header);
                Some(Parcel::Batch(twin))
            }
            Parcel::Batch(_) | Parcel::GetBatches { .. } => None,
        }
    }
}

impl Liar for Equivocate {
    fn speak(&mut self, hand: &mut Hand<'_>, to: &[usize], parcel: &Parcel) -> Vec<Spoken> {
        let Some(twin) = self.twin(hand, parcel) else { return honestly(to, parcel) };
        let other_half = |to: usize| (to + hand.seats - hand.seat) % hand.seats > hand.seats / 2;
        to.iter()
            .map(|to| Spoken::now(*to, if other_half(*to) { twin.clone() } else { parcel.clone() }))
            .collect()
    }
}
