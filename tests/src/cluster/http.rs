//! Asking a node over HTTP.

use std::collections::BTreeMap;
use std::time::Duration;

use chain_core::api::{Page, Problem, RecordView, TransactionStatus};
use chain_core::code::Code;
use chain_core::codec::encode;
use chain_core::record::RecordType;
use chain_core::transaction::Submission;
use serde::de::DeserializeOwned;

use super::wait_for;

/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// Why there is no answer of the wanted kind.
#[derive(Debug)]
pub enum Failed {
    /// The node refused, in the catalogue's words.
    Problem(Box<Problem>),
    /// It did not answer, or not in a known form.
    Other(String),
}

impl Failed {
    /// Name of the catalogue's entry, or what else happened.
    pub fn name(&self) -> String {
        match self {
            Self::Problem(problem) => problem.name.name().to_owned(),
            Self::Other(what) => what.clone(),
        }
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false)
        .build()
        .new_agent()
}

/// The samples of a node's `/metrics`: values by name and labels, as in `city_progress` or `city_validator_state{…}`.
///
/// # Errors
/// When it does not answer.
pub fn metrics(node: &str) -> Result<BTreeMap<String, f64>, Failed> {
    let answer = agent().get(format!("{node}/metrics")).call();
    let mut answer = answer.map_err(|error| Failed::Other(error.to_string()))?;
    let text = answer.body_mut().read_to_string().map_err(|error| Failed::Other(error.to_string()))?;
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ')?;
        let name = name.strip_suffix("{}").unwrap_or(name).to_owned();
        Some((name, value.parse().ok()?))
    };
    Ok(text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect())
}

fn judge<T: DeserializeOwned>(
    answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<T, Failed> {
    let mut answer = answer.map_err(|error| Failed::Other(error.to_string()))?;
    let ok = answer.status().is_success();
    let read = answer.body_mut().with_config().limit(64 * 1024 * 1024).read_to_string();
    let text = read.map_err(|error| Failed::Other(error.to_string()))?;
    if ok {
        return serde_json::from_str(&text).map_err(|error| Failed::Other(format!("{error} in {text}")));
    }
    match serde_json::from_str(&text) {
        Ok(problem) => Err(Failed::Problem(Box::new(problem))),
        Err(_) => Err(Failed::Other(format!("{}: {text}", answer.status()))),
    }
}

/// `GET`, as JSON.
///
/// # Errors
/// When the node refuses or does not answer.
pub fn get<T: DeserializeOwned>(url: &str) -> Result<T, Failed> {
    judge(agent().get(url).call())
}

/// `GET` of whatever it is; nothing when the node refuses or does not answer.
pub fn bytes(url: &str) -> Option<Vec<u8>> {
    let mut answer = agent().get(url).call().ok().filter(|answer| answer.status().is_success())?;
    answer.body_mut().with_config().limit(64 * 1024 * 1024).read_to_vec().ok()
}

/// `POST` of bytes of a stated type.
///
/// # Errors
/// When the node refuses or does not answer.
pub fn post(url: &str, content_type: &str, bytes: &[u8]) -> Result<TransactionStatus, Failed> {
    judge(agent().post(url).header("content-type", content_type).send(bytes))
}

/// Submits a transaction and waits until it is executed.
///
/// # Errors
/// When the node refuses or does not answer.
pub fn submit(base: &str, submission: &Submission) -> Result<TransactionStatus, Failed> {
    submit_until(base, submission, "executed")
}

/// Submits a transaction and waits until it reaches a stage.
///
/// # Errors
/// When the node refuses or does not answer.
pub fn submit_until(base: &str, submission: &Submission, stage: &str) -> Result<TransactionStatus, Failed> {
    let bytes = encode(submission).map_err(|error| Failed::Other(error.to_string()))?;
    post(&format!("{base}/v1/transactions?wait={stage}"), "application/octet-stream", &bytes)
}

/// Every record of a type that a node lists, with how often. One that was just started serves bodies once it has caught up.
///
/// # Panics
/// When the node refuses or does not answer, or does not catch up in time.
pub fn listed(base: &str, record_type: RecordType) -> BTreeMap<String, u32> {
    let name = record_type.name();
    let mut found = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let url = format!("{base}/v1/records?type={name}&limit=500{cursor}");
        let page: Page<RecordView> =
            wait_for(&url, PATIENCE, || match get(&url).map_err(|failed| failed.name()) {
                Err(name) if name == Code::NotReady.name() => None,
                answer => Some(answer.unwrap_or_else(|name| panic!("{url}: {name}"))),
            });
        for item in page.items {
            *found.entry(item.record.to_string()).or_insert(0) += 1;
        }
        match page.next_cursor {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}
