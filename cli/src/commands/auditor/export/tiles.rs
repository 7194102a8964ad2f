//! A mirror of the record log: files in the layout of `c2sp.org/tlog-tiles`.

use std::path::{Path, PathBuf};

use chain_core::checkpoint::{Checkpoint, SignedCheckpoint};
use chain_core::code::Code;
use chain_core::crypto::Digest;
use chain_core::merkle::tile::{Bundle, HEIGHT, LEVEL_MAX, Tile, WIDTH};
use chain_core::merkle::{Frontier, leaf_hash};
use serde_json::json;

use crate::app::City;
use crate::client::Client;
use crate::commands::auditor::audit::checkpoint::{self, Cosigned};
use crate::error::{CliError, CliResult};
use crate::output::Shape;
use crate::progress::Progress;
use crate::{files, interrupt};

const MIRROR: Shape = Shape {
    schema: "mirror",
    columns: &["folder", "size", "root", "fetched", "kept", "cosigners"],
    id: "folder",
    empty: "",
};

pub(super) fn run(city: &City, folder: &Path) -> CliResult {
    interrupt::install();
    let (genesis, client) = (city.genesis()?, city.client()?);
    let newest = checkpoint::newest(&client, &genesis)?
        .ok_or_else(|| CliError::new(Code::NotYetExecuted, "the node has no cosigned checkpoint yet"))?;
    let before = before(folder, &newest)?;
    let mut mirror = Mirror { folder, before, written: Vec::new(), fetched: 0, kept: 0 };
    let size = newest.size();
    if let Err(error) = mirror.fill(&client, size, &newest.signed.checkpoint.root) {
        mirror.take_back();
        return Err(error);
    }
    let checkpoint = folder.join("checkpoint");
    files::publish(&checkpoint, newest.text.as_bytes())?;
    files::sync_parent(&checkpoint)?;
    mirror.tidy(size)?;
    let names: Vec<&str> = newest.cosigners.iter().map(|one| one.name.as_str()).collect();
    let row = json!({
        "folder": folder,
        "size": size,
        "root": newest.signed.checkpoint.root,
        "fetched": mirror.fetched,
        "kept": mirror.kept,
        "cosigners": names,
    });
    city.out.item(MIRROR, &row)
}

/// A mirror that is there must be of the same log, and not of a longer one; gives its checkpoint.
fn before(folder: &Path, newest: &Cosigned) -> CliResult<Option<Checkpoint>> {
    let path = folder.join("checkpoint");
    if !path.exists() {
        return files::make_dir(folder).map(|()| None);
    }
    let old = SignedCheckpoint::parse(&files::read(&path)?).map_err(|error| {
        CliError::new(Code::ReceiptMalformed, format!("{}: {error}", path.display()))
            .hint("the mirror was altered; begin anew in another folder")
    })?;
    let (old, new) = (old.checkpoint, &newest.signed.checkpoint);
    if old.origin != new.origin {
        let detail = format!("{} mirrors {}, the node serves {}", folder.display(), old.origin, new.origin);
        return Err(CliError::new(Code::GenesisMismatch, detail).hint("choose another folder: --out"));
    }
    if old.size > new.size {
        let detail =
            format!("{} has {} leaves, the node's checkpoint {}", folder.display(), old.size, new.size);
        return Err(CliError::new(Code::NotYetExecuted, detail).hint("ask a node that is further"));
    }
    Ok(Some(old))
}

struct Mirror<'a> {
    folder: &'a Path,
    /// What the mirror held before.
    before: Option<Checkpoint>,
    /// Files of this run, to be taken back when the log turns out to be another one.
    written: Vec<PathBuf>,
    fetched: u64,
    kept: u64,
}

