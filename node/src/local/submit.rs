//! Taking submissions in: everything that can be said without ordering them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use chain_core::api::{Stage, TransactionStatus};
use chain_core::code::{Code, Refusal};
use chain_core::crypto::{Digest, PublicKey};
use chain_core::date::Date;
use chain_core::execute::LedgerRead as _;
use chain_core::id::TxId;
use chain_core::layout::Layout as _;
use chain_core::lifecycle::roles_to_file;
use chain_core::record::registered::RegisteredType;
use chain_core::record::{Header, RecordType, TypeKey};
use chain_core::state::{DeviceEntry, DeviceKeyEntry, MemberEntry, SchemaEntry, key};
use chain_core::transaction::{
    Body, SignedTransaction, Submission, TRANSACTION_BYTES_MAX, TRANSACTION_VERSION, VALIDITY_MS_MAX,
};

use super::{Local, corrupt, read, refuse, roles_named, short};
use crate::driver::batches::{check_counts, check_submission, payload_bytes};
use crate::driver::core::{Core, Input, running};
use crate::driver::intake::Queued;
use crate::storage::ledger::Place;

/// Members whose agency is remembered.
const MEMBERS_MAX: usize = 16 * 1024;

/// The agency of each member's key; it never changes.
pub(super) type Members = HashMap<PublicKey, String>;

/// A body for a vault.
#[derive(Debug)]
struct Kept {
    agency: String,
    commit: Digest,
    body: Body,
}

/// What keeps operations from being taken in, by their positions; one refusal of each.
pub(super) type Flaws = BTreeMap<u16, Refusal>;

/// A submission whose bodies are told apart, and what is wrong with its operations.
#[derive(Debug)]
pub(super) struct Sorted {
    /// What travels: bodies for the vault are taken out.
    pub(super) travelling: Submission,
    vault: Vec<Kept>,
    pub(super) flaws: Flaws,
}

/// A submission that may be queued.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) id: TxId,
    agency: String,
    /// What travels: bodies for the vault are taken out.
    submission: Submission,
    vault: Vec<Kept>,
    bytes: u32,
}

impl Local {
    /// All checks of a submission.
    pub(super) fn judge(&self, submission: &Submission) -> Result<Judged, Refusal> {
        let agency = self.check_whole(submission)?;
        let sorted = self.sort(submission)?;
        if let Some((at, refusal)) = sorted.flaws.into_iter().next() {
            return Err(named(at, &refusal));
        }
        check_submission(&sorted.travelling)?;
        let bytes = payload_bytes(&sorted.travelling)?;
        let id = submission.signed.transaction.id();
        Ok(Judged { id, agency, submission: sorted.travelling, vault: sorted.vault, bytes })
    }

    /// What is asked of a submission as a whole, whatever its operations say; gives the agency of its author.
    pub(super) fn check_whole(&self, submission: &Submission) -> Result<String, Refusal> {
        running(&self.core)?;
        if self.core.me().is_none() {
            return Err(Refusal::new(Code::NotReady, "this node is an observer: it takes no submissions"));
        }
        self.core.engine_view().orders()?;
        let SignedTransaction { transaction, .. } = &submission.signed;
        if transaction.version != TRANSACTION_VERSION {
            let detail = format!("version {}, wants {TRANSACTION_VERSION}", transaction.version);
            return Err(Refusal::new(Code::UnsupportedVersion, detail));
        }
        if transaction.chain_id != self.core.chain_id() {
            let detail = format!("signed for {}, this is {}", transaction.chain_id, self.core.chain_id());
            return Err(Refusal::new(Code::WrongChain, detail));
        }
        let whole = payload_bytes(submission)?;
        if whole as usize > TRANSACTION_BYTES_MAX {
            let detail = format!("{whole} bytes, at most {TRANSACTION_BYTES_MAX}");
            return Err(Refusal::new(Code::SizeLimit, detail));
        }
        self.check_validity(transaction.valid_until_ms)?;
        check_counts(submission)?;
        if !self.core.part().judge.verify(&submission.signed) {
            let detail = format!("by key {}", short(&transaction.author));
            return Err(Refusal::new(Code::BadSignature, detail));
        }
        self.agency_of(&transaction.author)
    }

    /// Takes the bodies that may not travel out of a submission, and looks at each operation by itself: what keeps this
    /// node from taking it in, first for the vault, then by the schemas of registered types.
    ///
    /// # Errors
    /// When the ledger cannot be read; when the author of bodies for a vault is not in office.
    pub(super) fn sort(&self, submission: &Submission) -> Result<Sorted, Refusal> {
        let mut sorted = self.split(submission);
        self.check_filer(submission, &mut sorted.flaws)?;
        self.check_registered(submission, &mut sorted.flaws)?;
        Ok(sorted)
    }

