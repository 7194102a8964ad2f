//! State proofs: what was in force after a block, and what was not there.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chain_core::code::Code;
use chain_core::crypto::Digest;
use chain_core::id::{Epoch, RecordId};
use chain_core::layout::Layout as _;
use chain_core::merkle::Tree;
use chain_core::receipt::TlogProof;
use chain_core::state::tree::{self, TreeLeaf};
use chain_core::state::{EntryName, RecordHead};
use chain_core::state_proof::StateProof;

use crate::city::{City, agency, public};
use crate::sealed::{policy, seal};

fn proof(city: &City, entry: EntryName) -> StateProof {
    use chain_core::execute::LedgerRead as _;
    let path = tree::prove(&city.ledger, city.ledger.height(), &entry.key()).unwrap();
    let value = city.ledger.get(&entry.key()).unwrap();
    StateProof::new(entry, value.as_deref(), path, &seal(city), &policy()).unwrap()
}

#[test]
fn what_is_there_and_what_is_not_is_proved_for_every_kind_of_entry() {
    let mut city = City::new();
    let record = city.effective_licence("1");
    let there = proof(&city, EntryName::Record(record));
    assert_eq!(
        (there.height, &there.decoded["current"]["status"]),
        (city.ledger.height(), &"effective".into())
    );
    let shown = there.verify(&policy()).unwrap();
    assert_eq!(shown.state_root, city.ledger.summary().state_root);
    assert_eq!(RecordHead::from_canonical(&shown.value.unwrap()).unwrap(), city.head(record));
    assert_eq!(StateProof::parse(&there.to_json()).unwrap(), there);

    let a1 = agency("A1");
    let known =
        [format!("agency:{a1}"), format!("member:{}", public("A1/clerk1")), "basis:food-safety@1".to_owned()];
    let unknown = [
        format!("record:{}", Digest::ZERO),
        "agency:uscc:11320100MAXEYHTT33".to_owned(),
        format!("member:{}", public("nobody")),
        "basis:food-safety@2".to_owned(),
        "validator:v0".to_owned(),
        "epoch".to_owned(),
    ];
    for (name, is_there) in
        known.iter().map(|name| (name, true)).chain(unknown.iter().map(|name| (name, false)))
    {
        let entry: EntryName = name.parse().unwrap();
        assert_eq!(entry.to_string(), *name);
        let proof = proof(&city, entry);
        assert_eq!(proof.verify(&policy()).unwrap().value.is_some(), is_there, "{name}");
    }
}

#[test]
fn names_that_are_none_are_refused_with_what_is_wanted() {
    let long = format!("basis:{}@1", "b".repeat(65));
    for (name, code) in [
        ("", Code::BadParameter),
        ("record", Code::BadParameter),
        ("record:12", Code::BadParameter),
        ("member:xyz", Code::BadParameter),
        ("agency:11320100MAXP23YC3L", Code::BadIdentifier),
        ("basis:B1", Code::BadParameter),
        ("basis:@1", Code::BadParameter),
        (&long, Code::BadParameter),
        ("validator:", Code::BadParameter),
        ("tree:1", Code::BadParameter),
    ] {
        assert_eq!(name.parse::<EntryName>().unwrap_err().code, code, "{name}");
    }
}

