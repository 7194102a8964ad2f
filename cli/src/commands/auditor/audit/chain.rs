//! `city audit chain`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chain_core::api::NodeStatus;
use chain_core::code::Code;
use chain_core::genesis::Genesis;
use chain_core::id::{ChainId, Height};

use super::checkpoint::{self, Cosigned};
use super::fetch::Blocks;
use super::finding::Finding;
use super::report::{Files, Report, conclude};
use super::verify::{Plan, Stopped, Verified, verify};
use crate::app::City;
use crate::client::{Client, paths};
use crate::error::{CliError, CliResult};
use crate::progress::Progress;
use crate::interrupt;

/// Blocks beyond `--to` that are fetched, if need be, for a certificate that covers it.
const BEYOND: u64 = 64;
/// Blocks between two updates of the progress bar.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// Verify every block from genesis and execute every record again
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ChainArgs {
    /// First block; above 1, signatures and links are verified but nothing is executed again
    #[arg(long, default_value_t = 1, value_name = "HEIGHT", value_parser = clap::value_parser!(u64).range(1..))]
    from: u64,
    /// Last block; the audit goes on to the certificate that covers it
    #[arg(long, value_name = "HEIGHT")]
    to: Option<u64>,
    /// Threads that verify signatures
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// Chain id that was agreed on, to compare the genesis file with
    #[arg(long, value_name = "HASH")]
    expect: Option<ChainId>,
    /// Write a report, whatever the verdict: in JSON, or as a page where the name ends with .html
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Folder for the evidence file
    #[arg(long, default_value = ".", value_name = "DIR")]
    evidence: PathBuf,
    /// Neither compare with the checkpoint that the last audit kept, nor keep today's
    #[arg(long)]
    no_memory: bool,
}

pub(super) fn run(args: &ChainArgs, city: &City) -> CliResult {
    interrupt::install();
    if let Some(to) = args.to.filter(|to| *to < args.from) {
        return Err(CliError::usage(format!("--to {to} lies before --from {}", args.from))
            .hint("an audit goes upwards: city audit chain --from LOW --to HIGH"));
    }
    let genesis = city.genesis()?;
    let client = Arc::new(city.client()?);
    let mut report = Report::new(&genesis, args.from);
    let audited = audit(args, city, &genesis, &client, &mut report);
    let files = Files { report: args.report.as_deref(), evidence: &args.evidence };
    conclude(city, &mut report, &files, audited)
}

fn audit(
    args: &ChainArgs,
    city: &City,
    genesis: &Genesis,
    client: &Arc<Client>,
    report: &mut Report,
) -> Result<(), Stopped> {
    expected(args, genesis)?;
    status_of(client, genesis)?;
    let started = Instant::now();
    let whole = args.from == 1;
    // The checkpoint comes first: what it covers is then executed at the node, and among the blocks.
    let newest = if whole { checkpoint::newest(client, genesis)? } else { None };
    report.checkpoint(newest.as_ref());
    let memory = (whole && !args.no_memory).then(|| checkpoint::memory(genesis)).flatten();
    let status = status_of(client, genesis)?;
    // After the status: whatever epochs the blocks up to there are of have begun.
    let sets = client.sets(genesis, None)?;
    report.sets(&sets);
    let before = match &memory {
        Some(path) => checkpoint::remembered(path, &sets)?,
        None => None,
    };
    let last =
        args.to.map_or(status.executed, |to| status.executed.min(Height::new(to.saturating_add(BEYOND))));
    let plan = Plan {
        jobs: args.jobs.map_or_else(cores, usize::from),
        from: Height::new(args.from),
        to: args.to.map(Height::new),
        sizes: newest.iter().chain(&before).map(Cosigned::size).collect(),
    };
    let total = args.to.map_or(last.get(), |to| to.min(last.get())).saturating_sub(args.from - 1);
    let mut progress = Progress::new("blocks", total);
    let mut updated = Instant::now();
    let blocks = Blocks::fetch(Arc::clone(client), plan.from, last);
    let verified = verify(genesis, &sets, &plan, blocks, |height, totals| {
        if interrupt::asked() {
            return Err(CliError::new(Code::Interrupted, format!("stopped after block {height}"))
                .hint("an audit keeps no state: run it again"));
        }
        if updated.elapsed() >= PROGRESS_EVERY {
            updated = Instant::now();
            progress.set(totals.blocks, &format!("{} records", totals.records));
        }
        Ok(())
    })?;
    progress.set(verified.totals.blocks, "");
    if city.out.talks() {
        progress.finish(&format!("{} records", verified.totals.records));
    }
    report.verified(&verified, started.elapsed());
    complete(args, &verified, last)?;
    let found = |finding| Stopped::Found(Box::new(finding), None);
    if whole && args.to.is_none() {
        for (which, cosigned) in [("checkpoint", &newest), ("checkpoint of the last audit", &before)] {
            if let Some(cosigned) = cosigned {
                cosigned.compare(&verified, which).map_err(found)?;
            }
        }
        report.compared(newest.as_ref(), before.as_ref());
        if let (Some(path), Some(newest)) = (&memory, &newest)
            && before.is_none_or(|before| before.size() <= newest.size())
        {
            checkpoint::remember(path, newest)?;
        }
    }
    Ok(())
}

/// The genesis file itself: it must be the one agreed on.
fn expected(args: &ChainArgs, genesis: &Genesis) -> CliResult {
    match args.expect {
        Some(expect) if expect != genesis.chain_id() => {
            let detail = format!("the genesis file is of chain {}, wants {expect}", genesis.chain_id());
            Err(CliError::new(Code::GenesisMismatch, detail))
        }
        _ => Ok(()),
    }
}

/// What the node says of itself; it must be of this chain, else nothing it has can be judged.
fn status_of(client: &Client, genesis: &Genesis) -> CliResult<NodeStatus> {
    let status: NodeStatus = client.get(paths::STATUS)?;
    if status.chain_id == genesis.chain_id() {
        return Ok(status);
    }
    let detail =
        format!("the node is of chain {}, the genesis file of {}", status.chain_id, genesis.chain_id());
    Err(CliError::new(Code::GenesisMismatch, detail))
}

/// The node must give what it says it has.
fn complete(args: &ChainArgs, verified: &Verified, last: Height) -> Result<(), Stopped> {
    let newest = verified.newest.0;
    if args.to.is_none() && newest < last {
        let detail = format!("the block is missing: the node says it has executed {last}");
        return Err(Stopped::Found(
            Box::new(Finding::tampered(newest.next(), Code::ChainBroken, detail)),
            None,
        ));
    }
    Ok(())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}
