//! Bodies about persons (classes P3 and P4): encrypted, at the agency's own node, nowhere else.
//!
//! Each body has a data key of its own, wrapped by the agency's vault key; destroying the entry, which holds the wrapped
//! key, destroys the body here, and a [backup](crate::backup) from before still has it. Entries are filed under the
//! commitment that the ledger holds, which is also the associated data of both encryptions: an entry moved to another
//! place does not open.
//!
//! Who reads bodies is written down here too ([`log`]).

mod log;

use std::path::Path;
use std::sync::Mutex;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use chain_core::code::{Code, Refusal};
use chain_core::crypto::Digest;
use chain_core::transaction::Body;
use rocksdb::{DB, IteratorMode, Options};
use serde::{Deserialize, Serialize};

use crate::storage::live::{Copied, Source, copy};
use crate::storage::{Budget, Family, Recovery, StorageError, healthy, rewriting, synced};

/// Bytes of a vault key file: 64 hexadecimal digits and a line break.
const KEY_TEXT_MAX: usize = 80;
/// The one family of the store, as a copy of it is laid out.
const FAMILIES: &[Family] = &[Family::ordered("default")];
const BUDGET: Budget = Budget {
    write_buffer: WRITE_BUFFER,
    write_buffers: 2 * WRITE_BUFFER,
    recovery: Recovery::Log(2 * WRITE_BUFFER as u64),
    cache: 1024 * 1024,
    files: FILES,
};
const WRITE_BUFFER: usize = 4 * 1024 * 1024;
const FILES: i32 = 64;

/// The vault of one agency.
pub struct Vault {
    agency: String,
    key: XChaCha20Poly1305,
    db: DB,
    log: Mutex<log::End>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({})", self.agency)
    }
}

/// One entry: a wrapped data key and the body under it.
#[derive(Deserialize, Serialize)]
struct Entry {
    key_nonce: [u8; 24],
    wrapped_key: Vec<u8>,
    nonce: [u8; 24],
    sealed: Vec<u8>,
}

impl chain_core::codec::Wire for Entry {
    const LIMIT: usize = 1024 * 1024;
}

#[derive(Deserialize, Serialize)]
struct Plain(Body);

impl chain_core::codec::Wire for Plain {
    const LIMIT: usize = 768 * 1024;
}

impl Vault {
    /// Opens the vault of an agency, creating its directory. The key file holds 64 hexadecimal digits and is
    /// readable by its owner only.
    ///
    /// # Errors
    /// `KEY_FILE_INVALID`, `KEY_FILE_PERMISSIONS`, or a storage error.
    pub fn open(directory: &Path, key_file: &Path, agency: &str) -> Result<Self, Refusal> {
        let key = read_key(key_file)?;
        let db = DB::open(&options(), directory)
            .map_err(StorageError::failed("opening the vault"))
            .map_err(|error| error.refusal())?;
        let log = Mutex::new(log::End::read(&db, &key)?);
        Ok(Self { agency: agency.to_owned(), key, db, log })
    }

    /// The agency whose bodies are kept here, in text form.
    pub fn agency(&self) -> &str {
        &self.agency
    }

