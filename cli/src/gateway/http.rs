//! Readings by HTTP, and what the gateway shows: streams, batches, proofs of single readings.
//!
//! A small server of HTTP/1.1: a thread for each connection, a bound for everything a client sends. See [`wire`] for the
//! protocol; here are the addresses.

mod wire;

use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use chain_core::api::Problem;
use chain_core::code::{Code, Refusal};
use chain_core::crypto::Digest;
use serde::Deserialize;
use serde_json::{Value, json};

use super::intake::{self, lock};
use super::message;
use super::proof::ReadingProof;
use super::store::{Incoming, Store, Taken};
use crate::error::{CliError, CliResult};
use crate::filing::now_ms;
use wire::{Answer, Request};

/// Most connections at once.
const CONNECTIONS_MAX: usize = 64;
/// Problems named in one answer.
const PROBLEMS_SHOWN: usize = 16;

/// What a handler needs.
#[derive(Debug)]
pub(crate) struct Api {
    store: Arc<Mutex<Store>>,
    /// SHA-256 of the token that a sender must name.
    token: Option<Digest>,
}

impl Api {
    /// Over a store; with a token, nobody without it is served.
    pub(crate) fn new(store: Arc<Mutex<Store>>, token: Option<&str>) -> Self {
        Self { store, token: token.map(|token| Digest::tagged(b"", &[token.as_bytes()])) }
    }

    /// Serves connections for as long as the process lives.
    pub(crate) fn serve(self, listener: &TcpListener) {
        let api = Arc::new(self);
        let open = Arc::new(AtomicUsize::new(0));
        for connection in listener.incoming().flatten() {
            let (api, open) = (Arc::clone(&api), Arc::clone(&open));
            if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
                open.fetch_sub(1, Ordering::Relaxed);
                wire::turn_away(connection);
                continue;
            }
            std::thread::spawn(move || {
                wire::serve(connection, |request| api.answer(request));
                open.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }

    /// The answer to a request.
    fn answer(&self, request: &Request) -> Answer {
        let result = match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/healthz") => self.health(),
            _ if !self.is_known(request) => {
                return problem(
                    401,
                    &Refusal::new(Code::RoleNotAllowed, "wants Authorization: Bearer TOKEN"),
                );
            }
            ("POST", "/v1/readings") => self.take(&request.body),
            ("GET", "/v1/streams") => self.streams(),
            ("GET", "/v1/proof") => self.proof(request),
            ("GET", "/v1/batch") => self.batch(request),
            (method, path) => {
                Err(CliError::new(Code::NotFound, format!("no {method} {}", chain_core::text::shown(path))))
            }
        };
        match result {
            Ok(value) => Answer::json(200, &value),
            Err(error) => problem(status_of(error.code()), &error.refusal),
        }
    }

    fn is_known(&self, request: &Request) -> bool {
        // Digests are compared, so that the time it takes tells nothing of the token.
        let given = request.bearer.as_deref().map(|token| Digest::tagged(b"", &[token.as_bytes()]));
        self.token.is_none() || self.token == given
    }

    fn health(&self) -> CliResult<Value> {
        match lock(&self.store).is_broken() {
            false => Ok(json!({ "status": "ok" })),
            true => Err(CliError::new(Code::StorageFailed, "a write failed")),
        }
    }

    /// `{"device": …, "stream": …, "readings": […]}`.
    fn take(&self, body: &[u8]) -> CliResult<Value> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Posted {
            device: String,
            stream: String,
            readings: Vec<message::Message>,
        }
        let posted: Posted = serde_json::from_slice(body).map_err(|error| {
            let wanted = "wants {\"device\": …, \"stream\": …, \"readings\": […]}";
            CliError::new(Code::MalformedJson, format!("{error}; {wanted}"))
        })?;
        let mut store = lock(&self.store);
        let Some(stream) = store.find(&posted.device, &posted.stream) else {
            return Err(intake::unknown(&posted.device, &posted.stream).into());
        };
        // Whoever posts hears of the refusal, so nothing is set aside for it.
        let readings = message::readings(&posted.readings, store.declared(stream).stream.terms.scale)?;
        let incoming: Vec<Incoming> =
            readings.into_iter().map(|reading| Incoming { stream, reading }).collect();
        let taken = store.take(&incoming, now_ms())?;
        let count = |wanted: fn(&Taken) -> bool| taken.iter().filter(|one| wanted(one)).count();
        let refused = taken.iter().enumerate().filter_map(|(at, one)| match one {
            Taken::Refused(refusal) => {
                Some(json!({ "reading": at, "name": refusal.code, "detail": refusal.detail }))
            }
            _ => None,
        });
        Ok(json!({
            "taken": count(|one| *one == Taken::New),
            "doubled": count(|one| *one == Taken::Doubled),
            "late": count(|one| *one == Taken::Late),
            "refused": count(|one| matches!(one, Taken::Refused(_))),
            "problems": refused.take(PROBLEMS_SHOWN).collect::<Vec<_>>(),
        }))
    }

