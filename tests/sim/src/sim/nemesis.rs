//! What strikes from outside: crashes of every kind, partitions, swizzles, clogs, old copies, second nodes.

use super::ledger::SimLedger;
use super::node::Doom;
use super::world::{Due, World};

/// One strike, or the end of one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Nemesis {
    Crash,
    Partition,
    Heal {
        number: u64,
    },
    Swizzle,
    Isolate {
        seat: usize,
        isolated: bool,
    },
    Clog,
    /// A copy of a node's stores is taken.
    Copy {
        node: usize,
    },
    /// A node goes down and comes back with the copy.
    PutBack {
        node: usize,
    },
    /// A second node with a key in use starts.
    Twin,
    /// The validator set is to change.
    Churn,
}

impl World {
    /// Schedules the first strike of each kind.
    pub(super) fn begin_nemeses(&mut self) {
        self.schedule_strike(Nemesis::Crash, self.faults.crash_every_ms);
        self.schedule_strike(Nemesis::Partition, self.faults.partition_every_ms);
        self.schedule_strike(Nemesis::Swizzle, self.faults.swizzle_every_ms);
        self.schedule_strike(Nemesis::Clog, self.faults.clog_every_ms);
        self.schedule_strike(Nemesis::Churn, self.faults.churn_every_ms);
        if self.faults.twin {
            self.schedule_strike(Nemesis::Twin, 60_000);
        }
        if self.faults.snapshot {
            let node = self.random.index(self.setup_n - self.faults.liars.len().min(self.f()));
            self.schedule_strike(Nemesis::Copy { node }, 45_000);
        }
    }

    fn schedule_strike(&mut self, nemesis: Nemesis, mean_ms: u64) {
        if mean_ms > 0 && !self.calm {
            let wait = self.random.between(mean_ms / 4, mean_ms * 7 / 4) * 1_000;
            self.schedule(wait, Due::Nemesis(nemesis));
        }
    }

    pub(super) fn strike(&mut self, nemesis: Nemesis) {
        if self.calm {
            return;
        }
        match nemesis {
            Nemesis::Crash => self.crash_some(),
            Nemesis::Partition => self.split(),
            Nemesis::Heal { number } => {
                if number == self.partition {
                    self.network.mend();
                    self.note_network(|| "the partition ends".to_owned());
                }
            }
            Nemesis::Swizzle => self.swizzle(),
            Nemesis::Isolate { seat, isolated } => {
                self.network.isolate(seat, isolated);
                self.note(seat, if isolated { "loses its links" } else { "gets its links back" });
            }
            Nemesis::Clog => {
                self.report.clogs += 1;
                let seats = self.nodes.len();
                let (from, to) = (self.random.index(seats), self.random.index(seats));
                let length = self.random.exponential(self.faults.clog_mean_ms * 1_000);
                self.network.clog(from, to, self.now_us + length);
                self.note_network(|| format!("v{from} -> v{to} is clogged for {} ms", length / 1_000));
                self.schedule_strike(Nemesis::Clog, self.faults.clog_every_ms);
            }
            Nemesis::Copy { node } => self.take_copy(node),
            Nemesis::PutBack { node } => self.put_back(node),
            Nemesis::Twin => self.start_twin(),
            Nemesis::Churn => {
                self.churn.order_any();
                self.schedule_strike(Nemesis::Churn, self.faults.churn_every_ms);
            }
        }
    }

    fn crash_some(&mut self) {
        if self.random.chance(self.faults.blackout_per_mille) {
            self.report.blackouts += 1;
            for node in 0..self.nodes.len() {
                self.crash(node);
            }
        } else {
            let down = self.down();
            let node = self.random.index(self.nodes.len());
            // Now and then one more than the protocol tolerates: it must stop, and resume.
            if down < self.f() || self.random.chance(250) {
                self.doom(node);
            }
        }
        self.schedule_strike(Nemesis::Crash, self.faults.crash_every_ms);
    }

    /// Validators of the newest epoch that are down, or count among the f.
    fn down(&self) -> usize {
        let ill = |node: &usize| !self.up(*node) || self.silent(*node) || self.lies(*node);
        self.members().into_iter().filter(ill).count()
    }

    /// Whether one more may go down without stopping the others.
    pub(super) fn may_crash(&self) -> bool {
        self.down() < self.f()
    }

    /// How one node goes down: most often between a write and its sync, the moment that matters.
    fn doom(&mut self, node: usize) {
        let boundary = self.random.chance(self.faults.boundary_per_mille);
        let disk_full = self.random.chance(self.faults.disk_full_per_mille);
        let in_write = self.random.chance(750);
        let doom = if disk_full {
            Doom::DiskFull
        } else if boundary {
            Doom::AfterActions(self.random.between(0, 12))
        } else {
            Doom::InWrite
        };
        if self.up(node) && (disk_full || boundary || in_write) {
            self.nodes[node].doom = Some(doom);
        } else {
            self.crash(node);
        }
    }

    /// The power of one node goes.
    pub(super) fn crash(&mut self, node: usize) {
        if !self.up(node) {
            return;
        }
        let torn = self.random.chance(self.faults.torn_per_mille);
        let lost = self.nodes[node].disk.crash(torn, &mut self.random);
        self.report.crashes += 1;
        self.report.lossy_crashes += u64::from(lost > 0);
        if self.transcript.is_some() {
            self.note(node, &format!("crashes, {lost} writes lost"));
        }
        self.nodes[node].stop();
        let wait = self.random.between(self.faults.down_ms.0, self.faults.down_ms.1) * 1_000;
        let wipe_ledger = self.random.chance(self.faults.ledger_loss_per_mille);
        self.schedule(wait, Due::Restart { node, wipe_ledger });
        for to in (0..self.nodes.len()).filter(|to| *to != node) {
            let notice = self.random.between(1_000, 200_000);
            self.schedule(notice, Due::Disconnect { from: node, to });
        }
    }

