//! Whole seeds: from a number to a profile, a run, a verdict, and for a failure its smallest form.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use consensus::mutant::Mutant;
use serde::{Deserialize, Serialize};

use super::faults::{FaultKind, Faults, Level};
use super::random::Random;
use super::report::Report;
use super::world::{Setup, World};

/// Progress must be back this long after healing, where nobody lies.
const HEALED_WITHIN_MS: u64 = 10_000;
/// And this much later for each liar, since it may lead as often as an honest one: one timeout at its longest.
const HEALED_PER_LIAR_MS: u64 = 10_000;
/// Lines of a transcript that close a report.
const LAST_LINES: usize = 40;
/// Runs that shrinking may take.
const TRIES_MAX: usize = 120;

/// What every seed of a plan is about.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Whatever the level draws.
    #[default]
    Any,
    /// The validator set changes in every seed.
    Churn,
}

/// What is run for every seed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Plan {
    /// Validators.
    pub n: u16,
    /// Virtual milliseconds under faults.
    pub span_ms: u64,
    /// How hard.
    pub level: Level,
    /// What every seed is about.
    #[serde(default)]
    pub profile: Profile,
    /// Liars, at most f; the seed decides if none is given.
    pub byzantine: Option<usize>,
    /// A rule that is removed.
    #[serde(skip)]
    pub mutant: Option<Mutant>,
}

impl Plan {
    /// Drawn faults for `n` validators.
    pub fn new(n: u16, span_ms: u64) -> Self {
        Self { n, span_ms, level: Level::Drawn, profile: Profile::Any, byzantine: None, mutant: None }
    }

    /// The profile of a seed.
    pub fn faults(&self, seed: u64) -> Faults {
        let mut random = Random::fork(seed, b"faults");
        let drawn = Faults::draw(self.level, self.n, self.byzantine, &mut random);
        match self.profile {
            Profile::Churn if drawn.churn_every_ms == 0 => drawn.with_churn(&mut random),
            Profile::Any | Profile::Churn => drawn,
        }
    }

    fn world(&self, seed: u64, faults: &Faults) -> World {
        let mut world = World::of(Setup::new(seed, self.n, faults.clone()));
        world.mutant = self.mutant;
        world
    }

    /// Runs one seed.
    ///
    /// # Errors
    /// The first violation, in words.
    pub fn run(&self, seed: u64) -> Result<Report, String> {
        self.run_under(seed, &self.faults(seed), self.span_ms)
    }

    /// Runs one seed under another profile than its own.
    ///
    /// # Errors
    /// The first violation, in words.
    pub fn run_under(&self, seed: u64, faults: &Faults, span_ms: u64) -> Result<Report, String> {
        play(&mut self.world(seed, faults), faults, span_ms)
    }

    /// Runs seeds on so many threads. Stops soon after the first failure, if asked to. In ascending order.
    pub fn run_all(
        &self,
        seeds: &[u64],
        threads: usize,
        stop: bool,
        done: &(dyn Fn(u64, &Result<Report, String>) + Sync),
    ) -> Vec<(u64, Result<Report, String>)> {
        let next = AtomicU64::new(0);
        let stopped = AtomicBool::new(false);
        let work = || {
            let mut mine = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let at = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap_or(usize::MAX);
                let Some(seed) = seeds.get(at).copied() else { break };
                let result = self.run(seed);
                if stop && result.is_err() {
                    stopped.store(true, Ordering::Relaxed);
                }
                done(seed, &result);
                mine.push((seed, result));
            }
            mine
        };
        let mut all: Vec<_> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
            workers.into_iter().flat_map(|worker| worker.join().expect("a seed panicked")).collect()
        });
        all.sort_by_key(|(seed, _)| *seed);
        all
    }

    /// The lines of a seed as it is, the last ones of them.
    pub fn transcript(&self, seed: u64, lines: usize) -> String {
        let faults = self.faults(seed);
        let mut world = self.world(seed, &faults);
        world.keep_transcript();
        let violation = play(&mut world, &faults, self.span_ms).err().unwrap_or_default();
        world.transcript(&violation, lines)
    }

    /// The smallest form of a failing seed: fewer kinds of faults, less time; and its transcript.
    pub fn explain(&self, seed: u64, violation: &str) -> Explanation {
        let mut small = Shrunk {
            faults: self.faults(seed),
            span_ms: self.span_ms,
            violation: violation.to_owned(),
            tries: 0,
        };
        let mut before = None;
        while before.as_ref() != Some(&small.faults) && small.tries < TRIES_MAX {
            before = Some(small.faults.clone());
            for kind in FaultKind::ALL {
                while let Some(less) = small.faults.without(kind) {
                    if !self.still_fails(seed, &mut small, less, None) {
                        break;
                    }
                }
            }
        }
        // Halves, then less and less off.
        let mut step = small.span_ms / 2;
        while step >= 1_000 && small.tries < 2 * TRIES_MAX {
            let (faults, span) = (small.faults.clone(), small.span_ms.saturating_sub(step));
            if !self.still_fails(seed, &mut small, faults, Some(span)) {
                step /= 2;
            } else {
                step = step.min(small.span_ms / 2);
            }
        }
        let mut world = self.world(seed, &small.faults);
        world.keep_transcript();
        let again = play(&mut world, &small.faults, small.span_ms);
        let violation = again.err().unwrap_or(small.violation);
        let transcript = world.transcript(&violation, LAST_LINES);
        Explanation { faults: small.faults, span_ms: small.span_ms, violation, transcript }
    }

    fn still_fails(&self, seed: u64, small: &mut Shrunk, faults: Faults, span_ms: Option<u64>) -> bool {
        small.tries += 1;
        let span_ms = span_ms.unwrap_or(small.span_ms);
        match self.run_under(seed, &faults, span_ms) {
            Ok(_) => false,
            Err(violation) => {
                (small.faults, small.span_ms, small.violation) = (faults, span_ms, violation);
                true
            }
        }
    }
}

fn play(world: &mut World, faults: &Faults, span_ms: u64) -> Result<Report, String> {
    world.run_ms(span_ms)?;
    world.heal_and_progress(HEALED_WITHIN_MS + HEALED_PER_LIAR_MS * faults.ill() as u64)
}

struct Shrunk {
    faults: Faults,
    span_ms: u64,
    violation: String,
    tries: usize,
}

/// The smallest form found of a failing seed.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// What goes wrong around the node.
    pub faults: Faults,
    /// Virtual milliseconds before healing.
    pub span_ms: u64,
    /// The violation.
    pub violation: String,
    /// What led to it.
    pub transcript: String,
}

impl std::fmt::Display for Explanation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.violation)?;
        writeln!(f, "the smallest profile that still fails, {} ms of it:", self.span_ms)?;
        let (all, calm) = (toml::to_string(&self.faults), toml::to_string(&Faults::none()));
        let calm = calm.unwrap_or_default();
        for line in all.unwrap_or_default().lines().filter(|line| !calm.lines().any(|one| one == *line)) {
            writeln!(f, "  {line}")?;
        }
        write!(f, "{}", self.transcript)
    }
}
