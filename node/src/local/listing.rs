//! Lists of records: by agency, type, status, day, and the agency's own number.
//!
//! There is an index by agency and one by type, which say no more than the headers in the record log. A number stands in
//! bodies only, and an index of numbers would still tell them when the body is gone: looking for one goes through the
//! bodies that the reader may see, page by page.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use chain_core::api::{Page, RecordView};
use chain_core::code::{Code, Refusal};
use chain_core::date::Date;
use chain_core::execute::LedgerRead as _;
use chain_core::lane::BatchRef;
use chain_core::layout::Layout as _;
use chain_core::leaf::Leaf;
use chain_core::read::{derived_status, is_body_disclosed};
use chain_core::record::body::judge;
use chain_core::record::{Header, RecordType, TypeKey};
use chain_core::state::{RecordHead, SchemaEntry, Status, key};
use chain_core::transaction::{Batch, Body};
use serde_json::Value;

use super::records::not_found;
use super::{Local, corrupt, cursor_from, read, refuse};
use crate::handle::{PAGE_MAX, RecordFilter};
use crate::storage::keys::List;
use crate::storage::ledger::Snapshot;

/// Records looked at for one page of a list that filters: the page may then be short, and goes on. It may be more by those
/// that were read together with the last one.
const SCAN_MAX: usize = 5_000;
/// How many records a body that is read counts for.
const BODY_COST: usize = 10;

/// What is asked of each record of a list.
struct Wanted<'f> {
    record_type: Option<&'f str>,
    status: Option<Status>,
    from: Option<Date>,
    to: Option<Date>,
    number: Option<&'f str>,
}

impl<'f> Wanted<'f> {
    fn of(filter: &'f RecordFilter) -> Result<Self, Refusal> {
        let refuse = |detail: String| Err(Refusal::new(Code::BadParameter, detail));
        let status = match filter.status.as_deref() {
            None => None,
            Some(name) => match Status::from_name(name) {
                None => return refuse(format!("no status is called {name:?}")),
                known => known,
            },
        };
        if let (Some(from), Some(to)) = (filter.from, filter.to)
            && from > to
        {
            return refuse(format!("from is {from} and to is {to}, wants the earlier day first"));
        }
        if filter.number.is_some() && (filter.agency.is_none() || filter.record_type.is_none()) {
            return refuse("number is the agency's own, wants agency and type beside it".to_owned());
        }
        Ok(Self {
            record_type: filter.record_type.as_deref(),
            status,
            from: filter.from,
            to: filter.to,
            number: filter.number.as_deref(),
        })
    }

    /// Whether the head alone says enough.
    fn is_of_head(&self) -> bool {
        self.from.is_none() && self.to.is_none() && self.number.is_none()
    }

    /// Whether an act of a day is wanted.
    fn has(&self, day: Option<Date>) -> bool {
        let within =
            |day: Date| self.from.is_none_or(|from| from <= day) && self.to.is_none_or(|to| day <= to);
        (self.from.is_none() && self.to.is_none()) || day.is_some_and(within)
    }
}

/// What going through a list costs, and what it remembers.
struct Scan {
    today: Date,
    /// Records looked at, bodies counted as many.
    cost: usize,
    /// The batch read last.
    batch: Option<(BatchRef, Batch)>,
    /// Where bodies of registered types have their number, by version of the type.
    numbers: HashMap<(TypeKey, u16), Option<String>>,
}

/// The day of an act: of its decision, else the first in effect, else of the block of this version; the genesis is no block.
fn day_of(leaf: &Leaf, header: &Header, utc_offset_minutes: i16) -> Option<Date> {
    let filed = match leaf {
        Leaf::Signed(leaf) => Some(leaf.time_ms),
        Leaf::Found(leaf) => Some(leaf.time_ms),
        _ => None,
    };
    header
        .decided_on
        .or(header.effective_from)
        .or_else(|| filed.map(|time_ms| Date::of_time(time_ms, utc_offset_minutes)))
}

