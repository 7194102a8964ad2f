//! What goes wrong in a run, drawn from its seed in the ranges that TigerBeetle's VOPR uses
//! (reliability 1): loss up to 30 %, replay up to 50 %, clogs up to 5 s in the mean, torn writes at 80 to
//! 100 % of crashes.

use serde::{Deserialize, Serialize};

use super::byzantine::Lie;
use super::network::Map;
use super::random::Random;

/// The kinds and rates of faults of one run. Times are virtual milliseconds unless named otherwise; a mean
/// time of 0 means never.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// Where the validators stand.
    pub map: Map,
    /// Messages lost, per mille.
    pub loss_per_mille: u64,
    /// Messages delivered twice, per mille.
    pub duplicate_per_mille: u64,
    /// Messages that take up to five times as long as others, per mille.
    pub reorder_per_mille: u64,
    /// Links that are three to ten times slower for the whole run, per mille.
    pub slow_links_per_mille: u64,
    /// Mean time between two clogs: one link holds everything back for a while.
    pub clog_every_ms: u64,
    /// Mean length of a clog.
    pub clog_mean_ms: u64,
    /// Mean time between partitions.
    pub partition_every_ms: u64,
    /// How long a partition lasts.
    pub partition_ms: (u64, u64),
    /// Mean time between two swizzles: validators lose their links one by one, and get them back in
    /// another order.
    pub swizzle_every_ms: u64,
    /// Delay of a synced write, microseconds.
    pub sync_us: (u64, u64),
    /// Synced writes that take up to two seconds, per mille.
    pub stall_per_mille: u64,
    /// Mean time between crashes.
    pub crash_every_ms: u64,
    /// How long a crashed validator stays away.
    pub down_ms: (u64, u64),
    /// Crashes that lose unsynced writes if there are any, per mille.
    pub torn_per_mille: u64,
    /// Crashes between two actions of one step, per mille.
    pub boundary_per_mille: u64,
    /// Crashes that begin with a failed write, per mille: the disk is full and nothing of it is kept.
    pub disk_full_per_mille: u64,
    /// Restarts that also lose the ledger store, per mille.
    pub ledger_loss_per_mille: u64,
    /// Crashes that take every validator at once, per mille.
    pub blackout_per_mille: u64,
    /// Clock skew of a validator, at most, either way.
    pub skew_ms: u64,
    /// Mean time between two changes of the validator set.
    pub churn_every_ms: u64,
    /// Closing blocks whose proposal is followed by a cut through the validators, per mille.
    pub closing_cut_per_mille: u64,
    /// Mean time between two submissions.
    pub submit_every_ms: u64,
    /// Whether the first validator to crash also loses its safety record. One of the f.
    pub record_lost: bool,
    /// Whether one validator is once restarted with an old copy of its store. One of the f.
    pub snapshot: bool,
    /// Whether a second node with the key of one validator is started. One of the f.
    pub twin: bool,
    /// Validators that lie, each in its way, from the highest index down. Together with the three above at
    /// most f.
    pub liars: Vec<Lie>,
}

impl Default for Faults {
    fn default() -> Self {
        Self::none()
    }
}

/// How hard a run is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing goes wrong.
    Calm,
    /// Differs from seed to seed: calm, lossy, slow, crashing, partitioned, and all at once.
    #[default]
    Drawn,
    /// Everything at once.
    Harsh,
}

/// A kind of fault that can be switched off, to find what a failing seed needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FaultKind {
    /// Lost messages.
    Loss,
    /// Messages delivered twice.
    Duplication,
    /// Messages out of order.
    Reordering,
    /// Slow links.
    SlowLinks,
    /// Links that hold everything back.
    Clogs,
    /// Partitions.
    Partitions,
    /// Links stopped one by one.
    Swizzles,
    /// Slow synced writes.
    SlowDisk,
    /// Crashes of every kind.
    Crashes,
    /// Crashes that lose writes.
    TornWrites,
    /// Crashes between actions.
    Boundaries,
    /// Failed writes.
    DiskFull,
    /// Lost ledger stores.
    LedgerLoss,
    /// All down at once.
    Blackouts,
    /// Skewed clocks.
    Skew,
    /// A lost safety record.
    RecordLost,
    /// An old copy of a store.
    Snapshot,
    /// A second node with one key.
    Twin,
    /// The last liar.
    Liar,
    /// Distance between validators.
    Distance,
    /// Changes of the validator set.
    Churn,
    /// Cuts at the end of an epoch.
    ClosingCuts,
}

