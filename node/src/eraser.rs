//! The eraser thread: bodies that the ledger orders to be destroyed go from every file of this node.
//!
//! An order comes with the block that completes it, in the ledger store's own write, and stays noted there until the bodies
//! are gone and the ledger holds this validator's word for it, so that no crash loses one. Batches keep their records;
//! bodies and salts are taken out, what the operations came to is put beside them for whoever must execute the block
//! again, and the files in which the old bytes stood are written anew. Bodies about persons go from the vault with their
//! keys, and the copies of these from beside the backups, before this validator says that anything is gone. See
//! `docs/adr/0012-bodies-that-are-gone.md` and `docs/adr/0027-keys-of-vaulted-bodies-beside-the-backups.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chain_core::code::{Code, Refusal};
use chain_core::codec::encode;
use chain_core::crypto::{Digest, SecretKey};
use chain_core::execute::LedgerRead as _;
use chain_core::id::RecordId;
use chain_core::lane::BatchRef;
use chain_core::layout::Layout as _;
use chain_core::leaf::Leaf;
use chain_core::operation::Operation;
use chain_core::record::SubjectKind;
use chain_core::state::{BodyPlace, ErasureEntry, key};
use chain_core::transaction::{Submission, TRANSACTION_VERSION, Transaction};

use crate::backup::Shelf;
use crate::driver::batches::payload_bytes;
use crate::driver::core::Core;
use crate::driver::hooks::{Point, hit};
use crate::driver::intake::Queued;
use crate::storage::StorageError;
use crate::storage::consensus::{Recorded, SyncedWrite};
use crate::storage::ledger::{Erasure, Place, Snapshot};

/// Records erased at a time: their batches are written anew together.
const RECORDS_MAX: usize = 1_024;
/// Leaves of one record looked through.
const LEAVES_MAX: usize = 100_000;
/// Batches changed by one write.
const BATCHES_PER_WRITE: usize = 16;
/// How often it looks whether its word has reached the ledger.
const LOOK: Duration = Duration::from_secs(1);
/// How often it looks whether readers of an older state are gone.
const READERS: Duration = Duration::from_millis(50);
/// After how long it says so again, if not.
const AGAIN_MS: u64 = 60_000;
/// How long its word may wait for its order.
const VALID_MS: u64 = 50_000;
/// The queue of its words; no agency has this name.
const QUEUE: &str = "erasures";

/// Wakes the eraser.
#[derive(Debug)]
pub(crate) struct Bell {
    ring: SyncSender<()>,
    rung: Mutex<Option<Receiver<()>>>,
}

impl Default for Bell {
    fn default() -> Self {
        let (ring, rung) = sync_channel(1);
        Self { ring, rung: Mutex::new(Some(rung)) }
    }
}

impl Bell {
    /// There is something to erase.
    pub(crate) fn ring(&self) {
        // One that is not heard yet is enough.
        let _ = self.ring.try_send(());
    }

