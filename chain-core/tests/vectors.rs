//! Frozen bytes: what is hashed, signed or handed to others may not change by accident.
//!
//! A difference here means that old signatures, receipts or key files no longer hold. If that is meant, write
//! the files anew with `CITY_VECTORS=write cargo test -p city-chain-core --test vectors` and say why.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::path::Path;

use chain_core::checkpoint::{
    Checkpoint, CheckpointPreimage, CosignaturePreimage, Published, SignedCheckpoint, VerifierKey,
};
use chain_core::cose::RootStatement;
use chain_core::crypto::{Digest, SecretKey, Signable};
use chain_core::genesis::ceremony::{GenesisPreimage, Signatures, sign};
use chain_core::genesis::{
    AgencyEntry, Council, Document, Genesis, KeyRole, LegalBasisEntry, MemberEntry, Months, Parameters,
    Permits, Possession, Publication, SCHEMA, ValidatorEntry, ValidatorSecrets,
};
use chain_core::id::RecordId;
use chain_core::keyfile::{DedupeKey, Passphrase, Randomness, encrypt};
use chain_core::merkle::Tree;
use chain_core::receipt::{LeafFacts, Receipt};
use chain_core::transaction::Body;
use chain_core::trust::TrustPolicy;

/// Compares with the frozen file, or writes it when asked to.
#[track_caller]
fn frozen(name: &str, content: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name);
    if std::env::var_os("CITY_VECTORS").is_some_and(|value| value == "write") {
        std::fs::write(&path, content).unwrap();
    }
    let want = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(content == want, "{name} differs from its frozen bytes; got:\n{content}");
}

fn read_frozen(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name)).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let lines: Vec<&str> =
        (0..digits.len().div_ceil(64)).map(|at| &digits[64 * at..digits.len().min(64 * at + 64)]).collect();
    lines.join("\n") + "\n"
}

fn secret(role: u8, ix: u8) -> SecretKey {
    SecretKey::from_seed([16 * role + ix; 32])
}

fn genesis() -> Genesis {
    let network = "vector-city";
    let mut document = Document {
        schema: SCHEMA.into(),
        network: network.into(),
        suite: 1,
        sig_rule: 1,
        created: "2026-11-23T00:00:00Z".into(),
        utc_offset_minutes: 480,
        parameters: Parameters::default(),
        council: Council { threshold: 3 },
        recovery: None,
        subject_key: None,
        validators: Vec::new(),
        agencies: Vec::new(),
        members: Vec::new(),
        legal_bases: vec![LegalBasisEntry {
            id: "cn-food-safety".into(),
            version: 1,
            title: "中华人民共和国食品安全法".into(),
            titles: vec!["《中华人民共和国食品安全法》".into()],
            instrument: "law".into(),
            issuer: "全国人民代表大会常务委员会".into(),
            doc_no: "2015年主席令第二十一号".into(),
            article: "第一百二十四条".into(),
            text_hash: Digest::tagged(b"text", &[]),
            in_force: "2015-10-01".into(),
            ends: Some("2035-12-31".into()),
            permits: Permits {
                types: vec!["credit.penalty".into()],
                subject_kinds: vec!["organisation".into(), "person".into()],
                class_max: "P3".into(),
            },
            publication: Publication {
                allowed: true,
                months_max: Months {
                    minor: Some(3),
                    ordinary: Some(12),
                    serious: Some(36),
                    unclassified: None,
                },
                months_min: Months { minor: None, ordinary: Some(3), serious: Some(12), unclassified: None },
            },
            repair: None,
            deadlines: Vec::new(),
            countersign_roles: vec!["supervisor".into()],
            codes: Vec::new(),
            expiry_required: false,
            hearing: true,
            retention_months: 60,
        }],
        calendars: Vec::new(),
        registered_types: Vec::new(),
    };
    for ix in 0..4 {
        let (name, agency) = (format!("validator-{ix}"), format!("register:CN-T:{ix}"));
        let secrets =
            ValidatorSecrets { consensus: &secret(1, ix), network: &secret(2, ix), log: &secret(3, ix) };
        let address = format!("/ip4/10.0.0.{ix}/tcp/7101");
        document.validators.push(ValidatorEntry::new(network, &name, &agency, &address, secrets));
        let key = secret(4, ix);
        let desk = MemberEntry::new(network, &agency, "council_member", "council desk", "2026-01-01", &key);
        document.members.push(desk);
        document.agencies.push(AgencyEntry {
            id: agency,
            name: format!("示例机关{ix}"),
            name_en: format!("Office {ix}"),
            types: vec!["credit.penalty".into()],
            home_validator: name,
            from: "2026-01-01".into(),
            to: (ix == 3).then(|| "2046-12-31".into()),
        });
    }
    Genesis::from_document(document).unwrap()
}

