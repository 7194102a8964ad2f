//! What a backup says of itself, and whether its files are still those that were written.
//!
//! The digest over the manifest tells that something has changed it, a disk or a hand. It is no signature: whoever can write
//! a backup can write another manifest too. What he cannot write is another chain: see [`super::verify`].

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::Path;

use chain_core::code::{Code, Refusal};
use chain_core::crypto::{Digest, Hashing, PublicKey};
use chain_core::id::{ChainId, Epoch, Height};
use serde::{Deserialize, Serialize};

use super::{STORES, invalid};
use crate::config::read_text;
use crate::datadir::{file_error, write_synced};

/// Version of the layout of a backup, and of what its stores hold.
pub(crate) const FORMAT: u32 = 2;
const FILE: &str = "backup.json";
/// Longest manifest: a line a file, of which a store of a terabyte has some ten thousand.
const BYTES_MAX: u64 = 16 * 1024 * 1024;
const TAG: &[u8] = b"city-node/backup/1";
/// Bytes read at a time.
const PIECE: usize = 256 * 1024;

/// What a backup is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the layout.
    pub format: u32,
    /// Version of the program that made it.
    pub program: String,
    /// The chain.
    pub chain_id: ChainId,
    /// The consensus key of the node whose data it is.
    pub consensus_key: PublicKey,
    /// The name that the genesis gives that key; empty where it gives none.
    pub validator: String,
    /// When it was begun, in milliseconds since 1970.
    pub begun_ms: u64,
    /// When all of it was there.
    pub ended_ms: u64,
    /// The epoch of the newest final block.
    pub epoch: Epoch,
    /// The newest final block.
    pub final_height: Height,
    /// Its digest.
    pub final_digest: Digest,
    /// How far the ledger has executed.
    pub ledger_height: Height,
    /// The root that this gave.
    pub ledger_root: Digest,
    /// Every file, by its path in the backup.
    pub files: BTreeMap<String, Entry>,
}

/// A file of a backup.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its size.
    pub bytes: u64,
    /// The digest of what is in it.
    pub sha256: Digest,
}

/// The file of a manifest.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    /// The digest of what follows.
    digest: Digest,
    /// What follows.
    backup: Manifest,
}

impl Manifest {
    /// Reads the manifest of a backup.
    ///
    /// # Errors
    /// `BACKUP_INVALID` when it is missing, changed or of an unknown layout.
    pub fn read(backup: &Path) -> Result<Self, Refusal> {
        let path = backup.join(FILE);
        let of = |detail: &str| invalid(format!("{}: {detail}", path.display()));
        let text = read_text(&path, BYTES_MAX).map_err(|refusal| invalid(refusal.detail))?;
        let sealed: Sealed = serde_json::from_str(&text).map_err(|error| of(&error.to_string()))?;
        if sealed.digest != sealed.backup.digest()? {
            return Err(of("it is not as it was written: its digest is another one"));
        }
        if sealed.backup.format != FORMAT {
            return Err(of(&format!("layout {}, wants {FORMAT}", sealed.backup.format)));
        }
        Ok(sealed.backup)
    }

    /// Writes the manifest of a backup, durably.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(&self, backup: &Path) -> Result<(), Refusal> {
        let sealed = Sealed { digest: self.digest()?, backup: self.clone() };
        let mut text = serde_json::to_string_pretty(&sealed).map_err(|error| internal(&error))?;
        text.push('\n');
        write_synced(&backup.join(FILE), &text)
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.values().map(|entry| entry.bytes).sum()
    }

    /// Makes sure that the files of a backup are these, with these sizes: a quick look.
    ///
    /// # Errors
    /// `BACKUP_INVALID` for a file that is missing, of another size, or none of the backup's.
    pub fn check_files(&self, backup: &Path) -> Result<(), Refusal> {
        let found = files_of(backup)?;
        for (file, entry) in &self.files {
            match found.get(file) {
                None => return Err(invalid(format!("{}: {file} is missing", backup.display()))),
                Some(bytes) if *bytes != entry.bytes => {
                    let detail =
                        format!("{}: {file} has {bytes} bytes, wants {}", backup.display(), entry.bytes);
                    return Err(invalid(detail));
                }
                Some(_) => {}
            }
        }
        match found.keys().find(|file| !self.files.contains_key(*file)) {
            Some(stranger) => {
                Err(invalid(format!("{}: {stranger} is no file of this backup", backup.display())))
            }
            None => Ok(()),
        }
    }

    /// Makes sure that what is in the files of a backup is what was written.
    ///
    /// # Errors
    /// As [`Self::check_files`], and for a file with another digest.
    pub fn check_digests(&self, backup: &Path) -> Result<(), Refusal> {
        self.check_files(backup)?;
        for (file, entry) in &self.files {
            check_entry(&backup.join(file), entry, digest_of(&backup.join(file))?)?;
        }
        Ok(())
    }

    /// The digest of all that it says.
    ///
    /// # Errors
    /// When it has no JSON form: a bug.
    pub(crate) fn digest(&self) -> Result<Digest, Refusal> {
        let bytes = serde_json::to_vec(self).map_err(|error| internal(&error))?;
        Ok(Digest::tagged(TAG, &[&bytes]))
    }
}

