//! What an audit of one record says.

use chain_core::checkpoint::SignedCheckpoint;
use chain_core::leaf::Leaf;
use chain_core::lifecycle::replay::{Life, Moment};
use chain_core::read::history_entry;
use chain_core::state_proof::Shown;
use serde_json::{Map, Value, json};

use crate::commands::auditor::audit::report::{Report, grouped};
use crate::html;

/// What was found out about a step.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// Whether somebody's signature stands under it.
    pub(super) signature: bool,
    /// By what right it was taken.
    pub(super) authority: String,
    /// The version by which an act of recovery describes the record: its leaf does not say that.
    pub(super) described: Option<u32>,
    /// What became of the body that it filed.
    pub(super) body: String,
    /// Whether the node holds that body.
    pub(super) body_held: bool,
}

impl Told {
    /// Of a step that nobody signed.
    pub(super) fn of(authority: &str) -> Self {
        Self { authority: authority.to_owned(), ..Self::default() }
    }
}

/// One step.
pub(super) struct Row<'a> {
    pub(super) place: u64,
    pub(super) leaf: &'a Leaf,
    pub(super) moment: Moment,
    pub(super) hashes: usize,
    pub(super) told: &'a Told,
}

impl Report {
    /// The checkpoint that everything stands under, and the state that it proves.
    pub(super) fn proved(&mut self, signed: &SignedCheckpoint, shown: &Shown) {
        let cosigners: Vec<&str> = shown.vouched.cosigners.iter().map(|one| one.name.as_str()).collect();
        self.set("checkpoint_size", json!(signed.checkpoint.size));
        self.set("checkpoint_root", json!(signed.checkpoint.root));
        self.set("checkpoint", json!(signed.to_text()));
        self.set("cosigners", json!(cosigners));
        self.set("state_height", json!(shown.height));
        self.set("state_root", json!(shown.state_root));
    }

    /// A step that holds.
    pub(super) fn step(&mut self, row: &Row<'_>) {
        let Some(entry) = history_entry(row.leaf, row.place) else { return };
        let told = row.told;
        self.push(
            "steps",
            json!({
                "leaf_index": row.place,
                "height": entry.height,
                "day": row.moment.day,
                "time_ms": entry.time_ms,
                "operation": entry.operation,
                "version": told.described.unwrap_or(entry.version),
                "status": entry.status,
                "author": entry.author,
                "path_hashes": row.hashes,
                "signature": if told.signature { "holds" } else { "none" },
                "authority": told.authority,
                "body": if told.body.is_empty() { Value::Null } else { json!(told.body) },
            }),
        );
    }

    /// What the steps led to.
    pub(super) fn lived(&mut self, life: &Life, complete: bool) {
        if let Some(head) = life.head() {
            self.set("record_type", json!(head.record_type));
            self.set("agency", json!(head.agency));
            self.set("class", json!(head.class));
            self.set("version", json!(head.current.version));
            self.set("status", json!(head.current.status));
            self.set("flags", json!(head.flags));
        }
        self.set("complete", json!(complete));
        self.set("verdict", json!("PASS"));
    }
}

/// The report in words.
pub(in crate::commands::auditor::audit) fn lines(fields: &Map<String, Value>) -> Vec<String> {
    let text = |name: &str| match fields.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        Some(Value::Number(number)) => number.as_u64().map_or_else(|| number.to_string(), grouped),
        _ => String::new(),
    };
    let steps: Vec<&Value> = fields.get("steps").and_then(Value::as_array).into_iter().flatten().collect();
    let mut lines = vec![format!("  record      {}", text("record"))];
    if fields.contains_key("status") {
        let what = format!("{} of {}, class {}", text("record_type"), text("agency"), text("class"));
        lines.push(format!("              {what}: version {} {}", text("version"), text("status")));
    }
    lines.push(format!(
        "  checkpoint  {} leaves, cosigned by {}; the state after block {}",
        text("checkpoint_size"),
        text("cosigners"),
        text("state_height")
    ));
    lines.push(format!(
        "  steps       {}, each under that checkpoint, signed, entitled and allowed",
        steps.len()
    ));
    for step in &steps {
        let word = |name: &str| step[name].as_str().unwrap_or_default().to_owned();
        let body = step["body"].as_str().map_or_else(String::new, |body| format!("; body {body}"));
        lines.push(format!(
            "    leaf {:<8} block {:<7} {}  {:<12} version {} {:<10} {}{body}",
            step["leaf_index"],
            step["height"],
            word("day"),
            word("operation"),
            step["version"],
            word("status"),
            word("authority")
        ));
    }
    if let Some(erasure) = fields.get("erasure") {
        let names = |name: &str| {
            let all = erasure[name].as_array().into_iter().flatten().filter_map(Value::as_str);
            all.collect::<Vec<_>>().join(", ")
        };
        let awaited = match names("awaited") {
            none if none.is_empty() => String::new(),
            some => format!("; awaited from {some}"),
        };
        lines.push(format!(
            "  erased      in block {}, confirmed by {}{awaited}",
            erasure["block"],
            names("confirmed_by")
        ));
    }
    lines.push("  state       holds the very head that these steps lead to".to_owned());
    lines.push(match fields.get("complete") {
        Some(Value::Bool(true)) => "  log         read as a whole: there is no other step".to_owned(),
        _ => "  log         not read as a whole: steps that undo each other may be missing; see --complete"
            .to_owned(),
    });
    lines.push("  PASS   every step holds".to_owned());
    lines
}

/// The report as the content of a page.
pub(in crate::commands::auditor::audit) fn content(fields: &Map<String, Value>) -> String {
    let text = |name: &str| match fields.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    html::table(&[
        ("Verdict", text("verdict")),
        ("Record", text("record")),
        ("Type", text("record_type")),
        ("Acting agency", text("agency")),
        ("Stands", format!("version {} {}", text("version"), text("status"))),
        ("Ledger", format!("{} ({})", text("network"), text("chain_id"))),
        ("Read aloud", text("read_aloud")),
        ("Checkpoint", format!("{} leaves, root {}", text("checkpoint_size"), text("checkpoint_root"))),
        ("Cosigned by", text("cosigners")),
        ("State", format!("after block {}, root {}", text("state_height"), text("state_root"))),
        ("Verified by", text("program")),
    ])
}
