//! The validator set: what governance wants of it, who is ready, and the set of the next epoch.
//!
//! Governance never changes the set in force. It changes what is wanted; at the end of a block the next set is
//! computed, and once it differs it is settled and frozen until the epoch's closing block is executed.

use std::rc::Rc;

use super::overlay::Fail;
use super::{Call, Done, Execution, LedgerRead, ReadError};
use crate::block::{Flags, Header};
use crate::code::{Code, Refusal};
use crate::committee::{Committee, VALIDATORS_MAX, VALIDATORS_MIN, Validator};
use crate::crypto::{PublicKey, Signature};
use crate::id::{Epoch, Height, RecordId};
use crate::layout::Layout as _;
use crate::operation::Step;
use crate::record::governance::Role;
use crate::record::validator::{READY_AHEAD_MS_MAX, READY_MS, Ready, ValidatorDetails};
use crate::record::{Details, RecordType};
use crate::state::{EpochEntry, ReadyEntry, RecordHead, Scheduled, Status, ValidatorEntry, key};

/// The epoch as a ledger has it: set in force, base, and the next set once it is settled. `None` for a ledger
/// whose genesis laid down no validators.
///
/// # Errors
/// When the ledger cannot be read.
pub fn epoch<L: LedgerRead + ?Sized>(ledger: &L) -> Result<Option<EpochEntry>, ReadError> {
    let Some(bytes) = ledger.get(&key::epoch())? else {
        return Ok(None);
    };
    EpochEntry::from_canonical(&bytes)
        .map(Some)
        .map_err(|error| ReadError(format!("state value of the epoch: {error}")))
}

/// Every validator that the ledger knows: wanted or suspended, taking part, and those that left last, at most
/// [`FORMER_MAX`] of them; by name.
///
/// # Errors
/// When the ledger cannot be read.
pub fn validators<L: LedgerRead + ?Sized>(ledger: &L) -> Result<Vec<ValidatorEntry>, ReadError> {
    let names = epoch(ledger)?.map(|epoch| epoch.names).unwrap_or_default();
    let entry = |name: &String| {
        let gone = || ReadError(format!("state value of validator {name} is gone"));
        let bytes = ledger.get(&key::validator(name))?.ok_or_else(gone)?;
        ValidatorEntry::from_canonical(&bytes)
            .map_err(|error| ReadError(format!("state value of validator {name}: {error}")))
    };
    names.iter().map(entry).collect()
}

/// Validators that left and are still known, so that they may follow as observers.
pub const FORMER_MAX: usize = 16;

