//! Attempts to fool somebody who knows the first validator set about a later one.

use super::*;
use crate::block::{batches_root, lanes_root};
use crate::certificate::Rank;
use crate::codec;
use crate::committee::test_support::{committee, secret};
use crate::id::View;

const CHAIN: ChainId = ChainId::new(Digest::ZERO);

/// The set of an epoch: validators `epoch` to `epoch + 3` of a row.
fn set(epoch: usize) -> Committee {
    let validators = committee(16).validators()[epoch..][..4].to_vec();
    Committee::new(Epoch::new(epoch as u64), validators).unwrap()
}

fn closing(of: &Committee, next: &Committee) -> Header {
    Header {
        version: HEADER_VERSION,
        chain_id: CHAIN,
        epoch: of.epoch(),
        view: View::new(3),
        height: Height::new(40),
        parent: Digest::tagged(b"parent", &[]),
        proposer: ValidatorIx::new(0),
        time_ms: 1,
        flags: Flags::CLOSING.with(Flags::SEAL),
        lanes_root: lanes_root(&[]),
        batches_root: batches_root([]),
        n_batches: 0,
        n_records: 0,
        n_bytes: 0,
        exec_height: Height::new(38),
        exec_root: Digest::tagged(b"executed", &[]),
        history_root: Digest::tagged(b"history", &[]),
        validators_hash: of.hash(),
        next_validators_hash: next.hash(),
    }
}

/// The suffix that the next view puts below a header.
fn suffix(parent: &Header) -> Header {
    Header {
        view: parent.view.next(),
        height: parent.height.next(),
        parent: parent.digest(),
        time_ms: parent.time_ms + 1,
        flags: Flags::SUFFIX.with(Flags::SEAL),
        ..parent.clone()
    }
}

/// Votes of the first three validators of an epoch's set.
fn certify(epoch: usize, kind: VoteKind, header: &Header) -> Cert {
    let rank = Rank { view: header.view, height: header.height };
    let mut cert = Cert::from_votes(kind, header.epoch, rank, header.digest(), 4, []);
    let slot = cert.slot(CHAIN);
    cert.bitmap[0] = 0b111;
    cert.signatures = (0..3).map(|ix| secret(1, epoch + ix).sign(&slot)).collect();
    cert
}

fn prove(epoch: usize, headers: Vec<Header>) -> ClosingProof {
    let certificate = certify(epoch, VoteKind::Commit, headers.last().unwrap());
    ClosingProof { headers, certificate }
}

/// The proof of an epoch's end with so many suffixes.
fn proof(epoch: usize, suffixes: usize) -> ClosingProof {
    let mut headers = vec![closing(&set(epoch), &set(epoch + 1))];
    for _ in 0..suffixes {
        headers.push(suffix(headers.last().unwrap()));
    }
    prove(epoch, headers)
}

fn hand_over(epoch: usize) -> HandOver {
    HandOver { proof: proof(epoch, epoch), next: set(epoch + 1) }
}

#[test]
fn the_set_of_a_later_epoch_follows_from_the_first() {
    let hand_overs: Vec<_> = (0..4).map(hand_over).collect();
    for known in 0..=4 {
        assert_eq!(verify_chain(CHAIN, &set(0), &hand_overs[..known]), Ok(set(known)), "{known}");
    }
    for hand_over in &hand_overs {
        let bytes = codec::encode(hand_over).unwrap();
        assert_eq!(codec::decode::<HandOver>(&bytes).as_ref(), Ok(hand_over));
    }
}

#[test]
fn a_proof_of_the_greatest_length_can_be_encoded() {
    let greatest =
        ClosingProof { headers: vec![closing(&set(0), &set(1)); CLOSING_HEADERS_MAX], ..proof(0, 0) };
    assert!(codec::encode(&greatest).is_ok());
    let longer = proof(0, CLOSING_HEADERS_MAX);
    let count = EpochError::Count(CLOSING_HEADERS_MAX + 1);
    assert_eq!(longer.verify(CHAIN, &set(0)), Err(count));
    let none = ClosingProof { headers: Vec::new(), ..proof(0, 0) };
    assert_eq!(none.verify(CHAIN, &set(0)), Err(EpochError::Count(0)));
    assert!(proof(0, CLOSING_HEADERS_MAX - 1).verify(CHAIN, &set(0)).is_ok());
}

#[test]
fn f05_a_set_of_the_wrong_validators_proves_nothing() {
    // Signed by the validators of epoch 1 in the name of epoch 0.
    let stranger = prove(1, vec![closing(&set(0), &set(1))]);
    let bad = EpochError::Certificate(CertError::BadSignature(ValidatorIx::new(0)));
    assert_eq!(stranger.verify(CHAIN, &set(0)), Err(bad));
    // The right signatures over a header that names another set.
    let other = prove(0, vec![Header { validators_hash: set(1).hash(), ..closing(&set(0), &set(1)) }]);
    assert_eq!(other.verify(CHAIN, &set(0)), Err(EpochError::Set(Height::new(40))));
    // Another chain's header.
    let foreign = prove(
        0,
        vec![Header { chain_id: ChainId::new(Digest::tagged(b"other", &[])), ..closing(&set(0), &set(1)) }],
    );
    assert_eq!(foreign.verify(CHAIN, &set(0)), Err(EpochError::Foreign(Height::new(40))));
}

