use super::*;
use crate::samples::{batch_header, recovery_act};
use chain_core::block::{Flags, HEADER_VERSION, Header};
use chain_core::certificate::{Rank, VoteKind};
use chain_core::crypto::{SecretKey, Signature};
use chain_core::id::{ChainId, Epoch, View};
use chain_core::recovery::SignedRecovery;

fn proposal(height: u64, view: u64) -> Proposal {
    let header = Header {
        version: HEADER_VERSION,
        chain_id: ChainId::new(Digest::ZERO),
        epoch: Epoch::ZERO,
        view: View::new(view),
        height: Height::new(height),
        parent: Digest::ZERO,
        proposer: ValidatorIx::new(0),
        time_ms: height,
        flags: Flags::NONE,
        lanes_root: Digest::ZERO,
        batches_root: Digest::ZERO,
        n_batches: 0,
        n_records: 0,
        n_bytes: 0,
        exec_height: Height::ZERO,
        exec_root: Digest::ZERO,
        history_root: Digest::ZERO,
        validators_hash: Digest::ZERO,
        next_validators_hash: Digest::ZERO,
    };
    Proposal { header, advances: Vec::new(), signature: Signature::ZERO, justification: None }
}

fn certificate(proposal: &Proposal) -> Cert {
    let rank = Rank { view: proposal.header.view, height: proposal.header.height };
    Cert::from_votes(VoteKind::Commit, Epoch::ZERO, rank, proposal.header.digest(), 4, [])
}

fn record() -> SafetyRecord {
    let key = SecretKey::from_seed([1; 32]).public();
    SafetyRecord::fresh(ChainId::new(Digest::ZERO), Epoch::ZERO, key, (Height::ZERO, Digest::ZERO))
}

fn act(epoch: u64, height: u64, reason: &str) -> SignedRecovery {
    SignedRecovery::new(recovery_act(epoch, (height, Digest::ZERO), reason), Vec::new())
}

#[test]
fn acts_outlive_the_process_and_are_found_by_epoch_and_block() {
    let dir = tempfile::tempdir().unwrap();
    {
        let store = ConsensusStore::open(dir.path()).unwrap();
        store.set_act(&act(3, 90, "wrong machines")).unwrap();
        for one in [act(3, 90, "first"), act(4, 90, "second"), act(5, 95, "third")] {
            store.set_act(&one).unwrap();
        }
    }
    let store = ConsensusStore::open(dir.path()).unwrap();
    let reasons = |acts: Vec<SignedRecovery>| acts.into_iter().map(|one| one.act.reason).collect::<Vec<_>>();
    assert!(store.act(Epoch::new(2)).unwrap().is_none());
    let at = |epoch, height| {
        reasons(store.acts_at(Epoch::new(epoch), (Height::new(height), Digest::ZERO)).unwrap())
    };
    assert_eq!(at(3, 90), ["first", "second"], "the third is of another block");
    assert_eq!(at(5, 95), ["third"]);
    assert!(at(3, 95).is_empty() && at(2, 90).is_empty());
    let between = |from, to| store.acts_between(Epoch::new(from), Epoch::new(to));
    assert_eq!(reasons(between(3, 5).unwrap()), ["first", "second"]);
    assert!(between(4, 4).unwrap().is_empty());
    assert!(between(2, 4).is_err(), "epoch 2 ended, and nobody knows how");
}

fn write(store: &ConsensusStore, entries: &[Write]) {
    let mut write = SyncedWrite::default();
    for entry in entries {
        store.add(&mut write, entry).unwrap();
    }
    store.commit(write).unwrap();
}

/// Makes blocks final, as the engine's write does, by a certificate over this one.
fn make_final(store: &ConsensusStore, blocks: &[Proposal], certified: &Proposal, suffixes: &[Header]) {
    let headers: Vec<Header> = blocks.iter().map(|block| block.header.clone()).collect();
    write_final(store, &certificate(certified), &headers, suffixes);
}

/// Makes stored blocks final, as an engine has it done.
pub(crate) fn write_final(
    store: &ConsensusStore,
    certificate: &Cert,
    blocks: &[Header],
    suffixes: &[Header],
) {
    let mut write = SyncedWrite::default();
    store.add_commit(&mut write, certificate, blocks, suffixes).unwrap();
    store.commit(write).unwrap();
}

fn batch(author: u16, seq: u64) -> (BatchRef, Batch) {
    let header = batch_header(0, author, seq);
    let reference = BatchRef::of(&header);
    let signed = SignedBatchHeader { header, signature: Signature::ZERO };
    (reference, Batch { signed, submissions: Vec::new() })
}

