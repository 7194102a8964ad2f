//! A record's life from its leaves alone: every step judged by the rules that execution follows.
//!
//! A leaf holds the operation, who signed it in which role, and what came of it. Whether that role was the signer's on
//! that day is a question to other records; whether the step was one that such a signer could take, then and there, is
//! answered here, and so is what head the record has after it.

use crate::code::{Code, Refusal};
use crate::crypto::Digest;
use crate::date::Date;
use crate::execute::ChainParams;
use crate::id::{Height, RecordId};
use crate::leaf::{AutomaticLeaf, ErasureLeaf, GenesisLeaf, Leaf, LinkedLeaf, RecoveryLeaf, SignedLeaf};
pub use crate::lifecycle::change::{Change, Moment, Version};
use crate::lifecycle::{self, Actor, Target, anew};
use crate::operation::{AmendReason, Effect, NOTE_BYTES_MAX, Operation, Remedy, Step};
use crate::org::OrgId;
use crate::record::body::check_note;
use crate::record::deadline::Duty;
use crate::record::governance::BasisDetails;
use crate::record::{BasisRef, Details, Header, Lifecycle, RecordType, record_id};
use crate::rules;
use crate::state::{Act, Flags, Needs, Pending, RecordHead, Status};

/// The content of the legal bases that a record names; it never changes once it is in the catalogue.
pub trait Bases {
    /// The content of a version of an entry; none where it is not known.
    ///
    /// # Errors
    /// When it cannot be read.
    fn basis(&self, basis: &BasisRef) -> Result<Option<BasisDetails>, Refusal>;
}

/// A record as far as its leaves were taken.
#[derive(Clone, Debug)]
pub struct Life {
    chain: ChainParams,
    record: RecordId,
    head: Option<RecordHead>,
    versions: Vec<Version>,
    changes: Vec<(Moment, Change)>,
    /// From when the step to revoke that waits takes effect.
    pending_effect: Effect,
    newest: Option<(u64, Moment)>,
    steps: usize,
}

impl Life {
    /// A record of a chain, before its first leaf.
    pub fn new(chain: ChainParams, record: RecordId) -> Self {
        Self {
            chain,
            record,
            head: None,
            versions: Vec::new(),
            changes: Vec::new(),
            pending_effect: Effect::FromNow,
            newest: None,
            steps: 0,
        }
    }

    /// The head after the leaves taken so far; none before the first, and for records that have none: offences and acts
    /// of recovery.
    pub fn head(&self) -> Option<&RecordHead> {
        self.head.as_ref()
    }

    /// Every version that was filed, oldest first.
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// What changed of how the record holds, oldest first.
    pub fn changes(&self) -> &[(Moment, Change)] {
        &self.changes
    }

    /// How many steps were taken: leaves of the record, and acts of recovery that changed it.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The newest step.
    pub fn newest(&self) -> Option<Moment> {
        self.newest.map(|(_, moment)| moment)
    }

    /// Takes the record's next leaf.
    ///
    /// # Errors
    /// `LEAF_MISMATCH` for a leaf of another record, one out of order, or one that says that something else came of
    /// its step than the rules give; else the code of the rule that the step breaks.
    pub fn take(&mut self, index: u64, leaf: &Leaf, bases: &impl Bases) -> Result<(), Refusal> {
        if leaf.record() != Some(self.record) {
            return Err(mismatch(format!("leaf {index} is not of record {}", self.record)));
        }
        let (height, time_ms) = leaf.moment();
        let moment = self.follows(index, height, time_ms)?;
        match leaf {
            Leaf::Genesis(leaf) => self.laid_down(index, moment, leaf)?,
            Leaf::Signed(leaf) => self.signed(index, moment, leaf, bases)?,
            Leaf::Automatic(leaf) => self.due(moment, leaf, bases)?,
            Leaf::Linked(leaf) => self.linked(moment, leaf, bases)?,
            Leaf::Erasure(word) => self.confirmed(word)?,
            Leaf::Found(leaf) => self.found(index, moment, &leaf.header)?,
            // Facts of one leaf each: no head follows from them under their own ids.
            Leaf::Evidence(_) | Leaf::Recovery(_) | Leaf::Seal(_) => {}
        }
        self.keep_duties(moment, bases)?;
        self.newest = Some((index, moment));
        self.steps += 1;
        Ok(())
    }

