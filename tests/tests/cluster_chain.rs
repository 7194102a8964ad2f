//! A chain that was exported is replayed from its genesis by a script that shares no code with us; with one record hidden,
//! altered, put elsewhere or dated anew it is refused, however well the rest was made to fit.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chain_core::merkle;
use city_tests::cluster::clerk::officers;
use city_tests::cluster::{Cluster, done, http};
use city_tests::skip;
use serde_json::Value;

/// Kinds of leaves: a member's operation.
const SIGNED: u8 = 1;
/// Where a leaf has its date, and a header.
const LEAF_TIME: usize = 17;
const HEADER_TIME: usize = 99;
/// Where a header has the height whose execution it names.
const HEADER_EXECUTED: usize = 177;

/// An exported chain with its log, to be altered.
#[derive(Clone)]
struct Export {
    lines: Vec<Value>,
    leaves: Vec<Vec<u8>>,
}

impl Export {
    fn of(cluster: &Cluster) -> Self {
        let (file, mirror) = (cluster.dir().join("chain.ndjson"), cluster.dir().join("mirror"));
        for (what, out) in [("chain", &file), ("tiles", &mirror)] {
            done(&cluster.city(&["export", what, "--out", &out.to_string_lossy(), "-o", "json"]));
        }
        let text = std::fs::read_to_string(file).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let checkpoint = std::fs::read_to_string(mirror.join("checkpoint")).unwrap();
        let size: usize = checkpoint.lines().nth(1).unwrap().parse().unwrap();
        assert!(size < 256, "one tile: {size} leaves");
        let tile = std::fs::read(mirror.join(format!("tile/entries/000.p/{size}"))).unwrap();
        let (mut rest, mut leaves) = (&tile[..], Vec::new());
        while let Some((length, after)) = rest.split_first_chunk::<2>() {
            let (leaf, after) = after.split_at(usize::from(u16::from_be_bytes(*length)));
            leaves.push(leaf.to_vec());
            rest = after;
        }
        Self { lines, leaves }
    }

    /// Writes it down, with a checkpoint that fits its leaves.
    fn write(&self, folder: &Path) -> [PathBuf; 2] {
        let (file, mirror) = (folder.join("chain.ndjson"), folder.join("mirror"));
        let _ = std::fs::remove_dir_all(folder);
        std::fs::create_dir_all(mirror.join("tile/entries/000.p")).unwrap();
        let lines: Vec<String> = self.lines.iter().map(Value::to_string).collect();
        std::fs::write(&file, lines.join("\n")).unwrap();
        let (size, root) = (self.leaves.len(), merkle::root(&self.leaves));
        let checkpoint = format!("origin\n{size}\n{}\n", STANDARD.encode(root.as_bytes()));
        std::fs::write(mirror.join("checkpoint"), checkpoint).unwrap();
        let entry = |leaf: &Vec<u8>| [&u16::try_from(leaf.len()).unwrap().to_be_bytes()[..], leaf].concat();
        let tile: Vec<u8> = self.leaves.iter().flat_map(entry).collect();
        std::fs::write(mirror.join(format!("tile/entries/000.p/{size}")), tile).unwrap();
        [file, mirror]
    }

    /// What the script says of it; none where there is no Python.
    fn judged(&self, folder: &Path, chain_id: &str) -> Option<String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/formats/chain.py");
        let run =
            Command::new("python3").arg("-B").arg(script).arg(chain_id).args(self.write(folder)).output();
        let run = run.ok()?;
        let said = String::from_utf8_lossy(&run.stdout).into_owned();
        assert_eq!(run.status.success(), said.starts_with("holds: "), "{said}{run:?}");
        Some(said)
    }

    /// Places of leaves that are operations of members.
    fn signed(&self) -> Vec<usize> {
        (0..self.leaves.len()).filter(|at| self.leaves[*at][1] == SIGNED).collect()
    }

    /// Places of the blocks that order operations, up to the newest execution that a header names.
    fn lines_with_outcomes(&self) -> impl Iterator<Item = usize> + '_ {
        let orders = |at: &usize| self.lines[*at]["outcomes"].as_array().is_some_and(|all| !all.is_empty());
        (1..=self.certified()).filter(orders)
    }

    /// The newest height whose execution a header names.
    fn certified(&self) -> usize {
        (1..self.lines.len()).map(|at| self.named_by(at)).max().unwrap()
    }

    /// The height whose execution a block names.
    fn named_by(&self, block: usize) -> usize {
        let header = STANDARD.decode(self.lines[block]["header"].as_str().unwrap()).unwrap();
        let height = header[HEADER_EXECUTED..][..8].try_into().unwrap();
        usize::try_from(u64::from_be_bytes(height)).unwrap()
    }

    /// Whether a header names a height's execution.
    fn names(&self, height: usize) -> bool {
        (1..self.lines.len()).any(|block| self.named_by(block) == height)
    }

    /// The line of the first block that orders several operations.
    fn block(&mut self) -> &mut Value {
        let several = |line: &&mut Value| line["outcomes"].as_array().is_some_and(|all| all.len() > 2);
        self.lines.iter_mut().find(several).unwrap()
    }
}

/// Changes the bytes of a value in base64.
fn bytes(value: &mut Value, change: impl FnOnce(&mut Vec<u8>)) {
    let mut all = STANDARD.decode(value.as_str().unwrap()).unwrap();
    change(&mut all);
    *value = STANDARD.encode(all).into();
}

fn later(all: &mut [u8], last: usize) {
    all[last] ^= 1;
}

