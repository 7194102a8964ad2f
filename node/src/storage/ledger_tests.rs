use std::collections::BTreeMap;

use super::*;
use chain_core::code::{Code, Refusal};
use chain_core::crypto::Digest;
use chain_core::execute::{AppendedLeaf, LedgerRead, Verdict};
use chain_core::id::ChainId;
use chain_core::merkle::verify_inclusion;
use jmt::storage::{LeafNode, Node, NodeKey, TreeReader};
use jmt::{JellyfishMerkleTree, KeyHash, OwnedValue, SimpleHasher, Version};

/// SHA-256 as the tree wants it, from the one place that knows the algorithm.
#[derive(Clone, Debug, Default)]
struct Hasher(Vec<u8>);

impl SimpleHasher for Hasher {
    fn new() -> Self {
        Self::default()
    }

    fn update(&mut self, data: &[u8]) {
        self.0.extend_from_slice(data);
    }

    fn finalize(self) -> [u8; 32] {
        *Digest::tagged(&[], &[&self.0]).as_bytes()
    }
}

/// A block that files `n` records and writes one state key each, the way execution does.
fn block(store: &LedgerStore, tip: &Tip, n: u64) -> (Tip, BlockResult, Vec<Listed>) {
    block_of(store, tip, n, |at| format!("leaf {at}").into_bytes())
}

fn block_of(
    store: &LedgerStore,
    tip: &Tip,
    n: u64,
    leaf: impl Fn(u64) -> Vec<u8>,
) -> (Tip, BlockResult, Vec<Listed>) {
    let view = store.execution_view();
    let height = tip.height.next();
    let mut log = store.log_frontier().unwrap();
    let first = log.size();
    let record = |at: u64| RecordId::new(Digest::tagged(b"record", &[&at.to_be_bytes()]));
    let leaves: Vec<AppendedLeaf> =
        (first..first + n).map(|at| AppendedLeaf { bytes: leaf(at), record: Some(record(at)) }).collect();
    leaves.iter().for_each(|leaf| log.push(&leaf_hash(&leaf.bytes)));
    let state: Vec<(Vec<u8>, Option<Vec<u8>>)> = (0..n)
        .map(|at| (format!("key{:03}", at % 50).into_bytes(), Some(height.get().to_be_bytes().to_vec())))
        .collect();
    let values = state.iter().map(|(key, value)| (KeyHash::with::<Hasher>(key), value.clone()));
    let (root, tree) = JellyfishMerkleTree::<_, Hasher>::new(&view)
        .put_value_set(values.collect::<Vec<_>>(), height.get())
        .unwrap();
    let outcomes = (0..n)
        .map(|at| Outcome {
            tx: TxId::new(Digest::tagged(b"tx", &[&(first + at).to_be_bytes()])),
            operation: 0,
            verdict: Verdict::Refused(Refusal::new(Code::Expired, "test")),
        })
        .collect();
    let summary = ExecSummary {
        height,
        previous: Digest::ZERO,
        log_size: log.size(),
        log_root: log.root(),
        outcomes_root: Digest::ZERO,
        state_root: Digest::new(root.0),
    };
    let listed = (first..first + n)
        .map(|leaf| Listed {
            leaf,
            record: record(leaf),
            agency: format!("uscc:{}", leaf % 2),
            record_type: "credit.licence".into(),
        })
        .collect();
    let mut next = tip.clone();
    next.height = height;
    (
        next,
        BlockResult {
            summary,
            outcomes,
            leaves,
            log,
            state,
            tree,
            scheduled: None,
            frozen: Vec::new(),
            erased: Vec::new(),
        },
        listed,
    )
}

#[test]
fn nobody_else_writes_while_somebody_does() {
    let dir = tempfile::tempdir().unwrap();
    let store = LedgerStore::open(dir.path()).unwrap();
    let writer = store.writer();
    assert!(writer.is_some());
    for _ in 0..2 {
        assert!(store.writer().is_none(), "asking for a second one does not take it from the first");
    }
    drop(writer);
    assert!(store.writer().is_some());
}

