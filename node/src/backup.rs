//! Backups of what a validator holds: what they are, and the shelf on which they stand.
//!
//! A backup is made by a process of its own, while the node runs or while it does not; the node is not asked. It is a copy
//! of what stands in the stores, entry by entry ([`crate::storage::live`]), so nothing that was deleted or replaced is in
//! it. What it holds is verified against the genesis as a stopped node's data is, and can be put in the place of lost data.
//!
//! ```text
//! <shelf>/<time in UTC>-<height>   a backup
//!   backup.json                    what it is, and each of its files with size and digest: see [`manifest`]
//!   ledger/ consensus/ vault/      stores; the vault of a node that has one, without the keys of its bodies
//! <shelf>/vault-keys               those keys, of all backups: see [`keys`]
//! <shelf>/verified-<name>          that it was found whole: the digest of the manifest that was verified
//! <shelf>/making-<time in UTC>     one that is being made, or was when its process died
//! <shelf>/removing-<name>          one that is being removed
//! <shelf>/lock                     held while one is made or removed
//! ```
//!
//! # What is read first
//!
//! The ledger store, then the consensus store, then the vault. The ledger store notes that bodies are to be destroyed in
//! the write of the block that orders it, and that they are in another one, after they are gone from the other two. So what
//! a copy of the ledger says is done was done before the other copies were begun, and what it does not know of yet is done
//! again where the backup is put back. No body comes back in a backup that calls it destroyed. And a ledger that is older
//! than the blocks beside it is only late: it is executed up to them.
//!
//! # What is in none
//!
//! The safety record. A validator that voted from one of an earlier day might sign the opposite of what it signed since. A
//! node that was put back from a backup follows, and does not vote until its keys are changed.

pub mod create;
mod keys;
pub mod manifest;
pub mod prune;
pub mod restore;
pub mod verified;
pub mod verify;

use std::fmt;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use chain_core::code::{Code, Refusal};
use chain_core::date::Date;
use chain_core::id::Height;
use fd_lock::RwLock;

use crate::datadir::{file_error, names_in, remove_folder};
use crate::driver::core::Core;

/// The stores of a backup, in the order in which they are copied.
pub(crate) const STORES: [&str; 3] = ["ledger", "consensus", "vault"];
const MAKING: &str = "making-";
const REMOVING: &str = "removing-";
/// Room beside that for the stores themselves.
const ROOM_BESIDE: u64 = 64 * 1024 * 1024;

/// The name of a backup: when it was begun, and its newest final block, e.g. `20270203T041500Z-184302`. In the order of
/// names the oldest comes first.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Name(String);

impl Name {
    /// The name of a backup that was begun at a time, in milliseconds since 1970.
    pub(crate) fn new(begun_ms: u64, height: Height) -> Self {
        Self(format!("{}-{height}", stamp(begun_ms)))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Name {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let parts = text.split_once('-').and_then(|(stamp, height)| {
            let (day, time) = stamp.strip_suffix('Z')?.split_once('T')?;
            (day.len() == 8 && time.len() == 6 && height.len() <= 20).then_some([day, time, height])
        });
        match parts {
            Some(parts) if parts.into_iter().all(digits) => Ok(Self(text.to_owned())),
            _ => {
                let detail =
                    format!("{text:?} is no name of a backup, wants one like 20270203T041500Z-184302");
                Err(Refusal::new(Code::BadParameter, detail))
            }
        }
    }
}

/// Which backup is meant.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Which {
    /// The one that was begun last.
    Newest,
    /// The one of this name.
    Named(Name),
}

impl FromStr for Which {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        if text == "newest" { Ok(Self::Newest) } else { text.parse().map(Self::Named) }
    }
}

/// A folder of backups.
#[derive(Clone, Debug)]
pub struct Shelf(PathBuf);

impl Shelf {
    /// The one in a folder, which need not exist.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Where a backup is, if there is one of this name.
    pub fn path(&self, name: &Name) -> PathBuf {
        self.0.join(&name.0)
    }

    /// The names of all backups, the oldest first. One that is being made is none yet.
    ///
    /// # Errors
    /// When the folder cannot be read; one that is not there has none.
    pub fn names(&self) -> Result<Vec<Name>, Refusal> {
        let mut names: Vec<Name> = self.entries()?.iter().filter_map(|name| name.parse().ok()).collect();
        names.sort();
        Ok(names)
    }

    /// The backup that is meant.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub fn find(&self, which: &Which) -> Result<Name, Refusal> {
        let names = self.names()?;
        let found = match which {
            Which::Newest => names.last(),
            Which::Named(wanted) => names.iter().find(|name| *name == wanted),
        };
        let missing = || match which {
            Which::Newest => format!("no backup in {}", self.0.display()),
            Which::Named(name) => format!("no backup {name} in {}", self.0.display()),
        };
        found.cloned().ok_or_else(|| Refusal::new(Code::NotFound, missing()))
    }

    fn entries(&self) -> Result<Vec<String>, Refusal> {
        names_in(&self.0)
    }

    /// The lock of whoever makes or removes one.
    fn lock_file(&self) -> Result<RwLock<File>, Refusal> {
        let path = self.0.join("lock");
        let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        opened.map(RwLock::new).map_err(|error| file_error("opening", &path, error))
    }

    /// Removes what is left of one that was being made or removed when its process died.
    fn tidy(&self) -> Result<(), Refusal> {
        for name in self.entries()? {
            if name.starts_with(MAKING) || name.starts_with(REMOVING) {
                remove_folder(&self.0.join(name))?;
            }
        }
        Ok(())
    }

    /// The present moment, once no backup has its name.
    fn free_moment(&self) -> Result<u64, Refusal> {
        for _ in 0..30 {
            let now = Core::wall_ms();
            let begun_now = stamp(now);
            if !self.entries()?.iter().any(|name| name.starts_with(&begun_now)) {
                return Ok(now);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err(Refusal::new(Code::FileExists, format!("{}: a backup of this second", self.0.display())))
    }
}

/// A time in milliseconds since 1970 as a name begins with it.
fn stamp(ms: u64) -> String {
    let (year, month, day) = Date::of_time(ms, 0).ymd();
    let second = ms / 1_000 % 86_400;
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// Makes sure that a disk has room for so many bytes, and some to spare.
fn check_room(folder: &Path, bytes: u64) -> Result<(), Refusal> {
    let disk = rustix::fs::statvfs(folder)
        .map_err(|error| file_error("asking for the free space of", folder, error.into()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let wanted = bytes.saturating_add(ROOM_BESIDE);
    if free >= wanted {
        return Ok(());
    }
    let mib = |bytes: u64| bytes.div_ceil(1024 * 1024);
    let detail = format!("{}: {} MiB are free, wants {}", folder.display(), mib(free), mib(wanted));
    Err(Refusal::new(Code::NoRoom, detail))
}

fn invalid(detail: impl Into<String>) -> Refusal {
    Refusal::new(Code::BackupInvalid, detail)
}

#[cfg(test)]
mod tests;
