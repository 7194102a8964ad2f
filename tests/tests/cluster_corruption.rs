//! Bits flip, pages vanish, files end early or are gone in a stopped validator's data. Started again, it serves what it
//! served before, fetches what it lacks, or refuses with a code and a sentence; it never serves anything else, never signs
//! twice, and never dies without a word.
//!
//! `CITY_CYCLES` sets how many corruptions, `CITY_SEED` with which one to begin (docs/robustness-record.md).

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use city_tests::cluster::clerk::{officers, record_of};
use city_tests::cluster::{Cluster, Node, PATIENCE, http, said, wait_for};
use serde_json::Value;

/// Records filed before.
const RECORDS: usize = 60;
/// The validator whose disk fails.
const VICTIM: usize = 3;
/// Longest time until a damaged node has given up or answers.
const SETTLE: Duration = Duration::from_secs(25);

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(usual)
}

/// Numbers that look random and are the same for a seed (Steele, Lea, Flood 2014, SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}

/// Everything that RocksDB or the node itself reads again.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false if name.starts_with("LOG") || name.eq_ignore_ascii_case("lock") => {}
            false => found.push(path),
        }
    }
    found.sort();
    found
}

/// Damages one file; says how.
fn damage(data: &Path, seed: u64) -> String {
    let mut numbers = Numbers(seed.wrapping_mul(0x5851_f42d_4c95_7f2d));
    let files: Vec<PathBuf> =
        files(data).into_iter().filter(|path| path.metadata().is_ok_and(|file| file.len() > 0)).collect();
    let path = &files[usize::try_from(numbers.below(files.len() as u64)).unwrap()];
    let length = path.metadata().unwrap().len();
    let at = numbers.below(length);
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let what = match numbers.below(10) {
        0..=5 => {
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            byte[0] ^= 1 << numbers.below(8);
            file.write_all_at(&byte, at).unwrap();
            "a bit flipped"
        }
        6 => {
            let from = at / 4_096 * 4_096;
            let page = vec![0; usize::try_from((length - from).min(4_096)).unwrap()];
            file.write_all_at(&page, from).unwrap();
            "a page of zeros"
        }
        7 | 8 => {
            file.set_len(at).unwrap();
            "cut off"
        }
        _ => {
            std::fs::remove_file(path).unwrap();
            "gone"
        }
    };
    format!("seed {seed}: {} {what} at {at} of {length}", path.strip_prefix(data).unwrap().display())
}

/// What the victim served while it was whole: what it says of records, blocks and leaves that are final does not change.
struct Truth(BTreeMap<String, Value>);

impl Truth {
    fn of(node: &Node, records: &[String]) -> Self {
        let height = node.status().unwrap().committed.get();
        let mut paths: Vec<String> =
            (1..=height.min(40)).map(|height| format!("/v1/blocks/{height}")).collect();
        for record in records {
            paths.push(format!("/v1/records/{record}"));
            paths.push(format!("/v1/records/{record}/history?limit=500"));
            paths.push(format!("/v1/records/{record}/receipt"));
        }
        paths.push("/v1/records?limit=500".to_owned());
        paths.push("/v1/feed?limit=200".to_owned());
        paths.extend(["/tile/entries/000.p/50", "/tile/0/000.p/50"].map(str::to_owned));
        let served = paths.into_iter().map(|path| {
            let answer = asked(node, &path).unwrap_or_else(|| panic!("{path} is not served"));
            (path, answer)
        });
        Self(served.collect())
    }

    /// Asks for all of it; how many were answered, or what was answered otherwise.
    fn compare(&self, node: &Node) -> Result<usize, String> {
        let mut answered = 0;
        for (path, truth) in &self.0 {
            let Some(answer) = asked(node, path) else { continue };
            if answer == *truth {
                answered += 1;
            } else if !early(&answer, truth) {
                return Err(format!("{path}: {}", difference(&answer, truth)));
            }
        }
        Ok(answered)
    }
}

/// Whether a list is that of an earlier moment, as a node that went back has it until it has fetched what it lacks.
fn early(got: &Value, want: &Value) -> bool {
    match (got, want) {
        (Value::String(got), Value::String(want)) => {
            want.starts_with(got.as_str()) && (got.is_empty() || got.ends_with('\n'))
        }
        _ => match (got["items"].as_array(), want["items"].as_array()) {
            (Some(got), Some(want)) => want.starts_with(got),
            _ => false,
        },
    }
}

/// The first place in which two answers differ.
fn difference(got: &Value, want: &Value) -> String {
    match (got, want) {
        (Value::Object(got), Value::Object(want)) => {
            let names: std::collections::BTreeSet<&String> = got.keys().chain(want.keys()).collect();
            let differ = names.into_iter().find(|name| got.get(*name) != want.get(*name));
            let member = |object: &serde_json::Map<String, Value>, name: &str| object.get(name).cloned();
            differ.map_or_else(String::new, |name| {
                let (got, want) =
                    (member(got, name).unwrap_or_default(), member(want, name).unwrap_or_default());
                format!("{name}.{}", difference(&got, &want))
            })
        }
        (Value::Array(got), Value::Array(want)) if got.len() == want.len() => {
            let differ = got.iter().zip(want).enumerate().find(|(_, (got, want))| got != want);
            differ.map_or_else(String::new, |(at, (got, want))| format!("{at}.{}", difference(got, want)))
        }
        _ => format!(" {got} in place of {want}"),
    }
}

