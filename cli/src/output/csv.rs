//! CSV for spreadsheets.

use serde_json::Value;

use crate::error::{CliError, CliResult};

use super::table::cell;

/// Headings and rows.
pub(super) fn text(columns: &[String], rows: &[Value]) -> CliResult<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(columns).map_err(CliError::internal)?;
    for row in rows {
        let cells = columns.iter().map(|name| match &row[name.as_str()] {
            Value::Number(number) => number.to_string(),
            other => escape_formula(&cell(other)),
        });
        writer.write_record(cells).map_err(CliError::internal)?;
    }
    let bytes = writer.into_inner().map_err(CliError::internal)?;
    String::from_utf8(bytes).map_err(CliError::internal)
}

/// Puts an apostrophe before text that a spreadsheet would run as a formula.
pub(super) fn escape_formula(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn formula_cells_are_escaped_and_numbers_are_not() {
        let names = ["name".to_owned(), "height".to_owned()];
        let rows = [json!({"name": "=HYPERLINK(\"x\")", "height": -3}), json!({"name": "@a"})];
        assert_eq!(text(&names, &rows).unwrap(), "name,height\n\"'=HYPERLINK(\"\"x\"\")\",-3\n'@a,\n");
        for start in ["=1", "+1", "-1", "@x", "\t1", "\r1"] {
            assert!(escape_formula(start).starts_with('\''), "{start:?}");
        }
    }
}
