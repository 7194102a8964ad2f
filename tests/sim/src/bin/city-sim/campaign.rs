//! `city-sim campaign`: many seeds, a few at a time, added up over any number of runs of this program.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use chain_core::crypto::Digest;
use city_sim::sim::faults::Level;
use city_sim::sim::{Plan, Report};
use serde::{Deserialize, Serialize};

use super::run::Faults;
use super::{Outcome, Output};

/// Run seeds that were not run yet for these sources, and add all results up
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct CampaignArgs {
    /// Where results are kept: a file for each state of the sources
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Seeds, as A..B
    #[arg(long, value_name = "A..B", value_parser = super::seeds, default_value = "0..1000")]
    seeds: Range<u64>,
    /// Sizes
    #[arg(long, value_delimiter = ',', default_values_t = [4, 5, 7, 10])]
    n: Vec<u16>,
    /// Virtual minutes under faults
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// How hard the faults are
    #[arg(long, value_enum, default_value_t = Faults::Drawn)]
    faults: Faults,
    /// Stop after this many seconds; the next run goes on from there
    #[arg(long, value_name = "SECONDS")]
    stop_after: Option<u64>,
    /// The sources that results belong to
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))]
    sources: PathBuf,
}

/// One line of a results file.
#[derive(Debug, Deserialize, Serialize)]
struct Entry {
    plan: Plan,
    seed: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    report: Option<Report>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    violation: Option<String>,
}