    /// Takes the leaf of an act of recovery, which may describe a validator anew: its record gets a version, or begins,
    /// without a leaf of its own. Gives whether it was so. That the act binds, and took effect in the block of its leaf,
    /// is for the caller to verify: [`crate::recovery::SignedRecovery::verify`].
    ///
    /// # Errors
    /// `LEAF_MISMATCH` for a leaf out of order; else the code of what no record of a validator may hold.
    pub fn recover(&mut self, index: u64, leaf: &RecoveryLeaf) -> Result<bool, Refusal> {
        let moment = self.follows(index, leaf.height, leaf.time_ms)?;
        let Some(header) = self.described_by(leaf)? else { return Ok(false) };
        let version = lifecycle::in_force(&header, index);
        match &mut self.head {
            Some(head) => anew::replace(head, version, moment.height),
            None => self.head = Some(RecordHead::first(&header, version, moment.height)),
        }
        self.keep(index, moment, &header, None);
        self.took_effect(moment, header.version);
        self.newest = Some((index, moment));
        self.steps += 1;
        Ok(true)
    }

    /// Notes what a step made of what is owed on the record.
    fn keep_duties(&mut self, moment: Moment, bases: &impl Bases) -> Result<(), Refusal> {
        if let Some(head) = &mut self.head
            && let Some(named) = &head.current.legal_basis
        {
            let basis = bases.basis(named)?;
            lifecycle::keep_duties(head, basis.as_ref(), moment.day);
        }
        Ok(())
    }

    /// The header that an act of recovery gives the record, if it gives it one.
    fn described_by(&self, leaf: &RecoveryLeaf) -> Result<Option<Header>, Refusal> {
        let act = &leaf.recovery.act;
        let Some(head) = &self.head else {
            for wanted in act.next.validators() {
                let header = anew::first_version(self.chain.chain_id, act.record(), wanted)?;
                if header.record == self.record {
                    return Ok(Some(header));
                }
            }
            return Ok(None);
        };
        let (version, status) = (head.current.version, head.current.status);
        let in_force = |one: &&Version| one.header.version == version && one.in_force.is_some();
        let Some(current) = self.versions.iter().rev().find(in_force) else { return Ok(None) };
        let Details::Validator(details) = &current.header.details else { return Ok(None) };
        let Some(wanted) = act.next.validators().iter().find(|one| one.name == details.name) else {
            return Ok(None);
        };
        if !anew::is_known(status) || anew::is_as_wanted(status, &details.validator(), wanted) {
            return Ok(None);
        }
        anew::next_version(&current.header, wanted).map(Some)
    }

    /// When a leaf is of; it must stand after the newest step.
    fn follows(&self, index: u64, height: Height, time_ms: u64) -> Result<Moment, Refusal> {
        let day = Date::of_time(time_ms, self.chain.utc_offset_minutes);
        let moment = Moment { height, time_ms, day };
        if let Some((before, newest)) = self.newest
            && (index <= before || moment.height < newest.height || moment.time_ms < newest.time_ms)
        {
            let detail = format!("leaf {index} of block {height} after leaf {before} of {}", newest.height);
            return Err(mismatch(detail));
        }
        Ok(moment)
    }

    fn open(&mut self) -> Result<&mut RecordHead, Refusal> {
        let record = self.record;
        self.head.as_mut().ok_or_else(|| Refusal::new(Code::RecordNotFound, format!("record {record}")))
    }

    fn laid_down(&mut self, index: u64, moment: Moment, leaf: &GenesisLeaf) -> Result<(), Refusal> {
        let header = &leaf.header;
        self.check_new(header)?;
        let wanted = record_id(self.chain.chain_id, &header.agency, header.record_type, &header.idempotency);
        if header.record != wanted {
            return Err(mismatch("the record id is not that of its header".to_owned()));
        }
        let version = lifecycle::in_force(header, index);
        self.head = Some(RecordHead::first(header, version, Height::ZERO));
        self.keep(index, moment, header, None);
        self.took_effect(moment, header.version);
        Ok(())
    }

