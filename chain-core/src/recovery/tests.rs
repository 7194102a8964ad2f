//! Acts that bind, and acts that do not.

use super::*;
use crate::certificate::{Cert, Rank, VoteKind};
use crate::codec;
use crate::committee::test_support::{committee, secret};
use crate::id::View;

const CHAIN: ChainId = ChainId::new(Digest::ZERO);

fn agency(at: usize) -> OrgId {
    format!("register:CN-T:{at}").parse().unwrap()
}

/// Four validators of agencies with proper identifiers.
fn set(epoch: u64) -> Committee {
    let mut validators = committee(4).validators().to_vec();
    for (at, one) in validators.iter_mut().enumerate() {
        one.agency = agency(at).to_string();
    }
    Committee::new(Epoch::new(epoch), validators).unwrap()
}

fn key(at: usize) -> RecoveryKey {
    RecoveryKey { name: format!("safe-{at}"), agency: agency(at), key: secret(5, at).public() }
}

/// Three of five.
fn keys() -> RecoveryKeys {
    RecoveryKeys::new(3, (0..5).map(key).collect()).unwrap()
}

fn act() -> RecoveryAct {
    RecoveryAct {
        chain_id: CHAIN,
        epoch: Epoch::new(6),
        height: Height::new(900),
        block_digest: Digest::tagged(b"last block", &[]),
        next: set(7),
        reason: "two machine rooms burnt".to_owned(),
        time_ms: 1,
    }
}

fn signed(act: RecoveryAct, signers: &[usize]) -> SignedRecovery {
    let signatures = signers.iter().map(|&at| act.sign(&secret(5, at))).collect();
    SignedRecovery::new(act, signatures)
}

fn verdict(recovery: &SignedRecovery) -> Result<(), RecoveryError> {
    recovery.verify(CHAIN, Epoch::new(6), &keys()).map(drop)
}

#[test]
fn only_keys_of_different_agencies_that_can_decide_make_a_recovery() {
    // (keys, threshold)
    for (count, threshold, good) in [
        (2, 2, true),
        (3, 2, true),
        (5, 3, true),
        (5, 5, true),
        (100, 51, true),
        (1, 1, false),
        (2, 1, false),
        (4, 2, false),
        (5, 2, false),
        (5, 6, false),
        (5, 0, false),
        (101, 60, false),
    ] {
        let made = RecoveryKeys::new(threshold, (0..count).map(key).collect());
        assert_eq!(made.is_ok(), good, "{threshold} of {count}");
    }
    for change in [
        |one: &mut RecoveryKey| one.name = "safe-0".to_owned(),
        |one: &mut RecoveryKey| one.agency = agency(0),
        |one: &mut RecoveryKey| one.key = secret(5, 0).public(),
    ] {
        let mut keys: Vec<_> = (0..5).map(key).collect();
        change(&mut keys[3]);
        let name = keys[3].name.clone();
        assert_eq!(RecoveryKeys::new(3, keys), Err(RecoveryKeysError::Shared(name)));
    }
    let keys = keys();
    assert_eq!(RecoveryKeys::from_canonical(&keys.to_canonical()), Ok(keys));
}

#[test]
fn a_majority_binds_and_one_fewer_does_not() {
    for signers in [&[0, 1, 2][..], &[4, 2, 0], &[0, 1, 2, 3, 4]] {
        let recovery = signed(act(), signers);
        assert_eq!(recovery.verify(CHAIN, Epoch::new(6), &keys()), Ok(&set(7)), "{signers:?}");
        let bytes = codec::encode(&recovery).unwrap();
        assert_eq!(codec::decode::<SignedRecovery>(&bytes).as_ref(), Ok(&recovery));
        assert_eq!(SignedRecovery::from_canonical(&recovery.to_canonical()).as_ref(), Ok(&recovery));
    }
    let short = RecoveryError::Short { have: 2, need: 3 };
    assert_eq!(verdict(&signed(act(), &[3, 4])), Err(short.clone()));
    // One agency twice is one agency.
    assert_eq!(verdict(&signed(act(), &[3, 4, 4])), Err(short));
    let mut twice = signed(act(), &[0, 1, 2]);
    twice.signatures[2] = twice.signatures[1];
    assert!(matches!(verdict(&twice), Err(RecoveryError::Signer(_))));
    let mut disordered = signed(act(), &[0, 1, 2]);
    disordered.signatures.reverse();
    assert!(matches!(verdict(&disordered), Err(RecoveryError::Signer(_))));
}

