//! Whoever meets a rule's name or a section's number in the engine finds it in `docs/protocol.md`.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// A letter of a rule, a number below a hundred, and for some a small letter: `R1b`, `M17`.
fn is_rule(word: &str) -> bool {
    let Some(rest) = word.strip_prefix(['R', 'M', 'T', 'A', 'D']) else { return false };
    let number = rest.trim_end_matches(|end: char| end.is_ascii_lowercase());
    let letters = rest.len() - number.len();
    (1..=2).contains(&number.len()) && letters <= 1 && number.bytes().all(|digit| digit.is_ascii_digit())
}

fn rules(text: &str) -> BTreeSet<&str> {
    text.split(|at: char| !at.is_ascii_alphanumeric()).filter(|word| is_rule(word)).collect()
}

/// Rules that the text explains: their names stand in bold.
fn explained(text: &str) -> BTreeSet<&str> {
    text.split("**").skip(1).step_by(2).filter(|word| is_rule(word)).collect()
}

/// Section numbers after the name of the text: `docs/protocol.md, 5.4 and 6`.
fn sections(text: &str) -> BTreeSet<&str> {
    let after =
        text.split("docs/protocol.md, ").skip(1).map(|rest| rest.split([')', '\n', ';']).next().unwrap());
    after
        .flat_map(|list| {
            list.split([',', ' ']).filter(|word| word.starts_with(|at: char| at.is_ascii_digit()))
        })
        .collect()
}

#[test]
fn every_rule_and_section_that_the_engine_names_is_in_the_protocol() {
    let protocol = std::fs::read_to_string(root().join("docs/protocol.md")).unwrap();
    assert!(protocol.lines().count() < 400);
    let known = explained(&protocol);
    let headings: BTreeSet<&str> = protocol
        .lines()
        .filter_map(|line| line.strip_prefix("## ").or_else(|| line.strip_prefix("### ")))
        .filter_map(|heading| Some(heading.split(' ').next()?.trim_end_matches('.')))
        .collect();
    let mut files = Vec::new();
    sources(&root().join("consensus/src"), &mut files);
    let (mut named, mut referred) = (BTreeSet::new(), BTreeSet::new());
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        named.extend(rules(&text).into_iter().map(str::to_owned));
        referred.extend(sections(&text).into_iter().map(str::to_owned));
    }
    assert!(named.len() > 20 && referred.len() > 5, "{named:?} {referred:?}");
    let missing: Vec<_> = named.iter().filter(|rule| !known.contains(rule.as_str())).collect();
    assert!(missing.is_empty(), "not in docs/protocol.md: {missing:?}");
    let missing: Vec<_> = referred.iter().filter(|section| !headings.contains(section.as_str())).collect();
    assert!(missing.is_empty(), "no such section in docs/protocol.md: {missing:?}");
}

#[test]
fn names_of_rules_are_told_from_other_words() {
    let text = "R1e, M17 and T3 (A6); not R, R123, E0410, T1ab, MB, SHA256 or D4x2.";
    assert_eq!(rules(text).into_iter().collect::<Vec<_>>(), ["A6", "M17", "R1e", "T3"]);
    assert_eq!(explained("**R1**, **bold** R2 **M8**").into_iter().collect::<Vec<_>>(), ["M8", "R1"]);
    assert_eq!(sections("(R1; docs/protocol.md, 5.4 and 6)").into_iter().collect::<Vec<_>>(), ["5.4", "6"]);
}
