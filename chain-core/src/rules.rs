//! The ladder of checks that need no ledger: header alone, body alone, both together, header against basis.
//!
//! Validators run them on execution, clients before sending: [`check_submission`] gives a clerk the verdict
//! that the network would give, as far as header, body and basis decide.

mod device;

use crate::code::{Code, Refusal};
use crate::date::Date;
use crate::id::ChainId;
use crate::operation::Operation;
use crate::record::body::{self, Derived};
use crate::record::credit::Hearing;
use crate::record::egov::certificate::check_certificate;
use crate::record::governance::{BasisDetails, Instrument, check_order};
use crate::record::health::CommitBatchDetails;
use crate::record::registered::RegisteredType;
use crate::record::schema::VERSIONS_MAX;
use crate::record::{
    Class, Details, Header, Lifecycle, OFFICERS_MAX, REFERENCES_MAX, RecordType, Relation, SubjectKind,
    record_id,
};
use crate::transaction::{Body, Submission};

/// Version of the rules of every type.
pub const SCHEMA_VERSION: u16 = 1;
/// How far ahead of block time a record may say it was captured: two minutes.
pub const CAPTURED_AHEAD_MS_MAX: u64 = 2 * 60 * 1000;

/// Judges a header by itself, all but its dates: form, class, subject kind and commitments.
///
/// # Errors
/// The code of the first flaw.
pub fn check_header_form(chain_id: ChainId, header: &Header) -> Result<(), Refusal> {
    let record_type = header.record_type;
    // Which version of a registered type takes records, the state says.
    let versions = if header.terms().is_some() { 1..=VERSIONS_MAX } else { SCHEMA_VERSION..=SCHEMA_VERSION };
    if !versions.contains(&header.schema_version) {
        let detail = format!("schema version {}, wants {}", header.schema_version, versions.start());
        return Err(Refusal::new(Code::UnsupportedVersion, detail));
    }
    if header.record != record_id(chain_id, &header.agency, record_type, &header.idempotency) {
        let detail = "record id is not that of chain, agency, type and idempotency digest";
        return Err(Refusal::new(Code::BadParameter, detail));
    }
    check_class(header)?;
    let fitting = match &header.details {
        Details::None => {
            let registered = matches!(record_type, RecordType::Registered(_));
            let detailed = record_type.is_of_devices() || record_type.has_content_details();
            !record_type.is_governance() && !detailed && !registered
        }
        Details::Agency(_) => record_type == RecordType::Agency,
        Details::Member(_) => record_type == RecordType::Member,
        Details::LegalBasis(_) => record_type == RecordType::LegalBasis,
        Details::Notary(_) => record_type == RecordType::DocFingerprint,
        Details::Validator(_) => record_type == RecordType::Validator,
        Details::Calendar(_) => record_type == RecordType::Calendar,
        Details::Schema(_) => record_type == RecordType::Schema,
        Details::Params(_) => record_type == RecordType::Params,
        Details::Registered(_) => matches!(record_type, RecordType::Registered(_)),
        Details::Device(_) => record_type == RecordType::Device,
        Details::DeviceKey(_) => record_type == RecordType::DeviceKey,
        Details::Batch(_) => record_type == RecordType::SensorBatch,
        Details::Gap(_) => record_type == RecordType::SensorGap,
        Details::Alert(_) => record_type == RecordType::Alert,
        Details::Procurement(_) => record_type == RecordType::Procurement,
        Details::CommitBatch(_) => record_type == RecordType::CommitBatch,
        Details::StatusList(_) => record_type == RecordType::StatusList,
        Details::AccessRoot(_) => record_type == RecordType::AccessRoot,
    };
    if !fitting {
        return Err(Refusal::new(Code::SchemaInvalid, format!("details do not fit {record_type}")));
    }
    if record_type.is_governance() {
        return check_governance_header(chain_id, header);
    }
    if let Details::Registered(terms) = &header.details {
        terms.check()?;
    }
    device::check_header(chain_id, header)?;
    match &header.details {
        Details::Alert(details) => details.check(header)?,
        Details::Procurement(details) => details.check(header)?,
        Details::CommitBatch(_) => CommitBatchDetails::check(header)?,
        Details::StatusList(details) => details.check(header)?,
        Details::AccessRoot(details) => details.check()?,
        Details::None if record_type == RecordType::Certificate => check_certificate(header)?,
        _ => {}
    }
    let bodiless = record_type.is_of_devices() && record_type != RecordType::Device;
    if header.body_commit.is_none() && !bodiless {
        return Err(Refusal::new(Code::BodyMissing, format!("{record_type} wants a body commitment")));
    }
    check_lists(header)
}

