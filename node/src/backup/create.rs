//! Making a backup.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use chain_core::code::{Code, Refusal};
use chain_core::genesis::{BYTES_MAX, Genesis};
use chain_core::id::{Epoch, Height};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::manifest::{FORMAT, Manifest, digest_of, files_of};
use super::{MAKING, Name, STORES, Shelf, check_room, stamp};
use crate::config::{Config, read_text};
use crate::datadir::{
    DataDir, Identity, file_error, make_private, remove_folder, rename, sync_directory, sync_files, take,
};
use crate::driver::core::Core;
use crate::restoring;
use crate::storage::StorageError;
use crate::storage::consensus::ConsensusStore;
use crate::storage::ledger::LedgerStore;
use crate::storage::live::Copied;
use crate::vault::Vaults;

/// What copies a store: from where, to where, and a folder for what RocksDB writes meanwhile.
type Copier = fn(&Path, &Path, &Path) -> Result<Copied, StorageError>;

/// Whose data is copied.
#[derive(Clone, Debug)]
pub struct Owner {
    /// The data directory.
    pub(crate) data: DataDir,
    /// Whom it belongs to.
    pub(crate) identity: Identity,
    /// The name that the genesis gives its consensus key; empty where it gives none.
    pub(crate) validator: String,
}

impl Owner {
    /// The node of a configuration. Its keys are not asked for.
    ///
    /// # Errors
    /// `NOT_INITIALISED` without a data directory; `GENESIS_MISMATCH` when that is of another chain.
    pub fn read(config: &Config) -> Result<Self, Refusal> {
        let genesis = Genesis::parse(&read_text(&config.genesis, BYTES_MAX as u64)?)?;
        let data = DataDir::at(&config.data_dir);
        let key = data.identity()?.ok_or_else(|| data.not_initialised())?.consensus_key;
        let identity = Identity::new(genesis.chain_id(), key);
        data.check(&identity)?;
        let committee = genesis.committee();
        let named = committee.index_of(&key).and_then(|ix| committee.get(ix));
        Ok(Self { data, identity, validator: named.map(|one| one.name.clone()).unwrap_or_default() })
    }
}

impl Shelf {
    /// Makes a backup; `told` hears of each step.
    ///
    /// # Errors
    /// `CONFIG_INVALID` when the shelf is inside the data directory; `LOCK_HELD` while another one is made; `NO_ROOM`;
    /// `NOT_READY` for a node that was never started; when a store cannot be read or the backup not be written.
    pub fn create(&self, owner: &Owner, told: &mut dyn FnMut(&str)) -> Result<(Name, Manifest), Refusal> {
        let places = stores_of(&owner.data)?;
        self.check_outside(owner.data.path())?;
        make_private(&self.0)?;
        let mut lock = self.lock_file()?;
        let _held = take(&mut lock, &self.0)?;
        self.tidy()?;
        let stored = places.iter().map(|(_, place)| size_of(place)).sum::<u64>();
        // The copy may be less compressed than the store, and its compactions need room.
        check_room(&self.0, stored.saturating_add(stored / 2))?;
        raise_file_limit();
        let begun_ms = self.free_moment()?;
        let making = self.0.join(format!("{MAKING}{}", stamp(begun_ms)));
        make_private(&making)?;
        let made = fill(owner, &places, &making, begun_ms, told).and_then(|manifest| {
            if let Some((_, vault)) = places.iter().find(|(name, _)| *name == "vault") {
                let added = self.add_keys(vault, &making)?;
                told(&format!("{} keys of bodies in the vault, kept beside the backups", added.entries));
            }
            let name = Name::new(begun_ms, manifest.final_height);
            rename(&making, &self.path(&name))?;
            sync_directory(&self.0)?;
            Ok((name, manifest))
        });
        if made.is_err() {
            // The next one would remove it.
            let _ = remove_folder(&making);
        }
        made
    }

    fn check_outside(&self, data: &Path) -> Result<(), Refusal> {
        if !real(&self.0)?.starts_with(real(data)?) {
            return Ok(());
        }
        let detail = format!(
            "backups in {} would be lost with the data directory {}; wants a folder elsewhere, best on another disk",
            self.0.display(),
            data.display()
        );
        Err(Refusal::new(Code::ConfigInvalid, detail))
    }
}

/// The stores of a node that are copied, in their order.
fn stores_of(data: &DataDir) -> Result<Vec<(&'static str, PathBuf)>, Refusal> {
    if restoring::is_open(data) {
        let detail = format!("a restoring of {} was cut off; start the node once", data.path().display());
        return Err(Refusal::new(Code::NotReady, detail));
    }
    let mut places = Vec::new();
    for name in STORES {
        let place = data.path().join(name);
        if place.join("CURRENT").exists() {
            places.push((name, place));
        } else if name != "vault" {
            let detail = format!("{} is no store yet; start the node once", place.display());
            return Err(Refusal::new(Code::NotReady, detail));
        }
    }
    Ok(places)
}