impl Local {
    /// A page of records.
    pub(super) fn list(
        &self,
        filter: &RecordFilter,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<RecordView>, Refusal> {
        let wanted = Wanted::of(filter)?;
        if wanted.number.is_some() {
            self.core.check_caught_up()?;
        }
        let snapshot = self.snapshot()?;
        let limit = limit.clamp(1, PAGE_MAX);
        let list = match (&filter.agency, &filter.record_type) {
            (Some(agency), _) => List::Agency(agency),
            (None, Some(name)) => List::Type(name),
            (None, None) => List::All,
        };
        let mut from = cursor_from(cursor)?.unwrap_or(0);
        let mut items = Vec::new();
        let today = self.today(&snapshot)?;
        let mut scan = Scan { today, cost: 0, batch: None, numbers: HashMap::new() };
        loop {
            let found = snapshot.list(list, from, limit + 1).map_err(refuse)?;
            let more = found.len() > limit;
            for (leaf, record) in found.into_iter().take(limit) {
                if items.len() == limit {
                    return Ok(page(items, Some(leaf), &snapshot));
                }
                from = leaf + 1;
                let head = self.head(&snapshot, &record)?.ok_or_else(|| not_found(&record))?;
                if self.fits(&snapshot, &head, &wanted, &mut scan)? {
                    items.push(self.view(&snapshot, &record, &head)?);
                }
            }
            if !more {
                return Ok(page(items, None, &snapshot));
            }
            if scan.cost >= SCAN_MAX || items.len() == limit {
                return Ok(page(items, Some(from), &snapshot));
            }
        }
    }

    /// Whether a record is wanted, as its reader sees it today.
    fn fits(
        &self,
        snapshot: &Snapshot<'_>,
        head: &RecordHead,
        wanted: &Wanted<'_>,
        scan: &mut Scan,
    ) -> Result<bool, Refusal> {
        scan.cost += 1;
        let status = derived_status(head, &head.current, scan.today).0;
        let fits = wanted.record_type.is_none_or(|name| head.record_type.name() == name)
            && wanted.status.is_none_or(|wanted| wanted == status);
        if !fits || wanted.is_of_head() {
            return Ok(fits);
        }
        let leaf = self.leaf(snapshot, head.current.leaf_index)?;
        let header = leaf.header().ok_or_else(|| corrupt("record head", "names a leaf without a header"))?;
        if !wanted.has(day_of(&leaf, header, self.core.chain.utc_offset_minutes)) {
            return Ok(false);
        }
        wanted.number.map_or(Ok(true), |number| self.has_number(snapshot, head, &leaf, number, scan))
    }

    /// Whether the body of a record has a number, as far as the reader may see it. Of one that this node does not keep it
    /// cannot be said that it has not.
    fn has_number(
        &self,
        snapshot: &Snapshot<'_>,
        head: &RecordHead,
        leaf: &Leaf,
        number: &str,
        scan: &mut Scan,
    ) -> Result<bool, Refusal> {
        let Some(header) = leaf.header().filter(|header| header.natural_key.is_some()) else {
            return Ok(false);
        };
        let erased = head.current.status.is_without_bodies();
        if erased || !is_body_disclosed(head, &head.current, &self.reader, scan.today) {
            return Ok(false);
        }
        scan.cost += BODY_COST;
        match self.body_beside(snapshot, leaf, &mut scan.batch)? {
            Some(body) => Ok(self.number_of(snapshot, header, &body, scan)?.as_deref() == Some(number)),
            None => self.is_body_elsewhere(snapshot, leaf),
        }
    }

    /// The agency's own number in a body.
    fn number_of(
        &self,
        snapshot: &Snapshot<'_>,
        header: &Header,
        body: &Body,
        scan: &mut Scan,
    ) -> Result<Option<String>, Refusal> {
        let RecordType::Registered(type_key) = header.record_type else {
            return Ok(judge(header.record_type, header.class, &body.json).ok().and_then(|body| body.number));
        };
        let version = (type_key, header.schema_version);
        let property = match scan.numbers.entry(version) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(number_property(snapshot, version)?),
        };
        let Some(property) = property.as_deref() else { return Ok(None) };
        let body = serde_json::from_str::<Value>(&body.json).map_err(|error| corrupt("body", error))?;
        Ok(body.get(property).and_then(Value::as_str).map(str::to_owned))
    }
}

/// The property of a registered type that is the agency's own number, if it has one.
fn number_property(
    snapshot: &Snapshot<'_>,
    (type_key, version): (TypeKey, u16),
) -> Result<Option<String>, Refusal> {
    let entry = snapshot.get(&key::schema(type_key, version)).map_err(read)?;
    let entry = entry.map(|bytes| SchemaEntry::from_canonical(&bytes)).transpose();
    let entry = entry.map_err(|error| corrupt("schema", error))?;
    Ok(entry.and_then(|entry| entry.details.bindings.number))
}

fn page(items: Vec<RecordView>, next: Option<u64>, snapshot: &Snapshot<'_>) -> Page<RecordView> {
    Page { items, next_cursor: next.map(|at| at.to_string()), height: snapshot.height() }
}
