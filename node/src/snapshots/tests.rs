//! A small chain with its ledger, and when its snapshots are taken, kept and removed.

use super::*;
use crate::datadir::Identity;
use crate::samples::validator;
use crate::storage::consensus::tests::write_final;
use crate::storage::consensus::{ConsensusStore, SyncedWrite};
use crate::storage::ledger::{Executed, Place};
use chain_core::block::{ExecSummary, Flags, HEADER_VERSION, Header, batches_root, lanes_root};
use chain_core::certificate::{Cert, Rank, VoteKind};
use chain_core::committee::{Committee, Validator};
use chain_core::crypto::{Digest, SecretKey, Signature};
use chain_core::execute::{AppendedLeaf, BlockResult, LedgerRead as _, Outcome, outcomes_root};
use chain_core::id::{ChainId, Epoch, RecordId, TxId, ValidatorIx, View};
use chain_core::lane::BatchRef;
use chain_core::layout::Layout as _;
use chain_core::merkle::{Frontier, leaf_hash};
use chain_core::recovery::{RecoveryAct, RecoveryKey, RecoveryKeys, SignedRecovery};
use chain_core::state::{EpochEntry, key, tree};
use chain_core::subject::{IndexEntry, Listing, SubjectKey};
use chain_core::vrf::VrfSecret;
use consensus::Write;
use consensus::engine::Tip;
use consensus::message::Proposal;
use jmt::KeyHash;

/// The last block of epoch 0.
pub(crate) const BASE: u64 = 6;
/// The newest block.
pub(crate) const NEWEST: u64 = BASE + 3;

/// How epoch 0 ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    /// By a closing block.
    Closed,
    /// By an act of recovery.
    Act,
}

/// What is not as it was agreed, in a ledger that is whole in itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Forged {
    /// It is.
    Nothing,
    /// The leaves of the record log.
    Leaves,
    /// The values of the state.
    State,
}

/// What is agreed after the base, and who signed it.
pub(crate) struct Plan<'a> {
    /// The heights that the next three headers certify.
    pub(crate) exec: [u64; 3],
    /// How many of them there are.
    pub(crate) blocks: usize,
    /// What is wrong with a header.
    pub(crate) change: &'a dyn Fn(&mut Header),
    /// Which members of epoch 1's set made the newest block final.
    pub(crate) signers: &'a [u8],
    /// Which members of the first set ended epoch 0.
    pub(crate) closers: &'a [u8],
    /// Which recovery keys did.
    pub(crate) savers: &'a [u8],
    /// Who votes in epoch 1.
    pub(crate) second: Committee,
}

impl Default for Plan<'_> {
    fn default() -> Self {
        let second = set(1, 1..5);
        Self {
            exec: [5, 6, 7],
            blocks: 3,
            change: &|_| {},
            signers: &[1, 2, 3],
            closers: &[0, 1, 2],
            savers: &[0, 2],
            second,
        }
    }
}

/// A data directory with the ledger of the chain up to [`NEWEST`] and a snapshot of [`BASE`].
pub(crate) struct World {
    _dir: tempfile::TempDir,
    pub(crate) data: DataDir,
    pub(crate) chain_id: ChainId,
    pub(crate) first: Committee,
    pub(crate) recovery_keys: RecoveryKeys,
    end: End,
    /// The chain after each height of epoch 0.
    tips: Vec<Tip>,
    blocks: Vec<Proposal>,
    summaries: Vec<ExecSummary>,
}

pub(crate) fn set(epoch: u64, members: std::ops::Range<u8>) -> Committee {
    let member = |at| Validator { address: "/ip4/127.0.0.1/tcp/7101".to_owned(), ..validator(at) };
    Committee::new(Epoch::new(epoch), members.map(member).collect()).unwrap()
}

/// The consensus key of [`validator`].
pub(crate) fn secret(at: u8) -> SecretKey {
    SecretKey::from_seed([16 + at; 32])
}

fn saver(at: u8) -> SecretKey {
    SecretKey::from_seed([64 + at; 32])
}

impl World {
    /// Records in each block.
    pub(crate) const RECORDS: u64 = 40;

