//! Answers requests for blocks wrongly: altered, with gaps, cut short, out of order, on another branch,
//! under another certificate, or not at all; and answers for batches with others.

use chain_core::crypto::{Digest, Signature};
use consensus::message::{Message, Proposal};

use super::{Hand, Liar, Spoken, honestly};
use crate::sim::parcel::Parcel;

#[derive(Debug)]
pub(super) struct Sync;

impl Sync {
    fn spoil(hand: &mut Hand<'_>, blocks: &mut Vec<Proposal>) {
        if blocks.is_empty() {
            return;
        }
        let at = hand.random.index(blocks.len());
        match hand.random.index(8) {
            // Altered, with a signature that does not fit any more.
            0 => blocks[at].header.time_ms += 1,
            1 => blocks[at].header.exec_root = Digest::tagged(b"spoilt", &[]),
            2 => blocks[at].signature = Signature::ZERO,
            // With a gap, cut short, out of order.
            3 => {
                blocks.remove(at);
            }
            4 => blocks.truncate(at),
            5 => blocks.reverse(),
            // On a branch of its own: everything from here on signed by itself.
            6 => {
                for index in at..blocks.len() {
                    let parent = index.checked_sub(1).map(|before| blocks[before].header.digest());
                    let block = &mut blocks[index];
                    block.header.time_ms += 1;
                    block.header.parent = parent.unwrap_or(block.header.parent);
                    block.header.proposer = hand.me;
                    block.signature = hand.signer.sign(&block.header.proposal());
                }
            }
            // Without the data of the block.
            _ => blocks[at].advances.clear(),
        }
    }
}

impl Liar for Sync {
    fn speak(&mut self, hand: &mut Hand<'_>, to: &[usize], parcel: &Parcel) -> Vec<Spoken> {
        match parcel {
            Parcel::Message(message) => match &**message {
                Message::Blocks { blocks, suffixes, certificate } => {
                    if hand.random.chance(100) {
                        return Vec::new();
                    }
                    let mut blocks = blocks.clone();
                    let mut certificate = certificate.clone();
                    if hand.random.chance(150) {
                        // The certificate of another height.
                        if let Some((_, other)) = hand.tables.certificates.first_key_value() {
                            *certificate = other.certificate.clone();
                        }
                    } else {
                        Self::spoil(hand, &mut blocks);
                    }
                    let message = Message::Blocks { blocks, suffixes: suffixes.clone(), certificate };
                    honestly(to, &Parcel::Message(Box::new(message)))
                }
                _ => honestly(to, parcel),
            },
            // A batch of another author, handed out with its signature broken.
            Parcel::Batch(batch) if batch.header.author != hand.me && hand.random.chance(300) => {
                let mut batch = batch.clone();
                batch.header.payload_root = Digest::tagged(b"spoilt", &[]);
                honestly(to, &Parcel::Batch(batch))
            }
            Parcel::Batch(_) | Parcel::GetBatches { .. } => honestly(to, parcel),
        }
    }
}
