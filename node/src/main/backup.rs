//! `city-node backup`: copies of what a node holds, made while it runs.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use chain_core::code::{Code, Refusal};
use chain_core::genesis::{BYTES_MAX, Genesis};
use city_node::backup::create::Owner;
use city_node::backup::prune::Listed;
use city_node::backup::restore::{Restored, RestoredVault};
use city_node::backup::verify::Verified;
use city_node::backup::{Name, Shelf, Which};
use city_node::config::{Config, read_text};
use city_node::datadir::Initialised;
use city_node::snapshots::verify::Trust;
use city_node::start::Setup;
use clap::{Args, Subcommand};

use super::fsck;

/// A backup is not whole.
const FLAWED: u8 = 4;

#[derive(Debug, Subcommand)]
pub(crate) enum BackupCommand {
    /// Make a backup; the node may run, and is not disturbed
    Create {
        /// The node's configuration
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// The folder for backups, in place of `backup.folder` of the configuration
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
    },
    /// List the backups, the oldest first
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Read a backup whole and hold it against the genesis
    ///
    /// Each file must be the one that was written; then every block, batch, certificate, leaf and entry of the state is
    /// read as `fsck` reads those of a stopped node. Exit code 4 when something is wrong.
    Verify {
        #[command(flatten)]
        place: Place,
        /// The genesis, in place of the one that the configuration names
        #[arg(long, value_name = "FILE", required_unless_present = "config")]
        genesis: Option<PathBuf>,
        /// All of them
        #[arg(long, conflicts_with = "which")]
        all: bool,
        /// Its name, or `newest`
        #[arg(default_value = "newest", value_name = "NAME")]
        which: Which,
    },
    /// Verify a backup and put it in the place of what a stopped node holds, or where nothing is
    ///
    /// What is there is set aside under other names and never deleted. The node then follows without voting: no backup
    /// knows what the validator has signed. Give it new keys (docs/operate/validators.md).
    Restore {
        /// The node's configuration
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// The folder with the backups, in place of `backup.folder` of the configuration
        #[arg(long, value_name = "DIR")]
        from: Option<PathBuf>,
        /// Give up the vote of a validator whose safety record is there and good
        #[arg(long)]
        yes_it_will_not_vote: bool,
        /// Its name, or `newest`
        #[arg(value_name = "NAME")]
        which: Which,
    },
    /// Remove all but the newest backups
    Prune {
        #[command(flatten)]
        place: Place,
        /// How many stay
        #[arg(long, value_name = "N")]
        keep: NonZeroUsize,
    },
}

/// Where the backups are.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The node's configuration
    #[arg(long, value_name = "FILE", required_unless_present = "from")]
    config: Option<PathBuf>,
    /// The folder with the backups, in place of `backup.folder` of the configuration
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
}

pub(crate) fn run(command: &BackupCommand) -> Result<ExitCode, Refusal> {
    match command {
        BackupCommand::Create { config, to } => create(config, to.as_deref()),
        BackupCommand::List { place } => list(&place.shelf()?),
        BackupCommand::Verify { place, genesis, all, which } => {
            let genesis = match (genesis, &place.config) {
                (Some(genesis), _) => genesis.clone(),
                (None, Some(config)) => Config::read(config)?.genesis,
                (None, None) => PathBuf::new(),
            };
            verify(&place.shelf()?, &genesis, (!all).then_some(which))
        }
        BackupCommand::Restore { config, from, yes_it_will_not_vote, which } => {
            let config = Config::read(config)?;
            let shelf = shelf_of(&config, from.as_deref())?;
            let setup = Setup::read(&config)?;
            let key_file = &config.keys.consensus;
            let restored = setup.restore_backup((&shelf, which), key_file, *yes_it_will_not_vote)?;
            print_restored(&restored);
            Ok(ExitCode::SUCCESS)
        }
        BackupCommand::Prune { place, keep } => prune(&place.shelf()?, *keep),
    }
}

impl Place {
    fn shelf(&self) -> Result<Shelf, Refusal> {
        match (&self.from, &self.config) {
            (Some(folder), _) => Ok(Shelf::at(folder)),
            (None, Some(config)) => shelf_of(&Config::read(config)?, None),
            (None, None) => Err(nowhere()),
        }
    }
}

fn shelf_of(config: &Config, folder: Option<&Path>) -> Result<Shelf, Refusal> {
    let named = config.backup.as_ref().map(|backup| backup.folder.as_path());
    folder.or(named).map(Shelf::at).ok_or_else(nowhere)
}

fn nowhere() -> Refusal {
    let detail = "the configuration names no folder for backups, wants `folder` in a section [backup], or the option \
                  --to or --from";
    Refusal::new(Code::ConfigInvalid, detail)
}

fn create(config: &Path, to: Option<&Path>) -> Result<ExitCode, Refusal> {
    let start = Instant::now();
    let config = Config::read(config)?;
    let shelf = shelf_of(&config, to)?;
    let (name, manifest) = shelf.create(&Owner::read(&config)?, &mut |step| println!("{step}"))?;
    println!(
        "backup {name}: block {} is final, the ledger is at block {}; {} KiB, {:.2} s",
        manifest.final_height,
        manifest.ledger_height,
        manifest.bytes() / 1024,
        start.elapsed().as_secs_f64()
    );
    println!("it is {}", shelf.path(&name).display());
    Ok(ExitCode::SUCCESS)
}

