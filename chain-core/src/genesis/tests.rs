use super::ceremony::{Part, Signatures, assemble, sign};
use super::*;
use crate::crypto::{PublicKey, SecretKey, Signature};

const NETWORK: &str = "test-city";

fn secret(kind: u8, ix: u8) -> SecretKey {
    SecretKey::from_seed([kind * 16 + ix; 32])
}

fn name(ix: u8) -> String {
    format!("v{ix}")
}

fn agency_id(ix: u8) -> String {
    format!("register:CN-T:{ix}")
}

fn validator_entry(ix: u8) -> ValidatorEntry {
    validator_named(ix, &name(ix))
}

fn validator_named(ix: u8, name: &str) -> ValidatorEntry {
    let secrets =
        ValidatorSecrets { consensus: &secret(1, ix), network: &secret(2, ix), log: &secret(3, ix) };
    let address = format!("/ip4/127.0.0.1/tcp/{}", 7100 + u16::from(ix));
    ValidatorEntry::new(NETWORK, name, &agency_id(ix), &address, secrets)
}

fn agency_entry(ix: u8) -> AgencyEntry {
    AgencyEntry {
        id: agency_id(ix),
        name: format!("示例机关{ix}"),
        name_en: String::new(),
        types: vec!["credit.penalty".into(), "credit.licence".into()],
        home_validator: name(ix),
        from: "2026-01-01".into(),
        to: None,
    }
}

fn member_entry(ix: u8) -> MemberEntry {
    MemberEntry::new(NETWORK, &agency_id(ix), "council_member", "council desk", "2026-01-01", &secret(4, ix))
}

fn basis() -> LegalBasisEntry {
    LegalBasisEntry {
        id: "cn-food-safety".into(),
        version: 1,
        title: "中华人民共和国食品安全法".into(),
        titles: vec!["《中华人民共和国食品安全法》".into()],
        instrument: "law".into(),
        issuer: "全国人民代表大会常务委员会".into(),
        doc_no: String::new(),
        article: String::new(),
        text_hash: Digest::tagged(b"text", &[]),
        in_force: "2015-10-01".into(),
        ends: None,
        permits: Permits {
            types: vec!["credit.penalty".into()],
            subject_kinds: vec!["organisation".into()],
            class_max: "P3".into(),
        },
        publication: Publication {
            allowed: true,
            months_max: Months { minor: Some(3), ordinary: Some(12), serious: Some(36), unclassified: None },
            months_min: Months { minor: None, ordinary: Some(3), serious: Some(12), unclassified: None },
        },
        repair: None,
        deadlines: Vec::new(),
        countersign_roles: vec!["supervisor".into()],
        codes: Vec::new(),
        expiry_required: false,
        hearing: false,
        retention_months: 60,
    }
}

fn empty() -> Document {
    Document {
        schema: SCHEMA.into(),
        network: NETWORK.into(),
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
        legal_bases: vec![basis()],
        calendars: Vec::new(),
        registered_types: Vec::new(),
    }
}

fn deadline(step: &str, days: u16) -> DeadlineEntry {
    DeadlineEntry { step: step.into(), days, unit: "working_days".into() }
}

fn calendar(year: u16) -> CalendarEntry {
    CalendarEntry {
        year,
        holidays: vec![format!("{year}-01-01")],
        work_days: Vec::new(),
        source: "notice".into(),
        doc_no: String::new(),
        text_hash: Digest::ZERO,
    }
}

fn full() -> Document {
    Document {
        validators: (0..4).map(validator_entry).collect(),
        agencies: (0..4).map(agency_entry).collect(),
        members: (0..4).map(member_entry).collect(),
        ..empty()
    }
}

fn chain_id(document: Document) -> String {
    Genesis::from_document(document).unwrap().chain_id().to_string()
}

/// The refusal's text; panics when there is none or it has another code.
#[track_caller]
fn refused(document: Document) -> String {
    let refusal = Genesis::from_document(document).unwrap_err();
    assert_eq!(refusal.code, Code::GenesisInvalid);
    refusal.detail
}

