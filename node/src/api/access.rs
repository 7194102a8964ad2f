//! What is not public, for officers of the agency whose vault this node keeps, and what its log of reads comes to.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use chain_core::access::SignedQuery;
use chain_core::date::Date;

use super::Api;
use super::answer::{Freshness, json};
use super::problem::ApiError;
use super::request::{Segment, json_body, parse};

/// `POST /v1/access`.
pub(super) async fn ask(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let asked: SignedQuery = json_body(&headers, body, &api.limits).await?;
    json(&api.read(move |node| node.access(&asked)).await?, Freshness::Now, &headers)
}

/// `GET /v1/access/roots/{day}`.
pub(super) async fn root(
    State(api): State<Arc<Api>>,
    Segment(day): Segment,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let day: Date = parse("the day", &day)?;
    json(&api.read(move |node| node.access_root(day)).await?, Freshness::Now, &headers)
}
