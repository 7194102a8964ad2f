//! The data directory of one node: made once, used by one process at a time.
//!
//! ```text
//! node.json     chain and consensus key this directory belongs to; made by `init`
//! lock          held by the running process
//! high-water    how far the safety record went
//! consensus/    safety record, blocks, certificates, batches: the truth
//! ledger/       what follows from them; may be deleted while the node is stopped
//! snapshots/    the ledger as it was when an epoch began: see [`crate::snapshots`]
//! vault/        encrypted bodies about persons, if this node keeps them
//! restoring/    copies that are to take the place of some of these: see [`crate::restoring`]
//! restored/     the same, complete
//! ```
//!
//! Only the making of a consensus key makes a safety record. Whoever makes one writes a marker `<key>.fresh`
//! beside it, with the public key in its first line; `init` takes the marker away and lays down the record.
//! Initialised without the marker, a directory has no record: the key may have signed before, and the node
//! follows without voting.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use chain_core::code::{Code, Refusal};
use chain_core::crypto::{Digest, PublicKey};
use chain_core::id::{ChainId, Epoch, Height};
use consensus::Write;
use consensus::engine::SafetyAtStart;
use consensus::safety::SafetyRecord;
use fd_lock::{RwLock, RwLockWriteGuard};
use serde::{Deserialize, Serialize};

use crate::restoring;
use crate::storage::StorageError;
use crate::storage::consensus::{ConsensusStore, SyncedWrite};
use crate::storage::high_water::{HighWater, Mark};

/// Version of the directory's layout, and of what its stores hold.
const FORMAT: u32 = 2;
/// The file that says whom a directory belongs to.
pub(crate) const IDENTITY: &str = "node.json";

/// Whom a directory belongs to.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Version of the layout.
    pub format: u32,
    /// The chain.
    pub chain_id: ChainId,
    /// The validator's consensus key.
    pub consensus_key: PublicKey,
}

impl Identity {
    /// The identity of a validator on a chain.
    pub fn new(chain_id: ChainId, consensus_key: PublicKey) -> Self {
        Self { format: FORMAT, chain_id, consensus_key }
    }

    /// Writes the file that says so into a folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write_to(&self, folder: &Path) -> Result<(), Refusal> {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        write_synced(&folder.join(IDENTITY), &text)
    }

    /// The safety record of a key that has signed nothing yet, in a store that has none.
    ///
    /// # Errors
    /// When the store refuses.
    pub(crate) fn lay_down_record(&self, store: &ConsensusStore) -> Result<(), Refusal> {
        let base = (Height::ZERO, *self.chain_id.digest());
        let record = SafetyRecord::fresh(self.chain_id, Epoch::ZERO, self.consensus_key, base);
        let mut write = SyncedWrite::default();
        store.add(&mut write, &Write::Safety(Box::new(record))).map_err(refuse)?;
        store.commit(write).map_err(refuse)
    }
}

/// A data directory.
#[derive(Clone, Debug)]
pub struct DataDir(PathBuf);

/// What `init` did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Initialised {
    /// The key was fresh: the validator may vote.
    Voting,
    /// It was not: the node will follow without voting.
    Following,
}

impl DataDir {
    /// The directory at a path, which need not exist.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The consensus store.
    pub fn consensus(&self) -> PathBuf {
        self.0.join("consensus")
    }

    /// The ledger store.
    pub fn ledger(&self) -> PathBuf {
        self.0.join("ledger")
    }

    /// The vault.
    pub fn vault(&self) -> PathBuf {
        self.0.join("vault")
    }

    /// The file that tells whether the safety record fell back.
    pub(crate) fn high_water(&self) -> PathBuf {
        self.0.join("high-water")
    }

    fn identity_file(&self) -> PathBuf {
        self.0.join(IDENTITY)
    }

