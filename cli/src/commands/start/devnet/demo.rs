//! `city devnet demo`: the whole ledger at work, on invented records.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chain_core::api::RecordView;
use chain_core::code::Code;
use chain_core::id::RecordId;
use chain_core::trust::TrustPolicy;
use serde_json::Value;

use crate::app::City;
use crate::client::paths;
use crate::commands::clerk::batch::{How, SubmitArgs, file, go_on, rows};
use crate::commands::clerk::receipt::{Form, fetch};
use crate::commands::clerk::record::{Signer, countersign};
use crate::error::{CliError, CliResult};
use crate::files;
use crate::filing::Filed;
use crate::interrupt;
use crate::proof_file::ProofFile;

use super::layout::{Layout, shell_word};
use super::up::{self, UpArgs};
use super::{process, sample, status};

/// Show the whole ledger at work, from spreadsheet to audit
///
/// Makes licences and penalties with the flaws of real exports, shows which rows are refused and why, files
/// the others, kills a validator meanwhile and starts it again, has officers approve the penalties, verifies
/// receipts offline and audits the chain. The network is left running. Running it again files a new set.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DemoArgs {
    #[command(flatten)]
    pub(crate) up: UpArgs,
    /// How many rows to make, licences and penalties together
    #[arg(long, default_value_t = 1200, value_parser = clap::value_parser!(u64).range(20..=100_000))]
    records: u64,
    /// What the rows follow from
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// How many receipts to verify
    #[arg(long, default_value_t = 20)]
    receipts: usize,
}

pub(super) fn run(args: &DemoArgs, city: &City) -> CliResult {
    heading(city, "Four validators of four agencies");
    let layout = up::start(&args.up, city)?;
    let desk = desk(city, &layout);
    let folder = next_run(&layout)?;
    let run = folder.1;

    heading(city, "Two spreadsheets, as agencies export them");
    let penalties = args.records * 2 / 5;
    let licences = args.records - penalties;
    let made = [
        ("licences", sample::licences(args.seed, run, licences)),
        ("penalties", sample::penalties(args.seed, run, penalties)),
    ];
    let mut sheets = Vec::new();
    for (name, sample) in &made {
        let path = folder.0.join(format!("{name}.csv"));
        files::create(&path, &sample.csv)?;
        city.out.done(format!("{}   {} rows", path.display(), sample.csv.lines().count() - 1));
        sheets.push(path);
    }
    stop_asked(&layout)?;

    heading(city, "Licences: every row judged before anything is sent, then filed");
    let journal = filed(&desk, &sheets[0], "licences", 100, 16)?;
    let mut records = show_verdict(city, &rows(&journal), &made[0].1)?;

    heading(city, "Penalties: filing goes on while one validator is killed and comes back");
    let victim = layout.validators()[1].clone();
    let (journal, downtime) = std::thread::scope(|scope| {
        let killer = scope.spawn(|| -> CliResult<Duration> {
            std::thread::sleep(Duration::from_millis(400));
            process::kill(&layout, &victim)?;
            let down = Instant::now();
            interrupt::sleep(Duration::from_secs(3));
            process::start(&layout, &victim)?;
            let downtime = down.elapsed();
            status::caught_up(&layout, &victim, Duration::from_secs(60))?;
            Ok(downtime)
        });
        let journal = filed(&desk, &sheets[1], "penalties", 2, 4);
        // If the validator did not come back, that is the reason for whatever the import says.
        let downtime =
            killer.join().unwrap_or_else(|_| Err(CliError::internal("the killing thread panicked")))?;
        Ok::<_, CliError>((journal?, downtime))
    })?;
    city.out.done(format!(
        "{} was killed (kill -9) and away for {:.1} s; nothing acknowledged was lost",
        victim.name,
        downtime.as_secs_f64()
    ));
    let acts = show_verdict(city, &rows(&journal), &made[1].1)?;
    stop_asked(&layout)?;

    heading(city, "Officers approve: a second clerk, a supervisor, and a legal reviewer for serious cases");
    let serious = serious(&desk, &acts)?;
    for (who, ids, signer) in [
        ("second clerk", &acts, Signer::role("clerk", 2)),
        ("supervisor", &acts, Signer::role("supervisor", 1)),
        ("legal reviewer", &serious, Signer::role("legal_reviewer", 1)),
    ] {
        let filed = countersign(&desk, ids, &signer)?;
        filed.iter().try_for_each(Filed::verdict)?;
        city.out.done(format!("{who}: {} penalties countersigned", ids.len()));
    }
    let newest: RecordView = desk.client()?.get(&paths::record(&acts[0]))?;
    city.out.done(format!("penalty {}… is now {}", &acts[0].to_string()[..16], newest.status));
    records.extend(&acts);
    stop_asked(&layout)?;

    heading(city, "All validators agree");
    let (height, digest) = agreed(&layout)?;
    city.out.done(format!("block {height}, {}… on all {}", &digest[..16], layout.validators().len()));

    heading(city, "Receipts, verified offline with public keys only");
    let folder = folder.0.join("receipts");
    receipts(city, &desk, &records, &folder, args.receipts)?;

    heading(city, "Audit: every signature, every certificate, every record executed again");
    audit(&layout)?;
    next_steps(city, &layout, &records[0], &folder);
    Ok(())
}

