//! What the engine wants people to know.

use chain_core::code::{Code, Refusal};
use chain_core::committee::Committee;
use chain_core::id::ValidatorIx;
use consensus::Notice;
use consensus::action::{Alarm, Owed, Suspicion};

fn name(committee: &Committee, who: ValidatorIx) -> &str {
    committee.get(who).map_or("an unknown validator", |one| &one.name)
}

/// Tells the operator of something that must not happen.
///
/// # Errors
/// When the node must stop.
pub(super) fn alarm(committee: &Committee, alarm: &Alarm) -> Result<(), Refusal> {
    match alarm {
        Alarm::Fork { ours, theirs } => {
            let proof = serde_json::json!({ "ours": ours, "theirs": theirs });
            return Err(Refusal::new(Code::ForkDetected, proof.to_string()));
        }
        Alarm::VoteEcho { peer } => {
            let peer = name(committee, *peer);
            let code = Code::SafetyLost.name();
            tracing::error!(
                code,
                peer,
                "a peer holds a vote that the safety record does not know; not voting"
            );
        }
        Alarm::Equivocation { offender, what } => {
            let offender = name(committee, *offender);
            tracing::error!(offender, what, "equivocation");
        }
    }
    Ok(())
}

/// Writes down how leadership moved.
pub(super) fn notice(committee: &Committee, notice: Notice) {
    match notice {
        Notice::GaveUp { view, leader, why } => {
            let leader = name(committee, leader);
            let why = in_words(why);
            tracing::warn!(view = view.get(), leader, why, "asking for the next view");
        }
        Notice::Entered { view, leader, by_timeout } => {
            let leader = name(committee, leader);
            let how = if by_timeout { "a quorum gave the last one up" } else { "its leader handed over" };
            tracing::info!(view = view.get(), leader, how, "entered a view");
        }
        Notice::HandsOver { view, voters } => {
            tracing::info!(
                view = view.get(),
                voters,
                "handing over early: hardly a quorum can vote in this view"
            );
        }
        Notice::OnProbation { author } => {
            let author = name(committee, author);
            tracing::warn!(
                author,
                "blocks waited for its data; its batches now wait until a quorum holds them"
            );
        }
    }
}

/// What a leader owed.
pub(crate) fn owed_in_words(owed: Owed) -> &'static str {
    match owed {
        Owed::Commit => "a block that is not final",
        Owed::FirstBlock => "the first block of the view",
        Owed::Batch => "the order of a batch that it was given",
        Owed::Heartbeat => "a heartbeat block",
        Owed::Execution => "a block that covers an execution",
    }
}

/// Why a leader was given up.
pub(crate) fn in_words(why: Suspicion) -> String {
    match why {
        Suspicion::Late { owed, timeout_ms } => {
            let owed = owed_in_words(owed);
            format!("owed for over {timeout_ms} ms: {owed}")
        }
        Suspicion::LeftOut { author, seq, waited_ms } => {
            format!("it passed over lane {author} up to batch {seq}, which it was given, for {waited_ms} ms")
        }
        Suspicion::Silent => "silence".to_owned(),
        Suspicion::Skipped => "it had been silent for long when its view began".to_owned(),
        Suspicion::TermOverdue => "its term is long over".to_owned(),
        Suspicion::Proof => "it signed what no leader may sign".to_owned(),
        Suspicion::OtherRoot { height } => {
            format!("it names another result of executing height {height} than was computed here")
        }
        Suspicion::Joined => "others asked for it, at least one of them honest".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_reads_what_was_owed_and_for_how_long() {
        let late = Suspicion::Late { owed: Owed::Batch, timeout_ms: 500 };
        assert_eq!(in_words(late), "owed for over 500 ms: the order of a batch that it was given");
    }
}
