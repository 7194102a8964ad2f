//! The table of steps (`docs/lifecycle.csv`), and what it says of one cell: who may take a step in a status, and why others
//! are refused. Also used by the tests of the API, which include this file.

use std::collections::{BTreeMap, BTreeSet};

use chain_core::code::Code;
use chain_core::crypto::Digest;
use chain_core::date::Date;
use chain_core::id::RecordId;
use chain_core::operation::{
    DisputeOutcome, Effect, EraseGround, Operation, Remedy, RepairOutcome, ReviewOutcome, RevokeReason,
};
use chain_core::record::RecordType;

/// A record whose life is played.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Life {
    Penalty,
    ListEntry,
    Decision,
    Objection,
    Commitment,
    Fingerprint,
    Member,
}

impl Life {
    pub(crate) const ALL: [Self; 7] = [
        Self::Penalty,
        Self::ListEntry,
        Self::Decision,
        Self::Objection,
        Self::Commitment,
        Self::Fingerprint,
        Self::Member,
    ];

    /// What the table calls it.
    pub(crate) fn names(self) -> &'static [&'static str] {
        match self {
            Self::Penalty | Self::ListEntry => &["published"],
            Self::Decision => &["register"],
            Self::Objection => &["case"],
            Self::Commitment => &["case", "promise"],
            Self::Fingerprint => &["append"],
            Self::Member => &["status"],
        }
    }

    /// The approvals that its first version needs.
    pub(crate) fn approvals(self) -> &'static [&'static str] {
        match self {
            Self::Penalty => &["officer", "supervisor"],
            Self::ListEntry => &["legal_reviewer", "supervisor"],
            Self::Decision => &["supervisor"],
            Self::Member => &["agency_admin"],
            Self::Objection | Self::Commitment | Self::Fingerprint => &[],
        }
    }

    /// The statuses that a record of it can have.
    pub(crate) fn statuses(self) -> &'static [&'static str] {
        match self {
            Self::Penalty => &[
                "submitted",
                "effective",
                "suspended",
                "superseded",
                "repaired",
                "revoked",
                "withdrawn",
                "rejected",
                "sealed",
                "erased",
            ],
            Self::ListEntry => &STATUSES,
            Self::Decision => &[
                "submitted",
                "effective",
                "suspended",
                "superseded",
                "revoked",
                "expired",
                "withdrawn",
                "rejected",
                "sealed",
                "erased",
            ],
            Self::Objection => &["effective", "expired", "withdrawn", "sealed", "erased"],
            Self::Commitment => &["effective", "superseded", "withdrawn", "sealed", "erased"],
            Self::Fingerprint => &["effective", "revoked", "sealed", "erased"],
            Self::Member => {
                &["submitted", "effective", "suspended", "superseded", "revoked", "withdrawn", "rejected"]
            }
        }
    }

    pub(crate) fn record_type(self) -> RecordType {
        match self {
            Self::Penalty => RecordType::Penalty,
            Self::ListEntry => RecordType::ListEntry,
            Self::Decision => RecordType::Decision,
            Self::Objection => RecordType::Objection,
            Self::Commitment => RecordType::Commitment,
            Self::Fingerprint => RecordType::DocFingerprint,
            Self::Member => RecordType::Member,
        }
    }
}

pub(crate) const STATUSES: [&str; 11] = [
    "submitted",
    "effective",
    "suspended",
    "superseded",
    "repaired",
    "revoked",
    "expired",
    "withdrawn",
    "rejected",
    "sealed",
    "erased",
];

/// A row of the table of steps.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) from: Vec<String>,
    pub(crate) to: String,
    pub(crate) flags: String,
    pub(crate) by: Vec<String>,
    pub(crate) whose: String,
    pub(crate) agreed_by: Vec<String>,
}

/// The table, by operation and life.
pub(crate) struct Table(pub(crate) BTreeMap<(String, String), Row>);

impl Table {
    pub(crate) fn read() -> Self {
        let text = include_str!("../../../docs/lifecycle.csv");
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("operation,lives,from,to,flags,by,whose,agreed_by"));
        let mut rows = BTreeMap::new();
        for line in lines {
            let cells: Vec<&str> = line.split(',').collect();
            let [operation, lives, from, to, flags, by, whose, agreed_by] = cells[..] else {
                panic!("{line}");
            };
            let words = |cell: &str| cell.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            let row = Row {
                from: words(from),
                to: to.to_owned(),
                flags: flags.to_owned(),
                by: words(by),
                whose: whose.to_owned(),
                agreed_by: words(agreed_by),
            };
            for life in lives.split_whitespace() {
                let before = rows.insert((operation.to_owned(), life.to_owned()), row.clone());
                assert!(before.is_none(), "two rows for {operation} in the life {life}");
            }
        }
        Self(rows)
    }

    /// The row of an operation for a life, which may have a more special name after its general one.
    pub(crate) fn row(&self, operation: &str, life: &[&str]) -> Option<&Row> {
        let key = |name: &&str| (operation.to_owned(), (*name).to_owned());
        life.iter().rev().find_map(|name| self.0.get(&key(name)))
    }

    pub(crate) fn operations(&self) -> BTreeSet<&str> {
        self.0.keys().map(|(operation, _)| operation.as_str()).collect()
    }
}

/// Whose member somebody is, as one who acts on a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Whose {
    /// Of the record's agency.
    Own,
    /// Of the agency that opened its review.
    Reviewer,
    /// Of another one.
    Other,
    /// A key that is no member's and known all the same, e.g. a device's.
    Nobody,
    /// A key that the ledger has never heard of.
    Stranger,
}

