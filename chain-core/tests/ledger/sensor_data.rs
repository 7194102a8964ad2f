//! Real streams: road sensors of Minnesota with the gaps that are known of them, and hourly readings of Beijing.

use std::path::PathBuf;

use chain_core::record::device::batch::DataPlace;
use chain_core::record::device::gap::GapKind;
use chain_core::record::device::readings::{self, GOOD, Reading, Statistics};
use chain_core::record::device::{Span, Terms};
use serde_json::json;

use crate::city::{City, instant, secret};
use crate::station::{self, Station, registration, registration_body};

/// The folder of sensor data; none, and a line that says so, where it is not there.
fn data(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("CITY_TEST_DATA");
    if folder.is_none() {
        println!("skipped: {test}: CITY_TEST_DATA is unset");
    }
    folder.map(|folder| PathBuf::from(folder).join("sensors"))
}

fn rows(path: PathBuf) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

/// Hundredths of a decimal number.
fn hundredths(text: &str) -> i64 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let fraction: i64 = format!("{fraction:0<2}")[..2].parse().unwrap();
    whole.parse::<i64>().unwrap() * 100 + sign * fraction
}

fn road(path: PathBuf) -> Vec<Reading> {
    let reading = |row: Vec<String>| Reading {
        time_ms: instant(&format!("{}Z", row[0].replace(' ', "T"))),
        value: hundredths(&row[1]),
        quality: GOOD,
    };
    rows(path).into_iter().map(reading).collect()
}

#[test]
fn the_gaps_of_real_road_sensors_are_those_that_are_known() {
    let Some(folder) = data("the_gaps_of_real_road_sensors_are_those_that_are_known") else { return };
    let folder = folder.join("nab");
    let expected = rows(folder.join("expected_gaps.csv"));
    assert!(!expected.is_empty());
    for row in expected {
        let file = &row[0];
        let number = |at: usize| row[at].parse::<u64>().unwrap();
        let time = |at: usize| instant(&format!("{}Z", row[at]));
        let readings = road(folder.join(file));
        let period_s = u32::try_from(number(2)).unwrap();
        let terms = Terms { unit: "C62".to_owned(), scale: -2, period_s, tolerance_pct: 50 };
        let mut sorted = readings.clone();
        sorted.sort_by_key(|reading| reading.time_ms);
        // Not one step backwards, or the batch is refused.
        let backward = readings.windows(2).filter(|pair| pair[1].time_ms < pair[0].time_ms).count();
        assert_eq!(Statistics::of(&readings, &terms).is_err(), backward > 0, "{file}");
        let found = Statistics::of(&sorted, &terms).unwrap();
        let hole = found.longest_hole.unwrap();
        let got = (
            readings.len() as u64,
            sorted.first().unwrap().time_ms,
            sorted.last().unwrap().time_ms,
            u64::from(found.holes),
            u64::from(found.missing),
            hole,
            backward as u64,
            u64::from(found.repeated),
        );
        let longest = Span { from_ms: time(8), to_ms: time(8) + number(7) * 1_000 };
        let want = (number(1), time(3), time(4), number(5), number(6), longest, number(9), number(10));
        assert_eq!(got, want, "{file}");
    }
}

/// The same readings as a device would send them, 200 to a batch: what the ledger writes of gaps is what lies in the file.
#[test]
fn real_road_sensors_run_through_the_ledger() {
    let Some(folder) = data("real_road_sensors_run_through_the_ledger") else { return };
    let mut readings = road(folder.join("nab/TravelTime_387.csv"));
    let mut city = City::with(&station::genesis());
    // As if the street had been measured when the city's members were in office.
    let later_ms = city.time_ms - readings[0].time_ms;
    readings.iter_mut().for_each(|reading| reading.time_ms += later_ms);
    let mut body = registration_body("R1", "R1/key1");
    body["streams"][0]["unit"] = json!("SEC");
    body["streams"][0]["scale"] = json!(-2);
    body["streams"][0]["period_s"] = json!(600);
    body["streams"][0]["max"] = json!(1_000_000);
    body["streams"][0]["batch_within_s"] = json!(31_536_000);
    if let Some(stream) = body["streams"][0].as_object_mut() {
        stream.remove("stuck_after_s");
    }
    let filed = registration("R1", 1, &body);
    let device = city.submit("A1/clerk1", filed).unwrap().record;
    city.countersign("A1/supervisor1", device).unwrap();
    let prev = chain_core::crypto::Digest::ZERO;
    let mut station = Station { city, device, key: secret("R1/key1"), seq: 0, prev };
    let terms = Terms { unit: "SEC".to_owned(), scale: -2, period_s: 600, tolerance_pct: 50 };
    let stream = chain_core::record::device::Stream { terms: terms.clone(), ..station::stream() };
    let mut with_holes = 0;
    let mut before: Option<u64> = None;
    for chunk in readings.chunks(200) {
        let sealed = station.seal_for(&stream, chunk);
        assert_eq!(sealed.0.place_of_data, DataPlace::Inline);
        let between = before.is_some_and(|before| terms.is_hole(chunk[0].time_ms - before));
        with_holes += usize::from(sealed.0.statistics.holes > 0 || between);
        before = chunk.last().map(|reading| reading.time_ms);
        // A proof of any reading holds against what is anchored.
        let path = readings::prove(chunk, 17).unwrap();
        sealed.0.verify_reading(&chunk[17], &path).unwrap();
        station.city.time_ms = sealed.0.last_ms + 60_000;
        station.send_now("R1/key1", sealed).unwrap();
    }
    assert!(with_holes > 10, "the file has holes all over");
    assert_eq!(station.kinds(), vec![GapKind::Time; with_holes]);
}

#[test]
fn missing_values_of_hourly_readings_are_not_good() {
    let Some(folder) = data("missing_values_of_hourly_readings_are_not_good") else { return };
    for file in ["2013-01.csv", "2014-10.csv"] {
        let rows = rows(folder.join("beijing_pm25").join(file));
        let reading = |row: &Vec<String>| {
            let part = |at: usize| row[at].parse::<u32>().unwrap();
            let day = format!("{}-{:02}-{:02}T{:02}:00:00+08:00", row[1], part(2), part(3), part(4));
            let value = row[5].parse().ok();
            let quality = if value.is_some() { GOOD } else { 1 };
            Reading { time_ms: instant(&day), value: value.unwrap_or(0), quality }
        };
        let of_month: Vec<Reading> = rows.iter().map(reading).collect();
        let terms = Terms { unit: "GQ".to_owned(), scale: 0, period_s: 3_600, tolerance_pct: 50 };
        let found = Statistics::of(&of_month, &terms).unwrap();
        let known = rows.iter().filter(|row| !row[5].is_empty()).count();
        assert_eq!((found.good as usize, found.holes, found.repeated), (known, 0, 0), "{file}");
        assert_eq!(of_month.len(), 744, "{file}: every hour of the month");
        assert_eq!(readings::decode(&readings::encode(&of_month)).unwrap(), of_month, "{file}");
    }
}