impl<L: LedgerRead> Execution<'_, L> {
    /// Lays down the set of epoch 0; its validators' records stand already.
    pub(super) fn lay_down_epoch(&mut self, validators: &[ValidatorDetails]) -> Result<(), Refusal> {
        let mut set: Vec<Validator> = validators.iter().map(ValidatorDetails::validator).collect();
        set.sort_by(|one, two| one.name.cmp(&two.name));
        let names = set.iter().map(|one| one.name.clone()).collect();
        let current = Committee::new(Epoch::ZERO, set)
            .map_err(|error| Refusal::new(Code::GenesisInvalid, format!("validators: {error}")))?;
        self.remember_set(&current);
        self.state.put_epoch(EpochEntry {
            current,
            base_height: Height::ZERO,
            base_digest: *self.chain.chain_id.digest(),
            scheduled: None,
            names,
            changes: 0,
        });
        Ok(())
    }

    fn epoch(&mut self) -> Result<Rc<EpochEntry>, Fail> {
        let detail = "the genesis of this chain laid down no validators";
        self.state.epoch()?.ok_or_else(|| Refusal::new(Code::BadState, detail).into())
    }

    /// Everyone named in the epoch's entry, by name.
    fn validator_entries(&self, epoch: &EpochEntry) -> Result<Vec<ValidatorEntry>, ReadError> {
        let entry = |name: &String| {
            let gone = || ReadError(format!("state value of validator {name} is gone"));
            self.state.read(&key::validator(name))?.ok_or_else(gone)
        };
        epoch.names.iter().map(entry).collect()
    }

    /// What must hold when a validator is proposed or changed, and again when the last approval comes.
    pub(super) fn check_validator(&mut self, details: &ValidatorDetails, new: bool) -> Result<(), Fail> {
        let refuse = |code, detail: String| Err(Fail::Refused(Refusal::new(code, detail)));
        match self.state.agency(&details.agency)? {
            None => return refuse(Code::UnknownAgency, format!("agency {}", details.agency)),
            // The days of a genesis are in its future, and its document has been checked as a whole.
            Some(_) if self.height == Height::ZERO => return Ok(()),
            Some(agency) if !self.agency_is_in_force(&agency) => {
                return refuse(Code::AgencySuspended, format!("agency {}", details.agency));
            }
            Some(_) => {}
        }
        let epoch = self.epoch()?;
        let entries = self.validator_entries(&epoch)?;
        let held: Vec<&ValidatorEntry> = entries.iter().filter(|one| one.status != Status::Revoked).collect();
        if new {
            if held.iter().any(|one| one.validator.name == details.name) {
                return refuse(Code::AlreadyExists, format!("validator {}", details.name));
            }
            if held.len() >= VALIDATORS_MAX {
                let detail = format!("{} validators already, at most {VALIDATORS_MAX}", held.len());
                return refuse(Code::ValidatorSetSize, detail);
            }
        }
        let others: Vec<&Validator> =
            held.iter().map(|one| &one.validator).chain(taking_part(&epoch)).collect();
        for (role, proven) in details.keys() {
            let taken = others.iter().find(|one| one.name != details.name && holds(one, &proven.key));
            if let Some(other) = taken {
                let detail = format!("{} key {} serves {}", role.text(), proven.key.short(), other.name);
                return refuse(Code::KeyInUse, detail);
            }
            if self.state.member(&proven.key)?.is_some() {
                let detail = format!("{} key {} serves a member", role.text(), proven.key.short());
                return refuse(Code::KeyInUse, detail);
            }
        }
        Ok(())
    }

    /// Refuses a member's key that serves a validator.
    pub(super) fn check_no_validator_key(&mut self, member: &PublicKey) -> Result<(), Fail> {
        let Some(epoch) = self.state.epoch()? else {
            return Ok(());
        };
        if taking_part(&epoch).any(|one| holds(one, member)) {
            let detail = format!("key {} serves a validator", member.short());
            return Err(Refusal::new(Code::KeyInUse, detail).into());
        }
        Ok(())
    }

    /// A validator's record took effect: that is what governance wants from now on.
    pub(super) fn govern_validator(
        &mut self,
        record: &RecordId,
        version: u32,
        details: &ValidatorDetails,
    ) -> Result<(), Fail> {
        let entry = ValidatorEntry {
            validator: details.validator(),
            status: Status::Effective,
            record: *record,
            version,
            order: 0,
            ready: None,
        };
        self.want(entry)
    }

    /// Keeps an entry as the newest approved change. In a genesis the epoch's entry comes later.
    fn want(&mut self, mut entry: ValidatorEntry) -> Result<(), Fail> {
        if let Some(epoch) = self.state.epoch()? {
            let mut epoch = (*epoch).clone();
            epoch.changes = epoch.changes.saturating_add(1);
            entry.order = epoch.changes;
            let name = &entry.validator.name;
            let gone = entry.status == Status::Revoked && taking_part(&epoch).all(|one| one.name != *name);
            match epoch.names.binary_search(name) {
                Ok(at) if gone => drop(epoch.names.remove(at)),
                Err(at) if !gone => epoch.names.insert(at, name.clone()),
                _ => {}
            }
            self.state.put_epoch(epoch);
        }
        self.state.put(key::validator(&entry.validator.name), entry.to_canonical());
        self.membership_touched = true;
        Ok(())
    }

    /// Refuses a step on a validator's record that would leave too few: at proposal, and again when the last
    /// approval comes.
    pub(super) fn check_validator_step(&mut self, head: &RecordHead, step: Step) -> Result<(), Fail> {
        let leaves = matches!(step, Step::Revoke | Step::Suspend) && head.current.status == Status::Effective;
        if head.record_type != RecordType::Validator || !leaves {
            return Ok(());
        }
        let epoch = self.epoch()?;
        let wanted = self.validator_entries(&epoch)?.iter().filter(|one| one.is_wanted()).count();
        if wanted <= VALIDATORS_MIN {
            let detail = format!("{wanted} validators wanted, at least {VALIDATORS_MIN} must stay");
            return Err(Refusal::new(Code::ValidatorSetSize, detail).into());
        }
        Ok(())
    }

    /// Carries a change of status over to what governance wants.
    pub(super) fn validator_status(
        &mut self,
        record: &RecordId,
        status: Status,
        details: &ValidatorDetails,
    ) -> Result<(), Fail> {
        let entry: Option<ValidatorEntry> = self.state.read(&key::validator(&details.name))?;
        match entry {
            Some(entry) if entry.record == *record => {
                self.want(ValidatorEntry { status, ready: None, ..entry })
            }
            // The name serves another record by now.
            _ => Ok(()),
        }
    }

    /// Takes a validator's word that it is ready.
    pub(super) fn ready(
        &mut self,
        call: &Call<'_>,
        record: &RecordId,
        version: u32,
        time_ms: u64,
        signature: &Signature,
    ) -> Result<Done, Fail> {
        let refuse = |code, detail: String| Err(Fail::Refused(Refusal::new(code, detail)));
        let mut head = self.head(record)?;
        if head.record_type != RecordType::Validator {
            let detail = format!("{} is no {}", head.record_type, RecordType::Validator);
            return refuse(Code::BadState, detail);
        }
        let Details::Validator(details) = self.governance_header(record, head.current.version)?.details
        else {
            return Err(ReadError(format!("record {record} holds no validator")).into());
        };
        let author = &call.author.member;
        if author.agency != details.agency && author.role != Role::CouncilMember {
            let detail = format!("key {} acts for {}", call.author.key.short(), author.agency);
            return refuse(Code::AgencyNotCompetent, detail);
        }
        if version != head.current.version {
            let detail = format!("version {version}, the record has {}", head.current.version);
            return refuse(Code::VersionConflict, detail);
        }
        if head.current.status != Status::Effective {
            return refuse(Code::BadState, format!("status {}, wants effective", head.current.status));
        }
        let epoch = self.epoch()?;
        let wanted = details.validator();
        if let Some(scheduled) = &epoch.scheduled {
            let detail = format!("the set of epoch {} is settled", scheduled.next.epoch());
            return refuse(Code::ReadyNotNeeded, detail);
        }
        if epoch.current.validators().iter().any(|one| is_same(one, &wanted)) {
            return refuse(Code::ReadyNotNeeded, format!("{} takes part in this epoch", wanted.name));
        }
        let age = self.time_ms.saturating_sub(time_ms);
        if age > READY_MS || time_ms.saturating_sub(self.time_ms) > READY_AHEAD_MS_MAX {
            let detail = format!("dated {time_ms}, block time {}", self.time_ms);
            return refuse(Code::ReadyStale, detail);
        }
        let preimage = Ready {
            chain_id: self.chain.chain_id,
            epoch: epoch.current.epoch(),
            record: *record,
            version,
            consensus_key: wanted.consensus_key,
            time_ms,
        };
        if !wanted.consensus_key.verify(&preimage, signature) {
            let detail =
                format!("key {} did not sign this in epoch {}", wanted.consensus_key.short(), preimage.epoch);
            return refuse(Code::BadSignature, detail);
        }
        let entry_key = key::validator(&wanted.name);
        let Some(entry) = self.state.read::<ValidatorEntry>(&entry_key)? else {
            return Err(ReadError(format!("state value of validator {} is gone", wanted.name)).into());
        };
        let ready = ReadyEntry { epoch: preimage.epoch, time_ms: time_ms.min(self.time_ms) };
        self.state.put(entry_key, ValidatorEntry { ready: Some(ready), ..entry }.to_canonical());
        self.membership_touched = true;
        head.changed_at = self.height;
        let done = self.record_step(call, &head, version, head.current.status)?;
        self.put_head(*record, &mut head)?;
        Ok(done)
    }

    /// After the transactions of a block: the closing block makes the settled set the current one, and the
    /// next set is computed when something it depends on has changed.
    pub(super) fn membership(&mut self, header: &Header) -> Result<(), ReadError> {
        let closing = header.flags.contains(Flags::CLOSING);
        if !closing && !self.membership_touched {
            return Ok(());
        }
        let Some(epoch) = self.state.epoch()? else {
            return Ok(());
        };
        let mut epoch = (*epoch).clone();
        if closing {
            self.begin_epoch(&mut epoch, header)?;
            self.remember_set(&epoch.current);
        }
        if epoch.scheduled.is_none() {
            let entries = self.validator_entries(&epoch)?;
            let mut set = next_set(&epoch.current, &entries, self.time_ms);
            // Who broke a rule leads no later epoch; that alone ends none.
            let mut current = epoch.current.validators().to_vec();
            self.bar(&mut set)?;
            self.bar(&mut current)?;
            let changed = set != current;
            if changed && let Ok(next) = Committee::new(epoch.current.epoch().next(), set) {
                self.scheduled = Some(next.clone());
                epoch.scheduled = Some(Scheduled { height: self.height, next });
            }
        }
        self.state.put_epoch(epoch);
        Ok(())
    }

    /// The settled set takes over. Who left last is still known, so that it may follow; who left long before is
    /// forgotten.
    fn begin_epoch(&self, epoch: &mut EpochEntry, header: &Header) -> Result<(), ReadError> {
        let Some(scheduled) = epoch.scheduled.take() else {
            return Err(ReadError(format!(
                "block {} closes the epoch, but no set is settled",
                header.height
            )));
        };
        let (got, want) = (scheduled.next.hash(), header.next_validators_hash);
        if got != want {
            let height = header.height;
            return Err(ReadError(format!(
                "block {height} hands over to set {want}, the ledger settled {got}"
            )));
        }
        epoch.current = scheduled.next;
        epoch.base_height = header.height;
        epoch.base_digest = header.digest();
        let entries = self.validator_entries(epoch)?;
        let takes_part = |one: &ValidatorEntry| {
            epoch.current.validators().iter().any(|other| other.name == one.validator.name)
        };
        let left = entries.iter().filter(|one| one.status == Status::Revoked && !takes_part(one));
        let mut left: Vec<&ValidatorEntry> = left.collect();
        left.sort_by_key(|one| std::cmp::Reverse(one.order));
        let forgotten: Vec<&String> = left.iter().skip(FORMER_MAX).map(|one| &one.validator.name).collect();
        epoch.names.retain(|name| !forgotten.contains(&name));
        Ok(())
    }
}

