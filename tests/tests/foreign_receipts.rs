//! Other people's software accepts our receipts with public keys only, and refuses forged ones.
//!
//! Receipts are made with chain-core and handed as `.tlog-proof` files to `tests/foreign/tlog_proof.py`,
//! which leaves hashes and signatures to the PyPI package aics-tlog. That package is installed once per
//! machine into a cache directory; without PyPI the test is skipped by name.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use chain_core::checkpoint::{Checkpoint, SignedCheckpoint, origin};
use chain_core::committee::{Committee, Validator};
use chain_core::crypto::{Digest, SecretKey};
use chain_core::id::{ChainId, Epoch};
use chain_core::merkle::Tree;
use chain_core::receipt::TlogProof;
use chain_core::trust::TrustPolicy;
use city_tests::python::interpreter;
use city_tests::skip;

fn foreign(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("foreign").join(file)
}

/// The interpreter, or `None` after saying what is skipped.
fn python_or_skip(test: &str) -> Option<PathBuf> {
    // Once for all tests of this file: they run side by side.
    static PYTHON: LazyLock<Result<PathBuf, String>> =
        LazyLock::new(|| interpreter("aics-tlog-0.2.1", &foreign("requirements.txt")));
    match &*PYTHON {
        Ok(interpreter) => Some(interpreter.clone()),
        Err(why) => {
            skip(&format!("foreign_receipts::{test}"), why);
            None
        }
    }
}

struct City {
    keys: Vec<SecretKey>,
    chain_id: ChainId,
    policy: TrustPolicy,
    tree: Tree,
}

fn leaf(index: u64) -> Vec<u8> {
    [b"leaf of record ".as_slice(), &index.to_be_bytes()].concat()
}

fn city(n: u8) -> City {
    let secret = |role: u8, ix: u8| SecretKey::from_seed([role * 64 + ix; 32]);
    let validator = |ix: u8| Validator {
        name: format!("validator-{ix}"),
        agency: format!("register:CN-T:{ix}"),
        consensus_key: secret(0, ix).public(),
        network_key: secret(1, ix).public(),
        log_key: secret(2, ix).public(),
        address: "/ip4/127.0.0.1/tcp/7101".to_owned(),
        may_lead: true,
    };
    let committee = Committee::new(Epoch::ZERO, (0..n).map(validator).collect()).unwrap();
    let chain_id = ChainId::new(Digest::tagged(b"foreign test", &[&[n]]));
    City {
        keys: (0..n).map(|ix| secret(2, ix)).collect(),
        chain_id,
        policy: TrustPolicy::from_committee("foreign-test", chain_id, &committee),
        tree: Tree::from_leaves((0..1_000).map(leaf)),
    }
}

impl City {
    /// The proof of one leaf, answered by the last validator and cosigned by the first `cosigners`.
    fn proof(&self, index: u64, cosigners: usize) -> TlogProof {
        let origin = origin("foreign-test", &self.chain_id);
        let checkpoint = Checkpoint { origin, size: self.tree.size(), root: self.tree.root() };
        let mut lines = vec![checkpoint.sign(self.keys.last().unwrap())];
        for (ix, key) in self.keys.iter().enumerate().take(cosigners) {
            lines.push(checkpoint.cosign(1_795_392_000, key).line(&format!("validator-{ix}"), &key.public()));
        }
        let hashes = self.tree.inclusion(index).unwrap().hashes;
        let checkpoint = SignedCheckpoint { checkpoint, lines };
        TlogProof { extra: Some(leaf(index)), index, hashes, checkpoint }
    }
}

