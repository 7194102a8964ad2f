//! Copying what a store holds, while its owner may be writing to it.
//!
//! The owner is another process, and is not asked. Its store is opened as a RocksDB secondary, which holds every file of
//! large values and every table open from the beginning, so that the owner may delete them. While it is being opened
//! that does not hold yet: where a file is gone already, RocksDB takes a family as it was before, each family for itself
//! and without a word. So a view counts only
//! * if nothing was flushed, compacted or deleted meanwhile: the manifest and the logs of writes are the same before and
//!   after, but for what was added to the newest log; and
//! * if its tables are those that a strict reader finds, who refuses where one is missing.
//!
//! What is copied are the entries that stand there, key by key, into a new store: nothing that was deleted or replaced is
//! in it, nor what a file still holds of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rocksdb::{DB, FlushOptions, ReadOptions, WaitForCompactOptions, WriteBatch, WriteOptions};

use super::{Budget, Family, StorageError, descriptors, family, healthy, open, open_read_only, options};

/// How often a view is opened before it is given up.
const OPENS: u32 = 40;
/// How often a copy is begun before it is given up.
const COPIES: u32 = 4;
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);
/// Bytes of one write to the new store.
const WRITE_BYTES: usize = 1024 * 1024;
/// What is read ahead.
const READ_AHEAD: usize = 1024 * 1024;

/// A store to be copied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    /// What it is called in messages.
    pub(crate) name: &'static str,
    /// Where it is.
    pub(crate) path: &'a Path,
    /// A folder for what RocksDB itself writes meanwhile; whoever made it removes it.
    pub(crate) scratch: &'a Path,
    /// All families of it.
    pub(crate) families: &'static [Family],
    /// Those whose entries stay behind.
    pub(crate) without: &'static [&'static str],
    /// Memory of a store of this kind.
    pub(crate) budget: Budget,
}

/// What was copied.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Copied {
    /// Entries.
    pub entries: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// How often it was begun.
    pub tries: u32,
}

/// What ended a copy.
enum Trouble {
    /// A file of the store, which its owner may have replaced.
    Passing(StorageError),
    /// Anything else.
    Final(StorageError),
}

/// Copies what a store holds at one moment into a new one.
///
/// # Errors
/// When it cannot be read, however often it is tried; when the copy cannot be written.
pub(crate) fn copy(source: &Source<'_>, target: &Path) -> Result<Copied, StorageError> {
    // RocksDB makes a folder that is missing.
    if !source.path.join("CURRENT").exists() {
        let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
        return Err(StorageError::File { what: "opening", path: source.path.to_owned(), source: missing });
    }
    let mut tries = 0;
    loop {
        tries += 1;
        clear(target)?;
        match copy_once(source, target) {
            Ok(copied) => return Ok(Copied { tries, ..copied }),
            Err(Trouble::Passing(_)) if tries < COPIES => std::thread::sleep(PAUSE),
            Err(Trouble::Passing(error) | Trouble::Final(error)) => return Err(error),
        }
    }
}

fn copy_once(source: &Source<'_>, target: &Path) -> Result<Copied, Trouble> {
    let view = view(source, || {}).map_err(Trouble::Final)?;
    let copy = open(target, source.families, source.budget).map_err(Trouble::Final)?;
    let mut copied = Copied::default();
    let taken = source.families.iter().filter(|one| !source.without.contains(&one.name));
    for one in taken {
        copy_family(source, one, (&view, &copy), &mut copied)?;
    }
    settle(&copy, source).map_err(Trouble::Final)?;
    drop(copy);
    // What RocksDB says of itself is no part of the store.
    strip(target).map_err(Trouble::Final)?;
    Ok(copied)
}

