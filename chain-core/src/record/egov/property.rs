//! Events of the real estate register. The register itself stays where the law put it; the ledger holds that an event was
//! entered, when, and a salted commitment to the extract (Real Estate Registration Regulation arts. 9, 26-28).

use serde::{Deserialize, Serialize};

use crate::code::{Code, Refusal};
use crate::crypto::Digest;
use crate::date::Date;
use crate::id::RecordId;
use crate::layout::closed_list;
use crate::record::body::{Derived, Fields, Origin};
use crate::record::governance::check_order;
use crate::record::{CODE_BYTES_MAX, Reference, Relation, SubjectKind};

closed_list!(
    /// What was entered in the register (Real Estate Registration Regulation art. 3).
    PropertyChange as u8, "event" {
        /// First registration.
        First = 1, "first";
        /// Particulars changed.
        Change = 2, "change";
        /// Passed to another holder.
        Transfer = 3, "transfer";
        /// Struck out.
        Cancel = 4, "cancel";
        /// Corrected.
        Correct = 5, "correct";
        /// An objection; it lapses without a suit (Civil Code art. 220).
        Objection = 6, "objection";
        /// A pre-notice; it lapses when registration is not asked for (Civil Code art. 221).
        PreNotice = 7, "pre_notice";
        /// Seized by a court.
        Seizure = 8, "seizure";
        /// Mortgaged.
        Mortgage = 9, "mortgage";
    }
);

impl PropertyChange {
    /// Whether it ends by itself on a day that the law sets.
    pub const fn lapses(self) -> bool {
        matches!(self, Self::Objection | Self::PreNotice)
    }
}

/// Body of `egov.property_event`; kept in the registry's vault alone. Holders are never in it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PropertyEventBody {
    /// The unit and the number of the event, 1 to 64 bytes; unique with the registry (GB/T 37346).
    pub event_no: String,
    /// What was entered.
    pub event: PropertyChange,
    /// The day it was entered; header `decided_on` and `effective_from`.
    pub registered_on: Date,
    /// Salted commitment to the extract.
    pub extract: Digest,
    /// The event before it; header reference `previous_in_process`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prior: Option<RecordId>,
    /// The last day it holds; header `effective_to`. Objections and pre-notices have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lapses_on: Option<Date>,
    /// Where the data came from.
    pub origin: Origin,
}

pub(crate) fn judge_property_event(fields: &mut Fields<'_>) -> Result<Derived, Refusal> {
    let number = fields.text("event_no", CODE_BYTES_MAX)?.to_owned();
    let event = fields.choice::<PropertyChange>("event")?;
    let registered_on = fields.date("registered_on")?;
    fields.digest("extract")?;
    let prior = fields.optional_digest("prior")?.map(RecordId::new);
    let lapses_on = fields.optional_date("lapses_on")?;
    check_order("registered_on", Some(registered_on), "lapses_on", lapses_on)?;
    if event.lapses() && lapses_on.is_none() {
        let detail = format!("an event of kind {event} lapses; lapses_on is absent");
        return Err(Refusal::new(Code::ExpiryRequired, detail));
    }
    Ok(Derived {
        subject_kind: Some(SubjectKind::Thing),
        number: Some(number),
        decided_on: Some(registered_on),
        effective_from: Some(registered_on),
        effective_to: lapses_on,
        refs: prior
            .map(|record| Reference { rel: Relation::PreviousInProcess, record })
            .into_iter()
            .collect(),
        captured_ms: fields.origin("origin")?,
        ..Derived::default()
    })
}
