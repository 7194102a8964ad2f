//! Reading records: one, its history, lists.

use chain_core::api::{HistoryEntry, Page, PendingView, RecordView, SignerView};
use chain_core::code::{Code, Refusal};
use chain_core::date::Date;
use chain_core::execute::LedgerRead as _;
use chain_core::id::RecordId;
use chain_core::layout::Layout as _;
use chain_core::leaf::Leaf;
use chain_core::operation::Step;
use chain_core::state::{Flags, RecordHead, Signer, Status, key};
use chain_core::transaction::Body;
use serde_json::Value;

use super::proofs::leaf_version;
use super::{Local, corrupt, cursor_from, read, refuse};
use crate::handle::{PAGE_MAX, RecordFilter};
use crate::storage::keys::List;
use crate::storage::ledger::Snapshot;

/// Records looked at for one page of a list that filters: the page may then be short, and goes on.
const SCAN_MAX: usize = 5_000;

/// No record has this id.
pub(super) fn not_found(record: &RecordId) -> Refusal {
    Refusal::new(Code::RecordNotFound, record.to_string())
}

impl Local {
    fn head(&self, snapshot: &Snapshot<'_>, record: &RecordId) -> Result<Option<RecordHead>, Refusal> {
        let bytes = snapshot.get(&key::record(record)).map_err(read)?;
        bytes
            .map(|bytes| RecordHead::from_canonical(&bytes).map_err(|error| corrupt("record head", error)))
            .transpose()
    }

    fn leaf(&self, snapshot: &Snapshot<'_>, index: u64) -> Result<Leaf, Refusal> {
        let bytes = snapshot.leaf(index).map_err(refuse)?;
        let bytes = bytes.ok_or_else(|| corrupt("record log", format!("leaf {index} is missing")))?;
        Leaf::decode(&bytes).map_err(|error| corrupt("leaf", error))
    }

    /// A record as it stands.
    pub(super) fn record_view(
        &self,
        snapshot: &Snapshot<'_>,
        record: &RecordId,
    ) -> Result<RecordView, Refusal> {
        let head = self.head(snapshot, record)?.ok_or_else(|| not_found(record))?;
        self.view(snapshot, record, &head)
    }

    fn view(
        &self,
        snapshot: &Snapshot<'_>,
        record: &RecordId,
        head: &RecordHead,
    ) -> Result<RecordView, Refusal> {
        let current = &head.current;
        let leaf = self.leaf(snapshot, current.leaf_index)?;
        let header = leaf.header().map(serde_json::to_value).transpose();
        let header = header.map_err(|error| corrupt("header", error))?.unwrap_or(Value::Null);
        let body = match self.is_shown(snapshot, head)? {
            true => self.body_of(snapshot, &leaf)?,
            false => None,
        };
        let body = body.map(|body| serde_json::from_str(&body.json)).transpose();
        Ok(RecordView {
            record: *record,
            record_type: head.record_type.name().to_owned(),
            agency: head.agency.to_string(),
            version: current.version,
            status: current.status.name().to_owned(),
            flags: head.flags.names().into_iter().map(str::to_owned).collect(),
            class: head.class.name().to_owned(),
            header_digest: current.header_digest,
            header,
            body: body.map_err(|error| corrupt("body", error))?,
            leaf_index: current.leaf_index,
            signers: signers(&current.signers),
            missing: current.needs.names(),
            pending: pending(head),
            changed_at: head.changed_at,
            height: snapshot.height(),
        })
    }

    /// Whether the body may be shown to everybody: publication not stopped, its time not over, not disposed of.
    fn is_shown(&self, snapshot: &Snapshot<'_>, head: &RecordHead) -> Result<bool, Refusal> {
        let time_ms = snapshot.tip().map_err(refuse)?.map_or(0, |tip| tip.time_ms);
        let today = Date::of_time(time_ms, self.core.chain.utc_offset_minutes);
        let over = head.current.publish_until.is_some_and(|until| until < today);
        let gone = matches!(head.current.status, Status::Sealed | Status::Erased);
        Ok(!over && !gone && !head.flags.contains(Flags::PUBLICATION_STOPPED))
    }

    /// The body that a leaf's header commits to, if it is shared and still held.
    pub(super) fn body_of(&self, snapshot: &Snapshot<'_>, leaf: &Leaf) -> Result<Option<Body>, Refusal> {
        let Leaf::Signed(leaf) = leaf else { return Ok(None) };
        if leaf.operation.shared_body_commit().is_none() {
            return Ok(None);
        }
        let Some(place) = snapshot.place(&leaf.tx).map_err(refuse)? else { return Ok(None) };
        let names = snapshot.ordered(place.height).map_err(refuse)?;
        let Some(name) = names.get(place.batch as usize) else { return Ok(None) };
        let batch = self.stored(name)?;
        let submission = batch.submissions.into_iter().nth(place.position as usize);
        let body = submission.and_then(|one| one.bodies.into_iter().nth(usize::from(leaf.operation_index)));
        Ok(body.flatten())
    }

