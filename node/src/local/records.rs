//! Reading records: one, its history, lists.

use chain_core::api::{HistoryEntry, Page, RecordView};
use chain_core::code::{Code, Refusal};
use chain_core::date::Date;
use chain_core::execute::LedgerRead as _;
use chain_core::id::RecordId;
use chain_core::lane::BatchRef;
use chain_core::layout::Layout as _;
use chain_core::leaf::Leaf;
use chain_core::read::{Moment, Reader, history_entry, is_body_disclosed, record_view};
use chain_core::state::{RecordHead, key};
use chain_core::transaction::{Batch, Body};

use super::{Local, corrupt, cursor_from, read, refuse};
use crate::handle::PAGE_MAX;
use crate::storage::ledger::Snapshot;

/// No record has this id.
pub(super) fn not_found(record: &RecordId) -> Refusal {
    Refusal::new(Code::RecordNotFound, record.to_string())
}

impl Local {
    pub(super) fn head(
        &self,
        snapshot: &Snapshot<'_>,
        record: &RecordId,
    ) -> Result<Option<RecordHead>, Refusal> {
        let bytes = snapshot.get(&key::record(record)).map_err(read)?;
        bytes
            .map(|bytes| RecordHead::from_canonical(&bytes).map_err(|error| corrupt("record head", error)))
            .transpose()
    }

