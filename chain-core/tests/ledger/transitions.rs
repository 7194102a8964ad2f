//! Every step by every role of every agency in every status, as the table of steps (`docs/lifecycle.csv`) says and not
//! otherwise: for a record of each life, through the real executor.

use std::collections::BTreeSet;

use chain_core::code::{Code, Refusal};
use chain_core::operation::{EraseGround, Operation};
use chain_core::state::RecordHead;

use crate::city::{Accepted, approval};
use crate::official_data;
use crate::steps::{Cell, Life, Post, Row, STATUSES, Table, Whose, reasons};
use crate::story::{Story, actors, agency_of, approves, submitter, words_of};

/// A post of the story, as the table sees it.
fn post_of(life: Life, name: &str) -> Post {
    let whose = match agency_of(name) {
        Some("A1") => Whose::Own,
        Some("N") => Whose::Reviewer,
        Some(_) => Whose::Other,
        None if name == "D1/key1" => Whose::Nobody,
        None => Whose::Stranger,
    };
    Post { whose, words: words_of(life, name), filed_it: name == submitter(life) }
}

/// What a step did, once all who must agree have agreed.
fn check_effect(story: &Story, row: &Row, before: &RecordHead, what: &str) {
    let head = story.city.head(story.record);
    let (status, flags) = (head.current.status.name(), head.flags.names());
    let from = before.current.status.name();
    let to = if row.to == "same" { from } else { row.to.as_str() };
    assert_eq!(status, to, "{what}");
    let mut wanted: BTreeSet<&str> = before.flags.names().into_iter().collect();
    if let Some(flag) = row.flags.strip_prefix('+') {
        wanted.insert(flag);
    }
    if let Some(flag) = row.flags.strip_prefix('-') {
        assert!(wanted.remove(flag), "{what}: {flag} was not there");
    }
    assert_eq!(flags.into_iter().collect::<BTreeSet<_>>(), wanted, "{what}");
}

#[derive(Debug, Default, PartialEq)]
struct Count {
    /// Steps begun, by status and actor.
    begun: u32,
    /// Refused at the beginning.
    refused: u32,
    /// Approvals of steps that wait: given, and refused.
    approved: u32,
    not_approved: u32,
}

/// Plays one step by everybody in one status; adds to the count and to what went otherwise than the table says.
fn play(
    table: &Table,
    life: Life,
    operation: &str,
    status: &str,
    count: &mut Count,
    wrong: &mut Vec<String>,
) {
    let row = table.row(operation, life.names());
    let mut stage = Story::at(life, status, operation);
    let mut taken: Option<String> = None;
    for post in actors() {
        let what = format!("{life:?} {status}: {operation} by {post}");
        let (step, body) = stage.step(operation, &post);
        let got = stage.city.judge(&post, step, body);
        let (approvals, names_officers) = (life.approvals(), life == Life::Penalty);
        let cell = Cell { operation, status, approvals, names_officers };
        let reasons = reasons(row, cell, &post_of(life, &post));
        match &got {
            Ok(_) if reasons.is_empty() => {
                count.begun += 1;
                taken = taken.or(Some(post));
            }
            Err(refusal) if reasons.contains(&refusal.code) => count.refused += 1,
            _ => wrong.push(format!("{what}: {}, wants {}", shown(&got), codes(&reasons))),
        }
    }
    if let (Some(row), Some(post)) = (row, taken) {
        carry_through(life, operation, status, row, &post, count, wrong);
    }
}

/// Takes a step, has everybody try to approve it, lets those approve who may, and looks at what it did.
fn carry_through(
    life: Life,
    operation: &str,
    status: &str,
    row: &Row,
    post: &str,
    count: &mut Count,
    wrong: &mut Vec<String>,
) {
    let mut story = Story::at(life, status, operation);
    let (step, body) = story.step(operation, post);
    let what = format!("{life:?} {status}: {operation} by {post}");
    if operation == "submit" {
        story.record = step.record();
    }
    let before = story.city.ledger.head(&story.record);
    story.city.send_with(post, step, body).unwrap();
    let before = before.unwrap_or_else(|| story.city.head(story.record));
    let agreed_by: Vec<&str> = match row.agreed_by.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["type"] => life.approvals().to_vec(),
        ref named => named.to_vec(),
    };
    // One approval of several: the others are still missing.
    if operation == "countersign" {
        let rest: Vec<&str> = life
            .approvals()
            .iter()
            .copied()
            .filter(|wanted| !words_of(life, post).contains(wanted))
            .collect();
        story.approve(&rest);
    }
    for (at, wanted) in agreed_by.iter().enumerate() {
        let head = story.city.head(story.record);
        assert_eq!(
            (head.current.status, head.flags),
            (before.current.status, before.flags),
            "{what}: too early"
        );
        let missing = &agreed_by[at..];
        for other in actors() {
            let approval = approval(story.record, &story.city.head(story.record));
            let got = story.city.judge(&other, approval, None);
            let signed = other == post || agreed_by[..at].iter().any(|done| approves(life, done, &other));
            let may = !signed && missing.iter().any(|one| approves(life, one, &other));
            match (got.is_ok(), may) {
                (true, true) => count.approved += 1,
                (false, false) => count.not_approved += 1,
                _ => wrong.push(format!("{what}, then approved by {other}: {}", shown(&got))),
            }
        }
        story.approve(&[wanted]);
    }
    if operation == "submit" {
        assert_eq!(story.city.status(story.record), "effective", "{what}");
        return;
    }
    check_effect(&story, row, &before, &what);
}

