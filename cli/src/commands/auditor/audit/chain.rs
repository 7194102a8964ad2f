//! `city audit chain`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chain_core::api::{BlockView, NodeStatus};
use chain_core::block::Header;
use chain_core::code::Code;
use chain_core::genesis::Genesis;
use chain_core::id::{ChainId, Height};

use super::checkpoint::{self, Cosigned};
use super::consistency;
use super::fetch::Blocks;
use super::finding::{Finding, Grade};
use super::report::{Files, Report, conclude};
use super::verify::{Plan, Stopped, Verified, verify};
use super::walk::Walk;
use super::walk::saved::Saved;
use crate::app::City;
use crate::client::{Client, paths};
use crate::error::{CliError, CliResult};
use crate::interrupt;
use crate::progress::Progress;

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
    /// Remember in this file what was verified, and go on from there: after Ctrl-C, a lost connection, or tomorrow
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Blocks between two writings of that file, one at least
    #[arg(long, default_value_t = 2_000, value_name = "N", requires = "state", value_parser = clap::value_parser!(u64).range(1..))]
    save_every: u64,
}

pub(super) fn run(args: &ChainArgs, city: &City) -> CliResult {
    interrupt::install();
    if let Some(to) = args.to.filter(|to| *to < args.from) {
        return Err(CliError::usage(format!("--to {to} lies before --from {}", args.from))
            .hint("an audit goes upwards: city audit chain --from LOW --to HIGH"));
    }
    if args.state.is_some() && args.from > 1 {
        return Err(CliError::usage(format!("--state with --from {}", args.from))
            .hint("what is remembered is the ledger as executed from block 1; leave out --from"));
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
    let sizes: Vec<u64> = newest.iter().chain(&before).map(Cosigned::size).collect();
    let saved = match &args.state {
        Some(path) => Saved::read(path, genesis)?,
        None => None,
    };
    let took_before = saved.as_ref().map_or(Duration::ZERO, |saved| Duration::from_millis(saved.took_ms()));
    let mut walk = match saved {
        Some(saved) => {
            goes_on(args, client, &saved, &status)?;
            city.out
                .say(format!("  going on after block {}, which an earlier audit verified", saved.newest().0));
            Walk::resumed(genesis, &sets, saved, &sizes)?
        }
        None => Walk::new(genesis, &sets, !whole, &sizes)?,
    };
    let plan = Plan {
        jobs: args.jobs.map_or_else(cores, usize::from),
        from: walk.height().filter(|_| whole).map_or(Height::new(args.from), Height::next),
        to: args.to.map(Height::new),
        sizes,
    };
    let total = args.to.map_or(last.get(), |to| to.min(last.get())).saturating_sub(args.from - 1);
    let mut progress = Progress::new("blocks", total);
    let mut updated = Instant::now();
    let mut memory_file = args.state.as_deref().map(|path| Memory::new(path, args.save_every, &walk));
    let took = || took_before + started.elapsed();
    let blocks = Blocks::fetch(Arc::clone(client), plan.from, last);
    let verified = verify(genesis, &sets, &mut walk, &plan, blocks, |walk| {
        if interrupt::asked() {
            let height = walk.height().unwrap_or(Height::ZERO);
            return Err(CliError::new(Code::Interrupted, format!("stopped after block {height}")).hint(
                "nothing of it is kept: run it again; with --state FILE it would go on where it stopped",
            ));
        }
        if updated.elapsed() >= PROGRESS_EVERY {
            updated = Instant::now();
            progress.set(walk.totals.blocks, &format!("{} records", walk.totals.records));
        }
        memory_file.as_mut().map_or(Ok(()), |memory| memory.now_and_then(walk, took()))
    });
    let verified = match (verified, &mut memory_file) {
        (Err(Stopped::Failed(error)), Some(memory)) => {
            memory.save(&walk, took())?;
            let path = memory.path.display();
            let height = walk.height().unwrap_or(Height::ZERO);
            return Err(Stopped::Failed(error.hint(format!(
                "blocks up to {height} are remembered; go on with: city audit chain --state {path}"
            ))));
        }
        (verified, _) => verified?,
    };
    progress.set(verified.totals.blocks, "");
    if city.out.talks() {
        progress.finish(&format!("{} records", verified.totals.records));
    }
    report.verified(&verified, took());
    complete(args, &verified, last)?;
    let found = |finding| Stopped::Found(Box::new(finding), None);
    if whole && args.to.is_none() {
        for (which, cosigned) in [("checkpoint", &newest), ("checkpoint of the last audit", &before)] {
            match (cosigned, &newest) {
                (Some(cosigned), _) if verified.reaches(cosigned.size()) => {
                    cosigned.compare(&verified, which).map_err(found)?;
                }
                // Older than what an audit that went on remembers: then tiles prove that it grew into the newest.
                (Some(cosigned), Some(newest)) if verified.reaches(newest.size()) => {
                    consistency::prove(client, cosigned, newest)?;
                }
                (Some(cosigned), _) => {
                    let detail =
                        format!("{which} of {} leaves is older than what is remembered", cosigned.size());
                    let finding = Finding::of(Grade::Unknown, None, Code::HistoryAltered, detail);
                    return Err(found(finding));
                }
                (None, _) => {}
            }
        }
        report.compared(newest.as_ref(), before.as_ref());
        if let (Some(path), Some(newest)) = (&memory, &newest)
            && before.is_none_or(|before| before.size() <= newest.size())
        {
            checkpoint::remember(path, newest)?;
        }
    }
    // Last of all: what a checkpoint contradicts is not remembered as verified.
    memory_file.map_or(Ok(()), |mut memory| Ok(memory.save(&walk, took())?))
}

/// The file in which an audit remembers what it verified.
struct Memory<'a> {
    path: &'a Path,
    every: u64,
    /// Blocks that were verified when it was written.
    blocks: u64,
    /// When it was written, and how long that took.
    written: Instant,
    cost: Duration,
}

