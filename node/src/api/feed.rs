//! `GET /v1/feed`: the record log as events, a page at a time or as it grows.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use chain_core::api::{Cursor, FEED_MAX, FeedEvent, FeedKind};
use chain_core::code::Code;
use chain_core::id::Height;
use serde::Deserialize;
use tokio::time::Instant;

use super::Api;
use super::problem::ApiError;
use super::request::Params;
use crate::handle::{FeedPage, FeedQuery};

/// The header that says where to go on after a page.
pub(super) const CURSOR_HEADER: HeaderName = HeaderName::from_static("city-cursor");
/// How SSE clients say where they were.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// How often a reader that waits learns that the connection is alive.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often the log is looked at for new leaves.
const LOOK: Duration = Duration::from_millis(100);
/// Longest wait for the first event of a page.
const WAIT_MAX_MS: u64 = 60_000;

/// Which events.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FeedParams {
    cursor: Option<String>,
    from_height: Option<u64>,
    limit: Option<usize>,
    types: Option<String>,
    payload: Option<String>,
    follow: Option<bool>,
    wait_ms: Option<u64>,
}

/// How events are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Form {
    /// One event a line.
    Lines,
    /// Server-sent events.
    Sse,
}

impl Form {
    const fn media_type(self) -> &'static str {
        match self {
            Self::Lines => "application/x-ndjson",
            Self::Sse => "text/event-stream",
        }
    }

    fn write(self, events: &[FeedEvent]) -> Result<Vec<u8>, ApiError> {
        let mut bytes = Vec::new();
        for event in events {
            let json = serde_json::to_string(event).map_err(|error| {
                ApiError::new(Code::Internal, format!("event cannot be written: {error}"))
            })?;
            let text = match self {
                Self::Lines => format!("{json}\n"),
                Self::Sse => {
                    format!("id: {}\nevent: {}\ndata: {json}\n\n", event.citycursor, event.event_type)
                }
            };
            bytes.extend_from_slice(text.as_bytes());
        }
        Ok(bytes)
    }

    const fn heartbeat(self) -> &'static [u8] {
        match self {
            Self::Lines => b"\n",
            Self::Sse => b": still here\n\n",
        }
    }
}

/// `GET /v1/feed`.
pub(super) async fn feed(
    State(api): State<Arc<Api>>,
    Params(params): Params<FeedParams>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let limit = match params.limit.unwrap_or(FEED_MAX) {
        limit @ 1..=FEED_MAX => limit,
        limit => {
            let detail = format!("limit is {limit}, wants 1 to {FEED_MAX}");
            return Err(ApiError::new(Code::BadParameter, detail));
        }
    };
    let form = form(&headers);
    let query = query(&api, &params, &headers, form).await?;
    if params.follow == Some(true) || form == Form::Sse {
        return follow(api, query, form, limit).await;
    }
    let until = Instant::now() + Duration::from_millis(params.wait_ms.unwrap_or(0).min(WAIT_MAX_MS));
    let page = page(&api, query, limit, until).await?;
    let mut response = respond(form, Body::from(form.write(&page.events)?));
    if let Ok(cursor) = HeaderValue::try_from(page.next.to_string()) {
        response.headers_mut().insert(CURSOR_HEADER, cursor);
    }
    Ok(response)
}

fn respond(form: Form, body: Body) -> Response {
    let mut response = (StatusCode::OK, body).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(form.media_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn form(headers: &HeaderMap) -> Form {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    match accepted.flat_map(|list| list.split(',')).any(|one| one.trim().starts_with("text/event-stream")) {
        true => Form::Sse,
        false => Form::Lines,
    }
}

async fn query(
    api: &Arc<Api>,
    params: &FeedParams,
    headers: &HeaderMap,
    form: Form,
) -> Result<FeedQuery, ApiError> {
    let last = headers.get(LAST_EVENT_ID).filter(|_| form == Form::Sse);
    let last = last.and_then(|value| value.to_str().ok());
    let cursor = match (last.or(params.cursor.as_deref()), params.from_height) {
        (Some(_), Some(_)) => {
            return Err(ApiError::new(Code::BadParameter, "give cursor or from_height, not both"));
        }
        (Some(cursor), None) => Some(cursor.parse::<Cursor>()?),
        (None, Some(height)) => Some(api.read(move |node| node.feed_from(Height::new(height))).await?),
        (None, None) => None,
    };
    let names = params.types.as_deref().unwrap_or_default().split(',').filter(|name| !name.is_empty());
    let kinds = names.map(|name| {
        FeedKind::from_name(name).ok_or_else(|| {
            let known: Vec<&str> = FeedKind::ALL.iter().map(|kind| kind.name()).collect();
            ApiError::new(
                Code::BadParameter,
                format!("types has {name:?}, wants some of {}", known.join(", ")),
            )
        })
    });
    let whole = match params.payload.as_deref() {
        None | Some("leaf") => true,
        Some("hash") => false,
        Some(other) => {
            return Err(ApiError::new(
                Code::BadParameter,
                format!("payload is {other:?}, wants leaf or hash"),
            ));
        }
    };
    Ok(FeedQuery { cursor, kinds: kinds.collect::<Result<_, _>>()?, whole })
}

/// The next events; waits for the first one until a time. Leaves that were passed over are not looked at again.
async fn page(
    api: &Arc<Api>,
    mut query: FeedQuery,
    limit: usize,
    until: Instant,
) -> Result<FeedPage, ApiError> {
    loop {
        let height = api.node.height();
        let asked = query.clone();
        let page = api.read(move |node| node.feed(&asked, limit)).await?;
        let moved = query.cursor != Some(page.next);
        if !page.events.is_empty() || (!moved && Instant::now() >= until) {
            return Ok(page);
        }
        query.cursor = Some(page.next);
        while !moved && api.node.height() == height && Instant::now() < until {
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Events for as long as the reader takes them; it is cut when it does not (see [`super::Limits::write_time`]).
async fn follow(api: Arc<Api>, query: FeedQuery, form: Form, limit: usize) -> Result<Response, ApiError> {
    // What is wrong with the request is said as an error, not in the middle of a stream.
    let first = page(&api, query.clone(), limit, Instant::now()).await?;
    let begun = Some((api, FeedQuery { cursor: Some(first.next), ..query }, Some(first)));
    let events = futures::stream::unfold(begun, move |state| async move {
        let (api, query, first) = state?;
        let page = match first {
            Some(first) => Ok(first),
            None => page(&api, query.clone(), limit, Instant::now() + HEARTBEAT).await,
        };
        let written = page.and_then(|page| {
            let bytes =
                if page.events.is_empty() { form.heartbeat().to_vec() } else { form.write(&page.events)? };
            Ok((Bytes::from(bytes), page.next))
        });
        match written {
            Ok((bytes, next)) => {
                let query = FeedQuery { cursor: Some(next), ..query };
                Some((Ok::<_, std::io::Error>(bytes), Some((api, query, None))))
            }
            // The reader goes on from its cursor, here or at another node.
            Err(error) => Some((Err(std::io::Error::other(error.code().name())), None)),
        }
    });
    Ok(respond(form, Body::from_stream(events)))
}