/// Runs the script over files with this content; one verdict per file, in order.
fn judge(python: &Path, policy: &str, proofs: &[Vec<u8>]) -> (Output, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let policy_path = directory.path().join("trust-policy.txt");
    std::fs::write(&policy_path, policy).unwrap();
    let paths = proofs.iter().enumerate().map(|(at, proof)| {
        let path = directory.path().join(format!("{at}.tlog-proof"));
        std::fs::write(&path, proof).unwrap();
        path
    });
    let paths: Vec<PathBuf> = paths.collect();
    let script = foreign("tlog_proof.py");
    let output =
        Command::new(python).arg(script).arg("--policy").arg(&policy_path).args(paths).output().unwrap();
    let verdicts: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    assert_eq!(verdicts.len(), proofs.len(), "{}", String::from_utf8_lossy(&output.stderr));
    (output, verdicts)
}

#[test]
fn a_quorum_is_accepted_and_one_fewer_is_not() {
    let Some(python) = python_or_skip("a_quorum_is_accepted_and_one_fewer_is_not") else { return };
    for (n, quorum) in [(4, 3), (5, 4), (7, 5)] {
        let city = city(n);
        let policy = city.policy.to_text();
        let good: Vec<Vec<u8>> = [0, 1, 511, 512, 999]
            .into_iter()
            .flat_map(|index| [quorum, usize::from(n)].map(|q| city.proof(index, q).to_text().into_bytes()))
            .collect();
        let (output, verdicts) = judge(&python, &policy, &good);
        assert!(
            output.status.success() && verdicts.iter().all(|verdict| verdict.starts_with("ok ")),
            "{verdicts:?}"
        );
        let short = vec![city.proof(7, quorum - 1).to_text().into_bytes()];
        let (output, verdicts) = judge(&python, &policy, &short);
        assert_eq!(output.status.code(), Some(1));
        assert!(verdicts[0].contains("quorum not met"), "{verdicts:?}");
    }
}

#[test]
fn no_changed_bit_is_accepted() {
    let Some(python) = python_or_skip("no_changed_bit_is_accepted") else { return };
    let city = city(4);
    // Exactly the quorum: no signature can be spared.
    let good = city.proof(700, 3).to_text().into_bytes();
    let forged: Vec<Vec<u8>> = (0..good.len() * 8)
        // Three bits of every byte reach leaf, index, path, checkpoint text and every signature.
        .filter(|bit| (bit / 8 + bit) % 8 < 3)
        .map(|bit| {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            bytes
        })
        .collect();
    assert!(forged.len() > 2_000);
    for some in forged.chunks(1_000) {
        let (_, verdicts) = judge(&python, &city.policy.to_text(), some);
        let accepted: Vec<usize> =
            (0..some.len()).filter(|&at| !verdicts[at].starts_with("refused: ")).collect();
        assert!(
            accepted.is_empty(),
            "accepted: {:?}",
            accepted.iter().map(|&at| String::from_utf8_lossy(&some[at])).next()
        );
    }
    let (_, verdicts) = judge(&python, &city.policy.to_text(), &[good]);
    assert!(verdicts[0].starts_with("ok index 700 of 1000"), "{verdicts:?}");
}

#[test]
fn another_leaf_index_path_or_city_is_refused() {
    let Some(python) = python_or_skip("another_leaf_index_path_or_city_is_refused") else { return };
    let (city, elsewhere) = (city(4), city(5));
    let good = city.proof(700, 3);
    let forged = [
        TlogProof { extra: Some(leaf(701)), ..good.clone() },
        TlogProof { extra: None, ..good.clone() },
        TlogProof { index: 701, ..good.clone() },
        TlogProof { index: 1_000, ..good.clone() },
        TlogProof { hashes: good.hashes[1..].to_vec(), ..good.clone() },
        TlogProof { hashes: [good.hashes.as_slice(), &[Digest::ZERO]].concat(), ..good.clone() },
        elsewhere.proof(700, 4),
    ];
    let files: Vec<Vec<u8>> = forged.iter().map(|proof| proof.to_text().into_bytes()).collect();
    let (_, verdicts) = judge(&python, &city.policy.to_text(), &files);
    assert!(verdicts.iter().all(|verdict| verdict.starts_with("refused: ")), "{verdicts:?}");
}
