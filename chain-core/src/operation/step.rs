//! The steps in a record's life.

use crate::layout::closed_list;

closed_list!(
    /// What a step was: operations that members sign, and steps the ledger takes by itself.
    Step as u8, "step" {
        /// First version filed.
        Submit = 1, "submit";
        /// Content or pending step approved.
        Countersign = 2, "countersign";
        /// Refused by an approver.
        Reject = 3, "reject";
        /// Taken back by the clerk before the decision.
        Withdraw = 4, "withdraw";
        /// A new version filed.
        Amend = 5, "amend";
        /// Ended by the agency.
        Revoke = 6, "revoke";
        /// Publication ended early.
        StopPublication = 7, "stop_publication";
        /// Put out of effect for a time.
        Suspend = 8, "suspend";
        /// Put into effect again.
        Resume = 9, "resume";
        /// A validator said that it is ready to take part.
        Ready = 10, "ready";
        /// A validator's offence proven.
        Accuse = 11, "accuse";
        /// Bodies destroyed on a lawful ground.
        Erase = 12, "erase";
        /// A validator said that it destroyed them.
        ConfirmErasure = 13, "confirm_erasure";
        /// Decided on an objection.
        DisputeDecide = 14, "dispute_decide";
        /// Under review by another body or a court.
        ReviewOpen = 15, "review_open";
        /// Decided on review.
        ReviewDecide = 16, "review_decide";
        /// Decided on an application for repair.
        RepairDecide = 17, "repair_decide";
        /// A repair undone because it was obtained by deceit.
        RepairUndo = 18, "repair_undo";
        /// Bodies disposed of: kept long enough.
        Seal = 19, "seal";
        /// Held back from sealing and erasure.
        Hold = 20, "hold";
        /// Held back no longer.
        ReleaseHold = 21, "release_hold";
        /// A statement added.
        Annotate = 22, "annotate";
        /// Approved after it took effect, as an alert that cannot wait.
        Confirm = 23, "confirm";
        /// Ended by its own date, or with what it rested on.
        Expire = 32, "expire";
        /// Publication ended by its own date.
        PublicationEnd = 33, "publication_end";
        /// Laid down in the genesis.
        Genesis = 34, "genesis";
        /// Agreed by the agencies after a lost quorum.
        Recover = 35, "recover";
        /// An objection was filed.
        DisputeOpen = 36, "dispute_open";
        /// A repair was applied for.
        RepairApply = 37, "repair_apply";
        /// A case closed by a decision.
        CloseCase = 38, "close_case";
        /// The last open objection was taken back.
        DisputeEnd = 39, "dispute_end";
        /// A legal hold ended by its own date.
        HoldEnd = 40, "hold_end";
        /// Bodies disposed of at the end of retention.
        RetentionEnd = 41, "retention_end";
        /// An alert that took its place, or called it off, took effect.
        Supersede = 42, "supersede";
        /// Nobody approved it in the time that the law gives after it took effect.
        ConfirmationMissed = 43, "confirmation_missed";
        /// Found and written by the ledger itself.
        Found = 48, "found";
        /// A record says why a gap came about.
        Explain = 49, "explain";
        /// The last record that said so is in effect no longer.
        ExplanationEnd = 50, "explanation_end";
    }
);

impl Step {
    /// Whether it neither changes what a step that waits is about nor is hindered by one: marks and statements.
    pub const fn leaves_pending(self) -> bool {
        matches!(self, Self::Hold | Self::ReleaseHold | Self::Annotate | Self::ReviewOpen)
    }
}
