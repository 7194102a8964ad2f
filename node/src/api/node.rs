//! What the node says about itself, and what never changes.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use chain_core::code::Code;
use chain_core::id::Epoch;
use serde::Serialize;

use super::Api;
use super::answer::{Freshness, bytes_as, json};
use super::problem::ApiError;
use super::record::{Nothing, PageParams, page_size};
use super::request::{Params, Segment, parse};

/// `GET /v1/status`.
pub(super) async fn status(State(api): State<Arc<Api>>, headers: HeaderMap) -> Result<Response, ApiError> {
    json(&api.read(|node| Ok(node.status())).await?, Freshness::Now, &headers)
}

/// `GET /v1/node/why`.
pub(super) async fn why(State(api): State<Arc<Api>>, headers: HeaderMap) -> Result<Response, ApiError> {
    json(&api.read(|node| Ok(node.why())).await?, Freshness::Now, &headers)
}

/// `GET /v1/validators`.
pub(super) async fn validators(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    json(&api.read(|node| node.validators()).await?, Freshness::Revalidate, &headers)
}

/// `GET /v1/epochs/{epoch}/handover`.
pub(super) async fn hand_over(
    State(api): State<Arc<Api>>,
    Segment(epoch): Segment,
    Params(Nothing {}): Params<Nothing>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let epoch = Epoch::new(parse("the epoch", &epoch)?);
    let hand_over = api.read(move |node| node.hand_over(epoch)).await?;
    // What made the closing block final may be another certificate at another node, or later.
    json(&hand_over, Freshness::Revalidate, &headers)
}

/// `GET /v1/node/ready`: this node's signed word that it can take part.
pub(super) async fn say_ready(
    State(api): State<Arc<Api>>,
    Params(Nothing {}): Params<Nothing>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    json(&api.read(|node| node.say_ready()).await?, Freshness::Now, &headers)
}

/// `GET /v1/evidence`.
pub(super) async fn evidence(
    State(api): State<Arc<Api>>,
    Params(page): Params<PageParams>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let limit = page_size(page.limit)?;
    let page = api.read(move |node| node.evidence(page.cursor.as_deref(), limit)).await?;
    json(&page, Freshness::Revalidate, &headers)
}

/// `GET /v1/genesis`.
pub(super) async fn genesis(State(api): State<Arc<Api>>, headers: HeaderMap) -> Response {
    bytes_as("application/toml", api.node.genesis().as_bytes().to_vec(), Freshness::Immutable, &headers)
}

/// One entry of the catalogue.
#[derive(Debug, Serialize)]
struct Entry {
    code: String,
    name: &'static str,
    meaning: &'static str,
    hint: &'static str,
}

/// `GET /v1/errors`.
pub(super) async fn errors(headers: HeaderMap) -> Result<Response, ApiError> {
    let entry = |&code: &Code| Entry {
        code: format!("E{:04}", code.number()),
        name: code.name(),
        meaning: code.meaning(),
        hint: code.hint(),
    };
    json(&Code::ALL.iter().map(entry).collect::<Vec<_>>(), Freshness::Revalidate, &headers)
}

/// `GET /healthz`: the process answers.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: the node serves.
pub(super) async fn readyz(State(api): State<Arc<Api>>) -> Result<&'static str, ApiError> {
    api.read(|node| node.ready()).await?;
    Ok("ready\n")
}

/// The software.
#[derive(Debug, Serialize)]
struct Version {
    name: &'static str,
    version: &'static str,
    protocol: u8,
}

/// `GET /version`.
pub(super) async fn version(headers: HeaderMap) -> Result<Response, ApiError> {
    let version = Version {
        name: "city-node",
        version: env!("CARGO_PKG_VERSION"),
        protocol: crate::network::hello::PROTOCOL_VERSION,
    };
    json(&version, Freshness::Revalidate, &headers)
}

/// `GET /metrics`.
pub(super) async fn metrics(State(api): State<Arc<Api>>, headers: HeaderMap) -> Result<Response, ApiError> {
    let mut samples = api.read(|node| Ok(node.metrics())).await?;
    samples.extend(api.counters.samples());
    let text = super::metrics::exposition(samples)
        .map_err(|error| ApiError::new(Code::Internal, format!("metrics cannot be written: {error}")))?;
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(bytes_as(OPEN_METRICS, text.into_bytes(), Freshness::Now, &headers))
}

/// Anything else.
pub(super) async fn not_found() -> Response {
    ApiError::new(Code::NotFound, "no such address").into_response()
}

/// A known address with a method it does not have.
pub(super) async fn method_not_allowed() -> Response {
    ApiError::new(Code::MethodNotAllowed, "this address has other methods; see Allow").into_response()
}