fn list(shelf: &Shelf) -> Result<ExitCode, Refusal> {
    let backups = shelf.list()?;
    for Listed { name, bytes, manifest } in &backups {
        match manifest {
            Ok(manifest) => println!(
                "{name}: {} ago, block {}, {} KiB, complete",
                age(manifest.begun_ms),
                manifest.final_height,
                bytes / 1024
            ),
            Err(flaw) => println!("{name}: {} KiB, NOT COMPLETE: {flaw}", bytes / 1024),
        }
    }
    if backups.is_empty() {
        println!("no backup yet: city-node backup create");
    }
    Ok(ExitCode::SUCCESS)
}

/// How long ago a time is, in the largest unit that it fills.
fn age(then_ms: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = u64::try_from(now.as_millis()).unwrap_or(u64::MAX).saturating_sub(then_ms) / 1_000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Verifies one backup, or all of them.
fn verify(shelf: &Shelf, genesis: &Path, which: Option<&Which>) -> Result<ExitCode, Refusal> {
    let genesis = Genesis::parse(&read_text(genesis, BYTES_MAX as u64)?)?;
    let trust = Trust::of(&genesis);
    if let Some(which) = which {
        let verified = verify_one(shelf, &shelf.find(which)?, &trust)?;
        print_verified(&verified);
        return Ok(code(verified.report.findings.is_empty()));
    }
    let names = shelf.names()?;
    if names.is_empty() {
        // An empty folder must not pass for a verified one.
        shelf.find(&Which::Newest)?;
    }
    let mut flawed = 0;
    for name in &names {
        match verify_one(shelf, name, &trust) {
            Ok(verified) => {
                print_verified(&verified);
                flawed += usize::from(!verified.report.findings.is_empty());
            }
            Err(refusal) => {
                println!("backup {name}: NOT WHOLE: {refusal}");
                flawed += 1;
            }
        }
    }
    println!("{} backups, {flawed} of them not whole", names.len());
    Ok(code(flawed == 0))
}

/// Verifies a backup, and notes on the shelf what came of it, for the node's metrics.
fn verify_one(shelf: &Shelf, name: &Name, trust: &Trust<'_>) -> Result<Verified, Refusal> {
    let verified = shelf.verify(name, trust);
    if let Err(refusal) = shelf.note(name, verified.as_ref()) {
        eprintln!("backup {name}: the verdict could not be noted beside it: {refusal}");
    }
    verified
}

fn code(is_whole: bool) -> ExitCode {
    if is_whole { ExitCode::SUCCESS } else { ExitCode::from(FLAWED) }
}

fn print_verified(verified: &Verified) {
    let Verified { name, manifest, report, took } = verified;
    let whose = if manifest.validator.is_empty() { "a validator" } else { manifest.validator.as_str() };
    println!(
        "backup {name} of {whose}, key {}, by city-node {}",
        manifest.consensus_key.short(),
        manifest.program
    );
    println!(
        "block {} {} of epoch {}; {} files, {} KiB, each as it was written",
        manifest.final_height,
        manifest.final_digest,
        manifest.epoch,
        manifest.files.len(),
        manifest.bytes() / 1024
    );
    fsck::print(report, true);
    println!("checked in {:.2} s", took.as_secs_f64());
}

fn print_restored(restored: &Restored) {
    print_verified(&restored.verified);
    let manifest = &restored.verified.manifest;
    println!(
        "restored: block {} is final, the ledger is at block {}",
        manifest.final_height, manifest.ledger_height
    );
    for path in &restored.set_aside {
        println!("what was there is {}; delete it when you are content", path.display());
    }
    if let Some(vault) = &restored.vault {
        print_vault(vault);
    }
    if restored.initialised == Some(Initialised::Voting) {
        println!("the consensus key is fresh: the validator votes once it has caught up and is in the set");
    } else {
        println!(
            "the node will follow WITHOUT VOTING: nothing here knows what the validator has signed. Give it new keys: \
             docs/operate/validators.md, \"Change keys\""
        );
    }
    println!("start the node: it executes what the ledger lacks and fetches what is newer from the others");
}

fn print_vault(vault: &RestoredVault) {
    let RestoredVault { kept, keyless, keys } = vault;
    if *keyless > 0 {
        println!(
            "{keyless} bodies of the vault were left out, there is no key for them in {}: they were destroyed after the \
             backup, or that folder was not copied with it",
            keys.display()
        );
    }
    match kept {
        None => {}
        Some(Ok(entries)) => {
            println!("the {entries} entries of the vault that was there are in the new one, too")
        }
        Some(Err(flaw)) => println!("the vault that was there could not be read: {flaw}"),
    }
}

fn prune(shelf: &Shelf, keep: NonZeroUsize) -> Result<ExitCode, Refusal> {
    let pruned = shelf.prune(keep)?;
    for (name, flaw) in &pruned.incomplete {
        println!("{name} is not complete, and stays until you have looked at it: {flaw}");
    }
    if let Some(name) = &pruned.spared {
        println!("{name} stays: no newer one is as it was written");
    }
    for (name, bytes) in &pruned.removed {
        println!("removed {name}: {bytes} bytes");
    }
    let freed: u64 = pruned.removed.iter().map(|(_, bytes)| bytes).sum();
    println!(
        "{} backups removed, {freed} bytes freed, {} kept",
        pruned.removed.len(),
        pruned.kept.len() + usize::from(pruned.spared.is_some())
    );
    Ok(ExitCode::SUCCESS)
}