#[test]
fn the_same_content_gives_the_same_chain_in_any_order_and_through_toml() {
    let genesis = Genesis::from_document(full()).unwrap();
    let mut shuffled = full();
    shuffled.validators.reverse();
    shuffled.agencies.swap(0, 3);
    shuffled.members.rotate_left(1);
    shuffled.agencies[0].types.reverse();
    assert_eq!(chain_id(shuffled), genesis.chain_id().to_string());
    let read = Genesis::parse(&genesis.to_toml()).unwrap();
    assert_eq!(read, genesis);
    assert_eq!(genesis.created_ms(), 1_795_392_000_000);
    assert_eq!(genesis.committee().validators()[2].name, "v2");
}

#[test]
fn any_changed_field_is_another_chain() {
    let mut seen = std::collections::BTreeSet::from([chain_id(full())]);
    let mut changes: Vec<(String, Document)> = Vec::new();
    let mut change = |what: &str, edit: &dyn Fn(&mut Document)| {
        let mut document = full();
        edit(&mut document);
        changes.push((what.to_owned(), document));
    };
    change("created", &|d| d.created = "2026-11-23T00:00:01Z".into());
    change("utc_offset", &|d| d.utc_offset_minutes = -480);
    change("threshold", &|d| d.council.threshold = 2);
    change("address", &|d| d.validators[1].address.push('9'));
    change("agency name", &|d| d.agencies[1].name.push('局'));
    change("agency name_en", &|d| d.agencies[1].name_en = "Office".into());
    change("agency types", &|d| drop(d.agencies[1].types.pop()));
    change("agency home", &|d| d.agencies[1].home_validator = name(0));
    change("agency from", &|d| d.agencies[1].from = "2026-01-02".into());
    change("agency to", &|d| d.agencies[1].to = Some("2036-01-02".into()));
    change("member role", &|d| {
        d.members[1].role = "clerk".into();
    });
    change("member label", &|d| d.members[1].label.push('2'));
    change("member from", &|d| d.members[1].from = "2026-01-02".into());
    change("member to", &|d| d.members[1].to = Some("2036-01-02".into()));
    change("basis id", &|d| d.legal_bases[0].id.push('2'));
    change("basis version", &|d| d.legal_bases[0].version = 2);
    change("basis title", &|d| d.legal_bases[0].title.push('2'));
    change("basis titles", &|d| d.legal_bases[0].titles.clear());
    change("basis instrument", &|d| d.legal_bases[0].instrument = "rule".into());
    change("basis issuer", &|d| d.legal_bases[0].issuer.push('2'));
    change("basis doc_no", &|d| d.legal_bases[0].doc_no.push('2'));
    change("basis article", &|d| d.legal_bases[0].article.push('2'));
    change("basis text_hash", &|d| d.legal_bases[0].text_hash = Digest::ZERO);
    change("basis in_force", &|d| d.legal_bases[0].in_force = "2015-10-02".into());
    change("basis ends", &|d| d.legal_bases[0].ends = Some("2035-10-02".into()));
    change("basis types", &|d| d.legal_bases[0].permits.types[0].push('2'));
    change("basis kinds", &|d| d.legal_bases[0].permits.subject_kinds[0].push('2'));
    change("basis class", &|d| d.legal_bases[0].permits.class_max = "P1".into());
    change("basis publication", &|d| d.legal_bases[0].publication.allowed = false);
    change("basis max minor", &|d| d.legal_bases[0].publication.months_max.minor = None);
    change("basis max ordinary", &|d| d.legal_bases[0].publication.months_max.ordinary = Some(11));
    change("basis max serious", &|d| d.legal_bases[0].publication.months_max.serious = Some(35));
    change("basis min minor", &|d| d.legal_bases[0].publication.months_min.minor = Some(1));
    change("basis countersign", &|d| d.legal_bases[0].countersign_roles.clear());
    change("basis expiry", &|d| d.legal_bases[0].expiry_required = true);
    change("basis hearing", &|d| d.legal_bases[0].hearing = true);
    change("basis codes", &|d| d.legal_bases[0].codes = vec!["a".into()]);
    change("basis max unclassified", &|d| d.legal_bases[0].publication.months_max.unclassified = Some(36));
    change("basis repair", &|d| d.legal_bases[0].repair = Some(Repair { after_months: 0 }));
    change("basis repair months", &|d| d.legal_bases[0].repair = Some(Repair { after_months: 3 }));
    change("basis deadline", &|d| d.legal_bases[0].deadlines = vec![deadline("publication", 7)]);
    change("basis deadline days", &|d| d.legal_bases[0].deadlines = vec![deadline("publication", 8)]);
    change("basis deadline step", &|d| d.legal_bases[0].deadlines = vec![deadline("review_decision", 7)]);
    change("calendar", &|d| d.calendars = vec![calendar(2026)]);
    change("calendar year", &|d| d.calendars = vec![calendar(2027)]);
    change("calendar work day", &|d| {
        d.calendars = vec![CalendarEntry { work_days: vec!["2026-01-04".into()], ..calendar(2026) }];
    });
    change("calendar source", &|d| {
        d.calendars = vec![CalendarEntry { source: "another".into(), ..calendar(2026) }];
    });
    change("basis retention", &|d| d.legal_bases[0].retention_months = 61);
    for (at, &(name, min, default, max)) in Parameters::BOUNDS.iter().enumerate() {
        // Through TOML, because the fields have no index; the defaults sit at the upper bound of most.
        let value = if default > min { default - 1 } else { max };
        let toml = full_toml().replace(&format!("{name} = {default}"), &format!("{name} = {value}"));
        let document: Document = from_toml(&toml).unwrap();
        assert_eq!(document.parameters.values()[at], value, "{name}");
        if check::NOT_YET_FREE.contains(&name) {
            let refusal = Genesis::parse(&toml).unwrap_err();
            let want = format!("{default}, the only value that this release knows");
            assert!(refusal.detail.ends_with(&want), "{name}: {}", refusal.detail);
            continue;
        }
        changes.push((name.to_owned(), document));
    }
    for (what, document) in changes {
        assert!(seen.insert(chain_id(document)), "{what} does not change the chain id");
    }
}

