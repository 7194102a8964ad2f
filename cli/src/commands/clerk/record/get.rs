//! `city record get`: a record as it stands, or as it stood.

use std::time::{Duration, Instant};

use chain_core::api::{HeadView, RecordView, StandingView, TimelineView};
use chain_core::code::Code;
use chain_core::date::Date;
use chain_core::id::{Height, RecordId};
use chain_core::layout::Layout as _;
use chain_core::state::{EntryName, RecordHead};
use serde_json::{Value, json};

use crate::app::City;
use crate::client::paths;
use crate::commands::auditor::proved;
use crate::draft::shown_header;
use crate::error::{CliError, CliResult};
use crate::interrupt;
use crate::output::{Format, Shape};

/// Which moment; none for now.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct MomentArgs {
    /// With this block: what held on its day, as the ledger knew it up to that block
    #[arg(long, value_name = "HEIGHT", value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "as_of")]
    at: Option<u64>,
    /// On this local day, YYYY-MM-DD: what held, as the ledger knew it by the end of that day
    #[arg(long, value_name = "DATE")]
    as_of: Option<Date>,
    /// Count the ledger's knowledge up to the end of this day instead
    #[arg(long, value_name = "DATE", requires = "as_of")]
    known_at: Option<Date>,
    /// Have the state of the ledger proved as it was then, and compare
    #[arg(long)]
    proof: bool,
}

const RECORD: Shape = Shape {
    schema: "record",
    columns: &[
        "record",
        "type",
        "agency",
        "version",
        "status",
        "flags",
        "class",
        "header_digest",
        "leaf_index",
        "changed_at",
        "signers",
        "missing",
        "pending",
        "body",
    ],
    id: "record",
    empty: "",
};
const MOMENT: Shape = Shape {
    schema: "record-moment",
    columns: &["record", "as_of", "known_at", "known_height", "known", "now", "public", "proof"],
    id: "record",
    empty: "",
};

pub(super) fn run(city: &City, record: &RecordId, moment: &MomentArgs) -> CliResult {
    let asked = match (moment.at, moment.as_of) {
        (Some(height), _) => Some(format!("at={height}")),
        (None, Some(day)) => {
            let known_at = moment.known_at.map_or_else(String::new, |day| format!("&known_at={day}"));
            Some(format!("as_of={day}{known_at}"))
        }
        (None, None) => None,
    };
    match asked {
        Some(asked) => at_moment(city, record, &asked, moment.proof),
        None if moment.proof => Err(CliError::usage("--proof goes with --at or --as-of")
            .hint(format!("how it stands now is proved by: city state prove record:{record}"))),
        None => now(city, record),
    }
}

fn now(city: &City, record: &RecordId) -> CliResult {
    let view: RecordView = city.client()?.get(&paths::record(record))?;
    shown_header(&view)?;
    city.out.item(RECORD, &record_json(&view))?;
    explain_view(city, &view);
    Ok(())
}

fn at_moment(city: &City, record: &RecordId, asked: &str, proof: bool) -> CliResult {
    let client = city.client()?;
    let view: TimelineView = client.get(&paths::record_moment(record, asked))?;
    if view.record != *record {
        let detail = format!("asked for {record}, the node answers about {}", view.record);
        return Err(CliError::new(Code::ProofInvalid, detail));
    }
    let proof = if proof { prove(city, &view)? } else { Value::Null };
    if city.out.format() == Format::Table && city.manners.fields.is_empty() {
        return city.out.data(lines(&view, &proof).join("\n") + "\n");
    }
    let mut item = serde_json::to_value(&view).map_err(CliError::internal)?;
    item["proof"] = proof;
    city.out.item(MOMENT, &item)
}

