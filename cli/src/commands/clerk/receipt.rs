//! `city receipt`: what a clerk keeps and anybody can check, offline.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chain_core::code::{Code, Refusal};
use chain_core::genesis::Genesis;
use chain_core::id::RecordId;
use chain_core::leaf::Leaf;
use chain_core::receipt::{Content, LeafFacts, Receipt, TlogProof, Verified};
use chain_core::trust::TrustPolicy;
use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::app::City;
use crate::client::{Client, paths};
use crate::error::{CliError, CliResult};
use crate::output::{Format, Shape};
use crate::{files, interrupt};

/// Get, show and verify receipts
///
/// A receipt holds a record's public header, its place in the ledger's log, and a checkpoint that a quorum of
/// agencies cosigned. Checking it needs the genesis or a trust file, and no network.
///
/// city receipt get 5f0c… --out licence.receipt.json
///
/// city receipt verify licence.receipt.json --explain
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ReceiptCommand {
    /// Fetch receipts, verify them, and write each to a file
    Get {
        /// The records
        #[arg(required = true)]
        records: Vec<RecordId>,
        /// Version, in place of the newest
        #[arg(long)]
        version: Option<u32>,
        /// Form of the file
        #[arg(long, value_enum, default_value_t)]
        form: Form,
        /// File for one receipt; `-` for stdout
        #[arg(long, value_name = "FILE", conflicts_with = "dir")]
        out: Option<PathBuf>,
        /// Folder for several
        #[arg(long, default_value = "receipts", value_name = "DIR")]
        dir: PathBuf,
    },
    /// Show what a receipt says, without judging it
    Show {
        /// The receipt
        file: PathBuf,
    },
    /// Check receipts; nothing is fetched
    Verify {
        /// The receipts
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Trust file (`city trust`, or a C2SP policy), in place of the genesis and what stands beside it
        #[arg(long, value_name = "FILE")]
        trust: Option<PathBuf>,
        /// Show every step, in words and hash by hash
        #[arg(long)]
        explain: bool,
    },
}

/// Form of a receipt.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(crate) enum Form {
    /// JSON with body and decoded header
    #[default]
    Bundle,
    /// C2SP text that other people's tools read
    TlogProof,
}

impl Form {
    const fn name(self) -> &'static str {
        match self {
            Self::Bundle => "bundle",
            Self::TlogProof => "tlog-proof",
        }
    }

    const fn extension(self) -> &'static str {
        match self {
            Self::Bundle => "receipt.json",
            Self::TlogProof => "tlog-proof",
        }
    }
}

const GOT: Shape = Shape { schema: "receipts", columns: &["record", "file"], id: "file", empty: "" };
const VERDICT: Shape = Shape {
    schema: "receipt-verdicts",
    columns: &["file", "verdict", "record", "leaf", "log_size", "cosigners", "time", "content"],
    id: "file",
    empty: "",
};

pub(crate) fn run(command: ReceiptCommand, city: &City) -> CliResult {
    match command {
        ReceiptCommand::Get { records, version, form, out, dir } => {
            get(city, &records, version, form, out.as_deref(), &dir)
        }
        ReceiptCommand::Show { file } => show(city, &file),
        ReceiptCommand::Verify { files, trust, explain } => verify(city, &files, trust.as_deref(), explain),
    }
}

fn get(
    city: &City,
    records: &[RecordId],
    version: Option<u32>,
    form: Form,
    out: Option<&Path>,
    dir: &Path,
) -> CliResult {
    if out.is_some() && records.len() > 1 {
        return Err(CliError::usage("--out takes one receipt; use --dir for several"));
    }
    let client = city.client()?;
    let genesis = city.genesis()?;
    let mut rows = Vec::new();
    for record in records {
        let text = fetch(&client, record, version, form, city.manners.timeout).map_err(|error| {
            match (version, error.code()) {
                (Some(version), Code::RecordNotFound) => {
                    CliError::new(Code::RecordNotFound, format!("{record} in version {version}"))
                        .hint(format!("see its versions: city record history {record}"))
                }
                _ => error,
            }
        })?;
        judge(&text, &policy_of(&client, &genesis, &text)?)?;
        let path = match out {
            Some(path) if path.as_os_str() == "-" => return city.out.data(&text),
            Some(path) => path.to_owned(),
            None => {
                files::make_dir(dir)?;
                dir.join(format!("{}.{}", &record.to_string()[..16], form.extension()))
            }
        };
        files::replace(&path, &text)?;
        rows.push(json!({ "record": record, "file": path }));
    }
    city.out.list(GOT, &rows)
}