    pub(crate) fn new(end: End) -> Self {
        Self::of(end, Self::RECORDS)
    }

    /// With so many records in each block.
    pub(crate) fn of(end: End, records: u64) -> Self {
        Self::made(end, records, Forged::Nothing)
    }

    /// With something else in the ledger than what was filed.
    pub(crate) fn made(end: End, records: u64, forged: Forged) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::at(dir.path());
        let savers = (0..3).map(|at| RecoveryKey {
            name: format!("safe-{at}"),
            agency: format!("register:CN-T:{at}").parse().unwrap(),
            key: saver(at).public(),
        });
        let chain_id = ChainId::new(Digest::tagged(b"chain", &[]));
        let mut world = Self {
            data,
            chain_id,
            first: set(0, 0..4),
            recovery_keys: RecoveryKeys::new(2, savers.collect()).unwrap(),
            end,
            tips: vec![Tip::genesis(chain_id, 0)],
            blocks: Vec::new(),
            summaries: Vec::new(),
            _dir: dir,
        };
        let ledger = LedgerStore::open(&world.data.ledger()).unwrap();
        for height in 0..=NEWEST {
            let tip = world.tip(height);
            let result = execute(&ledger, &tip, records, world.entry_at(height), forged);
            world.summaries.push(result.summary);
            write(&ledger, &tip, &result);
            if height == 0 {
                ledger.set_chain(chain_id.digest().as_bytes()).unwrap();
            }
            if height == BASE {
                Snapshots::of(&world.data).keep(&ledger, Height::new(BASE)).unwrap();
            }
        }
        ledger.flush().unwrap();
        world
    }

    pub(crate) fn snapshot(&self) -> PathBuf {
        Snapshots::of(&self.data).path(Height::new(BASE))
    }

    /// The chain as the ledger has it after a height.
    fn tip(&mut self, height: u64) -> Tip {
        if height > 0 && self.tips.len() as u64 == height {
            let plan = Plan::default();
            let exec = match height.checked_sub(BASE + 1) {
                Some(at) => plan.exec[usize::try_from(at).unwrap()],
                None => height.saturating_sub(2),
            };
            let before = self.tips.last().unwrap().clone();
            let block = self.block(&before, exec, &plan);
            self.tips.push(before.after(&block));
            self.blocks.push(block);
        }
        self.tips[usize::try_from(height).unwrap()].clone()
    }

    fn entry_at(&self, height: u64) -> Option<EpochEntry> {
        let entry = |current| EpochEntry {
            current,
            base_height: Height::new(height),
            // Ledgers that differ in one thing must not differ in this one.
            base_digest: Digest::ZERO,
            scheduled: None,
            names: Vec::new(),
            changes: 0,
        };
        match (height, self.end) {
            (0, _) => Some(entry(self.first.clone())),
            (BASE, End::Closed) => Some(entry(Plan::default().second)),
            _ => None,
        }
    }

    fn block(&self, parent: &Tip, exec: u64, plan: &Plan<'_>) -> Proposal {
        let height = parent.height.next();
        let (epoch, set) = if height.get() > BASE { (1, &plan.second) } else { (0, &self.first) };
        let closing = height.get() == BASE && self.end == End::Closed;
        let root = match exec {
            0 => Digest::ZERO,
            exec => self.summaries[usize::try_from(exec).unwrap()].root(),
        };
        let mut header = Header {
            version: HEADER_VERSION,
            chain_id: self.chain_id,
            epoch: Epoch::new(epoch),
            view: View::ZERO,
            height,
            parent: parent.digest,
            proposer: ValidatorIx::new(0),
            time_ms: height.get() * 1_000,
            flags: if closing { Flags::SEAL.with(Flags::CLOSING) } else { Flags::SEAL },
            lanes_root: lanes_root(&[]),
            batches_root: batches_root(&[]),
            n_batches: 0,
            n_records: 0,
            n_bytes: 0,
            exec_height: Height::new(exec),
            exec_root: root,
            history_root: parent.history.root(),
            validators_hash: set.hash(),
            next_validators_hash: if closing { plan.second.hash() } else { set.hash() },
        };
        if height.get() > BASE {
            (plan.change)(&mut header);
        }
        let leads = |at: &u8| set.index_of(&secret(*at).public()) == Some(header.proposer);
        let signature = (0..5).find(leads).map_or(Signature::ZERO, |at| secret(at).sign(&header.proposal()));
        Proposal { header, advances: Vec::new(), signature, justification: None }
    }

    pub(crate) fn certificate(&self, header: &Header, set: &Committee, signers: &[u8]) -> Cert {
        let rank = Rank { view: header.view, height: header.height };
        let digest = header.digest();
        let empty = Cert::from_votes(VoteKind::Commit, header.epoch, rank, digest, set.size(), []);
        let slot = empty.slot(self.chain_id);
        let mut votes: Vec<_> = signers
            .iter()
            .filter_map(|at| Some((set.index_of(&secret(*at).public())?, secret(*at).sign(&slot))))
            .collect();
        votes.sort_by_key(|(signer, _)| *signer);
        Cert::from_votes(VoteKind::Commit, header.epoch, rank, digest, set.size(), votes)
    }

    /// A consensus store in which the chain went on after the base by a plan, beside the data directory's own.
    pub(crate) fn consensus(&self, plan: &Plan<'_>) -> (tempfile::TempDir, ConsensusStore) {
        let dir = tempfile::tempdir().unwrap();
        let store = ConsensusStore::open(dir.path()).unwrap();
        self.write_consensus(&store, plan);
        (dir, store)
    }

    /// Makes the data directory that of a validator, with the chain in its own consensus store, and a safety record.
    pub(crate) fn initialise(&self) -> Identity {
        let identity = Identity::new(self.chain_id, secret(0).public());
        identity.write_to(self.data.path()).unwrap();
        let store = ConsensusStore::open(&self.data.consensus()).unwrap();
        self.write_consensus(&store, &Plan::default());
        identity.lay_down_record(&store).unwrap();
        identity
    }

    fn write_consensus(&self, store: &ConsensusStore, plan: &Plan<'_>) {
        let base = usize::try_from(BASE).unwrap();
        let mut blocks: Vec<Proposal> = self.blocks[..base].to_vec();
        let mut tip = self.tips[base].clone();
        for exec in &plan.exec[..plan.blocks] {
            let block = self.block(&tip, *exec, plan);
            tip = tip.after(&block);
            blocks.push(block);
        }
        let mut write = SyncedWrite::default();
        for block in &blocks {
            store.add(&mut write, &Write::Block(Box::new(block.clone()))).unwrap();
        }
        store.commit(write).unwrap();
        let headers: Vec<Header> = blocks.iter().map(|block| block.header.clone()).collect();
        let (before, after) = headers.split_at(base);
        let certificate = self.certificate(before.last().unwrap(), &self.first, plan.closers);
        write_final(store, &certificate, before, &[]);
        if self.end == End::Act {
            let base = &self.tips[base];
            let act = RecoveryAct {
                chain_id: self.chain_id,
                epoch: Epoch::ZERO,
                height: base.height,
                block_digest: base.digest,
                next: plan.second.clone(),
                reason: "two machine rooms burnt".to_owned(),
                time_ms: 1,
            };
            let signatures = plan.savers.iter().map(|at| act.sign(&saver(*at))).collect();
            store.set_act(&SignedRecovery::new(act, signatures)).unwrap();
        }
        if let Some(last) = after.last() {
            let certificate = self.certificate(last, &plan.second, plan.signers);
            write_final(store, &certificate, after, &[]);
        }
    }
}

