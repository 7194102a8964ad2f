//! Why a step is taken, and what a decision says.

use crate::layout::closed_list;

closed_list!(
    /// Why a version is replaced.
    AmendReason as u8, "reason to amend" {
        /// A slip of the pen.
        Clerical = 1, "clerical";
        /// An objection was upheld.
        CorrectionAfterObjection = 2, "correction_after_objection";
        /// The holder asked for it.
        ChangeOnApplication = 3, "change_on_application";
        /// A licence was renewed.
        Renewal = 4, "renewal";
        /// A court or reviewing body ordered it.
        CourtOrReviewOrder = 5, "court_or_review_order";
    }
);

closed_list!(
    /// Why a record is ended. Withdrawn, revoked and cancelled are different in law (Administrative Licensing
    /// Law arts. 8, 69, 70) and kept apart.
    RevokeReason as u8, "reason to revoke" {
        /// Lawful when granted, withdrawn for the public good (art. 8).
        Withdrawn = 1, "withdrawn";
        /// Unlawfully granted or obtained (art. 69).
        Revoked = 2, "revoked";
        /// Closed in the register because its ground fell away (art. 70).
        Cancelled = 3, "cancelled";
        /// Annulled by a court or reviewing body.
        Annulled = 4, "annulled";
        /// The act was void or unlawful (Administrative Penalty Law art. 48).
        Unlawful = 5, "unlawful";
        /// Filed by mistake; for facts: invalidated.
        FiledInError = 6, "filed_in_error";
        /// The membership or catalogue entry ended.
        Ended = 7, "ended";
        /// A key is lost or no longer in one hand.
        KeyCompromised = 8, "key_compromised";
    }
);

closed_list!(
    /// On what ground a body is destroyed (Personal Information Protection Law arts. 46 and 47, GDPR art. 17).
    EraseGround as u8, "ground to erase" {
        /// The person it is about asked for it and has a right to it.
        Request = 1, "request";
        /// The time for which it had to be kept is over: of a sealed record.
        RetentionEnd = 2, "retention_end";
        /// It should never have been recorded.
        Unlawful = 3, "unlawful";
        /// A court ordered it.
        Court = 4, "court";
    }
);

closed_list!(
    /// From when an ending takes effect.
    Effect as u8, "effect" {
        /// As if it had never been.
        FromStart = 1, "from_start";
        /// From the day of the step.
        FromNow = 2, "from_now";
    }
);

closed_list!(
    /// What came of an objection.
    DisputeOutcome as u8, "outcome of an objection" {
        /// It is right; the decision carries what follows.
        Upheld = 1, "upheld";
        /// It is not.
        Dismissed = 2, "dismissed";
        /// It cannot be settled; that is recorded too (Shenzhen credit regulation art. 51).
        Undetermined = 3, "undetermined";
    }
);

closed_list!(
    /// What came of a review or a suit (Administrative Review Law arts. 63-69).
    ReviewOutcome as u8, "outcome of a review" {
        /// The act stands.
        Upheld = 1, "upheld";
        /// The act is changed.
        Changed = 2, "changed";
        /// The act is annulled.
        Annulled = 3, "annulled";
        /// The act is found unlawful, and stands.
        Unlawful = 4, "unlawful";
        /// The act was void from the start.
        Void = 5, "void";
    }
);

impl ReviewOutcome {
    /// Whether what was decided may no longer be shown (Administrative Penalty Law art. 48).
    pub const fn ends_publication(self) -> bool {
        !matches!(self, Self::Upheld)
    }

    /// Whether the act is no more.
    pub const fn ends_act(self) -> bool {
        matches!(self, Self::Annulled | Self::Void)
    }
}

closed_list!(
    /// What a decision does to the record at once.
    Remedy as u8, "remedy" {
        /// Nothing.
        None = 0, "none";
        /// The version that waits takes the place of the one decided on.
        Amend = 1, "amend";
        /// The record is ended.
        Revoke = 2, "revoke";
        /// Its publication is ended.
        StopPublication = 3, "stop_publication";
    }
);

closed_list!(
    /// What came of an application for repair.
    RepairOutcome as u8, "outcome of a repair" {
        /// The record is repaired.
        Granted = 1, "granted";
        /// It is not.
        Refused = 2, "refused";
        /// The application was taken back.
        Withdrawn = 3, "withdrawn";
    }
);
