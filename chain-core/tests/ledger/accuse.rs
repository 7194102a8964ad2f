//! Offences of validators: what proves one, that each is recorded once, and what follows from it.

use chain_core::block::{Flags, Header, SlotPreimage};
use chain_core::certificate::VoteKind;
use chain_core::code::Code;
use chain_core::committee::Committee;
use chain_core::crypto::{Digest, SecretKey, Signable, Signature};
use chain_core::evidence::{Evidence, EvidenceError, OffenceKind, PATH_MAX, SignedHeader, SignedSlot};
use chain_core::execute::{
    self, GenesisState, LedgerRead as _, OrderedBatch, OrderedBlock, Outcome, Verdict,
};
use chain_core::genesis::ValidatorSecrets;
use chain_core::id::{ChainId, Epoch, Height, ValidatorIx, View};
use chain_core::lane::{BatchHeader, SignedBatchHeader};
use chain_core::layout::Layout as _;
use chain_core::leaf::Leaf;
use chain_core::operation::{AmendReason, Operation};
use chain_core::record::validator::ValidatorDetails;
use chain_core::record::{Details, Header as RecordHeader};
use chain_core::state::{OffenceEntry, ValidatorEntry, key};
use chain_core::subject::Index;
use chain_core::transaction::{Batch, Submission};
use chain_core::view_change::{Claim, ViewChangePreimage};

use crate::city::{Accepted, City, agency, batch, chain, genesis, licence, secret, verdict};

/// Who signs, on which chain and in which epoch.
#[derive(Clone, Copy)]
pub(crate) struct Hand {
    chain_id: ChainId,
    epoch: Epoch,
    signer: u16,
}

fn consensus_key(signer: u16) -> SecretKey {
    secret(&format!("v{signer}/consensus"))
}

pub(crate) fn hand(signer: u16) -> Hand {
    Hand { chain_id: chain().chain_id, epoch: Epoch::ZERO, signer }
}

fn block(name: &str) -> Digest {
    Digest::tagged(b"block", &[name.as_bytes()])
}

impl Hand {
    fn ix(self) -> ValidatorIx {
        ValidatorIx::new(self.signer)
    }

    fn sign(self, value: &dyn Signable) -> Signature {
        consensus_key(self.signer).sign(value)
    }

    fn vote(self, kind: VoteKind, view: u64, height: u64, digest: Digest) -> SignedSlot {
        let height = Height::new(height);
        let slot = SlotPreimage {
            kind: kind.tag(),
            chain_id: self.chain_id,
            epoch: self.epoch,
            view,
            height,
            digest,
        };
        SignedSlot { view: View::new(view), height, digest, signature: self.sign(&slot) }
    }

    fn header(self, view: u64, height: u64, parent: Digest) -> Header {
        Header {
            chain_id: self.chain_id,
            epoch: self.epoch,
            view: View::new(view),
            height: Height::new(height),
            parent,
            proposer: self.ix(),
            ..City::new().header()
        }
    }

    fn signed(self, header: Header) -> SignedHeader {
        SignedHeader { signature: self.sign(&header.proposal()), header }
    }

    fn proposals(self) -> Evidence {
        let header = |time_ms| Header { time_ms, ..self.header(3, 9, block("parent")) };
        Evidence::Proposals {
            first: Box::new(self.signed(header(1))),
            second: Box::new(self.signed(header(2))),
        }
    }

    fn votes(self, kind: VoteKind, view: u64, height: u64) -> Evidence {
        let vote = |name| self.vote(kind, view, height, block(name));
        Evidence::Votes {
            kind,
            epoch: self.epoch,
            signer: self.ix(),
            first: vote("one"),
            second: vote("two"),
        }
    }

