//! What a block costs, and how long it takes, measured on a network where nothing goes wrong.

use std::time::Duration;

use chain_core::committee::{faults, quorum};
use consensus::Params;
use serde::Serialize;

use super::faults::Faults;
use super::ledger::Executors;
use super::network::Map;
use super::roster::Keys;
use super::submit::Desk;
use super::world::{Setup, World};

/// Virtual time before anything is counted.
const WARM_UP_MS: u64 = 3_000;
/// Length of one vote as it is signed and sent, table 5.1.
const VOTE_BYTES: u64 = 123;
/// Length of a proposal, and of each lane advance in it, table 5.1.
const PROPOSAL_BYTES: (u64, u64) = (484, 42);

/// What one block costs among `n` validators.
#[derive(Clone, Debug, Serialize)]
pub struct Cost {
    /// Validators.
    pub n: u16,
    /// Blocks counted.
    pub blocks: u64,
    /// Lanes that a block advances, on average.
    pub lanes: f64,
    /// Proposals and votes sent, all nodes together.
    pub messages: f64,
    /// The same by formula: one proposal and two votes to everybody else.
    pub messages_formula: u64,
    /// Bytes of votes that one node sends.
    pub vote_bytes: f64,
    /// By formula.
    pub vote_bytes_formula: u64,
    /// Bytes of proposals that the leader sends.
    pub proposal_bytes: f64,
    /// By formula, for that many lanes.
    pub proposal_bytes_formula: f64,
    /// Signatures that one node's engine checks.
    pub checks: f64,
    /// By formula: 2(q−1)+1.
    pub checks_formula: u64,
    /// Everything else, bytes that one node sends in a second: status, executed heights, batch headers.
    pub other_bytes_per_s: f64,
    /// Time that one node's engine runs, in microseconds by the wall clock, with Ed25519: on a busy machine longer
    /// than its processor time.
    pub engine_us: f64,
}

fn world(n: u16, keys: Keys, map: Map, submit_every_ms: u64) -> World {
    let faults = Faults { map, submit_every_ms, ..Faults::none() };
    World::of(Setup {
        keys,
        executors: Executors::Shared,
        params: Params::default(),
        ..Setup::new(u64::from(n), n, faults)
    })
}

/// Measures a network of `n` over so many blocks, and its engines' time over a few.
///
/// # Errors
/// A violation, or no progress.
pub fn of_block(n: u16, blocks: u64) -> Result<Cost, String> {
    let every_ms = 200;
    let mut world = world(n, Keys::Hash, Map::Metro, every_ms);
    world.run_ms(WARM_UP_MS)?;
    let before = Counted::of(&world);
    world.run_ms(blocks * every_ms)?;
    let after = Counted::of(&world);
    let blocks = after.blocks - before.blocks;
    if blocks == 0 {
        return Err(format!("{n} validators made no block"));
    }
    let per_block = |after: u64, before: u64| (after - before) as f64 / blocks as f64;
    let nodes = f64::from(n);
    let seconds = (after.at_us - before.at_us) as f64 / 1e6;
    let lanes = per_block(after.batches, before.batches) / nodes;
    let size = u64::from(n);
    let q = quorum(usize::from(n)) as u64;
    let [votes, proposals, batches, other] = [0, 1, 2, 3]
        .map(|kind| (after.kinds[kind].0 - before.kinds[kind].0, after.kinds[kind].1 - before.kinds[kind].1));
    // Each batch that arrives is one check, made before the engine sees it.
    let checks = after.checks - before.checks - batches.0.min(after.checks - before.checks);
    Ok(Cost {
        n,
        blocks,
        lanes,
        messages: (votes.0 + proposals.0) as f64 / blocks as f64,
        messages_formula: (size - 1) * (2 * size + 1),
        vote_bytes: votes.1 as f64 / blocks as f64 / nodes,
        vote_bytes_formula: 2 * (size - 1) * VOTE_BYTES,
        proposal_bytes: proposals.1 as f64 / blocks as f64,
        proposal_bytes_formula: (PROPOSAL_BYTES.0 as f64 + PROPOSAL_BYTES.1 as f64 * lanes)
            * (size - 1) as f64,
        checks: checks as f64 / blocks as f64 / nodes,
        checks_formula: 2 * (q - 1) + 1,
        other_bytes_per_s: (batches.1 + other.1) as f64 / seconds / nodes,
        engine_us: engine_time_of_block(n)?,
    })
}

