//! A ledger of many records: what it takes on the disk, how quickly it answers, starts again, is audited and joined.

use std::process::Output;
use std::time::{Duration, Instant};

use chain_core::api::NodeStatus;
use chain_core::crypto::Digest;
use serde_json::{Value, json};

use super::city::City;
use super::client::{Connection, Trust};
use super::limits::Limits;
use super::load::{self, Pace, Span};
use super::output::Row;
use super::stats::Times;
use super::{BenchResult, stop};
use crate::cluster::{Cluster, said, wait_for};

/// Records of one transaction.
const EACH: u64 = 100;
/// Records signed and filed at a time.
const PORTION: u64 = 100_000;
/// Transactions under way at once.
const WINDOW: u16 = 48;
/// Blocks between two snapshots: a million records are some thousand blocks here.
const EVERY: u64 = 256;
/// Questions of each kind.
const QUESTIONS: u64 = 2_000;
/// Longest wait for a step.
const PATIENCE: Duration = Duration::from_secs(1_800);

/// Fills a ledger and measures it. Every step ends with all validators at one root.
///
/// # Errors
/// When the network refuses the records, a command fails, or it is interrupted.
pub(super) fn measure(records: u64) -> BenchResult<Vec<Row>> {
    let mut cluster = Cluster::made();
    for node in &cluster.nodes {
        let text = std::fs::read_to_string(&node.config)?;
        std::fs::write(&node.config, format!("{text}\n[snapshots]\nevery = {EVERY}\n"))?;
    }
    cluster.start_all();
    let limits = Limits::measure(cluster.dir())?;
    let mut bench = Ledger { cluster, limits, records, rows: Vec::new() };
    bench.fill()?;
    bench.answers()?;
    bench.audit()?;
    bench.disk()?;
    bench.restarts()?;
    bench.rebuild()?;
    bench.join()?;
    bench.cluster.assert_clean();
    Ok(bench.rows)
}

struct Ledger {
    cluster: Cluster,
    limits: Limits,
    records: u64,
    rows: Vec<Row>,
}

impl Ledger {
    fn row(&mut self, figure: &'static str, value: String, remark: String, json: Value) {
        eprintln!("{figure}: {value}; {remark}");
        self.rows.push(Row { figure, faulty: 0, value, remark, json });
    }

    fn fill(&mut self) -> BenchResult {
        let mut city = City::open(&self.cluster.genesis, &self.cluster.keys)?;
        let trust = Trust::new(self.cluster.genesis.clone());
        let urls: Vec<String> = self.cluster.nodes.iter().map(|node| node.url()).collect();
        let (mut filed, mut took) = (0, Duration::ZERO);
        while filed < self.records {
            let pool = city.sign(PORTION.min(self.records - filed), EACH)?;
            let start = Instant::now();
            let span = Span { warm_up: Duration::ZERO, duration: PATIENCE };
            let done = load::run(&urls, &trust, &pool, Pace::Window(WINDOW), span)?;
            took += start.elapsed();
            filed += done.filed;
            eprintln!("{filed} records filed");
        }
        let agreed = self.cluster.wait_agreed();
        let rate = filed * 1000 / u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
        let (blocks, leaves) = (agreed.committed.get(), agreed.log_size);
        let remark = format!("{EACH} a signature, in {blocks} blocks, {leaves} leaves of the record log");
        let json = json!({ "records": filed, "per_second": rate, "blocks": blocks, "leaves": leaves });
        self.row("ledger-filed", format!("{filed} records"), format!("{remark}; {rate} a second"), json);
        Ok(())
    }