/// What a block of so many records gives, each with an entry of the state and one of an index.
fn execute(
    ledger: &LedgerStore,
    tip: &Tip,
    records: u64,
    entry: Option<EpochEntry>,
    forged: Forged,
) -> BlockResult {
    let leaf = if forged == Forged::Leaves { "forged" } else { "leaf" };
    let repeated = if forged == Forged::State { 11 } else { 12 };
    let mut log = ledger.log_frontier().unwrap();
    let first = log.size();
    let record = |at: u64| RecordId::new(Digest::tagged(b"record", &[&at.to_be_bytes()]));
    let leaves: Vec<AppendedLeaf> = (first..first + records)
        .map(|at| AppendedLeaf { bytes: format!("{leaf} {at}").into_bytes(), record: Some(record(at)) })
        .collect();
    leaves.iter().for_each(|leaf| log.push(&leaf_hash(&leaf.bytes)));
    let mut state = Vec::new();
    for at in first..first + records {
        state.push((key::record(&record(at)), Some(at.to_be_bytes().repeat(repeated))));
        state.push(([&[0x81], &record(at).digest().as_bytes()[..]].concat(), Some(Vec::new())));
    }
    state.extend(entry.map(|entry| (key::epoch(), Some(entry.to_canonical()))));
    result_of(ledger, tip, state, leaves, log)
}

