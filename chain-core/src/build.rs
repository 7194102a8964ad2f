//! Building operations on the client's side.
//!
//! The caller brings what needs randomness or secrets: the agency's dedupe key, the salt, the signing key.
//! Nothing is judged here, so that a client may let the validators judge; see
//! [`crate::rules::check_submission`] for the verdict beforehand.

use serde::Serialize;

use crate::code::Refusal;
use crate::crypto::{Digest, PublicKey, SecretKey};
use crate::date::Date;
use crate::id::ChainId;
use crate::json::{self, Json};
use crate::operation::{AmendReason, Operation};
use crate::org::OrgId;
use crate::record::body::{self, Derived};
use crate::record::device::batch::{BatchBody, BatchDetails, DataPlace};
use crate::record::registered::RegisteredType;
use crate::record::{
    BasisRef, Class, Details, Header, RecordType, Reference, SubjectKind, idempotency_digest, natural_key,
    record_id, subject_commit,
};
use crate::rules::SCHEMA_VERSION;
use crate::transaction::{Body, Submission, TRANSACTION_VERSION, Transaction};

/// What the filing agency decides about a record, beside its body.
#[derive(Clone, Debug)]
pub struct Filing<'a> {
    /// The chain.
    pub chain_id: ChainId,
    /// The agency that acts.
    pub agency: OrgId,
    /// The agency's secret for idempotency and natural keys; all its officers share it.
    pub dedupe_key: &'a [u8],
    /// The client's own name of the submission: the same key names the same record.
    pub idempotency_key: &'a str,
    /// The type.
    pub record_type: RecordType,
    /// Version of the record: 1, or one more than the present one for an amendment.
    pub version: u32,
    /// Privacy class.
    pub class: Class,
    /// Kind of subject.
    pub subject_kind: SubjectKind,
    /// The legal basis.
    pub legal_basis: Option<BasisRef>,
    /// 32 random bytes per version. Keep them until the outcome is known: a retry with another salt is other
    /// content under the same idempotency key.
    pub salt: Digest,
    /// Keys of the officers; for penalties at least two, the submitting clerk among them. A body that names its officers
    /// decides.
    pub officers: Vec<PublicKey>,
    /// References beyond those that follow from the body.
    pub refs: Vec<Reference>,
    /// Publication where the body does not state it: first day, last day of the shortest, last day.
    pub publication: [Option<Date>; 3],
    /// When the body may be disposed of.
    pub dispose_on: Option<Date>,
}

/// A header with its body, ready to be signed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Filed {
    /// The public header.
    pub header: Header,
    /// The body; of class P3 and P4 it goes to the agency's own node only.
    pub body: Body,
}

impl Filed {
    /// Splits into the operation to submit it and the body that travels beside it; the third part is the body
    /// for the agency's vault when it must not travel.
    pub fn submit(self) -> (Operation, Option<Body>, Option<Body>) {
        let shared = self.header.class.body_is_shared();
        let (travelling, kept) = if shared { (Some(self.body), None) } else { (None, Some(self.body)) };
        (Operation::Submit(Box::new(self.header)), travelling, kept)
    }

    /// As [`Filed::submit`], for a new version of an existing record.
    pub fn amend(self, reason: AmendReason) -> (Operation, Option<Body>, Option<Body>) {
        let shared = self.header.class.body_is_shared();
        let (travelling, kept) = if shared { (Some(self.body), None) } else { (None, Some(self.body)) };
        (Operation::Amend { header: Box::new(self.header), reason }, travelling, kept)
    }
}

/// Builds header and body from a JSON text of the type's shape (see [`crate::record::credit`] and
/// [`crate::record::egov`]) in any layout. Dates and the like that do not parse are left out of the header;
/// the body keeps them as they are and the rules name the flaw.
///
/// # Errors
/// When the text is no strict JSON; of a type whose header repeats what its body says, whatever is wrong with it, for the
/// header cannot be made then.
pub fn file(filing: &Filing<'_>, body: &str) -> Result<Filed, Refusal> {
    let body = Body { salt: filing.salt, json: json::canonicalise(body)? };
    let derived = body::judge(filing.record_type, filing.class, &body.json)
        .or_else(|refusal| derive_loosely(filing.record_type, &body.json).ok_or(refusal))?;
    Ok(filed(filing, SCHEMA_VERSION, body, derived))
}

