//! Frozen bytes of everything that crosses the wire, rests on the disk or is signed in consensus.
//!
//! A difference means that nodes of two builds no longer understand each other, or no longer accept each
//! other's signatures. If that is meant, write the files anew with
//! `CITY_VECTORS=write cargo test -p city-tests --test wire_vectors` and say why.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::path::{Path, PathBuf};

use chain_core::block::Flags;
use chain_core::certificate::VoteKind;
use chain_core::crypto::{Digest, Signable};
use chain_core::id::Epoch;
use city_sim::kit::{Kit, rank, secret};
use city_tests::wire::TYPES;
use consensus::message::{HighQc, ViewChangePreimage};
use consensus::safety::HelloPreimage;

fn vectors(home: &str, name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(home).join("vectors").join(name)
}

/// Compares with the frozen file, or writes it when asked to.
#[track_caller]
fn frozen(home: &str, name: &str, content: &str) {
    let path = vectors(home, name);
    if std::env::var_os("CITY_VECTORS").is_some_and(|value| value == "write") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
    }
    let want = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = want.lines().zip(content.lines()).find(|(want, got)| want != got);
    assert!(want == content, "{home}/vectors/{name} differs from its frozen bytes, first at {differs:?}");
}

fn hex(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let line = |at: usize| &digits[64 * at..digits.len().min(64 * at + 64)];
    (0..digits.len().div_ceil(64)).map(|at| line(at).to_owned() + "\n").collect()
}

#[test]
fn f06_encodings_are_frozen() {
    for home in ["chain-core", "consensus"] {
        let mut text = String::new();
        for one in TYPES.iter().filter(|one| one.home == home) {
            for sample in (one.samples)() {
                text += &format!("# {}: {} ({} bytes)\n", one.name, sample.name, sample.bytes.len());
                text += &hex(&sample.bytes);
            }
        }
        frozen(home, "wire.hex", &text);
    }
}

#[test]
fn f06_signed_bytes_of_consensus_are_frozen() {
    let kit = Kit::on("vector-chain", Epoch::new(3), 4);
    let (chain_id, epoch) = (kit.chain_id, kit.epoch);
    let header = kit.header(&kit.genesis(), 0, Flags::NONE);
    let vote = |kind| kit.vote(kind, rank(5, 9), header.digest(), 1).slot(chain_id).preimage();
    let qc = HighQc::Qc(kit.cert(VoteKind::Prepare, rank(5, 9), header.digest()));
    let view_change = |high_qc: &HighQc| {
        let new_view = chain_core::id::View::new(6);
        ViewChangePreimage { chain_id, epoch, new_view, claim: high_qc.claim() }.preimage()
    };
    let hello = HelloPreimage {
        chain_id,
        epoch,
        network_key: secret(2, 0).public(),
        challenge: Digest::tagged(b"challenge", &[]),
    };
    let mut text = format!("# header digest\n{}", hex(header.digest().as_bytes()));
    for (name, preimage) in [
        ("header", header.canonical()),
        ("kind 1, PROPOSE", header.proposal().preimage()),
        ("kind 2, PREPARE", vote(VoteKind::Prepare)),
        ("kind 3, COMMIT", vote(VoteKind::Commit)),
        ("kind 4, VIEW-CHANGE claiming the base", view_change(&kit.base_qc())),
        ("kind 4, VIEW-CHANGE claiming a certificate", view_change(&qc)),
        ("kind 5, BATCH", kit.batch(2, 7, Digest::tagged(b"prev", &[]), 3).header.preimage()),
        ("kind 7, HELLO", hello.preimage()),
    ] {
        text += &format!("# {name} ({} bytes)\n{}", preimage.len(), hex(&preimage));
    }
    frozen("consensus", "preimages.hex", &text);
}
