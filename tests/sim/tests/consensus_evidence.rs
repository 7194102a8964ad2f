//! Evidence that a liar could show: timeout certificates, view changes and entry proofs, each damaged in
//! every way the protocol names and in thousands it does not; none is believed (reliability A4, A5, A8;
//! consensus 3.6, 6.A).

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use chain_core::block::Flags;
use chain_core::certificate::{CertError, VoteKind};
use chain_core::codec::{decode, encode};
use chain_core::crypto::{Digest, Signature};
use chain_core::id::{Epoch, Height, View};
use city_sim::kit::{Kit, ix, rank};
use city_sim::mutate::mutate;
use city_sim::sim::random::Random;
use consensus::message::{EntryProof, HighQc, Message, TimeoutCert, ViewChange};
use consensus::verified::ProofError;

/// Where the claims of a quorum stand: two certificates, one of them higher, and the base.
struct Story {
    kit: Kit,
    low: HighQc,
    high: HighQc,
}

impl Story {
    fn new() -> Self {
        let kit = Kit::new(4);
        let block = |name: &str| Digest::tagged(name.as_bytes(), &[]);
        let low = HighQc::Qc(kit.cert(VoteKind::Prepare, rank(2, 7), block("low")));
        let high = HighQc::Qc(kit.cert(VoteKind::Prepare, rank(2, 9), block("high")));
        Self { kit, low, high }
    }

    /// Into view 4, by validators 0, 1 and 3; 1 knows the most.
    fn timeout(&self) -> TimeoutCert {
        self.kit.timeout(4, &[(0, self.low.clone()), (1, self.high.clone()), (3, self.kit.base_qc())])
    }

    /// Gives up view 4, proving it by the timeout certificate.
    fn view_change(&self) -> ViewChange {
        let entry = EntryProof::Timeout(Box::new(self.timeout()));
        self.kit.view_change(5, self.high.clone(), Some(entry), 2)
    }

    fn judge_timeout(&self, tc: TimeoutCert) -> Result<(), ProofError> {
        self.kit.judge().timeout(tc).map(|_| ())
    }

    fn judge_view_change(&self, message: ViewChange) -> Result<(), ProofError> {
        self.kit.judge().view_change(message).map(|_| ())
    }
}

#[test]
fn what_the_tests_damage_is_sound_to_begin_with() {
    let story = Story::new();
    assert_eq!(story.judge_timeout(story.timeout()), Ok(()));
    assert_eq!(story.judge_view_change(story.view_change()), Ok(()));
    assert_eq!(story.judge_timeout(story.kit.timeout_on_base(1)), Ok(()));
    let first = story.kit.view_change(1, story.kit.base_qc(), None, 3);
    assert_eq!(story.judge_view_change(first), Ok(()));
}

#[test]
fn a_timeout_certificate_needs_a_quorum_of_distinct_sorted_signers() {
    let story = Story::new();
    let mut short = story.timeout();
    short.claims.pop();
    assert_eq!(story.judge_timeout(short), Err(ProofError::Signers));
    let mut doubled = story.timeout();
    doubled.claims[2] = doubled.claims[1];
    assert_eq!(story.judge_timeout(doubled), Err(ProofError::Signers));
    let mut padded = story.timeout();
    padded.claims.truncate(2);
    padded.claims.push(padded.claims[1]);
    padded.claims.push(padded.claims[1]);
    assert_eq!(story.judge_timeout(padded), Err(ProofError::Signers));
    let mut unsorted = story.timeout();
    unsorted.claims.swap(0, 1);
    assert_eq!(story.judge_timeout(unsorted), Err(ProofError::Signers));
    let mut stranger = story.timeout();
    stranger.claims[2].0 = ix(4);
    assert_eq!(story.judge_timeout(stranger), Err(ProofError::Stranger));
}

#[test]
fn a_claim_counts_for_its_own_signer_only() {
    let story = Story::new();
    let mut other = story.timeout();
    other.claims[2].0 = ix(2);
    assert_eq!(story.judge_timeout(other), Err(ProofError::Signature(ix(2))));
    let mut unsigned = story.timeout();
    unsigned.claims[0].2 = Signature::ZERO;
    assert_eq!(story.judge_timeout(unsigned), Err(ProofError::Signature(ix(0))));
    let mut lifted = story.timeout();
    // Validator 0's signature over the low claim, shown with the high one.
    lifted.claims[0].1 = story.high.claim();
    assert_eq!(story.judge_timeout(lifted), Err(ProofError::Signature(ix(0))));
}