    /// A record that the ledger wrote by itself: whether what it says was so is a question to the records that it names.
    fn found(&mut self, index: u64, moment: Moment, header: &Header) -> Result<(), Refusal> {
        self.check_new(header)?;
        rules::check_header_form(self.chain.chain_id, header)?;
        if header.record_type != RecordType::SensorGap {
            return Err(mismatch(format!("the ledger writes no {} by itself", header.record_type)));
        }
        let version = lifecycle::in_force(header, index);
        self.head = Some(RecordHead::first(header, version, moment.height));
        self.keep(index, moment, header, None);
        self.took_effect(moment, header.version);
        Ok(())
    }

    /// A member's step, and what the leaf says came of it.
    fn signed(
        &mut self,
        index: u64,
        moment: Moment,
        leaf: &SignedLeaf,
        bases: &impl Bases,
    ) -> Result<(), Refusal> {
        let actor = Actor { key: leaf.author, agency: &leaf.agency, role: leaf.role };
        let before = self.status();
        let (version, status) = match &leaf.operation {
            Operation::Submit(header) => self.submit(index, moment, &actor, header, bases)?,
            Operation::Amend { header, reason } => {
                self.amend(index, moment, &actor, header, *reason, bases)?
            }
            Operation::Countersign { version, header_digest, .. } => {
                self.countersign(moment, &actor, *version, header_digest)?
            }
            Operation::Reject { version, header_digest, reason, .. } => {
                lifecycle::require_reason(reason)?;
                let head = self.open()?;
                check_note(reason, head.class, NOTE_BYTES_MAX)?;
                lifecycle::confirm::check_rejection(head)?;
                let target = lifecycle::target(head, *version, header_digest.as_ref())?;
                lifecycle::approval(&actor, head, target)?;
                match target {
                    Target::Pending => {
                        head.pending = None;
                        (*version, head.current.status)
                    }
                    _ => self.end_version(moment, target, Status::Rejected)?,
                }
            }
            Operation::Withdraw { version, .. } => {
                let head = self.open()?;
                let target = lifecycle::withdrawal_target(head, *version)?;
                lifecycle::check_withdrawal(&actor, head, target)?;
                self.end_version(moment, target, Status::Withdrawn)?
            }
            Operation::Ready { version, .. } => self.ready(*version)?,
            Operation::Accuse(_) | Operation::ConfirmErasure { .. } => {
                return Err(mismatch("no member takes such a step on a record".to_owned()));
            }
            change => self.change(moment, &actor, change)?,
        };
        self.plan_seal(moment, before, bases)?;
        let head = self.open()?;
        head.changed_at = moment.height;
        let (got, want) = ((leaf.version, leaf.status, leaf.flags), (version, status, head.flags));
        if got == want {
            return Ok(());
        }
        let told = |(version, status, flags): (u32, Status, Flags)| {
            format!("version {version} {status} {:?}", flags.names())
        };
        Err(mismatch(format!("the leaf says {}, the rules give {}", told(got), told(want))))
    }

    fn check_new(&self, header: &Header) -> Result<(), Refusal> {
        if self.head.is_some() {
            return Err(mismatch("the record is filed a second time".to_owned()));
        }
        lifecycle::check_first(header)
    }

    /// What filing a version takes, and which approvals it still needs.
    fn check_filing(
        &self,
        moment: Moment,
        actor: &Actor<'_>,
        header: &Header,
        step: Step,
        bases: &impl Bases,
    ) -> Result<(Needs, Vec<Duty>), Refusal> {
        lifecycle::check_filer(actor, header, step)?;
        rules::check_header_form(self.chain.chain_id, header)?;
        if header.record_type.is_governance() {
            return Ok((lifecycle::governance_needs(header, self.council()), Vec::new()));
        }
        rules::check_header_content(header)?;
        if header.record_type.inherits_basis() {
            return Ok((Needs::NONE, Vec::new()));
        }
        let named = header.legal_basis.as_ref().ok_or_else(rules::missing_basis)?;
        let basis = bases.basis(named)?.ok_or_else(|| {
            let detail = format!("the catalogue has no {} v{}", named.id, named.version);
            Refusal::new(Code::LegalBasisMissing, detail)
        })?;
        rules::check_basis(header, &basis, moment.day)?;
        lifecycle::check_own_officer(actor, header)?;
        let duties = lifecycle::duties_of_filing(header, &basis, moment.day);
        Ok((lifecycle::content_needs(header, &basis, self.head.as_ref()), duties))
    }

