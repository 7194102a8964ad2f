//! One validator of four is crashed, frozen, starved or has a slow disk, at a fixed load, while every validator's term
//! as leader comes round once.
//!
//! Each fault has a network of its own, so that no measurement runs on a ledger that another one filled; the load is
//! the same for all. The clients use the three validators that nothing is done to, in the healthy measurement too.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chain_core::api::Condition;
use serde_json::json;

use super::city::City;
use super::client::{Connection, Trust};
use super::fault::Fault;
use super::load::{self, Measured, Pace, Span};
use super::options::SlowOptions;
use super::output::Row;
use super::{BenchResult, stop};
use crate::cluster::{Cluster, Node};

/// The validator that something is done to; the clients use the others.
const VICTIM: usize = 3;
/// Transactions under way while the healthy maximum is measured.
const WINDOW: u16 = 512;
/// Records a second signed beforehand for it.
const CEILING: u64 = 8_000;
/// Clients of the open load: what one node takes at once, by three, with some room.
const CLIENTS: u16 = 2_400;
/// The worst stretch is looked for with this length, in seconds.
const STRETCH: usize = 10;

/// A tour of leaders.
struct Tour {
    measured: Measured,
    /// Seconds for which each validator led, as a client's node saw it.
    led: BTreeMap<String, u32>,
    /// What that node said of the victim last.
    said: String,
    /// How the fault was made.
    means: String,
}

/// Measures the healthy network, then each fault.
///
/// # Errors
/// When the records are refused, or a proof does not verify.
pub(super) fn measure(options: &SlowOptions) -> BenchResult<Vec<Row>> {
    let mut rows = Vec::new();
    let load = match options.load {
        Some(load) => load,
        None => {
            eprintln!("healthy maximum: starting");
            let maximum = maximum()?;
            rows.push(Row {
                figure: "slow-maximum",
                faulty: 0,
                value: format!("{maximum} records/s"),
                remark: format!("healthy, {WINDOW} transactions of one record under way, 20 s; half of it is offered below"),
                json: json!({ "records_per_second": maximum }),
            });
            maximum / 2
        }
    };
    let span =
        Span { warm_up: Duration::from_secs(options.warm_up), duration: Duration::from_secs(options.tour) };
    let mut healthy = None;
    let faults = options.faults.iter().copied().map(Some);
    for fault in std::iter::once(None).chain(faults) {
        stop::check()?;
        let name = fault.map_or("slow-none", Fault::name);
        eprintln!("{name}: starting");
        let mut cluster = Cluster::up();
        let tour = match tour(&mut cluster, fault, load, span) {
            Ok(tour) => tour,
            Err(why) => {
                stop::check()?;
                rows.push(left_out(name, &why.to_string()));
                continue;
            }
        };
        cluster.assert_clean();
        let row = tour.row(fault, load, &cluster.nodes[VICTIM].name, healthy.as_ref());
        eprintln!("{name}: {}; {}", row.value, row.remark);
        rows.push(row);
        if fault.is_none() {
            healthy = Some(tour.measured);
        }
    }
    Ok(rows)
}

fn left_out(figure: &'static str, why: &str) -> Row {
    let (value, json) = ("left out".to_owned(), json!({ "left_out": why }));
    Row { figure, faulty: 1, value, remark: why.to_owned(), json }
}

/// Records a second of a healthy network, closed loop.
fn maximum() -> BenchResult<u64> {
    let cluster = Cluster::up();
    let span = Span { warm_up: Duration::from_secs(5), duration: Duration::from_secs(20) };
    let pool = City::open(&cluster.genesis, &cluster.keys)?.sign(CEILING * 25, 1)?;
    let trust = Trust::new(cluster.genesis.clone());
    Ok(load::run(&urls(&cluster), &trust, &pool, Pace::Window(WINDOW), span)?.per_second())
}

fn urls(cluster: &Cluster) -> Vec<String> {
    let others = cluster.nodes.iter().enumerate().filter(|(at, _)| *at != VICTIM);
    others.map(|(_, node)| node.url()).collect()
}

