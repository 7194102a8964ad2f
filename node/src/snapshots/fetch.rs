//! Taking a snapshot from the validators: how a node joins without executing the chain from its first block.
//!
//! Nobody is believed alone.
//!
//! 1. How each epoch ended is proved from the genesis ([`ladder`]): so it is known who votes.
//! 2. A snapshot is taken when f+1 of those who vote name the same one, down to its last byte: one of them is honest. That
//!    covers what stands under no root, such as the lists.
//! 3. Its chunks come from all who have it, several at a time; each is held against the manifest, and whoever gave another
//!    one is asked nothing more.
//! 4. The blocks after it come with their certificates ([`blocks`]) until one certifies its execution.
//! 5. The ledger that came of it is hashed anew, every leaf and every entry of the state, and held against that certified
//!    root ([`super::verify`]), as every snapshot is that is put back.
//!
//! Until then nothing of it is in the data directory's own stores.

pub mod blocks;
pub mod ladder;

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chain_core::code::{Code, Refusal};
use chain_core::codec::decode;
use chain_core::committee::Committee;
use chain_core::id::{Height, ValidatorIx};
use chain_core::lane::LaneFrontier;
use chain_core::recovery::Passage;
use consensus::Write;
use futures::future::join_all;
use tokio::time::{Instant, sleep};

use self::blocks::runs_after;
use self::ladder::Ladder;
use super::verify::{Report, Standing, Trust, verify};
use crate::datadir::remove_folder;
use crate::link::{Network, Offer, SyncRequest, SyncResponse};
use crate::storage::StorageError;
use crate::storage::consensus::{ConsensusStore, SyncedWrite};
use crate::storage::ledger::{LedgerStore, Manifest};

/// How long to wait for f+1 validators that offer the same.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// How often they are asked.
const AGAIN: Duration = Duration::from_millis(500);
/// Questions to one validator at a time.
const QUESTIONS: usize = 2;
/// Snapshots that are begun with before it is given up: each is gone only after the validators took two more.
const ATTEMPTS_MAX: usize = 4;
/// Chunks that one validator may fail to give before it is asked nothing more.
const FAILURES_MAX: usize = 3;

/// The validators who are asked, by their indices in the network.
#[derive(Clone)]
pub struct Source {
    /// The way to them.
    pub network: Arc<dyn Network>,
    /// Who votes.
    pub committee: Arc<Committee>,
    /// How long to wait for an agreed offer.
    pub patience: Duration,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Source(epoch {})", self.committee.epoch())
    }
}

/// What a validator gave.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Share {
    /// Its name.
    pub name: String,
    /// How many chunks.
    pub chunks: usize,
    /// Why it was asked nothing more, if so.
    pub dropped: Option<String>,
}

/// A snapshot that was fetched and verified.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// What it holds and who certified it.
    pub report: Report,
    /// Chunks of it.
    pub chunks: usize,
    /// Their bytes.
    pub bytes: u64,
    /// How many validators named it.
    pub named_by: usize,
    /// Who gave what.
    pub shares: Vec<Share>,
}

/// The stores that are being made, in a folder of their own.
const LEDGER: &str = "ledger";
const CONSENSUS: &str = "consensus";

impl Source {
    /// Who is asked, with the usual patience.
    pub fn new(network: Arc<dyn Network>, committee: Arc<Committee>) -> Self {
        Self { network, committee, patience: PATIENCE }
    }

    /// Asks validators until f+1 of them offer the same snapshot, and makes stores of it in a folder that is empty: `ledger`,
    /// and `consensus` where `own`, the node's consensus store, has no block. Then that one begins at the snapshot, with the
    /// safety record and the act of `own`. Where the validators let go of the snapshot meanwhile and offer a later one, that
    /// one is fetched instead, at most [`ATTEMPTS_MAX`] in all.
    ///
    /// # Errors
    /// `NO_SNAPSHOT` when too few offer the same, or `own` begins above it; `NOT_READY` when those that do stop giving it;
    /// what [`verify`] says of a snapshot that is not the certified one; when the folder cannot be written.
    pub async fn fetch(
        &self,
        trust: &Trust<'_>,
        ladder: &Ladder,
        folder: &Path,
        own: &ConsensusStore,
    ) -> Result<Fetched, Refusal> {
        let mut agreed = self.agreed().await?;
        let mut attempts = 1;
        loop {
            let (offer, holders) = agreed;
            let refusal = match self.attempt(offer, &holders, trust, ladder, folder, own).await {
                Err(refusal) if matches!(refusal.code, Code::NotReady | Code::NoSnapshot) => refusal,
                done => return done,
            };
            agreed = match self.agreed().await {
                Ok(newer) if newer.0.height > offer.height && attempts < ATTEMPTS_MAX => newer,
                _ => return Err(refusal),
            };
            tracing::warn!(
                height = offer.height.get(),
                detail = refusal.detail,
                "a later snapshot is fetched"
            );
            attempts += 1;
            for name in [LEDGER, CONSENSUS] {
                remove_folder(&folder.join(name))?;
            }
        }
    }

