//! Errors as answers: a status and `{"error":"what is wrong"}`.
//!
//! Invariant: a wrong request is never a 500, and what only the operator should see is in the log, not in the answer.
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use logyard_storage::error::{Error, ErrorKind};
use serde_json::json;

/// An answer that says what is wrong.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    body: serde_json::Value,
}

impl ApiError {
    /// An error with this status and text.
    pub(crate) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, body: json!({ "error": error.into() }) }
    }

    /// The request is wrong.
    pub(crate) fn bad(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
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

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let status = match error.kind() {
            ErrorKind::Invalid => StatusCode::BAD_REQUEST,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
            ErrorKind::Busy | ErrorKind::Poisoned | ErrorKind::Closed | ErrorKind::Budget | ErrorKind::Cancelled => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        if !status.is_server_error() {
            return Self::new(status, error.to_string());
        }
        super::complain(format_args!("{error:?}"));
        match status {
            StatusCode::INTERNAL_SERVER_ERROR => {
                Self::new(status, "Internal server error").with("message", "the server's log says more")
            }
            _ => Self::new(status, error.to_string()),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = json_response(self.status, self.body.to_string());
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// An answer of JSON text.
pub(crate) fn json_response(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}
