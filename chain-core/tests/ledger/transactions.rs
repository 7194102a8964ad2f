//! Transactions as a whole: chain, signature, validity, replay, all or nothing.

use chain_core::build;
use chain_core::code::Code;
use chain_core::crypto::{Digest, Signature};
use chain_core::execute::Verdict;
use chain_core::id::ChainId;
use chain_core::operation::Operation;
use chain_core::transaction::{OPERATIONS_MAX, Submission, Transaction, VALIDITY_MS_MAX};

use crate::city::{City, chain, licence, secret, verdict};

fn code(city: &mut City, submission: Submission) -> Vec<Option<Code>> {
    city.block(vec![submission])
        .iter()
        .map(|outcome| verdict(outcome).err().map(|error| error.code))
        .collect()
}

fn one(city: &mut City, key: &str, change: impl FnOnce(&mut Transaction, u64)) -> Option<Code> {
    let (operation, body, _) = licence(key).submit();
    let mut transaction = city.sign("A1/clerk1", vec![(operation, None)]).signed.transaction;
    let time_ms = city.time_ms;
    change(&mut transaction, time_ms);
    let submission = Submission { signed: transaction.sign(&secret("A1/clerk1")), bodies: vec![body] };
    code(city, submission)[0]
}

#[test]
fn a_transaction_is_for_one_chain_format_and_time() {
    let mut city = City::new();
    let other = ChainId::new(Digest::tagged(b"other", &[]));
    assert_eq!(one(&mut city, "a", |tx, _| tx.version = 2), Some(Code::UnsupportedVersion));
    assert_eq!(one(&mut city, "b", |tx, _| tx.chain_id = other), Some(Code::WrongChain));
    assert_eq!(one(&mut city, "c", |tx, now| tx.valid_until_ms = now - 1), Some(Code::Expired));
    let too_long = |tx: &mut Transaction, now| tx.valid_until_ms = now + VALIDITY_MS_MAX + 1;
    assert_eq!(one(&mut city, "d", too_long), Some(Code::ValidityTooLong));
    assert_eq!(one(&mut city, "e", |tx, now| tx.valid_until_ms = now), None);
    assert_eq!(one(&mut city, "f", |tx, now| tx.valid_until_ms = now + VALIDITY_MS_MAX), None);
    assert_eq!(one(&mut city, "g", |tx, _| tx.valid_until_ms = u64::MAX), Some(Code::ValidityTooLong));
}

#[test]
fn the_number_of_operations_is_bounded() {
    let mut city = City::new();
    assert_eq!(one(&mut city, "a", |tx, _| tx.operations.clear()), Some(Code::NoOperations));
    let withdraw = Operation::Withdraw { record: chain_core::id::RecordId::new(Digest::ZERO), version: 1 };
    let many = |count| vec![(withdraw.clone(), None); count];
    let submission = city.sign("A1/clerk1", many(OPERATIONS_MAX));
    assert_eq!(code(&mut city, submission), vec![Some(Code::RecordNotFound); OPERATIONS_MAX]);
    let submission = city.sign("A1/clerk1", many(OPERATIONS_MAX + 1));
    assert_eq!(code(&mut city, submission), vec![Some(Code::TooManyOperations); OPERATIONS_MAX + 1]);
}

#[test]
fn a_wrong_signature_is_refused() {
    let mut city = City::new();
    let (operation, body, _) = licence("1").submit();
    let mut submission = city.sign("A1/clerk1", vec![(operation, body)]);
    submission.signed.signature = Signature::ZERO;
    assert_eq!(code(&mut city, submission.clone()), [Some(Code::BadSignature)]);
    // A forged transaction leaves no trace: the honest one passes.
    submission.signed = submission.signed.transaction.sign(&secret("A1/clerk1"));
    assert_eq!(code(&mut city, submission), [None]);
}

#[test]
fn a_transaction_counts_once_and_is_forgotten_after_its_time() {
    let mut city = City::new();
    let (operation, body, _) = licence("1").submit();
    let submission = city.sign("A1/clerk1", vec![(operation, body)]);
    let twice = city.block(vec![submission.clone(), submission.clone()]);
    assert!(matches!(twice[0].verdict, Verdict::Accepted { duplicate: false, .. }));
    assert_eq!(verdict(&twice[1]).unwrap_err().code, Code::Replayed);
    assert_eq!(code(&mut city, submission.clone()), [Some(Code::Replayed)]);

    let remembered = |city: &City| {
        use chain_core::execute::LedgerRead as _;
        city.ledger.range(&[0x81], &[0x83], 100).unwrap().len()
    };
    assert_eq!(remembered(&city), 2);
    city.time_ms = submission.signed.transaction.valid_until_ms;
    assert_eq!(code(&mut city, submission.clone()), [Some(Code::Replayed)]);
    city.time_ms += 1;
    assert_eq!(code(&mut city, submission), [Some(Code::Expired)]);
    assert_eq!(remembered(&city), 0);
}

#[test]
fn rows_of_a_spreadsheet_stand_each_for_itself() {
    let mut city = City::new();
    let rows = ["1", "2", "1"].map(|key| {
        let (operation, body, _) = licence(key).submit();
        (operation, body)
    });
    let mut rows = rows.to_vec();
    if let Operation::Submit(header) = &mut rows[1].0 {
        header.legal_basis = None;
    }
    let outcomes = city.send_all("A1/clerk1", rows);
    assert!(!outcomes[0].as_ref().unwrap().duplicate);
    assert_eq!(outcomes[1].as_ref().unwrap_err().code, Code::LegalBasisMissing);
    assert!(outcomes[2].as_ref().unwrap().duplicate);
}

#[test]
fn all_or_nothing_means_nothing() {
    let mut city = City::new();
    let filed = |key| {
        let (operation, body, _) = licence(key).submit();
        (operation, body)
    };
    let mut bad = filed("2");
    if let Operation::Submit(header) = &mut bad.0 {
        header.legal_basis = None;
    }
    let send = |city: &mut City, operations| {
        let valid_until_ms = city.time_ms + 1_000;
        let key = secret("A1/clerk1");
        let submission = build::submission(chain().chain_id, &key, valid_until_ms, true, operations);
        code(city, submission)
    };
    let before = *city.ledger.summary();
    let codes = send(&mut city, vec![filed("1"), bad, filed("3")]);
    let failed = Some(Code::AtomicFailed);
    assert_eq!(codes, [failed, Some(Code::LegalBasisMissing), failed]);
    let after = *city.ledger.summary();
    assert_eq!((before.log_root, before.state_root), (after.log_root, after.state_root));
    // The numbers were not taken either.
    assert_eq!(send(&mut city, vec![filed("1"), filed("3")]), [None, None]);
    assert_eq!(city.ledger.summary().log_size, before.log_size + 3);
}