    fn take(&self) -> Option<Receiver<()>> {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Destroys bodies and says so.
pub(crate) struct Eraser {
    core: Arc<Core>,
    log_key: SecretKey,
    /// Whether something may be left to do.
    busy: bool,
    /// When this validator's word was last filed, in monotonic milliseconds.
    said_ms: Option<u64>,
    /// Where backups are.
    shelf: Option<Shelf>,
    /// What is gone from the stores and waits for the shelf.
    waiting: Option<Waiting>,
}

/// Bodies that are gone from this node's stores, while copies of their keys may stand beside its backups.
#[derive(Debug, Default)]
struct Waiting {
    /// Where the bodies stood in the vaults.
    places: Vec<Vec<u8>>,
    /// What is to be noted in the end.
    done: Vec<(RecordId, Option<Erasure>)>,
    /// When it was last told that they wait, in monotonic milliseconds.
    told_ms: Option<u64>,
}

/// What stands where, of one record.
#[derive(Debug, Default)]
struct Bodies {
    places: BTreeSet<BodyPlace>,
    /// Commitments of bodies that only an agency's vault may hold.
    kept_apart: Vec<Digest>,
    /// Whether one was about an organisation and published: then the index of subjects had the salt.
    linked: bool,
}

/// What was erased.
struct Erased {
    /// How many bodies each record had.
    done: Vec<(RecordId, Option<Erasure>)>,
    /// Whether the index of subjects may have listed one.
    linked: bool,
    /// Where bodies stood in vaults, or would have.
    places: Vec<Vec<u8>>,
}

impl Eraser {
    /// Of a node whose backups are on a shelf, if it has one.
    pub(crate) fn new(core: Arc<Core>, log_key: SecretKey, shelf: Option<Shelf>) -> Self {
        Self { core, log_key, busy: true, said_ms: None, shelf, waiting: None }
    }

    /// Runs until the node stops.
    pub(crate) fn run(mut self) {
        let Some(bell) = self.core.erase.take() else { return };
        while !self.core.stop.stopping() {
            match bell.recv_timeout(LOOK) {
                Ok(()) => self.busy = true,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.busy
                && let Err(refusal) = self.turn()
            {
                self.core.stop.fail(refusal);
                return;
            }
        }
    }

    fn turn(&mut self) -> Result<(), Refusal> {
        let core = self.core.clone();
        let snapshot = core.ledger.snapshot().map_err(refuse)?;
        let all = snapshot.erasures(RECORDS_MAX).map_err(refuse)?;
        self.busy = !all.is_empty();
        let waits = |record: &RecordId| {
            self.waiting.iter().any(|waiting| waiting.done.iter().any(|(one, _)| one == record))
        };
        let ordered = all.iter().filter(|(_, erasure)| *erasure == Erasure::Ordered);
        let ordered: Vec<RecordId> =
            ordered.map(|(record, _)| *record).filter(|record| !waits(record)).collect();
        if !ordered.is_empty() {
            let sequence = core.ledger.sequence();
            let Erased { done, linked, places } = self.erase(&snapshot, &ordered)?;
            drop(snapshot);
            if linked && !self.scrub_links(sequence)? {
                return Ok(());
            }
            hit(Point::AfterScrub);
            let waiting = self.waiting.get_or_insert_default();
            waiting.places.extend(places);
            waiting.done.extend(done);
            return self.leave_shelf();
        }
        self.leave_shelf()?;
        let done = all.into_iter().filter_map(|(record, erasure)| match erasure {
            Erasure::Done(bodies) => Some((record, bodies)),
            Erasure::Ordered => None,
        });
        self.confirm(&snapshot, done.collect())
    }

    /// Destroys the keys of bodies that are gone where they stand beside the backups, and notes that all is done. While the
    /// shelf is in use or cannot be written to, nothing is noted: then this validator does not say that the bodies are gone.
    fn leave_shelf(&mut self) -> Result<(), Refusal> {
        let Some(mut waiting) = self.waiting.take() else { return Ok(()) };
        let shelf = self.shelf.as_ref().filter(|_| !waiting.places.is_empty());
        if let Some(Err(refusal)) = shelf.map(|shelf| shelf.destroy_keys(&waiting.places)) {
            let now = self.core.mono_ms();
            if waiting.told_ms.is_none_or(|told| now >= told.saturating_add(AGAIN_MS)) {
                waiting.told_ms = Some(now);
                tracing::warn!(
                    code = refusal.code.name(),
                    detail = refusal.detail,
                    records = waiting.done.len(),
                    "keys of erased bodies stand beside the backups still; the erasure is confirmed when they are gone"
                );
            }
            self.waiting = Some(waiting);
            return Ok(());
        }
        self.core.ledger.set_erasures(&waiting.done).map_err(refuse)
    }

    /// Removes what said whom records were about from the files of the ledger and from its snapshots; false when the node
    /// stops before readers have let go of it.
    fn scrub_links(&self, sequence: u64) -> Result<bool, Refusal> {
        let core = &self.core;
        while core.ledger.is_read_before(sequence).map_err(refuse)? {
            if core.stop.stopping() {
                return Ok(false);
            }
            std::thread::sleep(READERS);
        }
        core.snapshots.forget(|| core.ledger.scrub_links().map_err(refuse))?;
        core.offers.clear();
        Ok(true)
    }

    /// Destroys the bodies of records.
    fn erase(&self, snapshot: &Snapshot<'_>, records: &[RecordId]) -> Result<Erased, Refusal> {
        let mut linked = false;
        let mut in_vaults = Vec::new();
        let mut places: BTreeMap<BodyPlace, RecordId> = BTreeMap::new();
        let mut counts: BTreeMap<RecordId, u32> = BTreeMap::new();
        for record in records {
            let bodies = bodies_of(snapshot, record)?;
            linked |= bodies.linked;
            places.extend(bodies.places.into_iter().map(|place| (place, *record)));
            let kept = match &self.core.vaults {
                Some(vaults) => {
                    in_vaults.extend(vaults.places(&bodies.kept_apart));
                    vaults.destroy(&bodies.kept_apart)?
                }
                None => 0,
            };
            counts.insert(*record, kept);
        }
        let mut batches: BTreeMap<BatchRef, Vec<(BodyPlace, RecordId)>> = BTreeMap::new();
        for (place, record) in places {
            let names = snapshot.ordered(place.height).map_err(refuse)?;
            if let Some(name) = names.get(place.batch as usize) {
                batches.entry(*name).or_default().push((place, record));
            }
        }
        let mut write = SyncedWrite::default();
        let mut touched = BTreeSet::new();
        for (at, (name, places)) in batches.iter().enumerate() {
            for record in self.strip(snapshot, name, places, &mut write)? {
                *counts.entry(record).or_default() += 1;
                touched.insert(*name);
            }
            if at % BATCHES_PER_WRITE == BATCHES_PER_WRITE - 1 {
                self.commit(snapshot, std::mem::take(&mut write))?;
            }
        }
        self.commit(snapshot, write)?;
        self.core.batches.remove(&touched.iter().copied().collect::<Vec<_>>());
        hit(Point::BeforeScrub);
        // Also what a crash left half done: the bytes may be gone from the batches and still stand in files.
        self.core.consensus.scrub(&batches.keys().copied().collect()).map_err(refuse)?;
        tracing::info!(records = records.len(), batches = touched.len(), "bodies erased");
        let done = counts.into_iter().map(|(record, bodies)| (record, Some(Erasure::Done(bodies))));
        Ok(Erased { done: done.collect(), linked, places: in_vaults })
    }

    /// Takes bodies out of a batch; gives the record of each that was there.
    fn strip(
        &self,
        snapshot: &Snapshot<'_>,
        name: &BatchRef,
        places: &[(BodyPlace, RecordId)],
        write: &mut SyncedWrite,
    ) -> Result<Vec<RecordId>, Refusal> {
        // A ledger restored from a snapshot orders batches that were never here.
        let Some(mut batch) = self.core.consensus.batch(name).map_err(refuse)? else { return Ok(Vec::new()) };
        let mut gone = Vec::new();
        for (place, record) in places {
            let submission = batch.submissions.get_mut(place.position as usize);
            let body = submission.and_then(|one| one.bodies.get_mut(usize::from(place.operation)));
            if body.and_then(Option::take).is_some() {
                gone.push(*record);
            }
        }
        if let (Some((place, _)), false) = (places.first(), gone.is_empty()) {
            let mut outcomes = Vec::new();
            for position in (0..).take(batch.submissions.len()) {
                let place = Place { height: place.height, batch: place.batch, position };
                outcomes.extend(snapshot.outcomes(place).map_err(refuse)?);
            }
            let bytes = encode(&batch).map_err(|error| internal(error.to_string()))?;
            let recorded = Recorded(outcomes);
            self.core.consensus.add_stripped(write, name, &bytes, &recorded).map_err(refuse)?;
        }
        Ok(gone)
    }

    fn commit(&self, snapshot: &Snapshot<'_>, mut write: SyncedWrite) -> Result<(), Refusal> {
        if write.is_empty() {
            return Ok(());
        }
        let store = &self.core.consensus;
        if self.core.subjects.is_some() {
            let above = store.indexed_to().map_err(refuse)?;
            if above < snapshot.height() {
                let entries = snapshot.indexes(above, snapshot.height()).map_err(refuse)?;
                store.add_indexes(&mut write, &entries, snapshot.height());
            }
        }
        hit(Point::BeforeEraseWrite);
        store.commit(write).map_err(refuse)?;
        hit(Point::AfterEraseWrite);
        Ok(())
    }

    /// Says what is done where the ledger awaits it, and forgets what nobody awaits any more.
    fn confirm(&mut self, snapshot: &Snapshot<'_>, done: Vec<(RecordId, u32)>) -> Result<(), Refusal> {
        let part = self.core.part();
        let me = part.me.and_then(|me| part.committee.get(me)).map(|me| me.name.clone());
        let (mut forgotten, mut owed) = (Vec::new(), Vec::new());
        for (record, bodies) in done {
            let entry = snapshot.get(&key::erasure(&record)).map_err(unread)?;
            let entry = entry.map(|bytes| ErasureEntry::from_canonical(&bytes)).transpose();
            let entry =
                entry.map_err(|error| Refusal::new(Code::StorageCorrupt, format!("erasure: {error}")))?;
            match (entry, &me) {
                (Some(entry), Some(me)) if entry.awaited.contains(me) => {
                    owed.push(Operation::ConfirmErasure { record, version: entry.version, bodies });
                }
                // Perhaps this node is one of the awaited under its name of another epoch; an observer confirms nothing.
                _ => forgotten.push((record, None)),
            }
        }
        if !forgotten.is_empty() {
            self.core.ledger.set_erasures(&forgotten).map_err(refuse)?;
        }
        let now = self.core.mono_ms();
        let waits = self.said_ms.is_some_and(|said| now < said.saturating_add(AGAIN_MS));
        if owed.is_empty() {
            self.said_ms = None;
        } else if !waits && self.core.engine_view().voting {
            self.say(owed, now)?;
        }
        Ok(())
    }

    fn say(&mut self, operations: Vec<Operation>, now: u64) -> Result<(), Refusal> {
        let bodies = vec![None; operations.len()];
        let block_ms = self.core.engine_view().time_ms;
        let transaction = Transaction {
            version: TRANSACTION_VERSION,
            chain_id: self.core.chain_id(),
            author: self.log_key.public(),
            valid_until_ms: block_ms.max(Core::wall_ms()).saturating_add(VALID_MS),
            atomic: false,
            operations,
        };
        let submission = Submission { signed: transaction.sign(&self.log_key), bodies };
        let id = submission.signed.transaction.id();
        let bytes = payload_bytes(&submission)?;
        match self.core.intake.push(QUEUE, Queued { submission, id, bytes, at_ms: now }) {
            Ok(()) => {
                self.said_ms = Some(now);
                self.core.inputs.push(crate::driver::core::Input::Wake);
                Ok(())
            }
            // It is tried again.
            Err(refusal) if refusal.code == Code::QueueFull => Ok(()),
            Err(refusal) => Err(refusal),
        }
    }
}

/// Where the bodies of a record stand: those of its versions, and those that came with operations without effect.
fn bodies_of(snapshot: &Snapshot<'_>, record: &RecordId) -> Result<Bodies, Refusal> {
    let mut bodies = Bodies::default();
    for index in snapshot.record_leaves(record, 0, LEAVES_MAX).map_err(refuse)? {
        let bytes = snapshot.leaf(index).map_err(refuse)?;
        let missing = || Refusal::new(Code::StorageCorrupt, format!("leaf {index} is missing"));
        let leaf = Leaf::decode(&bytes.ok_or_else(missing)?)
            .map_err(|error| Refusal::new(Code::StorageCorrupt, format!("leaf {index}: {error}")))?;
        let Leaf::Signed(leaf) = leaf else { continue };
        let Some(header) = leaf.operation.header() else { continue };
        bodies.linked |= header.publish_from.is_some() && header.subject_kind == SubjectKind::Organisation;
        let Some(commit) = header.body_commit else { continue };
        if leaf.operation.shared_body_commit().is_none() {
            bodies.kept_apart.push(commit);
        } else if let Some(place) = snapshot.place(&leaf.tx).map_err(refuse)? {
            let Place { height, batch, position } = place;
            bodies.places.insert(BodyPlace { height, batch, position, operation: leaf.operation_index });
        }
    }
    let (from, to) = key::idle_bodies(record);
    let idle = snapshot.range(&from, &to, LEAVES_MAX).map_err(unread)?;
    bodies.places.extend(idle.iter().filter_map(|(key, _)| key::parse_idle_body(key)));
    Ok(bodies)
}

fn internal(detail: String) -> Refusal {
    Refusal::new(Code::Internal, detail)
}

fn unread(error: chain_core::execute::ReadError) -> Refusal {
    Refusal::new(Code::StorageFailed, error.to_string())
}

fn refuse(error: StorageError) -> Refusal {
    error.refusal()
}
