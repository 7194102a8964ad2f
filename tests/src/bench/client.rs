//! A small HTTP/1.1 client over one connection: the load generator shares the cores with the nodes, so it
//! must cost little. It believes nothing: every proof is verified.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use chain_core::api::{Problem, Stage, TransactionStatus};
use chain_core::certificate::{Cert, CertError, VoteKind};
use chain_core::execute::Verdict;
use chain_core::genesis::Genesis;
use chain_core::id::TxId;
use serde::de::DeserializeOwned;

use super::{BenchError, BenchResult, stop};

/// Longest answer read.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long one request waits for a transaction before it is asked for again.
const PATIENCE_MS: u64 = 10_000;
/// Longest silence of a node.
const SILENCE: Duration = Duration::from_secs(20);
/// Verified certificates remembered.
const CERTIFICATES_MAX: usize = 64;

/// What a client trusts, and the certificates it verified: many transactions share one.
#[derive(Debug)]
pub(super) struct Trust {
    genesis: Genesis,
    verified: Mutex<Vec<Cert>>,
}

impl Trust {
    /// Trusts a genesis.
    pub(super) fn new(genesis: Genesis) -> Self {
        Self { genesis, verified: Mutex::default() }
    }

    fn judge(&self, certificate: &Cert) -> Result<(), CertError> {
        let known = |all: &Vec<Cert>| all.contains(certificate);
        if known(&self.verified.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(());
        }
        certificate.verify(self.genesis.chain_id(), self.genesis.committee(), VoteKind::Commit)?;
        let mut all = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == CERTIFICATES_MAX {
            all.remove(0);
        }
        all.push(certificate.clone());
        Ok(())
    }
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// Final, with a proof that this client verified.
    Final,
    /// The node's queue was full: come back later.
    Full(Duration),
}

/// One connection to one node, opened when it is needed.
#[derive(Debug)]
pub(super) struct Connection {
    host: String,
    stream: Option<BufReader<TcpStream>>,
}

impl Connection {
    /// A connection to a base URL, `http://host:port`.
    pub(super) fn new(url: &str) -> BenchResult<Self> {
        let host = url.trim_end_matches('/').strip_prefix("http://");
        let host = host.ok_or_else(|| format!("{url}: wants http://host:port"))?.to_owned();
        if !address(&host)?.ip().is_loopback() {
            return Err(format!("{url}: only nodes on the loopback interface are loaded").into());
        }
        Ok(Self { host, stream: None })
    }

    /// Reads JSON.
    pub(super) fn get<T: DeserializeOwned>(&mut self, path: &str) -> BenchResult<T> {
        let (status, _, body) = self.request("GET", path, &[])?;
        if status != 200 {
            return Err(said(path, status, &body));
        }
        Ok(serde_json::from_slice(&body)?)
    }

    /// Submits an encoded transaction and comes back when it is final and the proof verified.
    pub(super) fn submit(&mut self, trust: &Trust, tx: &TxId, encoded: &[u8]) -> BenchResult<End> {
        let path = format!("/v1/transactions?wait=final&timeout_ms={PATIENCE_MS}");
        let (status, retry, body) = self.request("POST", &path, encoded)?;
        if status == 429 || status == 503 {
            return Ok(End::Full(retry));
        }
        let mut answer = (status, body);
        let since = Instant::now();
        loop {
            if !matches!(answer.0, 200 | 202) {
                return Err(said("the submission", answer.0, &answer.1));
            }
            let status: TransactionStatus = serde_json::from_slice(&answer.1)?;
            if status.stage >= Stage::Final
                && let Some(proof) = &status.proof
            {
                proof
                    .verify_by(trust.genesis.chain_id(), tx, |certificate| trust.judge(certificate))
                    .map_err(|refusal| format!("transaction {tx}: {refusal}"))?;
                return Ok(End::Final);
            }
            stop::check()?;
            if since.elapsed() > 6 * Duration::from_millis(PATIENCE_MS) {
                return Err(format!("transaction {tx} is {:?} after a minute", status.stage).into());
            }
            let path = format!("/v1/transactions/{tx}?wait=final&timeout_ms={PATIENCE_MS}");
            let (status, _, body) = self.request("GET", &path, &[])?;
            answer = (status, body);
        }
    }