    fn council(&self) -> Needs {
        Needs::council(self.chain.council_threshold.saturating_sub(1))
    }

    fn submit(
        &mut self,
        index: u64,
        moment: Moment,
        actor: &Actor<'_>,
        header: &Header,
        bases: &impl Bases,
    ) -> Result<(u32, Status), Refusal> {
        self.check_new(header)?;
        let (needs, duties) = self.check_filing(moment, actor, header, Step::Submit, bases)?;
        let signer = Some(actor.sign(Step::Submit));
        let version = lifecycle::filed(header, header.digest(), index, needs, signer);
        let status = version.status;
        let pending = lifecycle::confirm::pending(header, version.header_digest, actor);
        self.head = Some(RecordHead { duties, pending, ..RecordHead::first(header, version, moment.height) });
        self.keep(index, moment, header, None);
        if status == Status::Effective {
            self.took_effect(moment, header.version);
        }
        Ok((header.version, status))
    }

    fn amend(
        &mut self,
        index: u64,
        moment: Moment,
        actor: &Actor<'_>,
        header: &Header,
        reason: AmendReason,
        bases: &impl Bases,
    ) -> Result<(u32, Status), Refusal> {
        lifecycle::check_amendment(self.open()?, header)?;
        let (needs, _) = self.check_filing(moment, actor, header, Step::Amend, bases)?;
        let signer = Some(actor.sign(Step::Amend));
        let version = lifecycle::filed(header, header.digest(), index, needs, signer);
        let status = version.status;
        let head = self.open()?;
        head.next = Some(version);
        if status == Status::Effective {
            lifecycle::take_over(head)?;
        }
        self.keep(index, moment, header, Some(reason));
        if status == Status::Effective {
            self.took_effect(moment, header.version);
        }
        Ok((header.version, status))
    }

    fn countersign(
        &mut self,
        moment: Moment,
        actor: &Actor<'_>,
        version: u32,
        digest: &Digest,
    ) -> Result<(u32, Status), Refusal> {
        let head = self.open()?;
        let target = lifecycle::target(head, version, Some(digest))?;
        let given = lifecycle::approval(actor, head, target)?;
        if !lifecycle::approve(head, target, given, actor.sign(Step::Countersign))? {
            let waits = if target == Target::Pending { head.current.status } else { Status::Submitted };
            return Ok((version, waits));
        }
        match target {
            Target::Current => {
                head.current.status = Status::Effective;
                self.took_effect(moment, version);
            }
            Target::Next => {
                lifecycle::take_over(head)?;
                self.took_effect(moment, version);
            }
            Target::Pending => {
                let pending = head.pending.take();
                let (step, act) =
                    pending.map_or((Step::Revoke, Act::Plain), |pending| (pending.step, pending.act));
                let effect = self.pending_effect;
                self.carry_out(moment, step, act, effect, actor.agency)?;
            }
        }
        let head = self.open()?;
        Ok((head.current.version, head.current.status))
    }

    /// Ends a version that never took effect.
    fn end_version(
        &mut self,
        moment: Moment,
        target: Target,
        status: Status,
    ) -> Result<(u32, Status), Refusal> {
        let (version, _) = lifecycle::end_version(self.open()?, target, status)?;
        self.changes.push((moment, Change::Ended(version, status)));
        Ok((version, status))
    }

