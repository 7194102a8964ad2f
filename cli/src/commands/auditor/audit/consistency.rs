//! `city audit consistency`: the log of today begins with the log of last time.

use chain_core::code::{Code, Refusal};
use chain_core::merkle::tile::{Tile, Tiles};
use chain_core::merkle::{consistency_path, range_hash, verify_consistency};
use serde_json::json;

use super::checkpoint::{self, Cosigned};
use crate::app::City;
use crate::client::Client;
use crate::error::{CliError, CliResult};
use crate::exit::Exit;
use crate::output::Shape;

/// What `consistency` takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ConsistencyArgs {
    /// Checkpoint file of an earlier time, in place of the one that the last audit kept
    #[arg(long, value_name = "FILE")]
    since: Option<std::path::PathBuf>,
    /// Do not keep today's checkpoint for the next time
    #[arg(long)]
    no_memory: bool,
}

const VERDICT: Shape = Shape {
    schema: "consistency",
    columns: &["verdict", "old_size", "size", "root", "hashes", "cosigners"],
    id: "size",
    empty: "",
};

pub(super) fn run(args: &ConsistencyArgs, city: &City) -> CliResult {
    let (genesis, client) = (city.genesis()?, city.client()?);
    let newest = checkpoint::newest(&client, &genesis)?
        .ok_or_else(|| CliError::new(Code::NotYetExecuted, "the node has no cosigned checkpoint yet"))?;
    let sets = client.sets(&genesis, None)?;
    let memory = checkpoint::memory(&genesis);
    let path = args.since.as_ref().or(memory.as_ref());
    let before = match path {
        Some(path) => checkpoint::remembered(path, &sets)?,
        None => None,
    };
    if args.since.is_some() && before.is_none() {
        let path = args.since.as_deref().unwrap_or_else(|| std::path::Path::new(""));
        return Err(CliError::new(Code::FileNotFound, path.display().to_string()));
    }
    let hashes = before.as_ref().map_or(Ok(0), |before| prove(&client, before, &newest))?;
    if let Some(memory) = memory.filter(|_| !args.no_memory)
        && before.as_ref().is_none_or(|before| before.size() <= newest.size())
    {
        checkpoint::remember(&memory, &newest)?;
    }
    let names: Vec<&str> = newest.cosigners.iter().map(|one| one.name.as_str()).collect();
    let row = json!({
        "verdict": if before.is_some() { "CONSISTENT" } else { "FIRST" },
        "old_size": before.as_ref().map(Cosigned::size),
        "size": newest.size(),
        "root": newest.signed.checkpoint.root,
        "hashes": hashes,
        "cosigners": names,
    });
    if before.is_none() {
        city.out.say("  There was no checkpoint to compare with; this one is kept for the next time.");
    }
    city.out.item(VERDICT, &row)
}

/// Proves that the smaller log is the beginning of the larger; gives the number of hashes that it took.
pub(super) fn prove(client: &Client, before: &Cosigned, newest: &Cosigned) -> CliResult<usize> {
    let (one, two) = (&before.signed.checkpoint, &newest.signed.checkpoint);
    let (old, new) = if one.size <= two.size { (one, two) } else { (two, one) };
    let tiles = Tiles::new(new.size, |tile: Tile| client.get_bytes(&format!("/{}", tile.path())));
    let path = consistency_path(&tiles, old.size, new.size);
    let path =
        path.map_err(|error| CliError::new(Code::ProofInvalid, format!("the node's tiles: {error}")))?;
    if verify_consistency(old.size, &old.root, new.size, &new.root, &path) {
        return Ok(path.len());
    }
    let both = format!(
        "a quorum cosigned {} leaves with root {} and {} leaves with root {}",
        old.size, old.root, new.size, new.root
    );
    // Tiles are signed by nobody. Only where they lead to the newer root does it stand against the older one.
    let of_node = |size: u64| range_hash(&tiles, 0, size);
    if matches!((of_node(new.size), of_node(old.size)), (Ok(root), Ok(other)) if root == new.root && other != old.root)
    {
        let detail = format!("{both}, and the one is not the beginning of the other");
        return Err(CliError::from(Refusal::new(Code::HistoryAltered, detail)).exit(Exit::Tampered));
    }
    Err(CliError::from(Refusal::new(
        Code::ProofInvalid,
        format!("{both}; the node's tiles do not lead to both"),
    ))
    .hint("ask another node; if that is no better: city audit chain, which says who is to blame"))
}
