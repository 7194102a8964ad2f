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
use serde_json::{Map, Value, json};

use super::cast;

/// Seconds between the readings of a station.
const PERIOD_S: u32 = 300;

/// The key of a device, by its number from 1.
pub(crate) fn secret(device: &str, number: u32) -> SecretKey {
    cast::secret(&format!("{device} key {number}"))
}

/// The one stream of a device: a reading every five minutes; its promise and limits are what arguments say.
pub(crate) fn stream(args: &Map<String, Value>) -> Stream {
    let number = |name: &str| args.get(name).and_then(Value::as_i64);
    let seconds = |name: &str| number(name).and_then(|value| u32::try_from(value).ok());
    Stream {
        id: "s1".to_owned(),
        property: "sample".to_owned(),
        terms: Terms { unit: "GQ".to_owned(), scale: -1, period_s: PERIOD_S, tolerance_pct: 50 },
        min: number("min"),
        max: number("max"),
        batch_within_s: seconds("batch_within_s").unwrap_or(4 * 60 * 60),
        stuck_after_s: seconds("stuck_after_s"),
    }
}

/// The body of a device's registration.
pub(crate) fn registration_body(
    chain_id: ChainId,
    agency: &OrgId,
    device: &str,
    args: &Map<String, Value>,
    day: Date,
) -> Value {
    let (key, stream) = (secret(device, 1), stream(args));
    let mut declared = json!({
        "id": stream.id, "property": stream.property, "unit": stream.terms.unit, "scale": stream.terms.scale,
        "period_s": stream.terms.period_s, "tolerance_pct": stream.terms.tolerance_pct,
        "min": stream.min, "max": stream.max,
        "batch_within_s": stream.batch_within_s, "stuck_after_s": stream.stuck_after_s,
    });
    if let Value::Object(members) = &mut declared {
        members.retain(|_, value| !value.is_null());
    }
    json!({
        "device_id": device, "model": "示例", "owner": agency.to_string(),
        "key": key.public().to_string(), "possession": Possession::prove(chain_id, &key).to_string(),
        "streams": [declared],
        "place": { "longitude_e7": 1_187_969_000, "latitude_e7": 320_603_000, "datum": "WGS84" },
        "installed": day.to_string(),
        "verified_until": args.get("verified_until"),
        "personal_data": args.get("personal_data").and_then(Value::as_bool).unwrap_or(false),
        "purpose": [{ "lang": "zh-Hans", "text": "示例监测" }],
    })
}

/// Readings from `first` to `last`, else of the fifty-five minutes before block time; `values` come round again.
pub(crate) fn readings(args: &Map<String, Value>, now_ms: u64) -> Result<Vec<Reading>, Refusal> {
    let instant = |name: &str| match args.get(name).and_then(Value::as_str) {
        None => Ok(None),
        Some(text) => parse_instant(text).map(Some).ok_or_else(|| {
            let detail = format!("{name} is {text:?}, wants an RFC 3339 time with offset");
            Refusal::new(Code::BadDate, detail)
        }),
    };
    let last = instant("last")?.unwrap_or_else(|| now_ms.saturating_sub(u64::from(PERIOD_S) * 1_000));
    let first = instant("first")?.unwrap_or_else(|| last.saturating_sub(u64::from(PERIOD_S) * 11_000));
    let values: Vec<i64> = match args.get("values") {
        Some(Value::Array(values)) if !values.is_empty() => values.iter().filter_map(Value::as_i64).collect(),
        _ => vec![350, 351, 349],
    };
    let step = usize::try_from(PERIOD_S).unwrap_or(usize::MAX).saturating_mul(1_000);
    let mut times: Vec<u64> = (first..last).step_by(step).take(READINGS_MAX - 1).collect();
    times.push(last);
    let reading = |(time_ms, &value)| Reading { time_ms, value, quality: GOOD };
    Ok(times.into_iter().zip(values.iter().cycle()).map(reading).collect())
}
