//! What is owed by a day of the law, as readers see it. It names no subject.

use serde::{Deserialize, Serialize};

use crate::date::Date;
use crate::id::RecordId;

/// A step that an agency owes on a record, and by when.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct DeadlineView {
    /// The agency that owes it, in text form; absent where the answer is about one record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agency: Option<String>,
    /// The record: the objection or application to be decided on, the act to be published, the record under review.
    pub record: RecordId,
    /// The step, e.g. `objection_decision`.
    pub step: String,
    /// The day on which the term began; not counted.
    pub from: Date,
    /// Its length.
    pub days: u16,
    /// Which days count: `working_days` or `calendar_days`.
    pub unit: String,
    /// The last day, to 24:00 local time.
    pub due_on: Date,
    /// Whether the calendar of a year is still missing that could move the last day.
    pub provisional: bool,
    /// The day on which the step was taken or fell away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub met_on: Option<Date>,
    /// Whether the last day passed without it.
    pub overdue: bool,
    /// How many working days too late it is, or was taken; 0 where it is in time.
    pub working_days_late: u32,
}
