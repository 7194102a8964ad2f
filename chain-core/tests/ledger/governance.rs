//! How agencies, members and legal bases come, change and go.

use chain_core::build;
use chain_core::code::Code;
use chain_core::crypto::Signature;
use chain_core::id::RecordId;
use chain_core::operation::{AmendReason, Effect, Operation, RevokeReason};
use chain_core::record::governance::{AgencyDetails, BasisDetails, MemberDetails, NewKey, Possession, Role};
use chain_core::record::{Details, RecordType};

use crate::city::{
    City, DEDUPE_KEY, agency, agency_details, basis_details, chain, date, licence, member_details, new_key,
    secret,
};

pub(crate) fn proven(post: &str) -> NewKey {
    NewKey { possession: Possession::prove(chain().chain_id, &secret(post)), ..new_key(post) }
}

fn member(post: &str) -> MemberDetails {
    MemberDetails { key: proven(&format!("A1/{post}")), ..member_details("A1", post) }
}

fn new_agency(name: &str) -> AgencyDetails {
    let admins = [1, 2].map(|at| proven(&format!("{name}/admin{at}"))).to_vec();
    AgencyDetails { admins, ..agency_details(name, &[RecordType::Licence]) }
}

fn submit(from: &str, key: &str, details: Details) -> Operation {
    let header = build::governance_header(chain().chain_id, &agency(from), DEDUPE_KEY, key, 1, details);
    Operation::Submit(Box::new(header))
}

fn add_member(key: &str, details: MemberDetails) -> Operation {
    submit("A1", key, Details::Member(Box::new(details)))
}

fn revoke(record: RecordId) -> Operation {
    Operation::Revoke {
        record,
        version: 1,
        reason: RevokeReason::KeyCompromised,
        effect: Effect::FromNow,
        note: String::new(),
    }
}

#[test]
fn two_administrators_add_a_member() {
    let mut city = City::new();
    assert_eq!(city.submit("A1/clerk4", licence("1")), Err(Code::UnknownAuthor));
    let add = add_member("m", member("clerk4"));
    for post in ["A1/clerk1", "A1/supervisor1", "A1/council1"] {
        assert_eq!(city.send(post, add.clone()), Err(Code::RoleNotAllowed), "{post}");
    }
    assert_eq!(city.send("A2/admin1", add.clone()), Err(Code::AgencyNotCompetent));
    let record = city.send("A1/admin1", add.clone()).unwrap().record;
    assert!(city.send("A1/admin1", add).unwrap().duplicate);
    assert_eq!(city.countersign("A1/admin1", record), Err(Code::SamePerson));
    assert_eq!(city.countersign("A2/admin1", record), Err(Code::AgencyNotCompetent));
    assert_eq!(city.countersign("A1/supervisor1", record), Err(Code::RoleNotAllowed));
    assert_eq!(city.submit("A1/clerk4", licence("1")), Err(Code::UnknownAuthor));
    city.countersign("A1/admin2", record).unwrap();
    assert!(city.submit("A1/clerk4", licence("1")).is_ok());
}

#[test]
fn a_new_key_is_proved_sound_and_unknown() {
    let mut city = City::new();
    let unproved = MemberDetails { key: new_key("A1/clerk4"), ..member("clerk4") };
    assert_eq!(city.send("A1/admin1", add_member("a", unproved)), Err(Code::BadParameter));
    // A proof for another chain.
    let other_chain = chain_core::id::ChainId::new(chain_core::crypto::Digest::ZERO);
    let mut foreign = member("clerk4");
    foreign.key.possession = Possession::prove(other_chain, &secret("A1/clerk4"));
    assert_eq!(city.send("A1/admin1", add_member("b", foreign)), Err(Code::BadParameter));
    // The key of small order that "verifies" everything.
    let mut weak = member("clerk4");
    let mut identity = [0; 32];
    identity[0] = 1;
    weak.key.key = chain_core::crypto::PublicKey::new(identity);
    weak.key.possession = Signature::ZERO;
    assert_eq!(city.send("A1/admin1", add_member("c", weak)), Err(Code::BadParameter));
    assert_eq!(city.send("A1/admin1", add_member("d", member("clerk1"))), Err(Code::AlreadyExists));
    let mut named = member("clerk4");
    named.key.label = "clerk 11010519491231002X".to_owned();
    assert_eq!(city.send("A1/admin1", add_member("e", named)), Err(Code::NaturalPersonId));
    // Two proposals for one key: the second finds it taken when it would take effect.
    let first = city.send("A1/admin1", add_member("f", member("clerk4"))).unwrap().record;
    let mut other_role = member("clerk4");
    other_role.role = Role::Supervisor;
    let second = city.send("A1/admin1", add_member("g", other_role)).unwrap().record;
    city.countersign("A1/admin2", first).unwrap();
    assert_eq!(city.countersign("A1/admin2", second), Err(Code::AlreadyExists));
}

