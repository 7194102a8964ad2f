//! What held of a record on a day, as the ledger knew it at a moment.
//!
//! Two clocks. An official act has days of its own: in force from, in force to, published from and until; it may be
//! filed late, and corrected later still. The ledger has block times: what it knew at a moment is what stands in blocks
//! up to then, and nothing can be added to those afterwards. An answer names both: the day asked about, and how far the
//! ledger's knowledge counts. What the public could see on a day follows from what the ledger knew on that day.
//!
//! Which version governs a day:
//! * A first version holds from its first day of effect, however late it was filed.
//! * A correction (clerical, after an objection, by order) takes the place of what it corrects from its own first day of
//!   effect, and leaves nothing of it: what was wrong was never so.
//! * A change on application and a renewal hold from their first day of effect, but not from before they were decided;
//!   until then the version before goes on.
//! * Records that govern the chain change on the day on which the change takes effect.
//!
//! Suspending, resuming and erasing count from the day of their block; revoking from the day of its block, or from the
//! start where it says so.

use serde_json::Value;

use crate::api::{HeadView, PublicView, StandingView, TimelineView};
use crate::code::{Code, Refusal};
use crate::date::Date;
use crate::execute::ChainParams;
use crate::id::{Height, RecordId};
use crate::leaf::Leaf;
use crate::lifecycle::replay::{Bases, Change, Life, Moment, Version};
use crate::operation::{AmendReason, Effect};
use crate::read::publicity;
use crate::record::Details;
use crate::state::{RecordHead, Status};

/// How far the ledger's knowledge counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Known {
    /// Up to a block.
    Until(Height),
    /// Up to the last block of a local day.
    On(Date),
}

impl Known {
    fn covers(self, moment: (Height, Date)) -> bool {
        match self {
            Self::Until(height) => moment.0 <= height,
            Self::On(day) => moment.1 <= day,
        }
    }
}

/// A question about a record.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// The day that is asked about.
    pub as_of: Date,
    /// How far knowledge counts.
    pub known: Known,
    /// Its last day.
    pub known_at: Date,
    /// Its newest block.
    pub known_height: Height,
    /// The newest block of all.
    pub height: Height,
}

/// Answers a question from all leaves of a record, oldest first, each with its place in the log.
///
/// # Errors
/// `RECORD_NOT_FOUND` where no leaf filed a version; the code of the first leaf that the rules do not allow.
pub fn answer(
    chain: &ChainParams,
    record: RecordId,
    leaves: &[(u64, Leaf)],
    bases: &impl Bases,
    asked: &Question,
) -> Result<TimelineView, Refusal> {
    let life = |covered: &dyn Fn((Height, Date)) -> bool| {
        let mut life = Life::new(*chain, record);
        for (index, leaf) in leaves {
            if !covered(moment_of(leaf, chain)) {
                break;
            }
            life.take(*index, leaf, bases)?;
        }
        Ok::<_, Refusal>(life)
    };
    let whole = life(&|_| true)?;
    let Some(first) = whole.versions().first() else {
        return Err(Refusal::new(Code::RecordNotFound, format!("{record} has no versions")));
    };
    let known = life(&|moment| asked.known.covers(moment))?;
    let seen = life(&|moment| asked.known.covers(moment) && moment.1 <= asked.as_of)?;
    let that_day = leaves.iter().filter(|(_, leaf)| moment_of(leaf, chain).1 == asked.as_of);
    Ok(TimelineView {
        record,
        record_type: first.header.record_type.name().to_owned(),
        agency: first.header.agency.to_string(),
        class: first.header.class.name().to_owned(),
        as_of: asked.as_of,
        known_at: asked.known_at,
        known_height: asked.known_height,
        known: standing(&known, first, asked.as_of),
        now: standing(&whole, first, asked.as_of),
        public: public(&seen, asked.as_of),
        steps_that_day: that_day.count() as u64,
        height: asked.height,
    })
}

fn moment_of(leaf: &Leaf, chain: &ChainParams) -> (Height, Date) {
    let (height, time_ms) = leaf.moment();
    (height, Date::of_time(time_ms, chain.utc_offset_minutes))
}

/// What the public could see on a day on which the ledger knew this.
fn public(life: &Life, day: Date) -> PublicView {
    let Some(head) = life.head() else {
        return PublicView { visible: false, version: None, why: "the ledger had no such record".to_owned() };
    };
    let publicity = publicity(head, &head.current, day);
    let visible = publicity.is_shown();
    PublicView { visible, version: visible.then_some(head.current.version), why: publicity.why() }
}

/// How a record holds on a day, by what the ledger knew. `first` is its first version, known or not.
fn standing(life: &Life, first: &Version, day: Date) -> StandingView {
    let Some(head) = life.head() else {
        let why = format!("the ledger learned of it in block {}, on {}", first.filed.height, first.filed.day);
        return view(None, "unknown", why, None);
    };
    match governing(life, day) {
        None => {
            let version = life.versions().last().unwrap_or(first);
            let why = format!(
                "no version has taken effect; version {} was filed on {}",
                version.header.version, version.filed.day
            );
            view(None, head.current.status.name(), why, Some(head))
        }
        Some((version, from)) if day < from => {
            let why = format!("version {} holds from {from} on", version.header.version);
            view(Some(version), "not_yet", why, Some(head))
        }
        Some((version, from)) => {
            let (status, why) = status_on(life, version, from, day);
            view(Some(version), status.name(), why, Some(head))
        }
    }
}

