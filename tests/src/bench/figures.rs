//! What is measured, in which order.

use std::time::Duration;

use serde_json::json;

use chain_core::api::NodeStatus;

use super::city::{BODY_BYTES, City};
use super::client::{Connection, Trust};
use super::leader_faults::strike_leaders;
use super::limits::Limits;
use super::load::{self, Measured, Pace, Span};
use super::machine::Machine;
use super::network::Network;
use super::options::{Figure, Options, Trial};
use super::outage::outage;
use super::output::{Row, Table};
use super::{BenchResult, ledger, lives, rules, slow, stop};
use crate::cluster::Cluster;

/// Records of one transaction in the second kind of load.
const HUNDRED: u64 = 100;
/// Most clients of an open load.
const OPEN_CLIENTS_MAX: u64 = 900;

/// Runs the measurements that the options ask for.
///
/// # Errors
/// When the network does not come up, refuses the records, or a proof does not verify.
pub fn run(options: &Options) -> BenchResult {
    stop::install()?;
    if let Some(trial) = &options.trial {
        return show(&tried(trial)?, options);
    }
    eprintln!("network: starting");
    let network = Network::open(options)?;
    let city = City::open(&network.genesis, &network.keys)?;
    let trust = Trust::new(network.genesis.clone());
    eprintln!("limits of this machine: {} s", 6);
    let limits = Limits::measure(&network.folder())?;
    let mut bench = Bench { options, network, city, trust, limits, rows: Vec::new(), filed: 0 };
    bench.measure()?;
    show(&bench.table(), options)
}

fn show(table: &Table, options: &Options) -> BenchResult {
    print!("{}", table.text());
    if let Some(path) = &options.json {
        table.write(path)?;
    }
    Ok(())
}

/// Does something to the validators of a network of its own, or of several.
fn tried(trial: &Trial) -> BenchResult<Table> {
    let rows = match trial {
        Trial::LeaderFaults { count } => strike_leaders(&mut Cluster::up(), *count)?.rows(),
        Trial::Outage { minutes } => {
            vec![outage(&mut Cluster::up(), Duration::from_secs(minutes * 60))?.row()]
        }
        Trial::Slow(options) => slow::measure(options)?,
        Trial::Ledger { records } => ledger::measure(*records)?,
        Trial::Rules => rules::measure()?,
        Trial::Lives { records } => lives::measure(*records)?,
    };
    let nodes = "4 validators and the clients on this machine";
    let (nodes, records) = match trial {
        Trial::Rules => ("none: one thread of this program", "of the sample city"),
        Trial::Lives { .. } => (nodes, "credit.measure and egov.doc_fingerprint, a hundred a signature"),
        Trial::Ledger { .. } => (nodes, "egov.doc_fingerprint, class P0, a hundred a signature"),
        _ => (nodes, "egov.doc_fingerprint, class P0, one a signature"),
    };
    let setting = vec![("nodes", nodes.to_owned()), ("records", records.to_owned())];
    Ok(Table { machine: Machine::here(), setting, rows })
}

struct Bench<'o> {
    options: &'o Options,
    network: Network,
    city: City,
    trust: Trust,
    limits: Limits,
    rows: Vec<Row>,
    /// Records filed in this run.
    filed: u64,
}

