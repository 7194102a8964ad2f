//! A JSON array of flat objects as a sheet: a row for each, a column for each name. Numbers are taken as they are written.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::{ROWS_MAX, Sheet, bad};
use crate::error::{CliError, CliResult};
use chain_core::code::Code;

/// Reads the text of a file.
pub(super) fn parse(name: &str, text: &str) -> CliResult<Sheet> {
    let objects: Vec<BTreeMap<String, Box<RawValue>>> =
        serde_json::from_str(text).map_err(|error| bad(format!("{name}: {error}")))?;
    if objects.len() > ROWS_MAX {
        let detail = format!("{name}: more than {ROWS_MAX} rows");
        return Err(CliError::new(Code::SizeLimit, detail).hint("split the file"));
    }
    let mut headings = BTreeMap::new();
    for heading in objects.iter().flat_map(BTreeMap::keys) {
        let next = headings.len();
        headings.entry(heading.clone()).or_insert(next);
    }
    if headings.is_empty() {
        return Err(bad(format!("{name}: the objects have no members")));
    }
    let mut rows = Vec::new();
    for (object, number) in objects.iter().zip(1..) {
        let mut cells = vec![String::new(); headings.len()];
        for (heading, value) in object {
            if let Some(cell) = headings.get(heading).and_then(|&at| cells.get_mut(at)) {
                *cell = cell_of(value.get())
                    .map_err(|why| bad(format!("{name}, object {number}, {heading}: {why}")))?;
            }
        }
        rows.push(cells);
    }
    Ok(Sheet { headings, rows })
}

fn cell_of(text: &str) -> Result<String, String> {
    match text.as_bytes().first() {
        Some(b'"') => serde_json::from_str(text).map_err(|error| error.to_string()),
        Some(b'{' | b'[') => Err("an object or a list, wants a text or a number".to_owned()),
        _ if text == "null" => Ok(String::new()),
        _ => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_rows_and_numbers_keep_their_digits() {
        let text = r#" [{"id": "a", "lat": 32.10, "open": true}, {"id": "b", "lat": null, "more": 12345678901234567890}]"#;
        let sheet = Sheet::parse("x", text.as_bytes()).unwrap();
        let headings: Vec<&str> = sheet.headings().collect();
        assert_eq!(headings, ["id", "lat", "more", "open"]);
        let cells: Vec<Vec<&str>> =
            sheet.rows().map(|row| headings.iter().map(|heading| row.cell(heading)).collect()).collect();
        assert_eq!(cells, [["a", "32.10", "", "true"], ["b", "", "12345678901234567890", ""]]);
    }

    #[test]
    fn what_is_no_row_is_refused_with_its_place() {
        for (text, place) in [
            (r#"[{"a": {"b": 1}}]"#, "object 1, a"),
            (r#"[{"a": 1}, {"a": [1]}]"#, "object 2, a"),
            ("[]", "no members"),
            ("[1]", "x: "),
        ] {
            let error = Sheet::parse("x", text.as_bytes()).unwrap_err();
            assert!(
                error.code() == Code::BadSpreadsheet && error.report().contains(place),
                "{}",
                error.report()
            );
        }
    }
}
