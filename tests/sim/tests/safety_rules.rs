//! The voting rules R1 to R5, each with what it refuses (consensus 3.4, 6.A and 6.B).

#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use chain_core::block::{Flags, Header};
use chain_core::certificate::{Cert, VoteKind};
use chain_core::crypto::Digest;
use chain_core::id::{Height, View};
use city_sim::kit::{Kit, ix, rank};
use consensus::engine::Tip;
use consensus::message::{HighQc, VoteEcho};
use consensus::safety::{Foundation, Refused, Safety, Slot};
use consensus::verified::Verified;

/// A chain of empty blocks of one view on a tip; the headers.
fn headers(kit: &Kit, from: &Tip, view: u64, count: usize) -> Vec<Header> {
    kit.chain(from, view, count).into_iter().map(|proposal| proposal.header).collect()
}

fn tip(kit: &Kit, from: &Tip, headers: &[Header]) -> Tip {
    headers.iter().fold(from.clone(), |tip, header| tip.after(&kit.propose(header.clone(), None)))
}

fn verified(kit: &Kit, cert: Cert) -> Verified<Cert> {
    let kind = cert.kind;
    kit.judge().cert(cert, kind).unwrap()
}

fn prepare_qc(kit: &Kit, header: &Header) -> Verified<Cert> {
    verified(kit, kit.cert_of(VoteKind::Prepare, header))
}

/// A validator that has voted for the first two of four blocks of view 0.
fn voted() -> (Kit, Safety, Vec<Header>) {
    let kit = Kit::new(4);
    let mut safety = kit.safety(2);
    let chain = headers(&kit, &kit.genesis(), 0, 4);
    safety.prepare(&[&chain[0], &chain[1]], Some(Foundation::Base)).unwrap();
    (kit, safety, chain)
}

#[test]
fn a_vote_raises_the_record_before_it_exists() {
    let (kit, safety, chain) = voted();
    assert_eq!(safety.record().last_prepare, Some(Slot::of(&chain[1])));
    let vote = safety.repeat_prepare().unwrap();
    assert!(kit.judge().vote(&vote));
    assert_eq!((vote.signer, vote.digest), (ix(2), chain[1].digest()));
}

#[test]
fn r1a_never_at_or_below_the_newest_prepare() {
    let (kit, mut safety, chain) = voted();
    assert_eq!(safety.prepare(&[&chain[1]], None), Err(Refused::NotAbove), "the same block again");
    assert_eq!(safety.prepare(&[&chain[0]], Some(Foundation::Base)), Err(Refused::NotAbove), "below it");
    let rival = kit.header(&tip(&kit, &kit.genesis(), &chain[..1]), 0, Flags::CHECKPOINT);
    assert_ne!(rival.digest(), chain[1].digest());
    assert_eq!(safety.prepare(&[&rival], None), Err(Refused::NotAbove), "another block of the same slot");
    assert_eq!(safety.record().last_prepare, Some(Slot::of(&chain[1])), "a refusal changes nothing");
}

#[test]
fn r1a_never_in_a_view_that_was_given_up() {
    let (_, mut safety, chain) = voted();
    safety.view_change(View::new(1), None).unwrap();
    assert_eq!(safety.prepare(&[&chain[2]], None), Err(Refused::ViewLeft));
}

#[test]
fn r1b_votes_of_a_view_form_one_chain() {
    let (kit, mut safety, chain) = voted();
    let start = tip(&kit, &kit.genesis(), &chain[..1]);
    let rival = kit.header(&start, 0, Flags::CHECKPOINT);
    let fork = kit.header(&tip(&kit, &start, std::slice::from_ref(&rival)), 0, Flags::NONE);
    assert_eq!(safety.prepare(&[&fork], None), Err(Refused::OtherBranch));
    assert_eq!(safety.prepare(&[&rival, &fork], None), Err(Refused::OtherBranch));
    assert_eq!(safety.prepare(&[&chain[3]], None), Err(Refused::OtherBranch), "a gap hides a fork");
    assert!(safety.prepare(&[&chain[2], &chain[3]], None).is_ok(), "the gap shown, the vote is free");
}

#[test]
fn r1c_nothing_follows_the_end_of_a_term_or_an_epoch() {
    for ending in [Flags::TERM_END, Flags::CLOSING] {
        let kit = Kit::new(4);
        let mut safety = kit.safety(1);
        let end = kit.header(&kit.genesis(), 0, ending);
        let after = kit.header(&tip(&kit, &kit.genesis(), std::slice::from_ref(&end)), 0, Flags::NONE);
        let refused = safety.prepare(&[&end, &after], Some(Foundation::Base));
        assert_eq!(refused, Err(Refused::Ended), "{ending:?}");
        // Nor when only the end's certificate is shown.
        let certificate = prepare_qc(&kit, &end);
        let foundation = Foundation::Certified { certificate: &certificate, header: &end };
        assert_eq!(safety.prepare(&[&after], Some(foundation)), Err(Refused::NotJustified), "{ending:?}");
    }
}

