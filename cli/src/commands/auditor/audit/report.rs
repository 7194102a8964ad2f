//! What an audit says: for people, for machines, and for a court.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chain_core::api::RawBlock;
use chain_core::genesis::Genesis;
use chain_core::id::RecordId;
use serde_json::{Map, Value, json};

use super::checkpoint::Cosigned;
use super::finding::{Finding, Grade};
use super::record;
use super::verify::{Stopped, Verified};
use crate::app::City;
use crate::error::{CliError, CliResult};
use crate::files;
use crate::html;
use crate::output::{Format, Shape};
use crate::sets::Sets;

const SHAPE: Shape = Shape {
    schema: "audit",
    columns: &[
        "verdict",
        "chain_id",
        "from",
        "newest",
        "certified",
        "executed",
        "records",
        "signatures",
        "log_size",
        "log_root",
        "checkpoint_size",
        "seconds",
    ],
    id: "verdict",
    empty: "",
};

const RECORD_SHAPE: Shape = Shape {
    schema: "audit-record",
    columns: &[
        "verdict",
        "record",
        "record_type",
        "version",
        "status",
        "steps",
        "checkpoint_size",
        "cosigners",
        "state_height",
        "complete",
    ],
    id: "record",
    empty: "",
};

/// What was audited.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Chain,
    Record,
}

/// The result of an audit, filled in as it goes on.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    kind: Kind,
    fields: Map<String, Value>,
    network: String,
}

/// Where an audit writes.
pub(crate) struct Files<'a> {
    /// The report.
    pub(crate) report: Option<&'a Path>,
    /// The folder for evidence.
    pub(crate) evidence: &'a Path,
}

/// Ends an audit: shows what it came to, and writes the report, and evidence of what is wrong.
pub(crate) fn conclude(
    city: &City,
    report: &mut Report,
    files: &Files<'_>,
    audited: Result<(), Stopped>,
) -> CliResult {
    match audited {
        Ok(()) => {
            // The verdict is shown even when its file cannot be written.
            let written = report.write(files.report);
            report.show(city, files.report.filter(|_| written.is_ok()))?;
            written
        }
        Err(Stopped::Failed(error)) => Err(error),
        Err(Stopped::Found(finding, block)) => {
            report.failed(&finding);
            let kept = keep_evidence(files.evidence, report, block.as_deref());
            if let Ok(path) = &kept {
                report.evidence(path);
            }
            if let Err(error) = report.write(files.report) {
                city.out.warn(format!("no report was written: {}", error.refusal));
            }
            let hint = match kept {
                Ok(path) => format!(
                    "the evidence is in {}; keep it and show it to the other agencies",
                    path.display()
                ),
                Err(error) => format!("no evidence file could be written: {}", error.refusal.detail),
            };
            Err(CliError::from(*finding).hint(hint))
        }
    }
}

impl Report {
    /// A report about a chain with nothing verified yet.
    pub(crate) fn new(genesis: &Genesis, from: u64) -> Self {
        let mut report = Self::unfinished(Kind::Chain, genesis);
        report.set("quorum", json!(genesis.committee().quorum()));
        report.set(
            "validators",
            json!(genesis.committee().validators().iter().map(|one| &one.name).collect::<Vec<_>>()),
        );
        report.set("from", json!(from));
        report
    }

    /// A report about one record with nothing verified yet.
    pub(crate) fn of_record(genesis: &Genesis, record: &RecordId) -> Self {
        let mut report = Self::unfinished(Kind::Record, genesis);
        report.set("record", json!(record));
        report.set("steps", json!([]));
        report
    }

    fn unfinished(kind: Kind, genesis: &Genesis) -> Self {
        let mut report = Self { kind, fields: Map::new(), network: genesis.document().network.clone() };
        report.set("verdict", json!("UNFINISHED"));
        report.set("network", json!(report.network));
        report.set("chain_id", json!(genesis.chain_id()));
        report.set("read_aloud", json!(genesis.read_aloud()));
        report.set("program", json!(concat!("city ", env!("CARGO_PKG_VERSION"))));
        report
    }

