//! `city record`: the steps of a record's life that name it and bring no document of their own.

use chain_core::api::RecordView;
use chain_core::date::Date;
use chain_core::id::RecordId;
use chain_core::operation::{
    DisputeOutcome, Effect, EraseGround, Operation, Remedy, RepairOutcome, ReviewOutcome, RevokeReason, Step,
};
use clap::Subcommand;

use super::{Signer, choice, report, waiting};
use crate::app::City;
use crate::client::paths;
use crate::draft::shown_header;
use crate::error::CliResult;
use crate::filing;

/// One step; who may take it and who must agree is in docs/lifecycle.csv.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum StepCommand {
    /// Refuse what waits for approval: a step, else the submitted record
    Reject {
        /// Its id
        record: RecordId,
        /// Why; for records about persons a code of a-z, 0-9 and _
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        signer: Signer,
    },
    /// Take back what waits for approval, or an open case, as the officer who filed it
    Withdraw {
        /// Its id
        record: RecordId,
        #[command(flatten)]
        signer: Signer,
    },
    /// Put a record out of effect for a time
    Suspend {
        /// Its id
        record: RecordId,
        /// Why; for records about persons a code of a-z, 0-9 and _
        #[arg(long)]
        reason: String,
        /// Last day meant, YYYY-MM-DD; a reminder, nothing resumes the record by itself
        #[arg(long, value_name = "DATE")]
        until: Option<Date>,
        #[command(flatten)]
        signer: Signer,
    },
    /// Put a suspended record into effect again
    Resume {
        /// Its id
        record: RecordId,
        #[command(flatten)]
        signer: Signer,
    },
    /// End a record
    Revoke {
        /// Its id
        record: RecordId,
        /// withdrawn, revoked, cancelled, annulled, unlawful, filed_in_error, ended, key_compromised
        #[arg(long)]
        reason: String,
        /// from_start or from_now
        #[arg(long, default_value = "from_now")]
        effect: String,
        /// Order or file number
        #[arg(long, default_value = "")]
        note: String,
        #[command(flatten)]
        signer: Signer,
    },
    /// End publication at once
    StopPublication {
        /// Its id
        record: RecordId,
        /// Why; for records about persons a code of a-z, 0-9 and _
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        signer: Signer,
    },
    /// Decide the open objections to a record, as a clerk; a supervisor who did not approve it must countersign
    DecideObjection {
        /// The record objected to
        record: RecordId,
        /// upheld, dismissed, undetermined
        #[arg(long)]
        outcome: String,
        /// What an upheld one brings at once: amend (the version that waits), revoke, stop_publication
        #[arg(long, default_value = "none")]
        carries: String,
        /// Why; for records about persons a code of a-z, 0-9 and _
        #[arg(long)]
        reasons: String,
        #[command(flatten)]
        signer: Signer,
    },
    /// Mark a record as under review or before a court, as a clerk of whatever agency (--key)
    OpenReview {
        /// Its id
        record: RecordId,
        /// File number of the reviewing body or court
        #[arg(long)]
        file_no: String,
        #[command(flatten)]
        signer: Signer,
    },
    /// Say what came of a review, as a supervisor of the record's agency or of the one that opened it (--key)
    DecideReview {
        /// Its id
        record: RecordId,
        /// upheld, changed, annulled, unlawful, void
        #[arg(long)]
        outcome: String,
        /// What follows beyond what the outcome brings: amend (the version that waits), revoke, stop_publication
        #[arg(long, default_value = "none")]
        carries: String,
        /// Number of the decision or judgment
        #[arg(long)]
        order_no: String,
        #[command(flatten)]
        signer: Signer,
    },
    /// Decide an application for repair, as a clerk; a supervisor must countersign
    DecideRepair {
        /// The record to be repaired
        record: RecordId,
        /// The application, an open credit.repair
        #[arg(long, value_name = "RECORD")]
        application: RecordId,
        /// granted, refused, withdrawn
        #[arg(long)]
        outcome: String,
        /// Why; for records about persons a code of a-z, 0-9 and _
        #[arg(long)]
        reasons: String,
        #[command(flatten)]
        signer: Signer,
    },
    /// Undo a repair that false evidence brought, as a supervisor; a legal reviewer must countersign
    UndoRepair {
        /// Its id
        record: RecordId,
        /// What proves it; for records about persons a code of a-z, 0-9 and _
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        signer: Signer,
    },
    /// Dispose of the bodies of a record that has ended, as a privacy officer
    Seal {
        /// Its id
        record: RecordId,
        #[command(flatten)]
        signer: Signer,
    },
    /// Order that bodies and salts of all versions be destroyed, as a privacy officer; an auditor must countersign
    Erase {
        /// Its id
        record: RecordId,
        /// request, retention_end, unlawful, court
        #[arg(long)]
        ground: String,
        /// Order or file number
        #[arg(long, default_value = "")]
        note: String,
        #[command(flatten)]
        signer: Signer,
    },
    /// Hold a record back from sealing and erasure, as an auditor
    Hold {
        /// Its id
        record: RecordId,
        /// Number of the order
        #[arg(long)]
        order_no: String,
        /// Last day of the hold, YYYY-MM-DD
        #[arg(long, value_name = "DATE")]
        until: Date,
        #[command(flatten)]
        signer: Signer,
    },
    /// End a hold before its day, as an auditor
    ReleaseHold {
        /// Its id
        record: RecordId,
        /// Number of the order
        #[arg(long)]
        order_no: String,
        #[command(flatten)]
        signer: Signer,
    },
    /// Add a statement, as a clerk, or as the subject through a portal (--role portal)
    Annotate {
        /// Its id
        record: RecordId,
        /// The statement; for records about persons a code of a-z, 0-9 and _
        #[arg(long)]
        text: String,
        #[command(flatten)]
        signer: Signer,
    },
}

