//! Bodies about persons (classes P3 and P4): encrypted, at the agency's own node, nowhere else.
//!
//! An agency that runs no validator is the guest of one that does: its vault stands in the same store, under keys that begin
//! with the agency, sealed with a key of its own (ADR 0025).
//!
//! Each body has a data key of its own, wrapped by the agency's vault key. Both are filed under the commitment that the
//! ledger holds, the sealed body in one family and the wrapped key in another, of which [backups](crate::backup) have no
//! copy ([`keys`], ADR 0027). Where they stand is also the associated data of both encryptions: what was moved to another
//! place does not open.
//!
//! Who reads bodies is written down here too ([`log`]).

pub(crate) mod keys;
mod log;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use chain_core::code::{Code, Refusal};
use chain_core::crypto::Digest;
use chain_core::record::RecordType;
use chain_core::transaction::Body;
use rocksdb::{DB, IteratorMode, WriteBatch};
use serde::{Deserialize, Serialize};

use crate::storage::live::{Copied, Source, copy};
use crate::storage::{Budget, Family, Recovery, StorageError, family, synced};

/// Bytes of a vault key file: 64 hexadecimal digits and a line break.
const KEY_TEXT_MAX: usize = 80;
/// Sealed bodies, and the logs of who read them.
const BODIES: &str = "default";
/// Wrapped data keys of bodies.
const KEYS: &str = "keys";
const FAMILIES: &[Family] = &[Family::ordered(BODIES), Family::ordered(KEYS)];
const BUDGET: Budget = Budget {
    write_buffer: WRITE_BUFFER,
    write_buffers: 2 * WRITE_BUFFER,
    recovery: Recovery::Log(2 * WRITE_BUFFER as u64),
    cache: 1024 * 1024,
    files: FILES,
};
const WRITE_BUFFER: usize = 4 * 1024 * 1024;
const FILES: i32 = 64;

/// What the keys of a guest's entries begin with.
const GUEST: &[u8; 4] = b"\x00gst";

/// Whose vault, and the file with its key.
#[derive(Clone, Debug)]
pub struct Holder {
    /// The agency, in text form.
    pub agency: String,
    /// 64 hexadecimal digits, readable by its owner only.
    pub key_file: PathBuf,
}

/// An agency whose officers may read what is restricted to named agencies (class P2).
#[derive(Clone, Debug)]
pub struct NamedReader {
    /// The agency, in text form.
    pub agency: String,
    /// Whose records.
    pub of: String,
    /// Of which types.
    pub types: Vec<RecordType>,
}

/// The vaults of a node: that of the agency that runs it, and those of its guests.
#[derive(Debug)]
pub struct Vaults {
    db: Arc<DB>,
    /// The own one first.
    vaults: Vec<Vault>,
    readers: Vec<NamedReader>,
    /// Whether something was destroyed since the store was opened.
    scrubbed: AtomicBool,
}

/// The vault of one agency.
pub struct Vault {
    agency: String,
    /// What the keys of all its entries begin with.
    space: Vec<u8>,
    key: XChaCha20Poly1305,
    db: Arc<DB>,
    log: Mutex<log::End>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({})", self.agency)
    }
}

/// What was encrypted: a body, the data key of one, an entry of a log.
#[derive(Deserialize, Serialize)]
struct Sealed {
    nonce: [u8; 24],
    sealed: Vec<u8>,
}

impl chain_core::codec::Wire for Sealed {
    const LIMIT: usize = 1024 * 1024;
}

#[derive(Deserialize, Serialize)]
struct Plain(Body);

impl chain_core::codec::Wire for Plain {
    const LIMIT: usize = 768 * 1024;
}

