//! The reads of the API: search, one log by its id, the services.
use super::error::{ApiError, json_response};
use super::params::Params;
use super::row::push_row;
use super::{Server, blocking, own};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use logyard_storage::engine::Search;
use logyard_storage::record::{Record, RecordId};
use logyard_storage::scan::filter::{Filter, Test};
use logyard_storage::text::words::{Word, words};
use serde_json::json;
use std::sync::Arc;

const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1_000;
const OFFSET_MAX: usize = 1_000_000;
const MILLI: i64 = 1_000_000;

/// `GET /api/v1/logs/search`
pub(super) async fn search(State(server): State<Arc<Server>>, params: Params) -> Result<Response, ApiError> {
    let limit = params.count("limit", LIMIT, LIMIT_MAX)?;
    let service = params.get("service").map(str::to_owned);
    let search = Search {
        exclude_services: if service.is_some() { Vec::new() } else { vec![own::SERVICE.into()] },
        services: service.into_iter().collect(),
        from: params.millis("start_time")?.map(|t| t.saturating_mul(MILLI)),
        until: params.millis("end_time")?.map(|t| t.saturating_mul(MILLI).saturating_add(MILLI - 1)),
        filter: filter(params.get("level"), params.get("q").unwrap_or_default()),
        // One more says whether there are more.
        limit: limit + 1,
        offset: params.count("offset", 0, OFFSET_MAX)?,
    };
    let mut records = blocking(move || server.engine.search(&search)).await??;
    let has_more = records.len() > limit;
    records.truncate(limit);
    Ok(json_response(StatusCode::OK, page(&records, has_more)))
}

/// The level as it is stored, and every word of `q` somewhere in the message, in any case.
fn filter(level: Option<&str>, q: &str) -> Filter {
    let level = level.map(|level| Filter::Field("level".into(), Test::exact(level)));
    let word = |word: Word| Filter::Field("_msg".into(), Test::phrase(q.get(word.span).unwrap_or_default(), true));
    Filter::And(level.into_iter().chain(words(q).map(word)).collect())
}

fn page(records: &[Record], has_more: bool) -> String {
    let mut body = String::from("{\"logs\":[");
    for (at, record) in records.iter().enumerate() {
        if at > 0 {
            body.push(',');
        }
        push_row(&mut body, record);
    }
    body + &format!("],\"count\":{},\"has_more\":{has_more}}}", records.len())
}

/// `GET /api/v1/logs/:id`
pub(super) async fn by_id(
    State(server): State<Arc<Server>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let missing = || ApiError::new(StatusCode::NOT_FOUND, "Log not found");
    let id = id.ok().and_then(|Path(text)| RecordId::parse(&text)).ok_or_else(missing)?;
    let record = blocking(move || server.engine.get(id)).await??.ok_or_else(missing)?;
    let mut body = String::from("{\"log\":");
    push_row(&mut body, &record);
    body.push('}');
    Ok(json_response(StatusCode::OK, body))
}

/// `GET /api/v1/logs/services`
pub(super) async fn services(State(server): State<Arc<Server>>) -> Result<Response, ApiError> {
    let mut services = blocking(move || server.engine.services()).await?;
    services.retain(|service| service != own::SERVICE);
    Ok(json_response(StatusCode::OK, json!({ "services": services }).to_string()))
}