    pub(super) fn leaf(&self, snapshot: &Snapshot<'_>, index: u64) -> Result<Leaf, Refusal> {
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

    /// The header is public in the record log; the body only where the record is disclosed.
    pub(super) fn view(
        &self,
        snapshot: &Snapshot<'_>,
        record: &RecordId,
        head: &RecordHead,
    ) -> Result<RecordView, Refusal> {
        let time_ms = snapshot.tip().map_err(refuse)?.map_or(0, |tip| tip.time_ms);
        let moment = Moment::new(&self.core.chain, snapshot.height(), time_ms);
        let leaf = self.leaf(snapshot, head.current.leaf_index)?;
        let header = leaf.header().ok_or_else(|| corrupt("record head", "names a leaf without a header"))?;
        let body = self.disclosed_body(snapshot, head, &leaf, moment.today)?;
        let erased = head.current.status.is_without_bodies();
        let body_elsewhere = body.is_none() && !erased && self.is_body_elsewhere(snapshot, &leaf)?;
        let body = body.as_ref().map(|body| body.json.as_str());
        let view = record_view(record, head, header, body, &Reader::Auditor, moment)?;
        let deadlines = self.deadlines_of(snapshot, record, head, moment.today)?;
        let mut flags = view.flags;
        flags.extend(self.derived_marks(snapshot, head)?);
        Ok(RecordView { flags, body_elsewhere, deadlines, ..view })
    }

    /// Whether a body that is shared stood in a block that this node does not keep.
    pub(super) fn is_body_elsewhere(&self, snapshot: &Snapshot<'_>, leaf: &Leaf) -> Result<bool, Refusal> {
        let Leaf::Signed(leaf) = leaf else { return Ok(false) };
        let place = match leaf.operation.shared_body_commit() {
            Some(_) => snapshot.place(&leaf.tx).map_err(refuse)?,
            None => None,
        };
        Ok(place.is_some_and(|place| self.check_kept(place.height).is_err()))
    }

    /// The body of a receipt, for those entitled to it. A version that another replaced is for auditors only.
    pub(super) fn receipt_body(
        &self,
        snapshot: &Snapshot<'_>,
        record: &RecordId,
        version: u32,
        leaf: &Leaf,
    ) -> Result<Option<Body>, Refusal> {
        let Some(head) = self.head(snapshot, record)? else { return Ok(None) };
        if head.current.version != version && !matches!(self.reader, Reader::Auditor) {
            return Ok(None);
        }
        let time_ms = snapshot.tip().map_err(refuse)?.map_or(0, |tip| tip.time_ms);
        let today = Moment::new(&self.core.chain, snapshot.height(), time_ms).today;
        self.disclosed_body(snapshot, &head, leaf, today)
    }

    /// Takes out of a batch the bodies that the reader may not see or that are erased; commitments in the headers stay.
    pub(super) fn withhold(&self, snapshot: &Snapshot<'_>, batch: &mut Batch) -> Result<(), Refusal> {
        let auditor = matches!(self.reader, Reader::Auditor);
        if auditor && snapshot.erasures(1).map_err(refuse)?.is_empty() {
            return Ok(());
        }
        let time_ms = snapshot.tip().map_err(refuse)?.map_or(0, |tip| tip.time_ms);
        let today = Moment::new(&self.core.chain, snapshot.height(), time_ms).today;
        for submission in &mut batch.submissions {
            let operations = &submission.signed.transaction.operations;
            for (operation, slot) in operations.iter().zip(&mut submission.bodies) {
                let Some(header) = operation.header().filter(|_| slot.is_some()) else { continue };
                // What was refused has no head, and nobody but its author ever saw it.
                let head = self.head(snapshot, &header.record)?;
                let shown = head.map_or(auditor, |head| {
                    let current = head.record_type.is_governance() || head.current.version == header.version;
                    let erased = head.current.status.is_without_bodies();
                    !erased
                        && (auditor
                            || current && is_body_disclosed(&head, &head.current, &self.reader, today))
                });
                if !shown {
                    *slot = None;
                }
            }
        }
        Ok(())
    }

    fn disclosed_body(
        &self,
        snapshot: &Snapshot<'_>,
        head: &RecordHead,
        leaf: &Leaf,
        today: Date,
    ) -> Result<Option<Body>, Refusal> {
        let erased = head.current.status.is_without_bodies();
        if erased || !is_body_disclosed(head, &head.current, &self.reader, today) {
            return Ok(None);
        }
        let body = self.body_of(snapshot, leaf)?;
        if body.is_some() {
            self.core.check_caught_up()?;
        }
        Ok(body)
    }

    /// The body that a leaf's header commits to, if it is shared and still held.
    pub(super) fn body_of(&self, snapshot: &Snapshot<'_>, leaf: &Leaf) -> Result<Option<Body>, Refusal> {
        self.body_beside(snapshot, leaf, &mut None)
    }

    /// As [`Self::body_of`], for one after the other: records that were filed together have their bodies in one batch, and
    /// the last one that was read stays in `last`.
    pub(super) fn body_beside(
        &self,
        snapshot: &Snapshot<'_>,
        leaf: &Leaf,
        last: &mut Option<(BatchRef, Batch)>,
    ) -> Result<Option<Body>, Refusal> {
        let Leaf::Signed(leaf) = leaf else { return Ok(None) };
        if leaf.operation.shared_body_commit().is_none() {
            return Ok(None);
        }
        let Some(place) = snapshot.place(&leaf.tx).map_err(refuse)? else { return Ok(None) };
        if place.height < self.core.consensus.first().map_err(refuse)? {
            return Ok(None);
        }
        let names = snapshot.ordered(place.height).map_err(refuse)?;
        let Some(name) = names.get(place.batch as usize) else { return Ok(None) };
        let batch = match last {
            Some((read, batch)) if read == name => batch,
            _ => &mut last.insert((*name, self.stored(name)?)).1,
        };
        let submission = batch.submissions.get(place.position as usize);
        let body = submission.and_then(|one| one.bodies.get(usize::from(leaf.operation_index)));
        Ok(body.cloned().flatten())
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
        let mut items = Vec::with_capacity(leaves.len());
        for index in leaves {
            items.extend(history_entry(&self.leaf(&snapshot, index)?, index));
        }
        Ok(Page { items, next_cursor: next.map(|at| at.to_string()), height: snapshot.height() })
    }
}
