//! The links: how long a message takes, whether it arrives, and how often.

use serde::{Deserialize, Serialize};

use super::faults::Faults;
use super::random::Random;

/// Where the validators of a run stand, so how far apart.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Map {
    /// One city: up to 2 ms one way.
    #[default]
    Metro,
    /// One country: about 15 ms.
    National,
    /// Three continents: about 80 ms between them.
    Intercontinental,
    /// Some in one city, the others all over the country.
    Mixed,
}

impl Map {
    /// Every map.
    pub const ALL: [Self; 4] = [Self::Metro, Self::National, Self::Intercontinental, Self::Mixed];

    /// One-way delay between most seats, microseconds.
    pub const fn typical_us(self) -> u64 {
        match self {
            Self::Metro => 1_000,
            Self::National | Self::Mixed => 15_000,
            Self::Intercontinental => 80_000,
        }
    }

    /// One-way delay between two seats, least and most, in microseconds.
    fn delay_us(self, from: usize, to: usize, seats: usize) -> (u64, u64) {
        let (city, country, ocean) = ((300, 2_000), (10_000, 20_000), (60_000, 100_000));
        match self {
            Self::Metro => city,
            Self::National => country,
            Self::Intercontinental if from % 3 == to % 3 => city,
            Self::Intercontinental => ocean,
            Self::Mixed if from < seats / 2 && to < seats / 2 => city,
            Self::Mixed => country,
        }
    }
}

/// Every link, each direction by itself.
#[derive(Debug)]
pub struct Network {
    seats: usize,
    random: Random,
    delay_us: Vec<(u64, u64)>,
    slow: Vec<u64>,
    blocked: Vec<bool>,
    isolated: Vec<bool>,
    clogged_until: Vec<u64>,
    loss_per_mille: u64,
    duplicate_per_mille: u64,
    reorder_per_mille: u64,
    /// Messages lost so far.
    pub lost: u64,
    /// Messages delivered twice so far.
    pub duplicated: u64,
}

impl Network {
    /// Links between `seats` nodes under these faults.
    pub fn new(seats: usize, faults: &Faults, mut random: Random) -> Self {
        let links = seats * seats;
        let mut slow = vec![1; links];
        for factor in &mut slow {
            if random.chance(faults.slow_links_per_mille) {
                *factor = random.between(3, 10);
            }
        }
        let delay_us =
            (0..links).map(|link| faults.map.delay_us(link / seats, link % seats, seats)).collect();
        Self {
            seats,
            random,
            delay_us,
            slow,
            blocked: vec![false; links],
            isolated: vec![false; seats],
            clogged_until: vec![0; links],
            loss_per_mille: faults.loss_per_mille,
            duplicate_per_mille: faults.duplicate_per_mille,
            reorder_per_mille: faults.reorder_per_mille,
            lost: 0,
            duplicated: 0,
        }
    }

    fn link(&self, from: usize, to: usize) -> usize {
        from * self.seats + to
    }

    /// One more node, with links to everybody.
    pub fn grow(&mut self, faults: &Faults) {
        let (old, new) = (self.seats, self.seats + 1);
        let mut delay_us = Vec::new();
        let mut slow = Vec::new();
        let mut blocked = Vec::new();
        let mut clogged_until = Vec::new();
        for link in 0..new * new {
            let (from, to) = (link / new, link % new);
            let is_new = from == old || to == old;
            let before = from * old + to;
            delay_us.push(if is_new { faults.map.delay_us(from, to, old) } else { self.delay_us[before] });
            let is_slow = is_new && self.random.chance(faults.slow_links_per_mille);
            let factor = if is_slow { self.random.between(3, 10) } else { 1 };
            slow.push(if is_new { factor } else { self.slow[before] });
            blocked.push(!is_new && self.blocked[before]);
            clogged_until.push(if is_new { 0 } else { self.clogged_until[before] });
        }
        (self.seats, self.delay_us, self.slow) = (new, delay_us, slow);
        (self.blocked, self.clogged_until) = (blocked, clogged_until);
        self.isolated.push(false);
    }

