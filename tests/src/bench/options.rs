//! What is measured, for how long, and on which network.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::fault::Fault;

/// One figure, or a pair that belongs together.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, ValueEnum)]
pub enum Figure {
    /// Signatures a second and synced writes a second of this machine, without a ledger
    Limits,
    /// Records a second, one signature a record
    ThroughputOne,
    /// Records a second, a hundred records a signature
    ThroughputHundred,
    /// Time from submit to final with one transaction at a time
    LatencyIdle,
    /// Time from submit to final at half of the throughput reached with one signature a record
    LatencyHalf,
    /// Memory of each node, idle and after the load
    Memory,
    /// Bytes on the disk for each record and node
    Disk,
}

/// Measure a network of validators, clients included
///
/// Without options it makes a network of its own in a temporary folder, measures every figure with no and
/// with one faulty validator, prints a table and removes the network.
///
/// ```text
/// city-bench
/// city-bench --figure throughput-one --duration 60 --window 1024 --faulty 0
/// city-bench --dir devnet --json figures.json
/// city-bench leader-faults --count 500
/// city-bench outage --minutes 10
/// city-bench slow
/// city-bench ledger --records 1000000
/// city-bench rules
/// city-bench lives --records 10000
/// ```
#[derive(Clone, Debug, Parser)]
#[command(name = "city-bench", version, verbatim_doc_comment, args_conflicts_with_subcommands = true)]
pub struct Options {
    /// What is done to the validators while records are filed; nothing when absent
    #[command(subcommand)]
    pub trial: Option<Trial>,
    /// Measure this figure only; repeat it for several
    #[arg(long = "figure", value_enum, value_name = "NAME")]
    pub figures: Vec<Figure>,
    /// Seconds of each measurement, after the warm-up
    #[arg(long, default_value_t = 20, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub duration: u64,
    /// Seconds of load before each measurement
    #[arg(long, default_value_t = 5, value_name = "S", value_parser = clap::value_parser!(u64).range(0..=600))]
    pub warm_up: u64,
    /// Transactions under way at once, one signature a record
    #[arg(long, default_value_t = 512, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=900))]
    pub window: u16,
    /// Transactions under way at once, a hundred records a signature
    #[arg(long, default_value_t = 48, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=900))]
    pub window_hundred: u16,
    /// Records a second for `latency-half`; half of the measured throughput when absent
    #[arg(long, value_name = "RATE")]
    pub load: Option<u64>,
    /// How many validators are dead: 0, 1, or both in turn when absent
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=1))]
    pub faulty: Option<u16>,
    /// Records a second that transactions are signed for beforehand, one signature a record
    #[arg(long, default_value_t = 8_000, value_name = "RATE")]
    pub ceiling: u64,
    /// Records a second that transactions are signed for beforehand, a hundred records a signature
    #[arg(long, default_value_t = 40_000, value_name = "RATE")]
    pub ceiling_hundred: u64,
    /// A development network that exists and runs; it is left running
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Nodes of another network, in place of a development network's; wants --genesis and --keys
    #[arg(
        long = "node",
        value_name = "URL",
        requires = "genesis",
        requires = "keys",
        conflicts_with = "dir"
    )]
    pub nodes: Vec<String>,
    /// Genesis of that network
    #[arg(long, value_name = "FILE", requires = "nodes")]
    pub genesis: Option<PathBuf>,
    /// Key ring with clerks of that network
    #[arg(long, value_name = "DIR", requires = "nodes")]
    pub keys: Option<PathBuf>,
    /// Folder under which the own network is made: its disk is the one measured
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub work: PathBuf,
    /// First port of the own network
    #[arg(long, default_value_t = 7600, value_parser = clap::value_parser!(u16).range(1024..65000))]
    pub base_port: u16,
    /// Keep the own network's folder
    #[arg(long)]
    pub keep: bool,
    /// Write the figures as JSON
    #[arg(long, value_name = "FILE", global = true)]
    pub json: Option<PathBuf>,
}

/// Figures of a network to which something is done. Its folder stands in the system's folder for temporary files
/// (`TMPDIR`).
#[derive(Clone, Debug, Subcommand)]
pub enum Trial {
    /// Kill and freeze leaders in turn: time to the next final block
    LeaderFaults {
        /// How many leaders
        #[arg(long, default_value_t = 500, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
        count: u32,
    },
    /// Kill f+1 validators, start them again one by one: time to the next final block
    Outage {
        /// Minutes without a quorum
        #[arg(long, default_value_t = 10, value_name = "MIN", value_parser = clap::value_parser!(u64).range(1..=1440))]
        minutes: u64,
    },
    /// File many records: disk, latency of answers and proofs, audit, restart, re-execution, joining with a snapshot
    Ledger {
        /// How many
        #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
        records: u64,
    },
    /// Judge records of core types by their rules and bodies by their schemas: time for each beside a signature
    Rules,
    /// End a record on which many others rest, and erase many bodies: blocks, time, and what others notice
    Lives {
        /// How many rest on it, and how many bodies
        #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
        records: u32,
    },
    /// One validator crashed, frozen, starved or with a slow disk: records a second over a tour of leaders
    Slow(SlowOptions),
}

/// How one slow validator is measured.
#[derive(Args, Clone, Debug)]
pub struct SlowOptions {
    /// Do this only; repeat it for several
    #[arg(
        long = "fault",
        value_enum,
        value_name = "NAME",
        default_values = ["crashed", "frozen", "starved", "slow-disk"]
    )]
    pub faults: Vec<Fault>,
    /// Records a second that are offered; half of the healthy maximum, measured first, when absent
    #[arg(long, value_name = "RATE", value_parser = clap::value_parser!(u64).range(1..))]
    pub load: Option<u64>,
    /// Seconds that are counted: four terms of a minute, and some
    #[arg(long, default_value_t = 250, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=36_000))]
    pub tour: u64,
    /// Seconds of load before
    #[arg(long, default_value_t = 5, value_name = "S", value_parser = clap::value_parser!(u64).range(0..=600))]
    pub warm_up: u64,
}

impl Options {
    /// Whether a figure is asked for.
    pub(super) fn wants(&self, figure: Figure) -> bool {
        self.figures.is_empty() || self.figures.contains(&figure)
    }

    /// Length of a measurement.
    pub(super) fn duration(&self) -> Duration {
        Duration::from_secs(self.duration)
    }

    /// Load before it.
    pub(super) fn warm_up(&self) -> Duration {
        Duration::from_secs(self.warm_up)
    }

    /// Numbers of dead validators to measure with.
    pub(super) fn faults(&self) -> Vec<u16> {
        self.faulty.map_or_else(|| vec![0, 1], |faulty| vec![faulty])
    }
}
