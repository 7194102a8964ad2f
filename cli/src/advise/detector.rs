//! The methods, each with the one set of parameters that it is registered with.

use chain_core::crypto::Digest;
use chain_core::record::device::readings::Reading;
use clap::ValueEnum;

use super::alarm::{self, Alarm, Cusum};
use super::episode::{self, Episode};
use super::scale::{self, Bucket, Window};

/// Hours in milliseconds.
const HOUR_MS: u64 = 60 * 60 * 1_000;
/// Alarms that lie no further apart belong together.
const JOIN_MS: u64 = 24 * HOUR_MS;

/// A method.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Detector {
    /// Single values far from the median of the three days before, in median absolute deviations
    Median,
    /// Many values off to one side (CUSUM, E. S. Page 1954), on the same scale
    Cusum,
    /// Values far from the median of the same hour of the fourteen days before
    Seasonal,
}

/// What is usual.
const TRAILING: Window = Window { length_ms: 72 * HOUR_MS, bucket: Bucket::All, least: 10 };
/// What is usual at an hour of the day, in UTC.
const HOURLY: Window = Window { length_ms: 14 * 24 * HOUR_MS, bucket: Bucket::HourOfDay, least: 20 };
/// How far a value may lie, thousandths of a deviation.
const MEDIAN_LIMIT: i64 = 5_000;
const SEASONAL_LIMIT: i64 = 8_000;
const CUSUM: Cusum = Cusum { slack: 2_000, limit: 12_000, clip: 10_000 };

impl Detector {
    /// Every method.
    pub(crate) const ALL: [Self; 3] = [Self::Median, Self::Cusum, Self::Seasonal];

    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Median => "median",
            Self::Cusum => "cusum",
            Self::Seasonal => "seasonal",
        }
    }

    /// What its episodes are called in `ai.advisory`.
    pub(crate) const fn finding(self) -> &'static str {
        match self {
            Self::Median => "spike",
            Self::Cusum => "drift",
            Self::Seasonal => "level",
        }
    }

    /// Its parameters in one line: all of them, for what is hashed is what runs.
    pub(crate) fn parameters(self) -> String {
        let window = |window: &Window| {
            let bucket = match window.bucket {
                Bucket::All => "all",
                Bucket::HourOfDay => "hour-of-day-utc",
            };
            format!("window={}h;bucket={bucket};least={}", window.length_ms / HOUR_MS, window.least)
        };
        let own = match self {
            Self::Median => format!("{};k={MEDIAN_LIMIT}/1000", window(&TRAILING)),
            Self::Cusum => {
                let Cusum { slack, limit, clip } = CUSUM;
                format!("{};slack={slack}/1000;h={limit}/1000;clip={clip}/1000", window(&TRAILING))
            }
            Self::Seasonal => format!("{};k={SEASONAL_LIMIT}/1000", window(&HOURLY)),
        };
        format!("method={};version=1;{own};mad=1.4826;join={}h", self.name(), JOIN_MS / HOUR_MS)
    }

    /// The hash under which the model is registered: `artefact` of its `ai.model`.
    pub(crate) fn artefact(self) -> Digest {
        Digest::tagged(b"city/advise/1", &[self.parameters().as_bytes()])
    }

    /// How far back it looks.
    pub(crate) const fn window_ms(self) -> u64 {
        match self {
            Self::Median | Self::Cusum => TRAILING.length_ms,
            Self::Seasonal => HOURLY.length_ms,
        }
    }

    /// The readings that are not as usual. Readings must be in order of time; only good ones count.
    pub(crate) fn alarms(self, readings: &[Reading]) -> Vec<Alarm> {
        let window = if self == Self::Seasonal { &HOURLY } else { &TRAILING };
        let scores = scale::scores(readings, window);
        match self {
            Self::Median => alarm::beyond(&scores, MEDIAN_LIMIT),
            Self::Seasonal => alarm::beyond(&scores, SEASONAL_LIMIT),
            Self::Cusum => alarm::cusum(&scores, CUSUM),
        }
    }

    /// The same as episodes.
    pub(crate) fn episodes(self, readings: &[Reading]) -> Vec<Episode> {
        episode::join(&self.alarms(readings), JOIN_MS)
    }

    /// How far apart alarms of one episode may lie, milliseconds.
    pub(crate) const fn join_ms() -> u64 {
        JOIN_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever changes a parameter changes the model: another hash, another registration.
    #[test]
    fn parameters_and_hashes_are_those_that_were_registered() {
        let shown: Vec<String> = Detector::ALL.iter().map(|one| one.parameters()).collect();
        assert_eq!(
            shown,
            [
                "method=median;version=1;window=72h;bucket=all;least=10;k=5000/1000;mad=1.4826;join=24h",
                "method=cusum;version=1;window=72h;bucket=all;least=10;slack=2000/1000;h=12000/1000;clip=10000/1000;mad=1.4826;join=24h",
                "method=seasonal;version=1;window=336h;bucket=hour-of-day-utc;least=20;k=8000/1000;mad=1.4826;join=24h",
            ]
        );
        let hashes: std::collections::BTreeSet<String> =
            Detector::ALL.iter().map(|one| one.artefact().to_string()).collect();
        assert_eq!(hashes.len(), 3);
    }
}
