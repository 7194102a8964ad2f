//! `city recovery draft`: where the chain goes on, and with whom.

use std::path::{Path, PathBuf};

use chain_core::api::{BlockView, NodeStatus, ValidatorsView};
use chain_core::certificate::VoteKind;
use chain_core::code::Code;
use chain_core::committee::{Committee, Validator};
use chain_core::crypto::Digest;
use chain_core::genesis::Genesis;
use chain_core::id::{ChainId, Epoch, Height};
use chain_core::recovery::{RecoveryAct, SignedRecovery};
use serde::Deserialize;

use super::{SHAPE, aloud, keys_of, refused, view};
use crate::app::City;
use crate::client::{Client, paths};
use crate::commands::operator::validator::read_proof;
use crate::error::{CliError, CliResult};
use crate::files;
use crate::filing::now_ms;

/// What `draft` takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DraftArgs {
    /// A validator of the epoch that ends, to go on as it is; repeat it
    #[arg(long, value_name = "NAME")]
    keep: Vec<String>,
    /// Proof of a new validator's keys, or of a remaining one's new keys, made with `city validator prove`; repeat it
    #[arg(long, value_name = "FILE")]
    add: Vec<PathBuf>,
    /// JSON list of the next validators, in place of --keep and --add
    #[arg(long, value_name = "FILE", conflicts_with_all = ["keep", "add"])]
    next: Option<PathBuf>,
    /// What happened; public for ever, so without persons' data
    #[arg(long)]
    reason: String,
    /// What `city-node check` printed for a stopped node, in place of asking nodes; repeat it for each that is left
    #[arg(long, value_name = "FILE")]
    stopped: Vec<PathBuf>,
    /// Epoch to end, where neither a node nor its check can be had
    #[arg(long, requires_all = ["height", "digest"], conflicts_with = "stopped")]
    epoch: Option<u64>,
    /// Height of the newest final block
    #[arg(long, requires_all = ["epoch", "digest"])]
    height: Option<u64>,
    /// Digest of that block
    #[arg(long, requires_all = ["epoch", "height"])]
    digest: Option<Digest>,
    /// File to write
    #[arg(long, default_value = "act.json", value_name = "FILE")]
    out: PathBuf,
}

/// Where the chain stands.
#[derive(Clone, Debug)]
struct Stand {
    epoch: Epoch,
    height: Height,
    digest: Digest,
    /// The validators of the epoch that ends, as far as they are known here.
    validators: Vec<Validator>,
    /// Who says so.
    from: String,
}

pub(super) fn run(args: &DraftArgs, city: &City) -> CliResult {
    let genesis = city.genesis()?;
    keys_of(&genesis)?;
    if args.out.exists() {
        return Err(CliError::new(Code::FileExists, args.out.display().to_string()));
    }
    let stand = stand(args, city, &genesis)?;
    let next = next(args, &genesis, &stand)?;
    let act = RecoveryAct {
        chain_id: genesis.chain_id(),
        epoch: stand.epoch,
        height: stand.height,
        block_digest: stand.digest,
        next,
        reason: args.reason.clone(),
        time_ms: now_ms(),
    };
    act.check(genesis.chain_id(), stand.epoch).map_err(|error| refused(&error))?;
    let recovery = SignedRecovery::new(act, Vec::new());
    for line in aloud(&genesis, &recovery) {
        city.out.say(line);
    }
    files::create(&args.out, &recovery.to_json())?;
    city.out.done(format!("act in {}, as {} has it; nobody has signed it", args.out.display(), stand.from));
    city.out.say("  Compare the block with every node that is left, then send the file to the agencies: city recovery sign");
    city.out.item(SHAPE, &view(&genesis, &recovery)?)
}

/// Where the chain stands, from whoever knows it.
fn stand(args: &DraftArgs, city: &City, genesis: &Genesis) -> CliResult<Stand> {
    if let (Some(epoch), Some(height), Some(digest)) = (args.epoch, args.height, args.digest) {
        let epoch = Epoch::new(epoch);
        let validators =
            if epoch == Epoch::ZERO { genesis.committee().validators().to_vec() } else { Vec::new() };
        let from = "the command line".to_owned();
        return Ok(Stand { epoch, height: Height::new(height), digest, validators, from });
    }
    let found = if args.stopped.is_empty() {
        running(city, genesis)?
    } else {
        args.stopped.iter().map(|path| checked(path, genesis)).collect::<CliResult<Vec<_>>>()?
    };
    let newest = found.iter().max_by_key(|one| (one.epoch, one.height)).cloned().ok_or_else(|| {
        CliError::new(Code::Unreachable, "no node of the context says where it stands")
            .hint("give --stopped FILE with what city-node check prints, or --epoch, --height and --digest")
    })?;
    let rival = found.iter().find(|one| one.height == newest.height && one.digest != newest.digest);
    if let Some(rival) = rival {
        let detail = format!(
            "block {}: {} at {}, {} at {}",
            newest.height, newest.digest, newest.from, rival.digest, rival.from
        );
        return Err(CliError::new(Code::ForkDetected, detail));
    }
    for behind in found.iter().filter(|one| one.height < newest.height) {
        city.out.warn(format!(
            "{} stands at block {}; it follows to {}",
            behind.from, behind.height, newest.height
        ));
    }
    Ok(newest)
}

