//! Cases of the credit family: promises, objections and applications for repair. Somebody waits for an answer.
//!
//! A case takes effect when it is filed and is closed by the decision on the record that it is about. The header holds
//! what the decision needs: the record in question, the promise and whether evidence was handed in.

use serde::{Deserialize, Serialize};

use crate::code::{Code, Refusal};
use crate::crypto::Digest;
use crate::date::Date;
use crate::id::RecordId;
use crate::layout::closed_list;
use crate::record::body::{Attachment, Derived, Fields, LocalText, Origin, Subject};
use crate::record::governance::check_order;
use crate::record::{CODE_BYTES_MAX, Class, Reference, Relation};

closed_list!(
    /// What a promise is for (Shenzhen credit regulation arts. 57-64).
    CommitmentKind as u8, "kind of commitment" {
        /// In place of a document that would have to be shown.
        Proof = 1, "proof";
        /// In place of an examination before a licence.
        Licence = 2, "licence";
        /// Of a repair: not to do it again.
        Repair = 3, "repair";
        /// Given freely.
        Voluntary = 4, "voluntary";
    }
);

closed_list!(
    /// Whether a promise was kept.
    Verification as u8, "verification" {
        /// Not yet looked at.
        Pending = 1, "pending";
        /// It was kept.
        Kept = 2, "kept";
        /// It was broken.
        Broken = 3, "broken";
        /// Nobody will look.
        NotChecked = 4, "not_checked";
    }
);

/// Body of `credit.commitment`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CommitmentBody {
    /// Who promises; an agency may (Business Environment Regulation art. 31).
    pub subject: Subject,
    /// What it is for.
    pub kind: CommitmentKind,
    /// Code of the matter, 1 to 64 bytes.
    pub matter_code: String,
    /// The promise.
    pub text: Vec<LocalText>,
    /// When it was made; header `effective_from`.
    pub made_on: Date,
    /// By when somebody is to look whether it was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify_by: Option<Date>,
    /// What was found.
    pub verification: Verification,
    /// When it was found; header `decided_on` and `effective_to`. Wanted of a promise that was kept or broken, which a
    /// supervisor must agree to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found_on: Option<Date>,
    /// When it was taken back; header `effective_to`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub withdrawn_on: Option<Date>,
    /// The licence that was given for it; header reference `concerns`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub licence: Option<RecordId>,
    /// Where the data came from.
    pub origin: Origin,
    /// Salt of the header's subject commitment, 32 random bytes per record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_salt: Option<Digest>,
}

pub(crate) fn judge_commitment(fields: &mut Fields<'_>, class: Class) -> Result<Derived, Refusal> {
    let (kind, subject) = fields.subject("subject", class)?;
    fields.choice::<CommitmentKind>("kind")?;
    fields.text("matter_code", CODE_BYTES_MAX)?;
    fields.localised("text")?;
    let made_on = fields.date("made_on")?;
    let verify_by = fields.optional_date("verify_by")?;
    let verification = fields.choice::<Verification>("verification")?;
    let (found_on, withdrawn_on) = (fields.optional_date("found_on")?, fields.optional_date("withdrawn_on")?);
    check_order("made_on", Some(made_on), "verify_by", verify_by)?;
    check_order("made_on", Some(made_on), "found_on", found_on)?;
    check_order("made_on", Some(made_on), "withdrawn_on", withdrawn_on)?;
    let is_found = matches!(verification, Verification::Kept | Verification::Broken);
    if is_found != found_on.is_some() {
        let (code, state) =
            if is_found { (Code::MissingField, "absent") } else { (Code::BadParameter, "there") };
        let detail = format!("verification is {verification} and found_on is {state}");
        return Err(Refusal::new(code, detail));
    }
    if is_found && withdrawn_on.is_some() {
        let detail = format!("withdrawn_on of a promise that was {verification}");
        return Err(Refusal::new(Code::BadParameter, detail));
    }
    let licence = fields.optional_digest("licence")?.map(RecordId::new);
    Ok(Derived {
        subject_kind: Some(kind),
        subject,
        subject_salt: fields.optional_digest("subject_salt")?,
        decided_on: found_on,
        effective_from: Some(made_on),
        effective_to: found_on.or(withdrawn_on),
        refs: licence.map(|record| Reference { rel: Relation::Concerns, record }).into_iter().collect(),
        captured_ms: fields.origin("origin")?,
        ..Derived::default()
    })
}

closed_list!(
    /// What an objection says is wrong (Shenzhen credit regulation art. 48).
    ObjectionKind as u8, "kind of objection" {
        /// Something is not so.
        Error = 1, "error";
        /// Something is left out.
        Omission = 2, "omission";
        /// It is shown longer than it may be.
        PublishedTooLong = 3, "published_too_long";
        /// It may not be recorded of this subject.
        NotEligible = 4, "not_eligible";
        /// The act itself is against the law.
        Unlawful = 5, "unlawful";
    }
);

/// Body of `credit.objection` (Civil Code arts. 1029, 1037; GDPR arts. 16, 18, 21). It does not repeat whom the record
/// is about.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectionBody {
    /// The record objected to; header reference `objects_to`.
    pub target: RecordId,
    /// What is wrong.
    pub kind: ObjectionKind,
    /// What the objector says.
    pub statement: Vec<LocalText>,
    /// When it was received; header `effective_from`.
    pub received_on: Date,
    /// Files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// Where the data came from.
    pub origin: Origin,
}

pub(crate) fn judge_objection(fields: &mut Fields<'_>) -> Result<Derived, Refusal> {
    let target = RecordId::new(fields.digest("target")?);
    fields.choice::<ObjectionKind>("kind")?;
    fields.localised("statement")?;
    Ok(Derived {
        effective_from: Some(fields.date("received_on")?),
        refs: vec![Reference { rel: Relation::ObjectsTo, record: target }],
        attachments_root: fields.attachments("attachments")?,
        captured_ms: fields.origin("origin")?,
        ..Derived::default()
    })
}

/// Body of `credit.repair` (NDRC Order 36 of 2025; Directive 2014/24/EU art. 57(6)).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RepairBody {
    /// The record to be repaired; header reference `repairs`.
    pub target: RecordId,
    /// The public promise; header reference `evidence`. Without it nothing can be granted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commitment: Option<RecordId>,
    /// Evidence that the wrong was put right and every duty performed. Without it nothing can be granted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Attachment>,
    /// When it was received; header `effective_from`.
    pub received_on: Date,
    /// Where the data came from.
    pub origin: Origin,
}

pub(crate) fn judge_repair(fields: &mut Fields<'_>) -> Result<Derived, Refusal> {
    let target = RecordId::new(fields.digest("target")?);
    let commitment = fields.optional_digest("commitment")?.map(RecordId::new);
    let mut refs = vec![Reference { rel: Relation::Repairs, record: target }];
    refs.extend(commitment.map(|record| Reference { rel: Relation::Evidence, record }));
    Ok(Derived {
        effective_from: Some(fields.date("received_on")?),
        refs,
        attachments_root: fields.attachments("evidence")?,
        captured_ms: fields.origin("origin")?,
        ..Derived::default()
    })
}
