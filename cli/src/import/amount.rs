//! Amounts of money, exactly: never through floating point.

use chain_core::code::{Code, Refusal};

/// Decimal places that a unit of the column adds to the two of the yuan.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Unit {
    /// Places: 6 for 万元 (1 万元 = 1,000,000 fen), 2 for 元.
    pub(crate) places: u32,
}

impl Unit {
    /// 万元, ten thousand yuan.
    pub(crate) const WAN_YUAN: Self = Self { places: 6 };
    /// 元.
    pub(crate) const YUAN: Self = Self { places: 2 };
    /// 分.
    pub(crate) const FEN: Self = Self { places: 0 };

    /// The unit a mapping names.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "万元" => Some(Self::WAN_YUAN),
            "元" => Some(Self::YUAN),
            "分" => Some(Self::FEN),
            _ => None,
        }
    }
}

/// Reads a decimal number of units as fen.
///
/// # Errors
/// `NEGATIVE_AMOUNT`, `AMOUNT_BELOW_MINOR_UNIT` when it is finer than one fen, `BAD_NUMBER` for another form
/// or a number too large.
pub(crate) fn fen(field: &str, text: &str, unit: Unit) -> Result<u64, Refusal> {
    let refuse = |code, why: &str| Err(Refusal::new(code, format!("{field}: {} {why}", shown(text))));
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(fraction) || (digits.contains('.') && fraction.is_empty())
    {
        return refuse(Code::BadNumber, "is no decimal number");
    }
    let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    if negative && !(zero(whole) && zero(fraction)) {
        return refuse(Code::NegativeAmount, "is negative");
    }
    let fraction = fraction.trim_end_matches('0');
    let places = unit.places as usize;
    if fraction.len() > places {
        return refuse(Code::AmountBelowMinorUnit, &format!("has more than {places} decimal places"));
    }
    let minor = format!("{whole}{fraction:0<places$}");
    match minor.trim_start_matches('0') {
        "" => Ok(0),
        // Integers of canonical JSON end at 2^53 - 1.
        number => match number.parse::<u64>() {
            Ok(fen) if fen < 1 << 53 => Ok(fen),
            _ => refuse(Code::BadNumber, "is too large"),
        },
    }
}

/// Moves the decimal point to the minor unit without judging the number: `-0.5` of 万元 is `-500000`.
pub(crate) fn shifted(text: &str, unit: Unit) -> String {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let places = unit.places as usize;
    let moved: String = fraction.chars().chain(std::iter::repeat('0')).take(places).collect();
    let rest: String = fraction.chars().skip(places).collect();
    let joined = format!("{whole}{moved}");
    let trimmed = joined.trim_start_matches('0');
    let number = if trimmed.is_empty() { "0" } else { trimmed };
    if rest.is_empty() { format!("{sign}{number}") } else { format!("{sign}{number}.{rest}") }
}

fn shown(text: &str) -> &str {
    if text.len() <= 16 { text } else { "the amount" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousands_of_yuan_become_fen_exactly() {
        for (text, want) in [
            ("0.05", 50_000),
            ("120.5", 120_500_000),
            ("12.345678", 12_345_678),
            ("5.0000", 5_000_000),
            ("0.000001", 1),
            ("1.2345670", 1_234_567),
            ("1", 1_000_000),
            ("0", 0),
            ("-0", 0),
            ("007.1", 7_100_000),
            ("9007199254.740991", (1 << 53) - 1),
        ] {
            assert_eq!(fen("fine", text, Unit::WAN_YUAN), Ok(want), "{text}");
        }
        assert_eq!(fen("fine", "12.3", Unit::YUAN), Ok(1_230));
        assert_eq!(fen("fine", "12", Unit::FEN), Ok(12));
    }

    #[test]
    fn the_point_moves_without_a_verdict() {
        for (text, want) in [("-0.5", "-500000"), ("1.2345678", "1234567.8"), ("x", "x000000"), ("0", "0")] {
            assert_eq!(shifted(text, Unit::WAN_YUAN), want, "{text}");
        }
    }

    #[test]
    fn what_is_finer_negative_or_no_number_is_refused() {
        for (text, code) in [
            ("1.2345678", Code::AmountBelowMinorUnit),
            ("-0.5", Code::NegativeAmount),
            ("-1.2345678", Code::NegativeAmount),
            ("", Code::BadNumber),
            (".", Code::BadNumber),
            ("1.", Code::BadNumber),
            (".5", Code::BadNumber),
            ("1,000", Code::BadNumber),
            ("1e3", Code::BadNumber),
            ("十", Code::BadNumber),
            ("9007199254.740992", Code::BadNumber),
            ("99999999999999999999999999", Code::BadNumber),
        ] {
            assert_eq!(
                fen("fine", text, Unit::WAN_YUAN).map_err(|refusal| refusal.code),
                Err(code),
                "{text}"
            );
        }
    }
}
