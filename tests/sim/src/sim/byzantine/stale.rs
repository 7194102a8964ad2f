//! Repeats messages of its own from long ago.

use std::collections::VecDeque;

use super::{Hand, Liar, Spoken, honestly};
use crate::sim::parcel::Parcel;

/// Messages remembered.
const KEPT: usize = 256;
/// One sent message in this many is remembered.
const KEPT_ONE_IN: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Stale {
    old: VecDeque<Parcel>,
}

impl Liar for Stale {
    fn speak(&mut self, hand: &mut Hand<'_>, to: &[usize], parcel: &Parcel) -> Vec<Spoken> {
        if hand.random.index(KEPT_ONE_IN) == 0 {
            if self.old.len() >= KEPT {
                let away = hand.random.index(KEPT);
                self.old.swap_remove_back(away);
            }
            self.old.push_back(parcel.clone());
        }
        honestly(to, parcel)
    }

    fn idle(&mut self, hand: &mut Hand<'_>) -> Vec<Spoken> {
        if self.old.is_empty() {
            return Vec::new();
        }
        let others: Vec<usize> = hand.others().collect();
        (0..hand.random.index(4))
            .map(|_| {
                let parcel = self.old[hand.random.index(self.old.len())].clone();
                Spoken::now(hand.random.pick(&others), parcel)
            })
            .collect()
    }
}