    /// A page of a record's life.
    pub(super) fn history_page(
        &self,
        record: &RecordId,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<HistoryEntry>, Refusal> {
        let snapshot = self.snapshot()?;
        let from = cursor_from(cursor)?.unwrap_or(0);
        let limit = limit.clamp(1, PAGE_MAX);
        let mut leaves = snapshot.record_leaves(record, from, limit + 1).map_err(refuse)?;
        if leaves.is_empty() && cursor.is_none() {
            return Err(not_found(record));
        }
        let next = (leaves.len() > limit).then(|| leaves.pop()).flatten();
        let items = leaves
            .into_iter()
            .map(|index| self.leaf(&snapshot, index).map(|leaf| entry(index, &leaf)))
            .collect::<Result<_, _>>()?;
        Ok(Page { items, next_cursor: next.map(|at| at.to_string()), height: snapshot.height() })
    }

    /// A page of records.
    pub(super) fn list(
        &self,
        filter: &RecordFilter,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<RecordView>, Refusal> {
        let snapshot = self.snapshot()?;
        let status = filter.status.as_deref().map(|name| {
            Status::from_name(name)
                .ok_or_else(|| Refusal::new(Code::BadParameter, format!("no status is called {name:?}")))
        });
        let status = status.transpose()?;
        let limit = limit.clamp(1, PAGE_MAX);
        let list = match (&filter.agency, &filter.record_type) {
            (Some(agency), _) => List::Agency(agency),
            (None, Some(name)) => List::Type(name),
            (None, None) => List::All,
        };
        let mut from = cursor_from(cursor)?.unwrap_or(0);
        let mut items = Vec::new();
        let mut scanned = 0;
        loop {
            let found = snapshot.list(list, from, limit + 1).map_err(refuse)?;
            let more = found.len() > limit;
            for (leaf, record) in found.into_iter().take(limit) {
                if items.len() == limit {
                    return Ok(page(items, Some(leaf), &snapshot));
                }
                from = leaf + 1;
                scanned += 1;
                let head = self.head(&snapshot, &record)?.ok_or_else(|| not_found(&record))?;
                let fits = filter.record_type.as_deref().is_none_or(|name| head.record_type.name() == name)
                    && status.is_none_or(|status| head.current.status == status);
                if fits {
                    items.push(self.view(&snapshot, &record, &head)?);
                }
            }
            if !more {
                return Ok(page(items, None, &snapshot));
            }
            if scanned >= SCAN_MAX || items.len() == limit {
                return Ok(page(items, Some(from), &snapshot));
            }
        }
    }
}

fn page(items: Vec<RecordView>, next: Option<u64>, snapshot: &Snapshot<'_>) -> Page<RecordView> {
    Page { items, next_cursor: next.map(|at| at.to_string()), height: snapshot.height() }
}

/// What waits for approvals beside the version that counts.
fn pending(head: &RecordHead) -> Option<PendingView> {
    if let Some(step) = &head.pending {
        return Some(PendingView {
            operation: step.step.name().to_owned(),
            version: head.current.version,
            digest: step.digest,
            missing: step.needs.names(),
            signers: signers(&step.signers),
        });
    }
    head.next.as_ref().map(|next| PendingView {
        operation: Step::Amend.name().to_owned(),
        version: next.version,
        digest: next.header_digest,
        missing: next.needs.names(),
        signers: signers(&next.signers),
    })
}

fn signers(signers: &[Signer]) -> Vec<SignerView> {
    let view = |signer: &Signer| SignerView {
        key: signer.key,
        role: signer.role.name().to_owned(),
        operation: signer.step.name().to_owned(),
    };
    signers.iter().map(view).collect()
}

fn entry(leaf_index: u64, leaf: &Leaf) -> HistoryEntry {
    let (height, time_ms, operation, author, status) = match leaf {
        Leaf::Signed(one) => {
            (one.height, one.time_ms, one.operation.step().name(), Some(one.author), one.status.name())
        }
        Leaf::Automatic(one) => (one.height, one.time_ms, one.step.name(), None, one.status.name()),
        Leaf::Genesis(_) => (chain_core::id::Height::ZERO, 0, "genesis", None, Status::Effective.name()),
        Leaf::Seal(one) => (one.height, 0, "seal", None, ""),
    };
    HistoryEntry {
        height,
        time_ms,
        leaf_index,
        operation: operation.to_owned(),
        author,
        version: leaf_version(leaf),
        status: status.to_owned(),
        leaf: leaf.to_json(),
    }
}
