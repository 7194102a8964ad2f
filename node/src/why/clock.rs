//! How far a peer's clock is from this one, and how long a word takes there and back.
//!
//! A report states the sender's wall clock and gives back the stamp of the newest report it got, with the time it
//! kept it. So each report yields a round trip on this node's own monotonic clock and an offset that is wrong by
//! at most half of it. Of the last few samples the one with the shortest round trip counts: a report that was
//! held up somewhere cannot move the estimate.

use std::collections::VecDeque;

/// Samples remembered, one a second: a clock that was set right is believed after this many.
const SAMPLES_MAX: usize = 8;
/// Own stamps remembered: older ones are no longer believed when they come back.
const STAMPS_MAX: usize = 16;

/// The stamp of a report that is given back.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Echo {
    /// The stamp, as its sender gave it.
    pub stamp_ms: u64,
    /// How long it was kept, by the clock of the one that gives it back.
    pub kept_ms: u64,
}

/// The difference of two clocks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Offset {
    /// The peer's wall clock less this node's.
    pub(crate) ms: i64,
    /// By how much that may be wrong.
    pub(crate) error_ms: u64,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    offset_ms: i64,
    round_trip_ms: u64,
}

/// What the reports of one peer say about its clock.
#[derive(Debug, Default)]
pub(super) struct Clock {
    samples: VecDeque<Sample>,
    sent: VecDeque<u64>,
}

impl Clock {
    /// Notes that a report with this stamp goes out.
    pub(super) fn sent(&mut self, stamp_ms: u64) {
        while self.sent.len() >= STAMPS_MAX {
            self.sent.pop_front();
        }
        self.sent.push_back(stamp_ms);
    }

    /// Takes a peer's report that came in now, on this node's clocks, and states the peer's wall clock.
    pub(super) fn heard(&mut self, mono_ms: u64, wall_ms: u64, theirs_ms: u64, echo: Echo) {
        // A stamp of an earlier connection, or an invented one, says nothing.
        if !self.sent.contains(&echo.stamp_ms) {
            return;
        }
        let Some(round_trip_ms) = mono_ms.saturating_sub(echo.stamp_ms).checked_sub(echo.kept_ms) else {
            return;
        };
        let theirs_now = theirs_ms.saturating_add(round_trip_ms / 2);
        let offset_ms = difference(theirs_now, wall_ms);
        while self.samples.len() >= SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample { offset_ms, round_trip_ms });
    }

    /// The best estimate.
    pub(super) fn offset(&self) -> Option<Offset> {
        let best = self.samples.iter().min_by_key(|sample| sample.round_trip_ms)?;
        Some(Offset { ms: best.offset_ms, error_ms: best.round_trip_ms.div_ceil(2) })
    }

    /// Median of the last round trips, in milliseconds; the lower one of two.
    pub(super) fn round_trip_ms(&self) -> Option<u64> {
        let mut all: Vec<u64> = self.samples.iter().map(|sample| sample.round_trip_ms).collect();
        all.sort_unstable();
        all.get(all.len().checked_sub(1)? / 2).copied()
    }
}

fn difference(a: u64, b: u64) -> i64 {
    let apart = i64::try_from(a.abs_diff(b)).unwrap_or(i64::MAX);
    if a >= b { apart } else { -apart }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two nodes: the peer's clock is `skew` ahead of this one's, whose monotonic clock began at `WALL`.
    const WALL: u64 = 1_700_000_000_000;

    /// One exchange: the report takes `there`, is kept for `kept`, and the answer takes `back`.
    fn exchange(clock: &mut Clock, at: u64, skew: i64, there: u64, kept: u64, back: u64) {
        clock.sent(at);
        let answered = at + there + kept;
        let theirs = (WALL + answered).saturating_add_signed(skew);
        let arrived = answered + back;
        clock.heard(arrived, WALL + arrived, theirs, Echo { stamp_ms: at, kept_ms: kept });
    }

    #[test]
    fn the_offset_is_right_within_half_of_the_round_trip() {
        // (skew, there, kept, back, offset found, error stated)
        for (skew, there, kept, back, offset, error) in [
            (0, 1, 900, 1, 0, 1),
            (3_000, 10, 500, 10, 3_000, 10),
            (-3_000, 10, 0, 10, -3_000, 10),
            (250, 40, 980, 0, 270, 20),
            (250, 0, 980, 41, 229, 21),
            (-86_400_000, 5, 1, 5, -86_400_000, 5),
        ] {
            let mut clock = Clock::default();
            exchange(&mut clock, 5_000, skew, there, kept, back);
            let found = clock.offset().unwrap();
            assert_eq!(found, Offset { ms: offset, error_ms: error }, "skew {skew}, {there}+{back} ms");
            assert!(found.ms.abs_diff(skew) <= found.error_ms, "skew {skew}");
            assert_eq!(clock.round_trip_ms(), Some(there + back));
        }
    }

    #[test]
    fn samples_that_were_lost_or_held_up_do_not_move_the_estimate() {
        let mut clock = Clock::default();
        for round in 0..8 {
            // Every other answer is lost; of those that come, all but one wait for seconds on one way.
            let at = 1_000 * (round + 1);
            clock.sent(at);
            if round % 2 == 0 {
                let held = if round == 4 { 2 } else { 2_500 };
                exchange(&mut clock, at, 120, held, 100, 1);
            }
        }
        assert_eq!(clock.offset(), Some(Offset { ms: 120, error_ms: 2 }));
        assert_eq!(clock.round_trip_ms(), Some(2_501), "the median shows how slow it mostly is");
    }

    #[test]
    fn a_clock_that_was_set_right_is_believed_after_eight_reports() {
        let mut clock = Clock::default();
        exchange(&mut clock, 1_000, 5_000, 0, 10, 0);
        for round in 0..7 {
            exchange(&mut clock, 2_000 + 1_000 * round, 0, 3, 10, 3);
            assert_eq!(clock.offset().unwrap().ms, 5_000);
        }
        exchange(&mut clock, 9_000, 0, 3, 10, 3);
        assert_eq!(clock.offset(), Some(Offset { ms: 0, error_ms: 3 }));
    }

    #[test]
    fn stamps_that_were_not_sent_and_impossible_times_are_ignored() {
        let mut clock = Clock::default();
        clock.sent(1_000);
        clock.heard(2_000, WALL, WALL + 9_999, Echo { stamp_ms: 999, kept_ms: 0 });
        clock.heard(2_000, WALL, WALL + 9_999, Echo { stamp_ms: 1_000, kept_ms: 1_001 });
        clock.heard(500, WALL, WALL + 9_999, Echo { stamp_ms: 1_000, kept_ms: 1 });
        assert_eq!((clock.offset(), clock.round_trip_ms()), (None, None));
        clock.heard(2_000, WALL, u64::MAX, Echo { stamp_ms: 1_000, kept_ms: 990 });
        assert!(clock.offset().is_some_and(|offset| offset.ms > 0), "an absurd clock is merely far away");
        for stamp in 0..1_000 {
            clock.sent(stamp);
        }
        assert!(clock.sent.len() <= STAMPS_MAX);
    }
}
