//! The index of subjects: what a block lists of an organisation's published records, and what it forgets.
//!
//! A version waits with its [`Listing`] from the moment its body was judged. It is listed while it is in effect and in
//! publication; once it can never be listed any more, everything that links it is removed.

use jmt::KeyHash;
use jmt::storage::TreeUpdateBatch;

use super::{AUTOMATIC_STEPS_MAX, Execution, LedgerRead, ReadError};
use crate::canonical::Reader;
use crate::crypto::Digest;
use crate::date::Date;
use crate::id::RecordId;
use crate::layout::Layout as _;
use crate::org::OrgId;
use crate::record::{Header, SubjectKind};
use crate::state::{Flags, RecordHead, Status, VersionHead, key, tree};
use crate::subject::{Index, IndexEntry, Listing};

/// Whom a body is about, for the index.
pub(super) struct Subject {
    pub(super) organisation: OrgId,
    pub(super) salt: Option<Digest>,
}

/// What the index has to do with a version.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    /// It is listed.
    Listed,
    /// It may be listed later.
    Waits,
    /// It never will be any more, or was never to be.
    Gone,
}

/// Where a version of a record belongs on a day.
fn place_of(head: &RecordHead, version: &VersionHead, today: Date) -> Place {
    let Some(from) = version.publish_from else { return Place::Gone };
    let over = [version.publish_until, version.effective_to].into_iter().flatten().any(|last| today > last);
    if over || head.flags.contains(Flags::PUBLICATION_STOPPED) {
        return Place::Gone;
    }
    match version.status {
        Status::Effective | Status::Suspended | Status::Repaired if from <= today => Place::Listed,
        Status::Effective | Status::Suspended | Status::Repaired | Status::Submitted => Place::Waits,
        _ => Place::Gone,
    }
}