    /// Fetches one snapshot from those that offered it.
    async fn attempt(
        &self,
        offer: Offer,
        holders: &[ValidatorIx],
        trust: &Trust<'_>,
        ladder: &Ladder,
        folder: &Path,
        own: &ConsensusStore,
    ) -> Result<Fetched, Refusal> {
        let height = offer.height;
        tracing::info!(height = height.get(), validators = holders.len(), "fetching a snapshot");
        let begins = own.first().map_err(refuse)?;
        let has_blocks = own.final_height().map_err(refuse)? > Height::ZERO;
        if has_blocks && height.next() < begins {
            let detail = format!("the newest is of block {height}, and the blocks here begin with {begins}");
            return Err(Refusal::new(Code::NoSnapshot, detail));
        }
        let manifest = self.manifest(offer, holders).await?;
        let path = folder.join(LEDGER);
        let store = Arc::new(LedgerStore::open(&path).map_err(refuse)?);
        let shares = self.chunks(&manifest, holders, &store).await?;
        store.flush().map_err(refuse)?;
        let report = if has_blocks {
            drop(store);
            verify(&path, height, own, trust)?
        } else {
            let tip = store.snapshot().and_then(|snapshot| snapshot.tip()).map_err(refuse)?;
            let missing = || format!("the snapshot holds no block {height}");
            let tip = tip.filter(|tip| tip.height == height);
            let tip = tip.ok_or_else(|| Refusal::new(Code::StorageCorrupt, missing()))?;
            drop(store);
            let runs = runs_after(self, ladder, (tip.height, tip.digest), holders).await?;
            let consensus = ConsensusStore::open(&folder.join(CONSENSUS)).map_err(refuse)?;
            lay_down(&consensus, ladder, &tip, &runs, own).map_err(refuse)?;
            let report = verify(&path, height, &consensus, trust)?;
            consensus.flush().map_err(refuse)?;
            report
        };
        match &report.standing {
            Standing::Certified(_) => {}
            Standing::NotYet { newest } => {
                let detail = format!("no header up to block {newest} certifies the execution of {height}");
                return Err(Refusal::new(Code::NotReady, detail));
            }
            Standing::PassedOver { by } => {
                let detail = format!("block {by} certifies a later execution than that of {height}");
                return Err(Refusal::new(Code::NoSnapshot, detail));
            }
        }
        let (chunks, bytes) = (manifest.chunks.len(), manifest.bytes());
        Ok(Fetched { report, chunks, bytes, named_by: holders.len(), shares })
    }

    /// Validators that are connected now.
    pub(crate) fn connected(&self) -> Vec<ValidatorIx> {
        let peers = self.network.peers().into_iter();
        let is_member = |ix: ValidatorIx| self.committee.get(ix).is_some();
        peers.filter(|peer| peer.connected && is_member(peer.validator)).map(|peer| peer.validator).collect()
    }

    pub(crate) fn name(&self, ix: ValidatorIx) -> String {
        self.committee.get(ix).map_or_else(|| ix.to_string(), |one| one.name.clone())
    }