    /// A crashed node comes back, perhaps without one of its stores.
    pub(super) fn come_back(&mut self, node: usize, wipe_ledger: bool) {
        if self.up(node) || !self.nodes[node].begun {
            return;
        }
        if wipe_ledger {
            let base = &self.epochs[0].base;
            self.nodes[node].ledger = SimLedger::new(self.executors, &self.payloads, base);
            self.report.ledger_rebuilds += 1;
            self.note(node, "has lost its ledger");
        }
        let first_back = self.report.crashes > 0 && self.report.records_lost == 0;
        if self.faults.record_lost && first_back && node < self.setup_n && self.may_fall_ill(node) {
            self.nodes[node].disk.lose_safety();
            self.expect_silence(node);
            self.report.records_lost += 1;
            self.note(node, "has lost its safety record");
        }
        self.restart(node);
    }

    /// Cuts the network: two sides, one away, one-way links, or two sides of which one still hears the other.
    fn split(&mut self) {
        self.report.partitions += 1;
        self.network.mend();
        let seats = self.nodes.len();
        let kind = self.random.index(4);
        match kind {
            0 | 3 => {
                let cut = self.random.between(1, seats as u64 - 1);
                let turn = self.random.index(seats);
                let side = |seat: usize| ((seat + turn) % seats) as u64 >= cut;
                for from in 0..seats {
                    for to in 0..seats {
                        let crosses = side(from) != side(to);
                        if crosses && (kind == 0 || side(from)) {
                            self.network.block(from, to, true);
                        }
                    }
                }
            }
            1 => {
                let away = self.random.index(seats);
                for other in 0..seats {
                    self.network.block(away, other, true);
                    self.network.block(other, away, true);
                }
            }
            _ => {
                for _ in 0..seats {
                    let (from, to) = (self.random.index(seats), self.random.index(seats));
                    self.network.block(from, to, true);
                }
            }
        }
        self.note_network(|| {
            format!("a partition, {}", ["two sides", "one away", "one-way links", "one side deaf"][kind])
        });
        self.partition += 1;
        let number = self.partition;
        let wait = self.random.between(self.faults.partition_ms.0, self.faults.partition_ms.1) * 1_000;
        self.schedule(wait, Due::Nemesis(Nemesis::Heal { number }));
        self.schedule_strike(Nemesis::Partition, self.faults.partition_every_ms);
    }

    /// Stops the links of some nodes one by one, and gives them back in another order.
    fn swizzle(&mut self) {
        self.report.swizzles += 1;
        let mut seats: Vec<usize> = (0..self.nodes.len()).collect();
        self.shuffle(&mut seats);
        seats.truncate(1 + self.random.index(self.nodes.len()));
        let mut at = 0;
        for seat in seats.clone() {
            at += self.random.between(100_000, 3_000_000);
            self.schedule(at, Due::Nemesis(Nemesis::Isolate { seat, isolated: true }));
        }
        self.shuffle(&mut seats);
        for seat in seats {
            at += self.random.between(100_000, 3_000_000);
            self.schedule(at, Due::Nemesis(Nemesis::Isolate { seat, isolated: false }));
        }
        self.schedule_strike(Nemesis::Swizzle, self.faults.swizzle_every_ms);
    }

    fn shuffle(&mut self, seats: &mut [usize]) {
        for at in (1..seats.len()).rev() {
            seats.swap(at, self.random.index(at + 1));
        }
    }

    fn take_copy(&mut self, node: usize) {
        let one = &mut self.nodes[node];
        let fresh = || SimLedger::new(self.executors, &self.payloads, &self.epochs[0].base);
        let ledger = one.ledger.copy().unwrap_or_else(fresh);
        one.copy = Some((one.disk.copy(), ledger, one.member));
        self.note(node, "is copied");
        self.schedule_strike(Nemesis::PutBack { node }, 30_000);
    }

    /// From here on the validator counts among the f: what it signed since the copy is forgotten.
    fn put_back(&mut self, node: usize) {
        if self.silent(node) || self.nodes[node].copy.is_none() || !self.may_fall_ill(node) {
            return;
        }
        self.crash(node);
        if let Some((disk, ledger, member)) = self.nodes[node].copy.take() {
            let one = &mut self.nodes[node];
            (one.disk, one.ledger, one.member) = (disk, ledger, member);
            self.expect_restored(node);
            self.report.snapshots += 1;
            self.note(node, "is put back as it was copied");
        }
    }

    /// A second node with one key: from a copy of the first one's disk, or with a record as if just made.
    fn start_twin(&mut self) {
        let Some(node) = (self.setup_n..self.nodes.len()).find(|node| !self.nodes[*node].begun) else {
            return;
        };
        let first = usize::from(self.nodes[node].member.name);
        if self.silent(first) || !self.may_fall_ill(first) {
            return;
        }
        self.report.twins += 1;
        if self.random.chance(500) {
            let (disk, ledger) = (self.nodes[first].disk.copy(), self.nodes[first].ledger.copy());
            if let Some(ledger) = ledger {
                self.nodes[node].member = self.nodes[first].member;
                self.nodes[node].disk = disk;
                self.nodes[node].ledger = ledger;
            }
        }
        self.expect_twin(node);
        self.nodes[node].begun = true;
        self.restart(node);
    }
}
