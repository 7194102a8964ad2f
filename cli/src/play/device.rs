//! What a measuring station of a scenario has: keys made from its name, one stream, and readings.

use chain_core::code::{Code, Refusal};
use chain_core::crypto::SecretKey;
use chain_core::date::Date;
use chain_core::id::ChainId;
use chain_core::org::OrgId;
use chain_core::record::body::parse_instant;
use chain_core::record::device::readings::{GOOD, READINGS_MAX, Reading};
use chain_core::record::device::{Stream, Terms};
use chain_core::record::governance::Possession;
use serde_json::{Value, json};

use super::cast;
use super::form::Args;

/// Seconds between the readings of a station.
const PERIOD_S: u32 = 300;
/// The stream of a device that names none.
const STREAM: &str = "s1";

/// The key of a device, by its number from 1.
pub(crate) fn secret(device: &str, number: u32) -> SecretKey {
    cast::secret(&format!("{device} key {number}"))
}

/// The one stream of a device: a reading every five minutes; its name, promise and limits are what arguments say.
///
/// # Errors
/// `BAD_PARAMETER` and `BAD_NUMBER`.
pub(crate) fn stream(args: &mut Args) -> Result<Stream, Refusal> {
    Ok(Stream {
        id: args.text("stream")?.or(args.text("stream_id")?).unwrap_or_else(|| STREAM.to_owned()),
        property: "sample".to_owned(),
        terms: Terms { unit: "GQ".to_owned(), scale: -1, period_s: PERIOD_S, tolerance_pct: 50 },
        min: limit(args, "min")?,
        max: limit(args, "max")?,
        batch_within_s: seconds(args, "batch_within_s")?.unwrap_or(4 * 60 * 60),
        stuck_after_s: seconds(args, "stuck_after_s")?,
    })
}

fn limit(args: &mut Args, name: &str) -> Result<Option<i64>, Refusal> {
    let Some(value) = args.value(name) else { return Ok(None) };
    value.as_i64().map(Some).ok_or_else(|| bad_number(name, &value))
}

fn seconds(args: &mut Args, name: &str) -> Result<Option<u32>, Refusal> {
    let wide = |value: u64| u32::try_from(value).map_err(|_| bad_number(name, &json!(value)));
    args.number(name)?.map(wide).transpose()
}

fn bad_number(name: &str, got: &Value) -> Refusal {
    Refusal::new(Code::BadNumber, format!("args.{name} is {got}, wants a whole number in range"))
}

/// The body of a device's registration.
///
/// # Errors
/// As [`stream`].
pub(crate) fn registration_body(
    chain_id: ChainId,
    agency: &OrgId,
    label: &str,
    args: &mut Args,
    day: Date,
) -> Result<Value, Refusal> {
    let device = args.text("device")?.unwrap_or_else(|| label.to_owned());
    let (key, stream) = (secret(&device, 1), stream(args)?);
    let mut declared = json!({
        "id": stream.id, "property": stream.property, "unit": stream.terms.unit, "scale": stream.terms.scale,
        "period_s": stream.terms.period_s, "tolerance_pct": stream.terms.tolerance_pct,
        "min": stream.min, "max": stream.max,
        "batch_within_s": stream.batch_within_s, "stuck_after_s": stream.stuck_after_s,
    });
    if let Value::Object(members) = &mut declared {
        members.retain(|_, value| !value.is_null());
    }
    Ok(json!({
        "device_id": device, "model": "示例", "owner": agency.to_string(),
        "key": key.public().to_string(), "possession": Possession::prove(chain_id, &key).to_string(),
        "streams": [declared],
        "place": { "longitude_e7": 1_187_969_000, "latitude_e7": 320_603_000, "datum": "WGS84" },
        "installed": day.to_string(), "personal_data": false,
        "purpose": [{ "lang": "zh-Hans", "text": "示例监测" }],
    }))
}

/// Readings from `first` to `last`, else of the fifty-five minutes before block time; `values` come round again.
///
/// # Errors
/// `BAD_DATE` and `BAD_NUMBER`.
pub(crate) fn readings(args: &mut Args, now_ms: u64) -> Result<Vec<Reading>, Refusal> {
    let last = instant(args, "last")?.unwrap_or_else(|| now_ms.saturating_sub(u64::from(PERIOD_S) * 1_000));
    let first = instant(args, "first")?.unwrap_or_else(|| last.saturating_sub(u64::from(PERIOD_S) * 11_000));
    let values = match args.value("values") {
        None => vec![350, 351, 349],
        Some(given) => given
            .as_array()
            .filter(|values| !values.is_empty())
            .and_then(|values| values.iter().map(Value::as_i64).collect::<Option<Vec<i64>>>())
            .ok_or_else(|| bad_number("values", &given))?,
    };
    let step = usize::try_from(PERIOD_S).unwrap_or(usize::MAX).saturating_mul(1_000);
    let mut times: Vec<u64> = (first..last).step_by(step).take(READINGS_MAX - 1).collect();
    times.push(last);
    let reading = |(time_ms, &value)| Reading { time_ms, value, quality: GOOD };
    Ok(times.into_iter().zip(values.iter().cycle()).map(reading).collect())
}

/// An instant that an argument says.
///
/// # Errors
/// `BAD_DATE`, and `BAD_PARAMETER` for what is no text.
pub(crate) fn instant(args: &mut Args, name: &str) -> Result<Option<u64>, Refusal> {
    let Some(text) = args.text(name)? else { return Ok(None) };
    parse_instant(&text).map(Some).ok_or_else(|| {
        let detail = format!("args.{name} is {text:?}, wants an RFC 3339 time with offset");
        Refusal::new(Code::BadDate, detail)
    })
}
