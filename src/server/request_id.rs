//! `X-Request-Id` on every answer: the client's own if it is a sensible one, else a new one.
//!
//! Invariants
//! * A client's id is kept if it is 1 to [`BYTES_MAX`] visible ASCII characters; any other is replaced, and never comes back.
//! * The answer has the id that its handler saw.
use super::Server;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use logyard_storage::env::Env;
use std::sync::Arc;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The id of a request, for who answers it.
#[derive(Clone)]
pub(super) struct RequestId(pub(super) Arc<str>);

const BYTES_MAX: usize = 128;

/// The outermost middleware.
pub(super) async fn tag(State(server): State<Arc<Server>>, mut request: Request, next: Next) -> Response {
    let is_sensible = |id: &&HeaderValue| {
        (1..=BYTES_MAX).contains(&id.len()) && id.as_bytes().iter().all(|byte| byte.is_ascii_graphic())
    };
    let id = match request.headers().get(REQUEST_ID).filter(is_sensible) {
        Some(id) => id.clone(),
        None => {
            let text = fresh(&*server.env);
            HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("-"))
        }
    };
    request.extensions_mut().insert(RequestId(id.to_str().unwrap_or("-").into()));
    let mut response = next.run(request).await;
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// A new one.
pub(super) fn fresh(env: &dyn Env) -> String {
    format!("{:016x}", env.random())
}
