//! `city indicator`: values computed from anchored readings, and computed again by whoever wants to know.

use std::collections::BTreeSet;
use std::path::PathBuf;

use chain_core::api::RecordView;
use chain_core::code::Code;
use chain_core::date::Date;
use chain_core::id::RecordId;
use chain_core::record::Details;
use clap::Subcommand;
use serde::Deserialize;
use serde_json::{Value, json};

use super::batch::today;
use super::stream::Stream;
use crate::app::City;
use crate::client::{Client, paths};
use crate::commands::operator::gateway::Address;
use crate::draft::shown_header;
use crate::error::{CliError, CliResult};
use crate::files;
use crate::indicator::{Mean, Period, Rule};
use crate::output::Shape;

/// Record type of values.
const VALUE: &str = "kpi.value";
/// Most batches that a value names (schema of `kpi.value`).
const INPUTS_MAX: usize = 16;
/// Most decimals of a value.
const DECIMALS_MAX: u8 = 9;

/// Compute indicators from anchored readings, and check those that are filed
///
/// A value names its rule by a hash, the batches it rests on and how many hours had a reading. Below the rule there is no value.
///
/// city indicator rules
///
/// city indicator compute --device RECORD --stream pm25 --from 2026-05-01 --to 2026-05-31 --rule gb3095
///
/// city indicator check RECORD
#[derive(Clone, Debug, Subcommand)]
#[command(verbatim_doc_comment)]
pub(crate) enum IndicatorCommand {
    /// List the rules with what they say and the hash that values name
    Rules,
    /// Compute the value of a period
    Compute(Box<Asked>),
    /// Compute it and write the document that `city record submit` files
    Draft {
        #[command(flatten)]
        asked: Box<Asked>,
        #[command(flatten)]
        named: Box<Named>,
    },
    /// Compute a filed value again from the batches in the ledger
    Check {
        /// The value
        record: RecordId,
        /// Where readings are that are not in the ledger
        #[command(flatten)]
        gateway: Address,
    },
}

/// Of what a value is computed, and how.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Asked {
    /// The device's registration
    #[arg(long, value_name = "RECORD")]
    device: RecordId,
    /// Name of the stream
    #[arg(long)]
    stream: String,
    /// First day, in the city's zone
    #[arg(long, value_name = "DAY")]
    from: Date,
    /// Last day
    #[arg(long, value_name = "DAY")]
    to: Date,
    /// How many readings there must be, and how they are averaged
    #[arg(long, value_enum)]
    rule: Rule,
    /// Decimals of the value; those of the readings where it is left out
    #[arg(long, value_parser = clap::value_parser!(u8).range(..=i64::from(DECIMALS_MAX)))]
    decimals: Option<u8>,
    /// Where readings are that are not in the ledger
    #[command(flatten)]
    gateway: Address,
}

/// What the document says besides the value.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Named {
    /// Where to write the document
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Number of the indicator in its standard, e.g. 8.2
    #[arg(long, value_name = "NUMBER")]
    indicator: String,
    /// The standard, e.g. "ISO 37120:2018"
    #[arg(long, value_name = "TEXT")]
    standard: String,
    /// Its title in Chinese
    #[arg(long, value_name = "TEXT")]
    title: String,
    /// Code of the area, e.g. 320100
    #[arg(long, value_name = "CODE")]
    area: String,
    /// Legal basis, by its id
    #[arg(long, value_name = "ID")]
    legal_basis: String,
    /// The acting agency; needed where the key ring holds keys of several
    #[arg(long)]
    agency: Option<String>,
    /// The value that this one corrects
    #[arg(long, value_name = "RECORD")]
    revises: Option<RecordId>,
}

const RULES: Shape =
    Shape { schema: "indicator-rules", columns: &["rule", "method", "parameters"], id: "method", empty: "" };

const COMPUTED: Shape = Shape {
    schema: "indicator-value",
    columns: &["device", "stream", "from", "to", "value", "unit", "coverage_pct", "hours", "days", "batches"],
    id: "value",
    empty: "",
};

const CHECKED: Shape = Shape {
    schema: "indicator-check",
    columns: &[
        "record",
        "verdict",
        "rule",
        "device",
        "stream",
        "from",
        "to",
        "value",
        "unit",
        "coverage_pct",
        "batches",
    ],
    id: "record",
    empty: "",
};

