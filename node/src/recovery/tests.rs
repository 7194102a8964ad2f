//! Which acts a node takes, and what one that follows an ended epoch may hear.

use super::*;
use chain_core::certificate::{Cert, Rank, VoteKind};
use chain_core::committee::{Committee, Validator};
use chain_core::crypto::SecretKey;
use chain_core::id::View;
use chain_core::recovery::RecoveryKey;
use consensus::message::Status;

const CHAIN: ChainId = ChainId::new(Digest::ZERO);

fn secret(kind: u8, at: u8) -> SecretKey {
    SecretKey::from_seed([kind * 16 + at; 32])
}

fn set(epoch: u64) -> Committee {
    let validator = |at: u8| Validator {
        name: format!("v{at}"),
        agency: format!("register:CN-T:{at}"),
        consensus_key: secret(1, at).public(),
        network_key: secret(2, at).public(),
        log_key: secret(3, at).public(),
        address: "/ip4/127.0.0.1/tcp/7101".to_owned(),
        may_lead: true,
    };
    Committee::new(Epoch::new(epoch), (0..4).map(validator).collect()).unwrap()
}

/// Two of three.
fn keys() -> RecoveryKeys {
    let key = |at: u8| RecoveryKey {
        name: format!("safe-{at}"),
        agency: format!("register:CN-T:{at}").parse().unwrap(),
        key: secret(4, at).public(),
    };
    RecoveryKeys::new(2, (0..3).map(key).collect()).unwrap()
}

fn block(height: u64) -> Digest {
    Digest::tagged(b"block", &[&height.to_be_bytes()])
}

fn act(epoch: u64, height: u64) -> RecoveryAct {
    RecoveryAct {
        chain_id: CHAIN,
        epoch: Epoch::new(epoch),
        height: Height::new(height),
        block_digest: block(height),
        next: set(epoch + 1),
        reason: "two machine rooms burnt".to_owned(),
        time_ms: 1,
    }
}

fn signed(act: RecoveryAct, signers: &[u8]) -> SignedRecovery {
    let signatures = signers.iter().map(|&at| act.sign(&secret(4, at))).collect();
    SignedRecovery::new(act, signatures)
}

/// A node in epoch 3 whose newest final block is 90.
fn standing() -> Standing {
    Standing { chain_id: CHAIN, epoch: Epoch::new(3), newest: (Height::new(90), block(90)) }
}

fn verdict(act: RecoveryAct, signers: &[u8]) -> Result<Effect, Code> {
    standing().judge(&signed(act, signers), Some(&keys()), None).map_err(|refusal| refusal.code)
}

#[test]
fn an_act_is_taken_when_it_binds_and_fits_what_is_final_here() {
    let of_another = |change: fn(&mut RecoveryAct)| {
        let mut act = act(3, 90);
        change(&mut act);
        act
    };
    let other_chain = of_another(|act| act.chain_id = ChainId::new(block(1)));
    let other_block = of_another(|act| act.block_digest = block(1));
    for (what, act, signers, want) in [
        ("the newest final block", act(3, 90), &[0, 1][..], Ok(Effect::AtOnce)),
        ("a block that is to come", act(3, 91), &[0, 1], Ok(Effect::Later)),
        ("an epoch that is to come", act(4, 200), &[0, 1], Ok(Effect::Later)),
        ("too few signatures", act(3, 90), &[0], Err(Code::RecoveryShort)),
        ("no signature", act(3, 91), &[], Err(Code::RecoveryShort)),
        ("a stranger's signature", act(3, 90), &[0, 1, 7], Err(Code::RecoveryInvalid)),
        ("another chain", other_chain, &[0, 1], Err(Code::GenesisMismatch)),
        ("a block below the newest final one", act(3, 89), &[0, 1, 2], Err(Code::RecoveryBelowFinal)),
        ("another block at that height", other_block, &[0, 1], Err(Code::RecoveryOtherBlock)),
        ("an epoch that is over", act(2, 90), &[0, 1], Err(Code::RecoveryEpoch)),
        ("an epoch that has not begun", act(4, 90), &[0, 1], Err(Code::RecoveryEpoch)),
    ] {
        assert_eq!(verdict(act, signers), want, "{what}");
    }
    let unknown = standing().judge(&signed(act(3, 90), &[0, 1]), None, None).unwrap_err();
    assert_eq!(unknown.code, Code::RecoveryUnknown);
}

#[test]
fn an_act_that_took_effect_stands_and_one_that_waits_may_be_put_right() {
    let (taken, other) = (signed(act(2, 90), &[0, 1]), RecoveryAct { time_ms: 2, ..act(2, 90) });
    let judged = |one: &SignedRecovery, known: &SignedRecovery| {
        standing().judge(one, Some(&keys()), Some(known)).map_err(|refusal| refusal.code)
    };
    let more = signed(act(2, 90), &[0, 1, 2]);
    assert_eq!(judged(&more, &taken), Ok(Effect::AtOnce), "the same act, signed by more");
    assert_eq!(judged(&signed(other, &[0, 1]), &taken), Err(Code::RecoveryTaken));
    assert_eq!(judged(&signed(act(3, 95), &[0, 1]), &signed(act(3, 99), &[0, 1])), Ok(Effect::Later));
}

#[test]
fn whoever_still_votes_in_an_ended_epoch_is_not_listened_to() {
    let act = act(3, 90);
    let certificate = |height: u64| {
        let rank = Rank { view: View::ZERO, height: Height::new(height) };
        Cert::from_votes(VoteKind::Commit, Epoch::new(3), rank, block(height), 4, [])
    };
    let certified = |height| Message::Certificate(Box::new(certificate(height)));
    let blocks = |height| Message::Blocks {
        blocks: Vec::new(),
        suffixes: Vec::new(),
        certificate: Box::new(certificate(height)),
    };
    let status = |height: Option<u64>| {
        Message::Status(Box::new(Status {
            epoch: Epoch::new(3),
            view: View::ZERO,
            committed: Height::new(99),
            executed: Height::new(99),
            certificate: height.map(|height| Box::new(certificate(height))),
            high_qc: None,
            awaits_echo: false,
        }))
    };
    for (message, heard) in [
        (certified(90), true),
        (certified(91), false),
        (blocks(90), true),
        (blocks(91), false),
        (status(Some(90)), true),
        (status(Some(91)), false),
        (status(None), true),
        (Message::GetCertificate, true),
    ] {
        assert_eq!(may_hear(&message, &act), heard, "{message:?}");
    }
}
