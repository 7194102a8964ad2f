//! The second half of a run: every fault ends, and everybody honest must make progress.

use chain_core::id::TxId;

use super::report::Report;
use super::world::{Due, World};

/// One that has lost its ledger walks from epoch to epoch, each after a few messages there and back; this much longer it
/// may take for each, milliseconds.
const PER_EPOCH_MS: u64 = 500;

impl World {
    /// Whether a node must follow after healing: all but liars, twins and restored ones, and a second node
    /// that never began.
    fn must_follow(&self, node: usize) -> bool {
        let one = &self.nodes[node];
        one.begun && !one.second && !self.lies_in(self.epochs.len() - 1, node)
    }

    /// Ends every fault, brings everybody back, and demands that a new record from every honest node is
    /// delivered at every honest node within `within_ms`, and [`PER_EPOCH_MS`] for each epoch that one must make up
    /// for. Liars go on lying.
    ///
    /// # Errors
    /// A violation, or that progress did not return.
    pub fn heal_and_progress(&mut self, within_ms: u64) -> Result<Report, String> {
        self.calm = true;
        self.script = None;
        self.network.heal();
        self.faults.stall_per_mille = 0;
        self.note_network(|| "every fault ends".to_owned());
        let seats = self.nodes.len();
        for node in 0..seats {
            self.nodes[node].doom = None;
            if self.nodes[node].engine.is_none() {
                self.restart(node);
            }
        }
        for from in 0..seats {
            for to in (0..seats).filter(|to| *to != from) {
                self.schedule(1_000, Due::Connect { from, to });
            }
        }
        let followers = (0..seats).filter(|node| self.must_follow(*node));
        let behind = followers.map(|node| self.epochs.len() - 1 - self.nodes[node].epoch).max().unwrap_or(0);
        let within_ms = within_ms + PER_EPOCH_MS * behind as u64;
        let start = self.now_us;
        // A marker goes in at every node as soon as it takes one; each must come out everywhere.
        let mut markers: Vec<Option<TxId>> = vec![None; seats];
        let mut progress = start;
        loop {
            for (node, marker) in markers.iter_mut().enumerate() {
                if marker.is_none() && self.must_follow(node) {
                    *marker = self.submit_at(node);
                }
            }
            if markers.iter().enumerate().all(|(node, marker)| self.marked(node, marker.as_ref())) {
                break;
            }
            if self.now_us >= start + within_ms * 1_000 {
                return Err(format!(
                    "seed {} n {}: no progress {within_ms} ms after healing\n{}",
                    self.seed,
                    self.setup_n,
                    self.state()
                ));
            }
            progress += 20_000;
            self.run_ms((progress - self.now_us) / 1_000)?;
        }
        self.report.healed_in_ms = (self.now_us - start) / 1_000;
        Ok(self.report())
    }

    /// Whether a node's marker came out everywhere. Nothing is owed by liars, nor by one that may not sign or is
    /// no validator; but that one must follow.
    fn marked(&self, node: usize, marker: Option<&TxId>) -> bool {
        if !self.must_follow(node) {
            return true;
        }
        if self.nodes[node].epoch + 1 != self.epochs.len() || self.nodes[node].engine.is_none() {
            return false;
        }
        if self.silent(node) || self.nodes[node].me.is_none() {
            return true;
        }
        let everywhere = |tx: &TxId| {
            (0..self.nodes.len())
                .filter(|other| self.must_follow(*other))
                .all(|other| self.nodes[other].ledger.holds(tx, &self.shared))
        };
        marker.is_some_and(everywhere)
    }
}
