//! What the importer changed or decided about a row that it accepted.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// One remark. The order is the order in reports.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Note {
    /// The row is about a person: its body goes to the agency's vault.
    PersonalToVault,
    /// The act is not published: a warning alone, a minor case, or about a person.
    NotPublished,
    /// An individual business is a person in practice: class P3.
    TreatAsPersonal,
    /// The legal representative's identity document was left out.
    StripRepresentativeId,
    /// Names, addresses or numbers of persons were left out.
    StripPersonal,
    /// A last day that the sheet leaves open was reckoned from the term of the law.
    TermComputed,
    /// 2099-12-31 stands for "no end".
    SentinelDateOpenEnded,
    /// Full-width digits or letters were written in their ordinary form.
    NormalisedFullWidth,
    /// What the record has no place for was left out.
    LeftOut,
    /// The prefix of an ocid was written in small letters, as it is registered.
    NormalisedPrefix,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PersonalToVault => "PERSONAL_TO_VAULT",
            Self::NotPublished => "NOT_PUBLISHED",
            Self::TreatAsPersonal => "TREAT_AS_PERSONAL",
            Self::StripRepresentativeId => "STRIP_REPRESENTATIVE_ID",
            Self::StripPersonal => "STRIP_PERSONAL",
            Self::TermComputed => "TERM_COMPUTED",
            Self::SentinelDateOpenEnded => "SENTINEL_DATE_OPEN_ENDED",
            Self::NormalisedFullWidth => "NORMALISED_FULL_WIDTH",
            Self::LeftOut => "LEFT_OUT",
            Self::NormalisedPrefix => "NORMALISED_PREFIX",
        })
    }
}

/// The remarks about one row.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct Notes(BTreeSet<Note>);

impl Notes {
    /// Adds a remark.
    pub(crate) fn add(&mut self, note: Note) {
        self.0.insert(note);
    }
}

impl fmt::Display for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, note) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("|")?;
            }
            note.fmt(f)?;
        }
        Ok(())
    }
}
