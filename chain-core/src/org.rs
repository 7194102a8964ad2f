//! Which organisation: an identifier and the scheme it belongs to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::canonical::{CanonicalError, Reader, Writer};
use crate::code::{Code, Refusal};
use crate::identifier;
use crate::layout::{Layout, closed_list};

closed_list!(
    /// A register of organisations.
    Scheme as u16, "identifier scheme" {
        /// Unified social credit code, GB 32100-2015.
        Uscc = 1, "uscc";
        /// Legal entity identifier, ISO 17442.
        Lei = 2, "lei";
        /// A national business register, `CC-REG:number`.
        Register = 3, "register";
        /// An identifier of the Open Contracting Data Standard, `ocds-` and a local part.
        Ocid = 4, "ocid";
    }
);

/// An organisation; agencies are organisations.
///
/// Text and JSON: `uscc:91440300100012316L`, `lei:…`, `register:GB-COH:01234567`, `ocid:ocds-213czf-x`. A
/// value of this type has passed the checks of its scheme.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct OrgId {
    scheme: Scheme,
    value: String,
}

/// Most bytes of an identifier's value.
pub const ORG_VALUE_BYTES_MAX: usize = 64;

impl OrgId {
    /// Checks a value by the rules of its scheme.
    ///
    /// # Errors
    /// The code of the first flaw; a resident number is not repeated in the detail.
    pub fn new(scheme: Scheme, value: &str) -> Result<Self, Refusal> {
        let refuse = |code: Code| {
            let shown = if code == Code::NaturalPersonId { "(withheld)" } else { crate::text::clip(value) };
            Err(Refusal::new(code, format!("{scheme} identifier, got {shown:?}")))
        };
        let checked = match scheme {
            Scheme::Uscc => identifier::check_uscc(value),
            Scheme::Lei => identifier::check_lei(value),
            Scheme::Register | Scheme::Ocid => check_open(scheme, value),
        };
        match checked {
            Ok(()) => Ok(Self { scheme, value: value.to_owned() }),
            Err(code) => refuse(code),
        }
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The identifier within its scheme.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether this names an individual business, which is a person in practice.
    pub fn is_individual_business(&self) -> bool {
        self.scheme == Scheme::Uscc && identifier::uscc_is_individual_business(&self.value)
    }
}

fn check_open(scheme: Scheme, value: &str) -> Result<(), Code> {
    if identifier::contains_resident_number(value) {
        return Err(Code::NaturalPersonId);
    }
    let printable = !value.is_empty()
        && value.len() <= ORG_VALUE_BYTES_MAX
        && value.bytes().all(|byte| byte.is_ascii_graphic());
    let formed = match scheme {
        Scheme::Ocid => value.strip_prefix("ocds-").is_some_and(|rest| {
            rest.split_once('-').is_some_and(|(prefix, local)| prefix.len() == 6 && !local.is_empty())
        }),
        _ => value.split_once(':').is_some_and(|(register, number)| {
            register.as_bytes().get(2) == Some(&b'-')
                && register.bytes().take(2).all(|byte| byte.is_ascii_uppercase())
                && register.len() > 3
                && !number.is_empty()
        }),
    };
    if printable && formed { Ok(()) } else { Err(Code::BadIdentifier) }
}

impl fmt::Display for OrgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.scheme, self.value)
    }
}

impl fmt::Debug for OrgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for OrgId {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, value) = text.split_once(':').unwrap_or(("", text));
        let Some(known) = Scheme::from_name(scheme) else {
            let code = if identifier::contains_resident_number(text) {
                Code::NaturalPersonId
            } else {
                Code::BadIdentifier
            };
            return Err(Refusal::new(code, "an organisation is written scheme:value"));
        };
        Self::new(known, value)
    }
}

impl Serialize for OrgId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            (self.scheme.number(), &self.value).serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for OrgId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        if deserializer.is_human_readable() {
            return String::deserialize(deserializer)?.parse().map_err(D::Error::custom);
        }
        let (scheme, value) = <(u16, String)>::deserialize(deserializer)?;
        let scheme = Scheme::from_number(scheme).ok_or_else(|| D::Error::custom("unknown scheme"))?;
        Self::new(scheme, &value).map_err(D::Error::custom)
    }
}

impl Layout for OrgId {
    fn write(&self, writer: &mut Writer) {
        writer.u16(self.scheme.number()).text(&self.value);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        let scheme = Scheme::read(reader)?;
        let value = reader.text(ORG_VALUE_BYTES_MAX)?;
        Self::new(scheme, &value).map_err(|_| reader.error("identifier breaks the rules of its scheme"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_names_scheme_and_value() {
        for text in [
            "uscc:91440300100012316L",
            "lei:2138001CY61HDFJ5ZA27",
            "register:GB-COH:01234567",
            "ocid:ocds-213czf-000-00001",
        ] {
            let org: OrgId = text.parse().unwrap();
            assert_eq!(org.to_string(), text);
            assert_eq!(OrgId::from_canonical(&org.to_canonical()), Ok(org));
        }
    }

    #[test]
    fn a_flaw_has_the_code_of_its_scheme_and_numbers_of_persons_are_withheld() {
        for (text, code) in [
            ("uscc:91440300100012316M", Code::UsccCheckChar),
            ("lei:2138001CY61HDFJ5ZA28", Code::LeiCheck),
            ("register:01234567", Code::BadIdentifier),
            ("register:GB-COH:", Code::BadIdentifier),
            ("ocid:213czf-1", Code::BadIdentifier),
            ("duns:123", Code::BadIdentifier),
            ("91440300100012316L", Code::BadIdentifier),
            ("uscc:11010519491231002X", Code::NaturalPersonId),
            ("register:CN-ID:11010519491231002X", Code::NaturalPersonId),
            ("11010519491231002X", Code::NaturalPersonId),
        ] {
            let refusal = text.parse::<OrgId>().unwrap_err();
            assert_eq!(refusal.code, code, "{text}");
            assert!(!refusal.detail.contains("1949"), "{text} echoed");
        }
    }
}
