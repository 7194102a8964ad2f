//! What judging a record costs, beside verifying the signature under it.

use std::path::Path;
use std::time::{Duration, Instant};

use chain_core::build::{self, Filing};
use chain_core::crypto::{Digest, SecretKey};
use chain_core::date::Date;
use chain_core::genesis::Draft;
use chain_core::id::ChainId;
use chain_core::json::canonicalise;
use chain_core::record::registered::RegisteredType;
use chain_core::record::{BasisRef, Class, RecordType, SubjectKind};
use chain_core::rules;
use serde_json::{Value, json};

use super::BenchResult;
use super::limits::verify_rate;
use super::output::Row;
use crate::acts;

/// How long each kind of record is judged.
const SPAN: Duration = Duration::from_millis(500);
/// Records judged between two looks at the clock.
const PART: u32 = 64;

/// Judges records of core types by all rules that need no state, and bodies of registered types by their schemas.
///
/// # Errors
/// When the sample city does not parse, or a sample is refused.
pub(super) fn measure() -> BenchResult<Vec<Row>> {
    let verified = verify_rate(1).max(1);
    let signature = Duration::from_secs(1) / u32::try_from(verified)?;
    let mut rows = vec![Row {
        figure: "rules-signature",
        faulty: 0,
        value: micros(signature),
        remark: "one signature verified, key decoded before, one thread".to_owned(),
        json: json!({ "ns": nanos(signature) }),
    }];
    let core = core_types()?;
    rows.push(row(
        "rules-core",
        "header and body by all rules that need neither state nor legal basis",
        &core,
        signature,
    ));
    let registered = registered_types()?;
    rows.push(row("rules-schema", "a body judged by its registered schema", &registered, signature));
    Ok(rows)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn micros(time: Duration) -> String {
    format!("{:.1} us", time.as_secs_f64() * 1e6)
}

/// The median and the slowest type, as shares of a signature.
fn row(figure: &'static str, what: &str, types: &[(String, Duration)], signature: Duration) -> Row {
    let mut times: Vec<(Duration, &str)> = types.iter().map(|(name, time)| (*time, name.as_str())).collect();
    times.sort_unstable();
    let share = |time: Duration| 100.0 * time.as_secs_f64() / signature.as_secs_f64();
    let (median, _) = times[times.len() / 2];
    let (slowest, name) = times[times.len() - 1];
    let remark = format!(
        "{what}: median of {} types, {:.0} % of a signature; slowest {name} {}, {:.0} %",
        times.len(),
        share(median),
        micros(slowest),
        share(slowest)
    );
    let json: Value = types.iter().map(|(name, time)| json!({ "type": name, "ns": nanos(*time) })).collect();
    Row { figure, faulty: 0, value: micros(median), remark, json }
}

/// The time that one call takes, over [`SPAN`].
fn timed(mut act: impl FnMut() -> BenchResult) -> BenchResult<Duration> {
    act()?;
    let (begun, mut count) = (Instant::now(), 0_u32);
    while begun.elapsed() < SPAN {
        for _ in 0..PART {
            act()?;
        }
        count += PART;
    }
    Ok(begun.elapsed() / count)
}

fn core_types() -> BenchResult<Vec<(String, Duration)>> {
    let chain_id = ChainId::new(Digest::tagged(b"bench-chain", &[]));
    let agency = "uscc:11320100MAXP23YC3L".parse()?;
    let day: Date = "2026-05-06".parse()?;
    let samples = [
        (RecordType::Licence, Class::P1, SubjectKind::Organisation, acts::licence("1", &agency, day)),
        (RecordType::Penalty, Class::P1, SubjectKind::Organisation, acts::penalty("1", &agency, day)),
        (RecordType::DocFingerprint, Class::P0, SubjectKind::None, acts::fingerprint()),
    ];
    let mut times = Vec::new();
    for (record_type, class, subject_kind, sample) in samples {
        let two = [1, 2].map(|seed| SecretKey::from_seed([seed; 32]).public()).to_vec();
        let officers = if record_type == RecordType::Penalty { two } else { Vec::new() };
        let filing = Filing {
            chain_id,
            agency: agency.clone(),
            dedupe_key: b"bench",
            idempotency_key: "1",
            record_type,
            version: 1,
            class,
            subject_kind,
            legal_basis: Some(BasisRef { id: "bench".to_owned(), version: 1 }),
            salt: Digest::tagged(b"bench-salt", &[]),
            officers,
            refs: Vec::new(),
            publication: [None; 3],
            dispose_on: None,
        };
        let filed = build::file(&filing, &sample.to_string())?;
        let time = timed(|| {
            rules::check_submission(chain_id, &filed.header, Some(&filed.body), None, day)?;
            Ok(())
        })?;
        times.push((record_type.name().to_owned(), time));
    }
    Ok(times)
}

fn registered_types() -> BenchResult<Vec<(String, Duration)>> {
    let genesis = Path::new(env!("CARGO_MANIFEST_DIR")).join("../genesis");
    let draft = Draft::parse(&std::fs::read_to_string(genesis.join("example-city.toml"))?)?;
    let mut times = Vec::new();
    for details in &draft.document().registered_types {
        let name = details.key.as_str().to_owned();
        let file: Value =
            serde_json::from_str(&std::fs::read_to_string(genesis.join(format!("schemas/{name}.json")))?)?;
        let example = canonicalise(&file["examples"]["accepted"][0]["body"].to_string())?;
        let registered = RegisteredType::new(details.clone())?;
        let class = details.classes[0];
        registered.judge(class, &example).map_err(|refusal| format!("{name}: {refusal}"))?;
        let judged = || -> BenchResult {
            registered.judge(class, &example)?;
            Ok(())
        };
        times.push((name, timed(judged)?));
    }
    Ok(times)
}
