//! Handing the newest certified snapshot to a node that joins.
//!
//! A snapshot is offered once it was read through: its manifest says what it holds, and is the same at every validator
//! that took the snapshot of that height. Chunks are read when they are asked for. Nothing that goes wrong here stops the
//! node: the one that asks takes another validator's.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use chain_core::code::Refusal;
use chain_core::codec::encode;
use chain_core::id::Height;

use super::Snapshots;
use super::verify::{Covering, covering};
use crate::link::{Offer, SyncRequest, SyncResponse};
use crate::storage::StorageError;
use crate::storage::consensus::ConsensusStore;
use crate::storage::ledger::{LedgerStore, Manifest, Stale};

/// What a node hands over of its snapshots.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offers(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Those that were read through and are kept.
    ready: Vec<Arc<Ready>>,
    /// The one that is being read.
    preparing: Option<Height>,
    /// Those that cannot be offered.
    unfit: BTreeSet<Height>,
}

/// A snapshot that was read through.
#[derive(Debug)]
struct Ready {
    offer: Offer,
    store: LedgerStore,
    stale: Stale,
    manifest: Manifest,
    encoded: Vec<u8>,
}

impl Offers {
    /// Answers one that joins.
    pub(crate) fn answer(
        &self,
        snapshots: &Snapshots,
        consensus: &ConsensusStore,
        request: &SyncRequest,
    ) -> SyncResponse {
        let answer = match *request {
            SyncRequest::Snapshot => self.newest(snapshots, consensus),
            SyncRequest::Manifest { height } => {
                let ready = self.ready(snapshots, height);
                Ok(ready.map_or(SyncResponse::Nothing, |ready| SyncResponse::Bytes(ready.encoded.clone())))
            }
            SyncRequest::Chunk { height, index } => match self.ready(snapshots, height) {
                Some(ready) => {
                    snapshots.hold(height, Instant::now());
                    ready.chunk(index)
                }
                None => Ok(SyncResponse::Nothing),
            },
            _ => Ok(SyncResponse::Nothing),
        };
        answer.unwrap_or_else(|refusal| {
            tracing::warn!(detail = refusal.detail, "a snapshot could not be handed over");
            SyncResponse::Nothing
        })
    }

