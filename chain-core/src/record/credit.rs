//! The credit family. Here: licences and penalties, as published under "double publicity" (NDRC 2018/424); [`burden`]
//! holds list entries and measures, [`case`] promises, objections and applications for repair.
//!
//! The structs are the JSON shapes of the bodies; optional members that are absent are left out. Fields that
//! the official columns do not carry (date of the conduct, service, remedies) are optional here: an importer
//! must not invent them.

pub mod burden;
pub mod case;

use serde::{Deserialize, Serialize};

use super::body::{Attachment, Derived, Fields, LocalText, Origin, Subject};
use super::governance::check_order;
use super::{CODE_BYTES_MAX, Class, NAME_BYTES_MAX, Reference, Relation, Severity};
use crate::code::{Code, Refusal};
use crate::crypto::Digest;
use crate::date::Date;
use crate::id::RecordId;
use crate::layout::closed_list;
use crate::money::Money;
use crate::org::OrgId;

closed_list!(
    /// Classes of administrative licences.
    LicenceClass as u8, "licence class" {
        /// 普通
        Ordinary = 1, "ordinary";
        /// 特许
        Concession = 2, "concession";
        /// 认可
        Recognition = 3, "recognition";
        /// 核准
        Approval = 4, "approval";
        /// 登记
        Registration = 5, "registration";
        /// 其他
        Other = 6, "other";
    }
);

/// Body of `credit.licence` (Administrative Licensing Law).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LicenceBody {
    /// The holder.
    pub subject: Subject,
    /// The agency's decision number, 1 to 64 bytes; unique with the agency.
    pub decision_no: String,
    /// Title of the decision.
    pub decision_title: Vec<LocalText>,
    /// Class of the licence.
    pub licence_class: LicenceClass,
    /// Name of the certificate, up to 256 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_name: Option<String>,
    /// Number of the certificate, up to 64 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_no: Option<String>,
    /// What is permitted.
    pub content: Vec<LocalText>,
    /// When it was decided; header `decided_on`.
    pub decided_on: Date,
    /// First day of validity; header `effective_from`.
    pub valid_from: Date,
    /// Last day of validity; header `effective_to`; absent means open-ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<Date>,
    /// The agency that decided; the header's agency.
    pub issuer: OrgId,
    /// The unit that supplied the data.
    pub data_source: OrgId,
    /// A commitment the licence rests on; a header reference `based_on`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commitment: Option<RecordId>,
    /// A remark.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remark: Vec<LocalText>,
    /// Files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// Where the data came from.
    pub origin: Origin,
    /// Salt of the header's subject commitment, 32 random bytes per record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_salt: Option<Digest>,
}

pub(super) fn judge_licence(fields: &mut Fields<'_>, class: Class) -> Result<Derived, Refusal> {
    let number = fields.text("decision_no", CODE_BYTES_MAX)?.to_owned();
    let (kind, subject) = fields.subject("subject", class)?;
    fields.localised("decision_title")?;
    fields.choice::<LicenceClass>("licence_class")?;
    fields.optional_text("certificate_name", NAME_BYTES_MAX)?;
    fields.optional_text("certificate_no", CODE_BYTES_MAX)?;
    fields.localised("content")?;
    let decided_on = fields.date("decided_on")?;
    let valid_from = fields.date("valid_from")?;
    let valid_to = fields.optional_date("valid_to")?;
    check_order("valid_from", Some(valid_from), "valid_to", valid_to)?;
    let issuer = fields.org("issuer")?;
    fields.org("data_source")?;
    let commitment = fields.optional_digest("commitment")?.map(RecordId::new);
    fields.optional_localised("remark")?;
    Ok(Derived {
        subject_kind: Some(kind),
        subject,
        subject_salt: fields.optional_digest("subject_salt")?,
        issuer: Some(issuer),
        number: Some(number),
        decided_on: Some(decided_on),
        effective_from: Some(valid_from),
        effective_to: valid_to,
        refs: commitment.map(|record| Reference { rel: Relation::BasedOn, record }).into_iter().collect(),
        attachments_root: fields.attachments("attachments")?,
        captured_ms: fields.origin("origin")?,
        ..Derived::default()
    })
}

closed_list!(
    /// Kinds of penalties (Administrative Penalty Law art. 9).
    PenaltyKind as u8, "penalty kind" {
        /// 警告
        Warning = 1, "warning";
        /// 通报批评
        Criticism = 2, "criticism";
        /// 罚款
        Fine = 3, "fine";
        /// 没收
        Confiscation = 4, "confiscation";
        /// 暂扣许可证件
        LicenceSuspended = 5, "licence_suspended";
        /// 降低资质等级
        Downgrade = 6, "downgrade";
        /// 吊销许可证件
        LicenceRevoked = 7, "licence_revoked";
        /// 限制开展生产经营活动
        BusinessRestricted = 8, "business_restricted";
        /// 责令停产停业
        StopProduction = 9, "stop_production";
        /// 责令关闭
        Closure = 10, "closure";
        /// 限制从业
        EmploymentRestricted = 11, "employment_restricted";
        /// 其他
        Other = 12, "other";
    }
);

closed_list!(
    /// How a penalty was decided.
    Procedure as u8, "procedure" {
        /// On the spot (arts. 51-53).
        Summary = 1, "summary";
        /// After investigation (arts. 54-62).
        Ordinary = 2, "ordinary";
    }
);