type Lie = (&'static str, fn(&mut Export));

/// One record hidden, altered, put elsewhere, dated anew; in the log, in the blocks, in both.
const LIES: [Lie; 22] = [
    ("a leaf is hidden", |all| drop(all.leaves.remove(all.signed()[3]))),
    ("the last leaves are hidden", |all| all.leaves.truncate(*all.signed().last().unwrap())),
    ("a leaf and its outcome are hidden", |all| {
        let at = all.signed()[0];
        all.leaves.remove(at);
        bytes(&mut all.block()["outcomes"][0], |outcome| {
            outcome.truncate(34);
            outcome.extend([0, 0, 101]);
        });
    }),
    ("a transaction is hidden", |all| {
        all.block()["batches"][0]["transactions"] = Vec::<Value>::new().into();
        all.block()["outcomes"] = Vec::<Value>::new().into();
    }),
    ("a batch is hidden", |all| drop(all.block()["batches"].as_array_mut().unwrap().remove(0))),
    ("a block is hidden", |all| drop(all.lines.remove(2))),
    ("a leaf is there twice", |all| {
        let at = all.signed()[2];
        all.leaves.insert(at, all.leaves[at].clone());
    }),
    ("a leaf is altered", |all| {
        let at = all.signed()[1];
        let middle = all.leaves[at].len() - 40;
        all.leaves[at][middle] ^= 1;
    }),
    ("a transaction is altered", |all| {
        let middle = |one: &mut Vec<u8>| {
            let at = one.len() - 40;
            one[at] ^= 1;
        };
        bytes(&mut all.block()["batches"][0]["transactions"][0]["transaction"], middle);
    }),
    ("an outcome is altered", |all| bytes(&mut all.block()["outcomes"][1], |one| one[40] ^= 1)),
    ("a signature is altered", |all| {
        all.block()["batches"][0]["transactions"][0]["signature"] = "00".repeat(64).into();
    }),
    ("a leader's signature is altered", |all| all.lines[1]["signature"] = "00".repeat(64).into()),
    ("two leaves of a block change places", |all| {
        let at = all.signed();
        all.leaves.swap(at[0], at[1]);
    }),
    ("two leaves of different blocks change places", |all| {
        let at = all.signed();
        all.leaves.swap(at[0], at[at.len() - 1]);
    }),
    ("two outcomes change places", |all| all.block()["outcomes"].as_array_mut().unwrap().swap(0, 1)),
    ("two blocks change places", |all| all.lines.swap(2, 3)),
    ("a leaf has another date", |all| {
        let at = all.signed()[1];
        later(&mut all.leaves[at], LEAF_TIME);
    }),
    ("a block has another date", |all| bytes(&mut all.block()["header"], |one| later(one, HEADER_TIME))),
    ("a block and its leaves have another date", |all| {
        bytes(&mut all.block()["header"], |one| later(one, HEADER_TIME));
        for at in &all.signed()[..3] {
            later(&mut all.leaves[*at], LEAF_TIME);
        }
    }),
    ("a certificate of one fewer", |all| {
        let certified = all.lines.iter_mut().rev().find(|line| !line["certificate"].is_null()).unwrap();
        let bits = certified["certificate"]["bitmap"][0].as_u64().unwrap();
        let mut left = bits;
        while left.count_ones() > 2 {
            left &= left - 1;
            certified["certificate"]["signatures"].as_array_mut().unwrap().remove(0);
        }
        certified["certificate"]["bitmap"][0] = left.into();
    }),
    ("another state at height 0", |all| all.lines[0]["state_root"] = "00".repeat(32).into()),
    ("another genesis", |all| bytes(&mut all.lines[0]["genesis"], |one| *one.last_mut().unwrap() ^= 1)),
];

#[test]
fn an_exported_chain_is_replayed_by_others_and_no_lie_passes() {
    let cluster = Cluster::up();
    let clerk = officers(&cluster.genesis, &cluster.keys, "clerk", 1).remove(0);
    let several = (0..3).map(|at| {
        let (operation, body, _) = clerk.filing(&format!("several-{at}"), &format!("{at}")).submit();
        (operation, body)
    });
    let url = cluster.nodes[0].url();
    http::submit_until(&url, &clerk.sign(several.collect()), "executed").unwrap();
    for number in 0..6 {
        http::submit_until(&url, &clerk.file(&format!("one-{number}"), "one"), "executed").unwrap();
    }
    cluster.wait_agreed();
    // The newest execution is certified with a later block.
    http::submit_until(&url, &clerk.file("later", "later"), "executed").unwrap();

    let whole = Export::of(&cluster);
    assert!(whole.signed().len() >= 9, "{} records", whole.signed().len());
    let folder = cluster.dir().join("judged");
    let chain_id = cluster.genesis.chain_id().to_string();
    let Some(said) = whole.judged(&folder, &chain_id) else {
        return skip(
            "cluster_chain::an_exported_chain_is_replayed_by_others_and_no_lie_passes",
            "python3 is not installed",
        );
    };
    assert!(said.starts_with("holds: "), "{said}");
    println!("{said}");
    for (what, lie) in LIES {
        let mut lied = whole.clone();
        lie(&mut lied);
        let said = lied.judged(&folder, &chain_id).unwrap();
        println!("{what}: {said}");
        assert!(said.starts_with("refused: "), "{what}: {said}");
    }
    // Also the outcomes of heights that no header names: their execution root stands under that of a later height.
    let mut named = 0;
    for at in whole.lines_with_outcomes() {
        named += usize::from(whole.names(at));
        let mut lied = whole.clone();
        bytes(&mut lied.lines[at]["outcomes"][0], |one| one[40] ^= 1);
        let said = lied.judged(&folder, &chain_id).unwrap();
        assert!(said.starts_with("refused: "), "an outcome of block {at} is altered: {said}");
    }
    println!("{named} of {} blocks with outcomes are named by a header", whole.lines_with_outcomes().count());
    cluster.assert_clean();
}
