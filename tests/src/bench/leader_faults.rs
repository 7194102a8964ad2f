//! Leaders that die (`kill -9`) or freeze (SIGSTOP), one after another, and how long the others take to their next
//! final block.

use std::time::{Duration, Instant};

use serde_json::json;

use super::output::Row;
use super::stats::Times;
use super::{BenchResult, stop};
use crate::cluster::load::{Load, assert_kept, under_load};
use crate::cluster::{Cluster, PATIENCE, wait_for};

/// How long a frozen leader stays so after the others went on.
const FROZEN_FOR: Duration = Duration::from_secs(1);
/// The next block is wanted this soon.
const GOAL: Duration = Duration::from_secs(3);

/// What happens to a leader.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LeaderFault {
    /// `kill -9`; it is started again.
    Killed,
    /// SIGSTOP, later SIGCONT: its connections stay open.
    Frozen,
}

/// One leader's end and what came next.
#[derive(Clone, Copy, Debug)]
pub struct Strike {
    /// What was done.
    pub fault: LeaderFault,
    /// From the signal until each of the others had a block more, under another leader.
    pub next_block: Duration,
}

/// Every strike, and what was filed meanwhile.
#[derive(Clone, Debug)]
pub struct Struck {
    /// In their order.
    pub strikes: Vec<Strike>,
    /// Records acknowledged meanwhile; all were on all validators at the end.
    pub acknowledged: usize,
}

/// Strikes as many leaders, kills and freezes in turn, while records are filed. At the end every acknowledged
/// record is on every validator, and nobody signed twice.
///
/// # Errors
/// When it is interrupted.
///
/// # Panics
/// When the others do not go on, a leader does not come back, or something acknowledged is lost.
pub fn strike_leaders(cluster: &mut Cluster, count: u32) -> BenchResult<Struck> {
    let (strikes, acknowledged) = under_load(cluster, |cluster, load| {
        let mut strikes = Vec::new();
        for number in 0..count {
            stop::check()?;
            let fault = if number % 2 == 0 { LeaderFault::Killed } else { LeaderFault::Frozen };
            strikes.push(strike(cluster, load, fault));
            if strikes.len() % 20 == 0 {
                let worst = strikes.iter().map(|one: &Strike| one.next_block).max().unwrap_or_default();
                eprintln!("{} leaders struck, slowest next block {worst:?}", strikes.len());
            }
        }
        BenchResult::Ok(strikes)
    });
    let strikes = strikes?;
    cluster.wait_voting();
    assert_kept(cluster, &acknowledged);
    cluster.assert_clean();
    Ok(Struck { strikes, acknowledged: acknowledged.len() })
}

/// Strikes the leader of a network of which all vote, and brings it back.
fn strike(cluster: &mut Cluster, load: &Load, fault: LeaderFault) -> Strike {
    let filed = load.count();
    wait_for("records on their way", PATIENCE, || (load.count() > filed).then_some(()));
    let leader = wait_for("a leader", PATIENCE, || cluster.leader());
    let name = cluster.nodes[leader].name.clone();
    let logged: Vec<usize> = cluster.nodes.iter().map(|node| node.log().len()).collect();
    let start = Instant::now();
    match fault {
        LeaderFault::Killed => cluster.nodes[leader].kill(),
        LeaderFault::Frozen => cluster.nodes[leader].signal("STOP"),
    }
    // Whoever is frozen takes connections and answers none: only the others are asked.
    let others = || (0..cluster.nodes.len()).filter(|at| *at != leader).map(|at| &cluster.nodes[at]);
    let before = others().filter_map(|one| one.status()).map(|one| one.committed.get()).max().unwrap_or(0);
    wait_for("a block by another leader on all others", PATIENCE, || {
        let moved =
            |status: chain_core::api::NodeStatus| status.leader != name && status.committed.get() > before;
        others().all(|one| one.status().is_some_and(moved)).then_some(())
    });
    let next_block = start.elapsed();
    if next_block > GOAL {
        eprintln!("{name} {fault:?}: next block after {next_block:?}; what was logged:");
        for (node, from) in cluster.nodes.iter().zip(&logged) {
            let log = node.log();
            log.get(*from..)
                .unwrap_or_default()
                .lines()
                .for_each(|line| eprintln!("  {}: {line}", node.name));
        }
    }
    match fault {
        LeaderFault::Killed => cluster.nodes[leader].start(),
        LeaderFault::Frozen => {
            std::thread::sleep(FROZEN_FOR);
            cluster.nodes[leader].signal("CONT");
        }
    }
    cluster.wait_caught_up(leader);
    Strike { fault, next_block }
}

impl Struck {
    /// The times of one kind of fault, or of all.
    fn times(&self, fault: Option<LeaderFault>) -> Times {
        let wanted = |one: &&Strike| fault.is_none_or(|fault| one.fault == fault);
        Times::new(self.strikes.iter().filter(wanted).map(|one| one.next_block).collect())
    }

    /// The figures.
    pub(super) fn rows(&self) -> Vec<Row> {
        let kinds = [
            ("leader-killed", Some(LeaderFault::Killed)),
            ("leader-frozen", Some(LeaderFault::Frozen)),
            ("leader-struck", None),
        ];
        let row = |(figure, fault): (&'static str, Option<LeaderFault>)| {
            let times = self.times(fault);
            let late = self
                .strikes
                .iter()
                .filter(|one| fault.is_none_or(|fault| one.fault == fault) && one.next_block > GOAL)
                .count();
            let max = times.permille(1000).unwrap_or_default().as_millis();
            Row {
                figure,
                faulty: 1,
                value: times.text(),
                remark: format!(
                    "p50 / p99 from the signal to the next block final on all others; {} strikes, slowest \
                     {max} ms, {late} above {} s; {} records acknowledged in the run, none lost",
                    times.len(),
                    GOAL.as_secs(),
                    self.acknowledged
                ),
                json: json!({ "next_block": times.json(), "late": late, "acknowledged": self.acknowledged }),
            }
        };
        kinds.into_iter().map(row).filter(|row| row.value != "none").collect()
    }
}
