//! How many requests are answered at once.
//!
//! Invariant: one too many costs nothing but its head and the answer that says so.
use super::Server;
use super::error::ApiError;
use super::listen::Held;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// Lets a request through if there is room, which it keeps until its answer has been given.
pub(super) async fn admit(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    match Arc::clone(&server.requests).try_acquire_owned() {
        Ok(place) => next.run(request).await.map(|body| Body::new(Held::new(body, place))),
        Err(_) => {
            let error = "as many requests are answered as may; come back in a second, or raise server.max_requests \
                (LOGYARD_SERVER_MAX_REQUESTS)";
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error).into_response()
        }
    }
}
