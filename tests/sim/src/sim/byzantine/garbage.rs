//! Sends messages with impossible numbers, of other epochs, and with broken signatures; and bytes that were
//! damaged on the way, as far as they still decode.

use chain_core::codec;
use chain_core::crypto::Signature;
use chain_core::id::{Epoch, Height, ValidatorIx, View};
use consensus::message::{Message, Vote};

use super::{Hand, Liar, Spoken, honestly};
use crate::mutate::mutate;
use crate::sim::parcel::Parcel;

/// Messages of its own to make garbage of.
const KEPT: usize = 32;

#[derive(Debug, Default)]
pub(super) struct Garbage {
    kept: Vec<Message>,
}

fn number(hand: &mut Hand<'_>, around: u64) -> u64 {
    match hand.random.index(6) {
        0 => u64::MAX,
        1 => u64::MAX - 1,
        2 => 1 << 40,
        3 => 0,
        4 => around.wrapping_add(1),
        _ => around.wrapping_add(hand.random.between(1, 100)),
    }
}

impl Garbage {
    /// A valid message with one thing wrong. Its own signature fits again, now and then.
    fn spoil(hand: &mut Hand<'_>, message: &mut Message) {
        let sign_again = hand.random.chance(500);
        match message {
            Message::Vote(vote, executed) => {
                Self::spoil_vote(hand, vote);
                *executed = Height::new(number(hand, executed.get()));
                if sign_again {
                    vote.signature = hand.signer.sign(&vote.slot(hand.chain_id));
                }
            }
            Message::Propose(proposal) => {
                let header = &mut proposal.header;
                match hand.random.index(8) {
                    0 => header.height = Height::new(number(hand, header.height.get())),
                    1 => header.view = View::new(number(hand, header.view.get())),
                    2 => header.epoch = Epoch::new(header.epoch.get().wrapping_add(1)),
                    3 => header.time_ms = number(hand, header.time_ms),
                    4 => header.exec_height = Height::new(number(hand, header.exec_height.get())),
                    5 => header.n_batches = u32::MAX,
                    6 => proposal.advances.clear(),
                    _ => proposal.justification = None,
                }
                if sign_again {
                    proposal.signature = hand.signer.sign(&proposal.header.proposal());
                }
            }
            Message::ViewChange(view_change) => match hand.random.index(3) {
                0 => view_change.new_view = View::new(number(hand, view_change.new_view.get())),
                1 => view_change.epoch = Epoch::new(view_change.epoch.get().wrapping_add(1)),
                _ => view_change.entry = None,
            },
            Message::Status(status) => {
                status.epoch = Epoch::new(number(hand, status.epoch.get()));
                status.view = View::new(number(hand, status.view.get()));
            }
            Message::Certificate(cert) => {
                cert.height = Height::new(number(hand, cert.height.get()));
                cert.signatures.pop();
            }
            _ => {}
        }
    }

    fn spoil_vote(hand: &mut Hand<'_>, vote: &mut Vote) {
        match hand.random.index(5) {
            0 => vote.view = View::new(number(hand, vote.view.get())),
            1 => vote.height = Height::new(number(hand, vote.height.get())),
            2 => vote.epoch = Epoch::new(number(hand, vote.epoch.get())),
            3 => vote.signer = ValidatorIx::new(hand.random.pick(&[0, 1, 2, 3, 100, u16::MAX])),
            _ => vote.signature = Signature::ZERO,
        }
    }
}

impl Liar for Garbage {
    fn speak(&mut self, hand: &mut Hand<'_>, to: &[usize], parcel: &Parcel) -> Vec<Spoken> {
        if let Parcel::Message(message) = parcel
            && hand.random.chance(100)
        {
            let at = hand.random.index(KEPT);
            if self.kept.len() < KEPT {
                self.kept.push((**message).clone());
            } else {
                self.kept[at] = (**message).clone();
            }
        }
        honestly(to, parcel)
    }

    fn idle(&mut self, hand: &mut Hand<'_>) -> Vec<Spoken> {
        if self.kept.is_empty() {
            return Vec::new();
        }
        let others: Vec<usize> = hand.others().collect();
        let mut spoken = Vec::new();
        for _ in 0..hand.random.index(4) {
            let mut message = self.kept[hand.random.index(self.kept.len())].clone();
            if hand.random.chance(300) {
                let Ok(bytes) = codec::encode(&message) else { continue };
                let damaged = mutate(hand.random, &bytes, std::slice::from_ref(&bytes));
                // What does not decode goes no further than the door.
                let Ok(decoded) = codec::decode(&damaged) else { continue };
                message = decoded;
            } else {
                Self::spoil(hand, &mut message);
            }
            spoken.push(Spoken::now(hand.random.pick(&others), Parcel::Message(Box::new(message))));
        }
        spoken
    }
}
