//! Writing answers: JSON, bytes, caching.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use chain_core::code::Code;
use chain_core::crypto::Digest;
use serde::Serialize;

use super::problem::ApiError;

/// How long an answer stays true.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Freshness {
    /// For ever: it may be cached without asking again.
    Immutable,
    /// Ask again, but an equal answer need not be sent twice.
    Revalidate,
    /// Only now.
    Now,
}

/// A JSON answer.
pub(super) fn json<T: Serialize>(
    value: &T,
    freshness: Freshness,
    request: &HeaderMap,
) -> Result<Response, ApiError> {
    let bytes = serde_json::to_vec(value)
        .map_err(|error| ApiError::new(Code::Internal, format!("answer cannot be written: {error}")))?;
    Ok(bytes_as("application/json", bytes, freshness, request))
}

/// An answer of any media type. A client that holds the same bytes gets 304.
pub(super) fn bytes_as(
    media_type: &'static str,
    bytes: Vec<u8>,
    freshness: Freshness,
    request: &HeaderMap,
) -> Response {
    let cache = match freshness {
        Freshness::Immutable => "public, max-age=31536000, immutable",
        Freshness::Revalidate => "no-cache",
        Freshness::Now => "no-store",
    };
    let tag = (freshness != Freshness::Now).then(|| tag(&bytes));
    let held = tag.as_ref().is_some_and(|tag| {
        let known = request.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        known.flat_map(|list| list.split(',')).any(|one| one.trim().trim_start_matches("W/") == tag)
    });
    let mut response = if held {
        (StatusCode::NOT_MODIFIED, Body::empty()).into_response()
    } else {
        let mut response = Body::from(bytes).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        response
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    if let Some(tag) = tag.and_then(|tag| HeaderValue::try_from(tag).ok()) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

fn tag(bytes: &[u8]) -> String {
    format!("\"{}\"", &Digest::tagged(b"CL/etag/1", &[bytes]).to_string()[..32])
}
