//! `city-sim cost`: what a block costs as the network grows, beside the formulas; and finality by distance.

use std::error::Error;

use city_sim::sim::cost::{self, Cost, Finality};
use city_sim::sim::network::Map;
use city_sim::sim::submit::Desk;

use super::{Outcome, Output};

/// Measure messages, bytes, signature checks and engine time of a block, and finality by distance
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct CostArgs {
    /// Sizes for the cost of a block
    #[arg(long, value_delimiter = ',', default_values_t = [4, 7, 16, 31, 64, 100])]
    n: Vec<u16>,
    /// Blocks to count
    #[arg(long, default_value_t = 25)]
    blocks: u64,
    /// Sizes for finality; none leaves it out
    #[arg(long, value_delimiter = ',', default_values_t = [4, 16, 50])]
    finality: Vec<u16>,
    /// Virtual seconds of finality
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

pub(crate) fn run(args: &CostArgs, output: Output) -> Result<Outcome, Box<dyn Error>> {
    let mut costs = Vec::new();
    for n in &args.n {
        costs.push(cost::of_block(*n, args.blocks)?);
        eprintln!("cost of {n} measured");
    }
    let mut finality = Vec::new();
    for n in args.finality.iter().filter(|n| **n > 0) {
        for map in [Map::Metro, Map::National, Map::Intercontinental] {
            for desk in [Desk::Leader, Desk::Any] {
                finality.push(cost::finality(*n, map, desk, args.seconds * 1_000)?);
            }
        }
        eprintln!("finality of {n} measured");
    }
    match output {
        Output::Json => {
            let value = serde_json::json!({ "costs": costs, "finality": finality });
            println!("{}", serde_json::to_string_pretty(&value)?);
        }
        Output::Text => print(&costs, &finality),
    }
    Ok(Outcome::Held)
}

fn print(costs: &[Cost], finality: &[Finality]) {
    println!("A block, measured (formula):");
    println!(
        "| n | lanes | messages, network | vote bytes out, node | proposal bytes out, leader | signatures checked, node | engine time (wall clock), node | other bytes/s out, node |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for one in costs {
        println!(
            "| {} | {:.1} | {:.0} ({}) | {:.0} ({}) | {:.0} ({:.0}) | {:.1} ({}) | {:.2} ms | {:.0} |",
            one.n,
            one.lanes,
            one.messages,
            one.messages_formula,
            one.vote_bytes,
            one.vote_bytes_formula,
            one.proposal_bytes,
            one.proposal_bytes_formula,
            one.checks,
            one.checks_formula,
            one.engine_us / 1_000.0,
            one.other_bytes_per_s,
        );
    }
    println!("\nFinality of a record, from acceptance to final at the same validator:");
    println!("| n | f | distance | handed to | records | p50 | p99 |");
    println!("|---|---|---|---|---|---|---|");
    for one in finality {
        println!(
            "| {} | {} | {} | {} | {} | {:.1} ms | {:.1} ms |",
            one.n,
            one.f,
            format!("{:?}", one.map).to_lowercase(),
            if one.at_leader { "the leader" } else { "any validator" },
            one.count,
            one.p50_ms,
            one.p99_ms,
        );
    }
}
