//! Running it: health and readiness, what is on disk, and doing now what happens in the background anyway.
//!
//! Invariants
//! * Health and readiness change nothing. They say no while the engine's files cannot be read, and once it takes no appends.
//! * A target of the archive that is in trouble makes it degraded, not unready: what is here is served.
//! * A seal or a compaction that was asked for goes on when its client goes.
use super::error::{ApiError, json_response};
use super::{Server, blocking};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use logyard_storage::engine::{Engine, StorageStats};
use logyard_storage::error::Error;
use serde_json::{Value, json};
use std::sync::Arc;

/// `GET /health`
pub(super) async fn health(State(server): State<Arc<Server>>) -> Result<Response, ApiError> {
    let now = server.env.now() / 1_000_000;
    let (engine, archives) = (Arc::clone(&server.engine), server.archives.troubles().len());
    let (status, body) = match trouble(server).await? {
        None => (StatusCode::OK, well(engine.troubles().len() + archives, now)),
        Some(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, json!({ "status": "unhealthy", "error": error, "timestamp": now }))
        }
    };
    Ok(json_response(status, body.to_string()))
}

/// What a server says that does what it is there for. Where something was found wrong it says how much and not what: that
/// has paths in it, and no key is asked for here.
fn well(troubles: usize, now: i64) -> Value {
    let mut body = json!({
        "status": if troubles == 0 { "healthy" } else { "degraded" },
        "service": "logsService",
        "db": "connected",
        "timestamp": now,
        "version": env!("CARGO_PKG_VERSION"),
    });
    if let Some(body) = body.as_object_mut().filter(|_| troubles > 0) {
        body.insert("troubles".into(), troubles.into());
    }
    body
}

/// `GET /ready`
pub(super) async fn ready(State(server): State<Arc<Server>>) -> Result<Response, ApiError> {
    match trouble(server).await? {
        None => Ok(json_response(StatusCode::OK, json!({ "status": "ready" }).to_string())),
        Some(error) => Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error)),
    }
}

/// Why it cannot do what it is there for, if that is so: its files cannot be read, or it takes no logs until it is restarted.
async fn trouble(server: Arc<Server>) -> Result<Option<String>, ApiError> {
    let engine = Arc::clone(&server.engine);
    let unread = stats(server).await?.err().map(|e| e.to_string());
    Ok(unread.or_else(|| engine.failure().map(|why| format!("{why}; nothing is stored until a restart"))))
}

/// `GET /api/v1/admin/storage`
pub(super) async fn storage(State(server): State<Arc<Server>>) -> Result<Response, ApiError> {
    let stats = stats(server).await??;
    let bytes = json!({ "wal": stats.wal_bytes, "segments": stats.segment_bytes, "catalog": stats.catalog_bytes });
    let body = json!({ "rows": stats.rows, "bytes": bytes, "segments": stats.segments });
    Ok(json_response(StatusCode::OK, body.to_string()))
}

async fn stats(server: Arc<Server>) -> Result<Result<StorageStats, Error>, ApiError> {
    blocking(move || server.engine.stats()).await
}

/// `POST /api/v1/admin/seal`
pub(super) async fn seal(State(server): State<Arc<Server>>) -> Result<Response, ApiError> {
    act(server, Engine::seal).await
}

/// `POST /api/v1/admin/compact`
pub(super) async fn compact(State(server): State<Arc<Server>>) -> Result<Response, ApiError> {
    act(server, Engine::compact).await
}

async fn act(server: Arc<Server>, action: fn(&Engine) -> Result<(), Error>) -> Result<Response, ApiError> {
    blocking(move || action(&server.engine)).await??;
    Ok(json_response(StatusCode::OK, json!({ "success": true }).to_string()))
}
