//! The node as its own API sees it: [`Node`] over the stores and the queues of this process.

mod access;
mod blocks;
mod cursor;
mod deadlines;
mod evidence;
mod feed;
mod listing;
mod proofs;
mod records;
mod state;
mod status;
mod submit;
mod timeline;
mod trial;
mod validators;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chain_core::access::{Answer, DayRoot, SignedQuery};
use chain_core::api::{
    BlockView, Cursor, DeadlineView, EvidenceView, HistoryEntry, NodeStatus, Page, PassageView, RawBlock,
    ReadyView, RecordView, Stage, TimelineView, TransactionStatus, ValidatorsView, Why,
};
use chain_core::code::{Code, Refusal};
use chain_core::crypto::{Digest, PublicKey};
use chain_core::date::Date;
use chain_core::id::{Epoch, Height, RecordId, TxId};
use chain_core::org::OrgId;
use chain_core::read::Reader;
use chain_core::record::governance::Role;
use chain_core::state::EntryName;
use chain_core::state_proof::StateProof;
use chain_core::subject::proof::SubjectProof;
use chain_core::transaction::Submission;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::backup::verified::Watched;
use crate::driver::core::Core;
use crate::handle::{AskedMoment, FeedPage, FeedQuery, Metric, Node, ReceiptForm, RecordFilter, Trial};
use crate::storage::StorageError;
use crate::storage::ledger::Snapshot;
use proofs::Trees;
use submit::Members;
use trial::Trials;

/// How long a client of a full queue should wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How often a transaction is looked up when too many are followed to be told.
const POLL: Duration = Duration::from_millis(250);

/// This process's node.
#[derive(Debug)]
pub(crate) struct Local {
    core: Arc<Core>,
    genesis: Arc<str>,
    network: String,
    reader: Reader,
    members: Mutex<Members>,
    trials: Trials,
    trees: Trees,
    /// The folder for backups, if the configuration names one.
    backups: Option<Arc<Watched>>,
}

impl Local {
    /// A handle on a running node.
    pub(crate) fn new(core: Arc<Core>, genesis: Arc<str>, network: String, reader: Reader) -> Self {
        Self {
            core,
            genesis,
            network,
            reader,
            members: Mutex::default(),
            trials: Trials::default(),
            trees: Trees::default(),
            backups: None,
        }
    }

    /// Tells how old the backups in a folder are, too.
    pub(crate) fn watching(self, backups: Option<Arc<Watched>>) -> Self {
        Self { backups, ..self }
    }

    fn snapshot(&self) -> Result<Snapshot<'_>, Refusal> {
        self.core.ledger.snapshot().map_err(refuse)
    }
}

impl Node for Local {
    fn submit(&self, submission: Submission) -> Result<TxId, Refusal> {
        self.queue(submission)
    }

    fn check(&self, submission: &Submission) -> Result<Trial, Refusal> {
        self.trial(submission)
    }

    fn retry_after(&self) -> Duration {
        RETRY_AFTER
    }

    fn transaction(&self, tx: TxId) -> Result<TransactionStatus, Refusal> {
        self.stage_of(tx)
    }