pub(super) fn run(command: StepCommand, city: &City) -> CliResult {
    use StepCommand as Command;
    match command {
        Command::Reject { record, reason, signer } => step(city, record, signer, "supervisor", move |view| {
            let (version, digest) = waiting(view);
            Operation::Reject { record, version, header_digest: Some(digest), reason }
        }),
        Command::Withdraw { record, signer } => step(city, record, signer, "clerk", move |view| {
            Operation::Withdraw { record, version: taken_back(view) }
        }),
        Command::Suspend { record, reason, until, signer } => {
            step(city, record, signer, "supervisor", move |view| Operation::Suspend {
                record,
                version: view.version,
                until,
                reason,
            })
        }
        Command::Resume { record, signer } => step(city, record, signer, "supervisor", move |view| {
            Operation::Resume { record, version: view.version }
        }),
        Command::Revoke { record, reason, effect, note, signer } => {
            let reason: RevokeReason = choice("--reason", &reason)?;
            let effect: Effect = choice("--effect", &effect)?;
            step(city, record, signer, "supervisor", move |view| Operation::Revoke {
                record,
                version: view.version,
                reason,
                effect,
                note,
            })
        }
        Command::StopPublication { record, reason, signer } => {
            step(city, record, signer, "supervisor", move |view| Operation::StopPublication {
                record,
                version: view.version,
                reason,
            })
        }
        Command::DecideObjection { record, outcome, carries, reasons, signer } => {
            let outcome: DisputeOutcome = choice("--outcome", &outcome)?;
            let carries: Remedy = choice("--carries", &carries)?;
            step(city, record, signer, "clerk", move |view| Operation::DisputeDecide {
                record,
                version: view.version,
                outcome,
                carries,
                reasons,
            })
        }
        Command::OpenReview { record, file_no, signer } => step(city, record, signer, "clerk", move |view| {
            Operation::ReviewOpen { record, version: view.version, file_no }
        }),
        Command::DecideReview { record, outcome, carries, order_no, signer } => {
            let outcome: ReviewOutcome = choice("--outcome", &outcome)?;
            let carries: Remedy = choice("--carries", &carries)?;
            step(city, record, signer, "supervisor", move |view| Operation::ReviewDecide {
                record,
                version: view.version,
                outcome,
                carries,
                order_no,
            })
        }
        Command::DecideRepair { record, application, outcome, reasons, signer } => {
            let outcome: RepairOutcome = choice("--outcome", &outcome)?;
            step(city, record, signer, "clerk", move |view| Operation::RepairDecide {
                record,
                version: view.version,
                case: application,
                outcome,
                reasons,
            })
        }
        Command::UndoRepair { record, reason, signer } => {
            step(city, record, signer, "supervisor", move |view| Operation::RepairUndo {
                record,
                version: view.version,
                reason,
            })
        }
        Command::Seal { record, signer } => step(city, record, signer, "privacy_officer", move |view| {
            Operation::Seal { record, version: view.version }
        }),
        Command::Erase { record, ground, note, signer } => {
            let ground: EraseGround = choice("--ground", &ground)?;
            step(city, record, signer, "privacy_officer", move |view| Operation::Erase {
                record,
                version: view.version,
                ground,
                note,
            })
        }
        Command::Hold { record, order_no, until, signer } => {
            step(city, record, signer, "auditor", move |view| Operation::Hold {
                record,
                version: view.version,
                order_no,
                until,
            })
        }
        Command::ReleaseHold { record, order_no, signer } => {
            step(city, record, signer, "auditor", move |view| Operation::ReleaseHold {
                record,
                version: view.version,
                order_no,
            })
        }
        Command::Annotate { record, text, signer } => step(city, record, signer, "clerk", move |view| {
            Operation::Annotate { record, version: view.version, text }
        }),
    }
}

/// The version that is taken back: the one that waits, else the record's.
fn taken_back(view: &RecordView) -> u32 {
    match &view.pending {
        Some(pending) if pending.operation == Step::Amend.name() => pending.version,
        _ => view.version,
    }
}

/// One step on one record, as it is now, by an officer in the role that usually takes it unless another is named.
fn step(
    city: &City,
    record: RecordId,
    signer: Signer,
    role: &str,
    operation: impl FnOnce(&RecordView) -> Operation,
) -> CliResult {
    let (client, genesis, ring) = (city.client()?, city.genesis()?, city.ring()?);
    let view: RecordView = client.get(&paths::record(&record))?;
    shown_header(&view)?;
    let secret = signer.usually(role).secret(&ring, &view.agency)?;
    let submission = filing::sign(&genesis, &secret, vec![(operation(&view), None)], false);
    report(city, &[filing::file(&client, &genesis, &submission, None, city.manners.timeout)?])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::view;
    use super::*;

    #[test]
    fn what_is_taken_back_is_the_version_that_waits_and_else_the_record() {
        let waits = |operation: &str| {
            let digest = "cd".repeat(32);
            json!({ "operation": operation, "version": 4, "digest": digest, "missing": ["supervisor"], "signers": [] })
        };
        for (pending, want) in [(Value::Null, 3), (waits("amend"), 4), (waits("revoke"), 3)] {
            assert_eq!(taken_back(&view(pending)), want);
        }
    }
}