#[test]
fn the_best_certificate_is_exactly_the_highest_claimed() {
    let story = Story::new();
    let mut lower = story.timeout();
    lower.best = story.low.clone();
    assert_eq!(story.judge_timeout(lower), Err(ProofError::NotBest), "omits the highest");
    let mut base = story.timeout();
    base.best = story.kit.base_qc();
    assert_eq!(story.judge_timeout(base), Err(ProofError::NotBest), "omits every certificate");
    let mut higher = story.timeout();
    let unclaimed = story.kit.cert(VoteKind::Prepare, rank(3, 10), Digest::tagged(b"unclaimed", &[]));
    higher.best = HighQc::Qc(unclaimed);
    assert_eq!(story.judge_timeout(higher), Err(ProofError::NotBest), "shows what nobody claimed");
    let mut other = story.timeout();
    other.best = HighQc::Qc(story.kit.cert(VoteKind::Prepare, rank(2, 9), Digest::tagged(b"other", &[])));
    assert_eq!(story.judge_timeout(other), Err(ProofError::NotBest), "another block of the highest rank");
}

#[test]
fn the_best_certificate_is_a_valid_prepare_certificate() {
    let story = Story::new();
    let digest = Digest::tagged(b"high", &[]);
    let mut short = story.timeout();
    short.best = HighQc::Qc(story.kit.cert_by(VoteKind::Prepare, rank(2, 9), digest, &[0, 1]));
    assert_eq!(story.judge_timeout(short), Err(ProofError::Cert(CertError::Short { have: 2, need: 3 })));
    let mut commit = story.timeout();
    commit.best = HighQc::Qc(story.kit.cert(VoteKind::Commit, rank(2, 9), digest));
    assert!(matches!(story.judge_timeout(commit), Err(ProofError::Cert(CertError::Kind { .. }))));
}

#[test]
fn only_this_epochs_base_may_be_claimed() {
    let story = Story::new();
    let other = HighQc::Base { height: Height::ZERO, digest: Digest::tagged(b"other base", &[]) };
    let known: Vec<_> = (0..3).map(|signer| (signer, other.clone())).collect();
    assert_eq!(story.judge_timeout(story.kit.timeout(1, &known)), Err(ProofError::Base));
    let hidden = story.kit.timeout(4, &[(0, other.clone()), (1, story.high.clone()), (3, story.low.clone())]);
    assert_eq!(story.judge_timeout(hidden), Err(ProofError::Base), "among better claims");
    let higher = HighQc::Base { height: Height::new(5), digest: *story.kit.chain_id.digest() };
    assert_eq!(story.judge_view_change(story.kit.view_change(1, higher, None, 1)), Err(ProofError::Base));
    assert_eq!(story.judge_view_change(story.kit.view_change(1, other, None, 1)), Err(ProofError::Base));
}

#[test]
fn the_base_cannot_pose_as_the_certificate_of_view_max() {
    // Both are signed with view u64::MAX, so one must be unsayable.
    let story = Story::new();
    let digest = *story.kit.chain_id.digest();
    let posing = HighQc::Qc(story.kit.cert(VoteKind::Prepare, rank(u64::MAX, 0), digest));
    let message = story.kit.view_change(u64::MAX, posing, None, 1);
    assert_eq!(story.judge_view_change(message), Err(ProofError::View));
}