#[test]
fn r1d_view_zero_stands_on_the_base() {
    let kit = Kit::new(4);
    let mut safety = kit.safety(1);
    let chain = headers(&kit, &kit.genesis(), 0, 2);
    assert_eq!(safety.prepare(&[&chain[1]], Some(Foundation::Base)), Err(Refused::NotJustified));
    assert_eq!(safety.prepare(&[&chain[0]], None), Err(Refused::NotJustified), "nothing shown");
    let later = headers(&kit, &kit.genesis(), 1, 1);
    assert_eq!(safety.prepare(&[&later[0]], Some(Foundation::Base)), Err(Refused::NotJustified));
}

#[test]
fn r1d_a_term_end_opens_the_next_view_only_and_only_with_the_flag() {
    let kit = Kit::new(4);
    let plain = kit.header(&kit.genesis(), 0, Flags::NONE);
    let ended = kit.header(&kit.genesis(), 0, Flags::TERM_END);
    let on = |header: &Header, view| {
        kit.header(&tip(&kit, &kit.genesis(), std::slice::from_ref(header)), view, Flags::NONE)
    };
    let judge = |parent: &Header, first: &Header, kind| {
        let certificate = verified(&kit, kit.cert_of(kind, parent));
        let foundation = Foundation::TermEnd { certificate: &certificate, header: parent };
        kit.safety(1).prepare(&[first], Some(foundation)).map(|_| ())
    };
    assert_eq!(judge(&ended, &on(&ended, 1), VoteKind::Prepare), Ok(()));
    assert_eq!(judge(&plain, &on(&plain, 1), VoteKind::Prepare), Err(Refused::NotJustified), "no flag");
    assert_eq!(
        judge(&ended, &on(&ended, 2), VoteKind::Prepare),
        Err(Refused::NotJustified),
        "a view skipped"
    );
    assert_eq!(
        judge(&ended, &on(&plain, 1), VoteKind::Prepare),
        Err(Refused::NotJustified),
        "another parent"
    );
    assert_eq!(judge(&ended, &on(&ended, 1), VoteKind::Commit), Err(Refused::NotJustified), "wrong kind");
}

#[test]
fn r1d_a_timeout_certificate_names_the_one_parent() {
    let kit = Kit::new(4);
    let chain = headers(&kit, &kit.genesis(), 0, 2);
    let known = [
        (0, HighQc::Qc(kit.cert_of(VoteKind::Prepare, &chain[0]))),
        (1, HighQc::Qc(kit.cert_of(VoteKind::Prepare, &chain[1]))),
        (2, kit.base_qc()),
    ];
    let tc = kit.judge().timeout(kit.timeout(1, &known)).unwrap();
    let on = |count: usize, view| kit.header(&tip(&kit, &kit.genesis(), &chain[..count]), view, Flags::NONE);
    let judge = |first: &Header| kit.safety(3).prepare(&[first], Some(Foundation::Timeout(&tc))).map(|_| ());
    assert_eq!(judge(&on(2, 1)), Ok(()));
    assert_eq!(judge(&on(1, 1)), Err(Refused::NotJustified), "a lower claim: PBFT's forgotten prepare");
    assert_eq!(judge(&on(0, 1)), Err(Refused::NotJustified), "the base");
    assert_eq!(judge(&on(2, 2)), Err(Refused::NotJustified), "another view's certificate");
}

#[test]
fn r1_a_branch_is_what_it_says() {
    let (kit, mut safety, chain) = voted();
    assert_eq!(safety.prepare(&[], None), Err(Refused::NotConnected));
    assert_eq!(safety.prepare(&[&chain[3], &chain[2]], None), Err(Refused::NotConnected), "descending");
    let other = kit.header(&tip(&kit, &kit.genesis(), &chain[..3]), 1, Flags::NONE);
    assert_eq!(safety.prepare(&[&chain[2], &other], None), Err(Refused::NotConnected), "two views");
    let mut skipping = chain[3].clone();
    skipping.height = Height::new(9);
    assert_eq!(safety.prepare(&[&chain[2], &skipping], None), Err(Refused::NotConnected), "heights skip");
    let mut loose = chain[3].clone();
    loose.parent = Digest::ZERO;
    assert_eq!(safety.prepare(&[&chain[2], &loose], None), Err(Refused::NotConnected), "no child");
}

