//! Means of anchored readings, under a rule that says how many there must be.
//!
//! Everything is in whole numbers, so that the same readings give the same value on every machine. Hours and days are those of the
//! city's zone. A good reading counts for the hour that its time lies in; an hour's value is the mean of its readings.

use std::collections::BTreeMap;

use chain_core::code::{Code, Refusal};
use chain_core::crypto::Digest;
use chain_core::date::Date;
use chain_core::record::device::readings::{GOOD, Reading};
use clap::ValueEnum;

/// Hours of a day.
const HOURS: u64 = 24;
/// Milliseconds of an hour.
const HOUR_MS: i128 = 60 * 60 * 1_000;
/// Means are carried in so many parts of a reading's unit.
const PARTS: i128 = 1_000_000;
/// Decimals of [`PARTS`].
const PARTS_DECIMALS: i32 = 6;
/// Largest value of an indicator, either sign, as digits (schema of `kpi.value`).
const DIGITS_MAX: i128 = 1_000_000_000_000_000;

/// Hours that a day wants.
const DAY_HOURS: usize = 20;
/// Days that a month wants; February.
const MONTH_DAYS: (usize, usize) = (27, 25);
/// Days that a year wants.
const YEAR_DAYS: usize = 324;
/// Part of the hours that a period wants, percent.
const HOURS_PCT: u64 = 75;

/// A rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Rule {
    /// Mean of daily means: 20 hours a day, 27 days a month (25 in February), 324 a year (GB 3095-2012, table 4); the period
    /// is one day, one month or one year
    Gb3095,
    /// Mean of the hours of any period: 75 percent of them
    Hours75,
}

/// What a value is taken of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Period {
    /// First day.
    pub(crate) from: Date,
    /// Last day.
    pub(crate) to: Date,
    /// The city's zone, minutes east of UTC.
    pub(crate) offset_minutes: i16,
}

/// A value, and what it rests on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Mean {
    /// The value times ten to the power of the decimals asked for.
    pub(crate) digits: i64,
    /// Hours with a good reading, percent of all, rounded down.
    pub(crate) coverage_pct: u8,
    /// Hours with a good reading.
    pub(crate) hours: u64,
    /// Days that have enough of them.
    pub(crate) days: u64,
}

impl Rule {
    /// Every rule.
    pub(crate) const ALL: [Self; 2] = [Self::Gb3095, Self::Hours75];

    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Gb3095 => "gb3095",
            Self::Hours75 => "hours75",
        }
    }

    /// Everything that it says, in one line: what is hashed is what runs.
    pub(crate) fn parameters(self) -> String {
        let (month, february) = MONTH_DAYS;
        let own = match self {
            Self::Gb3095 => format!(
                "mean=days-of-hours;day={DAY_HOURS}h;month={month}d;february={february}d;year={YEAR_DAYS}d"
            ),
            Self::Hours75 => format!("mean=hours;period={HOURS_PCT}%"),
        };
        format!(
            "rule={};version=1;{own};hour=mean-of-good;rounding=half-even;parts=1/{PARTS};zone=city",
            self.name()
        )
    }

    /// The hash that a value names as its method.
    pub(crate) fn method(self) -> Digest {
        Digest::tagged(b"city/indicator/1", &[self.parameters().as_bytes()])
    }

    /// The mean of a period. Readings may be of more than the period, in any order; values are whole numbers of 10^scale.
    ///
    /// # Errors
    /// `BAD_PARAMETER` when the rule knows no such period, or there are fewer readings than it wants; `BAD_NUMBER` when the value
    /// is beyond ±10^15 in the decimals asked for; `DATE_ORDER`.
    pub(crate) fn mean(
        self,
        readings: &[Reading],
        period: Period,
        scale: i8,
        decimals: u8,
    ) -> Result<Mean, Refusal> {
        let all = period.days()?;
        let days = hourly(readings, period);
        let hours: u64 = days.values().map(|hours| hours.len() as u64).sum();
        let whole: BTreeMap<Date, i128> = days
            .iter()
            .filter(|(_, hours)| hours.len() >= DAY_HOURS)
            .filter_map(|(day, hours)| Some((*day, mean_of(hours.iter().copied())?)))
            .collect();
        let value = match self {
            Self::Gb3095 => {
                period.wants_days(&whole)?;
                mean_of(whole.values().copied())
            }
            Self::Hours75 => {
                if hours * 100 < all * HOURS * HOURS_PCT {
                    let detail = format!("{hours} of {} hours, wants {HOURS_PCT} percent", all * HOURS);
                    return Err(too_few(&detail));
                }
                mean_of(days.values().flatten().copied())
            }
        };
        let value = value.ok_or_else(|| too_few("no good reading"))?;
        Ok(Mean {
            digits: digits(value, scale, decimals)?,
            coverage_pct: u8::try_from(hours * 100 / (all * HOURS)).unwrap_or(100),
            hours,
            days: whole.len() as u64,
        })
    }
}

