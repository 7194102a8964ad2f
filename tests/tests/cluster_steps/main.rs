//! The table of steps (`docs/lifecycle.csv`) through the real API of four validators: records of seven lives led to each status,
//! and each step tried on them by each post of three agencies, by a device's key and by a stranger's. Whatever the table refuses
//! is refused with a reason that applies, whatever it allows is taken, agreed to by whom it names, and does what it says.
//!
//! What holds ends with its day: the validators' clocks are put ahead for that. `chain-core` plays the same table, and more of
//! it, through the executor alone.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

#[path = "../../../chain-core/tests/ledger/steps.rs"]
mod steps;
mod story;
mod town;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chain_core::code::Code;
use city_tests::cluster::{Cluster, PATIENCE, clock};
use city_tests::skip;

use steps::{Cell, Life, Row, Table, reasons};
use story::{Standing, Story};
use town::Town;

/// Stories that are told at once.
const TOLD_AT_ONCE: usize = 12;
/// How far the clocks are put ahead: whatever was to end today has ended.
const AHEAD: Duration = Duration::from_secs(2 * 24 * 60 * 60);

/// A step by somebody, and why it is to be refused; for no reason where the table allows it.
struct Try {
    operation: String,
    seat: usize,
    reasons: Vec<Code>,
}

/// A record that is led to a status, and what is then tried on it: everything that must be refused, or one step that must not.
struct Plan {
    life: Life,
    status: &'static str,
    before: String,
    tries: Vec<Try>,
}

#[derive(Debug, Default)]
struct Count {
    taken: usize,
    refused: usize,
    approvals: usize,
    /// What was taken at least once.
    operations: BTreeSet<String>,
    wrong: Vec<String>,
}

/// What must have happened before a step so that it can be taken at all.
fn prepared(operation: &str) -> &str {
    match operation {
        "dispute_decide" | "repair_decide" | "review_decide" | "release_hold" => operation,
        _ => "",
    }
}

fn plans(table: &Table, town: &Town) -> Vec<Plan> {
    let mut plans = Vec::new();
    for life in Life::ALL {
        for status in std::iter::once("none").chain(life.statuses().iter().copied()) {
            // Everything that is refused is tried on one record for each preparation: it stays as it is.
            let mut refused: BTreeMap<String, Vec<Try>> = BTreeMap::new();
            for operation in table.operations() {
                let alias = if life == Life::Fingerprint { "revoke" } else { "invalidate" };
                let of_record =
                    status == "superseded" && ["dispute_open", "repair_apply"].contains(&operation);
                let nothing_there = status == "none" && operation != "submit";
                if operation == alias || operation == "expire" || of_record || nothing_there {
                    continue;
                }
                let row = table.row(operation, life.names());
                let (approvals, names_officers) = (life.approvals(), life == Life::Penalty);
                let cell = Cell { operation, status, approvals, names_officers };
                for seat in 0..town.seats.len() {
                    let reasons = reasons(row, cell, &town.post(life, seat));
                    let one = Try { operation: operation.to_owned(), seat, reasons };
                    let before = prepared(operation).to_owned();
                    if one.reasons.is_empty() {
                        plans.push(Plan { life, status, before, tries: vec![one] });
                    } else {
                        refused.entry(before).or_default().push(one);
                    }
                }
            }
            plans.extend(refused.into_iter().map(|(before, tries)| Plan { life, status, before, tries }));
        }
    }
    plans
}

/// Does something for each, several at once, in order of their beginning.
fn each<T: Sync>(all: &[T], act: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..TOLD_AT_ONCE {
            scope.spawn(|| {
                while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    act(one);
                }
            });
        }
    });
}

fn names(codes: &[Code]) -> String {
    let names: Vec<&str> = codes.iter().map(|code| code.name()).collect();
    if names.is_empty() { "to be accepted".to_owned() } else { names.join(" or ") }
}

/// Takes a step that was accepted to its end: nothing changes before all have agreed, then what the row says does.
fn carry_through(story: &mut Story<'_>, row: &Row, one: &Try, standing: &Standing, count: &mut Count) {
    let what = format!("{:?} {}: {}", story.life, standing.status, one.operation);
    let agreed_by: Vec<&str> = match row.agreed_by.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["type"] => story.life.approvals().to_vec(),
        ref named => named.to_vec(),
    };
    if one.operation == "countersign" {
        let words = story.town.post(story.life, one.seat).words;
        let rest: Vec<&str> =
            story.life.approvals().iter().copied().filter(|wanted| !words.contains(wanted)).collect();
        story.approve(&rest, &[one.seat]);
    }
    let mut signed = vec![one.seat];
    for wanted in &agreed_by {
        let now = story.standing();
        if one.operation != "submit" && now != *standing {
            count.wrong.push(format!("{what}: {now:?} before {wanted} agreed"));
        }
        signed.extend(story.approve(&[wanted], &signed));
        count.approvals += 1;
    }
    let mut wanted = standing.clone();
    if row.to != "same" {
        wanted.status.clone_from(&row.to);
    }
    match one.operation.as_str() {
        "submit" => wanted = Standing { version: 1, status: "effective".to_owned(), flags: BTreeSet::new() },
        "amend" => wanted.version += 1,
        _ => {}
    }
    if let Some(flag) = row.flags.strip_prefix('+') {
        wanted.flags.insert(flag.to_owned());
    }
    if let Some(flag) = row.flags.strip_prefix('-')
        && !wanted.flags.remove(flag)
    {
        count.wrong.push(format!("{what}: {flag} was not there"));
    }
    let now = story.standing();
    if now != wanted {
        count.wrong.push(format!("{what}: came to {now:?}, wants {wanted:?}"));
    }
}

