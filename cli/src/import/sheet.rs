//! A spreadsheet saved as CSV: UTF-8, with or without a byte order mark, one heading row. Or a JSON array of flat objects, as
//! interfaces of intake systems give them: a row each.

mod objects;

use std::collections::BTreeMap;
use std::path::Path;

use chain_core::code::Code;

use crate::error::{CliError, CliResult};

use super::normalise::prose;
use super::source;

/// Most rows of one file.
const ROWS_MAX: usize = 1_000_000;

/// A spreadsheet in memory.
#[derive(Clone, Debug)]
pub(crate) struct Sheet {
    headings: BTreeMap<String, usize>,
    rows: Vec<Vec<String>>,
}

/// One row, numbered from 1 below the heading.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    /// As people count: the first row under the heading is 1.
    pub(crate) number: u64,
    sheet: &'a Sheet,
    cells: &'a [String],
}

impl Sheet {
    /// Reads a file, or stdin for `-`.
    pub(crate) fn read(path: &Path) -> CliResult<Self> {
        Self::parse(&path.display().to_string(), &source::read_file(path)?)
    }

    /// Reads the bytes of a file.
    pub(crate) fn parse(name: &str, bytes: &[u8]) -> CliResult<Self> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let at = error.valid_up_to();
            let line = bytes[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
            bad(format!("{name}: byte {at} in line {line} is not UTF-8"))
                .hint("save the sheet as CSV UTF-8, or convert it: iconv -f GB18030 -t UTF-8 IN > OUT")
        })?;
        if text.trim_start().starts_with('[') {
            return objects::parse(name, text);
        }
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
        let mut headings = BTreeMap::new();
        for (at, heading) in
            reader.headers().map_err(|error| bad(format!("{name}: {error}")))?.iter().enumerate()
        {
            let heading = prose(heading).to_owned();
            if !heading.is_empty() && headings.insert(heading.clone(), at).is_some() {
                return Err(bad(format!("{name}: two columns are headed {heading}")));
            }
        }
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|error| bad(format!("{name}: {error}")))?;
            if rows.len() == ROWS_MAX {
                let detail = format!("{name}: more than {ROWS_MAX} rows");
                return Err(CliError::new(Code::SizeLimit, detail).hint("split the file"));
            }
            rows.push(record.iter().map(str::to_owned).collect());
        }
        if headings.is_empty() {
            return Err(bad(format!("{name}: there is no heading row")));
        }
        Ok(Self { headings, rows })
    }

    /// One row whose cells are known by their headings.
    pub(crate) fn of_cells(cells: BTreeMap<String, String>) -> Self {
        let (headings, cells): (Vec<String>, Vec<String>) = cells.into_iter().unzip();
        Self { headings: headings.into_iter().zip(0..).collect(), rows: vec![cells] }
    }

    /// The headings, by name.
    pub(crate) fn headings(&self) -> impl Iterator<Item = &str> {
        self.headings.keys().map(String::as_str)
    }

    /// Whether there is a column with this heading.
    pub(crate) fn has(&self, heading: &str) -> bool {
        self.headings.contains_key(heading)
    }

    /// How many rows stand under the heading.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// All rows in order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().zip(1..).map(|(cells, number)| Row { number, sheet: self, cells })
    }
}

impl<'a> Row<'a> {
    /// The cell under a heading, `""` where the row ends before it.
    pub(crate) fn cell(&self, heading: &str) -> &'a str {
        let at = self.sheet.headings.get(heading);
        at.and_then(|&at| self.cells.get(at)).map_or("", String::as_str)
    }

    /// The cells that are not empty, with their headings.
    pub(crate) fn filled(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let cells = self.cells;
        self.sheet.headings.iter().filter_map(move |(heading, &at)| {
            let cell = cells.get(at).map(String::as_str)?;
            (!prose(cell).is_empty()).then_some((heading.as_str(), cell))
        })
    }

    /// Cells of the row, headed or not.
    pub(crate) fn cells(&self) -> &'a [String] {
        self.cells
    }

    /// Whether the row has more cells than the sheet has headings: a sign of an unquoted comma.
    pub(crate) fn overflows(&self) -> bool {
        let width = self.sheet.headings.values().max().map_or(0, |&at| at + 1);
        self.cells.iter().skip(width).any(|cell| !prose(cell).is_empty())
    }
}

fn bad(detail: String) -> CliError {
    CliError::new(Code::BadSpreadsheet, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_and_line_ends_of_windows_are_read() {
        let sheet = Sheet::parse("x", "\u{feff}名称, 编号 \r\n甲,1\r\n\"乙,丙\",2\r\n".as_bytes()).unwrap();
        assert!(sheet.has("编号") && sheet.len() == 2);
        let cells: Vec<_> =
            sheet.rows().map(|row| (row.number, row.cell("名称"), row.cell("编号"))).collect();
        assert_eq!(cells, [(1, "甲", "1"), (2, "乙,丙", "2")]);
    }

    #[test]
    fn other_encodings_are_refused_with_the_way_out() {
        // "名称" in GB18030.
        let error = Sheet::parse("x", b"\xc3\xfb\xb3\xc6,a\n").unwrap_err();
        assert_eq!(error.code(), Code::BadSpreadsheet);
        assert!(error.report().contains("iconv -f GB18030"), "{}", error.report());
    }

    #[test]
    fn ragged_rows_and_double_headings_are_seen() {
        let sheet = Sheet::parse("x", b"a,b\n1\n1,2,3\n").unwrap();
        let rows: Vec<_> = sheet.rows().map(|row| (row.cell("b"), row.overflows())).collect();
        assert_eq!(rows, [("", false), ("2", true)]);
        assert_eq!(Sheet::parse("x", b"a,a\n").unwrap_err().code(), Code::BadSpreadsheet);
    }
}
