//! Sends each proposal of its own just before the others lose patience: 0.9 of the shortest timeout.

use consensus::Params;
use consensus::message::Message;

use super::{Hand, Liar, Spoken};
use crate::sim::parcel::Parcel;

#[derive(Debug)]
pub(super) struct Slow;

impl Liar for Slow {
    fn speak(&mut self, hand: &mut Hand<'_>, to: &[usize], parcel: &Parcel) -> Vec<Spoken> {
        let own = matches!(parcel, Parcel::Message(message)
            if matches!(&**message, Message::Propose(proposal) if proposal.header.proposer == hand.me));
        let later_us = if own { Params::default().timeout_base_ms * 900 } else { 0 };
        to.iter().map(|to| Spoken { to: *to, parcel: parcel.clone(), later_us }).collect()
    }
}
