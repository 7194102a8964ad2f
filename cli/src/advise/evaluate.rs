//! How a detector does on labelled data: windows found and false alarms, always together.
//!
//! The form of the data is that of the Numenta Anomaly Benchmark (NAB): files of `timestamp,value` and `windows.json` with the
//! labelled windows of each. A window is found when an alarm lies in it. Alarms outside all windows that lie within a day of each
//! other are one false alarm: a reviewer looks once.

use std::collections::BTreeMap;
use std::path::Path;

use chain_core::code::{Code, Refusal};
use chain_core::record::body::parse_instant;
use chain_core::record::device::Span;
use chain_core::record::device::readings::{GOOD, Reading, VALUE_MAX};

use super::detector::Detector;
use super::episode;
use crate::error::{CliError, CliResult};
use crate::files;
use crate::import::decimal::Decimal;

/// Most places after the point that are kept of a value; further ones are rounded. Where a series is large, fewer fit.
const PLACES_MAX: u32 = 9;

/// One labelled series.
#[derive(Clone, Debug)]
pub(crate) struct Labelled {
    /// The file's name.
    pub(crate) name: String,
    /// Its readings; times without an offset are taken as UTC.
    pub(crate) readings: Vec<Reading>,
    /// The labelled windows.
    pub(crate) windows: Vec<Span>,
}

/// What a detector came to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Figures {
    /// Labelled windows.
    pub(crate) windows: u64,
    /// Of those, windows with an alarm in them.
    pub(crate) found: u64,
    /// False alarms.
    pub(crate) false_alarms: u64,
    /// Minutes from the first reading to the last.
    pub(crate) minutes: u64,
}

impl Figures {
    /// Both together.
    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            windows: self.windows + other.windows,
            found: self.found + other.found,
            false_alarms: self.false_alarms + other.false_alarms,
            minutes: self.minutes + other.minutes,
        }
    }
}

impl Labelled {
    /// Every series of a folder, in the order of the names.
    ///
    /// # Errors
    /// `MALFORMED_JSON`, `BAD_SPREADSHEET`, `BAD_DATE` or `BAD_NUMBER` with the place.
    pub(crate) fn folder(folder: &Path) -> CliResult<Vec<Self>> {
        let path = folder.join("windows.json");
        let labels: BTreeMap<String, Vec<(String, String)>> = serde_json::from_str(&files::read(&path)?)
            .map_err(|error| CliError::new(Code::MalformedJson, format!("{}: {error}", path.display())))?;
        labels.into_iter().map(|(name, windows)| Self::read(folder, name, &windows)).collect()
    }

    fn read(folder: &Path, name: String, windows: &[(String, String)]) -> CliResult<Self> {
        let path = folder.join(&name);
        let text = files::read(&path)?;
        let mut rows = csv::Reader::from_reader(text.as_bytes());
        let (mut times, mut values) = (Vec::new(), Vec::new());
        for (at, row) in rows.records().enumerate() {
            let place = |refusal: Refusal| {
                let detail = format!("{} row {}: {}", path.display(), at + 1, refusal.detail);
                Refusal::new(refusal.code, detail)
            };
            let row = row.map_err(|error| {
                CliError::new(Code::BadSpreadsheet, format!("{}: {error}", path.display()))
            })?;
            let (Some(time), Some(value)) = (row.get(0), row.get(1)) else {
                return Err(place(Refusal::new(Code::BadSpreadsheet, "wants timestamp,value")).into());
            };
            times.push(instant(time).map_err(place)?);
            values.push(Decimal::parse("value", value).map_err(place)?);
        }
        let values = scaled(&values).map_err(|refusal| {
            Refusal::new(refusal.code, format!("{}: {}", path.display(), refusal.detail))
        })?;
        let readings = times
            .into_iter()
            .zip(values)
            .map(|(time_ms, value)| Reading { time_ms, value, quality: GOOD })
            .collect();
        let window = |(from, to): &(String, String)| -> Result<Span, Refusal> {
            Ok(Span { from_ms: instant(from)?, to_ms: instant(to)? })
        };
        let windows = windows.iter().map(window).collect::<Result<_, _>>()?;
        Ok(Self { name, readings, windows })
    }