    /// Whether every operation of a transaction was accepted once it was executed.
    pub(super) fn accepted(&mut self, tx: &TxId) -> BenchResult<bool> {
        let path = format!("/v1/transactions/{tx}?wait=executed&timeout_ms={PATIENCE_MS}");
        let status: TransactionStatus = self.get(&path)?;
        let refused = status.outcomes.iter().find_map(|outcome| match &outcome.verdict {
            Verdict::Refused(refusal) => Some(refusal.clone()),
            Verdict::Accepted { .. } => None,
        });
        if let Some(refusal) = refused {
            return Err(format!("the ledger refuses the bench's records: {refusal}").into());
        }
        Ok(status.stage == Stage::Executed)
    }

    /// One request; a connection that the node closed meanwhile is opened once more. Sending a transaction
    /// again is safe: its id is the digest of what was signed.
    fn request(&mut self, method: &str, path: &str, body: &[u8]) -> BenchResult<(u16, Duration, Vec<u8>)> {
        let fresh = self.stream.is_none();
        match self.attempt(method, path, body) {
            Err(_) if !fresh => {
                self.stream = None;
                self.attempt(method, path, body)
            }
            result => result,
        }
        .inspect_err(|_| self.stream = None)
    }

    fn attempt(&mut self, method: &str, path: &str, body: &[u8]) -> BenchResult<(u16, Duration, Vec<u8>)> {
        if self.stream.is_none() {
            let stream = TcpStream::connect_timeout(&address(&self.host)?, Duration::from_secs(5))?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(SILENCE))?;
            stream.set_write_timeout(Some(SILENCE))?;
            self.stream = Some(BufReader::with_capacity(16 * 1024, stream));
        }
        let Some(stream) = self.stream.as_mut() else { return Err("no connection".into()) };
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.host);
        if method == "POST" {
            request.push_str("content-type: application/octet-stream\r\n");
        }
        request.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        let mut bytes = request.into_bytes();
        bytes.extend_from_slice(body);
        stream.get_mut().write_all(&bytes)?;
        let answer = read(stream)?;
        if answer.3 {
            self.stream = None;
        }
        Ok((answer.0, answer.1, answer.2))
    }
}

/// Status, time to wait before coming back, body, and whether the node closes the connection.
fn read(stream: &mut BufReader<TcpStream>) -> BenchResult<(u16, Duration, Vec<u8>, bool)> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let status: u16 = line.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or("no HTTP answer")?;
    let (mut length, mut retry, mut closes) = (None, Duration::from_millis(100), false);
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err("the answer ends in its headers".into());
        }
        let header = line.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        match header.split_once(':').map(|(name, value)| (name, value.trim())) {
            Some(("content-length", value)) => length = Some(value.parse::<usize>()?),
            Some(("retry-after", value)) => {
                retry = Duration::from_secs(value.parse::<u64>().unwrap_or(1).min(5));
            }
            Some(("connection", "close")) => closes = true,
            _ => {}
        }
    }
    let length = length.ok_or("an answer without content-length")?;
    if length > ANSWER_BYTES_MAX {
        return Err(format!("an answer of {length} bytes").into());
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((status, retry, body, closes))
}

fn address(host: &str) -> BenchResult<SocketAddr> {
    host.to_socket_addrs()?.next().ok_or_else(|| format!("{host} has no address").into())
}

fn said(what: &str, status: u16, body: &[u8]) -> BenchError {
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => format!("{what}: {} {}", problem.name, problem.detail).into(),
        Err(_) => format!("{what}: status {status}").into(),
    }
}
