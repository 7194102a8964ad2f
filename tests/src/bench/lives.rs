//! One step that moves many records: the end of an act on which thousands rest, and the erasure of thousands of bodies. What is
//! done in one block is bounded, so that others go on being served; how long they wait meanwhile is measured.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chain_core::api::{Page, RecordView};
use chain_core::build::{self, Filing};
use chain_core::code::Code;
use chain_core::crypto::Digest;
use chain_core::date::Date;
use chain_core::execute::Verdict;
use chain_core::id::RecordId;
use chain_core::operation::{Effect, EraseGround, Operation, RevokeReason};
use chain_core::org::OrgId;
use chain_core::record::{BasisRef, Class, RecordType, SubjectKind};
use chain_core::transaction::Body;
use serde_json::json;

use super::output::Row;
use super::stats::Times;
use super::{BenchError, BenchResult, stop};
use crate::acts;
use crate::cluster::http::{self, Failed};
use crate::cluster::{Cluster, clerk, erase, wait_for};
use crate::officer::{Officer, now_ms, officers};

/// Records of one transaction.
const GROUP: usize = 100;
/// How long a transaction is valid.
const VALID_MS: u64 = 60 * 60 * 1000;
/// How long others are measured before the step.
const BEFORE: Duration = Duration::from_secs(10);
/// Longest wait for all of it.
const PATIENCE: Duration = Duration::from_secs(1_800);
/// The agency whose penalty it is, and the one whose measures rest on it.
const PENALISES: &str = "uscc:11320100MAXP23YC3L";
const MEASURES: &str = "uscc:11320100MAX78A442D";
/// Whose clerk files beside.
const FILES_BESIDE: &str = "uscc:11320100MAX1N11L4Y";

/// Ends a penalty on which so many measures rest, then erases as many bodies.
///
/// # Errors
/// When a step is refused, or a node does not answer.
pub(super) fn measure(records: u32) -> BenchResult<Vec<Row>> {
    let cluster = Cluster::up();
    let mut rows = cascade(&cluster, records)?;
    rows.extend(erasure(&cluster, records)?);
    cluster.wait_agreed();
    cluster.assert_clean();
    Ok(rows)
}

/// Somebody else, who files one record after another meanwhile, until this is dropped.
struct Others {
    over: Arc<AtomicBool>,
    step_begun: Arc<AtomicBool>,
    task: Option<JoinHandle<Result<[Vec<Duration>; 2], String>>>,
}

impl Others {
    fn begin(cluster: &Cluster, series: &str) -> BenchResult<Self> {
        let clerk = officer(cluster, "clerk", FILES_BESIDE)?;
        let (url, series) = (cluster.nodes[1].url(), series.to_owned());
        let (over, step_begun) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (told, begun) = (Arc::clone(&over), Arc::clone(&step_begun));
        let task = std::thread::spawn(move || {
            let mut times = [Vec::new(), Vec::new()];
            for number in 0_u64.. {
                let name = format!("{series} {number}");
                let submission = clerk.file(&name, &name);
                let (since, moved) = (Instant::now(), begun.load(Ordering::Relaxed));
                loop {
                    if told.load(Ordering::Relaxed) {
                        return Ok(times);
                    }
                    match http::submit(&url, &submission) {
                        Ok(status) => match status.outcomes.first().map(|outcome| &outcome.verdict) {
                            Some(Verdict::Accepted { .. }) => break,
                            verdict => return Err(format!("{name}: {verdict:?}")),
                        },
                        // A queue that is full is part of the wait.
                        Err(Failed::Problem(problem)) if problem.name == Code::QueueFull => {}
                        Err(failed) => return Err(format!("{name}: {}", failed.name())),
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
                times[usize::from(moved)].push(since.elapsed());
            }
            Ok(times)
        });
        std::thread::sleep(BEFORE);
        Ok(Self { over, step_begun, task: Some(task) })
    }

    fn step_begins(&self) {
        self.step_begun.store(true, Ordering::Relaxed);
    }

    /// Times of what was begun before the step, and since.
    fn end(mut self) -> BenchResult<(Times, Times)> {
        self.over.store(true, Ordering::Relaxed);
        let task = self.task.take().ok_or("nobody files beside")?;
        let ended = task.join().map_err(|_| BenchError::from("who filed meanwhile panicked"))?;
        let [before, during] = ended?;
        Ok((Times::new(before), Times::new(during)))
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(task) = self.task.take() {
            let _ = task.join();
        }
    }
}

fn officer(cluster: &Cluster, role: &str, agency: &str) -> BenchResult<Officer> {
    let agency: OrgId = agency.parse()?;
    let wanted = |found: &[Officer], of: &OrgId| found.is_empty() && *of == agency;
    let mut found = officers(&cluster.genesis, &cluster.keys, role, wanted)?;
    found.pop().ok_or_else(|| format!("the key ring has no {role} of {agency}").into())
}

/// Sends operations in groups, each executed before the next; gives the records.
fn send(
    url: &str,
    officer: &Officer,
    operations: Vec<(Operation, Option<Body>)>,
) -> BenchResult<Vec<RecordId>> {
    let mut records = Vec::new();
    let mut rest = operations.into_iter().peekable();
    while rest.peek().is_some() {
        stop::check()?;
        let group: Vec<_> = rest.by_ref().take(GROUP).collect();
        let submission = officer.sign_until(now_ms() + VALID_MS, group);
        let status = http::submit(url, &submission).map_err(|failed| failed.name())?;
        for outcome in &status.outcomes {
            match &outcome.verdict {
                Verdict::Accepted { record, .. } => records.push(*record),
                Verdict::Refused(refusal) => return Err(refusal.to_string().into()),
            }
        }
    }
    Ok(records)
}

fn filing<'a>(officer: &Officer, record_type: RecordType, law: &str, key: &'a str) -> Filing<'a> {
    Filing {
        chain_id: officer.chain_id,
        agency: officer.agency.clone(),
        dedupe_key: b"bench",
        idempotency_key: key,
        record_type,
        version: 1,
        class: Class::P1,
        subject_kind: SubjectKind::Organisation,
        legal_basis: Some(BasisRef { id: law.to_owned(), version: 1 }),
        salt: Digest::tagged(b"bench-salt", &[key.as_bytes()]),
        officers: Vec::new(),
        refs: Vec::new(),
        publication: [None; 3],
        dispose_on: None,
    }
}

