//! Dates and instants of the genesis text, reckoned in the proleptic Gregorian calendar.

/// Days since 1970-01-01 of `YYYY-MM-DD`; `None` when the calendar has no such day.
pub(super) fn parse_date(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let (year, month, day) = (number(&bytes[..4])?, number(&bytes[5..7])?, number(&bytes[8..])?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if !(1900..=9999).contains(&year) || !(1..=days_in_month).contains(&day) {
        return None;
    }
    // Years begin in March here, so that a leap day is the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let before_year = 365 * year + year / 4 - year / 100 + year / 400;
    let before_month = (153 * month + 2) / 5;
    Some(before_year + before_month + day - 1 - 719_468)
}

/// Milliseconds since 1970 of `YYYY-MM-DDThh:mm:ssZ`; `None` for anything else or before 1970.
pub(super) fn parse_instant(text: &str) -> Option<u64> {
    let (date, rest) = text.split_at_checked(10)?;
    let bytes = rest.as_bytes();
    if bytes.len() != 10 || bytes[0] != b'T' || bytes[3] != b':' || bytes[6] != b':' || bytes[9] != b'Z' {
        return None;
    }
    let (hour, minute, second) = (number(&bytes[1..3])?, number(&bytes[4..6])?, number(&bytes[7..9])?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = parse_date(date)? * 86_400 + hour * 3_600 + minute * 60 + second;
    u64::try_from(seconds).ok()?.checked_mul(1_000)
}

fn number(digits: &[u8]) -> Option<i64> {
    digits
        .iter()
        .try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_count_from_1970_and_must_exist() {
        for (text, days) in [
            ("1970-01-01", Some(0)),
            ("2000-02-29", Some(11_016)),
            ("2026-11-23", Some(20_780)),
            ("1969-12-31", Some(-1)),
            ("1900-02-29", None),
            ("2026-02-30", None),
            ("2026-13-01", None),
            ("2026-1-01", None),
            ("２026-01-01", None),
        ] {
            assert_eq!(parse_date(text), days, "{text}");
        }
    }

    #[test]
    fn instants_are_utc_to_the_second() {
        assert_eq!(parse_instant("1970-01-02T00:00:01Z"), Some(86_401_000));
        assert_eq!(parse_instant("2026-11-23T00:00:00Z"), Some(20_780 * 86_400_000));
        for bad in
            ["2026-11-23T00:00:00+08:00", "2026-11-23 00:00:00Z", "2026-11-23T24:00:00Z", "2026-11-23", ""]
        {
            assert_eq!(parse_instant(bad), None, "{bad}");
        }
    }
}
