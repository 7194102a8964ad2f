use std::sync::LazyLock;

use super::*;
use crate::checkpoint::{Checkpoint, VerifierKey, origin};
use crate::committee::test_support::{committee, secret};
use crate::cose::{ReadReceipt, RootStatement};
use crate::merkle::Tree;
use proptest::prelude::*;

/// The leaves of these tests are JSON, so that a dozen lines can stand for the record rules.
fn facts(leaf: &[u8]) -> Option<LeafFacts> {
    let decoded: Value = serde_json::from_slice(leaf).ok()?;
    Some(LeafFacts {
        record: decoded.get("record")?.as_str()?.parse().ok()?,
        version: u32::try_from(decoded.get("version")?.as_u64()?).ok()?,
        body_commit: decoded.get("body").and_then(|commitment| commitment.as_str()?.parse().ok()),
        decoded,
    })
}

fn body() -> Body {
    Body { salt: Digest::tagged(b"salt", &[]), json: "{\"fine\":500}".to_owned() }
}

fn leaf(index: u64) -> Vec<u8> {
    let record = RecordId::new(Digest::tagged(b"record", &[&index.to_be_bytes()]));
    let value = serde_json::json!({"record": record, "version": 1, "body": body().commitment()});
    value.to_string().into_bytes()
}

fn chain_id() -> ChainId {
    ChainId::new(Digest::tagged(b"chain", &[]))
}

fn policy() -> TrustPolicy {
    static POLICY: LazyLock<TrustPolicy> =
        LazyLock::new(|| TrustPolicy::from_committee("test", chain_id(), &committee(4)));
    POLICY.clone()
}

/// A receipt for leaf 11 of 21 under exactly the quorum's cosignatures.
fn receipt_with(cosigners: &[usize]) -> Receipt {
    let tree = Tree::from_leaves((0..21).map(leaf));
    let checkpoint = Checkpoint { origin: origin("test", &chain_id()), size: 21, root: tree.root() };
    let mut lines = vec![checkpoint.sign(&secret(3, 0))];
    let mut root_signatures = Vec::new();
    for &ix in cosigners {
        let (key, name, time_s) = (secret(3, ix), format!("v{ix}"), 1_795_392_000 + ix as u64);
        lines.push(checkpoint.cosign(time_s, &key).line(&name, &key.public()));
        let cosigner = VerifierKey::cosigner(&name, key.public());
        root_signatures.push(key.sign(&RootStatement::new(&checkpoint, &cosigner, time_s)));
    }
    let facts = facts(&leaf(11)).unwrap();
    Receipt {
        schema: SCHEMA.to_owned(),
        chain_id: chain_id(),
        epoch: Epoch::ZERO,
        record: facts.record,
        version: facts.version,
        leaf: STANDARD.encode(leaf(11)),
        decoded: facts.decoded,
        body: Some(body()),
        inclusion: tree.inclusion(11).unwrap(),
        checkpoint: SignedCheckpoint { checkpoint, lines }.to_text(),
        validators: cosigners.iter().map(|ix| format!("v{ix}")).collect(),
        root_signatures,
    }
}

fn receipt() -> Receipt {
    static RECEIPT: LazyLock<Receipt> = LazyLock::new(|| receipt_with(&[0, 1, 2]));
    RECEIPT.clone()
}

/// As a reader does it: decode the leaf, then verify everything against it.
fn judge(receipt: &Receipt) -> Result<Verified, Refusal> {
    let facts = facts(&receipt.leaf_bytes()?).ok_or_else(|| malformed("leaf"))?;
    receipt.verify(&policy(), Some(&facts))
}

fn code(receipt: &Receipt) -> Code {
    judge(receipt).unwrap_err().code
}

#[test]
fn a_receipt_verifies_and_says_what_it_proved() {
    let verified = judge(&receipt()).unwrap();
    assert_eq!((verified.index, verified.size, verified.content), (11, 21, Content::LeafAndBody));
    assert_eq!(verified.time_s(), 1_795_392_001);
    let without = Receipt { body: None, ..receipt() };
    assert_eq!(judge(&without).unwrap().content, Content::Leaf);
    assert_eq!(without.verify(&policy(), None).unwrap().content, Content::NotChecked);
    let read = Receipt::parse(&receipt().to_json()).unwrap();
    assert_eq!(read, receipt());
    // The same through the text form of the policy, which knows neither chain id nor epoch.
    let policy = TrustPolicy::parse(&policy().to_text()).unwrap();
    read.verify(&policy, None).unwrap();
}

