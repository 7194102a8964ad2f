//! Which backups were found whole, and how old the newest of them is: what an alert goes by.
//!
//! A backup that was verified has a note beside it on the shelf, with the digest of the manifest that was verified. The
//! node looks at the shelf now and then and gives the times out as metrics. It does so in a thread of its own that nobody
//! waits for: a disk for backups that does not answer must not hold up anything else.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use chain_core::code::{Code, Refusal};

use super::manifest::Manifest;
use super::verify::Verified;
use super::{Name, Shelf};
use crate::datadir::{remove_file, sync_directory, write_synced};
use crate::handle::Metric;

const VERIFIED: &str = "verified-";
/// Longest note, bytes.
const NOTE_BYTES_MAX: u64 = 256;
/// How often the node looks at the shelf.
const LOOK: Duration = Duration::from_secs(10);

impl Shelf {
    /// Notes beside a backup what verifying it came to: that it is whole, or no longer that it was.
    ///
    /// # Errors
    /// When the folder cannot be written; the verdict stands all the same.
    pub fn note(&self, name: &Name, verdict: Result<&Verified, &Refusal>) -> Result<(), Refusal> {
        match verdict {
            Ok(verified) if verified.report.findings.is_empty() => {
                write_synced(&self.note_of(name), &format!("{}\n", verified.manifest.digest()?))?;
            }
            // Only what was read tells anything of what is there.
            Err(refusal) if refusal.code != Code::BackupInvalid => return Ok(()),
            _ => self.forget_note(name)?,
        }
        sync_directory(&self.0)
    }

    /// Removes the note beside a backup, if there is one.
    pub(super) fn forget_note(&self, name: &Name) -> Result<(), Refusal> {
        remove_file(&self.note_of(name))
    }

    /// When the newest complete backup was begun, and the newest that was found whole and is complete still; both in
    /// milliseconds since 1970.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn newest(&self) -> Result<Newest, Refusal> {
        let mut newest = Newest::default();
        for name in self.names()?.into_iter().rev() {
            let backup = self.path(&name);
            let complete =
                Manifest::read(&backup).and_then(|manifest| manifest.check_files(&backup).map(|()| manifest));
            let Ok(manifest) = complete else { continue };
            newest.complete_ms = newest.complete_ms.or(Some(manifest.begun_ms));
            if self.is_noted(&name, &manifest) {
                newest.verified_ms = Some(manifest.begun_ms);
                break;
            }
        }
        Ok(newest)
    }

    fn is_noted(&self, name: &Name, manifest: &Manifest) -> bool {
        let note = crate::config::read_text(&self.note_of(name), NOTE_BYTES_MAX);
        matches!((note, manifest.digest()), (Ok(note), Ok(digest)) if note.trim_end() == digest.to_string())
    }

    fn note_of(&self, name: &Name) -> PathBuf {
        self.0.join(format!("{VERIFIED}{name}"))
    }
}

/// When the newest backups of a shelf were begun, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Newest {
    /// Of those that are complete: all files are there with their sizes, and no other.
    pub complete_ms: Option<u64>,
    /// Of those that were found whole, too.
    pub verified_ms: Option<u64>,
}

/// What was seen last on the shelf that a node's configuration names.
#[derive(Debug)]
pub(crate) struct Watched {
    shelf: Shelf,
    complete_ms: AtomicU64,
    verified_ms: AtomicU64,
    /// Whether it could not be read the last time: that is logged once.
    unreadable: AtomicBool,
}

impl Watched {
    /// A shelf that nobody has looked at yet.
    pub(crate) fn at(folder: &Path) -> Self {
        Self {
            shelf: Shelf::at(folder),
            complete_ms: AtomicU64::default(),
            verified_ms: AtomicU64::default(),
            unreadable: AtomicBool::default(),
        }
    }

    /// Looks at the shelf. One that cannot be read has no backup for whoever would need one.
    pub(crate) fn look(&self) {
        let found = self.shelf.newest();
        let before = self.unreadable.swap(found.is_err(), Ordering::Relaxed);
        let newest = found.unwrap_or_else(|refusal| {
            if !before {
                tracing::warn!(detail = refusal.detail, "the folder for backups cannot be read");
            }
            Newest::default()
        });
        self.complete_ms.store(newest.complete_ms.unwrap_or(0), Ordering::Relaxed);
        self.verified_ms.store(newest.verified_ms.unwrap_or(0), Ordering::Relaxed);
    }

    /// Looks again and again in a thread that ends with the process.
    ///
    /// # Errors
    /// When there can be no further thread.
    pub(crate) fn watch(self: Arc<Self>) -> std::io::Result<()> {
        let look = move || {
            loop {
                self.look();
                std::thread::sleep(LOOK);
            }
        };
        std::thread::Builder::new().name("backups".to_owned()).spawn(look).map(drop)
    }