impl Vaults {
    /// Opens the vaults of a node, creating their directory.
    ///
    /// # Errors
    /// `KEY_FILE_INVALID`, `KEY_FILE_PERMISSIONS`; `CONFIG_INVALID` when an agency has two; a storage error, also when the
    /// log of one does not open with its key.
    pub fn open(directory: &Path, own: &Holder, guests: &[Holder]) -> Result<Self, Refusal> {
        let spaces = guests.iter().map(|guest| (guest, space_of(&guest.agency)));
        let spaces: Vec<(&Holder, Vec<u8>)> = std::iter::once((own, Vec::new())).chain(spaces).collect();
        for (at, (holder, _)) in spaces.iter().enumerate() {
            if spaces.iter().take(at).any(|(other, _)| other.agency == holder.agency) {
                let detail = format!("`vault` names {} twice", holder.agency);
                return Err(Refusal::new(Code::ConfigInvalid, detail));
            }
        }
        let keys = spaces.iter().map(|(holder, _)| read_key(&holder.key_file));
        let keys: Vec<XChaCha20Poly1305> = keys.collect::<Result<_, _>>()?;
        let db = crate::storage::open(directory, FAMILIES, BUDGET).map_err(|error| error.refusal())?;
        let db = Arc::new(db);
        let vaults = spaces.into_iter().zip(keys).map(|((holder, space), key)| {
            let log = Mutex::new(log::End::read(&db, &key, &space)?);
            Ok(Vault { agency: holder.agency.clone(), space, key, db: db.clone(), log })
        });
        let vaults = vaults.collect::<Result<_, Refusal>>()?;
        Ok(Self { vaults, db: db.clone(), readers: Vec::new(), scrubbed: AtomicBool::new(false) })
    }

    /// The same, with agencies that may read bodies of class P2 in them.
    ///
    /// # Errors
    /// `CONFIG_INVALID` when one of them reads in a vault that is not kept here, or no type.
    pub fn with_readers(self, readers: Vec<NamedReader>) -> Result<Self, Refusal> {
        for NamedReader { agency, of, types } in &readers {
            let wrong = |what: &str| {
                let detail = format!("`vault.readers` lets {agency} read {what}");
                Err(Refusal::new(Code::ConfigInvalid, detail))
            };
            if self.of(of).is_none() {
                return wrong(&format!("records of {of}, whose vault is not here"));
            }
            if types.is_empty() {
                return wrong("no type");
            }
        }
        Ok(Self { readers, ..self })
    }

    /// The vault of an agency in text form, where another is named as a reader of its records of a type.
    pub fn read_by(&self, reader: &str, of: &str, record_type: RecordType) -> Option<&Vault> {
        let mut readers = self.readers.iter();
        readers
            .any(|one| one.agency == reader && one.of == of && one.types.contains(&record_type))
            .then(|| self.of(of))
            .flatten()
    }

    /// The key of a body of the node's own agency, as it is stored.
    #[cfg(test)]
    pub(crate) fn sealed_key(&self, commit: &Digest) -> Vec<u8> {
        self.db.get_cf(family(&self.db, KEYS), commit.as_bytes()).unwrap().unwrap()
    }

    /// The vault of an agency in text form, if it is kept here.
    pub fn of(&self, agency: &str) -> Option<&Vault> {
        self.vaults.iter().find(|vault| vault.agency == agency)
    }

    /// The agencies whose vaults are kept here, that of the node first.
    pub fn agencies(&self) -> impl Iterator<Item = &str> {
        self.vaults.iter().map(|vault| vault.agency.as_str())
    }

    /// Where the bodies of commitments, and their keys, may stand: in each of the vaults.
    pub(crate) fn places(&self, commits: &[Digest]) -> Vec<Vec<u8>> {
        let of = |commit| self.vaults.iter().map(move |vault| vault.place(commit));
        commits.iter().flat_map(of).collect()
    }

