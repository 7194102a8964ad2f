//! Identifiers of organisations, and recognition of the one identifier that may never be stored.
//!
//! * Unified social credit code, GB 32100-2015: 18 characters, the last one checks the others modulo 31.
//! * Legal entity identifier, ISO 17442: 20 characters, MOD 97-10.
//! * Resident identity number, GB 11643-1999: recognised only to be refused. The number space is small
//!   enough to try out, so not even a hash of one may be recorded, and no error repeats it.

use crate::code::Code;

/// Characters of a unified social credit code in the order of their values; no I, O, S, V, Z.
const USCC_ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
const NOT_IN_ALPHABET: u8 = u8::MAX;
/// The value of each byte in [`USCC_ALPHABET`].
const USCC_VALUES: [u8; 256] = {
    let mut values = [NOT_IN_ALPHABET; 256];
    let mut at: u8 = 0;
    while at < 31 {
        values[USCC_ALPHABET[at as usize] as usize] = at;
        at += 1;
    }
    values
};
/// `3^(i-1) mod 31`.
const USCC_WEIGHTS: [u32; 17] = [1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28];
/// Weights of GB 11643.
const RESIDENT_WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
/// Check characters of GB 11643 by remainder (ISO 7064 MOD 11-2).
const RESIDENT_CHECKS: &[u8; 11] = b"10X98765432";

/// Judges a unified social credit code as written, in the order: resident number, white space, case,
/// alphabet, length, check character. Old division codes and all registering departments (`A`, `N`, `Y`
/// included) are accepted: the check character says nothing about today's lists.
///
/// # Errors
/// The code of the first flaw.
pub fn check_uscc(text: &str) -> Result<(), Code> {
    if contains_resident_number(text) {
        return Err(Code::NaturalPersonId);
    }
    if text.chars().any(char::is_whitespace) {
        return Err(Code::UsccWhitespace);
    }
    if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Err(Code::UsccCase);
    }
    let mut values = text.bytes().map(|byte| USCC_VALUES[usize::from(byte)]);
    if values.clone().any(|value| value == NOT_IN_ALPHABET) {
        return Err(Code::UsccCharset);
    }
    if text.len() != 18 {
        return Err(Code::UsccLength);
    }
    let sum: u32 = values.by_ref().zip(USCC_WEIGHTS).map(|(value, weight)| u32::from(value) * weight).sum();
    let check = text.bytes().last().map_or(0, |byte| u32::from(USCC_VALUES[usize::from(byte)]));
    if check == (31 - sum % 31) % 31 { Ok(()) } else { Err(Code::UsccCheckChar) }
}

/// Whether a valid unified social credit code belongs to an individual business (prefix 92), which names a
/// person in practice and is treated as personal data.
pub fn uscc_is_individual_business(code: &str) -> bool {
    code.starts_with("92")
}

/// Judges a legal entity identifier as written.
///
/// # Errors
/// The code of the first flaw: resident number, case, alphabet, length, check digits.
pub fn check_lei(text: &str) -> Result<(), Code> {
    if contains_resident_number(text) {
        return Err(Code::NaturalPersonId);
    }
    if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Err(Code::LeiCase);
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase()) {
        return Err(Code::LeiCharset);
    }
    if text.len() != 20 {
        return Err(Code::LeiLength);
    }
    let checks = &text.as_bytes()[18..];
    if !checks.iter().all(u8::is_ascii_digit) {
        return Err(Code::LeiCharset);
    }
    // Letters count as 10 to 35; the whole number leaves 1 modulo 97. Check digits 00, 01 and 99 never occur.
    let remainder = text.bytes().fold(0_u32, |remainder, byte| {
        let value = if byte.is_ascii_digit() { byte - b'0' } else { byte - b'A' + 10 };
        let shifted = if value < 10 { remainder * 10 } else { remainder * 100 };
        (shifted + u32::from(value)) % 97
    });
    if remainder == 1 && !matches!(checks, b"00" | b"01" | b"99") { Ok(()) } else { Err(Code::LeiCheck) }
}