#[test]
fn a_bundle_is_built_only_when_it_verifies() {
    let good = receipt();
    let parts = |cosigned: &Receipt, leaf: &[u8]| {
        let facts = facts(leaf).unwrap();
        let published = Published {
            signed: cosigned.signed_checkpoint().unwrap(),
            root_signatures: cosigned.root_signatures.clone(),
        };
        Receipt::new(leaf, facts, Some(body()), good.inclusion.clone(), &published, &policy())
    };
    assert_eq!(parts(&good, &leaf(11)).unwrap(), good);
    assert_eq!(parts(&good, &leaf(12)).unwrap_err().code, Code::ProofInvalid);
    assert_eq!(parts(&receipt_with(&[0, 1]), &leaf(11)).unwrap_err().code, Code::QuorumNotMet);
}

#[test]
fn each_lie_has_its_code() {
    let record = RecordId::new(Digest::ZERO);
    assert_eq!(code(&Receipt { record, ..receipt() }), Code::LeafMismatch);
    assert_eq!(code(&Receipt { version: 2, ..receipt() }), Code::LeafMismatch);
    assert_eq!(code(&Receipt { decoded: serde_json::json!({}), ..receipt() }), Code::LeafMismatch);
    let forged = Body { json: "{\"fine\":5}".to_owned(), ..body() };
    assert_eq!(code(&Receipt { body: Some(forged), ..receipt() }), Code::LeafMismatch);
    assert_eq!(code(&Receipt { leaf: STANDARD.encode(leaf(12)), ..receipt() }), Code::ProofInvalid);
    assert_eq!(code(&Receipt { leaf: "?".to_owned(), ..receipt() }), Code::ReceiptMalformed);
    assert_eq!(code(&Receipt { chain_id: ChainId::new(Digest::ZERO), ..receipt() }), Code::ProofInvalid);
    assert_eq!(code(&Receipt { epoch: Epoch::new(1), ..receipt() }), Code::TrustMissing);
    assert_eq!(code(&Receipt { schema: "city/v2/receipt".to_owned(), ..receipt() }), Code::ReceiptMalformed);
    assert_eq!(code(&Receipt { validators: vec!["v0".to_owned()], ..receipt() }), Code::ReceiptMalformed);
    assert_eq!(code(&receipt_with(&[0, 1])), Code::QuorumNotMet);
    assert_eq!(code(&receipt_with(&[7, 8, 9])), Code::UnknownSigner);
    let mut resized = receipt();
    resized.inclusion.size = 22;
    assert_eq!(code(&resized), Code::ProofInvalid);
    let mut long = receipt();
    long.inclusion.hashes = vec![Digest::ZERO; 65];
    assert_eq!(code(&long), Code::ProofInvalid);
}

#[test]
fn unknown_and_missing_fields_are_refused() {
    let json = receipt().to_json();
    for bad in [
        json.replacen('{', "{\"note\":1,", 1),
        json.replacen("\"epoch\":0,", "", 1),
        json.replacen("\"epoch\":0,", "\"epoch\":0,\"epoch\":0,", 1),
        json.replace("city/v1/receipt", "city/v2/receipt"),
        format!("{json} {{}}"),
        String::new(),
        " ".repeat(RECEIPT_BYTES_MAX + 1),
    ] {
        assert_eq!(Receipt::parse(&bad).unwrap_err().code, Code::ReceiptMalformed, "{:.80}", bad);
    }
}

#[test]
fn the_text_form_round_trips_and_verifies() {
    let proof = receipt().tlog_proof().unwrap();
    let text = proof.to_text();
    assert!(text.starts_with("c2sp.org/tlog-proof@v1\nextra "), "{text}");
    let read = TlogProof::parse(&text).unwrap();
    assert_eq!(read, proof);
    assert_eq!(read.verify(None, &policy()).unwrap().index, 11);
    let bare = TlogProof { extra: None, ..proof };
    let read = TlogProof::parse(&bare.to_text()).unwrap();
    read.verify(Some(&leaf(11)), &policy()).unwrap();
    assert_eq!(read.verify(None, &policy()).unwrap_err().code, Code::ReceiptMalformed);
    assert_eq!(read.verify(Some(&leaf(1)), &policy()).unwrap_err().code, Code::ProofInvalid);
}

