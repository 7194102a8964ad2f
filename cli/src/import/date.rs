//! Dates as agencies export them.

use std::fmt;

use chain_core::code::{Code, Refusal};

/// The day that exports write where there is no end.
pub(crate) const NO_END: Day = Day { year: 2099, month: 12, day: 31 };

/// A calendar day, checked to exist.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Day {
    year: u16,
    month: u8,
    day: u8,
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// Reads `2026-01-08`, `2026/1/8`, `20260108` or `2026年1月8日`.
///
/// # Errors
/// `BAD_DATE` for another form or a day that does not exist.
pub(crate) fn parse(field: &str, text: &str) -> Result<Day, Refusal> {
    let wrong = |why: &str| {
        // The cell may hold anything, also a person's number: only short texts without letters are repeated.
        let shown = if text.chars().count() <= 12 { text } else { "a longer text" };
        Refusal::new(Code::BadDate, format!("{field}: {shown} {why}"))
    };
    let (year, month, day) =
        split(text).ok_or_else(|| wrong("is none of 2026-01-08, 2026/1/8, 20260108, 2026年1月8日"))?;
    if !(1900..=2999).contains(&year) || !(1..=12).contains(&month) || day < 1 || day > last(year, month) {
        return Err(wrong("is no day of the calendar"));
    }
    Ok(Day { year, month, day })
}

fn split(text: &str) -> Option<(u16, u8, u8)> {
    let digits = |part: &str, lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let parts: Vec<&str> = if digits(text, 8..=8) {
        vec![&text[..4], &text[4..6], &text[6..]]
    } else if let Some(rest) = text.strip_suffix('日') {
        let (year, rest) = rest.split_once('年')?;
        let (month, day) = rest.split_once('月')?;
        vec![year, month, day]
    } else if text.contains('-') {
        text.split('-').collect()
    } else {
        text.split('/').collect()
    };
    let [year, month, day] = parts[..] else {
        return None;
    };
    if !digits(year, 4..=4) || !digits(month, 1..=2) || !digits(day, 1..=2) {
        return None;
    }
    Some((year.parse().ok()?, month.parse().ok()?, day.parse().ok()?))
}

const fn last(year: u16, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_styles_name_the_same_day() {
        for text in
            ["2026-01-08", "2026-1-8", "2026/1/8", "2026/01/08", "20260108", "2026年1月8日", "2026年01月08日"]
        {
            assert_eq!(
                parse("decided_on", text).map(|day| day.to_string()),
                Ok("2026-01-08".to_owned()),
                "{text}"
            );
        }
        assert_eq!(parse("valid_to", "2099/12/31"), Ok(NO_END));
    }

    #[test]
    fn days_that_do_not_exist_and_other_forms_are_refused() {
        for text in [
            "2026-02-30",
            "20260431",
            "2025年2月29日",
            "2026/13/1",
            "2026/0/1",
            "26-1-8",
            "2026.1.8",
            "",
            "1/8/2026",
        ] {
            assert_eq!(
                parse("decided_on", text).map_err(|refusal| refusal.code),
                Err(Code::BadDate),
                "{text}"
            );
        }
        assert!(parse("decided_on", "2024-02-29").is_ok());
    }

    #[test]
    fn a_long_cell_is_not_repeated_in_the_refusal() {
        let refusal = parse("decided_on", "11010519491231002X").unwrap_err();
        assert!(!refusal.detail.contains("1949"), "{refusal}");
    }
}
