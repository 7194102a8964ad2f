//! Runs the consensus of City Ledger under seeds: `city-sim run`, `campaign`, `twins`, `cost`.
//!
//! Results go to stdout, progress to stderr. Exit code 0: everything held; 1: a violation was found, and its
//! transcript printed; 2: wrong arguments.

mod campaign;
mod cost;
mod run;
mod twins;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use consensus::mutant::Mutant;

/// A run allocates a few times for each message; measured against the system's allocator.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Simulates the consensus of City Ledger
#[derive(Debug, Parser)]
#[command(name = "city-sim", version)]
struct Args {
    /// How results are printed
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::RunArgs),
    Campaign(campaign::CampaignArgs),
    Twins(twins::TwinsArgs),
    Cost(cost::CostArgs),
}

/// What became of a command.
enum Outcome {
    Held,
    Violated,
}

fn main() -> ExitCode {
    let Args { output, command } = Args::parse();
    let outcome = match command {
        Command::Run(args) => run::run(&args, output),
        Command::Campaign(args) => campaign::run(&args, output),
        Command::Twins(args) => twins::run(&args, output),
        Command::Cost(args) => cost::run(&args, output),
    };
    match outcome {
        Ok(Outcome::Held) => ExitCode::SUCCESS,
        Ok(Outcome::Violated) => ExitCode::from(1),
        Err(error) => {
            eprintln!("city-sim: {error}");
            ExitCode::from(2)
        }
    }
}

/// A rule to remove, by its name in kebab case.
fn mutant(name: &str) -> Result<Mutant, String> {
    let kebab = |mutant: &Mutant| {
        let mut out = String::new();
        for (at, letter) in format!("{mutant:?}").chars().enumerate() {
            if letter.is_uppercase() && at > 0 {
                out.push('-');
            }
            out.push(letter.to_ascii_lowercase());
        }
        out
    };
    let all = Mutant::ALL;
    all.iter().copied().find(|one| kebab(one) == name).ok_or_else(|| {
        let names: Vec<String> = all.iter().map(kebab).collect();
        format!("no rule is called {name}; there are {}", names.join(", "))
    })
}

/// `A..B`, or one seed.
fn seeds(text: &str) -> Result<std::ops::Range<u64>, String> {
    let number = |text: &str| text.trim().parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
    match text.split_once("..") {
        Some((first, end)) => Ok(number(first)?..number(end)?),
        None => number(text).map(|seed| seed..seed + 1),
    }
}

/// Cores to use.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
