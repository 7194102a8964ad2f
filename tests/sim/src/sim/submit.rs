//! Clients: what they hand to which node, and how long it takes to become final.

use std::collections::BTreeMap;

use chain_core::crypto::Digest;
use chain_core::id::TxId;
use chain_core::lane::BatchRef;
use consensus::Engine;
use consensus::event::Event;

use super::random::Random;
use super::world::{Due, World};

/// Whom clients turn to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Desk {
    /// Any node, as chance has it.
    #[default]
    Any,
    /// The leader of the view.
    Leader,
}

/// The clients of a world, and their clock.
#[derive(Debug)]
pub struct Clients {
    pub(super) random: Random,
    /// Whom they turn to.
    pub desk: Desk,
    /// Whether they measure.
    pub measures: bool,
    /// Where and when a batch was handed over, by its token.
    handed: BTreeMap<u64, (usize, u64)>,
    sealed: BTreeMap<Digest, (usize, u64)>,
    /// From the hand-over to the delivery at the same node, microseconds, in the order of delivery.
    pub latencies_us: Vec<u64>,
}

impl Clients {
    pub(super) fn new(random: Random) -> Self {
        Self {
            random,
            desk: Desk::Any,
            measures: false,
            handed: BTreeMap::new(),
            sealed: BTreeMap::new(),
            latencies_us: Vec::new(),
        }
    }

    pub(super) fn sealed(&mut self, token: u64, batch: Digest) {
        if let Some(handed) = self.handed.remove(&token) {
            self.sealed.insert(batch, handed);
        }
    }

    pub(super) fn delivered(&mut self, node: usize, now_us: u64, batches: &[BatchRef]) {
        if !self.measures {
            return;
        }
        for batch in batches {
            if self.sealed.get(&batch.digest).is_some_and(|(at, _)| *at == node)
                && let Some((_, since)) = self.sealed.remove(&batch.digest)
            {
                self.latencies_us.push(now_us - since);
            }
        }
    }
}

impl World {
    /// The next submission, and when the one after it comes.
    pub(super) fn submit(&mut self) {
        if !self.calm {
            let any = self.clients.random.index(self.nodes.len());
            let node = match self.clients.desk {
                Desk::Any => any,
                Desk::Leader => {
                    self.nodes[any].engine.as_ref().map_or(any, |one| self.seat_of(any, one.leader()))
                }
            };
            self.submit_at(node);
        }
        let mean = self.faults.submit_every_ms;
        let wait = self.clients.random.between(mean / 4, mean * 7 / 4) * 1_000;
        self.schedule(wait, Due::Submit);
    }

    /// A client hands transactions to a node. The first of them, if the node takes them.
    pub(super) fn submit_at(&mut self, node: usize) -> Option<TxId> {
        if !self.nodes[node].engine.as_deref().is_some_and(Engine::accepts_local) {
            return None;
        }
        let time_ms = self.start_ms() + self.now_us / 1_000;
        let count = if self.calm { 1 } else { self.clients.random.between(1, 4) };
        let batch = self.payloads.make(count, time_ms, &mut self.clients.random);
        let token = self.unique();
        let marker = batch.marker;
        if self.clients.measures {
            self.clients.handed.insert(token, (node, self.now_us));
        }
        self.nodes[node].tokens.insert(token, batch.submissions);
        let event =
            Event::LocalBatch { token, payload_root: batch.root, bytes: batch.bytes, count: batch.count };
        self.feed(node, event);
        Some(marker)
    }
}