fn approvals(url: &str, records: &[RecordId]) -> BenchResult<Vec<(Operation, Option<Body>)>> {
    let approve = |record: &RecordId| {
        let view: RecordView =
            http::get(&format!("{url}/v1/records/{record}")).map_err(|failed| failed.name())?;
        Ok((clerk::approval(&view), None))
    };
    records.iter().map(approve).collect()
}

/// Everything of a type, by the height at which it changed last, with how many have a status.
fn changed(url: &str, record_type: &str, status: &str) -> BenchResult<BTreeMap<u64, u32>> {
    let (mut heights, mut cursor) = (BTreeMap::new(), String::new());
    loop {
        let page: Page<RecordView> =
            http::get(&format!("{url}/v1/records?type={record_type}&status={status}&limit=500{cursor}"))
                .map_err(|failed| failed.name())?;
        for item in page.items {
            *heights.entry(item.changed_at.get()).or_insert(0) += 1;
        }
        match page.next_cursor {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(heights),
        }
    }
}

fn cascade(cluster: &Cluster, count: u32) -> BenchResult<Vec<Row>> {
    let url = cluster.nodes[0].url();
    let today = Date::of_time(cluster.wait_agreed().block_time_ms, 480);
    let (clerk, supervisor) =
        (officer(cluster, "clerk", PENALISES)?, officer(cluster, "supervisor", PENALISES)?);
    let both = officers(&cluster.genesis, &cluster.keys, "clerk", |_, of| *of == clerk.agency)?;
    let legal = officer(cluster, "legal_reviewer", PENALISES)?;
    let keys = both.iter().take(2).map(|one| one.key.public()).collect();
    let penalty = Filing { officers: keys, ..filing(&clerk, RecordType::Penalty, "cn-food-safety", "base") };
    let body = acts::penalty("base", &clerk.agency, today);
    let (operation, body, _) = build::file(&penalty, &body.to_string())?.submit();
    let base = send(&url, &clerk, vec![(operation, body)])?;
    for officer in [&both[1], &supervisor] {
        send(&url, officer, approvals(&url, &base)?)?;
    }
    let base = base[0];

    let (other, head) = (officer(cluster, "clerk", MEASURES)?, officer(cluster, "supervisor", MEASURES)?);
    let (notice, body, _) = other.filing("notice", "notice").submit();
    let notice = send(&url, &other, vec![(notice, body)])?[0];
    let until = today.add_months(12).ok_or("no such day")?;
    let mut measures: Vec<(Operation, Option<Body>)> = Vec::new();
    for number in 0..count {
        let code = format!("measure {number}");
        let filing = filing(&other, RecordType::Measure, "sz-social-credit", &code);
        let body = acts::measure(&code, today, until, base, notice);
        let (operation, body, _) = build::file(&filing, &body.to_string())?.submit();
        measures.push((operation, body));
    }
    let approve: Vec<(Operation, Option<Body>)> = measures
        .iter()
        .filter_map(|(operation, _)| {
            let header = operation.header()?;
            let (record, version, header_digest) = (header.record, 1, header.digest());
            Some((Operation::Countersign { record, version, header_digest }, None))
        })
        .collect();
    send(&url, &other, measures)?;
    send(&url, &head, approve)?;
    eprintln!("{count} measures rest on one penalty");

    let others = Others::begin(cluster, "beside the cascade")?;
    let revoke = Operation::Revoke {
        record: base,
        version: 1,
        reason: RevokeReason::Unlawful,
        effect: Effect::FromNow,
        note: String::new(),
    };
    send(&url, &supervisor, vec![(revoke, None)])?;
    let agree = approvals(&url, &[base])?;
    others.step_begins();
    let begun = Instant::now();
    send(&url, &legal, agree)?;
    let type_name = RecordType::Measure.name();
    wait_for("every measure has ended", PATIENCE, || {
        let page: Page<RecordView> =
            http::get(&format!("{url}/v1/records?type={type_name}&status=effective&limit=1")).ok()?;
        page.items.is_empty().then_some(())
    });
    let took = begun.elapsed();
    let (before, during) = others.end()?;
    let blocks = changed(&url, type_name, "expired")?;
    let (ended, most): (u32, u32) = (blocks.values().sum(), blocks.values().copied().max().unwrap_or(0));
    if ended != count {
        return Err(format!("{ended} of {count} measures have ended").into());
    }
    let remark = format!(
        "{count} records rested on one that was revoked: ended in {} blocks, at most {most} in one; others filed one record \
         at a time: {} before, {} meanwhile",
        blocks.len(),
        before.text(),
        during.text()
    );
    Ok(vec![Row {
        figure: "lives-cascade",
        faulty: 0,
        value: format!("{:.1} s", took.as_secs_f64()),
        remark,
        json: json!({
            "records": count, "seconds": took.as_secs_f64(), "blocks": blocks.len(), "most_in_one": most,
            "others_before": before.json(), "others_meanwhile": during.json(),
        }),
    }])
}