    /// PREPAREs `span` heights apart, the upper one on a chain that passes by the lower one.
    fn vote_chain(self, span: u64) -> Evidence {
        let mut path: Vec<Header> = Vec::new();
        for height in 10..10 + span {
            path.push(self.header(3, height, path.last().map_or(block("rival"), Header::digest)));
        }
        path.reverse();
        let digest = path.first().map_or(Digest::ZERO, Header::digest);
        Evidence::VoteChain {
            epoch: self.epoch,
            signer: self.ix(),
            lower: self.vote(VoteKind::Prepare, 3, 9, block("lower")),
            upper: self.vote(VoteKind::Prepare, 3, 9 + span, digest),
            path,
        }
    }

    fn amnesia(self, new_view: u64, claim: Claim) -> Evidence {
        let new_view = View::new(new_view);
        let preimage = ViewChangePreimage { chain_id: self.chain_id, epoch: self.epoch, new_view, claim };
        Evidence::Amnesia {
            epoch: self.epoch,
            signer: self.ix(),
            commit: self.vote(VoteKind::Commit, 3, 9, block("committed")),
            new_view,
            claim,
            signature: self.sign(&preimage),
        }
    }

    fn forgetful(self) -> Evidence {
        self.amnesia(5, Claim { view: Some(View::new(3)), height: Height::new(8), digest: block("older") })
    }

    fn batch(self, seq: u64, count: u32) -> SignedBatchHeader {
        let header = BatchHeader {
            chain_id: self.chain_id,
            epoch: self.epoch,
            author: self.ix(),
            seq,
            prev: Digest::ZERO,
            payload_root: Digest::ZERO,
            bytes: 300,
            count,
            time_ms: 0,
        };
        SignedBatchHeader { signature: self.sign(&header), header }
    }

    fn lane(self, seq: u64) -> Evidence {
        Evidence::Lane { first: self.batch(seq, 1), second: self.batch(seq, 2) }
    }

    /// One proof of each kind.
    pub(crate) fn every_kind(self) -> Vec<(OffenceKind, Evidence)> {
        vec![
            (OffenceKind::Proposals, self.proposals()),
            (OffenceKind::Prepares, self.votes(VoteKind::Prepare, 3, 9)),
            (OffenceKind::Commits, self.votes(VoteKind::Commit, 3, 9)),
            (OffenceKind::VoteChain, self.vote_chain(2)),
            (OffenceKind::Amnesia, self.forgetful()),
            (OffenceKind::Lane, self.lane(7)),
        ]
    }
}

/// The test city with four validators.
fn state() -> GenesisState {
    let validator = |ix: u16| {
        let secrets = ["consensus", "network", "log"].map(|role| secret(&format!("v{ix}/{role}")));
        let secrets = ValidatorSecrets { consensus: &secrets[0], network: &secrets[1], log: &secrets[2] };
        let runner = agency(["A1", "A2", "N"][usize::from(ix) % 3]);
        let address = format!("/ip4/10.0.0.{ix}/tcp/7101");
        ValidatorDetails::prove(chain().chain_id, &format!("v{ix}"), &runner, &address, secrets)
    };
    GenesisState { validators: (0..4).map(validator).collect(), ..genesis() }
}

fn city() -> City {
    City::with(&state())
}

fn committee(city: &City) -> Committee {
    execute::epoch(&city.ledger).unwrap().unwrap().current
}

/// Files evidence under the log key of validator 0.
fn accuse(city: &mut City, evidence: Evidence) -> Result<Accepted, Code> {
    city.send("v0/log", Operation::Accuse(Box::new(evidence)))
}

fn offences(city: &City) -> Vec<OffenceEntry> {
    let (from, to) = key::all_offences();
    let entries = city.ledger.range(&from, &to, 1_000).unwrap();
    entries.iter().map(|(_, value)| OffenceEntry::from_canonical(value).unwrap()).collect()
}

