//! `POST /api/v1/archive/import`: JSON lines of records that were kept elsewhere, each stored once, however often it is sent.
//!
//! A record is known by its service, its time and its id: the field `_id_sent` where it has one, else the one that `id_field` names.
//! Those that are here already are left out.
//!
//! Invariants
//! * Nothing but the records themselves is kept of an import, so it can be repeated after any time and any crash.
//! * One import looks and stores at a time.
use super::super::access::Caller;
use super::super::body::read_whole;
use super::super::durable::Asked;
use super::super::error::{ApiError, json_response};
use super::super::lines::stream_fields;
use super::super::params::Params;
use super::super::{Server, storing};
use super::known::{Identity, Known};
use crate::ingest::lines::{FieldNames, read_line};
use crate::ingest::{Arrival, time};
use crate::transfer::item::{self, ID_SENT};
use crate::transfer::{flat, sources};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use logyard_storage::engine::{Ack, Append};
use logyard_storage::limits::MIB;
use serde_json::json;
use std::collections::HashSet;
use std::sync::{Arc, PoisonError};

/// A body, and records in it.
const BODY_BYTES_MAX: usize = 16 * MIB;
const LINES_MAX: usize = 10_000;
const REASONS_MAX: usize = 10;
const REASON_CHARS_MAX: usize = 300;

/// What came of it.
#[derive(Default)]
struct Done {
    ingested: usize,
    known: usize,
    failed: usize,
    errors: Vec<String>,
}

impl Done {
    fn fail(&mut self, what: &str) {
        self.failed += 1;
        if self.errors.len() < REASONS_MAX {
            self.errors.push(what.chars().take(REASON_CHARS_MAX).collect());
        }
    }
}

/// A line that is a record: its number, and by what it is known.
type Line<'l> = (usize, &'l [u8], Identity);

/// What is sent.
struct Sent {
    caller: Caller,
    bytes: Vec<u8>,
    id_field: String,
    stream_fields: Vec<String>,
    ack: Ack,
}

/// The handler.
pub(in crate::server) async fn import(
    State(server): State<Arc<Server>>,
    caller: Caller,
    params: Params,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let asked = Asked::of(&params, &server)?;
    let id_field = params.get("id_field").filter(|name| !name.is_empty()).unwrap_or(sources::ID_FIELD).to_owned();
    let stream_fields = stream_fields(params.get("_stream_fields").unwrap_or_default())?;
    let whole = read_whole(&headers, body, server.whole.of(BODY_BYTES_MAX), server.bodies.room()).await?;
    let (of, sender, ack) = (Arc::clone(&server), caller.clone(), asked.ack);
    let done = storing(Arc::clone(&server), move || {
        // Room for the body is held until it is stored.
        let (bytes, _room) = (whole.bytes, whole.room);
        take(&of, Sent { caller: sender, bytes, id_field, stream_fields, ack })
    });
    let Done { ingested, known, failed, errors } = done.await??;
    let answer = json!({ "success": true, "ingested": ingested, "known": known, "failed": failed, "errors": errors });
    asked.answer(&server, &caller, json_response(StatusCode::OK, answer.to_string())).await
}

fn take(server: &Server, sent: Sent) -> Result<Done, ApiError> {
    let mut done = Done::default();
    let arrival = Arrival::new(server.env.now(), server.ingest.max_future);
    let lines: Vec<(usize, &[u8])> = sent.bytes.split(|byte| *byte == b'\n').enumerate().collect();
    if lines.len() > LINES_MAX + 1 {
        return Err(ApiError::bad(format!("at most {LINES_MAX} lines can be imported at once; send fewer")));
    }
    let mut records: Vec<Line<'_>> = Vec::new();
    for (at, line) in lines.into_iter().filter(|(_, line)| !line.trim_ascii().is_empty()) {
        match identity(line, &sent.id_field, arrival) {
            Ok(identity) => {
                sent.caller.check(&identity.service)?;
                records.push((at + 1, line, identity));
            }
            Err(what) => done.fail(&format!("line {}: {what}", at + 1)),
        }
    }
    let _one_at_a_time = server.transfers.importing.lock().unwrap_or_else(PoisonError::into_inner);
    let identities: Vec<Identity> = records.iter().map(|(.., identity)| identity.clone()).collect();
    let known = Known::look(&server.engine, &identities)?;
    let mut seen = HashSet::new();
    let before = records.len();
    records.retain(|(.., identity)| !known.has(identity) && seen.insert(identity.clone()));
    done.known = before - records.len();
    let mut left = records.as_slice();
    while !left.is_empty() {
        left = store(server, &sent, arrival, left, &mut done)?;
    }
    Ok(done)
}

/// By what a line's record is known.
fn identity(line: &[u8], id_field: &str, arrival: Arrival) -> Result<Identity, String> {
    let text = std::str::from_utf8(line).map_err(|_| "not UTF-8".to_owned())?;
    let fields = flat::of_json(text)?;
    let get = |name: &str| item::get(&fields, name).filter(|text| !text.is_empty());
    let first = fields.iter().find(|(path, _)| item::is_own(path, "_time"));
    let at = first
        .and_then(|(_, value)| time::from_text(&value.text))
        .ok_or("it has no _time that can be read, and needs one to be imported")?;
    let (field, id) = [ID_SENT, id_field]
        .into_iter()
        .find_map(|name| get(name).map(|id| (name, id)))
        .ok_or_else(|| format!("it has neither {id_field} nor {ID_SENT}, and needs one to be imported"))?;
    Ok(Identity {
        service: get("service_name").unwrap_or_default().to_owned(),
        time: arrival.takes(at).then_some(at),
        field: field.to_owned(),
        id: id.to_owned(),
    })
}

/// Stores as many records as go into a batch, and gives those that are left.
fn store<'r, 'l>(
    server: &Server,
    sent: &Sent,
    arrival: Arrival,
    records: &'r [Line<'l>],
    done: &mut Done,
) -> Result<&'r [Line<'l>], ApiError> {
    let mut admission = server.admissions.admission(&server.engine, &sent.caller)?;
    let names = FieldNames::new("", "");
    let mut read = 0;
    let batch = server.builders.with(&sent.stream_fields, |rows| {
        for (number, line, _) in records {
            if rows.is_full() {
                break;
            }
            read += 1;
            if let Err(fault) = read_line(line, *number, &names, arrival, rows, &mut admission) {
                done.fail(&fault.to_string());
            }
        }
        (rows.rows() > 0).then(|| rows.finish()).transpose()
    })?;
    let taken = admission.end(&server.counters);
    if let Some(batch) = batch {
        let rows = batch.rows();
        server.append(&sent.caller, Append::new(batch, sent.ack)).map_err(|e| e.with("ingested", done.ingested))?;
        taken.keep();
        server.counters.rows_ingested.add(rows as u64);
        done.ingested += rows;
    }
    Ok(records.get(read..).unwrap_or_default())
}
