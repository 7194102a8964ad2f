//! Claims heights, executions, views and batches that it does not have, and certificates' ranks that do not
//! exist.

use chain_core::certificate::Rank;
use chain_core::id::{Height, View};
use consensus::message::Message;

use super::{Hand, Liar, Spoken};
use crate::sim::parcel::Parcel;

#[derive(Debug)]
pub(super) struct Claims;

/// A number that is too high by a little or by a lot, or too low.
fn inflate(hand: &mut Hand<'_>, true_value: u64) -> u64 {
    match hand.random.index(5) {
        0 => true_value.saturating_add(hand.random.between(1, 70)),
        1 => true_value.saturating_add(1 << 40),
        2 => u64::MAX,
        3 => true_value / 2,
        _ => true_value,
    }
}

impl Liar for Claims {
    fn speak(&mut self, hand: &mut Hand<'_>, to: &[usize], parcel: &Parcel) -> Vec<Spoken> {
        to.iter()
            .map(|to| {
                let mut parcel = parcel.clone();
                if let Parcel::Message(message) = &mut parcel {
                    match &mut **message {
                        Message::Status(status) => {
                            status.committed = Height::new(inflate(hand, status.committed.get()));
                            status.executed = Height::new(inflate(hand, status.executed.get()));
                            status.view = View::new(inflate(hand, status.view.get()));
                            let high =
                                status.high_qc.unwrap_or(Rank { view: View::ZERO, height: Height::ZERO });
                            status.high_qc = Some(Rank {
                                view: View::new(inflate(hand, high.view.get())),
                                height: Height::new(inflate(hand, high.height.get())),
                            });
                        }
                        Message::Executed(height) | Message::Vote(_, height) => {
                            *height = Height::new(inflate(hand, height.get()));
                        }
                        Message::Have { lanes } => {
                            for (_, first_missing) in lanes {
                                *first_missing = inflate(hand, *first_missing);
                            }
                        }
                        _ => {}
                    }
                }
                Spoken::now(*to, parcel)
            })
            .collect()
    }

    /// Asks for what it does not need, and says that it executed what nobody did.
    fn idle(&mut self, hand: &mut Hand<'_>) -> Vec<Spoken> {
        let others: Vec<usize> = hand.others().collect();
        let message = match hand.random.index(4) {
            0 => Message::Executed(Height::new(u64::MAX)),
            1 => Message::GetBlocks { from: Height::new(hand.random.pick(&[0, 1, 50, 1 << 40, u64::MAX])) },
            2 => Message::GetCertificate,
            _ => return Vec::new(),
        };
        vec![Spoken::now(hand.random.pick(&others), Parcel::Message(Box::new(message)))]
    }
}
