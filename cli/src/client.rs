//! Talking to nodes: several URLs, fail-over, back-off, and no trust in what they say.
//!
//! A submission may be sent again to any node: its id is the digest of what was signed, so the ledger knows it.

pub(crate) mod pages;
pub(crate) mod paths;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use chain_core::api::{NodeStatus, PassageView, Problem, Stage, TransactionStatus};
use chain_core::code::Code;
use chain_core::committee::Committee;
use chain_core::genesis::Genesis;
use chain_core::id::{Epoch, Height, TxId};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{CliError, CliResult};
use crate::interrupt;
use crate::sets::Sets;

/// Longest answer read.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// First and longest wait between rounds over all nodes.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How long one connection attempt may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The nodes of a context.
#[derive(Debug)]
pub(crate) struct Client {
    agent: ureq::Agent,
    nodes: Vec<Node>,
    preferred: AtomicUsize,
    timeout: Duration,
    /// `Authorization: Bearer …` of what is read.
    token: Option<String>,
    /// Validator sets proved so far.
    sets: Mutex<Option<Sets>>,
}

#[derive(Debug)]
struct Node {
    url: String,
    name: OnceLock<String>,
}

/// What one request to one node came to.
enum Answer {
    Done(Vec<u8>),
    /// The node understood and refuses; another would too.
    Refused(CliError),
    /// Another node, or this one later, may do better.
    Retry(CliError, Option<Duration>),
}

/// The body of a request.
#[derive(Clone, Copy)]
struct Sent<'a> {
    media_type: &'static str,
    bytes: &'a [u8],
}

impl Client {
    /// A client for these base URLs.
    pub(crate) fn new(urls: &[String], timeout: Duration, tls_ca: Option<&Path>) -> CliResult<Self> {
        if urls.is_empty() {
            return Err(CliError::new(Code::NoContext, "no node is known").hint(
                "give --node URL, or choose a context: city context list, then city context use NAME",
            ));
        }
        for url in urls {
            check_url(url)?;
        }
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .max_idle_connections(256)
            .max_idle_connections_per_host(64)
            .user_agent(concat!("city/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = tls_ca {
            let pem = std::fs::read(path).map_err(|error| CliError::file(path, &error))?;
            let certificate = ureq::tls::Certificate::from_pem(&pem).map_err(|error| {
                CliError::new(Code::ConfigInvalid, format!("{}: {error}", path.display()))
            })?;
            let roots = ureq::tls::RootCerts::new_with_certs(&[certificate]);
            config = config.tls_config(ureq::tls::TlsConfig::builder().root_certs(roots).build());
        }
        let nodes = urls
            .iter()
            .map(|url| Node { url: url.trim_end_matches('/').to_owned(), name: OnceLock::new() })
            .collect();
        Ok(Self {
            agent: config.build().into(),
            nodes,
            preferred: AtomicUsize::new(0),
            timeout,
            token: None,
            sets: Mutex::new(None),
        })
    }

    /// The same client, which names a token.
    #[must_use]
    pub(crate) fn with_token(mut self, token: Option<&str>) -> Self {
        self.token = token.map(|token| format!("Bearer {token}"));
        self
    }

    /// How many nodes there are.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Base URL of a node.
    pub(crate) fn url(&self, node: usize) -> &str {
        &self.nodes[node].url
    }

    /// Reads JSON from whichever node answers.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> CliResult<T> {
        json(path, &self.anywhere(path, None, self.timeout)?)
    }

    /// Reads bytes from whichever node answers.
    pub(crate) fn get_bytes(&self, path: &str) -> CliResult<Vec<u8>> {
        self.anywhere(path, None, self.timeout)
    }

    /// Reads JSON from one node, once, without fail-over.
    pub(crate) fn get_from<T: DeserializeOwned>(&self, node: usize, path: &str) -> CliResult<T> {
        json(path, &self.bytes_from(node, path)?)
    }

    /// Reads bytes from one node, once, without fail-over.
    pub(crate) fn bytes_from(&self, node: usize, path: &str) -> CliResult<Vec<u8>> {
        match self.once(node, path, None, self.timeout) {
            Answer::Done(bytes) => Ok(bytes),
            Answer::Refused(error) | Answer::Retry(error, _) => Err(error),
        }
    }

    /// Sends an encoded submission to one of the nodes and waits until it reaches a stage or the time is
    /// over. With `home`, only that validator's node is used: it keeps bodies that must not travel.
    pub(crate) fn submit(
        &self,
        bytes: &[u8],
        wait: Stage,
        home: Option<&str>,
        timeout: Duration,
    ) -> CliResult<TransactionStatus> {
        let path = paths::submit(wait, timeout);
        let submission = Sent { media_type: paths::SUBMISSION_TYPE, bytes };
        let answer = match home {
            Some(name) => {
                let node = self.named(name)?;
                self.retrying(|_| node, 1, &path, Some(submission), timeout)
            }
            None => self.anywhere(&path, Some(submission), timeout),
        };
        json(&path, &answer?)
    }