    /// Sets a field.
    pub(crate) fn set(&mut self, name: &str, value: Value) {
        self.fields.insert(name.to_owned(), value);
    }

    /// Adds to a field that is a list.
    pub(crate) fn push(&mut self, name: &str, value: Value) {
        if let Some(Value::Array(list)) = self.fields.get_mut(name) {
            list.push(value);
        }
    }

    fn write(&self, path: Option<&Path>) -> CliResult {
        match path {
            Some(path) if path.extension().is_some_and(|end| end == "html") => {
                files::replace(path, self.page()?)
            }
            Some(path) => files::replace(path, self.document()?),
            None => Ok(()),
        }
    }

    fn number(&self, name: &str) -> u64 {
        self.fields.get(name).and_then(Value::as_u64).unwrap_or(0)
    }

    /// The validators of the newest epoch that hand-overs lead to.
    pub(crate) fn sets(&mut self, sets: &Sets) {
        let committee = &sets.newest().committee;
        self.set("epoch", json!(committee.epoch()));
        self.set("quorum", json!(committee.quorum()));
        let names: Vec<&String> = committee.validators().iter().map(|one| &one.name).collect();
        self.set("validators", json!(names));
        let recoveries: Vec<Value> = sets
            .recoveries()
            .map(|(recovery, signed_by)| {
                let act = &recovery.act;
                json!({
                    "epoch": act.epoch,
                    "block": act.height,
                    "act": act.record(),
                    "reason": act.reason,
                    "time": day(act.time_ms / 1000),
                    "signed_by": signed_by,
                })
            })
            .collect();
        if !recoveries.is_empty() {
            self.set("recoveries", json!(recoveries));
        }
    }

    /// The checkpoint that the node gave.
    pub(crate) fn checkpoint(&mut self, newest: Option<&Cosigned>) {
        let Some(newest) = newest else { return };
        self.set("checkpoint_size", json!(newest.size()));
        self.set("checkpoint_root", json!(newest.signed.checkpoint.root));
        self.set("cosigners", json!(newest.cosigners.iter().map(|one| &one.name).collect::<Vec<_>>()));
        self.set("checkpoint", json!(newest.text));
    }

    /// What was verified.
    pub(crate) fn verified(&mut self, verified: &Verified, took: Duration) {
        let totals = &verified.totals;
        self.set("newest", json!(verified.newest.0));
        self.set("newest_digest", json!(verified.newest.1));
        self.set("newest_time_ms", json!(verified.time_ms));
        self.set("certified", json!(verified.certified));
        self.set("executed", json!(verified.log.map(|_| verified.confirmed)));
        for (name, count) in [
            ("blocks", totals.blocks),
            ("batches", totals.batches),
            ("transactions", totals.transactions),
            ("records", totals.records),
            ("accepted", totals.accepted),
            ("refused", totals.refused),
            ("bodies", totals.bodies),
            ("bodies_erased", totals.erased),
            ("certificates", totals.certificates),
            ("validator_signatures", totals.votes),
            ("execution_roots", totals.roots),
            ("signatures", totals.votes + totals.transactions),
        ] {
            self.set(name, json!(count));
        }
        if let Some((size, root)) = verified.log {
            self.set("log_size", json!(size));
            self.set("log_root", json!(root));
        }
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.set("seconds", json!(format!("{}.{:03}", ms / 1000, ms % 1000)));
        self.set("records_per_second", json!(totals.records.saturating_mul(1000) / ms.max(1)));
        self.set("verdict", json!(if verified.log.is_some() { "PASS" } else { "PASS IN PART" }));
    }

    /// The checkpoints fit the blocks.
    pub(crate) fn compared(&mut self, newest: Option<&Cosigned>, before: Option<&Cosigned>) {
        self.set("checkpoint_fits", json!(newest.is_some()));
        if let Some(before) = before {
            self.set("earlier_size", json!(before.size()));
            self.set("earlier_time", json!(day(before.time_s())));
        }
    }