#[test]
fn each_kind_is_recorded_once_and_for_ever() {
    for (kind, evidence) in hand(2).every_kind() {
        let mut city = city();
        let accepted = accuse(&mut city, evidence.clone()).unwrap();
        let offence = evidence.offence();
        assert_eq!((accepted.record, accepted.version), (offence.record(), 1), "{kind}");
        assert_eq!(accuse(&mut city, evidence.clone()), Err(Code::EvidenceKnown), "{kind}");
        assert_eq!(
            city.send("A1/clerk1", Operation::Accuse(Box::new(evidence.clone()))),
            Err(Code::EvidenceKnown),
            "{kind}, by somebody else"
        );
        let found = offences(&city);
        assert_eq!(found.len(), 1, "{kind}");
        assert_eq!((found[0].offence, found[0].name.as_str()), (offence, "v2"), "{kind}");
        assert_eq!((offence.kind, found[0].key), (kind, consensus_key(2).public()));
        let flagged = execute::offender(&city.ledger, &consensus_key(2).public()).unwrap().unwrap();
        assert_eq!(flagged.offences, 1, "{kind}");
        // An auditor finds the statements in the log and judges them again.
        let leaf = &city.ledger.leaves()[usize::try_from(accepted.leaf_index).unwrap()];
        let Ok(Leaf::Evidence(leaf)) = Leaf::decode(&leaf.bytes) else { panic!("{kind}: another leaf") };
        assert_eq!((&leaf.evidence, leaf.offender), (&evidence, consensus_key(2).public()));
        assert_eq!(leaf.evidence.verify(chain().chain_id, &committee(&city)), Ok(offence));
        assert_eq!(leaf.evidence.verify_by_key(chain().chain_id, &leaf.offender), Ok(offence));
        let innocent = consensus_key(1).public();
        let error = leaf.evidence.verify_by_key(chain().chain_id, &innocent);
        assert_eq!(error, Err(EvidenceError::Signature(ValidatorIx::new(2))));
    }
}

#[test]
fn other_statements_of_the_same_offence_count_no_more() {
    let mut city = city();
    accuse(&mut city, hand(2).votes(VoteKind::Prepare, 3, 9)).unwrap();
    accuse(&mut city, hand(2).lane(7)).unwrap();
    // Another height of the view, the same two the other way round, another place of the lane.
    assert_eq!(accuse(&mut city, hand(2).votes(VoteKind::Prepare, 3, 10)), Err(Code::EvidenceKnown));
    let Evidence::Lane { first, second } = hand(2).lane(7) else { unreachable!() };
    assert_eq!(accuse(&mut city, Evidence::Lane { first: second, second: first }), Err(Code::EvidenceKnown));
    assert_eq!(accuse(&mut city, hand(2).lane(8)), Err(Code::EvidenceKnown));
    // Another view, another kind, another validator.
    accuse(&mut city, hand(2).votes(VoteKind::Prepare, 4, 9)).unwrap();
    accuse(&mut city, hand(2).votes(VoteKind::Commit, 3, 9)).unwrap();
    accuse(&mut city, hand(3).votes(VoteKind::Prepare, 3, 9)).unwrap();
    assert_eq!(offences(&city).len(), 5);
    let flagged = execute::offender(&city.ledger, &consensus_key(2).public()).unwrap().unwrap();
    assert_eq!(flagged.offences, 4);
}

/// The error of evidence, judged by the validators of epoch 0, and by the ledger.
fn refused(evidence: Evidence) -> EvidenceError {
    let mut city = city();
    let error = evidence.verify(chain().chain_id, &committee(&city)).unwrap_err();
    assert_eq!(accuse(&mut city, evidence), Err(Code::EvidenceInvalid), "{error}");
    assert_eq!(offences(&city), []);
    error
}

