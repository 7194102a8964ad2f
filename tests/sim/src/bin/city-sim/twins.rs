//! `city-sim twins`: validators that run twice under one key.

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use city_sim::sim::twins::{self, Scenario, generate};
use consensus::mutant::Mutant;

use super::{Outcome, Output};

/// Play scenarios in which f validators run twice under one key
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct TwinsArgs {
    /// Play this scenario instead of making some up
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Validators
    #[arg(long, default_value_t = 4)]
    n: u16,
    /// How many to draw
    #[arg(long, default_value_t = 2_000)]
    count: usize,
    /// Decides which
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Instead of drawing, all with one pair of twins, this many views and two cells
    #[arg(long, value_name = "VIEWS")]
    all: Option<usize>,
    /// A safety rule to remove
    #[arg(long, value_name = "NAME", value_parser = super::mutant)]
    mutant: Option<Mutant>,
}

pub(crate) fn run(args: &TwinsArgs, output: Output) -> Result<Outcome, Box<dyn Error>> {
    let scenarios = match (&args.scenario, args.all) {
        (Some(path), _) => vec![Scenario::parse(&std::fs::read_to_string(path)?)?],
        (None, Some(views)) => generate::enumerate(args.n, views, 2),
        (None, None) => generate::sample(args.n, args.count, args.seed),
    };
    let started = Instant::now();
    let (total, failed) = twins::play_all(&scenarios, args.mutant, super::cores());
    let elapsed_ms = started.elapsed().as_millis();
    match output {
        Output::Json => {
            let value = serde_json::json!({
                "scenarios": scenarios.len(),
                "total": total,
                "elapsed_ms": u64::try_from(elapsed_ms)?,
                "failed": failed.as_ref().map(|(at, violation)| {
                    serde_json::json!({ "scenario": scenarios[*at], "violation": violation })
                }),
            });
            println!("{}", serde_json::to_string_pretty(&value)?);
        }
        Output::Text => {
            println!("{} scenarios: {total:#?}\n{:.1} s", total.seeds, elapsed_ms as f64 / 1_000.0);
            if let Some((at, violation)) = &failed {
                println!("\nFAILED {violation}\n{}", toml::to_string(&scenarios[*at])?);
                println!("{}", twins::transcript(&scenarios[*at], args.mutant, 40));
            }
        }
    }
    Ok(if failed.is_some() { Outcome::Violated } else { Outcome::Held })
}
