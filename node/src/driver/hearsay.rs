//! What a node takes from its peers because enough of them say the same: nothing that is signed tells it.
//!
//! A batch whose bodies were erased hashes to what was ordered, but that they are gone lawfully, what the operations came to
//! and how the index of subjects stood, only those know who executed the block with the bodies. Of f+1 validators one is
//! honest, and has it from its own execution or from f+1 others in turn. What a certified execution root says later must
//! agree with it, or this node stops.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chain_core::code::{Code, Refusal};
use chain_core::codec::decode;
use chain_core::crypto::Digest;
use chain_core::id::{Height, ValidatorIx};
use chain_core::lane::BatchRef;
use chain_core::subject::IndexEntry;
use futures::future::join_all;

use super::core::Core;
use crate::link::{SYNC_INDEXES_MAX, SyncRequest, SyncResponse, SyncedBatch};
use crate::storage::StorageError;
use crate::storage::consensus::{Recorded, SyncedWrite};

/// Batches of which something is heard and not yet enough.
const BATCHES_MAX: usize = 8 * 1024;
/// Blocks asked about at a time, while those who are asked have executed them long since.
const AHEAD: u64 = 256;
/// How far the newest block is above one that every peer has surely executed.
const SETTLED: u64 = 64;
/// How long to wait before asking again.
const AGAIN: Duration = Duration::from_millis(250);
/// After this long without an answer the log says so, and again after as long.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who said what.
#[derive(Debug, Default)]
pub(crate) struct Hearsay {
    batches: Mutex<BTreeMap<BatchRef, BTreeMap<Digest, BTreeSet<ValidatorIx>>>>,
    indexes: Mutex<Option<Indexes>>,
    /// The block that cannot be executed before enough validators have said how the index stood after it.
    waiting: Mutex<Option<Height>>,
}

/// How the index of subjects stood after a run of blocks.
#[derive(Debug)]
struct Indexes {
    from: Height,
    to: Height,
    changed: BTreeMap<Height, IndexEntry>,
}

impl Hearsay {
    /// Forgets what the validators of another epoch said.
    pub(crate) fn begin_epoch(&self) {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Hears a validator's word for a batch; true once so many have given the same.
    fn hear(&self, from: ValidatorIx, name: BatchRef, said: Digest, enough: usize) -> bool {
        let mut batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        if batches.len() >= BATCHES_MAX && !batches.contains_key(&name) {
            batches.clear();
        }
        let words = batches.entry(name).or_default();
        // A validator has one word: its newest.
        for who in words.values_mut() {
            who.remove(&from);
        }
        let who = words.entry(said).or_default();
        who.insert(from);
        let done = who.len() >= enough;
        words.retain(|_, who| !who.is_empty());
        if done {
            batches.remove(&name);
        }
        done
    }

    /// How the index of subjects stood after a block; none when that did not change it. Waits for peers that say so.
    ///
    /// # Errors
    /// `NOT_READY` when the node stops meanwhile.
    pub(crate) fn index_after(
        &self,
        core: &Arc<Core>,
        height: Height,
    ) -> Result<Option<IndexEntry>, Refusal> {
        self.wait_for(Some(height));
        let mut said = Instant::now();
        while !core.stop.stopping() {
            if let Some(known) = self.known_index(height) {
                self.wait_for(None);
                return Ok(known);
            }
            if let Some(indexes) = core.runtime.block_on(ask_for_indexes(core, height)) {
                *self.indexes.lock().unwrap_or_else(PoisonError::into_inner) = Some(indexes);
                continue;
            }
            if said.elapsed() >= PATIENCE {
                tracing::warn!("{}", waits_for(height, enough(core)));
                said = Instant::now();
            }
            std::thread::sleep(AGAIN);
        }
        Err(Refusal::new(Code::NotReady, "the node stops while it asks how the index of subjects stood"))
    }

    fn wait_for(&self, block: Option<Height>) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = block;
    }

    /// Why the next block is not executed, if it is its peers' word that it waits for.
    pub(crate) fn waits(&self, core: &Core) -> Option<String> {
        let waiting = *self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.map(|height| waits_for(height, enough(core)))
    }

    fn known_index(&self, height: Height) -> Option<Option<IndexEntry>> {
        let indexes = self.indexes.lock().unwrap_or_else(PoisonError::into_inner);
        let run = indexes.as_ref().filter(|run| (run.from..=run.to).contains(&height))?;
        Some(run.changed.get(&height).copied())
    }
}

fn waits_for(height: Height, enough: usize) -> String {
    format!(
        "block {height} waits until {enough} validators that have executed it say how the index of subjects stood after it"
    )
}

