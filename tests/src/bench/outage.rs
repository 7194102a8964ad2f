//! f+1 validators are away together for a while, then come back one by one.

use std::time::{Duration, Instant};

use chain_core::api::NodeStatus;
use serde_json::json;

use super::output::Row;
use super::{BenchResult, machine, stop};
use crate::cluster::load::{assert_kept, under_load};
use crate::cluster::{Cluster, PATIENCE, wait_for};

/// How long records are filed before and after.
const AROUND: Duration = Duration::from_secs(3);
/// How often the remaining validators are looked at.
const LOOK: Duration = Duration::from_millis(500);

/// An outage and how it ended.
#[derive(Clone, Copy, Debug)]
pub struct Outage {
    /// How long the quorum was away.
    pub away: Duration,
    /// From the start of the process that completes the quorum until the next block was final on all that run.
    pub progress: Duration,
    /// The same from when that process first answered.
    pub progress_since_answer: Duration,
    /// From the start of the next process until it voted and had caught up.
    pub second: Duration,
    /// Records acknowledged before the outage.
    pub before: usize,
    /// Records acknowledged in all.
    pub acknowledged: usize,
    /// Resident memory of a validator that stayed, in KiB, when the outage began and when it ended.
    pub resident_kib: (u64, u64),
    /// Bytes that a validator that stayed wrote to its log during the outage.
    pub log_bytes: usize,
}

/// Kills f+1 of a running network's validators at once, the leader among them, waits, and starts them again one
/// after the other, while clerks try to file records. Nothing becomes final meanwhile. At the end every acknowledged
/// record is on every validator, and nobody signed twice.
///
/// # Errors
/// When it is interrupted.
///
/// # Panics
/// When a block becomes final without a quorum, the network does not go on, or something acknowledged is lost.
pub fn outage(cluster: &mut Cluster, away: Duration) -> BenchResult<Outage> {
    let (outage, acknowledged) = under_load(cluster, |cluster, load| {
        std::thread::sleep(AROUND);
        let n = cluster.nodes.len();
        let victims: Vec<usize> = {
            let leader = wait_for("a leader", PATIENCE, || cluster.leader());
            let f = (n - 1) / 3;
            (0..=f).map(|next| (leader + next) % n).collect()
        };
        for victim in &victims {
            cluster.nodes[*victim].kill();
        }
        let began = Instant::now();
        let stayed = (0..n).find(|at| !victims.contains(at)).unwrap_or(0);
        // What was on its way when they died may still arrive.
        std::thread::sleep(2 * LOOK);
        let (height, before) = (cluster.height(), load.count());
        let resident =
            |cluster: &Cluster| cluster.nodes[stayed].pid().and_then(machine::resident_kib).unwrap_or(0);
        let (resident_then, log_then) = (resident(cluster), cluster.nodes[stayed].log().len());
        while began.elapsed() < away {
            stop::check()?;
            std::thread::sleep(LOOK.min(away.saturating_sub(began.elapsed())));
            assert_eq!(cluster.height(), height, "a block became final without a quorum");
        }
        let resident_kib = (resident_then, resident(cluster));
        let log_bytes = cluster.nodes[stayed].log().len() - log_then;
        assert_eq!(load.count(), before, "a record was acknowledged without a quorum");
        let away = began.elapsed();
        let mut progress = Duration::ZERO;
        let mut progress_since_answer = Duration::ZERO;
        let mut second = Duration::ZERO;
        for (turn, victim) in victims.into_iter().enumerate() {
            let started = Instant::now();
            cluster.nodes[victim].start();
            if turn == 0 {
                wait_for("the first to answer", PATIENCE, || cluster.nodes[victim].status());
                let answered = Instant::now();
                wait_for("a block of the new quorum", PATIENCE, || {
                    let all: Vec<NodeStatus> = cluster.statuses();
                    (all.len() + 1 >= n && all.iter().all(|one| one.committed.get() > height)).then_some(())
                });
                progress = started.elapsed();
                progress_since_answer = answered.elapsed();
                eprintln!(
                    "away for {away:?}; progress {progress:?} after the start of the one that was missing"
                );
            }
            cluster.wait_caught_up(victim);
            second = started.elapsed();
        }
        std::thread::sleep(AROUND);
        BenchResult::Ok(Outage {
            away,
            progress,
            progress_since_answer,
            second,
            before,
            acknowledged: 0,
            resident_kib,
            log_bytes,
        })
    });
    let outage = outage?;
    cluster.wait_voting();
    assert_kept(cluster, &acknowledged);
    cluster.assert_clean();
    Ok(Outage { acknowledged: acknowledged.len(), ..outage })
}

impl Outage {
    /// The figure.
    pub(super) fn row(&self) -> Row {
        let Self { away, progress, progress_since_answer, second, before, acknowledged, .. } = *self;
        Row {
            figure: "outage",
            faulty: 2,
            value: format!("{:.1} s", progress.as_secs_f64()),
            remark: format!(
                "from the start of the process that completes the quorum to the next block on all that run, \
                 {:.1} s from its first answer; away {:.0} s; the next one voted and had caught up {:.1} s after its \
                 start; {before} records acknowledged before, {acknowledged} in all, none lost; a validator that \
                 stayed: {} MiB before, {} after, {} KiB of log",
                progress_since_answer.as_secs_f64(),
                away.as_secs_f64(),
                second.as_secs_f64(),
                self.resident_kib.0 / 1024,
                self.resident_kib.1 / 1024,
                self.log_bytes / 1024,
            ),
            json: json!({
                "away_s": away.as_secs_f64(),
                "progress_s": progress.as_secs_f64(),
                "progress_since_answer_s": progress_since_answer.as_secs_f64(),
                "second_s": second.as_secs_f64(),
                "acknowledged_before": before,
                "acknowledged": acknowledged,
                "resident_kib": [self.resident_kib.0, self.resident_kib.1],
                "log_bytes": self.log_bytes,
            }),
        }
    }
}