    /// Keeps a body, durably: its salt exists nowhere else.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, commit: &Digest, body: &Body) -> Result<(), Refusal> {
        let data_key: [u8; 32] = random()?;
        let (key_nonce, nonce) = (random()?, random()?);
        let plain = encode(&Plain(body.clone()))?;
        let entry = Entry {
            key_nonce,
            wrapped_key: seal(&self.key, &key_nonce, &data_key, commit.as_bytes())?,
            nonce,
            sealed: seal(&XChaCha20Poly1305::new(&Key::from(data_key)), &nonce, &plain, commit.as_bytes())?,
        };
        self.db
            .put_opt(commit.as_bytes(), encode(&entry)?, &synced())
            .map_err(StorageError::failed("writing to the vault"))
            .map_err(|error| error.refusal())
    }

    /// Destroys bodies with their keys; gives how many were kept here.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn destroy(&self, commits: &[Digest]) -> Result<u32, Refusal> {
        let failed = |error: StorageError| error.refusal();
        let mut count = 0;
        for commit in commits {
            let key = commit.as_bytes();
            let kept = self.db.get_pinned(key).map_err(StorageError::failed("reading the vault"));
            if kept.map_err(failed)?.is_some() {
                let gone = self.db.delete_opt(key, &synced());
                gone.map_err(StorageError::failed("deleting from the vault")).map_err(failed)?;
                count += 1;
            }
        }
        if count > 0 {
            self.db.flush().map_err(StorageError::failed("flushing the vault")).map_err(failed)?;
            self.db.compact_range_opt(None::<&[u8]>, None::<&[u8]>, &rewriting());
            healthy(&self.db, "vault").map_err(failed)?;
        }
        Ok(count)
    }

    /// Copies the vault of a node, which may run: entries as they are, each sealed.
    ///
    /// # Errors
    /// As [`copy`].
    pub(crate) fn copy(path: &Path, to: &Path, scratch: &Path) -> Result<Copied, StorageError> {
        let source =
            Source { name: "vault", path, scratch, families: FAMILIES, without: &[], budget: BUDGET };
        copy(&source, to)
    }

    /// Adds the entries of one vault to another, neither of them open, and gives how many there are. Bodies that were filed
    /// after a backup stand nowhere but in the vault that it is to replace.
    ///
    /// # Errors
    /// When one cannot be read to its end, or the other not be written.
    pub(crate) fn add_all(from: &Path, to: &Path) -> Result<u64, StorageError> {
        let there = crate::storage::open_read_only(from, FAMILIES, BUDGET)?;
        let db = DB::open(&options(), to).map_err(StorageError::failed("opening the vault"))?;
        let mut added = 0;
        for entry in there.iterator(IteratorMode::Start) {
            let (key, value) = entry.map_err(StorageError::failed("reading the vault"))?;
            db.put(key, value).map_err(StorageError::failed("writing to the vault"))?;
            added += 1;
        }
        db.flush().map_err(StorageError::failed("flushing the vault"))?;
        Ok(added)
    }

    /// A body, if it is kept here.
    ///
    /// # Errors
    /// `STORAGE_CORRUPT` when the entry does not open with the vault's key.
    pub fn get(&self, commit: &Digest) -> Result<Option<Body>, Refusal> {
        let bytes = self
            .db
            .get(commit.as_bytes())
            .map_err(StorageError::failed("reading the vault"))
            .map_err(|error| error.refusal())?;
        bytes.map(|bytes| body_of(&self.key, commit, &bytes)).transpose()
    }

    /// Reads every entry of a vault that nobody has open, and changes nothing. With the key each must open at its place and
    /// hold the body that its commitment names.
    ///
    /// # Errors
    /// `KEY_FILE_INVALID` or `KEY_FILE_PERMISSIONS`. What is wrong with the vault is in what it gives.
    pub(crate) fn examine(path: &Path, key_file: Option<&Path>) -> Result<Examined, Refusal> {
        let key = key_file.map(read_key).transpose()?;
        let mut examined = Examined { entries: 0, opened: key.is_some(), flaws: Vec::new() };
        let db = match crate::storage::open_read_only(path, FAMILIES, BUDGET) {
            Ok(db) => db,
            Err(error) => {
                examined.flaws.push(error.refusal());
                return Ok(examined);
            }
        };
        for entry in db.iterator(IteratorMode::Start) {
            let read = entry.map_err(StorageError::failed("reading the vault"));
            let judged = read.map_err(|error| error.refusal()).and_then(|(commit, bytes)| {
                examined.entries += 1;
                judge(key.as_ref(), &commit, &bytes)
            });
            if let Err(refusal) = judged {
                examined.flaws.push(refusal);
                if examined.flaws.len() == crate::fsck::FINDINGS_MAX {
                    break;
                }
            }
        }
        Ok(examined)
    }
}

