//! Times as people and other formats write them.

use jiff::tz::Offset;

/// A time in RFC 3339 with an offset, to the second: `2026-11-23T09:00:00+08:00`.
pub(crate) fn rfc3339(ms: u64, offset_minutes: i16) -> String {
    let seconds = i64::try_from(ms / 1_000).unwrap_or(i64::MAX);
    let offset = Offset::from_seconds(i32::from(offset_minutes) * 60).unwrap_or(Offset::UTC);
    let time = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
    let (hours, minutes) = (offset_minutes.unsigned_abs() / 60, offset_minutes.unsigned_abs() % 60);
    let sign = if offset_minutes < 0 { '-' } else { '+' };
    format!("{}{sign}{hours:02}:{minutes:02}", offset.to_datetime(time).strftime("%Y-%m-%dT%H:%M:%S"))
}

/// A time in RFC 3339 in UTC; the number of milliseconds where there is no such time.
pub(crate) fn utc(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| ms.to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_the_offset_asked_for() {
        for (ms, offset, want) in [
            (1_795_399_200_999, 480, "2026-11-23T10:00:00+08:00"),
            (1_795_399_200_000, 0, "2026-11-23T02:00:00+00:00"),
            (1_795_399_200_000, -330, "2026-11-22T20:30:00-05:30"),
        ] {
            assert_eq!(rfc3339(ms, offset), want);
        }
        assert_eq!(utc(1_795_392_000_123), "2026-11-23T00:00:00.123Z");
    }
}