    /// What a detector comes to on this series.
    pub(crate) fn figures(&self, detector: Detector) -> Figures {
        let alarms = detector.alarms(&self.readings);
        let inside = |window: &Span, time_ms: u64| window.from_ms <= time_ms && time_ms <= window.to_ms;
        let found = |window: &&Span| alarms.iter().any(|alarm| inside(window, alarm.time_ms));
        let outside: Vec<_> = alarms
            .iter()
            .filter(|alarm| !self.windows.iter().any(|window| inside(window, alarm.time_ms)))
            .copied()
            .collect();
        let ends = self.readings.first().zip(self.readings.last());
        Figures {
            windows: self.windows.len() as u64,
            found: self.windows.iter().filter(found).count() as u64,
            false_alarms: episode::join(&outside, Detector::join_ms()).len() as u64,
            minutes: ends.map_or(0, |(first, last)| (last.time_ms - first.time_ms) / 60_000),
        }
    }
}

/// The values of a series in one unit, the finest that all of them fit in: how far a value lies from the usual is the same in any.
///
/// # Errors
/// `BAD_NUMBER` for a value that is too large as a whole number.
fn scaled(values: &[Decimal]) -> Result<Vec<i64>, Refusal> {
    let fits = |value: i128| {
        i64::try_from(value).ok().filter(|value| value.unsigned_abs() <= VALUE_MAX.unsigned_abs())
    };
    let in_units =
        |places: u32| values.iter().map(|value| fits(value.rounded(places))).collect::<Option<Vec<i64>>>();
    let finest = (0..=PLACES_MAX).rev().find_map(in_units);
    finest.ok_or_else(|| {
        Refusal::new(Code::BadNumber, format!("value: out of range, wants at most {VALUE_MAX}"))
    })
}

/// `2015-07-10 14:24:00`, as UTC.
fn instant(text: &str) -> Result<u64, Refusal> {
    parse_instant(&format!("{}Z", text.replace(' ', "T"))).ok_or_else(|| {
        let shown = chain_core::text::shown(text);
        Refusal::new(Code::BadDate, format!("timestamp is {shown}, wants 2015-07-10 14:24:00"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advise::detector::Detector;

    #[test]
    fn a_series_is_read_in_the_finest_unit_that_all_its_values_fit_in() {
        let of = |texts: &[&str]| {
            let values: Vec<Decimal> =
                texts.iter().map(|text| Decimal::parse("value", text).unwrap()).collect();
            scaled(&values).map_err(|refusal| refusal.code)
        };
        assert_eq!(of(&["69.88083514", "-1"]), Ok(vec![69_880_835_140, -1_000_000_000]));
        assert_eq!(of(&["0.0974193548387"]), Ok(vec![97_419_355]));
        // 2^40 is 1,099,511,627,776: with these two no place after the point fits.
        assert_eq!(of(&["1099511627776", "0.6"]), Ok(vec![1_099_511_627_776, 1]));
        assert_eq!(of(&["1099511627777"]), Err(Code::BadNumber));
    }

    /// The figures of the shared road data. Those of the median are the ones that the design measured; the other two were
    /// tuned on these very files.
    #[test]
    fn the_road_data_gives_the_figures_that_are_published() {
        let Some(data) = std::env::var_os("CITY_TEST_DATA") else {
            println!(
                "skipped: the_road_data_gives_the_figures_that_are_published: CITY_TEST_DATA is not set"
            );
            return;
        };
        let series = Labelled::folder(&Path::new(&data).join("sensors/nab")).unwrap();
        let readings: usize = series.iter().map(|one| one.readings.len()).sum();
        assert_eq!(readings, 6_007);
        for (detector, found, false_alarms) in
            [(Detector::Median, 8, 18), (Detector::Cusum, 8, 16), (Detector::Seasonal, 7, 8)]
        {
            let total = series.iter().map(|one| one.figures(detector)).fold(Figures::default(), Figures::and);
            let (found_here, alarms_here) = (total.found, total.false_alarms);
            assert_eq!((found_here, alarms_here), (found, false_alarms), "{detector:?}");
            assert_eq!((total.windows, total.minutes), (8, 135_831), "94.3 days");
        }
    }
}