/// What follows from entries of the state and leaves.
pub(crate) fn result_of(
    ledger: &LedgerStore,
    tip: &Tip,
    state: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    leaves: Vec<AppendedLeaf>,
    log: Frontier,
) -> BlockResult {
    let view = ledger.execution_view();
    let (state_root, tree) = tree::update(&view, tip.height, tree::entries(&state)).unwrap();
    let outcomes = vec![Outcome {
        tx: TxId::new(Digest::tagged(b"tx", &[&tip.height.get().to_be_bytes()])),
        operation: 0,
        verdict: chain_core::execute::Verdict::Refused(Refusal::new(chain_core::code::Code::Expired, "test")),
    }];
    let below = tip.height.get().checked_sub(1).and_then(|below| {
        let snapshot = ledger.snapshot().unwrap();
        snapshot.summary(Height::new(below)).unwrap()
    });
    let summary = ExecSummary {
        height: tip.height,
        previous: below.map_or(Digest::ZERO, |below| below.root()),
        log_size: log.size(),
        log_root: log.root(),
        outcomes_root: outcomes_root(&outcomes),
        state_root,
    };
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
    }
}

fn write(ledger: &LedgerStore, tip: &Tip, result: &BlockResult) {
    let place = Place { height: tip.height, batch: 0, position: 0 };
    let block = Executed {
        tip,
        result,
        batches: &[] as &[BatchRef],
        transactions: &[(result.outcomes[0].tx, place)],
        listed: &[],
        certified: Height::new(tip.height.get().saturating_sub(2)),
    };
    ledger.writer().unwrap().write(&block).unwrap();
}

fn height_of(path: &std::path::Path) -> u64 {
    let store = LedgerStore::open_read_only(path).unwrap();
    store.snapshot().unwrap().height().get()
}

#[test]
fn a_snapshot_holds_the_ledger_of_its_height_and_nothing_later() {
    let world = World::new(End::Closed);
    assert_eq!(height_of(&world.snapshot()), BASE);
    assert_eq!(height_of(&world.data.ledger()), NEWEST);
    let files = |path: &std::path::Path| fs::read_dir(path).unwrap().count();
    let before = files(&world.snapshot());
    assert_eq!(height_of(&world.snapshot()), BASE);
    assert_eq!(files(&world.snapshot()), before, "looking at it leaves nothing behind");
}

