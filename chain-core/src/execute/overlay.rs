//! The state as a block sees it: the ledger below, the block's own writes above.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::schemas::KnownType;
use super::{LedgerRead, ReadError};
use crate::code::Refusal;
use crate::crypto::PublicKey;
use crate::layout::Layout;
use crate::org::OrgId;
use crate::record::{BasisRef, TypeKey};
use crate::state::{AgencyEntry, BasisEntry, EpochEntry, MemberEntry, key};

/// Why a step did not happen.
#[derive(Debug)]
pub(super) enum Fail {
    /// By the rules: an outcome.
    Refused(Refusal),
    /// The ledger cannot be read: the node stops.
    Read(ReadError),
}

impl From<Refusal> for Fail {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<ReadError> for Fail {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

type Value = Option<Vec<u8>>;
type Cache<K, V> = BTreeMap<K, Option<Rc<V>>>;

pub(super) struct Overlay<'a, L> {
    ledger: &'a L,
    writes: BTreeMap<Vec<u8>, Value>,
    /// While an all-or-nothing transaction runs: what each write replaced.
    undo: Option<Vec<(Vec<u8>, Option<Value>)>>,
    agencies: Cache<OrgId, AgencyEntry>,
    members: Cache<PublicKey, MemberEntry>,
    bases: Cache<BasisRef, BasisEntry>,
    pub(super) schemas: Cache<(TypeKey, u16), KnownType>,
    epoch: Option<Option<Rc<EpochEntry>>>,
}

impl<'a, L: LedgerRead> Overlay<'a, L> {
    pub(super) fn new(ledger: &'a L) -> Self {
        Self {
            ledger,
            writes: BTreeMap::new(),
            undo: None,
            agencies: BTreeMap::new(),
            members: BTreeMap::new(),
            bases: BTreeMap::new(),
            schemas: BTreeMap::new(),
            epoch: None,
        }
    }

    pub(super) fn ledger(&self) -> &'a L {
        self.ledger
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Value, ReadError> {
        match self.writes.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.ledger.get(key),
        }
    }

    /// Up to `limit` keys with `from <= key < to`, ascending, as the block's own writes leave them.
    pub(super) fn keys(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Vec<u8>>, ReadError> {
        let own = self.writes.range(from.to_vec()..to.to_vec());
        let removed = own.clone().filter(|(_, value)| value.is_none()).count();
        let below = self.ledger.range(from, to, limit.saturating_add(removed))?;
        let mut keys: BTreeSet<Vec<u8>> = below.into_iter().map(|(key, _)| key).collect();
        for (key, value) in own {
            if value.is_some() {
                keys.insert(key.clone());
            } else {
                keys.remove(key);
            }
        }
        Ok(keys.into_iter().take(limit).collect())
    }

    /// A typed value; what does not decode was damaged on disk.
    pub(super) fn read<T: Layout>(&self, key: &[u8]) -> Result<Option<T>, ReadError> {
        let Some(bytes) = self.get(key)? else {
            return Ok(None);
        };
        T::from_canonical(&bytes)
            .map(Some)
            .map_err(|error| ReadError(format!("state value of kind {:?}: {error}", key.first())))
    }

    pub(super) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.set(key, Some(value));
    }

    pub(super) fn remove(&mut self, key: Vec<u8>) {
        self.set(key, None);
    }

    fn set(&mut self, key: Vec<u8>, value: Value) {
        match &mut self.undo {
            None => {
                self.writes.insert(key, value);
            }
            Some(undo) => {
                let before = self.writes.insert(key.clone(), value);
                undo.push((key, before));
            }
        }
    }

    /// Starts remembering what writes replace.
    pub(super) fn begin(&mut self) {
        self.undo = Some(Vec::new());
    }

    /// Keeps the writes since [`Overlay::begin`].
    pub(super) fn commit(&mut self) {
        self.undo = None;
    }

    /// Takes back the writes since [`Overlay::begin`].
    pub(super) fn rollback(&mut self) {
        for (key, before) in self.undo.take().unwrap_or_default().into_iter().rev() {
            match before {
                Some(value) => self.writes.insert(key, value),
                None => self.writes.remove(&key),
            };
        }
        self.agencies.clear();
        self.members.clear();
        self.bases.clear();
        self.schemas.clear();
        self.epoch = None;
    }

    pub(super) fn take_writes(&mut self) -> Vec<(Vec<u8>, Value)> {
        std::mem::take(&mut self.writes).into_iter().collect()
    }

    pub(super) fn agency(&mut self, agency: &OrgId) -> Result<Option<Rc<AgencyEntry>>, ReadError> {
        if let Some(known) = self.agencies.get(agency) {
            return Ok(known.clone());
        }
        let found = self.read(&key::agency(agency))?.map(Rc::new);
        self.agencies.insert(agency.clone(), found.clone());
        Ok(found)
    }

    pub(super) fn member(&mut self, member: &PublicKey) -> Result<Option<Rc<MemberEntry>>, ReadError> {
        if let Some(known) = self.members.get(member) {
            return Ok(known.clone());
        }
        let found = self.read(&key::member(member))?.map(Rc::new);
        self.members.insert(*member, found.clone());
        Ok(found)
    }

    pub(super) fn basis(&mut self, basis: &BasisRef) -> Result<Option<Rc<BasisEntry>>, ReadError> {
        if let Some(known) = self.bases.get(basis) {
            return Ok(known.clone());
        }
        let found = self.read(&key::basis(basis))?.map(Rc::new);
        self.bases.insert(basis.clone(), found.clone());
        Ok(found)
    }

    pub(super) fn epoch(&mut self) -> Result<Option<Rc<EpochEntry>>, ReadError> {
        if let Some(known) = &self.epoch {
            return Ok(known.clone());
        }
        let found = self.read(&key::epoch())?.map(Rc::new);
        self.epoch = Some(found.clone());
        Ok(found)
    }

    pub(super) fn put_epoch(&mut self, entry: EpochEntry) {
        self.put(key::epoch(), entry.to_canonical());
        self.epoch = Some(Some(Rc::new(entry)));
    }

    pub(super) fn put_agency(&mut self, entry: &AgencyEntry) {
        self.agencies.remove(&entry.id);
        self.put(key::agency(&entry.id), entry.to_canonical());
    }

    pub(super) fn put_member(&mut self, member: &PublicKey, entry: &MemberEntry) {
        self.members.remove(member);
        self.put(key::member(member), entry.to_canonical());
    }

    pub(super) fn put_basis(&mut self, basis: &BasisRef, entry: &BasisEntry) {
        self.bases.remove(basis);
        self.put(key::basis(basis), entry.to_canonical());
    }
}