#[test]
fn what_was_written_comes_back_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let store = ConsensusStore::open(dir.path()).unwrap();
    assert_eq!(store.safety().unwrap(), None);
    assert_eq!(store.final_height().unwrap(), Height::ZERO);
    let blocks: Vec<Proposal> = (1..=5).map(|height| proposal(height, 0)).collect();
    let loser = proposal(2, 1);
    for block in blocks.iter().chain([&loser]) {
        write(&store, &[Write::Block(Box::new(block.clone()))]);
    }
    make_final(&store, &blocks[..2], &blocks[1], &[]);
    write(&store, &[Write::Safety(Box::new(record()))]);
    make_final(&store, &blocks[2..4], &blocks[3], &[]);
    drop(store);

    let store = ConsensusStore::open(dir.path()).unwrap();
    assert_eq!(store.safety().unwrap(), Some(record()));
    assert_eq!(store.final_height().unwrap(), Height::new(4));
    assert_eq!(store.final_blocks(Height::new(1), 100).unwrap(), blocks[..4]);
    assert_eq!(store.final_blocks(Height::new(3), 1).unwrap(), blocks[2..3]);
    assert_eq!(store.blocks_above(Height::new(4)).unwrap(), blocks[4..]);
    assert_eq!(store.block(Height::new(2), &loser.header.digest()).unwrap(), None, "losers go");
    let height_of = |found: Option<(Height, Certified)>| {
        found.inspect(|(last, one)| assert_eq!(*last, one.certificate.height)).map(|(last, _)| last.get())
    };
    assert_eq!(height_of(store.certified_from(Height::new(1)).unwrap()), Some(2));
    assert_eq!(height_of(store.certified_from(Height::new(3)).unwrap()), Some(4));
    assert_eq!(height_of(store.certified_from(Height::new(5)).unwrap()), None);
    assert_eq!(height_of(store.certified_to(Height::new(3)).unwrap()), Some(2));
    store.healthy().unwrap();
}

#[test]
fn how_an_epoch_ended_is_kept_with_its_suffixes() {
    let dir = tempfile::tempdir().unwrap();
    let store = ConsensusStore::open(dir.path()).unwrap();
    let mut closing = proposal(1, 0);
    closing.header.flags = Flags::SEAL.with(Flags::CLOSING);
    let mut suffix = proposal(2, 1);
    suffix.header.flags = Flags::SEAL.with(Flags::SUFFIX);
    write(&store, &[&closing, &suffix].map(|one| Write::Block(Box::new(one.clone()))));
    make_final(&store, std::slice::from_ref(&closing), &suffix, std::slice::from_ref(&suffix.header));
    assert_eq!(store.final_height().unwrap(), Height::new(1), "a suffix is not final");
    let (last, certified) = store.certified_from(Height::new(1)).unwrap().unwrap();
    assert_eq!((last, &certified.suffixes[..]), (Height::new(1), &[suffix.header.clone()][..]));
    let proof = store.closing(Epoch::ZERO).unwrap().unwrap();
    assert_eq!(proof.headers, [closing.header, suffix.header]);
    assert_eq!(proof.certificate, certified.certificate);
    assert_eq!(store.closing(Epoch::new(1)).unwrap(), None);
}

#[test]
fn batches_above_a_frontier_come_by_lane_and_sequence() {
    let dir = tempfile::tempdir().unwrap();
    let store = ConsensusStore::open(dir.path()).unwrap();
    for (author, seq) in [(0, 0), (0, 1), (0, 256), (1, 0), (3, 2), (3, 1)] {
        let (reference, batch) = batch(author, seq);
        store.put_batch(&reference, &encoded("batch", &batch).unwrap()).unwrap();
        assert!(store.has_batch(&reference).unwrap());
        assert_eq!(store.batch(&reference).unwrap(), Some(batch));
    }
    let mut frontier = LaneFrontier::default();
    frontier.advance(&chain_core::lane::LaneAdvance {
        author: ValidatorIx::new(0),
        seq: 0,
        tip: Digest::ZERO,
    });
    let found = |places| -> Vec<(u16, u64)> {
        let headers = store.batches_above(Epoch::ZERO, &frontier, 4, places).unwrap();
        headers.iter().map(|signed| (signed.header.author.get(), signed.header.seq)).collect()
    };
    assert_eq!(found(512), [(0, 1), (0, 256), (1, 0), (3, 1), (3, 2)]);
    assert_eq!(found(2), [(0, 1), (1, 0), (3, 1)]);
    let run = |from, to, limit| {
        let headers = store.lane_headers((Epoch::ZERO, ValidatorIx::new(0)), from, to, limit).unwrap();
        headers.iter().map(|signed| signed.header.seq).collect::<Vec<_>>()
    };
    assert_eq!(run(0, 1, 10), [0, 1]);
    assert_eq!(run(0, u64::MAX, 2), [0, 1]);
    assert_eq!(run(1, 256, 10), [1, 256]);
    assert_eq!(run(257, u64::MAX, 10), [0_u64; 0], "not the next lane");
}