    /// Revoke, suspend, resume, stop publication, erase.
    fn change(
        &mut self,
        moment: Moment,
        actor: &Actor<'_>,
        operation: &Operation,
    ) -> Result<(u32, Status), Refusal> {
        let (step, version) = (operation.step(), operation.version());
        let council = self.is_council_matter().then(|| self.council());
        let head = self.open()?;
        let effect = if let Operation::Revoke { effect, .. } = operation { *effect } else { Effect::FromNow };
        if let Operation::Erase { ground, .. } = operation {
            lifecycle::check_ground(head, *ground)?;
        }
        lifecycle::check_act(operation, head, moment.day)?;
        let act = lifecycle::act_of(operation);
        let rights = lifecycle::rights(head, step, council)?;
        lifecycle::check_rights(actor, head, &rights)?;
        if version != head.current.version {
            return Err(lifecycle::version_conflict(version, head));
        }
        lifecycle::check_change_state(head, step)?;
        if !step.leaves_pending() {
            lifecycle::check_nothing_pending(head, step)?;
        }
        let needs = lifecycle::decision_needs(head, act, rights.needs);
        if needs.is_met() {
            self.carry_out(moment, step, act, effect, actor.agency)?;
        } else {
            let signers = vec![actor.sign(step)];
            head.pending = Some(Pending { step, act, digest: operation.digest(), needs, signers });
            self.pending_effect = effect;
        }
        let head = self.open()?;
        Ok((head.current.version, head.current.status))
    }

    fn carry_out(
        &mut self,
        moment: Moment,
        step: Step,
        act: Act,
        effect: Effect,
        by: &OrgId,
    ) -> Result<(), Refusal> {
        let head = self.open()?;
        if matches!(step, Step::Erase | Step::Seal) {
            lifecycle::check_hold(head)?;
        }
        let before = head.current.status;
        if act.remedy() == Remedy::Amend {
            lifecycle::take_over(head)?;
        }
        let stopped = head.flags.contains(Flags::PUBLICATION_STOPPED);
        lifecycle::carry_out(head, step, act, by);
        let (version, after) = (head.current.version, head.current.status);
        let newly_stopped = !stopped && head.flags.contains(Flags::PUBLICATION_STOPPED);
        if act.remedy() == Remedy::Amend {
            self.took_effect(moment, version);
        }
        let change = match step {
            Step::Suspend => Some(Change::Suspended),
            Step::Resume => Some(Change::Resumed),
            Step::Erase => Some(Change::Erased),
            Step::Seal => Some(Change::Sealed),
            Step::RepairUndo => Some(Change::RepairUndone),
            _ if before != after && after == Status::Revoked => Some(Change::Revoked(effect)),
            _ if before != after && after == Status::Repaired => Some(Change::Repaired),
            _ if newly_stopped => Some(Change::PublicationStopped),
            _ => None,
        };
        self.changes.extend(change.map(|change| (moment, change)));
        Ok(())
    }

    fn status(&self) -> Option<Status> {
        self.head.as_ref().map(|head| head.current.status)
    }

    /// Notes when the bodies of a record that has just ended are to go.
    fn plan_seal(
        &mut self,
        moment: Moment,
        before: Option<Status>,
        bases: &impl Bases,
    ) -> Result<(), Refusal> {
        let (Some(before), Some(head)) = (before, &mut self.head) else { return Ok(()) };
        if !lifecycle::wants_seal_plan(head, before) {
            return Ok(());
        }
        let basis = match &head.current.legal_basis {
            Some(named) => bases.basis(named)?,
            None => None,
        };
        let years = basis.map_or(0, |basis| basis.retention_years);
        lifecycle::plan_seal(head, before, moment.day, years);
        Ok(())
    }

    /// A step that followed from a step on another record. Whether that one was taken is a question to the other record.
    fn linked(&mut self, moment: Moment, leaf: &LinkedLeaf, bases: &impl Bases) -> Result<(), Refusal> {
        let before = self.status();
        let head = self.open()?;
        if !lifecycle::take_linked(head, leaf.step, &leaf.cause) {
            let detail = format!("no step to {} follows from record {}", leaf.step, leaf.cause);
            return Err(Refusal::new(Code::BadState, detail));
        }
        head.changed_at = moment.height;
        if (leaf.version, leaf.status, leaf.flags) != (head.current.version, head.current.status, head.flags)
        {
            return Err(mismatch(
                "a step after another record says that something else came of it".to_owned(),
            ));
        }
        let change = match leaf.step {
            Step::Expire => Some(Change::EndedWithBase),
            Step::Supersede => Some(Change::Superseded),
            Step::CloseCase => Some(Change::Closed),
            Step::Suspend => Some(Change::Suspended),
            Step::Resume => Some(Change::Resumed),
            _ => None,
        };
        self.changes.extend(change.map(|change| (moment, change)));
        self.plan_seal(moment, before, bases)
    }