fn check_class(header: &Header) -> Result<(), Refusal> {
    let (record_type, class, kind) = (header.record_type, header.class, header.subject_kind);
    let kinds: &[SubjectKind] = match record_type {
        RecordType::Licence | RecordType::Penalty | RecordType::Commitment | RecordType::Certificate => {
            &[SubjectKind::Organisation, SubjectKind::IndividualBusiness, SubjectKind::Person]
        }
        // Version 1 lists and measures organisations only.
        RecordType::ListEntry | RecordType::Measure => &[SubjectKind::Organisation],
        RecordType::DocFingerprint
        | RecordType::Objection
        | RecordType::Repair
        | RecordType::Registered(_) => SubjectKind::ALL,
        RecordType::PropertyEvent
        | RecordType::Device
        | RecordType::DeviceKey
        | RecordType::SensorBatch
        | RecordType::SensorGap => &[SubjectKind::Thing],
        _ => &[SubjectKind::None],
    };
    if !kinds.contains(&kind) {
        let detail = format!("{record_type} cannot be about {kind}");
        return Err(Refusal::new(Code::SubjectKindNotPermitted, detail));
    }
    if kind.is_personal() && class.body_is_shared() {
        let detail = format!("subject kind {kind} in class {class}, wants P3");
        return Err(Refusal::new(Code::PersonalDataInClear, detail));
    }
    // What is about an organisation is the public's business: it may not be hidden as if about a person.
    let kept_apart = matches!(
        record_type,
        RecordType::DocFingerprint
            | RecordType::Certificate
            | RecordType::PropertyEvent
            | RecordType::Objection
            | RecordType::Repair
            | RecordType::Registered(_)
    );
    let hidden = !kind.is_personal() && class == Class::P3 && !kept_apart;
    if hidden || !record_type.classes().contains(&class) {
        let detail = format!("class {class} for {record_type} about {kind}");
        return Err(Refusal::new(Code::ClassNotPermitted, detail));
    }
    Ok(())
}

fn check_governance_header(chain_id: ChainId, header: &Header) -> Result<(), Refusal> {
    let bare = header.legal_basis.is_none()
        && [header.body_commit, header.subject_commit, header.natural_key, header.attachments_root]
            .iter()
            .all(Option::is_none)
        && [header.decided_on, header.conduct_on, header.effective_from, header.effective_to]
            .iter()
            .all(Option::is_none)
        && [header.publish_from, header.publish_min_until, header.publish_until, header.dispose_on]
            .iter()
            .all(Option::is_none)
        && header.severity.is_none()
        && !header.heard
        && header.officers.is_empty()
        && header.refs.is_empty();
    if !bare {
        let detail = format!("the header of {} says everything in its details", header.record_type);
        return Err(Refusal::new(Code::SchemaInvalid, detail));
    }
    match &header.details {
        Details::Agency(details) => details.check(Some(chain_id)),
        Details::Member(details) => details.check(Some(chain_id)),
        Details::LegalBasis(details) => details.check(),
        Details::Validator(details) => details.check(Some(chain_id)),
        Details::Calendar(details) => details.check(),
        Details::Params(details) => details.check(),
        Details::Schema(details) => RegisteredType::new((**details).clone()).map(|_| ()),
        // The rest stand in headers of other types.
        _ => Ok(()),
    }
}

