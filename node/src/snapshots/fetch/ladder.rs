//! Who votes, epoch by epoch from the genesis on, proved by how each epoch ended.

use std::sync::Arc;

use chain_core::code::{Code, Refusal};
use chain_core::committee::Committee;
use chain_core::crypto::Digest;
use chain_core::id::{ChainId, Epoch, Height, ValidatorIx};
use chain_core::recovery::{Passage, verify_passages};
use futures::future::join_all;

use super::super::verify::{Trust, passage_refusal};
use super::Source;
use crate::link::{SyncRequest, SyncResponse};

/// Most rounds of questions: each brings at least one more epoch.
const ROUNDS_MAX: usize = 100_000;

/// One epoch.
#[derive(Clone, Debug)]
pub struct Term {
    /// Its validators.
    pub committee: Arc<Committee>,
    /// The block before its first: height and digest.
    pub base: (Height, Digest),
}

/// The epochs that are proved.
#[derive(Clone, Debug)]
pub struct Ladder {
    chain_id: ChainId,
    terms: Vec<Term>,
    passages: Vec<Passage>,
}

impl Ladder {
    /// Epoch 0 alone.
    pub fn new(trust: &Trust<'_>) -> Self {
        let base = (Height::ZERO, *trust.chain_id.digest());
        let first = Term { committee: Arc::new(trust.committee.clone()), base };
        Self { chain_id: trust.chain_id, terms: vec![first], passages: Vec::new() }
    }

    /// The chain.
    pub fn chain_id(&self) -> ChainId {
        self.chain_id
    }

    /// The newest epoch that is proved.
    pub fn newest(&self) -> &Term {
        &self.terms[self.terms.len() - 1]
    }

    /// An epoch that is proved.
    pub fn term(&self, epoch: Epoch) -> Option<&Term> {
        self.terms.get(usize::try_from(epoch.get()).ok()?)
    }

    /// How the epochs before the newest ended.
    pub fn passages(&self) -> &[Passage] {
        &self.passages
    }

    /// Takes one more step, if it is proved.
    ///
    /// # Errors
    /// The flaw of the passage.
    pub fn climb(&mut self, trust: &Trust<'_>, passage: Passage) -> Result<(), Refusal> {
        let before = &self.newest().committee;
        let one = std::slice::from_ref(&passage);
        let next = verify_passages(trust.chain_id, before, trust.recovery_keys, one)
            .map_err(|error| passage_refusal(before.epoch().next(), &error))?;
        let base = match &passage {
            Passage::HandOver(hand_over) => {
                let closing = hand_over.proof.headers.first().ok_or_else(|| {
                    Refusal::new(Code::CertificateInvalid, "a hand-over without a closing block")
                })?;
                (closing.height, closing.digest())
            }
            Passage::Recovery(recovery) => (recovery.act.height, recovery.act.block_digest),
        };
        self.terms.push(Term { committee: Arc::new(next), base });
        self.passages.push(passage);
        Ok(())
    }

    /// Climbs as far as the validators that are connected lead. A liar leads nowhere: each step proves itself.
    pub async fn ask(&mut self, trust: &Trust<'_>, source: &Source) {
        for _ in 0..ROUNDS_MAX {
            let from = self.newest().committee.epoch();
            let ask = |ix: ValidatorIx| async move {
                (ix, source.network.request(ix, SyncRequest::Passages { from }).await.unwrap_or_default())
            };
            for (ix, answer) in join_all(source.connected().into_iter().map(ask)).await {
                let SyncResponse::Passages(passages) = answer else { continue };
                let known = self.newest().committee.epoch().get().saturating_sub(from.get());
                for passage in passages.into_iter().skip(usize::try_from(known).unwrap_or(usize::MAX)) {
                    if let Err(refusal) = self.climb(trust, passage) {
                        let validator = source.name(ix);
                        tracing::warn!(validator, detail = refusal.detail, "gave no proof of who votes");
                        break;
                    }
                }
            }
            if self.newest().committee.epoch() == from {
                return;
            }
        }
    }
}
