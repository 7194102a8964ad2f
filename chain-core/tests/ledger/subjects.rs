//! The index of subjects: what it shows of an organisation is all there is, and what it forgot is gone.

use std::collections::BTreeSet;

use base64::Engine as _;
use chain_core::build::{self, Filed};
use chain_core::code::Code;
use chain_core::crypto::Digest;
use chain_core::execute::{LedgerRead as _, OrderedBlock, execute_block};
use chain_core::id::{ChainId, Epoch, RecordId};
use chain_core::layout::Layout as _;
use chain_core::operation::{AmendReason, Effect, Operation, RevokeReason};
use chain_core::org::OrgId;
use chain_core::state::{key, tree};
use chain_core::subject::proof::{Listed, Parts, SubjectProof};
use chain_core::subject::{Index, IndexEntry, Listing, PREFIX_BITS, SubjectKey};
use chain_core::vrf::VrfSecret;
use serde_json::json;

use crate::city::{City, chain, index_key, penalty_body, penalty_filing, penalty_with};
use crate::sealed::{policy, seal};

fn organisation(number: u32) -> OrgId {
    format!("register:GB-COH:{number:08}").parse().unwrap()
}

fn salt_of(name: &str) -> Digest {
    Digest::tagged(b"subject-salt", &[name.as_bytes()])
}

/// A penalty about an organisation, published from a day to a day.
fn about(number: u32, name: &str, from: &str, until: &str) -> Filed {
    let mut body = penalty_body(name);
    body["subject"]["id"] = json!(organisation(number).to_string());
    body["subject_salt"] = json!(salt_of(name).to_string());
    body["publish_from"] = json!(from);
    body["publish_until"] = json!(until);
    build::file(&penalty_filing(name), &body.to_string()).unwrap()
}

/// Files it and has it approved.
fn publish(city: &mut City, number: u32, name: &str, from: &str, until: &str) -> RecordId {
    let record = city.submit("A1/clerk1", about(number, name, from, until)).unwrap().record;
    city.countersign("A1/clerk2", record).unwrap();
    city.countersign("A1/supervisor1", record).unwrap();
    record
}

fn entry(city: &City) -> IndexEntry {
    IndexEntry::from_canonical(&city.ledger.get(&key::index()).unwrap().unwrap()).unwrap()
}

/// What the ledger itself remembers of an organisation's records: version and listing of each.
fn listings(city: &City) -> Vec<(RecordId, Listing)> {
    let (from, to) = key::all_listed();
    let listed = city.ledger.range(&from, &to, 1_000).unwrap();
    listed
        .iter()
        .map(|(listed, version)| {
            let record = RecordId::from_canonical(&listed[1..]).unwrap();
            let version = u32::from_canonical(version).unwrap();
            let listing = city.ledger.get(&key::listing(&record, version)).unwrap().unwrap();
            (record, Listing::from_canonical(&listing).unwrap())
        })
        .collect()
}

fn parts(city: &City, number: u32) -> Parts {
    let subject = organisation(number);
    let tag = index_key().tag(&subject);
    let own = listings(city).into_iter().filter(|(_, listing)| listing.tag() == tag);
    let own: Vec<_> = own.collect();
    let records: Vec<Listed> =
        own.iter().map(|(record, listing)| Listed { record: *record, salt: listing.salt() }).collect();
    let place = own.first().map_or(tag.first_place(), |(record, listing)| listing.place(record));
    let index = entry(city);
    Parts {
        vrf: index_key().prove(&subject),
        subject,
        records,
        path: tree::prove_index(&city.ledger, index.changes, &place).unwrap(),
        index,
        index_path: tree::prove(&city.ledger, city.ledger.height(), &key::index()).unwrap(),
        seal: seal(city),
    }
}

fn proof(city: &City, number: u32) -> SubjectProof {
    SubjectProof::new(parts(city, number), &policy()).unwrap()
}

fn shown(city: &City, number: u32) -> BTreeSet<RecordId> {
    let proof = proof(city, number);
    let complete = proof.verify(&policy()).unwrap();
    assert_eq!(complete.index, entry(city));
    assert!(complete.height <= city.ledger.height(), "of the newest block that changed anything");
    assert_eq!(SubjectProof::parse(&proof.to_json()).unwrap(), proof);
    proof.records.iter().map(|one| one.record).collect()
}