/// What a vault holds.
#[derive(Debug)]
pub struct Examined {
    /// Entries read.
    pub entries: u64,
    /// Whether each was opened, too: that takes the vault's key.
    pub opened: bool,
    /// What is wrong.
    pub(crate) flaws: Vec<Refusal>,
}

/// Judges an entry by its form, and with the key by what it holds.
fn judge(key: Option<&XChaCha20Poly1305>, commit: &[u8], bytes: &[u8]) -> Result<(), Refusal> {
    if let Some(place) = log::Place::parse(commit) {
        return log::judge(key, place, bytes);
    }
    let commit = <[u8; 32]>::try_from(commit).map(Digest::new);
    let commit = commit.map_err(|_| corrupt("an entry stands under something else than a commitment"))?;
    let Some(key) = key else {
        return decode::<Entry>(bytes).map(|_| ());
    };
    let named = |refusal: Refusal| Refusal::new(refusal.code, format!("{}, entry {commit}", refusal.detail));
    let body = body_of(key, &commit, bytes).map_err(named)?;
    if body.commitment() != commit {
        return Err(corrupt(&format!("entry {commit} holds the body of {}", body.commitment())));
    }
    Ok(())
}

/// The body in an entry.
fn body_of(key: &XChaCha20Poly1305, commit: &Digest, bytes: &[u8]) -> Result<Body, Refusal> {
    let entry: Entry = decode(bytes)?;
    let data_key: [u8; 32] = open(key, &entry.key_nonce, &entry.wrapped_key, commit.as_bytes())?
        .try_into()
        .map_err(|_| corrupt("a data key has another length"))?;
    let data_key = XChaCha20Poly1305::new(&Key::from(data_key));
    let plain: Plain = decode(&open(&data_key, &entry.nonce, &entry.sealed, commit.as_bytes())?)?;
    Ok(plain.0)
}

fn read_key(file: &Path) -> Result<XChaCha20Poly1305, Refusal> {
    let text = crate::keys::read_secret(file, KEY_TEXT_MAX)?;
    let key: Digest = text.trim().parse().map_err(|_| {
        Refusal::new(Code::KeyFileInvalid, format!("{}: wants 64 hexadecimal digits", file.display()))
    })?;
    Ok(XChaCha20Poly1305::new(&Key::from(*key.as_bytes())))
}

fn options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_max_open_files(FILES);
    options.set_keep_log_file_num(2);
    options.set_write_buffer_size(WRITE_BUFFER);
    options
}

fn corrupt(detail: &str) -> Refusal {
    Refusal::new(Code::StorageCorrupt, format!("vault: {detail}"))
}

fn encode<T: chain_core::codec::Wire>(value: &T) -> Result<Vec<u8>, Refusal> {
    chain_core::codec::encode(value).map_err(|error| Refusal::new(Code::SizeLimit, format!("vault: {error}")))
}

fn decode<T: chain_core::codec::Wire>(bytes: &[u8]) -> Result<T, Refusal> {
    chain_core::codec::decode_trusted(bytes).map_err(|error| corrupt(&error.to_string()))
}

fn random<const N: usize>() -> Result<[u8; N], Refusal> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Refusal::new(Code::Internal, format!("no randomness: {error}")))?;
    Ok(bytes)
}

fn seal(key: &XChaCha20Poly1305, nonce: &[u8; 24], plain: &[u8], place: &[u8]) -> Result<Vec<u8>, Refusal> {
    let payload = Payload { msg: plain, aad: place };
    key.encrypt(&XNonce::from(*nonce), payload)
        .map_err(|_| Refusal::new(Code::Internal, "vault: sealing failed"))
}

