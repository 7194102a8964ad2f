//! Percentiles of what was timed.

use std::time::Duration;

use serde_json::{Value, json};

/// Times of many events.
#[derive(Clone, Debug, Default)]
pub(super) struct Times(Vec<Duration>);

impl Times {
    /// Sorts the times.
    pub(super) fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// The time that `share` thousandths of the events do not exceed; nearest rank.
    pub(super) fn permille(&self, share: usize) -> Option<Duration> {
        let rank = (self.0.len() * share).div_ceil(1000).max(1) - 1;
        self.0.get(rank).copied()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Count and percentiles in milliseconds.
    pub(super) fn json(&self) -> Value {
        json!({ "count": self.len(), "p50_ms": self.ms(500), "p90_ms": self.ms(900), "p99_ms": self.ms(990), "max_ms": self.ms(1000) })
    }

    fn ms(&self, share: usize) -> Option<f64> {
        self.permille(share).map(|time| (time.as_secs_f64() * 1e5).round() / 100.0)
    }

    /// `p50 / p99` in milliseconds.
    pub(super) fn text(&self) -> String {
        match (self.ms(500), self.ms(990)) {
            (Some(p50), Some(p99)) => format!("{p50:.1} / {p99:.1} ms"),
            _ => "none".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let times = Times::new((1..=100).rev().map(Duration::from_millis).collect());
        assert_eq!(times.permille(500), Some(Duration::from_millis(50)));
        assert_eq!(times.permille(990), Some(Duration::from_millis(99)));
        assert_eq!(times.permille(1000), Some(Duration::from_millis(100)));
        assert_eq!(Times::new(vec![Duration::from_millis(7)]).text(), "7.0 / 7.0 ms");
        assert_eq!(Times::default().text(), "none");
    }
}
