//! Keeps back its batches, its proposals or its votes, from some or from all, for a while at a time.

use consensus::message::Message;

use super::{Hand, Liar, Spoken, honestly};
use crate::sim::parcel::Parcel;

#[derive(Clone, Copy, Debug, Default)]
enum What {
    #[default]
    Batches,
    Proposals,
    Votes,
    Everything,
}

#[derive(Debug, Default)]
pub(super) struct Withhold {
    what: What,
    /// From how many of every four nodes.
    quarters: usize,
    until_us: u64,
}

impl Liar for Withhold {
    fn speak(&mut self, hand: &mut Hand<'_>, to: &[usize], parcel: &Parcel) -> Vec<Spoken> {
        if hand.now_us >= self.until_us {
            self.what = [What::Batches, What::Proposals, What::Votes, What::Everything][hand.random.index(4)];
            self.quarters = 1 + hand.random.index(4);
            self.until_us = hand.now_us + hand.random.between(1_000_000, 15_000_000);
        }
        let kept = match (self.what, parcel) {
            (What::Everything, _) | (What::Batches, Parcel::Batch(_)) => true,
            (What::Proposals, Parcel::Message(message)) => matches!(**message, Message::Propose(_)),
            (What::Votes, Parcel::Message(message)) => {
                matches!(**message, Message::Vote(..) | Message::ViewChange(_))
            }
            _ => false,
        };
        if !kept {
            return honestly(to, parcel);
        }
        let told: Vec<usize> =
            to.iter().copied().filter(|to| (to + hand.seat) % 4 >= self.quarters).collect();
        honestly(&told, parcel)
    }
}
