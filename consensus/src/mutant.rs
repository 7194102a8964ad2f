//! The alarm test of the tests: rules that a test may remove, one at a time.

/// A rule removed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mutant {
    /// R1b: votes of one view need not form one chain.
    NoVoteChain,
    /// R2: COMMIT in a view that was given up.
    CommitAfterViewChange,
    /// Sends do not wait for the write they depend on.
    SendBeforeDurable,
}

impl Mutant {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::NoVoteChain, Self::CommitAfterViewChange, Self::SendBeforeDurable];
}