    /// Whether nothing passes from one to the other.
    pub fn is_cut(&self, from: usize, to: usize) -> bool {
        self.isolated[from] || self.isolated[to] || self.blocked[self.link(from, to)]
    }

    /// When copies of a message that leaves now arrive: none, one or two of them.
    pub fn arrivals(&mut self, now_us: u64, from: usize, to: usize) -> [Option<u64>; 2] {
        if self.is_cut(from, to) || self.random.chance(self.loss_per_mille) {
            self.lost += 1;
            return [None, None];
        }
        let first = self.arrival(now_us, from, to);
        if !self.random.chance(self.duplicate_per_mille) {
            return [Some(first), None];
        }
        self.duplicated += 1;
        [Some(first), Some(self.arrival(now_us, from, to))]
    }

    fn arrival(&mut self, now_us: u64, from: usize, to: usize) -> u64 {
        let link = self.link(from, to);
        let (least, most) = self.delay_us[link];
        let mut delay = self.random.between(least, most) * self.slow[link];
        if self.random.chance(self.reorder_per_mille) {
            delay += self.random.between(0, 4 * most);
        }
        // A clog holds everything back; what waited comes out within a moment, in any order.
        match self.clogged_until[link] {
            until if until > now_us + delay => until + self.random.between(0, 1_000),
            _ => now_us + delay,
        }
    }

    /// Holds back everything on a link until then.
    pub fn clog(&mut self, from: usize, to: usize, until_us: u64) {
        let link = self.link(from, to);
        self.clogged_until[link] = self.clogged_until[link].max(until_us);
    }

    /// Cuts or mends one direction of one link.
    pub fn block(&mut self, from: usize, to: usize, blocked: bool) {
        let link = self.link(from, to);
        self.blocked[link] = blocked;
    }

    /// Takes all links from a node, or gives them back.
    pub fn isolate(&mut self, seat: usize, isolated: bool) {
        self.isolated[seat] = isolated;
    }

    /// Ends the partition.
    pub fn mend(&mut self) {
        self.blocked.fill(false);
    }

    /// Ends every fault; distances stay.
    pub fn heal(&mut self) {
        self.mend();
        self.isolated.fill(false);
        self.clogged_until.fill(0);
        self.slow.fill(1);
        (self.loss_per_mille, self.duplicate_per_mille, self.reorder_per_mille) = (0, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(faults: &Faults) -> Network {
        Network::new(4, faults, Random::new(1))
    }

    #[test]
    fn rates_are_as_asked_for() {
        let faults =
            Faults { loss_per_mille: 300, duplicate_per_mille: 500, map: Map::National, ..Faults::none() };
        let mut network = network(&faults);
        let arrived: Vec<u64> = (0..10_000).flat_map(|_| network.arrivals(0, 0, 1)).flatten().collect();
        assert!((2_800..3_200).contains(&network.lost), "{} lost", network.lost);
        assert!((3_200..3_800).contains(&network.duplicated), "{} twice", network.duplicated);
        assert!(arrived.iter().all(|at| (10_000..=20_000).contains(at)), "15 ms, give or take");
    }

    #[test]
    fn a_cut_has_a_direction_and_a_clog_loses_nothing() {
        let mut network = network(&Faults::none());
        network.block(0, 1, true);
        network.clog(2, 3, 5_000_000);
        assert_eq!(network.arrivals(0, 0, 1), [None, None]);
        assert!(network.arrivals(0, 1, 0)[0].is_some());
        assert!(network.arrivals(0, 2, 3)[0].is_some_and(|at| at >= 5_000_000));
        network.isolate(2, true);
        assert!(network.is_cut(2, 1) && network.is_cut(1, 2));
        network.heal();
        assert!(!network.is_cut(0, 1) && !network.is_cut(1, 2));
        assert!(network.arrivals(0, 2, 3)[0].is_some_and(|at| at < 5_000));
    }
}