/// Copies the entries of one family.
fn copy_family(
    source: &Source<'_>,
    one: &Family,
    (view, copy): (&DB, &DB),
    copied: &mut Copied,
) -> Result<(), Trouble> {
    let mut reading = ReadOptions::default();
    reading.fill_cache(false);
    reading.set_readahead_size(READ_AHEAD);
    let into = family(copy, one.name);
    let write = |batch: WriteBatch| {
        let failed = StorageError::failed(format!("writing the copy of the {} store", source.name));
        copy.write_opt(batch, &unlogged()).map_err(failed).map_err(Trouble::Final)
    };
    let mut entries = view.raw_iterator_cf_opt(family(view, one.name), reading);
    let mut batch = WriteBatch::default();
    entries.seek_to_first();
    while let Some((key, value)) = entries.item() {
        batch.put_cf(into, key, value);
        copied.entries += 1;
        copied.bytes += (key.len() + value.len()) as u64;
        if batch.size_in_bytes() >= WRITE_BYTES {
            write(std::mem::take(&mut batch))?;
        }
        entries.next();
    }
    let failed = StorageError::failed(format!("reading {} of the {} store", one.name, source.name));
    entries.status().map_err(|error| match error.kind() {
        rocksdb::ErrorKind::IOError => Trouble::Passing(failed(error)),
        _ => Trouble::Final(failed(error)),
    })?;
    write(batch)
}

/// Writes out what is in memory, and lets compactions end.
fn settle(copy: &DB, source: &Source<'_>) -> Result<(), StorageError> {
    let mut flush = FlushOptions::default();
    flush.set_wait(true);
    let all: Vec<_> = source.families.iter().map(|one| family(copy, one.name)).collect();
    copy.flush_cfs_opt(&all.iter().collect::<Vec<_>>(), &flush)
        .and_then(|()| copy.wait_for_compact(&WaitForCompactOptions::default()))
        .map_err(StorageError::failed(format!("writing out the copy of the {} store", source.name)))?;
    healthy(copy, source.name)
}

/// The store as it stands at one moment. `opening` is called each time before it is opened.
fn view(source: &Source<'_>, mut opening: impl FnMut()) -> Result<DB, StorageError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let before = Standing::of(source.path);
        opening();
        let opened = open_view(source);
        let still = before.is_ok() && before.ok() == Standing::of(source.path).ok();
        match opened {
            Ok(view) if still => return Ok(view),
            Ok(_) if tries >= OPENS => {
                let what = format!("{} store", source.name);
                return Err(StorageError::Restless { what, tries });
            }
            Err(error) if tries >= OPENS => return Err(error),
            _ => std::thread::sleep(PAUSE),
        }
    }
}

fn open_view(source: &Source<'_>) -> Result<DB, StorageError> {
    let strict = open_read_only(source.path, source.families, source.budget)?;
    let wanted = tables(&strict, source)?;
    drop(strict);
    let options = options(Budget { files: -1, ..source.budget });
    let families = descriptors(source.families, source.budget);
    let view = DB::open_cf_descriptors_as_secondary(&options, source.path, source.scratch, families)
        .map_err(StorageError::failed(format!("opening the store {}", source.path.display())))?;
    match tables(&view, source)? == wanted {
        true => Ok(view),
        false => Err(StorageError::corrupt(format!("{} store", source.name), "a file of it is missing")),
    }
}

/// The tables that an open store consists of.
fn tables(db: &DB, source: &Source<'_>) -> Result<Vec<String>, StorageError> {
    let failed = StorageError::failed(format!("listing the files of the {} store", source.name));
    let mut tables: Vec<String> = db.live_files().map_err(failed)?.into_iter().map(|one| one.name).collect();
    tables.sort();
    Ok(tables)
}

/// How far the owner of a store has come with its files.
#[derive(Debug, Eq, PartialEq)]
struct Standing {
    /// The manifest in force, and its length: nothing is flushed or deleted before it says so.
    manifest: (String, u64),
    /// The logs of writes, each with its length, but for the newest one, which grows.
    logs: BTreeMap<PathBuf, Option<u64>>,
}