#[test]
fn f05_an_act_of_strangers_or_with_a_bad_signature_binds_nobody() {
    let stranger = signed(act(), &[0, 1, 2, 7]);
    assert_eq!(verdict(&stranger), Err(RecoveryError::Signer(secret(5, 7).public().short())));
    // Validators' keys decide nothing here.
    let signatures = (0..4).map(|at| act().sign(&secret(1, at))).collect();
    assert!(matches!(verdict(&SignedRecovery::new(act(), signatures)), Err(RecoveryError::Signer(_))));
    let mut padded = signed(act(), &[0, 1, 2, 3]);
    padded.signatures[3].signature = Signature::ZERO;
    assert!(matches!(verdict(&padded), Err(RecoveryError::BadSignature(_))));
    // Signatures of another act.
    for change in [
        |act: &mut RecoveryAct| act.height = act.height.next(),
        |act: &mut RecoveryAct| act.block_digest = Digest::ZERO,
        |act: &mut RecoveryAct| act.reason.push('!'),
        |act: &mut RecoveryAct| act.time_ms += 1,
        |act: &mut RecoveryAct| {
            let mut validators = act.next.validators().to_vec();
            validators[0].address = "/ip4/10.9.9.9/tcp/1".to_owned();
            act.next = Committee::new(act.next.epoch(), validators).unwrap();
        },
    ] {
        let mut other = signed(act(), &[0, 1, 2]);
        change(&mut other.act);
        assert!(matches!(verdict(&other), Err(RecoveryError::BadSignature(_))), "{:?}", other.act);
    }
}

#[test]
fn f05_an_act_is_of_this_chain_and_epoch_and_well_formed() {
    let with = |change: fn(&mut RecoveryAct)| {
        let mut act = act();
        change(&mut act);
        verdict(&signed(act, &[0, 1, 2])).unwrap_err()
    };
    let other = ChainId::new(Digest::tagged(b"other", &[]));
    assert_eq!(
        with(|act| act.chain_id = ChainId::new(Digest::tagged(b"other", &[]))),
        RecoveryError::Chain(other)
    );
    let epoch = RecoveryError::Epoch { got: Epoch::new(5), want: Epoch::new(6) };
    assert_eq!(with(|act| act.epoch = Epoch::new(5)), epoch);
    let next = RecoveryError::NextEpoch { got: Epoch::new(8), want: Epoch::new(7) };
    assert_eq!(with(|act| act.next = set(8)), next);
    for reason in ["", "clerk 11010519491231002X", "left\u{202e}right"] {
        let act = RecoveryAct { reason: reason.to_owned(), ..act() };
        assert_eq!(verdict(&signed(act, &[0, 1, 2])), Err(RecoveryError::Reason), "{reason:?}");
    }
    let long = RecoveryAct { reason: "x".repeat(NOTE_BYTES_MAX + 1), ..act() };
    assert_eq!(verdict(&signed(long, &[0, 1, 2])), Err(RecoveryError::Reason));
    for change in [
        |one: &mut crate::committee::Validator| one.agency = "agency-0".to_owned(),
        |one: &mut crate::committee::Validator| one.name = "V0".to_owned(),
        |one: &mut crate::committee::Validator| one.address = "/dns/example.org/tcp/1".to_owned(),
        |one: &mut crate::committee::Validator| one.log_key = PublicKey::new([0; 32]),
    ] {
        let mut validators = set(7).validators().to_vec();
        change(&mut validators[0]);
        let act = RecoveryAct { next: Committee::new(Epoch::new(7), validators).unwrap(), ..act() };
        assert!(matches!(verdict(&signed(act, &[0, 1, 2])), Err(RecoveryError::Validator(_))));
    }
}