fn heading(city: &City, text: &str) {
    city.out.say(format!("\n{}", city.out.paint(text, "1")));
}

/// The application as a clerk of the network uses it.
fn desk(city: &City, layout: &Layout) -> City {
    let mut manners = city.manners.clone();
    manners.node = layout.urls();
    manners.genesis = Some(layout.genesis());
    manners.keys = Some(layout.keys());
    manners.timeout = manners.timeout.max(Duration::from_secs(60));
    City { manners, out: city.out.clone() }
}

/// A folder and number for this run. Interrupted runs keep theirs.
fn next_run(layout: &Layout) -> CliResult<(PathBuf, u64)> {
    let base = layout.root().join("demo");
    files::make_dir(&base)?;
    for run in 1..1_000 {
        let folder = base.join(format!("run-{run:03}"));
        match std::fs::create_dir(&folder) {
            Ok(()) => return Ok((folder, run)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(CliError::file(&folder, &error)),
        }
    }
    Err(CliError::new(Code::DevnetState, "999 demonstrations were run here")
        .hint(format!("start afresh: {}", layout.command("reset"))))
}

fn filed(
    desk: &City,
    sheet: &Path,
    map: &str,
    group: u16,
    window: u16,
) -> CliResult<crate::import::journal::Journal> {
    let how = How { window, stall: Duration::from_secs(30), report: None };
    let args = SubmitArgs {
        sheet: sheet.to_owned(),
        map: map.to_owned(),
        agency: None,
        nth: 1,
        journal: None,
        group,
        raw: false,
        dry_run: false,
        how: how.clone(),
    };
    match file(desk, &args) {
        // Once more from the journal: what a clerk would do.
        Err(error) if error.code() == Code::NotFinal => go_on(desk, sheet, &how),
        other => other,
    }
}

/// Says what was refused and compares it with what the generator put in; returns the accepted records.
fn show_verdict(city: &City, rows: &[Value], sample: &sample::Sample) -> CliResult<Vec<RecordId>> {
    let refused: Vec<&Value> = rows.iter().filter(|row| row["outcome"] == "reject").collect();
    let mut shown = std::collections::BTreeSet::new();
    for row in &refused {
        if shown.insert(row["notes"].to_string()) {
            let text = |name: &str| row[name].as_str().unwrap_or("").to_owned();
            city.out.say(format!("    row {:>4}  {:<24} {}", row["row"], text("notes"), text("detail")));
        }
    }
    let got: Vec<(u64, &str)> =
        refused.iter().filter_map(|row| Some((row["row"].as_u64()?, row["notes"].as_str()?))).collect();
    let want: Vec<(u64, &str)> = sample.flaws.iter().map(|(row, code)| (*row, code.name())).collect();
    if got != want {
        let wrong =
            got.iter().find(|one| !want.contains(one)).or_else(|| want.iter().find(|one| !got.contains(one)));
        return Err(CliError::new(
            Code::Internal,
            format!("the verdict of row {wrong:?} is not the one its flaw asks for"),
        ));
    }
    let records: Vec<RecordId> = rows.iter().filter_map(|row| row["record"].as_str()?.parse().ok()).collect();
    city.out.done(format!(
        "{} rows filed and final; {} refused, each with the code of its flaw",
        records.len(),
        refused.len()
    ));
    if records.is_empty() {
        return Err(CliError::new(Code::BatchIncomplete, "no row was accepted"));
    }
    Ok(records)
}

fn serious(desk: &City, acts: &[RecordId]) -> CliResult<Vec<RecordId>> {
    let client = desk.client()?;
    let mut serious = Vec::new();
    for record in acts {
        let view: RecordView = client.get(&paths::record(record))?;
        if view.header["severity"] == "serious" {
            serious.push(*record);
        }
    }
    Ok(serious)
}

/// Waits until every validator has executed the same newest block.
fn agreed(layout: &Layout) -> CliResult<(u64, String)> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match status::agree(layout) {
            Ok(Some((height, digest))) if status::all_running(layout) && status::level(layout)? => {
                return Ok((height, digest));
            }
            Err(error) if Instant::now() >= deadline => return Err(error),
            _ if Instant::now() >= deadline => {
                return Err(CliError::new(Code::StateMismatch, "the validators do not agree after 60 s")
                    .hint(layout.command("status")));
            }
            _ => {}
        }
        if !interrupt::sleep(Duration::from_millis(200)) {
            return Err(CliError::new(Code::Interrupted, "the network goes on running"));
        }
    }
}