/// What the running nodes of the context hold as final; each block is proved by its certificate.
fn running(city: &City, genesis: &Genesis) -> CliResult<Vec<Stand>> {
    let client = city.client()?;
    let mut found = Vec::new();
    for node in 0..client.len() {
        match node_stand(&client, node, genesis) {
            Ok(stand) => found.push(stand),
            Err(error) => city.out.warn(format!("{}: {}", client.url(node), error.refusal)),
        }
    }
    Ok(found)
}

fn node_stand(client: &Client, node: usize, genesis: &Genesis) -> CliResult<Stand> {
    let status: NodeStatus = client.get_from(node, paths::STATUS)?;
    if status.chain_id != genesis.chain_id() {
        let detail = format!("it runs chain {}, wants {}", status.chain_id, genesis.chain_id());
        return Err(CliError::new(Code::GenesisMismatch, detail));
    }
    let view: ValidatorsView = client.get_from(node, paths::VALIDATORS)?;
    if status.committed != status.executed || view.epoch != status.epoch {
        let detail = format!("block {} is final, {} executed", status.committed, status.executed);
        return Err(CliError::new(Code::NotYetExecuted, detail).hint("ask again in a moment"));
    }
    let set = client.committee(genesis, status.epoch)?;
    let digest = match status.committed {
        Height::ZERO => *genesis.chain_id().digest(),
        height => final_digest(client, node, genesis, height)?,
    };
    Ok(Stand {
        epoch: status.epoch,
        height: status.committed,
        digest,
        validators: set.validators().to_vec(),
        from: client.url(node).to_owned(),
    })
}

/// The digest of a block, with the certificate that makes it final checked.
fn final_digest(client: &Client, node: usize, genesis: &Genesis, height: Height) -> CliResult<Digest> {
    let block: BlockView = client.get_from(node, &paths::block(height))?;
    let unproved = |why: String| CliError::new(Code::CertificateInvalid, format!("block {height}: {why}"));
    let certificate = block.certificate.ok_or_else(|| unproved("it has no certificate".to_owned()))?;
    let set = client.committee(genesis, block.header.epoch)?;
    certificate
        .verify(genesis.chain_id(), &set, VoteKind::Commit)
        .map_err(|error| unproved(error.to_string()))?;
    let last = block.suffixes.last().unwrap_or(&block.header);
    if block.header.height != height || certificate.digest != last.digest() {
        return Err(unproved("its certificate is over another block".to_owned()));
    }
    Ok(block.header.digest())
}

/// What `city-node check` prints, as far as it is needed here.
#[derive(Deserialize)]
struct Check {
    chain_id: ChainId,
    epoch: Epoch,
    final_height: Height,
    final_digest: Digest,
    #[serde(default)]
    validators: Option<Vec<Validator>>,
}

fn checked(path: &Path, genesis: &Genesis) -> CliResult<Stand> {
    let check: Check = serde_json::from_str(&files::read(path)?).map_err(|error| {
        CliError::new(Code::MalformedJson, format!("{}: {error}", path.display()))
            .hint("it is made by: city-node check --config FILE > CHECK")
    })?;
    if check.chain_id != genesis.chain_id() {
        let detail =
            format!("{} is of chain {}, wants {}", path.display(), check.chain_id, genesis.chain_id());
        return Err(CliError::new(Code::GenesisMismatch, detail));
    }
    Ok(Stand {
        epoch: check.epoch,
        height: check.final_height,
        digest: check.final_digest,
        validators: check.validators.unwrap_or_default(),
        from: path.display().to_string(),
    })
}

/// The validators of the epoch to come, by name.
fn next(args: &DraftArgs, genesis: &Genesis, stand: &Stand) -> CliResult<Committee> {
    let mut validators: Vec<Validator> = match &args.next {
        Some(path) => serde_json::from_str(&files::read(path)?).map_err(|error| {
            CliError::new(Code::MalformedJson, format!("{}: no list of validators: {error}", path.display()))
        })?,
        None => args.keep.iter().map(|name| kept(stand, name)).collect::<CliResult<_>>()?,
    };
    for path in &args.add {
        validators.push(read_proof(path, genesis)?.validator());
    }
    validators.sort_by(|a, b| a.name.cmp(&b.name));
    Committee::new(stand.epoch.next(), validators).map_err(|error| {
        CliError::new(Code::ValidatorSetSize, error.to_string()).hint(
            "name those that remain with --keep, and new ones with --add; their names and keys must differ",
        )
    })
}

fn kept(stand: &Stand, name: &str) -> CliResult<Validator> {
    stand.validators.iter().find(|one| one.name == name).cloned().ok_or_else(|| {
        let names: Vec<&str> = stand.validators.iter().map(|one| one.name.as_str()).collect();
        let detail = format!("no validator {name} in epoch {} as {} has it", stand.epoch, stand.from);
        CliError::new(Code::NotFound, detail).hint(match names.len() {
            0 => "its set is not known here: give --next FILE, or --stopped FILE of a node whose ledger is whole".to_owned(),
            _ => format!("one of: {}", names.join(", ")),
        })
    })
}