#[test]
fn no_agency_makes_council_members_or_members_of_another() {
    let mut city = City::new();
    let council = MemberDetails { role: Role::CouncilMember, ..member("council9") };
    assert_eq!(city.send("A1/admin1", add_member("a", council.clone())), Err(Code::RoleNotAllowed));
    let foreign = MemberDetails { agency: agency("A2"), ..member("clerk4") };
    assert_eq!(city.send("A1/admin1", add_member("b", foreign)), Err(Code::AgencyNotCompetent));
    let record = city.send("A1/council1", add_member("a", council)).unwrap().record;
    assert_eq!(city.countersign("A1/admin1", record), Err(Code::RoleNotAllowed));
    city.countersign("A2/council1", record).unwrap();
    assert_eq!(city.status(record), "effective");
    // Nor may its administrators put a council member out of office.
    let suspend = Operation::Suspend { record, version: 1, until: None, reason: "quarrel".to_owned() };
    assert_eq!(city.send("A1/admin1", suspend.clone()), Err(Code::RoleNotAllowed));
    city.send("A2/council1", suspend).unwrap();
    assert_eq!(city.status(record), "effective");
    assert_eq!(city.countersign("A2/council1", record), Err(Code::SamePerson));
    city.countersign("N/council1", record).unwrap();
    assert_eq!(city.status(record), "suspended");
}

#[test]
fn one_administrator_suspends_and_two_give_back() {
    let mut city = City::new();
    let record = city.send("A1/admin1", add_member("m", member("clerk4"))).unwrap().record;
    city.countersign("A1/admin2", record).unwrap();
    let suspend = Operation::Suspend { record, version: 1, until: None, reason: "key lost".to_owned() };
    assert_eq!(city.send("A2/admin1", suspend.clone()), Err(Code::AgencyNotCompetent));
    assert_eq!(city.send("A1/supervisor1", suspend.clone()), Err(Code::RoleNotAllowed));
    city.send("A1/admin1", suspend).unwrap();
    assert_eq!(city.submit("A1/clerk4", licence("1")), Err(Code::MemberSuspended));
    city.send("A1/admin1", Operation::Resume { record, version: 1 }).unwrap();
    assert_eq!(city.submit("A1/clerk4", licence("1")), Err(Code::MemberSuspended));
    city.countersign("A1/admin2", record).unwrap();
    assert!(city.submit("A1/clerk4", licence("1")).is_ok());
    city.send("A1/admin2", revoke(record)).unwrap();
    assert!(city.submit("A1/clerk4", licence("2")).is_ok());
    city.countersign("A1/admin1", record).unwrap();
    assert_eq!(city.submit("A1/clerk4", licence("3")), Err(Code::MemberSuspended));
}

