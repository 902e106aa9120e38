//! Logs in the API's own form: one, or a batch of which each is taken or refused alone.
//!
//! Invariants
//! * Of a batch nothing is stored twice, also where it is sent again with its key after it was cut off in the middle.
//! * A builder is held while logs are decoded, never while they are appended.
use super::access::Caller;
use super::body::{Whole, read_whole};
use super::days::Taken;
use super::durable::Asked;
use super::error::{ApiError, json_response};
use super::once::{self, Claim, Done};
use super::params::Params;
use super::{Server, storing};
use crate::ingest::{self, Arrival, Refused, log};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use logyard_storage::batch::Batch;
use logyard_storage::engine::{Ack, Append};
use logyard_storage::record::RecordId;
use logyard_storage::{Effect, Place};
use serde_json::json;
use std::sync::Arc;

const ONE: &str = "/api/v1/logs/ingest";
const BATCH: &str = "/api/v1/logs/ingest/batch";

/// `POST /api/v1/logs/ingest`
pub(super) async fn one(
    State(server): State<Arc<Server>>,
    caller: Caller,
    params: Params,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let asked = Asked::of(&params, &server)?;
    let body = read(&server, &headers, body).await?;
    let claim = once::claim(&server, ONE, &caller, &headers).await?;
    let id = {
        let (of, server, caller) = (Arc::clone(&server), Arc::clone(&server), caller.clone());
        let store = move || store_one(&server, &caller, &body.bytes, asked.ack, claim.as_deref());
        storing(of, store).await??
    };
    let body = json!({ "success": true, "id": id.to_string() });
    asked.answer(&server, &caller, json_response(StatusCode::OK, body.to_string())).await
}

async fn read(server: &Server, headers: &HeaderMap, body: Body) -> Result<Whole, ApiError> {
    read_whole(headers, body, server.whole, server.bodies.room()).await
}

fn store_one(
    server: &Server,
    caller: &Caller,
    body: &[u8],
    ack: Ack,
    claim: Option<&Claim>,
) -> Result<RecordId, ApiError> {
    let hash = claim.map(|_| once::hash(body)).unwrap_or_default();
    if let Some(value) = claim.map(Claim::before).transpose()?.flatten() {
        return same_one(&value, &hash, ack, claim);
    }
    let mut admission = server.admissions.admission(&server.engine, caller)?;
    let arrival = Arrival::new(server.env.now(), server.ingest.max_future);
    let decoded = server.builders.with(&[], |rows| {
        let read = ingest::text(body).and_then(|text| log::read_log(text, arrival, rows, &mut admission));
        read.inspect_err(|fault| server.counters.refuse(fault)).map_err(refusal)?;
        Ok::<_, ApiError>(rows.finish()?)
    });
    let taken = admission.end(&server.counters);
    let batch = decoded?;
    let time = batch.times().next().flatten();
    let done =
        Done { hash, reached: ack.into(), read: 1, ingested: 1, failed: 0, errors: Vec::new(), is_whole: true, time };
    let effects = claim.map(|claim| claim.effect(&done)).into_iter().collect();
    let appended = server.append_placed(caller, Append { batch: Some(batch), effects, ack })?;
    taken.keep();
    server.counters.rows_ingested.add(1);
    let place = Place { first_seq: appended.first_seq, epoch: appended.epoch, arrival: arrival.at() };
    Ok(id_at(appended.times.first().copied(), place))
}

fn id_at(time: Option<i64>, place: Place) -> RecordId {
    RecordId::new(time.unwrap_or(place.arrival), place.epoch, place.first_seq)
}

/// The id that a log was given before.
fn same_one(value: &[u8], hash: &str, ack: Ack, claim: Option<&Claim>) -> Result<RecordId, ApiError> {
    let (done, place) = Place::split(value).ok_or_else(once::conflict)?;
    let done = once::read(done)?;
    if done.hash != hash {
        return Err(once::conflict());
    }
    if let Some(claim) = claim {
        claim.reach(&done, value.to_vec(), ack)?;
    }
    Ok(id_at(done.time, place))
}