    /// Sends JSON to one validator's node, once, and reads its answer: what is asked is answered once.
    pub(crate) fn post_to<T: DeserializeOwned>(
        &self,
        home: &str,
        path: &str,
        body: &impl Serialize,
    ) -> CliResult<T> {
        let bytes = serde_json::to_vec(body).map_err(CliError::internal)?;
        let sent = Sent { media_type: "application/json", bytes: &bytes };
        match self.once(self.named(home)?, path, Some(sent), self.timeout) {
            Answer::Done(bytes) => json(path, &bytes),
            Answer::Refused(error) | Answer::Retry(error, _) => Err(error),
        }
    }

    /// Reads JSON from one validator's node, without fail-over.
    pub(crate) fn get_from_named<T: DeserializeOwned>(&self, home: &str, path: &str) -> CliResult<T> {
        self.get_from(self.named(home)?, path)
    }

    /// Sends text to somebody who is none of the nodes, once; gives status and answer.
    pub(crate) fn post_text(&self, url: &str, text: &str) -> CliResult<(u16, String)> {
        let unreachable = |error: ureq::Error| CliError::new(Code::Unreachable, format!("{url}: {error}"));
        let request = self.agent.post(url).config().timeout_global(Some(self.timeout)).build();
        let mut response =
            request.content_type("text/plain; charset=utf-8").send(text).map_err(unreachable)?;
        let status = response.status().as_u16();
        let answer = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        Ok((status, answer.map_err(unreachable)?))
    }

    /// Asks where a transaction stands.
    pub(crate) fn transaction(
        &self,
        tx: &TxId,
        wait: Stage,
        timeout: Duration,
    ) -> CliResult<TransactionStatus> {
        let path = paths::transaction(tx, wait, timeout);
        json(&path, &self.anywhere(&path, None, timeout)?)
    }

    /// The validator sets from genesis to an epoch, or to the newest one that any node knows of; each is proved by
    /// the one before, so it does not matter who tells.
    pub(crate) fn sets(&self, genesis: &Genesis, to: Option<Epoch>) -> CliResult<Sets> {
        let mut kept = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        let sets = kept.get_or_insert_with(|| Sets::of(genesis));
        while to.is_none_or(|to| sets.newest().committee.epoch() < to) {
            let epoch = sets.newest().committee.epoch();
            match (self.passage(epoch), to) {
                (Ok(passage), _) => sets.take(passage.into())?,
                (Err(error), None) if is_absent(error.code()) => break,
                (Err(error), _) => return Err(error),
            }
        }
        Ok(sets.clone())
    }