    /// Makes the directory itself, if it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn make(&self) -> Result<(), Refusal> {
        make_private(&self.0)
    }

    /// Opens the lock file; [`take`] locks it.
    ///
    /// # Errors
    /// `NOT_INITIALISED` when there is no directory.
    pub fn lock_file(&self) -> Result<RwLock<File>, Refusal> {
        let path = self.0.join("lock");
        let options = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        match options {
            Ok(file) => Ok(RwLock::new(file)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(self.not_initialised()),
            Err(error) => Err(file_error("opening", &path, error)),
        }
    }

    pub(crate) fn not_initialised(&self) -> Refusal {
        Refusal::new(Code::NotInitialised, format!("{}", self.0.display()))
    }

    /// Whom the directory belongs to; none while it is not initialised.
    ///
    /// # Errors
    /// `STORE_FORMAT` where another release wrote it; when the file that says so cannot be read.
    pub fn identity(&self) -> Result<Option<Identity>, Refusal> {
        let path = self.identity_file();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(file_error("reading", &path, error)),
        };
        if let Some(format) = other_format(&text) {
            let detail = format!("{} says format {format}, wants {FORMAT}", path.display());
            return Err(Refusal::new(Code::StoreFormat, detail));
        }
        let corrupt = |error| Refusal::new(Code::StorageCorrupt, format!("{}: {error}", path.display()));
        serde_json::from_str(&text).map(Some).map_err(corrupt)
    }

    /// Checks that the directory was initialised for this validator.
    ///
    /// # Errors
    /// `NOT_INITIALISED`, `STORE_FORMAT`, `GENESIS_MISMATCH`, `CONFIG_INVALID` for another key.
    pub fn check(&self, wanted: &Identity) -> Result<(), Refusal> {
        let found = self.identity()?.ok_or_else(|| self.not_initialised())?;
        if found.chain_id != wanted.chain_id {
            let detail =
                format!("the directory is of chain {}, the genesis of {}", found.chain_id, wanted.chain_id);
            return Err(Refusal::new(Code::GenesisMismatch, detail));
        }
        if found.consensus_key != wanted.consensus_key {
            let detail = format!(
                "the directory belongs to consensus key {}, the key file holds {}",
                found.consensus_key.short(),
                wanted.consensus_key.short()
            );
            return Err(Refusal::new(Code::ConfigInvalid, detail));
        }
        Ok(())
    }

    /// Makes the directory for a validator, once. A fresh key's marker is used up.
    ///
    /// # Errors
    /// `ALREADY_INITIALISED`, `LOCK_HELD`, `KEY_FILE_INVALID` for a marker of another key, or a storage error.
    pub fn init(&self, identity: &Identity, key_file: &Path) -> Result<Initialised, Refusal> {
        self.make()?;
        let mut lock = self.lock_file()?;
        let _held = take(&mut lock, &self.0)?;
        restoring::settle(self)?;
        if self.identity_file().exists() {
            return Err(Refusal::new(Code::AlreadyInitialised, self.0.display().to_string()));
        }
        let fresh = self.take_marker(key_file, &identity.consensus_key)?;
        let store = ConsensusStore::open(&self.consensus()).map_err(refuse)?;
        if store.safety().map_err(refuse)?.is_none() && fresh {
            identity.lay_down_record(&store)?;
        }
        let voting = store.safety().map_err(refuse)?.is_some();
        self.use_up_marker()?;
        identity.write_to(&self.0)?;
        sync_directory(&self.0)?;
        Ok(if voting { Initialised::Voting } else { Initialised::Following })
    }

    /// Moves the marker of a fresh key into the directory, so that no other directory can use it; whether there is one. A
    /// crash after this leaves a directory that `init` completes.
    pub(crate) fn take_marker(&self, key_file: &Path, key: &PublicKey) -> Result<bool, Refusal> {
        let inside = self.marker_inside();
        if inside.exists() {
            return Ok(true);
        }
        let marker = marker_of(key_file);
        let text = match fs::read_to_string(&marker) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(file_error("reading", &marker, error)),
        };
        if text.lines().next() != Some(key.to_string().as_str()) {
            let detail = format!("{} is not the marker of key {}", marker.display(), key.short());
            return Err(Refusal::new(Code::KeyFileInvalid, detail));
        }
        write_synced(&inside, &text)?;
        sync_directory(&self.0)?;
        fs::remove_file(&marker).map_err(|error| file_error("removing", &marker, error))?;
        sync_directory(marker.parent().unwrap_or_else(|| Path::new(".")))?;
        Ok(true)
    }

    /// Removes the marker that [`Self::take_marker`] moved here: the record stands, and there will be no second one.
    pub(crate) fn use_up_marker(&self) -> Result<(), Refusal> {
        remove_file(&self.marker_inside())
    }

    fn marker_inside(&self) -> PathBuf {
        self.0.join("fresh-key")
    }

    /// The safety record as the engine should start from it: present, or lost with the reason.
    ///
    /// # Errors
    /// When the high-water file cannot be read.
    pub fn safety(
        &self,
        store: &ConsensusStore,
        identity: &Identity,
    ) -> Result<(SafetyAtStart, Option<HighWater>), Refusal> {
        let lost = |detail: &str| SafetyAtStart::Lost(Refusal::new(Code::SafetyLost, detail));
        let (file, remembered) = HighWater::open(&self.high_water()).map_err(refuse)?;
        let record = match store.safety() {
            Ok(Some(record)) => record,
            Ok(None) => return Ok((lost("the consensus store holds no safety record"), None)),
            Err(error) => return Ok((lost(&error.to_string()), None)),
        };
        if record.chain_id != identity.chain_id || record.key != identity.consensus_key {
            return Ok((lost("the safety record is of another chain or key"), None));
        }
        if remembered.is_some_and(|mark| Mark::of(&record).fell_behind(&mark)) {
            return Ok((lost("the safety record is older than what this validator signed"), None));
        }
        Ok((SafetyAtStart::Present(Box::new(record)), Some(file)))
    }

    /// Keeps the proof that more than f validators misbehaved.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep_fork_proof(&self, proof: &str) -> Result<PathBuf, Refusal> {
        let name = Digest::tagged(b"fork", &[proof.as_bytes()]).to_string();
        let path = self.0.join(format!("fork-{}.json", &name[..16]));
        write_synced(&path, proof)?;
        Ok(path)
    }
}