    /// Lets go of every snapshot: their folders are gone.
    pub(crate) fn clear(&self) {
        self.state().ready.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ready(&self, snapshots: &Snapshots, height: Height) -> Option<Arc<Ready>> {
        let mut state = self.state();
        state.ready.retain(|ready| snapshots.path(ready.offer.height).exists());
        state.ready.iter().find(|ready| ready.offer.height == height).cloned()
    }

    /// The newest snapshot that a final header certifies; begins to read it where that was not done.
    fn newest(&self, snapshots: &Snapshots, consensus: &ConsensusStore) -> Result<SyncResponse, Refusal> {
        for height in snapshots.heights()?.into_iter().rev() {
            if self.state().unfit.contains(&height)
                || !matches!(covering(height, consensus)?, Covering::By(_))
            {
                continue;
            }
            if let Some(ready) = self.ready(snapshots, height) {
                return Ok(SyncResponse::Snapshot(ready.offer));
            }
            self.prepare(snapshots, height);
            return Ok(SyncResponse::Preparing);
        }
        Ok(SyncResponse::Nothing)
    }

    /// Reads a snapshot through, beside everything else, one at a time.
    fn prepare(&self, snapshots: &Snapshots, height: Height) {
        let mut state = self.state();
        if state.preparing.is_some() {
            return;
        }
        state.preparing = Some(height);
        drop(state);
        let (offers, kept, path) = (self.clone(), snapshots.clone(), snapshots.path(height));
        let work = move || {
            let start = Instant::now();
            let read = Ready::read(&path);
            let mut state = offers.state();
            state.preparing = None;
            match read {
                // An erasure may have removed it meanwhile.
                Ok(_) if !path.exists() => {}
                Ok(ready) => {
                    let (chunks, bytes) = (ready.manifest.chunks.len(), ready.manifest.bytes());
                    let ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
                    tracing::info!(height = height.get(), chunks, bytes, ms, "a snapshot can be handed over");
                    state.ready.retain(|ready| kept.path(ready.offer.height).exists());
                    state.ready.push(Arc::new(ready));
                }
                Err(error) => {
                    let refusal = error.refusal();
                    tracing::warn!(
                        height = height.get(),
                        code = refusal.code.name(),
                        detail = refusal.detail,
                        "a snapshot cannot be handed over"
                    );
                    state.unfit.insert(height);
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("snapshot".to_owned()).spawn(work) {
            tracing::warn!(%error, "no thread to read a snapshot");
            self.state().preparing = None;
        }
    }
}

impl Ready {
    fn read(path: &std::path::Path) -> Result<Self, StorageError> {
        let store = LedgerStore::open_read_only(path)?;
        let snapshot = store.snapshot()?;
        let stale = snapshot.stale()?;
        let manifest = snapshot.manifest(&stale)?;
        let encoded = encode(&manifest).map_err(StorageError::decode("manifest of a snapshot"))?;
        let offer = Offer { height: snapshot.height(), manifest: Manifest::digest(&encoded) };
        drop(snapshot);
        Ok(Self { offer, store, stale, manifest, encoded })
    }

    fn chunk(&self, index: u32) -> Result<SyncResponse, Refusal> {
        let name = usize::try_from(index).ok().and_then(|index| self.manifest.chunks.get(index));
        let Some(name) = name else { return Ok(SyncResponse::Nothing) };
        let snapshot = self.store.snapshot().map_err(|error| error.refusal())?;
        let bytes = snapshot.chunk(&self.stale, name).map_err(|error| error.refusal())?;
        Ok(SyncResponse::Bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshots::tests::{BASE, End, Plan, World};

    /// What a world names once nothing is being read any more.
    fn named(offers: &Offers, snapshots: &Snapshots, consensus: &ConsensusStore) -> SyncResponse {
        for _ in 0..3_000 {
            match offers.answer(snapshots, consensus, &SyncRequest::Snapshot) {
                SyncResponse::Preparing => std::thread::sleep(std::time::Duration::from_millis(10)),
                answer => return answer,
            }
        }
        panic!("it is read for ever");
    }

    #[test]
    fn a_certified_snapshot_is_named_and_held_as_long_as_it_is_fetched() {
        let world = World::new(End::Closed);
        let (_dir, consensus) = world.consensus(&Plan::default());
        let (snapshots, offers) = (Snapshots::of(&world.data), Offers::default());
        let SyncResponse::Snapshot(offer) = named(&offers, &snapshots, &consensus) else { panic!("nothing") };
        let height = Height::new(BASE);
        assert_eq!(offer.height, height);
        let ask = |request| match offers.answer(&snapshots, &consensus, &request) {
            SyncResponse::Bytes(bytes) => Some(bytes),
            SyncResponse::Nothing => None,
            other => panic!("{other:?}"),
        };
        let manifest = ask(SyncRequest::Manifest { height }).unwrap();
        assert_eq!(Manifest::digest(&manifest), offer.manifest);
        assert_eq!(snapshots.held(Instant::now()), None, "nobody fetches it yet");
        assert!(ask(SyncRequest::Chunk { height, index: 0 }).is_some());
        assert_eq!(snapshots.held(Instant::now()), Some(height));
        assert_eq!(ask(SyncRequest::Chunk { height, index: u32::MAX }), None);
        assert_eq!(ask(SyncRequest::Manifest { height: height.next() }), None);
        // What is removed from the disk is not handed over from open files either.
        snapshots.remove(height).unwrap();
        let gone = [
            SyncRequest::Snapshot,
            SyncRequest::Manifest { height },
            SyncRequest::Chunk { height, index: 0 },
        ];
        for request in gone {
            assert_eq!(ask(request), None);
        }
    }

    #[test]
    fn what_no_header_certifies_or_nobody_can_read_is_not_named() {
        let world = World::new(End::Closed);
        let (snapshots, offers) = (Snapshots::of(&world.data), Offers::default());
        let (_dir, not_yet) = world.consensus(&Plan { exec: [4, 5, 5], ..Plan::default() });
        assert!(matches!(named(&offers, &snapshots, &not_yet), SyncResponse::Nothing));
        let is_table = |path: &std::path::PathBuf| path.extension().is_some_and(|ending| ending == "sst");
        let files = std::fs::read_dir(world.snapshot()).unwrap().map(|file| file.unwrap().path());
        std::fs::remove_file(files.filter(is_table).min().unwrap()).unwrap();
        let (_dir, consensus) = world.consensus(&Plan::default());
        for _ in 0..2 {
            assert!(matches!(named(&offers, &snapshots, &consensus), SyncResponse::Nothing));
        }
    }
}