impl<'a> Memory<'a> {
    fn new(path: &'a Path, every: u64, walk: &Walk<'_>) -> Self {
        Self { path, every, blocks: walk.totals.blocks, written: Instant::now(), cost: Duration::ZERO }
    }

    /// Writes it after so many blocks, but never for more than a twentieth of the time.
    fn now_and_then(&mut self, walk: &Walk<'_>, took: Duration) -> CliResult {
        let due = walk.totals.blocks >= self.blocks.saturating_add(self.every);
        match due && self.written.elapsed() >= self.cost * 20 {
            true => self.save(walk, took),
            false => Ok(()),
        }
    }

    fn save(&mut self, walk: &Walk<'_>, took: Duration) -> CliResult {
        let begun = Instant::now();
        walk.save(self.path, u64::try_from(took.as_millis()).unwrap_or(u64::MAX))?;
        self.blocks = walk.totals.blocks;
        (self.written, self.cost) = (Instant::now(), begun.elapsed());
        Ok(())
    }
}

/// That the node has the history that an earlier audit verified: its newest block commits to all below it.
fn goes_on(args: &ChainArgs, client: &Client, saved: &Saved, status: &NodeStatus) -> Result<(), Stopped> {
    let (height, _) = saved.newest();
    if let Some(to) = args.to.filter(|to| *to < height.get()) {
        let detail = format!("--to {to} lies below block {height}, which is remembered as verified");
        return Err(CliError::usage(detail).hint("leave out --state, or go further up").into());
    }
    if status.executed < height {
        let detail = format!(
            "the node has executed block {}, an earlier audit verified blocks up to {height}",
            status.executed
        );
        return Err(CliError::new(Code::NotYetExecuted, detail).hint("ask a node that is further").into());
    }
    let view: BlockView = client.get(&paths::block(height))?;
    same_history(saved, &view.header)?;
    Ok(())
}

/// Compares the remembered block with what the node says stands there.
fn same_history(saved: &Saved, given: &Header) -> Result<(), Stopped> {
    let (height, digest) = saved.newest();
    let got = given.digest();
    if (given.height, got) == (height, digest) {
        return Ok(());
    }
    // Without a quorum's certificate over it, the remembered block was one node's word.
    let grade = if saved.is_covered() { Grade::Tampered } else { Grade::Wrong };
    let detail = format!("an earlier audit verified block {digest} at this height, the node now gives {got}");
    Err(Stopped::Found(Box::new(Finding::of(grade, Some(height), Code::HistoryAltered, detail)), None))
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

#[cfg(test)]
mod tests {
    use super::super::sample::Chain;
    use super::super::verify::verify;
    use super::*;
    use crate::sets::Sets;

    /// What an audit of the first blocks of the sample remembers.
    fn remembered(blocks: usize) -> (Chain, Saved) {
        let chain = Chain::sample();
        let sets = Sets::of(&chain.genesis);
        let mut walk = Walk::new(&chain.genesis, &sets, false, &[]).unwrap();
        let plan = Plan { jobs: 1, from: Height::new(1), to: None, sizes: Vec::new() };
        let given = chain.blocks.iter().take(blocks).cloned().map(Ok);
        verify(&chain.genesis, &sets, &mut walk, &plan, given, |_| Ok(())).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        walk.save(&path, 0).unwrap();
        let saved = Saved::read(&path, &chain.genesis).unwrap().unwrap();
        (chain, saved)
    }

    #[test]
    fn another_history_below_what_is_remembered_is_refused() {
        // Block 7 has a certificate, block 6 waits for one.
        for (blocks, grade) in [(7, Grade::Tampered), (6, Grade::Wrong)] {
            let (chain, saved) = remembered(blocks);
            let mut header = chain.blocks[blocks - 1].header.clone();
            same_history(&saved, &header).unwrap();
            header.time_ms += 1;
            let other = same_history(&saved, &header);
            let lower = same_history(&saved, &chain.blocks[blocks - 2].header);
            for refused in [other, lower] {
                let Err(Stopped::Found(finding, _)) = refused else {
                    panic!("another history goes unnoticed")
                };
                assert_eq!((finding.refusal.code, finding.grade), (Code::HistoryAltered, grade), "{blocks}");
                assert_eq!(finding.height, Some(Height::new(blocks as u64)));
            }
        }
    }
}