#[test]
fn nothing_signed_elsewhere_counts_here() {
    let story = Story::new();
    let later = Story { kit: Kit::on("kit", Epoch::new(1), 4), ..Story::new() };
    let elsewhere = Kit::on("elsewhere", Epoch::ZERO, 4);
    // Another epoch, said openly and relabelled.
    assert_eq!(story.judge_timeout(later.timeout()), Err(ProofError::Epoch));
    let relabelled = TimeoutCert { epoch: Epoch::ZERO, ..later.timeout() };
    assert_eq!(story.judge_timeout(relabelled), Err(ProofError::Signature(ix(0))));
    assert_eq!(story.judge_view_change(later.view_change()), Err(ProofError::Epoch));
    // Another chain.
    let foreign = elsewhere.view_change(1, story.kit.base_qc(), None, 2);
    assert_eq!(story.judge_view_change(foreign), Err(ProofError::Signature(ix(2))));
    // Another view.
    let moved = TimeoutCert { new_view: View::new(5), ..story.timeout() };
    assert_eq!(story.judge_timeout(moved), Err(ProofError::Signature(ix(0))));
    let moved = ViewChange { new_view: View::new(6), ..story.view_change() };
    assert_eq!(story.judge_view_change(moved), Err(ProofError::Signature(ix(2))));
    // Another kind: a PREPARE for the same height and digest is no VIEW-CHANGE.
    let vote = story.kit.vote(VoteKind::Prepare, rank(5, 9), story.high.digest(), 2);
    let posing = ViewChange { signature: vote.signature, ..story.view_change() };
    assert_eq!(story.judge_view_change(posing), Err(ProofError::Signature(ix(2))));
    // And a VIEW-CHANGE is no vote.
    let posing = consensus::message::Vote { signature: story.view_change().signature, ..vote };
    assert!(!story.kit.judge().vote(&posing));
}

/// Every signed object against the judge of another chain, epoch and kind (A8).
#[test]
fn a_signature_holds_for_one_chain_epoch_and_kind() {
    let kit = Kit::new(4);
    let others = [Kit::on("elsewhere", Epoch::ZERO, 4), Kit::on("kit", Epoch::new(1), 4)];
    let digest = Digest::tagged(b"block", &[]);
    let [prepare, commit] =
        [VoteKind::Prepare, VoteKind::Commit].map(|kind| kit.vote(kind, rank(1, 2), digest, 1));
    let proposal = kit.propose(kit.header(&kit.genesis(), 0, Flags::NONE), None);
    let batch = kit.batch(1, 0, Digest::ZERO, 1);
    let judge = kit.judge();
    assert!(judge.vote(&prepare) && judge.vote(&commit) && judge.proposal(&proposal) && judge.batch(&batch));
    for other in &others {
        let judge = other.judge();
        let mut vote = prepare;
        assert!(!judge.vote(&vote));
        vote.epoch = other.epoch;
        assert!(!judge.vote(&vote), "relabelled");
        let mut batch = batch.clone();
        assert!(!judge.batch(&batch));
        batch.header.chain_id = other.chain_id;
        batch.header.epoch = other.epoch;
        assert!(!judge.batch(&batch), "relabelled");
        let cert = kit.cert(VoteKind::Commit, rank(1, 2), digest);
        assert!(judge.cert(cert.clone(), VoteKind::Commit).is_err());
        let relabelled = chain_core::certificate::Cert { epoch: other.epoch, ..cert };
        assert!(judge.cert(relabelled, VoteKind::Commit).is_err(), "relabelled");
    }
    // Kinds: the signature of one never verifies as another over the same slot.
    let swapped = consensus::message::Vote { signature: commit.signature, ..prepare };
    assert!(!judge.vote(&swapped));
    let mut posing = proposal;
    let header = &posing.header;
    let slot = chain_core::certificate::Rank { view: header.view, height: header.height };
    posing.signature = kit.vote(VoteKind::Prepare, slot, header.digest(), header.proposer.get()).signature;
    assert!(!judge.proposal(&posing), "a PREPARE is no PROPOSE");
}

#[test]
fn a_view_change_must_prove_the_view_it_leaves() {
    let story = Story::new();
    let kit = &story.kit;
    let unproved = kit.view_change(5, story.high.clone(), None, 2);
    assert_eq!(story.judge_view_change(unproved), Err(ProofError::View), "nobody is dragged to a far view");
    for view in [2, 3, 5, 6] {
        let entry = EntryProof::Timeout(Box::new(kit.timeout_on_base(view)));
        let message = kit.view_change(5, story.high.clone(), Some(entry), 2);
        assert_eq!(story.judge_view_change(message), Err(ProofError::View), "entry into view {view}");
    }
    let zero = kit.view_change(0, kit.base_qc(), None, 2);
    assert_eq!(story.judge_view_change(zero), Err(ProofError::View), "view 0 is where all begin");
    let own = kit.view_change(2, story.high.clone(), None, 2);
    assert_eq!(story.judge_view_change(own), Err(ProofError::View), "the claim is not below the view");
    let next = kit.view_change(3, story.high.clone(), None, 2);
    assert_eq!(story.judge_view_change(next), Ok(()), "the certificate itself proves view 2");
}

