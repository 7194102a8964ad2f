//! Filing content: submit and amend.

use super::index::Subject;
use super::overlay::Fail;
use super::{Call, Done, Execution, LedgerRead, Verdict};
use crate::code::{Code, Refusal};
use crate::crypto::Digest;
use crate::lifecycle;
use crate::operation::{Operation, Step};
use crate::record::body::Derived;
use crate::record::deadline::Duty;
use crate::record::governance::Role;
use crate::record::registered::RegisteredType;
use crate::record::{Details, Header, OPERATION_BYTES_MAX, RecordType, SubjectKind};
use crate::rules;
use crate::state::{Needs, RecordHead, Status, VersionHead, key};

/// What the checks of a version's content give.
struct Content {
    /// The approvals that it needs.
    needs: Needs,
    /// Whom it is about.
    subject: Option<Subject>,
    /// What is owed from its filing on.
    duties: Vec<Duty>,
}

impl<L: LedgerRead> Execution<'_, L> {
    pub(super) fn submit(&mut self, call: &Call<'_>, header: &Header) -> Result<Done, Fail> {
        // After the number of the step, an operation to submit is its header.
        let digest = Header::digest_of(call.canonical.get(1..).unwrap_or_default());
        self.check_filing(call, header)?;
        lifecycle::check_first(header)?;
        let head_key = key::record(&header.record);
        if let Some(head) = self.state.read::<RecordHead>(&head_key)? {
            return repeated(header, &head, digest).map_err(Fail::from);
        }
        let Content { needs, subject, duties } = self.check_content(call, header, None)?;
        self.take_natural_key(header)?;
        if header.record_type.governs() {
            self.check_governance(header, None)?;
        }
        let version = self.filed(call, header, digest, needs);
        let status = version.status;
        let mut head = RecordHead::first(header, version, self.height);
        head.duties = duties;
        head.pending = lifecycle::confirm::pending(header, digest, &call.author.actor());
        let done = self.record_step(call, &head, header.version, status)?;
        self.file_governance(header)?;
        self.keep_listing(header, subject, call.body.is_some());
        self.keep_links(header)?;
        if status == Status::Effective {
            self.made_effective(&header.record, &head, None)?;
        }
        self.put_head(header.record, &mut head)?;
        self.open_case(header)?;
        self.follow_explanations(&header.record, Status::Submitted, &head)?;
        self.keep_chained(header);
        self.keep_newest_list(header);
        self.keep_access_root(header);
        self.follow_updates(&header.record, Status::Submitted, &head)?;
        self.follow_release(&header.record, Status::Submitted, &head)?;
        if let Details::Batch(batch) = &header.details {
            self.accept_batch(header, batch)?;
        }
        Ok(done)
    }

    pub(super) fn amend(&mut self, call: &Call<'_>, header: &Header) -> Result<Done, Fail> {
        // After the numbers of step and reason comes the header.
        let digest = Header::digest_of(call.canonical.get(2..).unwrap_or_default());
        self.check_filing(call, header)?;
        let mut head = self.head(&header.record)?;
        if let Some(version) =
            head.next.iter().chain([&head.current]).find(|version| version.header_digest == digest)
        {
            return Ok(duplicate(header, version.version, version.leaf_index));
        }
        lifecycle::check_amendment(&head, header)?;
        self.check_new_bases(header, &head)?;
        let Content { needs, subject, .. } = self.check_content(call, header, Some(&head))?;
        if header.natural_key != head.current.natural_key {
            self.take_natural_key(header)?;
        }
        if header.record_type.governs() {
            self.check_governance(header, Some(head.current.version))?;
        }
        let version = self.filed(call, header, digest, needs);
        let status = version.status;
        head.next = Some(version);
        head.changed_at = self.height;
        let done = self.record_step(call, &head, header.version, status)?;
        self.file_governance(header)?;
        self.keep_listing(header, subject, call.body.is_some());
        self.keep_links(header)?;
        if status == Status::Effective {
            self.take_over_next(header.record, &mut head)?;
        }
        self.put_head(header.record, &mut head)?;
        Ok(done)
    }

    /// Form, size and rights: everything that stands before looking at the record.
    fn check_filing(&mut self, call: &Call<'_>, header: &Header) -> Result<(), Fail> {
        if call.canonical.len() > OPERATION_BYTES_MAX {
            let detail =
                format!("operation of {} bytes, at most {OPERATION_BYTES_MAX}", call.canonical.len());
            return Err(Refusal::new(Code::SizeLimit, detail).into());
        }
        lifecycle::check_filer(&call.author.actor(), header, call.operation.step())?;
        if !header.record_type.is_governance() {
            let agency = self.state.agency(&header.agency)?;
            if !agency.is_some_and(|agency| agency.types.contains(&header.record_type)) {
                let detail = format!("{} may not file {}", header.agency, header.record_type);
                return Err(Refusal::new(Code::AgencyNotCompetent, detail).into());
            }
        }
        rules::check_header_form(self.chain.chain_id, header)?;
        Ok(())
    }

    /// Body, header, basis, officers and references.
    fn check_content(
        &mut self,
        call: &Call<'_>,
        header: &Header,
        head: Option<&RecordHead>,
    ) -> Result<Content, Fail> {
        if header.record_type.is_governance() {
            let needs = lifecycle::governance_needs(header, self.council_needs());
            return Ok(Content { needs, subject: None, duties: Vec::new() });
        }
        let known = self.type_of(header, head)?;
        let registered = known.as_ref().map(|known| &known.registered);
        if let Some(registered) = registered {
            registered.check_header(header)?;
        }
        let judged = self.check_shared_body(call, header, registered)?;
        rules::check_header_content(header)?;
        Self::check_own_device(call, header)?;
        if let Details::Batch(batch) = &header.details {
            self.check_batch(header, batch)?;
            return Ok(Content { needs: Needs::NONE, subject: None, duties: Vec::new() });
        }
        let (needs, duties) = self.check_legal_basis(header, registered, judged.as_ref(), head)?;
        let subject = judged.and_then(|derived| subject_of(header, derived));
        self.check_automatic_evidence(header)?;
        self.check_officers(call, header)?;
        self.check_links(header, registered)?;
        match &header.details {
            Details::Alert(alert) => self.check_alert(header, alert)?,
            Details::Procurement(release) => self.check_release(call.author, &header.agency, release)?,
            Details::StatusList(list) => self.check_status_list(header, list)?,
            Details::CommitBatch(batch) => self.check_day_is_over(batch.day)?,
            Details::AccessRoot(root) => self.check_access_root(header, root)?,
            Details::None if header.record_type == RecordType::Certificate => self.check_list_of(header)?,
            _ => {}
        }
        Ok(Content { needs, subject, duties })
    }

    /// Judges a body of class P0 or P1 once, and gives what it says; where it was erased, the first outcome decides.
    fn check_shared_body(
        &self,
        call: &Call<'_>,
        header: &Header,
        registered: Option<&RegisteredType>,
    ) -> Result<Option<Derived>, Fail> {
        if !header.class.body_is_shared() || header.body_commit.is_none() {
            return Ok(None);
        }
        match (call.body, call.recorded) {
            (Some(body), _) => {
                let derived = match registered {
                    Some(registered) => rules::check_registered_body(header, body, registered)?,
                    None => rules::check_body(header, body)?,
                };
                let limit = usize::try_from(self.params.body_bytes_max).unwrap_or(usize::MAX);
                if body.json.len() > limit {
                    let detail = format!("the body has {} bytes, at most {limit}", body.json.len());
                    return Err(Refusal::new(Code::SizeLimit, detail).into());
                }
                if derived.captured_ms.is_some_and(|captured| captured > self.latest_capture_ms()) {
                    let detail = "origin.captured lies after block time".to_owned();
                    return Err(Refusal::new(Code::DateOrder, detail).into());
                }
                Ok(Some(derived))
            }
            (None, Some(Verdict::Accepted { .. })) => Ok(None),
            (None, Some(Verdict::Refused(refusal))) => Err(refusal.clone().into()),
            (None, None) => Err(Refusal::new(Code::BodyMissing, "the body is absent").into()),
        }
    }

    fn check_legal_basis(
        &mut self,
        header: &Header,
        registered: Option<&RegisteredType>,
        body: Option<&Derived>,
        before: Option<&RecordHead>,
    ) -> Result<(Needs, Vec<Duty>), Fail> {
        let Some(named) = &header.legal_basis else {
            return Err(rules::missing_basis().into());
        };
        let Some(basis) = self.state.basis(named)? else {
            let shown = crate::text::shown(&named.id);
            let detail = format!("the catalogue has no {shown} v{}", named.version);
            return Err(Refusal::new(Code::LegalBasisMissing, detail).into());
        };
        if !matches!(basis.status, Status::Effective | Status::Expired) {
            let detail = format!("legal basis {} v{}: status {}", named.id, named.version, basis.status);
            return Err(Refusal::new(Code::LegalBasisNotInForce, detail).into());
        }
        rules::check_basis(header, &basis.details, self.today)?;
        if let Some(registered) = registered {
            registered.check_basis(&basis.details)?;
        }
        if let Some(body) = body {
            rules::check_body_by_basis(body, &basis.details)?;
        }
        let duties = lifecycle::duties_of_filing(header, &basis.details, self.today);
        Ok((lifecycle::content_needs(header, &basis.details, before), duties))
    }

    /// Officers of a penalty, and of a registered type that wants some, are clerks of the agency, the submitting one among
    /// them (Administrative Penalty Law art. 42).
    fn check_officers(&mut self, call: &Call<'_>, header: &Header) -> Result<(), Fail> {
        if header.officers_min() == 0 {
            return Ok(());
        }
        let refuse = |detail: String| Err(Fail::Refused(Refusal::new(Code::OfficersRequired, detail)));
        lifecycle::check_own_officer(&call.author.actor(), header)?;
        for officer in &header.officers {
            let member = self.state.member(officer)?;
            let fitting = member.is_some_and(|member| {
                member.agency == header.agency
                    && member.role == Role::Clerk
                    && member.check_in_office(officer, self.today).is_ok()
            });
            if !fitting {
                return refuse(format!("officer {} is no clerk of the agency in office", officer.short()));
            }
        }
        Ok(())
    }

    /// Reserves the agency's own number for a record.
    fn take_natural_key(&mut self, header: &Header) -> Result<(), Fail> {
        let Some(natural) = &header.natural_key else {
            return Ok(());
        };
        let natural_key = key::natural(header.record_type, &header.agency, natural);
        if let Some(first) = self.state.get(&natural_key)?
            && first != header.record.digest().as_bytes()
        {
            let first = <[u8; 32]>::try_from(first.as_slice()).map_or(Digest::ZERO, Digest::new);
            return Err(Refusal::new(Code::DuplicateNaturalKey, format!("record {first} has it")).into());
        }
        self.state.put(natural_key, header.record.digest().as_bytes().to_vec());
        Ok(())
    }

    /// Frees the number of a version that will never be effective.
    pub(super) fn free_natural_key(&mut self, head: &RecordHead, natural: Option<&Digest>) {
        if let Some(natural) = natural {
            self.state.remove(key::natural(head.record_type, &head.agency, natural));
        }
    }

    pub(super) fn council_needs(&self) -> Needs {
        Needs::council(self.chain.council_threshold.saturating_sub(1))
    }

    fn filed(&self, call: &Call<'_>, header: &Header, digest: Digest, needs: Needs) -> VersionHead {
        let step = if matches!(call.operation, Operation::Amend { .. }) { Step::Amend } else { Step::Submit };
        lifecycle::filed(header, digest, self.log.size(), needs, Some(call.author.actor().sign(step)))
    }
}

/// The organisation that a record is about, for the index by organisation.
fn subject_of(header: &Header, body: Derived) -> Option<Subject> {
    let organisation = body.subject.filter(|_| header.subject_kind == SubjectKind::Organisation)?;
    Some(Subject { organisation, salt: body.subject_salt })
}

fn repeated(header: &Header, head: &RecordHead, digest: Digest) -> Result<Done, Refusal> {
    if head.first_digest == digest {
        return Ok(duplicate(header, 1, head.first_leaf));
    }
    let detail = format!("record {} was filed with other content", header.record);
    // A batch's key is its number.
    let batch = header.record_type == RecordType::SensorBatch;
    let code = if batch { Code::SeqReplay } else { Code::IdempotencyConflict };
    Err(Refusal::new(code, detail))
}

fn duplicate(header: &Header, version: u32, leaf_index: u64) -> Done {
    Done { record: header.record, version, leaf_index, duplicate: true }
}
