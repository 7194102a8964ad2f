//! Addresses of the HTTP API, in one place.

use std::time::Duration;

use chain_core::api::{Cursor, Stage};
use chain_core::date::Date;
use chain_core::id::{Epoch, Height, RecordId, TxId};
use chain_core::org::OrgId;

/// Media type of an encoded submission.
pub(crate) const SUBMISSION_TYPE: &str = "application/octet-stream";
/// What a node says about itself.
pub(crate) const STATUS: &str = "/v1/status";
/// Why the ledger moves or does not.
pub(crate) const WHY: &str = "/v1/node/why";
/// The genesis, as it was signed.
pub(crate) const GENESIS: &str = "/v1/genesis";
/// The newest cosigned checkpoint.
pub(crate) const CHECKPOINT: &str = "/checkpoint";

/// The validator set, and everybody known.
pub(crate) const VALIDATORS: &str = "/v1/validators";
/// A node's word that its validator can take part.
pub(crate) const READY: &str = "/v1/node/ready";

/// The end of an epoch with the set of the next.
pub(crate) fn hand_over(epoch: Epoch) -> String {
    format!("/v1/epochs/{epoch}/handover")
}

fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Unknown | Stage::Accepted => "accepted",
        Stage::Final => "final",
        Stage::Executed => "executed",
    }
}

/// Submitting, and waiting for a stage.
pub(crate) fn submit(wait: Stage, timeout: Duration) -> String {
    format!("/v1/transactions?wait={}&timeout_ms={}", stage(wait), timeout.as_millis())
}

/// Where a transaction stands.
pub(crate) fn transaction(tx: &TxId, wait: Stage, timeout: Duration) -> String {
    format!("/v1/transactions/{tx}?wait={}&timeout_ms={}", stage(wait), timeout.as_millis())
}

/// A record.
pub(crate) fn record(record: &RecordId) -> String {
    format!("/v1/records/{record}")
}

/// A record at a moment; the parameters are already encoded.
pub(crate) fn record_moment(record: &RecordId, moment: &str) -> String {
    format!("/v1/records/{record}?{moment}")
}

/// A record's life.
pub(crate) fn history(record: &RecordId, limit: usize, cursor: Option<&str>) -> String {
    let cursor = cursor.map_or_else(String::new, |cursor| format!("&cursor={}", encode(cursor)));
    format!("/v1/records/{record}/history?limit={limit}{cursor}")
}

/// A record's receipt in a form.
pub(crate) fn receipt(record: &RecordId, version: Option<u32>, form: &str) -> String {
    let version = version.map_or_else(String::new, |version| format!("&version={version}"));
    format!("/v1/records/{record}/receipt?form={form}{version}")
}

/// Questions about what is not public.
pub(crate) const ACCESS: &str = "/v1/access";

/// What an agency's log of reads of a day comes to.
pub(crate) fn access_root(agency: &OrgId, day: Date) -> String {
    format!("/v1/access/roots/{}/{day}", encode(&agency.to_string()))
}

/// The proof of an entry of the state, after a block or the newest one.
pub(crate) fn state_proof(entry: &str, at: Option<Height>) -> String {
    let at = at.map_or_else(String::new, |at| format!("?at={at}"));
    format!("/v1/state/{}/proof{at}", encode(entry))
}

/// The proof of all that is published about an organisation.
pub(crate) fn subject_proof(subject: &str, at: Option<Height>) -> String {
    let at = at.map_or_else(String::new, |at| format!("?at={at}"));
    format!("/v1/subjects/{}/proof{at}", encode(subject))
}

/// A page of the feed: from a cursor, a height, or the first leaf.
pub(crate) fn feed(
    cursor: Option<&Cursor>,
    height: Option<u64>,
    limit: usize,
    wait: Duration,
    whole: bool,
) -> String {
    let mut path = format!("/v1/feed?limit={limit}&wait_ms={}", wait.as_millis());
    if let Some(cursor) = cursor {
        path.push_str(&format!("&cursor={cursor}"));
    }
    if let Some(height) = height {
        path.push_str(&format!("&from_height={height}"));
    }
    if !whole {
        path.push_str("&payload=hash");
    }
    path
}

/// A page of records; the filters are already encoded.
pub(crate) fn records(filters: &[(&str, &str)], limit: usize, cursor: Option<&str>) -> String {
    let mut path = format!("/v1/records?limit={limit}");
    for (name, value) in filters.iter().copied().chain(cursor.map(|cursor| ("cursor", cursor))) {
        path.push_str(&format!("&{name}={}", encode(value)));
    }
    path
}

/// A page of what agencies owe by a day of the law.
pub(crate) fn deadlines(agency: Option<&str>, overdue: bool, limit: usize, cursor: Option<&str>) -> String {
    let mut path = format!("/v1/deadlines?overdue={overdue}&limit={limit}");
    for (name, value) in [("agency", agency), ("cursor", cursor)] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", encode(value)));
        }
    }
    path
}

/// The same as a calendar file (RFC 5545).
pub(crate) fn deadline_calendar(agency: Option<&str>) -> String {
    let agency = agency.map_or_else(String::new, |agency| format!("?agency={}", encode(agency)));
    format!("/v1/deadlines.ics{agency}")
}

/// A block.
pub(crate) fn block(height: Height) -> String {
    block_named(&height.to_string())
}

/// A block by height, digest or `latest`.
pub(crate) fn block_named(name: &str) -> String {
    format!("/v1/blocks/{name}")
}

/// A page of blocks, newest first.
pub(crate) fn blocks(limit: usize, cursor: Option<&str>) -> String {
    let cursor = cursor.map_or_else(String::new, |cursor| format!("&cursor={}", encode(cursor)));
    format!("/v1/blocks?limit={limit}{cursor}")
}

/// A page of offences.
pub(crate) fn evidence(limit: usize, cursor: Option<&str>) -> String {
    let cursor = cursor.map_or_else(String::new, |cursor| format!("&cursor={}", encode(cursor)));
    format!("/v1/evidence?limit={limit}{cursor}")
}

/// A whole block for an audit, in the binary encoding.
pub(crate) fn raw_block(height: Height) -> String {
    format!("/v1/blocks/{height}/raw")
}

/// A value within a query (RFC 3986).
pub(crate) fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}