#[test]
fn an_act_takes_the_place_of_a_hand_over_in_the_walk_from_genesis() {
    let closing = crate::block::Header {
        version: crate::block::HEADER_VERSION,
        chain_id: CHAIN,
        epoch: Epoch::new(7),
        view: View::ZERO,
        height: Height::new(950),
        parent: Digest::ZERO,
        proposer: crate::id::ValidatorIx::new(0),
        time_ms: 1,
        flags: crate::block::Flags::CLOSING.with(crate::block::Flags::SEAL),
        lanes_root: Digest::ZERO,
        batches_root: Digest::ZERO,
        n_batches: 0,
        n_records: 0,
        n_bytes: 0,
        exec_height: Height::new(949),
        exec_root: Digest::ZERO,
        history_root: Digest::ZERO,
        validators_hash: set(7).hash(),
        next_validators_hash: set(8).hash(),
    };
    let rank = Rank { view: closing.view, height: closing.height };
    let mut certificate = Cert::from_votes(VoteKind::Commit, closing.epoch, rank, closing.digest(), 4, []);
    let slot = certificate.slot(CHAIN);
    certificate.bitmap[0] = 0b111;
    certificate.signatures = (0..3).map(|ix| secret(1, ix).sign(&slot)).collect();
    let proof = crate::epoch::ClosingProof { headers: vec![closing], certificate };
    let passages =
        [Passage::Recovery(signed(act(), &[0, 1, 2])), Passage::HandOver(HandOver { proof, next: set(8) })];
    let walk = |passages: &[Passage]| verify_passages(CHAIN, &set(6), Some(&keys()), passages);
    assert_eq!(walk(&passages), Ok(set(8)));
    assert!(matches!(walk(&passages[1..]), Err(PassageError::HandOver(_))));
    assert!(matches!(walk(&[passages[0].clone(), passages[0].clone()]), Err(PassageError::Recovery(_))));
    assert_eq!(verify_passages(CHAIN, &set(6), None, &passages), Err(PassageError::NoKeys));
}

#[test]
fn the_largest_act_fits_a_leaf() {
    let hundred = committee(100);
    let validators = (0..100)
        .map(|at| crate::committee::Validator {
            name: format!("{at:040}"),
            agency: format!("register:CN-{}", "x".repeat(58) + &format!(":{at:02}")),
            address: format!("/ip4/10.0.0.1/tcp/{}", 7101),
            ..hundred.validators()[at].clone()
        })
        .collect();
    let next = Committee::new(Epoch::new(7), validators).unwrap();
    let act = RecoveryAct { next, reason: "x".repeat(NOTE_BYTES_MAX), ..act() };
    let longest = crate::record::NAME_BYTES_MAX - "/ip4/10.0.0.1/tcp/7101".len();
    let bytes = signed(act, &(0..100).collect::<Vec<_>>()).to_canonical().len() + 100 * longest;
    assert!(bytes + 32 <= crate::leaf::LEAF_BYTES_MAX, "{bytes} bytes");
}

#[test]
fn an_act_with_too_few_signatures_is_good_as_far_as_it_goes() {
    let recovery = signed(act(), &[0]).with(act().sign(&secret(5, 1)));
    assert_eq!(recovery.check_signatures(&keys()), Ok(()));
    assert_eq!(verdict(&recovery), Err(RecoveryError::Short { have: 2, need: 3 }));
    let again = recovery.clone().with(act().sign(&secret(5, 1)));
    assert_eq!(again, recovery, "one signature of each key");
    assert!(recovery.is_signed_by(&key(1)) && !recovery.is_signed_by(&key(2)));
    let whole = recovery.with(act().sign(&secret(5, 4)));
    assert_eq!(verdict(&whole), Ok(()));
    let other = RecoveryAct { reason: "another".to_owned(), ..act() };
    assert!(matches!(
        signed(act(), &[0]).with(other.sign(&secret(5, 1))).check_signatures(&keys()),
        Err(RecoveryError::BadSignature(_))
    ));
}

#[test]
fn every_flaw_has_a_code_of_its_own_kind() {
    let chain = RecoveryAct { chain_id: ChainId::new(Digest::tagged(b"other", &[])), ..act() };
    for (recovery, code) in [
        (signed(chain, &[0, 1, 2]), Code::GenesisMismatch),
        (signed(RecoveryAct { epoch: Epoch::new(5), ..act() }, &[0, 1, 2]), Code::RecoveryEpoch),
        (signed(act(), &[0, 1]), Code::RecoveryShort),
        (signed(RecoveryAct { reason: String::new(), ..act() }, &[0, 1, 2]), Code::RecoveryInvalid),
    ] {
        assert_eq!(verdict(&recovery).unwrap_err().refusal().code, code);
    }
}

#[test]
fn a_file_holds_the_act_as_it_was_signed() {
    let recovery = signed(act(), &[0, 1, 2]);
    let text = recovery.to_json();
    assert_eq!(SignedRecovery::parse(&text).as_ref(), Ok(&recovery));
    for (from, to) in [
        ("recovery-act/v1", "recovery-act/v2"),
        ("\"reason\"", "\"season\""),
        ("\"signatures\"", "\"signatures_\""),
        ("{", ""),
    ] {
        let refusal = SignedRecovery::parse(&text.replacen(from, to, 1)).unwrap_err();
        assert_eq!(refusal.code, Code::RecoveryInvalid, "{from}: {refusal}");
    }
    assert!(SignedRecovery::parse(&" ".repeat(ACT_BYTES_MAX + 1)).is_err());
}