/// Fills the folder of a backup.
fn fill(
    owner: &Owner,
    places: &[(&'static str, PathBuf)],
    making: &Path,
    begun_ms: u64,
    told: &mut dyn FnMut(&str),
) -> Result<Manifest, Refusal> {
    let scratch = making.join("view");
    for (name, place) in places {
        let start = Instant::now();
        let copied = copier(name)(place, &making.join(name), &scratch).map_err(refuse)?;
        remove_folder(&scratch)?;
        let again = if copied.tries > 1 { format!(", begun {} times", copied.tries) } else { String::new() };
        told(&format!(
            "{name}: {} entries, {} KiB, in {:.2} s{again}",
            copied.entries,
            copied.bytes / 1024,
            start.elapsed().as_secs_f64()
        ));
    }
    let mut manifest = describe(owner, making, begun_ms)?;
    for (name, _) in places {
        own(&making.join(name), 0o700)?;
    }
    for file in files_of(making)?.into_keys() {
        own(&making.join(&file), 0o600)?;
        let entry = digest_of(&making.join(&file))?;
        manifest.files.insert(file, entry);
    }
    for (name, _) in places {
        sync_files(&making.join(name))?;
    }
    manifest.ended_ms = Core::wall_ms();
    manifest.write(making)?;
    sync_directory(making)?;
    told(&format!("{} files, {} KiB, hashed and synced", manifest.files.len(), manifest.bytes() / 1024));
    Ok(manifest)
}

fn copier(name: &str) -> Copier {
    match name {
        "ledger" => LedgerStore::copy,
        "consensus" => ConsensusStore::copy,
        _ => Vaults::copy,
    }
}

/// What the copied stores are of, without their files.
fn describe(owner: &Owner, making: &Path, begun_ms: u64) -> Result<Manifest, Refusal> {
    let consensus = ConsensusStore::open_read_only(&making.join("consensus")).map_err(refuse)?;
    let final_height = consensus.final_height().map_err(refuse)?;
    let (epoch, final_digest) = match consensus.final_block(final_height).map_err(refuse)? {
        Some(block) => (block.header.epoch, block.header.digest()),
        None => (Epoch::ZERO, *owner.identity.chain_id.digest()),
    };
    let ledger = LedgerStore::open_read_only(&making.join("ledger")).map_err(refuse)?;
    let snapshot = ledger.snapshot().map_err(refuse)?;
    let ledger_height = snapshot.height();
    let incomplete = || corrupt(format!("the copied ledger has no summary of block {ledger_height}"));
    let summary = snapshot.summary(ledger_height).map_err(refuse)?.ok_or_else(incomplete)?;
    let tip = snapshot.tip().map_err(refuse)?.ok_or_else(incomplete)?;
    // The ledger was copied first and executes what is final: it cannot be ahead, nor on another chain.
    let on_chain = ledger_height == Height::ZERO
        || consensus.final_digest(ledger_height).map_err(refuse)? == Some(tip.digest);
    if !on_chain {
        let detail = format!("block {ledger_height} of the copied ledger is not final in the other copy");
        return Err(corrupt(detail));
    }
    Ok(Manifest {
        format: FORMAT,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        chain_id: owner.identity.chain_id,
        consensus_key: owner.identity.consensus_key,
        validator: owner.validator.clone(),
        begun_ms,
        ended_ms: begun_ms,
        epoch,
        final_height,
        final_digest,
        ledger_height,
        ledger_root: summary.root(),
        files: std::collections::BTreeMap::new(),
    })
}

/// A path without links or turns, also of what is not there yet.
fn real(path: &Path) -> Result<PathBuf, Refusal> {
    let path = std::path::absolute(path).map_err(|error| file_error("resolving", path, error))?;
    let known = path.ancestors().find_map(|part| Some((part, part.canonicalize().ok()?)));
    Ok(known.map_or_else(
        || path.clone(),
        |(part, real)| path.strip_prefix(part).map_or_else(|_| real.clone(), |rest| real.join(rest)),
    ))
}

/// Bytes of the files in a folder; one that is gone meanwhile counts for nothing.
fn size_of(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).filter(fs::Metadata::is_file).map(|file| file.len()).sum()
}

fn own(path: &Path, mode: u32) -> Result<(), Refusal> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(|error| file_error("changing the mode of", path, error))
}

/// Every file of a store is held open while it is copied: more than a process may usually open, and as a rule fewer than
/// it may allow itself. Where that is refused, opening says how many are too many.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

fn corrupt(detail: String) -> Refusal {
    Refusal::new(Code::StorageCorrupt, detail)
}

fn refuse(error: StorageError) -> Refusal {
    error.refusal()
}