impl FaultKind {
    /// Every kind.
    pub const ALL: [Self; 22] = [
        Self::Churn,
        Self::ClosingCuts,
        Self::Liar,
        Self::Twin,
        Self::Snapshot,
        Self::RecordLost,
        Self::Crashes,
        Self::Blackouts,
        Self::TornWrites,
        Self::Boundaries,
        Self::DiskFull,
        Self::LedgerLoss,
        Self::Partitions,
        Self::Swizzles,
        Self::Clogs,
        Self::SlowLinks,
        Self::Loss,
        Self::Duplication,
        Self::Reordering,
        Self::SlowDisk,
        Self::Skew,
        Self::Distance,
    ];
}

impl Faults {
    /// None at all, on a metropolitan network.
    pub fn none() -> Self {
        Self {
            map: Map::Metro,
            loss_per_mille: 0,
            duplicate_per_mille: 0,
            reorder_per_mille: 0,
            slow_links_per_mille: 0,
            clog_every_ms: 0,
            clog_mean_ms: 0,
            partition_every_ms: 0,
            partition_ms: (0, 0),
            swizzle_every_ms: 0,
            sync_us: (200, 1_500),
            stall_per_mille: 0,
            crash_every_ms: 0,
            down_ms: (0, 0),
            torn_per_mille: 0,
            boundary_per_mille: 0,
            disk_full_per_mille: 0,
            ledger_loss_per_mille: 0,
            blackout_per_mille: 0,
            skew_ms: 0,
            churn_every_ms: 0,
            closing_cut_per_mille: 0,
            submit_every_ms: 300,
            record_lost: false,
            snapshot: false,
            twin: false,
            liars: Vec::new(),
        }
    }

    /// A profile of this level for `n` validators, with at most `liars` that lie; `None` leaves that to the
    /// seed, too. One seed in ten of the drawn level is calm.
    pub fn draw(level: Level, n: u16, liars: Option<usize>, random: &mut Random) -> Self {
        let faults = chain_core::committee::faults(usize::from(n));
        let mut drawn = match level {
            Level::Calm => Self::none(),
            Level::Drawn if random.chance(100) => Self { map: random.pick(&Map::ALL), ..Self::none() },
            Level::Drawn => Self::drawn(random),
            Level::Harsh => Self::harsh(random),
        };
        // What counts against f: who lies, and what comes back without its memory or twice.
        let mut left = faults;
        if level != Level::Calm {
            let lie = liars.unwrap_or_else(|| match random.index(10) {
                0..4 => 0,
                4..7 => random.index(faults + 1),
                _ => faults,
            });
            drawn.liars = (0..lie.min(faults)).map(|_| Lie::ALL[random.index(Lie::ALL.len())]).collect();
            left -= drawn.liars.len();
            for ill in [&mut drawn.record_lost, &mut drawn.snapshot, &mut drawn.twin] {
                *ill = left > 0 && random.chance(300);
                left -= usize::from(*ill);
            }
        }
        if level == Level::Drawn && random.chance(300) {
            drawn = drawn.with_churn(random);
        }
        drawn
    }

    /// The same with changes of the validator set.
    #[must_use]
    pub fn with_churn(self, random: &mut Random) -> Self {
        Self { churn_every_ms: random.pick(&[20_000, 35_000, 60_000]), closing_cut_per_mille: 500, ..self }
    }

    /// Each kind with its own chance and its own strength.
    fn drawn(random: &mut Random) -> Self {
        let some = |random: &mut Random, per_mille: u64, values: &[u64]| {
            if random.chance(per_mille) { random.pick(values) } else { 0 }
        };
        let map = random.pick(&Map::ALL);
        Self {
            map,
            loss_per_mille: some(random, 600, &[5, 5, 30, 30, 100, 300]),
            duplicate_per_mille: some(random, 500, &[20, 100, 500]),
            reorder_per_mille: some(random, 500, &[10, 100, 300]),
            slow_links_per_mille: some(random, 300, &[50, 200]),
            clog_every_ms: some(random, 500, &[2_000, 10_000, 30_000]),
            clog_mean_ms: random.pick(&[200, 1_000, 5_000]),
            partition_every_ms: some(random, 750, &[20_000, 30_000, 80_000]),
            partition_ms: (300, 15_000),
            swizzle_every_ms: some(random, 300, &[40_000, 120_000]),
            sync_us: if random.chance(100) { (5_000, 80_000) } else { (200, 3_000) },
            stall_per_mille: some(random, 200, &[1, 5]),
            crash_every_ms: some(random, 800, &[15_000, 25_000, 60_000]),
            down_ms: (200, 12_000),
            torn_per_mille: random.between(800, 1_000),
            boundary_per_mille: 250,
            disk_full_per_mille: some(random, 500, &[30, 100]),
            ledger_loss_per_mille: 100,
            blackout_per_mille: 60,
            skew_ms: random.pick(&[0, 50, 200, 500]),
            submit_every_ms: random.pick(&[200, 500, 1_500]),
            ..Self::none()
        }
    }