fn full_toml() -> String {
    Genesis::from_document(full()).unwrap().to_toml()
}

#[test]
fn unknown_and_repeated_keys_are_refused_with_their_line() {
    let toml = full_toml();
    for (what, text, says) in [
        ("unknown", format!("colour = \"red\"\n{toml}"), "colour"),
        ("unknown parameter", toml.replace("window =", "windows ="), "windows"),
        ("repeated", format!("network = \"other\"\n{toml}"), "duplicate key"),
        ("missing", toml.replace("suite = 1\n", ""), "suite"),
        ("wrong type", toml.replace("suite = 1\n", "suite = \"one\"\n"), "suite"),
        ("float", toml.replace("window = 16", "window = 16.0"), "window"),
        ("not TOML", "{}".to_owned(), "line 1"),
    ] {
        let refusal = Genesis::parse(&text).unwrap_err();
        assert_eq!(refusal.code, Code::GenesisInvalid, "{what}");
        assert!(
            refusal.detail.contains("line ") && refusal.detail.contains(says),
            "{what}: {}",
            refusal.detail
        );
    }
}

#[test]
fn every_parameter_has_hard_bounds() {
    for &(name, min, default, max) in Parameters::BOUNDS {
        assert!(min <= default && default <= max, "{name}");
        for value in [min.checked_sub(1), max.checked_add(1)].into_iter().flatten() {
            let toml = full_toml().replace(&format!("{name} = {default}"), &format!("{name} = {value}"));
            let refusal = Genesis::parse(&toml).unwrap_err();
            let want = format!("`parameters.{name}`: got {value}, wanted {min} to {max}");
            assert_eq!((refusal.code, refusal.detail), (Code::GenesisInvalid, want));
        }
    }
}