fn shown(got: &Result<Accepted, Refusal>) -> String {
    match got {
        Ok(_) => "accepted".to_owned(),
        Err(refusal) => refusal.to_string(),
    }
}

fn codes(reasons: &[Code]) -> String {
    let names: Vec<&str> = reasons.iter().map(|code| code.name()).collect();
    if names.is_empty() { "accepted".to_owned() } else { names.join(" or ") }
}

#[test]
fn every_cell_of_the_table_of_steps_is_as_it_says() {
    let table = Table::read();
    let (mut count, mut wrong, mut played) = (Count::default(), Vec::new(), BTreeSet::new());
    for life in Life::ALL {
        let statuses = std::iter::once("none").chain(life.statuses().iter().copied());
        for status in statuses {
            for operation in table.operations() {
                // One operation has two names: of a fact that is appended it is an invalidation.
                let alias = if life == Life::Fingerprint { "revoke" } else { "invalidate" };
                // A case is about a record and not about one of its versions.
                let of_record =
                    status == "superseded" && ["dispute_open", "repair_apply"].contains(&operation);
                let nothing_there = status == "none" && operation != "submit";
                if operation == alias || operation == "expire" || of_record || nothing_there {
                    continue;
                }
                played.insert(operation);
                play(&table, life, operation, status, &mut count, &mut wrong);
            }
        }
    }
    assert!(wrong.is_empty(), "{} cells are not as the table says:\n{}", wrong.len(), wrong.join("\n"));
    println!("{} operations: {count:?}", played.len());
    assert_eq!(played.len() + 1, table.operations().len());
}

#[test]
fn what_holds_ends_with_the_day_that_it_was_to_end_and_nothing_else_does() {
    let table = Table::read();
    for life in [Life::ListEntry, Life::Decision] {
        let row = table.row("expire", life.names()).unwrap();
        let others = life.statuses().iter().filter(|status| !["expired", "superseded"].contains(status));
        for status in others {
            let what = format!("{life:?} {status}");
            let mut story = Story::at(life, status, "expire");
            let before = story.city.head(story.record);
            story.city.tick("2026-09-30T23:59:59+08:00");
            assert_eq!(story.city.head(story.record), before, "{what}: its last day is not over");
            story.city.tick("2026-10-01T00:00:00+08:00");
            if row.from.iter().any(|from| from == status) {
                check_effect(&story, row, &before, &what);
            } else {
                // What burdens for a time is not kept after it, however it ended.
                let over = ["repaired", "revoked", "withdrawn", "rejected"].contains(status);
                let want = if life == Life::ListEntry && over { "sealed" } else { status };
                assert_eq!(story.city.status(story.record), want, "{what}");
            }
        }
    }
}

#[test]
fn an_erasure_for_the_end_of_retention_waits_for_it() {
    for life in Life::ALL.into_iter().filter(|life| *life != Life::Member) {
        for status in life.statuses().iter().filter(|status| **status != "superseded") {
            let mut story = Story::at(life, status, "");
            let (record, version, ground) = (story.record, 1, EraseGround::RetentionEnd);
            let erase = Operation::Erase { record, version, ground, note: String::new() };
            let want = match *status {
                "sealed" => None,
                _ => Some(Code::TooEarly),
            };
            let got = story.city.judge("A1/privacy1", erase, None).map_err(|refusal| refusal.code);
            assert_eq!(got.err(), want, "{life:?} {status}");
        }
    }
}

#[test]
fn the_table_of_steps_is_that_of_the_domain() {
    let test = "the_table_of_steps_is_that_of_the_domain";
    let Some(rows) = official_data::rows(test, "lifecycle/transitions.csv") else { return };
    let table = Table::read();
    let named = |name: &str| -> BTreeSet<&str> {
        let own = table.0.iter().filter(|((operation, life), _)| {
            operation == name && !["status", "case", "promise"].contains(&life.as_str())
        });
        own.flat_map(|(_, row)| row.from.iter().map(String::as_str)).collect()
    };
    let mut operations = BTreeSet::new();
    for [names, from, _] in &rows {
        for name in names.split(" / ") {
            operations.insert(name.to_owned());
            let mut wanted: BTreeSet<&str> =
                from.split_whitespace().filter(|word| STATUSES.contains(word)).collect();
            match name {
                // What is suspended can still be shown, and a court still orders that it be not.
                "stop_publication" => wanted.extend(["suspended"]),
                // A version that was superseded is sealed with its record.
                "seal" => wanted.retain(|status| *status != "superseded"),
                // The table names what a person may ask for; a court and an unlawful record wait for no end either.
                "erase" => wanted = BTreeSet::from(["any"]),
                _ if from.starts_with("any") => wanted = BTreeSet::from(["any"]),
                _ if from == "(none)" => wanted = BTreeSet::from(["none"]),
                // While the mark of the objection or review stands.
                "dispute_decide" => wanted = BTreeSet::from(["effective", "suspended", "repaired"]),
                "review_decide" => wanted = BTreeSet::from(["any"]),
                _ => {}
            }
            assert_eq!(named(name), wanted, "{name}");
        }
    }
    assert_eq!(rows.len(), 22);
    assert_eq!(operations.iter().map(String::as_str).collect::<BTreeSet<_>>(), table.operations());
}
