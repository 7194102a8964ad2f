//! What is usual: the median and the median absolute deviation of the readings before, and how far a value lies from it.

use std::collections::{BTreeMap, VecDeque};

use chain_core::record::device::readings::{GOOD, Reading};

/// Median absolute deviations of a normal distribution in one standard deviation, ten-thousandths.
const MAD_TEN_THOUSANDTHS: i128 = 14_826;
/// Largest score, either sign, thousandths.
const SCORE_MAX: i128 = 1_000_000_000;

/// Which readings before a value it is compared with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// How far back they reach.
    pub(super) length_ms: u64,
    /// Which of those.
    pub(super) bucket: Bucket,
    /// With fewer, nothing is said.
    pub(super) least: usize,
}

/// A part of the day.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Bucket {
    /// All of it.
    All,
    /// The hour of the value, in UTC.
    HourOfDay,
}

impl Bucket {
    const fn of(self, time_ms: u64) -> u64 {
        match self {
            Self::All => 0,
            Self::HourOfDay => time_ms / 3_600_000 % 24,
        }
    }
}

/// How far a reading lies from what is usual, in deviations; thousandths, rounded towards zero.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Score {
    pub(super) time_ms: u64,
    pub(super) thousandths: i64,
}

/// The scores of good readings. None for a reading with too few before it, or where those do not differ at all: how far is
/// far cannot be said then.
pub(super) fn scores(readings: &[Reading], window: &Window) -> Vec<Score> {
    let mut before: BTreeMap<u64, VecDeque<Reading>> = BTreeMap::new();
    let mut scores = Vec::new();
    for reading in readings.iter().filter(|reading| reading.quality == GOOD) {
        let kept = before.entry(window.bucket.of(reading.time_ms)).or_default();
        let from = reading.time_ms.saturating_sub(window.length_ms);
        while kept.front().is_some_and(|oldest| oldest.time_ms < from) {
            kept.pop_front();
        }
        if kept.len() >= window.least
            && let Some(thousandths) = score(reading.value, kept)
        {
            scores.push(Score { time_ms: reading.time_ms, thousandths });
        }
        kept.push_back(*reading);
    }
    scores
}

/// Twice the distance over four times the deviation, so that medians of even numbers stay whole.
fn score(value: i64, before: &VecDeque<Reading>) -> Option<i64> {
    let mut values: Vec<i128> = before.iter().map(|one| i128::from(one.value)).collect();
    let median_twice = twice_the_median(&mut values);
    let mut distances: Vec<i128> = values.iter().map(|one| (2 * one - median_twice).abs()).collect();
    let deviation_four_times = twice_the_median(&mut distances);
    if deviation_four_times == 0 {
        return None;
    }
    let distance_twice = 2 * i128::from(value) - median_twice;
    let scaled = distance_twice * 2 * 10_000 * 1_000 / (MAD_TEN_THOUSANDTHS * deviation_four_times);
    i64::try_from(scaled.clamp(-SCORE_MAX, SCORE_MAX)).ok()
}

fn twice_the_median(values: &mut [i128]) -> i128 {
    values.sort_unstable();
    let middle = values.len() / 2;
    values[(values.len() - 1) / 2] + values[middle]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(values: &[i64]) -> Vec<Reading> {
        let reading = |(at, &value)| Reading { time_ms: at as u64 * 1_000, value, quality: GOOD };
        values.iter().enumerate().map(reading).collect()
    }

    const WINDOW: Window = Window { length_ms: 4_000, bucket: Bucket::All, least: 4 };

    #[test]
    fn a_score_is_the_distance_from_the_median_in_deviations() {
        // Before the last: 1 2 3 4, median 2.5, deviation 1 (of 1.5, 0.5, 0.5, 1.5); 10 lies 7.5 / 1.4826 = 5.058 away.
        let scores = scores(&readings(&[1, 2, 3, 4, 10]), &WINDOW);
        assert_eq!(scores, [Score { time_ms: 4_000, thousandths: 5_058 }]);
        // The window slides: 2 3 4 10, median 3.5, deviation 1 (of 1.5, 0.5, 0.5, 6.5).
        let next = super::scores(&readings(&[1, 2, 3, 4, 10, 0]), &Window { length_ms: 4_000, ..WINDOW });
        assert_eq!(next[1], Score { time_ms: 5_000, thousandths: -2_360 });
    }

    #[test]
    fn nothing_is_said_with_too_few_readings_or_none_that_differ() {
        assert_eq!(scores(&readings(&[1, 2, 3, 9]), &WINDOW), []);
        assert_eq!(scores(&readings(&[5, 5, 5, 5, 9]), &WINDOW), []);
        let mut bad = readings(&[1, 2, 3, 4, 10]);
        bad[4].quality = 1;
        assert_eq!(scores(&bad, &WINDOW), []);
    }
}