    /// The times as samples; 0 where there is no such backup.
    #[expect(clippy::cast_precision_loss, reason = "samples are floats")]
    pub(crate) fn samples(&self) -> [Metric; 2] {
        let sample = |name, help, ms: &AtomicU64| Metric {
            name,
            help,
            counter: false,
            labels: Vec::new(),
            value: ms.load(Ordering::Relaxed) as f64 / 1_000.0,
        };
        [
            sample(
                "backup_complete_timestamp_seconds",
                "When the newest complete backup was begun, Unix time; 0 for none.",
                &self.complete_ms,
            ),
            sample(
                "backup_verified_timestamp_seconds",
                "When the newest backup that was found whole was begun, Unix time; 0 for none.",
                &self.verified_ms,
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::num::NonZeroUsize;

    use super::super::tests::{Desk, flip};
    use super::*;

    fn seen(watched: &Watched) -> [f64; 2] {
        watched.look();
        watched.samples().map(|sample| sample.value)
    }

    #[expect(clippy::cast_precision_loss, reason = "as the samples")]
    fn seconds(manifest: &Manifest) -> f64 {
        manifest.begun_ms as f64 / 1_000.0
    }

    #[test]
    fn the_times_of_the_newest_backup_and_of_the_newest_whole_one_are_told() {
        let desk = Desk::new();
        let (shelf, watched) = (desk.shelf(), Watched::at(&desk.shelf().0));
        let names = watched.samples().map(|sample| (sample.name, sample.counter));
        let stamps = ["backup_complete_timestamp_seconds", "backup_verified_timestamp_seconds"];
        assert_eq!(names, stamps.map(|name| (name, false)));
        assert_eq!(seen(&watched), [0.0, 0.0], "there is no folder yet");

        let (first, manifest) = desk.create();
        assert_eq!(seen(&watched), [seconds(&manifest), 0.0]);
        let verified = shelf.verify(&first, &desk.trust()).unwrap();
        shelf.note(&first, Ok(&verified)).unwrap();
        assert_eq!(seen(&watched), [seconds(&manifest), seconds(&manifest)]);

        // A newer one is none of the whole ones until it was read.
        let second = desk.again(&first, manifest.begun_ms + 86_400_000);
        let later = Manifest::read(&shelf.path(&second)).unwrap();
        assert_eq!(seen(&watched), [seconds(&later), seconds(&manifest)]);
        shelf.note(&second, Ok(&shelf.verify(&second, &desk.trust()).unwrap())).unwrap();
        assert_eq!(seen(&watched), [seconds(&later), seconds(&later)]);

        // Found damaged later; the older one still counts.
        let (file, _) = later.files.iter().max_by_key(|(_, entry)| entry.bytes).unwrap();
        flip(&shelf.path(&second).join(file));
        assert_eq!(seen(&watched), [seconds(&later), seconds(&later)], "nobody has read it again");
        let refusal = shelf.verify(&second, &desk.trust()).unwrap_err();
        shelf.note(&second, Err(&refusal)).unwrap();
        assert_eq!(seen(&watched), [seconds(&later), seconds(&manifest)]);
        fs::remove_file(shelf.path(&second).join(file)).unwrap();
        assert_eq!(seen(&watched), [seconds(&manifest), seconds(&manifest)], "it is not complete");
    }

    #[test]
    fn a_note_is_of_one_manifest_and_goes_with_its_backup() {
        let desk = Desk::new();
        let (shelf, watched) = (desk.shelf(), Watched::at(&desk.shelf().0));
        let (name, manifest) = desk.create();
        let verified = shelf.verify(&name, &desk.trust()).unwrap();
        shelf.note(&name, Ok(&verified)).unwrap();
        // Another backup under the name of one that was verified.
        let other = Manifest { validator: "v9".to_owned(), ..manifest.clone() };
        other.write(&shelf.path(&name)).unwrap();
        assert_eq!(seen(&watched), [seconds(&manifest), 0.0]);
        manifest.write(&shelf.path(&name)).unwrap();
        assert_eq!(seen(&watched), [seconds(&manifest), seconds(&manifest)]);
        // A verdict that says nothing about what is there changes nothing.
        let elsewhere = Refusal::new(Code::GenesisMismatch, "of another chain");
        shelf.note(&name, Err(&elsewhere)).unwrap();
        assert_eq!(seen(&watched)[1], seconds(&manifest));
        // What verifying finds inside the stores counts as well as what it finds of the files.
        let mut flawed = shelf.verify(&name, &desk.trust()).unwrap();
        flawed.report.findings.push(crate::fsck::Finding {
            store: "ledger",
            block: None,
            refusal: Refusal::new(Code::StateMismatch, "another root"),
        });
        shelf.note(&name, Ok(&flawed)).unwrap();
        assert_eq!(seen(&watched)[1], 0.0);
        // A note is no backup, and goes with the one that it is of.
        shelf.note(&name, Ok(&verified)).unwrap();
        let newer = desk.again(&name, manifest.begun_ms + 1_000);
        assert_eq!(shelf.names(), Ok(vec![name.clone(), newer]));
        shelf.prune(NonZeroUsize::MIN).unwrap();
        assert!(!shelf.note_of(&name).exists());
    }
}
