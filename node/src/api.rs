//! The HTTP API: what clerks submit through and auditors read from.
//!
//! HTTP/1.1 with our own accept loop (`server`), because the ready-made one waits for headers without end.
//! Reading needs no login: only public records are answered. Writing needs none either: what counts is the
//! member's signature in the submission. `docs/api.md` lists the endpoints.
//!
//! # Bounds
//! See [`Limits`]; each has its default there. Work on the ledger runs on blocking threads, at most
//! [`Limits::readers`] at once; who waits longer than [`Limits::answer_time`] is told to try again.

mod access;
mod answer;
mod block;
mod deadline;
mod feed;
mod metrics;
mod node;
mod problem;
mod record;
mod request;
mod server;
mod state;
mod submit;
#[cfg(test)]
mod tests;
mod tiles;
mod timed;

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use chain_core::code::{Code, Refusal};
use futures::FutureExt as _;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use crate::handle::{Node, NodeHandle};
use metrics::Counters;
use problem::ApiError;

/// Longest time a client may ask to wait for a stage.
pub const WAIT_MAX: Duration = Duration::from_secs(60);
/// The header that says at which height an answer was given.
pub const HEIGHT_HEADER: HeaderName = HeaderName::from_static("city-height");

/// Bounds on what clients may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; more wait in the system's queue.
    pub connections: usize,
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Time for the headers of a request, a TLS handshake, and between two requests.
    pub header_time: Duration,
    /// Time for a whole body.
    pub body_time: Duration,
    /// Time between two pieces of a body.
    pub chunk_time: Duration,
    /// Time for the client to take a piece of the answer.
    pub write_time: Duration,
    /// Time to read the ledger for an answer, waiting for a reader included.
    pub answer_time: Duration,
    /// Readers of the ledger at once.
    pub readers: usize,
    /// Time for running requests when the node stops.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1_024,
            body_bytes: 1024 * 1024,
            header_time: Duration::from_secs(20),
            body_time: Duration::from_secs(30),
            chunk_time: Duration::from_secs(10),
            write_time: Duration::from_secs(20),
            answer_time: Duration::from_secs(10),
            readers: 64,
            grace: Duration::from_secs(5),
        }
    }
}

/// Where TLS finds its certificate and key.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// PEM file with the certificate chain, the server's own first.
    pub certificate: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

/// What the API needs to know.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// Where to listen.
    pub listen: SocketAddr,
    /// TLS, unless something in front does it or nobody outside reaches the address.
    pub tls: Option<TlsFiles>,
    /// Bounds.
    pub limits: Limits,
}

/// What handlers share.
struct Api {
    node: NodeHandle,
    limits: Limits,
    readers: Arc<Semaphore>,
    counters: Counters,
    tls: bool,
}

/// The running API.
#[derive(Debug)]
pub struct ApiServer {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl ApiServer {
    /// Where it listens, with the port that was given.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more requests, lets running ones end for a while, and returns when all are done.
    pub async fn shutdown(self) {
        self.stop.send_replace(true);
        // A panic of the accept loop was logged where it happened.
        let _ = self.task.await;
    }

