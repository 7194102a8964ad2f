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
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::config::Device;
use super::entity::{self, Measured};
use super::intake::{self, Sent, lock};
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
    /// The devices, for entities that speak of them.
    devices: Vec<Device>,
}

/// What became of readings.
#[derive(Debug, Default, Serialize)]
struct Counts {
    taken: u64,
    doubled: u64,
    late: u64,
    refused: u64,
}

impl Counts {
    fn add(&mut self, one: &Taken) {
        let count = match one {
            Taken::New => &mut self.taken,
            Taken::Doubled => &mut self.doubled,
            Taken::Late => &mut self.late,
            Taken::Refused(_) => &mut self.refused,
        };
        *count += 1;
    }

    /// As an answer, with the first of its problems.
    fn answer(&self, problems: &[Value]) -> CliResult<Value> {
        let mut answer = serde_json::to_value(self).map_err(CliError::internal)?;
        answer["problems"] = problems.iter().take(PROBLEMS_SHOWN).cloned().collect();
        Ok(answer)
    }
}

impl Api {
    /// Over a store; with a token, nobody without it is served.
    pub(crate) fn new(store: Arc<Mutex<Store>>, token: Option<&str>, devices: Vec<Device>) -> Self {
        Self { store, token: token.map(|token| Digest::tagged(b"", &[token.as_bytes()])), devices }
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
            ("POST", "/v1/entities") => self.take_entities(&request.body),
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
        let (mut counts, mut problems) = (Counts::default(), Vec::new());
        for (at, one) in taken.iter().enumerate() {
            counts.add(one);
            if let Taken::Refused(refusal) = one {
                problems.push(json!({ "reading": at, "name": refusal.code, "detail": refusal.detail }));
            }
        }
        counts.answer(&problems)
    }

    /// Entities, or a notification with them. A broker reads no answers, so whatever is refused is set aside.
    fn take_entities(&self, body: &[u8]) -> CliResult<Value> {
        let found = entity::read(body, &self.devices)?;
        let sent: Vec<Sent<'_>> = found.readings.iter().map(Measured::sent).collect();
        let (mut counts, mut problems) = (Counts::default(), Vec::new());
        for (measured, answer) in found.readings.iter().zip(intake::take(&self.store, &sent)?) {
            for one in answer.unwrap_or_else(|refusal| vec![Taken::Refused(refusal)]) {
                counts.add(&one);
                if let Taken::Refused(refusal) = &one {
                    let (device, stream) = measured.names();
                    problems.push(json!({
                        "device": device, "stream": stream, "name": refusal.code, "detail": refusal.detail,
                    }));
                }
            }
        }
        let mut answer = counts.answer(&problems)?;
        answer["entities"] = found.entities.into();
        answer["unread"] = found.unread.into_iter().collect();
        Ok(answer)
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
