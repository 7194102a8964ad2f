//! A valid chain passes; with any one thing changed, the audit names the block, the thing and its weight.

use chain_core::api::RawBlock;
use chain_core::block::Header;
use chain_core::code::Code;
use chain_core::committee::Committee;
use chain_core::crypto::{Digest, Signature};
use chain_core::epoch::{ClosingProof, HandOver};
use chain_core::execute::Verdict;
use chain_core::genesis::Genesis;
use chain_core::id::{Height, ValidatorIx};
use chain_core::merkle::{Frontier, leaf_hash};
use chain_core::recovery::{Passage, SignedRecovery};

use super::checkpoint::Cosigned;
use super::finding::{Finding, Grade};
use super::sample::{Chain, certificate, genesis, secret, sign};
use super::verify::{Plan, Stopped, Verified, verify};
use super::walk::Walk;
use crate::error::{CliError, CliResult};
use crate::exit::Exit;
use crate::sets::Sets;

fn plan(jobs: usize) -> Plan {
    Plan { jobs, from: Height::new(1), to: None, sizes: Vec::new() }
}

/// Verifies blocks from where the plan begins.
fn run<I>(
    genesis: &Genesis,
    sets: &Sets,
    plan: &Plan,
    blocks: I,
    progress: impl FnMut(&Walk<'_>) -> CliResult,
) -> Result<Verified, Stopped>
where
    I: Iterator<Item = CliResult<RawBlock>> + Send,
{
    let mut walk = Walk::new(genesis, sets, plan.from > Height::new(1), &plan.sizes)?;
    verify(genesis, sets, &mut walk, plan, blocks, progress)
}

fn audit(genesis: &Genesis, plan: &Plan, blocks: Vec<RawBlock>) -> Result<Verified, Finding> {
    match run(genesis, &Sets::of(genesis), plan, blocks.into_iter().map(Ok), |_| Ok(())) {
        Ok(verified) => Ok(verified),
        Err(Stopped::Found(finding, _)) => Err(*finding),
        Err(Stopped::Failed(error)) => panic!("no verdict: {error:?}"),
    }
}

fn sample() -> (Genesis, Vec<RawBlock>) {
    let chain = Chain::sample();
    (chain.genesis, chain.blocks)
}

/// Changes the sample and asks for code, grade and height of the finding.
#[track_caller]
fn refused(code: Code, grade: Grade, height: u64, change: impl FnOnce(&mut Vec<RawBlock>)) -> Finding {
    let (genesis, mut blocks) = sample();
    change(&mut blocks);
    let finding = audit(&genesis, &plan(2), blocks).expect_err("the change goes unnoticed");
    let got = (finding.refusal.code, finding.grade, finding.height);
    assert_eq!(got, (code, grade, Some(Height::new(height))), "{}", finding.refusal.detail);
    finding
}

/// Changes a header, with its proposer's signature and, if it had one, a quorum's certificate over the change.
fn resigned(block: &mut RawBlock, change: impl FnOnce(&mut RawBlock)) {
    change(block);
    sign(block);
    if block.certificate.is_some() {
        block.certificate = Some(certificate(&block.header, &[0, 1, 2]));
    }
}

#[test]
fn a_valid_chain_passes_with_any_number_of_threads() {
    let chain = Chain::sample();
    for jobs in [1, 2, 7] {
        let verified = audit(&chain.genesis, &plan(jobs), chain.blocks.clone()).unwrap();
        let totals = &verified.totals;
        assert_eq!((totals.blocks, totals.batches, totals.records, totals.transactions), (7, 6, 19, 7));
        assert_eq!((totals.accepted, totals.refused), (17, 2));
        assert_eq!((totals.bodies, totals.erased, totals.certificates), (19, 0, 3));
        assert_eq!((verified.certified, verified.confirmed), (Height::new(7), Height::new(6)));
        let summary = chain.ledger.summary();
        assert_eq!(verified.log, Some((summary.log_size, summary.log_root)));
    }
}

#[test]
fn a_part_is_verified_without_execution_and_ends_at_a_certificate() {
    let (genesis, blocks) = sample();
    let part = Plan { from: Height::new(3), ..plan(2) };
    let verified = audit(&genesis, &part, blocks[2..].to_vec()).unwrap();
    assert_eq!((verified.totals.blocks, verified.log), (5, None));
    let first = Plan { to: Some(Height::new(3)), ..plan(2) };
    let verified = audit(&genesis, &first, blocks.clone()).unwrap();
    assert_eq!((verified.newest.0, verified.certified), (Height::new(4), Height::new(4)));
    let beyond = Plan { to: Some(Height::new(9)), ..plan(2) };
    let finding = audit(&genesis, &beyond, blocks).unwrap_err();
    assert_eq!((finding.refusal.code, finding.grade), (Code::QuorumNotMet, Grade::Unknown));
}

fn audit_epochs(chain: &Chain, sets: &Sets, plan: &Plan, blocks: Vec<RawBlock>) -> Result<Verified, Finding> {
    match run(&chain.genesis, sets, plan, blocks.into_iter().map(Ok), |_| Ok(())) {
        Ok(verified) => Ok(verified),
        Err(Stopped::Found(finding, _)) => Err(*finding),
        Err(Stopped::Failed(error)) => panic!("no verdict: {error:?}"),
    }
}

#[test]
fn an_audit_follows_the_hand_over_to_the_next_epoch() {
    for suffix in [false, true] {
        let chain = Chain::two_epochs(suffix);
        let verified = audit_epochs(&chain, &chain.sets, &plan(2), chain.blocks.clone()).unwrap();
        assert_eq!((verified.newest.0, verified.certified), (Height::new(12), Height::new(12)));
        assert_eq!(verified.log.map(|(size, _)| size), Some(chain.ledger.summary().log_size));
        // A part may begin in the second epoch, or end the first.
        for from in [9, 10, 11] {
            let part = Plan { from: Height::new(from), ..plan(2) };
            let blocks = chain.blocks[usize::try_from(from).unwrap() - 1..].to_vec();
            assert_eq!(audit_epochs(&chain, &chain.sets, &part, blocks).unwrap().log, None, "from {from}");
        }
        // Whoever has no hand-over trusts the first set alone.
        let known = Sets::of(&chain.genesis);
        let finding = audit_epochs(&chain, &known, &plan(2), chain.blocks.clone()).unwrap_err();
        assert_eq!((finding.refusal.code, finding.grade), (Code::UnknownSigner, Grade::Unknown));
        assert_eq!(finding.height, Some(Height::new(10)));
    }
}

#[test]
fn an_epoch_ends_with_the_block_that_must_end_it_and_goes_on_with_the_set_named_there() {
    type Change = fn(&mut Vec<RawBlock>);
    let changes: [(Code, Grade, u64, Change); 6] = [
        // The closing block closes with another set, or does not close.
        (Code::ChainBroken, Grade::Tampered, 9, |blocks| {
            resigned(&mut blocks[8], |block| block.header.next_validators_hash = Digest::ZERO);
        }),
        (Code::ChainBroken, Grade::Tampered, 9, |blocks| {
            let stays = blocks[7].header.next_validators_hash;
            resigned(&mut blocks[8], |block| {
                block.header.flags = chain_core::block::Flags::SEAL;
                block.header.next_validators_hash = stays;
            });
        }),
        // A block before it closes.
        (Code::ChainBroken, Grade::Tampered, 7, |blocks| {
            let next = blocks[8].header.next_validators_hash;
            resigned(&mut blocks[6], |block| {
                block.header.flags = chain_core::block::Flags::SEAL.with(chain_core::block::Flags::CLOSING);
                block.header.next_validators_hash = next;
            });
        }),
        // The first epoch goes on after its closing block.
        (Code::ChainBroken, Grade::Wrong, 10, |blocks| {
            let first = blocks[7].header.clone();
            resigned(&mut blocks[9], |block| {
                block.header.epoch = first.epoch;
                block.header.validators_hash = first.validators_hash;
                block.header.next_validators_hash = first.validators_hash;
            });
        }),
        // The second begins with a block that is no seal.
        (Code::ChainBroken, Grade::Wrong, 10, |blocks| {
            blocks.truncate(10);
            resigned(&mut blocks[9], |block| block.header.flags = chain_core::block::Flags::NONE);
        }),
        // Another block is certified at the end of the first.
        (Code::ForkDetected, Grade::Tampered, 9, |blocks| {
            let mut rival = blocks[8].header.clone();
            rival.time_ms += 1;
            blocks[8].certificate = Some(certificate(&rival, &[0, 1, 2]));
        }),
    ];
    for (at, (code, grade, height, change)) in changes.into_iter().enumerate() {
        let chain = Chain::two_epochs(false);
        let mut blocks = chain.blocks.clone();
        change(&mut blocks);
        let finding =
            audit_epochs(&chain, &chain.sets, &plan(2), blocks).expect_err("the change goes unnoticed");
        let got = (finding.refusal.code, finding.grade, finding.height);
        assert_eq!(got, (code, grade, Some(Height::new(height))), "change {at}: {}", finding.refusal.detail);
    }
}

#[test]
fn lanes_begin_anew_with_an_epoch() {
    let chain = Chain::two_epochs_with(false, false);
    let finding = audit_epochs(&chain, &chain.sets, &plan(2), chain.blocks.clone()).unwrap_err();
    let got = (finding.refusal.code, finding.grade, finding.height);
    assert_eq!(got, (Code::ChainBroken, Grade::Wrong, Some(Height::new(11))), "{}", finding.refusal.detail);
    assert!(finding.refusal.detail.contains("wants 0"), "{}", finding.refusal.detail);
}

#[test]
fn the_execution_of_an_epochs_base_is_certified_before_any_later_one() {
    let chain = Chain::two_epochs(false);
    let mut blocks = chain.blocks.clone();
    let Header { exec_height, exec_root, .. } = blocks[8].header;
    resigned(&mut blocks[9], |block| {
        (block.header.exec_height, block.header.exec_root) = (exec_height, exec_root);
    });
    let mut history = Frontier::default();
    blocks[..9].iter().for_each(|block| history.push(&leaf_hash(block.header.digest().as_bytes())));
    for at in 10..blocks.len() {
        let parent = blocks[at - 1].header.digest();
        history.push(&leaf_hash(parent.as_bytes()));
        resigned(&mut blocks[at], |block| {
            (block.header.parent, block.header.history_root) = (parent, history.root());
        });
    }
    let finding = audit_epochs(&chain, &chain.sets, &plan(2), blocks).unwrap_err();
    let got = (finding.refusal.code, finding.height);
    assert_eq!(got, (Code::ChainBroken, Some(Height::new(11))), "{}", finding.refusal.detail);
    assert!(finding.refusal.detail.contains("before that of its epoch's base, 9"), "{finding:?}");
}

#[test]
fn a_suffix_proves_the_closing_block_above_it_and_nothing_else() {
    type Change = fn(&mut RawBlock);
    let changes: [Change; 4] = [
        |closing| closing.suffixes[0].parent = Digest::ZERO,
        |closing| closing.suffixes[0].flags = chain_core::block::Flags::SEAL,
        |closing| closing.suffixes.clear(),
        |closing| closing.certificate = None,
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let chain = Chain::two_epochs(true);
        let mut blocks = chain.blocks.clone();
        change(&mut blocks[8]);
        let finding =
            audit_epochs(&chain, &chain.sets, &plan(2), blocks).expect_err("the change goes unnoticed");
        let got = (finding.refusal.code, finding.grade, finding.height);
        let want = (Code::CertificateInvalid, Grade::Wrong, Some(Height::new(9)));
        assert_eq!(got, want, "change {at}: {}", finding.refusal.detail);
    }
}

#[test]
fn an_audit_walks_over_the_agencies_act_and_executes_it() {
    for acts in [1, 2] {
        let chain = Chain::recovered(acts);
        let verified = audit_epochs(&chain, &chain.sets, &plan(2), chain.blocks.clone()).unwrap();
        assert_eq!((verified.newest.0, verified.certified), (Height::new(10), Height::new(10)));
        assert_eq!(verified.log.map(|(size, _)| size), Some(chain.ledger.summary().log_size));
        let told: Vec<(u64, Vec<&str>)> =
            chain.sets.recoveries().map(|(one, by)| (one.act.epoch.get(), by)).collect();
        let want: Vec<(u64, Vec<&str>)> = (0..acts).map(|epoch| (epoch, vec!["safe-0", "safe-2"])).collect();
        assert_eq!(told, want);
        let part = Plan { from: Height::new(8), ..plan(2) };
        assert_eq!(audit_epochs(&chain, &chain.sets, &part, chain.blocks[7..].to_vec()).unwrap().log, None);
        // Whoever knows nothing of the act trusts the first set alone.
        let finding =
            audit_epochs(&chain, &Sets::of(&chain.genesis), &plan(2), chain.blocks.clone()).unwrap_err();
        let got = (finding.refusal.code, finding.grade, finding.height);
        assert_eq!(got, (Code::UnknownSigner, Grade::Unknown, Some(Height::new(8))));
    }
}

#[test]
fn an_act_is_taken_only_as_the_recovery_keys_signed_it_and_only_at_its_block() {
    let chain = Chain::recovered(1);
    let (signed, _) = chain.sets.recoveries().next().unwrap();
    let take = |recovery: SignedRecovery| Sets::of(&chain.genesis).take(Passage::Recovery(recovery));
    take(signed.clone()).unwrap();
    let alone = SignedRecovery { signatures: signed.signatures[..1].to_vec(), ..signed.clone() };
    assert_eq!(take(alone).unwrap_err().code, Code::RecoveryShort);
    let mut changed = signed.clone();
    changed.act.height = changed.act.height.next();
    assert_eq!(take(changed).unwrap_err().code, Code::RecoveryInvalid);
    let without = genesis("2026-11-23T00:00:00Z");
    let unknown = Sets::of(&without).take(Passage::Recovery(signed.clone())).unwrap_err();
    assert_eq!(unknown.code, Code::RecoveryUnknown);
    // The keys signed another block than the chain goes on from: both are signed, so it is a fork.
    let mut act = signed.act.clone();
    (act.height, act.block_digest) = (Height::new(4), chain.blocks[3].header.digest());
    let signatures = [0, 2].map(|ix| act.sign(&secret(8, ix))).to_vec();
    let mut sets = Sets::of(&chain.genesis);
    sets.take(Passage::Recovery(SignedRecovery::new(act, signatures))).unwrap();
    let finding = audit_epochs(&chain, &sets, &plan(2), chain.blocks.clone()).unwrap_err();
    assert_eq!((finding.refusal.code, finding.height), (Code::ForkDetected, Some(Height::new(8))));
    assert!(finding.refusal.detail.contains("the agencies ended epoch 0 with block 4"), "{finding:?}");
}

#[test]
fn a_hand_over_is_taken_only_with_a_quorums_signature_on_the_set_it_names() {
    let chain = Chain::two_epochs(false);
    let closing = &chain.blocks[8];
    let next = chain.sets.newest().committee.clone();
    let proof = |signers: &[u8]| ClosingProof {
        headers: vec![closing.header.clone()],
        certificate: certificate(&closing.header, signers),
    };
    let take = |proof, next: &Committee| {
        Sets::of(&chain.genesis).take(Passage::HandOver(HandOver { proof, next: next.clone() }))
    };
    take(proof(&[1, 2, 3]), &next).unwrap();
    let mut validators = next.validators().to_vec();
    validators.swap(0, 1);
    let other = Committee::new(next.epoch(), validators).unwrap();
    for (what, result) in
        [("two of four", take(proof(&[1, 2]), &next)), ("another set", take(proof(&[1, 2, 3]), &other))]
    {
        assert_eq!(result.unwrap_err().code, Code::CertificateInvalid, "{what}");
    }
}

#[test]
fn an_erased_body_is_no_flaw_and_a_changed_one_is() {
    let (genesis, mut blocks) = sample();
    blocks[2].batches[0].submissions[0].bodies[4] = None;
    let verified = audit(&genesis, &plan(2), blocks).unwrap();
    assert_eq!((verified.totals.bodies, verified.totals.erased), (18, 1));
    refused(Code::BodyCommitment, Grade::Wrong, 3, |blocks| {
        let body = blocks[2].batches[0].submissions[0].bodies[4].as_mut().unwrap();
        body.json = body.json.replace("4096", "4097");
    });
    refused(Code::BodyCommitment, Grade::Wrong, 3, |blocks| {
        blocks[2].batches[0].submissions[0].bodies.swap(0, 1);
    });
    refused(Code::BodyMissing, Grade::Wrong, 3, |blocks| {
        blocks[2].batches[0].submissions[0].bodies.pop();
    });
}

#[test]
fn an_erased_body_lends_its_outcome_no_freedom() {
    // The outcome of the first execution is taken over, but it hashes into the certified root.
    refused(Code::StateMismatch, Grade::Tampered, 4, |blocks| {
        blocks[2].batches[0].submissions[0].bodies[4] = None;
        let refusal = chain_core::code::Refusal::new(Code::SchemaInvalid, "");
        blocks[2].outcomes[4].verdict = Verdict::Refused(refusal);
    });
}

#[test]
fn a_changed_header_breaks_its_proposers_signature() {
    type Change = fn(&mut RawBlock);
    let changes: [Change; 9] = [
        |block| block.header.time_ms += 1,
        |block| block.header.view = block.header.view.next(),
        |block| block.header.height = Height::new(9),
        |block| block.header.parent = Digest::ZERO,
        |block| block.header.n_records += 1,
        |block| block.header.exec_root = Digest::ZERO,
        |block| block.header.history_root = Digest::ZERO,
        |block| block.header.next_validators_hash = Digest::ZERO,
        |block| block.proposer_signature = Signature::ZERO,
    ];
    for change in changes {
        let (genesis, mut blocks) = sample();
        change(&mut blocks[2]);
        let finding = audit(&genesis, &plan(2), blocks).unwrap_err();
        assert_eq!((finding.refusal.code, finding.grade), (Code::BadSignature, Grade::Wrong));
    }
}

#[test]
fn a_block_that_its_proposer_changed_no_longer_links() {
    refused(Code::ChainBroken, Grade::Wrong, 4, |blocks| {
        resigned(&mut blocks[2], |block| block.header.time_ms += 1);
    });
}

#[test]
fn what_a_quorum_signed_against_the_rules_is_tampering() {
    type Change = fn(&mut RawBlock);
    let changes: [(Code, Change); 8] = [
        (Code::ChainBroken, |block| block.header.time_ms = 1),
        (Code::ChainBroken, |block| block.header.history_root = Digest::ZERO),
        (Code::ChainBroken, |block| block.header.validators_hash = Digest::ZERO),
        (Code::ChainBroken, |block| block.header.flags = chain_core::block::Flags::NONE),
        (Code::ChainBroken, |block| block.header.exec_height = block.header.height),
        (Code::ChainBroken, |block| block.header.exec_height = Height::new(1)),
        (Code::ChainBroken, |block| {
            block.header.proposer = ValidatorIx::new((block.header.proposer.get() + 1) % 4)
        }),
        (Code::StateMismatch, |block| block.header.exec_root = Digest::ZERO),
    ];
    for (code, change) in changes {
        refused(code, Grade::Tampered, 7, |blocks| resigned(&mut blocks[6], change));
        // The same without a quorum's signature is one validator's word.
        refused(code, Grade::Wrong, 7, |blocks| {
            blocks[6].certificate = None;
            resigned(&mut blocks[6], change);
        });
    }
}

#[test]
fn a_quorum_that_certifies_a_descendant_answers_for_its_ancestors() {
    let (genesis, mut blocks) = sample();
    blocks.truncate(6);
    resigned(&mut blocks[5], |block| block.header.exec_root = Digest::ZERO);
    let mut child = Chain::sample().blocks[6].clone();
    resigned(&mut child, |child| child.header.parent = blocks[5].header.digest());
    blocks.push(child);
    let finding = audit(&genesis, &plan(2), blocks).unwrap_err();
    assert_eq!((finding.refusal.code, finding.grade), (Code::StateMismatch, Grade::Tampered));
    assert_eq!(finding.height, Some(Height::new(6)));
}

#[test]
fn data_must_be_what_the_header_commits_to() {
    refused(Code::ProofInvalid, Grade::Wrong, 2, |blocks| blocks[1].advances[0].seq += 1);
    refused(Code::ProofInvalid, Grade::Wrong, 3, |blocks| {
        blocks[2].batches.remove(1);
    });
    refused(Code::ProofInvalid, Grade::Wrong, 3, |blocks| blocks[2].batches.swap(1, 2));
    refused(Code::ProofInvalid, Grade::Wrong, 3, |blocks| {
        let (first, rest) = blocks.split_at_mut(2);
        rest[0].batches[0] = first[1].batches[0].clone();
    });
    refused(Code::ProofInvalid, Grade::Wrong, 3, |blocks| {
        blocks[2].batches[1].submissions.pop();
    });
    refused(Code::ProofInvalid, Grade::Wrong, 2, |blocks| {
        blocks[1].batches[0].submissions[0].signed.transaction.valid_until_ms += 1;
    });
    refused(Code::BadSignature, Grade::Wrong, 2, |blocks| {
        blocks[1].batches[0].signed.header.time_ms += 1;
    });
    refused(Code::BadSignature, Grade::Wrong, 2, |blocks| {
        blocks[1].batches[1].signed.signature = Signature::ZERO;
    });
}

#[test]
fn a_record_without_its_officers_signature_was_never_acceptable() {
    let finding = refused(Code::BadSignature, Grade::Wrong, 6, |blocks| {
        blocks[5].batches[0].submissions[0].signed.signature = Signature::ZERO;
    });
    assert!(finding.refusal.detail.contains("yet it was accepted"), "{}", finding.refusal.detail);
}

#[test]
fn what_the_node_says_came_of_a_block_is_executed_again() {
    refused(Code::StateMismatch, Grade::Wrong, 3, |blocks| {
        let refusal = chain_core::code::Refusal::new(Code::SchemaInvalid, "");
        blocks[2].outcomes[0].verdict = Verdict::Refused(refusal);
    });
    refused(Code::StateMismatch, Grade::Wrong, 3, |blocks| {
        blocks[2].outcomes.pop();
    });
    refused(Code::StateMismatch, Grade::Wrong, 6, |blocks| blocks[5].exec_root = Digest::ZERO);
    refused(Code::StateMismatch, Grade::Wrong, 7, |blocks| blocks[6].exec_root = Digest::ZERO);
}

#[test]
fn certificates_are_judged_and_required() {
    refused(Code::CertificateInvalid, Grade::Wrong, 4, |blocks| {
        blocks[3].certificate.as_mut().unwrap().signatures[1] = Signature::ZERO;
    });
    refused(Code::CertificateInvalid, Grade::Wrong, 4, |blocks| {
        blocks[3].certificate = Some(certificate(&blocks[3].header, &[0, 1]));
    });
    refused(Code::CertificateInvalid, Grade::Wrong, 4, |blocks| {
        blocks[3].certificate = blocks[1].certificate.clone();
    });
    let finding = refused(Code::QuorumNotMet, Grade::Unknown, 1, |blocks| {
        for block in blocks {
            block.certificate = None;
        }
    });
    assert_eq!(CliError::from(finding).exit, Exit::CannotVerify);
}

#[test]
fn two_certified_blocks_at_one_height_are_a_fork() {
    let finding = refused(Code::ForkDetected, Grade::Tampered, 4, |blocks| {
        let mut rival = blocks[3].header.clone();
        rival.time_ms += 1;
        blocks[3].certificate = Some(certificate(&rival, &[0, 1, 2]));
    });
    assert_eq!(CliError::from(finding).exit, Exit::Tampered);
}

#[test]
fn gaps_swaps_and_repetitions_are_noticed() {
    refused(Code::ChainBroken, Grade::Tampered, 3, |blocks| {
        blocks.remove(2);
    });
    refused(Code::ChainBroken, Grade::Tampered, 1, |blocks| {
        blocks.remove(0);
    });
    refused(Code::ChainBroken, Grade::Tampered, 3, |blocks| blocks.swap(2, 3));
    refused(Code::ChainBroken, Grade::Wrong, 3, |blocks| {
        let again = blocks[2].clone();
        blocks.insert(3, again);
    });
}

#[test]
fn another_genesis_is_another_chain() {
    let (_, blocks) = sample();
    let other = genesis("2026-11-24T00:00:00Z");
    let finding = audit(&other, &plan(1), blocks).unwrap_err();
    assert_eq!((finding.refusal.code, finding.grade), (Code::GenesisMismatch, Grade::Wrong));
}

#[test]
fn the_cosigned_checkpoint_is_the_log_executed_here() {
    let chain = Chain::sample();
    let good = Cosigned::judge(&Sets::of(&chain.genesis), chain.checkpoint(None, &[0, 2, 3])).unwrap();
    let wanting = Plan { sizes: vec![good.size()], ..plan(2) };
    let verified = audit(&chain.genesis, &wanting, chain.blocks.clone()).unwrap();
    assert_eq!(good.compare(&verified, "checkpoint"), Ok(()));
    let other =
        Cosigned::judge(&Sets::of(&chain.genesis), chain.checkpoint(Some(Digest::ZERO), &[0, 2, 3])).unwrap();
    let finding = other.compare(&verified, "checkpoint").unwrap_err();
    assert_eq!((finding.refusal.code, finding.grade), (Code::HistoryAltered, Grade::Tampered));
    // Fewer blocks than were cosigned.
    let wanting = Plan { to: Some(Height::new(4)), ..wanting };
    let short = audit(&chain.genesis, &wanting, chain.blocks.clone()).unwrap();
    let finding = good.compare(&short, "checkpoint").unwrap_err();
    assert_eq!(finding.refusal.code, Code::HistoryAltered);
    let refusal = Cosigned::judge(&Sets::of(&chain.genesis), chain.checkpoint(None, &[0, 2])).unwrap_err();
    assert_eq!(CliError::from(refusal).exit, Exit::CannotVerify);
}

#[test]
fn blocks_that_cannot_be_had_end_the_audit_with_their_own_error() {
    let (genesis, blocks) = sample();
    let lost = CliError::new(Code::Unreachable, "no node");
    let blocks = blocks.into_iter().take(3).map(Ok).chain([Err(lost.clone())]);
    match run(&genesis, &Sets::of(&genesis), &plan(2), blocks, |_| Ok(())) {
        Err(Stopped::Failed(error)) => assert_eq!(error, lost),
        other => panic!("{other:?}"),
    }
    let stop = CliError::new(Code::Interrupted, "");
    match run(&genesis, &Sets::of(&genesis), &plan(2), sample().1.into_iter().map(Ok), |_| Err(stop.clone()))
    {
        Err(Stopped::Failed(error)) => assert_eq!(error, stop),
        other => panic!("{other:?}"),
    }
    match run(&genesis, &Sets::of(&genesis), &plan(2), std::iter::empty(), |_| Ok(())) {
        Err(Stopped::Failed(error)) => assert_eq!(error.code(), Code::NotFound),
        other => panic!("{other:?}"),
    }
    // A key of the sample is never a key of another kind.
    assert_ne!(secret(1, 0).public(), secret(5, 0).public());
}