/// Has the head that the answer rests on proved.
fn prove(city: &City, view: &TimelineView) -> CliResult<Value> {
    let entry = EntryName::Record(view.record);
    let (client, genesis) = (city.client()?, city.genesis()?);
    let rests_on = view.known.head.as_ref().map_or(Height::ZERO, |head| head.changed_at);
    let deadline = Instant::now() + city.manners.timeout;
    let proved = loop {
        let proved = proved::state(city, &client, &genesis, &entry, Some(view.known_height))
            .map_err(|error| pruned(error, view))?;
        if proved.height >= rests_on {
            break proved;
        }
        // The checkpoint that covers the newest step is a second or two behind.
        if Instant::now() >= deadline || !interrupt::sleep(Duration::from_millis(250)) {
            let detail = format!(
                "the newest checkpoint covers block {}, the answer rests on block {rests_on}",
                proved.height
            );
            return Err(CliError::new(Code::ReceiptPending, detail));
        }
    };
    let shown = match &proved.value {
        Some(value) => Some(head_of(value)?),
        None => None,
    };
    if shown != view.known.head {
        let detail = format!(
            "the node says {}, the proof shows {}",
            told(view.known.head.as_ref()),
            told(shown.as_ref())
        );
        return Err(CliError::new(Code::ProofInvalid, detail).hint("ask another node, and tell its operator"));
    }
    let names: Vec<&str> = proved.vouched.cosigners.iter().map(|one| one.name.as_str()).collect();
    Ok(json!({ "height": proved.height, "state_root": proved.state_root, "cosigners": names }))
}

fn pruned(error: CliError, view: &TimelineView) -> CliError {
    match error.code() {
        Code::StatePruned => error
            .hint(format!("the steps themselves can still be checked: city audit record {}", view.record)),
        _ => error,
    }
}

fn head_of(value: &[u8]) -> CliResult<HeadView> {
    let head = RecordHead::from_canonical(value)
        .map_err(|error| CliError::new(Code::ProofInvalid, format!("the proved head: {error}")))?;
    Ok(HeadView {
        version: head.current.version,
        status: head.current.status.name().to_owned(),
        flags: head.flags.names().into_iter().map(str::to_owned).collect(),
        changed_at: head.changed_at,
    })
}

fn told(head: Option<&HeadView>) -> String {
    match head {
        Some(HeadView { version, status, flags, changed_at }) => {
            format!("version {version} {status} {flags:?}, changed in block {changed_at}")
        }
        None => "no such record".to_owned(),
    }
}

/// The answer in words.
fn lines(view: &TimelineView, proof: &Value) -> Vec<String> {
    let mut lines = vec![
        format!("  record      {}", view.record),
        format!("              {} of {}, class {}", view.record_type, view.agency, view.class),
        format!("  on          {}   what held, as known", view.as_of),
    ];
    let known_by = match view.known_height {
        Height::ZERO => format!("by the end of {}, before the first block", view.known_at),
        height => format!("by the end of {}, up to block {height}", view.known_at),
    };
    for (name, when, standing) in
        [("then", known_by, &view.known), ("now", format!("up to block {}", view.height), &view.now)]
    {
        lines.push(format!("  {name:<11} {}   {when}", short(standing)));
        lines.push(format!("              {}", standing.why));
    }
    lines.push(match view.public.version {
        Some(version) => {
            format!("  public      could see version {version} on that day: {}", view.public.why)
        }
        None => format!("  public      could not see it on that day: {}", view.public.why),
    });
    if view.steps_that_day > 0 {
        lines.push(format!("  steps       {} on that day", view.steps_that_day));
    }
    if !proof.is_null() {
        let names = proof["cosigners"].as_array().map_or(0, Vec::len);
        lines.push(format!(
            "  proof       the state after block {}, cosigned by {names}, holds this head",
            proof["height"]
        ));
    }
    lines
}

fn short(standing: &StandingView) -> String {
    let force = if standing.in_force { ", in force" } else { "" };
    match standing.version {
        Some(version) => format!("version {version} {}{force}", standing.status),
        None => standing.status.clone(),
    }
}

/// Whose key gives an approval, as the command takes it. Notaries and members of the council are of other agencies.
fn signer_of(missing: &str) -> String {
    match missing {
        "second_clerk" => "--role clerk --nth 2".to_owned(),
        "second_admin" => "--role agency_admin --nth 2".to_owned(),
        other if other == "notary" || other.starts_with("council_member") => "--key NAME".to_owned(),
        role => format!("--role {role}"),
    }
}

