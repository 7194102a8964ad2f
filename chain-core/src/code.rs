//! The one error catalogue: every refusal anywhere has a number and a NAME.
//!
//! Outputs carry both; tests and scripts compare the NAME; `city explain` takes either. Numbers are grouped
//! (1 input, 2 transaction, 3 rights, 4 record, 5 proof, 6 node, 7 network, 8 storage, 9 operation) and never
//! reused.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! catalogue {
    ($($name:ident = $number:literal, $text:literal, $meaning:literal, $hint:literal;)*) => {
        /// One entry of the catalogue.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[repr(u16)]
        pub enum Code {
            $(#[doc = $meaning] $name = $number,)*
        }

        impl Code {
            /// Every entry, by number.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The NAME, e.g. `USCC_CHECK_CHAR`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// What it means, one sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning),* }
            }

            /// What to do next, one sentence.
            pub const fn hint(self) -> &'static str {
                match self { $(Self::$name => $hint),* }
            }
        }
    };
}

include!("code/catalogue.rs");

impl Code {
    /// Names that descriptions of the domain use for an entry beside its own.
    const SYNONYMS: [(&'static str, Self); 2] =
        [("LEGAL_BASIS_MISSING", Self::LegalBasisMissing), ("LEGAL_HOLD", Self::LegalHold)];

    /// The number.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The entry with this number.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.number() == number)
    }
}

impl fmt::Display for Code {
    /// `E0401 SCHEMA_INVALID`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "E{:04} {}", self.number(), self.name())
    }
}

/// Text that names no entry of the catalogue.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is neither a code such as E0401 nor a name such as SCHEMA_INVALID")]
pub struct UnknownCode(String);

impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let upper = text.trim().to_ascii_uppercase();
        let number = upper.strip_prefix('E').unwrap_or(&upper).parse::<u16>().ok();
        number
            .and_then(Self::from_number)
            .or_else(|| Self::ALL.iter().copied().find(|code| code.name() == upper))
            .or_else(|| Self::SYNONYMS.iter().find(|(name, _)| *name == upper).map(|(_, code)| *code))
            .ok_or_else(|| UnknownCode(text.to_owned()))
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(self.name())
        } else {
            serializer.serialize_u16(self.number())
        }
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
        } else {
            let number = u16::deserialize(deserializer)?;
            Self::from_number(number)
                .ok_or_else(|| serde::de::Error::custom(format!("no error has number {number}")))
        }
    }
}

/// A refusal: the catalogue entry, and what exactly was found and wanted.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Refusal {
    /// The entry.
    pub code: Code,
    /// The thing, the value got and the value wanted; never a person's identifier.
    pub detail: String,
}

impl Refusal {
    /// A refusal with its detail.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn numbers_and_names_are_unique_and_found_by_either() {
        let numbers: BTreeSet<u16> = Code::ALL.iter().map(|code| code.number()).collect();
        let names: BTreeSet<&str> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(numbers.len(), Code::ALL.len());
        assert_eq!(names.len(), Code::ALL.len());
        for &code in Code::ALL {
            assert_eq!(code.name().parse(), Ok(code));
            assert_eq!(format!("E{:04}", code.number()).parse(), Ok(code));
            assert!(code.meaning().ends_with('.') && code.hint().ends_with('.'), "{code}");
        }
        assert!("E9999".parse::<Code>().is_err());
    }
}