#[test]
fn m13_statements_of_another_chain_or_epoch_prove_nothing() {
    let abroad = Hand { chain_id: ChainId::new(block("elsewhere")), ..hand(2) };
    for (kind, evidence) in abroad.every_kind() {
        let error = refused(evidence);
        let signed_apart = matches!(error, EvidenceError::Signature(_));
        assert!(signed_apart || error == EvidenceError::Chain, "{kind}: {error}");
    }
    let later = Hand { epoch: Epoch::new(1), ..hand(2) };
    for (kind, evidence) in later.every_kind() {
        let want = EvidenceError::Epoch { got: Epoch::new(1), want: Epoch::ZERO };
        assert_eq!(refused(evidence), want, "{kind}");
    }
    // One statement of each epoch, said openly or hidden.
    let Evidence::Lane { first, .. } = hand(2).lane(7) else { unreachable!() };
    let mixed = Evidence::Lane { first: first.clone(), second: later.batch(7, 2) };
    assert_eq!(refused(mixed), EvidenceError::Epoch { got: Epoch::new(1), want: Epoch::ZERO });
    let mixed = Evidence::Votes {
        kind: VoteKind::Prepare,
        epoch: Epoch::ZERO,
        signer: ValidatorIx::new(2),
        first: hand(2).vote(VoteKind::Prepare, 3, 9, block("one")),
        second: later.vote(VoteKind::Prepare, 3, 9, block("two")),
    };
    assert_eq!(refused(mixed), EvidenceError::Signature(ValidatorIx::new(2)));
    let abroad = Evidence::Lane { first, second: abroad.batch(7, 2) };
    assert_eq!(refused(abroad), EvidenceError::Chain);
}

#[test]
fn statements_that_agree_or_do_not_collide_prove_nothing() {
    let by = hand(2);
    let agree = |kind, evidence| assert!(matches!(refused(evidence), EvidenceError::Agree(_)), "{kind}");
    let votes =
        |kind, first, second| Evidence::Votes { kind, epoch: Epoch::ZERO, signer: by.ix(), first, second };
    for kind in [VoteKind::Prepare, VoteKind::Commit] {
        let vote = by.vote(kind, 3, 9, block("one"));
        agree("vote", votes(kind, vote, vote));
        let (place, other) = (EvidenceError::Unlike("view and height"), block("two"));
        assert_eq!(refused(votes(kind, vote, by.vote(kind, 3, 10, other))), place);
        assert_eq!(refused(votes(kind, vote, by.vote(kind, 4, 9, other))), place);
    }
    // A PREPARE and a COMMIT are no two votes of a kind.
    let mixed = votes(
        VoteKind::Prepare,
        by.vote(VoteKind::Prepare, 3, 9, block("one")),
        by.vote(VoteKind::Commit, 3, 9, block("two")),
    );
    assert_eq!(refused(mixed), EvidenceError::Signature(by.ix()));
    let Evidence::Proposals { first, second } = by.proposals() else { unreachable!() };
    agree("proposal", Evidence::Proposals { first: first.clone(), second: first.clone() });
    let moved = by.signed(Header { height: Height::new(10), ..second.header.clone() });
    let apart = Evidence::Proposals { first: first.clone(), second: Box::new(moved) };
    assert_eq!(refused(apart), EvidenceError::Unlike("view and height"));
    let theirs = Header { proposer: ValidatorIx::new(3), ..second.header.clone() };
    let two = Evidence::Proposals { first, second: Box::new(hand(3).signed(theirs)) };
    assert_eq!(refused(two), EvidenceError::TwoSigners(by.ix(), ValidatorIx::new(3)));
    let Evidence::Lane { first, .. } = by.lane(7) else { unreachable!() };
    agree("batch", Evidence::Lane { first: first.clone(), second: first.clone() });
    let apart = Evidence::Lane { first: first.clone(), second: by.batch(8, 2) };
    assert_eq!(refused(apart), EvidenceError::Unlike("position of the lane"));
    let two = Evidence::Lane { first, second: hand(3).batch(7, 2) };
    assert_eq!(refused(two), EvidenceError::TwoSigners(by.ix(), ValidatorIx::new(3)));
}

#[test]
fn a_header_that_could_not_be_read_again_proves_nothing() {
    let odd: Flags = serde_json::from_str("3").unwrap();
    let Evidence::Proposals { first, second } = hand(2).proposals() else { unreachable!() };
    let second = Box::new(hand(2).signed(Header { flags: odd, ..second.header }));
    assert_eq!(refused(Evidence::Proposals { first, second }), EvidenceError::Flags);
}

