//! `city witness`: outside witnesses cosign the record log (c2sp.org/tlog-witness).
//!
//! A witness belongs to nobody of the city. It remembers the newest checkpoint that it cosigned, and cosigns a later one
//! only with a proof that the log of then is its beginning. The command runs beside the network, so no commit waits for
//! a witness; what it writes is the checkpoint with their lines, to be put beside a mirror.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chain_core::checkpoint::{Checkpoint, NoteKind, SignatureLine, SignedCheckpoint, VerifierKey};
use chain_core::code::{Code, Refusal};
use chain_core::merkle::consistency_path;
use chain_core::merkle::tile::{Tile, Tiles};
use clap::Subcommand;
use serde_json::json;

use crate::app::City;
use crate::client::{Client, check_url};
use crate::commands::auditor::audit::checkpoint::{self, Cosigned};
use crate::error::{CliError, CliResult};
use crate::exit::Exit;
use crate::output::Shape;
use crate::{duration, files, interrupt};

/// Most witnesses of a file.
const WITNESSES_MAX: usize = 64;

/// Have outside witnesses cosign the log
///
/// The file names them as a C2SP policy does, one in a line: witness NAME VERIFIER-KEY URL. They must know the log: give
/// them the log lines of `city trust export`.
///
/// city witness submit --witnesses witnesses.txt --out witnessed --follow
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum WitnessCommand {
    /// Hand the newest checkpoint to each witness, and keep it with the lines of those who cosigned
    Submit {
        /// The witnesses
        #[arg(long, value_name = "FILE")]
        witnesses: PathBuf,
        /// The checkpoint with their lines
        #[arg(long, value_name = "FILE", default_value = "witnessed")]
        out: PathBuf,
        /// Go on with new checkpoints until Ctrl-C
        #[arg(long)]
        follow: bool,
        /// How long after one checkpoint the next is handed over
        #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration::parse)]
        every: Duration,
    },
}

const WITNESSED: Shape = Shape {
    schema: "witnessed",
    columns: &["witness", "verdict", "size", "time", "detail"],
    id: "witness",
    empty: "",
};

pub(crate) fn run(command: WitnessCommand, city: &City) -> CliResult {
    let WitnessCommand::Submit { witnesses, out, follow, every } = command;
    interrupt::install();
    let witnesses = read(&witnesses)?;
    let (genesis, client) = (city.genesis()?, city.client()?);
    loop {
        let newest = checkpoint::newest(&client, &genesis)?
            .ok_or_else(|| CliError::new(Code::NotYetExecuted, "the node has no cosigned checkpoint yet"))?;
        let round = submit(&client, &witnesses, &newest, &out)?;
        city.out.list(WITNESSED, &round.rows)?;
        match round.worst {
            // Another history is the one answer after which nothing is to be done but to look.
            Some(error) if !follow || error.exit == Exit::Tampered => return Err(error),
            Some(error) => city.out.say(format!("  {}", error.refusal)),
            None => {}
        }
        if !follow || !interrupt::sleep(every) {
            return Ok(());
        }
    }
}

/// A witness as the policy names it.
#[derive(Debug)]
struct Witness {
    key: VerifierKey,
    url: String,
}

/// The witnesses of a file; its other lines are for those who verify.
fn read(path: &Path) -> CliResult<Vec<Witness>> {
    let text = files::read(path)?;
    let mut witnesses = Vec::new();
    for (at, line) in (1..).zip(text.lines()) {
        let wrong = |what: String| {
            CliError::new(Code::TrustMissing, format!("{}, line {at}: {what}", path.display()))
                .hint("a witness is written: witness NAME VERIFIER-KEY URL")
        };
        match *line.split_whitespace().collect::<Vec<_>>() {
            ["witness", _, key, url] => {
                let key: VerifierKey = key.parse().map_err(|error| wrong(format!("{error}")))?;
                if key.kind != NoteKind::Cosignature {
                    return Err(wrong(format!("key {} does not cosign", key.name)));
                }
                check_url(url)?;
                witnesses.push(Witness { key, url: url.trim_end_matches('/').to_owned() });
            }
            ["witness", ..] => return Err(wrong("wants a name, a key and a URL".to_owned())),
            _ => {}
        }
        if witnesses.len() > WITNESSES_MAX {
            return Err(wrong(format!("more than {WITNESSES_MAX} witnesses")));
        }
    }
    match witnesses.is_empty() {
        true => Err(CliError::new(Code::TrustMissing, format!("{} names no witness", path.display()))
            .hint("a witness is written: witness NAME VERIFIER-KEY URL")),
        false => Ok(witnesses),
    }
}

/// What came of one checkpoint.
struct Round {
    rows: Vec<serde_json::Value>,
    worst: Option<CliError>,
}