#[test]
fn r1_a_proposal_is_one_act_with_its_prepare() {
    let kit = Kit::new(4);
    let chain = headers(&kit, &kit.genesis(), 0, 1);
    let mut safety = kit.safety(kit.leader(0).get());
    let (_, vote) = safety.propose(&[&chain[0]], Some(Foundation::Base)).unwrap();
    assert_eq!(vote.digest, chain[0].digest());
    let twin = kit.header(&kit.genesis(), 0, Flags::CHECKPOINT);
    assert_eq!(safety.propose(&[&twin], Some(Foundation::Base)).map(|_| ()), Err(Refused::NotAbove));
}

#[test]
fn r2_commit_needs_a_prepare_certificate() {
    let (kit, mut safety, chain) = voted();
    let commit = verified(&kit, kit.cert_of(VoteKind::Commit, &chain[0]));
    assert_eq!(safety.commit(&commit).map(|_| ()), Err(Refused::NotJustified));
    let vote = safety.commit(&prepare_qc(&kit, &chain[0])).unwrap();
    assert_eq!((vote.kind, vote.digest), (VoteKind::Commit, chain[0].digest()));
    assert_eq!(safety.record().high_qc.digest(), chain[0].digest(), "the certificate is in the record");
}

#[test]
fn r2_no_commit_in_a_view_that_was_given_up() {
    let (kit, mut safety, chain) = voted();
    safety.view_change(View::new(1), None).unwrap();
    assert_eq!(safety.commit(&prepare_qc(&kit, &chain[0])).map(|_| ()), Err(Refused::ViewLeft));
    assert!(safety.repeat_commit().is_none());
    // Not even after others are seen to go on there: there is no healing.
    safety.raise_high_qc(&prepare_qc(&kit, &chain[1]));
    assert_eq!(safety.commit(&prepare_qc(&kit, &chain[2])).map(|_| ()), Err(Refused::ViewLeft));
    assert!(safety.repeat_commit().is_none());
}

#[test]
fn r3_a_view_change_goes_up_only() {
    let (kit, mut safety, chain) = voted();
    assert!(safety.view_change(View::new(2), None).is_ok());
    for view in [0, 1, 2] {
        assert_eq!(safety.view_change(View::new(view), None).map(|_| ()), Err(Refused::NotHigher), "{view}");
    }
    // Nor into a view that has a certificate.
    let later = headers(&kit, &tip(&kit, &kit.genesis(), &chain), 5, 1);
    safety.raise_high_qc(&prepare_qc(&kit, &later[0]));
    assert_eq!(safety.view_change(View::new(5), None).map(|_| ()), Err(Refused::NotHigher));
    assert!(safety.repeat_view_change(None).is_none(), "the old one is moot");
    assert!(safety.view_change(View::new(6), None).is_ok());
}

#[test]
fn r3_a_view_change_claims_everything_ever_committed() {
    let (kit, mut safety, chain) = voted();
    safety.commit(&prepare_qc(&kit, &chain[1])).unwrap();
    let message = safety.view_change(View::new(1), None).unwrap();
    assert_eq!(message.high_qc.rank(), Some(rank(0, 2)));
    assert!(kit.judge().view_change(message).is_ok());
}

#[test]
fn r5_the_high_qc_only_grows_and_only_by_prepare_certificates() {
    let (kit, mut safety, chain) = voted();
    assert!(safety.raise_high_qc(&prepare_qc(&kit, &chain[2])));
    assert!(!safety.raise_high_qc(&prepare_qc(&kit, &chain[1])), "lower");
    assert!(!safety.raise_high_qc(&prepare_qc(&kit, &chain[2])), "the same");
    assert!(!safety.raise_high_qc(&verified(&kit, kit.cert_of(VoteKind::Commit, &chain[3]))), "a commit");
    assert_eq!(safety.record().high_qc.rank(), Some(rank(0, 3)));
    let lower = safety.commit(&prepare_qc(&kit, &chain[0])).unwrap();
    assert_eq!(lower.height, Height::new(1));
    assert_eq!(safety.record().high_qc.rank(), Some(rank(0, 3)), "COMMIT of a lower one lowers nothing");
}

#[test]
fn r5_a_restart_repeats_itself_word_for_word() {
    let (kit, mut safety, chain) = voted();
    safety.commit(&prepare_qc(&kit, &chain[1])).unwrap();
    let mut again = Safety::new(safety.record().clone(), kit.judge(), ix(2), kit.signer(2));
    assert_eq!(again.repeat_prepare(), None, "not before the peers confirmed the record");
    again.allow_voting();
    assert_eq!(again.repeat_prepare(), safety.repeat_prepare());
    assert_eq!(again.repeat_commit(), safety.repeat_commit());
    assert_eq!(again.prepare(&[&chain[1]], None), Err(Refused::NotAbove));
}