#[test]
fn the_newest_two_and_the_one_that_is_fetched_are_kept_and_none_is_taken_twice() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::at(dir.path());
    let ledger = LedgerStore::open(&data.ledger()).unwrap();
    let snapshots = Snapshots::of(&data);
    assert_eq!(snapshots.heights(), Ok(Vec::new()));
    let mut tip = Tip::genesis(ChainId::new(Digest::ZERO), 0);
    for height in 0..=11 {
        tip.height = Height::new(height);
        let result = execute(&ledger, &tip, 3, None, Forged::Nothing);
        write(&ledger, &tip, &result);
        if height < 8 {
            continue;
        }
        assert_eq!(snapshots.take(&ledger, tip.height), Ok(true), "{height}");
        assert_eq!(snapshots.take(&ledger, tip.height), Ok(false), "{height}");
        // One that is being fetched stays, and nobody can make it two.
        snapshots.hold(Height::new(8), Instant::now());
        snapshots.hold(Height::new(9), Instant::now());
    }
    assert_eq!(snapshots.heights(), Ok([8, 10, 11].map(Height::new).to_vec()));
    assert_eq!(snapshots.names().unwrap().len(), 3);
    // Its last question counts, and a minute later it is as any other.
    let last = Instant::now();
    snapshots.hold(Height::new(8), last);
    snapshots.remove_old(last + HELD - Duration::from_millis(1)).unwrap();
    assert_eq!(snapshots.heights(), Ok([8, 10, 11].map(Height::new).to_vec()));
    snapshots.remove_old(last + HELD).unwrap();
    assert_eq!(snapshots.heights(), Ok([10, 11].map(Height::new).to_vec()));
    snapshots.hold(Height::new(10), last + HELD);
    assert_eq!(snapshots.held(last + HELD), Some(Height::new(10)), "another one's turn");
    assert_eq!(height_of(&snapshots.path(Height::new(10))), 10);

    // All go when something in them must, unless the files that they are linked with cannot be written anew.
    let failed = || Err(Refusal::new(chain_core::code::Code::StorageFailed, "the disk is full"));
    assert!(snapshots.forget(failed).is_err());
    assert_eq!(snapshots.heights().unwrap().len(), 2);
    snapshots.forget(|| ledger.scrub_links().map_err(|error| error.refusal())).unwrap();
    assert_eq!(snapshots.names(), Ok(Vec::new()));
    assert_eq!(snapshots.take(&ledger, Height::new(11)), Ok(true));
}

#[test]
fn what_a_crash_left_is_removed_and_nothing_else() {
    let world = World::new(End::Closed);
    let snapshots = Snapshots::of(&world.data);
    let folder = world.data.path().join("snapshots");
    for name in ["taking-9", "taking-9.tmp", "removing-3"] {
        fs::create_dir(folder.join(name)).unwrap();
        fs::write(folder.join(name).join("CURRENT"), "half").unwrap();
    }
    fs::write(folder.join("notes of the operator"), "keep").unwrap();
    assert_eq!(snapshots.heights(), Ok(vec![Height::new(BASE)]), "half a snapshot is none");
    snapshots.tidy().unwrap();
    let mut names = snapshots.names().unwrap();
    names.sort();
    assert_eq!(names, ["6", "notes of the operator"]);
}

#[test]
fn a_snapshot_that_cannot_be_taken_stops_nothing_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::at(dir.path());
    let ledger = LedgerStore::open(&data.ledger()).unwrap();
    let snapshots = Snapshots::of(&data);
    let folder = data.path().join("snapshots");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("taking-7"), "in the way").unwrap();
    snapshots.keep(&ledger, Height::new(7)).unwrap();
    assert_eq!(snapshots.heights(), Ok(Vec::new()));
    let told = snapshots.last_failure().unwrap();
    assert!(told.starts_with("block 7: ") && told.contains("STORAGE_FAILED"), "{told}");
    fs::remove_file(folder.join("taking-7")).unwrap();
    snapshots.keep(&ledger, Height::new(7)).unwrap();
    assert_eq!((snapshots.heights(), snapshots.last_failure()), (Ok(vec![Height::new(7)]), None));
}

#[test]
fn what_the_state_forgets_its_tree_forgets_too() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = LedgerStore::open(dir.path()).unwrap();
    let mut tip = Tip::genesis(ChainId::new(Digest::ZERO), 0);
    let mut root = tree::EMPTY_ROOT;
    // As execution does: the sets of the last two epochs stand in the state.
    for epoch in 0..5_u64 {
        tip.height = Height::new(epoch);
        let current = set(epoch, 0..4);
        let mut state = vec![(key::set_of(Epoch::new(epoch)), Some(current.to_canonical()))];
        if let Some(past) = epoch.checked_sub(2) {
            state.push((key::set_of(Epoch::new(past)), None));
        }
        let result = result_of(&ledger, &tip, state, Vec::new(), Frontier::default());
        write(&ledger, &tip, &result);
        root = result.summary.state_root;
    }
    let snapshot = ledger.snapshot().unwrap();
    let contents = snapshot.recompute(&root).unwrap();
    assert_eq!((contents.summary.state_root, contents.entries), (root, 2));
    let past = tree::prove(&snapshot, tip.height, &key::set_of(Epoch::new(2))).unwrap();
    assert!(past.shows_absence(&root, &key::set_of(Epoch::new(2))));
}