#[test]
fn a_genesis_that_cannot_run_is_refused_by_name() {
    type Edit = fn(&mut Document);
    let cases: [(&str, Edit); 24] = [
        ("`schema`", |d| d.schema = "city/genesis/v2".into()),
        ("`network`", |d| d.network = "Test City".into()),
        ("`suite`", |d| d.suite = 2),
        ("`sig_rule`", |d| d.sig_rule = 0),
        ("`created`", |d| d.created = "yesterday".into()),
        ("`utc_offset_minutes`", |d| d.utc_offset_minutes = 900),
        ("`validator`: got 3 entries, wanted at least 4", |d| drop(d.validators.pop())),
        ("`validator v0.name`", |d| d.validators[1] = validator_entry(0)),
        ("`validator v1.address`", |d| d.validators[1].address = "10.0.0.1:80".into()),
        ("`validator v1.agency`", |d| d.validators[1].agency = "register:CN-T:99".into()),
        ("proof of possession", |d| d.validators[1].network_possession = d.validators[1].log_possession),
        ("small order", |d| d.validators[1].log_key = PublicKey::new([0; 32])),
        ("`agency register:CN-T:1.home_validator`", |d| d.agencies[1].home_validator = "v9".into()),
        ("the id twice", |d| d.agencies[1] = d.agencies[0].clone()),
        ("twice", |d| d.agencies[1].types = vec!["credit.penalty".into(); 2]),
        ("`agency register:CN-T:1.from`", |d| d.agencies[1].from = "2026-02-30".into()),
        ("`agency register:CN-T:1.to`", |d| d.agencies[1].to = Some("2025-12-31".into())),
        ("hidden", |d| d.agencies[1].name = "局\u{202e}".into()),
        ("the key twice", |d| d.members[1] = d.members[0].clone()),
        ("`council.threshold`: got 5", |d| d.council.threshold = 5),
        ("`council.threshold`: got 0", |d| d.council.threshold = 0),
        ("id and version twice", |d| d.legal_bases.push(basis())),
        ("permits.class_max", |d| d.legal_bases[0].permits.class_max = "P5".into()),
        ("publication.months_min", |d| d.legal_bases[0].publication.months_min.minor = Some(4)),
    ];
    for (says, edit) in cases {
        let mut document = full();
        edit(&mut document);
        let detail = refused(document);
        assert!(detail.contains(says), "{says}: {detail}");
    }
}

#[test]
fn a_validator_key_serves_no_member() {
    let mut document = full();
    let key = secret(1, 0);
    document.members[0].key = key.public();
    document.members[0].possession = prove(NETWORK, &agency_id(0), KeyRole::Member, &key);
    assert!(refused(document).contains("a validator's key"));
}

#[test]
fn the_hash_can_be_read_aloud() {
    let id = ChainId::new(Digest::tagged(b"example", &[]));
    let aloud = read_aloud(&id);
    let groups: Vec<&str> = aloud.split(' ').collect();
    assert_eq!(groups.len(), 9);
    assert_eq!(groups[..8].concat(), id.to_string()[..32]);
    assert_eq!(groups[8].len(), 5);
    // The word covers the half of the id that is not read.
    let mut bytes = *id.digest().as_bytes();
    bytes[31] ^= 1;
    let other = read_aloud(&ChainId::new(Digest::new(bytes)));
    assert_eq!(other[..39], aloud[..39]);
    assert_ne!(other, aloud);
}

fn draft() -> Draft {
    Draft::parse(&Draft::from_document(empty()).unwrap().to_toml()).unwrap()
}

fn part(draft: &Draft, ix: u8) -> Part {
    let made = Part::new(
        draft,
        vec![validator_entry(ix)],
        vec![agency_entry(ix)],
        vec![member_entry(ix)],
        recovery_keys_of(draft, ix),
        &[&secret(1, ix)],
    );
    Part::parse(&made.unwrap().to_toml()).unwrap()
}

