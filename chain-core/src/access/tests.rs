//! Questions, entries and the proofs of them.

use super::*;
use crate::proof::InclusionPath;

fn chain(name: &[u8]) -> ChainId {
    ChainId::new(Digest::tagged(name, &[]))
}

fn officer() -> SecretKey {
    SecretKey::from_seed([7; 32])
}

fn query(question: Question, nonce: u8) -> Query {
    let record = RecordId::new(Digest::tagged(b"record", &[]));
    let about_day = question == Question::Day;
    Query {
        question,
        record: (!about_day).then_some(record),
        version: None,
        day: about_day.then(|| "2026-05-06".parse().unwrap()),
        purpose: "objection 12".to_owned(),
        time_ms: 1_000 + u64::from(nonce),
        nonce: Digest::tagged(b"nonce", &[&[nonce]]),
    }
}

fn entries(count: u8) -> Vec<Entry> {
    let entry = |at: u8| Entry {
        time_ms: 2_000 + u64::from(at),
        role: Role::Clerk,
        refused: (at == 1).then_some(Code::RoleNotAllowed.number()),
        asked: query(Question::Body, at).sign(chain(b"one"), &officer()),
    };
    (0..count).map(entry).collect()
}

fn day(entries: &[Entry], shown: &[usize]) -> DayEntries {
    let tree = tree(entries);
    DayEntries {
        root: DayRoot {
            agency: "uscc:91440300100012316L".parse().unwrap(),
            day: "2026-05-06".parse().unwrap(),
            queries: u32::try_from(entries.len()).unwrap(),
            root: tree.root(),
            anchored_by: None,
        },
        entries: shown
            .iter()
            .map(|&at| ProvedEntry { entry: entries[at].clone(), path: tree.inclusion(at as u64).unwrap() })
            .collect(),
    }
}

#[test]
fn a_question_counts_for_its_chain_and_as_it_was_signed() {
    let signed = query(Question::Body, 0).sign(chain(b"one"), &officer());
    assert!(signed.verify(chain(b"one")));
    assert!(!signed.verify(chain(b"other")));
    type Change = fn(&mut SignedQuery);
    let changes: [Change; 8] = [
        |one| one.query.question = Question::WhoAsked,
        |one| one.query.record = None,
        |one| one.query.version = Some(2),
        |one| one.query.day = Some(Date::MIN),
        |one| one.query.purpose.push('x'),
        |one| one.query.time_ms += 1,
        |one| one.query.nonce = Digest::ZERO,
        |one| one.officer = SecretKey::from_seed([8; 32]).public(),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let mut other = signed.clone();
        change(&mut other);
        assert!(!other.verify(chain(b"one")), "change {at}");
    }
}

#[test]
fn a_question_says_what_it_is_about_and_why() {
    type Change = fn(&mut Query);
    let refused = |question: Question, change: Change| {
        let mut query = query(question, 0);
        change(&mut query);
        query.check().map_err(|refusal| refusal.code)
    };
    for question in Question::ALL {
        assert_eq!(refused(*question, |_| ()), Ok(()));
        assert_eq!(refused(*question, |one| one.purpose = "  ".into()), Err(Code::MissingField));
        assert_eq!(refused(*question, |one| one.purpose = "x".repeat(257)), Err(Code::SizeLimit));
        assert_eq!(refused(*question, |one| (one.record, one.day) = (None, None)), Err(Code::BadParameter));
        let version = refused(*question, |one| one.version = Some(2));
        assert_eq!(version.is_ok(), *question == Question::Body);
        let both: Change = |one| {
            one.record = Some(RecordId::new(Digest::ZERO));
            one.day = Some(Date::MIN);
        };
        assert_eq!(refused(*question, both), Err(Code::BadParameter));
    }
}

#[test]
fn an_entry_is_read_back_from_its_leaf() {
    for entry in entries(3) {
        assert_eq!(Entry::from_canonical(&entry.to_canonical()).unwrap(), entry);
    }
}

#[test]
fn entries_stand_under_the_root_of_their_day_and_none_can_be_left_out_of_a_whole_day() {
    let all = entries(5);
    assert_eq!(day(&all, &[0, 1, 2, 3, 4]).verify(chain(b"one"), true), Ok(()));
    assert_eq!(day(&all, &[1, 3]).verify(chain(b"one"), false), Ok(()));
    assert_eq!(day(&[], &[]).verify(chain(b"one"), true), Ok(()));
    type Change = fn(&mut DayEntries);
    let changes: [(&str, Change); 10] = [
        ("one left out", |day| drop(day.entries.remove(2))),
        ("one twice", |day| day.entries.insert(1, day.entries[0].clone())),
        ("another order", |day| day.entries.swap(0, 1)),
        ("another purpose", |day| day.entries[2].entry.asked.query.purpose.push('x')),
        ("another role", |day| day.entries[2].entry.role = Role::Auditor),
        ("said to be answered", |day| day.entries[1].entry.refused = None),
        ("another count", |day| day.root.queries = 4),
        ("another root", |day| day.root.root = Digest::ZERO),
        ("another place", |day| {
            day.entries[0].path = InclusionPath { index: 1, ..day.entries[0].path.clone() }
        }),
        // The first of five and the first of six have paths of the same form.
        ("another size", |day| day.entries[0].path.size = 6),
    ];
    for (what, change) in changes {
        let mut changed = day(&all, &[0, 1, 2, 3, 4]);
        change(&mut changed);
        let refused = changed.verify(chain(b"one"), true).map_err(|refusal| refusal.code);
        assert_eq!(refused, Err(Code::ProofInvalid), "{what}");
    }
    let mut nothing = day(&[], &[]);
    nothing.root.root = Digest::ZERO;
    assert!(nothing.verify(chain(b"one"), true).is_err(), "the root of nothing is known");
    assert!(day(&all, &[0]).verify(chain(b"other"), false).is_err(), "signed for another chain");
}