closed_list!(
    /// Whether the party was heard (arts. 63-65).
    Hearing as u8, "hearing" {
        /// The law did not ask for an offer.
        NotRequired = 1, "not_required";
        /// Offered and not asked for.
        Offered = 2, "offered";
        /// Held; legal review is then required.
        Held = 3, "held";
        /// Waived by the party.
        Waived = 4, "waived";
    }
);

/// Body of `credit.penalty` (Administrative Penalty Law). Officers stand in the header, as keys of posts.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PenaltyBody {
    /// The party.
    pub subject: Subject,
    /// The agency's decision number, 1 to 64 bytes; unique with the agency.
    pub decision_no: String,
    /// Code of the violation in the catalogue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub violation_code: Option<String>,
    /// What kind of violation.
    pub violation_type: Vec<LocalText>,
    /// The facts found.
    pub facts: Vec<LocalText>,
    /// When the conduct took place; header `conduct_on`. Absent: the decision date is decisive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conduct_on: Option<Date>,
    /// The provisions as the decision cites them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub basis_cited: Vec<LocalText>,
    /// Kinds of penalty, at least one, each once.
    pub penalty_kinds: Vec<PenaltyKind>,
    /// The penalty in words.
    pub content: Vec<LocalText>,
    /// The fine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fine: Option<Money>,
    /// What was confiscated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confiscated: Option<Money>,
    /// The licence affected, if it is a record here; a header reference `concerns`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub licence_affected: Option<RecordId>,
    /// Name and number of the licence affected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub licence_affected_name: Option<String>,
    /// How grave; the header's severity.
    pub severity: Severity,
    /// How it was decided.
    pub procedure: Procedure,
    /// Whether the party was heard; `held` sets the header's `heard`.
    pub hearing: Hearing,
    /// When it was decided; header `decided_on`.
    pub decided_on: Date,
    /// When it was delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub served_on: Option<Date>,
    /// Last day of effect; header `effective_to`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<Date>,
    /// First day of publication; header `publish_from`; absent means not published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publish_from: Option<Date>,
    /// Last day of the shortest publication; header `publish_min_until`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publish_min_until: Option<Date>,
    /// Last day of publication; header `publish_until`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publish_until: Option<Date>,
    /// How the party may have it reviewed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remedies: Vec<LocalText>,
    /// The agency that decided; the header's agency.
    pub issuer: OrgId,
    /// The unit that supplied the data.
    pub data_source: OrgId,
    /// A remark.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remark: Vec<LocalText>,
    /// Files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// Where the data came from.
    pub origin: Origin,
    /// Salt of the header's subject commitment, 32 random bytes per record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_salt: Option<Digest>,
}

pub(super) fn judge_penalty(fields: &mut Fields<'_>, class: Class) -> Result<Derived, Refusal> {
    let number = fields.text("decision_no", CODE_BYTES_MAX)?.to_owned();
    let (kind, subject) = fields.subject("subject", class)?;
    fields.optional_text("violation_code", CODE_BYTES_MAX)?;
    fields.localised("violation_type")?;
    fields.localised("facts")?;
    fields.optional_localised("basis_cited")?;
    let kinds = fields.choices::<PenaltyKind>("penalty_kinds")?;
    fields.localised("content")?;
    fields.optional_money("fine")?;
    fields.optional_money("confiscated")?;
    let affected = fields.optional_digest("licence_affected")?.map(RecordId::new);
    fields.optional_text("licence_affected_name", NAME_BYTES_MAX)?;
    let severity = fields.choice::<Severity>("severity")?;
    fields.choice::<Procedure>("procedure")?;
    let hearing = fields.choice::<Hearing>("hearing")?;
    let conduct_on = fields.optional_date("conduct_on")?;
    let decided_on = fields.date("decided_on")?;
    let served_on = fields.optional_date("served_on")?;
    let valid_to = fields.optional_date("valid_to")?;
    let publication = [
        fields.optional_date("publish_from")?,
        fields.optional_date("publish_min_until")?,
        fields.optional_date("publish_until")?,
    ];
    check_order("conduct_on", conduct_on, "decided_on", Some(decided_on))?;
    check_order("decided_on", Some(decided_on), "served_on", served_on)?;
    check_order("decided_on", Some(decided_on), "valid_to", valid_to)?;
    check_order("decided_on", Some(decided_on), "publish_until", publication[2])?;
    if kinds == [PenaltyKind::Warning] && publication[0].is_some() {
        // SAMR Order 45 of 2021, art. 2.
        let detail =
            "penalty_kinds is a warning alone, which is not published: publish_from wants to be absent";
        return Err(Refusal::new(Code::PublicationTooLong, detail));
    }
    fields.optional_localised("remedies")?;
    let issuer = fields.org("issuer")?;
    fields.org("data_source")?;
    fields.optional_localised("remark")?;
    Ok(Derived {
        subject_kind: Some(kind),
        subject,
        subject_salt: fields.optional_digest("subject_salt")?,
        issuer: Some(issuer),
        number: Some(number),
        decided_on: Some(decided_on),
        conduct_on,
        effective_from: Some(decided_on),
        effective_to: valid_to,
        publication: Some(publication),
        severity: Some(severity),
        heard: hearing == Hearing::Held,
        hearing: Some(hearing),
        refs: affected.map(|record| Reference { rel: Relation::Concerns, record }).into_iter().collect(),
        attachments_root: fields.attachments("attachments")?,
        captured_ms: fields.origin("origin")?,
        ..Derived::default()
    })
}
