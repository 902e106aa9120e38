//! Errors as answers: a status and `{"error":"what is wrong"}`.
//!
//! Invariant: a wrong request is never a 500, and what only the operator should see is in the log, not in the answer.
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use logyard_storage::error::{Error, ErrorKind};
use logyard_storage::query::Fault;
use serde_json::json;
use std::fmt;

/// Why an answer is an error, as it is counted; beside the answer, not in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reason(pub(super) &'static str);

/// The reason where only the status is known.
pub(super) fn reason_of(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "invalid",
        401 => "no_credential",
        403 => "forbidden",
        404 => "not_found",
        405 => "method_not_allowed",
        408 => "slow_client",
        409 => "conflict",
        413 => "too_large",
        415 => "unsupported_media_type",
        422 => "unprocessable",
        429 => "too_many",
        431 => "too_many_headers",
        503 => "busy",
        507 => "disk_full",
        500..=599 => "internal",
        _ => "other",
    }
}

/// An answer that says what is wrong.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    body: serde_json::Value,
    retry_after: u64,
    reason: Option<Reason>,
}

impl ApiError {
    /// An error with this status and text.
    pub(crate) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, body: json!({ "error": error.into() }), retry_after: 1, reason: None }
    }

    /// The request is wrong.
    pub(crate) fn bad(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    /// The same error with the fields that clients of Prometheus look for.
    #[must_use]
    pub(crate) fn for_prometheus(self) -> Self {
        let status = self.status.as_str().to_owned();
        self.with("status", "error").with("errorType", status)
    }

    /// The same error with the seconds after which to try again.
    #[must_use]
    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = seconds;
        self
    }

    /// The same error with another field in its body.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        if let Some(body) = self.body.as_object_mut() {
            body.insert(name.into(), value.into());
        }
        self
    }
}

impl ApiError {
    /// Its body alone.
    pub(crate) fn into_body(self) -> serde_json::Value {
        self.body
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.body)
    }
}

impl std::error::Error for ApiError {}

/// What is wrong with a query, and at which byte of it.
impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        Self::bad(fault.to_string()).with("position", fault.at()).with("reason", fault.reason())
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let status = match error.kind() {
            ErrorKind::Invalid => StatusCode::BAD_REQUEST,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
            // The same query would go over it again.
            ErrorKind::Budget => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorKind::Busy
            | ErrorKind::Poisoned
            | ErrorKind::Closed
            | ErrorKind::OverTime
            | ErrorKind::Cancelled
            | ErrorKind::Unavailable
            | ErrorKind::Denied => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let is_of_callers = matches!(error.kind(), ErrorKind::OverTime | ErrorKind::Cancelled);
        let internal = status == StatusCode::INTERNAL_SERVER_ERROR;
        if status.is_server_error() && !is_of_callers {
            crate::log::error(format_args!("{error:?}"));
        }
        let answer = if internal {
            Self::new(status, "Internal server error").with("message", "the server's log says more")
        } else {
            Self::new(status, error.to_string())
        };
        // Grafana's plugin takes a 422 for no error at all unless it says so.
        let is_over = status == StatusCode::UNPROCESSABLE_ENTITY;
        let answer = if is_over { answer.for_prometheus() } else { answer };
        Self { reason: Some(Reason(error.kind().name())), ..answer }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = json_response(self.status, self.body.to_string());
        if let Some(reason) = self.reason {
            response.extensions_mut().insert(reason);
        }
        if matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(self.retry_after));
        }
        response
    }
}

/// An answer of JSON text.
pub(crate) fn json_response(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_of_ours_is_no_fault_of_the_request() {
        let bug = ApiError::from(Error::new(ErrorKind::Bug, "BUG: states of different functions"));
        assert_eq!(bug.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!bug.to_string().contains("BUG"), "{bug}");
        let wrong = ApiError::from(Error::invalid("no such field"));
        assert_eq!((wrong.status, wrong.body["error"].as_str()), (StatusCode::BAD_REQUEST, Some("no such field")));
    }
}
