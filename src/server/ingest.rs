//! Logs in the API's own form: one, or a batch of which each is taken or refused alone.
use super::access::Caller;
use super::body::read_whole;
use super::error::{ApiError, json_response};
use super::params::Params;
use super::{Server, blocking};
use crate::ingest::{self, Refused, log};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use logyard_storage::batch::BatchBuilder;
use logyard_storage::engine::{Ack, Appended};
use logyard_storage::record::RecordId;
use serde_json::json;
use std::sync::Arc;

const ACK: HeaderName = HeaderName::from_static("x-logyard-ack");

/// `POST /api/v1/logs/ingest`
pub(super) async fn one(
    State(server): State<Arc<Server>>,
    caller: Caller,
    params: Params,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let ack = params.ack()?;
    let body = read_whole(&headers, body, server.body_bytes_max, server.bodies.room()).await?;
    let appended = blocking(move || {
        server.builders.with(|rows| {
            ingest::text(&body.bytes).and_then(|text| log::read_log(text, server.env.now(), rows)).map_err(refusal)?;
            server.append(&caller, rows.finish()?, ack)
        })
    })
    .await??;
    let body = json!({ "success": true, "id": id_of_first(&appended) });
    Ok(with_ack(json_response(StatusCode::OK, body.to_string()), ack))
}

fn id_of_first(appended: &Appended) -> Option<String> {
    appended.times.first().map(|time| RecordId::new(*time, appended.epoch, appended.first_seq).to_string())
}

fn refusal(fault: Refused) -> ApiError {
    match fault {
        Refused::Missing(_) => {
            ApiError::bad("Missing required fields").with("required", json!(["service_name", "level", "message"]))
        }
        other => ApiError::bad(other.to_string()),
    }
}

/// `POST /api/v1/logs/ingest/batch`
pub(super) async fn batch(
    State(server): State<Arc<Server>>,
    caller: Caller,
    params: Params,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let ack = params.ack()?;
    let body = read_whole(&headers, body, server.body_bytes_max, server.bodies.room()).await?;
    let (ingested, errors) = blocking(move || append_batch(&server, &caller, &body.bytes, ack)).await??;
    let failed = errors.len();
    if ingested == 0 {
        let error = ApiError::bad("none of the logs could be stored").with("success", false);
        return Err(error.with("ingested", 0).with("failed", failed).with("errors", errors));
    }
    let mut answer = json!({ "success": true, "ingested": ingested, "failed": failed });
    if let (Some(fields), false) = (answer.as_object_mut(), errors.is_empty()) {
        fields.insert("errors".into(), errors.into());
    }
    Ok(with_ack(json_response(StatusCode::OK, answer.to_string()), ack))
}

/// Stores what can be, and says what is wrong with the others by their position.
fn append_batch(server: &Server, caller: &Caller, body: &[u8], ack: Ack) -> Result<(usize, Vec<String>), ApiError> {
    let bad = |fault: Refused| ApiError::bad(fault.to_string());
    let logs = log::split_logs(ingest::text(body).map_err(bad)?).map_err(bad)?;
    let arrival = server.env.now();
    server.builders.with(|rows| {
        let (mut ingested, mut errors) = (0, Vec::new());
        for (at, text) in logs.into_iter().enumerate() {
            if let Err(fault) = log::read_log(text, arrival, rows) {
                errors.push(format!("logs[{at}]: {fault}"));
            }
            // Only very large logs fill more than one batch.
            if rows.is_full() {
                ingested += store(server, caller, rows, ack).map_err(|e| e.with("ingested", ingested))?;
            }
        }
        ingested += store(server, caller, rows, ack).map_err(|e| e.with("ingested", ingested))?;
        Ok((ingested, errors))
    })
}

fn store(server: &Server, caller: &Caller, rows: &mut BatchBuilder, ack: Ack) -> Result<usize, ApiError> {
    let count = rows.rows();
    if count > 0 {
        server.append(caller, rows.finish()?, ack)?;
    }
    Ok(count)
}

/// Says how durable what was sent is by now.
pub(super) fn with_ack(mut response: Response, ack: Ack) -> Response {
    let reached = match ack {
        Ack::Memory => "memory",
        _ => "wal",
    };
    response.headers_mut().insert(ACK, HeaderValue::from_static(reached));
    response
}