fn submit(client: &Client, witnesses: &[Witness], newest: &Cosigned, out: &Path) -> CliResult<Round> {
    let checkpoint = &newest.signed.checkpoint;
    let before = kept(out, checkpoint)?;
    let mut signed = newest.signed.clone();
    let mut round = Round { rows: Vec::new(), worst: None };
    for witness in witnesses {
        let known = before.as_ref().filter(|before| before.lines.iter().any(|line| witness.key.owns(line)));
        let from = known.map_or(0, |before| before.checkpoint.size);
        let row = match cosigned(client, witness, newest, from) {
            Ok(line) => {
                let time = line.cosignature().map(|cosignature| cosignature.time_s);
                signed.lines.push(line);
                json!({ "witness": witness.key.name, "verdict": "COSIGNED", "size": checkpoint.size, "time": time })
            }
            Err(error) => {
                let detail = error.refusal.to_string();
                if round.worst.as_ref().is_none_or(|worst| worst.exit != Exit::Tampered) {
                    round.worst = Some(error);
                }
                json!({ "witness": witness.key.name, "verdict": "REFUSED", "size": checkpoint.size, "detail": detail })
            }
        };
        round.rows.push(row);
    }
    if signed.lines.len() > newest.signed.lines.len() {
        files::publish(out, signed.to_text().as_bytes())?;
        files::sync_parent(out)?;
    }
    Ok(round)
}

/// The checkpoint that the witnesses cosigned last time, if it is one of this log.
fn kept(path: &Path, checkpoint: &Checkpoint) -> CliResult<Option<SignedCheckpoint>> {
    if !path.exists() {
        return Ok(None);
    }
    let kept = SignedCheckpoint::parse(&files::read(path)?)
        .map_err(|error| CliError::new(Code::ReceiptMalformed, format!("{}: {error}", path.display())))?;
    if kept.checkpoint.origin != checkpoint.origin {
        let detail = format!("{} is of log {}", path.display(), kept.checkpoint.origin);
        return Err(CliError::new(Code::TrustMissing, detail).hint("give another file: --out FILE"));
    }
    Ok(Some(kept))
}

/// Has one witness cosign; what it holds as its newest it says itself where `from` is not that.
fn cosigned(client: &Client, witness: &Witness, newest: &Cosigned, from: u64) -> CliResult<SignatureLine> {
    let url = format!("{}/add-checkpoint", witness.url);
    let checkpoint = &newest.signed.checkpoint;
    let mut from = from.min(checkpoint.size);
    for _ in 0..2 {
        let body = request(client, newest, from)?;
        let (status, answer) = client.post_text(&url, &body)?;
        let said = answer.lines().next().unwrap_or_default().to_owned();
        match (status, said.parse::<u64>()) {
            (200, _) => return line_of(witness, checkpoint, &answer),
            (409, Ok(theirs)) if theirs == from => return Err(other_history(witness, checkpoint, &said)),
            (409, Ok(theirs)) if theirs > checkpoint.size => {
                let detail = format!(
                    "{} cosigned {theirs} leaves already, this node's checkpoint has {}",
                    witness.key.name, checkpoint.size
                );
                return Err(CliError::new(Code::NotYetExecuted, detail)
                    .hint("the node lags behind another that was asked before; try again"));
            }
            (409, Ok(theirs)) => from = theirs,
            (422, _) => return Err(other_history(witness, checkpoint, &said)),
            (403 | 404, _) => {
                let detail = format!("{} does not know this log or its keys: {said}", witness.key.name);
                return Err(CliError::new(Code::UnknownSigner, detail)
                    .hint("give the witness the log lines of: city trust export"));
            }
            _ => {
                let detail = format!("{url} answered {status}: {said}");
                return Err(CliError::new(Code::Unreachable, detail));
            }
        }
    }
    Err(CliError::new(Code::Unreachable, format!("{} changes its mind about its own size", witness.key.name)))
}

fn other_history(witness: &Witness, checkpoint: &Checkpoint, said: &str) -> CliError {
    let detail = format!(
        "{} cosigned another history than this log of {} leaves with root {}: {said}",
        witness.key.name, checkpoint.size, checkpoint.root
    );
    CliError::from(Refusal::new(Code::HistoryAltered, detail)).exit(Exit::Tampered)
}

/// The body of `add-checkpoint`: the size that the witness has, the proof from there, and the checkpoint.
fn request(client: &Client, newest: &Cosigned, from: u64) -> CliResult<String> {
    let size = newest.size();
    let tiles = Tiles::new(size, |tile: Tile| client.get_bytes(&format!("/{}", tile.path())));
    let path = consistency_path(&tiles, from, size)
        .map_err(|error| CliError::new(Code::ProofInvalid, format!("the node's tiles: {error}")))?;
    let proof: String = path.iter().map(|hash| STANDARD.encode(hash.as_bytes()) + "\n").collect();
    Ok(format!("old {from}\n{proof}\n{}", newest.text))
}

/// The witness's own line, which must hold.
fn line_of(witness: &Witness, checkpoint: &Checkpoint, answer: &str) -> CliResult<SignatureLine> {
    let note = format!("{}\n{answer}", checkpoint.body());
    let lines = SignedCheckpoint::parse(&note).map(|signed| signed.lines).unwrap_or_default();
    let own = lines.into_iter().find(|line| witness.key.owns(line));
    own.filter(|line| witness.key.verify(checkpoint, line).is_some()).ok_or_else(|| {
        let detail = format!("{} answered with no cosignature of its key", witness.key.name);
        CliError::new(Code::ProofInvalid, detail)
    })
}