#[test]
fn the_text_form_has_one_spelling() {
    let text = receipt().tlog_proof().unwrap().to_text();
    for (what, bad) in [
        ("first line", text.replacen("@v1", "@v2", 1)),
        ("no index", text.replacen("index 11\n", "", 1)),
        ("leading zero", text.replacen("index 11", "index 011", 1)),
        ("sign", text.replacen("index 11", "index +11", 1)),
        ("two extras", text.replacen("index", "extra AA==\nindex", 1)),
        ("extra after index", text.replacen("index 11\n", "index 11\nextra AA==\n", 1)),
        ("short hash", text.replacen("index 11\n", "index 11\nAAAA\n", 1)),
        (
            "many hashes",
            text.replacen("index 11\n", &format!("index 11\n{}", format!("{}\n", hash()).repeat(64)), 1),
        ),
        ("no checkpoint", text.split("\n\n").next().unwrap().to_owned()),
        ("too long", format!("{text}{}", " ".repeat(PROOF_BYTES_MAX))),
    ] {
        assert_eq!(TlogProof::parse(&bad).unwrap_err().code, Code::ReceiptMalformed, "{what}");
    }
}

#[test]
fn the_cose_form_round_trips_and_verifies() {
    let cose = receipt().cose(&policy()).unwrap();
    let bytes = cose.to_bytes().unwrap();
    let read = CoseReceipt::parse(&bytes).unwrap();
    assert_eq!(read, cose);
    let verified = read.verify(&policy()).unwrap();
    assert_eq!((verified.index, verified.size, verified.time_s()), (11, 21, 1_795_392_001));
    assert_eq!(verified.root, judge(&receipt()).unwrap().root);
    // Through the text form of the policy, too: it names the keys.
    read.verify(&TrustPolicy::parse(&policy().to_text()).unwrap()).unwrap();
}

#[test]
fn a_cose_message_is_what_the_rfc_says() {
    let receipt = receipt().cose(&policy()).unwrap();
    let message = receipt.messages().unwrap().swap_remove(0);
    let byte = |length: usize| u8::try_from(length).unwrap();
    // Tag 18, array of four, then the protected header: {1: -8, 4: kid, 15: {1: "v0", 2: origin, 6: iat, "tree_size":
    // 21}, 395: 1}, written here by hand from RFC 8949, 9052, 9597 and 9942.
    let mut protected = vec![0xa4, 0x01, 0x27, 0x04, 0x44];
    protected.extend_from_slice(&receipt.signatures[0].key_id);
    protected.extend_from_slice(&[
        0x0f,
        0xa4,
        0x01,
        0x62,
        b'v',
        b'0',
        0x02,
        0x78,
        byte(receipt.origin.len()),
    ]);
    protected.extend_from_slice(receipt.origin.as_bytes());
    protected.extend_from_slice(&[0x06, 0x1a, 0x6b, 0x03, 0x82, 0x00, 0x69]);
    protected.extend_from_slice(b"tree_size");
    protected.extend_from_slice(&[0x15, 0x19, 0x01, 0x8b, 0x01]);
    let begin = [&[0xd2, 0x84, 0x58, byte(protected.len())], protected.as_slice()].concat();
    assert_eq!(message[..begin.len()], begin);
    // {396: {-1: [<<[21, 11, [hashes]]>>]}}, no payload, 64 bytes of signature.
    let rest = &message[begin.len()..];
    assert_eq!(rest[..8], [0xa1, 0x19, 0x01, 0x8c, 0xa1, 0x20, 0x81, 0x58]);
    assert_eq!(rest[9..13], [0x83, 0x15, 0x0b, 0x80 + byte(receipt.path.hashes.len())]);
    assert_eq!(rest[rest.len() - 67..rest.len() - 64], [0xf6, 0x58, 0x40]);
    assert_eq!(rest[rest.len() - 64..], *receipt.signatures[0].signature.as_bytes());
    assert_eq!(ReadReceipt::parse(&message).unwrap().by, receipt.signatures[0]);
}

