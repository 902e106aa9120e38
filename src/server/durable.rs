//! How durable what was sent is to be, and what is said of it: in memory, on this disk, or in the archive.
//!
//! Invariants
//! * An answer never says more than was reached: what waits for the archive longer than it may is on this disk, and says so
//!   with 202.
//! * Whoever waits holds no thread, and what was stored stays stored, whether he waits to the end or not.
use super::Server;
use super::access::Caller;
use super::error::ApiError;
use super::params::Params;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use logyard_storage::engine::Ack;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const ACK: HeaderName = HeaderName::from_static("x-logyard-ack");
/// How often it is looked whether the archive has what somebody waits for.
const LOOK: Duration = Duration::from_millis(50);

/// How durable something is to be before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// What the engine waits for.
    pub(super) ack: Ack,
    /// Whether the archive is waited for after that.
    archive: bool,
}

impl Asked {
    /// What `ack` says.
    pub(super) fn of(params: &Params, server: &Server) -> Result<Self, ApiError> {
        let (ack, archive) = match params.get("ack") {
            None | Some("wal") => (Ack::Wal, false),
            Some("memory") => (Ack::Memory, false),
            Some("archive") if server.archives.is_empty() => {
                return Err(ApiError::bad("ack=archive needs an archive, and none is configured"));
            }
            Some("archive") => (Ack::Wal, true),
            Some(other) => return Err(ApiError::bad(format!("ack must be memory, wal or archive, not `{other}`"))),
        };
        Ok(Self { ack, archive })
    }

    /// The answer to what was stored: when it is as durable as was asked for, or will not be in time.
    pub(super) async fn answer(
        self,
        server: &Server,
        caller: &Caller,
        mut response: Response,
    ) -> Result<Response, ApiError> {
        let reached = match (self.ack, self.archive) {
            (Ack::Memory, _) => "memory",
            (Ack::Wal, false) => "wal",
            (Ack::Wal, true) if caller.goes_to_archive(&server.engine.configs()) && is_archived(server).await? => {
                "archive"
            }
            (Ack::Wal, true) => {
                *response.status_mut() = StatusCode::ACCEPTED;
                "wal"
            }
        };
        response.headers_mut().insert(ACK, HeaderValue::from_static(reached));
        Ok(response)
    }
}

/// Waits until the archive has all that was stored; not longer than it may take.
async fn is_archived(server: &Server) -> Result<bool, ApiError> {
    let wait = server.engine.want_archived()?;
    let end = Instant::now() + server.archives.ack_timeout;
    while !wait.is_there() {
        if Instant::now() >= end {
            return Ok(false);
        }
        sleep(LOOK).await;
    }
    Ok(true)
}