impl<L: LedgerRead> Execution<'_, L> {
    /// Keeps whom an accepted version is about. One whose body names no identifier is listed nowhere; of one whose body was
    /// gone before this node executed it (not `seen`) only others know.
    pub(super) fn keep_listing(&mut self, header: &Header, subject: Option<Subject>, seen: bool) {
        let (Some(index_key), Some(_)) = (self.index.key(), header.publish_from) else { return };
        let listed = header.class.body_is_shared() && header.subject_kind == SubjectKind::Organisation;
        match subject {
            Some(subject) => {
                let listing = Listing::new(index_key.tag(&subject.organisation), subject.salt);
                self.state.put(key::listing(&header.record, header.version), listing.to_canonical());
            }
            None if listed && !seen => self.state.put(key::unseen(&header.record), Vec::new()),
            None => {}
        }
    }

    /// Remembers that a record changed, if it is one that may be listed.
    pub(super) fn touch(&mut self, record: RecordId, head: &RecordHead) {
        if self.index.key().is_some()
            && head.class.body_is_shared()
            && head.subject_kind == SubjectKind::Organisation
        {
            self.touched.insert(record);
        }
    }

    /// Takes up records whose publication begins, oldest day first.
    pub(super) fn begin_publications(&mut self) -> Result<(), ReadError> {
        let (from, to) = (key::to_list_from(Date::MIN), key::to_list_from(self.today.next()));
        for (due, _) in self.state.ledger().range(&from, &to, AUTOMATIC_STEPS_MAX)? {
            let record = due.get(5..).map(|bytes| RecordId::read(&mut Reader::new(bytes)));
            self.state.remove(due);
            if let Some(Ok(record)) = record {
                self.touched.insert(record);
            }
        }
        Ok(())
    }

    /// Brings the index up to the end of the block; gives what that does to its tree.
    pub(super) fn settle_index(&mut self) -> Result<Option<TreeUpdateBatch>, ReadError> {
        let Some(entry) = self.state.read::<IndexEntry>(&key::index())? else {
            return Ok(None);
        };
        match self.index {
            Index::None => {
                Err(ReadError("the chain keeps an index of subjects, and its key is not here".to_owned()))
            }
            Index::Recorded(after) => {
                if let Some(after) = after {
                    self.state.put(key::index(), after.to_canonical());
                }
                Ok(None)
            }
            Index::Computed(index_key) | Index::Completed(index_key, _)
                if index_key.public() != entry.key =>
            {
                Err(ReadError(format!(
                    "the key of the index of subjects is {}, the ledger's {}",
                    index_key.public(),
                    entry.key
                )))
            }
            Index::Computed(_) => self.change_index(entry, None),
            Index::Completed(_, after) => self.change_index(entry, Some(after)),
        }
    }

    /// Changes the index by what this block does to it; where it is recorded what came of that, the record counts.
    fn change_index(
        &mut self,
        entry: IndexEntry,
        recorded: Option<Option<IndexEntry>>,
    ) -> Result<Option<TreeUpdateBatch>, ReadError> {
        let mut changes = Vec::new();
        for record in std::mem::take(&mut self.touched) {
            self.settle(record, &mut changes)?;
        }
        let changed = recorded.map_or(!changes.is_empty(), |recorded| recorded.is_some());
        if !changed {
            return match changes.len() {
                0 => Ok(None),
                more => Err(ReadError(format!(
                    "block {} changes {more} places of the index of subjects, its record says none",
                    self.height
                ))),
            };
        }
        let (root, batch) = tree::update_index(self.state.ledger(), entry.changes, changes)?;
        let after = IndexEntry { changes: entry.changes.saturating_add(1), root, ..entry };
        let after = match recorded.flatten() {
            None => after,
            Some(recorded) if (recorded.key, recorded.changes) == (after.key, after.changes) => recorded,
            Some(recorded) => {
                return Err(ReadError(format!(
                    "block {} is change {} of the index of subjects, its record says {}",
                    self.height, after.changes, recorded.changes
                )));
            }
        };
        self.state.put(key::index(), after.to_canonical());
        Ok(Some(batch))
    }

    /// Brings one record to where it belongs.
    fn settle(&mut self, record: RecordId, changes: &mut Vec<tree::TreeWrite>) -> Result<(), ReadError> {
        let Some(head) = self.state.read::<RecordHead>(&key::record(&record))? else { return Ok(()) };
        let current = head.current.version;
        let place = place_of(&head, &head.current, self.today);
        let was = self.state.read::<u32>(&key::listed(&record))?;
        let listing = self.state.read::<Listing>(&key::listing(&record, current))?;
        let now = (place == Place::Listed && listing.is_some()).then_some(current);
        if was != now {
            if let Some(version) = was
                && let Some(old) = self.state.read::<Listing>(&key::listing(&record, version))?
            {
                changes.push((KeyHash(*old.place(&record).as_bytes()), None));
                self.state.remove(key::listed(&record));
                self.state.remove(key::listed_under(&old.tag(), &record));
            }
            if let (Some(version), Some(listing)) = (now, listing) {
                // A version about the same organisation stands at the same place: the last write counts.
                let place = KeyHash(*listing.place(&record).as_bytes());
                changes.retain(|(other, _)| *other != place);
                changes.push((place, Some(listing.value(&record))));
                self.state.put(key::listed(&record), version.to_canonical());
                self.state.put(key::listed_under(&listing.tag(), &record), version.to_canonical());
            }
        }
        if let (Place::Waits, Some(from), Some(_)) = (place, head.current.publish_from, listing)
            && from > self.today
        {
            self.state.put(key::to_list(from, &record), Vec::new());
        }
        let waits = head.next.as_ref().map(|next| next.version);
        for version in current.saturating_sub(1)..=current.saturating_add(1) {
            let kept = (version == current && place != Place::Gone) || Some(version) == waits;
            let of_version = key::listing(&record, version);
            if !kept && self.state.get(&of_version)?.is_some() {
                self.state.remove(of_version);
            }
        }
        let unseen = key::unseen(&record);
        if place == Place::Gone && waits.is_none() && self.state.get(&unseen)?.is_some() {
            self.state.remove(unseen);
        }
        Ok(())
    }
}