/// How many validators must say the same.
fn enough(core: &Core) -> usize {
    core.committee().faults() + 1
}

/// Asks every peer how the index stood; what enough of them say counts.
async fn ask_for_indexes(core: &Core, from: Height) -> Option<Indexes> {
    let newest = core.engine_view().certified.get();
    let to = newest.saturating_sub(SETTLED).min(from.get().saturating_add(AHEAD - 1)).max(from.get());
    let to = Height::new(to);
    let network = core.network()?;
    let me = core.me();
    let others = core.committee().indices().filter(move |ix| Some(*ix) != me);
    let answers = join_all(others.map(|ix| network.request(ix, SyncRequest::Indexes { from, to }))).await;
    let mut said: Vec<(Vec<(Height, IndexEntry)>, usize)> = Vec::new();
    for answer in answers.into_iter().flatten() {
        let SyncResponse::Indexes(run) = answer else { continue };
        match said.iter_mut().find(|(other, _)| *other == run) {
            Some((_, count)) => *count += 1,
            None => said.push((run, 1)),
        }
    }
    let (run, _) = said.into_iter().find(|(_, count)| *count >= enough(core))?;
    Some(Indexes { from, to, changed: run.into_iter().collect() })
}

/// Answers how the index of subjects stood, for blocks executed here.
///
/// # Errors
/// When the store cannot be read.
pub(crate) fn answer(core: &Core, from: Height, to: Height) -> Result<SyncResponse, StorageError> {
    let snapshot = core.ledger.snapshot()?;
    let Some(above) = from.previous() else { return Ok(SyncResponse::Nothing) };
    if to > snapshot.height() || to < from || to.since(from) >= SYNC_INDEXES_MAX {
        return Ok(SyncResponse::Nothing);
    }
    snapshot.indexes(above, to).map(SyncResponse::Indexes)
}

/// What became of a peer's batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Taken {
    /// It is stored.
    Stored(BatchRef),
    /// Bodies of it are gone, by the word of too few.
    Heard(BatchRef),
}

impl Taken {
    /// The batch.
    pub(crate) fn name(self) -> BatchRef {
        match self {
            Self::Stored(name) | Self::Heard(name) => name,
        }
    }
}

/// Judges a batch some of whose bodies are gone, and stores it once enough validators have given the same.
pub(crate) fn judge(core: &Core, from: ValidatorIx, batch: SyncedBatch) -> Result<Taken, Refusal> {
    let SyncedBatch { bytes, recorded } = batch;
    let recorded = recorded.unwrap_or_default();
    let said = Digest::tagged(b"cityledger/stripped/1", &[&bytes, &recorded]);
    let Recorded(outcomes) = decode(&recorded)
        .map_err(|error| Refusal::new(Code::MalformedBytes, format!("recorded outcomes: {error}")))?;
    let checked = core.part().judge.check_stripped(Arc::from(bytes), outcomes)?;
    let name = checked.name;
    if core.consensus.has_batch(&name).map_err(refuse)? {
        return Ok(Taken::Stored(name));
    }
    if !core.hearsay.hear(from, name, said, enough(core)) {
        return Ok(Taken::Heard(name));
    }
    let mut write = SyncedWrite::default();
    let recorded = Recorded(checked.recorded.unwrap_or_default());
    core.consensus.add_stripped(&mut write, &name, &checked.bytes, &recorded).map_err(refuse)?;
    core.consensus.commit(write).map_err(refuse)?;
    core.inputs.push(super::core::Input::BatchStored(checked.batch.signed));
    Ok(Taken::Stored(name))
}

fn refuse(error: StorageError) -> Refusal {
    error.refusal()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::batch_header;

    #[test]
    fn one_validator_has_one_word() {
        let hearsay = Hearsay::default();
        let name = BatchRef::of(&batch_header(0, 0, 7));
        let (truth, lie) = (Digest::tagged(b"truth", &[]), Digest::tagged(b"lie", &[]));
        let ix = ValidatorIx::new;
        assert!(!hearsay.hear(ix(1), name, lie, 2));
        assert!(!hearsay.hear(ix(1), name, lie, 2), "said twice");
        assert!(!hearsay.hear(ix(1), name, truth, 2), "changed its mind");
        assert!(!hearsay.hear(ix(2), name, lie, 2));
        assert!(hearsay.hear(ix(3), name, truth, 2));
        assert!(!hearsay.hear(ix(3), name, truth, 2), "what is settled is forgotten");
        hearsay.begin_epoch();
        assert!(!hearsay.hear(ix(2), name, truth, 2), "of another epoch");
    }
}