fn check_lists(header: &Header) -> Result<(), Refusal> {
    for (what, got, limit) in
        [("officers", header.officers.len(), OFFICERS_MAX), ("refs", header.refs.len(), REFERENCES_MAX)]
    {
        if got > limit {
            return Err(Refusal::new(Code::SizeLimit, format!("{got} {what}, at most {limit}")));
        }
    }
    let repeated = header.officers.iter().enumerate().any(|(at, key)| header.officers[..at].contains(key));
    let wanted = header.officers_min();
    if repeated || header.officers.len() < wanted {
        let detail = format!("{} officers, wants {wanted} different ones", header.officers.len());
        return Err(Refusal::new(Code::OfficersRequired, detail));
    }
    if header.refs.iter().enumerate().any(|(at, reference)| header.refs[..at].contains(reference)) {
        return Err(Refusal::new(Code::BadParameter, "a reference is named twice"));
    }
    Ok(())
}

/// Judges what a record's header must say, and the order of its dates.
///
/// # Errors
/// `MISSING_FIELD`, `DATE_ORDER`, `BAD_PARAMETER`.
pub fn check_header_content(header: &Header) -> Result<(), Refusal> {
    let record_type = header.record_type;
    if record_type.is_governance() {
        return Ok(());
    }
    let begins = header.lifecycle() != Lifecycle::Append;
    let dated = begins && !matches!(header.lifecycle(), Lifecycle::Case | Lifecycle::Status);
    let numbered = record_type.has_natural_key() || header.terms().is_some_and(|terms| terms.numbered);
    for (what, missing) in [
        ("natural_key", numbered && header.natural_key.is_none()),
        ("decided_on", dated && header.decided_on.is_none()),
        ("effective_from", begins && header.effective_from.is_none()),
        ("severity", record_type == RecordType::Penalty && header.severity.is_none()),
    ] {
        if missing {
            return Err(Refusal::new(
                Code::MissingField,
                format!("header of {record_type}: {what} is absent"),
            ));
        }
    }
    if record_type != RecordType::Penalty && (header.severity.is_some() || header.heard) {
        let detail = format!("{record_type} has neither severity nor hearing");
        return Err(Refusal::new(Code::BadParameter, detail));
    }
    check_case_relation(header)?;
    let from = header.publish_from;
    check_order("conduct_on", header.conduct_on, "decided_on", header.decided_on)?;
    check_order("effective_from", header.effective_from, "effective_to", header.effective_to)?;
    check_order("publish_from", from, "publish_min_until", header.publish_min_until)?;
    check_order("publish_from", from, "publish_until", header.publish_until)?;
    check_order("publish_min_until", header.publish_min_until, "publish_until", header.publish_until)?;
    check_order("effective_to", header.effective_to, "dispose_on", header.dispose_on)?;
    check_order("publish_until", header.publish_until, "dispose_on", header.dispose_on)
}

/// A case is about one record; no other type is.
fn check_case_relation(header: &Header) -> Result<(), Refusal> {
    let wanted = header.record_type.case_relation();
    let about: Vec<Relation> = header
        .refs
        .iter()
        .map(|reference| reference.rel)
        .filter(|rel| matches!(rel, Relation::ObjectsTo | Relation::Repairs))
        .collect();
    if about.iter().copied().eq(wanted) {
        return Ok(());
    }
    let wanted = wanted.map_or("none", Relation::name);
    let detail = format!("{} of {} records, wants one {wanted}", header.record_type, about.len());
    Err(Refusal::new(Code::BadParameter, detail))
}

