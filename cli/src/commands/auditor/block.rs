//! `city block`: look at blocks, with their certificates verified here.

use chain_core::api::BlockView;
use chain_core::certificate::VoteKind;
use chain_core::code::Code;
use chain_core::crypto::Digest;
use chain_core::genesis::Genesis;
use clap::Subcommand;
use serde_json::{Value, json};

use crate::app::City;
use crate::client::{Client, paths};
use crate::clock::utc;
use crate::error::{CliError, CliResult};
use crate::exit::Exit;
use crate::output::Shape;

/// Look at blocks
///
/// city block list --limit 20
///
/// city block get latest
///
/// city block get 1204 -o json
#[derive(Clone, Debug, Subcommand)]
#[command(verbatim_doc_comment)]
pub(crate) enum BlockCommand {
    /// List the newest blocks
    List {
        /// How many
        #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
    },
    /// Show one block and who certified it
    Get {
        /// Height, digest, or `latest`
        #[arg(value_name = "HEIGHT|DIGEST|latest")]
        block: String,
    },
}

const LIST: Shape = Shape {
    schema: "blocks",
    columns: &["height", "time", "view", "proposer", "records", "bytes", "signers", "digest"],
    id: "height",
    empty: "there is no block yet",
};

const ITEM: Shape = Shape {
    schema: "block",
    columns: &[
        "height",
        "digest",
        "time",
        "epoch",
        "view",
        "proposer",
        "parent",
        "flags",
        "batches",
        "records",
        "bytes",
        "exec_height",
        "exec_root",
        "history_root",
        "certified_by",
        "signers",
        "transactions",
    ],
    id: "height",
    empty: "",
};

pub(crate) fn run(command: BlockCommand, city: &City) -> CliResult {
    let genesis = city.genesis()?;
    let client = city.client()?;
    match command {
        BlockCommand::List { limit } => {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let blocks = client.list::<BlockView>(limit, paths::blocks)?.items;
            let rows: CliResult<Vec<Value>> =
                blocks.iter().map(|block| row(&client, &genesis, block)).collect();
            city.out.list(LIST, &rows?)
        }
        BlockCommand::Get { block } => {
            let name = name(&block)?;
            let view: BlockView = client.get(&paths::block_named(&name)).map_err(absent)?;
            asked_for(&name, &view)?;
            city.out.item(ITEM, &row(&client, &genesis, &view)?)
        }
    }
}

/// A block that is not there yet does not exist for whoever asks: nothing was submitted that would be pending.
fn absent(error: CliError) -> CliError {
    match error.code() {
        Code::NotYetExecuted => error.exit(Exit::NotFound).hint("see the newest: city block get latest"),
        Code::NotFound => error.hint("see `city block list`; the first block is 1"),
        _ => error,
    }
}

/// Checks the name of a block, so that a slip is a usage error and not a question to the node.
fn name(text: &str) -> CliResult<String> {
    let known = text == "latest" || text.parse::<u64>().is_ok() || text.parse::<Digest>().is_ok();
    if known {
        return Ok(text.to_owned());
    }
    Err(CliError::usage(format!(
        "{text:?} is no height, no digest of 64 hexadecimal digits, and not `latest`"
    )))
}

/// The node must give the block that was asked for.
fn asked_for(name: &str, block: &BlockView) -> CliResult {
    let digest = block.header.digest();
    let fits = match (name.parse::<u64>(), name.parse::<Digest>()) {
        (Ok(height), _) => block.header.height.get() == height,
        (_, Ok(wanted)) => digest == wanted,
        _ => true,
    };
    if fits && block.digest == digest {
        return Ok(());
    }
    let detail = format!("asked for block {name}, the node gave block {} {digest}", block.header.height);
    Err(CliError::new(Code::ProofInvalid, detail))
}

/// One block as a row; its certificate is verified first.
fn row(client: &Client, genesis: &Genesis, block: &BlockView) -> CliResult<Value> {
    let header = &block.header;
    if header.chain_id != genesis.chain_id() {
        return Err(CliError::new(
            Code::GenesisMismatch,
            format!("block {} is of another chain", header.height),
        ));
    }
    let committee = &client.committee(genesis, header.epoch)?;
    let mut signers = Vec::new();
    if let Some(certificate) = &block.certificate {
        let broken = |detail: String| {
            CliError::new(Code::CertificateInvalid, format!("block {}: {detail}", header.height))
        };
        certificate
            .verify(genesis.chain_id(), committee, VoteKind::Commit)
            .map_err(|error| broken(error.to_string()))?;
        if certificate.height < header.height
            || (certificate.height == header.height && certificate.digest != header.digest())
        {
            return Err(broken(format!("the certificate is for block {}", certificate.height)));
        }
        signers.extend(
            certificate.signers().filter_map(|at| committee.validators().get(at)).map(|one| &one.name),
        );
    }
    let proposer =
        committee.get(header.proposer).map_or_else(|| header.proposer.to_string(), |one| one.name.clone());
    let shown = |flag, name: &str| header.flags.contains(flag).then(|| name.to_owned());
    let flags: Vec<String> = [
        shown(chain_core::block::Flags::SEAL, "seal"),
        shown(chain_core::block::Flags::TERM_END, "term_end"),
        shown(chain_core::block::Flags::CLOSING, "closing"),
        shown(chain_core::block::Flags::CHECKPOINT, "checkpoint"),
    ]
    .into_iter()
    .flatten()
    .collect();
    Ok(json!({
        "height": header.height,
        "digest": header.digest(),
        "time": utc(header.time_ms),
        "time_ms": header.time_ms,
        "epoch": header.epoch,
        "view": header.view,
        "proposer": proposer,
        "parent": header.parent,
        "flags": flags,
        "batches": header.n_batches,
        "records": header.n_records,
        "bytes": header.n_bytes,
        "exec_height": header.exec_height,
        "exec_root": header.exec_root,
        "history_root": header.history_root,
        "certified_by": block.certificate.as_ref().map(|one| one.height),
        "signers": signers,
        "transactions": block.transactions,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_named_by_height_digest_or_latest() {
        for good in ["latest", "0", "1204", &"ab".repeat(32)] {
            assert_eq!(name(good).unwrap(), good);
        }
        for bad in ["newest", "-1", "ab12"] {
            assert_eq!(name(bad).unwrap_err().code(), Code::BadParameter);
        }
    }

    #[test]
    fn a_block_of_the_future_is_not_found() {
        let error = absent(CliError::new(Code::NotYetExecuted, "height 9, executed 1"));
        assert_eq!((error.code(), error.exit), (Code::NotYetExecuted, Exit::NotFound));
    }
}
