//! Working days of the sample city's calendars, against listed days and against a second way to count.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use chain_core::date::Date;
use chain_core::genesis::Draft;
use chain_core::record::calendar::CalendarDetails;
use chain_core::working_days::{LastDay, add_working_days, working_days_between};

fn date(text: &str) -> Date {
    text.parse().unwrap()
}

/// 2024 to 2026.
fn calendars() -> BTreeMap<u32, CalendarDetails> {
    let draft = Draft::parse(include_str!("../../genesis/example-city.toml")).unwrap();
    let calendars = draft.document().calendars.iter().map(|calendar| calendar.details().unwrap());
    calendars.map(|details| (u32::from(details.year), details)).collect()
}

fn data(test: &str, file: &str) -> Option<String> {
    let Ok(folder) = std::env::var("CITY_TEST_DATA") else {
        println!("skipped: {test}: CITY_TEST_DATA is unset");
        return None;
    };
    Some(std::fs::read_to_string(PathBuf::from(folder).join("calendar").join(file)).unwrap())
}

/// Rows of: start, rule such as `+3 working days` or `+12 months`, last day.
fn judge(text: &str) -> usize {
    let calendars = calendars();
    let mut judged = 0;
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.trim_end().split(',').collect();
        let [start, rule, last] = fields[..] else { panic!("{line}") };
        let (count, unit) = rule.trim_start_matches('+').split_once(' ').unwrap();
        let got = match unit {
            "working days" => {
                let got = add_working_days(&calendars, date(start), count.parse().unwrap()).unwrap();
                assert!(!got.provisional, "{line}");
                got.day
            }
            "months" => date(start).add_months(count.parse().unwrap()).unwrap(),
            other => panic!("{other}"),
        };
        assert_eq!(got, date(last), "{line}");
        judged += 1;
    }
    judged
}

#[test]
fn listed_deadlines_end_on_the_listed_days() {
    // Around the Spring Festival of 2024: nine days off, Sundays to make up for it before and after.
    let own = "start,rule,last_day
2024-02-03,+1 working days,2024-02-04
2024-02-09,+1 working days,2024-02-18
2024-02-09,+2 working days,2024-02-19
2024-04-30,+1 working days,2024-05-06
2024-04-30,+6 working days,2024-05-11
2024-12-31,+1 working days,2025-01-02
2025-12-31,+1 working days,2026-01-04
2026-01-31,+1 months,2026-02-28
";
    assert_eq!(judge(own), 8);
}

#[test]
fn the_vectors_of_the_data_folder_are_met() {
    let Some(text) = data("the_vectors_of_the_data_folder_are_met", "deadline_vectors.csv") else { return };
    assert!(judge(&text) >= 29);
}

#[test]
fn the_sample_calendars_are_those_of_the_data_folder() {
    let Some(text) = data("the_sample_calendars_are_those_of_the_data_folder", "cn_2024_2026.csv") else {
        return;
    };
    let calendars = calendars();
    let (mut holidays, mut work_days) = (Vec::new(), Vec::new());
    for line in text.lines().skip(1) {
        let mut fields = line.split(',');
        let (day, kind) = (date(fields.next().unwrap()), fields.next().unwrap());
        if kind == "holiday" { holidays.push(day) } else { work_days.push(day) }
    }
    let all = |days: fn(&CalendarDetails) -> &Vec<Date>| calendars.values().flat_map(days).copied().collect();
    let sample: [Vec<Date>; 2] = [all(|one| &one.holidays), all(|one| &one.work_days)];
    assert_eq!(sample, [holidays, work_days]);
}

#[test]
fn adding_and_counting_agree_on_every_day() {
    let calendars = calendars();
    let mut start = date("2024-01-01");
    while start < date("2026-11-01") {
        for count in [0, 1, 2, 3, 5, 7, 10, 20, 30] {
            let last = add_working_days(&calendars, start, count).unwrap();
            let between = working_days_between(&calendars, start, last.day).unwrap();
            assert_eq!(between, u32::from(count), "{start} + {count}");
        }
        start = start.next();
    }
    let year = working_days_between(&calendars, date("2024-12-31"), date("2025-12-31")).unwrap();
    // 261 weekdays, less 18 holidays on them, and 5 make-up days.
    assert_eq!(year, 248);
    assert_eq!(working_days_between(&calendars, date("2026-05-06"), date("2026-05-01")), Ok(0));
}

#[test]
fn days_of_a_year_without_a_calendar_are_provisional() {
    let calendars = calendars();
    let row = |start: &str, count| add_working_days(&calendars, date(start), count).unwrap();
    let last = |day: &str, provisional| LastDay { day: date(day), provisional };
    assert_eq!(row("2026-12-30", 1), last("2026-12-31", false));
    assert_eq!(row("2026-12-30", 2), last("2027-01-01", true));
    assert_eq!(row("2026-12-30", 3), last("2027-01-04", true));
    // Before the first one too; and a term that only passes through such a year.
    assert_eq!(row("2023-12-28", 2), last("2024-01-02", true));
    assert_eq!(add_working_days(&calendars, Date::MAX, 3).unwrap().day, Date::MAX);
}