/// An answer without what may differ between two times.
fn asked(node: &Node, path: &str) -> Option<Value> {
    let bytes = http::bytes(&format!("{}{path}", node.url()))?;
    let Ok(mut json) = serde_json::from_slice::<Value>(&bytes) else {
        return Some(Value::String(String::from_utf8_lossy(&bytes).into_owned()));
    };
    if let Some(object) = json.as_object_mut() {
        // Where the reader stands, and who cosigned last.
        for name in ["height", "checkpoint", "validators", "root_signatures", "inclusion", "next_cursor"] {
            if !path.starts_with("/v1/blocks") {
                object.remove(name);
            }
        }
        if path.starts_with("/v1/records?") {
            let items = object.get_mut("items").and_then(Value::as_array_mut);
            for item in items.into_iter().flatten().filter_map(Value::as_object_mut) {
                item.remove("height");
            }
        }
        // A certificate may come again with other signers.
        for name in ["certificate", "signers", "finality"] {
            object.remove(name);
        }
    }
    Some(json)
}

/// What became of a damaged node.
fn settle(node: &mut Node, truth: &Truth) -> Result<String, String> {
    let deadline = Instant::now() + SETTLE;
    let mut answered = 0;
    loop {
        if let Some(status) = node.ended_within(Duration::from_millis(100)) {
            let log = node.log();
            let said = log.lines().rev().find(|line| line.contains("city-node: E"));
            let Some(code) = status.code().filter(|code| (1..=7).contains(code)) else {
                return Err(format!("died of signal {:?}", status.signal()));
            };
            let said =
                said.and_then(|line| line.split_whitespace().nth(2)).map(|name| name.trim_end_matches(':'));
            return match said {
                Some(name) => Ok(format!("refused, exit {code}, {name}")),
                None => Err(format!("ended with {code} and no sentence")),
            };
        }
        let status = node.status();
        if status.is_some() {
            answered = truth.compare(node)?;
        }
        let Some(status) = status.filter(|_| answered == truth.0.len()) else {
            if Instant::now() >= deadline {
                return match node.status() {
                    Some(_) => Ok("serves some and refuses the rest".to_owned()),
                    None => Err("neither ends nor answers".to_owned()),
                };
            }
            continue;
        };
        match (status.voting, status.not_voting_because) {
            (true, _) => return Ok("whole, votes".to_owned()),
            (false, Some(refusal)) if refusal.code.name() != "NOT_READY" || Instant::now() >= deadline => {
                return Ok(format!("whole, follows, {}", refusal.code.name()));
            }
            _ if Instant::now() >= deadline => return Ok("whole, follows".to_owned()),
            _ => {}
        }
    }
}

#[test]
fn damaged_data_is_fetched_again_or_refused_and_never_served() {
    let (first, count) = (number("CITY_SEED", 0), number("CITY_CYCLES", 20));
    let mut cluster = Cluster::up();
    let clerk = officers(&cluster.genesis, &cluster.keys, "clerk", 1).remove(0);
    let mut records = Vec::new();
    for at in 0..RECORDS {
        let filed = http::submit(&cluster.nodes[0].url(), &clerk.file(&format!("c-{at}"), &at.to_string()));
        records.push(record_of(&filed.unwrap()));
        // Some of it in tables, some in the logs of writes.
        if at % 25 == 24 {
            cluster.wait_agreed();
            cluster.nodes[VICTIM].kill();
            cluster.nodes[VICTIM].start();
            cluster.wait_caught_up(VICTIM);
        }
    }
    let truth = wait_for("the victim serves everything", PATIENCE, || {
        let node = &cluster.nodes[VICTIM];
        let pending = records
            .iter()
            .any(|record| http::bytes(&format!("{}/v1/records/{record}/receipt", node.url())).is_none());
        (!pending).then(|| Truth::of(node, &records))
    });
    cluster.nodes[VICTIM].kill();
    let copy = cluster.nodes[VICTIM].copy_data("whole");
    let whole = cluster.nodes[VICTIM].run("fsck");
    assert!(whole.status.success(), "{}", said(&whole));
    println!("{}", said(&whole));
    let mut tally: BTreeMap<String, u64> = BTreeMap::new();
    for seed in first..first + count {
        let what = damage(&cluster.nodes[VICTIM].data(), seed);
        let checked = cluster.nodes[VICTIM].run("fsck");
        let _ = std::fs::remove_file(cluster.nodes[VICTIM].home.join("test.log"));
        cluster.nodes[VICTIM].start();
        let verdict = settle(&mut cluster.nodes[VICTIM], &truth);
        let log = cluster.nodes[VICTIM].log();
        assert!(!log.contains("panicked"), "{what}: {log}");
        let verdict = verdict.unwrap_or_else(|wrong| panic!("{what}: {wrong}\n{log}"));
        println!("{what}: {verdict}");
        // What keeps a node from serving all of it, or from voting, stands in one of the two stores or beside them.
        let in_stores = ["consensus/", "ledger/"].iter().any(|store| what.contains(store));
        if in_stores && !verdict.starts_with("whole, ") {
            assert_eq!(checked.status.code(), Some(4), "{what}: {verdict}: {}", said(&checked));
            let bad =
                said(&checked).lines().find(|line| line.starts_with("BAD ")).unwrap_or_default().to_owned();
            println!("  {bad}");
        }
        *tally.entry(verdict).or_default() += 1;
        cluster.nodes[VICTIM].kill();
        cluster.nodes[VICTIM].restore_data(&copy, None);
    }
    println!("{count} corruptions from seed {first}: {tally:#?}");
    cluster.assert_clean();
}
