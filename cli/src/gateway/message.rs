//! What senders write: one reading or several, as JSON.
//!
//! `{"time": "2015-07-10T14:24:00Z", "value": 56.4}`, or an array of such. `time` is RFC 3339 with an offset, or milliseconds since
//! 1970; `value` is a decimal number in the stream's unit, also as a text; `quality` is 0 unless given. Values are read exactly and
//! must be whole in the stream's scale: nothing is rounded.

use chain_core::code::{Code, Refusal};
use chain_core::record::body::parse_instant;
use chain_core::record::device::readings::{READINGS_MAX, Reading, TIME_MS_MAX, VALUE_MAX};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::import::decimal::Decimal;

/// One reading as it was sent.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Message {
    time: Box<RawValue>,
    value: Box<RawValue>,
    #[serde(default)]
    quality: u8,
}

/// The readings of a message, in a stream of this scale. One that is wrong spoils the whole message: its sender writes them alike.
///
/// # Errors
/// `MALFORMED_JSON`, `BAD_DATE`, `BAD_NUMBER` or `SIZE_LIMIT`.
pub(crate) fn parse(text: &[u8], scale: i8) -> Result<Vec<Reading>, Refusal> {
    let malformed = |error: serde_json::Error| {
        Refusal::new(
            Code::MalformedJson,
            format!("{error}; wants {{\"time\": …, \"value\": …}} or an array of such"),
        )
    };
    let several = text.trim_ascii_start().starts_with(b"[");
    let messages: Vec<Message> = match several {
        true => serde_json::from_slice(text).map_err(malformed)?,
        false => vec![serde_json::from_slice(text).map_err(malformed)?],
    };
    readings(&messages, scale)
}

/// The same, of messages that are parsed already.
pub(crate) fn readings(messages: &[Message], scale: i8) -> Result<Vec<Reading>, Refusal> {
    if messages.is_empty() || messages.len() > READINGS_MAX {
        let detail = format!("{} readings, wants 1 to {READINGS_MAX}", messages.len());
        return Err(Refusal::new(Code::SizeLimit, detail));
    }
    messages.iter().map(|message| message.reading(scale)).collect()
}

impl Message {
    fn reading(&self, scale: i8) -> Result<Reading, Refusal> {
        let (time_ms, value) = (time(self.time.get())?, value(self.value.get(), scale)?);
        Ok(Reading { time_ms, value, quality: self.quality })
    }
}

/// A time as senders write it, in quotes or not.
pub(crate) fn time(text: &str) -> Result<u64, Refusal> {
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let found = parse_instant(inner).or_else(|| text.parse().ok());
    found.filter(|time_ms| *time_ms <= TIME_MS_MAX).ok_or_else(|| {
        let shown = chain_core::text::shown(text);
        let detail = format!("time is {shown}, wants RFC 3339 with an offset, or milliseconds since 1970");
        Refusal::new(Code::BadDate, detail)
    })
}

/// A decimal number in units of 10^scale, exactly.
pub(crate) fn value(text: &str, scale: i8) -> Result<i64, Refusal> {
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let (digits, places) = Decimal::parse("value", inner)?.parts("value")?;
    let wrong = |why: &str| {
        let detail = format!("value is {}, {why}", chain_core::text::shown(inner));
        Err(Refusal::new(Code::BadNumber, detail))
    };
    let shift = -i64::from(places) - i64::from(scale);
    let Some(power) = 10_i64.checked_pow(u32::try_from(shift.unsigned_abs()).unwrap_or(u32::MAX)) else {
        return wrong("far from the stream's scale");
    };
    let scaled =
        if shift >= 0 { digits.checked_mul(power) } else { (digits % power == 0).then(|| digits / power) };
    match scaled {
        Some(scaled) if scaled.unsigned_abs() <= VALUE_MAX.unsigned_abs() => Ok(scaled),
        Some(_) => wrong("out of range"),
        None => wrong(&format!("which is not whole in units of 10^{scale}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_exactly() {
        for (text, scale, want) in [
            ("56.4", -1, Some(564)),
            ("\"56.40\"", -1, Some(564)),
            ("-0.07", -2, Some(-7)),
            ("5", -2, Some(500)),
            ("500", 2, Some(5)),
            ("0.1", 0, None),
            ("55", 1, None),
            ("1e3", 0, None),
            ("null", 0, None),
            ("1099511627776", 0, Some(VALUE_MAX)),
            ("1099511627777", 0, None),
            ("999999999999999", -12, None),
        ] {
            assert_eq!(value(text, scale).ok(), want, "{text} at {scale}");
        }
    }

    #[test]
    fn messages_are_one_reading_or_several() {
        let one = br#"{"time": "2015-07-10T14:24:00Z", "value": 56.4}"#;
        let reading = Reading { time_ms: 1_436_538_240_000, value: 564, quality: 0 };
        assert_eq!(parse(one, -1).unwrap(), [reading]);
        let two = br#" [{"time": 1436538240000, "value": 56.4}, {"time": 1436538240001, "value": "1", "quality": 3}]"#;
        let second = Reading { time_ms: 1_436_538_240_001, value: 10, quality: 3 };
        assert_eq!(parse(two, -1).unwrap(), [reading, second]);
        for (text, code) in [
            (&b""[..], Code::MalformedJson),
            (b"[]", Code::SizeLimit),
            (b"{\"time\": 1}", Code::MalformedJson),
            (b"{\"time\": 1, \"value\": 1, \"colour\": 1}", Code::MalformedJson),
            (b"{\"time\": -1, \"value\": 1}", Code::BadDate),
            (b"{\"time\": \"2015-07-10T14:24:00\", \"value\": 1}", Code::BadDate),
            (b"{\"time\": 9007199254740992, \"value\": 1}", Code::BadDate),
            (b"{\"time\": 1, \"value\": true}", Code::BadNumber),
            (b"\xff\xfe", Code::MalformedJson),
        ] {
            assert_eq!(parse(text, 0).unwrap_err().code, code, "{}", String::from_utf8_lossy(text));
        }
    }
}
