//! Exit codes: a promise to scripts, listed in `city help exit-codes` and in the manual.

use chain_core::code::Code;

/// How the command ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// It failed for a reason that has no number of its own.
    Failed = 1,
    /// The command line was wrong.
    Usage = 2,
    /// The thing asked for does not exist.
    NotFound = 3,
    /// Role, quota or a locked key forbids it.
    NotAllowed = 4,
    /// The ledger, or a local check with its rules, refuses the data.
    Refused = 5,
    /// No node answered before anything was submitted: retry.
    Unreachable = 6,
    /// Submitted, but not final yet.
    NotFinal = 7,
    /// Some rows of a batch were refused.
    Partly = 8,
    /// A proof or a signature is wrong.
    Invalid = 10,
    /// There is nothing to verify with.
    CannotVerify = 11,
    /// Signed statements contradict each other.
    Tampered = 12,
    /// A bug.
    Bug = 70,
    /// Ctrl-C.
    Interrupted = 130,
}

impl Exit {
    /// The number the shell sees.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    /// The exit that belongs to an entry of the catalogue.
    pub(crate) const fn of(code: Code) -> Self {
        match code {
            Code::BadParameter | Code::NoContext | Code::ConfigInvalid => Self::Usage,
            Code::UnknownCode
            | Code::RecordNotFound
            | Code::NotFound
            | Code::FileNotFound
            | Code::UnknownType
            | Code::NotDisclosed => Self::NotFound,
            Code::KeyFileInvalid | Code::KeyFilePermissions | Code::NotOwnNode => Self::NotAllowed,
            Code::QueueFull | Code::NotReady | Code::Unreachable | Code::RequestTimeout => Self::Unreachable,
            Code::NotFinal | Code::NotYetExecuted | Code::ReceiptPending => Self::NotFinal,
            Code::BatchIncomplete => Self::Partly,
            Code::QuorumNotMet | Code::UnknownSigner | Code::TrustMissing | Code::RecoveryShort => {
                Self::CannotVerify
            }
            Code::HistoryAltered | Code::StateMismatch | Code::ForkDetected => Self::Tampered,
            Code::Interrupted => Self::Interrupted,
            Code::Internal => Self::Bug,
            other => match other.number() / 100 {
                1 | 2 | 4 => Self::Refused,
                3 => Self::NotAllowed,
                5 => Self::Invalid,
                _ => Self::Failed,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_numbers_hold() {
        for (code, exit) in [
            (Code::BadParameter, 2),
            (Code::RecordNotFound, 3),
            (Code::RoleNotAllowed, 4),
            (Code::DuplicateNaturalKey, 5),
            (Code::BadDate, 5),
            (Code::Unreachable, 6),
            (Code::NotFinal, 7),
            (Code::BatchIncomplete, 8),
            (Code::ProofInvalid, 10),
            (Code::TrustMissing, 11),
            (Code::HistoryAltered, 12),
            (Code::Internal, 70),
            (Code::Interrupted, 130),
        ] {
            assert_eq!(Exit::of(code).code(), exit, "{code}");
        }
    }
}