#[test]
fn a_ledger_written_block_by_block_is_read_back_whole() {
    let dir = tempfile::tempdir().unwrap();
    let store = LedgerStore::open(dir.path()).unwrap();
    let genesis = Tip::genesis(ChainId::new(Digest::ZERO), 0);
    let mut tip = genesis;
    let mut before = None;
    for n in [1, 300, 0, 7, 500] {
        let (next, result, listed) = block(&store, &tip, n);
        let transactions: Vec<(TxId, Place)> = (0..)
            .zip(&result.outcomes)
            .map(|(position, outcome)| (outcome.tx, Place { height: next.height, batch: 1, position }))
            .collect();
        let batches = [BatchRef {
            epoch: chain_core::id::Epoch::ZERO,
            author: chain_core::id::ValidatorIx::new(1),
            seq: n,
            digest: Digest::ZERO,
        }];
        before = Some(store.snapshot().unwrap());
        let block = Executed {
            tip: &next,
            result: &result,
            batches: &batches,
            transactions: &transactions,
            listed: &listed,
            certified: Height::ZERO,
        };
        store.writer().unwrap().write(&block).unwrap();
        let now = store.snapshot().unwrap();
        assert_eq!(now.height(), next.height);
        assert_eq!(now.tip().unwrap(), Some(next.clone()));
        assert_eq!(now.summary(next.height).unwrap(), Some(result.summary));
        assert_eq!(now.block_outcomes(next.height).unwrap(), result.outcomes);
        assert_eq!(now.ordered(next.height).unwrap(), batches);
        assert_eq!(now.log_size().unwrap(), result.log.size());
        for (tx, place) in &transactions {
            assert_eq!(now.place(tx).unwrap(), Some(*place));
            assert_eq!(now.outcomes(*place).unwrap()[0].tx, *tx);
        }
        tip = next;
    }
    assert_eq!(before.unwrap().height().get(), 4, "a snapshot does not move");

    let snapshot = store.snapshot().unwrap();
    let (size, root) = (808, store.log_frontier().unwrap().root());
    for index in [0, 255, 256, 300, 807] {
        let path = snapshot.inclusion(index, size).unwrap();
        let leaf = snapshot.leaf(index).unwrap().unwrap();
        assert!(verify_inclusion(&leaf_hash(&leaf), &path, &root), "leaf {index}");
    }
    assert_eq!(snapshot.leaves(806, 10).unwrap(), [b"leaf 806", b"leaf 807"]);
    assert!(snapshot.leaf(808).unwrap().is_none());

    let odd = snapshot.list(List::Agency("uscc:1"), 0, 3).unwrap();
    assert_eq!(odd.iter().map(|(leaf, _)| *leaf).collect::<Vec<_>>(), [1, 3, 5]);
    assert_eq!(snapshot.record_leaves(&odd[1].1, 0, 9).unwrap(), [3]);
    assert_eq!(snapshot.list(List::All, 800, 100).unwrap().len(), 8);
    assert_eq!(snapshot.list(List::Type("credit.penalty"), 0, 1).unwrap(), []);
    assert_eq!(snapshot.get(b"key003").unwrap(), Some(5_u64.to_be_bytes().to_vec()));
    assert_eq!(snapshot.range(b"key001", b"key004", 10).unwrap().len(), 3);
}

/// Writes a block whose header certifies the execution so many heights back.
fn write(store: &LedgerStore, next: &Tip, result: &BlockResult, listed: &[Listed], back: u64) {
    let certified = Height::new(next.height.get().saturating_sub(back));
    let block = Executed { tip: next, result, batches: &[], transactions: &[], listed, certified };
    store.writer().unwrap().write(&block).unwrap();
}