    /// The highest snapshot that f+1 validators name, and who they are. One that is not read through yet is waited for.
    async fn agreed(&self) -> Result<(Offer, Vec<ValidatorIx>), Refusal> {
        let needed = self.committee.faults() + 1;
        let until = Instant::now() + self.patience;
        loop {
            let asked = self.connected();
            let ask = |ix: ValidatorIx| async move {
                (ix, self.network.request(ix, SyncRequest::Snapshot).await.unwrap_or_default())
            };
            let answers = join_all(asked.iter().copied().map(ask)).await;
            let mut words: BTreeMap<Offer, Vec<ValidatorIx>> = BTreeMap::new();
            let mut preparing = 0;
            for (ix, answer) in &answers {
                match answer {
                    SyncResponse::Snapshot(offer) => words.entry(*offer).or_default().push(*ix),
                    SyncResponse::Preparing => preparing += 1,
                    _ => {}
                }
            }
            let agreed = words.iter().rev().find(|(_, who)| who.len() >= needed);
            let over = Instant::now() >= until;
            match agreed {
                Some((offer, who)) if preparing == 0 || over => return Ok((*offer, who.clone())),
                None if over => return Err(self.unagreed(needed, asked.len(), preparing, &words)),
                _ => sleep(AGAIN).await,
            }
        }
    }

    fn unagreed(
        &self,
        needed: usize,
        connected: usize,
        preparing: usize,
        words: &BTreeMap<Offer, Vec<ValidatorIx>>,
    ) -> Refusal {
        let said = words.iter().map(|(offer, who)| {
            let who: Vec<String> = who.iter().map(|ix| self.name(*ix)).collect();
            let manifest = offer.manifest.to_string();
            let (height, manifest) = (offer.height, manifest.get(..16).unwrap_or_default());
            format!("{} name block {height}, manifest {manifest}", who.join(", "))
        });
        let mut said: Vec<String> = said.collect();
        if said.is_empty() {
            said.push("none names any".to_owned());
        }
        let detail = format!(
            "{needed} validators must name the same snapshot; of {connected} that are connected {}, {preparing} are \
             reading theirs",
            said.join("; ")
        );
        Refusal::new(Code::NoSnapshot, detail)
    }

    /// The manifest that was agreed on, from whoever gives it.
    async fn manifest(&self, offer: Offer, holders: &[ValidatorIx]) -> Result<Manifest, Refusal> {
        for holder in holders {
            let answer = self.network.request(*holder, SyncRequest::Manifest { height: offer.height }).await;
            let Ok(SyncResponse::Bytes(bytes)) = answer else { continue };
            if Manifest::digest(&bytes) != offer.manifest {
                tracing::warn!(validator = self.name(*holder), "gave another manifest than it had named");
                continue;
            }
            // f+1 named these bytes.
            if let Ok(manifest) = decode::<Manifest>(&bytes)
                && manifest.height == offer.height
            {
                return Ok(manifest);
            }
        }
        Err(Refusal::new(Code::NotReady, format!("nobody gives the manifest of snapshot {}", offer.height)))
    }

    /// Fetches every chunk, of all holders at the same time.
    async fn chunks(
        &self,
        manifest: &Manifest,
        holders: &[ValidatorIx],
        store: &Arc<LedgerStore>,
    ) -> Result<Vec<Share>, Refusal> {
        let count = u32::try_from(manifest.chunks.len()).unwrap_or(u32::MAX);
        let work = Work::new(manifest.height, (0..count).collect(), holders.len());
        let workers = (0..holders.len()).flat_map(|place| std::iter::repeat_n(place, QUESTIONS));
        let workers = workers.map(|place| self.work(&work, manifest, place, holders[place], store));
        join_all(workers).await;
        let state = work.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(refusal) = state.failed {
            return Err(refusal);
        }
        let shares: Vec<Share> = holders
            .iter()
            .zip(state.shares)
            .map(|(holder, one)| Share { name: self.name(*holder), chunks: one.chunks, dropped: one.dropped })
            .collect();
        if state.left == 0 {
            return Ok(shares);
        }
        let why = |one: &Share| format!("{}: {}", one.name, one.dropped.as_deref().unwrap_or("nothing"));
        let detail = format!(
            "{} of {count} chunks of snapshot {} are missing; {}",
            state.left,
            manifest.height,
            shares.iter().map(why).collect::<Vec<_>>().join("; ")
        );
        Err(Refusal::new(Code::NotReady, detail))
    }