/// What decides a result: the sources of the engine, of execution and of the simulator.
fn source_hash(root: &Path) -> Result<String, Box<dyn Error>> {
    let mut files = Vec::new();
    for part in ["chain-core/src", "consensus/src", "tests/sim/src"] {
        collect(&root.join(part), &mut files)?;
    }
    files.push(root.join("Cargo.lock"));
    files.sort();
    let mut whole = Vec::new();
    for file in files {
        let name = file.strip_prefix(root)?.to_string_lossy().into_owned();
        whole.extend(Digest::tagged(b"name", &[name.as_bytes()]).as_bytes());
        whole.extend(Digest::tagged(b"file", &[&fs::read(&file)?]).as_bytes());
    }
    Ok(Digest::tagged(b"sources", &[&whole]).to_string().chars().take(16).collect())
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(dir).map_err(|error| format!("{}: {error}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|one| one == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// Results of earlier runs. A last line that was cut short by a crash counts as not there.
fn earlier(path: &Path) -> Vec<Entry> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

pub(crate) fn run(args: &CampaignArgs, output: Output) -> Result<Outcome, Box<dyn Error>> {
    let sources = source_hash(&args.sources)?;
    fs::create_dir_all(&args.dir)?;
    let path = args.dir.join(format!("{sources}.jsonl"));
    let known = earlier(&path);
    let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
    // The entry after a line that was cut short begins on a line of its own.
    if fs::read(&path)?.last().is_some_and(|byte| *byte != b'\n') {
        writeln!(file)?;
    }
    let file = Mutex::new(file);
    let started = Instant::now();
    let limit = args.stop_after.map(Duration::from_secs);
    let mut entries = known;
    let mut fresh = 0_usize;
    for n in &args.n {
        let level = match args.faults {
            Faults::Calm => Level::Calm,
            Faults::Drawn => Level::Drawn,
            Faults::Harsh => Level::Harsh,
        };
        let plan = Plan { level, ..Plan::new(*n, args.minutes * 60_000) };
        let done = |seed: u64| entries.iter().any(|entry| entry.seed == seed && entry.plan == plan);
        let missing: Vec<u64> = args.seeds.clone().filter(|seed| !done(*seed)).collect();
        for part in missing.chunks(super::cores() * 16) {
            if limit.is_some_and(|limit| started.elapsed() >= limit) {
                break;
            }
            let keep = |seed: u64, result: &Result<Report, String>| {
                append(&file, &entry(&plan, seed, result));
            };
            let results = plan.run_all(part, super::cores(), false, &keep);
            fresh += results.len();
            entries.extend(results.iter().map(|(seed, result)| entry(&plan, *seed, result)));
            eprint!("\r{fresh} seeds in {} s ", started.elapsed().as_secs());
        }
    }
    eprintln!();
    report(&entries, fresh, &sources, output)
}

fn entry(plan: &Plan, seed: u64, result: &Result<Report, String>) -> Entry {
    Entry {
        plan: plan.clone(),
        seed,
        report: result.as_ref().ok().copied(),
        violation: result.as_ref().err().cloned(),
    }
}

/// One line, written whole; a campaign that cannot keep its results ends.
fn append(file: &Mutex<File>, entry: &Entry) {
    let mut line = serde_json::to_string(entry).expect("an entry has an encoding");
    line.push('\n');
    let mut file = file.lock().expect("no writer panics");
    file.write_all(line.as_bytes()).expect("the results file can be written");
}

fn report(entries: &[Entry], fresh: usize, sources: &str, output: Output) -> Result<Outcome, Box<dyn Error>> {
    let mut totals: BTreeMap<String, Report> = BTreeMap::new();
    for entry in entries {
        let Plan { n, span_ms, level, .. } = &entry.plan;
        let name = format!("n {n}, {level:?}, {} virtual minutes", span_ms / 60_000);
        if let Some(report) = &entry.report {
            totals.entry(name).or_default().add(report);
        }
    }
    let failed: Vec<&Entry> = entries.iter().filter(|entry| entry.violation.is_some()).collect();
    match output {
        Output::Json => {
            let value = serde_json::json!({
                "sources": sources, "fresh": fresh, "seeds": entries.len(), "totals": totals,
                "failed": failed,
            });
            println!("{}", serde_json::to_string_pretty(&value)?);
        }
        Output::Text => {
            println!("sources {sources}: {} seeds, {fresh} of them now", entries.len());
            for (name, total) in &totals {
                let hours = total.virtual_ms as f64 / 3_600_000.0;
                println!("{name}: {} seeds, {hours:.1} virtual hours, {total:?}", total.seeds);
            }
            for entry in &failed {
                let violation = entry.violation.as_deref().unwrap_or_default();
                println!("\nFAILED n {} seed {}: {violation}", entry.plan.n, entry.seed);
            }
            if let Some(first) = failed.first() {
                let violation = first.violation.as_deref().unwrap_or_default();
                println!("\n{}", first.plan.explain(first.seed, violation));
            }
        }
    }
    Ok(if failed.is_empty() { Outcome::Held } else { Outcome::Violated })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_done_are_not_run_again_and_a_torn_line_is() {
        let dir = std::env::temp_dir().join(format!("city-sim-campaign-{}", std::process::id()));
        let sources = dir.join("sources");
        for part in ["chain-core/src", "consensus/src", "tests/sim/src"] {
            fs::create_dir_all(sources.join(part)).unwrap();
        }
        fs::write(sources.join("Cargo.lock"), "1").unwrap();
        let args = CampaignArgs {
            dir: dir.join("results"),
            seeds: 0..3,
            n: vec![4],
            minutes: 0,
            faults: Faults::Calm,
            stop_after: None,
            sources: sources.clone(),
        };
        let path = || args.dir.join(format!("{}.jsonl", source_hash(&sources).unwrap()));
        assert!(matches!(run(&args, Output::Json), Ok(Outcome::Held)));
        let first = fs::read_to_string(path()).unwrap();
        assert_eq!(first.lines().count(), 3);
        run(&args, Output::Json).unwrap();
        assert_eq!(fs::read_to_string(path()).unwrap(), first, "nothing was left to do");
        fs::write(path(), &first[..first.len() - 20]).unwrap();
        run(&args, Output::Json).unwrap();
        assert_eq!(earlier(&path()).len(), 3, "the torn one was run again");
        fs::write(sources.join("consensus/src/lib.rs"), "changed").unwrap();
        assert!(!path().exists(), "other sources, other results");
        fs::remove_dir_all(dir).unwrap();
    }
}