/// The format that the file of an identity names, where it is another one: the rest of it may then say anything.
fn other_format(text: &str) -> Option<u64> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    value.get("format")?.as_u64().filter(|format| *format != u64::from(FORMAT))
}

/// The marker that the making of a key leaves beside it.
pub fn marker_of(key_file: &Path) -> PathBuf {
    let mut name = key_file.as_os_str().to_owned();
    name.push(".fresh");
    PathBuf::from(name)
}

/// Takes the lock or says who is in the way.
///
/// # Errors
/// `LOCK_HELD`.
pub fn take<'l>(lock: &'l mut RwLock<File>, path: &Path) -> Result<RwLockWriteGuard<'l, File>, Refusal> {
    lock.try_write().map_err(|_| Refusal::new(Code::LockHeld, path.display().to_string()))
}

/// Writes a small file that must be on disk when this returns.
pub(crate) fn write_synced(path: &Path, text: &str) -> Result<(), Refusal> {
    use std::io::Write as _;
    let written = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(|error| file_error("writing", path, error))
}

/// Makes the names in a folder durable.
pub(crate) fn sync_directory(path: &Path) -> Result<(), Refusal> {
    let synced = File::open(path).and_then(|directory| directory.sync_all());
    synced.map_err(|error| file_error("syncing", path, error))
}

/// Makes the files in a folder durable, and their names.
pub(crate) fn sync_files(folder: &Path) -> Result<(), Refusal> {
    for entry in fs::read_dir(folder).map_err(|error| file_error("reading", folder, error))? {
        let path = entry.map_err(|error| file_error("reading", folder, error))?.path();
        let synced = File::open(&path).and_then(|file| file.sync_all());
        synced.map_err(|error| file_error("syncing", &path, error))?;
    }
    sync_directory(folder)
}