fn play(table: &Table, plan: &Plan, story: &mut Story<'_>, count: &Mutex<Count>) {
    let mut own = Count::default();
    story.mark(&plan.before);
    let standing = story.standing();
    // A version that was superseded belongs to a record in effect.
    let wanted = match plan.status {
        "superseded" => ("effective", 2),
        status => (status, u32::from(status != "none")),
    };
    if (standing.status.as_str(), standing.version) != wanted {
        own.wrong.push(format!("{:?} is {standing:?}, wants {wanted:?}", plan.life));
    }
    for one in &plan.tries {
        let got = story.attempt(&one.operation, one.seat);
        let what = || {
            format!(
                "{:?} {}: {} by {}",
                plan.life, plan.status, one.operation, story.town.seats[one.seat].name
            )
        };
        match got {
            Ok(()) if one.reasons.is_empty() => {
                own.taken += 1;
                own.operations.insert(one.operation.clone());
            }
            Err(code) if one.reasons.contains(&code) => own.refused += 1,
            got => own.wrong.push(format!("{}: {got:?}, wants {}", what(), names(&one.reasons))),
        }
        if let (Ok(()), true, Some(row)) =
            (got, one.reasons.is_empty(), table.row(&one.operation, plan.life.names()))
        {
            carry_through(story, row, one, &standing, &mut own);
        }
    }
    let refusals_alone = plan.tries.iter().all(|one| !one.reasons.is_empty());
    if refusals_alone && story.standing() != standing {
        let now = story.standing();
        own.wrong.push(format!("{:?} {}: what was refused made {now:?} of it", plan.life, plan.status));
    }
    let mut all = count.lock().unwrap();
    all.operations.extend(own.operations);
    all.taken += own.taken;
    all.refused += own.refused;
    all.approvals += own.approvals;
    all.wrong.extend(own.wrong);
}

#[test]
fn every_cell_that_a_network_can_reach_is_as_the_table_of_steps_says() {
    const NAME: &str = "every_cell_that_a_network_can_reach_is_as_the_table_of_steps_says";
    let folder = tempfile::tempdir().unwrap();
    let library = match clock::shifted(folder.path(), i64::try_from(AHEAD.as_secs()).unwrap()) {
        Ok(library) => library.to_str().unwrap().to_owned(),
        Err(why) => return skip(NAME, &why),
    };
    let mut cluster = Cluster::up();
    let table = Table::read();
    let mut town = Town::of(&cluster);
    let plans = plans(&table, &town);
    let begun: Vec<Mutex<Option<story::Begun>>> = plans.iter().map(|_| Mutex::new(None)).collect();
    let at: Vec<usize> = (0..plans.len()).collect();
    each(&at, |at| {
        let plan = &plans[*at];
        let story = Story::at(&town, *at, plan.life, plan.status, &plan.before);
        *begun[*at].lock().unwrap() = Some(story.begun);
    });

    cluster.wait_agreed();
    for node in &mut cluster.nodes {
        node.terminate();
    }
    for node in &mut cluster.nodes {
        assert!(node.ended_within(PATIENCE).expect("it stops").success(), "{}", node.name);
        node.start_with(&[("LD_PRELOAD", &library)]);
    }
    cluster.wait_voting();
    town.ahead = AHEAD;

    let count = Mutex::new(Count::default());
    each(&at, |at| {
        let plan = &plans[*at];
        let begun = begun[*at].lock().unwrap().take().expect("a story that was begun");
        let mut story = Story { town: &town, number: *at, life: plan.life, begun };
        play(&table, plan, &mut story, &count);
    });
    let count = count.into_inner().unwrap();
    assert!(
        count.wrong.is_empty(),
        "{} cells are not as they should be:\n{}",
        count.wrong.len(),
        count.wrong.join("\n")
    );
    println!(
        "{} cells through the API: {} steps taken, {} refused; {} approvals; {} kinds of steps, {} records",
        count.taken + count.refused,
        count.taken,
        count.refused,
        count.approvals,
        count.operations.len(),
        plans.len()
    );
    assert_eq!(count.operations.len() + 1, table.operations().len(), "all but what a day does by itself");
    cluster.wait_agreed();
    cluster.assert_clean();
}