/// The root of the index is that of a tree made anew of what is listed.
fn check_root(city: &City) {
    let mut leaves: Vec<_> = listings(city).iter().map(|(record, listing)| listing.leaf(record)).collect();
    leaves.sort_unstable_by_key(|leaf| leaf.place);
    assert_eq!(entry(city).root, tree::subtree(&leaves, 0));
}

#[test]
fn an_organisation_is_shown_all_that_is_published_about_it_and_nothing_else() {
    let mut city = City::indexed();
    let mut wanted = vec![BTreeSet::new(); 12];
    for number in 0..12_u32 {
        // None for the first, one for the second, and so on.
        for at in 0..number {
            let record = publish(&mut city, number, &format!("{number}/{at}"), "2026-05-06", "2027-05-06");
            wanted[number as usize].insert(record);
        }
    }
    check_root(&city);
    for (number, wanted) in (0..).zip(&wanted) {
        assert_eq!(shown(&city, number), *wanted, "organisation {number}");
    }
    assert_eq!(proof(&city, 7).path.siblings.len(), PREFIX_BITS);
}

#[test]
fn a_list_with_one_record_too_few_or_too_many_is_refused() {
    let mut city = City::indexed();
    let names: Vec<String> = (0..4).map(|at| format!("a{at}")).collect();
    for name in &names {
        publish(&mut city, 1, name, "2026-05-06", "2027-05-06");
    }
    publish(&mut city, 2, "b", "2026-05-06", "2027-05-06");
    for number in 10..40 {
        publish(&mut city, number, &format!("c{number}"), "2026-05-06", "2027-05-06");
    }
    let code = |proof: &SubjectProof| proof.verify(&policy()).unwrap_err().code;
    let (four, one, none) = (proof(&city, 1), proof(&city, 2), proof(&city, 3));
    for hidden in 0..4 {
        let mut forged = four.clone();
        forged.records.remove(hidden);
        assert_eq!(code(&forged), Code::ProofInvalid);
    }
    let foreign = one.records[0];
    for (good, count) in [(&four, 4), (&one, 1), (&none, 0)] {
        assert_eq!(good.records.len(), count);
        let lies = [
            SubjectProof { records: Vec::new(), ..good.clone() },
            SubjectProof {
                records: vec![Listed { record: RecordId::new(Digest::ZERO), salt: None }],
                ..good.clone()
            },
            SubjectProof { subject: organisation(5), ..good.clone() },
            SubjectProof { vrf: proof(&city, 5).vrf, ..good.clone() },
            // Another organisation's part of the index, and an index of another time.
            SubjectProof { path: proof(&city, 11).path, ..good.clone() },
            SubjectProof { index: proof_of_empty(), ..good.clone() },
        ];
        for (at, lie) in lies.iter().enumerate().skip(usize::from(count == 0)) {
            assert_eq!(code(lie), Code::ProofInvalid, "lie {at} about {count} records");
        }
        for at in 0..good.path.siblings.len() {
            let mut forged = good.clone();
            forged.path.siblings[at] = Digest::tagged(b"forged", &[forged.path.siblings[at].as_bytes()]);
            assert_eq!(code(&forged), Code::ProofInvalid, "sibling {at}");
        }
        for salt in [None, Some(Digest::ZERO)] {
            let mut forged = good.clone();
            if let Some(first) = forged.records.first_mut() {
                first.salt = salt;
                assert_eq!(code(&forged), Code::ProofInvalid, "a salt that is not the record's");
            }
        }
    }
    let mut more = four.clone();
    more.records.push(foreign);
    more.records.sort_unstable();
    assert_eq!(code(&more), Code::ProofInvalid);
    // An organisation's records passed off as somebody else's leaf in its way.
    let own =
        Listing::new(index_key().tag(&organisation(2)), one.records[0].salt).leaf(&one.records[0].record);
    let mut hidden = SubjectProof { records: Vec::new(), ..one };
    hidden.path.leaf = Some(own);
    assert_eq!(code(&hidden), Code::ProofInvalid);
    // A path from inside the subtree would show a part of it for the whole.
    let whole = parts(&city, 1);
    let place = Listing::new(index_key().tag(&organisation(1)), whole.records[0].salt)
        .place(&whole.records[0].record);
    let inside = tree::prove_index(&city.ledger, entry(&city).changes, &place).unwrap();
    assert!(inside.siblings.len() > PREFIX_BITS);
    let mut part = SubjectProof { records: vec![whole.records[0]], ..four.clone() };
    part.path.siblings = inside.siblings;
    assert_eq!(code(&part), Code::ProofInvalid);

    let mut twice = four.clone();
    twice.records.insert(1, twice.records[0]);
    assert_eq!(code(&twice), Code::ReceiptMalformed);
    let mut unordered = four.clone();
    unordered.records.reverse();
    assert_eq!(code(&unordered), Code::ReceiptMalformed);
    let earlier = SubjectProof { height: four.height.previous().unwrap(), ..four.clone() };
    assert_eq!(code(&earlier), Code::LeafMismatch);
    assert_eq!(code(&SubjectProof { epoch: Epoch::new(1), ..four.clone() }), Code::TrustMissing);
    let elsewhere = ChainId::new(Digest::ZERO);
    assert_eq!(code(&SubjectProof { chain_id: elsewhere, ..four.clone() }), Code::ProofInvalid);
    // An index of the forger's own, in which nothing is listed and everything fits but its place in the state.
    let forger = SubjectKey::new(chain().chain_id, VrfSecret::from_seed(&[1; 32]));
    let own_index = IndexEntry::empty(forger.public()).to_canonical();
    let mut own = SubjectProof { records: Vec::new(), vrf: forger.prove(&organisation(1)), ..four.clone() };
    own.index = base64::engine::general_purpose::STANDARD.encode(own_index);
    own.path.siblings.clear();
    assert_eq!(code(&own), Code::ProofInvalid);
    let mut short = seal(&city);
    short.checkpoint.lines.pop();
    assert_eq!(code(&SubjectProof { seal: short.to_text(), ..four.clone() }), Code::QuorumNotMet);
    assert_eq!(code(&SubjectProof { schema: "city/v1/receipt".to_owned(), ..four }), Code::ReceiptMalformed);
}