    /// Destroys bodies with their keys, in whichever vaults they are; gives how many were kept here.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn destroy(&self, commits: &[Digest]) -> Result<u32, Refusal> {
        if commits.is_empty() {
            return Ok(0);
        }
        // A crash may have come between the deletion and the rewriting of files.
        let rewrite = !self.scrubbed.load(Ordering::Relaxed);
        let count = keys::destroy_in(&self.db, &self.places(commits), rewrite);
        self.scrubbed.store(count.is_ok(), Ordering::Relaxed);
        count.map_err(|error| error.refusal())
    }

    /// Copies the vaults of a node, which may run: bodies and logs as they are, each sealed, and no key.
    ///
    /// # Errors
    /// As [`copy`].
    pub(crate) fn copy(path: &Path, to: &Path, scratch: &Path) -> Result<Copied, StorageError> {
        let source =
            Source { name: "vault", path, scratch, families: FAMILIES, without: &[KEYS], budget: BUDGET };
        copy(&source, to)
    }

    /// Adds what one store holds, keys and all, to another, neither of them open, and gives how many bodies and entries of
    /// logs there are. Those that were filed after a backup stand nowhere but in the vaults that it is to replace.
    ///
    /// # Errors
    /// When one cannot be read to its end, or the other not be written.
    pub(crate) fn add_all(from: &Path, to: &Path) -> Result<u64, StorageError> {
        let there = crate::storage::open_read_only(from, FAMILIES, BUDGET)?;
        let db = crate::storage::open(to, FAMILIES, BUDGET)?;
        let mut added = 0;
        for Family { name, .. } in FAMILIES {
            for entry in there.iterator_cf(family(&there, name), IteratorMode::Start) {
                let (key, value) = entry.map_err(StorageError::failed("reading the vault"))?;
                let put = db.put_cf(family(&db, name), key, value);
                put.map_err(StorageError::failed("writing to the vault"))?;
                added += u64::from(*name == BODIES);
            }
            db.flush_cf(family(&db, name)).map_err(StorageError::failed("flushing the vault"))?;
        }
        Ok(added)
    }

    /// Reads every entry of vaults that nobody has open, and changes nothing. A body must have a data key, and a data key a
    /// body. With keys of vaults each must open with one of them at its place, and hold the body that its commitment names.
    ///
    /// # Errors
    /// `KEY_FILE_INVALID` or `KEY_FILE_PERMISSIONS`. What is wrong with the vaults is in what it gives.
    pub(crate) fn examine(path: &Path, key_files: &[PathBuf]) -> Result<Examined, Refusal> {
        let keys = key_files.iter().map(|file| read_key(file));
        let keys: Vec<XChaCha20Poly1305> = keys.collect::<Result<_, _>>()?;
        let mut examined = Examined { entries: 0, opened: !keys.is_empty(), flaws: Vec::new() };
        let db = match crate::storage::open_read_only(path, FAMILIES, BUDGET) {
            Ok(db) => db,
            Err(error) => {
                examined.flaws.push(error.refusal());
                return Ok(examined);
            }
        };
        let bodies = db.iterator(IteratorMode::Start).map(|entry| {
            let (place, bytes) = entry.map_err(read_failed)?;
            examined.entries += 1;
            judge(&db, &keys, &place, &bytes)
        });
        let keyed = db.iterator_cf(family(&db, KEYS), IteratorMode::Start).map(|entry| {
            let (place, _) = entry.map_err(read_failed)?;
            let body = db.get_pinned(&place).map_err(read_failed)?;
            let commit = commit_of(split_space(&place).1)?;
            body.map(drop).ok_or_else(|| corrupt(&format!("the key of {commit} opens no body")))
        });
        let flaws = bodies.chain(keyed).filter_map(Result::err);
        examined.flaws = flaws.take(crate::fsck::FINDINGS_MAX).collect();
        Ok(examined)
    }
}

impl Vault {
    /// The agency whose bodies are kept here, in text form.
    pub fn agency(&self) -> &str {
        &self.agency
    }