/// What of a filed value is computed again.
#[derive(Debug, Deserialize)]
struct Filed {
    value: Decimal,
    unit: String,
    period: Days,
    method: String,
    #[serde(default)]
    inputs: Vec<RecordId>,
    coverage_pct: u8,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Decimal {
    digits: i64,
    scale: u8,
}

#[derive(Debug, Deserialize)]
struct Days {
    from: Date,
    to: Date,
}

/// A value with what it rests on.
struct Computed {
    stream: Stream,
    period: Period,
    mean: Mean,
    decimals: u8,
    /// The batches, in order.
    inputs: Vec<RecordId>,
}

pub(crate) fn run(command: IndicatorCommand, city: &City) -> CliResult {
    match command {
        IndicatorCommand::Rules => {
            let row = |rule: Rule| json!({ "rule": rule.name(), "method": rule.method(), "parameters": rule.parameters() });
            city.out.list(RULES, &Rule::ALL.map(row))
        }
        IndicatorCommand::Compute(asked) => {
            let answer = ask(city, &asked)?;
            city.out.item(COMPUTED, &answer.shown())
        }
        IndicatorCommand::Draft { asked, named } => {
            let answer = ask(city, &asked)?;
            let text = format!("{:#}\n", document(&named, asked.rule, &answer, today(&city.genesis()?)));
            files::replace(&named.out, text)?;
            city.out.done(format!("wrote {}", named.out.display()));
            city.out.item(COMPUTED, &answer.shown())
        }
        IndicatorCommand::Check { record, gateway } => check(city, &record, &gateway),
    }
}

fn ask(city: &City, asked: &Asked) -> CliResult<Computed> {
    let stream = Stream::of(&city.client()?, &asked.device, &asked.stream)?;
    compute(city, stream, (asked.from, asked.to), asked.rule, asked.decimals, &asked.gateway)
}

/// The value of a period, of all batches in effect that reach into it.
fn compute(
    city: &City,
    stream: Stream,
    (from, to): (Date, Date),
    rule: Rule,
    decimals: Option<u8>,
    gateway: &Address,
) -> CliResult<Computed> {
    let (client, genesis) = (city.client()?, city.genesis()?);
    let period = Period { from, to, offset_minutes: genesis.document().utc_offset_minutes };
    let mut batches = stream.batches(&client)?;
    batches.retain(|batch| period.touches(batch.details.first_ms, batch.details.last_ms));
    if batches.len() > INPUTS_MAX {
        let detail = format!(
            "{} batches reach into the days from {from} to {to}, a value names at most {INPUTS_MAX}",
            batches.len()
        );
        return Err(CliError::usage(detail).hint("take a shorter period, or longer windows at the gateway"));
    }
    let readings = stream.readings(city, &client, &batches, gateway)?;
    let own = u8::try_from(-stream.terms.scale).unwrap_or(0).min(DECIMALS_MAX);
    let decimals = decimals.unwrap_or(own);
    let mean = rule.mean(&readings, period, stream.terms.scale, decimals)?;
    let inputs = batches.iter().map(|batch| batch.record).collect();
    Ok(Computed { stream, period, mean, decimals, inputs })
}

impl Computed {
    fn shown(&self) -> Value {
        let Mean { digits, coverage_pct, hours, days } = self.mean;
        json!({
            "device": self.stream.device,
            "stream": self.stream.name,
            "from": self.period.from,
            "to": self.period.to,
            "value": decimal(digits, self.decimals),
            "unit": self.stream.terms.unit,
            "coverage_pct": coverage_pct,
            "hours": hours,
            "days": days,
            "batches": self.inputs.len(),
        })
    }
}

/// Digits with their decimal point.
fn decimal(digits: i64, decimals: u8) -> String {
    let (places, sign) = (usize::from(decimals), if digits < 0 { "-" } else { "" });
    let text = format!("{:0width$}", digits.unsigned_abs(), width = places + 1);
    let (whole, part) = text.split_at(text.len() - places);
    if part.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part}") }
}

fn document(named: &Named, rule: Rule, computed: &Computed, today: Date) -> Value {
    let mut document = json!({
        "type": VALUE,
        "legal_basis": named.legal_basis,
        "body": {
            "indicator": named.indicator,
            "source_standard": named.standard,
            "name": [{ "lang": "zh-Hans", "text": named.title }],
            "value": { "digits": computed.mean.digits, "scale": computed.decimals },
            "unit": computed.stream.terms.unit,
            "period": { "from": computed.period.from, "to": computed.period.to },
            "published_on": today,
            "area": named.area,
            "method": rule.method(),
            "inputs": computed.inputs,
            "coverage_pct": computed.mean.coverage_pct,
            "origin": { "system": "city indicator", "method": "device" },
        },
    });
    if let Some(agency) = &named.agency {
        document["agency"] = json!(agency);
    }
    if let Some(revises) = &named.revises {
        document["body"]["revises"] = json!(revises);
    }
    document
}