fn proof_of_empty() -> String {
    base64::engine::general_purpose::STANDARD.encode(IndexEntry::empty(index_key().public()).to_canonical())
}

/// A record is listed from the first day of its publication to the last, unless it ends before; afterwards nothing in the
/// state says whom it was about.
#[test]
fn what_is_no_longer_published_is_forgotten() {
    let mut city = City::indexed();
    let nothing = |city: &City| {
        let left = city.ledger.range(&[0x86], &[0x8a], 100).unwrap();
        assert_eq!((left, entry(city).root), (Vec::new(), tree::EMPTY_ROOT));
    };
    nothing(&city);
    // Waits for its day, is there on it and on the last, and is gone after it, each time by an empty block.
    let record = publish(&mut city, 1, "later", "2026-06-01", "2027-05-06");
    assert_eq!(shown(&city, 1), BTreeSet::new());
    city.tick("2026-05-31T23:59:59+08:00");
    assert!(listings(&city).is_empty());
    for day in ["2026-06-01", "2027-05-06"] {
        city.tick(&format!("{day}T00:00:00+08:00"));
        assert_eq!(shown(&city, 1), BTreeSet::from([record]), "{day}");
        check_root(&city);
    }
    city.tick("2027-05-07T00:00:00+08:00");
    nothing(&city);

    // Ended before its time: stopped, revoked, withdrawn, rejected.
    city.at("2026-05-06T09:00:00+08:00");
    let (until, now) = ("2027-05-06", "2026-05-06");
    let stopped = publish(&mut city, 1, "stopped", now, until);
    assert_eq!(shown(&city, 1), BTreeSet::from([stopped]));
    let stop = Operation::StopPublication { record: stopped, version: 1, reason: "wrong".to_owned() };
    city.send("A1/supervisor1", stop).unwrap();
    nothing(&city);
    let revoked = publish(&mut city, 1, "revoked", now, until);
    let revoke = Operation::Revoke {
        record: revoked,
        version: 1,
        reason: RevokeReason::Annulled,
        effect: Effect::FromNow,
        note: String::new(),
    };
    city.send("A1/supervisor1", revoke).unwrap();
    assert_eq!(shown(&city, 1), BTreeSet::from([revoked]), "its reviewer has not agreed yet");
    city.countersign("A1/legal1", revoked).unwrap();
    nothing(&city);
    let withdrawn = city.submit("A1/clerk1", about(1, "withdrawn", now, until)).unwrap().record;
    assert_eq!(shown(&city, 1), BTreeSet::new(), "nobody has approved it");
    city.send("A1/clerk1", Operation::Withdraw { record: withdrawn, version: 1 }).unwrap();
    nothing(&city);
    let rejected = city.submit("A1/clerk1", about(1, "rejected", now, until)).unwrap().record;
    let header_digest = Some(city.head(rejected).current.header_digest);
    let reject =
        Operation::Reject { record: rejected, version: 1, header_digest, reason: "unproven".to_owned() };
    city.send("A1/supervisor1", reject).unwrap();
    nothing(&city);

    // Approved when its publication is over already: in that very block it is not listed.
    let late = city.submit("A1/clerk1", about(1, "late", now, until)).unwrap().record;
    city.at("2027-05-08T09:00:00+08:00");
    city.countersign("A1/clerk2", late).unwrap();
    city.countersign("A1/supervisor1", late).unwrap();
    assert_eq!(city.status(late), "effective");
    nothing(&city);
}