/// Engine time of one node for one block, microseconds, with the signatures that validators make.
fn engine_time_of_block(n: u16) -> Result<f64, String> {
    let mut world = world(n, Keys::Ed25519, Map::Metro, 200);
    world.run_ms(1_500)?;
    world.time_engines();
    let before = world.height().get();
    world.run_ms(if n > 30 { 1_000 } else { 4_000 })?;
    let blocks = world.height().get() - before;
    let spent = world.engine_time().unwrap_or(Duration::ZERO);
    if blocks == 0 {
        return Err(format!("{n} validators made no block"));
    }
    Ok(spent.as_secs_f64() * 1e6 / blocks as f64 / f64::from(n))
}

struct Counted {
    at_us: u64,
    blocks: u64,
    batches: u64,
    checks: u64,
    kinds: [(u64, u64); 4],
}

impl Counted {
    fn of(world: &World) -> Self {
        let report = world.report();
        Self {
            at_us: world.now_us,
            blocks: report.blocks,
            batches: report.batches,
            checks: report.checks,
            kinds: world.kinds,
        }
    }
}

/// How long a record takes from the node that accepts it to being final there.
#[derive(Clone, Debug, Serialize)]
pub struct Finality {
    /// Validators.
    pub n: u16,
    /// Of them faulty at most.
    pub f: usize,
    /// Where they stand.
    pub map: Map,
    /// Whether records were handed to the leader; otherwise to any validator.
    pub at_leader: bool,
    /// Records measured.
    pub count: usize,
    /// Half are final by then, milliseconds.
    pub p50_ms: f64,
    /// 99 of a hundred are final by then, milliseconds.
    pub p99_ms: f64,
}

/// Measures finality over a span of virtual time.
///
/// # Errors
/// A violation, or nothing became final.
pub fn finality(n: u16, map: Map, desk: Desk, span_ms: u64) -> Result<Finality, String> {
    let mut world = world(n, Keys::Hash, map, 150);
    world.run_ms(WARM_UP_MS)?;
    let clients = world.clients_mut();
    clients.measures = true;
    clients.desk = desk;
    world.run_ms(span_ms)?;
    let mut all = world.clients().latencies_us.clone();
    all.sort_unstable();
    let at = |per_cent: usize| all.get((all.len() * per_cent / 100).min(all.len().saturating_sub(1)));
    let ms = |us: Option<&u64>| us.map(|us| *us as f64 / 1_000.0);
    let (Some(p50_ms), Some(p99_ms)) = (ms(at(50)), ms(at(99))) else {
        return Err(format!("nothing became final among {n}"));
    };
    let f = faults(usize::from(n));
    Ok(Finality { n, f, map, at_leader: desk == Desk::Leader, count: all.len(), p50_ms, p99_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_validators_cost_what_the_formula_says() {
        let cost = of_block(4, 50).unwrap();
        assert!(cost.blocks >= 40, "{cost:?}");
        // Retransmissions may add to it, nothing may be missing.
        let ratio = cost.messages / cost.messages_formula as f64;
        assert!((0.95..1.2).contains(&ratio), "{cost:?}");
        assert!(cost.engine_us > 10.0, "{cost:?}");
    }

    #[test]
    fn finality_follows_distance() {
        let near = finality(4, Map::Metro, Desk::Leader, 5_000).unwrap();
        let far = finality(4, Map::National, Desk::Leader, 5_000).unwrap();
        // Three hops of 10 to 20 ms and three synced writes of up to 1.5 ms.
        assert!(near.p50_ms < 12.0, "{near:?}");
        assert!((30.0..70.0).contains(&far.p50_ms), "{far:?}");
        let any = finality(4, Map::National, Desk::Any, 5_000).unwrap();
        assert!(any.p50_ms > far.p50_ms, "one hop more: {any:?}");
    }
}
