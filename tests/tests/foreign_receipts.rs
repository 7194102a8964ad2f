//! Other people's software accepts our receipts with public keys only, and refuses forged ones.
//!
//! Receipts are made with chain-core and handed as files to `tests/foreign/tlog_proof.py`, which leaves hashes and
//! signatures to the PyPI package aics-tlog, and to `tests/foreign/cose_receipt.py`, which leaves CBOR and COSE to
//! cbor2 and cwt. The packages are installed once per machine into a cache directory; without PyPI the tests are
//! skipped by name.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use chain_core::checkpoint::{Checkpoint, SignedCheckpoint, VerifierKey, origin};
use chain_core::committee::{Committee, Validator};
use chain_core::cose::{RootSignature, RootStatement};
use chain_core::crypto::{Digest, SecretKey};
use chain_core::id::{ChainId, Epoch};
use chain_core::merkle::Tree;
use chain_core::receipt::{CoseReceipt, TlogProof};
use chain_core::trust::TrustPolicy;
use city_tests::python::judges;
use city_tests::skip;

fn foreign(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("foreign").join(file)
}

/// The interpreter, or `None` after saying what is skipped.
fn python_or_skip(test: &str) -> Option<PathBuf> {
    // Once for all tests of this file: they run side by side.
    static PYTHON: LazyLock<Result<PathBuf, String>> = LazyLock::new(judges);
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

    /// The same in COSE.
    fn cose(&self, index: u64, cosigners: usize) -> CoseReceipt {
        let checkpoint = self.proof(index, 0).checkpoint.checkpoint;
        let time_s = 1_795_392_000;
        let sign = |(ix, key): (usize, &SecretKey)| {
            let cosigner = VerifierKey::cosigner(&format!("validator-{ix}"), key.public());
            let signature = key.sign(&RootStatement::new(&checkpoint, &cosigner, time_s));
            RootSignature { key_id: cosigner.key_id(), cosigner: cosigner.name, time_s, signature }
        };
        CoseReceipt {
            leaf: leaf(index),
            path: self.tree.inclusion(index).unwrap(),
            origin: checkpoint.origin.clone(),
            signatures: self.keys.iter().enumerate().take(cosigners).map(sign).collect(),
        }
    }
}

const TEXT: &str = "tlog_proof.py";
const COSE: &str = "cose_receipt.py";

/// Runs a script over files with this content; one verdict per file, in order.
fn judge(python: &Path, script: &str, policy: &str, proofs: &[Vec<u8>]) -> (Output, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let policy_path = directory.path().join("trust-policy.txt");
    std::fs::write(&policy_path, policy).unwrap();
    let paths = proofs.iter().enumerate().map(|(at, proof)| {
        let path = directory.path().join(at.to_string());
        std::fs::write(&path, proof).unwrap();
        path
    });
    let paths: Vec<PathBuf> = paths.collect();
    let output = Command::new(python)
        .arg(foreign(script))
        .arg("--policy")
        .arg(&policy_path)
        .args(paths)
        .output()
        .unwrap();
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
        let (output, verdicts) = judge(&python, TEXT, &policy, &good);
        assert!(
            output.status.success() && verdicts.iter().all(|verdict| verdict.starts_with("ok ")),
            "{verdicts:?}"
        );
        let short = vec![city.proof(7, quorum - 1).to_text().into_bytes()];
        let (output, verdicts) = judge(&python, TEXT, &policy, &short);
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
        .map(|bit| {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            bytes
        })
        .collect();
    assert!(forged.len() > 8_000);
    for some in forged.chunks(1_000) {
        let (_, verdicts) = judge(&python, TEXT, &city.policy.to_text(), some);
        let accepted: Vec<usize> =
            (0..some.len()).filter(|&at| !verdicts[at].starts_with("refused: ")).collect();
        assert!(
            accepted.is_empty(),
            "accepted: {:?}",
            accepted.iter().map(|&at| String::from_utf8_lossy(&some[at])).next()
        );
    }
    let (_, verdicts) = judge(&python, TEXT, &city.policy.to_text(), &[good]);
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
    let (_, verdicts) = judge(&python, TEXT, &city.policy.to_text(), &files);
    assert!(verdicts.iter().all(|verdict| verdict.starts_with("refused: ")), "{verdicts:?}");
}

#[test]
fn a_thousand_of_a_thousand_receipts_are_accepted_in_both_forms() {
    let Some(python) = python_or_skip("a_thousand_of_a_thousand_receipts_are_accepted_in_both_forms") else {
        return;
    };
    let city = city(4);
    let policy = city.policy.to_text();
    let text: Vec<Vec<u8>> = (0..1_000).map(|index| city.proof(index, 3).to_text().into_bytes()).collect();
    let cose: Vec<Vec<u8>> = (0..1_000).map(|index| city.cose(index, 3).to_bytes().unwrap()).collect();
    for (script, files) in [(TEXT, text), (COSE, cose)] {
        let (output, verdicts) = judge(&python, script, &policy, &files);
        let accepted = verdicts.iter().filter(|verdict| verdict.starts_with("ok ")).count();
        assert!(output.status.success() && accepted == 1_000, "{script}: {accepted}, {}", verdicts[0]);
    }
}

#[test]
fn a_cose_receipt_needs_a_quorum_and_its_own_leaf() {
    let Some(python) = python_or_skip("a_cose_receipt_needs_a_quorum_and_its_own_leaf") else { return };
    let (city, elsewhere) = (city(4), city(5));
    let good = city.cose(700, 3);
    let twice = [good.signatures.clone(), vec![good.signatures[0].clone()]].concat();
    let forged = [
        city.cose(700, 2),
        CoseReceipt { leaf: leaf(701), ..good.clone() },
        CoseReceipt { origin: "another.log".to_owned(), ..good.clone() },
        CoseReceipt { signatures: twice, ..good },
        elsewhere.cose(700, 4),
    ];
    let files: Vec<Vec<u8>> = forged.iter().map(|one| one.to_bytes().unwrap()).collect();
    let (_, verdicts) = judge(&python, COSE, &city.policy.to_text(), &files);
    assert!(verdicts.iter().all(|verdict| verdict.starts_with("refused: ")), "{verdicts:?}");
}

#[test]
fn no_changed_bit_of_a_cose_receipt_proves_anything_else() {
    let Some(python) = python_or_skip("no_changed_bit_of_a_cose_receipt_proves_anything_else") else {
        return;
    };
    let city = city(4);
    // Exactly the quorum: no signature can be spared.
    let good = city.cose(700, 3).to_bytes().unwrap();
    let mut files = vec![good.clone()];
    files.extend((0..good.len() * 8).map(|bit| {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    }));
    let (_, verdicts) = judge(&python, COSE, &city.policy.to_text(), &files);
    let (same, forged) = verdicts.split_first().unwrap();
    assert!(forged.len() > 10_000 && same.starts_with("ok "), "{} {same}", forged.len());
    // A lenient reader may take another spelling of the same; never another leaf, place, root or signer.
    let other: Vec<&String> =
        forged.iter().filter(|verdict| verdict.starts_with("ok ") && *verdict != same).collect();
    assert!(other.is_empty(), "{other:?}");
    let spelled = forged.iter().filter(|verdict| *verdict == same).count();
    assert!(spelled < forged.len() / 50, "{spelled} of {} changes went unseen", forged.len());
}