impl Bench<'_> {
    fn measure(&mut self) -> BenchResult {
        if self.options.wants(Figure::Limits) {
            self.limits_rows();
        }
        let memory_before = self.network.resident_kib();
        for faulty in self.options.faults() {
            if faulty > 0 && !self.network.is_ours() {
                eprintln!("faulty {faulty}: left out, these validators are not on this machine to be killed");
                continue;
            }
            if faulty > 0 {
                self.network.kill_one()?;
            }
            self.under(faulty)?;
            self.network.restart_killed()?;
        }
        let stored = self.options.wants(Figure::Disk) || self.options.wants(Figure::Memory);
        if stored && self.filed == 0 {
            self.throughput(Figure::ThroughputOne, 0)?;
        }
        if self.options.wants(Figure::Memory) {
            self.memory(&memory_before);
        }
        if self.options.wants(Figure::Disk) {
            self.disk()?;
        }
        Ok(())
    }

    fn under(&mut self, faulty: u16) -> BenchResult {
        let mut reached = None;
        if self.options.wants(Figure::ThroughputOne) {
            reached = Some(self.throughput(Figure::ThroughputOne, faulty)?);
        }
        if self.options.wants(Figure::ThroughputHundred) {
            self.throughput(Figure::ThroughputHundred, faulty)?;
        }
        if self.options.wants(Figure::LatencyIdle) {
            self.latency_idle(faulty)?;
        }
        if self.options.wants(Figure::LatencyHalf) {
            let load = match (self.options.load, reached) {
                (Some(load), _) => load,
                (None, Some(reached)) => reached / 2,
                (None, None) => self.throughput(Figure::ThroughputOne, faulty)? / 2,
            };
            self.latency_half(faulty, load.max(1))?;
        }
        Ok(())
    }

    fn span(&self) -> Span {
        Span { warm_up: self.options.warm_up(), duration: self.options.duration() }
    }

    /// Signs what a rate needs, sends it, and counts.
    fn load(&mut self, what: &str, rate: u64, each: u64, pace: Pace, span: Span) -> BenchResult<Measured> {
        let seconds = (span.warm_up + span.duration).as_secs().max(1);
        eprintln!("{what}: signing {} records beforehand", rate * seconds);
        let pool = self.city.sign(rate * seconds, each)?;
        eprintln!("{what}: {} s of load, {} s counted", seconds, span.duration.as_secs());
        let urls = self.network.urls();
        let measured = load::run(&urls, &self.trust, &pool, pace, span)?;
        self.filed += measured.filed;
        // Refused records would be final as well, and cheap: the ledger must have accepted them.
        let mut connection = Connection::new(&urls[0])?;
        connection.accepted(&pool[0].tx)?;
        if measured.records == 0 {
            return Err(format!("{what}: nothing became final").into());
        }
        Ok(measured)
    }

    fn status(&self) -> BenchResult<NodeStatus> {
        let url = self.network.urls().into_iter().next().ok_or("no validator runs")?;
        Connection::new(&url)?.get("/v1/status")
    }

    fn height(&self) -> BenchResult<u64> {
        Ok(self.status()?.committed.get())
    }

    fn throughput(&mut self, figure: Figure, faulty: u16) -> BenchResult<u64> {
        let (name, each, window, ceiling) = match figure {
            Figure::ThroughputHundred => {
                ("throughput-hundred", HUNDRED, self.options.window_hundred, self.options.ceiling_hundred)
            }
            _ => ("throughput-one", 1, self.options.window, self.options.ceiling),
        };
        let before = self.height()?;
        let measured = self.load(name, ceiling, each, Pace::Window(window), self.span())?;
        let blocks = self.height()?.saturating_sub(before);
        let rate = measured.per_second();
        let nodes = self.network.urls().len() as u64;
        let share = self.limits.share(rate / each, nodes);
        let mut remark = format!(
            "{window} transactions of {each} under way, final {}, {share:.1} % of the signature limit",
            measured.times.text()
        );
        // A rate over a moment is no figure.
        if measured.ran_out && measured.seconds < self.span().duration.as_secs_f64() / 2.0 {
            let detail =
                format!("the signed transactions ran out {:.1} s after the warm-up", measured.seconds);
            let option = if each == 1 { "--ceiling" } else { "--ceiling-hundred" };
            return Err(format!("{name}: {detail}; raise {option} above {ceiling}").into());
        }
        if measured.ran_out {
            remark.push_str(&format!(
                "; counted for {:.1} s, then the signed transactions ran out",
                measured.seconds
            ));
        }
        self.rows.push(Row {
            figure: name,
            faulty,
            value: format!("{rate} records/s"),
            remark,
            json: json!({
                "records_per_second": rate,
                "records": measured.records,
                "seconds": measured.seconds,
                "records_per_signature": each,
                "window": window,
                "submit_to_final": measured.times.json(),
                "share_of_signature_limit_percent": share,
                "blocks": blocks,
                "pushed_back": measured.pushed_back,
                "ran_out": measured.ran_out,
            }),
        });
        Ok(rate)
    }

    fn latency_idle(&mut self, faulty: u16) -> BenchResult {
        let measured = self.load("latency-idle", 1_000, 1, Pace::Window(1), self.span())?;
        self.latency("latency-idle", faulty, &measured, "one transaction at a time".to_owned());
        Ok(())
    }

    fn latency_half(&mut self, faulty: u16, load: u64) -> BenchResult {
        let clients = u16::try_from((load / 2).clamp(16, OPEN_CLIENTS_MAX)).unwrap_or(u16::MAX);
        let pace = Pace::Rate { per_second: load, clients };
        let measured = self.load("latency-half", load, 1, pace, self.span())?;
        let remark = format!(
            "{load} records/s offered, {} reached, timed from when each was due",
            measured.per_second()
        );
        self.latency("latency-half", faulty, &measured, remark);
        Ok(())
    }

    fn latency(&mut self, figure: &'static str, faulty: u16, measured: &Measured, remark: String) {
        self.rows.push(Row {
            figure,
            faulty,
            value: measured.times.text(),
            remark: format!("p50 / p99; {remark}"),
            json: json!({ "submit_to_final": measured.times.json(), "records_per_second": measured.per_second() }),
        });
    }

    fn limits_rows(&mut self) {
        let limits = &self.limits;
        self.rows.push(Row {
            figure: "limits",
            faulty: 0,
            value: format!("{} signatures/s", limits.verify_all),
            remark: format!(
                "Ed25519 verified on all cores; {} on one; key decoded before",
                limits.verify_one
            ),
            json: limits.json(),
        });
        self.rows.push(Row {
            figure: "limits",
            faulty: 0,
            value: format!("{} synced writes/s", limits.syncs),
            remark: format!(
                "4 KiB appended with fdatasync on the disk of the network, {}",
                limits.sync.text()
            ),
            json: limits.json(),
        });
    }

    fn memory(&mut self, before: &[u64]) {
        let after = self.network.resident_kib();
        let mib = |all: &[u64]| all.iter().map(|kib| (kib / 1024).to_string()).collect::<Vec<_>>().join(" ");
        let value = format!("{} MiB", after.iter().max().copied().unwrap_or(0) / 1024);
        self.rows.push(Row {
            figure: "memory",
            faulty: 0,
            value,
            remark: format!("the largest; each before [{}], after {} records [{}]", mib(before), self.filed, mib(&after)),
            json: json!({ "resident_kib_before": before, "resident_kib_after": after, "records": self.filed }),
        });
    }

    /// Everything that the data folders hold, over everything in the log: what a load alone adds cannot be told
    /// from files that are about to be merged.
    fn disk(&mut self) -> BenchResult {
        let all = self.network.disk_bytes();
        let (bytes, nodes) = (all.iter().sum::<u64>(), (all.len() as u64).max(1));
        let records = self.status()?.log_size.max(1);
        let each = bytes / nodes / records;
        self.rows.push(Row {
            figure: "disk",
            faulty: 0,
            value: format!("{each} bytes"),
            remark: format!("a record and node, {records} records, as the disk holds them now: logs and files to be merged included"),
            json: json!({ "bytes_per_record_and_node": each, "bytes": bytes, "nodes": nodes, "records": records }),
        });
        Ok(())
    }

    fn table(&self) -> Table {
        let clients =
            "signed before the clock starts; final at the client's node, proof verified by the client";
        Table {
            machine: Machine::here(),
            setting: vec![
                ("nodes", format!("{} validators and the clients on this machine", self.network.seats.len())),
                ("records", format!("egov.doc_fingerprint, class P0, bodies of {BODY_BYTES} bytes")),
                ("counted", clients.to_owned()),
                ("span", format!("{} s after {} s of warm-up", self.options.duration, self.options.warm_up)),
            ],
            rows: self.rows.clone(),
        }
    }
}