#[test]
fn forged_and_borrowed_signatures_prove_nothing() {
    for signer in [1, 2] {
        for (kind, evidence) in hand(signer).every_kind() {
            // Said to be of validator 2: signed by another, or damaged in either signature.
            let forged: Vec<Evidence> =
                if signer == 2 { damaged(&evidence) } else { vec![renamed(evidence)] };
            for evidence in forged {
                assert_eq!(refused(evidence), EvidenceError::Signature(ValidatorIx::new(2)), "{kind}");
            }
        }
    }
    let stranger = Hand { signer: 4, ..hand(0) };
    assert_eq!(refused(stranger.lane(7)), EvidenceError::Stranger(ValidatorIx::new(4)));
}

/// The same statements, said to be of validator 2.
fn renamed(mut evidence: Evidence) -> Evidence {
    let two = ValidatorIx::new(2);
    match &mut evidence {
        Evidence::Proposals { first, second } => {
            (first.header.proposer, second.header.proposer) = (two, two);
        }
        Evidence::Votes { signer, .. }
        | Evidence::VoteChain { signer, .. }
        | Evidence::Amnesia { signer, .. } => *signer = two,
        Evidence::Lane { first, second } => (first.header.author, second.header.author) = (two, two),
    }
    evidence
}

/// The same statements with either signature gone.
fn damaged(evidence: &Evidence) -> Vec<Evidence> {
    [true, false]
        .map(|one| {
            let mut evidence = evidence.clone();
            let gone = match &mut evidence {
                Evidence::Proposals { first, second } => {
                    if one {
                        &mut first.signature
                    } else {
                        &mut second.signature
                    }
                }
                Evidence::Votes { first, second, .. } => {
                    if one {
                        &mut first.signature
                    } else {
                        &mut second.signature
                    }
                }
                Evidence::VoteChain { lower, upper, .. } => {
                    if one {
                        &mut lower.signature
                    } else {
                        &mut upper.signature
                    }
                }
                Evidence::Amnesia { commit, signature, .. } => {
                    if one {
                        &mut commit.signature
                    } else {
                        signature
                    }
                }
                Evidence::Lane { first, second } => {
                    if one {
                        &mut first.signature
                    } else {
                        &mut second.signature
                    }
                }
            };
            *gone = Signature::ZERO;
            evidence
        })
        .to_vec()
}