/// Three records listed, one of them no longer: the index is what the ledger itself remembers of listed records, and its
/// stored nodes lead to its root.
#[test]
fn the_index_of_subjects_is_held_against_what_it_lists() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = LedgerStore::open(dir.path()).unwrap();
    let index_key = SubjectKey::new(ChainId::new(Digest::ZERO), VrfSecret::from_seed(&[3; 32]));
    let tag = index_key.tag(&"register:GB-COH:1".parse().unwrap());
    let record = |at: u8| RecordId::new(Digest::tagged(b"record", &[&[at]]));
    let listing = |at: u8| Listing::new(tag, Some(Digest::tagged(b"salt", &[&[at]])));
    let mut tip = Tip::genesis(ChainId::new(Digest::ZERO), 0);
    let mut entry = IndexEntry::empty(index_key.public());
    let mut root = tree::EMPTY_ROOT;
    let place = |at: u8| KeyHash(*listing(at).place(&record(at)).as_bytes());
    let blocks: [(u64, Vec<u8>, Option<u8>); 3] =
        [(0, vec![1, 2], None), (1, Vec::new(), Some(1)), (2, vec![3], None)];
    for (height, new, gone) in blocks {
        tip.height = Height::new(height);
        let mut changes: Vec<tree::TreeWrite> =
            new.iter().map(|&at| (place(at), Some(listing(at).value(&record(at))))).collect();
        changes.extend(gone.map(|at| (place(at), None)));
        let view = ledger.execution_view();
        let (index_root, nodes) = tree::update_index(&view, entry.changes, changes).unwrap();
        entry = IndexEntry { changes: entry.changes + 1, root: index_root, ..entry };
        let one = 1_u32.to_canonical();
        let mut state = vec![(key::index(), Some(entry.to_canonical()))];
        for at in new {
            state.push((key::listing(&record(at), 1), Some(listing(at).to_canonical())));
            state.push((key::listed(&record(at)), Some(one.clone())));
            state.push((key::listed_under(&tag, &record(at)), Some(one.clone())));
        }
        if let Some(at) = gone {
            state.push((key::listing(&record(at), 1), None));
            state.push((key::listed(&record(at)), None));
            state.push((key::listed_under(&tag, &record(at)), None));
        }
        let mut result = result_of(&ledger, &tip, state, Vec::new(), Frontier::default());
        result.tree.node_batch.extend(nodes.node_batch.nodes().clone(), nodes.node_batch.values().clone());
        result.tree.stale_node_index_batch.extend(nodes.stale_node_index_batch);
        write(&ledger, &tip, &result);
        root = result.summary.state_root;
    }
    let snapshot = ledger.snapshot().unwrap();
    assert_eq!(snapshot.recompute(&root).unwrap().listed, Some(2));
    assert_eq!(snapshot.index_after(Height::new(2)).unwrap(), Some(entry));
    assert_eq!(snapshot.index_after(Height::new(9)).unwrap(), None);
    // Every key that was ever listed, as far as it is remembered, for proofs of how things stood.
    let prefix = key::all_listed_under(&tag);
    assert_eq!(snapshot.keys_ever(&prefix, prefix.len() + 32, 10).unwrap().len(), 3);
    drop(snapshot);

    // What the ledger remembers otherwise than the index says is found, whatever it is.
    let listed = |at: u8| key::listed(&record(at));
    for (what, change) in [
        ("one forgotten", (listed(2), None)),
        ("one more", (listed(1), Some(1_u32.to_canonical()))),
        ("another salt", (key::listing(&record(2), 1), Some(listing(3).to_canonical()))),
        ("not under its subject", (key::listed_under(&tag, &record(3)), None)),
    ] {
        let before = ledger.snapshot().unwrap().get(&change.0).unwrap();
        ledger.put_raw("state", &change.0, change.1.as_deref());
        let refused = ledger.snapshot().unwrap().recompute(&root).unwrap_err().to_string();
        assert!(refused.contains("index of subjects"), "{what}: {refused}");
        ledger.put_raw("state", &change.0, before.as_deref());
    }
    assert!(ledger.snapshot().unwrap().recompute(&root).is_ok());
}
