//! `gov.params`: the parameters of the ledger that the council votes. A record names all of them and the day from which they
//! hold; until then, and on a chain without such a record, the ones before hold.
//!
//! Each has bounds. Where a bound keeps a safeguard (a right of a citizen, a duty of an agency), no vote goes beyond it: the
//! council may be stricter than the law and never laxer. What the council itself needs to decide is no parameter; it is
//! fixed by the genesis.

use serde::{Deserialize, Serialize};

use super::governance::{check_optional_text, check_text};
use super::{CODE_BYTES_MAX, NAME_BYTES_MAX};
use crate::canonical::{CanonicalError, Reader, Writer};
use crate::code::{Code, Refusal};
use crate::date::Date;
use crate::layout::Layout;

/// Days that lie at least between the vote and the change-over, so that officers and programs can prepare.
pub const NOTICE_DAYS: u32 = 7;

macro_rules! params {
    ($($(#[$doc:meta])* $name:ident: $min:expr, $default:expr, $max:expr, $why:literal;)*) => {
        /// The values.
        #[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
        #[serde(deny_unknown_fields)]
        pub struct Params {
            $($(#[$doc])* pub $name: u32,)*
        }

        impl Default for Params {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        impl Params {
            /// Name, smallest, default and largest value of each, and what its bounds rest on.
            pub const BOUNDS: &'static [(&'static str, u32, u32, u32, &'static str)] =
                &[$((stringify!($name), $min, $default, $max, $why),)*];

            /// The values in the order of [`Self::BOUNDS`].
            pub fn values(&self) -> [u32; Self::BOUNDS.len()] {
                [$(self.$name),*]
            }

            fn read_from(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
                Ok(Self { $($name: reader.u32()?,)* })
            }
        }
    };
}

params! {
    /// How far ahead of block time a transaction may stay valid, seconds.
    transaction_validity_s: 3_600, 604_800, 604_800, "work without a network, one hour to seven days";
    /// How far ahead of block time a record may say that it was captured or sent, seconds.
    captured_ahead_s: 0, 120, 120, "an act is not dated ahead (Online Litigation Rules arts. 17-18)";
    /// Most bytes of a body that all validators hold.
    body_bytes_max: 8_192, 16_384, 16_384, "room for the grounds and remedies of a penalty (Administrative Penalty Law art. 59)";
    /// Within how many seconds a supervisor approves an alert that took effect at once.
    confirm_alert_within_s: 60, 3_600, 3_600, "an hour at most: the one who warns answers for it (Emergency Response Law art. 64)";
    /// Longest time between the sending of an alert and its end, days.
    alert_days_max: 1, 31, 31, "a warning that is over is withdrawn (Emergency Response Law art. 64)";
    /// Fewest places of a new status list.
    status_list_bits_min: 131_072, 131_072, 16_777_216, "W3C Bitstring Status List 1.0: in a shorter list a reader shows whose certificate he looks at";
    /// Shortest time to live of a version of a status list, seconds.
    status_list_ttl_s_min: 300, 300, 86_400, "in a list renewed at once a change shows whose certificate was ended";
}

impl Params {
    /// Checks every value against its bounds.
    ///
    /// # Errors
    /// `BEYOND_BOUNDS`.
    pub fn check(&self) -> Result<(), Refusal> {
        for ((name, min, _, max, why), got) in Self::BOUNDS.iter().zip(self.values()) {
            if got < *min || got > *max {
                let detail = format!("{name} is {got}, wants {min} to {max}: {why}");
                return Err(Refusal::new(Code::BeyondBounds, detail));
            }
        }
        Ok(())
    }
}

impl Layout for Params {
    fn write(&self, writer: &mut Writer) {
        for value in self.values() {
            writer.u32(value);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Self::read_from(reader)
    }
}

/// Content of `gov.params`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ParamsDetails {
    /// The first day on which the values hold, at least [`NOTICE_DAYS`] after the vote; unique on the chain.
    pub from: Date,
    /// All values.
    pub values: Params,
    /// The resolution, 1 to 256 bytes.
    pub source: String,
    /// Its document number, up to 64 bytes.
    #[serde(default)]
    pub doc_no: String,
}

impl ParamsDetails {
    /// Checks content without state.
    ///
    /// # Errors
    /// The code of the first flaw.
    pub fn check(&self) -> Result<(), Refusal> {
        check_text("source", &self.source, NAME_BYTES_MAX)?;
        check_optional_text("doc_no", &self.doc_no, CODE_BYTES_MAX)?;
        self.values.check()
    }
}

impl Layout for ParamsDetails {
    fn write(&self, writer: &mut Writer) {
        self.from.write(writer);
        self.values.write(writer);
        writer.text(&self.source).text(&self.doc_no);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        Ok(Self {
            from: Date::read(reader)?,
            values: Params::read(reader)?,
            source: reader.text(NAME_BYTES_MAX)?,
            doc_no: reader.text(CODE_BYTES_MAX)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_lie_within_the_bounds_and_both_bounds_hold() {
        assert_eq!(Params::default().check(), Ok(()));
        for (at, (name, min, default, max, _)) in Params::BOUNDS.iter().enumerate() {
            assert!(min <= default && default <= max, "{name}");
            for (value, fits) in [
                (Some(*min), true),
                (Some(*max), true),
                (min.checked_sub(1), false),
                (max.checked_add(1), false),
            ] {
                let Some(value) = value else { continue };
                let mut bytes = Params::default().to_canonical();
                bytes[at * 4..at * 4 + 4].copy_from_slice(&value.to_be_bytes());
                let params = Params::from_canonical(&bytes).unwrap();
                assert_eq!(params.check().is_ok(), fits, "{name} {value}");
            }
        }
    }
}
