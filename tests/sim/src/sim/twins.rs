//! Twins (Bano et al., "Twins: BFT Systems Made Robust", OPODIS 2021): a Byzantine validator is two honest
//! nodes with one key and a store each. Who hears whom is scripted per view; together they equivocate,
//! forget and vote twice without a line of hostile code.
//!
//! Leaders follow from the view, so a scenario is only: how many validators, which of them have twins, and a
//! partition of all nodes for each of the first views. [`scenario`] reads and writes them, [`generate`] makes
//! them up.

pub mod generate;
pub mod scenario;

use std::sync::atomic::{AtomicUsize, Ordering};

use consensus::Params;
use consensus::message::{EntryProof, Message};
use consensus::mutant::Mutant;

pub use scenario::Scenario;

use super::faults::Faults;
use super::ledger::Executors;
use super::parcel::Parcel;
use super::report::Report;
use super::roster::Keys;
use super::world::{Setup, World};

/// A scripted view lasts no longer than this, should nobody be able to leave it.
const VIEW_MS: u64 = 1_000;
/// Progress must be back this long after the last scripted view.
const HEALED_WITHIN_MS: u64 = 20_000;

/// Who hears whom, view by view.
#[derive(Clone, Debug)]
pub struct Script {
    /// For each view, the cell that each node is in.
    cells: Vec<Vec<u8>>,
    /// Virtual time, microseconds.
    pub(super) now_us: u64,
}

impl Script {
    /// Follows these partitions.
    pub fn new(cells: Vec<Vec<u8>>) -> Self {
        Self { cells, now_us: 0 }
    }

    /// Whether a parcel passes: its sender and receiver are in one cell in the view that it is about, or that
    /// should have begun by now. What both sides need to begin at all passes always.
    pub fn passes(&self, from: usize, to: usize, parcel: &Parcel, sender_view: u64) -> bool {
        let view = match parcel {
            Parcel::Message(message) => match &**message {
                Message::Echo(_) => return true,
                Message::Propose(proposal) => proposal.header.view.get(),
                Message::Vote(vote, _) => vote.view.get(),
                Message::ViewChange(one) => one.new_view.get().saturating_sub(1),
                Message::Entry(EntryProof::Timeout(tc)) => tc.new_view.get(),
                _ => sender_view,
            },
            Parcel::Batch(_) | Parcel::GetBatches { .. } => sender_view,
        };
        let begun = self.now_us / 1_000 / VIEW_MS;
        let place = usize::try_from(view.max(begun)).unwrap_or(usize::MAX);
        self.cells.get(place).is_none_or(|cells| cells[from] == cells[to])
    }
}

/// Parameters under which eight views pass in eight seconds.
fn params() -> Params {
    Params {
        timeout_base_ms: 200,
        timeout_base_max_ms: 400,
        timeout_cap_ms: 800,
        resend_ms: 200,
        silence_ms: 800,
        term_ms: 1_000,
        status_ms: 200,
        ..Params::default()
    }
}

/// Plays a scenario, then heals.
///
/// # Errors
/// The first violation by an honest validator, in words.
pub fn play(scenario: &Scenario, mutant: Option<Mutant>) -> Result<Report, String> {
    let mut world = world(scenario, mutant);
    run(&mut world, scenario)
}

/// Plays scenarios on so many threads until one fails: how they add up, and which failed, in words.
///
/// # Panics
/// When an engine does.
pub fn play_all(
    scenarios: &[Scenario],
    mutant: Option<Mutant>,
    threads: usize,
) -> (Report, Option<(usize, String)>) {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut total = Report::default();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(scenario) = scenarios.get(at) else { return (total, None) };
            match play(scenario, mutant) {
                Ok(report) => total.add(&report),
                Err(violation) => {
                    next.store(scenarios.len(), Ordering::Relaxed);
                    return (total, Some((at, violation)));
                }
            }
        }
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().expect("a scenario panicked")).collect()
    });
    let mut total = Report::default();
    let mut failed = None;
    for (report, one) in results {
        total.add(&report);
        failed = failed.or(one);
    }
    (total, failed)
}

/// Plays a failing scenario again, for its transcript.
pub fn transcript(scenario: &Scenario, mutant: Option<Mutant>, lines: usize) -> String {
    let mut world = world(scenario, mutant);
    world.keep_transcript();
    match run(&mut world, scenario) {
        Ok(_) => String::new(),
        Err(violation) => world.transcript(&violation, lines),
    }
}

fn world(scenario: &Scenario, mutant: Option<Mutant>) -> World {
    let faults = Faults { submit_every_ms: 60, ..Faults::none() };
    let mut world = World::of(Setup {
        seed: scenario.seed,
        n: scenario.n,
        params: params(),
        faults,
        keys: Keys::Hash,
        executors: Executors::Shared,
        twins: scenario.twins.clone(),
        first_leader: Some(0),
    });
    world.mutant = mutant;
    world.script = Some(Script::new(scenario.cells()));
    world
}

fn run(world: &mut World, scenario: &Scenario) -> Result<Report, String> {
    world.run_ms(VIEW_MS * scenario.views.len() as u64)?;
    world.heal_and_progress(HEALED_WITHIN_MS)
}