/// A version takes the place of the one before, for the same organisation or another.
#[test]
fn an_amended_record_is_listed_under_whom_it_is_about_now() {
    let mut city = City::indexed();
    let (until, now) = ("2027-05-06", "2026-05-06");
    let record = publish(&mut city, 1, "amended", now, until);
    for (version, number) in [(2, 1), (3, 2)] {
        let before = shown(&city, 1);
        let mut body = penalty_body("amended");
        body["subject"]["id"] = json!(organisation(number).to_string());
        body["subject_salt"] = json!(salt_of("amended").to_string());
        let filing = build::Filing { version, salt: salt_of("other"), ..penalty_filing("amended") };
        let filed = build::file(&filing, &body.to_string()).unwrap();
        let (operation, body, _) = filed.amend(AmendReason::Clerical);
        city.send_with("A1/clerk1", operation, body).unwrap();
        assert_eq!(shown(&city, 1), before, "until it is approved");
        for post in ["A1/clerk2", "A1/supervisor2"] {
            city.countersign(post, record).unwrap();
        }
        assert_eq!(city.head(record).current.version, version);
        assert_eq!(shown(&city, number), BTreeSet::from([record]));
        check_root(&city);
        assert_eq!(
            city.ledger.range(&[0x86], &[0x87], 100).unwrap().len(),
            1,
            "one version's listing is kept"
        );
    }
    assert_eq!(shown(&city, 1), BTreeSet::new());
}

/// An all-or-nothing transaction that fails lists nothing.
#[test]
fn what_is_taken_back_is_not_listed() {
    let mut city = City::indexed();
    let (until, now) = ("2027-05-06", "2026-05-06");
    let (good, good_body, _) = about(1, "good", now, until).submit();
    let (bad, bad_body, _) = about(1, "bad", now, until).submit();
    let operations = vec![(good, good_body), (bad.clone(), None), (bad, bad_body)];
    let submission = build::submission(
        chain().chain_id,
        &crate::city::secret("A1/clerk1"),
        city.time_ms + 5,
        true,
        operations,
    );
    let root = entry(&city);
    city.block(vec![submission]);
    assert_eq!((entry(&city), city.ledger.range(&[0x86], &[0x8a], 9).unwrap()), (root, Vec::new()));
}