/// Computes a filed value again: the same rule on all batches in effect that reach into its days.
fn check(city: &City, record: &RecordId, gateway: &Address) -> CliResult {
    let client = city.client()?;
    let view: RecordView = client.get(&paths::record(record))?;
    shown_header(&view)?;
    if view.record_type != VALUE {
        let detail = format!("record {record} is a {}, wants a {VALUE}", view.record_type);
        return Err(CliError::usage(detail));
    }
    let missing = || CliError::new(Code::BodyMissing, format!("no node shows the body of {record}"));
    let filed: Filed = serde_json::from_value(view.body.ok_or_else(missing)?)
        .map_err(|error| CliError::new(Code::MalformedJson, format!("record {record}: {error}")))?;
    let Some(rule) = Rule::ALL.into_iter().find(|rule| rule.method().to_string() == filed.method) else {
        let detail = format!("record {record} names the method {}", filed.method);
        return Err(CliError::usage(detail)
            .hint("only values of these rules are computed again: city indicator rules"));
    };
    let stream = stream_of(&client, record, &filed.inputs)?;
    let days = (filed.period.from, filed.period.to);
    let found = compute(city, stream, days, rule, Some(filed.value.scale), gateway)?;
    let differences = filed.differences(&found);
    let mut shown = found.shown();
    shown["record"] = json!(record);
    shown["rule"] = json!(rule.name());
    shown["verdict"] = json!(if differences.is_empty() { "VALID" } else { "DIFFERS" });
    city.out.item(CHECKED, &shown)?;
    if differences.is_empty() {
        return Ok(());
    }
    Err(CliError::new(Code::ProofInvalid, format!("record {record}: {}", differences.join("; "))))
}

impl Filed {
    /// In what it differs from what is found.
    fn differences(&self, found: &Computed) -> Vec<String> {
        let mut differences = Vec::new();
        let mut differs = |what: &str, said: String, found: String| {
            if said != found {
                differences.push(format!("{what}: it says {said}, found {found}"));
            }
        };
        let Decimal { digits, scale } = self.value;
        differs("value", decimal(digits, scale), decimal(found.mean.digits, found.decimals));
        differs("unit", self.unit.clone(), found.stream.terms.unit.clone());
        let percent = |hours: u8| format!("{hours} percent of the hours");
        differs("coverage", percent(self.coverage_pct), percent(found.mean.coverage_pct));
        let listed = |inputs: &[RecordId]| {
            let inputs: BTreeSet<String> = inputs.iter().map(RecordId::to_string).collect();
            inputs.into_iter().collect::<Vec<_>>().join(", ")
        };
        differs("batches in effect that reach into its days", listed(&self.inputs), listed(&found.inputs));
        differences
    }
}

/// The stream that a value's batches are of.
fn stream_of(client: &Client, value: &RecordId, inputs: &[RecordId]) -> CliResult<Stream> {
    let mut found: Option<(RecordId, String)> = None;
    for input in inputs {
        let view: RecordView = client.get(&paths::record(input))?;
        let header = shown_header(&view)?;
        let Details::Batch(batch) = header.details else {
            let detail = format!("record {value} rests on {input}, which is a {}", header.record_type);
            return Err(
                CliError::usage(detail).hint("only values of one stream's batches are computed again")
            );
        };
        let of = (batch.device, batch.stream);
        match &found {
            Some(before) if *before != of => {
                let detail = format!("record {value} rests on batches of {} and of {}", before.1, of.1);
                return Err(CliError::usage(detail).hint("only values of one stream are computed again"));
            }
            _ => found = Some(of),
        }
    }
    let (device, name) =
        found.ok_or_else(|| CliError::usage(format!("record {value} names no batch that it rests on")))?;
    Stream::of(client, &device, &name)
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn digits_have_their_point_where_the_scale_says() {
        let shown = [(19_420, 2), (5, 2), (-5, 1), (-120, 0), (0, 3)].map(|(digits, at)| decimal(digits, at));
        assert_eq!(shown, ["194.20", "0.05", "-0.5", "-120", "0.000"]);
    }
}
