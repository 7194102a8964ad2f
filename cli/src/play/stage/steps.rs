//! Steps on records that are there.

use chain_core::code::{Code, Refusal};
use chain_core::crypto::Digest;
use chain_core::date::Date;
use chain_core::operation::{
    Effect, EraseGround, Operation, Remedy, RepairOutcome, ReviewOutcome, RevokeReason,
};
use chain_core::record::Lifecycle;
use chain_core::state::RecordHead;

use super::Stage;
use super::office::{dispute, remedy};
use crate::play::form::{Args, Step};

/// What a step says where a scenario says nothing, and what it says of persons.
const SAMPLE: &str = "sample";
/// Arguments that say why.
const REASONS: [&str; 7] =
    ["reason", "reasons", "proof", "evidence", "condition", "end_condition", "order_no"];

impl Stage {
    /// The operation of a step.
    ///
    /// # Errors
    /// `BAD_STATE` for a step that records of such a life do not know, `BAD_PARAMETER` for a step of no such name,
    /// `UNKNOWN_FIELD` for an argument that the step does not read.
    pub(super) fn operation(&self, step: &Step) -> Result<Operation, Refusal> {
        let record = self.record(&step.record);
        let head = self.ledger.head(&record);
        let head = head.as_ref();
        let version = head.map_or(1, |head| head.current.version);
        let args = &mut Args::of(&step.args);
        let operation = match step.op.as_str() {
            "countersign" => {
                let (version, header_digest) = waiting(head);
                Operation::Countersign { record, version, header_digest }
            }
            "reject" => {
                let ((version, digest), reason) = (waiting(head), reason(args, head)?);
                Operation::Reject { record, version, header_digest: Some(digest), reason }
            }
            // A reason is a remark of the story here and below: the ledger keeps none.
            "withdraw" => {
                args.skip(&["reason"]);
                Operation::Withdraw { record, version }
            }
            "revoke" | "invalidate" => {
                check_end(&step.op, head)?;
                let fact = step.op == "invalidate";
                let otherwise = if fact { RevokeReason::FiledInError } else { RevokeReason::Revoked };
                let (reason, note) = why_revoked(args, otherwise, head)?;
                let effect = args.choice("effect", Effect::from_name)?.unwrap_or(Effect::FromNow);
                Operation::Revoke { record, version, reason, effect, note }
            }
            "stop_publication" => Operation::StopPublication { record, version, reason: reason(args, head)? },
            "suspend" => {
                let (until, reason) = (args.date("until")?, reason(args, head)?);
                Operation::Suspend { record, version, until, reason }
            }
            "resume" => {
                args.skip(&["reason"]);
                Operation::Resume { record, version }
            }
            "dispute_decide" => {
                let ((outcome, carries), reasons) = (dispute(step)?, reason(args, head)?);
                args.skip(&["outcome", "carries", "objection"]);
                Operation::DisputeDecide { record, version, outcome, carries, reasons }
            }
            "review_open" => {
                let named = ["file_no", "order_no", "case_no", "authority", "court"]
                    .into_iter()
                    .find(|name| args.names(name));
                Operation::ReviewOpen { record, version, file_no: words(args, named.unwrap_or("file_no"))? }
            }
            "review_decide" => Operation::ReviewDecide {
                record,
                version,
                outcome: args.choice("outcome", ReviewOutcome::from_name)?.unwrap_or(ReviewOutcome::Upheld),
                carries: remedy(args)?.unwrap_or(Remedy::None),
                order_no: words(args, "order_no")?,
            },
            "repair_decide" => self.repair_decision(step, args, version, head)?,
            "repair_undo" => Operation::RepairUndo { record, version, reason: reason(args, head)? },
            "seal" => {
                args.skip(&["reason"]);
                Operation::Seal { record, version }
            }
            "erase" => {
                let ground = erase_ground(&words(args, "ground")?)?;
                Operation::Erase { record, version, ground, note: String::new() }
            }
            "hold" => {
                let until = args.date("until")?.or_else(|| self.today().add_months(12)).unwrap_or(Date::MAX);
                Operation::Hold { record, version, order_no: words(args, "order_no")?, until }
            }
            "release_hold" => Operation::ReleaseHold { record, version, order_no: words(args, "order_no")? },
            "annotate" => Operation::Annotate { record, version, text: annotation(args, head)? },
            other => return Err(Refusal::new(Code::BadParameter, format!("no step is called {other:?}"))),
        };
        args.clone().finish(&step.op)?;
        Ok(operation)
    }

