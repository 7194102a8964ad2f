//! `city node why`: why the ledger moves or does not, on one screen.

use std::time::Duration;

use chain_core::api::{Condition, ValidatorWhy, Why, span};
use chain_core::code::Code;
use serde_json::{Value, json};

use crate::app::City;
use crate::client::{Client, paths};
use crate::error::{CliError, CliResult};
use crate::output::{Format, Shape};

/// A node that takes longer than this to answer from memory is passed over for the next one.
const PATIENCE: Duration = Duration::from_secs(3);
/// The verdict names this many validators with their reasons.
const NAMED: usize = 3;

const WHY: Shape = Shape {
    schema: "node-why",
    columns: &["node", "progress", "verdict", "next", "height", "view", "leader", "voters", "quorum"],
    id: "node",
    empty: "",
};
const VALIDATORS: Shape = Shape {
    schema: "node-why-validators",
    columns: &[
        "name", "state", "heard", "voted", "lag", "answers", "clock", "height", "view", "version", "code",
    ],
    id: "name",
    empty: "the validator set is empty",
};

pub(super) fn run(city: &City) -> CliResult {
    let why = ask(city)?;
    let rows: Vec<Value> = why.validators.iter().map(row).collect();
    match city.out.format() {
        Format::Json => {
            let whole = serde_json::to_value(&why).map_err(CliError::internal)?;
            city.out.item(WHY, &whole)
        }
        Format::Table if city.manners.fields.is_empty() => {
            city.out.data(head(&why))?;
            city.out.list(VALIDATORS, &rows)?;
            city.out.data(foot(&why))
        }
        _ => city.out.list(VALIDATORS, &rows),
    }
}

/// The view of the first node that answers.
fn ask(city: &City) -> CliResult<Why> {
    let context = city.context()?;
    let client = Client::new(&context.nodes, city.manners.timeout.min(PATIENCE), context.tls_ca.as_deref())?;
    for node in 0..client.len() {
        match client.get_from(node, paths::WHY) {
            Ok(why) => return Ok(why),
            Err(error) => city.out.warn(format!("{}: {}", client.url(node), error.refusal)),
        }
    }
    Err(CliError::new(Code::Unreachable, "no node of the context answers")
        .hint("look at the machines themselves; if a node stopped by itself, its last lines say why"))
}

fn head(why: &Why) -> String {
    let mut text = format!("{}\n", why.verdict);
    if !why.next.is_empty() {
        text += &format!("next: {}\n", why.next);
    }
    if let Some(recovery) = &why.recovery {
        text += &format!("recovery: {}\n", clean(&recovery.sentence()));
    }
    text += &format!("seen by {} in view {}, led by {}", why.node, why.view, why.leader);
    // What takes a moment is the usual course of things.
    if let Some(owed) = why.waiting_for.as_ref().filter(|owed| owed.for_ms >= 1_000) {
        text += &format!("; owed for {}: {}", span(owed.for_ms), owed.what);
    }
    if let Some(gave_up) = &why.gave_up {
        let ago = span(gave_up.ago_ms);
        text += &format!("; gave up {} in view {} {ago} ago: {}", gave_up.leader, gave_up.view, gave_up.why);
    }
    text + "\n\n"
}

/// Those that the verdict does not name.
fn foot(why: &Why) -> String {
    let mut bad: Vec<&ValidatorWhy> =
        why.validators.iter().filter(|one| one.state != Condition::Ok).collect();
    bad.sort_by_key(|one| std::cmp::Reverse(one.state));
    bad.iter().skip(NAMED).map(|one| format!("{}: {}\n", one.name, clean(&one.reason))).collect()
}

fn row(one: &ValidatorWhy) -> Value {
    let age = |ms: Option<u64>| ms.map(span);
    let name = if one.leads { format!("{} *", one.name) } else { one.name.clone() };
    let clock = one.skew_ms.map(|ms| {
        let sign = if ms < 0 { "-" } else { "+" };
        let ms = ms.unsigned_abs();
        if ms < 1_000 { format!("{sign}{ms} ms") } else { format!("{sign}{}", span(ms)) }
    });
    json!({
        "name": name,
        "state": one.state,
        "heard": if one.own { Some("here".to_owned()) } else { age(one.heard_ms) },
        "voted": age(one.voted_ms),
        "lag": one.vote_lag_ms.map(|ms| format!("{ms} ms")),
        "answers": one.round_trip_ms.map(|ms| format!("{ms} ms")),
        "clock": clock,
        "height": one.committed,
        "view": one.view,
        "version": one.version,
        "code": one.code,
        "reason": one.reason,
        "next": one.next,
    })
}