#[test]
fn a_members_term_is_amended_but_not_its_key_or_role() {
    let mut city = City::new();
    let record = city.send("A1/admin1", add_member("m", member("clerk4"))).unwrap().record;
    city.countersign("A1/admin2", record).unwrap();
    let amend = |details| {
        let details = Details::Member(Box::new(details));
        let header = build::governance_header(chain().chain_id, &agency("A1"), DEDUPE_KEY, "m", 2, details);
        Operation::Amend { header: Box::new(header), reason: AmendReason::ChangeOnApplication }
    };
    let other_role = MemberDetails { role: Role::Supervisor, ..member("clerk4") };
    assert_eq!(city.send("A1/admin1", amend(other_role)), Err(Code::NotAmendable));
    let other_key = MemberDetails { key: proven("A1/clerk5"), ..member("clerk4") };
    assert_eq!(city.send("A1/admin1", amend(other_key)), Err(Code::NotAmendable));
    let shorter = MemberDetails { to: Some(date("2026-05-05")), ..member("clerk4") };
    city.send("A1/admin1", amend(shorter)).unwrap();
    assert!(city.submit("A1/clerk4", licence("1")).is_ok());
    city.countersign("A1/admin2", record).unwrap();
    assert_eq!(city.submit("A1/clerk4", licence("2")), Err(Code::MemberSuspended));
}

#[test]
fn the_council_admits_an_agency_with_its_administrators() {
    let mut city = City::new();
    let admit = |details| submit("A1", "x", Details::Agency(Box::new(details)));
    assert_eq!(city.send("A1/admin1", admit(new_agency("X"))), Err(Code::RoleNotAllowed));
    let mut alone = new_agency("X");
    alone.admins.pop();
    assert_eq!(city.send("A1/council1", admit(alone)), Err(Code::OfficersRequired));
    let mut twice = new_agency("X");
    twice.admins[1] = twice.admins[0].clone();
    assert_eq!(city.send("A1/council1", admit(twice)), Err(Code::OfficersRequired));
    assert_eq!(city.send("A1/council1", admit(new_agency("A2"))), Err(Code::AlreadyExists));
    let record = city.send("A1/council1", admit(new_agency("X"))).unwrap().record;
    assert_eq!(city.status(record), "submitted");
    assert_eq!(city.countersign("A1/council1", record), Err(Code::SamePerson));
    city.countersign("N/council1", record).unwrap();
    assert_eq!(city.status(record), "effective");

    // Its administrators can now build it up.
    let clerk = MemberDetails { key: proven("X/clerk1"), ..member_details("X", "clerk1") };
    let add = submit("X", "m", Details::Member(Box::new(clerk)));
    let member = city.send("X/admin1", add).unwrap().record;
    city.countersign("X/admin2", member).unwrap();

    // Suspending the agency stops all its members at once.
    let suspend = Operation::Suspend { record, version: 1, until: None, reason: "vote".to_owned() };
    city.send("A2/council1", suspend).unwrap();
    city.countersign("N/council1", record).unwrap();
    assert_eq!(city.countersign("X/admin1", member), Err(Code::AgencySuspended));
    city.send("A2/council1", Operation::Resume { record, version: 1 }).unwrap();
    city.countersign("A1/council1", record).unwrap();
    assert_eq!(city.countersign("X/admin1", member), Err(Code::BadState));
}

#[test]
fn an_amended_agency_loses_the_administrators_no_longer_named() {
    let mut city = City::new();
    let admit = submit("A1", "x", Details::Agency(Box::new(new_agency("X"))));
    let record = city.send("A1/council1", admit).unwrap().record;
    city.countersign("N/council1", record).unwrap();
    let mut details = new_agency("X");
    details.admins[0] = proven("X/admin3");
    let header = build::governance_header(
        chain().chain_id,
        &agency("A1"),
        DEDUPE_KEY,
        "x",
        2,
        Details::Agency(Box::new(details)),
    );
    let amend = Operation::Amend { header: Box::new(header), reason: AmendReason::ChangeOnApplication };
    city.send("A1/council1", amend).unwrap();
    city.countersign("N/council1", record).unwrap();
    let clerk = MemberDetails { key: proven("X/clerk1"), ..member_details("X", "clerk1") };
    let add = |key| submit("X", key, Details::Member(Box::new(clerk.clone())));
    assert_eq!(city.send("X/admin1", add("a")), Err(Code::MemberSuspended));
    let member = city.send("X/admin3", add("a")).unwrap().record;
    city.countersign("X/admin2", member).unwrap();
    assert_eq!(city.status(member), "effective");
}

