//! Checkpoints of the record log: cosigned by every validator, beside consensus.
//!
//! When a block asks for it, each validator cosigns the log at that block's certified execution height and
//! tells the others, and signs its root for COSE receipts. A checkpoint with a quorum of cosignatures is published; later ones are added to it. A
//! missing cosignature never delays a commit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use chain_core::block::ExecSummary;
use chain_core::checkpoint::{self, Checkpoint, Published, SignedCheckpoint, VerifierKey};
use chain_core::cose::RootStatement;
use chain_core::crypto::{Digest, SecretKey};
use chain_core::id::{Height, ValidatorIx};
use consensus::Peers;

use crate::driver::core::Core;
use crate::link::{Cosignature, Frame};

/// Heights whose cosignatures are gathered at once.
const GATHERED_MAX: usize = 128;

/// What is gathered and what is published.
#[derive(Debug)]
pub struct Checkpoints {
    origin: String,
    log_key: Option<SecretKey>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    gathering: BTreeMap<Height, Gathering>,
    /// Newest own cosignature, for peers that connect.
    own: Option<Cosignature>,
    newest: Option<(Height, Arc<Published>)>,
}

#[derive(Debug, Default)]
struct Gathering {
    own: Option<(u64, Digest)>,
    by: BTreeMap<ValidatorIx, Cosignature>,
}

impl Checkpoints {
    /// For the log of this origin; `log_key` cosigns, none for an observer.
    pub fn new(origin: String, log_key: Option<SecretKey>) -> Self {
        Self { origin, log_key, state: Mutex::default() }
    }

    /// Takes up a checkpoint that an earlier run published.
    pub fn restore(&self, height: Height, published: Published) {
        if published.signed.checkpoint.origin == self.origin {
            self.lock().newest = Some((height, Arc::new(published)));
        }
    }

    /// The newest checkpoint that a quorum cosigned.
    pub fn newest(&self) -> Option<Arc<Published>> {
        self.lock().newest.as_ref().map(|(_, published)| published.clone())
    }

    /// Cosigns the log at an executed height and tells the others.
    pub(crate) fn make(&self, core: &Core, summary: &ExecSummary) {
        let ExecSummary { height, log_size, log_root, .. } = *summary;
        let mut state = self.lock();
        if state.newest.as_ref().is_some_and(|(newest, _)| *newest >= height) {
            return;
        }
        state.gathering.entry(height).or_default().own = Some((log_size, log_root));
        if let (Some(key), Some(me)) = (&self.log_key, core.me()) {
            let checkpoint = self.checkpoint(log_size, log_root);
            let time_s = Core::wall_ms() / 1_000;
            let name = core.committee().get(me).map_or_else(String::new, |one| one.name.clone());
            let cosigner = VerifierKey::cosigner(&name, key.public());
            let own = Cosignature {
                height,
                log_size,
                log_root,
                time_s,
                signature: checkpoint.cosign(time_s, key).signature,
                root_signature: key.sign(&RootStatement::new(&checkpoint, &cosigner, time_s)),
            };
            state.gathering.entry(height).or_default().by.insert(me, own.clone());
            if let Some(network) = core.network() {
                network.send(Peers::All, Frame::Cosignature(Arc::new(own.clone())));
            }
            state.own = Some(own);
        }
        self.publish(core, &mut state, height);
    }

    /// Another validator set cosigns from here on; what is gathered of the one before is of no use.
    pub(crate) fn begin_epoch(&self) {
        let mut state = self.lock();
        state.gathering.clear();
        state.own = None;
    }

    /// Takes a peer's cosignature.
    pub(crate) fn take(&self, core: &Core, from: ValidatorIx, cosignature: &Cosignature) {
        let committee = core.committee();
        let Some(cosigner) = committee.get(from).map(|one| VerifierKey::cosigner(&one.name, one.log_key))
        else {
            return;
        };
        let height = cosignature.height;
        if self.lock().newest.as_ref().is_some_and(|(newest, _)| *newest > height) {
            return;
        }
        let checkpoint = self.checkpoint(cosignature.log_size, cosignature.log_root);
        let signed = checkpoint::Cosignature { time_s: cosignature.time_s, signature: cosignature.signature };
        let statement = RootStatement::new(&checkpoint, &cosigner, cosignature.time_s);
        if !signed.verify(&checkpoint, &cosigner.key)
            || !cosigner.key.verify(&statement, &cosignature.root_signature)
        {
            tracing::warn!(%from, %height, "cosignature does not verify");
            return;
        }
        let mut state = self.lock();
        state.gathering.entry(height).or_default().by.insert(from, cosignature.clone());
        while state.gathering.len() > GATHERED_MAX {
            // A peer may name any height; what is far ahead of everybody goes first.
            let own =
                state.gathering.iter().rev().find(|(_, one)| one.own.is_some()).map(|(height, _)| *height);
            let victim = match (own, state.gathering.last_key_value()) {
                (Some(own), Some((last, _))) if last.since(own) > GATHERED_MAX as u64 => *last,
                _ => match state.gathering.first_key_value() {
                    Some((first, _)) => *first,
                    None => break,
                },
            };
            state.gathering.remove(&victim);
        }
        self.publish(core, &mut state, height);
    }

    /// Shows a peer that just connected the newest own cosignature: the network may be idle.
    pub(crate) fn greet(&self, core: &Core, peer: ValidatorIx) {
        if let (Some(own), Some(network)) = (self.lock().own.clone(), core.network()) {
            network.send(Peers::One(peer), Frame::Cosignature(Arc::new(own)));
        }
    }

    fn publish(&self, core: &Core, state: &mut State, height: Height) {
        let Some(gathering) = state.gathering.get(&height) else { return };
        let Some((size, root)) = gathering.own else { return };
        let checkpoint = self.checkpoint(size, root);
        let committee = core.committee();
        let (mut lines, mut root_signatures) = (Vec::new(), Vec::new());
        for (ix, one) in &gathering.by {
            let Some(validator) = committee.get(*ix) else { continue };
            if (one.log_size, one.log_root) != (size, root) {
                tracing::error!(validator = validator.name, %height, "cosigns another log than this node has");
                continue;
            }
            let signed = checkpoint::Cosignature { time_s: one.time_s, signature: one.signature };
            lines.push(signed.line(&validator.name, &validator.log_key));
            root_signatures.push(one.root_signature);
        }
        if lines.len() < committee.quorum() {
            return;
        }
        if let Some(key) = &self.log_key {
            lines.insert(0, checkpoint.sign(key));
        }
        let published = Published { signed: SignedCheckpoint { checkpoint, lines }, root_signatures };
        core.guard(core.ledger.put_checkpoint(height, &published));
        state.newest = Some((height, Arc::new(published)));
        state.gathering.retain(|one, _| *one >= height);
    }

    fn checkpoint(&self, size: u64, root: Digest) -> Checkpoint {
        Checkpoint { origin: self.origin.clone(), size, root }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