    /// Keeps a body, durably: its salt exists nowhere else.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, commit: &Digest, body: &Body) -> Result<(), Refusal> {
        let place = self.place(commit);
        let data_key: [u8; 32] = random()?;
        let (key_nonce, nonce) = (random()?, random()?);
        let plain = encode(&Plain(body.clone()))?;
        let wrapped = Sealed { nonce: key_nonce, sealed: seal(&self.key, &key_nonce, &data_key, &place)? };
        let data_key = XChaCha20Poly1305::new(&Key::from(data_key));
        let body = Sealed { nonce, sealed: seal(&data_key, &nonce, &plain, &place)? };
        let mut batch = WriteBatch::default();
        batch.put_cf(family(&self.db, KEYS), &place, encode(&wrapped)?);
        batch.put(&place, encode(&body)?);
        let written = self.db.write_opt(batch, &synced());
        written.map_err(StorageError::failed("writing to the vault")).map_err(|error| error.refusal())
    }

    /// A body, if it is kept here.
    ///
    /// # Errors
    /// `STORAGE_CORRUPT` when it has no key, or does not open with the vault's key.
    pub fn get(&self, commit: &Digest) -> Result<Option<Body>, Refusal> {
        let place = self.place(commit);
        let Some(bytes) = self.db.get(&place).map_err(read_failed)? else { return Ok(None) };
        body_of(&self.key, &place, &wrapped_key(&self.db, &place)?, &bytes).map(Some)
    }

    /// Where the body of a commitment stands.
    fn place(&self, commit: &Digest) -> Vec<u8> {
        [self.space.as_slice(), commit.as_bytes()].concat()
    }
}

/// What the keys of a guest's entries begin with.
fn space_of(agency: &str) -> Vec<u8> {
    let name = Digest::tagged(b"CL/vault-guest/1", &[agency.as_bytes()]);
    [GUEST.as_slice(), name.as_bytes()].concat()
}