#[test]
fn f05_no_epoch_is_skipped_or_repeated() {
    let epoch = |got, want| EpochError::Epoch {
        height: Height::new(40),
        got: Epoch::new(got),
        want: Epoch::new(want),
    };
    let skipped = [hand_over(0), hand_over(2)];
    assert_eq!(verify_chain(CHAIN, &set(0), &skipped), Err(epoch(2, 1)));
    let repeated = [hand_over(0), hand_over(0)];
    assert_eq!(verify_chain(CHAIN, &set(0), &repeated), Err(epoch(0, 1)));
    // A set of the epoch after the next, though its hash is the one named.
    let far = HandOver { proof: prove(0, vec![closing(&set(0), &set(2))]), next: set(2) };
    let next = EpochError::NextEpoch { got: Epoch::new(2), want: Epoch::new(1) };
    assert_eq!(far.verify(CHAIN, &set(0)), Err(next));
}

#[test]
fn f05_a_forged_next_set_is_refused() {
    let forged = Committee::new(Epoch::new(1), committee(16).validators()[8..12].to_vec()).unwrap();
    let want = set(1).hash();
    let next = EpochError::NextSet { got: forged.hash(), want };
    assert_eq!(HandOver { next: forged, ..hand_over(0) }.verify(CHAIN, &set(0)), Err(next));
    let mut barred = set(1).validators().to_vec();
    barred[0].may_lead = false;
    let barred = Committee::new(Epoch::new(1), barred).unwrap();
    let next = EpochError::NextSet { got: barred.hash(), want };
    assert_eq!(HandOver { next: barred, ..hand_over(0) }.verify(CHAIN, &set(0)), Err(next));
    // A suffix that names another set than the closing block it stands below.
    let end = closing(&set(0), &set(1));
    let swapped = Header { next_validators_hash: set(2).hash(), ..suffix(&end) };
    let broken = EpochError::Broken(Height::new(41));
    assert_eq!(prove(0, vec![end, swapped]).verify(CHAIN, &set(0)), Err(broken));
}

#[test]
fn f05_an_ordinary_block_ends_no_epoch() {
    let end = closing(&set(0), &set(1));
    for flags in [Flags::NONE, Flags::SEAL, Flags::TERM_END, Flags::SUFFIX.with(Flags::SEAL), Flags::CLOSING]
    {
        let plain = prove(0, vec![Header { flags, ..end.clone() }]);
        assert_eq!(plain.verify(CHAIN, &set(0)), Err(EpochError::NotClosing(end.height)), "{flags:?}");
    }
    for flags in [Flags::SEAL, Flags::CLOSING.with(Flags::SEAL), Flags::SUFFIX] {
        let after = Header { flags, ..suffix(&end) };
        let plain = prove(0, vec![end.clone(), after.clone()]);
        assert_eq!(plain.verify(CHAIN, &set(0)), Err(EpochError::NotSuffix(after.height)), "{flags:?}");
    }
}

#[test]
fn f05_a_suffix_stands_below_its_own_closing_block() {
    let end = closing(&set(0), &set(1));
    let good = suffix(&end);
    let other = Header { time_ms: 9, ..end };
    let broken = |header: Header| {
        let height = header.height;
        let proof = prove(0, vec![end.clone(), header]);
        assert_eq!(proof.verify(CHAIN, &set(0)), Err(EpochError::Broken(height)));
    };
    broken(suffix(&other));
    broken(Header { height: good.height.next(), ..good });
    broken(Header { view: end.view, ..good });
    // A suffix of another epoch.
    let epoch = EpochError::Epoch { height: good.height, got: Epoch::new(1), want: Epoch::ZERO };
    let stray = prove(0, vec![end.clone(), Header { epoch: Epoch::new(1), ..good }]);
    assert_eq!(stray.verify(CHAIN, &set(0)), Err(epoch));
}

#[test]
fn f05_the_certificate_is_of_this_epoch_block_and_kind() {
    let good = proof(0, 1);
    let last = good.headers[1].clone();
    let with = |certificate: Cert| ClosingProof { certificate, ..good.clone() }.verify(CHAIN, &set(0)).err();
    let other_block = Some(EpochError::OtherBlock(last.height));
    assert_eq!(with(Cert { epoch: Epoch::new(1), ..good.certificate.clone() }), other_block);
    assert_eq!(with(certify(0, VoteKind::Commit, &good.headers[0])), other_block);
    assert_eq!(with(certify(0, VoteKind::Commit, &suffix(&last))), other_block);
    let kind = CertError::Kind { got: VoteKind::Prepare, want: VoteKind::Commit };
    assert_eq!(with(certify(0, VoteKind::Prepare, &last)), Some(EpochError::Certificate(kind)));
    let mut short = good.certificate.clone();
    short.bitmap[0] = 0b11;
    short.signatures.pop();
    let few = CertError::Short { have: 2, need: 3 };
    assert_eq!(with(short), Some(EpochError::Certificate(few)));
    // The next epoch's validators vouch for the end of the one before.
    let late = prove(1, vec![Header { epoch: Epoch::new(1), ..closing(&set(0), &set(1)) }]);
    assert!(late.verify(CHAIN, &set(0)).is_err());
}