/// Says what the table cannot: what waits for whom, and why there is no body.
fn explain_view(city: &City, view: &RecordView) {
    let waits = view.pending.as_ref().map(|pending| (pending.operation.as_str(), &pending.missing));
    let waits = waits.or_else(|| (!view.missing.is_empty()).then_some(("submit", &view.missing)));
    if let Some((step, missing)) = waits {
        let roles: Vec<&str> = missing.iter().map(String::as_str).collect();
        city.out.say(format!("  The step to {step} waits for approval by: {}", roles.join(", ")));
        if let Some(missing) = roles.first() {
            let signer = signer_of(missing);
            city.out.say(format!("  Approve it: city record countersign {} {signer}", view.record));
        }
    }
    if view.body_elsewhere {
        city.out
            .say("  The body stood in a block that this node does not keep; ask another validator (--node)");
    } else if view.body.is_none() && view.header.get("body_commit").is_some_and(|commit| !commit.is_null()) {
        city.out.say(format!(
            "  The node shows no body: class {} in status {} is not public, or another node keeps it",
            view.class, view.status
        ));
    }
}

pub(super) fn record_json(view: &RecordView) -> Value {
    let signers: Vec<String> = view
        .signers
        .iter()
        .map(|one| format!("{} {} ({})", one.operation, one.role, one.key.short()))
        .collect();
    json!({
        "record": view.record,
        "type": view.record_type,
        "agency": view.agency,
        "version": view.version,
        "status": view.status,
        "flags": view.flags,
        "class": view.class,
        "header_digest": view.header_digest,
        "header": view.header,
        "leaf_index": view.leaf_index,
        "changed_at": view.changed_at,
        "signers": signers,
        "missing": view.missing,
        "pending": view.pending.as_ref().map(|pending| json!({
            "operation": pending.operation,
            "version": pending.version,
            "digest": pending.digest,
            "missing": pending.missing,
        })),
        "deadlines": view.deadlines,
        "body": view.body,
        "body_elsewhere": view.body_elsewhere,
    })
}

#[cfg(test)]
mod tests {
    use chain_core::api::PublicView;

    use super::super::tests::view;
    use super::*;

    #[test]
    fn whoever_must_approve_is_named_as_the_command_takes_it() {
        let missing = ["second_clerk", "second_admin", "council_member x2", "notary", "supervisor"];
        let want = [
            "--role clerk --nth 2",
            "--role agency_admin --nth 2",
            "--key NAME",
            "--key NAME",
            "--role supervisor",
        ];
        assert_eq!(missing.map(signer_of), want);
    }

    #[test]
    fn a_view_says_what_it_waits_for() {
        let shown = record_json(&view(json!({
            "operation": "amend", "version": 4, "digest": "cd".repeat(32), "missing": ["clerk"], "signers": [],
        })));
        assert_eq!(shown["pending"]["missing"], json!(["clerk"]));
        assert_eq!(record_json(&view(Value::Null))["pending"], Value::Null);
    }

    #[test]
    fn an_answer_names_both_clocks() {
        let standing = |version, status: &str, why: &str| StandingView {
            version,
            status: status.into(),
            in_force: status == "effective",
            why: why.into(),
            leaf_index: None,
            header: Value::Null,
            head: None,
        };
        let day = |text: &str| text.parse::<Date>().unwrap();
        let answer = TimelineView {
            record: "ab".repeat(32).parse().unwrap(),
            record_type: "credit.licence".into(),
            agency: "uscc:11320100MAXP23YC3L".into(),
            class: "P1".into(),
            as_of: day("2026-04-01"),
            known_at: day("2026-05-10"),
            known_height: Height::new(12),
            known: standing(Some(1), "effective", "version 1 holds"),
            now: standing(None, "unknown", "learned of later"),
            public: PublicView { visible: false, version: None, why: "the ledger had no such record".into() },
            steps_that_day: 0,
            height: Height::new(99),
        };
        let proof = json!({ "height": 11, "cosigners": ["a", "b", "c"] });
        let want = [
            format!("  record      {}", "ab".repeat(32)),
            "              credit.licence of uscc:11320100MAXP23YC3L, class P1".into(),
            "  on          2026-04-01   what held, as known".into(),
            "  then        version 1 effective, in force   by the end of 2026-05-10, up to block 12".into(),
            "              version 1 holds".into(),
            "  now         unknown   up to block 99".into(),
            "              learned of later".into(),
            "  public      could not see it on that day: the ledger had no such record".into(),
            "  proof       the state after block 11, cosigned by 3, holds this head".into(),
        ];
        assert_eq!(lines(&answer, &proof), want);
    }
}