#[test]
fn a_proof_that_says_anything_else_is_refused() {
    let mut city = City::new();
    let record = city.effective_licence("1");
    let earlier = seal(&city);
    let before = proof(&city, EntryName::Record(record));
    city.effective_licence("2");
    let good = proof(&city, EntryName::Record(record));
    let code = |proof: &StateProof| proof.verify(&policy()).unwrap_err().code;
    assert_ne!(good.path, before.path);

    let other_record = EntryName::Record(RecordId::new(Digest::ZERO));
    let absent = proof(&city, other_record.clone());
    let mut head = city.head(record);
    head.flags = chain_core::state::Flags::DISPUTED;
    let altered = Some(STANDARD.encode(head.to_canonical()));
    let of_earlier_block = StateProof { seal: earlier.to_text(), height: before.height, ..good.clone() };
    for (lie, wanted) in [
        // A record that is there passed off as absent, and the other way round.
        (StateProof { value: None, decoded: serde_json::Value::Null, ..good.clone() }, Code::ProofInvalid),
        (StateProof { path: absent.path.clone(), value: None, ..good.clone() }, Code::ProofInvalid),
        (
            StateProof { value: good.value.clone(), decoded: good.decoded.clone(), ..absent },
            Code::ProofInvalid,
        ),
        (StateProof { entry: other_record, ..good.clone() }, Code::ProofInvalid),
        (StateProof { value: altered, ..good.clone() }, Code::ProofInvalid),
        (StateProof { decoded: before.decoded["current"].clone(), ..good.clone() }, Code::LeafMismatch),
        (StateProof { height: before.height, ..good.clone() }, Code::LeafMismatch),
        (of_earlier_block, Code::ProofInvalid),
        (StateProof { seal: before.seal.clone(), ..good.clone() }, Code::LeafMismatch),
        (StateProof { epoch: Epoch::new(1), ..good.clone() }, Code::TrustMissing),
        (
            StateProof { chain_id: chain_core::id::ChainId::new(Digest::ZERO), ..good.clone() },
            Code::ProofInvalid,
        ),
        (StateProof { schema: "city/v1/receipt".to_owned(), ..good.clone() }, Code::ReceiptMalformed),
        (StateProof { value: Some("?".to_owned()), ..good.clone() }, Code::ReceiptMalformed),
        (StateProof { seal: String::new(), ..good.clone() }, Code::ReceiptMalformed),
    ] {
        assert_eq!(code(&lie), wanted, "{}", lie.to_json());
    }
    // A leaf of a record is no seal, even under a sound checkpoint.
    let log = Tree::from_leaves(city.ledger.leaves().iter().map(|leaf| leaf.bytes.clone()));
    let whole = seal(&city);
    let record_leaf = TlogProof {
        extra: Some(city.ledger.leaves()[0].bytes.clone()),
        index: 0,
        hashes: log.inclusion(0).unwrap().hashes,
        ..whole.clone()
    };
    assert_eq!(code(&StateProof { seal: record_leaf.to_text(), ..good.clone() }), Code::ReceiptMalformed);
    let mut short = whole;
    short.checkpoint.lines.pop();
    assert_eq!(code(&StateProof { seal: short.to_text(), ..good }), Code::QuorumNotMet);
}

/// The place of an absent entry may be shown by the only leaf of its subtree. A leaf of another subtree, or that of the
/// entry itself, shows nothing.
#[test]
fn only_the_leaf_that_stands_in_the_way_shows_an_absence() {
    let mut city = City::new();
    let record = city.effective_licence("1");
    let root = city.ledger.summary().state_root;
    let height = city.ledger.height();
    let (mut by_leaf, mut by_nothing) = (0, 0);
    for at in 0..64_u8 {
        let absent = EntryName::Record(RecordId::new(Digest::tagged(b"absent", &[&[at]]))).key();
        let path = tree::prove(&city.ledger, height, &absent).unwrap();
        assert!(path.shows_absence(&root, &absent));
        match path.leaf {
            Some(_) => by_leaf += 1,
            None => by_nothing += 1,
        }
        // No bit of the path may change.
        for place in 0..path.siblings.len() {
            let mut forged = path.clone();
            forged.siblings[place] = Digest::tagged(b"forged", &[forged.siblings[place].as_bytes()]);
            assert!(!forged.shows_absence(&root, &absent));
        }
        let cut = tree::TreePath { siblings: path.siblings[1..].to_vec(), ..path.clone() };
        assert!(!cut.shows_absence(&root, &absent));
        // The path of the record, unless its leaf stands in this very way.
        let of_record = tree::prove(&city.ledger, height, &EntryName::Record(record).key()).unwrap();
        assert_eq!(of_record.shows_absence(&root, &absent), of_record == path);
    }
    assert!(by_leaf > 0 && by_nothing > 0, "{by_leaf} and {by_nothing}: both ways were seen");
    let present = EntryName::Record(record).key();
    let path = tree::prove(&city.ledger, height, &present).unwrap();
    assert!(!path.shows_absence(&root, &present), "its own leaf");
    let long = tree::TreePath { leaf: path.leaf, siblings: vec![Digest::ZERO; 257] };
    assert_eq!((long.root(&present), long.shows_absence(&root, &present)), (None, false));
    assert_ne!(TreeLeaf::of(&present, b"a").hash(), TreeLeaf::of(&present, b"b").hash());
}