/// An agency's recovery key, where the draft asks for them.
fn recovery_keys_of(draft: &Draft, ix: u8) -> Vec<RecoveryKeyEntry> {
    draft.document().recovery.iter().map(|_| recovery_key(ix)).collect()
}

#[test]
fn the_key_of_the_index_of_subjects_is_part_of_the_chain() {
    let with = |key| Document { subject_key: Some(key), ..full() };
    let key = secret(7, 0).public();
    let genesis = Genesis::from_document(with(key)).unwrap();
    assert_eq!(Genesis::parse(&genesis.to_toml()).unwrap(), genesis);
    let others = [full(), with(secret(7, 1).public()), with_recovery(3, 0..4)];
    let both = Document { subject_key: Some(key), ..with_recovery(3, 0..4) };
    let mut chains: Vec<String> = others.into_iter().chain([with(key), both]).map(chain_id).collect();
    chains.sort();
    chains.dedup();
    assert_eq!(chains.len(), 5, "each is another chain");

    let other = "a key of its own";
    for (taken, says) in [
        (full().validators[1].log_key, other),
        (full().members[0].key, other),
        (PublicKey::new([0; 32]), "subject_key"),
    ] {
        let detail = refused(with(taken));
        assert!(detail.contains("`subject_key`") && detail.contains(says), "{detail}");
    }
}

#[test]
fn each_agency_brings_its_recovery_key_in_its_part() {
    let recovery = Some(Recovery { threshold: 3, keys: Vec::new() });
    let with = Draft::from_document(Document { recovery, ..draft().document().clone() }).unwrap();
    let parts: Vec<Part> = (0..4).map(|ix| part(&with, ix)).collect();
    let genesis = assemble(&with, &parts).unwrap();
    assert_eq!(genesis.document().recovery, with_recovery(3, 0..4).recovery);
    // No part brings a key that the draft has no threshold for, or that is not at home there.
    let made = |draft: &Draft, keys: u8| {
        let (validators, agencies) = (vec![validator_entry(0)], vec![agency_entry(0)]);
        Part::new(draft, validators, agencies, Vec::new(), vec![recovery_key(keys)], &[&secret(1, 0)])
    };
    let refused = made(&draft(), 0).unwrap_err();
    assert!(refused.detail.contains("no [recovery]"), "{refused}");
    let refused = made(&with, 1).unwrap_err();
    assert!(refused.detail.contains("recovery key safe-1.agency"), "{refused}");
    // The part's signature covers the key.
    let mut changed = parts[0].clone();
    changed.recovery_keys[0] = recovery_key(9);
    changed.recovery_keys[0].agency = agency_id(0);
    assert!(changed.check(&with).unwrap_err().detail.contains("does not verify"));
}

#[test]
fn four_parts_make_one_genesis_in_any_order() {
    let draft = draft();
    let mut parts: Vec<Part> = (0..4).map(|ix| part(&draft, ix)).collect();
    let genesis = assemble(&draft, &parts).unwrap();
    parts.reverse();
    assert_eq!(assemble(&draft, &parts).unwrap().chain_id(), genesis.chain_id());
    assert_eq!(genesis.chain_id().to_string(), chain_id(full()));
    parts.pop();
    assert!(assemble(&draft, &parts).unwrap_err().detail.contains("at least 4"));
}

#[test]
fn a_part_that_was_altered_or_made_for_another_draft_is_refused() {
    let draft = draft();
    let good = part(&draft, 0);
    let altered = |edit: &dyn Fn(&mut Part)| {
        let mut part = good.clone();
        edit(&mut part);
        assemble(&draft, &[part]).unwrap_err()
    };
    for refusal in [
        altered(&|part| part.validators[0].address.push('1')),
        altered(&|part| part.agencies[0].types.clear()),
        altered(&|part| part.members[0].role = "agency_admin".into()),
        altered(&|part| part.signatures[0] = Signature::ZERO),
        altered(&|part| part.signatures.clear()),
        altered(&|part| part.validators.clear()),
    ] {
        assert_eq!(refusal.code, Code::GenesisInvalid, "{refusal}");
    }
    let other = Draft::from_document(Document { utc_offset_minutes: 0, ..empty() }).unwrap();
    assert_eq!(assemble(&other, &[good]).unwrap_err().code, Code::GenesisMismatch);
}

