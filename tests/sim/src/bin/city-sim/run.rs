//! `city-sim run`: seeds of the whole network under faults.

use std::error::Error;
use std::ops::Range;
use std::time::Instant;

use city_sim::sim::faults::Level;
use city_sim::sim::{Plan, Report};
use clap::ValueEnum;
use consensus::mutant::Mutant;

use super::{Outcome, Output};

/// Run seeds: a network under faults, then healed
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct RunArgs {
    /// Seeds, as A..B or one number
    #[arg(long, value_name = "A..B", value_parser = super::seeds, default_value = "0..100")]
    pub(crate) seeds: Range<u64>,
    /// Validators
    #[arg(long, default_value_t = 4)]
    pub(crate) n: u16,
    /// Virtual minutes under faults
    #[arg(long, default_value_t = 10)]
    pub(crate) minutes: u64,
    /// Validators that lie, at most f; each seed decides if this is not given
    #[arg(long)]
    pub(crate) byzantine: Option<usize>,
    /// How hard the faults are
    #[arg(long, value_enum, default_value_t = Faults::Drawn)]
    pub(crate) faults: Faults,
    /// A safety rule to remove: no-vote-chain, commit-after-view-change, send-before-durable
    #[arg(long, value_name = "NAME", value_parser = super::mutant)]
    pub(crate) mutant: Option<Mutant>,
    /// Print the transcript of the first seed as it is, whether it fails or not
    #[arg(long)]
    pub(crate) transcript: bool,
    /// Lines of that transcript, the last ones
    #[arg(long, default_value_t = 200)]
    pub(crate) lines: usize,
    /// Threads; all cores if this is not given
    #[arg(long)]
    pub(crate) threads: Option<usize>,
}

/// How hard the faults are.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Faults {
    /// None
    Calm,
    /// Each seed its own mix, calm ones among them
    Drawn,
    /// Everything at once
    Harsh,
}

impl RunArgs {
    /// What is run for every seed.
    pub(crate) fn plan(&self) -> Plan {
        let level = match self.faults {
            Faults::Calm => Level::Calm,
            Faults::Drawn => Level::Drawn,
            Faults::Harsh => Level::Harsh,
        };
        Plan {
            level,
            byzantine: self.byzantine,
            mutant: self.mutant,
            ..Plan::new(self.n, self.minutes * 60_000)
        }
    }
}

pub(crate) fn run(args: &RunArgs, output: Output) -> Result<Outcome, Box<dyn Error>> {
    let plan = args.plan();
    if args.transcript {
        println!("{}", plan.transcript(args.seeds.start, args.lines));
        return Ok(Outcome::Held);
    }
    let seeds: Vec<u64> = args.seeds.clone().collect();
    let threads = args.threads.unwrap_or_else(super::cores);
    let started = Instant::now();
    let results = plan.run_all(&seeds, threads, true, &|_, _| {});
    let mut total = Report::default();
    let mut failed = None;
    for (seed, result) in &results {
        match result {
            Ok(report) => total.add(report),
            Err(violation) if failed.is_none() => failed = Some((*seed, violation.clone())),
            Err(_) => {}
        }
    }
    let elapsed_ms = started.elapsed().as_millis().max(1);
    let speed = u128::from(total.virtual_ms) / elapsed_ms;
    if let Some((seed, violation)) = &failed {
        let (seconds, first) = (elapsed_ms as f64 / 1_000.0, violation.lines().next().unwrap_or_default());
        eprintln!("seed {seed} failed after {seconds:.1} s: {first}; looking for its smallest form");
    }
    let explained = failed.as_ref().map(|(seed, violation)| (*seed, plan.explain(*seed, violation)));
    match output {
        Output::Json => {
            let value = serde_json::json!({
                "plan": plan,
                "total": total,
                "elapsed_ms": u64::try_from(elapsed_ms)?,
                "times_real_time": u64::try_from(speed)?,
                "failed": explained.as_ref().map(|(seed, one)| serde_json::json!({ "seed": seed, "explanation": one })),
            });
            println!("{}", serde_json::to_string_pretty(&value)?);
        }
        Output::Text => {
            println!("{} seeds of {} validators: {total:#?}", total.seeds, args.n);
            println!("{speed} times real time on {threads} threads, {:.1} s", elapsed_ms as f64 / 1_000.0);
            if let Some((seed, one)) = &explained {
                println!("\nFAILED seed {seed}: {one}");
            }
        }
    }
    Ok(if explained.is_some() { Outcome::Violated } else { Outcome::Held })
}
