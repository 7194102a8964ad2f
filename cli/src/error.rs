//! What a command fails with: an entry of the catalogue, its detail, a hint to copy and an exit code.

use std::fmt::Display;
use std::path::Path;

use chain_core::code::{Code, Refusal};

use crate::exit::Exit;

/// A failed command.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct CliError {
    /// Catalogue entry and detail.
    pub(crate) refusal: Refusal,
    /// What the shell sees.
    pub(crate) exit: Exit,
    /// A better hint than the catalogue's, usually with a command to copy.
    pub(crate) hint: Option<String>,
}

/// What commands return.
pub(crate) type CliResult<T = ()> = Result<T, CliError>;

impl From<Refusal> for CliError {
    fn from(refusal: Refusal) -> Self {
        Self { exit: Exit::of(refusal.code), refusal, hint: None }
    }
}

impl CliError {
    /// A failure with the exit of its code.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Refusal::new(code, detail).into()
    }

    /// Wrong usage that the command line parser cannot see.
    pub(crate) fn usage(detail: impl Into<String>) -> Self {
        Self::new(Code::BadParameter, detail)
    }

    /// A bug or an operating system failure that has no entry of its own.
    pub(crate) fn internal(detail: impl Display) -> Self {
        Self::new(Code::Internal, detail.to_string())
    }

    /// A file that could not be read or written.
    pub(crate) fn file(path: &Path, error: &std::io::Error) -> Self {
        let code = match error.kind() {
            std::io::ErrorKind::AlreadyExists => Code::FileExists,
            std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied => Code::FileNotFound,
            _ => Code::StorageFailed,
        };
        Self::new(code, format!("{}: {error}", path.display()))
    }

    /// The same failure with a hint of its own.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same failure with another exit code.
    #[must_use]
    pub(crate) fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// The catalogue entry.
    pub(crate) fn code(&self) -> Code {
        self.refusal.code
    }

    /// `error[E0407 DUPLICATE_NATURAL_KEY]: detail`, then `hint: …`.
    pub(crate) fn report(&self) -> String {
        let code = self.refusal.code;
        let detail = if self.refusal.detail.is_empty() { code.meaning() } else { &self.refusal.detail };
        format!("error[{code}]: {detail}\nhint: {}\n", self.hint.as_deref().unwrap_or_else(|| code.hint()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_names_code_detail_and_hint() {
        let error = CliError::new(Code::NoContext, "no context named market").hint("city context list");
        assert_eq!(
            error.report(),
            "error[E0907 NO_CONTEXT]: no context named market\nhint: city context list\n"
        );
        assert_eq!(error.exit, Exit::Usage);
    }

    #[test]
    fn without_a_detail_the_meaning_stands_in() {
        let report = CliError::new(Code::NotFinal, "").report();
        assert!(report.starts_with("error[E0606 NOT_FINAL]: The transaction was sent"), "{report}");
    }
}