    /// Something is wrong.
    pub(crate) fn failed(&mut self, finding: &Finding) {
        self.set("verdict", json!(if finding.grade == Grade::Unknown { "CANNOT VERIFY" } else { "FAIL" }));
        let code = finding.refusal.code;
        self.set(
            "finding",
            json!({
                "block": finding.height,
                "code": format!("E{:04}", code.number()),
                "name": code.name(),
                "detail": finding.refusal.detail,
                "tampering": finding.grade == Grade::Tampered,
                "exit": finding.exit().code(),
            }),
        );
    }

    /// Where the evidence is.
    pub(crate) fn evidence(&mut self, path: &Path) {
        self.set("evidence", json!(path.display().to_string()));
    }

    /// The report as a JSON document.
    pub(crate) fn document(&self) -> CliResult<String> {
        let mut document = Map::new();
        document.insert("schema".to_owned(), json!(format!("city/v1/{}", self.shape().schema)));
        document.extend(self.fields.clone());
        serde_json::to_string_pretty(&Value::Object(document))
            .map(|text| text + "\n")
            .map_err(CliError::internal)
    }

    /// The report as a page for people, with the document at its end for software.
    pub(crate) fn page(&self) -> CliResult<String> {
        let text = |name: &str| match self.fields.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(items)) => {
                items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
            }
            Some(Value::Number(number)) => number.as_u64().map_or_else(|| number.to_string(), grouped),
            _ => String::new(),
        };
        let verdict = text("verdict");
        if self.kind == Kind::Record {
            let mut content = record::report::content(&self.fields);
            self.sections(&mut content)?;
            return Ok(html::page(&format!("Audit of a record: {verdict}"), &content));
        }
        let mut content = html::table(&[
            ("Verdict", verdict.clone()),
            ("Ledger", format!("{} ({})", text("network"), text("chain_id"))),
            ("Read aloud", text("read_aloud")),
            ("Validators", format!("{}; a quorum is {}", text("validators"), text("quorum"))),
            ("Blocks", format!("{} to {}, certified to {}", text("from"), text("newest"), text("certified"))),
            ("Signatures", format!("{} of validators and officers hold", text("signatures"))),
            ("Record log", format!("{} leaves, root {}", text("log_size"), text("log_root"))),
            ("Took", format!("{} s, {} records a second", text("seconds"), text("records_per_second"))),
            ("Verified by", text("program")),
        ]);
        self.sections(&mut content)?;
        Ok(html::page(&format!("Audit of {}: {verdict}", text("network")), &content))
    }

    /// What every page has: the finding or what was verified, the checkpoint, the document.
    fn sections(&self, content: &mut String) -> CliResult {
        let passed =
            self.fields.get("verdict").and_then(Value::as_str).unwrap_or_default().starts_with("PASS");
        if let Some(finding) = self.fields.get("finding") {
            let found = serde_json::to_string_pretty(finding).map_err(CliError::internal)?;
            content.push_str(&html::section("What is wrong", &found));
        } else if passed {
            content.push_str(&html::section("What was verified", &self.lines().join("\n")));
        }
        if let Some(Value::String(checkpoint)) = self.fields.get("checkpoint") {
            content.push_str(&html::section("The checkpoint, as a quorum cosigned it", checkpoint));
        }
        content.push_str(&html::section("For software", &self.document()?));
        Ok(())
    }

    fn shape(&self) -> Shape {
        match self.kind {
            Kind::Chain => SHAPE,
            Kind::Record => RECORD_SHAPE,
        }
    }

    /// Prints the result of an audit that found nothing.
    pub(crate) fn show(&self, city: &City, report: Option<&Path>) -> CliResult {
        if city.out.format() != Format::Table || !city.manners.fields.is_empty() {
            return city.out.item(self.shape(), &Value::Object(self.fields.clone()));
        }
        let mut text = self.lines().join("\n");
        text.push('\n');
        if let Some(path) = report {
            text.push_str(&format!("  report: {}\n", path.display()));
        }
        city.out.data(&text)
    }

    fn lines(&self) -> Vec<String> {
        if self.kind == Kind::Record {
            return record::report::lines(&self.fields);
        }
        let count = |name| grouped(self.number(name));
        let mut lines = vec![
            format!("  chain       {}   {}", self.network, self.fields["read_aloud"].as_str().unwrap_or("")),
            format!(
                "  headers     {} blocks to {}   signatures {} ok   certified to {}",
                count("blocks"),
                count("newest"),
                count("signatures"),
                count("certified")
            ),
        ];
        let part = self.fields.get("log_size").is_none();
        let erased = match self.number("bodies_erased") {
            0 => String::new(),
            gone => format!(", {} erased or withheld", grouped(gone)),
        };
        lines.push(format!("  records     {} signed   {} bodies{erased}", count("records"), count("bodies")));
        if part {
            lines.push("  execution   not repeated: the audit did not begin at block 1".to_owned());
        } else {
            lines.push(format!(
                "  execution   {} accepted, {} refused   roots match every header, certified to {}",
                count("accepted"),
                count("refused"),
                count("executed")
            ));
            lines.push(format!("  checkpoint  {}", self.checkpoint_line()));
        }
        for one in self.fields.get("recoveries").and_then(Value::as_array).into_iter().flatten() {
            let text = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
            let signers: Vec<&str> =
                one["signed_by"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            lines.push(format!(
                "  recovery    the agencies ended epoch {} at block {} on {}: {}   act {} signed by {}",
                one["epoch"],
                one["block"],
                text("time"),
                text("reason"),
                text("act"),
                signers.join(", ")
            ));
        }
        lines.push(match part {
            true => "  PASS IN PART   no gap and no unsigned block in the range".to_owned(),
            false => "  PASS   no gap, no fork, no unsigned block".to_owned(),
        });
        lines
    }

    fn checkpoint_line(&self) -> String {
        if self.fields.get("checkpoint_fits") != Some(&json!(true)) {
            return match self.fields.get("checkpoint_size") {
                Some(_) => "not compared: the audit ended before it".to_owned(),
                None => "the node has none yet".to_owned(),
            };
        }
        let cosigners = self.fields["cosigners"].as_array().map_or(0, Vec::len);
        let size = self.number("checkpoint_size");
        let fits = format!("{} leaves, cosigned by {cosigners}, is the log executed here", grouped(size));
        match self.fields.get("earlier_time").and_then(Value::as_str) {
            Some(day) => format!(
                "{fits}; consistent with the one kept on {day} (size {} → {})",
                count_of(self, "earlier_size"),
                grouped(size)
            ),
            None => fits,
        }
    }
}