#[test]
fn a_vote_chain_is_broken_only_by_headers_that_show_it() {
    let sound = hand(2).vote_chain(3);
    let Evidence::VoteChain { epoch, signer, lower, upper, path } = sound else { unreachable!() };
    let chain = |lower, upper, path| Evidence::VoteChain { epoch, signer, lower, upper, path };
    assert_eq!(refused(chain(lower, upper, Vec::new())), EvidenceError::Path, "no header");
    assert_eq!(
        refused(chain(lower, upper, path[1..].to_vec())),
        EvidenceError::Path,
        "the upper one missing"
    );
    assert_eq!(refused(chain(lower, upper, path[..2].to_vec())), EvidenceError::Path, "the last one missing");
    let swapped = vec![path[0].clone(), path[2].clone(), path[1].clone()];
    assert_eq!(refused(chain(lower, upper, swapped)), EvidenceError::Path, "out of order");
    assert_eq!(refused(chain(upper, lower, path.clone())), EvidenceError::Path, "the other way round");
    assert_eq!(refused(chain(lower, lower, Vec::new())), EvidenceError::Path, "one vote");
    let child = hand(2).vote(VoteKind::Prepare, 3, 9, path[2].parent);
    assert_eq!(refused(chain(child, upper, path.clone())), EvidenceError::Chained);
    let elsewhere = hand(2).vote(VoteKind::Prepare, 4, 9, block("lower"));
    assert_eq!(refused(chain(elsewhere, upper, path)), EvidenceError::Unlike("view"));
    // A header of another chain or epoch, one that could not be read again, and one at another height than its place.
    let with = |change: fn(&mut Header)| {
        let mut header = hand(2).header(3, 10, block("rival"));
        change(&mut header);
        let upper = hand(2).vote(VoteKind::Prepare, 3, 10, header.digest());
        refused(chain(lower, upper, vec![header]))
    };
    assert_eq!(with(|header| header.chain_id = ChainId::new(block("elsewhere"))), EvidenceError::Chain);
    let later = EvidenceError::Epoch { got: Epoch::new(1), want: Epoch::ZERO };
    assert_eq!(with(|header| header.epoch = Epoch::new(1)), later);
    assert_eq!(with(|header| header.flags = serde_json::from_str("3").unwrap()), EvidenceError::Flags);
    assert_eq!(with(|header| header.height = Height::new(11)), EvidenceError::Path);
    let beside = hand(2).vote(VoteKind::Prepare, 3, 10, block("beside"));
    let header = hand(2).header(3, 10, block("rival"));
    assert_eq!(refused(chain(lower, beside, vec![header])), EvidenceError::Path, "of another block");
    // The longest path, and one header more.
    let most = PATH_MAX as u64;
    accuse(&mut city(), hand(2).vote_chain(most)).unwrap();
    assert_eq!(refused(hand(2).vote_chain(most + 1)), EvidenceError::Path);
}

#[test]
fn amnesia_needs_a_later_view_and_a_lower_claim() {
    let claim =
        |view, height| Claim { view: Some(View::new(view)), height: Height::new(height), digest: block("x") };
    let by = hand(2);
    // The COMMIT is for view 3, height 9.
    for (new_view, claimed) in
        [(5, claim(3, 9)), (5, claim(4, 1)), (3, claim(2, 1)), (2, claim(1, 1)), (5, claim(5, 1))]
    {
        assert_eq!(
            refused(by.amnesia(new_view, claimed)),
            EvidenceError::Remembered,
            "{new_view} {claimed:?}"
        );
    }
    let base = Claim { view: None, height: Height::ZERO, digest: *chain().chain_id.digest() };
    for (new_view, claimed) in [(4, claim(3, 8)), (5, claim(2, 99)), (4, base)] {
        accuse(&mut city(), by.amnesia(new_view, claimed)).unwrap();
    }
    // The base is signed as view u64::MAX, and nothing else may be.
    let posing = Claim { view: Some(View::new(u64::MAX)), ..base };
    assert_eq!(refused(by.amnesia(5, posing)), EvidenceError::Remembered);
}

#[test]
fn a_log_key_files_evidence_and_nothing_else() {
    let mut city = city();
    let accusation = || Operation::Accuse(Box::new(hand(2).proposals()));
    // Neither a stranger nor a validator's other keys; a member in force may.
    for post in ["nobody", "v0/consensus", "v0/network", "v9/log"] {
        assert_eq!(city.send(post, accusation()), Err(Code::UnknownAuthor), "{post}");
    }
    let (submit, body, _) = licence("by log key").submit();
    assert_eq!(city.send_with("v0/log", submit, body), Err(Code::UnknownAuthor));
    // Evidence comes alone, whoever files it.
    let two = vec![(accusation(), None), (Operation::Accuse(Box::new(hand(3).proposals())), None)];
    let codes = |city: &mut City, post, operations| -> Vec<Code> {
        let outcomes = city.send_all(post, operations);
        outcomes.into_iter().map(|one| one.unwrap_err().code).collect()
    };
    assert_eq!(codes(&mut city, "v0/log", two.clone()), [Code::UnknownAuthor; 2]);
    assert_eq!(codes(&mut city, "A1/clerk1", two), [Code::TooManyOperations; 2]);
    assert_eq!(offences(&city), []);
    // The checks of every transaction hold.
    let mut forged = city.sign("v0/log", vec![(accusation(), None)]);
    forged.signed.signature = Signature::ZERO;
    let outcomes = city.block(vec![forged]);
    assert_eq!(verdict(&outcomes[0]).unwrap_err().code, Code::BadSignature);
    let good = city.sign("v1/log", vec![(accusation(), None)]);
    let outcomes = city.block(vec![good.clone(), good]);
    assert!(verdict(&outcomes[0]).is_ok());
    assert_eq!(verdict(&outcomes[1]).unwrap_err().code, Code::Replayed);
    assert!(city.send("N/auditor1", Operation::Accuse(Box::new(hand(3).proposals()))).is_ok());
}