#[test]
fn genesis_bytes_are_frozen() {
    let genesis = genesis();
    frozen("genesis.toml", &genesis.to_toml());
    frozen("genesis.hex", &hex(genesis.canonical()));
    frozen(
        "genesis.id",
        &format!("{}\n{}\n{}\n", genesis.chain_id(), genesis.read_aloud(), genesis.origin()),
    );
    let mut signatures = Signatures::new(&genesis);
    for ix in 0..4 {
        signatures.add(sign(&genesis, &secret(1, ix)).unwrap());
    }
    frozen("genesis.sigs", &signatures.to_toml());
    let file = read_frozen("genesis.toml");
    assert_eq!(Genesis::parse(&file).unwrap().chain_id(), genesis.chain_id());
}

fn checkpoint(tree: &Tree) -> Checkpoint {
    Checkpoint { origin: genesis().origin(), size: tree.size(), root: tree.root() }
}

fn tree() -> Tree {
    Tree::from_leaves((0..13).map(|index: u8| format!("leaf {index}")))
}

#[test]
fn preimages_are_frozen() {
    let chain_id = genesis().chain_id();
    let checkpoint = checkpoint(&tree());
    let possession = Possession {
        network: "vector-city",
        owner: "validator-0",
        role: KeyRole::Log,
        key: secret(3, 0).public(),
    };
    let mut text = String::new();
    for (name, preimage) in [
        ("possession", possession.preimage()),
        ("genesis", GenesisPreimage { chain_id }.preimage()),
        ("checkpoint", CheckpointPreimage { checkpoint: &checkpoint }.preimage()),
        ("cosignature", CosignaturePreimage { checkpoint: &checkpoint, time_s: 1_795_392_000 }.preimage()),
    ] {
        text.push_str(&format!("# {name}\n{}", hex(&preimage)));
    }
    frozen("preimages.hex", &text);
}

#[test]
fn receipts_and_trust_are_frozen() {
    let tree = tree();
    let policy = TrustPolicy::from_genesis(&genesis());
    frozen("trust-policy.txt", &policy.to_text());
    let checkpoint = checkpoint(&tree);
    let mut lines = vec![checkpoint.sign(&secret(3, 1))];
    let mut root_signatures = Vec::new();
    for ix in [0, 2, 3] {
        let (key, name, time_s) = (secret(3, ix), format!("validator-{ix}"), 1_795_392_000 + u64::from(ix));
        lines.push(checkpoint.cosign(time_s, &key).line(&name, &key.public()));
        let cosigner = VerifierKey::cosigner(&name, key.public());
        root_signatures.push(key.sign(&RootStatement::new(&checkpoint, &cosigner, time_s)));
    }
    let body = Body { salt: Digest::tagged(b"salt", &[]), json: "{\"note\":\"示例\"}".into() };
    let facts = LeafFacts {
        record: RecordId::new(Digest::tagged(b"record", &[])),
        version: 1,
        decoded: serde_json::json!({"leaf": 6}),
        body_commit: Some(body.commitment()),
    };
    let signed = SignedCheckpoint { checkpoint, lines };
    let inclusion = tree.inclusion(6).unwrap();
    let published = Published { signed, root_signatures };
    let receipt = Receipt::new(b"leaf 6", facts.clone(), Some(body), inclusion, &published, &policy).unwrap();
    // As nodes made it before there were signatures for COSE.
    let bare = Receipt { root_signatures: Vec::new(), ..receipt.clone() };
    frozen("receipt.json", &(bare.to_json() + "\n"));
    frozen("receipt_with_roots.json", &(receipt.to_json() + "\n"));
    frozen("receipt.tlog-proof", &receipt.tlog_proof().unwrap().to_text());
    frozen("receipt_cose.hex", &hex(&receipt.cose(&policy).unwrap().to_bytes().unwrap()));
    let policy = TrustPolicy::parse(&read_frozen("trust-policy.txt")).unwrap();
    for name in ["receipt.json", "receipt_with_roots.json"] {
        Receipt::parse(&read_frozen(name)).unwrap().verify(&policy, Some(&facts)).unwrap();
    }
}

#[test]
fn key_files_are_frozen() {
    let passphrase = Passphrase::new("vector passphrase").unwrap();
    let text = encrypt(&secret(3, 0), KeyRole::Log, &passphrase, Randomness::from_bytes([9; 32])).unwrap();
    frozen("log-key.pem", &text);
    frozen("dedupe.key", &DedupeKey::from_seed([5; 32]).to_text("register:CN-T:0"));
}
