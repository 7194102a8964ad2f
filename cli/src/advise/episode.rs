//! Alarms that belong together.

use chain_core::record::device::Span;

use super::alarm::Alarm;

/// A time in which readings were not as usual.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Episode {
    /// From the first alarm to the last.
    pub(crate) span: Span,
    /// How many.
    pub(crate) alarms: u64,
    /// The strongest of them.
    pub(crate) strength: i64,
}

/// Joins alarms that lie no further apart than this; they must be in order of time.
pub(crate) fn join(alarms: &[Alarm], apart_ms: u64) -> Vec<Episode> {
    let mut episodes: Vec<Episode> = Vec::new();
    for alarm in alarms {
        match episodes.last_mut() {
            Some(last) if alarm.time_ms - last.span.to_ms <= apart_ms => {
                last.span.to_ms = alarm.time_ms;
                last.alarms += 1;
                last.strength = last.strength.max(alarm.strength);
            }
            _ => {
                let span = Span { from_ms: alarm.time_ms, to_ms: alarm.time_ms };
                episodes.push(Episode { span, alarms: 1, strength: alarm.strength });
            }
        }
    }
    episodes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_close_to_each_other_are_one_episode() {
        let alarms = [(0, 1), (10, 5), (20, 2), (31, 1)];
        let alarms = alarms.map(|(time_ms, strength)| Alarm { time_ms, strength });
        let one = Episode { span: Span { from_ms: 0, to_ms: 20 }, alarms: 3, strength: 5 };
        let other = Episode { span: Span { from_ms: 31, to_ms: 31 }, alarms: 1, strength: 1 };
        assert_eq!(join(&alarms, 10), [one, other]);
        assert_eq!(join(&[], 10), []);
    }
}