    /// Checks a submission and puts it into its agency's queue.
    pub(super) fn queue(&self, submission: Submission) -> Result<TxId, Refusal> {
        let judged = self.judge(&submission)?;
        drop(submission);
        let id = judged.id;
        if self.place(&id)?.is_some() || !self.core.tracker.accept(id) {
            return Ok(id);
        }
        let queued =
            Queued { submission: judged.submission, id, bytes: judged.bytes, at_ms: self.core.mono_ms() };
        let kept = self.keep(&judged.vault).and_then(|()| self.core.intake.push(&judged.agency, queued));
        if let Err(refusal) = kept {
            self.core.tracker.forget(&id);
            if refusal.code == Code::QueueFull {
                self.core.counters.queue_full.fetch_add(1, Ordering::Relaxed);
            }
            return Err(refusal);
        }
        self.core.counters.submitted.fetch_add(1, Ordering::Relaxed);
        self.core.inputs.push(Input::Wake);
        Ok(id)
    }

    fn keep(&self, bodies: &[Kept]) -> Result<(), Refusal> {
        for Kept { agency, commit, body } in bodies {
            self.vault_of(agency)?.put(commit, body)?;
        }
        Ok(())
    }

    fn check_validity(&self, valid_until_ms: u64) -> Result<(), Refusal> {
        let now = self.core.engine_view().time_ms;
        if valid_until_ms < now {
            let detail = format!("valid until {valid_until_ms}, block time is {now}");
            return Err(Refusal::new(Code::Expired, detail));
        }
        // An idle chain's block time lags behind the clock; the next block will be as late as the clock.
        let latest = now.max(Core::wall_ms()).saturating_add(VALIDITY_MS_MAX);
        if valid_until_ms > latest {
            let detail = format!("valid until {valid_until_ms}, at the latest {latest}");
            return Err(Refusal::new(Code::ValidityTooLong, detail));
        }
        Ok(())
    }

    /// Takes the bodies that may not travel out of a submission, checked as their agency wants them.
    fn split(&self, submission: &Submission) -> Sorted {
        let mut sorted = Sorted { travelling: submission.clone(), vault: Vec::new(), flaws: Flaws::new() };
        let operations = &submission.signed.transaction.operations;
        for (at, (operation, slot)) in (0..).zip(operations.iter().zip(&mut sorted.travelling.bodies)) {
            let Some(header) = operation.header().filter(|header| !header.class.body_is_shared()) else {
                continue;
            };
            let (Some(body), Some(commit)) = (slot.take(), header.body_commit) else { continue };
            match self.check_for_vault(header, &body, commit) {
                Ok(()) => sorted.vault.push(Kept { agency: header.agency.to_string(), commit, body }),
                Err(refusal) => drop(sorted.flaws.insert(at, refusal)),
            }
        }
        sorted
    }

    /// Whether this node may keep a body in the vault of the agency that files it.
    fn check_for_vault(&self, header: &Header, body: &Body, commit: Digest) -> Result<(), Refusal> {
        if body.commitment() != commit {
            return Err(Refusal::new(Code::BodyCommitment, "the body is not the one the header commits to"));
        }
        self.vault_of(&header.agency.to_string())?;
        // A registered type is judged by its schema, once it is known who sends it.
        if matches!(header.record_type, RecordType::Registered(_)) {
            return Ok(());
        }
        chain_core::rules::check_body(header, body).map(drop)
    }

    /// Refuses bodies for a vault from whoever may not file their records: they are kept before execution says so.
    fn check_filer(&self, submission: &Submission, flaws: &mut Flaws) -> Result<(), Refusal> {
        let SignedTransaction { transaction, .. } = &submission.signed;
        let filed = (0..).zip(transaction.operations.iter().zip(&submission.bodies));
        let filed = filed.filter_map(|(at, (operation, body))| {
            operation
                .header()
                .filter(|header| body.is_some() && !header.class.body_is_shared())
                .map(|header| (at, header))
        });
        let mut kept = filed.peekable();
        if kept.peek().is_none() {
            return Ok(());
        }
        let today = Date::of_time(Core::wall_ms(), self.core.chain.utc_offset_minutes);
        let member = self.officer(&self.snapshot()?, &transaction.author, today)?;
        for (at, header) in kept {
            if let Err(refusal) = check_rights(&transaction.author, &member, header) {
                flaws.entry(at).or_insert(refusal);
            }
        }
        Ok(())
    }