/// Whom to believe about a receipt that a node just gave: the validators of its epoch, as hand-overs from the genesis
/// prove them.
pub(crate) fn policy_of(client: &Client, genesis: &Genesis, text: &str) -> CliResult<TrustPolicy> {
    if let Ok(receipt) = Receipt::parse(text) {
        let sets = client.sets(genesis, Some(receipt.epoch))?;
        return sets.policy(receipt.epoch).ok_or_else(|| {
            CliError::new(Code::UnknownSigner, format!("no hand-over leads to epoch {}", receipt.epoch))
        });
    }
    // The text form does not name its epoch: the newest whose validators cosigned it.
    let proof = TlogProof::parse(text)?;
    let sets = client.sets(genesis, None)?;
    let cosigned = sets.policies().find(|policy| policy.verify(&proof.checkpoint).is_ok());
    Ok(cosigned.unwrap_or_else(|| TrustPolicy::from_genesis(genesis)))
}

/// Fetches a receipt; waits while its checkpoint is being cosigned.
pub(crate) fn fetch(
    client: &Client,
    record: &RecordId,
    version: Option<u32>,
    form: Form,
    timeout: Duration,
) -> CliResult<String> {
    let deadline = Instant::now() + timeout;
    loop {
        match client.get_bytes(&paths::receipt(record, version, form.name())) {
            Ok(bytes) => {
                return String::from_utf8(bytes)
                    .map_err(|_| CliError::new(Code::ReceiptMalformed, "the receipt is not UTF-8"));
            }
            Err(error)
                if matches!(error.code(), Code::ReceiptPending | Code::NotYetExecuted)
                    && Instant::now() < deadline =>
            {
                if !interrupt::sleep(Duration::from_millis(100)) {
                    return Err(CliError::new(
                        Code::Interrupted,
                        "the record is final; its receipt is pending",
                    ));
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// A receipt's verdict: what it proved, and about which record.
pub(crate) struct Judged {
    /// What was proved.
    pub(crate) verified: Verified,
    /// The leaf.
    pub(crate) facts: LeafFacts,
}

/// Verifies a receipt in either form.
pub(crate) fn judge(text: &str, policy: &TrustPolicy) -> CliResult<Judged> {
    if text.trim_start().starts_with('{') {
        let receipt = Receipt::parse(text)?;
        of_chain(&receipt, policy)?;
        let facts = facts(&receipt.leaf_bytes()?)?;
        let verified = receipt.verify(policy, Some(&facts))?;
        return Ok(Judged { verified, facts });
    }
    let proof = TlogProof::parse(text)?;
    let verified = proof.verify(None, policy)?;
    let leaf = proof.extra.as_deref().unwrap_or_default();
    Ok(Judged { verified, facts: facts(leaf)? })
}

/// A receipt of another chain says nothing here: there is no trust to judge it by, so it is no alarm either.
fn of_chain(receipt: &Receipt, policy: &TrustPolicy) -> CliResult {
    match policy.chain_id() {
        Some(trusted) if trusted != receipt.chain_id => {
            let detail = format!("receipt of chain {}, trusted is chain {trusted}", receipt.chain_id);
            Err(CliError::new(Code::TrustMissing, detail)
                .hint("give that network's genesis or trust file: --genesis FILE or --trust FILE"))
        }
        _ => Ok(()),
    }
}

/// What the record rules read out of a leaf.
fn facts(bytes: &[u8]) -> CliResult<LeafFacts> {
    let malformed = |detail: String| CliError::new(Code::ReceiptMalformed, detail);
    let leaf = Leaf::decode(bytes).map_err(|error| malformed(format!("the leaf: {error}")))?;
    let version = match &leaf {
        Leaf::Signed(leaf) => leaf.version,
        Leaf::Automatic(leaf) => leaf.version,
        Leaf::Genesis(leaf) => leaf.header.version,
        Leaf::Evidence(_) | Leaf::Recovery(_) => 1,
        Leaf::Erasure(leaf) => leaf.version,
        Leaf::Seal(_) => return Err(malformed("the leaf is a seal and belongs to no record".to_owned())),
    };
    let record = leaf.record().ok_or_else(|| malformed("the leaf belongs to no record".to_owned()))?;
    let body_commit = leaf.header().and_then(|header| header.body_commit);
    Ok(LeafFacts { record, version, decoded: leaf.to_json(), body_commit })
}

fn show(city: &City, path: &Path) -> CliResult {
    let text = files::read(path)?;
    let view = if text.trim_start().starts_with('{') {
        let receipt = Receipt::parse(&text)?;
        json!({
            "record": receipt.record,
            "version": receipt.version,
            "leaf": receipt.inclusion.index,
            "log_size": receipt.inclusion.size,
            "validators": receipt.validators,
            "decoded": receipt.decoded,
            "body": receipt.body.as_ref().and_then(|body| serde_json::from_str::<Value>(&body.json).ok()),
        })
    } else {
        let proof = TlogProof::parse(&text)?;
        let facts = facts(proof.extra.as_deref().unwrap_or_default())?;
        json!({
            "record": facts.record,
            "version": facts.version,
            "leaf": proof.index,
            "log_size": proof.checkpoint.checkpoint.size,
            "decoded": facts.decoded,
        })
    };
    let shape = Shape {
        schema: "receipt-view",
        columns: &["record", "version", "leaf", "log_size", "validators", "decoded", "body"],
        id: "record",
        empty: "",
    };
    city.out.say(format!("  Not judged. To check it: city receipt verify {}", path.display()));
    city.out.item(shape, &view)
}

fn verify(city: &City, paths: &[PathBuf], trust: Option<&Path>, explain: bool) -> CliResult {
    let trust = city.trust(trust)?;
    let mut rows = Vec::new();
    let mut worst: Option<CliError> = None;
    for path in paths {
        // One file that cannot be read or explained does not keep the others from their verdict.
        let judged = files::read(path).and_then(|text| {
            let policy = trust.policy_of(&text)?;
            if explain {
                explained(city, &text, &policy)?;
            }
            judge(&text, &policy)
        });
        match judged {
            Ok(judged) => rows.push(good(path, &judged)),
            Err(error) => {
                city.out.say(format!("  {} {}", city.out.paint("✘", "31"), error.refusal));
                let verdict = if rank(&error) > 1 { "INVALID" } else { "UNKNOWN" };
                rows.push(json!({ "file": path, "verdict": verdict, "code": error.code().name() }));
                let worse = worst.as_ref().is_none_or(|worst| rank(&error) > rank(worst));
                if worse {
                    let named = error.refusal.detail.starts_with(&path.display().to_string());
                    let detail = match named {
                        true => error.refusal.detail.clone(),
                        false => format!("{}: {}", path.display(), error.refusal.detail),
                    };
                    worst = Some(CliError { refusal: Refusal::new(error.code(), detail), ..error });
                }
            }
        }
    }
    if city.out.format() == Format::Table && worst.is_none() {
        city.out.say("  VALID. Nothing was fetched from the network.");
    }
    city.out.list(VERDICT, &rows)?;
    worst.map_or(Ok(()), Err)
}

/// A false proof is worse than one that cannot be judged.
fn rank(error: &CliError) -> u8 {
    match error.exit {
        crate::exit::Exit::Tampered => 3,
        crate::exit::Exit::Invalid => 2,
        _ => 1,
    }
}

fn good(path: &Path, judged: &Judged) -> Value {
    let verified = &judged.verified;
    let names: Vec<&str> = verified.cosigners.iter().map(|one| one.name.as_str()).collect();
    let time =
        i64::try_from(verified.time_s()).ok().and_then(|second| jiff::Timestamp::from_second(second).ok());
    let content = match verified.content {
        Content::NotChecked => "leaf in the log",
        Content::Leaf => "header",
        Content::LeafAndBody => "header and body",
    };
    json!({
        "file": path,
        "verdict": "VALID",
        "record": judged.facts.record,
        "version": judged.facts.version,
        "leaf": verified.index,
        "log_size": verified.size,
        "root": verified.root,
        "cosigners": names,
        "time": time.map(|time| time.to_string()),
        "content": content,
    })
}

fn explained(city: &City, text: &str, policy: &TrustPolicy) -> CliResult {
    if !text.trim_start().starts_with('{') {
        city.out.say("  The steps are explained for the JSON bundle; the text form holds the same path.");
        return Ok(());
    }
    for (number, step) in (1..).zip(Receipt::parse(text)?.explain(Some(policy))?) {
        city.out.say(format!("  {number:>2}. {}", step.operation));
        for input in &step.inputs {
            city.out.say(format!("        {input}"));
        }
        city.out.say(format!("      → {}", step.output));
    }
    Ok(())
}