/// Everyone in the set in force and in the settled one.
fn taking_part(epoch: &EpochEntry) -> impl Iterator<Item = &Validator> {
    let next = epoch.scheduled.iter().flat_map(|scheduled| scheduled.next.validators());
    epoch.current.validators().iter().chain(next)
}

fn holds(validator: &Validator, key: &PublicKey) -> bool {
    [validator.consensus_key, validator.network_key, validator.log_key].contains(key)
}

/// Whether two are one validator under the same keys; address and leave to lead may differ.
fn is_same(one: &Validator, two: &Validator) -> bool {
    let identity = |of: &Validator| (of.consensus_key, of.network_key, of.log_key);
    one.name == two.name && one.agency == two.agency && identity(one) == identity(two)
}

/// The set of the next epoch, by name: removals, and joiners and changed keys that are ready, in the order in
/// which they were approved. At most max(1, f) members are replaced and at most max(1, f) join; what does not
/// fit, or would leave fewer than four, waits for a later epoch.
fn next_set(current: &Committee, entries: &[ValidatorEntry], time_ms: u64) -> Vec<Validator> {
    let mut open: Vec<&ValidatorEntry> = entries.iter().collect();
    open.sort_by_key(|entry| entry.order);
    let mut next = Draft {
        set: current.validators().to_vec(),
        may_replace: current.faults().max(1),
        may_join: current.faults().max(1),
    };
    // A removal that waits for a joiner is tried again; every turn but the last settles one entry or more.
    loop {
        let before = open.len();
        open.retain(|entry| !next.take(entry, entry.is_ready(current.epoch(), time_ms)));
        if open.len() == before {
            break;
        }
    }
    next.set.sort_by(|one, two| one.name.cmp(&two.name));
    next.set
}

