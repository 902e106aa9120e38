//! The services: which there are, the newest logs of one, and how many it has.
//!
//! Invariants
//! * A key that is for some services sees no others: the list is cut here, and the path of the other two names the service that
//!   the door looks at.
//! * A service of which everything was deleted is not listed, also while its records are still to be removed.
//! * What reads logs waits for its turn, and ends with its time or when nobody waits for it any more.
use super::access::Caller;
use super::error::{ApiError, json_response};
use super::logs::{LIMIT, LIMIT_MAX, MILLI, push_rows};
use super::params::Params;
use super::partial::{noted, with_note};
use super::select::{Gone, Kept, quoted};
use super::{Server, blocking, own};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use logyard_storage::engine::{Partial, QueryControl, Search};
use logyard_storage::query::{Block, Flow, parse, time_span};
use logyard_storage::scan::{Cancel, Control};
use serde_json::{Map, Value, json};
use std::collections::HashSet;
use std::sync::Arc;

/// The service that a path names.
pub(super) type Name = Result<Path<String>, PathRejection>;

/// Its name.
pub(super) fn named(name: Name) -> Result<String, ApiError> {
    name.map(|Path(name)| name).map_err(|e| ApiError::bad(e.body_text()))
}

/// `GET /api/v1/logs/services`
pub(super) async fn services(
    State(server): State<Arc<Server>>,
    caller: Caller,
    params: Params,
) -> Result<Response, ApiError> {
    let of = Arc::clone(&server);
    let (mut services, deletes) =
        blocking(move || (of.engine.services(), !of.engine.pending_deletions().is_empty())).await?;
    if deletes {
        services = not_deleted(server, services).await?;
    }
    services.retain(|service| caller.is_for(service) && (service != own::SERVICE || params.says("all")));
    Ok(json_response(StatusCode::OK, json!({ "services": services }).to_string()))
}

/// Those of the services that have records which are not deleted.
async fn not_deleted(server: Arc<Server>, services: Vec<String>) -> Result<Vec<String>, ApiError> {
    let cancel = Cancel::default();
    let _gone = Gone::of(cancel.clone());
    let turn = server.queries.turn().await?;
    let looked = blocking(move || {
        let _until_done = turn;
        let partial = Partial::allowed();
        let control = QueryControl {
            control: Control { cancel, partial: partial.clone(), ..Control::default() },
            duration_max: Some(server.queries.duration),
            ..QueryControl::default()
        };
        let query = parse("* | stats by (service_name) count() as n")?;
        let (mut left, mut kept) = (HashSet::new(), Kept::new(&server));
        server.engine.query(&query, &control, &mut |block: Block| {
            let names = block.column("service_name");
            for row in 0..block.rows() {
                kept.add(names.value(row).len())?;
                left.insert(names.value(row).to_owned());
            }
            Ok(Flow::More)
        })?;
        // Of what cannot be looked at nothing is said to be deleted.
        let all = partial.note().is_some();
        Ok::<_, ApiError>(services.into_iter().filter(|service| all || left.contains(service)).collect())
    });
    looked.await?
}

/// `GET /api/v1/logs/recent/:service`
pub(super) async fn recent(
    State(server): State<Arc<Server>>,
    name: Name,
    params: Params,
) -> Result<Response, ApiError> {
    let limit = params.count("limit", LIMIT, LIMIT_MAX)?;
    let search = Search { services: vec![named(name)?], limit, ..Search::default() };
    let cancel = Cancel::default();
    let _gone = Gone::of(cancel.clone());
    let turn = server.queries.turn().await?;
    let partial = params.partial();
    let may_leave_out = partial.clone();
    let found = blocking(move || {
        let _until_done = turn;
        let cancel = cancel.within(&server.env, server.queries.duration);
        server.engine.search_stored(&search, &Control { cancel, partial: may_leave_out, ..Control::default() })
    });
    let records = found.await??;
    let mut body = String::from("{\"logs\":[");
    push_rows(&mut body, &records);
    let body = with_note(body + &format!("],\"count\":{}}}", records.len()), &partial);
    Ok(noted(json_response(StatusCode::OK, body), &partial))
}

/// `GET /api/v1/logs/stats/:service`
pub(super) async fn stats(State(server): State<Arc<Server>>, name: Name, params: Params) -> Result<Response, ApiError> {
    let name = named(name)?;
    let from = params.millis("start_time")?.map_or(i64::MIN, |time| time.saturating_mul(MILLI));
    let until = params.millis("end_time")?;
    let until = until.map_or(i64::MAX, |time| time.saturating_mul(MILLI).saturating_add(MILLI - 1));
    let cancel = Cancel::default();
    let _gone = Gone::of(cancel.clone());
    let turn = server.queries.turn().await?;
    let partial = params.partial();
    let may_leave_out = partial.clone();
    let body = blocking(move || {
        let _until_done = turn;
        let control = QueryControl {
            control: Control { cancel, partial: may_leave_out, ..Control::default() },
            duration_max: Some(server.queries.duration),
            time: (from, until),
            ..QueryControl::default()
        };
        counted(&server, &name, &control)
    });
    let body = with_note(body.await??.to_string(), &partial);
    Ok(noted(json_response(StatusCode::OK, body), &partial))
}

/// How many logs of a service there are, by level, from when to when, and what all of its logs take.
fn counted(server: &Server, service: &str, control: &QueryControl) -> Result<Value, ApiError> {
    let service_is = format!("service_name:={}", quoted(service));
    let query =
        parse(&format!("{service_is} | stats by (level) count() as n, min(_time) as first, max(_time) as last"))?;
    let now = server.env.now();
    let (mut total, mut by_level, mut kept) = (0u64, Map::new(), Kept::new(server));
    let (mut oldest, mut newest): (Option<i64>, Option<i64>) = (None, None);
    server.engine.query(&query, control, &mut |block: Block| {
        for row in 0..block.rows() {
            let text = |name: &str| block.column(name).value(row);
            let time = |name: &str| time_span(text(name), now).map(|(time, _)| time.div_euclid(MILLI));
            let count: u64 = text("n").parse().unwrap_or(0);
            total += count;
            kept.add(text("level").len())?;
            by_level.insert(text("level").to_owned(), count.into());
            oldest = [oldest, time("first")].into_iter().flatten().min();
            newest = [newest, time("last")].into_iter().flatten().max();
        }
        Ok(Flow::More)
    })?;
    Ok(json!({
        "service": service,
        "stats": {
            "total": total,
            "by_level": by_level,
            "oldest_timestamp": oldest,
            "newest_timestamp": newest,
            "bytes": server.engine.service_bytes(service)?,
        },
    }))
}
