//! An append-only file of checksummed lines.
//!
//! A line is eight hexadecimal digits of the SHA-256 of its text, a space, the text as JSON, and a line feed. A last line without
//! its line feed was cut by a crash; nobody was told that it is there, so it is removed. Any other line that does not match its
//! checksum is damage, and nothing is read past it.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use chain_core::code::Code;
use chain_core::crypto::Digest;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{CliError, CliResult};
use crate::files;

/// Hexadecimal digits of a checksum.
const SUM: usize = 8;

/// An open file of lines.
#[derive(Debug)]
pub(crate) struct Lines {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Lines {
    /// Opens the file, makes it where it is missing, and hands over every line in order.
    ///
    /// # Errors
    /// `STORAGE_CORRUPT` for a whole line that is not what was written.
    pub(crate) fn open<T: DeserializeOwned>(path: &Path, mut each: impl FnMut(T)) -> CliResult<Self> {
        let failed = |error: std::io::Error| CliError::file(path, &error);
        let fresh = !path.exists();
        let options = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path);
        let mut file = options.map_err(failed)?;
        if fresh {
            files::sync_parent(path)?;
        }
        let mut reader = BufReader::new(&file);
        let (mut whole, mut line) = (0_u64, Vec::new());
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(failed)?;
            if read == 0 || !line.ends_with(b"\n") {
                break;
            }
            each(parse(&line).ok_or_else(|| damaged(path, whole))?);
            whole += read as u64;
        }
        file.set_len(whole).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        Ok(Self { path: path.to_owned(), file, bytes: whole })
    }

    /// How long the file is.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds lines; they are durable when this returns.
    pub(crate) fn append<T: Serialize>(&mut self, values: &[T]) -> CliResult {
        let text = text(values)?;
        self.file
            .write_all(&text)
            .and_then(|()| self.file.sync_data())
            .map_err(|error| CliError::file(&self.path, &error))?;
        self.bytes += text.len() as u64;
        Ok(())
    }

    /// Puts other lines in the place of all; a crash leaves the old ones or the new ones.
    pub(crate) fn replace<T: Serialize>(&mut self, values: &[T]) -> CliResult {
        files::replace(&self.path, text(values)?)?;
        *self = Self::open::<serde_json::Value>(&self.path, |_| {})?;
        Ok(())
    }
}

fn text<T: Serialize>(values: &[T]) -> CliResult<Vec<u8>> {
    let mut text = Vec::new();
    for value in values {
        let json = serde_json::to_string(value).map_err(CliError::internal)?;
        text.extend_from_slice(checksum(json.as_bytes()).as_bytes());
        text.push(b' ');
        text.extend_from_slice(json.as_bytes());
        text.push(b'\n');
    }
    Ok(text)
}

fn checksum(text: &[u8]) -> String {
    let mut sum = Digest::tagged(b"", &[text]).to_string();
    sum.truncate(SUM);
    sum
}

fn parse<T: DeserializeOwned>(line: &[u8]) -> Option<T> {
    let (sum, json) = line.strip_suffix(b"\n")?.split_at_checked(SUM)?;
    let json = json.strip_prefix(b" ")?;
    (checksum(json).as_bytes() == sum).then(|| serde_json::from_slice(json).ok()).flatten()
}

fn damaged(path: &Path, at: u64) -> CliError {
    let detail = format!("{}: the line at byte {at} is not what was written", path.display());
    CliError::new(Code::StorageCorrupt, detail)
        .hint("keep the folder as it is; what stands before that byte is whole (docs/operate/gateway.md)")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> CliResult<Vec<u32>> {
        let mut all = Vec::new();
        Lines::open(path, |number| all.push(number)).map(|_| all)
    }

    #[test]
    fn a_line_cut_at_any_byte_is_as_if_it_had_not_been_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lines");
        let mut lines = Lines::open::<u32>(&path, |_| {}).unwrap();
        lines.append(&[1_u32, 2]).unwrap();
        let before = usize::try_from(lines.bytes()).unwrap();
        lines.append(&[345_u32]).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for cut in before..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert_eq!(read(&path).unwrap(), [1, 2], "cut at {cut}");
            Lines::open::<u32>(&path, |_| {}).unwrap().append(&[6_u32]).unwrap();
            assert_eq!(read(&path).unwrap(), [1, 2, 6], "cut at {cut}");
        }
    }

    #[test]
    fn a_changed_byte_is_damage_wherever_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lines");
        Lines::open::<u32>(&path, |_| {}).unwrap().append(&[10_u32, 20, 30]).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            // The last line feed changed is a last line that was cut.
            let wanted = (at == whole.len() - 1).then(|| vec![10, 20]);
            assert_eq!(read(&path).ok(), wanted, "byte {at}");
            if wanted.is_none() {
                assert_eq!(std::fs::read(&path).unwrap(), bytes, "damage is left as it is");
            }
        }
    }

    #[test]
    fn replacing_keeps_nothing_of_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lines");
        let mut lines = Lines::open::<u32>(&path, |_| {}).unwrap();
        lines.append(&[1_u32, 2]).unwrap();
        lines.replace(&[7_u32]).unwrap();
        lines.append(&[8_u32]).unwrap();
        assert_eq!(read(&path).unwrap(), [7, 8]);
    }
}
