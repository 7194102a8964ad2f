//! Submitting, and asking how far a transaction has come.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use chain_core::api::{Stage, TransactionStatus};
use chain_core::code::Code;
use chain_core::id::TxId;
use serde::Deserialize;

use super::answer::{Freshness, json};
use super::problem::ApiError;
use super::request::{Params, Segment, parse, submission};
use super::{Api, WAIT_MAX};

/// What a client waits for, and how long.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wait {
    wait: Option<WaitFor>,
    timeout_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WaitFor {
    Accepted,
    Final,
    Executed,
}

impl Wait {
    /// The stage and the patience; none when nothing is to be waited for. Longer than [`WAIT_MAX`] is cut.
    fn goal(&self) -> Option<(Stage, Duration)> {
        let stage = match self.wait? {
            WaitFor::Accepted => return None,
            WaitFor::Final => Stage::Final,
            WaitFor::Executed => Stage::Executed,
        };
        Some((stage, self.timeout_ms.map_or(Duration::from_secs(10), Duration::from_millis).min(WAIT_MAX)))
    }
}

/// `POST /v1/records`, `/v1/batches`, `/v1/transactions`.
pub(super) async fn submit(
    State(api): State<Arc<Api>>,
    Params(wait): Params<Wait>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let submission = submission(&headers, body, &api.limits).await?;
    let tx = api.read(move |node| node.submit(submission)).await.map_err(|error| api.later(error))?;
    let status = api.status_after(tx, wait.goal()).await?;
    let mut response = json(&status, Freshness::Now, &headers)?;
    if status.stage < Stage::Final {
        *response.status_mut() = StatusCode::ACCEPTED;
    }
    if let Ok(location) = HeaderValue::try_from(format!("/v1/transactions/{tx}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// `GET /v1/transactions/{id}`.
pub(super) async fn transaction(
    State(api): State<Arc<Api>>,
    Segment(id): Segment,
    Params(wait): Params<Wait>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let tx = parse("the transaction id", &id)?;
    json(&api.status_after(tx, wait.goal()).await?, Freshness::Now, &headers)
}

/// `POST /v1/records:dry-run`.
pub(super) async fn dry_run(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let submission = submission(&headers, body, &api.limits).await?;
    let trial = api.read(move |node| node.check(&submission)).await.map_err(|error| api.later(error))?;
    json(&trial, Freshness::Now, &headers)
}

impl Api {
    /// Says when to come back, where the node is full.
    fn later(&self, error: ApiError) -> ApiError {
        if error.code() == Code::QueueFull { error.retry_after(self.node.retry_after()) } else { error }
    }

    /// Where a transaction stands once it reached a stage or patience ended.
    async fn status_after(
        self: &Arc<Self>,
        tx: TxId,
        goal: Option<(Stage, Duration)>,
    ) -> Result<TransactionStatus, ApiError> {
        if let Some((stage, patience)) = goal {
            // Whether it got there or not, the status says how far it came.
            let _ = tokio::time::timeout(patience, self.node.wait(tx, stage)).await;
        }
        self.read(move |node| node.transaction(tx)).await
    }
}
