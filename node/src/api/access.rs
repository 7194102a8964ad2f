//! What is not public, for officers of the agencies whose vaults this node keeps, and what their logs of reads come to.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use chain_core::access::SignedQuery;
use chain_core::date::Date;
use chain_core::org::OrgId;

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

/// `GET /v1/access/roots/{agency}/{day}`.
pub(super) async fn root(
    State(api): State<Arc<Api>>,
    Segment((agency, day)): Segment<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let agency: OrgId = parse("the agency", &agency)?;
    let day: Date = parse("the day", &day)?;
    json(&api.read(move |node| node.access_root(&agency, day)).await?, Freshness::Now, &headers)
}