#[test]
fn each_lie_in_cose_has_its_code() {
    let good = receipt().cose(&policy()).unwrap();
    let refused = |receipt: &CoseReceipt| {
        let read = receipt.to_bytes().and_then(|bytes| CoseReceipt::parse(&bytes));
        read.and_then(|read| read.verify(&policy())).unwrap_err().code
    };
    let with = |change: &dyn Fn(&mut CoseReceipt)| {
        let mut bad = good.clone();
        change(&mut bad);
        refused(&bad)
    };
    assert_eq!(with(&|bad| bad.leaf = leaf(12)), Code::ProofInvalid);
    assert_eq!(with(&|bad| bad.path.index = 12), Code::ProofInvalid);
    assert_eq!(with(&|bad| bad.path.size = 22), Code::ProofInvalid);
    assert_eq!(with(&|bad| bad.origin.push('0')), Code::ProofInvalid);
    assert_eq!(with(&|bad| bad.signatures[0].time_s += 1), Code::ProofInvalid);
    assert_eq!(with(&|bad| bad.signatures[0].signature = Signature::ZERO), Code::ProofInvalid);
    assert_eq!(with(&|bad| bad.signatures[1] = bad.signatures[0].clone()), Code::ReceiptMalformed);
    assert_eq!(with(&|bad| bad.signatures.truncate(2)), Code::QuorumNotMet);
    assert_eq!(with(&|bad| bad.signatures[0].key_id = [0; 4]), Code::QuorumNotMet);
    assert_eq!(with(&|bad| bad.signatures.clear()), Code::ReceiptMalformed);
    assert_eq!(with(&|bad| bad.path.hashes.truncate(2)), Code::ProofInvalid);
    assert_eq!(with(&|bad| bad.path.hashes = vec![Digest::ZERO; 65]), Code::ProofInvalid);
    let strangers = receipt_with(&[7, 8, 9]);
    let read = strangers.signed_checkpoint().unwrap();
    let of = |line: &crate::checkpoint::SignatureLine| RootSignature {
        cosigner: line.name.clone(),
        key_id: line.key_id,
        time_s: 0,
        signature: Signature::ZERO,
    };
    let signatures = read.lines[1..].iter().map(of).collect();
    assert_eq!(refused(&CoseReceipt { signatures, ..good.clone() }), Code::UnknownSigner);
    // A bundle whose signatures for COSE are not its cosigners' is no bundle.
    let mut short = receipt();
    short.root_signatures.pop();
    assert_eq!(code(&short), Code::ReceiptMalformed);
    let mut swapped = receipt();
    swapped.root_signatures.swap(0, 1);
    assert_eq!(code(&swapped), Code::ProofInvalid);
    let without = Receipt { root_signatures: Vec::new(), ..receipt() };
    judge(&without).unwrap();
    assert_eq!(without.cose(&policy()).unwrap_err().code, Code::ReceiptMalformed);
}

#[test]
fn no_single_bit_of_the_cose_form_can_be_changed() {
    let good = receipt().cose(&policy()).unwrap().to_bytes().unwrap();
    for bit in 0..good.len() * 8 {
        let mut forged = good.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        let verdict = CoseReceipt::parse(&forged).and_then(|receipt| receipt.verify(&policy()));
        assert!(verdict.is_err(), "bit {bit}");
    }
    for end in 0..good.len() {
        assert_eq!(CoseReceipt::parse(&good[..end]).unwrap_err().code, Code::ReceiptMalformed, "{end} bytes");
    }
    let longer = [good.as_slice(), &[0]].concat();
    assert_eq!(CoseReceipt::parse(&longer).unwrap_err().code, Code::ReceiptMalformed);
}

fn hash() -> String {
    STANDARD.encode([0; 32])
}

/// One of the places where a forger could change a bit.
#[derive(Clone, Copy, Debug)]
enum Part {
    Leaf,
    Index,
    Path,
    CheckpointText,
    Signatures,
}

