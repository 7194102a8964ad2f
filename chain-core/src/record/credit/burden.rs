//! What burdens a subject for a time: entries in lists, and measures that rest on another record.
//!
//! Both must end, name the notice that went before them, and end with what they rest on.

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
    /// Kinds of lists (State Council Office 2020/49; Shenzhen credit regulation arts. 74-78).
    ListKind as u8, "kind of list" {
        /// 严重失信主体名单
        SeriousDishonesty = 1, "serious_dishonesty";
        /// 经营异常名录
        AbnormalOperation = 2, "abnormal_operation";
        /// Exclusion from public contracts (Directive 2014/24/EU art. 57; World Bank and SAM.gov lists).
        Debarment = 3, "debarment";
        /// To a subject's advantage.
        Incentive = 4, "incentive";
    }
);

/// Body of `credit.list_entry`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ListEntryBody {
    /// Who is listed; an organisation.
    pub subject: Subject,
    /// The list in the catalogue, 1 to 64 bytes; a subject stands in it once.
    pub list_code: String,
    /// What kind of list.
    pub list_kind: ListKind,
    /// Why.
    pub grounds: Vec<LocalText>,
    /// The agency's decision number, 1 to 64 bytes.
    pub decision_no: String,
    /// When it was decided; header `decided_on`.
    pub decided_on: Date,
    /// First day; header `effective_from` and `publish_from`.
    pub entry_from: Date,
    /// Last day before which it may not be left; header `publish_min_until`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub earliest_exit: Option<Date>,
    /// Last day; header `effective_to` and `publish_until`. An entry without one is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry_until: Option<Date>,
    /// How it may be left.
    pub exit_conditions: Vec<LocalText>,
    /// How the subject may have it reviewed.
    pub remedies: Vec<LocalText>,
    /// The notice before it; header reference `notice`. An entry without one is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prior_notice: Option<RecordId>,
    /// Records it rests on; header references `based_on`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub based_on: Vec<RecordId>,
    /// The court's or another body's document; wanted where it rests on no record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// Where the data came from.
    pub origin: Origin,
    /// Salt of the header's subject commitment, 32 random bytes per record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_salt: Option<Digest>,
}

pub(crate) fn judge_list_entry(fields: &mut Fields<'_>, class: Class) -> Result<Derived, Refusal> {
    let (kind, subject) = fields.subject("subject", class)?;
    let list = fields.text("list_code", CODE_BYTES_MAX)?.to_owned();
    fields.choice::<ListKind>("list_kind")?;
    fields.localised("grounds")?;
    fields.text("decision_no", CODE_BYTES_MAX)?;
    let decided_on = fields.date("decided_on")?;
    let from = fields.date("entry_from")?;
    let earliest = fields.optional_date("earliest_exit")?;
    let until = fields.optional_date("entry_until")?;
    check_order("decided_on", Some(decided_on), "entry_from", Some(from))?;
    check_order("entry_from", Some(from), "earliest_exit", earliest)?;
    check_order("earliest_exit", earliest, "entry_until", until)?;
    fields.localised("exit_conditions")?;
    fields.localised("remedies")?;
    let notice = fields.optional_digest("prior_notice")?.map(RecordId::new);
    let mut refs = fields.records("based_on", Relation::BasedOn)?;
    let attachments_root = fields.attachments("attachments")?;
    if refs.is_empty() && attachments_root.is_none() {
        let detail = "an entry rests on a record (based_on) or on a document (attachments); both are absent";
        return Err(Refusal::new(Code::MissingEvidence, detail));
    }
    refs.extend(notice.map(|record| Reference { rel: Relation::Notice, record }));
    let listed = subject.as_ref().map(|subject| format!("{list}/{subject}"));
    Ok(Derived {
        subject_kind: Some(kind),
        subject,
        subject_salt: fields.optional_digest("subject_salt")?,
        number: listed,
        catalogue_code: Some(list),
        decided_on: Some(decided_on),
        effective_from: Some(from),
        effective_to: until,
        publication: Some([Some(from), earliest, until]),
        refs,
        attachments_root,
        captured_ms: fields.origin("origin")?,
        ..Derived::default()
    })
}

closed_list!(
    /// To whose advantage a measure is.
    Direction as u8, "direction" {
        /// To the subject's.
        Incentive = 1, "incentive";
        /// Against it.
        Restriction = 2, "restriction";
    }
);

/// Body of `credit.measure`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MeasureBody {
    /// Whom it is taken against or for; an organisation.
    pub subject: Subject,
    /// The measure in the catalogue, 1 to 64 bytes.
    pub measure_code: String,
    /// To whose advantage.
    pub direction: Direction,
    /// Code of the matter, 1 to 64 bytes.
    pub matter_code: String,
    /// First day; header `effective_from` and `publish_from`.
    pub from: Date,
    /// Last day, not after that of the base; header `effective_to` and `publish_until`. A measure without one is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Date>,
    /// The record it rests on; header reference `based_on`.
    pub based_on: RecordId,
    /// Why it is related to the conduct.
    pub relation: Vec<LocalText>,
    /// The notice before it; header reference `notice`. A measure without one is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notice: Option<RecordId>,
    /// Where the data came from.
    pub origin: Origin,
    /// Salt of the header's subject commitment, 32 random bytes per record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_salt: Option<Digest>,
}

pub(crate) fn judge_measure(fields: &mut Fields<'_>, class: Class) -> Result<Derived, Refusal> {
    let (kind, subject) = fields.subject("subject", class)?;
    let measure = fields.text("measure_code", CODE_BYTES_MAX)?.to_owned();
    fields.choice::<Direction>("direction")?;
    fields.text("matter_code", CODE_BYTES_MAX)?;
    let from = fields.date("from")?;
    let until = fields.optional_date("until")?;
    check_order("from", Some(from), "until", until)?;
    let base = RecordId::new(fields.digest("based_on")?);
    fields.localised("relation")?;
    let notice = fields.optional_digest("notice")?.map(RecordId::new);
    let mut refs = vec![Reference { rel: Relation::BasedOn, record: base }];
    refs.extend(notice.map(|record| Reference { rel: Relation::Notice, record }));
    Ok(Derived {
        subject_kind: Some(kind),
        subject,
        subject_salt: fields.optional_digest("subject_salt")?,
        catalogue_code: Some(measure),
        decided_on: Some(from),
        effective_from: Some(from),
        effective_to: until,
        publication: Some([Some(from), None, until]),
        refs,
        captured_ms: fields.origin("origin")?,
        ..Derived::default()
    })
}
