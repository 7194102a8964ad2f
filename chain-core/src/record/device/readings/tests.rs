use super::*;
use proptest::prelude::*;

fn terms() -> Terms {
    Terms { unit: "CEL".to_owned(), scale: -1, period_s: 60, tolerance_pct: 50 }
}

fn at(seconds: u64, value: i64) -> Reading {
    Reading { time_ms: seconds * 1_000, value, quality: GOOD }
}

fn of(readings: &[Reading]) -> Statistics {
    Statistics::of(readings, &terms()).unwrap()
}

#[test]
fn leaf_and_root_are_those_of_the_formats() {
    let leaf = Reading { time_ms: 0x0102, value: -2, quality: 7 }.leaf();
    assert_eq!(leaf, [&[0, 0, 0, 0, 0, 0, 1, 2][..], &[0xff; 7], &[0xfe, 7]].concat());
    // Three leaves, by RFC 6962 section 2.1: node(node(a, b), c).
    let readings = [at(0, 1), at(60, 2), at(120, 3)];
    let [a, b, c] = readings.map(|reading| merkle::leaf_hash(&reading.leaf()));
    assert_eq!(root(&readings), merkle::node_hash(&merkle::node_hash(&a, &b), &c));
    assert_eq!(root(&readings[..1]), a);
    assert_eq!(root(&[]), merkle::empty_root());
}

#[test]
fn the_compact_form_is_frozen() {
    let readings = [at(1, 100), at(61, 101), at(121, 101), Reading { quality: 3, ..at(180, -5) }];
    let bytes = encode(&readings);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "d00fc80100f0990702000000 00cf0fd30103".replace(' ', ""));
    assert_eq!(decode(&bytes), Ok(readings.to_vec()));
}

#[test]
fn what_is_no_compact_form_is_refused() {
    for bytes in [
        &[0x80][..],
        &[0x00, 0x00],
        // Longer than its value needs.
        &[0x80, 0x00, 0x00, 0x00],
        // A time before 1970, a value out of range.
        &[0x01, 0x00, 0x00],
        &[0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x00],
        &[0xff; 32],
    ] {
        assert_eq!(decode(bytes).unwrap_err().code, Code::BatchData, "{bytes:?}");
    }
    let many: Vec<Reading> = (0..4_097).map(|second| at(second, 0)).collect();
    assert_eq!(decode(&encode(&many)).unwrap_err().code, Code::BatchData);
    assert_eq!(decode(&encode(&many[..4_096])).unwrap().len(), READINGS_MAX);
}

#[test]
fn holes_are_counted_beyond_the_tolerance() {
    let found = of(&[at(0, 1), at(90, 2), at(181, 3), at(241, 4)]);
    assert_eq!((found.holes, found.missing, found.repeated), (1, 1, 0));
    assert_eq!(found.longest_hole, Some(Span { from_ms: 90_000, to_ms: 181_000 }));
    // Halves to the even number: 2.5 periods are two, 3.5 are four; one of them is there.
    assert_eq!((terms().missing_in(150_000), terms().missing_in(210_000)), (1, 3));
    assert_eq!(of(&[at(0, 1), at(0, 2), at(60, 3)]).repeated, 1);
    let backwards = Statistics::of(&[at(60, 1), at(59, 1)], &terms()).unwrap_err();
    assert_eq!(backwards.code, Code::TimeBackwards);
    let large = Statistics::of(&[at(0, VALUE_MAX + 1)], &terms()).unwrap_err();
    assert_eq!(large.code, Code::BadNumber);
}

#[test]
fn values_of_good_readings_only_count() {
    let bad = Reading { quality: 1, ..at(60, 1_000) };
    let found = of(&[at(0, 5), bad, at(120, -3)]);
    assert_eq!((found.good, found.min, found.max, found.sum), (2, -3, 5, 2));
    let none = of(&[bad]);
    assert_eq!((none.good, none.sum, none.runs), (0, 0, None));
}

#[test]
fn runs_end_with_another_value_and_with_a_hole() {
    let run =
        |value, from: u64, to: u64| Run { value, span: Span { from_ms: from * 1_000, to_ms: to * 1_000 } };
    let runs = of(&[at(0, 1), at(60, 1), at(120, 2), at(180, 2), at(240, 2), at(300, 1)]).runs.unwrap();
    assert_eq!((runs.first, runs.longest, runs.last), (run(1, 0, 60), run(2, 120, 240), run(1, 300, 300)));
    let runs = of(&[at(0, 1), at(60, 1), at(600, 1)]).runs.unwrap();
    assert_eq!((runs.first, runs.longest, runs.last), (run(1, 0, 60), run(1, 0, 60), run(1, 600, 600)));
    let runs = of(&[at(0, 1), at(60, 1), at(120, 1)]).runs.unwrap();
    assert_eq!((runs.first, runs.longest, runs.last), (run(1, 0, 120), run(1, 0, 120), run(1, 0, 120)));
}

#[test]
fn impossible_statistics_are_refused() {
    let readings = [at(0, 1), at(60, 2), at(300, 3)];
    let span = Span { from_ms: 0, to_ms: 300_000 };
    let good = of(&readings);
    assert_eq!(good.check(3, span), Ok(()));
    let hole = Span { from_ms: 60_000, to_ms: 300_001 };
    for wrong in [
        Statistics { good: 4, ..good },
        Statistics { repeated: 3, ..good },
        Statistics { holes: 0, ..good },
        Statistics { holes: 3, ..good },
        Statistics { longest_hole: None, ..good },
        Statistics { longest_hole: Some(hole), ..good },
        Statistics { min: 4, ..good },
        Statistics { sum: 10, ..good },
        Statistics { sum: 2, ..good },
        Statistics { runs: None, ..good },
        Statistics { max: VALUE_MAX + 1, ..good },
    ] {
        assert_eq!(wrong.check(3, span).unwrap_err().code, Code::BatchData, "{wrong:?}");
    }
}

proptest! {
    #[test]
    fn readings_come_back_from_their_compact_form(
        steps in proptest::collection::vec((0..10_000_000_u64, -VALUE_MAX..=VALUE_MAX, any::<u8>()), 1..100)
    ) {
        let mut time_ms = 0;
        let readings: Vec<Reading> = steps
            .into_iter()
            .map(|(step, value, quality)| {
                time_ms += step;
                Reading { time_ms, value, quality }
            })
            .collect();
        prop_assert_eq!(decode(&encode(&readings)), Ok(readings.clone()));
        let statistics = Statistics::of(&readings, &terms()).unwrap();
        let span = Span { from_ms: readings[0].time_ms, to_ms: time_ms };
        prop_assert_eq!(statistics.check(u32::try_from(readings.len()).unwrap(), span), Ok(()));
        for (index, reading) in (0..).zip(&readings) {
            let path = prove(&readings, index).unwrap();
            let count = u32::try_from(readings.len()).unwrap();
            prop_assert_eq!(verify(reading, &path, count, &root(&readings)), Ok(()));
        }
    }
}
