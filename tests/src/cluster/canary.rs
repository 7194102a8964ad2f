//! Looking for bytes that must not be there any more: in every file of a node, and in every key and value of its stores.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use rocksdb::{DB, IteratorMode, Options};

/// Bytes of every canary: they begin alike, so that one pass over the bytes finds them all.
pub const LENGTH: usize = 40;
const MARK: &[u8] = b"canary-";

/// A canary that stands nowhere else.
pub fn canary(name: &str) -> String {
    let digest = chain_core::crypto::Digest::tagged(b"canary", &[name.as_bytes()]).to_string();
    format!("canary-{}", &digest[..LENGTH - MARK.len()])
}

/// The canaries in some bytes.
fn among(bytes: &[u8], found: &mut BTreeSet<String>) {
    let mut rest = bytes;
    while let Some(at) = rest.windows(MARK.len()).position(|window| window == MARK) {
        rest = &rest[at..];
        let whole = |text: &&[u8]| text[MARK.len()..].iter().all(u8::is_ascii_hexdigit);
        if let Some(text) = rest.get(..LENGTH).filter(whole) {
            found.insert(String::from_utf8_lossy(text).into_owned());
        }
        rest = &rest[MARK.len()..];
    }
}

/// Every file under a folder.
fn files(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files(&path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

/// Looks at all bytes of the files of a folder, as they stand there.
fn each_file(folder: &Path, mut look: impl FnMut(&[u8])) -> io::Result<()> {
    let mut all = Vec::new();
    files(folder, &mut all)?;
    all.iter().try_for_each(|path| std::fs::read(path).map(|bytes| look(&bytes)))
}

/// Looks at the keys and values of every store under the folder of a stopped node, however they are compressed.
fn each_entry(folder: &Path, mut look: impl FnMut(&[u8])) {
    let mut all = Vec::new();
    files(folder, &mut all).expect("the files of a node");
    let stores = all.iter().filter(|path| path.file_name().is_some_and(|name| name == "CURRENT"));
    for store in stores.filter_map(|path| path.parent()) {
        // As the node opens it. Without, RocksDB clears the list of logs in the manifest, for which it has no place when
        // it only reads, and the process dies of it.
        let mut options = Options::default();
        options.set_track_and_verify_wals_in_manifest(true);
        let families = DB::list_cf(&options, store).expect("column families");
        let db = DB::open_cf_for_read_only(&options, store, &families, false).expect("a store");
        for family in &families {
            let family = db.cf_handle(family).expect("a column family");
            for entry in db.iterator_cf(family, IteratorMode::Start) {
                let (key, value) = entry.expect("an entry");
                look(&key);
                look(&value);
            }
        }
    }
}

/// The canaries in the files of a folder. A running node renames and removes files: then all are read again, so that none
/// is passed over on its way from one name to another.
///
/// # Panics
/// When a file cannot be read.
pub fn in_files(folder: &Path) -> BTreeSet<String> {
    loop {
        let mut found = BTreeSet::new();
        match each_file(folder, |bytes| among(bytes, &mut found)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            read => {
                read.expect("the files of a node");
                return found;
            }
        }
    }
}

/// The canaries in keys and values of every store under the folder of a stopped node.
///
/// # Panics
/// When a store cannot be read.
pub fn in_stores(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    each_entry(folder, |bytes| among(bytes, &mut found));
    found
}

/// Whether some bytes stand anywhere in the files or stores under the folder of a stopped node.
///
/// # Panics
/// When something cannot be read.
pub fn holds(folder: &Path, wanted: &[u8]) -> bool {
    let mut held = false;
    let mut look = |bytes: &[u8]| held = held || bytes.windows(wanted.len()).any(|window| window == wanted);
    each_file(folder, &mut look).expect("the files of a node");
    each_entry(folder, &mut look);
    held
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_is_found_wherever_it_stands() {
        let (first, second) = (canary("1"), canary("2"));
        assert_eq!(first.len(), LENGTH);
        let mut found = BTreeSet::new();
        among(format!("canary-{first}{second}canary-x").as_bytes(), &mut found);
        assert_eq!(found, BTreeSet::from([first, second]));
    }
}
