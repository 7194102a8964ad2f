//! Reading secrets from files: owner only, bounded, wiped.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use chain_core::code::{Code, Refusal};
use chain_core::crypto::SecretKey;
use chain_core::genesis::KeyRole;
use chain_core::keyfile::{self, Passphrase};
use zeroize::Zeroizing;

/// Reads a small secret file. Its mode must not let group or others read it.
///
/// # Errors
/// `FILE_NOT_FOUND`, `KEY_FILE_PERMISSIONS`, `KEY_FILE_INVALID` when it is too long or no text.
pub fn read_secret(path: &Path, bytes_max: usize) -> Result<Zeroizing<String>, Refusal> {
    let missing =
        |error: std::io::Error| Refusal::new(Code::FileNotFound, format!("{}: {error}", path.display()));
    let mut file = std::fs::File::open(path).map_err(missing)?;
    let mode = file.metadata().map_err(missing)?.permissions().mode();
    if mode & 0o077 != 0 {
        let detail = format!("{} has mode {:o}, wants 600", path.display(), mode & 0o777);
        return Err(Refusal::new(Code::KeyFilePermissions, detail));
    }
    let mut text = Zeroizing::new(String::new());
    let limit = bytes_max as u64 + 1;
    let read = (&mut file).take(limit).read_to_string(&mut text);
    read.map_err(|error| Refusal::new(Code::KeyFileInvalid, format!("{}: {error}", path.display())))?;
    if text.len() > bytes_max {
        let detail = format!("{} is longer than {bytes_max} bytes", path.display());
        return Err(Refusal::new(Code::KeyFileInvalid, detail));
    }
    Ok(text)
}

/// Reads the passphrase file: one line.
///
/// # Errors
/// As [`read_secret`]; `KEY_FILE_INVALID` when the passphrase is too short or too long.
pub fn read_passphrase(path: &Path) -> Result<Passphrase, Refusal> {
    let text = read_secret(path, keyfile::PASSPHRASE_MAX + 2)?;
    Passphrase::new(text.trim_end_matches(['\r', '\n']))
}

/// Opens a key file for a role.
///
/// # Errors
/// As [`read_secret`]; `KEY_FILE_INVALID` when it does not open or holds a key of another role.
pub fn read_key(path: &Path, role: KeyRole, passphrase: Option<&Passphrase>) -> Result<SecretKey, Refusal> {
    let text = read_secret(path, keyfile::BYTES_MAX)?;
    keyfile::decrypt(&text, role, passphrase)
        .map(|file| file.secret)
        .map_err(|refusal| Refusal::new(refusal.code, format!("{}: {}", path.display(), refusal.detail)))
}
