//! `city audit compare`: whether two nodes have the same ledger, and where they part.

use chain_core::api::{BlockView, NodeStatus, RawBlock};
use chain_core::code::Code;
use chain_core::id::Height;
use serde_json::{Value, json};

use super::fetch::decode;
use crate::app::City;
use crate::client::{Client, paths};
use crate::error::{CliError, CliResult};
use crate::exit::Exit;
use crate::output::Shape;

/// What `compare` takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CompareArgs {
    /// Base URL of one node
    #[arg(value_name = "NODE1")]
    one: String,
    /// Base URL of the other
    #[arg(value_name = "NODE2")]
    two: String,
}

const VERDICT: Shape = Shape {
    schema: "compare",
    columns: &["verdict", "compared_to", "height", "differs", "one", "two"],
    id: "height",
    empty: "",
};

/// What two nodes say of one height.
struct Said {
    block: Value,
    execution: Value,
    block_of: RawBlock,
}

pub(super) fn run(args: &CompareArgs, city: &City) -> CliResult {
    let context = city.context()?;
    let urls = [args.one.clone(), args.two.clone()];
    let client = Client::new(&urls, city.manners.timeout, context.tls_ca.as_deref())?;
    let status = |node: usize| client.get_from::<NodeStatus>(node, paths::STATUS);
    let (one, two) = (status(0)?, status(1)?);
    if one.chain_id != two.chain_id {
        let detail =
            format!("{} is of chain {}, {} of chain {}", urls[0], one.chain_id, urls[1], two.chain_id);
        return Err(CliError::new(Code::GenesisMismatch, detail));
    }
    let newest = one.executed.min(two.executed);
    if newest == Height::ZERO {
        return Err(CliError::new(Code::NotYetExecuted, "one of the nodes has executed no block yet"));
    }
    let Some(first) = first_difference(&client, newest)? else {
        let row = json!({
            "verdict": "SAME",
            "compared_to": newest,
            "one": urls[0],
            "two": urls[1],
        });
        return city.out.item(VERDICT, &row);
    };
    let (ours, theirs) = (said(&client, 0, first)?, said(&client, 1, first)?);
    let what = what_differs(&ours, &theirs);
    let row = json!({
        "verdict": "DIFFERENT",
        "compared_to": newest,
        "height": first,
        "differs": what,
        "one": { "block": ours.block, "execution": ours.execution },
        "two": { "block": theirs.block, "execution": theirs.execution },
    });
    city.out.item(VERDICT, &row)?;
    let detail = format!("the nodes part at block {first}: {}", what.join(", "));
    Err(CliError::new(Code::HistoryAltered, detail)
        .exit(Exit::Invalid)
        .hint("audit each of them: city audit chain --node URL"))
}

/// The first height at which the nodes differ. What differs once differs at every later height: blocks are linked by
/// hash, and roots of execution cover everything before.
fn first_difference(client: &Client, newest: Height) -> CliResult<Option<Height>> {
    if same(client, newest)? {
        return Ok(None);
    }
    let (mut low, mut high) = (0, newest.get());
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        match same(client, Height::new(middle))? {
            true => low = middle,
            false => high = middle,
        }
    }
    Ok(Some(Height::new(high)))
}

fn same(client: &Client, height: Height) -> CliResult<bool> {
    let (one, two) = (said(client, 0, height)?, said(client, 1, height)?);
    Ok(one.block == two.block && one.execution == two.execution)
}

fn said(client: &Client, node: usize, height: Height) -> CliResult<Said> {
    let view: BlockView = client.get_from(node, &paths::block(height))?;
    let bytes = client.bytes_from(node, &paths::raw_block(height))?;
    let raw = decode(height, &bytes)?;
    Ok(Said { block: json!(view.digest), execution: json!(raw.exec_root), block_of: raw })
}

/// In which of their parts two blocks of one height differ.
fn what_differs(one: &Said, two: &Said) -> Vec<&'static str> {
    let (a, b) = (&one.block_of, &two.block_of);
    [
        ("the block itself", one.block != two.block),
        ("the batches it orders", a.advances != b.advances),
        ("outcomes", a.outcomes != b.outcomes),
        ("the index of subjects", a.index != b.index),
        ("the root of the execution", one.execution != two.execution),
    ]
    .into_iter()
    .filter_map(|(what, differs)| differs.then_some(what))
    .collect()
}
