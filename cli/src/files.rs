//! Files that must survive a crash, and files that only their owner may read.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use chain_core::code::Code;

use crate::error::{CliError, CliResult};

/// Reads a text file.
pub(crate) fn read(path: &Path) -> CliResult<String> {
    String::from_utf8(read_bytes(path)?).map_err(|_| {
        let error =
            std::io::Error::new(std::io::ErrorKind::InvalidData, "stream did not contain valid UTF-8");
        CliError::file(path, &error)
    })
}

/// Reads a file, or stdin for `-`, as it is.
pub(crate) fn read_bytes(path: &Path) -> CliResult<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = match path.as_os_str() == "-" {
        true => std::io::Read::read_to_end(&mut std::io::stdin().lock(), &mut bytes).map(|_| bytes),
        false => std::fs::read(path),
    };
    read.map_err(|error| CliError::file(path, &error))
}

/// Reads a file with a secret: refused when group or others may read it.
pub(crate) fn read_secret(path: &Path) -> CliResult<String> {
    let mode = std::fs::metadata(path).map_err(|error| CliError::file(path, &error))?.permissions().mode();
    if mode & 0o077 != 0 {
        let detail = format!("{} has mode {:o}", path.display(), mode & 0o777);
        return Err(
            CliError::new(Code::KeyFilePermissions, detail).hint(format!("chmod 600 {}", path.display()))
        );
    }
    read(path)
}

/// Writes a file that must not exist yet, readable by its owner only.
pub(crate) fn create_secret(path: &Path, text: &str) -> CliResult {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|error| CliError::file(path, &error))?;
    sync_parent(path)
}

/// Writes a file that must not exist yet.
pub(crate) fn create(path: &Path, text: &str) -> CliResult {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|error| CliError::file(path, &error))?;
    sync_parent(path)
}

/// Replaces a file as a whole: readers see the old or the new content, also after a crash.
pub(crate) fn replace(path: &Path, content: impl AsRef<[u8]>) -> CliResult {
    replace_with(path, content.as_ref(), 0o600)?;
    sync_parent(path)
}

/// Writes a file for everybody to read, as a whole. Its directory entry is durable with a later one of the same folder.
pub(crate) fn publish(path: &Path, bytes: &[u8]) -> CliResult {
    replace_with(path, bytes, 0o644)
}

fn replace_with(path: &Path, bytes: &[u8], mode: u32) -> CliResult {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = PathBuf::from(name);
    let write = || {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|error| CliError::file(path, &error))
}

/// Makes a directory and its parents.
pub(crate) fn make_dir(path: &Path) -> CliResult {
    std::fs::create_dir_all(path).map_err(|error| CliError::file(path, &error))
}

/// Makes the directory entry of a file durable.
pub(crate) fn sync_parent(path: &Path) -> CliResult {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(|error| CliError::file(parent, &error))
}

/// Random bytes from the operating system.
pub(crate) fn random<const N: usize>() -> CliResult<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(CliError::internal)?;
    Ok(bytes)
}