fn count_of(report: &Report, name: &str) -> String {
    grouped(report.number(name))
}

/// Writes what another agency needs to see the same: the finding, and the block as the node gave it.
fn keep_evidence(folder: &Path, report: &Report, block: Option<&RawBlock>) -> CliResult<PathBuf> {
    let document = json!({
        "schema": "city/v1/audit-evidence",
        "audit": report.fields,
        "block": block,
    });
    let text = serde_json::to_string_pretty(&document).map_err(CliError::internal)? + "\n";
    files::make_dir(folder)?;
    let height = report.fields["finding"]["block"].as_u64();
    let what = match (height, report.kind) {
        (Some(height), _) => format!("block-{height}"),
        (None, Kind::Chain) => "checkpoint".to_owned(),
        (None, Kind::Record) => "record".to_owned(),
    };
    for attempt in 1..=100 {
        let again = if attempt == 1 { String::new() } else { format!("-{attempt}") };
        let path = folder.join(format!("evidence-{}-{what}{again}.json", report.network));
        match files::create(&path, &text) {
            Err(error) if error.code() == chain_core::code::Code::FileExists => {}
            result => return result.map(|()| path),
        }
    }
    Err(CliError::new(
        chain_core::code::Code::FileExists,
        format!("{} holds much evidence already", folder.display()),
    ))
}

/// Thousands apart, as people read numbers.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// The UTC day of a time in seconds.
fn day(time_s: u64) -> String {
    let date = chain_core::date::Date::of_time(time_s.saturating_mul(1000), 0);
    date.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (1204, "1 204"), (1_000_000, "1 000 000")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(day(1_795_392_000), "2026-11-23");
    }
}
