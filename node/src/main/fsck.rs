//! `city-node fsck`: everything that a stopped node holds, read and held against what was signed.

use std::path::PathBuf;
use std::process::ExitCode;

use chain_core::code::Refusal;
use chain_core::genesis::{BYTES_MAX, Genesis};
use city_node::config::{Config, read_text};
use city_node::datadir::DataDir;
use city_node::fsck::{FINDINGS_MAX, Report, fsck};
use city_node::snapshots::verify::Standing;
use clap::Args;

/// Something is wrong.
const FLAWED: u8 = 4;

/// Where the data is and what it is held against.
#[derive(Debug, Args)]
pub(crate) struct FsckArgs {
    /// The node's configuration, which names all of it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data_dir", "genesis", "vault_keys"])]
    config: Option<PathBuf>,
    /// The data directory, also one that was copied from elsewhere
    #[arg(long, value_name = "DIR", required_unless_present = "config", requires = "genesis")]
    data_dir: Option<PathBuf>,
    /// The genesis
    #[arg(long, value_name = "FILE", required_unless_present = "config")]
    genesis: Option<PathBuf>,
    /// The keys of the vaults in it, once for each; without any the entries there are read and not opened
    #[arg(long = "vault-key", value_name = "FILE")]
    vault_keys: Vec<PathBuf>,
}

pub(crate) fn run(args: &FsckArgs) -> Result<ExitCode, Refusal> {
    let (data, genesis, vault_keys) = match &args.config {
        Some(config) => {
            let config = Config::read(config)?;
            (config.data_dir, config.genesis, config.vault.map(|vault| vault.keys()).unwrap_or_default())
        }
        None => {
            let path = |given: &Option<PathBuf>| given.clone().unwrap_or_default();
            (path(&args.data_dir), path(&args.genesis), args.vault_keys.clone())
        }
    };
    let genesis = Genesis::parse(&read_text(&genesis, BYTES_MAX as u64)?)?;
    let report = fsck(&DataDir::at(&data), &genesis, &vault_keys)?;
    print(&report, data.join("ledger").exists());
    if let Some(first) = report.findings.first() {
        println!(
            "{}",
            match first.store {
                "ledger" =>
                    "next: put back a snapshot (city-node snapshot restore), or delete the folder `ledger`: it is made anew",
                "identity" =>
                    "next: put node.json back from a copy; without it the node refuses to start on this directory",
                "vault" =>
                    "next: put the entry back from a backup (docs/operate/backup.md); the node serves all others",
                _ =>
                    "next: keep a copy; the way back for a lost consensus store is in docs/operate/backup.md",
            }
        );
        return Ok(ExitCode::from(FLAWED));
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints what was found of two stores, of which the second may be missing, and of a vault.
pub(crate) fn print(report: &Report, has_ledger: bool) {
    println!(
        "consensus store: {} final blocks, {} batches, {} transactions, {} certificates; {} entries read",
        report.blocks, report.batches, report.transactions, report.certificates, report.entries
    );
    if report.first.get() > 1 {
        println!("  kept from block {} on; the ledger holds what came before", report.first);
    }
    if report.stripped > 0 {
        println!("  {} batches lack erased bodies; what they came to is kept", report.stripped);
    }
    match &report.ledger {
        Some(ledger) => {
            let summary = &ledger.contents.summary;
            println!(
                "ledger store: at block {}, {} leaves, {} entries of the state, hashed anew",
                ledger.height, summary.log_size, ledger.contents.entries
            );
            match &ledger.standing {
                Standing::Certified(by) => println!(
                    "  certified by block {}, {} of {} validators of epoch {}",
                    by.block, by.signatures, by.validators, by.epoch
                ),
                Standing::NotYet { newest } => println!(
                    "  the newest final block here, {newest}, does not certify an execution so far yet, as is usual"
                ),
                Standing::PassedOver { by } => println!("  block {by} certifies a later height only"),
            }
        }
        None if !has_ledger => {
            println!("ledger store: none; the node makes it anew from the blocks")
        }
        None => println!("ledger store: NOT WHOLE"),
    }
    if let Some(vault) = &report.vault {
        let opened =
            if vault.opened { "each opened with a vault's key" } else { "not opened: that takes the keys" };
        println!("vault: {} entries read, {opened}", vault.entries);
    }
    for finding in &report.findings {
        let at = finding.block.map_or_else(String::new, |height| format!(" block {height}"));
        println!("BAD {}{at}: {}", finding.store, finding.refusal);
    }
    if report.findings.len() == FINDINGS_MAX {
        println!("there may be more");
    }
    let seconds = report.took.as_secs_f64();
    match report.findings.first() {
        None => println!("WHOLE: nothing is wrong; read in {seconds:.2} s"),
        Some(_) => println!("NOT WHOLE: {} flaws; read in {seconds:.2} s", report.findings.len()),
    }
}