#[test]
fn b11_a_damaged_safety_record_is_corrupt_not_absent() {
    let dir = tempfile::tempdir().unwrap();
    let store = ConsensusStore::open(dir.path()).unwrap();
    write(&store, &[Write::Safety(Box::new(record()))]);
    let mut bytes = store.bytes("safety", RECORD).unwrap().unwrap();
    bytes[60] ^= 1;
    store.db.put_cf(family(&store.db, "safety"), RECORD, &bytes).unwrap();
    let error = store.safety().unwrap_err();
    assert_eq!(error.refusal().code, chain_core::code::Code::StorageCorrupt);
    store.db.put_cf(family(&store.db, "safety"), RECORD, b"x").unwrap();
    store.safety().unwrap_err();
}

/// The write-ahead log of a store that was given this many blocks, one synced write each, and then lost power.
fn filled(dir: &Path, blocks: u64) -> std::path::PathBuf {
    let store = ConsensusStore::open(dir).unwrap();
    for height in 1..=blocks {
        write(&store, &[Write::Block(Box::new(proposal(height, 0)))]);
    }
    drop(store);
    let mut files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| path.extension().is_some_and(|end| end == "log")).unwrap()
}

/// How many blocks a store still holds: all up to a height and none above, or it does not open.
fn prefix(dir: &Path, what: &str) -> Option<usize> {
    let blocks = ConsensusStore::open(dir).ok()?.blocks_above(Height::ZERO).ok()?;
    let heights: Vec<u64> = blocks.iter().map(|block| block.header.height.get()).collect();
    let whole: Vec<u64> = (1..=heights.len() as u64).collect();
    assert_eq!(heights, whole, "{what}: a later write without an earlier one");
    Some(heights.len())
}

/// Short writes and a tail that a lying disk lost after it had said that it was safe: what remains is all up to
/// some write. That it is less than was signed, the high-water mark beside the store tells.
#[test]
fn b11_a_log_that_ends_early_is_a_store_of_an_earlier_moment() {
    let (mut least, mut most) = (usize::MAX, 0);
    for cut in [0, 1, 6, 7, 8, 100, 479, 1_000, 4_096, 20_000, 32_768, 50_000] {
        let dir = tempfile::tempdir().unwrap();
        let path = filled(dir.path(), 200);
        let length = std::fs::metadata(&path).unwrap().len();
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length - cut).unwrap();
        let left = prefix(dir.path(), &format!("{cut} bytes short")).unwrap();
        (least, most) = (least.min(left), most.max(left));
    }
    assert!(most == 200 && least < 150, "{least} to {most}");
}

/// After a power cut a file can be as long as its last write, with pages of it that were never written.
#[test]
fn b11_a_log_whose_last_pages_were_never_written_is_a_store_of_an_earlier_moment() {
    for zeros in [1_000, 4_096, 12_288] {
        let dir = tempfile::tempdir().unwrap();
        let path = filled(dir.path(), 200);
        let mut bytes = std::fs::read(&path).unwrap();
        let written = bytes.len() - zeros;
        bytes[written..].fill(0);
        std::fs::write(&path, bytes).unwrap();
        let left = prefix(dir.path(), &format!("{zeros} zeros")).unwrap();
        assert!((150..200).contains(&left), "{zeros} zeros: {left}");
    }
}

#[test]
fn b11_a_flipped_bit_ends_the_log_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = filled(dir.path(), 200);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    std::fs::write(&path, bytes).unwrap();
    let left = prefix(dir.path(), "a flipped bit").unwrap();
    assert!((90..110).contains(&left), "{left}");
}

/// A page in the middle that was never written, or holds what belongs to another place.
#[test]
fn b11_a_page_lost_or_misplaced_in_the_log_is_never_skipped() {
    let page = 4_096;
    for (at, from) in
        [(3, None), (5, None), (9, None), (3, Some(1)), (6, Some(2)), (2, Some(9)), (8, Some(16))]
    {
        let dir = tempfile::tempdir().unwrap();
        let path = filled(dir.path(), 200);
        let mut bytes = std::fs::read(&path).unwrap();
        let other = from.map_or(vec![0; page], |from: usize| bytes[from * page..(from + 1) * page].to_vec());
        bytes[at * page..(at + 1) * page].copy_from_slice(&other);
        std::fs::write(&path, bytes).unwrap();
        let left = prefix(dir.path(), &format!("page {at} holds {from:?}"));
        assert!(left.is_none_or(|left| left < 200), "page {at} holds {from:?}: {left:?}");
    }
}