/// Takes a key of the store apart: the space of its vault, and the place in it.
fn split_space(place: &[u8]) -> (&[u8], &[u8]) {
    // A commitment of the node's own agency may begin like this by chance, and is as long as it is.
    let guest = place.len() > 32 && place.starts_with(GUEST);
    place.split_at_checked(GUEST.len() + 32).filter(|_| guest).unwrap_or((&[], place))
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

/// Judges an entry by its form, and with keys by what it holds.
fn judge(db: &DB, keys: &[XChaCha20Poly1305], place: &[u8], bytes: &[u8]) -> Result<(), Refusal> {
    let (space, within) = split_space(place);
    if let Some(at) = log::Place::parse(within) {
        return log::judge(keys, space, at, bytes);
    }
    let commit = commit_of(within)?;
    let named = |refusal: Refusal| Refusal::new(refusal.code, format!("{}, entry {commit}", refusal.detail));
    let wrapped = wrapped_key(db, place).map_err(named)?;
    if keys.is_empty() {
        return decode::<Sealed>(bytes).map(|_| ());
    }
    let body = first_opened(keys, |key| body_of(key, place, &wrapped, bytes)).map_err(named)?;
    if body.commitment() != commit {
        return Err(corrupt(&format!("entry {commit} holds the body of {}", body.commitment())));
    }
    Ok(())
}

/// What the first key that fits opens. There is at least one key.
fn first_opened<T>(
    keys: &[XChaCha20Poly1305],
    open: impl Fn(&XChaCha20Poly1305) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    let mut result = Err(corrupt("no key was given"));
    for key in keys {
        result = open(key);
        if result.is_ok() {
            break;
        }
    }
    result
}

/// The commitment under which something stands in a vault.
fn commit_of(within: &[u8]) -> Result<Digest, Refusal> {
    let commit = <[u8; 32]>::try_from(within).map(Digest::new);
    commit.map_err(|_| corrupt("an entry stands under something else than a commitment"))
}

/// The wrapped data key of the body at a place.
fn wrapped_key(db: &DB, place: &[u8]) -> Result<Sealed, Refusal> {
    let bytes = db.get_cf(family(db, KEYS), place).map_err(read_failed)?;
    decode(&bytes.ok_or_else(|| corrupt("a body has no key"))?)
}

/// The body in an entry.
fn body_of(key: &XChaCha20Poly1305, place: &[u8], wrapped: &Sealed, bytes: &[u8]) -> Result<Body, Refusal> {
    let entry: Sealed = decode(bytes)?;
    let data_key: [u8; 32] = open(key, &wrapped.nonce, &wrapped.sealed, place)?
        .try_into()
        .map_err(|_| corrupt("a data key has another length"))?;
    let data_key = XChaCha20Poly1305::new(&Key::from(data_key));
    let plain: Plain = decode(&open(&data_key, &entry.nonce, &entry.sealed, place)?)?;
    Ok(plain.0)
}

fn read_key(file: &Path) -> Result<XChaCha20Poly1305, Refusal> {
    let text = crate::keys::read_secret(file, KEY_TEXT_MAX)?;
    let key: Digest = text.trim().parse().map_err(|_| {
        Refusal::new(Code::KeyFileInvalid, format!("{}: wants 64 hexadecimal digits", file.display()))
    })?;
    Ok(XChaCha20Poly1305::new(&Key::from(*key.as_bytes())))
}

fn read_failed(error: rocksdb::Error) -> Refusal {
    StorageError::failed("reading the vault")(error).refusal()
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

    fn key_file(directory: &Path, digit: char) -> PathBuf {
        let path = directory.join(format!("vault-{digit}.key"));
        std::fs::write(&path, digit.to_string().repeat(64)).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn holder(directory: &Path, agency: &str, digit: char) -> Holder {
        Holder { agency: agency.to_owned(), key_file: key_file(directory, digit) }
    }

    /// The vaults of a node of agency `uscc:1` with this key.
    fn own(directory: &Path, digit: char) -> Vaults {
        Vaults::open(&directory.join("vault"), &holder(directory, "uscc:1", digit), &[]).unwrap()
    }

    fn body(name: &str) -> Body {
        Body { salt: Digest::tagged(b"salt", &[name.as_bytes()]), json: format!("{{\"name\":\"{name}\"}}") }
    }

    #[test]
    fn a_body_opens_with_its_key_at_its_place_only() {
        let dir = tempfile::tempdir().unwrap();
        let body = body("x");
        let commit = body.commitment();
        let vaults = own(dir.path(), 'a');
        let vault = vaults.of("uscc:1").unwrap();
        vault.put(&commit, &body).unwrap();
        assert_eq!(vault.get(&commit).unwrap(), Some(body));
        let elsewhere = Digest::tagged(b"elsewhere", &[]);
        let wrapped = vaults.sealed_key(&commit);
        assert_eq!(vault.get(&elsewhere).unwrap(), None);
        let bytes = vault.db.get(commit.as_bytes()).unwrap().unwrap();
        assert!(!bytes.windows(4).any(|window| window == b"name"));
        vault.db.put(elsewhere.as_bytes(), &bytes).unwrap();
        vault.db.put_cf(family(&vault.db, KEYS), elsewhere.as_bytes(), wrapped).unwrap();
        assert_eq!(vault.get(&elsewhere).unwrap_err().code, Code::StorageCorrupt);
        drop(vaults);
        let other = own(dir.path(), 'b');
        assert_eq!(other.of("uscc:1").unwrap().get(&commit).unwrap_err().code, Code::StorageCorrupt);
    }

    #[test]
    fn everything_in_a_vault_is_read_and_with_its_key_opened() {
        let dir = tempfile::tempdir().unwrap();
        let (path, key) = (dir.path().join("vault"), key_file(dir.path(), 'a'));
        let commits = ["x", "y", "z"].map(|name| body(name).commitment());
        let vaults = own(dir.path(), 'a');
        for (name, commit) in ["x", "y"].iter().zip(&commits) {
            vaults.of("uscc:1").unwrap().put(commit, &body(name)).unwrap();
        }
        drop(vaults);
        let examined = |keys: &[PathBuf]| {
            let examined = Vaults::examine(&path, keys).unwrap();
            let flaws: Vec<String> = examined.flaws.into_iter().map(|flaw| flaw.detail).collect();
            (examined.entries, examined.opened, flaws)
        };
        assert_eq!(examined(&[]), (2, false, Vec::new()));
        assert_eq!(examined(std::slice::from_ref(&key)), (2, true, Vec::new()));
        // Under another key nothing opens.
        assert_eq!(examined(&[key_file(dir.path(), 'b')]).2.len(), 2);
        // Sealed for its place, and another body: whoever has the key could write that.
        let vaults = own(dir.path(), 'a');
        vaults.of("uscc:1").unwrap().put(&commits[2], &body("w")).unwrap();
        drop(vaults);
        assert_eq!(examined(&[]), (3, false, Vec::new()));
        let wanted = format!("vault: entry {} holds the body of {}", commits[2], body("w").commitment());
        assert_eq!(examined(std::slice::from_ref(&key)), (3, true, vec![wanted]));
        // One that was cut off, and one that stands under no commitment.
        let db = crate::storage::open(&path, FAMILIES, BUDGET).unwrap();
        db.put(commits[2].as_bytes(), b"cut").unwrap();
        db.put(b"short", b"cut").unwrap();
        drop(db);
        assert_eq!(examined(&[]).2.len(), 2);
        assert_eq!(examined(std::slice::from_ref(&key)).2.len(), 2);
        // A body without a key, and a key without a body.
        let db = crate::storage::open(&path, FAMILIES, BUDGET).unwrap();
        db.delete(b"short").unwrap();
        db.delete_cf(family(&db, KEYS), commits[0].as_bytes()).unwrap();
        db.delete(commits[2].as_bytes()).unwrap();
        drop(db);
        let wanted = [
            format!("vault: a body has no key, entry {}", commits[0]),
            format!("vault: the key of {} opens no body", commits[2]),
        ];
        assert_eq!(examined(&[]), (2, false, wanted.to_vec()));
        let refusal = own(dir.path(), 'a').of("uscc:1").unwrap().get(&commits[0]).unwrap_err();
        assert_eq!(refusal.code, Code::StorageCorrupt);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let key = key_file(dir.path(), 'a');
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        let holder = Holder { agency: "uscc:1".to_owned(), key_file: key };
        let refusal = Vaults::open(&dir.path().join("vault"), &holder, &[]).unwrap_err();
        assert_eq!(refusal.code, Code::KeyFilePermissions);
    }

    #[test]
    fn a_guest_has_a_vault_of_its_own_in_the_same_store() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vault");
        let host = holder(dir.path(), "uscc:1", 'a');
        let guests = [holder(dir.path(), "uscc:2", 'b'), holder(dir.path(), "uscc:3", 'a')];
        let open = || Vaults::open(&path, &host, &guests);
        let vaults = open().unwrap();
        assert_eq!(vaults.agencies().collect::<Vec<_>>(), ["uscc:1", "uscc:2", "uscc:3"]);
        assert!(vaults.of("uscc:4").is_none());
        // Each keeps its own, and one and the same body in two vaults is two entries.
        let commit = body("x").commitment();
        for agency in ["uscc:1", "uscc:2"] {
            vaults.of(agency).unwrap().put(&commit, &body("x")).unwrap();
        }
        let kept = |vaults: &Vaults, agency: &str| vaults.of(agency).unwrap().get(&commit);
        assert_eq!(kept(&vaults, "uscc:1").unwrap(), Some(body("x")));
        assert_eq!(kept(&vaults, "uscc:2").unwrap(), Some(body("x")));
        assert_eq!(kept(&vaults, "uscc:3").unwrap(), None);
        // An entry that is moved into another vault does not open there, not even where the key is the one it was sealed with.
        let places = ["uscc:1", "uscc:2", "uscc:3"].map(|agency| vaults.of(agency).unwrap().place(&commit));
        for (from, to) in [(0, 2), (1, 2)] {
            for name in [BODIES, KEYS] {
                let family = family(&vaults.db, name);
                let moved = vaults.db.get_cf(family, &places[from]).unwrap().unwrap();
                vaults.db.put_cf(family, &places[to], moved).unwrap();
            }
            assert_eq!(kept(&vaults, "uscc:3").unwrap_err().code, Code::StorageCorrupt);
        }
        for name in [BODIES, KEYS] {
            vaults.db.delete_cf(family(&vaults.db, name), &places[2]).unwrap();
        }
        drop(vaults);
        let keys: Vec<PathBuf> = [&host].into_iter().chain(&guests).map(|one| one.key_file.clone()).collect();
        let flaws = |keys: &[PathBuf]| Vaults::examine(&path, keys).unwrap().flaws.len();
        assert_eq!((flaws(&keys), flaws(&keys[..1]), flaws(&keys[2..]), flaws(&[])), (0, 1, 1, 0));
        let swapped = [Holder { key_file: keys[2].clone(), ..guests[0].clone() }];
        let vaults = Vaults::open(&path, &host, &swapped).unwrap();
        assert_eq!(kept(&vaults, "uscc:2").unwrap_err().code, Code::StorageCorrupt);
        drop(vaults);
        // Erasure destroys every copy; nobody has two vaults.
        let vaults = open().unwrap();
        assert_eq!(vaults.destroy(&[commit]).unwrap(), 2);
        assert_eq!((kept(&vaults, "uscc:1").unwrap(), kept(&vaults, "uscc:2").unwrap()), (None, None));
        drop(vaults);
        let twice = Vaults::open(&path, &host, &[holder(dir.path(), "uscc:1", 'd')]).unwrap_err();
        assert_eq!(twice.code, Code::ConfigInvalid);
    }

    #[test]
    fn readers_are_named_for_types_of_an_agency_whose_vault_is_here() {
        let dir = tempfile::tempdir().unwrap();
        let open = |of: &str, types: &[RecordType]| {
            let reader =
                NamedReader { agency: "uscc:9".to_owned(), of: of.to_owned(), types: types.to_vec() };
            let [host, guest] = ["uscc:1", "uscc:2"].map(|agency| holder(dir.path(), agency, 'a'));
            Vaults::open(&dir.path().join("vault"), &host, &[guest]).unwrap().with_readers(vec![reader])
        };
        let wrong = |of, types| open(of, types).unwrap_err();
        assert_eq!(wrong("uscc:3", &[RecordType::Procurement]).code, Code::ConfigInvalid);
        assert_eq!(wrong("uscc:1", &[]).code, Code::ConfigInvalid);
        let vaults = open("uscc:1", &[RecordType::Procurement]).unwrap();
        let reads = |reader, of, record_type| vaults.read_by(reader, of, record_type).map(Vault::agency);
        assert_eq!(reads("uscc:9", "uscc:1", RecordType::Procurement), Some("uscc:1"));
        assert_eq!(reads("uscc:9", "uscc:1", RecordType::Licence), None);
        assert_eq!(reads("uscc:9", "uscc:2", RecordType::Procurement), None);
        assert_eq!(reads("uscc:8", "uscc:1", RecordType::Procurement), None);
    }

    #[test]
    fn a_commitment_that_begins_like_a_guests_key_is_one() {
        let mut bytes = [7; 32];
        bytes[..4].copy_from_slice(GUEST);
        assert_eq!(split_space(&bytes), (&[][..], &bytes[..]));
        let place = [space_of("uscc:2").as_slice(), &bytes].concat();
        assert_eq!(split_space(&place), (&space_of("uscc:2")[..], &bytes[..]));
    }
}