    fn wait(&self, tx: TxId, stage: Stage) -> BoxFuture<'static, ()> {
        let followed = self.core.tracker.watch(tx);
        let core = self.core.clone();
        async move {
            let done = || {
                core.ledger
                    .snapshot()
                    .and_then(|snapshot| snapshot.place(&tx))
                    .is_ok_and(|place| place.is_some())
            };
            let known = followed.as_ref().is_some_and(|stage| *stage.borrow() > Stage::Unknown);
            if !known && done() {
                return;
            }
            let Some(mut followed) = followed else {
                while !done() {
                    tokio::time::sleep(POLL).await;
                }
                return;
            };
            // The follower is dropped once the transaction is executed: its last word counts.
            while *followed.borrow_and_update() < stage {
                if followed.changed().await.is_err() {
                    return;
                }
            }
        }
        .boxed()
    }

    fn record(&self, record: RecordId) -> Result<RecordView, Refusal> {
        self.record_view(&self.snapshot()?, &record)
    }

    fn timeline(&self, record: RecordId, moment: AskedMoment) -> Result<TimelineView, Refusal> {
        self.timeline_of(record, moment)
    }

    fn access(&self, asked: &SignedQuery) -> Result<Answer, Refusal> {
        self.answer(asked)
    }

    fn access_root(&self, agency: &OrgId, day: Date) -> Result<DayRoot, Refusal> {
        self.day_root(agency, day)
    }

    fn history(
        &self,
        record: RecordId,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<HistoryEntry>, Refusal> {
        self.history_page(&record, cursor, limit)
    }

    fn records(
        &self,
        filter: &RecordFilter,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<RecordView>, Refusal> {
        self.list(filter, cursor, limit)
    }

    fn deadlines(
        &self,
        agency: Option<&OrgId>,
        overdue: bool,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<DeadlineView>, Refusal> {
        self.deadline_page(agency, overdue, cursor, limit)
    }

    fn receipt(&self, record: RecordId, version: Option<u32>, form: ReceiptForm) -> Result<Vec<u8>, Refusal> {
        self.receipt_of(&record, version, form)
    }

    fn state_proof(&self, entry: EntryName, at: Option<Height>) -> Result<StateProof, Refusal> {
        self.proved_state(entry, at)
    }

    fn subject_proof(&self, subject: OrgId, at: Option<Height>) -> Result<SubjectProof, Refusal> {
        self.proved_subject(subject, at)
    }

    fn feed(&self, query: &FeedQuery, limit: usize) -> Result<FeedPage, Refusal> {
        self.feed_page(query, limit)
    }

    fn feed_from(&self, height: Height) -> Result<Cursor, Refusal> {
        self.feed_cursor(height)
    }

    fn block(&self, height: Height) -> Result<BlockView, Refusal> {
        self.block_view(&self.snapshot()?, height)
    }

    fn height_of(&self, digest: Digest) -> Result<Height, Refusal> {
        self.height_of_block(&digest)
    }

    fn blocks(&self, cursor: Option<&str>, limit: usize) -> Result<Page<BlockView>, Refusal> {
        self.block_page(cursor, limit)
    }

    fn raw_blocks(&self, from: Height, limit: usize) -> Result<Vec<RawBlock>, Refusal> {
        self.raw(from, limit)
    }

    fn height(&self) -> Height {
        self.core.executed()
    }

    fn validators(&self) -> Result<ValidatorsView, Refusal> {
        self.validators_view()
    }

    fn hand_over(&self, epoch: Epoch) -> Result<PassageView, Refusal> {
        self.passage_of(epoch)
    }

    fn say_ready(&self) -> Result<ReadyView, Refusal> {
        self.ready_word()
    }

    fn evidence(&self, cursor: Option<&str>, limit: usize) -> Result<Page<EvidenceView>, Refusal> {
        self.evidence_page(cursor, limit)
    }

    fn status(&self) -> NodeStatus {
        self.node_status()
    }

    fn why(&self) -> Why {
        crate::why::diagnosis(&self.core)
    }

    fn ready(&self) -> Result<(), Refusal> {
        self.readiness()
    }

    fn genesis(&self) -> Arc<str> {
        self.genesis.clone()
    }

    fn checkpoint(&self) -> Result<String, Refusal> {
        let newest = self.core.checkpoints.newest();
        newest.map(|published| published.signed.to_text()).ok_or_else(|| {
            Refusal::new(Code::NotYetExecuted, "no checkpoint has a quorum of cosignatures yet")
        })
    }

    fn tile(&self, level: u8, index: u64, width: u16) -> Result<Vec<u8>, Refusal> {
        self.tile_bytes(level, index, width)
    }

    fn entries(&self, index: u64, width: u16) -> Result<Vec<u8>, Refusal> {
        self.bundle_bytes(index, width)
    }

    fn metrics(&self) -> Vec<Metric> {
        let backups = self.backups.iter().flat_map(|backups| backups.samples());
        self.samples().into_iter().chain(backups).collect()
    }
}

fn refuse(error: StorageError) -> Refusal {
    error.refusal()
}

fn read(error: chain_core::execute::ReadError) -> Refusal {
    Refusal::new(Code::StorageFailed, error.to_string())
}

fn corrupt(what: &str, error: impl std::fmt::Display) -> Refusal {
    Refusal::new(Code::StorageCorrupt, format!("{what}: {error}"))
}

/// A position in a list, as text that says nothing else.
fn cursor_from(text: Option<&str>) -> Result<Option<u64>, Refusal> {
    let bad = |_| Refusal::new(Code::BadParameter, "the cursor is none that this node gave");
    text.map(str::parse).transpose().map_err(bad)
}

/// The names of roles, for refusals.
fn roles_named(roles: &[Role]) -> String {
    let names: Vec<&str> = roles.iter().map(|role| role.name()).collect();
    names.join(" or ")
}

/// First eight bytes of a key, for logs.
fn short(key: &PublicKey) -> String {
    key.short()
}