    fn harsh(random: &mut Random) -> Self {
        Self {
            map: random.pick(&Map::ALL),
            loss_per_mille: random.between(50, 300),
            duplicate_per_mille: random.between(50, 500),
            reorder_per_mille: random.between(50, 300),
            slow_links_per_mille: 200,
            clog_every_ms: 2_000,
            clog_mean_ms: random.between(500, 5_000),
            partition_every_ms: 20_000,
            partition_ms: (300, 15_000),
            swizzle_every_ms: 40_000,
            sync_us: (500, 20_000),
            stall_per_mille: 5,
            crash_every_ms: 10_000,
            down_ms: (200, 12_000),
            torn_per_mille: random.between(800, 1_000),
            boundary_per_mille: 300,
            disk_full_per_mille: 100,
            ledger_loss_per_mille: 200,
            blackout_per_mille: 100,
            skew_ms: 500,
            submit_every_ms: 200,
            ..Self::none()
        }
    }

    /// The same without one kind; `None` when there was nothing of it.
    pub fn without(&self, kind: FaultKind) -> Option<Self> {
        let calm = Self::none();
        let mut less = self.clone();
        match kind {
            FaultKind::Loss => less.loss_per_mille = 0,
            FaultKind::Duplication => less.duplicate_per_mille = 0,
            FaultKind::Reordering => less.reorder_per_mille = 0,
            FaultKind::SlowLinks => less.slow_links_per_mille = 0,
            FaultKind::Clogs => less.clog_every_ms = 0,
            FaultKind::Partitions => less.partition_every_ms = 0,
            FaultKind::Swizzles => less.swizzle_every_ms = 0,
            FaultKind::SlowDisk => (less.sync_us, less.stall_per_mille) = (calm.sync_us, 0),
            FaultKind::Crashes => less.crash_every_ms = 0,
            FaultKind::TornWrites => less.torn_per_mille = 0,
            FaultKind::Boundaries => less.boundary_per_mille = 0,
            FaultKind::DiskFull => less.disk_full_per_mille = 0,
            FaultKind::LedgerLoss => less.ledger_loss_per_mille = 0,
            FaultKind::Blackouts => less.blackout_per_mille = 0,
            FaultKind::Skew => less.skew_ms = 0,
            FaultKind::RecordLost => less.record_lost = false,
            FaultKind::Snapshot => less.snapshot = false,
            FaultKind::Twin => less.twin = false,
            FaultKind::Liar => {
                less.liars.pop();
            }
            FaultKind::Distance => less.map = calm.map,
            FaultKind::Churn => less.churn_every_ms = 0,
            FaultKind::ClosingCuts => less.closing_cut_per_mille = 0,
        }
        (less != *self).then_some(less)
    }

    /// How many validators this profile counts among the f.
    pub fn ill(&self) -> usize {
        self.liars.len() + usize::from(self.record_lost) + usize::from(self.snapshot) + usize::from(self.twin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_never_asks_for_more_than_f() {
        let (mut calm, mut full) = (0, 0);
        for seed in 0..2_000 {
            for n in [4, 5, 7, 10] {
                let f = chain_core::committee::faults(usize::from(n));
                let mut random = Random::fork(seed, b"faults");
                for level in [Level::Drawn, Level::Harsh] {
                    let faults = Faults::draw(level, n, None, &mut random);
                    assert!(faults.ill() <= f, "seed {seed} n {n}: {faults:?}");
                    full += usize::from(faults.ill() == f);
                    calm += usize::from(faults.crash_every_ms + faults.partition_every_ms == 0);
                }
                let asked = Faults::draw(Level::Drawn, n, Some(9), &mut random);
                assert_eq!(asked.liars.len(), f, "as many liars as f when more are asked for");
            }
        }
        assert!(calm > 200 && full > 2_000, "{calm} calm, {full} full");
    }

    #[test]
    fn every_kind_can_be_switched_off() {
        let mut faults = Faults::harsh(&mut Random::new(3));
        faults.map = Map::Intercontinental;
        (faults.record_lost, faults.snapshot, faults.twin) = (true, true, true);
        faults.liars = vec![Lie::Equivocate];
        faults = faults.with_churn(&mut Random::new(3));
        for kind in FaultKind::ALL {
            faults = faults.without(kind).unwrap_or_else(|| panic!("{kind:?} was not there"));
            assert_eq!(faults.without(kind), None, "{kind:?} is gone");
        }
    }
}
