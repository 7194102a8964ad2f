//! The alarm test of the tests: rules that a test may remove, one at a time. Without the feature of that name
//! nothing can remove one.

/// A rule removed.
#[cfg_attr(
    not(feature = "mutants"),
    allow(unreachable_pub, dead_code, reason = "one shape with and without the feature")
)]
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Mutant {
    /// R1a: two PREPAREs for one slot.
    TwoVotesASlot,
    /// R1b: votes of one view need not form one chain.
    NoVoteChain,
    /// R1c: a view goes on after the end of its term.
    TermEndIsNotLast,
    /// R1d: a term ends with any block.
    TermEndWithoutFlag,
    /// R1d and M17: the base of a view is the least that its timeout certificate claims.
    LowestBase,
    /// R2: COMMIT in a view that was given up.
    CommitAfterViewChange,
    /// R2: COMMIT again in a view that was given up, once it is seen to have committed something.
    Healing,
    /// R5: VIEW-CHANGE claims nothing but the base.
    ForgetfulViewChange,
    /// A quorum of 2f+1, for n that is not 3f+1.
    SmallQuorum,
    /// M14: an ordinary block on a closing one.
    ClosingIsNotLast,
    /// M14: a Suffix on an ordinary block.
    SuffixOnAnything,
    /// Sends do not wait for the write they depend on.
    SendBeforeDurable,
}

#[cfg(feature = "mutants")]
impl Mutant {
    /// Every one.
    pub const ALL: [Self; 12] = [
        Self::TwoVotesASlot,
        Self::NoVoteChain,
        Self::TermEndIsNotLast,
        Self::TermEndWithoutFlag,
        Self::LowestBase,
        Self::CommitAfterViewChange,
        Self::Healing,
        Self::ForgetfulViewChange,
        Self::SmallQuorum,
        Self::ClosingIsNotLast,
        Self::SuffixOnAnything,
        Self::SendBeforeDurable,
    ];
}
