//! `city devnet status`.

use std::time::{Duration, Instant};

use chain_core::api::NodeStatus;
use chain_core::code::Code;
use serde_json::{Value, json};

use crate::app::City;
use crate::client::{Client, paths};
use crate::error::{CliError, CliResult};
use crate::interrupt;
use crate::output::Shape;

use super::layout::{Layout, Validator};
use super::process;

const SHAPE: Shape = Shape {
    schema: "devnet-status",
    columns: &[
        "number",
        "name",
        "pid",
        "height",
        "executed",
        "records",
        "view",
        "voting",
        "memory_mb",
        "url",
    ],
    id: "name",
    empty: "no validators",
};

pub(super) fn run(layout: &Layout, city: &City) -> CliResult {
    let rows = view(layout)?;
    let running = layout.validators().iter().any(|one| process::running(layout, one).is_some());
    // A validator that has just been started does not answer yet: that is a state, not a failure.
    match agree(layout).unwrap_or(None) {
        None if !running => city.out.warn(format!("no validator runs: {}", layout.command("up"))),
        Some((height, digest)) => {
            city.out.say(format!("  all running validators agree on block {height}  {}", &digest[..16]));
        }
        None => city.out.warn("the running validators do not agree on a block yet"),
    }
    city.out.list(SHAPE, &rows)
}

fn view(layout: &Layout) -> CliResult<Vec<Value>> {
    let client = Client::new(&layout.urls(), Duration::from_secs(2), None)?;
    Ok(layout
        .validators()
        .iter()
        .enumerate()
        .map(|(at, validator)| {
            let pid = process::running(layout, validator);
            let status = pid.and_then(|_| client.get_from::<NodeStatus>(at, paths::STATUS).ok());
            json!({
                "number": validator.number,
                "name": validator.name,
                "pid": pid,
                "height": status.as_ref().map(|status| status.committed),
                "executed": status.as_ref().map(|status| status.executed),
                "records": status.as_ref().map(|status| status.log_size),
                "view": status.as_ref().map(|status| status.view),
                "voting": status.as_ref().map(|status| status.voting),
                "memory_mb": pid.and_then(process::memory).map(|bytes| bytes / 1_048_576),
                "url": validator.url(),
            })
        })
        .collect())
}

/// The newest height that every running validator has executed, and its digest where all name the same one.
pub(super) fn agree(layout: &Layout) -> CliResult<Option<(u64, String)>> {
    let client = Client::new(&layout.urls(), Duration::from_secs(5), None)?;
    let running: Vec<usize> = layout
        .validators()
        .iter()
        .enumerate()
        .filter(|(_, validator)| process::running(layout, validator).is_some())
        .map(|(at, _)| at)
        .collect();
    let mut lowest = None;
    for &at in &running {
        let status: NodeStatus = client.get_from(at, paths::STATUS)?;
        lowest = Some(
            lowest.map_or(status.executed, |height: chain_core::id::Height| height.min(status.executed)),
        );
    }
    let Some(height) = lowest else { return Ok(None) };
    let mut digests = Vec::new();
    for &at in &running {
        let block: chain_core::api::BlockView = client.get_from(at, &paths::block(height))?;
        digests.push(block.digest.to_string());
    }
    digests.dedup();
    Ok(match &digests[..] {
        [one] => Some((height.get(), one.clone())),
        _ => None,
    })
}

/// Whether every validator runs.
pub(super) fn all_running(layout: &Layout) -> bool {
    layout.validators().iter().all(|validator| process::running(layout, validator).is_some())
}

/// Whether every running validator has executed about as far as the furthest.
pub(super) fn level(layout: &Layout) -> CliResult<bool> {
    let client = Client::new(&layout.urls(), Duration::from_secs(5), None)?;
    let mut heights = Vec::new();
    for (at, validator) in layout.validators().iter().enumerate() {
        if process::running(layout, validator).is_some() {
            heights.push(client.get_from::<NodeStatus>(at, paths::STATUS)?.executed.get());
        }
    }
    let (low, high) = (heights.iter().min(), heights.iter().max());
    Ok(matches!((low, high), (Some(low), Some(high)) if high - low <= 2))
}

/// Waits until a validator that was just started answers; fails with its last words when it ends instead.
pub(super) fn answers(layout: &Layout, validator: &Validator, patience: Duration) -> CliResult {
    let client = Client::new(&[validator.url()], Duration::from_secs(2), None)?;
    let deadline = Instant::now() + patience;
    while client.get_from::<NodeStatus>(0, paths::STATUS).is_err() {
        if process::running(layout, validator).is_none() {
            let words = process::last_words(layout, validator);
            let detail = format!("{} ended at once; its last words:\n{words}", validator.name);
            return Err(CliError::new(Code::DevnetState, detail).hint(see_log(layout, validator)));
        }
        if Instant::now() >= deadline {
            let detail = format!("{} does not answer after {} s", validator.name, patience.as_secs());
            return Err(CliError::new(Code::DevnetState, detail).hint(see_log(layout, validator)));
        }
        if !interrupt::sleep(Duration::from_millis(50)) {
            return Err(CliError::new(Code::Interrupted, "the validator goes on starting"));
        }
    }
    Ok(())
}

/// Where a validator says more.
pub(super) fn see_log(layout: &Layout, validator: &Validator) -> String {
    format!("see the log: {}", layout.command(&format!("logs {}", validator.number)))
}

/// Waits until a validator that was started again has executed what the others have.
pub(super) fn caught_up(layout: &Layout, validator: &Validator, patience: Duration) -> CliResult {
    let client = Client::new(&layout.urls(), Duration::from_secs(5), None)?;
    let deadline = Instant::now() + patience;
    loop {
        if process::running(layout, validator).is_none() {
            let words = process::last_words(layout, validator);
            let detail = format!("{} stopped after its restart; its last words:\n{words}", validator.name);
            return Err(CliError::new(Code::DevnetState, detail).hint(see_log(layout, validator)));
        }
        let height =
            |at| client.get_from::<NodeStatus>(at, paths::STATUS).map(|status| status.executed.get());
        let heights: Vec<CliResult<u64>> = (0..layout.validators().len()).map(height).collect();
        let highest = heights.iter().flatten().max().copied().unwrap_or(0);
        let mine = usize::from(validator.number - 1);
        if heights[mine].as_ref().is_ok_and(|height| height + 2 >= highest) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let detail = format!("{} did not catch up within {} s", validator.name, patience.as_secs());
            return Err(CliError::new(Code::DevnetState, detail));
        }
        if !interrupt::sleep(Duration::from_millis(200)) {
            return Err(CliError::new(Code::Interrupted, "the network goes on running"));
        }
    }
}
