//! Damaged and invented bytes for every decoder: none may panic, and what is accepted is the only encoding
//! of its value (reliability A14, D3). The long runs are `tests/fuzz`; this is their daily share.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use city_sim::mutate::mutate;
use city_sim::sim::random::Random;
use city_tests::wire::{TYPES, WireType, target_of};

/// Damaged inputs per type.
const MUTATIONS: u64 = 20_000;
/// Not a measurement: a decoder that a short input sends into a long loop would need hours.
const HANGS_AFTER: Duration = Duration::from_secs(120);

struct Tally {
    accepted: u64,
    slowest: (Duration, usize),
}

fn torment(one: &WireType, donors: &[Vec<u8>]) -> Tally {
    let samples = (one.samples)();
    let mut random = Random::new(0xbad ^ one.limit as u64);
    let mut tally = Tally { accepted: 0, slowest: (Duration::ZERO, 0) };
    let started = Instant::now();
    for round in 0..MUTATIONS {
        let sample = &samples[usize::try_from(round).unwrap() % samples.len()];
        let bytes = mutate(&mut random, &sample.bytes, donors);
        let at = Instant::now();
        match (one.judge)(&bytes) {
            Ok(accepted) => tally.accepted += u64::from(accepted),
            Err(flaw) => panic!("{} / {}, round {round}: {flaw}\n{bytes:02x?}", one.name, sample.name),
        }
        tally.slowest = tally.slowest.max((at.elapsed(), bytes.len()));
        assert!(started.elapsed() < HANGS_AFTER, "{} hangs on {} bytes", one.name, bytes.len());
    }
    tally
}

#[test]
fn damaged_bytes_are_refused_or_are_the_only_encoding_of_a_value() {
    let donors: Vec<Vec<u8>> =
        TYPES.iter().flat_map(|one| (one.samples)()).map(|sample| sample.bytes).collect();
    for one in TYPES {
        let Tally { accepted, slowest: (time, bytes) } = torment(one, &donors);
        println!(
            "{:18} {MUTATIONS} damaged, {accepted:5} still a value; slowest {time:?} for {bytes} bytes",
            one.name
        );
        // Flipped digits of a hash give another value; if nothing at all were accepted, the test would
        // only ever look at the version byte.
        assert!(accepted > 0 && accepted < MUTATIONS / 2, "{}: {accepted} accepted", one.name);
    }
}

#[test]
fn every_prefix_of_a_value_is_refused() {
    for one in TYPES {
        for sample in (one.samples)() {
            for len in 0..sample.bytes.len() {
                assert_eq!((one.judge)(&sample.bytes[..len]), Ok(false), "{} at {len}", one.name);
            }
            let longer = [&sample.bytes[..], &[0]].concat();
            assert_eq!((one.judge)(&longer), Ok(false), "{} with a byte more", one.name);
        }
    }
}

#[test]
fn every_length_that_lies_is_refused_without_being_believed() {
    // Eight bytes of 0xff over every position: some of them are lengths. Believing one would abort the
    // process, which no test harness survives.
    for one in TYPES {
        for sample in (one.samples)() {
            for at in 1..sample.bytes.len().saturating_sub(8) {
                for lie in [u64::MAX, u64::MAX >> 1, 1 << 40, one.limit as u64] {
                    let mut bytes = sample.bytes.clone();
                    bytes[at..at + 8].copy_from_slice(&lie.to_le_bytes());
                    if let Err(flaw) = (one.judge)(&bytes) {
                        panic!("{} / {} at {at}: {flaw}", one.name, sample.name);
                    }
                }
            }
        }
    }
}

#[test]
fn a_value_over_its_limit_is_refused_before_it_is_read() {
    for one in TYPES {
        assert_eq!((one.judge)(&vec![1; one.limit + 1]), Ok(false), "{}", one.name);
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn rust_files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            into.push(path);
        }
    }
}

/// Types with `impl Wire for` outside of tests in a crate's sources.
fn in_sources(home: &str) -> BTreeSet<String> {
    let mut files = Vec::new();
    rust_files(&root().join(home).join("src"), &mut files);
    let mut found = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        for line in text.lines().filter(|line| line.trim_start().starts_with("impl ")) {
            if let Some((_, after)) = line.split_once("Wire for ") {
                found.insert(after.trim_end_matches(['{', ' ']).to_owned());
            }
        }
    }
    found
}

#[test]
fn the_list_of_wire_types_is_that_of_the_sources() {
    for home in ["chain-core", "consensus"] {
        let listed: BTreeSet<String> =
            TYPES.iter().filter(|one| one.home == home).map(|one| one.name.to_owned()).collect();
        assert_eq!(in_sources(home), listed, "wire types of {home}, sources against city_tests::wire::TYPES");
    }
}

#[test]
fn every_wire_type_has_a_fuzz_target() {
    let mut want: BTreeSet<String> = TYPES.iter().map(|one| target_of(one.name)).collect();
    want.insert("engine_handle".to_owned());
    let fuzz = root().join("tests/fuzz");
    let files: BTreeSet<String> = std::fs::read_dir(fuzz.join("fuzz_targets"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(files, want, "files under tests/fuzz/fuzz_targets");
    let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    let bins: BTreeSet<String> = manifest
        .lines()
        .filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")?.strip_suffix(".rs\""))
        .map(str::to_owned)
        .collect();
    assert_eq!(bins, want, "[[bin]] entries of tests/fuzz/Cargo.toml");
    for one in TYPES {
        let path = fuzz.join("fuzz_targets").join(target_of(one.name) + ".rs");
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains(&format!("\"{}\"", one.name)), "the target of {} fuzzes it", one.name);
    }
}
