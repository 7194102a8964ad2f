//! The table and the JSON document.

use std::path::Path;

use serde_json::{Value, json};

use super::BenchResult;
use super::machine::Machine;

/// One line of the table.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Name of the figure, as `--figure` takes it.
    pub(super) figure: &'static str,
    /// Dead validators.
    pub(super) faulty: u16,
    /// The figure, for people.
    pub(super) value: String,
    /// How it came about.
    pub(super) remark: String,
    /// The same for machines.
    pub(super) json: Value,
}

/// Everything that was measured, and on what.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// The machine.
    pub(super) machine: Machine,
    /// What the figures have in common.
    pub(super) setting: Vec<(&'static str, String)>,
    /// The figures.
    pub(super) rows: Vec<Row>,
}

impl Table {
    /// The table for people.
    pub(super) fn text(&self) -> String {
        let mut text = format!("machine   {}\n", self.machine.text());
        for (name, value) in &self.setting {
            text.push_str(&format!("{name:8}  {value}\n"));
        }
        let width = |of: fn(&Row) -> usize| self.rows.iter().map(of).max().unwrap_or(0).max(8);
        let (names, values) = (width(|row| row.figure.len()), width(|row| row.value.chars().count()));
        text.push_str(&format!("\n{:names$}  faulty  {:values$}  how\n", "figure", "value"));
        for row in &self.rows {
            let line =
                format!("{:names$}  {:6}  {:values$}  {}", row.figure, row.faulty, row.value, row.remark);
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// Writes the JSON document.
    pub(super) fn write(&self, path: &Path) -> BenchResult {
        let setting: serde_json::Map<String, Value> =
            self.setting.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| json!({ "figure": row.figure, "faulty": row.faulty, "value": row.value, "measured": row.json }))
            .collect();
        let document = json!({
            "schema": "city/v1/bench",
            "machine": self.machine.json(),
            "setting": setting,
            "figures": rows,
        });
        std::fs::write(path, serde_json::to_string_pretty(&document)? + "\n")?;
        Ok(())
    }
}
