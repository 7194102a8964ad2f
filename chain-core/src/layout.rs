//! Types with a canonical layout that can be written and read back, and closed lists of names.
//!
//! Leaves of the record log are decoded by auditors years later, so everything in them has a reader beside
//! its writer. See [`crate::canonical`] for the rules of the layout.

use crate::canonical::{CanonicalError, Reader, Writer};
use crate::crypto::{Digest, PublicKey, Signature};
use crate::id::{RecordId, TxId};

/// A value with one canonical byte form.
pub trait Layout: Sized {
    /// Appends the canonical bytes.
    fn write(&self, writer: &mut Writer);

    /// Reads what [`Layout::write`] wrote.
    ///
    /// # Errors
    /// When the bytes follow another layout or exceed a bound.
    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError>;

    /// The canonical bytes alone.
    fn to_canonical(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(512);
        self.write(&mut writer);
        writer.finish()
    }

    /// Decodes bytes that hold this value and nothing else.
    ///
    /// # Errors
    /// When the bytes follow another layout, or bytes are left.
    fn from_canonical(bytes: &[u8]) -> Result<Self, CanonicalError> {
        let mut reader = Reader::new(bytes);
        let value = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(value)
    }
}

macro_rules! layout {
    ($type:ty, |$value:ident, $writer:ident| $write:expr, |$reader:ident| $read:expr) => {
        impl Layout for $type {
            fn write(&self, $writer: &mut Writer) {
                let $value = self;
                $write;
            }

            fn read($reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
                $read
            }
        }
    };
}

layout!(Digest, |value, writer| writer.digest(value), |reader| reader.digest());
layout!(PublicKey, |value, writer| writer.public_key(value), |reader| reader.public_key());
layout!(Signature, |value, writer| writer.signature(value), |reader| reader.signature());
layout!(RecordId, |value, writer| writer.digest(value.digest()), |reader| reader.digest().map(Self::new));
layout!(u32, |value, writer| writer.u32(*value), |reader| reader.u32());
layout!(TxId, |value, writer| writer.digest(value.digest()), |reader| reader.digest().map(Self::new));

/// Writes an optional value after its 0/1 byte.
pub fn write_option<T: Layout>(writer: &mut Writer, value: Option<&T>) {
    writer.option(value, |writer, value| value.write(writer));
}

/// Reads an optional value after its 0/1 byte.
///
/// # Errors
/// When the byte is neither, or the value is malformed.
pub fn read_option<T: Layout>(reader: &mut Reader<'_>) -> Result<Option<T>, CanonicalError> {
    reader.option(T::read)
}

/// Writes a list after its u32 count.
pub fn write_list<T: Layout>(writer: &mut Writer, list: &[T]) {
    writer.count(list.len());
    for value in list {
        value.write(writer);
    }
}

/// Reads a list of at most `limit` values after its u32 count.
///
/// # Errors
/// When the count exceeds the limit or a value is malformed.
pub fn read_list<T: Layout>(reader: &mut Reader<'_>, limit: usize) -> Result<Vec<T>, CanonicalError> {
    let count = reader.count(limit)?;
    (0..count).map(|_| T::read(reader)).collect()
}

/// Defines an enum whose members have a frozen number for canonical bytes and a frozen name for JSON.
macro_rules! closed_list {
    ($(#[$doc:meta])* $name:ident as $number:ident, $what:literal {
        $($(#[$member_doc:meta])* $member:ident = $code:literal, $text:literal;)*
    }) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, serde::Deserialize, serde::Serialize,
        )]
        #[repr($number)]
        pub enum $name {
            $($(#[$member_doc])* #[serde(rename = $text)] $member = $code,)*
        }

        impl $name {
            /// Every member, by number.
            pub const ALL: &'static [Self] = &[$(Self::$member),*];

            /// The number in canonical bytes.
            pub const fn number(self) -> $number {
                self as $number
            }

            /// The member with this number.
            pub const fn from_number(number: $number) -> Option<Self> {
                match number {
                    $($code => Some(Self::$member),)*
                    _ => None,
                }
            }

            /// The name used in JSON, on the command line and in texts.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$member => $text),* }
            }

            /// The member with this name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($text => Some(Self::$member),)*
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::layout::UnknownName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::from_name(text).ok_or_else(|| crate::layout::UnknownName {
                    what: $what,
                    known: Self::ALL.iter().map(|member| member.name()).collect::<Vec<_>>().join(", "),
                })
            }
        }

        impl crate::layout::Layout for $name {
            fn write(&self, writer: &mut crate::canonical::Writer) {
                writer.$number(self.number());
            }

            fn read(
                reader: &mut crate::canonical::Reader<'_>,
            ) -> Result<Self, crate::canonical::CanonicalError> {
                let number = reader.$number()?;
                Self::from_number(number).ok_or_else(|| reader.error(concat!("unknown ", $what)))
            }
        }
    };
}
pub(crate) use closed_list;

/// Text that names no member of a closed list.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("unknown {what}, wants one of: {known}")]
pub struct UnknownName {
    /// What was being read.
    pub what: &'static str,
    /// Every known name.
    pub known: String,
}
