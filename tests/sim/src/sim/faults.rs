//! What goes wrong in a run, drawn from its seed.

use super::random::Random;

/// The kinds and rates of faults of one run. Times are virtual milliseconds.
#[derive(Clone, Debug)]
pub struct Faults {
    /// Messages lost, per mille.
    pub loss_per_mille: u64,
    /// Messages delivered twice, per mille.
    pub duplicate_per_mille: u64,
    /// One-way delay, microseconds, drawn per message: this alone reorders.
    pub delay_us: (u64, u64),
    /// Delay of a synced write, microseconds.
    pub sync_us: (u64, u64),
    /// Mean time between crashes; 0 for none.
    pub crash_every_ms: u64,
    /// How long a crashed validator stays away.
    pub down_ms: (u64, u64),
    /// Mean time between partitions; 0 for none.
    pub partition_every_ms: u64,
    /// How long a partition lasts.
    pub partition_ms: (u64, u64),
    /// Restarts that also lose the ledger store, per mille.
    pub ledger_loss_per_mille: u64,
    /// Crashes that take every validator at once, per mille.
    pub blackout_per_mille: u64,
    /// Clock skew of a validator, at most, either way.
    pub skew_ms: u64,
    /// Leaders that sign two blocks for one slot, at most f.
    pub equivocators: usize,
    /// Mean time between two submissions.
    pub submit_every_ms: u64,
    /// Whether the first validator to crash also loses its safety record. It counts as one of the f.
    pub record_lost: bool,
}

impl Faults {
    /// None at all, on a metropolitan network.
    pub fn none() -> Self {
        Self {
            loss_per_mille: 0,
            duplicate_per_mille: 0,
            delay_us: (300, 2_000),
            sync_us: (200, 1_500),
            crash_every_ms: 0,
            down_ms: (0, 0),
            partition_every_ms: 0,
            partition_ms: (0, 0),
            ledger_loss_per_mille: 0,
            blackout_per_mille: 0,
            skew_ms: 0,
            equivocators: 0,
            submit_every_ms: 300,
            record_lost: false,
        }
    }

    /// A mix that differs from seed to seed: calm, lossy, slow, crashing, partitioned, and all at once.
    pub fn drawn(random: &mut Random) -> Self {
        let slow = random.chance(250);
        let mut faults = Self {
            loss_per_mille: [0, 5, 30, 100][random.index(4)],
            duplicate_per_mille: [0, 20, 100][random.index(3)],
            delay_us: if slow { (5_000, 60_000) } else { (300, 4_000) },
            sync_us: if random.chance(100) { (5_000, 80_000) } else { (200, 3_000) },
            crash_every_ms: [15_000, 25_000, 60_000][random.index(3)],
            down_ms: (200, 12_000),
            partition_every_ms: [20_000, 30_000, 80_000][random.index(3)],
            partition_ms: (300, 15_000),
            ledger_loss_per_mille: 100,
            blackout_per_mille: 60,
            skew_ms: [0, 50, 200][random.index(3)],
            equivocators: usize::from(random.chance(300)),
            submit_every_ms: [200, 500, 1_500][random.index(3)],
            record_lost: false,
        };
        // Liars and forgetful ones together would be more than f of four.
        faults.record_lost = random.chance(200) && faults.equivocators == 0;
        faults
    }
}