    /// Takes chunks from one holder until none is left, or until it is not worth asking.
    async fn work(
        &self,
        work: &Work,
        manifest: &Manifest,
        place: usize,
        holder: ValidatorIx,
        store: &Arc<LedgerStore>,
    ) {
        while let Some(turn) = work.turn(place) {
            let Some(index) = turn else {
                // What another one was asked for may come back.
                sleep(Duration::from_millis(50)).await;
                continue;
            };
            let request = SyncRequest::Chunk { height: work.height, index };
            let answer = self.network.request(holder, request).await;
            let name = &manifest.chunks[index as usize];
            match answer {
                Ok(SyncResponse::Bytes(bytes)) if name.names(&bytes) => {
                    let (store, name) = (store.clone(), name.clone());
                    let put = tokio::task::spawn_blocking(move || store.put_chunk(&name, &bytes)).await;
                    match put {
                        Ok(Ok(())) => work.done(place),
                        Ok(Err(error)) => work.fail(error.refusal()),
                        Err(error) => work.fail(Refusal::new(Code::Internal, error.to_string())),
                    }
                }
                Ok(SyncResponse::Bytes(_)) => {
                    tracing::warn!(validator = self.name(holder), index, "gave a forged chunk of a snapshot");
                    work.give_back(place, index, true);
                }
                _ => work.give_back(place, index, false),
            }
        }
    }
}

/// Chunks that are still to be fetched.
struct Work {
    height: Height,
    state: Mutex<WorkState>,
}

struct WorkState {
    open: VecDeque<u32>,
    /// Those that are not in the store.
    left: usize,
    shares: Vec<WorkShare>,
    failed: Option<Refusal>,
}

#[derive(Clone, Default)]
struct WorkShare {
    chunks: usize,
    failures: usize,
    dropped: Option<String>,
}

impl Work {
    fn new(height: Height, open: VecDeque<u32>, holders: usize) -> Self {
        let shares = vec![WorkShare::default(); holders];
        Self { height, state: Mutex::new(WorkState { left: open.len(), open, shares, failed: None }) }
    }

    fn with<T>(&self, change: impl FnOnce(&mut WorkState) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The next chunk to ask a holder for, none as long as all are asked for; nothing when there is no more to do for it.
    fn turn(&self, place: usize) -> Option<Option<u32>> {
        self.with(|state| {
            let over = state.left == 0 || state.failed.is_some() || state.shares[place].dropped.is_some();
            (!over).then(|| state.open.pop_front())
        })
    }

    fn done(&self, place: usize) {
        self.with(|state| {
            state.left -= 1;
            state.shares[place].chunks += 1;
            state.shares[place].failures = 0;
        });
    }

    fn fail(&self, refusal: Refusal) {
        self.with(|state| state.failed = Some(refusal));
    }

    /// A chunk did not come, or a forged one did.
    fn give_back(&self, place: usize, index: u32, forged: bool) {
        self.with(|state| {
            state.open.push_front(index);
            let share = &mut state.shares[place];
            share.failures += 1;
            if forged {
                share.dropped = Some(format!("chunk {index} that it gave is forged"));
            } else if share.failures >= FAILURES_MAX && share.dropped.is_none() {
                share.dropped = Some(format!("it did not give chunk {index}"));
            }
        });
    }
}

/// Lays down the consensus store of a node that begins above a block.
fn lay_down(
    store: &ConsensusStore,
    ladder: &Ladder,
    tip: &consensus::engine::Tip,
    runs: &[crate::storage::consensus::Run],
    own: &ConsensusStore,
) -> Result<(), StorageError> {
    let ended = tip.header.as_ref().map_or(0, |header| {
        let closing = header.flags.contains(chain_core::block::Flags::CLOSING);
        header.epoch.get() + u64::from(closing)
    });
    // Epochs that end later this node sees end.
    let of_past = |passage: &&Passage| match passage {
        Passage::HandOver(hand_over) => hand_over.next.epoch().get() <= ended,
        Passage::Recovery(recovery) => recovery.act.height <= tip.height,
    };
    let past: Vec<Passage> = ladder.passages().iter().take_while(of_past).cloned().collect();
    store.found_epochs(&past)?;
    let by_act = matches!(past.last(), Some(Passage::Recovery(last)) if last.act.height == tip.height);
    let lanes = if by_act { LaneFrontier::default() } else { tip.lanes.clone() };
    store.found(tip.height, lanes, runs)?;
    if let Some(act) = own.act(ladder.newest().committee.epoch())? {
        store.set_act(&act)?;
    }
    if let Some(record) = own.safety()? {
        let mut write = SyncedWrite::default();
        store.add(&mut write, &Write::Safety(Box::new(record)))?;
        store.commit(write)?;
    }
    Ok(())
}

fn refuse(error: StorageError) -> Refusal {
    error.refusal()
}

#[cfg(test)]
mod tests;