/// Somebody who tries a step on a record.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    pub(crate) whose: Whose,
    /// The words of the table that fit: the role, `submitter`, `officer`, `other_supervisor`.
    pub(crate) words: Vec<&'static str>,
    /// Whether this post filed the record.
    pub(crate) filed_it: bool,
}

impl Post {
    fn is_of(&self, whose: &str) -> bool {
        match self.whose {
            Whose::Own => true,
            Whose::Reviewer => ["any", "own_or_reviewer"].contains(&whose),
            Whose::Other => whose == "any",
            Whose::Nobody | Whose::Stranger => false,
        }
    }
}

/// What is tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell<'a> {
    pub(crate) operation: &'a str,
    /// The status that the record has.
    pub(crate) status: &'a str,
    /// The approvals that the record's type asks for.
    pub(crate) approvals: &'a [&'static str],
    /// Whether a record of this type names its officers, the filing one among them.
    pub(crate) names_officers: bool,
}

/// Why a cell is refused: every reason that applies. None where the table allows the step.
pub(crate) fn reasons(row: Option<&Row>, cell: Cell<'_>, post: &Post) -> Vec<Code> {
    let Cell { operation, status, approvals, names_officers } = cell;
    let mut reasons = Vec::new();
    if post.whose == Whose::Stranger {
        return vec![Code::UnknownAuthor];
    }
    let fits_status = row.is_some_and(|row| {
        let any = row.from == ["any"] && !["erased", "superseded"].contains(&status);
        any || row.from.iter().any(|from| from == status)
    });
    if !fits_status {
        reasons.extend([Code::BadState, Code::VersionConflict]);
        reasons.extend(match operation {
            "submit" => Some(Code::IdempotencyConflict),
            "amend" => Some(Code::NotAmendable),
            // Neither members nor cases are objected to.
            "dispute_open" | "repair_apply" => Some(Code::ReferenceNotFound),
            "repair_decide" => Some(Code::MissingEvidence),
            _ => None,
        });
        if operation == "repair_apply" {
            reasons.extend([Code::RepairExcluded, Code::ClassNotPermitted, Code::SubjectKindNotPermitted]);
        }
    }
    let Some(row) = row else {
        reasons.extend([Code::RoleNotAllowed, Code::AgencyNotCompetent, Code::SamePerson]);
        return reasons;
    };
    let approver = row.by == ["type"];
    let fits_role = if approver {
        approvals.iter().any(|wanted| post.words.contains(wanted)) && !post.filed_it
    } else {
        row.by.iter().any(|by| post.words.contains(&by.as_str()))
    };
    if !fits_role {
        reasons.push(Code::RoleNotAllowed);
        if approver && post.filed_it {
            reasons.push(Code::SamePerson);
        }
        if names_officers && ["submit", "amend"].contains(&operation) {
            reasons.push(Code::OfficersRequired);
        }
    }
    // Without a review nobody is its reviewer.
    if !post.is_of(&row.whose) || (!fits_status && post.whose != Whose::Own) {
        reasons.push(Code::AgencyNotCompetent);
    }
    reasons
}

/// What a step names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Of {
    pub(crate) record: RecordId,
    pub(crate) version: u32,
    /// Of the version that an approval is for.
    pub(crate) header_digest: Digest,
    /// The application for its repair, if there is one.
    pub(crate) application: Option<RecordId>,
    /// Last day of a hold.
    pub(crate) hold_until: Date,
}

/// A step of the table that brings no document, as somebody would send it.
pub(crate) fn operation(name: &str, of: &Of) -> Operation {
    let Of { record, version, header_digest, application, hold_until } = *of;
    let reason = "file_7".to_owned();
    match name {
        "countersign" => Operation::Countersign { record, version, header_digest },
        "reject" => Operation::Reject { record, version, header_digest: None, reason },
        "withdraw" => Operation::Withdraw { record, version },
        "suspend" => Operation::Suspend { record, version, until: None, reason },
        "resume" => Operation::Resume { record, version },
        "dispute_decide" => {
            let (outcome, carries) = (DisputeOutcome::Dismissed, Remedy::None);
            Operation::DisputeDecide { record, version, outcome, carries, reasons: reason }
        }
        "review_open" => Operation::ReviewOpen { record, version, file_no: reason },
        "review_decide" => {
            let (outcome, carries) = (ReviewOutcome::Upheld, Remedy::None);
            Operation::ReviewDecide { record, version, outcome, carries, order_no: reason }
        }
        "repair_decide" => {
            let case = application.unwrap_or(RecordId::new(Digest::ZERO));
            Operation::RepairDecide {
                record,
                version,
                case,
                outcome: RepairOutcome::Granted,
                reasons: reason,
            }
        }
        "repair_undo" => Operation::RepairUndo { record, version, reason },
        "revoke" | "invalidate" => {
            let (why, effect) = (RevokeReason::Unlawful, Effect::FromNow);
            Operation::Revoke { record, version, reason: why, effect, note: String::new() }
        }
        "stop_publication" => Operation::StopPublication { record, version, reason },
        "seal" => Operation::Seal { record, version },
        "erase" => Operation::Erase { record, version, ground: EraseGround::Court, note: String::new() },
        "hold" => Operation::Hold { record, version, order_no: reason, until: hold_until },
        "release_hold" => Operation::ReleaseHold { record, version, order_no: reason },
        "annotate" => Operation::Annotate { record, version, text: reason },
        _ => panic!("no step of its own: {name}"),
    }
}