/// The files of a backup but its manifest, by their paths in it, each with its size.
///
/// # Errors
/// `BACKUP_INVALID` where something stands that belongs in no backup; when it cannot be read.
pub(crate) fn files_of(backup: &Path) -> Result<BTreeMap<String, u64>, Refusal> {
    let mut found = BTreeMap::new();
    for (name, entry) in entries(backup)? {
        let path = backup.join(&name);
        if STORES.contains(&name.as_str()) && entry.is_dir() {
            for (file, entry) in entries(&path)? {
                if !entry.is_file() {
                    return Err(invalid(format!("{}: not a file", path.join(file).display())));
                }
                found.insert(format!("{name}/{file}"), entry.len());
            }
        } else if name != FILE {
            return Err(invalid(format!("{} belongs in no backup", path.display())));
        }
    }
    Ok(found)
}

/// What stands in a folder; links are not followed.
fn entries(folder: &Path) -> Result<Vec<(String, fs::Metadata)>, Refusal> {
    let failed = |error| file_error("reading", folder, error);
    let entry = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry?;
        Ok((entry.file_name().to_string_lossy().into_owned(), entry.metadata()?))
    };
    let entries = fs::read_dir(folder).map_err(failed)?;
    entries.map(entry).collect::<std::io::Result<_>>().map_err(failed)
}

/// Size and digest of a file.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn digest_of(path: &Path) -> Result<Entry, Refusal> {
    let failed = |error| file_error("reading", path, error);
    let mut file = File::open(path).map_err(failed)?;
    pass(&mut file, |_| Ok(())).map_err(failed)
}

/// Copies a file into a new one, durably, if it is the one that is wanted.
///
/// # Errors
/// `BACKUP_INVALID` when it is another one; when it cannot be read, or the new one not be written.
pub(crate) fn copy_checked(from: &Path, to: &Path, wanted: &Entry) -> Result<(), Refusal> {
    let failed = |error| file_error("copying", from, error);
    let mut source = File::open(from).map_err(failed)?;
    let mut target = File::create_new(to).map_err(|error| file_error("making", to, error))?;
    let got = pass(&mut source, |piece| target.write_all(piece)).map_err(failed)?;
    check_entry(from, wanted, got)?;
    target.sync_all().map_err(|error| file_error("syncing", to, error))
}

fn check_entry(path: &Path, wanted: &Entry, got: Entry) -> Result<(), Refusal> {
    if got == *wanted {
        return Ok(());
    }
    let detail = format!(
        "{}: {} bytes with SHA-256 {}, wants {} with {}",
        path.display(),
        got.bytes,
        got.sha256,
        wanted.bytes,
        wanted.sha256
    );
    Err(invalid(detail))
}

/// Reads a file to its end, passing on what is read.
fn pass(file: &mut File, mut on: impl FnMut(&[u8]) -> std::io::Result<()>) -> std::io::Result<Entry> {
    let mut piece = vec![0; PIECE];
    let (mut bytes, mut hashing) = (0, Hashing::default());
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok(Entry { bytes, sha256: hashing.digest() });
        }
        hashing.add(&piece[..read]);
        on(&piece[..read])?;
        bytes += read as u64;
    }
}

fn internal(error: &serde_json::Error) -> Refusal {
    Refusal::new(Code::Internal, format!("the manifest of a backup: {error}"))
}
