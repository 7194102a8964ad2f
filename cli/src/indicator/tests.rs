use std::path::Path;

use chain_core::record::body::parse_instant;

use super::*;

const ZONE: i16 = 480;

fn date(text: &str) -> Date {
    text.parse().unwrap()
}

fn period(from: &str, to: &str) -> Period {
    Period { from: date(from), to: date(to), offset_minutes: ZONE }
}

/// A reading at an hour of a day in the city's zone.
fn at(day: Date, hour: u64, value: i64) -> Reading {
    let midnight = parse_instant(&format!("{day}T00:00:00+08:00")).unwrap();
    Reading { time_ms: midnight + hour * 3_600_000, value, quality: GOOD }
}

/// So many hours of each day, with the number of the day in the period as value.
fn days(from: &str, count: u32, hours: u64) -> Vec<Reading> {
    let day = |number| date(from).add_days(number).unwrap();
    (0..count)
        .flat_map(|number| (0..hours).map(move |hour| at(day(number), hour, i64::from(number))))
        .collect()
}

fn refused(rule: Rule, readings: &[Reading], period: Period) -> String {
    let refusal = rule.mean(readings, period, 0, 1).unwrap_err();
    assert_eq!(refusal.code, Code::BadParameter);
    refusal.detail
}

#[test]
fn an_hour_counts_once_however_many_readings_it_has() {
    let day = date("2026-05-06");
    let mut readings: Vec<Reading> = (0..20).map(|hour| at(day, hour, 10)).collect();
    // Three in one hour come to 40, of which the bad one has no part; readings of other days have none either.
    for value in [30, 80] {
        readings.push(Reading { time_ms: readings[0].time_ms + value, value: value as i64, quality: GOOD });
    }
    readings.push(Reading { time_ms: readings[0].time_ms + 1, value: 1_000_000, quality: 1 });
    readings.push(Reading { time_ms: readings[0].time_ms - 1, value: 1_000_000, quality: GOOD });
    readings.push(at(day, 24, 1_000_000));
    let mean = Rule::Gb3095.mean(&readings, period("2026-05-06", "2026-05-06"), -1, 2).unwrap();
    // (19 × 10 + 40) / 20 = 11.5 tenths.
    assert_eq!(mean, Mean { digits: 115, coverage_pct: 83, hours: 20, days: 1 });
    assert_eq!(Rule::Hours75.mean(&readings, period("2026-05-06", "2026-05-06"), -1, 2), Ok(mean));
}

#[test]
fn below_the_rule_there_is_no_value() {
    let day = period("2026-05-06", "2026-05-06");
    assert!(refused(Rule::Gb3095, &days("2026-05-06", 1, 19), day).contains("fewer than 20 hours"));
    assert!(refused(Rule::Hours75, &days("2026-05-06", 1, 17), day).contains("17 of 24 hours"));
    assert_eq!(Rule::Hours75.mean(&days("2026-05-06", 1, 18), day, 0, 0).unwrap().hours, 18);

    let month = |readings: &[Reading]| Rule::Gb3095.mean(readings, period("2026-05-01", "2026-05-31"), 0, 1);
    assert_eq!(month(&days("2026-05-01", 27, 20)).unwrap().digits, 130);
    let said = month(&days("2026-05-01", 26, 24)).unwrap_err().detail;
    assert!(said.contains("2026-05 has 26 whole days, wants 27"), "{said}");
    let february =
        |readings: &[Reading]| Rule::Gb3095.mean(readings, period("2026-02-01", "2026-02-28"), 0, 1);
    assert_eq!(february(&days("2026-02-01", 25, 20)).unwrap().digits, 120);
    assert!(february(&days("2026-02-01", 24, 24)).is_err());

    // A year wants its days and each of its months.
    let year = period("2026-01-01", "2026-12-31");
    let all = days("2026-01-01", 365, 20);
    assert_eq!(Rule::Gb3095.mean(&all, year, 0, 1).unwrap().digits, 1_820);
    let without = |first: &str, last: &str| -> Vec<Reading> {
        let gone = date(first)..=date(last);
        all.iter().filter(|one| !gone.contains(&Date::of_time(one.time_ms, ZONE))).copied().collect()
    };
    let said = refused(Rule::Gb3095, &without("2026-07-01", "2026-07-05"), year);
    assert!(said.contains("2026-07 has 26 whole days"), "{said}");
    let said = refused(Rule::Gb3095, &without("2026-01-01", "2026-02-11"), year);
    assert!(said.contains("2026 has 323 whole days"), "{said}");

    for (from, to) in [
        ("2026-05-01", "2026-05-30"),
        ("2026-05-02", "2026-05-31"),
        ("2026-01-01", "2026-06-30"),
        ("2026-01-02", "2026-12-31"),
    ] {
        assert!(refused(Rule::Gb3095, &all, period(from, to)).contains("one day, one month or one year"));
    }
    // The same month of two years is no month.
    assert!(refused(Rule::Gb3095, &all, period("2026-05-01", "2027-05-31")).contains("one day, one month"));
    let backwards = Rule::Hours75.mean(&all, period("2026-05-02", "2026-05-01"), 0, 1).unwrap_err();
    assert_eq!(backwards.code, Code::DateOrder);
}