#[test]
fn a_ledger_without_validators_takes_no_evidence() {
    let mut city = City::new();
    let accusation = Operation::Accuse(Box::new(hand(2).proposals()));
    assert_eq!(city.send("A1/clerk1", accusation), Err(Code::EvidenceInvalid));
}

/// Executes a block that orders one batch in a lane.
fn order(city: &mut City, author: u16, epoch: u64, submissions: Vec<Submission>) -> Vec<Outcome> {
    let header = Header { epoch: Epoch::new(epoch), ..city.header() };
    let signatures_ok: Vec<bool> = submissions.iter().map(|one| one.signed.verify_signature()).collect();
    let mut carried: Batch = batch(submissions);
    carried.signed.header.author = ValidatorIx::new(author);
    let ordered = OrderedBatch { batch: &carried, signatures_ok: &signatures_ok, recorded: None };
    city.ledger
        .execute(&OrderedBlock { header: &header, batches: vec![ordered], index: Index::None })
        .unwrap()
}

/// The council agrees on another address of validator 0: a reason for an epoch to end.
fn move_a_validator(city: &mut City, port: u64) {
    let state = |city: &City, key: &[u8]| city.ledger.get(key).unwrap().unwrap();
    let entry = ValidatorEntry::from_canonical(&state(city, &key::validator("v0"))).unwrap();
    let old = state(city, &key::governance(&entry.record, entry.version));
    let old = RecordHeader::from_canonical(&old).unwrap();
    let Details::Validator(details) = old.details.clone() else { unreachable!() };
    let details = ValidatorDetails { address: format!("/ip4/10.0.0.9/tcp/{port}"), ..*details };
    let details = Details::Validator(Box::new(details));
    let header = Box::new(RecordHeader { version: entry.version + 1, details, ..old });
    let operation = Operation::Amend { header, reason: AmendReason::ChangeOnApplication };
    city.send("A1/council1", operation).unwrap();
    city.countersign("A2/council1", entry.record).unwrap();
}

/// Executes the block that closes an epoch.
fn close(city: &mut City, epoch: u64) {
    move_a_validator(city, 8_000 + epoch);
    let next = execute::epoch(&city.ledger).unwrap().unwrap().scheduled.unwrap().next;
    let header = Header {
        epoch: Epoch::new(epoch),
        flags: Flags::CLOSING.with(Flags::SEAL),
        next_validators_hash: next.hash(),
        ..city.header()
    };
    city.ledger.execute(&OrderedBlock { header: &header, batches: Vec::new(), index: Index::None }).unwrap();
}

fn code(outcome: &Outcome) -> Option<Code> {
    match &outcome.verdict {
        Verdict::Accepted { .. } => None,
        Verdict::Refused(refusal) => Some(refusal.code),
    }
}