    /// A decision on the application that the step names, else on the one that was filed last.
    fn repair_decision(
        &self,
        step: &Step,
        args: &mut Args,
        version: u32,
        head: Option<&RecordHead>,
    ) -> Result<Operation, Refusal> {
        let named = args.text("application")?.or(args.text("repair")?).or(args.text("case")?);
        let filed = || self.acts.get(&step.record).and_then(|act| act.application);
        let case = match named {
            Some(label) => self.record(&label),
            None => filed().unwrap_or_else(|| self.record("no application")),
        };
        let outcome = args.choice("outcome", RepairOutcome::from_name)?.unwrap_or(RepairOutcome::Granted);
        let reasons = reason(args, head)?;
        Ok(Operation::RepairDecide { record: self.record(&step.record), version, case, outcome, reasons })
    }
}

/// Version and digest of what waits for approval: a pending step, else a waiting version, else the first one.
fn waiting(head: Option<&RecordHead>) -> (u32, Digest) {
    match head.map(|head| (head, &head.pending, &head.next)) {
        Some((head, Some(pending), _)) => (head.current.version, pending.digest),
        Some((_, None, Some(next))) => (next.version, next.header_digest),
        Some((head, None, None)) => (head.current.version, head.current.header_digest),
        None => (1, Digest::ZERO),
    }
}

/// Facts are invalidated, everything else is revoked: one operation of the ledger, two of the table of transitions.
fn check_end(op: &str, head: Option<&RecordHead>) -> Result<(), Refusal> {
    let Some(head) = head else { return Ok(()) };
    let fact = head.lifecycle() == Lifecycle::Append;
    if fact == (op == "invalidate") {
        return Ok(());
    }
    let wanted = if fact { "invalidate" } else { "revoke" };
    let detail = format!(
        "{} of lifecycle {} knows no step to {op}, wants {wanted}",
        head.record_type,
        head.lifecycle()
    );
    Err(Refusal::new(Code::BadState, detail))
}

/// A text that the step says, be it nothing; a sample where it is silent.
fn words(args: &mut Args, name: &str) -> Result<String, Refusal> {
    let silent = !args.names(name);
    Ok(args.text(name)?.unwrap_or_else(|| if silent { SAMPLE.to_owned() } else { String::new() }))
}

/// Why a step is taken: all that it says of that. Of records about persons reasons are codes: words come down to a sample.
fn reason(args: &mut Args, head: Option<&RecordHead>) -> Result<String, Refusal> {
    let mut said = Vec::new();
    for name in REASONS {
        if args.names(name) {
            said.push(words(args, name)?);
        }
    }
    let said = if said.is_empty() { SAMPLE.to_owned() } else { said.join("; ") };
    Ok(if said.is_empty() || is_shared(head) { said } else { SAMPLE.to_owned() })
}

fn is_shared(head: Option<&RecordHead>) -> bool {
    head.is_none_or(|head| head.class.body_is_shared())
}

/// A reason of the list, or words as a note.
fn why_revoked(
    args: &mut Args,
    otherwise: RevokeReason,
    head: Option<&RecordHead>,
) -> Result<(RevokeReason, String), Refusal> {
    let said = args.text("reason")?.unwrap_or_default();
    let note = args.text("note")?.unwrap_or_default();
    Ok(match RevokeReason::from_name(&said) {
        Some(reason) => (reason, note),
        None if is_shared(head) && note.is_empty() => (otherwise, said),
        None => (otherwise, note),
    })
}

fn annotation(args: &mut Args, head: Option<&RecordHead>) -> Result<String, Refusal> {
    let bytes = args.number("bytes")?.and_then(|bytes| usize::try_from(bytes).ok());
    let said = words(args, "text")?;
    Ok(match bytes {
        Some(bytes) => "x".repeat(bytes),
        None if is_shared(head) => said,
        None => SAMPLE.to_owned(),
    })
}

fn erase_ground(words: &str) -> Result<EraseGround, Refusal> {
    let speaks = |word: &str| words.contains(word);
    Ok(match () {
        () if words.trim().is_empty() => {
            let detail = "args.ground is empty, wants request, retention end, unlawful or court";
            return Err(Refusal::new(Code::ReasonRequired, detail));
        }
        () if speaks("retention") => EraseGround::RetentionEnd,
        () if speaks("unlawful") => EraseGround::Unlawful,
        () if speaks("court") => EraseGround::Court,
        () => EraseGround::Request,
    })
}