impl Standing {
    fn of(path: &Path) -> std::io::Result<Self> {
        let current = std::fs::read_to_string(path.join("CURRENT"))?;
        let length = std::fs::metadata(path.join(current.trim_end()))?.len();
        let mut logs = BTreeMap::new();
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            if entry.path().extension().is_some_and(|ending| ending == "log") {
                logs.insert(entry.path(), Some(entry.metadata()?.len()));
            }
        }
        // Their names are numbers with zeros in front.
        if let Some(mut newest) = logs.last_entry() {
            newest.insert(None);
        }
        Ok(Self { manifest: (current, length), logs })
    }
}

/// Options of writes to a store that counts only once all of it is written.
fn unlogged() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    options
}

fn clear(target: &Path) -> Result<(), StorageError> {
    match std::fs::remove_dir_all(target) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(StorageError::File { what: "removing", path: target.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Removes the files of a closed store that hold nothing of it.
fn strip(target: &Path) -> Result<(), StorageError> {
    let failed = |what| move |source| StorageError::File { what, path: target.to_owned(), source };
    for entry in std::fs::read_dir(target).map_err(failed("reading"))? {
        let entry = entry.map_err(failed("reading"))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name == "LOCK" || name.starts_with("LOG") {
            std::fs::remove_file(entry.path()).map_err(failed("removing a file in"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::super::{BLOB_AGE_CUTOFF, Recovery, rewriting, synced};
    use rocksdb::IteratorMode;

    const FAMILIES: &[Family] =
        &[Family::ordered("plain"), Family::large("large"), Family::hashes("hashes"), Family::ordered("own")];
    const BUDGET: Budget = Budget {
        write_buffer: 1024 * 1024,
        write_buffers: 4 * 1024 * 1024,
        recovery: Recovery::Log(2 * 1024 * 1024),
        cache: 1024 * 1024,
        files: 64,
    };

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn store(&self) -> PathBuf {
            self.0.path().join("store")
        }

        fn target(&self) -> PathBuf {
            self.0.path().join("copy")
        }

        fn with<T>(&self, work: impl FnOnce(&Source<'_>) -> T) -> T {
            let (path, scratch) = (self.store(), self.0.path().join("scratch"));
            let (path, scratch) = (path.as_path(), scratch.as_path());
            let without = &["own"];
            work(&Source { name: "test", path, scratch, families: FAMILIES, without, budget: BUDGET })
        }

        fn copy(&self) -> Result<Copied, StorageError> {
            self.with(|source| copy(source, &self.target()))
        }

        fn owner(&self) -> DB {
            open(&self.store(), FAMILIES, BUDGET).unwrap()
        }
    }

    /// Everything that is written at one height: what stands in one family tells what must stand in the others.
    fn put(db: &DB, height: u64) {
        let key = height.to_be_bytes();
        let mut batch = WriteBatch::default();
        batch.put_cf(family(db, "plain"), key, key);
        batch.put_cf(family(db, "large"), key, vec![u8::try_from(height % 251).unwrap(); 5_000]);
        batch.put_cf(family(db, "hashes"), height.reverse_bits().to_be_bytes(), key);
        batch.put_cf(family(db, "own"), "record", key);
        db.write_opt(batch, &synced()).unwrap();
    }

    fn entries(db: &DB, name: &str) -> Vec<(Box<[u8]>, Box<[u8]>)> {
        db.iterator_cf(family(db, name), IteratorMode::Start).map(Result::unwrap).collect()
    }

    /// The number of heights in a copy, in which each must be whole.
    fn whole(place: &Place) -> u64 {
        let copy = open_read_only(&place.target(), FAMILIES, BUDGET).unwrap();
        let plain = entries(&copy, "plain");
        for (at, (key, value)) in (0_u64..).zip(&plain) {
            assert_eq!((&key[..], &value[..]), (&at.to_be_bytes()[..], &at.to_be_bytes()[..]));
        }
        for (at, (key, value)) in (0_u64..).zip(entries(&copy, "large")) {
            assert_eq!(key[..], at.to_be_bytes());
            assert!(value.len() == 5_000 && value.iter().all(|byte| u64::from(*byte) == at % 251), "{at}");
        }
        assert_eq!(entries(&copy, "large").len(), plain.len());
        assert_eq!(entries(&copy, "hashes").len(), plain.len());
        assert!(entries(&copy, "own").is_empty(), "what is not to be copied");
        plain.len() as u64
    }

    #[test]
    fn all_that_stands_there_is_copied_and_nothing_that_was_deleted() {
        let place = Place::new();
        let db = place.owner();
        (0..300).for_each(|height| put(&db, height));
        db.put_cf(family(&db, "plain"), "gone", "quetzalcoatl").unwrap();
        db.delete_cf(family(&db, "plain"), "gone").unwrap();
        let copied = place.copy().unwrap();
        assert_eq!((copied.entries, copied.tries), (900, 1));
        assert_eq!(whole(&place), 300);
        for file in std::fs::read_dir(place.target()).unwrap() {
            let path = file.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(12).any(|word| word == b"quetzalcoatl"), "{}", path.display());
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            assert!(name != "LOCK" && !name.starts_with("LOG"), "{name}");
        }
        // Its owner goes on, and so does whoever opens the copy.
        put(&db, 300);
        drop(db);
        assert_eq!(place.copy().unwrap().entries, 903, "a store that nobody has open");
        put(&open(&place.target(), FAMILIES, BUDGET).unwrap(), 301);
    }

    #[test]
    fn a_copy_is_of_one_moment_however_busy_the_owner_is() {
        let place = Place::new();
        let db = place.owner();
        (0..200).for_each(|height| put(&db, height));
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let large = family(&db, "large");
                let mut height = 200;
                while !stop.load(Ordering::Relaxed) {
                    put(&db, height);
                    std::thread::sleep(Duration::from_micros(200));
                    height += 1;
                    // As a scrub does: old files of large values go.
                    if height.is_multiple_of(500) {
                        db.set_options_cf(&large, &[("blob_garbage_collection_age_cutoff", "1.0")]).unwrap();
                        db.compact_range_cf_opt(&large, None::<&[u8]>, None::<&[u8]>, &rewriting());
                        db.set_options_cf(&large, &[("blob_garbage_collection_age_cutoff", BLOB_AGE_CUTOFF)])
                            .unwrap();
                    }
                }
            });
            /// Also when an assertion fails: the scope would wait for ever.
            struct Stop<'a>(&'a AtomicBool);
            impl Drop for Stop<'_> {
                fn drop(&mut self) {
                    self.0.store(true, Ordering::Relaxed);
                }
            }
            let _stop = Stop(&stop);
            let mut before = 200;
            for _ in 0..8 {
                place.copy().unwrap();
                let now = whole(&place);
                assert!(now >= before, "{now} heights after {before}");
                before = now;
            }
            assert!(before > 200, "the owner was busy");
        });
    }

    #[test]
    fn a_view_counts_only_if_no_file_changed_while_it_was_opened() {
        let place = Place::new();
        let db = place.owner();
        (0..50).for_each(|height| put(&db, height));
        // (what the owner does while the view is opened for the first time, how often it is opened)
        let nothing = || {};
        let writes = || put(&db, 50);
        let flushes = || db.flush_cf(family(&db, "plain")).unwrap();
        let works: [(&dyn Fn(), u32); 3] = [(&nothing, 1), (&writes, 1), (&flushes, 2)];
        for (at, (work, opens)) in works.into_iter().enumerate() {
            let mut opened = 0;
            let opening = || {
                opened += 1;
                if opened == 1 {
                    work();
                }
            };
            place.with(|source| view(source, opening)).unwrap();
            assert_eq!(opened, opens, "{at}");
        }
        let mut always = 0;
        let flushing = || {
            always += 1;
            put(&db, 51);
            flushes();
        };
        let refused = place.with(|source| view(source, flushing)).unwrap_err();
        assert!(matches!(refused, StorageError::Restless { tries: OPENS, .. }), "{refused}");
        assert_eq!(always, OPENS);
    }

    #[test]
    fn a_view_reads_what_its_owner_deletes_meanwhile() {
        let place = Place::new();
        let db = place.owner();
        let all = || FAMILIES.iter().map(|one| family(&db, one.name));
        // More files than a store of this budget holds open.
        for one in all() {
            let never = [
                ("disable_auto_compactions", "true"),
                ("level0_slowdown_writes_trigger", "1000"),
                ("level0_stop_writes_trigger", "1000"),
            ];
            db.set_options_cf(&one, &never).unwrap();
        }
        for height in 0..60 {
            put(&db, height);
            all().for_each(|one| db.flush_cf(one).unwrap());
        }
        let files = || db.live_files().unwrap().len();
        let before = files();
        assert!(before > 2 * usize::try_from(BUDGET.files).unwrap(), "{before} files");
        place.with(|source| {
            let view = view(source, || {}).unwrap();
            for one in all() {
                db.set_options_cf(&one, &[("blob_garbage_collection_age_cutoff", "1.0")]).unwrap();
                db.compact_range_cf_opt(one, None::<&[u8]>, None::<&[u8]>, &rewriting());
            }
            db.wait_for_compact(&WaitForCompactOptions::default()).unwrap();
            assert!(files() <= FAMILIES.len(), "{} files are left", files());
            let copy = open(&place.target(), FAMILIES, BUDGET).unwrap();
            let mut copied = Copied::default();
            for one in FAMILIES.iter().filter(|one| one.name != "own") {
                let done = copy_family(source, one, (&view, &copy), &mut copied);
                assert!(done.is_ok(), "{} of it cannot be read any more", one.name);
            }
            drop(copy);
        });
        assert_eq!(whole(&place), 60);
    }

    #[test]
    fn only_the_newest_log_may_grow() {
        let place = Place::new();
        let path = place.0.path();
        let write = |name: &str, text: &str| std::fs::write(path.join(name), text).unwrap();
        write("CURRENT", "MANIFEST-000004\n");
        write("MANIFEST-000004", "m");
        write("000007.log", "older");
        write("000010.log", "newest");
        let standing = Standing::of(path).unwrap();
        write("000010.log", "newest, and more");
        write("000009.sst", "a table");
        assert_eq!(Standing::of(path).unwrap(), standing);
        for (name, text, before) in [
            ("000007.log", "older, and more", "older"),
            ("MANIFEST-000004", "mm", "m"),
            ("CURRENT", "MANIFEST-000004", "MANIFEST-000004\n"),
        ] {
            write(name, text);
            assert_ne!(Standing::of(path).unwrap(), standing, "{name}");
            write(name, before);
            assert_eq!(Standing::of(path).unwrap(), standing, "{name}");
        }
        write("000011.log", "");
        assert_ne!(Standing::of(path).unwrap(), standing, "another log");
    }

    #[test]
    fn a_store_that_lacks_a_file_is_refused_and_so_is_none_at_all() {
        let place = Place::new();
        let nothing = place.copy().unwrap_err();
        assert!(matches!(nothing, StorageError::File { .. }), "{nothing}");
        assert!(!place.store().exists(), "looking makes nothing");
        let db = place.owner();
        (0..300).for_each(|height| put(&db, height));
        db.compact_range_cf(family(&db, "plain"), None::<&[u8]>, None::<&[u8]>);
        db.wait_for_compact(&WaitForCompactOptions::default()).unwrap();
        let table =
            db.live_files().unwrap().into_iter().find(|one| one.column_family_name == "plain").unwrap();
        drop(db);
        std::fs::remove_file(place.store().join(table.name.trim_start_matches('/'))).unwrap();
        assert!(place.copy().is_err());
        assert!(!place.target().exists());
        // Nor does a file of large values get lost without a word.
        let place = Place::new();
        let db = place.owner();
        (0..300).for_each(|height| put(&db, height));
        drop(db);
        place.copy().unwrap();
        let blob = std::fs::read_dir(place.store()).unwrap().map(|file| file.unwrap().path());
        let blob = blob.filter(|path| path.extension().is_some_and(|ending| ending == "blob")).min().unwrap();
        std::fs::remove_file(blob).unwrap();
        assert!(place.copy().is_err());
    }
}