impl Period {
    /// How many days it has.
    fn days(self) -> Result<u64, Refusal> {
        if self.to < self.from {
            let detail = format!("from {} to {}", self.from, self.to);
            return Err(Refusal::new(Code::DateOrder, detail));
        }
        Ok(u64::from(self.to.day_number() - self.from.day_number()) + 1)
    }

    /// Whether an instant lies in it.
    pub(crate) fn touches(self, first_ms: u64, last_ms: u64) -> bool {
        let day = |time_ms| Date::of_time(time_ms, self.offset_minutes);
        day(last_ms) >= self.from && day(first_ms) <= self.to
    }

    /// Refuses days that are too few for GB 3095.
    fn wants_days(self, whole: &BTreeMap<Date, i128>) -> Result<(), Refusal> {
        let ((year, month, first), (last_year, last_month, _)) = (self.from.ymd(), self.to.ymd());
        let after = self.to.next().ymd();
        let months = if self.from == self.to {
            if whole.is_empty() {
                return Err(too_few(&format!("{} has fewer than {DAY_HOURS} hours", self.from)));
            }
            return Ok(());
        } else if first == 1 && after.2 == 1 && (year, month) == (last_year, last_month) {
            month..=month
        } else if (month, first) == (1, 1) && after == (year + 1, 1, 1) {
            if whole.len() < YEAR_DAYS {
                let detail = format!("{year} has {} whole days, wants {YEAR_DAYS}", whole.len());
                return Err(too_few(&detail));
            }
            1..=12
        } else {
            let detail = format!(
                "from {} to {}: {} is for one day, one month or one year",
                self.from,
                self.to,
                Rule::Gb3095.name()
            );
            return Err(Refusal::new(Code::BadParameter, detail));
        };
        for month in months {
            let days = whole.keys().filter(|day| day.ymd().1 == month).count();
            let wanted = if month == 2 { MONTH_DAYS.1 } else { MONTH_DAYS.0 };
            if days < wanted {
                let detail = format!("{year:04}-{month:02} has {days} whole days, wants {wanted}");
                return Err(too_few(&detail));
            }
        }
        Ok(())
    }
}

fn too_few(detail: &str) -> Refusal {
    Refusal::new(Code::BadParameter, format!("too few readings for a value: {detail}"))
}

/// The means of the hours that have a good reading, day by day.
fn hourly(readings: &[Reading], period: Period) -> BTreeMap<Date, Vec<i128>> {
    let mut sums: BTreeMap<(Date, i128), (i128, i128)> = BTreeMap::new();
    for reading in readings.iter().filter(|reading| reading.quality == GOOD) {
        let day = Date::of_time(reading.time_ms, period.offset_minutes);
        if (period.from..=period.to).contains(&day) {
            let local = i128::from(reading.time_ms) + i128::from(period.offset_minutes) * 60_000;
            let (sum, count) = sums.entry((day, local.div_euclid(HOUR_MS))).or_default();
            *sum += i128::from(reading.value) * PARTS;
            *count += 1;
        }
    }
    let mut days: BTreeMap<Date, Vec<i128>> = BTreeMap::new();
    for ((day, _), (sum, count)) in sums {
        days.entry(day).or_default().push(divided(sum, count));
    }
    days
}

fn mean_of(values: impl Iterator<Item = i128>) -> Option<i128> {
    let (sum, count) = values.fold((0, 0), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| divided(sum, count))
}

/// A quotient, rounded to the nearest whole number and halves to the even one (GB/T 8170).
fn divided(sum: i128, by: i128) -> i128 {
    let (whole, rest) = (sum.div_euclid(by), sum.rem_euclid(by));
    match (rest * 2).cmp(&by) {
        std::cmp::Ordering::Less => whole,
        std::cmp::Ordering::Equal => whole + whole.rem_euclid(2),
        std::cmp::Ordering::Greater => whole + 1,
    }
}

/// A value of parts of 10^scale as digits with so many decimals.
fn digits(value: i128, scale: i8, decimals: u8) -> Result<i64, Refusal> {
    let power = i32::from(scale) + i32::from(decimals) - PARTS_DECIMALS;
    let factor = 10_i128.pow(power.unsigned_abs());
    let digits = if power < 0 { Some(divided(value, factor)) } else { value.checked_mul(factor) };
    let fits = digits.filter(|digits| digits.abs() <= DIGITS_MAX).map(i64::try_from);
    match fits {
        Some(Ok(digits)) => Ok(digits),
        _ => {
            let detail = format!("the value is beyond ±{DIGITS_MAX} with {decimals} decimals");
            Err(Refusal::new(Code::BadNumber, detail))
        }
    }
}

#[cfg(test)]
mod tests;