/// Signs what the load needs, does the harm, sends the load, and watches who leads.
fn tour(cluster: &mut Cluster, fault: Option<Fault>, load: u64, span: Span) -> BenchResult<Tour> {
    let seconds = (span.warm_up + span.duration).as_secs();
    eprintln!("signing {} records beforehand", load * seconds);
    let pool = City::open(&cluster.genesis, &cluster.keys)?.sign(load * seconds, 1)?;
    let trust = Trust::new(cluster.genesis.clone());
    let inflicted = fault.map(|fault| fault.inflict(cluster, VICTIM)).transpose()?;
    eprintln!("{seconds} s of load, {} s counted, {load} records/s", span.duration.as_secs());
    let over = AtomicBool::new(false);
    let (urls, victim) = (urls(cluster), cluster.nodes[VICTIM].name.clone());
    let (witness, over_told) = (&cluster.nodes[0], &over);
    let (measured, (led, said)) = std::thread::scope(|scope| {
        let watch = scope.spawn(move || watch(witness, &victim, over_told, span.warm_up));
        let pace = Pace::Rate { per_second: load, clients: CLIENTS };
        let measured = load::run(&urls, &trust, &pool, pace, span);
        over.store(true, Ordering::Relaxed);
        (measured, watch.join().unwrap_or_default())
    });
    let measured = measured?;
    Connection::new(&urls[0])?.accepted(&pool[0].tx)?;
    let means = inflicted.map_or_else(|| "nothing done".to_owned(), |done| done.means);
    Ok(Tour { measured, led, said, means })
}

/// Seconds for which each validator led once the load is warm, as one validator sees it, and what it says last of the
/// victim.
fn watch(
    witness: &Node,
    victim: &str,
    over: &AtomicBool,
    warm_up: Duration,
) -> (BTreeMap<String, u32>, String) {
    let (mut led, mut said) = (BTreeMap::new(), "nothing".to_owned());
    std::thread::sleep(warm_up);
    while !over.load(Ordering::Relaxed) {
        if let Some(status) = witness.status() {
            *led.entry(status.leader).or_insert(0) += 1;
        }
        let found = witness.why().and_then(|why| why.validators.into_iter().find(|one| one.name == victim));
        if let Some(one) = found.filter(|one| one.state != Condition::Ok) {
            said = format!("{}: {}", one.state, one.reason);
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    (led, said)
}

impl Tour {
    fn row(&self, fault: Option<Fault>, load: u64, victim: &str, healthy: Option<&Measured>) -> Row {
        let rate = self.measured.per_second();
        let worst = self.measured.worst_stretch(STRETCH);
        let share = healthy.map(|healthy| percent(rate, healthy.per_second()));
        let led: Vec<String> = self.led.iter().map(|(name, seconds)| format!("{name} {seconds} s")).collect();
        let of = share.map_or_else(String::new, |share| format!(", {share} % of healthy"));
        let max = self.measured.times.permille(1000).unwrap_or_default().as_secs_f64();
        Row {
            figure: fault.map_or("slow-none", Fault::name),
            faulty: u16::from(fault.is_some()),
            value: format!("{rate} records/s{of}"),
            remark: format!(
                "{}; {load} offered; worst {STRETCH} s {worst} records/s; p50 / p99 {}, slowest {max:.1} s; led: {}; \
                 {victim} is called {}",
                self.means,
                self.measured.times.text(),
                led.join(", "),
                self.said,
            ),
            json: json!({
                "means": self.means,
                "offered_per_second": load,
                "records_per_second": rate,
                "percent_of_healthy": share,
                "worst_stretch_per_second": worst,
                "stretch_s": STRETCH,
                "submit_to_final": self.measured.times.json(),
                "led_s": self.led,
                "said_of_victim": self.said,
                "pushed_back": self.measured.pushed_back,
                "by_second": self.measured.by_second,
            }),
        }
    }
}

/// One rate as a share of another, rounded down.
fn percent(rate: u64, of: u64) -> u64 {
    rate.saturating_mul(100) / of.max(1)
}
