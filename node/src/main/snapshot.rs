//! `city-node snapshot`: what an operator does with the snapshots of a stopped node.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use chain_core::code::Refusal;
use chain_core::id::Height;
use city_node::config::Config;
use city_node::snapshots::fetch::Fetched;
use city_node::snapshots::join::Reach;
use city_node::snapshots::restore::PutBack;
use city_node::snapshots::verify::{Report, Standing};
use city_node::start::Setup;
use clap::Subcommand;

/// Nothing is wrong with the snapshot, and no quorum has certified it.
const UNCERTIFIED: u8 = 7;

#[derive(Debug, Subcommand)]
pub(crate) enum SnapshotCommand {
    /// List the snapshots, and why the last one could not be taken
    List {
        /// The node's configuration
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Fetch the newest certified snapshot from the other validators, for a node that has no block yet
    ///
    /// f+1 validators must name the same snapshot; its chunks come from all of them. It is verified as every snapshot is
    /// before it becomes this node's ledger. With its next start the node executes what came afterwards. Earlier blocks,
    /// with the bodies in them, it does not have; a node that is to have them starts without this and executes all.
    Fetch {
        /// The node's configuration
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Seconds to wait until enough validators offer the same snapshot
        #[arg(long, value_name = "SECONDS", default_value_t = 120)]
        patience: u64,
    },
    /// Read a snapshot whole and hold it against the root that a quorum certified
    ///
    /// Exit code 7 when nothing is wrong with it and no quorum has certified it yet.
    Verify {
        /// The node's configuration
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Its height; the newest one without
        height: Option<u64>,
    },
    /// Verify a snapshot and put it in the place of the ledger
    ///
    /// The present ledger is set aside under another name and never deleted. The memory of what this validator signed is
    /// not touched. With its next start the node executes what came after the snapshot.
    Restore {
        /// The node's configuration
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Its height; without, the newest that a quorum has certified
        height: Option<u64>,
        /// Take a snapshot that no quorum has certified: that it is what the others have is then shown by nothing but
        /// the next certified block, and if it is not, the node stops there
        #[arg(long)]
        uncertified: bool,
    },
}

pub(crate) fn run(command: &SnapshotCommand) -> Result<ExitCode, Refusal> {
    match command {
        SnapshotCommand::List { config } => list(&setup(config)?),
        SnapshotCommand::Fetch { config, patience } => fetch(config, *patience),
        SnapshotCommand::Verify { config, height } => {
            let report = setup(config)?.verify_snapshot(height.map(Height::new))?;
            print(&report);
            Ok(code(&report))
        }
        SnapshotCommand::Restore { config, height, uncertified } => {
            let restored = setup(config)?.restore_snapshot(height.map(Height::new), *uncertified)?;
            restored.reports.iter().for_each(print);
            let last = restored.reports.last();
            if let (Some(report), Some(put)) = (last, &restored.put) {
                print_put(report, put);
                return Ok(ExitCode::SUCCESS);
            }
            eprintln!("nothing was changed: give the height of a certified snapshot, or --uncertified");
            Ok(ExitCode::from(UNCERTIFIED))
        }
    }
}

fn setup(config: &std::path::Path) -> Result<Setup, Refusal> {
    Setup::read(&Config::read(config)?)
}

fn fetch(path: &std::path::Path, patience: u64) -> Result<ExitCode, Refusal> {
    let config = Config::read(path)?;
    crate::log_to_stderr("warn")?;
    let setup = Setup::read(&config)?;
    let reach = Reach { patience: Duration::from_secs(patience), ..Reach::of(&config) };
    let runtime = crate::runtime()?;
    let start = Instant::now();
    let fetched = setup.join(&reach, &runtime)?;
    let Fetched { report, chunks, bytes, named_by, shares } = &fetched;
    println!("{named_by} validators name snapshot {}; {chunks} chunks, {} KiB", report.height, bytes / 1024);
    for share in shares {
        let dropped =
            share.dropped.as_ref().map_or_else(String::new, |why| format!("; NOT ASKED AGAIN: {why}"));
        println!("  {}: {} chunks{dropped}", share.name, share.chunks);
    }
    print(report);
    println!("joined: the ledger is at block {}, in {:.2} s", report.height, start.elapsed().as_secs_f64());
    println!("start the node: it executes what came after this block");
    Ok(ExitCode::SUCCESS)
}

fn list(setup: &Setup) -> Result<ExitCode, Refusal> {
    let list = setup.list_snapshots()?;
    for one in &list.snapshots {
        println!(
            "snapshot {}: {} files, {} KiB, of which {} KiB are shared with nobody",
            one.height,
            one.files,
            one.bytes / 1024,
            one.own_bytes / 1024
        );
    }
    if list.snapshots.is_empty() {
        println!("no snapshot: the first one is taken when the first epoch ends");
    }
    if let Some(failure) = list.last_failure {
        println!("the last one could not be taken: {}", failure.trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

fn code(report: &Report) -> ExitCode {
    if report.is_certified() { ExitCode::SUCCESS } else { ExitCode::from(UNCERTIFIED) }
}

fn print(report: &Report) {
    let Report { height, block, contents, standing, took } = report;
    let summary = &contents.summary;
    println!("snapshot {height}: block {block}");
    println!("root {}", summary.root());
    println!(
        "state {}: {} entries, {} nodes of the stored tree",
        summary.state_root, contents.entries, contents.nodes
    );
    println!(
        "record log {}: {} leaves, {} stored hashes",
        summary.log_root, summary.log_size, contents.hashes
    );
    if let Some(listed) = contents.listed {
        println!("index of subjects: {listed} records, as its root says");
    }
    println!("executions, all under the newest root: {} outcomes", contents.outcomes);
    println!("indexes, under no root: {} entries read, with the disk's checksums", contents.unrooted);
    match standing {
        Standing::Certified(by) => println!(
            "certified by block {}; final by the certificate of block {}, {} of {} validators of epoch {}, who are proved \
             from the genesis",
            by.block, by.final_by, by.signatures, by.validators, by.epoch
        ),
        Standing::NotYet { newest } => println!(
            "NOT CERTIFIED YET: no header up to the newest final block here, {newest}, certifies this height; nothing else \
             is wrong"
        ),
        Standing::PassedOver { by } => println!(
            "NOT CERTIFIED: block {by} certifies a later height, so this one never will be; nothing else is wrong"
        ),
    }
    println!("checked in {:.2} s", took.as_secs_f64());
}

fn print_put(report: &Report, put: &PutBack) {
    println!(
        "restored: the ledger is at block {} ({} files linked, {} copied)",
        report.height, put.linked, put.copied
    );
    match &put.set_aside {
        Some(path) => {
            println!("the ledger that was there is {}; delete it when you are content", path.display())
        }
        None => println!("no ledger was there"),
    }
    println!("start the node: it executes what came after this block");
}