#[test]
fn the_council_adds_and_ends_legal_bases() {
    let mut city = City::new();
    let add = |key, details| submit("A1", key, Details::LegalBasis(Box::new(details)));
    let file = |id: &str, key: &str| {
        let legal_basis = Some(chain_core::record::BasisRef { id: id.to_owned(), version: 1 });
        let filing = build::Filing { legal_basis, ..crate::city::filing(RecordType::Licence, key) };
        build::file(&filing, &crate::city::licence_body(key).to_string()).unwrap()
    };
    assert_eq!(city.send("A1/admin1", add("b", basis_details("sanitation"))), Err(Code::RoleNotAllowed));
    let known = add("b", basis_details("food-safety"));
    assert_eq!(city.send("A1/council1", known), Err(Code::AlreadyExists));
    let empty = BasisDetails { types: Vec::new(), ..basis_details("sanitation") };
    assert_eq!(city.send("A1/council1", add("b", empty)), Err(Code::MissingField));
    let record = city.send("A1/council1", add("b", basis_details("sanitation"))).unwrap().record;
    assert_eq!(city.submit("A1/clerk1", file("sanitation", "1")), Err(Code::LegalBasisMissing));
    city.countersign("A2/council1", record).unwrap();
    assert!(city.submit("A1/clerk1", file("sanitation", "1")).is_ok());

    let header = build::governance_header(
        chain().chain_id,
        &agency("A1"),
        DEDUPE_KEY,
        "b",
        2,
        Details::LegalBasis(Box::new(basis_details("sanitation"))),
    );
    let amend = Operation::Amend { header: Box::new(header), reason: AmendReason::Clerical };
    assert_eq!(city.send("A1/council1", amend), Err(Code::NotAmendable));
    city.send("N/council1", revoke(record)).unwrap();
    city.countersign("A1/council1", record).unwrap();
    assert_eq!(city.submit("A1/clerk1", file("sanitation", "2")), Err(Code::LegalBasisNotInForce));
}

#[test]
fn a_governance_header_says_nothing_but_its_details() {
    let mut city = City::new();
    let mut operation = add_member("m", member("clerk4"));
    if let Operation::Submit(header) = &mut operation {
        header.effective_to = Some(date("2027-01-01"));
    }
    assert_eq!(city.send("A1/admin1", operation), Err(Code::SchemaInvalid));
    let details = Details::LegalBasis(Box::new(basis_details("x")));
    let mut operation = submit("A1", "m", details);
    if let Operation::Submit(header) = &mut operation {
        header.details = Details::Member(Box::new(member("clerk4")));
    }
    assert_eq!(city.send("A1/admin1", operation), Err(Code::SchemaInvalid));
}

#[test]
fn a_genesis_with_a_flaw_is_refused() {
    use chain_core::ledger::MemoryLedger;
    type Change = fn(&mut chain_core::execute::GenesisState);
    let changes: &[Change] = &[
        |genesis| genesis.agencies.clear(),
        |genesis| genesis.agencies.push(genesis.agencies[0].clone()),
        |genesis| genesis.members.push(genesis.members[0].clone()),
        |genesis| genesis.bases.push(genesis.bases[0].clone()),
        |genesis| genesis.members[0].agency = agency("X"),
        |genesis| genesis.bases[0].types.clear(),
        |genesis| genesis.agencies[0].name = String::new(),
        |genesis| genesis.members[0].to = Some(date("2019-12-31")),
        // A genesis proves no possession, so a key of small order must be caught by itself.
        |genesis| genesis.members[0].key.key = chain_core::crypto::PublicKey::new([0; 32]),
    ];
    for (at, change) in changes.iter().enumerate() {
        let mut genesis = crate::city::genesis();
        change(&mut genesis);
        let code = MemoryLedger::new(chain(), &genesis).unwrap_err().code;
        assert_eq!(code, Code::GenesisInvalid, "case {at}");
    }
    let no_council = chain_core::execute::ChainParams { council_threshold: 0, ..chain() };
    assert!(MemoryLedger::new(no_council, &crate::city::genesis()).is_err());
}