#[test]
fn values_are_rounded_to_the_even_neighbour_and_keep_their_unit() {
    assert_eq!([5, 15, 25, -5, -15].map(|value| divided(value, 10)), [0, 2, 2, 0, -2]);
    assert_eq!([26, -26, 24].map(|value| divided(value, 10)), [3, -3, 2]);
    let of = |value: i128, scale, decimals| digits(value * PARTS, scale, decimals);
    assert_eq!(
        (of(12, 0, 1), of(12, -1, 1), of(12, 2, 0), of(25, -1, 0)),
        (Ok(120), Ok(12), Ok(1_200), Ok(2))
    );
    assert_eq!(of(1 << 40, 12, 9).unwrap_err().code, Code::BadNumber);
    assert_eq!((of(-(1 << 40), 0, 2), of(1, -12, 9)), (Ok(-109_951_162_777_600), Ok(0)));
}

/// Whoever changes a rule changes the method: another hash.
#[test]
fn rules_and_hashes_are_those_that_values_name() {
    assert_eq!(
        Rule::ALL.map(Rule::parameters),
        [
            "rule=gb3095;version=1;mean=days-of-hours;day=20h;month=27d;february=25d;year=324d;hour=mean-of-good;\
             rounding=half-even;parts=1/1000000;zone=city",
            "rule=hours75;version=1;mean=hours;period=75%;hour=mean-of-good;rounding=half-even;parts=1/1000000;zone=city",
        ]
    );
    assert_ne!(Rule::Gb3095.method(), Rule::Hours75.method());
}

/// Two months of hourly values from Beijing (UCI "Beijing PM2.5"), against means that were computed without our software.
#[test]
fn the_means_of_two_months_in_beijing() {
    let Some(data) = std::env::var_os("CITY_TEST_DATA") else {
        println!("skipped: the_means_of_two_months_in_beijing: CITY_TEST_DATA is not set");
        return;
    };
    for (month, from, to, digits, hours) in [
        ("2013-01", "2013-01-01", "2013-01-31", 19_420, 739),
        ("2014-10", "2014-10-01", "2014-10-31", 14_065, 743),
    ] {
        let path = Path::new(&data).join(format!("sensors/beijing_pm25/{month}.csv"));
        let mut rows = csv::Reader::from_path(path).unwrap();
        let readings: Vec<Reading> = rows
            .records()
            .map(Result::unwrap)
            .filter_map(|row| {
                let number = |at: usize| row[at].parse::<u32>().ok();
                let day = Date::from_ymd(number(1)?, number(2)?, number(3)?)?;
                Some(at(day, u64::from(number(4)?), i64::from(number(5)?)))
            })
            .collect();
        let mean = Rule::Gb3095.mean(&readings, period(from, to), 0, 2).unwrap();
        assert_eq!(mean, Mean { digits, coverage_pct: 99, hours, days: 31 });
    }
}
