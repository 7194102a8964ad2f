//! Which scores are alarms.

use super::scale::Score;

/// A reading that is not as usual.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Alarm {
    /// Its time.
    pub(crate) time_ms: u64,
    /// How strongly: deviations, thousandths.
    pub(crate) strength: i64,
}

/// Slack, limit and greatest single step of a cumulative sum, thousandths of a deviation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cusum {
    pub(super) slack: i64,
    pub(super) limit: i64,
    pub(super) clip: i64,
}

/// Scores beyond a limit, either sign.
pub(super) fn beyond(scores: &[Score], limit: i64) -> Vec<Alarm> {
    let far = scores.iter().filter(|score| score.thousandths.abs() > limit);
    far.map(|score| Alarm { time_ms: score.time_ms, strength: score.thousandths.abs() }).collect()
}

/// Sums of what exceeds the slack, one for each side; an alarm begins both again.
pub(super) fn cusum(scores: &[Score], terms: Cusum) -> Vec<Alarm> {
    let (mut above, mut below, mut alarms) = (0_i64, 0_i64, Vec::new());
    for score in scores {
        let step = score.thousandths.clamp(-terms.clip, terms.clip);
        above = (above + step - terms.slack).max(0);
        below = (below - step - terms.slack).max(0);
        if above.max(below) > terms.limit {
            alarms.push(Alarm { time_ms: score.time_ms, strength: above.max(below) });
            (above, below) = (0, 0);
        }
    }
    alarms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(all: &[i64]) -> Vec<Score> {
        let score = |(at, &thousandths)| Score { time_ms: at as u64, thousandths };
        all.iter().enumerate().map(score).collect()
    }

    #[test]
    fn a_limit_is_passed_on_either_side() {
        let times: Vec<u64> =
            beyond(&scores(&[5_000, 5_001, -5_001, 0]), 5_000).iter().map(|one| one.time_ms).collect();
        assert_eq!(times, [1, 2]);
    }

    #[test]
    fn small_steps_to_one_side_add_up_and_to_both_sides_do_not() {
        let terms = Cusum { slack: 500, limit: 2_000, clip: 10_000 };
        let times =
            |all: &[i64]| -> Vec<u64> { cusum(&scores(all), terms).iter().map(|one| one.time_ms).collect() };
        assert_eq!(times(&[1_000; 12]), [4, 9]);
        assert_eq!(times(&[-1_000; 6]), [4]);
        assert_eq!(times(&[1_000, -1_000, 1_000, -1_000, 1_000, -1_000, 1_000, -1_000]), [0_u64; 0]);
        let clipped = Cusum { clip: 2_000, ..terms };
        assert_eq!(cusum(&scores(&[1_000_000]), clipped), []);
    }
}