/// Judges a body of any class and its agreement with the header.
///
/// # Errors
/// `BODY_COMMITMENT`, the codes of [`body::judge`], then `HEADER_MISMATCH` or `AGENCY_NOT_COMPETENT`.
pub fn check_body(header: &Header, body: &Body) -> Result<Derived, Refusal> {
    check_commitment(header, body)?;
    let derived = body::judge(header.record_type, header.class, &body.json)?;
    check_agreement(header, &derived)?;
    Ok(derived)
}

/// As [`check_body`], for a record of a registered type.
///
/// # Errors
/// As [`check_body`], with the codes of [`RegisteredType::judge`].
pub fn check_registered_body(
    header: &Header,
    body: &Body,
    registered: &RegisteredType,
) -> Result<Derived, Refusal> {
    check_commitment(header, body)?;
    let derived = registered.judge(header.class, &body.json)?;
    check_agreement(header, &derived)?;
    Ok(derived)
}

fn check_commitment(header: &Header, body: &Body) -> Result<(), Refusal> {
    if header.body_commit != Some(body.commitment()) {
        return Err(Refusal::new(Code::BodyCommitment, "the body is not the one the header commits to"));
    }
    Ok(())
}

fn check_agreement(header: &Header, derived: &Derived) -> Result<(), Refusal> {
    if derived.issuer.as_ref().is_some_and(|issuer| *issuer != header.agency) {
        let detail = format!("the body names another acting agency than the header's {}", header.agency);
        return Err(Refusal::new(Code::AgencyNotCompetent, detail));
    }
    let subject_commit = match (derived.subject_salt, &derived.subject) {
        (Some(salt), Some(subject)) => Some(crate::record::subject_commit(&salt, subject)),
        _ => None,
    };
    let publication = [header.publish_from, header.publish_min_until, header.publish_until];
    // A decision states when it was published; the other types state all three days or none.
    let published = derived.publication.is_none_or(|dates| dates == publication);
    // The details of a batch are the device's word: its data is compared with them.
    let details = match &header.details {
        Details::Batch(batch) => {
            batch.check_data(derived.data.as_deref().unwrap_or_default())?;
            true
        }
        details => derived.details == *details,
    };
    for (what, agrees) in [
        ("subject_kind", derived.subject_kind.is_none_or(|kind| kind == header.subject_kind)),
        ("subject_commit", subject_commit == header.subject_commit),
        ("decided_on", derived.decided_on == header.decided_on),
        ("conduct_on", derived.conduct_on == header.conduct_on),
        ("effective_from", derived.effective_from == header.effective_from),
        ("effective_to", derived.effective_to == header.effective_to),
        ("publication dates", published),
        ("severity", derived.severity == header.severity),
        ("heard", derived.heard == header.heard),
        ("details", details),
        ("officers", derived.officers.as_ref().is_none_or(|officers| *officers == header.officers)),
        ("attachments_root", derived.attachments_root == header.attachments_root),
        ("refs", derived.refs.iter().all(|reference| header.refs.contains(reference))),
    ] {
        if !agrees {
            return Err(Refusal::new(Code::HeaderMismatch, format!("{what} of header and body differ")));
        }
    }
    Ok(())
}