fn view(version: Option<&Version>, status: &str, why: String, head: Option<&RecordHead>) -> StandingView {
    StandingView {
        version: version.map(|one| one.header.version),
        status: status.to_owned(),
        in_force: status == Status::Effective.name(),
        why,
        leaf_index: version.map(|one| one.leaf_index),
        header: version.map_or(Value::Null, |one| serde_json::to_value(&one.header).unwrap_or(Value::Null)),
        head: head.map(|head| HeadView {
            version: head.current.version,
            status: head.current.status.name().to_owned(),
            flags: head.flags.names().into_iter().map(str::to_owned).collect(),
            changed_at: head.changed_at,
        }),
    }
}

/// The version that governs a day and its first day, which may still be to come; none where no version took effect.
fn governing(life: &Life, day: Date) -> Option<(&Version, Date)> {
    let mut found = None;
    for version in life.versions().iter().rev() {
        let Some(took_effect) = version.in_force else { continue };
        let from = first_day(version, took_effect);
        found = Some((version, from));
        // Before a correction there is nothing but what it corrects, and that was never so.
        if day >= from || version.reason.is_some_and(corrects) {
            break;
        }
    }
    found
}

/// Whether a version takes the place of the one before for all days.
const fn corrects(reason: AmendReason) -> bool {
    match reason {
        AmendReason::Clerical | AmendReason::CorrectionAfterObjection | AmendReason::CourtOrReviewOrder => {
            true
        }
        AmendReason::ChangeOnApplication | AmendReason::Renewal => false,
    }
}

/// From which day on a version holds.
fn first_day(version: &Version, took_effect: Moment) -> Date {
    let header = &version.header;
    let stated = match (&header.details, version.reason) {
        (Details::Agency(details), None) => Some(details.from),
        (Details::Member(details), None) => Some(details.from),
        (Details::LegalBasis(details), None) => Some(details.in_force),
        _ if header.record_type.is_governance() => None,
        (_, Some(reason)) if !corrects(reason) => header.effective_from.max(header.decided_on),
        _ => header.effective_from.or(header.decided_on),
    };
    stated.unwrap_or(took_effect.day)
}

/// The last day on which a version holds; none where it is open-ended.
fn last_day(version: &Version) -> Option<Date> {
    match &version.header.details {
        Details::Agency(details) => details.to,
        Details::Member(details) => details.to,
        Details::LegalBasis(details) => details.ends,
        _ => version.header.effective_to,
    }
}

/// The status of the governing version on a day that is not before its first.
fn status_on(life: &Life, version: &Version, from: Date, day: Date) -> (Status, String) {
    let number = version.header.version;
    let mut result = (Status::Effective, holds(version, from));
    for (moment, change) in life.changes().iter().filter(|(moment, _)| moment.day <= day) {
        match change {
            Change::Suspended => {
                result =
                    (Status::Suspended, format!("suspended in block {}, on {}", moment.height, moment.day));
            }
            Change::Resumed | Change::InForce(_) => result = (Status::Effective, holds(version, from)),
            _ => {}
        }
    }
    for (moment, change) in life.changes().iter().filter(|(moment, _)| moment.day <= day) {
        let at = format!("in block {}, on {}", moment.height, moment.day);
        match change {
            Change::Repaired => result = (Status::Repaired, format!("repaired {at}")),
            Change::RepairUndone => result = (Status::Effective, holds(version, from)),
            Change::EndedWithBase => {
                result = (Status::Expired, format!("ended {at}, with the record that it rested on"));
            }
            Change::Superseded => {
                result = (Status::Superseded, format!("superseded {at}, by a later alert"));
            }
            Change::Closed => result = (Status::Expired, format!("closed by the decision {at}")),
            _ => {}
        }
    }
    if let Some(last) = last_day(version).filter(|last| day > *last) {
        result = (Status::Expired, format!("version {number} held to {last}"));
    }
    for (moment, change) in life.changes() {
        let at = format!("in block {}, on {}", moment.height, moment.day);
        match change {
            Change::Revoked(Effect::FromStart) => {
                result = (Status::Revoked, format!("revoked {at}, from the start"));
            }
            Change::Revoked(Effect::FromNow) if moment.day <= day => {
                result = (Status::Revoked, format!("revoked {at}, from then on"));
            }
            Change::Sealed if moment.day <= day => {
                result = (Status::Sealed, format!("kept long enough: its bodies were disposed of {at}"));
            }
            Change::Erased if moment.day <= day => {
                result = (Status::Erased, format!("its bodies were ordered to be destroyed {at}"));
            }
            _ => {}
        }
    }
    result
}

fn holds(version: &Version, from: Date) -> String {
    let until = last_day(version).map_or_else(|| "on".to_owned(), |last| format!("to {last}"));
    let number = version.header.version;
    match version.in_force {
        Some(took) if took.height > Height::ZERO => format!(
            "version {number} holds from {from} {until}; in the ledger since block {}, on {}",
            took.height, took.day
        ),
        _ => format!("version {number} holds from {from} {until}; laid down in the genesis"),
    }
}