    /// Asks one node of random records, one question at a time, while nothing else happens.
    fn answers(&mut self) -> BenchResult {
        let status = self.status(0)?;
        let mut connection = Connection::new(&self.cluster.nodes[0].url())?;
        let mut ids = Vec::new();
        for number in 0..QUESTIONS {
            let leaf = Digest::tagged(b"bench-leaf", &[&number.to_be_bytes()]).prefix_u64() % status.log_size;
            let page: Value = connection.get(&format!("/v1/records?limit=1&cursor={leaf}"))?;
            ids.extend(page["items"][0]["record"].as_str().map(str::to_owned));
        }
        let absent = |number: u64| Digest::tagged(b"bench-absent", &[&number.to_be_bytes()]).to_string();
        type Path<'a> = Box<dyn Fn(u64, &str) -> String + 'a>;
        let kinds: [(&'static str, &str, Path<'_>); 5] = [
            ("ledger-get", "a record", Box::new(|_, id| format!("/v1/records/{id}"))),
            ("ledger-history", "its history", Box::new(|_, id| format!("/v1/records/{id}/history"))),
            ("ledger-receipt", "its receipt", Box::new(|_, id| format!("/v1/records/{id}/receipt"))),
            (
                "ledger-inclusion",
                "the proof of its head in the state",
                Box::new(|_, id| format!("/v1/state/record:{id}/proof")),
            ),
            (
                "ledger-exclusion",
                "the proof that a record is not there",
                Box::new(|number, _| format!("/v1/state/record:{}/proof", absent(number))),
            ),
        ];
        for (figure, what, path) in kinds {
            let mut times = Vec::new();
            for (number, id) in (0..).zip(&ids) {
                stop::check()?;
                let path = path(number, id);
                let start = Instant::now();
                let _: Value = connection.get(&path)?;
                times.push(start.elapsed());
            }
            let times = Times::new(times);
            let remark = format!("p50 / p99 of {} answers: {what}, of {} records", times.len(), self.records);
            let (value, json) = (times.text(), times.json());
            self.row(figure, value, remark, json);
        }
        Ok(())
    }

    fn audit(&mut self) -> BenchResult {
        let status = self.status(0)?;
        let start = Instant::now();
        let output =
            self.cluster.city(&["audit", "chain", "--no-memory", "-o", "json", "--timeout", "1800s"]);
        let seconds = start.elapsed().as_secs_f64();
        succeeded(&output)?;
        let said: Value = serde_json::from_slice(&output.stdout)?;
        let count = said["signatures"].as_u64().ok_or("the audit says no number of signatures")?;
        let per_second = rate(self.records, seconds);
        let signatures = rate(count, seconds);
        let permille = signatures * 1000 / self.limits.verify_one.max(1);
        let remark = format!(
            "records a second, from the genesis, in {seconds:.1} s; {count} signatures verified, those of validators among \
             them: {signatures} a second are {}.{} % of the {} that one core verifies",
            permille / 10,
            permille % 10,
            self.limits.verify_one
        );
        let json = json!({
            "seconds": seconds, "records_per_second": per_second, "blocks": status.committed,
            "verify_per_second_one_thread": self.limits.verify_one, "signatures": count,
            "signatures_per_second": signatures,
        });
        self.row("ledger-audit", format!("{per_second} /s"), remark, json);
        Ok(())
    }

    /// What one validator stores, family by family.
    fn disk(&mut self) -> BenchResult {
        self.stop(1)?;
        let output = self.cluster.nodes[1].run("storage usage --json");
        succeeded(&output)?;
        let usage: Value = serde_json::from_slice(&output.stdout)?;
        let mut parts: Vec<(String, u64)> = Vec::new();
        for store in ["consensus", "ledger"] {
            for one in usage[store].as_array().into_iter().flatten() {
                let bytes = |name: &str| one[name].as_u64().unwrap_or(0);
                let name = one["name"].as_str().unwrap_or_default();
                parts.push((format!("{store}/{name}"), bytes("table_bytes") + bytes("value_bytes")));
            }
        }
        let total: u64 = parts.iter().map(|(_, bytes)| bytes).sum();
        let of = |names: &[&str]| -> u64 {
            let of = parts.iter().filter(|(name, _)| names.contains(&name.as_str()));
            of.map(|(_, bytes)| bytes).sum()
        };
        let shares = [
            ("batches with bodies and signatures", of(&["consensus/batches"])),
            ("record log", of(&["ledger/leaves", "ledger/hashes"])),
            ("state tree", of(&["ledger/tree", "ledger/stale", "ledger/replaced"])),
            ("state", of(&["ledger/state"])),
            (
                "indexes and outcomes",
                of(&[
                    "ledger/records",
                    "ledger/lists",
                    "ledger/txs",
                    "ledger/digests",
                    "ledger/ordered",
                    "ledger/outcomes",
                ]),
            ),
        ];
        let share = |bytes: u64| bytes * 1000 / total.max(1);
        let text = shares.iter().map(|(name, bytes)| {
            let share = share(*bytes);
            format!("{name} {} bytes, {}.{} %", bytes / self.records, share / 10, share % 10)
        });
        let text: Vec<String> = text.collect();
        let remark = format!("of tables and values for each record and node: {}", text.join("; "));
        let json = json!({ "records": self.records, "usage": usage });
        self.row("ledger-disk", format!("{} bytes", total / self.records), remark, json);
        self.cluster.nodes[1].start();
        self.cluster.wait_caught_up(1);
        Ok(())
    }