/// As [`file()`], for a record of a registered type under a version of its schema; the type of the filing is that one.
///
/// # Errors
/// When the text is no strict JSON.
pub fn file_registered(
    filing: &Filing<'_>,
    registered: &RegisteredType,
    body: &str,
) -> Result<Filed, Refusal> {
    let body = Body { salt: filing.salt, json: json::canonicalise(body)? };
    let derived = registered
        .judge(filing.class, &body.json)
        .or_else(|_| json::parse(&body.json).map(|json| registered.derive_loosely(&json)))
        .unwrap_or_default();
    let filing = Filing { record_type: registered.record_type(), ..filing.clone() };
    Ok(filed(&filing, registered.details().version, body, derived))
}

fn filed(filing: &Filing<'_>, schema_version: u16, body: Body, derived: Derived) -> Filed {
    let idempotency = idempotency_digest(filing.dedupe_key, filing.record_type, filing.idempotency_key);
    let natural = |number: &String| natural_key(filing.dedupe_key, filing.record_type, number);
    let mut refs = derived.refs.clone();
    refs.extend(filing.refs.iter().copied().filter(|reference| !derived.refs.contains(reference)));
    let [publish_from, publish_min_until, publish_until] = derived.publication.unwrap_or(filing.publication);
    let header = Header {
        record: record_id(filing.chain_id, &filing.agency, filing.record_type, &idempotency),
        record_type: filing.record_type,
        schema_version,
        version: filing.version,
        idempotency,
        agency: filing.agency.clone(),
        legal_basis: filing.legal_basis.clone(),
        class: filing.class,
        subject_kind: filing.subject_kind,
        body_commit: Some(body.commitment()),
        subject_commit: match (&derived.subject_salt, &derived.subject) {
            (Some(salt), Some(subject)) => Some(subject_commit(salt, subject)),
            _ => None,
        },
        natural_key: derived.number.as_ref().map(natural),
        decided_on: derived.decided_on,
        conduct_on: derived.conduct_on,
        effective_from: derived.effective_from,
        effective_to: derived.effective_to,
        publish_from,
        publish_min_until,
        publish_until,
        dispose_on: filing.dispose_on,
        severity: derived.severity,
        heard: derived.heard,
        officers: derived.officers.unwrap_or_else(|| filing.officers.clone()),
        refs,
        attachments_root: derived.attachments_root,
        details: derived.details,
    };
    Filed { header, body }
}

/// Builds header and body from one of the typed bodies.
///
/// # Errors
/// When the value has no canonical JSON form.
pub fn file_typed<T: Serialize>(filing: &Filing<'_>, body: &T) -> Result<Filed, Refusal> {
    let text = serde_json::to_string(body)
        .map_err(|error| Refusal::new(crate::code::Code::MalformedJson, error.to_string()))?;
    file(filing, &text)
}

/// What can be read of a body that breaks a rule; none where the header cannot do without all of it.
fn derive_loosely(record_type: RecordType, text: &str) -> Option<Derived> {
    if record_type == RecordType::Device || record_type.has_content_details() {
        return None;
    }
    let Ok(Json::Object(members)) = json::parse(text) else {
        return Some(Derived::default());
    };
    let text = |name: &str| {
        members.iter().find_map(|(member, value)| match value {
            Json::Text(text) if member == name && !text.trim().is_empty() => Some(text.as_ref()),
            _ => None,
        })
    };
    let date = |name: &str| text(name).and_then(|text| text.parse::<Date>().ok());
    let number = |name: &str| text(name).map(str::to_owned);
    Some(match record_type {
        RecordType::Licence => Derived {
            number: number("decision_no"),
            decided_on: date("decided_on"),
            effective_from: date("valid_from"),
            effective_to: date("valid_to"),
            ..Derived::default()
        },
        RecordType::Penalty => Derived {
            number: number("decision_no"),
            decided_on: date("decided_on"),
            conduct_on: date("conduct_on"),
            effective_from: date("decided_on"),
            effective_to: date("valid_to"),
            publication: Some([date("publish_from"), date("publish_min_until"), date("publish_until")]),
            severity: text("severity").and_then(|name| name.parse().ok()),
            heard: text("hearing") == Some("held"),
            ..Derived::default()
        },
        RecordType::Decision => Derived {
            number: number("doc_no"),
            decided_on: date("adopted"),
            effective_from: date("in_force"),
            effective_to: date("ends"),
            publication: Some([date("published"), None, None]),
            ..Derived::default()
        },
        _ => Derived::default(),
    })
}

