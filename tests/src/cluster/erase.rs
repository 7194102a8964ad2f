//! Orders to erase: records whose bodies carry a canary, the order of two officers, and who has confirmed it.

use std::collections::BTreeSet;
use std::time::Duration;

use chain_core::crypto::Digest;
use chain_core::execute::Verdict;
use chain_core::id::RecordId;
use chain_core::operation::{EraseGround, Operation};
use chain_core::transaction::Submission;
use serde_json::Value;

use super::canary::canary;
use super::clerk::Officer;
use super::{Cluster, http, path, wait_for};
use crate::officer::{self, Document};

/// Longest wait for a step: on a busy machine files are written anew slowly.
pub const PATIENCE: Duration = Duration::from_secs(180);
/// Operations of one transaction.
const GROUP: usize = 200;

/// The first officer of a role, of the clerk's agency unless it is an auditor.
///
/// # Panics
/// When the key ring has none.
pub fn officer_of(cluster: &Cluster, role: &str, like: Option<&Officer>) -> Officer {
    let wanted =
        |found: &[Officer], agency: &_| found.is_empty() && like.is_none_or(|like| like.agency == *agency);
    let mut found = officer::officers(&cluster.genesis, &cluster.keys, role, wanted).expect("a key ring");
    found.remove(0)
}

fn records_of(cluster: &Cluster, submission: &Submission) -> Vec<RecordId> {
    let status = http::submit_until(&cluster.nodes[0].url(), submission, "executed");
    let status = status.unwrap_or_else(|failed| panic!("{}", failed.name()));
    let accepted = status.outcomes.iter().map(|outcome| match &outcome.verdict {
        Verdict::Accepted { record, .. } => *record,
        Verdict::Refused(refusal) => panic!("{refusal}"),
    });
    accepted.collect()
}

/// Files fingerprints whose bodies carry a canary each, twice: a log file has a header every 32 KiB that can cut one of
/// them in two, never both.
///
/// # Panics
/// When one is refused.
pub fn file(cluster: &Cluster, clerk: &Officer, names: &[String]) -> Vec<RecordId> {
    let mut records = Vec::new();
    for group in names.chunks(GROUP) {
        let operations = group.iter().map(|name| {
            let filed = clerk.fingerprint(&Document {
                dedupe_key: b"test-dedupe-key",
                idempotency_key: name,
                salt: Digest::tagged(b"test-salt", &[name.as_bytes()]),
                sha256: Digest::tagged(b"test-document", &[name.as_bytes()]),
                padding: &canary(name).repeat(2),
            });
            let (operation, body, _) = filed.submit();
            (operation, body)
        });
        records.extend(records_of(cluster, &clerk.sign(operations.collect())));
    }
    records
}

/// Has bodies erased. Nothing goes before the auditor has agreed.
///
/// # Panics
/// When the order is refused, or is carried out before.
pub fn order(cluster: &Cluster, privacy: &Officer, auditor: &Officer, records: &[RecordId]) {
    let (version, ground, note) = (1, EraseGround::Unlawful, "file 7/2026".to_owned());
    let order = |record: &RecordId| Operation::Erase { record: *record, version, ground, note: note.clone() };
    let orders: Vec<Operation> = records.iter().map(order).collect();
    records_of(cluster, &privacy.sign(orders.iter().cloned().map(|order| (order, None)).collect()));
    assert!(body(&cluster.nodes[0].url(), records[0]).is_some(), "the auditor has not agreed");
    let approvals = orders.iter().map(|order| {
        let header_digest = order.digest();
        (Operation::Countersign { record: order.record(), version, header_digest }, None)
    });
    records_of(cluster, &auditor.sign(approvals.collect()));
}

/// The certificate of an erasure as a node proves it; null while it does not.
///
/// # Panics
/// When the proof is none.
pub fn certificate(cluster: &Cluster, record: RecordId) -> Value {
    let out = cluster.dir().join("erasure.json");
    let _ = std::fs::remove_file(&out);
    let entry = format!("erasure:{record}");
    let proved = cluster.city(&["state", "prove", &entry, "--out", path(&out), "-o", "json"]);
    if !proved.status.success() {
        return Value::Null;
    }
    let proof = std::fs::read(&out).expect("the proof");
    let proof: Value = serde_json::from_slice(&proof).expect("the proof");
    proof["decoded"].clone()
}

/// Waits until these and no others have confirmed.
///
/// # Panics
/// When they do not.
pub fn wait_confirmed(cluster: &Cluster, record: RecordId, names: &[&str]) {
    wait_for(&format!("the word of {}", names.join(", ")), PATIENCE, || {
        let decoded = certificate(cluster, record);
        let confirmed = decoded["confirmed"].as_array()?;
        let by: BTreeSet<&str> = confirmed.iter().filter_map(|one| one["validator"].as_str()).collect();
        (by == names.iter().copied().collect()).then_some(())
    });
}

/// What a node answers when it is asked for a record: its body, if it gives one.
pub fn body(base: &str, record: RecordId) -> Option<String> {
    let view: Value = http::get(&format!("{base}/v1/records/{record}")).ok()?;
    (!view["body"].is_null()).then(|| view["body"].to_string())
}
