//! Letting go of old blocks: what goes is in no file, what stays is whole.

use std::path::Path;

use super::*;
use crate::samples::batch_header;
use crate::storage::consensus::tests::write_final;
use chain_core::block::HEADER_VERSION;
use chain_core::certificate::{Cert, Rank, VoteKind};
use chain_core::crypto::{Digest, Signature};
use chain_core::id::{ChainId, Epoch, ValidatorIx, View};
use chain_core::lane::LaneAdvance;
use consensus::message::Proposal;

const BLOCKS: u64 = 40;
/// The block that ends epoch 0.
const CLOSING: u64 = 10;

/// What the batch of a block holds besides noise.
fn canary(height: u64) -> String {
    format!("canary of block {height}.")
}

/// The only batch that a block orders.
fn name(height: u64) -> BatchRef {
    let (epoch, seq) = if height > CLOSING { (1, height - CLOSING - 1) } else { (0, height - 1) };
    BatchRef::of(&batch_header(epoch, 2, seq))
}

fn ordered(height: Height) -> Result<Vec<BatchRef>, StorageError> {
    Ok(vec![name(height.get())])
}

fn block(height: u64) -> Proposal {
    let name = name(height);
    let header = Header {
        version: HEADER_VERSION,
        chain_id: ChainId::new(Digest::ZERO),
        epoch: name.epoch,
        view: View::ZERO,
        height: Height::new(height),
        parent: Digest::ZERO,
        proposer: ValidatorIx::new(0),
        time_ms: height,
        flags: if height == CLOSING { Flags::SEAL.with(Flags::CLOSING) } else { Flags::NONE },
        lanes_root: Digest::ZERO,
        batches_root: Digest::ZERO,
        n_batches: 1,
        n_records: 0,
        n_bytes: 0,
        exec_height: Height::ZERO,
        exec_root: Digest::ZERO,
        history_root: Digest::ZERO,
        validators_hash: Digest::ZERO,
        next_validators_hash: Digest::ZERO,
    };
    let advances = vec![LaneAdvance { author: name.author, seq: name.seq, tip: name.digest }];
    Proposal { header, advances, signature: Signature::ZERO, justification: None }
}

/// A store of forty final blocks, each certified, each with a batch.
fn filled(dir: &Path) -> ConsensusStore {
    let store = ConsensusStore::open(dir).unwrap();
    for height in 1..=BLOCKS {
        let block = block(height);
        let mut write = SyncedWrite::default();
        store.add(&mut write, &Write::Block(Box::new(block.clone()))).unwrap();
        let bytes = canary(height).repeat(200).into_bytes();
        store.add_batch(&mut write, &name(height), &bytes);
        store.commit(write).unwrap();
        let rank = Rank { view: View::ZERO, height: block.header.height };
        let digest = block.header.digest();
        let certificate = Cert::from_votes(VoteKind::Commit, block.header.epoch, rank, digest, 4, []);
        write_final(&store, &certificate, &[block.header], &[]);
    }
    store
}

/// Whether any file of a store holds some bytes.
fn holds(dir: &Path, wanted: &str) -> bool {
    std::fs::read_dir(dir).unwrap().any(|entry| {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        bytes.windows(wanted.len()).any(|window| window == wanted.as_bytes())
    })
}

/// The store keeps these blocks and no earlier one.
fn keeps_from(store: &ConsensusStore, dir: &Path, first: u64) {
    assert_eq!(store.first().unwrap(), Height::new(first));
    for height in 1..=BLOCKS {
        let found = store.final_block(Height::new(height)).unwrap();
        assert_eq!(found.is_some(), height + 1 >= first, "block {height}, kept from {first}");
        assert_eq!(store.has_batch(&name(height)).unwrap(), height >= first, "batch of block {height}");
    }
    assert!(!holds(dir, &canary(first - 1)), "what went is in a file");
    assert!(holds(dir, &canary(first)), "what stays is not");
    assert_eq!(store.final_height().unwrap(), Height::new(BLOCKS));
    let run = store.run_from(Height::new(first)).unwrap().unwrap();
    assert_eq!(run.blocks[0].header.height.get(), first);
    assert!(store.run_from(Height::new(first - 2)).unwrap().is_none(), "blocks that are gone");
    assert!(store.closing(Epoch::ZERO).unwrap().is_some(), "how an epoch ended");
}

#[test]
fn old_blocks_go_from_every_file_and_later_ones_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    assert_eq!(
        (store.first().unwrap(), store.first_lanes().unwrap()),
        (Height::new(1), LaneFrontier::default())
    );
    assert!(holds(dir.path(), &canary(1)), "the control");
    // (to, lane of the author before it, blocks that go)
    for (to, lane, gone) in [(7, 6, 6), (11, 0, 4), (21, 10, 10), (21, 10, 0), (15, 10, 0)] {
        let pruned = store.prune(Height::new(to), ordered).unwrap();
        let first = to.max(pruned.from.get());
        assert_eq!((pruned.to.get(), pruned.blocks, pruned.batches), (first, gone, gone), "to {to}");
        keeps_from(&store, dir.path(), first);
        assert_eq!(store.first_lanes().unwrap().next_seq(ValidatorIx::new(2)), lane, "to {to}");
    }
    drop(store);
    keeps_from(&ConsensusStore::open(dir.path()).unwrap(), dir.path(), 21);
}

#[test]
fn what_a_crash_left_of_old_blocks_goes_with_the_next_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    store.set_first(Height::new(21), store.lanes_before(Height::new(21)).unwrap()).unwrap();
    assert!(store.final_block(Height::new(3)).unwrap().is_some());
    let pruned = store.prune(Height::new(21), ordered).unwrap();
    assert_eq!(pruned.batches, 20);
    keeps_from(&store, dir.path(), 21);
}

#[test]
fn a_store_that_begins_above_a_block_is_laid_down_whole() {
    let (full, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = filled(full.path());
    let base = Height::new(15);
    let mut lanes = LaneFrontier::default();
    lanes.advance(&block(15).advances[0]);
    let store = ConsensusStore::open(dir.path()).unwrap();
    store.found(base, lanes.clone(), &[source.run_from(base).unwrap().unwrap()]).unwrap();
    drop(store);
    let store = ConsensusStore::open(dir.path()).unwrap();
    assert_eq!((store.first().unwrap(), store.first_lanes().unwrap()), (Height::new(16), lanes));
    assert!(
        store.final_block(base).unwrap().is_some() && store.final_block(Height::new(14)).unwrap().is_none()
    );
    assert_eq!(store.final_height().unwrap(), Height::new(BLOCKS));
    assert!(store.certified_from(base).unwrap().is_some());
}