    /// Whether the record is the council's to change.
    fn is_council_matter(&self) -> bool {
        let Some(head) = &self.head else { return false };
        if head.lifecycle() != Lifecycle::Status {
            return false;
        }
        let current = self.versions.iter().find(|one| one.header.version == head.current.version);
        let by_council = current.is_some_and(|one| {
            matches!(&one.header.details, Details::Member(details) if details.role.is_granted_by_council())
        });
        head.record_type.is_of_council() || by_council
    }

    /// A validator's word that it is ready changes nothing of its record but the height.
    fn ready(&mut self, version: u32) -> Result<(u32, Status), Refusal> {
        let head = self.open()?;
        if head.record_type != RecordType::Validator {
            let detail = format!("{} is no {}", head.record_type, RecordType::Validator);
            return Err(Refusal::new(Code::BadState, detail));
        }
        if version != head.current.version {
            return Err(lifecycle::version_conflict(version, head));
        }
        if head.current.status != Status::Effective {
            let detail = format!("status {}, wants effective", head.current.status);
            return Err(Refusal::new(Code::BadState, detail));
        }
        Ok((version, head.current.status))
    }

    /// A step that the ledger took by itself.
    fn due(&mut self, moment: Moment, leaf: &AutomaticLeaf, bases: &impl Bases) -> Result<(), Refusal> {
        let before = self.status();
        let head = self.open()?;
        if moment.day < leaf.due {
            let detail =
                format!("the step to {} is due on {}, the block is of {}", leaf.step, leaf.due, moment.day);
            return Err(Refusal::new(Code::TooEarly, detail));
        }
        if !lifecycle::take_due(head, leaf.due, leaf.step) {
            let detail = format!("no step to {} follows on {}", leaf.step, leaf.due);
            return Err(Refusal::new(Code::BadState, detail));
        }
        head.changed_at = moment.height;
        if (leaf.version, leaf.status, leaf.flags) != (head.current.version, head.current.status, head.flags)
        {
            return Err(mismatch("an automatic step says that something else came of it".to_owned()));
        }
        let change = match leaf.step {
            Step::Expire => Some(Change::Expired),
            Step::RetentionEnd => Some(Change::Sealed),
            Step::PublicationEnd => Some(Change::PublicationStopped),
            _ => None,
        };
        self.changes.extend(change.map(|change| (moment, change)));
        self.plan_seal(moment, before, bases)
    }

    /// A validator's word on an erasure; the record's head does not change by it.
    fn confirmed(&mut self, word: &ErasureLeaf) -> Result<(), Refusal> {
        let head = self.open()?;
        if !head.current.status.is_without_bodies() {
            let detail = format!("{} confirms an erasure that nobody ordered", word.validator);
            return Err(Refusal::new(Code::NotAwaited, detail));
        }
        if word.version != head.current.version {
            return Err(lifecycle::version_conflict(word.version, head));
        }
        Ok(())
    }

    fn keep(&mut self, leaf_index: u64, filed: Moment, header: &Header, reason: Option<AmendReason>) {
        self.versions.push(Version { header: header.clone(), reason, leaf_index, filed, in_force: None });
    }

    fn took_effect(&mut self, moment: Moment, version: u32) {
        if let Some(one) = self.versions.iter_mut().rev().find(|one| one.header.version == version) {
            one.in_force = Some(moment);
        }
        self.changes.push((moment, Change::InForce(version)));
    }
}

fn mismatch(detail: String) -> Refusal {
    Refusal::new(Code::LeafMismatch, detail)
}
