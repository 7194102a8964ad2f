//! `city trust`: whom to believe about receipts and proofs, from the genesis to the newest validators.

use std::path::{Path, PathBuf};

use chain_core::code::Code;
use chain_core::genesis::Genesis;
use chain_core::id::Epoch;
use clap::Subcommand;
use serde_json::{Value, json};

use crate::app::City;
use crate::client::paths;
use crate::error::{CliError, CliResult};
use crate::files;
use crate::output::Shape;
use crate::sets::Sets;
use crate::trust::TrustStore;

/// Keep a file of whom to believe, and bring it up to date
///
/// The file holds the genesis and, for each epoch since, the proof of which validators came next. Nothing in it has to
/// be believed: everything is proved from the genesis again whenever it is read. With it, receipts of every epoch up to
/// the newest one known verify offline. It stands beside the genesis, and is used without being named.
///
/// city trust init --genesis genesis.toml
///
/// city trust update
///
/// city trust export --epoch 3 --out trust-policy.txt
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum TrustCommand {
    /// Show the validators of every epoch that is known
    Show {
        /// The file, in place of the one beside the genesis
        #[arg(long, value_name = "FILE")]
        trust: Option<PathBuf>,
    },
    /// Begin with the genesis: a file that was compared with the other agencies, or the node's with the hash that was
    Init {
        /// The hash that was compared; the genesis is then fetched from the node
        #[arg(long, value_name = "HASH")]
        genesis_hash: Option<String>,
        /// File to write, in place of the one beside the genesis
        #[arg(long, value_name = "FILE")]
        trust: Option<PathBuf>,
    },
    /// Follow the hand-overs to the newest validators
    Update {
        /// The file, in place of the one beside the genesis
        #[arg(long, value_name = "FILE")]
        trust: Option<PathBuf>,
    },
    /// Write the validators of one epoch as a C2SP trust policy, for other people's tools
    Export {
        /// The epoch; the newest that is known unless given
        #[arg(long)]
        epoch: Option<u64>,
        /// The file, in place of the one beside the genesis; without either the node is asked
        #[arg(long, value_name = "FILE")]
        trust: Option<PathBuf>,
        /// File to write; `-` for stdout
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

const SETS: Shape = Shape {
    schema: "trust",
    columns: &["epoch", "from", "quorum", "validators", "begun_by"],
    id: "epoch",
    empty: "",
};

pub(crate) fn run(command: TrustCommand, city: &City) -> CliResult {
    match command {
        TrustCommand::Show { trust } => {
            let (_, sets) = TrustStore::read(&place(city, trust)?)?.prove()?;
            city.out.list(SETS, &rows(&sets))
        }
        TrustCommand::Init { genesis_hash, trust } => init(city, genesis_hash.as_deref(), trust),
        TrustCommand::Update { trust } => update(city, &place(city, trust)?),
        TrustCommand::Export { epoch, trust, out } => {
            export(city, epoch.map(Epoch::new), trust.as_deref(), &out)
        }
    }
}

/// The store named, or the one beside the genesis of the context.
fn place(city: &City, named: Option<PathBuf>) -> CliResult<PathBuf> {
    match named {
        Some(path) => Ok(path),
        None => Ok(TrustStore::beside(&city.genesis_path()?)),
    }
}

fn init(city: &City, hash: Option<&str>, named: Option<PathBuf>) -> CliResult {
    let (text, path) = match hash {
        None => {
            let genesis = city.genesis_path()?;
            (files::read(&genesis)?, named.unwrap_or_else(|| TrustStore::beside(&genesis)))
        }
        Some(hash) => {
            let path = named.ok_or_else(|| {
                CliError::usage("--genesis-hash needs a place for the file").hint("give it: --trust FILE")
            })?;
            let text = String::from_utf8(city.client()?.get_bytes(paths::GENESIS)?)
                .map_err(|_| CliError::new(Code::GenesisInvalid, "the genesis is not UTF-8"))?;
            let chain = Genesis::parse(&text)?.chain_id().to_string();
            if chain != hash {
                let detail = format!("the node's genesis has the hash {chain}, compared was {hash}");
                return Err(CliError::new(Code::GenesisMismatch, detail));
            }
            (text, path)
        }
    };
    if path.exists() {
        return Err(CliError::new(Code::FileExists, path.display().to_string())
            .hint("bring it up to date: city trust update"));
    }
    let store = TrustStore::new(text);
    let (genesis, _) = store.prove()?;
    store.write(&path)?;
    city.out.done(format!("{} for chain {}", path.display(), genesis.chain_id()));
    city.out.say("  Follow the hand-overs: city trust update");
    Ok(())
}

fn update(city: &City, path: &Path) -> CliResult {
    let mut store = TrustStore::read(path)?;
    let (_, mut sets) = store.prove()?;
    let client = city.client()?;
    let before = sets.newest().committee.epoch();
    while let Some(passage) = client.passage_after(sets.newest().committee.epoch())? {
        store.add(&mut sets, passage)?;
    }
    let newest = sets.newest().committee.epoch();
    if newest != before {
        store.write(path)?;
    }
    city.out.done(format!("epoch {newest}, {} new", newest.get() - before.get()));
    city.out.list(SETS, &rows(&sets))
}

fn export(city: &City, epoch: Option<Epoch>, named: Option<&Path>, out: &Path) -> CliResult {
    let kept = match named {
        Some(path) => Some(path.to_owned()),
        None => Some(TrustStore::beside(&city.genesis_path()?)).filter(|path| path.exists()),
    };
    let sets = match kept {
        Some(path) => TrustStore::read(&path)?.prove()?.1,
        None => city.client()?.sets(&city.genesis()?, epoch)?,
    };
    let epoch = epoch.unwrap_or_else(|| sets.newest().committee.epoch());
    let policy = sets.policy(epoch).ok_or_else(|| {
        CliError::new(Code::UnknownSigner, format!("no hand-over leads to epoch {epoch}")).hint(
            "follow the hand-overs: city trust update; see the epoch of the network: city validator list",
        )
    })?;
    if out.as_os_str() == "-" {
        return city.out.data(policy.to_text());
    }
    files::replace(out, policy.to_text())?;
    city.out.done(format!("trust policy of epoch {epoch} in {}", out.display()));
    Ok(())
}

fn rows(sets: &Sets) -> Vec<Value> {
    let row = |set: &crate::sets::Set| {
        let names: Vec<&str> = set.committee.validators().iter().map(|one| one.name.as_str()).collect();
        json!({
            "epoch": set.committee.epoch(),
            "from": set.base.0.next(),
            "quorum": format!("{} of {}", set.committee.quorum(), set.committee.size()),
            "validators": names,
            "begun_by": if set.begun_by.is_some() { "recovery" } else { "" },
        })
    };
    sets.all().map(row).collect()
}
