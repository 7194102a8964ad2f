//! Counters of the network.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::handle::Metric;

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub(super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The number.
    pub(super) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    pub(super) connections: Counter,
    pub(super) strangers: Counter,
    pub(super) refused: Counter,
    pub(super) malformed: Counter,
    pub(super) slow: Counter,
    pub(super) dropped: Counter,
    pub(super) frames_in: Counter,
    pub(super) frames_out: Counter,
    pub(super) bytes_in: Counter,
    pub(super) bytes_out: Counter,
    pub(super) requests_out: Counter,
    pub(super) requests_in: Counter,
}

impl Metrics {
    /// For `/metrics`.
    #[expect(clippy::cast_precision_loss, reason = "Prometheus samples are floats")]
    pub(super) fn samples(&self) -> Vec<Metric> {
        let sample = |name, help, counter: &Counter| Metric {
            name,
            help,
            counter: true,
            labels: Vec::new(),
            value: counter.read() as f64,
        };
        vec![
            sample("peer_connections", "Connections that passed HELLO.", &self.connections),
            sample(
                "peer_strangers",
                "Connections of peers outside the validator set, refused.",
                &self.strangers,
            ),
            sample("peer_refused", "Connections refused by HELLO.", &self.refused),
            sample("peer_malformed", "Connections ended because of a malformed frame.", &self.malformed),
            sample("peer_slow", "Connections ended because the peer was too slow.", &self.slow),
            sample("peer_frames_dropped", "Frames dropped from full queues to peers.", &self.dropped),
            sample("peer_frames_in", "Frames received.", &self.frames_in),
            sample("peer_frames_out", "Frames queued, once per peer.", &self.frames_out),
            sample("peer_bytes_in", "Bytes of frames received.", &self.bytes_in),
            sample("peer_bytes_out", "Bytes of frames written.", &self.bytes_out),
            sample("sync_requests_out", "Sync requests sent.", &self.requests_out),
            sample("sync_requests_in", "Sync requests received.", &self.requests_in),
        ]
    }
}
