//! Answering peers that lack something, and getting what this node lacks.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use chain_core::crypto::Digest;
use chain_core::id::{Height, ValidatorIx};
use chain_core::lane::BatchRef;
use consensus::message::{Message, Proposal, SYNC_BLOCKS_MAX};

use super::core::Core;
use crate::link::{SYNC_BATCHES_MAX, SYNC_BYTES_MAX, SyncRequest, SyncResponse};
use crate::storage::StorageError;
use crate::storage::consensus::ConsensusStore;

/// Most bytes of blocks in one answer: well inside a frame.
const BLOCKS_BYTES_MAX: usize = 3 * 1024 * 1024;
/// Most blocks in one answer, however far apart certificates are.
const BLOCKS_MAX: usize = 256;
/// Most fetches under way.
const FETCHES_MAX: usize = 16;
/// Most questions of one fetch.
const ROUNDS_MAX: usize = 64;

/// Final blocks from a height on, with the certificate of the last; none when this node has none.
///
/// # Errors
/// When the store cannot be read.
pub(crate) fn blocks_from(store: &ConsensusStore, from: Height) -> Result<Option<Message>, StorageError> {
    let wanted = Height::new(from.get().saturating_add(SYNC_BLOCKS_MAX - 1));
    let certified = store.certificate_to(wanted)?.filter(|cert| cert.height >= from);
    let certificate = match certified {
        Some(cert) => cert,
        None => match store.certificate_from(from)? {
            Some(cert) => cert,
            None => return Ok(None),
        },
    };
    let count = usize::try_from(certificate.height.since(from) + 1).unwrap_or(usize::MAX);
    let blocks = store.final_blocks(from, count.min(BLOCKS_MAX))?;
    let mut bytes = 0;
    let mut fits = 0;
    for block in &blocks {
        bytes += chain_core::codec::encode(block).map_or(0, |bytes| bytes.len());
        fits += usize::from(bytes <= BLOCKS_BYTES_MAX);
    }
    if fits == blocks.len() && fits == count {
        return Ok(Some(Message::Blocks { blocks, certificate: Box::new(certificate) }));
    }
    // Too much for one frame: end at a lower certificate.
    let Some(last) = blocks.get(fits.saturating_sub(1)).map(|block: &Proposal| block.header.height) else {
        return Ok(None);
    };
    let Some(certificate) = store.certificate_to(last)?.filter(|cert| cert.height >= from) else {
        return Ok(None);
    };
    let count = usize::try_from(certificate.height.since(from) + 1).unwrap_or(usize::MAX);
    let blocks = blocks.into_iter().take(count).collect();
    Ok(Some(Message::Blocks { blocks, certificate: Box::new(certificate) }))
}

/// Batches of a lane for a peer.
///
/// # Errors
/// When the store cannot be read.
pub(crate) fn answer(store: &ConsensusStore, request: &SyncRequest) -> Result<SyncResponse, StorageError> {
    let SyncRequest::Batches { from, tip } = request;
    let batches = store.lane(tip.author, *from, tip.seq, SYNC_BATCHES_MAX, SYNC_BYTES_MAX)?;
    Ok(SyncResponse { batches })
}

/// What is being fetched.
#[derive(Debug, Default)]
pub(crate) struct Fetches(Mutex<BTreeSet<Digest>>);

impl Fetches {
    /// Takes on a fetch unless it is under way or there are too many.
    fn begin(&self, tip: &BatchRef) -> bool {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.len() < FETCHES_MAX && running.insert(tip.digest)
    }

    fn end(&self, tip: &BatchRef) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&tip.digest);
    }
}

/// Gets a run of batches from the first holder that has them. The engine asks again while it lacks any.
pub(crate) fn fetch(core: &Arc<Core>, from: u64, tip: BatchRef, holders: Vec<ValidatorIx>) {
    if !core.fetches.begin(&tip) {
        return;
    }
    let core = core.clone();
    let runtime = core.runtime.clone();
    runtime.spawn(async move {
        for holder in holders {
            if fetch_from(&core, holder, from, tip).await {
                break;
            }
        }
        core.fetches.end(&tip);
    });
}

/// True when the tip arrived.
async fn fetch_from(core: &Arc<Core>, holder: ValidatorIx, mut from: u64, tip: BatchRef) -> bool {
    let Some(network) = core.network() else { return false };
    for _ in 0..ROUNDS_MAX {
        // What is stored already only has to be shown to the engine, which forgets what is far ahead of it.
        let stored = core.consensus.lane(tip.author, from, tip.seq, SYNC_BATCHES_MAX, SYNC_BYTES_MAX);
        for bytes in core.guard(stored).unwrap_or_default() {
            match core.take_batch(Arc::from(bytes)).await {
                Some(name) if name == tip => return true,
                Some(name) if name.seq == from && from < tip.seq => from += 1,
                // A rival for a place that is filled.
                Some(name) if name.seq < from => {}
                _ => break,
            }
        }
        let request = SyncRequest::Batches { from, tip };
        let Ok(response) = network.request(holder, request).await else { return false };
        let mut newest = None;
        for bytes in response.batches.into_iter().take(SYNC_BATCHES_MAX) {
            match core.take_batch(Arc::from(bytes)).await {
                Some(name) if name.author == tip.author && name.seq >= from && name.seq <= tip.seq => {
                    if name == tip {
                        return true;
                    }
                    newest = Some(name.seq);
                }
                _ => return false,
            }
        }
        match newest {
            Some(seq) if seq < tip.seq => from = seq + 1,
            _ => return false,
        }
    }
    false
}