fn refusal(fault: Refused) -> ApiError {
    match fault {
        Refused::Missing(_) => {
            ApiError::bad("Missing required fields").with("required", json!(["service_name", "level", "message"]))
        }
        Refused::Later { what, seconds } => ApiError::new(StatusCode::TOO_MANY_REQUESTS, what).retry_after(seconds),
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
    let asked = Asked::of(&params, &server)?;
    let body = read(&server, &headers, body).await?;
    let claim = once::claim(&server, BATCH, &caller, &headers).await?;
    let (of, sender) = (Arc::clone(&server), caller.clone());
    let done = storing(Arc::clone(&server), move || {
        let (server, caller) = (of, sender);
        let logs = ingest::text(&body.bytes).and_then(|text| log::split_logs(text, server.ingest.batch_max));
        let logs = logs.map_err(|fault| ApiError::bad(fault.to_string()))?;
        let hash = claim.as_ref().map(|_| once::hash(&body.bytes)).unwrap_or_default();
        Intake::new(&server, &caller, asked.ack, claim.as_deref(), hash, logs)?.run()
    });
    let (done, later) = done.await??;
    if done.ingested == 0 {
        let none = "none of the logs could be stored";
        let error = match later {
            Some(seconds) => ApiError::new(StatusCode::TOO_MANY_REQUESTS, none).retry_after(seconds),
            None => ApiError::bad(none),
        };
        let error = error.with("success", false).with("ingested", 0);
        return Err(error.with("failed", done.failed).with("errors", done.errors));
    }
    let mut answer = json!({ "success": true, "ingested": done.ingested, "failed": done.failed });
    if let (Some(fields), false) = (answer.as_object_mut(), done.errors.is_empty()) {
        fields.insert("errors".into(), done.errors.into());
    }
    asked.answer(&server, &caller, json_response(StatusCode::OK, answer.to_string())).await
}

/// Stores what can be of a batch, and says what is wrong with the others by their position.
struct Intake<'a> {
    server: &'a Server,
    caller: &'a Caller,
    ack: Ack,
    claim: Option<&'a Claim>,
    logs: Vec<&'a str>,
    arrival: Arrival,
    done: Done,
    /// Seconds after which those can be taken that are refused for today.
    later: Option<u64>,
}

/// Logs on their way into the engine.
struct Decoded {
    batch: Batch,
    taken: Taken,
}

impl<'a> Intake<'a> {
    fn new(
        server: &'a Server,
        caller: &'a Caller,
        ack: Ack,
        claim: Option<&'a Claim>,
        hash: String,
        logs: Vec<&'a str>,
    ) -> Result<Self, ApiError> {
        let arrival = Arrival::new(server.env.now(), server.ingest.max_future);
        let errors = Vec::new();
        let mut done =
            Done { hash, reached: ack.into(), read: 0, ingested: 0, failed: 0, errors, is_whole: false, time: None };
        if let Some(claim) = claim
            && let Some(value) = claim.before()?
        {
            let before = once::read(&value)?;
            if before.hash != done.hash || before.read > logs.len() {
                return Err(once::conflict());
            }
            claim.reach(&before, value, ack)?;
            done = Done { reached: ack.into(), ..before };
        }
        Ok(Self { server, caller, ack, claim, logs, arrival, done, later: None })
    }

    fn run(mut self) -> Result<(Done, Option<u64>), ApiError> {
        while !self.done.is_whole {
            let Some(Decoded { batch, taken }) = self.decode()? else { break };
            let rows = batch.rows();
            self.done.ingested += rows;
            let effects: Vec<Effect> = self.claim.map(|claim| claim.effect(&self.done)).into_iter().collect();
            let append = Append { batch: Some(batch), effects, ack: self.ack };
            let before = self.done.ingested - rows;
            self.server.append(self.caller, append).map_err(|e| e.with("ingested", before))?;
            taken.keep();
            self.server.counters.rows_ingested.add(rows as u64);
        }
        Ok((self.done, self.later))
    }

    /// Decodes as many logs as fill a batch; only very large ones fill more than one.
    fn decode(&mut self) -> Result<Option<Decoded>, ApiError> {
        let server = self.server;
        let mut admission = server.admissions.admission(&server.engine, self.caller)?;
        let decoded = server.builders.with(&[], |rows| {
            while let Some(text) = self.logs.get(self.done.read)
                && !rows.is_full()
            {
                if let Err(fault) = log::read_log(text, self.arrival, rows, &mut admission) {
                    self.refuse(&fault);
                }
                self.done.read += 1;
            }
            if rows.rows() == 0 { Ok(None) } else { rows.finish().map(Some) }
        });
        self.done.is_whole = self.done.read == self.logs.len();
        let taken = admission.end(&server.counters);
        Ok(decoded?.map(|batch| Decoded { batch, taken }))
    }

    fn refuse(&mut self, fault: &Refused) {
        if let Refused::Later { seconds, .. } = fault {
            self.later = Some(*seconds);
        }
        self.server.counters.refuse(fault);
        let reason = format!("logs[{}]: {fault}", self.done.read);
        self.done.fail(reason, self.claim.is_some());
    }
}