/// Whoever has not the key takes the index from the record, and sees by the root whether it is right.
#[test]
fn an_organisation_without_an_identifier_is_listed_nowhere_and_holds_nothing_up() {
    let mut city = City::indexed();
    let record = city.submit(
        "A1/clerk1",
        penalty_with("1", |body| {
            body["subject"] = json!({
                "kind": "organisation", "name": "示例商行",
                "other_codes": [{ "scheme": "business_registration", "value": "320100000000001" }],
            });
        }),
    );
    let record = record.unwrap().record;
    city.countersign("A1/clerk2", record).unwrap();
    city.countersign("A1/supervisor1", record).unwrap();
    assert_eq!(city.status(record), "effective");
    assert_eq!(listings(&city), []);
    // Nothing waits for the word of others: every validator has seen the body.
    let (from, to) = key::all_unseen();
    assert_eq!(city.ledger.range(&from, &to, 10).unwrap(), []);
    assert_eq!(entry(&city).changes, 0);
    check_root(&city);
}

#[test]
fn without_the_key_the_index_comes_from_the_record() {
    let story = |city: &mut City| {
        let (until, now) = ("2027-05-06", "2026-05-06");
        let first = about(1, "first", now, until).submit();
        let second = about(2, "second", now, until).submit();
        let record = first.0.record();
        let digest = first.0.header().unwrap().digest();
        let approve = |post: &str, city: &mut City| {
            let operation = Operation::Countersign { record, version: 1, header_digest: digest };
            city.sign(post, vec![(operation, None)])
        };
        vec![
            city.sign("A1/clerk1", vec![(first.0, first.1), (second.0, second.1)]),
            approve("A1/clerk2", city),
            approve("A1/supervisor1", city),
        ]
    };
    let submissions = story(&mut City::indexed());
    let mut with = City::indexed();
    let mut before = entry(&with);
    let mut without = City::indexed();
    for submission in submissions {
        let at = without.ledger.exec_state().clone();
        with.block(vec![submission.clone()]);
        let after = entry(&with);
        let recorded = (after != before).then_some(after);
        before = after;
        let header = without.header();
        let batch = crate::city::batch(vec![submission]);
        let ordered =
            chain_core::execute::OrderedBatch { batch: &batch, signatures_ok: &[true], recorded: None };
        let block = |index| OrderedBlock { header: &header, batches: vec![ordered], index };
        let run = |index| execute_block(&without.ledger, &chain(), &at, &block(index));
        let result = run(Index::Recorded(recorded)).unwrap();
        assert_eq!(result.summary, *with.ledger.summary());
        if let Some(right) = recorded {
            let forged = IndexEntry { root: Digest::ZERO, ..right };
            assert_ne!(run(Index::Recorded(Some(forged))).unwrap().summary, *with.ledger.summary());
            assert_ne!(run(Index::Recorded(None)).unwrap().summary, *with.ledger.summary());
        }
        assert!(run(Index::None).is_err(), "nothing to take it from");
        let other = SubjectKey::new(chain().chain_id, VrfSecret::from_seed(&[1; 32]));
        let error = run(Index::Computed(&other)).unwrap_err().to_string();
        assert!(error.contains("key of the index"), "{error}");
        without.ledger.apply(result);
    }
    assert_eq!(entry(&without), entry(&with));
    assert_eq!(without.ledger.range(&[0x86], &[0x8a], 9).unwrap(), [], "it links nothing");
    assert!(!listings(&with).is_empty());
}

/// A chain without an index, or records that it is not for.
#[test]
fn what_the_index_is_not_for_leaves_it_alone() {
    let mut city = City::new();
    publish(&mut city, 1, "a", "2026-05-06", "2027-05-06");
    assert_eq!(city.ledger.get(&key::index()).unwrap(), None);
    assert_eq!(city.ledger.range(&[0x86], &[0x8a], 9).unwrap(), []);
    let mut city = City::indexed();
    // A licence without a publication, and a decision about nobody.
    city.effective_licence("1");
    let decision = crate::city::decision_body("2").to_string();
    let filing = crate::city::filing(chain_core::record::RecordType::Decision, "2");
    city.submit("A1/clerk1", build::file(&filing, &decision).unwrap()).unwrap();
    assert_eq!((entry(&city).changes, city.ledger.range(&[0x86], &[0x8a], 9).unwrap()), (0, Vec::new()));
}
