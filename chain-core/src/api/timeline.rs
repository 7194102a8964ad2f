//! What held of a record on a day, with both clocks named.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::date::Date;
use crate::id::{Height, RecordId};

/// How a record held on a day, as the ledger knew it at a moment and as it knows it now; and what the public could see.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct TimelineView {
    /// The record.
    pub record: RecordId,
    /// Type name.
    pub record_type: String,
    /// Acting agency in text form.
    pub agency: String,
    /// Privacy class.
    pub class: String,
    /// The clock of validity: the day asked about.
    pub as_of: Date,
    /// The clock of knowledge: the last day whose blocks count.
    pub known_at: Date,
    /// The newest block that counts.
    pub known_height: Height,
    /// How the record held on that day, as the ledger knew it then.
    pub known: StandingView,
    /// How it held on that day, as the ledger knows it now.
    pub now: StandingView,
    /// What the public could see on that day.
    pub public: PublicView,
    /// Steps of the record in blocks of that day: with several, the answers are those of its end.
    pub steps_that_day: u64,
    /// Height at which the answer holds.
    pub height: Height,
}

/// How a record holds on a day.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct StandingView {
    /// The version that governs the day; none where none does.
    pub version: Option<u32>,
    /// Its status on that day: a status name, `not_yet` before its first day, or `unknown` where the ledger had no record.
    pub status: String,
    /// Whether it was in force.
    pub in_force: bool,
    /// Why.
    pub why: String,
    /// The leaf that filed the version.
    pub leaf_index: Option<u64>,
    /// The version's public header.
    pub header: Value,
    /// The head that the state held, which a state proof shows; none where there was none.
    pub head: Option<HeadView>,
}

/// What the ledger's state said of a record.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct HeadView {
    /// The version that counts.
    pub version: u32,
    /// Its status.
    pub status: String,
    /// Marks.
    pub flags: Vec<String>,
    /// Height of the last change.
    pub changed_at: Height,
}

/// What the public could see.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PublicView {
    /// Whether it could see the record.
    pub visible: bool,
    /// In which version.
    pub version: Option<u32>,
    /// Why, or why not.
    pub why: String,
}