    /// Resolves when the accept loop ended by itself, which it never should.
    pub async fn ended(&mut self) {
        let _ = (&mut self.task).await;
    }
}

/// Starts to listen.
///
/// # Errors
/// `PORT_IN_USE`; `CONFIG_INVALID` for TLS files that do not fit.
pub async fn start(config: ApiConfig, node: NodeHandle) -> Result<ApiServer, Refusal> {
    let in_use = |error: std::io::Error| {
        Refusal::new(Code::PortInUse, format!("cannot listen on {}: {error}", config.listen))
    };
    let tls = config.tls.as_ref().map(server::acceptor).transpose()?;
    let listener = TcpListener::bind(config.listen).await.map_err(in_use)?;
    let address = listener.local_addr().map_err(in_use)?;
    let api = Arc::new(Api {
        node,
        limits: config.limits,
        readers: Arc::new(Semaphore::new(config.limits.readers)),
        counters: Counters::default(),
        tls: tls.is_some(),
    });
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(server::serve(listener, tls, router(Arc::clone(&api)), api, stopped));
    Ok(ApiServer { address, stop, task })
}

fn router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/v1/records", get(record::list).post(submit::submit))
        .route("/v1/batches", post(submit::submit))
        .route("/v1/transactions", post(submit::submit))
        .route("/v1/records:dry-run", post(submit::dry_run))
        .route("/v1/transactions/{id}", get(submit::transaction))
        .route("/v1/records/{id}", get(record::one))
        .route("/v1/records/{id}/history", get(record::history))
        .route("/v1/records/{id}/receipt", get(record::receipt))
        .route("/v1/access", post(access::ask))
        .route("/v1/access/roots/{agency}/{day}", get(access::root))
        .route("/v1/state/{entry}/proof", get(state::proof))
        .route("/v1/subjects/{subject}/proof", get(state::subject))
        .route("/v1/agencies", get(record::agencies))
        .route("/v1/members", get(record::members))
        .route("/v1/legal-bases", get(record::legal_bases))
        .route("/v1/schemas", get(record::schemas))
        .route("/v1/calendars", get(deadline::calendars))
        .route("/v1/deadlines", get(deadline::list))
        .route("/v1/deadlines.ics", get(deadline::feed))
        .route("/v1/feed", get(feed::feed))
        .route("/v1/blocks", get(block::list))
        .route("/v1/blocks/{id}", get(block::one))
        .route("/v1/blocks/{id}/raw", get(block::raw))
        .route("/v1/raw-blocks", get(block::raw_list))
        .route("/v1/validators", get(node::validators))
        .route("/v1/epochs/{id}/handover", get(node::hand_over))
        .route("/v1/node/ready", get(node::say_ready))
        .route("/v1/evidence", get(node::evidence))
        .route("/v1/status", get(node::status))
        .route("/v1/node/why", get(node::why))
        .route("/v1/genesis", get(node::genesis))
        .route("/v1/errors", get(node::errors))
        .route("/healthz", get(node::healthz))
        .route("/readyz", get(node::readyz))
        .route("/version", get(node::version))
        .route("/metrics", get(node::metrics))
        .route("/checkpoint", get(tiles::checkpoint))
        .route("/tile/{*path}", get(tiles::tile))
        .fallback(node::not_found)
        .method_not_allowed_fallback(node::method_not_allowed)
        .layer(middleware::from_fn_with_state(Arc::clone(&api), around))
        .with_state(api)
}

/// Around every request: no panic reaches the client, and every answer carries the height.
async fn around(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut response = answer.unwrap_or_else(|_| {
        tracing::error!("a handler of the API panicked");
        ApiError::new(Code::Internal, "the request hit a bug").into_response()
    });
    api.counters.answered(response.status());
    let headers = response.headers_mut();
    headers.insert(HEIGHT_HEADER, HeaderValue::from(api.node.height().get()));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if api.tls {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    response
}

impl Api {
    /// Runs work that may block on the disk, bounded in number and time.
    async fn read<T, F>(self: &Arc<Self>, work: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Node) -> Result<T, Refusal> + Send + 'static,
    {
        let busy = || ApiError::new(Code::NotReady, "too many requests at once");
        let late = || {
            ApiError::new(Code::RequestTimeout, "the answer took too long")
                .with_status(StatusCode::SERVICE_UNAVAILABLE)
        };
        let deadline = tokio::time::Instant::now() + self.limits.answer_time;
        let permit = tokio::time::timeout_at(deadline, Arc::clone(&self.readers).acquire_owned());
        let permit = permit.await.map_err(|_| busy())?.map_err(|_| busy())?;
        let node = Arc::clone(&self.node);
        let task = tokio::task::spawn_blocking(move || {
            // Held until the work is done, even when nobody waits for it any more.
            let _permit = permit;
            work(&*node)
        });
        match tokio::time::timeout_at(deadline, task).await {
            Err(_) => Err(late()),
            Ok(Err(error)) => {
                tracing::error!(%error, "reading the ledger panicked");
                Err(ApiError::new(Code::Internal, "the request hit a bug"))
            }
            Ok(Ok(result)) => Ok(result?),
        }
    }
}