#[test]
fn a_part_speaks_for_its_own_agency_only() {
    let draft = draft();
    let validators = vec![validator_entry(0)];
    let foreign_agency = Part::new(
        &draft,
        validators.clone(),
        vec![agency_entry(1)],
        Vec::new(),
        Vec::new(),
        &[&secret(1, 0)],
    )
    .unwrap_err();
    assert!(foreign_agency.detail.contains("home_validator"), "{foreign_agency}");
    let foreign_member = Part::new(
        &draft,
        validators,
        vec![agency_entry(0)],
        vec![member_entry(1)],
        Vec::new(),
        &[&secret(1, 0)],
    )
    .unwrap_err();
    assert!(foreign_member.detail.contains("at home"), "{foreign_member}");
}

#[test]
fn two_parts_cannot_claim_one_name() {
    let draft = draft();
    let rival = validator_named(1, &name(0));
    let rival = Part::new(&draft, vec![rival], Vec::new(), Vec::new(), Vec::new(), &[&secret(1, 1)]).unwrap();
    let refusal = assemble(&draft, &[part(&draft, 0), rival]).unwrap_err();
    assert!(refusal.detail.contains("the name twice"), "{refusal}");
}

#[test]
fn a_genesis_stands_when_all_validators_signed_it() {
    let genesis = Genesis::from_document(full()).unwrap();
    let mut signatures = Signatures::new(&genesis);
    for ix in [2, 0, 3] {
        signatures.add(sign(&genesis, &secret(1, ix)).unwrap());
    }
    assert_eq!(signatures.missing(&genesis), ["v1"]);
    assert!(signatures.verify(&genesis).unwrap_err().detail.contains("none of v1"));
    signatures.add(sign(&genesis, &secret(1, 1)).unwrap());
    let read = Signatures::parse(&signatures.to_toml()).unwrap();
    read.verify(&genesis).unwrap();

    let mut swapped = read.clone();
    swapped.entries[0].signature = swapped.entries[1].signature;
    assert_eq!(swapped.verify(&genesis).unwrap_err().code, Code::GenesisInvalid);
    let mut twice = read.clone();
    twice.entries[1] = twice.entries[0].clone();
    assert!(twice.verify(&genesis).unwrap_err().detail.contains("two"));
    let other = Genesis::from_document(Document { utc_offset_minutes: 0, ..full() }).unwrap();
    assert_eq!(read.verify(&other).unwrap_err().code, Code::GenesisMismatch);
    assert_eq!(sign(&genesis, &secret(3, 0)).unwrap_err().code, Code::GenesisInvalid);
}

fn recovery_key(ix: u8) -> RecoveryKeyEntry {
    RecoveryKeyEntry::new(NETWORK, &format!("safe-{ix}"), &agency_id(ix), &secret(9, ix))
}

fn with_recovery(threshold: u16, keys: std::ops::Range<u8>) -> Document {
    let recovery = Recovery { threshold, keys: keys.map(recovery_key).collect() };
    Document { recovery: Some(recovery), ..full() }
}