/// Builds the header of a governance record: its content is in the details, and it has no body.
pub fn governance_header(
    chain_id: ChainId,
    agency: &OrgId,
    dedupe_key: &[u8],
    idempotency_key: &str,
    version: u32,
    details: Details,
) -> Header {
    let record_type = match &details {
        Details::Agency(_) => RecordType::Agency,
        Details::LegalBasis(_) => RecordType::LegalBasis,
        Details::Validator(_) => RecordType::Validator,
        Details::Calendar(_) => RecordType::Calendar,
        Details::Schema(_) => RecordType::Schema,
        Details::Params(_) => RecordType::Params,
        _ => RecordType::Member,
    };
    let idempotency = idempotency_digest(dedupe_key, record_type, idempotency_key);
    bare_header(chain_id, agency, record_type, idempotency, version, SubjectKind::None, details)
}

/// Builds the header of a record about a device that says everything in its details: a key event, a batch, a gap. A key
/// event names its legal basis beside, a batch with its data inline the commitment to it.
pub fn device_header(chain_id: ChainId, agency: &OrgId, idempotency: Digest, details: Details) -> Header {
    let record_type = match &details {
        Details::Batch(_) => RecordType::SensorBatch,
        Details::Gap(_) => RecordType::SensorGap,
        _ => RecordType::DeviceKey,
    };
    bare_header(chain_id, agency, record_type, idempotency, 1, SubjectKind::Thing, details)
}

/// The operation that files a sealed batch, with the body that travels beside it where its data is inline.
///
/// # Errors
/// As [`json::to_canonical`], which takes every Base64.
pub fn batch(
    chain_id: ChainId,
    agency: &OrgId,
    sealed: (BatchDetails, Vec<u8>),
    salt: Digest,
) -> Result<(Operation, Option<Body>), Refusal> {
    let (details, data) = sealed;
    let body = match details.place_of_data {
        DataPlace::Inline => Some(Body { salt, json: json::to_canonical(&BatchBody::new(&data))? }),
        DataPlace::OffChain => None,
    };
    let idempotency = details.idempotency();
    let mut header = device_header(chain_id, agency, idempotency, Details::Batch(Box::new(details)));
    header.body_commit = body.as_ref().map(Body::commitment);
    Ok((Operation::Submit(Box::new(header)), body))
}

fn bare_header(
    chain_id: ChainId,
    agency: &OrgId,
    record_type: RecordType,
    idempotency: Digest,
    version: u32,
    subject_kind: SubjectKind,
    details: Details,
) -> Header {
    Header {
        record: record_id(chain_id, agency, record_type, &idempotency),
        record_type,
        schema_version: SCHEMA_VERSION,
        version,
        idempotency,
        agency: agency.clone(),
        legal_basis: None,
        class: Class::P0,
        subject_kind,
        body_commit: None,
        subject_commit: None,
        natural_key: None,
        decided_on: None,
        conduct_on: None,
        effective_from: None,
        effective_to: None,
        publish_from: None,
        publish_min_until: None,
        publish_until: None,
        dispose_on: None,
        severity: None,
        heard: false,
        officers: Vec::new(),
        refs: Vec::new(),
        attachments_root: None,
        details,
    }
}

/// Signs operations as one transaction, each with the body that travels beside it.
pub fn submission(
    chain_id: ChainId,
    key: &SecretKey,
    valid_until_ms: u64,
    atomic: bool,
    operations: Vec<(Operation, Option<Body>)>,
) -> Submission {
    let (operations, bodies) = operations.into_iter().unzip();
    let transaction = Transaction {
        version: TRANSACTION_VERSION,
        chain_id,
        author: key.public(),
        valid_until_ms,
        atomic,
        operations,
    };
    Submission { signed: transaction.sign(key), bodies }
}