/// What the algorithm of GB 11643 says about a number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ResidentCheck {
    /// 18 characters with the right check character; region and date are not looked at.
    Valid,
    /// 18 characters, the last one wrong.
    WrongCheck,
    /// Not 17 digits and a digit or capital X.
    NotEighteen,
}

/// Applies the check of GB 11643-1999 to a number as written. A lower-case `x` is a wrong check character:
/// importers write it in capitals first.
pub fn check_resident_number(text: &str) -> ResidentCheck {
    let Some((&check, digits)) = text.as_bytes().split_last().filter(|_| text.len() == 18) else {
        return ResidentCheck::NotEighteen;
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return ResidentCheck::NotEighteen;
    }
    let sum: u32 =
        digits.iter().zip(RESIDENT_WEIGHTS).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    if RESIDENT_CHECKS[(sum % 11) as usize] == check {
        ResidentCheck::Valid
    } else {
        ResidentCheck::WrongCheck
    }
}

/// Whether a text holds a resident identity number anywhere: 18 characters with the right check and a date of
/// birth that exists, from 1800 to 2099. Full-width digits, either case of X and single separators (space,
/// hyphen, dot) between groups do not hide one.
pub fn contains_resident_number(text: &str) -> bool {
    let digit_like = |c: char| c.is_ascii_digit() || ('０'..='９').contains(&c);
    if text.len() < 18 || text.chars().filter(|&c| digit_like(c)).count() < 17 {
        return false;
    }
    // Runs of digits with at most a final X, one after the other in `digits`; a run knows where it ends and whether
    // one separator joins it to the run before.
    let mut digits = String::with_capacity(text.len());
    let mut runs: Vec<(bool, usize)> = Vec::new();
    let (mut open, mut gap) = (false, 2_u8);
    for c in text.chars() {
        let digit = match c {
            '0'..='9' => Some(c),
            '０'..='９' => char::from_u32(u32::from(c) - u32::from('０') + u32::from('0')),
            _ => None,
        };
        let is_x = matches!(c, 'X' | 'x' | 'Ｘ' | 'ｘ');
        let joined = gap == 1;
        let (kept, starts) = match digit {
            Some(digit) => {
                let starts = !open;
                (open, gap) = (true, 0);
                (digit, starts)
            }
            None if open && is_x => {
                (open, gap) = (false, 0);
                ('X', false)
            }
            // An X alone after a separator may be the last character of a spaced number.
            None if is_x && joined => {
                gap = 0;
                ('X', true)
            }
            None => {
                let separator = matches!(c, ' ' | '-' | '.' | '\u{a0}' | '\u{3000}' | '－' | '–' | '·');
                gap = if separator && (open || gap == 0) { 1 } else { 2 };
                open = false;
                continue;
            }
        };
        digits.push(kept);
        match runs.last_mut() {
            Some((_, end)) if !starts => *end = digits.len(),
            _ => runs.push((joined, digits.len())),
        }
    }
    (0..runs.len()).any(|first| {
        let start = first.checked_sub(1).map_or(0, |before| runs[before].1);
        let chain = runs[first..].iter().enumerate().take_while(|(at, (joined, _))| *at == 0 || *joined);
        let ends = chain.map(|(_, (_, end))| *end).take_while(|end| *end <= start + 18);
        ends.last() == Some(start + 18) && is_plausible_resident_number(&digits[start..start + 18])
    })
}