/// Judges a header against the legal basis it names. `today` is the local date of the block; it is decisive
/// where the header names neither the conduct nor the decision.
///
/// # Errors
/// `LEGAL_BASIS_NOT_IN_FORCE`, `TYPE_NOT_PERMITTED_BY_BASIS`, `SUBJECT_KIND_NOT_PERMITTED`,
/// `CLASS_NOT_PERMITTED`, `PUBLICATION_TOO_LONG`, `EXPIRY_REQUIRED`, `MISSING_NOTICE`.
pub fn check_basis(header: &Header, basis: &BasisDetails, today: Date) -> Result<(), Refusal> {
    let name = format!("{} v{}", basis.id, basis.version);
    let refuse = |code, why: String| Err(Refusal::new(code, format!("legal basis {name}: {why}")));
    // Administrative Penalty Law art. 37: the law at the time of the conduct.
    let decisive = header.conduct_on.or(header.decided_on).unwrap_or(today);
    if decisive < basis.in_force || basis.ends.is_some_and(|ends| decisive > ends) {
        return refuse(Code::LegalBasisNotInForce, format!("not in force on {decisive}"));
    }
    if !basis.types.contains(&header.record_type) {
        return refuse(Code::TypeNotPermittedByBasis, format!("does not allow {}", header.record_type));
    }
    if !basis.subject_kinds.contains(&header.subject_kind) {
        return refuse(Code::SubjectKindNotPermitted, format!("does not allow {}", header.subject_kind));
    }
    if header.class > basis.max_class {
        return refuse(
            Code::ClassNotPermitted,
            format!("allows up to {}, got {}", basis.max_class, header.class),
        );
    }
    // State Council Office 2020/49: a rule of a ministry or of a government sets up no list.
    let by_law = !matches!(basis.instrument, Instrument::Rule | Instrument::Treaty);
    if header.record_type == RecordType::ListEntry && !by_law {
        let detail = format!("is a {}; a list wants a law, a regulation or central policy", basis.instrument);
        return refuse(Code::TypeNotPermittedByBasis, detail);
    }
    check_publication(header, basis, &name)?;
    let endless = header.effective_to.is_none() && header.publish_until.is_none();
    if endless && (basis.expiry_required || header.record_type.must_end()) {
        return refuse(Code::ExpiryRequired, "wants an end of effect or of publication".to_owned());
    }
    let noticed = header.refs.iter().any(|reference| reference.rel == Relation::Notice);
    if header.record_type.needs_notice() && !noticed {
        let detail = format!("{} names no notice that went before it", header.record_type);
        return Err(Refusal::new(Code::MissingNotice, detail));
    }
    Ok(())
}

/// Judges what a body says against its legal basis: whether a list or a measure is one of the catalogue (Shenzhen credit
/// regulation arts. 66, 74; a basis without codes leaves them open), and whether a hearing was offered where one is wanted.
///
/// # Errors
/// `NOT_IN_CATALOGUE`, `HEARING_REQUIRED`.
pub(crate) fn check_body_by_basis(derived: &Derived, basis: &BasisDetails) -> Result<(), Refusal> {
    if basis.hearing && derived.hearing == Some(Hearing::NotRequired) {
        let detail = format!(
            "legal basis {} v{} wants a hearing: offered, held or waived, got {}",
            basis.id,
            basis.version,
            Hearing::NotRequired
        );
        return Err(Refusal::new(Code::HearingRequired, detail));
    }
    let Some(code) = derived.catalogue_code.as_ref().filter(|_| !basis.codes.is_empty()) else {
        return Ok(());
    };
    if basis.codes.contains(code) {
        return Ok(());
    }
    let (shown, known) = (crate::text::shown(code), basis.codes.join(", "));
    let detail =
        format!("legal basis {} v{}: has no {shown}, wants one of: {known}", basis.id, basis.version);
    Err(Refusal::new(Code::NotInCatalogue, detail))
}

fn check_publication(header: &Header, basis: &BasisDetails, name: &str) -> Result<(), Refusal> {
    let refuse = |code, why: String| Err(Refusal::new(code, format!("legal basis {name}: {why}")));
    if header.publish_from.is_none() && header.publish_until.is_none() {
        return Ok(());
    }
    let term = basis.publication.term(header.severity);
    let severity = header.severity.map_or("unclassified", |severity| severity.name());
    if !basis.publication.allowed || term.max_months == Some(0) {
        return refuse(Code::PublicationTooLong, format!("does not allow publication of {severity} cases"));
    }
    let Some(max) = term.max_months else {
        return Ok(());
    };
    let counted_from = header.decided_on.or(header.publish_from).unwrap_or(Date::MIN);
    let last = counted_from.add_months(u32::from(max)).unwrap_or(Date::MAX);
    match header.publish_until {
        // NDRC Order 36 (2025): every publication of this kind has an end.
        None => refuse(Code::ExpiryRequired, format!("publication wants an end, at the latest {last}")),
        Some(until) if until > last => {
            let detail = format!("publication of {severity} cases to {until}, at the latest {last}");
            refuse(Code::PublicationTooLong, detail)
        }
        Some(_) => Ok(()),
    }
}