    /// Judges the bodies of registered types by the schemas of the newest state, those for the vault among them. Execution
    /// judges again what travels, and whether a version still takes records.
    fn check_registered(&self, submission: &Submission, flaws: &mut Flaws) -> Result<(), Refusal> {
        let mut known: BTreeMap<(TypeKey, u16), Result<RegisteredType, Refusal>> = BTreeMap::new();
        let operations = &submission.signed.transaction.operations;
        for (at, (operation, body)) in (0..).zip(operations.iter().zip(&submission.bodies)) {
            let (Some(header), Some(body)) = (operation.header(), body) else { continue };
            let RecordType::Registered(type_key) = header.record_type else { continue };
            let registered = match known.entry((type_key, header.schema_version)) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => entry.insert(self.registered(type_key, header.schema_version)?),
            };
            let judged = registered.as_ref().map_err(Clone::clone).and_then(|registered| {
                registered.check_header(header)?;
                chain_core::rules::check_registered_body(header, body, registered).map(drop)
            });
            if let Err(refusal) = judged {
                flaws.entry(at).or_insert(refusal);
            }
        }
        Ok(())
    }

    /// A version of a registered type as the newest state has it, or why none can be used.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    fn registered(
        &self,
        type_key: TypeKey,
        version: u16,
    ) -> Result<Result<RegisteredType, Refusal>, Refusal> {
        let Some(entry) = self.snapshot()?.get(&key::schema(type_key, version)).map_err(read)? else {
            let detail = format!("{type_key} v{version}: the ledger has no such schema");
            return Ok(Err(Refusal::new(Code::SchemaNotInForce, detail)));
        };
        let entry = SchemaEntry::from_canonical(&entry).map_err(|error| corrupt("schema", error))?;
        Ok(RegisteredType::new(entry.details))
    }

    /// The agency whose queue a member's submissions wait in.
    fn agency_of(&self, author: &PublicKey) -> Result<String, Refusal> {
        if let Some(agency) = self.members.lock().unwrap_or_else(PoisonError::into_inner).get(author) {
            return Ok(agency.clone());
        }
        let entry = self.snapshot()?.get(&key::member(author)).map_err(read)?;
        let agency = match entry {
            Some(entry) => {
                let member = MemberEntry::from_canonical(&entry).map_err(|error| corrupt("member", error))?;
                member.agency.to_string()
            }
            None => self.agency_of_device(author)?,
        };
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        if members.len() >= MEMBERS_MAX {
            members.clear();
        }
        members.insert(*author, agency.clone());
        Ok(agency)
    }

    /// The agency of the device that has or had a key; execution judges whether the key counts.
    fn agency_of_device(&self, author: &PublicKey) -> Result<String, Refusal> {
        let unknown = || Refusal::new(Code::UnknownAuthor, format!("key {}", short(author)));
        let snapshot = self.snapshot()?;
        let entry = snapshot.get(&key::device_key(author)).map_err(read)?.ok_or_else(unknown)?;
        let entry = DeviceKeyEntry::from_canonical(&entry).map_err(|error| corrupt("device key", error))?;
        let device = snapshot.get(&key::device(&entry.device)).map_err(read)?.ok_or_else(unknown)?;
        let device = DeviceEntry::from_canonical(&device).map_err(|error| corrupt("device", error))?;
        Ok(device.agency.to_string())
    }

    /// Where the ledger has a transaction.
    pub(super) fn place(&self, tx: &TxId) -> Result<Option<Place>, Refusal> {
        let snapshot = self.snapshot()?;
        let Some(place) = snapshot.place(tx).map_err(refuse)? else { return Ok(None) };
        // The batch may be gone; what its operations came to is not.
        let outcomes = snapshot.outcomes(place).map_err(refuse)?;
        Ok(outcomes.first().is_some_and(|outcome| outcome.tx == *tx).then_some(place))
    }

    /// Where a transaction stands.
    pub(super) fn stage_of(&self, tx: TxId) -> Result<TransactionStatus, Refusal> {
        let status =
            |stage, height, outcomes, proof| TransactionStatus { tx, stage, height, outcomes, proof };
        // What is not executed yet needs no look at the disk.
        match self.core.tracker.stage(&tx) {
            Some((Stage::Final, Some(place))) => {
                let names = self.core.tracker.ordered(place.height);
                if let Some(names) = names {
                    let proof = self.finality(place, &names)?;
                    return Ok(status(Stage::Final, Some(place.height), Vec::new(), proof));
                }
            }
            Some((stage, _)) if stage > Stage::Unknown => {
                return Ok(status(stage, None, Vec::new(), None));
            }
            _ => {}
        }
        let Some(place) = self.place(&tx)? else {
            return Ok(status(Stage::Unknown, None, Vec::new(), None));
        };
        let snapshot = self.snapshot()?;
        let outcomes = snapshot.outcomes(place).map_err(refuse)?;
        let names = snapshot.ordered(place.height).map_err(refuse)?;
        let proof = self.finality(place, &names)?;
        Ok(status(Stage::Executed, Some(place.height), outcomes, proof))
    }
}

/// The refusal of a whole submission for one of its operations.
fn named(at: u16, refusal: &Refusal) -> Refusal {
    Refusal::new(refusal.code, format!("operation {at}: {}", refusal.detail))
}

/// Whether an officer may file a record.
fn check_rights(author: &PublicKey, member: &MemberEntry, header: &Header) -> Result<(), Refusal> {
    let refuse = |code, wanted: &str| {
        let key = short(author);
        let detail = format!("key {key} is a {} of {}, wants {wanted}", member.role, member.agency);
        Err(Refusal::new(code, detail))
    };
    let roles = roles_to_file(header);
    if member.agency != header.agency {
        return refuse(Code::AgencyNotCompetent, &format!("one of {}", header.agency));
    }
    if !roles.contains(&member.role) {
        return refuse(Code::RoleNotAllowed, roles_named(roles).as_str());
    }
    Ok(())
}