#[test]
fn nothing_is_signed_while_not_voting() {
    let (kit, mut safety, chain) = voted();
    safety.forbid_voting();
    let qc = prepare_qc(&kit, &chain[2]);
    assert_eq!(safety.prepare(&[&chain[2]], None), Err(Refused::NotVoting));
    assert_eq!(safety.propose(&[&chain[2]], None).map(|_| ()), Err(Refused::NotVoting));
    assert_eq!(safety.commit(&qc), Err(Refused::NotVoting));
    assert_eq!(safety.view_change(View::new(1), None).map(|_| ()), Err(Refused::NotVoting));
    assert_eq!(safety.seal(kit.batch(2, 0, Digest::ZERO, 1).header).map(|_| ()), Err(Refused::NotVoting));
    assert!(safety.repeat_prepare().is_none() && safety.repeat_commit().is_none());
    assert!(safety.repeat_view_change(None).is_none());
}

#[test]
fn a_lane_never_forks() {
    let kit = Kit::new(4);
    let mut safety = kit.safety(2);
    let first = kit.batch(2, 0, Digest::ZERO, 1).header;
    let refused = |header| kit.safety(2).seal(header).map(|_| ());
    assert_eq!(refused(kit.batch(1, 0, Digest::ZERO, 1).header), Err(Refused::LaneFork), "another's lane");
    assert_eq!(refused(kit.batch(2, 1, Digest::ZERO, 1).header), Err(Refused::LaneFork), "a gap");
    let signed = safety.seal(first.clone()).unwrap();
    assert!(kit.judge().batch(&signed));
    let mut twin = first.clone();
    twin.count += 1;
    assert_eq!(safety.seal(twin).map(|_| ()), Err(Refused::LaneFork), "a twin of the first");
    assert_eq!(
        safety.seal(kit.batch(2, 1, Digest::ZERO, 1).header).map(|_| ()),
        Err(Refused::LaneFork),
        "no link"
    );
    assert!(safety.seal(kit.batch(2, 1, first.digest(), 1).header).is_ok());
}

#[test]
fn an_echo_outranks_the_record_when_it_knows_more_or_something_else() {
    let (kit, mut safety, chain) = voted();
    safety.commit(&prepare_qc(&kit, &chain[1])).unwrap();
    safety.seal(kit.batch(2, 0, Digest::ZERO, 1).header).unwrap();
    let record = safety.record();
    let vote = |kind, height, digest| Some(kit.vote(kind, rank(0, height), digest, 2));
    let known = chain[1].digest();
    let other = Digest::tagged(b"other", &[]);
    let echo = VoteEcho::default;
    let rows: Vec<(&str, VoteEcho, bool)> = vec![
        ("nothing", echo(), false),
        ("the same PREPARE", VoteEcho { prepare: vote(VoteKind::Prepare, 2, known), ..echo() }, false),
        ("an older PREPARE", VoteEcho { prepare: vote(VoteKind::Prepare, 1, other), ..echo() }, false),
        ("a newer PREPARE", VoteEcho { prepare: vote(VoteKind::Prepare, 3, other), ..echo() }, true),
        ("a twin's PREPARE", VoteEcho { prepare: vote(VoteKind::Prepare, 2, other), ..echo() }, true),
        ("the same COMMIT", VoteEcho { commit: vote(VoteKind::Commit, 2, known), ..echo() }, false),
        ("a newer COMMIT", VoteEcho { commit: vote(VoteKind::Commit, 3, other), ..echo() }, true),
        ("a twin's COMMIT", VoteEcho { commit: vote(VoteKind::Commit, 2, other), ..echo() }, true),
        ("the same batch", VoteEcho { lane: Some(kit.batch(2, 0, Digest::ZERO, 1)), ..echo() }, false),
        ("a newer batch", VoteEcho { lane: Some(kit.batch(2, 1, other, 1)), ..echo() }, true),
        ("a twin's batch", VoteEcho { lane: Some(kit.batch(2, 0, Digest::ZERO, 9)), ..echo() }, true),
        (
            "a VIEW-CHANGE",
            {
                let (_, claim, signature) = kit.claim(1, kit.base_qc().claim(), 2);
                VoteEcho { view_change: Some((View::new(1), claim, signature)), ..echo() }
            },
            true,
        ),
    ];
    for (what, echo, outranks) in rows {
        assert_eq!(record.is_outranked_by(&echo), outranks, "{what}");
    }
    let fresh = kit.fresh_record(2);
    let any = VoteEcho { prepare: vote(VoteKind::Prepare, 1, other), ..echo() };
    assert!(fresh.is_outranked_by(&any), "a fresh record knows of no vote at all");
}