/// A next set in the making.
struct Draft {
    set: Vec<Validator>,
    may_replace: usize,
    may_join: usize,
}

impl Draft {
    /// Brings the set in line with one entry; false when that must wait.
    fn take(&mut self, entry: &ValidatorEntry, ready: bool) -> bool {
        let wanted = &entry.validator;
        let at = self.set.iter().position(|one| one.name == wanted.name);
        match (at, entry.is_wanted()) {
            (None, false) => true,
            (Some(at), false) => {
                let fits = self.may_replace > 0 && self.set.len() > VALIDATORS_MIN;
                if fits {
                    self.set.remove(at);
                    self.may_replace -= 1;
                }
                fits
            }
            (Some(at), true) if is_same(&self.set[at], wanted) => {
                self.set[at] = wanted.clone();
                true
            }
            (Some(at), true) => {
                let fits = ready && self.may_replace > 0 && self.is_free(wanted);
                if fits {
                    self.set[at] = wanted.clone();
                    self.may_replace -= 1;
                }
                fits
            }
            (None, true) => {
                let fits =
                    ready && self.may_join > 0 && self.set.len() < VALIDATORS_MAX && self.is_free(wanted);
                if fits {
                    self.set.push(wanted.clone());
                    self.may_join -= 1;
                }
                fits
            }
        }
    }

    /// Whether no other member of the set holds one of a validator's keys.
    fn is_free(&self, wanted: &Validator) -> bool {
        let others = || self.set.iter().filter(|one| one.name != wanted.name);
        let keys = [wanted.consensus_key, wanted.network_key, wanted.log_key];
        keys.iter().all(|key| !others().any(|one| holds(one, key)))
    }
}