/// Makes a folder that is its owner's alone, if it is not there.
pub(crate) fn make_private(path: &Path) -> Result<(), Refusal> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| file_error("making", path, error))
}

/// The names in a folder; none where there is no folder.
pub(crate) fn names_in(folder: &Path) -> Result<Vec<String>, Refusal> {
    let failed = |error| file_error("reading", folder, error);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let name = |entry: std::io::Result<fs::DirEntry>| {
        Ok(entry.map_err(failed)?.file_name().to_string_lossy().into_owned())
    };
    entries.map(name).collect()
}

/// Removes a folder with everything in it, if it is there.
pub(crate) fn remove_folder(path: &Path) -> Result<(), Refusal> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(file_error("removing", path, error))
        }
        _ => Ok(()),
    }
}

/// Removes a file, if it is there.
pub(crate) fn remove_file(path: &Path) -> Result<(), Refusal> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(file_error("removing", path, error))
        }
        _ => Ok(()),
    }
}

/// Gives a file or a folder another name; durable once the folder it is in is.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), Refusal> {
    fs::rename(from, to).map_err(|error| file_error("renaming", from, error))
}

pub(crate) fn file_error(what: &'static str, path: &Path, source: std::io::Error) -> Refusal {
    StorageError::File { what, path: path.to_owned(), source }.refusal()
}