#[test]
fn a_term_end_must_show_the_flag_in_the_certified_header() {
    let kit = Kit::new(4);
    let ended = kit.header(&kit.genesis(), 0, Flags::TERM_END);
    let plain = kit.header(&kit.genesis(), 0, Flags::NONE);
    let proof = |header: &chain_core::block::Header, certified: &chain_core::block::Header, kind| {
        let certificate = Box::new(kit.cert_of(kind, certified));
        kit.judge()
            .entry(EntryProof::TermEnd { certificate, header: Box::new(header.clone()) })
            .map(|(view, _)| view)
    };
    assert_eq!(proof(&ended, &ended, VoteKind::Prepare), Ok(View::new(1)));
    assert_eq!(proof(&plain, &plain, VoteKind::Prepare), Err(ProofError::NoTermEnd), "no flag");
    assert_eq!(
        proof(&ended, &plain, VoteKind::Prepare),
        Err(ProofError::NoTermEnd),
        "another block certified"
    );
    assert!(matches!(proof(&ended, &ended, VoteKind::Commit), Err(ProofError::Cert(_))), "wrong kind");
    let mut certificate = kit.cert_of(VoteKind::Prepare, &ended);
    certificate.signatures.pop();
    let proof = EntryProof::TermEnd { certificate: Box::new(certificate), header: Box::new(ended) };
    assert!(kit.judge().entry(proof).is_err(), "a signature short");
}

/// Thousands of damaged copies of one message: whatever still decodes to something else is refused. `same`
/// says which parts carry no weight of their own.
fn none_is_believed(seed: u64, rounds: u64, original: &Message, believe: impl Fn(&Message) -> bool) -> u64 {
    let bytes = encode(original).unwrap();
    let mut random = Random::new(seed);
    let donors = [bytes.clone()];
    let mut decoded = 0;
    for round in 0..rounds {
        let mutated = mutate(&mut random, &bytes, &donors);
        let Ok(message) = decode::<Message>(&mutated) else { continue };
        if message == *original {
            continue;
        }
        decoded += 1;
        assert!(!believe(&message), "round {round}: believed {message:?}");
    }
    decoded
}

#[test]
fn no_damaged_timeout_certificate_is_believed() {
    let story = Story::new();
    let judge = story.kit.judge();
    let original = Message::Entry(EntryProof::Timeout(Box::new(story.timeout())));
    let decoded = none_is_believed(
        4,
        40_000,
        &original,
        |message| matches!(message, Message::Entry(proof @ EntryProof::Timeout(_)) if judge.entry(proof.clone()).is_ok()),
    );
    println!("{decoded} forged timeout certificates, 0 believed");
    assert!(decoded > 5_000, "{decoded}");
}

#[test]
fn no_damaged_view_change_is_believed() {
    let story = Story::new();
    let judge = story.kit.judge();
    let original = story.view_change();
    let message = Message::ViewChange(Box::new(original));
    let decoded = none_is_believed(
        5,
        40_000,
        &message,
        |message| matches!(message, Message::ViewChange(one) if judge.view_change((**one).clone()).is_ok()),
    );
    println!("{decoded} forged view changes, 0 believed");
    assert!(decoded > 5_000, "{decoded}");
}

#[test]
fn no_damaged_certificate_or_term_end_is_believed() {
    let kit = Kit::new(7);
    let judge = kit.judge();
    let ended = kit.header(&kit.genesis(), 0, Flags::TERM_END);
    let certificate = Box::new(kit.cert_of(VoteKind::Prepare, &ended));
    let original = Message::Entry(EntryProof::TermEnd { certificate, header: Box::new(ended) });
    let decoded = none_is_believed(
        6,
        40_000,
        &original,
        |message| matches!(message, Message::Entry(proof @ EntryProof::TermEnd { .. }) if judge.entry(proof.clone()).is_ok()),
    );
    println!("{decoded} forged term ends, 0 believed");
    let digest = Digest::tagged(b"block", &[]);
    let original =
        Message::Certificate(Box::new(kit.cert_by(VoteKind::Commit, rank(3, 9), digest, &[0, 2, 3, 5, 6])));
    let decoded = none_is_believed(
        7,
        40_000,
        &original,
        |message| matches!(message, Message::Certificate(cert) if judge.cert((**cert).clone(), cert.kind).is_ok()),
    );
    println!("{decoded} forged certificates, 0 believed");
    assert!(decoded > 5_000, "{decoded}");
}
