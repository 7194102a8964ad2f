//! What is imported: one file, or all files of a folder, in the format that the mapping names.

use std::path::Path;

use chain_core::code::{Code, Refusal};
use chain_core::date::Date;

use crate::error::{CliError, CliResult};
use crate::filing::now_ms;

use super::mapping::{Format, Mapped, Mapping};
use super::sheet::Sheet;
use super::{archive, cap, entities, fhir, gtfs, ocds};

/// Most bytes of one import.
const BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Most files of a folder or an archive.
pub(super) const FILES_MAX: usize = 10_000;

/// A file in memory.
#[derive(Clone, Debug)]
pub(crate) struct File {
    /// Its name within the folder; empty where it was named alone.
    pub(crate) name: String,
    /// What it holds.
    pub(crate) bytes: Vec<u8>,
}

/// The rows of an import before they are judged.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    bytes: Vec<u8>,
    rows: Rows,
}

#[derive(Clone, Debug)]
enum Rows {
    Sheet(Sheet),
    Documents(Vec<Result<Mapped, Refusal>>),
}

impl Source {
    /// Reads a file, a folder, or stdin for `-`. `offset_minutes` is how far the city's time is ahead of UTC.
    pub(crate) fn read(path: &Path, mapping: &Mapping, offset_minutes: i16) -> CliResult<Self> {
        let files = match mapping.format {
            Format::Sheet => vec![File { name: String::new(), bytes: read_file(path)? }],
            Format::Entities | Format::Ocds | Format::Fhir => read_all(path, &["json", "jsonld"])?,
            Format::Cap => read_all(path, &["cap", "xml"])?,
            Format::Gtfs => unpacked(path, read_all(path, &["txt"])?, "txt")?,
        };
        let rows = match mapping.format {
            Format::Sheet => {
                let bytes = files.first().map_or(&[][..], |file| &file.bytes);
                Rows::Sheet(Sheet::parse(&path.display().to_string(), bytes)?)
            }
            Format::Entities => Rows::Documents(located(entities::read(&files, mapping))),
            Format::Ocds => Rows::Documents(located(ocds::read(&files, mapping))),
            Format::Cap => Rows::Documents(located(cap::read(&files, mapping, offset_minutes))),
            Format::Gtfs => Rows::Documents(located(gtfs::read(&files, mapping))),
            Format::Fhir => {
                Rows::Documents(located(fhir::read(&files, Date::of_time(now_ms(), offset_minutes))))
            }
        };
        Ok(Self { bytes: framed(files), rows })
    }

    /// What identifies the import: the bytes of the file, or names and bytes of all files.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        match &self.rows {
            Rows::Sheet(sheet) => sheet.len(),
            Rows::Documents(found) => found.len(),
        }
    }

    /// Columns of which nothing is taken, because the mapping does not name them.
    pub(crate) fn unnamed(&self, mapping: &Mapping) -> Vec<&str> {
        match &self.rows {
            Rows::Sheet(sheet) => mapping.unnamed(sheet),
            Rows::Documents(_) => Vec::new(),
        }
    }

    /// Every row in the record's terms with its number, from 1.
    ///
    /// # Errors
    /// Where the sheet as a whole does not fit the mapping.
    pub(crate) fn rows(
        &self,
        mapping: &Mapping,
        raw: bool,
    ) -> CliResult<Vec<(u64, Result<Mapped, Refusal>)>> {
        Ok(match &self.rows {
            Rows::Sheet(sheet) => {
                mapping.check_columns(sheet)?;
                sheet.rows().map(|row| (row.number, mapping.map(row, raw))).collect()
            }
            Rows::Documents(found) => (1..).zip(found.iter().cloned()).collect(),
        })
    }
}

impl From<Sheet> for Source {
    fn from(sheet: Sheet) -> Self {
        Self { bytes: Vec::new(), rows: Rows::Sheet(sheet) }
    }
}

/// A row of a document: the file that it stands in, and what it says.
pub(crate) type Found = (String, Result<Mapped, Refusal>);

/// Numbers what was found, and names the file in refusals where there are several.
fn located(found: Vec<Found>) -> Vec<Result<Mapped, Refusal>> {
    let located = (1..).zip(found).map(|(number, (file, verdict))| match verdict {
        Ok(mapped) => Ok(Mapped { row: number, ..mapped }),
        Err(refusal) if file.is_empty() => Err(refusal),
        Err(refusal) => Err(Refusal::new(refusal.code, format!("{file}: {}", refusal.detail))),
    });
    located.collect()
}

fn framed(mut files: Vec<File>) -> Vec<u8> {
    match &mut files[..] {
        [only] if only.name.is_empty() => std::mem::take(&mut only.bytes),
        files => {
            let mut bytes = Vec::new();
            for file in files {
                for part in [file.name.as_bytes(), &file.bytes] {
                    bytes.extend((part.len() as u64).to_be_bytes());
                    bytes.extend(part);
                }
            }
            bytes
        }
    }
}

/// The bytes of a file, or of stdin for `-`.
pub(crate) fn read_file(path: &Path) -> CliResult<Vec<u8>> {
    let failed = |error| CliError::file(path, &error);
    if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin().lock(), &mut bytes).map_err(failed)?;
        return Ok(bytes);
    }
    check_size(path, std::fs::metadata(path).map_err(failed)?.len())?;
    std::fs::read(path).map_err(failed)
}

/// A single file that is an archive, as what it holds.
fn unpacked(path: &Path, files: Vec<File>, extension: &str) -> CliResult<Vec<File>> {
    match &files[..] {
        [only] if only.name.is_empty() && archive::is_zip(&only.bytes) => {
            archive::unpack(&path.display().to_string(), &only.bytes, extension, BYTES_MAX)
        }
        _ => Ok(files),
    }
}

fn check_size(path: &Path, length: u64) -> CliResult {
    if length <= BYTES_MAX {
        return Ok(());
    }
    let detail = format!("{}: {length} bytes, at most {BYTES_MAX}", path.display());
    Err(CliError::new(Code::SizeLimit, detail).hint("split it"))
}

/// A file, or those of a folder with one of these extensions, by name.
fn read_all(path: &Path, extensions: &[&str]) -> CliResult<Vec<File>> {
    if !path.is_dir() {
        return Ok(vec![File { name: String::new(), bytes: read_file(path)? }]);
    }
    let failed = |error| CliError::file(path, &error);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let found = entry.map_err(failed)?.path();
        let fits =
            found.extension().and_then(|end| end.to_str()).is_some_and(|end| extensions.contains(&end));
        if fits && found.is_file() {
            names.push(found);
        }
    }
    names.sort();
    if names.is_empty() || names.len() > FILES_MAX {
        let detail = format!(
            "{}: {} files named .{}, wants 1 to {FILES_MAX}",
            path.display(),
            names.len(),
            extensions.join(" or .")
        );
        return Err(CliError::new(Code::BadSpreadsheet, detail));
    }
    let mut files = Vec::new();
    let mut total = 0;
    for found in names {
        let bytes = read_file(&found)?;
        total += bytes.len() as u64;
        check_size(path, total)?;
        let name = found.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        files.push(File { name, bytes });
    }
    Ok(files)
}
