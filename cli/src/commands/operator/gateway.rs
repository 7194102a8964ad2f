//! `city gateway`: readings of devices, from HTTP and MQTT into the ledger, and the proof of a single one.

mod run;

use std::path::{Path, PathBuf};

use chain_core::code::Code;
use chain_core::id::RecordId;
use chain_core::record::governance::Possession;
use clap::Subcommand;
use serde_json::{Value, json};

use crate::app::City;
use crate::client::Client;
use crate::commands::clerk::receipt::{self, Form};
use crate::error::{CliError, CliResult};
use crate::files;
use crate::gateway::config::Config;
use crate::gateway::message;
use crate::gateway::proof::ReadingProof;
use crate::output::Shape;

/// Take readings of devices in, seal them into batches, file those, and prove single readings
///
/// A reading is acknowledged when it is durable here. Batches are sealed by the device's key and sent until a quorum's receipt is
/// there; meanwhile the network may be away. See docs/operate/gateway.md for the configuration.
///
/// city gateway run gateway.toml
///
/// city gateway proof --gateway http://127.0.0.1:7300 --device st-1 --stream speed --time 2026-05-06T08:00:00+08:00
///     --out reading.json
///
/// city gateway verify reading.json
#[derive(Clone, Debug, Subcommand)]
#[command(verbatim_doc_comment)]
pub(crate) enum GatewayCommand {
    /// Run the gateway until Ctrl-C
    Run {
        /// Its configuration
        config: PathBuf,
    },
    /// Show streams, what waits, and what was counted
    Status {
        /// Address of the running gateway
        #[command(flatten)]
        gateway: Address,
    },
    /// Get one reading with its proof: from a gateway, or from the ledger where the data is there
    Proof {
        #[command(flatten)]
        gateway: Address,
        /// Number of the device
        #[arg(long, required_unless_present = "batch")]
        device: Option<String>,
        /// Name of the stream
        #[arg(long, required_unless_present = "batch")]
        stream: Option<String>,
        /// The record of a batch, in place of device and stream: nobody but the ledger is asked
        #[arg(long, value_name = "RECORD", conflicts_with_all = ["device", "stream"])]
        batch: Option<RecordId>,
        /// When the reading was taken, RFC 3339 with an offset or milliseconds since 1970
        #[arg(long)]
        time: String,
        /// File for the proof; `-` for stdout
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Check proofs of readings; nothing is fetched
    Verify {
        /// The proofs
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Trust file (`city trust`, or a C2SP policy), in place of the genesis and what stands beside it
        #[arg(long, value_name = "FILE")]
        trust: Option<PathBuf>,
    },
    /// Show the public half of a device's key and the proof of possession that its registration needs
    ProveKey {
        /// Name of the key in the key ring
        key: String,
    },
}

/// Where a gateway listens.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Address {
    /// Address of a running gateway
    #[arg(long = "gateway", value_name = "URL", default_value = "http://127.0.0.1:7300")]
    url: String,
    /// File with the token that the gateway asks for
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl Address {
    /// Reads JSON from the gateway.
    pub(crate) fn get(&self, city: &City, path: &str) -> CliResult<Value> {
        let token = self.token_file.as_deref().map(files::read_secret).transpose()?;
        Client::new(std::slice::from_ref(&self.url), city.manners.timeout, None)?
            .with_token(token.as_deref().map(str::trim))
            .get(path)
    }
}

const STATUS: Shape = Shape {
    schema: "gateway-status",
    columns: &[
        "device", "stream", "taken", "open", "sealed", "waiting", "doubled", "late", "refused", "held",
    ],
    id: "stream",
    empty: "the gateway has no stream",
};

const VERDICT: Shape = Shape {
    schema: "reading-verdicts",
    columns: &["file", "verdict", "time", "value", "unit", "quality", "stream", "batch", "seq", "cosigners"],
    id: "file",
    empty: "",
};

const POSSESSION: Shape =
    Shape { schema: "device-key", columns: &["key", "possession"], id: "possession", empty: "" };

pub(crate) fn run(command: GatewayCommand, city: &City) -> CliResult {
    match command {
        GatewayCommand::Run { config } => run::run(city, &Config::read(&config)?),
        GatewayCommand::Status { gateway } => status(city, &gateway),
        GatewayCommand::Proof { gateway, device, stream, batch, time, out } => {
            let proof = match (batch, device, stream) {
                (Some(batch), _, _) => of_ledger(city, &batch, &time)?,
                (None, Some(device), Some(stream)) => of_gateway(city, &gateway, &device, &stream, &time)?,
                _ => return Err(CliError::usage("name --device and --stream, or --batch")),
            };
            keep(city, &proof, &out)
        }
        GatewayCommand::Verify { files, trust } => verify(city, &files, trust.as_deref()),
        GatewayCommand::ProveKey { key } => {
            let (genesis, ring) = (city.genesis()?, city.ring()?);
            let secret = ring.secret(ring.find(&key)?)?;
            let possession = Possession::prove(genesis.chain_id(), &secret);
            city.out.item(POSSESSION, &json!({ "key": secret.public(), "possession": possession }))
        }
    }
}

fn status(city: &City, gateway: &Address) -> CliResult {
    let status = gateway.get(city, "/v1/streams")?;
    let rows = status["items"].as_array().cloned().unwrap_or_default();
    city.out.list(STATUS, &rows)?;
    city.out.say(format!("  {} bytes kept, {} messages of no stream", status["bytes"], status["strays"]));
    Ok(())
}

fn of_gateway(
    city: &City,
    gateway: &Address,
    device: &str,
    stream: &str,
    time: &str,
) -> CliResult<ReadingProof> {
    let encode = crate::client::paths::encode;
    let path = format!("/v1/proof?device={}&stream={}&time={}", encode(device), encode(stream), encode(time));
    let value = gateway.get(city, &path)?;
    serde_json::from_value(value)
        .map_err(|error| CliError::new(Code::ReceiptMalformed, format!("the gateway's proof: {error}")))
}

fn of_ledger(city: &City, batch: &RecordId, time: &str) -> CliResult<ReadingProof> {
    let receipt = receipt::fetch(&city.client()?, batch, None, Form::Bundle, city.manners.timeout)?;
    ReadingProof::of_receipt(&receipt, message::time(time)?, None)
}

/// A proof is written when it holds.
fn keep(city: &City, proof: &ReadingProof, out: &Path) -> CliResult {
    receipt::proved(
        &city.client()?,
        &city.genesis()?,
        &serde_json::to_vec(&proof.receipt).map_err(CliError::internal)?,
    )?;
    let text = serde_json::to_string_pretty(proof).map_err(CliError::internal)? + "\n";
    if out.as_os_str() == "-" {
        return city.out.data(&text);
    }
    files::replace(out, &text)?;
    city.out.done(format!("{}   verify: city gateway verify {}", out.display(), out.display()));
    Ok(())
}

fn verify(city: &City, paths: &[PathBuf], trust: Option<&Path>) -> CliResult {
    let trust = city.trust(trust)?;
    let (mut rows, mut failed) = (Vec::new(), None);
    for path in paths {
        let judged = files::read_bytes(path).and_then(|bytes| {
            let proof = ReadingProof::parse(&bytes)?;
            let verified = proof.verify(&trust.policy_of(&proof.receipt())?)?;
            Ok((proof, verified))
        });
        match judged {
            Ok((proof, (batch, judged))) => {
                let names: Vec<&str> =
                    judged.verified.cosigners.iter().map(|one| one.name.as_str()).collect();
                rows.push(json!({
                    "file": path,
                    "verdict": "VALID",
                    "time": crate::clock::utc(proof.reading.time_ms),
                    "time_ms": proof.reading.time_ms,
                    "value": decimal(proof.reading.value, batch.terms.scale),
                    "unit": batch.terms.unit,
                    "quality": proof.reading.quality,
                    "device": batch.device,
                    "stream": batch.stream,
                    "batch": judged.facts.record,
                    "seq": batch.seq,
                    "cosigners": names,
                }));
            }
            Err(error) => {
                city.out.say(format!("  {} {}", city.out.paint("✘", "31"), error.refusal));
                rows.push(json!({ "file": path, "verdict": "INVALID", "code": error.code().name() }));
                failed.get_or_insert(error);
            }
        }
    }
    city.out.list(VERDICT, &rows)?;
    failed.map_or(Ok(()), Err)
}

/// A value of a stream as people write it: 564 at scale -1 is 56.4.
pub(crate) fn decimal(value: i64, scale: i8) -> String {
    let digits = value.unsigned_abs().to_string();
    let sign = if value < 0 { "-" } else { "" };
    let places = usize::from(scale.unsigned_abs());
    match scale {
        0 => format!("{sign}{digits}"),
        1.. => format!("{sign}{digits}{}", if value == 0 { String::new() } else { "0".repeat(places) }),
        _ => {
            let padded = format!("{digits:0>width$}", width = places + 1);
            let (whole, fraction) = padded.split_at(padded.len() - places);
            format!("{sign}{whole}.{fraction}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_as_people_write_them() {
        for (value, scale, want) in
            [(564, -1, "56.4"), (-7, -2, "-0.07"), (5, 0, "5"), (5, 2, "500"), (0, 2, "0"), (100, -2, "1.00")]
        {
            assert_eq!(decimal(value, scale), want);
            assert_eq!(message::value(want, scale), Ok(value));
        }
    }
}
