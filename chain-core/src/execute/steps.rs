//! Steps on records that exist: countersign, reject, withdraw, and every change of a record in effect.

use super::overlay::Fail;
use super::{Call, Done, Execution, LedgerRead, ReadError};
use crate::code::{Code, Refusal};
use crate::crypto::Digest;
use crate::id::RecordId;
use crate::layout::Layout as _;
use crate::leaf::SignedLeafHead;
use crate::lifecycle::{self, Target, require_reason};
use crate::operation::{NOTE_BYTES_MAX, Operation, Remedy, Step};
use crate::org::OrgId;
use crate::record::Lifecycle;
use crate::record::body::check_note;
use crate::state::{Act, Pending, RecordHead, Status, key};

impl<L: LedgerRead> Execution<'_, L> {
    /// Carries out one operation. Checks come before writes, so a refusal changes nothing.
    pub(super) fn step(&mut self, call: &Call<'_>) -> Result<Done, Fail> {
        match call.operation {
            Operation::Submit(header) => self.submit(call, header),
            Operation::Amend { header, .. } => self.amend(call, header),
            Operation::Countersign { record, version, header_digest } => {
                self.countersign(call, record, *version, header_digest)
            }
            Operation::Reject { record, version, header_digest, reason } => {
                self.reject(call, record, *version, header_digest.as_ref(), reason)
            }
            Operation::Withdraw { record, version } => self.withdraw(call, record, *version),
            Operation::Ready { record, version, time_ms, signature } => {
                self.ready(call, record, *version, *time_ms, signature)
            }
            Operation::Accuse(_) => {
                let detail = "evidence comes alone in its transaction";
                Err(Refusal::new(Code::TooManyOperations, detail).into())
            }
            Operation::ConfirmErasure { .. } => {
                let detail = "a validator confirms erasures in a transaction of nothing else";
                Err(Refusal::new(Code::TooManyOperations, detail).into())
            }
            change => self.change(call, change),
        }
    }

    pub(super) fn head(&self, record: &RecordId) -> Result<RecordHead, Fail> {
        match self.state.read(&key::record(record))? {
            Some(head) => Ok(head),
            None => Err(Refusal::new(Code::RecordNotFound, format!("record {record}")).into()),
        }
    }

    /// Writes a head as a step left it.
    pub(super) fn put_head(&mut self, record: RecordId, head: &mut RecordHead) -> Result<(), ReadError> {
        self.keep_duties(&record, head)?;
        self.state.put(key::record(&record), head.to_canonical());
        self.touch(record, head);
        Ok(())
    }

    /// Appends the leaf of an accepted step.
    pub(super) fn record_step(
        &mut self,
        call: &Call<'_>,
        head: &RecordHead,
        version: u32,
        status: Status,
    ) -> Result<Done, Fail> {
        let leaf = SignedLeafHead {
            height: self.height,
            time_ms: self.time_ms,
            tx: call.tx,
            operation_index: call.index,
            author: &call.author.key,
            agency: &call.author.member.agency,
            role: call.author.member.role,
            version,
            status,
            flags: head.flags,
        };
        let record = call.operation.record();
        let leaf_index = self.append(Some(record), leaf.with_operation(call.canonical));
        Ok(Done { record, version, leaf_index, duplicate: false })
    }

    fn countersign(
        &mut self,
        call: &Call<'_>,
        record: &RecordId,
        version: u32,
        digest: &Digest,
    ) -> Result<Done, Fail> {
        let mut head = self.head(record)?;
        let before = head.current.status;
        let actor = call.author.actor();
        let target = lifecycle::target(&head, version, Some(digest))?;
        let given = lifecycle::approval(&actor, &head, target)?;
        let met = lifecycle::approve(&mut head, target, given, actor.sign(Step::Countersign))?;
        head.changed_at = self.height;
        if !met {
            let status = if target == Target::Pending { head.current.status } else { Status::Submitted };
            let done = self.record_step(call, &head, version, status)?;
            self.put_head(*record, &mut head)?;
            return Ok(done);
        }
        let mut decided = None;
        match target {
            Target::Current => {
                self.check_governance_of(record, &head, head.current.version, None)?;
                self.check_bases(&head.current)?;
                self.check_waiting_release(record, &head)?;
                head.current.status = Status::Effective;
                self.made_effective(record, &head, None)?;
            }
            Target::Next => {
                let before = Some(head.current.version);
                self.check_governance_of(record, &head, version, before)?;
                self.check_next(&head)?;
                self.take_over_next(*record, &mut head)?;
            }
            Target::Pending => {
                let pending = head.pending.take();
                let (step, act) =
                    pending.map_or((Step::Revoke, Act::Plain), |pending| (pending.step, pending.act));
                self.carry_out(record, &mut head, step, act, actor.agency)?;
                decided = Some((step, act));
            }
        }
        let (version, status) = (head.current.version, head.current.status);
        let done = self.record_step(call, &head, version, status)?;
        self.conclude(record, before, &mut head)?;
        if let Some((step, act)) = decided {
            self.close_cases(record, step, act)?;
        }
        Ok(done)
    }

    fn check_next(&self, head: &RecordHead) -> Result<(), Fail> {
        match &head.next {
            Some(next) => self.check_bases(next),
            None => Ok(()),
        }
    }

    fn reject(
        &mut self,
        call: &Call<'_>,
        record: &RecordId,
        version: u32,
        digest: Option<&Digest>,
        reason: &str,
    ) -> Result<Done, Fail> {
        require_reason(reason)?;
        let mut head = self.head(record)?;
        check_note(reason, head.class, NOTE_BYTES_MAX)?;
        lifecycle::confirm::check_rejection(&head)?;
        let target = lifecycle::target(&head, version, digest)?;
        lifecycle::approval(&call.author.actor(), &head, target)?;
        head.changed_at = self.height;
        if target == Target::Pending {
            head.pending = None;
            let status = head.current.status;
            let done = self.record_step(call, &head, version, status)?;
            self.put_head(*record, &mut head)?;
            return Ok(done);
        }
        self.end_version(call, record, head, target, Status::Rejected)
    }

    fn withdraw(&mut self, call: &Call<'_>, record: &RecordId, version: u32) -> Result<Done, Fail> {
        let mut head = self.head(record)?;
        let target = lifecycle::withdrawal_target(&head, version)?;
        lifecycle::check_withdrawal(&call.author.actor(), &head, target)?;
        if target == Target::Current && head.current.status == Status::Effective {
            self.check_nothing_rests_on(record)?;
        }
        head.changed_at = self.height;
        self.end_version(call, record, head, target, Status::Withdrawn)
    }

    /// Ends a submitted version that never took effect.
    fn end_version(
        &mut self,
        call: &Call<'_>,
        record: &RecordId,
        mut head: RecordHead,
        target: Target,
        status: Status,
    ) -> Result<Done, Fail> {
        let before = head.current.status;
        let (version, freed) = lifecycle::end_version(&mut head, target, status)?;
        self.free_natural_key(&head, freed.as_ref());
        let done = self.record_step(call, &head, version, status)?;
        self.conclude(record, before, &mut head)?;
        Ok(done)
    }

    /// A change of a record: at once, or pending until others have agreed.
    fn change(&mut self, call: &Call<'_>, operation: &Operation) -> Result<Done, Fail> {
        let (record, version, step) = (operation.record(), operation.version(), operation.step());
        let mut head = self.head(&record)?;
        let before = head.current.status;
        if let Operation::Erase { ground, .. } = operation {
            lifecycle::check_ground(&head, *ground)?;
        }
        lifecycle::check_act(operation, &head, self.today)?;
        let act = lifecycle::act_of(operation);
        let council = match head.lifecycle() {
            Lifecycle::Status if self.is_council_matter(&record, &head)? => Some(self.council_needs()),
            _ => None,
        };
        let actor = call.author.actor();
        let rights = lifecycle::rights(&head, step, council)?;
        lifecycle::check_rights(&actor, &head, &rights)?;
        if version != head.current.version {
            return Err(lifecycle::version_conflict(version, &head).into());
        }
        lifecycle::check_change_state(&head, step)?;
        self.check_validator_step(&head, step)?;
        if !step.leaves_pending() {
            lifecycle::check_nothing_pending(&head, step)?;
        }
        if let Operation::RepairDecide { case, outcome, .. } = operation {
            self.check_application(&record, case, *outcome)?;
        }
        head.changed_at = self.height;
        let needs = lifecycle::decision_needs(&head, act, rights.needs);
        if needs.is_met() {
            self.carry_out(&record, &mut head, step, act, actor.agency)?;
        } else {
            let digest = Operation::digest_of(call.canonical);
            head.pending = Some(Pending { step, act, digest, needs, signers: vec![actor.sign(step)] });
        }
        let (version, status) = (head.current.version, head.current.status);
        let done = self.record_step(call, &head, version, status)?;
        self.conclude(&record, before, &mut head)?;
        if needs.is_met() {
            self.close_cases(&record, step, act)?;
        }
        Ok(done)
    }

    /// Lets a change take effect.
    fn carry_out(
        &mut self,
        record: &RecordId,
        head: &mut RecordHead,
        step: Step,
        act: Act,
        by: &OrgId,
    ) -> Result<(), Fail> {
        self.check_validator_step(head, step)?;
        if let Act::Repair(case, outcome) = act {
            self.check_application(record, &case, outcome)?;
        }
        if matches!(step, Step::Erase | Step::Seal) {
            lifecycle::check_hold(head)?;
            self.drop_waiting(head);
        }
        if act.remedy() == Remedy::Amend {
            self.check_next(head)?;
            self.take_over_next(*record, head)?;
        }
        lifecycle::carry_out(head, step, act, by);
        match step {
            Step::Erase | Step::Seal => self.dispose(record, head)?,
            Step::Hold | Step::ReleaseHold => self.plan_after_hold(record, head),
            // The days of a version that was repaired stand again.
            Step::RepairUndo => self.plan_automatic_steps(record, &head.current),
            _ => {}
        }
        if head.record_type.governs() {
            self.governance_status(record, head)?;
        }
        Ok(())
    }

    /// The waiting version takes effect and the one before it is superseded.
    pub(super) fn take_over_next(&mut self, record: RecordId, head: &mut RecordHead) -> Result<(), Fail> {
        let before = lifecycle::take_over(head)?;
        if before.natural_key != head.current.natural_key {
            self.free_natural_key(head, before.natural_key.as_ref());
        }
        self.made_effective(&record, head, Some(before.version))
    }

    /// What follows from a version taking effect.
    pub(super) fn made_effective(
        &mut self,
        record: &RecordId,
        head: &RecordHead,
        before: Option<u32>,
    ) -> Result<(), Fail> {
        self.plan_automatic_steps(record, &head.current);
        if head.record_type.governs() {
            self.govern(record, head, before)?;
        }
        Ok(())
    }
}