    fn streams(&self) -> CliResult<Value> {
        let store = lock(&self.store);
        let rows: CliResult<Vec<Value>> = (0..store.len()).map(|stream| row(&store, stream)).collect();
        Ok(json!({
            "schema": "city/v1/gateway-streams",
            "bytes": store.bytes(),
            "strays": store.strays(),
            "items": rows?,
        }))
    }

    fn proof(&self, request: &Request) -> CliResult<Value> {
        let store = lock(&self.store);
        let stream = stream_of(&store, request)?;
        let time = request.parameter("time").unwrap_or_default();
        let time_ms = message::time(time)?;
        let scale = store.declared(stream).stream.terms.scale;
        let value = request.parameter("value").map(|value| message::value(value, scale)).transpose()?;
        let Some((sealed, readings)) = store.batch_at(stream, time_ms)? else {
            let detail = format!("no batch covers {}", chain_core::text::shown(time));
            return Err(CliError::new(Code::NotFound, detail));
        };
        let Some(receipt) = store.receipt(stream, sealed.details.seq)? else {
            let detail = format!("batch {} has no receipt yet", sealed.details.seq);
            return Err(CliError::new(Code::ReceiptPending, detail));
        };
        drop(store);
        let proof = ReadingProof::new(&receipt, &readings, time_ms, value)?;
        serde_json::to_value(proof).map_err(CliError::internal)
    }

    fn batch(&self, request: &Request) -> CliResult<Value> {
        let store = lock(&self.store);
        let stream = stream_of(&store, request)?;
        let seq = request.parameter("seq").and_then(|seq| seq.parse().ok());
        let seq: u64 = seq.ok_or_else(|| CliError::usage("seq wants the number of a batch"))?;
        let Some(sealed) = store.batch(stream, seq)? else {
            return Err(CliError::new(Code::NotFound, format!("batch {seq} is not sealed here")));
        };
        serde_json::to_value(sealed).map_err(CliError::internal)
    }
}

/// What is shown of a stream.
pub(crate) fn row(store: &Store, stream: usize) -> CliResult<Value> {
    let standing = store.standing(stream)?;
    Ok(json!({
        "device": standing.declared.device,
        "stream": standing.declared.stream.id,
        "record": standing.declared.record,
        "open": standing.open,
        "sealed": standing.sealed,
        "waiting": standing.waiting,
        "held": standing.held.map(|refusal| refusal.to_string()),
        "taken": standing.tally.taken,
        "out_of_order": standing.tally.out_of_order,
        "doubled": standing.tally.doubled,
        "late": standing.tally.late,
        "refused": standing.tally.refused,
    }))
}

fn stream_of(store: &Store, request: &Request) -> CliResult<usize> {
    let [device, stream] = ["device", "stream"].map(|name| request.parameter(name).unwrap_or_default());
    store.find(device, stream).ok_or_else(|| intake::unknown(device, stream).into())
}

fn problem(status: u16, refusal: &Refusal) -> Answer {
    let problem = Problem::new(status, refusal);
    Answer::json(status, &serde_json::to_value(problem).unwrap_or(Value::Null))
}

const fn status_of(code: Code) -> u16 {
    match code {
        Code::NotFound | Code::StreamNotDeclared => 404,
        Code::SizeLimit => 413,
        Code::NoRoom | Code::ReceiptPending => 503,
        Code::StorageFailed | Code::StorageCorrupt | Code::Internal => 500,
        _ => 400,
    }
}

#[cfg(test)]
mod tests;
