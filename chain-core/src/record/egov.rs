//! The e-governance family: decisions of authorities, and fingerprints of documents kept elsewhere; [`certificate`] holds
//! certificates and their status lists, [`procurement`] releases of public procurements, [`property`] events of the real
//! estate register.

pub mod certificate;
pub mod procurement;
pub mod property;

use serde::{Deserialize, Serialize};

use super::body::{Attachment, Derived, Fields, LocalText, Origin, Subject};
use super::governance::check_order;
use super::{CODE_BYTES_MAX, Class, Details, NAME_BYTES_MAX, Relation};
use crate::code::{Code, Refusal};
use crate::crypto::Digest;
use crate::date::Date;
use crate::id::RecordId;
use crate::json::Json;
use crate::layout::closed_list;
use crate::org::OrgId;

closed_list!(
    /// Kinds of published decisions (Government Information Regulation art. 20).
    DecisionKind as u8, "decision kind" {
        /// A normative document.
        Rule = 1, "rule";
        /// A single decision.
        Decision = 2, "decision";
        /// A plan.
        Plan = 3, "plan";
        /// A budget.
        Budget = 4, "budget";
        /// A notice.
        Notice = 5, "notice";
    }
);

/// Body of `egov.decision` (Akoma Ntoso, ELI; Government Information Regulation art. 26).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionBody {
    /// The document number, 1 to 64 bytes; unique with the agency.
    pub doc_no: String,
    /// Title.
    pub title: Vec<LocalText>,
    /// Kind.
    pub kind: DecisionKind,
    /// The authority that decided; the header's agency.
    pub body: OrgId,
    /// When it was adopted; header `decided_on`.
    pub adopted: Date,
    /// When it was published; header `publish_from`.
    pub published: Date,
    /// First day in force; header `effective_from`.
    pub in_force: Date,
    /// Last day in force; header `effective_to`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends: Option<Date>,
    /// Decisions it repeals; header references `replaces`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repeals: Vec<RecordId>,
    /// Where the text can be read, up to 256 bytes.
    pub uri: String,
    /// The text; the first attachment of the header's root.
    pub text: Attachment,
    /// BCP 47 tags of the text's languages, the authoritative one first.
    pub languages: Vec<String>,
    /// Where the data came from.
    pub origin: Origin,
}

pub(super) fn judge_decision(fields: &mut Fields<'_>) -> Result<Derived, Refusal> {
    let number = fields.text("doc_no", CODE_BYTES_MAX)?.to_owned();
    fields.localised("title")?;
    fields.choice::<DecisionKind>("kind")?;
    let issuer = fields.org("body")?;
    let adopted = fields.date("adopted")?;
    let published = fields.date("published")?;
    let in_force = fields.date("in_force")?;
    let ends = fields.optional_date("ends")?;
    check_order("adopted", Some(adopted), "published", Some(published))?;
    check_order("adopted", Some(adopted), "in_force", Some(in_force))?;
    check_order("in_force", Some(in_force), "ends", ends)?;
    let refs = fields.records("repeals", Relation::Replaces)?;
    fields.text("uri", NAME_BYTES_MAX)?;
    let text = fields.attachment("text")?;
    let languages = fields.list("languages", super::body::LANGUAGES_MAX)?;
    if languages.is_empty() {
        return Err(Refusal::new(Code::MissingField, "languages is absent or empty"));
    }
    if !languages.iter().all(|item| matches!(item, Json::Text(tag) if super::body::is_language_tag(tag))) {
        return Err(Refusal::new(Code::SchemaInvalid, "languages: wants BCP 47 language tags"));
    }
    Ok(Derived {
        issuer: Some(issuer),
        number: Some(number),
        decided_on: Some(adopted),
        effective_from: Some(in_force),
        effective_to: ends,
        publication: Some([Some(published), None, None]),
        refs,
        attachments_root: Some(text),
        captured_ms: fields.origin("origin")?,
        ..Derived::default()
    })
}

closed_list!(
    /// Why a document's digest is kept.
    FingerprintPurpose as u8, "purpose" {
        /// Evidence in a procedure (Online Litigation Rules arts. 16-19).
        Evidence = 1, "evidence";
        /// The state of a file at a time.
        Archive = 2, "archive";
        /// A deed of a notary.
        NotarialDeed = 3, "notarial_deed";
        /// A business document anchored by both sides.
        Commerce = 4, "commerce";
        /// Anything else.
        Other = 5, "other";
    }
);

/// Body of `egov.doc_fingerprint` (RFC 3161 without its clock).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FingerprintBody {
    /// SHA-256 of the document.
    pub sha256: Digest,
    /// SM3 of the document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sm3: Option<Digest>,
    /// Bytes of the document.
    pub size: u64,
    /// Media type, e.g. `application/pdf`.
    pub media_type: String,
    /// Whom it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject>,
    /// The agency that countersigns as notary; also in the header's details.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notary: Option<OrgId>,
    /// Why it is kept.
    pub purpose: FingerprintPurpose,
    /// Where the file came from before the chain.
    pub custody: Vec<LocalText>,
    /// Where the data came from.
    pub origin: Origin,
    /// Salt of the header's subject commitment, 32 random bytes per record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_salt: Option<Digest>,
}

pub(super) fn judge_fingerprint(fields: &mut Fields<'_>, class: Class) -> Result<Derived, Refusal> {
    fields.digest("sha256")?;
    fields.optional_digest("sm3")?;
    fields.count("size")?;
    fields.text("media_type", CODE_BYTES_MAX * 2)?;
    let subject = if fields.has("subject") { Some(fields.subject("subject", class)?) } else { None };
    let (subject_kind, subject) = subject.map_or((None, None), |(kind, id)| (Some(kind), id));
    let notary = fields.optional_org("notary")?;
    fields.choice::<FingerprintPurpose>("purpose")?;
    fields.localised("custody")?;
    Ok(Derived {
        subject_kind,
        subject,
        subject_salt: fields.optional_digest("subject_salt")?,
        details: notary.map_or(Details::None, Details::Notary),
        captured_ms: fields.origin("origin")?,
        ..Derived::default()
    })
}