#[test]
fn recovery_keys_are_part_of_the_chain_in_any_order() {
    let genesis = Genesis::from_document(with_recovery(3, 0..4)).unwrap();
    assert_ne!(genesis.chain_id().to_string(), chain_id(full()));
    assert_ne!(genesis.chain_id().to_string(), chain_id(with_recovery(4, 0..4)));
    assert_ne!(genesis.chain_id().to_string(), chain_id(with_recovery(3, 0..3)));
    let mut shuffled = with_recovery(3, 0..4);
    shuffled.recovery.as_mut().unwrap().keys.reverse();
    assert_eq!(chain_id(shuffled), genesis.chain_id().to_string());
    assert_eq!(Genesis::parse(&genesis.to_toml()).unwrap(), genesis);
    assert!(genesis.to_toml().contains("[recovery]\nthreshold = 3\n"));
    assert!(!Genesis::from_document(full()).unwrap().to_toml().contains("recovery"));
    let keys = state::recovery(genesis.document().recovery.as_ref().unwrap()).unwrap();
    assert_eq!((keys.threshold(), keys.keys().len()), (3, 4));
}

#[test]
fn recovery_keys_that_could_not_decide_or_are_not_the_agencies_own_are_refused() {
    let edit = |change: fn(&mut Recovery)| {
        let mut document = with_recovery(3, 0..4);
        change(document.recovery.as_mut().unwrap());
        refused(document)
    };
    let cases: [(&str, fn(&mut Recovery)); 9] = [
        ("`recovery`: a threshold of 2 among 4", |one| one.threshold = 2),
        ("`recovery`: a threshold of 5 among 4", |one| one.threshold = 5),
        ("`recovery`: 1 recovery keys", |one| one.keys.truncate(1)),
        ("`recovery`: recovery key safe-0 shares", |one| one.keys[1] = recovery_key(0)),
        ("`recovery key Safe.name`", |one| one.keys[0].name = "Safe".into()),
        ("`recovery key safe-0.key`: got a proof of possession", |one| {
            one.keys[0].possession = Signature::ZERO
        }),
        ("`recovery key safe-0.key`: got the key of a validator or member", |one| {
            let key = secret(1, 0);
            one.keys[0] = RecoveryKeyEntry::new(NETWORK, "safe-0", &agency_id(0), &key);
        }),
        ("`recovery key safe-0.agency`", |one| one.keys[0].agency = "register:CN-T:99".into()),
        ("recovery key safe-0", |one| one.keys[0].agency = "somebody".into()),
    ];
    for (want, change) in cases {
        let detail = edit(change);
        assert!(detail.contains(want), "wanted {want}, got {detail}");
    }
}

#[test]
fn terms_and_calendars_become_state_or_are_refused() {
    let mut document = full();
    document.legal_bases[0].repair = Some(Repair { after_months: 3 });
    document.legal_bases[0].deadlines = vec![deadline("publication", 7), deadline("objection_decision", 3)];
    document.calendars = vec![calendar(2027), calendar(2026)];
    let genesis = Genesis::from_document(document.clone()).unwrap();
    assert_eq!(Genesis::parse(&genesis.to_toml()).unwrap(), genesis);
    let years: Vec<u16> = genesis.document().calendars.iter().map(|calendar| calendar.year).collect();
    assert_eq!(years, [2026, 2027]);

    type Change = fn(&mut Document);
    let changes: &[(&str, Change)] = &[
        ("deadlines.step", |d| d.legal_bases[0].deadlines[0].step = "lunch".into()),
        ("deadlines.unit", |d| d.legal_bases[0].deadlines[0].unit = "hours".into()),
        ("0 days", |d| d.legal_bases[0].deadlines[0].days = 0),
        ("named twice", |d| d.legal_bases[0].deadlines[1].step = "publication".into()),
        ("2026 twice", |d| d.calendars[0].year = 2026),
        ("holidays", |d| d.calendars[0].holidays = vec!["2027-02-30".into()]),
        ("not of the year", |d| d.calendars[0].holidays = vec!["2026-01-01".into()]),
        ("calendar 2027.source", |d| d.calendars[0].source = String::new()),
    ];
    for (named, change) in changes {
        let mut document = document.clone();
        change(&mut document);
        let checked = Genesis::from_document(document).and_then(|genesis| genesis.state().map(drop));
        let detail = checked.unwrap_err().detail;
        assert!(detail.contains(named), "{named}: {detail}");
    }
}
