//! A ZIP archive as the files that it holds: what a folder of the same files would give.

use std::io::{Cursor, Read};

use chain_core::code::Code;
use zip::ZipArchive;
use zip::result::ZipError;

use super::source::{FILES_MAX, File};
use crate::error::{CliError, CliResult};

/// Whether these are the bytes of an archive: with a file, or with none (APPNOTE.TXT 6.3, 4.3.7 and 4.3.16).
pub(super) fn is_zip(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06")
}

/// The files of an archive with this extension, by name; others are left aside. Unpacked they are `bytes_max` bytes at most.
///
/// # Errors
/// `BAD_SPREADSHEET` where the archive is damaged or encrypted, holds no such file, one twice or one within a folder;
/// `SIZE_LIMIT` where it holds more, however small it is packed.
pub(super) fn unpack(shown: &str, bytes: &[u8], extension: &str, bytes_max: u64) -> CliResult<Vec<File>> {
    let damaged = |error: ZipError| {
        CliError::new(Code::BadSpreadsheet, format!("{shown}: {error}")).hint(
            "compare its digest with the publisher's, or fetch it again; encrypted archives are not read",
        )
    };
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
    if archive.len() > FILES_MAX {
        let detail = format!("{shown}: {} files, at most {FILES_MAX}", archive.len());
        return Err(CliError::new(Code::SizeLimit, detail));
    }
    let mut files: Vec<File> = Vec::new();
    let mut left = bytes_max;
    for at in 0..archive.len() {
        let entry = archive.by_index(at).map_err(damaged)?;
        let name = entry.name().to_owned();
        let fits = name.rsplit_once('.').is_some_and(|(_, end)| end == extension);
        if entry.is_dir() || !fits {
            continue;
        }
        if name.contains(['/', '\\']) {
            let detail = format!("{shown}: {name:?} stands within a folder of the archive");
            let hint = "pack the files themselves, not the folder that they stand in";
            return Err(CliError::new(Code::BadSpreadsheet, detail).hint(hint));
        }
        let mut content = Vec::new();
        // One byte more than there is room for shows that there is more, whatever the archive says of its sizes.
        let failed = |error| CliError::new(Code::BadSpreadsheet, format!("{shown}: {name}: {error}"));
        entry.take(left + 1).read_to_end(&mut content).map_err(failed)?;
        left = left.checked_sub(content.len() as u64).ok_or_else(|| {
            CliError::new(Code::SizeLimit, format!("{shown}: unpacked over {bytes_max} bytes"))
                .hint("split it")
        })?;
        files.push(File { name, bytes: content });
    }
    files.sort_by(|one, two| one.name.cmp(&two.name));
    if files.is_empty() {
        let detail = format!("{shown}: no file named .{extension}, wants at least one");
        return Err(CliError::new(Code::BadSpreadsheet, detail));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    fn packed(files: &[(&str, &str)]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in files {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(content.as_bytes()).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn refused(bytes: &[u8], bytes_max: u64) -> (Code, String) {
        let error = unpack("feed.zip", bytes, "txt", bytes_max).unwrap_err();
        (error.refusal.code, error.refusal.detail)
    }

    #[test]
    fn files_come_by_name_and_others_are_left_aside() {
        let bytes = packed(&[("stops.txt", "b"), ("agency.txt", "a"), ("locations.geojson", "{}")]);
        assert!(is_zip(&bytes));
        let files = unpack("feed.zip", &bytes, "txt", 2).unwrap();
        let got: Vec<_> = files.iter().map(|file| (file.name.as_str(), &file.bytes[..])).collect();
        assert_eq!(got, [("agency.txt", &b"a"[..]), ("stops.txt", b"b")]);
    }

    #[test]
    fn what_unpacks_to_more_than_there_is_room_for_is_refused() {
        let zeros = "0".repeat(1 << 20);
        let bytes = packed(&[("stops.txt", &zeros), ("trips.txt", &zeros)]);
        assert!(bytes.len() < 1 << 14, "{} bytes", bytes.len());
        assert!(unpack("feed.zip", &bytes, "txt", 2 << 20).is_ok());
        assert_eq!(
            refused(&bytes, (2 << 20) - 1),
            (Code::SizeLimit, "feed.zip: unpacked over 2097151 bytes".to_owned())
        );
    }

    #[test]
    fn a_folder_within_an_empty_and_a_damaged_archive_are_refused() {
        let (code, detail) = refused(&packed(&[("feed/stops.txt", "b")]), 100);
        assert_eq!((code, detail.contains("feed/stops.txt")), (Code::BadSpreadsheet, true));
        assert_eq!(refused(&packed(&[("readme.md", "b")]), 100).0, Code::BadSpreadsheet);
        let whole = packed(&[("stops.txt", "some stops, and some more stops")]);
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            // Nothing panics, and content that does not have its checksum is not taken.
            if let Ok(files) = unpack("feed.zip", &bytes, "txt", 100) {
                assert_eq!(files[0].bytes, b"some stops, and some more stops", "byte {at}");
            }
        }
        assert_eq!(refused(&whole[..whole.len() / 2], 100).0, Code::BadSpreadsheet);
    }
}
