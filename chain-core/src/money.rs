//! Amounts of money as whole minor units of an ISO 4217 currency. There are no floats and no rounding.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::canonical::{CanonicalError, Reader, Writer};
use crate::layout::Layout;

/// An ISO 4217 currency, three capital letters.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Currency([u8; 3]);

/// Currencies without a minor unit (ISO 4217, exponent 0).
const EXPONENT_0: &[&[u8; 3]] = &[
    b"BIF", b"CLP", b"DJF", b"GNF", b"ISK", b"JPY", b"KMF", b"KRW", b"PYG", b"RWF", b"UGX", b"VND", b"VUV",
    b"XAF", b"XOF", b"XPF",
];
/// Currencies with thousandths (ISO 4217, exponent 3).
const EXPONENT_3: &[&[u8; 3]] = &[b"BHD", b"IQD", b"JOD", b"KWD", b"LYD", b"OMR", b"TND"];

impl Currency {
    /// The renminbi.
    pub const CNY: Self = Self(*b"CNY");

    /// The code as text.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("???")
    }

    /// How many decimals the minor unit has: 2 for most, e.g. fen to the yuan.
    pub fn exponent(&self) -> u32 {
        if EXPONENT_0.contains(&&self.0) {
            0
        } else if EXPONENT_3.contains(&&self.0) {
            3
        } else {
            2
        }
    }
}

/// Text that is no currency code.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a currency is three capital letters (ISO 4217)")]
pub struct CurrencyError;

impl FromStr for Currency {
    type Err = CurrencyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = <[u8; 3]>::try_from(text.as_bytes()).map_err(|_| CurrencyError)?;
        if bytes.iter().all(u8::is_ascii_uppercase) { Ok(Self(bytes)) } else { Err(CurrencyError) }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// An amount: whole minor units, e.g. fen.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// The currency.
    pub currency: Currency,
    /// Minor units; within ±(2^53−1) so that every JSON reader keeps them exact.
    pub minor: i64,
}

/// Why a decimal text is no exact amount.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AmountError {
    /// Not an optional sign, digits, and an optional point with digits.
    #[error("not a decimal number")]
    Form,
    /// Digits below the minor unit that are not zero.
    #[error("finer than the minor unit")]
    BelowMinorUnit,
    /// More than 2^53−1 minor units.
    #[error("more than 9007199254740991 minor units")]
    TooLarge,
}

/// Largest number of minor units, either sign: what JSON carries exactly.
pub const MINOR_MAX: i64 = (1 << 53) - 1;

impl Money {
    /// Reads a decimal amount given in units of `10^scale` of the currency's main unit, exactly: scale 0 for
    /// yuan, 4 for 万元 (ten thousand yuan).
    ///
    /// # Errors
    /// When the text is no plain decimal, is finer than the minor unit, or too large.
    pub fn parse(text: &str, currency: Currency, scale: u32) -> Result<Self, AmountError> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty()
            || !plain(whole)
            || !plain(fraction)
            || (digits.contains('.') && fraction.is_empty())
        {
            return Err(AmountError::Form);
        }
        let places = (currency.exponent() + scale) as usize;
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > places {
            return Err(AmountError::BelowMinorUnit);
        }
        let padding = places - fraction.len();
        let digits = whole.bytes().chain(fraction.bytes()).chain(std::iter::repeat_n(b'0', padding));
        let minor = digits
            .map(|digit| i64::from(digit - b'0'))
            .try_fold(0_i64, |sum, digit| sum.checked_mul(10)?.checked_add(digit))
            .filter(|&minor| minor <= MINOR_MAX)
            .ok_or(AmountError::TooLarge)?;
        Ok(Self { currency, minor: if negative { -minor } else { minor } })
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exponent = self.currency.exponent();
        let unit = 10_u64.pow(exponent);
        let (sign, amount) = (if self.minor < 0 { "-" } else { "" }, self.minor.unsigned_abs());
        write!(f, "{} {sign}{}", self.currency, amount / unit)?;
        if exponent > 0 {
            write!(f, ".{:0width$}", amount % unit, width = exponent as usize)?;
        }
        Ok(())
    }
}

impl Layout for Money {
    fn write(&self, writer: &mut Writer) {
        writer.raw(&self.currency.0).raw(&self.minor.to_be_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CanonicalError> {
        let code = std::str::from_utf8(reader.raw(3)?).ok().and_then(|code| code.parse().ok());
        let currency = code.ok_or_else(|| reader.error("not a currency"))?;
        let minor = reader.u64()?;
        Ok(Self { currency, minor: i64::from_be_bytes(minor.to_be_bytes()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_texts_are_read_exactly_or_refused() {
        for (text, scale, want) in [
            ("12.345678", 4, Ok(12_345_678)),
            ("1.2345678", 4, Err(AmountError::BelowMinorUnit)),
            ("0.05", 4, Ok(50_000)),
            ("120.5", 4, Ok(120_500_000)),
            ("5.0000", 4, Ok(5_000_000)),
            ("-0.5", 4, Ok(-500_000)),
            ("1.50000000", 0, Ok(150)),
            ("1.005", 0, Err(AmountError::BelowMinorUnit)),
            ("", 0, Err(AmountError::Form)),
            (".5", 0, Err(AmountError::Form)),
            ("1.", 0, Err(AmountError::Form)),
            ("1e3", 0, Err(AmountError::Form)),
            ("１.5", 0, Err(AmountError::Form)),
            ("90071992547409.91", 0, Ok(MINOR_MAX)),
            ("90071992547409.92", 0, Err(AmountError::TooLarge)),
            ("99999999999999999999999", 0, Err(AmountError::TooLarge)),
        ] {
            let got = Money::parse(text, Currency::CNY, scale).map(|money| money.minor);
            assert_eq!(got, want, "{text} at scale {scale}");
        }
        assert_eq!(Money::parse("1.5", "JPY".parse().unwrap(), 0), Err(AmountError::BelowMinorUnit));
    }

    #[test]
    fn amounts_are_shown_with_their_decimals() {
        let show = |code: &str, minor| Money { currency: code.parse().unwrap(), minor }.to_string();
        assert_eq!(show("CNY", 1_205), "CNY 12.05");
        assert_eq!(show("CNY", -5), "CNY -0.05");
        assert_eq!(show("JPY", 12), "JPY 12");
        assert_eq!(show("KWD", 1), "KWD 0.001");
        assert_eq!(show("CNY", i64::MIN), "CNY -92233720368547758.08");
        assert!("cny".parse::<Currency>().is_err() && "CNYX".parse::<Currency>().is_err());
    }
}
