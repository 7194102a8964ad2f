//! How things stood after a block, proved.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use chain_core::id::Height;
use chain_core::org::OrgId;
use chain_core::state::EntryName;
use serde::Deserialize;

use super::Api;
use super::answer::{Freshness, json};
use super::problem::ApiError;
use super::request::{Params, Segment};

/// After which block.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProofParams {
    at: Option<u64>,
}

/// `GET /v1/state/{entry}/proof`.
pub(super) async fn proof(
    State(api): State<Arc<Api>>,
    Segment(entry): Segment,
    Params(params): Params<ProofParams>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let entry: EntryName = entry.parse()?;
    let proof = api.read(move |node| node.state_proof(entry, params.at.map(Height::new))).await?;
    json(&proof, Freshness::Revalidate, &headers)
}

/// `GET /v1/subjects/{subject}/proof`.
pub(super) async fn subject(
    State(api): State<Arc<Api>>,
    Segment(subject): Segment,
    Params(params): Params<ProofParams>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let subject: OrgId = subject.parse()?;
    let proof = api.read(move |node| node.subject_proof(subject, params.at.map(Height::new))).await?;
    json(&proof, Freshness::Revalidate, &headers)
}
