//! `city receipt`: what a clerk keeps and anybody can check, offline.

pub(crate) mod collect;
mod convert;
mod explain;
mod page;
mod verify;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chain_core::code::Code;
use chain_core::genesis::Genesis;
use chain_core::id::RecordId;
use chain_core::trust::TrustPolicy;
use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::app::City;
use crate::client::{Client, paths};
use crate::error::{CliError, CliResult};
use crate::output::Shape;
use crate::proof_file::{Judged, ProofFile};
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
    #[command(disable_version_flag = true)]
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
    /// Write a receipt in another form; nothing is fetched
    Convert {
        /// The receipt, a JSON bundle: it holds what the other forms are made of
        file: PathBuf,
        /// The form
        #[arg(long, value_enum)]
        to: Target,
        /// The new file, in place of one beside the receipt; `-` for stdout
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Trust file, in place of the genesis and what stands beside it
        #[arg(long, value_name = "FILE")]
        trust: Option<PathBuf>,
    },
    /// Keep a folder of receipts complete: fetch and verify what it lacks or has of an earlier version
    Collect {
        /// The folder
        dir: PathBuf,
        /// Of this acting agency only, e.g. uscc:11320100MAXP23YC3L
        #[arg(long)]
        agency: Option<String>,
        /// Of this type only, e.g. credit.licence
        #[arg(long = "type", value_name = "TYPE")]
        record_type: Option<String>,
    },
    /// Check receipts; nothing is fetched
    Verify {
        /// The receipts
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Trust file (`city trust`, or a C2SP policy), in place of the genesis and what stands beside it
        #[arg(long, value_name = "FILE")]
        trust: Option<PathBuf>,
        /// Show every step, in words and hash by hash, up to the first that fails
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
    /// COSE messages of the validators (RFC 9942)
    Cose,
}

/// What a bundle can be written as.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Target {
    /// C2SP text
    TlogProof,
    /// COSE messages (RFC 9942)
    Cose,
    /// A page to read and print, with every step of the proof
    Html,
}

impl Form {
    const fn name(self) -> &'static str {
        match self {
            Self::Bundle => "bundle",
            Self::TlogProof => "tlog-proof",
            Self::Cose => "cose",
        }
    }

    const fn extension(self) -> &'static str {
        match self {
            Self::Bundle => "receipt.json",
            Self::TlogProof => "tlog-proof",
            Self::Cose => "receipt.cbor",
        }
    }
}

const GOT: Shape = Shape { schema: "receipts", columns: &["record", "file"], id: "file", empty: "" };

pub(crate) fn run(command: ReceiptCommand, city: &City) -> CliResult {
    match command {
        ReceiptCommand::Get { records, version, form, out, dir } => {
            get(city, &records, version, form, out.as_deref(), &dir)
        }
        ReceiptCommand::Show { file } => show(city, &file),
        ReceiptCommand::Convert { file, to, out, trust } => {
            convert::convert(city, &file, to, out.as_deref(), trust.as_deref())
        }
        ReceiptCommand::Collect { dir, agency, record_type } => {
            collect::collect(city, &dir, agency, record_type)
        }
        ReceiptCommand::Verify { files, trust, explain } => {
            verify::verify(city, &files, trust.as_deref(), explain)
        }
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
        let bytes = fetch(&client, record, version, form, city.manners.timeout).map_err(|error| {
            match (version, error.code()) {
                (Some(version), Code::RecordNotFound) => {
                    CliError::new(Code::RecordNotFound, format!("{record} in version {version}"))
                        .hint(format!("see its versions: city record history {record}"))
                }
                _ => error,
            }
        })?;
        proved(&client, &genesis, &bytes)?;
        let path = match out {
            Some(path) if path.as_os_str() == "-" => return city.out.data(&bytes),
            Some(path) => path.to_owned(),
            None => {
                files::make_dir(dir)?;
                dir.join(file_name(record, form))
            }
        };
        files::replace(&path, &bytes)?;
        rows.push(json!({ "record": record, "file": path }));
    }
    city.out.list(GOT, &rows)
}

/// Name of a record's receipt in a folder.
fn file_name(record: &RecordId, form: Form) -> String {
    format!("{}.{}", &record.to_string()[..16], form.extension())
}

/// Verifies a receipt that a node just gave, against the validators of its epoch as hand-overs from the genesis prove
/// them.
pub(crate) fn proved(client: &Client, genesis: &Genesis, bytes: &[u8]) -> CliResult<Judged> {
    let file = ProofFile::parse(bytes)?;
    let sets = client.sets(genesis, file.epoch())?;
    let policy = match file.epoch() {
        Some(epoch) => sets.policy(epoch).ok_or_else(|| {
            CliError::new(Code::UnknownSigner, format!("no hand-over leads to epoch {epoch}"))
        })?,
        // The other forms do not name their epoch: the newest whose validators signed.
        None => sets
            .policies()
            .find(|policy| file.is_signed_by(policy))
            .unwrap_or_else(|| TrustPolicy::from_genesis(genesis)),
    };
    file.judge(&policy)
}

/// Fetches a receipt; waits while its checkpoint is being cosigned.
pub(crate) fn fetch(
    client: &Client,
    record: &RecordId,
    version: Option<u32>,
    form: Form,
    timeout: Duration,
) -> CliResult<Vec<u8>> {
    let deadline = Instant::now() + timeout;
    loop {
        match client.get_bytes(&paths::receipt(record, version, form.name())) {
            Ok(bytes) => return Ok(bytes),
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

fn show(city: &City, path: &Path) -> CliResult {
    let file = ProofFile::parse(&files::read_bytes(path)?)?;
    let facts = file.facts()?;
    let (index, size, validators, body) = match &file {
        ProofFile::Bundle(receipt) => {
            let body = receipt.body.as_ref().and_then(|body| serde_json::from_str::<Value>(&body.json).ok());
            (receipt.inclusion.index, receipt.inclusion.size, Some(receipt.validators.clone()), body)
        }
        ProofFile::Text(proof) => (proof.index, proof.checkpoint.checkpoint.size, None, None),
        ProofFile::Cose(receipt) => {
            let names = receipt.signatures.iter().map(|one| one.cosigner.clone()).collect();
            (receipt.path.index, receipt.path.size, Some(names), None)
        }
    };
    let view = json!({
        "record": facts.record,
        "version": facts.version,
        "leaf": index,
        "log_size": size,
        "validators": validators,
        "decoded": facts.decoded,
        "body": body,
    });
    let shape = Shape {
        schema: "receipt-view",
        columns: &["record", "version", "leaf", "log_size", "validators", "decoded", "body"],
        id: "record",
        empty: "",
    };
    city.out.say(format!("  Not judged. To check it: city receipt verify {}", path.display()));
    city.out.item(shape, &view)
}
