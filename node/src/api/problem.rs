//! Errors as RFC 9457 problems, with the code of the one catalogue and a fitting HTTP status.

use std::time::Duration;

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use chain_core::api::Problem;
use chain_core::code::{Code, Refusal};

/// A refusal on its way to the client.
#[derive(Clone, Debug)]
pub(super) struct ApiError {
    refusal: Refusal,
    status: StatusCode,
    retry_after: Option<Duration>,
}

impl ApiError {
    /// A refusal of the API itself.
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        Refusal::new(code, detail).into()
    }

    /// The same with another status than the code's usual one.
    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Says when to come back.
    pub(super) fn retry_after(mut self, pause: Duration) -> Self {
        self.retry_after = Some(pause);
        self
    }

    /// What was refused.
    pub(super) fn code(&self) -> Code {
        self.refusal.code
    }
}

impl From<Refusal> for ApiError {
    /// Storage errors and bugs may name paths and other things of the machine: those go to the log only.
    fn from(mut refusal: Refusal) -> Self {
        if refusal.code.number() >= 800 {
            tracing::error!(code = %refusal.code, detail = refusal.detail, "a request failed");
            refusal.detail = "see the node's log".to_owned();
        }
        let status = status_of(refusal.code);
        let retry_after = matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
            .then(|| Duration::from_secs(1));
        Self { refusal, status, retry_after }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let problem = Problem::new(self.status.as_u16(), &self.refusal);
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(pause) = self.retry_after {
            let seconds = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response
    }
}

/// The HTTP status of a code.
fn status_of(code: Code) -> StatusCode {
    match code {
        Code::SizeLimit => StatusCode::PAYLOAD_TOO_LARGE,
        Code::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        Code::QueueFull => StatusCode::TOO_MANY_REQUESTS,
        Code::NotReady | Code::NotFinal | Code::ReceiptPending => StatusCode::SERVICE_UNAVAILABLE,
        Code::NotFound | Code::RecordNotFound | Code::NotYetExecuted | Code::NoSubjectIndex => {
            StatusCode::NOT_FOUND
        }
        Code::StatePruned | Code::BlockPruned => StatusCode::GONE,
        Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Code::NotDisclosed | Code::NotOwnNode => StatusCode::FORBIDDEN,
        Code::IdempotencyConflict
        | Code::DuplicateNaturalKey
        | Code::VersionConflict
        | Code::BadState
        | Code::StaleDigest
        | Code::Replayed
        | Code::AlreadyExists
        | Code::ReadyNotNeeded
        | Code::NotWanted
        | Code::SafetyLost
        | Code::GenesisMismatch => StatusCode::CONFLICT,
        other => match other.number() / 100 {
            1 => StatusCode::BAD_REQUEST,
            2 | 4 => StatusCode::UNPROCESSABLE_ENTITY,
            3 => StatusCode::FORBIDDEN,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_status_that_says_whose_fault_it_is() {
        for &code in Code::ALL {
            let status = status_of(code);
            assert!(status.is_client_error() || status.is_server_error(), "{code}");
            if code.number() < 500 {
                assert!(status.is_client_error(), "{code} is the client's");
            }
        }
    }

    #[test]
    fn retry_after_is_whole_seconds_and_never_zero() {
        let error = ApiError::new(Code::QueueFull, "full").retry_after(Duration::from_millis(1_200));
        assert_eq!(error.into_response().headers()[RETRY_AFTER], "2");
        let error = ApiError::new(Code::QueueFull, "full").retry_after(Duration::ZERO);
        assert_eq!(error.into_response().headers()[RETRY_AFTER], "1");
    }
}
