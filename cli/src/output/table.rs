//! Tables for people.

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde_json::Value;

/// One line per row, headings on top.
pub(super) fn columns(columns: &[String], rows: &[Value]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|name| name.to_uppercase()));
    for row in rows {
        table.add_row(columns.iter().map(|name| cell(&row[name.as_str()]).replace('\n', " ")));
    }
    trimmed(&table.to_string())
}

/// One line per field.
pub(super) fn fields(columns: &[String], item: &Value) -> String {
    let width = columns.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let shown = columns.iter().filter(|name| !item[name.as_str()].is_null());
    shown
        .map(|name| {
            let value = &item[name.as_str()];
            let text = match value {
                Value::Object(_) => serde_json::to_string_pretty(value).unwrap_or_default(),
                _ => cell(value),
            };
            let text = text.replace('\n', &format!("\n{:width$}  ", ""));
            format!("{name:width$}  {text}\n")
        })
        .collect()
}

/// One value as text.
pub(super) fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join("|"),
        other => other.to_string(),
    };
    // Control characters from the ledger must not steer the reader's terminal.
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

fn trimmed(text: &str) -> String {
    text.lines().map(|line| line.trim_end().trim_start_matches(' ').to_owned() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_line_up_and_missing_values_stay_blank() {
        let names = ["name".to_owned(), "height".to_owned()];
        let text = columns(&names, &[json!({"name": "a", "height": 1204}), json!({"name": "market"})]);
        assert_eq!(text, "NAME    HEIGHT\na       1204\nmarket\n");
    }

    #[test]
    fn a_row_is_one_line() {
        let text = columns(&["detail".to_owned()], &[json!({"detail": "line 1\n  line 2"})]);
        assert_eq!(text, "DETAIL\nline 1   line 2\n");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(cell(&json!("a\u{1b}[31mb")), "a\u{fffd}[31mb");
    }
}
