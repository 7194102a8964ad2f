//! `city doctor`: what is wrong here, and how to put it right.

use chain_core::api::NodeStatus;
use serde_json::{Value, json};

use crate::app::City;
use crate::client::{Client, paths};
use crate::commands::start::devnet::process::node_program;
use crate::context::user_file;
use crate::error::CliResult;
use crate::exit::Exit;
use crate::filing::now_ms;
use crate::output::Shape;

/// Look for what would keep commands from working: context, keys, genesis, nodes, clock, versions
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DoctorArgs {}

const SHAPE: Shape =
    Shape { schema: "doctor", columns: &["check", "result", "detail", "fix"], id: "check", empty: "" };
/// Difference between this clock and the newest block that is worth a word, milliseconds. Idle networks make
/// a block every half minute.
const CLOCK_MS: u64 = 120_000;

pub(crate) fn run(_: &DoctorArgs, city: &City) -> CliResult {
    let mut rows = Vec::new();
    let mut check = |name: &str, result: Result<String, String>, fix: &str| {
        rows.push(match result {
            Ok(detail) => json!({ "check": name, "result": "ok", "detail": detail }),
            Err(detail) => json!({ "check": name, "result": "bad", "detail": detail, "fix": fix }),
        });
    };
    let words = |error: crate::error::CliError| error.refusal.to_string();
    check("contexts", user_file().map(|path| path.display().to_string()).map_err(words), "set CITY_CONFIG");
    check("city-node", node_program().map(|path| path.display().to_string()).map_err(words), "make build");
    let genesis = city.genesis();
    check(
        "genesis",
        genesis
            .as_ref()
            .map(|genesis| format!("chain {}", genesis.read_aloud()))
            .map_err(|error| words(error.clone())),
        "give --genesis FILE or add it to the context",
    );
    let ring =
        city.ring().map(|ring| format!("{} keys in {}", ring.entries().len(), ring.folder().display()));
    check("keys", ring.map_err(words), "give --keys DIR or add it to the context");
    match city.client() {
        Err(error) => check("nodes", Err(words(error)), "city context add NAME --node URL --genesis FILE"),
        Ok(client) => {
            for node in 0..client.len() {
                let chain = genesis.as_ref().ok().map(chain_core::genesis::Genesis::chain_id);
                check(
                    client.url(node),
                    examine(&client, node, chain),
                    "is the node running? city devnet status",
                );
            }
        }
    }
    let bad = rows.iter().filter(|row: &&Value| row["result"] == "bad").count();
    city.out.list(SHAPE, &rows)?;
    if bad == 0 {
        return Ok(());
    }
    Err(crate::error::CliError::new(chain_core::code::Code::NotReady, format!("{bad} checks failed"))
        .exit(Exit::Failed)
        .hint("the column FIX says what to do"))
}

fn examine(client: &Client, node: usize, chain: Option<chain_core::id::ChainId>) -> Result<String, String> {
    let status: NodeStatus =
        client.get_from(node, paths::STATUS).map_err(|error| error.refusal.to_string())?;
    if chain.is_some_and(|chain| chain != status.chain_id) {
        return Err(format!("it runs another genesis: chain {}", status.chain_id));
    }
    if status.version != env!("CARGO_PKG_VERSION") {
        return Err(format!("it runs version {}, this is {}", status.version, env!("CARGO_PKG_VERSION")));
    }
    let apart = now_ms().abs_diff(status.block_time_ms);
    if status.committed.get() > 0 && apart > CLOCK_MS {
        return Err(format!("its newest block is {} s from this clock", apart / 1000));
    }
    let connected = status.peers.iter().filter(|peer| peer.connected).count();
    if connected < status.peers.len() {
        return Err(format!("{} sees {connected} of {} peers", status.name, status.peers.len()));
    }
    Ok(format!("{} at block {}, all peers seen", status.name, status.committed))
}