/// Flips one bit; `None` when the text is no longer UTF-8, which no reader takes.
fn flip(text: &str, bit: usize) -> Option<String> {
    let mut bytes = text.as_bytes().to_vec();
    let bit = bit % (bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
    String::from_utf8(bytes).ok()
}

fn mutated(part: Part, bit: usize) -> Option<Receipt> {
    let mut receipt = receipt();
    match part {
        Part::Leaf => {
            let mut leaf = leaf(11);
            let bit = bit % (leaf.len() * 8);
            leaf[bit / 8] ^= 1 << (bit % 8);
            // The forger adapts what the bundle shows to the forged leaf, where it still decodes.
            if let Some(facts) = facts(&leaf) {
                (receipt.record, receipt.version, receipt.decoded) =
                    (facts.record, facts.version, facts.decoded);
            }
            receipt.leaf = STANDARD.encode(leaf);
        }
        Part::Index => receipt.inclusion.index ^= 1 << (bit % 64),
        Part::Path => {
            let at = bit / 256 % receipt.inclusion.hashes.len();
            let mut hash = *receipt.inclusion.hashes[at].as_bytes();
            hash[bit / 8 % 32] ^= 1 << (bit % 8);
            receipt.inclusion.hashes[at] = Digest::new(hash);
        }
        Part::CheckpointText => {
            let (body, signatures) = receipt.checkpoint.split_once("\n\n")?;
            receipt.checkpoint = format!("{}\n\n{signatures}", flip(body, bit)?);
        }
        Part::Signatures => {
            let (body, signatures) = receipt.checkpoint.split_once("\n\n")?;
            receipt.checkpoint = format!("{body}\n\n{}", flip(signatures, bit)?);
        }
    }
    Some(receipt)
}

#[test]
fn no_single_bit_of_a_receipt_with_exactly_the_quorum_can_be_changed() {
    judge(&receipt()).unwrap();
    // Multiplying by a number prime to every bit count walks over all bits before repeating.
    let mut judged = 0;
    for round in 0_usize.. {
        for part in [Part::Leaf, Part::Index, Part::Path, Part::CheckpointText, Part::Signatures] {
            let Some(forged) = mutated(part, round * 7_919) else { continue };
            assert!(judge(&forged).is_err(), "{part:?}, round {round}");
            // The same forgery as C2SP text: not even writable, or refused.
            if let Ok(proof) = forged.tlog_proof() {
                let read = TlogProof::parse(&proof.to_text()).and_then(|proof| proof.verify(None, &policy()));
                assert!(read.is_err(), "{part:?}, round {round} as text");
            }
            judged += 1;
        }
        if judged >= 10_000 {
            break;
        }
    }
}

#[test]
fn no_single_bit_of_the_texts_can_be_changed() {
    let json = receipt().to_json();
    for bit in 0..json.len() * 8 {
        let Some(forged) = flip(&json, bit) else { continue };
        let verdict = Receipt::parse(&forged).and_then(|receipt| judge(&receipt));
        assert!(
            verdict.is_err(),
            "bit {bit}: {}",
            &forged[bit / 8 - 5.min(bit / 8)..][..10.min(forged.len() - bit / 8)]
        );
    }
    let text = receipt().tlog_proof().unwrap().to_text();
    for bit in 0..text.len() * 8 {
        let Some(forged) = flip(&text, bit) else { continue };
        let verdict = TlogProof::parse(&forged).and_then(|proof| proof.verify(None, &policy()));
        assert!(verdict.is_err(), "bit {bit}");
    }
}

/// The bundle's steps, with what its leaf says.
fn explained(receipt: &Receipt) -> Vec<Step> {
    let facts = receipt.leaf_bytes().ok().and_then(|leaf| facts(&leaf));
    receipt.explain(&policy(), facts.as_ref())
}

/// The steps hold up to the last, which fails exactly if the receipt does not verify.
#[track_caller]
fn agrees(what: &str, steps: &[Step], verifies: bool) {
    let failed: Vec<usize> = (0..steps.len()).filter(|at| steps[*at].wanted.is_some()).collect();
    let want = if verifies { Vec::new() } else { vec![steps.len() - 1] };
    assert_eq!(failed, want, "{what}: {steps:#?}");
}

#[test]
fn the_explanation_ends_where_the_proof_ends() {
    let good = receipt();
    let steps = explained(&good);
    agrees("good", &steps, true);
    let path = good.inclusion.hashes.len();
    // Chain, sizes, leaf, the path, the root, the log's name, four lines, the log's, the count, the names, three
    // signatures for COSE in two steps each, record, leaf, body.
    assert_eq!(steps.len(), 2 + 1 + path + 1 + 1 + 4 + 1 + 1 + 1 + 6 + 3);
    assert_eq!(steps[3 + path].output, "equal");
    assert_eq!(steps[4 + path + 2].output, "holds: cosigned at 2026-11-23T00:00:00Z");
    let text = good.tlog_proof().unwrap();
    agrees("text", &text.explain(&policy()), true);
    assert_eq!(text.explain(&policy()), steps[2..2 + 1 + path + 1 + 1 + 4 + 1 + 1]);
    let cose = good.cose(&policy()).unwrap().explain(&policy());
    agrees("COSE", &cose, true);
    assert_eq!(cose[..=path], steps[2..=2 + path], "the same path");
    assert_eq!(cose.last().unwrap().output, "enough");
}

#[test]
fn the_explanation_of_a_lie_ends_with_what_was_got_and_wanted() {
    type Change = fn(&mut Receipt);
    let lies: [(&str, &str, Change); 13] = [
        ("another chain", "not those", |one| one.chain_id = ChainId::new(Digest::ZERO)),
        ("another epoch", "not those", |one| one.epoch = Epoch::new(1)),
        ("no base64", "the leaf is no base64", |one| one.leaf = "?".to_owned()),
        ("another size", "different", |one| one.inclusion.size = 22),
        ("another leaf", "different", |one| one.leaf = STANDARD.encode(leaf(12))),
        ("another place", "different", |one| one.inclusion.index = 12),
        ("a short path", "4 hashes", |one| one.inclusion.hashes.truncate(4)),
        ("no such place", "5 hashes", |one| one.inclusion.index = 21),
        ("another hash", "different", |one| one.inclusion.hashes[2] = Digest::ZERO),
        ("other names", "v0, v1, v2", |one| one.validators[0] = "v3".to_owned()),
        ("another root signature", "does not hold", |one| one.root_signatures[1] = Signature::ZERO),
        ("too few root signatures", "2 root signatures of 3 validators", |one| {
            one.root_signatures.truncate(2)
        }),
        ("another decoded leaf", "different", |one| one.decoded = serde_json::json!({})),
    ];
    for (what, got, lie) in lies {
        let mut lied = receipt();
        lie(&mut lied);
        let steps = explained(&lied);
        agrees(what, &steps, false);
        assert_eq!(steps.last().unwrap().output, got, "{what}");
        assert!(judge(&lied).is_err(), "{what}");
    }
    let forged = Body { json: "{\"fine\":5}".to_owned(), ..body() };
    let steps = explained(&Receipt { body: Some(forged), ..receipt() });
    agrees("another body", &steps, false);
    assert_eq!(steps.last().unwrap().wanted, Some(body().commitment().to_string()));
    for (cosigners, got) in
        [(&[0, 1][..], "too few"), (&[7, 8, 9], "too few"), (&[0, 0, 1], "a second line of the same key")]
    {
        let steps = explained(&receipt_with(cosigners));
        agrees("cosigners", &steps, false);
        assert_eq!(steps.last().unwrap().output, got, "{cosigners:?}");
    }
}

#[test]
fn a_changed_bit_anywhere_is_explained_as_it_is_judged() {
    for round in 0..200_usize {
        for part in [Part::Leaf, Part::Index, Part::Path, Part::CheckpointText, Part::Signatures] {
            let Some(forged) = mutated(part, round * 7_919) else { continue };
            agrees(&format!("{part:?}, round {round}"), &explained(&forged), false);
            let Ok(proof) = forged.tlog_proof() else { continue };
            let verifies = proof.verify(None, &policy()).is_ok();
            agrees(&format!("{part:?}, round {round} as text"), &proof.explain(&policy()), verifies);
        }
    }
    let good = receipt().cose(&policy()).unwrap().to_bytes().unwrap();
    for bit in (0..good.len() * 8).step_by(7) {
        let mut forged = good.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        let Ok(read) = CoseReceipt::parse(&forged) else { continue };
        agrees(&format!("bit {bit}"), &read.explain(&policy()), read.verify(&policy()).is_ok());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The explanation reaches the root for every leaf of every tree, also where a level ends alone.
    #[test]
    fn explained_steps_reach_the_root(size in 1_u64..200, at in any::<prop::sample::Index>()) {
        let index = at.index(usize::try_from(size).unwrap()) as u64;
        let tree = Tree::from_leaves((0..size).map(leaf));
        let checkpoint = Checkpoint { origin: origin("test", &chain_id()), size, root: tree.root() };
        let lines = vec![checkpoint.sign(&secret(3, 0))];
        let receipt = Receipt {
            leaf: STANDARD.encode(leaf(index)),
            inclusion: tree.inclusion(index).unwrap(),
            checkpoint: SignedCheckpoint { checkpoint, lines }.to_text(),
            ..receipt()
        };
        prop_assert!(receipt.explain(&policy(), None).iter().any(|step| step.output == "equal"));
    }

    /// Arbitrary text never panics a parser.
    #[test]
    fn arbitrary_text_is_refused(text in "\\PC*", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let noise = String::from_utf8_lossy(&bytes).into_owned();
        for text in [text, noise] {
            prop_assert!(Receipt::parse(&text).is_err());
            let proof = format!("c2sp.org/tlog-proof@v1\n{text}");
            prop_assert!(TlogProof::parse(&proof).is_err());
            prop_assert!(SignedCheckpoint::parse(&text).is_err());
            prop_assert!(TrustPolicy::parse(&text).is_err());
        }
    }
}