/// The verdict of header and body, and of the basis where the client has it, before anything is sent. The
/// order is that of the validators. The ledger may still refuse (rights, duplicates, state).
///
/// # Errors
/// The code of the first flaw.
pub fn check_submission(
    chain_id: ChainId,
    header: &Header,
    body: Option<&Body>,
    basis: Option<&BasisDetails>,
    today: Date,
) -> Result<(), Refusal> {
    check_header_form(chain_id, header)?;
    let derived = body.map(|body| check_body(header, body)).transpose()?;
    check_header_content(header)?;
    let named = header.record_type.is_governance() || header.record_type.inherits_basis();
    if !named && header.legal_basis.is_none() {
        return Err(missing_basis());
    }
    let Some(basis) = basis else { return Ok(()) };
    check_basis(header, basis, today)?;
    derived.map_or(Ok(()), |derived| check_body_by_basis(&derived, basis))
}

/// The refusal of a record without a legal basis.
pub fn missing_basis() -> Refusal {
    Refusal::new(Code::LegalBasisMissing, "the header names no legal basis")
}

/// Checks that exactly the bodies that must travel do, and that each is the one its header commits to: one
/// entry per operation, bodies of class P0 and P1 present, no others. Nodes run it before a submission
/// enters a lane and before they acknowledge a batch; execution relies on it.
///
/// # Errors
/// `BODY_MISSING`, `BODY_NOT_ALLOWED`, `BODY_COMMITMENT`.
pub fn check_bodies(submission: &Submission) -> Result<(), Refusal> {
    match check_kept_bodies(submission)?.first() {
        None => Ok(()),
        Some(at) => Err(Refusal::new(Code::BodyMissing, format!("operation {at}: the body is absent"))),
    }
}

/// As [`check_bodies`], for what others hold of an ordered transaction: a body may be gone, as after an erasure, and then
/// what it came to is taken from their record. Gives the operations whose bodies are gone.
///
/// # Errors
/// As [`check_bodies`], except for a body that is absent.
pub fn check_kept_bodies(submission: &Submission) -> Result<Vec<u16>, Refusal> {
    let operations = &submission.signed.transaction.operations;
    if operations.len() != submission.bodies.len() {
        let detail = format!("{} bodies for {} operations", submission.bodies.len(), operations.len());
        return Err(Refusal::new(Code::BodyMissing, detail));
    }
    let mut gone = Vec::new();
    for (at, (operation, body)) in (0..).zip(operations.iter().zip(&submission.bodies)) {
        match check_travelling_body(operation, body.as_ref()) {
            Err(refusal) if refusal.code == Code::BodyMissing => gone.push(at),
            other => other.map_err(|refusal| {
                Refusal::new(refusal.code, format!("operation {at}: {}", refusal.detail))
            })?,
        }
    }
    Ok(gone)
}

fn check_travelling_body(operation: &Operation, body: Option<&Body>) -> Result<(), Refusal> {
    match (operation.shared_body_commit(), body) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(Refusal::new(Code::BodyNotAllowed, "no body may travel with it")),
        (Some(_), None) => Err(Refusal::new(Code::BodyMissing, "the body is absent")),
        (Some(commit), Some(body)) if body.commitment() == commit => Ok(()),
        (Some(_), Some(_)) => {
            Err(Refusal::new(Code::BodyCommitment, "the body is not the one the header commits to"))
        }
    }
}
