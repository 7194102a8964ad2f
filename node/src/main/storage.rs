//! `city-node storage`: what the stores take, and what an operator does with them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use chain_core::code::Refusal;
use chain_core::id::Height;
use city_node::config::Config;
use city_node::snapshots::join::Reach;
use city_node::start::Setup;
use city_node::storage::usage::FamilyUsage;
use city_node::upkeep::{Freed, KEEP_MIN, Usage};
use clap::Subcommand;
use serde_json::json;

/// How often a long command says how far it is.
const TELL_EVERY: Duration = Duration::from_secs(10);

#[derive(Debug, Subcommand)]
pub(crate) enum StorageCommand {
    /// Show what stores, families and folders take on the disk, also while the node runs
    Usage {
        /// The node's configuration
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write both stores of a stopped node anew, so that what was deleted or replaced takes no room any more
    Compact {
        /// The node's configuration
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Read every entry of both stores of a stopped node for the disk's checksums
    ///
    /// `fsck` does that, too, and holds everything against what was signed.
    Verify {
        /// The node's configuration
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Let a stopped node go of old blocks, with the bodies in them, and print the bytes that are freed
    ///
    /// Records, their history, receipts and proofs stay. Bodies that stood in those blocks are then to be had from other
    /// validators only. Needs a certified snapshot above what goes.
    Prune {
        /// The node's configuration
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// How many of the newest blocks are kept
        #[arg(long, value_name = "BLOCKS", value_parser = clap::value_parser!(u64).range(KEEP_MIN..))]
        keep: u64,
    },
    /// Get back the blocks that a stopped node does not keep, with the bodies in them, from the other validators
    ///
    /// For a node that joined with a snapshot, or that was pruned. Newest first; cut off, what came is kept, and the next
    /// time goes on. What is erased does not come back.
    Refill {
        /// The node's configuration
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// The lowest block wanted
        #[arg(long, value_name = "BLOCK", default_value_t = 1)]
        from: u64,
    },
}

pub(crate) fn run(command: &StorageCommand) -> Result<ExitCode, Refusal> {
    let setup = |config: &PathBuf| Setup::read(&Config::read(config)?);
    match command {
        StorageCommand::Usage { config, json } => {
            let usage = setup(config)?.usage()?;
            if *json {
                println!("{:#}", as_json(&usage));
            } else {
                print(&usage);
            }
        }
        StorageCommand::Compact { config } => print_freed(setup(config)?.compact()?),
        StorageCommand::Verify { config } => {
            let read = setup(config)?.read_through()?;
            println!(
                "read: {} entries of the consensus store, {} of the ledger store; every checksum is right",
                read.consensus, read.ledger
            );
        }
        StorageCommand::Prune { config, keep } => {
            let (pruned, freed) = setup(config)?.prune(*keep)?;
            if pruned.to > pruned.from {
                println!(
                    "pruned: blocks {} to {}, with {} batches; kept from {} on",
                    pruned.from,
                    pruned.to.get() - 1,
                    pruned.batches,
                    pruned.to
                );
            } else {
                println!("nothing to prune: kept from block {} on already", pruned.from);
            }
            print_freed(freed);
        }
        StorageCommand::Refill { config, from } => refill(config, *from)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn refill(path: &Path, from: u64) -> Result<(), Refusal> {
    let config = Config::read(path)?;
    crate::log_to_stderr("warn")?;
    let setup = Setup::read(&config)?;
    let runtime = crate::runtime()?;
    let start = Instant::now();
    let mut said = start;
    let told = |lowest: Height| {
        if said.elapsed() >= TELL_EVERY {
            said = Instant::now();
            println!("back to block {lowest}");
        }
    };
    let refilled = setup.refill(Height::new(from), &Reach::of(&config), &runtime, told)?;
    if refilled.to < refilled.from {
        println!(
            "blocks {} to {} are back, with {} batches, in {:.1} s; {} bodies are erased and did not come",
            refilled.to,
            refilled.from.get() - 1,
            refilled.batches,
            start.elapsed().as_secs_f64(),
            refilled.erased
        );
    } else {
        println!("nothing is missing: kept from block {} on", refilled.from);
    }
    Ok(())
}

fn print_freed(freed: Freed) {
    let Freed { before, after } = freed;
    println!("freed {} bytes: {before} before, {after} now", before.saturating_sub(after));
}

fn print(usage: &Usage) {
    let total: u64 = usage.folders.iter().map(|(_, bytes)| bytes).sum();
    println!(
        "blocks {} to {} are kept; {} leaves in the record log",
        usage.first, usage.newest, usage.leaves
    );
    for (store, families) in [("consensus", &usage.consensus), ("ledger", &usage.ledger)] {
        let bytes: u64 = families.iter().map(FamilyUsage::bytes).sum();
        println!("{store}: {} KiB in tables and files of values", bytes / 1024);
        for one in families.iter().filter(|one| one.bytes() > 0) {
            let share = one.bytes() * 1000 / bytes.max(1);
            println!(
                "  {:<10} {:>12} KiB {:>3}.{} % {:>12} entries",
                one.name,
                one.bytes() / 1024,
                share / 10,
                share % 10,
                one.entries
            );
        }
    }
    println!("data directory: {} KiB", total / 1024);
    for (name, bytes) in usage.folders.iter().filter(|(_, bytes)| *bytes > 0) {
        println!("  {name:<28} {:>12} KiB", bytes / 1024);
    }
    if let Some(each) = total.checked_div(usage.leaves) {
        println!("{each} bytes for each leaf of the record log, everything counted");
    }
}

fn as_json(usage: &Usage) -> serde_json::Value {
    let families = |families: &[FamilyUsage]| -> Vec<serde_json::Value> {
        let of = |one: &FamilyUsage| json!({ "name": one.name, "entries": one.entries, "table_bytes": one.tables, "value_bytes": one.values });
        families.iter().map(of).collect()
    };
    let folders = usage.folders.iter().map(|(name, bytes)| json!({ "name": name, "bytes": bytes }));
    json!({
        "schema": "city-storage-usage/1",
        "first_block": usage.first,
        "newest_block": usage.newest,
        "leaves": usage.leaves,
        "consensus": families(&usage.consensus),
        "ledger": families(&usage.ledger),
        "folders": folders.collect::<Vec<_>>(),
    })
}
