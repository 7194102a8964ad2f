//! `city devnet`: a real network on this machine, four processes and a sample city.

pub(crate) mod create;
mod demo;
pub(crate) mod layout;
pub(crate) mod process;
pub(crate) mod sample;

mod remembered;
mod status;
mod up;

use std::path::PathBuf;
use std::time::Duration;

use chain_core::code::Code;
use clap::Subcommand;

use crate::app::City;
use crate::error::{CliError, CliResult};

use layout::Layout;

/// Run a network of real validators on this machine
///
/// `up` makes the sample city once, with keys for every officer, and starts four `city-node` processes that
/// find each other over libp2p, order over CPBFT and keep their ledgers in RocksDB. Running it again starts
/// what is not running. Nothing here is a stand-in; only the keys are on one machine, which no city should do.
///
/// city devnet up
///
/// city devnet kill 2        (kill -9; see what the others do, then: city devnet restart 2)
///
/// city devnet demo          (file a thousand records, kill a validator meanwhile, audit everything)
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum DevnetCommand {
    /// Start the network, and make it first if there is none
    Up(up::UpArgs),
    /// Show what runs and whether all agree
    Status(DirArgs),
    /// Print the logs of the validators
    Logs {
        #[command(flatten)]
        dir: DirArgs,
        /// One validator only, by number or name
        validator: Option<String>,
        /// Go on printing
        #[arg(short, long)]
        follow: bool,
    },
    /// Stop one validator in an orderly way
    Stop(OneArgs),
    /// Kill one validator as a crash would
    Kill(OneArgs),
    /// Start one validator again, stopping it first if it runs
    Restart(OneArgs),
    /// Stop every validator; the ledger stays
    Down(DirArgs),
    /// Stop every validator and remove the network with its keys and ledger
    Reset(DirArgs),
    /// Show the whole ledger at work, from spreadsheet to audit
    Demo(demo::DemoArgs),
}

/// How long a validator that was started again may take to answer.
const RESTART_PATIENCE: Duration = Duration::from_secs(30);

/// Which network.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DirArgs {
    /// Folder of the network
    #[arg(long, default_value = layout::DEFAULT_DIR, value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

/// One validator.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct OneArgs {
    #[command(flatten)]
    dir: DirArgs,
    /// Its number from 1, or its name
    validator: String,
}

pub(crate) fn run(command: DevnetCommand, city: &City) -> CliResult {
    match command {
        DevnetCommand::Up(args) => up::run(&args, city),
        DevnetCommand::Status(args) => status::run(&Layout::open(&args.dir)?, city),
        DevnetCommand::Logs { dir, validator, follow } => {
            logs(&Layout::open(&dir.dir)?, validator.as_deref(), follow)
        }
        DevnetCommand::Stop(args) => {
            let layout = Layout::open(&args.dir.dir)?;
            let validator = layout.find(&args.validator)?;
            let ran = process::running(&layout, validator).is_some();
            process::stop(&layout, validator)?;
            let end = if ran { "stopped" } else { "was not running" };
            city.out.done(format!("{} {end}", validator.name));
            Ok(())
        }
        DevnetCommand::Kill(args) => {
            let layout = Layout::open(&args.dir.dir)?;
            let validator = layout.find(&args.validator)?;
            process::kill(&layout, validator)?;
            city.out.done(format!("{} killed", validator.name));
            Ok(())
        }
        DevnetCommand::Restart(args) => {
            let layout = Layout::open(&args.dir.dir)?;
            let validator = layout.find(&args.validator)?;
            process::stop(&layout, validator)?;
            process::start(&layout, validator)?;
            status::answers(&layout, validator, RESTART_PATIENCE)?;
            city.out.done(format!("{} started", validator.name));
            Ok(())
        }
        DevnetCommand::Down(args) => {
            let layout = Layout::open(&args.dir)?;
            for validator in layout.validators() {
                process::stop(&layout, validator)?;
            }
            city.out.done(format!("all validators are down; start them again: {}", layout.command("up")));
            Ok(())
        }
        DevnetCommand::Reset(args) => {
            let layout = Layout::open(&args.dir)?;
            city.confirm(&format!("This removes {} with its keys and ledger", args.dir.display()), "reset")?;
            for validator in layout.validators() {
                process::stop(&layout, validator)?;
            }
            remembered::forget(city, &layout);
            std::fs::remove_dir_all(&args.dir).map_err(|error| CliError::file(&args.dir, &error))?;
            city.out.done(format!("{} removed", args.dir.display()));
            Ok(())
        }
        DevnetCommand::Demo(args) => demo::run(&args, city),
    }
}

fn logs(layout: &Layout, validator: Option<&str>, follow: bool) -> CliResult {
    let chosen = match validator {
        Some(name) => vec![layout.find(name)?],
        None => layout.validators().iter().collect(),
    };
    let mut tail = std::process::Command::new("tail");
    tail.args(["-n", "100"]);
    if follow {
        tail.arg("-F");
    }
    tail.args(chosen.iter().map(|validator| layout.log(validator)));
    let ended = tail.status().map_err(|error| CliError::new(Code::Internal, format!("tail: {error}")))?;
    if ended.success() || follow {
        Ok(())
    } else {
        Err(CliError::new(Code::FileNotFound, "there are no logs yet").hint(layout.command("up")))
    }
}
