//! The page of what broke elsewhere is whole: a row for every line, and every test it names exists.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::path::{Path, PathBuf};

/// How many lines each part has.
const PARTS: [(char, u32); 7] = [('A', 10), ('B', 14), ('C', 13), ('D', 8), ('E', 4), ('F', 6), ('G', 5)];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Line, what broke, where, and our tests.
fn rows() -> Vec<[String; 4]> {
    let page = std::fs::read_to_string(root().join("docs/robustness/pitfalls.md")).unwrap();
    let cells =
        |row: &str| row.split('|').skip(1).take(4).map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| Line"));
    rows.map(|row| cells(row).try_into().unwrap()).collect()
}

/// The tests that a cell names, each with its file.
fn named(cell: &str) -> Vec<(PathBuf, String)> {
    let mut file = PathBuf::new();
    let mut tests = Vec::new();
    for word in cell.split('`').skip(1).step_by(2) {
        if Path::new(word).extension().is_some_and(|end| end == "rs") {
            file = root().join(word);
        } else {
            tests.push((file.clone(), word.to_owned()));
        }
    }
    tests
}

#[test]
fn every_line_has_a_row_in_order_that_says_what_and_where() {
    let want: Vec<String> =
        PARTS.iter().flat_map(|(part, lines)| (1..=*lines).map(move |at| format!("{part}{at}"))).collect();
    assert_eq!(want.len(), 60);
    let rows = rows();
    assert_eq!(rows.iter().map(|row| row[0].clone()).collect::<Vec<_>>(), want);
    for [line, what, place, _] in &rows {
        assert!(what.len() > 10 && place.len() > 2, "{line}");
    }
}

#[test]
fn every_test_in_the_table_exists_and_one_of_each_row_bears_its_number() {
    for [line, _, _, cell] in rows() {
        let tests = named(&cell);
        for (file, test) in &tests {
            let source = std::fs::read_to_string(file)
                .unwrap_or_else(|_| panic!("{line}: no file {}", file.display()));
            let stands = source.contains(&format!("#[test]\nfn {test}()"))
                || source.contains(&format!("#[test]\n    fn {test}()"));
            assert!(stands, "{line}: no test {test} in {}", file.display());
        }
        let (part, number) = line.split_at(1);
        let prefix = format!("{}{:02}_", part.to_lowercase(), number.parse::<u32>().unwrap());
        assert!(tests.iter().any(|(_, test)| test.starts_with(&prefix)), "{line} has no test of its own");
    }
}

/// The other way round: a test that bears a number stands in that line's row.
#[test]
fn every_test_with_a_number_is_in_the_table() {
    let mut files = Vec::new();
    for folder in ["chain-core", "consensus", "node", "cli", "tests"] {
        sources(&root().join(folder), &mut files);
    }
    let rows = rows();
    let mut seen = 0;
    for file in files {
        for line in std::fs::read_to_string(&file).unwrap().lines() {
            let Some(name) = line.trim_start().strip_prefix("fn ").and_then(|rest| rest.split('(').next())
            else {
                continue;
            };
            let numbered = name.len() > 4
                && name.as_bytes()[3] == b'_'
                && name[1..3].bytes().all(|digit| digit.is_ascii_digit())
                && name.starts_with(|part: char| ('a'..='g').contains(&part));
            if numbered {
                seen += 1;
                let number: u32 = name[1..3].parse().unwrap();
                let line = format!("{}{number}", name[..1].to_uppercase());
                let row = rows.iter().find(|row| row[0] == line);
                let row = row.unwrap_or_else(|| panic!("{name} bears the number of no line"));
                assert!(row[3].contains(&format!("`{name}`")), "{name} is missing in row {line}");
            }
        }
    }
    assert!(seen > 100, "{seen}");
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}
