//! The HTTP API: routes, who may use them, and what surrounds each request.
//!
//! Invariants
//! * Every route but `/health` and `/ready` is behind the door; a new route is put behind it unless it says otherwise.
//! * The engine blocks, so it is called on the blocking pool only.
mod admin_key;
mod auth;
mod body;
mod builders;
mod busy;
mod configs;
mod error;
mod ingest;
mod lines;
mod listen;
mod logs;
mod ops;
mod own;
mod params;
mod ranked;
mod request_id;
mod room;
mod row;
mod select;
mod services;
mod tail;
mod tails;
mod tls;
mod turns;

pub(crate) use admin_key::{KeyHash, load_or_make};
pub(crate) use auth::Door;
pub(crate) use builders::Builders;
pub(crate) use listen::{listen, serve};
pub(crate) use own::tell_retention;
pub(crate) use room::BodyMemory;
pub(crate) use tails::Tails;
pub(crate) use tls::Tls;
pub(crate) use turns::Queries;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use error::ApiError;
use logyard_storage::engine::Engine;
use logyard_storage::env::Env;
use std::io::Write;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// What the handlers share.
pub(crate) struct Server {
    pub(crate) engine: Arc<Engine>,
    pub(crate) env: Arc<dyn Env>,
    pub(crate) door: Door,
    pub(crate) bodies: BodyMemory,
    /// Bytes of a body that is read as a whole.
    pub(crate) body_bytes_max: usize,
    /// Room for requests that are answered at once.
    pub(crate) requests: Arc<Semaphore>,
    pub(crate) builders: Builders,
    pub(crate) queries: Queries,
    pub(crate) tails: Tails,
    /// Days that records live where their service says nothing.
    pub(crate) default_ttl_days: Option<u32>,
}

/// Every route.
pub(crate) fn router(server: Arc<Server>) -> Router {
    let open = Router::new().route("/health", get(ops::health)).route("/ready", get(ops::ready));
    let closed = Router::new()
        .route("/api/v1/logs/ingest", post(ingest::one))
        .route("/api/v1/logs/ingest/batch", post(ingest::batch))
        .route("/insert/jsonline", post(lines::insert))
        .merge(select::routes())
        .route("/select/logsql/tail", get(tail::tail).post(tail::tail))
        .route("/api/v1/logs/search", get(logs::search))
        .route("/api/v1/logs/services", get(services::services))
        .route("/api/v1/logs/recent/{service}", get(services::recent))
        .route("/api/v1/logs/stats/{service}", get(services::stats))
        .route("/api/v1/logs/config/{service}", get(configs::get).put(configs::put))
        .route("/api/v1/logs/configs", get(configs::all))
        .route("/api/v1/logs/{id}", get(logs::by_id))
        .route("/api/v1/logs/{id}/full", get(logs::by_id))
        .route("/api/v1/logs/logs/{id}", get(logs::by_id))
        .route("/api/v1/logs/logs/{id}/full", get(logs::by_id))
        .route("/api/v1/admin/seal", post(ops::seal))
        .route("/api/v1/admin/compact", post(ops::compact))
        .route("/api/v1/admin/storage", get(ops::storage))
        .route_layer(from_fn_with_state(Arc::clone(&server), auth::require))
        .route_layer(from_fn_with_state(Arc::clone(&server), busy::admit));
    open.merge(closed)
        .fallback(not_found)
        .method_not_allowed_fallback(|| async { ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed") })
        .layer(from_fn(listen::refuse_ambiguous))
        .layer(from_fn_with_state(Arc::clone(&server), request_id::tag))
        .with_state(server)
}

async fn not_found(State(server): State<Arc<Server>>, request: Request) -> Result<Response, ApiError> {
    let path = request.uri().path();
    if path.starts_with("/api/") {
        server.door.admit(request.headers())?;
    }
    Ok(ApiError::new(StatusCode::NOT_FOUND, "Not found").with("path", path).into_response())
}

/// Runs what blocks where it may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| {
        complain(format_args!("a request failed: {e}"));
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error")
            .with("message", "the server's log says more")
    })
}

/// Tells the operator; where nobody reads standard error there is nobody to tell.
fn complain(what: std::fmt::Arguments<'_>) {
    let _is_read = writeln!(std::io::stderr(), "error: {what}");
}