    /// What ended an epoch; none while it goes on.
    pub(crate) fn passage_after(&self, epoch: Epoch) -> CliResult<Option<PassageView>> {
        match self.passage(epoch) {
            Ok(passage) => Ok(Some(passage)),
            Err(error) if is_absent(error.code()) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The set of one epoch.
    pub(crate) fn committee(&self, genesis: &Genesis, epoch: Epoch) -> CliResult<Committee> {
        if epoch == Epoch::ZERO {
            return Ok(genesis.committee().clone());
        }
        let sets = self.sets(genesis, Some(epoch))?;
        let set = sets.get(epoch).ok_or_else(|| {
            CliError::new(Code::UnknownSigner, format!("no hand-over leads to epoch {epoch}"))
        })?;
        Ok(set.committee.clone())
    }

    /// The end of an epoch, from the first node that knows of it.
    fn passage(&self, epoch: Epoch) -> CliResult<PassageView> {
        let path = paths::hand_over(epoch);
        let absent = match self.get(&path) {
            Err(error) if is_absent(error.code()) => error,
            answer => return answer,
        };
        (0..self.len()).find_map(|node| self.get_from(node, &path).ok()).ok_or(absent)
    }

    /// Goes on with the next node from now on.
    pub(crate) fn turn(&self) {
        self.preferred.fetch_add(1, Ordering::Relaxed);
    }

    /// Name of the validator behind a node.
    pub(crate) fn name(&self, node: usize) -> CliResult<&str> {
        if let Some(name) = self.nodes[node].name.get() {
            return Ok(name);
        }
        let status: NodeStatus = self.get_from(node, paths::STATUS)?;
        Ok(self.nodes[node].name.get_or_init(|| status.name))
    }

    fn named(&self, name: &str) -> CliResult<usize> {
        let mut down = None;
        for node in 0..self.nodes.len() {
            match self.name(node) {
                Ok(found) if found == name => return Ok(node),
                Ok(_) => {}
                Err(error) => down = Some(error),
            }
        }
        Err(down.unwrap_or_else(|| {
            CliError::new(Code::NotOwnNode, format!("no node of the context belongs to validator {name}"))
                .hint("add the agency's own node to the context: bodies about persons go nowhere else")
        }))
    }

    fn anywhere(&self, path: &str, body: Option<Sent<'_>>, timeout: Duration) -> CliResult<Vec<u8>> {
        let nodes = self.nodes.len();
        let first = self.preferred.load(Ordering::Relaxed);
        self.retrying(|attempt| (first + attempt) % nodes, nodes, path, body, timeout)
    }

    /// Tries nodes in turn until one answers, the time is over, or Ctrl-C.
    fn retrying(
        &self,
        node_of: impl Fn(usize) -> usize,
        round: usize,
        path: &str,
        body: Option<Sent<'_>>,
        timeout: Duration,
    ) -> CliResult<Vec<u8>> {
        let deadline = Instant::now() + timeout;
        let mut back_off = BACK_OFF.0;
        for attempt in 0.. {
            let node = node_of(attempt);
            let left = deadline.saturating_duration_since(Instant::now());
            let (error, wait) = match self.once(node, path, body, left + Duration::from_secs(2)) {
                Answer::Done(bytes) => {
                    if attempt > 0 && round > 1 {
                        self.preferred.store(node, Ordering::Relaxed);
                    }
                    return Ok(bytes);
                }
                Answer::Refused(error) => return Err(error),
                Answer::Retry(error, wait) => (error, wait),
            };
            let round_over = (attempt + 1) % round == 0;
            let pause = match wait {
                Some(wait) => wait,
                None if round_over => back_off,
                None => Duration::ZERO,
            };
            if round_over {
                back_off = (back_off * 2).min(BACK_OFF.1);
            }
            if Instant::now() + pause >= deadline {
                return Err(error);
            }
            if !interrupt::sleep(pause) {
                return Err(CliError::new(Code::Interrupted, "stopped while waiting for a node"));
            }
        }
        Err(CliError::internal("unreachable end of retries"))
    }

    fn once(&self, node: usize, path: &str, body: Option<Sent<'_>>, timeout: Duration) -> Answer {
        let url = format!("{}{path}", self.nodes[node].url);
        let timeout = Some(timeout.max(Duration::from_millis(200)));
        let sent = match body {
            None => {
                let mut request = self.agent.get(&url);
                if let Some(token) = &self.token {
                    request = request.header("authorization", token);
                }
                request.config().timeout_global(timeout).build().call()
            }
            Some(body) => self
                .agent
                .post(&url)
                .config()
                .timeout_global(timeout)
                .build()
                .content_type(body.media_type)
                .send(body.bytes),
        };
        let unreachable = |error: &ureq::Error| {
            CliError::new(Code::Unreachable, format!("{}: {error}", self.nodes[node].url))
        };
        let mut response = match sent {
            Ok(response) => response,
            Err(error) => return Answer::Retry(unreachable(&error), None),
        };
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(|seconds: u64| Duration::from_secs(seconds.min(60)));
        let bytes = match response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec() {
            Ok(bytes) => bytes,
            Err(error) => return Answer::Retry(unreachable(&error), None),
        };
        match status {
            200..=299 => Answer::Done(bytes),
            408 | 429 | 502 | 503 | 504 => Answer::Retry(problem(status, &url, &bytes), retry_after),
            _ => Answer::Refused(problem(status, &url, &bytes)),
        }
    }
}

/// What cannot be the address of a node is a slip, not a node that is down.
pub(crate) fn check_url(url: &str) -> CliResult {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let host = rest.map(|rest| rest.split('/').next().unwrap_or(""));
    match host {
        Some(host) if !host.is_empty() && !host.contains(char::is_whitespace) => Ok(()),
        _ => Err(CliError::usage(format!("{url:?} is no URL of a node"))
            .hint("it is written like http://127.0.0.1:7100")),
    }
}

/// What a node said that is no success.
fn problem(status: u16, url: &str, bytes: &[u8]) -> CliError {
    match serde_json::from_slice::<Problem>(bytes) {
        Ok(problem) => CliError::from(problem.refusal()).hint(problem.hint),
        Err(_) => CliError::new(Code::NotReady, format!("{url} answered {status} without saying why"))
            .hint("is this the URL of a node? See `city doctor`"),
    }
}

fn json<T: DeserializeOwned>(path: &str, bytes: &[u8]) -> CliResult<T> {
    serde_json::from_slice(bytes).map_err(|error| {
        CliError::new(Code::MalformedJson, format!("answer to {path}: {error}"))
            .hint("is this the URL of a node? See `city doctor`")
    })
}

fn is_absent(code: Code) -> bool {
    matches!(code, Code::NotFound | Code::NotYetExecuted)
}

/// Checks the proof in a status with the client's own trust and returns the height that orders it.
pub(crate) fn verified_height(
    client: &Client,
    genesis: &Genesis,
    status: &TransactionStatus,
    tx: &TxId,
) -> CliResult<Height> {
    let proof = status.proof.as_ref().ok_or_else(|| {
        CliError::new(Code::NotFinal, format!("transaction {tx} is {:?} and has no proof yet", status.stage))
    })?;
    let committee = client.committee(genesis, proof.certificate.epoch)?;
    Ok(proof.verify(genesis.chain_id(), &committee, tx)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_no_node_that_is_down() {
        for good in ["http://127.0.0.1:7100", "https://node.example/", "http://[::1]:7100"] {
            check_url(good).unwrap();
        }
        for bad in ["", "nonsense", "127.0.0.1:7100", "ftp://x", "http://", "http:///v1", "http://a b"] {
            assert_eq!(check_url(bad).unwrap_err().code(), Code::BadParameter, "{bad}");
        }
    }
}