fn erasure(cluster: &Cluster, count: u32) -> BenchResult<Vec<Row>> {
    let url = cluster.nodes[0].url();
    let clerk = officer(cluster, "clerk", PENALISES)?;
    let privacy = officer(cluster, "privacy_officer", PENALISES)?;
    let auditor = erase::officer_of(cluster, "auditor", None);
    let filed = (0..count).map(|number| {
        let name = format!("erased {number}");
        let (operation, body, _) = clerk.filing(&name, &name).submit();
        (operation, body)
    });
    let records = send(&url, &clerk, filed.collect())?;
    let order = |record: &RecordId| Operation::Erase {
        record: *record,
        version: 1,
        ground: EraseGround::Unlawful,
        note: String::new(),
    };
    let orders: Vec<Operation> = records.iter().map(order).collect();
    send(&url, &privacy, orders.iter().cloned().map(|order| (order, None)).collect())?;
    let agree = orders.iter().map(|order| {
        let header_digest = order.digest();
        (Operation::Countersign { record: order.record(), version: 1, header_digest }, None)
    });
    eprintln!("{count} bodies are ordered to be erased");

    let others = Others::begin(cluster, "beside the erasure")?;
    others.step_begins();
    let begun = Instant::now();
    send(&url, &auditor, agree.collect())?;
    let agreed = begun.elapsed();
    let names: Vec<&str> = cluster.nodes.iter().map(|node| node.name.as_str()).collect();
    for record in [records[0], records[records.len() / 2], records[records.len() - 1]] {
        erase::wait_confirmed(cluster, record, &names);
    }
    let took = begun.elapsed();
    let (before, during) = others.end()?;
    let remark = format!(
        "{count} bodies: the auditor's last signature was executed after {:.1} s; the value is when all {} validators had \
         confirmed the first, the middle and the last; others filed one record at a time: {} before, {} meanwhile",
        agreed.as_secs_f64(),
        names.len(),
        before.text(),
        during.text()
    );
    Ok(vec![Row {
        figure: "lives-erasure",
        faulty: 0,
        value: format!("{:.1} s", took.as_secs_f64()),
        remark,
        json: json!({
            "bodies": count, "agreed_seconds": agreed.as_secs_f64(), "seconds": took.as_secs_f64(),
            "others_before": before.json(), "others_meanwhile": during.json(),
        }),
    }])
}