fn is_plausible_resident_number(number: &str) -> bool {
    let born = || {
        let part = |from, to| number.get(from..to).and_then(|text: &str| text.parse::<u32>().ok());
        let (year, month, day) = (part(6, 10)?, part(10, 12)?, part(12, 14)?);
        crate::date::Date::from_ymd(year, month, day).filter(|_| (1800..2100).contains(&year))
    };
    check_resident_number(number) == ResidentCheck::Valid && born().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked example of GB 11643-1999.
    const EXAMPLE: &str = "11010519491231002X";

    #[test]
    fn codes_of_every_registering_department_are_accepted() {
        for code in ["914403001922038216", "11500226753092798P", "121200004013590816", "91100000100003962T"] {
            assert_eq!(check_uscc(code), Ok(()), "{code}");
        }
        // Every first character of the standard, with the check character computed.
        for department in "123456789ANY".chars() {
            let stem = format!("{department}1320100MAX00000A");
            assert_eq!(stem.len(), 17);
            let valid = USCC_ALPHABET
                .iter()
                .filter(|&&check| check_uscc(&format!("{stem}{}", char::from(check))).is_ok())
                .count();
            assert_eq!(valid, 1, "{department}");
        }
    }

    #[test]
    fn every_single_error_and_swap_of_neighbours_is_caught() {
        let good = b"91440300100012316L";
        for at in 0..18 {
            for &other in USCC_ALPHABET.iter().filter(|&&other| other != good[at]) {
                let mut bad = *good;
                bad[at] = other;
                assert!(check_uscc(std::str::from_utf8(&bad).unwrap()).is_err(), "{at}");
            }
            if at < 17 && good[at] != good[at + 1] {
                let mut bad = *good;
                bad.swap(at, at + 1);
                assert!(check_uscc(std::str::from_utf8(&bad).unwrap()).is_err(), "swap at {at}");
            }
        }
    }

    #[test]
    fn flaws_of_a_code_are_named_in_a_fixed_order() {
        for (code, want) in [
            (EXAMPLE, Code::NaturalPersonId),
            (" 914403001922038216", Code::UsccWhitespace),
            ("9144030071526726xg", Code::UsccCase),
            ("91350100M000100Y4Z", Code::UsccCharset),
            ("9144030019220382１6", Code::UsccCharset),
            ("91440300192203821б", Code::UsccCharset),
            ("440301103097413", Code::UsccLength),
            ("9144030019220382160", Code::UsccLength),
            ("", Code::UsccLength),
            ("914403001922038217", Code::UsccCheckChar),
        ] {
            assert_eq!(check_uscc(code), Err(want), "{code}");
        }
    }

    #[test]
    fn legal_entity_identifiers_are_checked_modulo_97() {
        assert_eq!(check_lei("2138001CY61HDFJ5ZA27"), Ok(()));
        for (lei, want) in [
            ("2138011CY61HDFJ5ZA27", Code::LeiCheck),
            ("0YPKKE5F0QW6RC51HE0", Code::LeiLength),
            ("0ypkke5f0qw6rc51he09", Code::LeiCase),
            ("0YPKKE5F0QW6RC51HE0O", Code::LeiCharset),
            ("0YPKKE5F0QW6RC51HE00", Code::LeiCheck),
            ("0YPKKE5F0QW6RC51-E09", Code::LeiCharset),
        ] {
            assert_eq!(check_lei(lei), Err(want), "{lei}");
        }
    }

    #[test]
    fn resident_numbers_are_found_in_any_text() {
        for text in [
            EXAMPLE,
            "身份证号：11010519491231002X，住址不详",
            "id=11010519491231002x;",
            "１１０１０５１９４９１２３１００２Ｘ",
            "110105 19491231 002X",
            "110105-19491231-002X",
            "2026 11010519491231002X",
            "No11010519491231002X.",
            "11010519491231002 X",
            "440524188001010014",
            "999999180101015797",
        ] {
            assert!(contains_resident_number(text), "{text}");
        }
        for text in [
            "11010519491231002",
            "110105194912310029",
            "99999918991332000X",
            "000000190002301238",
            "1110105194912310021",
            "914403001922038216",
            "示许〔2026〕1000号 2026-01-08 2027-01-08 JY132019900000",
            "",
        ] {
            assert!(!contains_resident_number(text), "{text}");
        }
    }
}