impl Mirror<'_> {
    /// Fetches the entries that are not there, hashes all of them, and writes the tiles that follow.
    fn fill(&mut self, client: &Client, size: u64, root: &Digest) -> CliResult {
        let mut log = Frontier::default();
        // The root when the log was as long as the mirror's.
        let mut then = None;
        let mut rows: Vec<(u64, Vec<u8>)> = vec![(0, Vec::new()); usize::from(LEVEL_MAX) + 1];
        let mut progress = Progress::new("leaves", size);
        let bundles = (0..size.div_ceil(WIDTH)).filter_map(|index| Bundle::of_size(index, size));
        for bundle in bundles {
            if interrupt::asked() {
                return Err(CliError::new(Code::Interrupted, "the mirror is as it was before"));
            }
            let bytes = self.bundle(client, bundle)?;
            let entries = bundle
                .decode(&bytes)
                .map_err(|error| CliError::new(Code::ProofInvalid, format!("{}: {error}", bundle.path())))?;
            let mut full = Vec::new();
            for entry in entries {
                log.push_each(&leaf_hash(entry), |level, _, hash| {
                    if level % HEIGHT != 0 {
                        return;
                    }
                    let level = level / HEIGHT;
                    let (index, row) = &mut rows[usize::from(level)];
                    row.extend_from_slice(hash.as_bytes());
                    if row.len() as u64 == WIDTH * Digest::LEN as u64 {
                        full.push((level, *index, std::mem::take(row)));
                        *index += 1;
                    }
                });
                if self.before.as_ref().is_some_and(|before| before.size == log.size()) {
                    then = Some(log.root());
                }
            }
            for (level, index, row) in full {
                self.tile(level, index, &row)?;
            }
            progress.set(log.size(), "");
        }
        for (level, (index, row)) in (0..).zip(&rows) {
            if !row.is_empty() {
                self.tile(level, *index, row)?;
            }
        }
        if log.root() == *root {
            return self.grows_on(then);
        }
        let detail = format!("the entries lead to root {}, a quorum cosigned {root}", log.root());
        let hint = match self.kept {
            0 => "ask another node",
            _ => {
                "ask another node; if that is no better, the mirror was altered: begin anew in another folder"
            }
        };
        Err(CliError::new(Code::ProofInvalid, detail).hint(hint))
    }

    /// A log that a quorum cosigned must begin with the one that it cosigned before.
    fn grows_on(&self, then: Option<Digest>) -> CliResult {
        match (&self.before, then) {
            (Some(before), Some(then)) if before.root != then => {
                let detail = format!(
                    "the mirror's checkpoint has root {} for {} leaves, the first of the node's log have {then}",
                    before.root, before.size
                );
                Err(CliError::new(Code::HistoryAltered, detail)
                    .hint("keep the mirror: its checkpoint is signed; audit the node: city audit chain"))
            }
            _ => Ok(()),
        }
    }

    /// The bytes of a bundle: those that are there, else the node's.
    fn bundle(&mut self, client: &Client, bundle: Bundle) -> CliResult<Vec<u8>> {
        let path = self.folder.join(bundle.path());
        match std::fs::read(&path) {
            Ok(bytes) => {
                self.kept += 1;
                Ok(bytes)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let bytes = client.get_bytes(&format!("/{}", bundle.path()))?;
                self.write(&path, &bytes)?;
                self.fetched += 1;
                Ok(bytes)
            }
            Err(error) => Err(CliError::file(&path, &error)),
        }
    }

    /// Writes a tile; one that is there must be the same.
    fn tile(&mut self, level: u8, index: u64, hashes: &[u8]) -> CliResult {
        let width = u16::try_from(hashes.len() / Digest::LEN).unwrap_or(u16::MAX);
        let tile = Tile::new(level, index, width)
            .ok_or_else(|| CliError::new(Code::Internal, format!("tile {level}/{index} of {width}")))?;
        let path = self.folder.join(tile.path());
        match std::fs::read(&path) {
            Ok(there) if there == hashes => Ok(()),
            Ok(_) => {
                let detail = format!("{} does not follow from the entries", path.display());
                Err(CliError::new(Code::ProofInvalid, detail)
                    .hint("the mirror was altered; begin anew in another folder"))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => self.write(&path, hashes),
            Err(error) => Err(CliError::file(&path, &error)),
        }
    }

    fn write(&mut self, path: &Path, bytes: &[u8]) -> CliResult {
        if let Some(folder) = path.parent() {
            files::make_dir(folder)?;
        }
        self.written.push(path.to_owned());
        files::publish(path, bytes)
    }

    /// Removes what this run wrote. What cannot be removed is checked by the next run like everything else.
    fn take_back(&self) {
        for path in &self.written {
            let _ = std::fs::remove_file(path);
        }
    }

    /// Removes partial tiles and bundles that wider ones have replaced. Nobody who reads by the checkpoint asks for them.
    fn tidy(&self, size: u64) -> CliResult {
        let last = size.saturating_sub(1) / WIDTH;
        let rows = (0..=LEVEL_MAX).map(|level| level.to_string()).chain(["entries".to_owned()]);
        for row in rows {
            let row = self.folder.join("tile").join(row);
            remove_partials(&row, &|path| {
                let relative = path.strip_prefix(self.folder).unwrap_or(path).to_string_lossy().into_owned();
                let of_size = Tile::from_path(&relative)
                    .map(|tile| Tile::of_size(tile.level(), tile.index(), size) == Some(tile))
                    .or_else(|| {
                        let bundle = Bundle::from_path(&relative)?;
                        Some(bundle.index() == last && Bundle::of_size(last, size) == Some(bundle))
                    });
                of_size == Some(true)
            })?;
        }
        Ok(())
    }
}

/// Removes the files in `.p` folders that are not to be kept, and the folders that become empty.
fn remove_partials(folder: &Path, kept: &dyn Fn(&Path) -> bool) -> CliResult {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(CliError::file(folder, &error)),
    };
    for entry in entries {
        let path = entry.map_err(|error| CliError::file(folder, &error))?.path();
        if !path.is_dir() {
            continue;
        }
        if path.extension().is_none_or(|extension| extension != "p") {
            remove_partials(&path, kept)?;
            continue;
        }
        for file in std::fs::read_dir(&path).map_err(|error| CliError::file(&path, &error))? {
            let file = file.map_err(|error| CliError::file(&path, &error))?.path();
            if !kept(&file) {
                std::fs::remove_file(&file).map_err(|error| CliError::file(&file, &error))?;
            }
        }
        // A folder that still holds a partial tile stays.
        let _ = std::fs::remove_dir(&path);
    }
    Ok(())
}