#[test]
fn m15_what_a_frozen_lane_carries_is_refused_until_the_epoch_ends() {
    let mut city = city();
    let filed = |city: &mut City, key: &str| {
        let (operation, body, _) = licence(key).submit();
        city.sign("A1/clerk1", vec![(operation, body)])
    };
    let [one, two, three] = ["one", "two", "three"].map(|key| filed(&mut city, key));
    let proof = city.sign("v0/log", vec![(Operation::Accuse(Box::new(hand(2).lane(7))), None)]);
    // In the block of the proof itself the lane still counts, before and after it.
    let outcomes = order(&mut city, 2, 0, vec![proof, one]);
    assert_eq!(outcomes.iter().map(code).collect::<Vec<_>>(), [None, None]);
    assert_eq!(execute::frozen_lanes(&city.ledger, Epoch::ZERO).unwrap(), [ValidatorIx::new(2)]);
    assert_eq!(execute::frozen_lanes(&city.ledger, Epoch::new(1)).unwrap(), []);
    // From the next one on it does not.
    let outcomes = order(&mut city, 2, 0, vec![two.clone(), three.clone()]);
    assert_eq!(outcomes.iter().map(code).collect::<Vec<_>>(), [Some(Code::LaneFrozen); 2]);
    // The transaction is not used up: another lane may bring it.
    assert_eq!(code(&order(&mut city, 1, 0, vec![two.clone()])[0]), None);
    assert_eq!(code(&order(&mut city, 1, 0, vec![two])[0]), Some(Code::Replayed));
    close(&mut city, 0);
    assert_eq!(code(&order(&mut city, 2, 1, vec![three])[0]), None, "lanes begin anew with the epoch");
}

#[test]
fn only_a_forked_lane_is_frozen() {
    for (kind, evidence) in hand(2).every_kind() {
        let mut city = city();
        accuse(&mut city, evidence).unwrap();
        let frozen = execute::frozen_lanes(&city.ledger, Epoch::ZERO).unwrap();
        assert_eq!(frozen.is_empty(), kind != OffenceKind::Lane, "{kind}");
    }
}

#[test]
fn whoever_was_proven_leads_no_later_epoch() {
    let mut city = city();
    assert!(committee(&city).validators().iter().all(|one| one.may_lead));
    accuse(&mut city, hand(2).proposals()).unwrap();
    // Not in this epoch: everybody must know the leaders of it from its beginning.
    assert!(committee(&city).validators().iter().all(|one| one.may_lead));
    let scheduled = |city: &City| execute::epoch(&city.ledger).unwrap().unwrap().scheduled.is_some();
    assert!(!scheduled(&city), "that alone ends no epoch");
    close(&mut city, 0);
    assert!(!scheduled(&city), "nor does it end the next one");
    let set = committee(&city);
    assert_eq!(set.epoch(), Epoch::new(1));
    let leads: Vec<bool> = set.validators().iter().map(|one| one.may_lead).collect();
    assert_eq!(leads, [true, true, false, true]);
    assert!(set.leaders().iter().all(|one| *one != ValidatorIx::new(2)));
}

#[test]
fn evidence_of_an_epoch_may_be_filed_until_the_next_one_ends() {
    let mut city = city();
    accuse(&mut city, hand(2).proposals()).unwrap();
    close(&mut city, 0);
    // The epoch before; its lanes have gone, so none is frozen.
    let file = |city: &mut City, epoch, evidence| {
        let submission = city.sign("v0/log", vec![(Operation::Accuse(Box::new(evidence)), None)]);
        code(&order(city, 0, epoch, vec![submission])[0])
    };
    assert_eq!(file(&mut city, 1, hand(3).lane(7)), None);
    assert_eq!(execute::frozen_lanes(&city.ledger, Epoch::ZERO).unwrap(), []);
    assert_eq!(execute::frozen_lanes(&city.ledger, Epoch::new(1)).unwrap(), []);
    // Recorded once stays recorded.
    assert_eq!(file(&mut city, 1, hand(2).proposals()), Some(Code::EvidenceKnown));
    let now = |signer| Hand { epoch: Epoch::new(1), ..hand(signer) };
    assert_eq!(file(&mut city, 1, now(2).proposals()), None, "the same again, in another epoch");
    close(&mut city, 1);
    assert_eq!(file(&mut city, 2, hand(1).proposals()), Some(Code::EvidenceInvalid), "two epochs ago");
    assert_eq!(file(&mut city, 2, now(1).proposals()), None);
}
