//! What the node says about itself.

use std::sync::atomic::Ordering;

use chain_core::api::{NodeStatus, PeerStatus};
use chain_core::code::{Code, Refusal};
use chain_core::crypto::Digest;
use chain_core::id::ValidatorIx;

use super::Local;
use crate::driver::core::{Core, running};
use crate::handle::Metric;

/// A node this many blocks behind its own committed height, or this long without a block, is not ready.
pub(super) const LAG_MAX: u64 = 64;

impl Local {
    pub(super) fn node_status(&self) -> NodeStatus {
        let core = &self.core;
        let view = core.engine_view();
        let (committee, me) = (core.committee(), core.me());
        let name = |ix: ValidatorIx| committee.get(ix).map(|one| one.name.clone()).unwrap_or_default();
        let summary = core.ledger.snapshot().ok().and_then(|snapshot| {
            let height = snapshot.height();
            snapshot.summary(height).ok().flatten()
        });
        let connections = core.network().map(|network| network.peers()).unwrap_or_default();
        let now = core.mono_ms();
        let peer = |ix: ValidatorIx| {
            let (connected, committed, peer_view, heard) =
                view.peers.get(ix.index()).copied().unwrap_or_default();
            let connection = connections.iter().find(|one| one.validator == ix);
            PeerStatus {
                name: name(ix),
                connected: connection.map_or(connected, |one| one.connected),
                committed,
                view: peer_view,
                silent_ms: heard.map(|at| now.saturating_sub(at)),
                refused: connection.and_then(|one| one.refused.clone()),
            }
        };
        NodeStatus {
            version: crate::why::release(),
            chain_id: core.chain_id(),
            name: me.map_or_else(|| "observer".to_owned(), name),
            voting: view.voting,
            not_voting_because: view.not_voting(core),
            epoch: committee.epoch(),
            view: view.view,
            leader: view.leader.map(name).unwrap_or_default(),
            committed: view.committed,
            executed: summary.map_or(chain_core::id::Height::ZERO, |one| one.height),
            committed_digest: view.digest.unwrap_or(Digest::ZERO),
            exec_root: summary.map_or(Digest::ZERO, |one| one.root()),
            log_size: summary.map_or(0, |one| one.log_size),
            block_time_ms: view.time_ms,
            queued: core.intake.len() as u64,
            recovery: crate::why::recovery(core),
            peers: committee.indices().filter(|ix| Some(*ix) != me).map(peer).collect(),
        }
    }

    pub(super) fn readiness(&self) -> Result<(), Refusal> {
        running(&self.core)?;
        let view = self.core.engine_view();
        let executed = self.core.executed();
        if view.committed.since(executed) > LAG_MAX {
            let detail = format!("executed {executed} of {} final blocks", view.committed);
            return Err(Refusal::new(Code::NotReady, detail));
        }
        let connected = view.peers.iter().filter(|(connected, ..)| *connected).count();
        let part = self.core.part();
        let needed = part.committee.quorum() - usize::from(part.me.is_some());
        if connected < needed {
            let detail = format!("connected to {connected} validators, a quorum needs {needed}");
            return Err(Refusal::new(Code::NotReady, detail));
        }
        Ok(())
    }

    pub(super) fn samples(&self) -> Vec<Metric> {
        let core = &self.core;
        let view = core.engine_view();
        let counters = &core.counters;
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let age = Core::wall_ms().saturating_sub(view.time_ms);
        let log_size = core.checkpoints.newest().map_or(0, |published| published.signed.checkpoint.size);
        let gauges = [
            ("committed_height", "Newest final height.", view.committed.get()),
            ("executed_height", "Newest executed height.", core.executed().get()),
            ("view", "View of the newest turn.", view.view.get()),
            ("voting", "1 while this validator votes.", u64::from(view.voting)),
            ("block_age_ms", "Wall clock less the time of the newest final block.", age),
            ("queued_transactions", "Transactions waiting for the lane.", core.intake.len() as u64),
            ("followed_transactions", "Transactions of clients not executed yet.", core.tracker.len() as u64),
            ("lane_pending_batches", "Own batches not ordered yet.", view.lane_pending as u64),
            ("verify_jobs_waiting", "Jobs waiting for the verify pool.", core.pool.waiting() as u64),
            ("checkpoint_size", "Leaves under the newest cosigned checkpoint.", log_size),
        ];
        let sums = [
            ("synced_writes", "Synced writes of the consensus store.", read(&counters.syncs)),
            ("synced_write_us", "Microseconds spent in them.", read(&counters.sync_us)),
            ("blocks", "Blocks executed since the start.", read(&counters.blocks)),
            ("operations", "Operations executed since the start.", read(&counters.operations)),
            ("operations_refused", "Those of them that were refused.", read(&counters.refused)),
            ("execute_us", "Microseconds spent executing and writing.", read(&counters.execute_us)),
            ("submissions", "Submissions queued.", read(&counters.submitted)),
            ("queue_full", "Submissions refused for a full queue.", read(&counters.queue_full)),
            ("bad_batches", "Batches of peers refused.", read(&counters.bad_batches)),
            ("view_changes", "Views entered since the start.", read(&counters.views)),
            ("offences_proven", "Offences of validators that this node proved.", read(&counters.offences)),
            ("evidence_filed", "Proofs of them that it filed.", read(&counters.evidence_filed)),
        ];
        #[expect(clippy::cast_precision_loss, reason = "the text format holds floats")]
        let sample = |counter: bool| {
            move |(name, help, value): (&'static str, &'static str, u64)| Metric {
                name,
                help,
                counter,
                labels: Vec::new(),
                value: value as f64,
            }
        };
        let mut all: Vec<Metric> = gauges.into_iter().map(sample(false)).collect();
        all.extend(sums.into_iter().map(sample(true)));
        let (committee, me) = (core.committee(), core.me());
        for ix in committee.indices().filter(|ix| Some(*ix) != me) {
            let (connected, ..) = view.peers.get(ix.index()).copied().unwrap_or_default();
            all.push(Metric {
                name: "peer_connected",
                help: "1 while a verified connection stands.",
                counter: false,
                labels: vec![("peer", committee.get(ix).map(|one| one.name.clone()).unwrap_or_default())],
                value: if connected { 1.0 } else { 0.0 },
            });
        }
        all.extend(crate::why::samples(core));
        if let Some(network) = core.network() {
            all.extend(network.metrics());
        }
        all
    }
}
