//! kill -9 of any validator while records are being filed: nothing that was acknowledged is lost, and nothing
//! is there twice. The client's fsynced journal is the oracle.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use chain_core::record::RecordType;
use city_tests::cluster::{Cluster, PATIENCE, http, sheet, wait_for};
use serde_json::Value;

/// The next block is there this long after the leader was killed.
const NEXT_BLOCK_WITHIN: Duration = Duration::from_secs(3);

/// `city batch submit` on its way.
struct Filing {
    child: Child,
    sheet: PathBuf,
    rows: u64,
}

fn file(cluster: &Cluster, series: u64, rows: u64, group: &str, window: &str) -> Filing {
    let sheet = cluster.dir().join(format!("licences-{series}.csv"));
    std::fs::write(&sheet, sheet::licences(series, rows)).unwrap();
    let path = sheet.to_str().unwrap();
    let args = ["batch", "submit", path, "--map", "licences", "--group", group, "--window", window];
    let log = std::fs::File::create(sheet.with_extension("log")).unwrap();
    let errors = log.try_clone().unwrap();
    let child = cluster.city_command(&args).stdin(Stdio::null()).stdout(log).stderr(errors).spawn().unwrap();
    Filing { child, sheet, rows }
}

impl Filing {
    fn journal(&self) -> PathBuf {
        let mut name = self.sheet.as_os_str().to_owned();
        name.push(".journal");
        name.into()
    }

    fn acknowledged(&self) -> usize {
        acknowledged(&self.journal()).len()
    }

    /// Waits for the end, which must be a good one.
    fn finish(mut self) -> Vec<Row> {
        let deadline = Instant::now() + Duration::from_secs(240);
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "filing {} hangs", self.sheet.display());
            std::thread::sleep(Duration::from_millis(50));
        }
        let said = std::fs::read_to_string(self.sheet.with_extension("log")).unwrap();
        let rows = acknowledged(&self.journal());
        let end: String = said.chars().rev().take(2_000).collect::<Vec<_>>().into_iter().rev().collect();
        assert!(self.child.wait().unwrap().success(), "city batch submit: {end}");
        assert_eq!(rows.len() as u64, self.rows, "every row of {} is acknowledged", self.sheet.display());
        rows
    }
}

impl Drop for Filing {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One acknowledged row.
#[derive(Debug)]
struct Row {
    record: String,
}

/// The rows that the journal calls final.
fn acknowledged(journal: &Path) -> Vec<Row> {
    let text = std::fs::read_to_string(journal).unwrap_or_default();
    let mut rows = Vec::new();
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let line: Value = serde_json::from_str(line).unwrap();
        if line["kind"] != "final" {
            continue;
        }
        for outcome in line["outcomes"].as_array().unwrap() {
            let record = outcome["record"].as_str().unwrap_or_else(|| panic!("refused: {outcome}"));
            rows.push(Row { record: record.to_owned() });
        }
    }
    rows
}

/// Every acknowledged row is on all four, exactly once, and nothing else is.
fn judge(cluster: &Cluster, rows: &[Row]) {
    let agreed = cluster.wait_agreed();
    let wanted: BTreeSet<&str> = rows.iter().map(|row| row.record.as_str()).collect();
    assert_eq!(wanted.len(), rows.len(), "two rows share a record");
    for node in &cluster.nodes {
        let found = http::listed(&node.url(), RecordType::Licence);
        for record in &wanted {
            assert_eq!(found.get(*record), Some(&1), "{}: record {record}", node.name);
        }
        assert_eq!(found.len(), wanted.len(), "{} holds records nobody filed", node.name);
    }
    println!("{} rows, each once on each of four, at height {}", rows.len(), agreed.committed);
    cluster.assert_clean();
}

/// Kills a validator and measures until another leader's block is final, if the victim led.
fn kill(cluster: &mut Cluster, victim: usize) -> Option<Duration> {
    let led = cluster.leader() == Some(victim);
    let name = cluster.nodes[victim].name.clone();
    cluster.nodes[victim].kill();
    let start = Instant::now();
    if !led {
        return None;
    }
    let before = cluster.height();
    wait_for("a block by another leader", PATIENCE, || {
        let moved =
            |status: &chain_core::api::NodeStatus| status.leader != name && status.committed.get() > before;
        cluster.statuses().iter().any(moved).then_some(())
    });
    let took = start.elapsed();
    for node in &cluster.nodes {
        if let Some(line) = node.log().lines().rfind(|line| line.contains("asking for the next view")) {
            println!("  {}: {line}", node.name);
        }
    }
    Some(took)
}

#[test]
fn twenty_kills_during_a_batch_of_ten_thousand_rows_lose_nothing() {
    const CYCLES: usize = 20;
    const ROWS: u64 = 10_000;
    let mut cluster = Cluster::up();
    let mut series = 1;
    let mut filing = file(&cluster, series, ROWS, "5", "8");
    let mut rows = Vec::new();
    let mut worst = Duration::ZERO;
    let (mut leaders, mut own) = (0, 0);
    for cycle in 0..CYCLES {
        // Each death strikes while rows are under way: a batch that is nearly done makes room for the next.
        if filing.acknowledged() as u64 + 1_000 > ROWS {
            rows.extend(filing.finish());
            series += 1;
            filing = file(&cluster, series, ROWS, "5", "8");
        }
        let seen = filing.acknowledged();
        wait_for("more acknowledged rows", PATIENCE, || (filing.acknowledged() > seen).then_some(()));
        // The leader; the node that the client talks to first; the others in turn.
        let victim = match cycle % 3 {
            0 => wait_for("a leader", PATIENCE, || cluster.leader()),
            1 => 0,
            _ => 1 + cycle / 3 % 3,
        };
        own += usize::from(victim == 0);
        let took = kill(&mut cluster, victim);
        let name = &cluster.nodes[victim].name;
        println!(
            "cycle {cycle:2}, {} rows: {name} died, next leader's block after {took:?}",
            filing.acknowledged()
        );
        if let Some(took) = took {
            assert!(took <= NEXT_BLOCK_WITHIN, "next block {took:?} after a leader kill");
            worst = worst.max(took);
            leaders += 1;
        }
        cluster.nodes[victim].start();
        cluster.wait_caught_up(victim);
    }
    rows.extend(filing.finish());
    println!(
        "{CYCLES} kills, {leaders} of leaders, {own} of the client's own node, slowest next block {worst:?}"
    );
    assert!(leaders >= CYCLES / 4 && own >= CYCLES / 4, "{leaders} leaders, {own} own nodes");
    cluster.wait_voting();
    judge(&cluster, &rows);
}