fn root_in(tree: &impl TreeReader, version: u64) -> Option<Digest> {
    let root = JellyfishMerkleTree::<_, Hasher>::new(tree).get_root_hash_option(version).unwrap();
    root.map(|root| Digest::new(root.0))
}

/// A tree with the value that [`block_of`] writes at each version; the store keeps values elsewhere.
struct Valued<'a, T>(&'a T);

impl<T: TreeReader> TreeReader for Valued<'_, T> {
    fn get_node_option(&self, key: &NodeKey) -> anyhow::Result<Option<Node>> {
        self.0.get_node_option(key)
    }

    fn get_value_option(&self, version: Version, _: KeyHash) -> anyhow::Result<Option<OwnedValue>> {
        Ok(Some(version.to_be_bytes().to_vec()))
    }

    fn get_rightmost_leaf(&self) -> anyhow::Result<Option<(NodeKey, LeafNode)>> {
        Ok(None)
    }
}

/// The version holds every key, with a proof that its root accepts.
fn proves(tree: &impl TreeReader, version: u64, root: Digest) {
    for at in 0..20 {
        let key = KeyHash::with::<Hasher>(format!("key{at:03}").as_bytes());
        let tree = Valued(tree);
        let (value, proof) =
            JellyfishMerkleTree::<_, Hasher>::new(&tree).get_with_proof(key, version).unwrap();
        proof.verify_existence(jmt::RootHash(*root.as_bytes()), key, value.unwrap()).unwrap();
    }
}

/// Versions that are kept are whole, for a reader those before too, and else nothing is left of them.
#[test]
fn old_versions_of_the_state_are_pruned_and_recent_ones_prove() {
    let dir = tempfile::tempdir().unwrap();
    let retention = Retention { heights: 5, replaced: 1_000_000 };
    let store = LedgerStore::keeping(dir.path(), retention).unwrap();
    let mut tip = Tip::genesis(ChainId::new(Digest::ZERO), 0);
    let mut roots = BTreeMap::new();
    let mut reader = None;
    for _ in 0..60 {
        let (next, result, listed) = block(&store, &tip, 20);
        write(&store, &next, &result, &listed, 10);
        roots.insert(next.height.get(), result.summary.state_root);
        tip = next;
        if tip.height.get() == 40 {
            reader = Some(store.snapshot().unwrap());
        }
    }
    let snapshot = store.snapshot().unwrap();
    assert_eq!(snapshot.oldest_state().unwrap(), Height::new(45), "five before the certified block 50");
    for version in 45..=60 {
        proves(&snapshot, version, roots[&version]);
        let value = snapshot.state_at(b"key007", Height::new(version)).unwrap();
        assert_eq!(value, Some(version.to_be_bytes().to_vec()));
        assert_eq!(
            snapshot.state_at(b"key00", Height::new(version)).unwrap(),
            None,
            "no key is part of another"
        );
    }
    assert_eq!(root_in(&store.execution_view(), 44), None, "nobody needs it");
    let reader = reader.unwrap();
    assert_eq!(reader.oldest_state().unwrap(), Height::new(25));
    for version in 25..=40 {
        proves(&reader, version, roots[&version]);
        let value = reader.state_at(b"key007", Height::new(version)).unwrap();
        assert_eq!(value, Some(version.to_be_bytes().to_vec()));
    }
    let (next, result, listed) = block(&store, &tip, 20);
    write(&store, &next, &result, &listed, 1);
    let count = |name| store.db.iterator_cf(family(&store.db, name), IteratorMode::Start).count() as u64;
    let nodes = result.tree.node_batch.nodes().len() as u64;
    assert_eq!(count("tree"), 7 * nodes, "each block writes the same 20 keys, so versions share no node");
    assert_eq!((count("stale"), count("replaced")), (6, 6 * 20));
    assert_eq!(store.kept.names.load(Ordering::Relaxed), 6 * (nodes + 20));
    assert!(store.execution_view().get_rightmost_leaf().unwrap().is_none());
}

