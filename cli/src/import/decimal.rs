//! Decimal numbers, exactly: never through floating point.

use chain_core::code::{Code, Refusal};

/// Most places after the point that a body's decimals have.
const SCALE_MAX: u32 = 9;
/// Largest digits of a body's decimals, either sign.
const DIGITS_MAX: i128 = 1_000_000_000_000_000;

/// `digits` × 10^-`scale`, without zeros at its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Decimal {
    digits: i128,
    scale: u32,
}

impl Decimal {
    /// Reads `-12.50`; the field is named in a refusal.
    ///
    /// # Errors
    /// `BAD_NUMBER` for another form, or more than 18 digits.
    pub(crate) fn parse(field: &str, text: &str) -> Result<Self, Refusal> {
        let wrong =
            || Refusal::new(Code::BadNumber, format!("{field}: {} is no decimal number", shown(text)));
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let ends = unsigned.contains('.') && fraction.is_empty();
        if whole.is_empty() || ends || !plain(whole) || !plain(fraction) || whole.len() + fraction.len() > 18
        {
            return Err(wrong());
        }
        let digits: i128 = format!("{whole}{fraction}").parse().map_err(|_| wrong())?;
        let scale = u32::try_from(fraction.len()).map_err(|_| wrong())?;
        Ok(Self { digits: if negative { -digits } else { digits }, scale }.trimmed())
    }

    /// The product.
    pub(crate) fn times(self, factor: Self) -> Self {
        // Both have 18 digits at most, which 128 bits hold.
        Self { digits: self.digits * factor.digits, scale: self.scale + factor.scale }.trimmed()
    }

    /// Digits and scale as a body's decimal.
    ///
    /// # Errors
    /// `BAD_NUMBER` for what is finer than nine places or has more than fifteen digits.
    pub(crate) fn parts(self, field: &str) -> Result<(i64, u32), Refusal> {
        let digits = i64::try_from(self.digits).ok().filter(|_| self.digits.abs() <= DIGITS_MAX);
        match digits {
            Some(digits) if self.scale <= SCALE_MAX => Ok((digits, self.scale)),
            _ => {
                let detail = format!("{field}: finer than {SCALE_MAX} places, or more than 15 digits");
                Err(Refusal::new(Code::BadNumber, detail))
            }
        }
    }

    /// The number in units of 10^-`places`, rounded to the nearest, halves away from zero.
    pub(crate) fn rounded(self, places: u32) -> i128 {
        if self.scale <= places {
            return self.digits * 10_i128.pow(places - self.scale);
        }
        let unit = 10_i128.pow(self.scale - places);
        let half = if self.digits < 0 { -unit / 2 } else { unit / 2 };
        (self.digits + half) / unit
    }

    fn trimmed(mut self) -> Self {
        while self.scale > 0 && self.digits % 10 == 0 {
            self.digits /= 10;
            self.scale -= 1;
        }
        self
    }
}

/// Whether `first` is less than `second`.
pub(crate) fn less(first: Decimal, second: Decimal) -> bool {
    let places = first.scale.max(second.scale);
    first.rounded(places) < second.rounded(places)
}

/// Whole units of 10^-`places` as a decimal number, exact: `-1187900000` with 7 places is `-118.79`.
pub(crate) fn written(units: i64, places: u32) -> String {
    let sign = if units < 0 { "-" } else { "" };
    let width = places as usize + 1;
    let digits = format!("{:0width$}", units.unsigned_abs());
    let (whole, fraction) = digits.split_at(digits.len() - places as usize);
    match fraction.trim_end_matches('0') {
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    }
}

fn shown(text: &str) -> &str {
    if text.len() <= 24 { text } else { "a longer text" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Decimal {
        Decimal::parse("x", text).unwrap()
    }

    #[test]
    fn square_feet_become_square_metres_exactly() {
        let metres = |text: &str| of(text).times(of("0.09290304")).parts("x").map_err(|refusal| refusal.code);
        assert_eq!(metres("1200"), Ok((111_483_648, 6)));
        assert_eq!(metres("25000"), Ok((2_322_576, 3)));
        assert_eq!(metres("0"), Ok((0, 0)));
        assert_eq!(metres("0.001"), Err(Code::BadNumber), "eleven places");
        assert_eq!(metres("99999999999"), Err(Code::BadNumber), "too many digits");
    }

    #[test]
    fn numbers_are_rounded_to_the_nearest_and_halves_away_from_zero() {
        for (text, places, want) in [
            ("32.133998", 4, 321_340),
            ("32.133998", 7, 321_339_980),
            ("-0.00005", 4, -1),
            ("-0.00004", 4, 0),
            ("0.00005", 4, 1),
            ("7", 0, 7),
        ] {
            assert_eq!(of(text).rounded(places), want, "{text} to {places}");
        }
        assert!(less(of("-1.5"), of("-1.49")) && less(of("2"), of("10")) && !less(of("1.0"), of("1")));
    }

    #[test]
    fn units_are_written_exactly() {
        for (units, places, want) in [
            (1_187_900_000, 7, "118.79"),
            (-1, 7, "-0.0000001"),
            (0, 7, "0"),
            (1_105, 2, "11.05"),
            (100, 2, "1"),
            (7, 0, "7"),
            (i64::MIN, 2, "-92233720368547758.08"),
        ] {
            assert_eq!(written(units, places), want);
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for text in ["", ".", "1.", ".5", "1e3", "1,5", "0x1", "--1", "1234567890123456789", "十"] {
            let refusal = Decimal::parse("x", text).unwrap_err();
            assert_eq!(refusal.code, Code::BadNumber, "{text}");
        }
    }
}
