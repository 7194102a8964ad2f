//! How long the engine pauses: what a slow disk, a full processor or a stopped process looks like from inside.

use std::collections::VecDeque;

/// Seconds looked at.
const SPAN_S: u64 = 10;
/// One long pause may be anything; this many in different seconds are a habit.
const HABIT: usize = 3;

/// The longest pause of each of the last seconds.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    last_ms: Option<u64>,
    /// Second and longest pause that ended in it, ascending.
    seconds: VecDeque<(u64, u64)>,
}

impl Pauses {
    /// Notes that the engine turns at this monotonic time.
    pub(crate) fn turn(&mut self, now_ms: u64) {
        let paused = now_ms.saturating_sub(self.last_ms.unwrap_or(now_ms));
        self.last_ms = Some(now_ms);
        let second = now_ms / 1_000;
        match self.seconds.back_mut() {
            Some((newest, longest)) if *newest == second => *longest = paused.max(*longest),
            _ => self.seconds.push_back((second, paused)),
        }
        while self.seconds.front().is_some_and(|(oldest, _)| oldest + SPAN_S < second) {
            self.seconds.pop_front();
        }
    }

    /// Pauses at least this long ended in at least [`HABIT`] of the last [`SPAN_S`] seconds.
    pub(crate) fn habit_ms(&self) -> u64 {
        let mut all: Vec<u64> = self.seconds.iter().map(|(_, paused)| *paused).collect();
        all.sort_unstable_by(|a, b| b.cmp(a));
        all.get(HABIT - 1).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_hiccup_is_no_habit_and_three_are() {
        let mut pauses = Pauses::default();
        let mut now = 0;
        let mut calm = |pauses: &mut Pauses, ms: u64, then: u64| {
            for _ in 0..ms / 50 {
                now += 50;
                pauses.turn(now);
            }
            now += then;
            pauses.turn(now);
        };
        calm(&mut pauses, 3_000, 900);
        assert_eq!(pauses.habit_ms(), 50);
        calm(&mut pauses, 1_500, 700);
        calm(&mut pauses, 1_500, 800);
        assert_eq!(pauses.habit_ms(), 700);
        calm(&mut pauses, 12_000, 0);
        assert_eq!(pauses.habit_ms(), 50, "forgotten");
        assert!(pauses.seconds.len() <= 12);
    }
}