/// However much a block replaces, and how seldom blocks are certified: what is kept has its bound, but for what nobody
/// certified yet. A store that is opened again counts the same.
#[test]
fn what_is_kept_of_the_past_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let retention = Retention { heights: 1_000, replaced: 500 };
    let mut store = LedgerStore::keeping(dir.path(), retention).unwrap();
    let mut tip = Tip::genesis(ChainId::new(Digest::ZERO), 0);
    let names = |store: &LedgerStore| store.kept.names.load(Ordering::Relaxed);
    let mut one = 0;
    for height in 1..=60 {
        let (next, result, listed) = block(&store, &tip, 20);
        write(&store, &next, &result, &listed, if height <= 40 { 100 } else { 1 });
        tip = next;
        one = result.tree.stale_node_index_batch.len() as u64 + 20;
        if height == 40 {
            assert_eq!(
                store.snapshot().unwrap().oldest_state().unwrap(),
                Height::new(1),
                "none is certified"
            );
            store.flush().unwrap();
            let counted = names(&store);
            drop(store);
            store = LedgerStore::keeping(dir.path(), retention).unwrap();
            assert!(names(&store) == counted && counted == 39 * one, "{counted}");
        }
    }
    let held = names(&store);
    assert!(held <= 500 && held + one > 500, "{held} of 500, {one} with each block");
    let oldest = store.snapshot().unwrap().oldest_state().unwrap().get();
    assert_eq!(60 - oldest, held / one);
    proves(&store.snapshot().unwrap(), oldest, root_in(&store.execution_view(), oldest).unwrap());
}

/// What a crash leaves is the folder as it is: nothing that is in memory only.
fn after_a_crash(store: &LedgerStore, dir: &Path) -> tempfile::TempDir {
    let busy = || {
        let count = |name| store.db.property_int_value(name).unwrap().unwrap_or(0);
        count("rocksdb.num-running-flushes") + count("rocksdb.mem-table-flush-pending") > 0
    };
    while busy() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let left = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), left.path().join(entry.file_name())).unwrap();
    }
    left
}

#[test]
fn a_crash_leaves_every_family_at_one_height() {
    let dir = tempfile::tempdir().unwrap();
    let store = LedgerStore::open(dir.path()).unwrap();
    let mut tip = Tip::genesis(ChainId::new(Digest::ZERO), 0);
    let mut summaries = vec![];
    // Leaves fill their memtable long before the other families fill theirs.
    for _ in 0..14 {
        let (next, result, listed) =
            block_of(&store, &tip, 2, |at| [&at.to_be_bytes()[..], &[7; 2 * 1024 * 1024]].concat());
        write(&store, &next, &result, &listed, 1);
        summaries.push(result.summary);
        tip = next;
    }
    let left = after_a_crash(&store, dir.path());
    let found = LedgerStore::open(left.path()).unwrap();
    let snapshot = found.snapshot().unwrap();
    let height = snapshot.height();
    assert!((1..14).contains(&height.get()), "{height}: something was flushed, and not everything");
    let summary = *summaries.iter().find(|one| one.height == height).unwrap();
    assert_eq!(snapshot.summary(height).unwrap(), Some(summary));
    assert!(snapshot.summary(height.next()).unwrap().is_none());
    let log = found.log_frontier().unwrap();
    assert_eq!((log.size(), log.root()), (summary.log_size, summary.log_root));
    assert!(snapshot.leaf(log.size() - 1).unwrap().is_some() && snapshot.leaf(log.size()).unwrap().is_none());
    assert_eq!(snapshot.list(List::All, 0, 100).unwrap().len() as u64, log.size());
    assert_eq!(root_in(&found.execution_view(), height.get()), Some(summary.state_root));

    store.flush().unwrap();
    let left = after_a_crash(&store, dir.path());
    let found = LedgerStore::open(left.path()).unwrap();
    assert_eq!(found.snapshot().unwrap().height(), tip.height, "after a flush nothing is lost");
}
