//! Formats of texts. All of them are asserted; an unknown one refuses the schema.

use crate::code::Code;
use crate::date::Date;
use crate::org::OrgId;
use crate::record::body::{is_language_tag, parse_instant};

/// A form that a text may be asked to have. There is none for e-mail addresses and telephone numbers: those of people do
/// not belong into records.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// `YYYY-MM-DD`, a day of the calendar.
    Date,
    /// RFC 3339 with its offset, not before 1970.
    DateTime,
    /// RFC 3986, with its scheme.
    Uri,
    /// RFC 9562, lower case or upper case.
    Uuid,
    /// BCP 47 by its form; our own name.
    LanguageTag,
    /// An organisation as `scheme:value` with its check digits; our own name.
    OrgId,
}

impl Format {
    const ALL: [(&'static str, Self); 6] = [
        ("date", Self::Date),
        ("date-time", Self::DateTime),
        ("uri", Self::Uri),
        ("uuid", Self::Uuid),
        ("language-tag", Self::LanguageTag),
        ("org-id", Self::OrgId),
    ];

    /// The format with this name.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, format)| *format)
    }

    /// Every name, for messages.
    pub(super) fn names() -> String {
        Self::ALL.map(|(name, _)| name).join(", ")
    }

    /// Most characters of a text with this format.
    pub(super) const fn length_max(self) -> usize {
        match self {
            Self::Date => 10,
            Self::DateTime | Self::LanguageTag => 64,
            Self::Uri => 512,
            Self::Uuid => 36,
            Self::OrgId => 128,
        }
    }

    /// Refuses a text of another form: the code of the flaw, and what is wanted.
    pub(super) fn check(self, text: &str) -> Result<(), (Code, String)> {
        let form = |fits: bool, wanted: &str| {
            if fits { Ok(()) } else { Err((Code::SchemaInvalid, wanted.to_owned())) }
        };
        match self {
            Self::Date => match text.parse::<Date>() {
                Ok(_) => Ok(()),
                Err(error) => Err((Code::BadDate, format!("a day as YYYY-MM-DD ({error})"))),
            },
            Self::DateTime if parse_instant(text).is_none() => {
                Err((Code::BadDate, "an RFC 3339 time with offset, not before 1970".to_owned()))
            }
            Self::DateTime => Ok(()),
            Self::Uri => form(is_uri(text), "a URI with its scheme (RFC 3986)"),
            Self::Uuid => form(is_uuid(text), "a UUID (RFC 9562)"),
            Self::LanguageTag => form(is_language_tag(text), "a BCP 47 language tag"),
            Self::OrgId => match text.parse::<OrgId>() {
                Ok(_) => Ok(()),
                Err(refusal) => Err((refusal.code, format!("an organisation: {}", refusal.detail))),
            },
        }
    }
}

/// RFC 3986: a scheme, and after it only characters of URIs, with every `%` before two hexadecimal digits.
fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let named = scheme.bytes().next().is_some_and(|first| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let bytes = rest.as_bytes();
    let fits = |(at, &byte): (usize, &u8)| match byte {
        b'%' => bytes.get(at + 1..at + 3).is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit)),
        b'#' => !bytes[at + 1..].contains(&b'#'),
        // An address of IPv6 stands in brackets after the two slashes, and nothing else does.
        b'[' => bytes.starts_with(b"//") && bytes[at..].contains(&b']'),
        b']' => bytes[..at].contains(&b'['),
        _ => byte.is_ascii_alphanumeric() || b"-._~:/?@!$&'()*+,;=".contains(&byte),
    };
    named && !bytes.is_empty() && bytes.iter().enumerate().all(fits)
}

fn is_uuid(text: &str) -> bool {
    let lengths = [8, 4, 4, 4, 12];
    let mut parts = text.split('-');
    let hex = |part: Option<&str>, length: usize| {
        part.is_some_and(|part| part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    lengths.into_iter().all(|length| hex(parts.next(), length)) && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_takes_its_form_and_no_other() {
        for (name, good, bad) in [
            (
                "date",
                &["2026-02-28", "0001-01-01"][..],
                &["2026-02-29", "20260228", "2026-2-1", "2026-02-28 "][..],
            ),
            (
                "date-time",
                &["2026-05-06T09:00:00+08:00", "2026-05-06T01:00:00.5Z"],
                &["2026-05-06T09:00:00", "2026-05-06", "2026-05-06 09:00:00Z", "2026-05-06T24:00:00Z"],
            ),
            (
                "uri",
                &["https://example.org/a?b=c#d", "urn:x:1", "https://[2001:db8::1]/", "https://a/%E6%96%87"],
                &[
                    "example.org/a",
                    "://x",
                    "1a:b",
                    "https://a b",
                    "https://文",
                    "x:",
                    "x:%g0",
                    "x:#a#b",
                    "x:[a]",
                    "x:a]b",
                ],
            ),
            (
                "uuid",
                &["0f8fad5b-d9cb-469f-a165-70867728950e"],
                &[
                    "0f8fad5bd9cb469fa16570867728950e",
                    "0f8fad5b-d9cb-469f-a165-70867728950",
                    "0f8fad5b-d9cb-469f-a165-70867728950g",
                ],
            ),
            ("language-tag", &["en", "zh-Hans"], &["e", "zh_Hans", "zh-", "1a"]),
            ("org-id", &["uscc:91440300100012316L"], &["uscc:91440300100012316K", "91440300100012316L"]),
        ] {
            let format = Format::from_name(name).unwrap();
            for text in good {
                assert_eq!(format.check(text), Ok(()), "{name} {text}");
                assert!(text.len() <= format.length_max(), "{name} {text}");
            }
            for text in bad {
                assert!(format.check(text).is_err(), "{name} {text}");
            }
        }
        assert_eq!(Format::from_name("email"), None);
    }
}