fn receipts(city: &City, desk: &City, records: &[RecordId], folder: &Path, count: usize) -> CliResult {
    let (client, genesis) = (desk.client()?, desk.genesis()?);
    let policy = TrustPolicy::from_genesis(&genesis);
    files::make_dir(folder)?;
    let step = (records.len() / count.max(1)).max(1);
    let mut kept = Vec::new();
    for record in records.iter().step_by(step).take(count) {
        let bytes = fetch(&client, record, None, Form::Bundle, desk.manners.timeout)?;
        let path = folder.join(format!("{}.receipt.json", &record.to_string()[..16]));
        files::replace(&path, bytes)?;
        kept.push(path);
    }
    for path in &kept {
        ProofFile::parse(&files::read_bytes(path)?)?.judge(&policy)?;
    }
    city.out.done(format!(
        "{} receipts in {} are valid; nothing was fetched to check them",
        kept.len(),
        folder.display()
    ));
    Ok(())
}

/// Runs the audit as anybody would: this program again, with the genesis as its only trust.
fn audit(layout: &Layout) -> CliResult {
    let program = std::env::current_exe().map_err(CliError::internal)?;
    let status = std::process::Command::new(program)
        .args(["audit", "chain", "--genesis"])
        .arg(layout.genesis())
        .arg("--node")
        .arg(layout.urls().join(","))
        .status()
        .map_err(CliError::internal)?;
    if status.success() {
        return Ok(());
    }
    Err(CliError::new(Code::StateMismatch, format!("the audit ended with {status}")))
}

fn stop_asked(layout: &Layout) -> CliResult {
    if !interrupt::asked() {
        return Ok(());
    }
    Err(CliError::new(Code::Interrupted, "stopped safely; the network goes on running")
        .hint(format!("run the demo again, or: {}", layout.command("down"))))
}

fn next_steps(city: &City, layout: &Layout, record: &RecordId, receipts: &Path) {
    let context = up::context_flag(city, layout);
    let api = layout.validators().first().map_or_else(String::new, super::layout::Validator::url);
    city.out.say(format!(
        "\nThe network is running. Try next:\n\
         \x20 city record get {record}{context}\n\
         \x20 city record history {record}{context}\n\
         \x20 city receipt verify {receipts}/*.json --explain{context}\n\
         \x20 {}        {}        {}\n\
         \x20 curl {api}/v1/status\n\
         \x20 {}",
        layout.command("kill 3"),
        layout.command("status"),
        layout.command("restart 3"),
        layout.command("down"),
        receipts = shell_word(&receipts.display().to_string()),
    ));
}
