//! The blocks as canonical bytes, one line of JSON each: what `docs/formats/chain.py` replays, or anybody's program.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chain_core::api::{NodeStatus, RawBlock};
use chain_core::block::{Flags, Header};
use chain_core::code::Code;
use chain_core::committee::Committee;
use chain_core::execute::genesis_block;
use chain_core::id::Height;
use chain_core::transaction::Batch;
use serde_json::{Value, json};

use crate::app::City;
use crate::client::paths;
use crate::commands::auditor::audit::fetch::Blocks;
use crate::error::{CliError, CliResult};
use crate::output::Shape;
use crate::progress::Progress;
use crate::{files, interrupt};

const CHAIN: Shape =
    Shape { schema: "chain", columns: &["file", "chain_id", "blocks", "epochs"], id: "file", empty: "" };

pub(super) fn run(city: &City, out: &Path) -> CliResult {
    interrupt::install();
    let (genesis, client) = (city.genesis()?, Arc::new(city.client()?));
    let status: NodeStatus = client.get(paths::STATUS)?;
    let last = status.executed;
    let sets = client.sets(&genesis, None)?;
    if let Some(act) = sets.all().find_map(|set| set.begun_by.as_ref()) {
        let detail = format!("the agencies ended epoch {} by an act of recovery", act.act.epoch);
        return Err(CliError::new(Code::BadParameter, detail)
            .hint("`city audit chain` walks over the act; the export of such a chain is planned"));
    }
    let file = OpenOptions::new().write(true).create_new(true).open(out);
    let mut file = BufWriter::new(file.map_err(|error| CliError::file(out, &error))?);
    let mut line = |value: &Value| writeln!(file, "{value}").map_err(|error| CliError::file(out, &error));
    let state_root = genesis_block(&genesis.chain_params(), &genesis.state()?)?.summary.state_root;
    let first = STANDARD.encode(genesis.canonical());
    line(&json!({ "schema": "city/chain/v2", "genesis": first, "state_root": state_root }))?;
    let mut progress = Progress::new("blocks", last.get());
    let mut height = Height::ZERO;
    for block in Blocks::fetch(Arc::clone(&client), height.next(), last) {
        if interrupt::asked() {
            return Err(CliError::new(Code::Interrupted, format!("stopped after block {height}"))
                .hint("the file is cut short: delete it and begin anew"));
        }
        let block = block?;
        if block.header.height != height.next() {
            return Err(CliError::new(Code::ChainBroken, format!("no node gave block {}", height.next()))
                .hint("ask another node: --node"));
        }
        height = block.header.height;
        let next = block.header.flags.contains(Flags::CLOSING).then(|| sets.get(block.header.epoch.next()));
        line(&exported(&block, next.flatten().map(|set| &set.committee)))?;
        progress.set(height.get(), "");
    }
    progress.finish("");
    let failed = |error| CliError::file(out, &error);
    file.into_inner().map_err(|error| failed(error.into_error()))?.sync_all().map_err(failed)?;
    files::sync_parent(out)?;
    let row = json!({
        "file": out,
        "chain_id": genesis.chain_id(),
        "blocks": height,
        "epochs": sets.all().count(),
    });
    city.out.item(CHAIN, &row)
}

/// A block as its line says it; with the set of the next epoch where it ends one.
fn exported(block: &RawBlock, next: Option<&Committee>) -> Value {
    let header = |header: &Header| STANDARD.encode(header.canonical());
    let advances: Vec<Value> =
        block.advances.iter().map(|one| json!([one.author.get(), one.seq, one.tip])).collect();
    let outcomes: Vec<String> = block.outcomes.iter().map(|one| STANDARD.encode(one.canonical())).collect();
    let mut line = json!({
        "header": header(&block.header),
        "signature": block.proposer_signature,
        "advances": advances,
        "batches": block.batches.iter().map(batch).collect::<Vec<_>>(),
        "outcomes": outcomes,
        "certificate": block.certificate,
        "suffixes": block.suffixes.iter().map(header).collect::<Vec<_>>(),
    });
    if let Some(next) = next {
        let validators = next.validators().iter().map(|one| {
            json!([one.name, one.agency, one.consensus_key, one.network_key, one.log_key, one.may_lead])
        });
        line["next"] = validators.collect();
    }
    line
}

fn batch(batch: &Batch) -> Value {
    let transactions = batch.submissions.iter().map(|one| {
        let bytes = STANDARD.encode(one.signed.transaction.canonical());
        json!({ "transaction": bytes, "signature": one.signed.signature })
    });
    json!({
        "header": STANDARD.encode(batch.signed.header.canonical()),
        "signature": batch.signed.signature,
        "transactions": transactions.collect::<Vec<_>>(),
    })
}
