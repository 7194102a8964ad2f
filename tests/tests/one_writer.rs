//! One writer: blocks become final in one place, are handed to execution in one place, and are executed in one place
//! (docs/protocol.md, 6 and 7). Systems in which synchronisation had a path of its own committed blocks twice.
//!
//! The types hold most of it. Outside the crate `consensus` nobody can make a `Write::Commit` or a `Delivery`, and a
//! ledger store has at most one `LedgerWriter`. What is left is looked up here, in the sources: who calls what makes
//! blocks final, and who asks for that writer.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A call or a construction, and the file in which alone it stands, and how often.
const PLACES: &[(&str, &str, usize)] = &[
    // Blocks leave the tree as final, and are written as such.
    (".finalise(&last)", "consensus/src/engine/certificates.rs", 1),
    ("Write::Commit { certificate: ", "consensus/src/engine/certificates.rs", 1),
    // Final blocks are handed over.
    ("Action::Deliver(Box::new", "consensus/src/engine/deliver.rs", 1),
    ("(Delivery {", "consensus/src/engine/deliver.rs", 1),
    // The store's tables of what is final: where they are written.
    ("put_cf(heights", "node/src/storage/consensus.rs", 1),
    ("family(&self.db, \"certs\"), key, encoded", "node/src/storage/consensus.rs", 1),
    // Blocks are executed: ordinary ones, and the first after an act of recovery.
    (" execute_block(", "node/src/executor.rs", 1),
    (" execute_recovered_block(", "node/src/executor.rs", 1),
    // A dry run executes a block that never was: it gets the outcomes, and nothing that could be written.
    (" try_block(", "node/src/local/trial.rs", 1),
    // Whoever holds the writer executes; it writes the genesis and each block.
    (".writer()", "node/src/executor.rs", 1),
    ("LedgerWriter(self)", "node/src/storage/ledger.rs", 1),
    ("writer.write(&block)", "node/src/executor.rs", 2),
    // There is one executor at a time: for what was final before the start, then for the engine's deliveries.
    ("Executor::open(", "node/src/start.rs", 2),
];

/// Names that stand in these files only, whatever is done with them: an alias does not get around that.
const CONFINED: &[(&str, &[&str])] = &[
    // Those of the node are the tracker's word for a transaction that a block has ordered.
    (
        "finalise",
        &[
            "consensus/src/chain.rs",
            "consensus/src/engine/certificates.rs",
            "node/src/driver.rs",
            "node/src/driver/tracker.rs",
        ],
    ),
    // The driver passes them on from the engine to the executor.
    (
        "Delivery",
        &[
            "consensus/src/action.rs",
            "consensus/src/engine/deliver.rs",
            "node/src/driver.rs",
            "node/src/executor.rs",
        ],
    ),
    ("LedgerWriter", &["node/src/storage/ledger.rs", "node/src/executor.rs"]),
    ("execute_block", &["node/src/executor.rs"]),
    ("execute_recovered_block", &["node/src/executor.rs"]),
    ("try_block", &["node/src/local/trial.rs"]),
];

#[test]
fn blocks_become_final_and_are_executed_in_one_place() {
    let sources = sources();
    assert!(sources.len() > 40, "found {} sources", sources.len());
    let mut wrong = misplaced(&sources);
    wrong.extend(strays(&sources));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_second_place_is_noticed() {
    let second = |code: &str| {
        let mut sources = sources();
        sources.push(("node/src/driver/sync.rs".to_owned(), code.to_owned()));
        misplaced(&sources).len() + strays(&sources).len()
    };
    assert_eq!(second("fn harmless() {}\n"), 0);
    for code in [
        "let all = self.chain.finalise(&other);\n",
        "writes.push(Write::Commit { certificate: cert, blocks, suffixes });\n",
        "use consensus::action::Delivery as Done;\n",
        "let result = chain_core::execute::execute_block(&view, chain, &state, &block);\n",
        "let writer = self.core.ledger.writer();\n",
        "write.batch.put_cf(heights, key, digest);\n",
        "Executor::open(&core, &genesis, time)?.replay()?;\n",
    ] {
        assert!(second(code) > 0, "{code}");
    }
}

/// What stands elsewhere than its place, or not as often as it should.
fn misplaced(sources: &[(String, String)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (what, place, times) in PLACES {
        let mut found = 0;
        for (file, code) in sources {
            let here = code.matches(what).count();
            found += here;
            if here > 0 && file != place {
                wrong.push(format!("{file}: `{what}` belongs to {place}"));
            }
        }
        if found != *times {
            wrong.push(format!("`{what}` stands {found} times, not {times}"));
        }
    }
    wrong
}

/// Confined names in files that they do not belong to.
fn strays(sources: &[(String, String)]) -> Vec<String> {
    let is_part = |one: char| one.is_alphanumeric() || one == '_';
    let mut wrong = Vec::new();
    for (file, code) in sources {
        let words: BTreeSet<&str> = code.split(|one| !is_part(one)).collect();
        for (name, files) in CONFINED {
            if words.contains(name) && !files.contains(&file.as_str()) {
                wrong.push(format!("{file} names `{name}`"));
            }
        }
    }
    wrong
}

/// The code of node and consensus: no comments, no tests.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default();
    let mut sources = Vec::new();
    for folder in ["consensus/src", "node/src"] {
        collect(&root, &root.join(folder), &mut sources);
    }
    sources
}

fn collect(root: &Path, folder: &Path, sources: &mut Vec<(String, String)>) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() {
            collect(root, &path, sources);
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            let file = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            sources.push((file, code.join("\n")));
        }
    }
}
