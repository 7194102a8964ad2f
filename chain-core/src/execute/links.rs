//! What follows from a step on another record: dependants end with their base, objections mark their record, decisions
//! close cases.
//!
//! A cascade takes at most [`CASCADE_STEPS_MAX`] records a block, in the order of their ids; what is left waits in a queue
//! and goes on at the beginning of the next block. Chains are at most [`CASCADE_DEPTH_MAX`] long and have no circle,
//! because a record may rest on nothing that rests on it: that is refused when it is filed.

use super::overlay::Fail;
use super::{CASCADE_DEPTH_MAX, CASCADE_STEPS_MAX, Execution, LedgerRead, ReadError};
use crate::code::{Code, Refusal};
use crate::id::RecordId;
use crate::layout::Layout as _;
use crate::leaf::{Leaf, LinkedLeaf};
use crate::lifecycle;
use crate::operation::{RepairOutcome, Step};
use crate::record::registered::RegisteredType;
use crate::record::{Header, RecordType, Relation};
use crate::state::{Act, Flags, RecordHead, Status, VersionHead, key};

impl<L: LedgerRead> Execution<'_, L> {
    /// Writes a head after a step, and takes what follows from its new status.
    pub(super) fn conclude(
        &mut self,
        record: &RecordId,
        before: Status,
        head: &mut RecordHead,
    ) -> Result<(), ReadError> {
        let after = head.current.status;
        self.plan_seal(record, before, head)?;
        self.put_head(*record, head)?;
        if let Some(step) = lifecycle::follows(before, after) {
            self.cascade(record, step, None)?;
        }
        self.follow_explanations(record, before, head)?;
        self.follow_updates(record, before, head)?;
        self.follow_release(record, before, head)?;
        if after != before {
            self.close_open_cases(record, after)?;
        }
        if head.record_type == RecordType::Objection && after == Status::Withdrawn {
            for target in head.current.related(Relation::ObjectsTo).collect::<Vec<_>>() {
                self.end_dispute(&target, record)?;
            }
        }
        Ok(())
    }

    /// Closes the cases that nobody can decide any more: applications for repair of what is not in effect, and objections to
    /// what has ended.
    fn close_open_cases(&mut self, record: &RecordId, status: Status) -> Result<(), ReadError> {
        if !lifecycle::is_live(status) {
            self.cascade(record, Step::CloseCase, None)?;
        }
        if matches!(status, Status::Submitted | Status::Effective | Status::Suspended) {
            return Ok(());
        }
        let rel = Relation::Repairs;
        let (from, to) = (key::dependants_after(record, rel, None), key::dependants_end(record, rel));
        for found in self.state.keys(&from, &to, CASCADE_STEPS_MAX)? {
            if let Some(case) = key::parse_dependant(&found) {
                self.linked_step(case, Step::CloseCase, record)?;
            }
        }
        Ok(())
    }

    /// Plans the end of retention of a record that has just ended, or that has no end of its own.
    fn plan_seal(
        &mut self,
        record: &RecordId,
        before: Status,
        head: &mut RecordHead,
    ) -> Result<(), ReadError> {
        if !lifecycle::wants_seal_plan(head, before) {
            return Ok(());
        }
        let basis = match &head.current.legal_basis {
            Some(named) => self.state.basis(named)?,
            None => None,
        };
        let years = basis.map_or(0, |basis| basis.details.retention_years);
        lifecycle::plan_seal(head, before, self.today, years);
        if let Some((day, step)) = lifecycle::retention_end(head) {
            self.state.put(key::due(day, record, step), Vec::new());
        }
        Ok(())
    }

    /// Takes one step that follows from a step on another record, if it still follows.
    pub(super) fn linked_step(
        &mut self,
        record: RecordId,
        step: Step,
        cause: &RecordId,
    ) -> Result<(), ReadError> {
        let Some(mut head) = self.state.read::<RecordHead>(&key::record(&record))? else {
            return Ok(());
        };
        let before = head.current.status;
        if !lifecycle::take_linked(&mut head, step, cause) {
            return Ok(());
        }
        head.changed_at = self.height;
        let leaf = Leaf::Linked(LinkedLeaf {
            height: self.height,
            time_ms: self.time_ms,
            step,
            record,
            version: head.current.version,
            status: head.current.status,
            flags: head.flags,
            cause: *cause,
        });
        self.append(Some(record), leaf.to_canonical());
        self.conclude(&record, before, &mut head)
    }

    /// Takes a step on all that rests on a record, or on all objections to it, after the one named; what this block has no
    /// room for is left to the next.
    fn cascade(&mut self, base: &RecordId, step: Step, after: Option<RecordId>) -> Result<(), ReadError> {
        let rel = if step == Step::CloseCase { Relation::ObjectsTo } else { Relation::BasedOn };
        let (from, to) = (key::dependants_after(base, rel, after.as_ref()), key::dependants_end(base, rel));
        let room = CASCADE_STEPS_MAX.saturating_sub(self.linked);
        let found = self.state.keys(&from, &to, room + 1)?;
        let mut done = after;
        for dependant in found.iter().filter_map(|found| key::parse_dependant(found)) {
            if self.linked >= CASCADE_STEPS_MAX {
                let cursor = done.map(|record| record.to_canonical()).unwrap_or_default();
                self.state.put(key::cascade(self.height, base, step), cursor);
                break;
            }
            self.linked += 1;
            self.linked_step(dependant, step, base)?;
            done = Some(dependant);
        }
        Ok(())
    }

    /// Goes on with cascades that earlier blocks had no room for, oldest first.
    pub(super) fn continue_cascades(&mut self) -> Result<(), ReadError> {
        let (from, to) = key::all_cascades();
        for (queued, cursor) in self.state.ledger().range(&from, &to, CASCADE_STEPS_MAX)? {
            if self.linked >= CASCADE_STEPS_MAX {
                break;
            }
            let parsed = key::parse_cascade(&queued);
            self.state.remove(queued);
            let Some((base, step)) = parsed else { continue };
            let status = self.state.read::<RecordHead>(&key::record(&base))?.map(|head| head.current.status);
            let holds = match step {
                Step::Expire => !matches!(status, Some(Status::Effective | Status::Suspended)),
                Step::Suspend => status == Some(Status::Suspended),
                Step::Resume => status == Some(Status::Effective),
                _ => true,
            };
            if holds {
                self.cascade(&base, step, RecordId::from_canonical(&cursor).ok())?;
            }
        }
        Ok(())
    }

    /// What a decision brings to the cases that it decides.
    pub(super) fn close_cases(&mut self, record: &RecordId, step: Step, act: Act) -> Result<(), ReadError> {
        match (step, act) {
            (Step::DisputeDecide, _) => self.cascade(record, Step::CloseCase, None),
            (Step::RepairDecide, Act::Repair(case, _)) => self.linked_step(case, Step::CloseCase, record),
            _ => Ok(()),
        }
    }

    /// What an objection or an application brings to its record in the block that files it.
    pub(super) fn open_case(&mut self, header: &Header) -> Result<(), ReadError> {
        for reference in &header.refs {
            match reference.rel {
                Relation::ObjectsTo => {
                    self.linked_step(reference.record, Step::DisputeOpen, &header.record)?;
                }
                Relation::Repairs => {
                    self.linked_step(reference.record, Step::RepairApply, &header.record)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A record is disputed no longer when the last open objection to it was taken back.
    fn end_dispute(&mut self, target: &RecordId, objection: &RecordId) -> Result<(), ReadError> {
        if self.has_open(target, Relation::ObjectsTo)? {
            return Ok(());
        }
        self.linked_step(*target, Step::DisputeEnd, objection)
    }

    /// Marks the gaps that a record in effect explains, and takes the mark back when no such record is in effect any more.
    pub(super) fn follow_explanations(
        &mut self,
        record: &RecordId,
        before: Status,
        head: &RecordHead,
    ) -> Result<(), ReadError> {
        let (was, is) = (before == Status::Effective, head.current.status == Status::Effective);
        for gap in head.current.related(Relation::Explains).collect::<Vec<_>>() {
            if is {
                self.linked_step(gap, Step::Explain, record)?;
            } else if was && !self.has_open(&gap, Relation::Explains)? {
                self.linked_step(gap, Step::ExplanationEnd, record)?;
            }
        }
        Ok(())
    }

    /// Whether a record in effect so refers to another one.
    fn has_open(&self, target: &RecordId, rel: Relation) -> Result<bool, ReadError> {
        let (from, to) = (key::dependants_after(target, rel, None), key::dependants_end(target, rel));
        for found in self.state.keys(&from, &to, CASCADE_STEPS_MAX)? {
            let Some(other) = key::parse_dependant(&found) else { continue };
            let open = self.state.read::<RecordHead>(&key::record(&other))?;
            if open.is_some_and(|head| head.current.status == Status::Effective) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Checks what a record refers to: that it is there, of a type that fits, and allows what rests on it or is about it.
    pub(super) fn check_links(
        &mut self,
        header: &Header,
        registered: Option<&RegisteredType>,
    ) -> Result<(), Fail> {
        let mut depth = 0;
        for reference in &header.refs {
            let refuse = |what: &str| {
                let detail = format!("{} {}: {what}", reference.rel, reference.record);
                Err(Fail::Refused(Refusal::new(Code::ReferenceNotFound, detail)))
            };
            let target = self.state.read::<RecordHead>(&key::record(&reference.record))?;
            let Some(target) = target
                .filter(|target| !matches!(target.current.status, Status::Rejected | Status::Withdrawn))
            else {
                return refuse("no such record");
            };
            let of_core = reference.rel.targets(header.record_type);
            let of_type = registered.and_then(|registered| registered.targets(reference.rel));
            let fits = |types: &[RecordType]| types.contains(&target.record_type);
            if !of_core.is_none_or(fits) || !of_type.as_deref().is_none_or(fits) {
                return refuse(&format!("{} does not fit", target.record_type));
            }
            if reference.rel == Relation::Notice && target.current.status == Status::Submitted {
                return refuse("a notice that waits for approval was not given yet");
            }
            match reference.rel {
                Relation::BasedOn => {
                    lifecycle::check_base(header, &target)?;
                    depth = depth.max(self.depth(&reference.record)? + 1);
                }
                Relation::ObjectsTo | Relation::Repairs => {
                    let basis = match &target.current.legal_basis {
                        Some(named) => self.state.basis(named)?,
                        None => None,
                    };
                    let basis = basis.as_ref().map(|basis| &basis.details);
                    lifecycle::check_case(header, &target, basis, self.today)?;
                }
                Relation::Explains if target.agency != header.agency => {
                    let detail = format!("the gap is of {}, explained by {}", target.agency, header.agency);
                    return Err(Refusal::new(Code::AgencyNotCompetent, detail).into());
                }
                _ => {}
            }
        }
        if depth > CASCADE_DEPTH_MAX {
            let detail =
                format!("a chain of {depth} records that rest on one another, at most {CASCADE_DEPTH_MAX}");
            return Err(Refusal::new(Code::CascadeLimit, detail).into());
        }
        Ok(())
    }

    /// Refuses a new base for a record that others rest on: the chain could grow too long, or close to a circle.
    pub(super) fn check_new_bases(&mut self, header: &Header, head: &RecordHead) -> Result<(), Fail> {
        let added = header
            .refs
            .iter()
            .any(|reference| reference.rel == Relation::BasedOn && !head.current.rests_on(&reference.record));
        let (from, to) = (
            key::dependants_after(&header.record, Relation::BasedOn, None),
            key::dependants_end(&header.record, Relation::BasedOn),
        );
        if added && !self.state.keys(&from, &to, 1)?.is_empty() {
            let detail = "others rest on the record, so it may not come to rest on another one";
            return Err(Refusal::new(Code::CascadeLimit, detail).into());
        }
        Ok(())
    }

    /// Refuses a version that rests on something not in effect any more, when the last approval comes.
    pub(super) fn check_bases(&self, version: &VersionHead) -> Result<(), Fail> {
        for base in version.related(Relation::BasedOn) {
            let status = self.head(&base)?.current.status;
            if status != Status::Effective {
                let detail = format!("it rests on record {base} with status {status}, wants effective");
                return Err(Refusal::new(Code::BadState, detail).into());
            }
        }
        Ok(())
    }

    /// Keeps in both directions what a filed header relates to.
    pub(super) fn keep_links(&mut self, header: &Header) -> Result<(), ReadError> {
        let mut depth = 0;
        for reference in header.refs.iter().filter(|reference| reference.rel.is_followed()) {
            self.state.put(key::dependant(&reference.record, reference.rel, &header.record), Vec::new());
            if reference.rel == Relation::BasedOn {
                depth = depth.max(self.depth(&reference.record)? + 1);
            }
        }
        if depth > 0 {
            self.state.put(key::base_depth(&header.record), vec![depth]);
        }
        Ok(())
    }

    /// How many records lie below one in the longest chain that it rests on.
    fn depth(&self, record: &RecordId) -> Result<u8, ReadError> {
        let value = self.state.get(&key::base_depth(record))?;
        Ok(value.and_then(|value| value.first().copied()).unwrap_or(0))
    }

    /// Refuses to decide on an application that is not there, or to grant one without evidence.
    pub(super) fn check_application(
        &self,
        record: &RecordId,
        case: &RecordId,
        outcome: RepairOutcome,
    ) -> Result<(), Fail> {
        let case = self.state.read::<RecordHead>(&key::record(case))?;
        lifecycle::check_repair_case(record, case.as_ref(), outcome)?;
        let promises = case.iter().flat_map(|case| case.current.related(Relation::Evidence));
        for promise in promises.filter(|_| outcome == RepairOutcome::Granted) {
            let status = self.head(&promise)?.current.status;
            if !matches!(status, Status::Effective | Status::Expired) {
                let detail = format!("the public commitment {promise} has status {status}, wants effective");
                return Err(Refusal::new(Code::MissingEvidence, detail).into());
            }
        }
        Ok(())
    }

    /// Refuses to take back a promise that something in effect rests on: it would end without anybody's decision.
    pub(super) fn check_nothing_rests_on(&self, record: &RecordId) -> Result<(), Fail> {
        if !self.has_open(record, Relation::BasedOn)? {
            return Ok(());
        }
        let detail = "a record in effect rests on it: have that one revoked first";
        Err(Refusal::new(Code::BadState, detail).into())
    }

    /// Plans again what a hold kept back.
    pub(super) fn plan_after_hold(&mut self, record: &RecordId, head: &RecordHead) {
        if let Some((day, step)) = lifecycle::hold_end(head) {
            self.state.put(key::due(day, record, step), Vec::new());
        } else if let (Some((day, step)), false) =
            (lifecycle::retention_end(head), head.flags.contains(Flags::LEGAL_HOLD))
        {
            self.state.put(key::due(day, record, step), Vec::new());
        }
    }
}