fn refuse(error: StorageError) -> Refusal {
    error.refusal()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chain_core::certificate::Rank;
    use chain_core::crypto::SecretKey;
    use chain_core::id::View;
    use consensus::safety::Slot;

    struct Place {
        dir: tempfile::TempDir,
        identity: Identity,
    }

    impl Place {
        fn new() -> Self {
            let chain_id = ChainId::new(Digest::tagged(b"chain", &[]));
            let key = SecretKey::from_seed([3; 32]).public();
            Self { dir: tempfile::tempdir().unwrap(), identity: Identity::new(chain_id, key) }
        }

        fn key_file(&self) -> PathBuf {
            self.dir.path().join("consensus.pem")
        }

        fn mark_fresh(&self) {
            fs::write(marker_of(&self.key_file()), format!("{}\n", self.identity.consensus_key)).unwrap();
        }

        fn data(&self, name: &str) -> DataDir {
            DataDir::at(&self.dir.path().join(name))
        }

        fn safety(&self, data: &DataDir) -> SafetyAtStart {
            let store = ConsensusStore::open(&data.consensus()).unwrap();
            data.safety(&store, &self.identity).unwrap().0
        }
    }

    fn lost_for(safety: &SafetyAtStart, why: &str) -> bool {
        matches!(safety, SafetyAtStart::Lost(refusal) if refusal.code == Code::SafetyLost && refusal.detail.contains(why))
    }

    #[test]
    fn b14_a_fresh_key_votes_from_one_directory_only() {
        let place = Place::new();
        place.mark_fresh();
        let first = place.data("first");
        assert_eq!(first.init(&place.identity, &place.key_file()), Ok(Initialised::Voting));
        assert!(!marker_of(&place.key_file()).exists());
        assert!(matches!(place.safety(&first), SafetyAtStart::Present(_)));
        let again = first.init(&place.identity, &place.key_file()).unwrap_err();
        assert_eq!(again.code, Code::AlreadyInitialised);
        let second = place.data("second");
        assert_eq!(second.init(&place.identity, &place.key_file()), Ok(Initialised::Following));
        assert!(lost_for(&place.safety(&second), "no safety record"));
        second.check(&place.identity).unwrap();
    }

    #[test]
    fn an_interrupted_init_is_completed() {
        let place = Place::new();
        place.mark_fresh();
        let data = place.data("data");
        fs::create_dir(data.path()).unwrap();
        let marker = data.take_marker(&place.key_file(), &place.identity.consensus_key).unwrap();
        assert!(marker && !marker_of(&place.key_file()).exists());
        assert_eq!(data.check(&place.identity).unwrap_err().code, Code::NotInitialised);
        assert_eq!(data.init(&place.identity, &place.key_file()), Ok(Initialised::Voting));
    }

    #[test]
    fn the_marker_of_another_key_is_refused() {
        let place = Place::new();
        fs::write(marker_of(&place.key_file()), "this key has signed nothing yet\n").unwrap();
        let refusal = place.data("data").init(&place.identity, &place.key_file()).unwrap_err();
        assert_eq!(refusal.code, Code::KeyFileInvalid);
    }

    #[test]
    fn another_chain_or_key_or_process_is_refused() {
        let place = Place::new();
        let data = place.data("data");
        assert_eq!(data.check(&place.identity).unwrap_err().code, Code::NotInitialised);
        assert_eq!(data.lock_file().unwrap_err().code, Code::NotInitialised);
        data.init(&place.identity, &place.key_file()).unwrap();
        let chain_id = ChainId::new(Digest::tagged(b"other", &[]));
        let other = Identity::new(chain_id, place.identity.consensus_key);
        assert_eq!(data.check(&other).unwrap_err().code, Code::GenesisMismatch);
        let key = SecretKey::from_seed([4; 32]).public();
        let other = Identity::new(place.identity.chain_id, key);
        assert_eq!(data.check(&other).unwrap_err().code, Code::ConfigInvalid);
        let (mut one, mut two) = (data.lock_file().unwrap(), data.lock_file().unwrap());
        let held = take(&mut one, data.path()).unwrap();
        assert_eq!(take(&mut two, data.path()).unwrap_err().code, Code::LockHeld);
        drop(held);
        drop(take(&mut two, data.path()).unwrap());
    }

    #[test]
    fn a_directory_of_another_format_is_refused_and_left_as_it_is() {
        let place = Place::new();
        place.mark_fresh();
        let data = place.data("data");
        data.init(&place.identity, &place.key_file()).unwrap();
        for format in [0, FORMAT + 1] {
            let other = Identity { format, ..place.identity.clone() };
            other.write_to(data.path()).unwrap();
            let before = fs::read(data.path().join(IDENTITY)).unwrap();
            let refusal = data.check(&place.identity).unwrap_err();
            assert_eq!(refusal.code, Code::StoreFormat, "{refusal}");
            let words = format!("says format {format}, wants {FORMAT}");
            assert!(refusal.detail.contains(&words), "{refusal}");
            assert!(refusal.code.hint().contains("the release that wrote it"), "the way forward");
            let again = data.init(&place.identity, &place.key_file()).unwrap_err();
            assert_eq!(again.code, Code::AlreadyInitialised);
            assert_eq!(fs::read(data.path().join(IDENTITY)).unwrap(), before);
        }
        let flawed = format!(r#"{{"format": {FORMAT}, "chains": ["one", "two"]}}"#);
        for (text, code) in [
            (r#"{"format": 7, "chains": ["one", "two"]}"#, Code::StoreFormat),
            (flawed.as_str(), Code::StorageCorrupt),
            ("{", Code::StorageCorrupt),
        ] {
            fs::write(data.path().join(IDENTITY), text).unwrap();
            assert_eq!(data.check(&place.identity).unwrap_err().code, code, "{text}");
        }
        place.identity.write_to(data.path()).unwrap();
        data.check(&place.identity).unwrap();
    }

    #[test]
    fn b11_a_store_that_fell_back_is_noticed() {
        let place = Place::new();
        place.mark_fresh();
        let data = place.data("data");
        data.init(&place.identity, &place.key_file()).unwrap();
        let store = ConsensusStore::open(&data.consensus()).unwrap();
        let (present, file) = data.safety(&store, &place.identity).unwrap();
        let SafetyAtStart::Present(record) = present else { panic!("{present:?}") };
        // The validator signed height 7; then the store comes back from a backup.
        let rank = Rank { view: View::ZERO, height: Height::new(7) };
        let signed = SafetyRecord { last_prepare: Some(Slot { rank, digest: Digest::ZERO }), ..*record };
        file.unwrap().raise(Mark::of(&signed)).unwrap();
        drop(store);
        assert!(lost_for(&place.safety(&data), "older than what this validator signed"));
    }
}