/// A validator's own words must not steer the reader's terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chain_core::api::{GaveUp, RecoveryNote, WaitingFor};
    use chain_core::crypto::Digest;
    use chain_core::id::{Epoch, Height, RecordId, View};

    fn validator(n: usize, state: Condition) -> ValidatorWhy {
        ValidatorWhy {
            name: format!("authority-number-{n}"),
            own: n == 0,
            leads: n == 1,
            state,
            code: Some(Code::SafetyLost),
            reason: "the consensus store holds no safety record".into(),
            next: "Give the validator a new consensus key through governance.".into(),
            heard_ms: Some(12_345),
            voted_ms: Some(987),
            vote_lag_ms: Some(3),
            missed_permille: Some(0),
            round_trip_ms: Some(1),
            pause_ms: Some(50),
            skew_ms: Some(-3_001),
            skew_error_ms: Some(1),
            committed: Height::new(1_204),
            executed: Height::new(1_204),
            view: View::new(17),
            asks_for: None,
            version: Some("0.1.0".into()),
        }
    }

    fn why(n: usize, state: Condition) -> Why {
        Why {
            node: "authority-number-0".into(),
            progress: false,
            verdict: "No progress since 41 s ago: 0 of 8 validators take part, 6 are needed.".into(),
            next: "start authority-number-1".into(),
            height: Height::new(1_204),
            still_ms: 41_000,
            view: View::new(17),
            leader: "authority-number-1".into(),
            voters: 0,
            quorum: 6,
            waiting_for: Some(WaitingFor { what: "a block that is not final".into(), for_ms: 40_000 }),
            gave_up: Some(GaveUp {
                view: View::new(16),
                leader: "authority-number-0".into(),
                why: "silence".into(),
                ago_ms: 9_000,
            }),
            recovery: None,
            validators: (0..n).map(|at| validator(at, state)).collect(),
        }
    }

    #[test]
    fn eight_validators_in_trouble_fit_on_a_screen() {
        let why = why(8, Condition::Refusing);
        let head = head(&why);
        assert_eq!(
            head,
            "No progress since 41 s ago: 0 of 8 validators take part, 6 are needed.\n\
             next: start authority-number-1\n\
             seen by authority-number-0 in view 17, led by authority-number-1; owed for 40 s: a block that is not \
             final; gave up authority-number-0 in view 16 9.0 s ago: silence\n\n"
        );
        let table = 1 + why.validators.len();
        let foot = foot(&why);
        assert_eq!(foot.lines().count(), 5);
        assert!(head.lines().count() + table + foot.lines().count() <= 24 - 4, "room for wrapped lines");
    }

    #[test]
    fn an_act_of_recovery_is_told_before_anything_else_about_the_view() {
        let note = RecoveryNote {
            epoch: Epoch::ZERO,
            height: Height::new(1_190),
            act: RecordId::new(Digest::ZERO),
            reason: "two machine \u{1b}rooms burnt".into(),
            time_ms: 0,
            in_effect: true,
        };
        let told = |in_effect| {
            let note = RecoveryNote { in_effect, ..note.clone() };
            head(&Why { recovery: Some(note), ..why(4, Condition::Ok) })
        };
        assert!(
            told(true).contains("\nrecovery: the agencies ended epoch 0 at block 1190 by act 0000"),
            "{}",
            told(true)
        );
        assert!(told(true).contains("two machine \u{fffd}rooms burnt\nseen by"), "{}", told(true));
        assert!(
            told(false).contains("burnt; this node follows to that block without a vote\nseen by"),
            "{}",
            told(false)
        );
    }

    #[test]
    fn a_row_has_figures_for_people_and_marks_the_leader() {
        let row = row(&validator(1, Condition::Skewed));
        assert_eq!(row["name"], "authority-number-1 *");
        assert_eq!((&row["heard"], &row["clock"]), (&json!("12 s"), &json!("-3.0 s")));
        assert_eq!((&row["state"], &row["code"]), (&json!("skewed"), &json!("SAFETY_RECORD_LOST")));
    }

    #[test]
    fn words_of_a_validator_do_not_steer_the_terminal() {
        let mut why = why(4, Condition::Refusing);
        why.validators[3].reason = "\u{1b}[2J".into();
        assert_eq!(foot(&why), "authority-number-3: \u{fffd}[2J\n");
    }
}