    /// A validator that was stopped, and one that was killed, until it votes and stands where the others are.
    fn restarts(&mut self) -> BenchResult {
        for kill in [false, true] {
            if kill {
                self.cluster.nodes[1].kill();
            } else {
                self.stop(1)?;
            }
            let start = Instant::now();
            self.cluster.nodes[1].start();
            self.cluster.wait_caught_up(1);
            let seconds = start.elapsed().as_secs_f64();
            let (figure, how) = match kill {
                false => ("ledger-restart", "SIGTERM"),
                true => ("ledger-restart-killed", "kill -9"),
            };
            let remark = format!("from the start after {how} until it voted and stood where the others did");
            self.row(figure, format!("{seconds:.1} s"), remark, json!({ "seconds": seconds }));
        }
        Ok(())
    }

    /// A validator without a ledger executes everything again, to the same root.
    fn rebuild(&mut self) -> BenchResult {
        self.stop(1)?;
        self.cluster.nodes[1].delete_ledger();
        let start = Instant::now();
        self.cluster.nodes[1].start();
        let agreed = self.executed(1);
        let seconds = start.elapsed().as_secs_f64();
        let remark = format!(
            "to execute {} blocks from the genesis again, {} records a second; root {} as at the others",
            agreed.committed,
            rate(self.records, seconds),
            agreed.exec_root
        );
        let json = json!({ "seconds": seconds, "root": agreed.exec_root });
        self.row("ledger-rebuild", format!("{seconds:.1} s"), remark, json);
        Ok(())
    }

    /// A node that has nothing takes a snapshot of the others, and stands where they do.
    fn join(&mut self) -> BenchResult {
        let last = self.cluster.nodes.len() - 1;
        self.stop(last)?;
        self.cluster.nodes[last].delete_data();
        succeeded(&self.cluster.nodes[last].run("init"))?;
        let start = Instant::now();
        let fetched = self.cluster.nodes[last].run("snapshot fetch");
        let fetch = start.elapsed().as_secs_f64();
        succeeded(&fetched)?;
        let text = said(&fetched);
        let line = text.lines().find(|line| line.contains("chunks")).unwrap_or_default().to_owned();
        self.cluster.nodes[last].start();
        self.executed(last);
        let seconds = start.elapsed().as_secs_f64();
        let remark =
            format!("until it stood where the others did, {fetch:.1} s of it for the snapshot: {line}");
        let json = json!({ "seconds": seconds, "fetch_seconds": fetch });
        self.row("ledger-join", format!("{seconds:.1} s"), remark, json);
        Ok(())
    }

    /// Waits until one validator has executed what the others have.
    fn executed(&self, at: usize) -> NodeStatus {
        wait_for("the same root", PATIENCE, || {
            let other = usize::from(at == 0);
            let (one, two) = (self.cluster.nodes[at].status()?, self.cluster.nodes[other].status()?);
            let same = one.executed == one.committed && one.committed == two.committed;
            (same && one.exec_root == two.exec_root).then_some(one)
        })
    }

    fn stop(&mut self, at: usize) -> BenchResult {
        stop::check()?;
        self.cluster.nodes[at].terminate();
        match self.cluster.nodes[at].ended_within(PATIENCE) {
            Some(status) if status.success() => Ok(()),
            other => Err(format!("{} ended with {other:?}", self.cluster.nodes[at].name).into()),
        }
    }

    fn status(&self, at: usize) -> BenchResult<NodeStatus> {
        Ok(self.cluster.nodes[at].status().ok_or("a node gives no status")?)
    }
}

fn succeeded(output: &Output) -> BenchResult {
    if output.status.success() { Ok(()) } else { Err(said(output).into()) }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate, rounded down"
)]
fn rate(count: u64, seconds: f64) -> u64 {
    (count as f64 / seconds.max(0.001)) as u64
}