fn open(key: &XChaCha20Poly1305, nonce: &[u8; 24], sealed: &[u8], place: &[u8]) -> Result<Vec<u8>, Refusal> {
    let payload = Payload { msg: sealed, aad: place };
    key.decrypt(&XNonce::from(*nonce), payload)
        .map_err(|_| corrupt("an entry does not open: other key, other place, or damaged"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn key_file(directory: &Path, digit: char) -> std::path::PathBuf {
        let path = directory.join(format!("vault-{digit}.key"));
        std::fs::write(&path, digit.to_string().repeat(64)).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    #[test]
    fn a_body_opens_with_its_key_at_its_place_only() {
        let dir = tempfile::tempdir().unwrap();
        let body = Body { salt: Digest::tagged(b"salt", &[]), json: "{\"name\":\"x\"}".into() };
        let commit = body.commitment();
        let path = dir.path().join("vault");
        let vault = Vault::open(&path, &key_file(dir.path(), 'a'), "uscc:1").unwrap();
        vault.put(&commit, &body).unwrap();
        assert_eq!(vault.get(&commit).unwrap(), Some(body));
        let elsewhere = Digest::tagged(b"elsewhere", &[]);
        assert_eq!(vault.get(&elsewhere).unwrap(), None);
        let bytes = vault.db.get(commit.as_bytes()).unwrap().unwrap();
        assert!(!bytes.windows(4).any(|window| window == b"name"));
        vault.db.put(elsewhere.as_bytes(), &bytes).unwrap();
        assert_eq!(vault.get(&elsewhere).unwrap_err().code, Code::StorageCorrupt);
        drop(vault);
        let other = Vault::open(&path, &key_file(dir.path(), 'b'), "uscc:1").unwrap();
        assert_eq!(other.get(&commit).unwrap_err().code, Code::StorageCorrupt);
    }

    #[test]
    fn everything_in_a_vault_is_read_and_with_its_key_opened() {
        let dir = tempfile::tempdir().unwrap();
        let (path, key) = (dir.path().join("vault"), key_file(dir.path(), 'a'));
        let body = |name: &str| Body {
            salt: Digest::tagged(b"salt", &[name.as_bytes()]),
            json: format!("{{\"name\":\"{name}\"}}"),
        };
        let commits = ["x", "y", "z"].map(|name| body(name).commitment());
        let vault = Vault::open(&path, &key, "uscc:1").unwrap();
        for (name, commit) in ["x", "y"].iter().zip(&commits) {
            vault.put(commit, &body(name)).unwrap();
        }
        drop(vault);
        let examined = |key: Option<&Path>| {
            let examined = Vault::examine(&path, key).unwrap();
            let flaws: Vec<String> = examined.flaws.into_iter().map(|flaw| flaw.detail).collect();
            (examined.entries, examined.opened, flaws)
        };
        assert_eq!(examined(None), (2, false, Vec::new()));
        assert_eq!(examined(Some(&key)), (2, true, Vec::new()));
        // Under another key nothing opens.
        assert_eq!(examined(Some(&key_file(dir.path(), 'b'))).2.len(), 2);
        // Sealed for its place, and another body: whoever has the key could write that.
        let vault = Vault::open(&path, &key, "uscc:1").unwrap();
        vault.put(&commits[2], &body("w")).unwrap();
        drop(vault);
        assert_eq!(examined(None), (3, false, Vec::new()));
        let wanted = format!("vault: entry {} holds the body of {}", commits[2], body("w").commitment());
        assert_eq!(examined(Some(&key)), (3, true, vec![wanted]));
        // One that was cut off, and one that stands under no commitment.
        let db = DB::open(&options(), &path).unwrap();
        db.put(commits[2].as_bytes(), b"cut").unwrap();
        db.put(b"short", b"cut").unwrap();
        drop(db);
        assert_eq!(examined(None).2.len(), 2);
        assert_eq!(examined(Some(&key)).2.len(), 2);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let key = key_file(dir.path(), 'a');
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        let refusal = Vault::open(&dir.path().join("vault"), &key, "uscc:1").unwrap_err();
        assert_eq!(refusal.code, Code::KeyFilePermissions);
    }
}
