//! Speaks to exactly as many as make a quorum with itself, and to nobody else; whom changes now and then.

use super::{Hand, Liar, Spoken, honestly};
use crate::sim::parcel::Parcel;

#[derive(Debug, Default)]
pub(super) struct Select {
    chosen: Vec<usize>,
    until_us: u64,
}

impl Liar for Select {
    fn speak(&mut self, hand: &mut Hand<'_>, to: &[usize], parcel: &Parcel) -> Vec<Spoken> {
        if hand.now_us >= self.until_us {
            self.until_us = hand.now_us + hand.random.between(500_000, 20_000_000);
            self.chosen = hand.others().collect();
            while self.chosen.len() + 1 > hand.quorum {
                let away = hand.random.index(self.chosen.len());
                self.chosen.swap_remove(away);
            }
        }
        let told: Vec<usize> = to.iter().copied().filter(|to| self.chosen.contains(to)).collect();
        honestly(&told, parcel)
    }
}
