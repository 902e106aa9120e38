//! The reads of the API: search, and one log by its id.
//!
//! Invariant: pages that follow each other by their cursor have each log once that was there when the first was asked for, and no
//! log twice.
use super::access::{Caller, not_for};
use super::cursor::Cursor;
use super::error::{ApiError, json_response};
use super::params::Params;
use super::partial::{noted, with_note};
use super::select::Gone;
use super::{Server, blocking, own, ranked};
use crate::ingest::log::usual_level;
use crate::transfer::row::push_row;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use logyard_storage::engine::{self, Position, Search};
use logyard_storage::query::Clock;
use logyard_storage::query::filter::{self as query, FieldTest};
use logyard_storage::query::plain::{plain, sought};
use logyard_storage::record::{Record, RecordId};
use logyard_storage::scan::filter::{Filter, Test};
use logyard_storage::scan::{Cancel, Control};
use std::sync::Arc;

/// Logs of an answer where nothing is said, and at most.
pub(super) const LIMIT: usize = 100;
pub(super) const LIMIT_MAX: usize = 1_000;
/// Logs that may be passed over; who wants to go further pages by the cursor.
const OFFSET_MAX: usize = 1_000_000;
/// Nanoseconds of a millisecond.
pub(super) const MILLI: i64 = 1_000_000;

/// Fields that keep the ids of records that were imported, and bytes of such an id.
const OLD_IDS: [&str; 3] = ["id", "_id_sent", "event_id"];
const OLD_ID_BYTES_MAX: usize = 256;

/// How `q` was read, as LogsQL.
const READ_AS: HeaderName = HeaderName::from_static("x-logyard-query");

/// A record, and the object in the archive that it is in too.
pub(super) type Stored = (Record, Option<String>);

/// `GET /api/v1/logs/search`
pub(super) async fn search(State(server): State<Arc<Server>>, params: Params) -> Result<Response, ApiError> {
    let limit = params.count("limit", LIMIT, LIMIT_MAX)?;
    let text = params.get("q").unwrap_or_default().to_owned();
    let mut asked = Search {
        services: services(&params)?,
        from: params.millis("start_time")?.map(|t| t.saturating_mul(MILLI)),
        until: params.millis("end_time")?.map(|t| t.saturating_mul(MILLI).saturating_add(MILLI - 1)),
        filter: level(params.get("level")),
        // One more says whether there are more.
        limit: limit + 1,
        offset: params.count("offset", 0, usize::MAX)?,
        ..Search::default()
    };
    let order = Order::of(&params, asked.offset.saturating_add(asked.limit))?;
    if let Order::Time { order, behind } = order {
        if asked.offset > OFFSET_MAX {
            let way = "go further with the cursor that next_cursor gives";
            return Err(ApiError::bad(format!("offset must be at most {OFFSET_MAX}; {way}")));
        }
        asked.order = order;
        asked = behind.into_iter().fold(asked, Search::behind);
    }
    let cancel = Cancel::default();
    let _gone = Gone::of(cancel.clone());
    let turn = server.queries.turn().await?;
    let partial = params.partial();
    let may_leave_out = partial.clone();
    let found = blocking(move || {
        let _until_done = turn;
        let cancel = cancel.within(&server.env, server.queries.duration);
        find(&server, asked, &text, order, &Control { cancel, partial: may_leave_out, ..Control::default() })
    });
    let (mut records, read_as) = found.await??;
    // Behind a page of nothing there is no place to go on from.
    let has_more = limit > 0 && records.len() > limit;
    records.truncate(limit);
    let body = with_note(page(&records, has_more, order), &partial);
    let mut response = noted(json_response(StatusCode::OK, body), &partial);
    // What cannot stand in a header is not said.
    if let Some(read_as) = read_as.and_then(|read_as| HeaderValue::try_from(read_as).ok()) {
        response.headers_mut().insert(READ_AS, read_as);
    }
    Ok(response)
}

/// The services that are asked for, of those that may be seen.
fn services(params: &Params) -> Result<Vec<String>, ApiError> {
    match (params.get("service"), params.services()) {
        (Some(service), Some(own)) if !own.iter().any(|own| own == service) => Err(not_for(service)),
        (Some(service), _) => Ok(vec![service.into()]),
        (None, own) => Ok(own.map_or_else(Vec::new, <[String]>::to_vec)),
    }
}

/// In which order records are given.
#[derive(Clone, Copy)]
enum Order {
    /// By their time, perhaps behind a place.
    Time {
        order: engine::Order,
        behind: Option<Position>,
    },
    Relevance,
}

impl Order {
    /// The order that is asked for, for so many records at most.
    fn of(params: &Params, reach: usize) -> Result<Self, ApiError> {
        let cursor = params.get("cursor").map(|text| Cursor::parse(text).ok_or_else(no_cursor)).transpose()?;
        let by_time = |order| match cursor {
            Some(cursor) if cursor.order != order => {
                Err(ApiError::bad("the cursor is of a search in the other order; leave order out, or the cursor"))
            }
            cursor => Ok(Self::Time { order, behind: cursor.map(|cursor| cursor.place) }),
        };
        match params.get("order") {
            None => by_time(cursor.map_or(engine::Order::Newest, |cursor| cursor.order)),
            Some("newest" | "desc") => by_time(engine::Order::Newest),
            Some("oldest" | "asc") => by_time(engine::Order::Oldest),
            Some("relevance") if cursor.is_some() => {
                Err(ApiError::bad("there is no cursor in the order of relevance; page with offset"))
            }
            Some("relevance") if reach <= ranked::REACH_MAX => Ok(Self::Relevance),
            Some("relevance") => {
                let most = ranked::REACH_MAX;
                Err(ApiError::bad(format!("only the first {most} records can be had in the order of relevance")))
            }
            Some(other) => Err(ApiError::bad(format!(
                "order must be desc (newest first), asc or relevance, not `{}`",
                shown(other)
            ))),
        }
    }
}

fn no_cursor() -> ApiError {
    ApiError::bad("cursor must be the next_cursor of an earlier answer, unchanged")
}

/// A text of a request as far as it is repeated.
fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

/// The level as it was sent, or as the API's own ingest would have stored it.
fn level(level: Option<&str>) -> Filter {
    let is = |level: &str| Filter::Field("level".into(), Test::exact(level));
    match level.map(|level| (level, usual_level(level))) {
        None => Filter::All,
        Some((level, Some(usual))) if usual != level => Filter::Or(vec![is(level), is(usual)]),
        Some((level, _)) => is(level),
    }
}

/// The records of a search that a text is for too, and how the text was read.
fn find(
    server: &Server,
    mut search: Search,
    text: &str,
    order: Order,
    control: &Control,
) -> Result<(Vec<Stored>, Option<String>), ApiError> {
    let (mut read_as, mut is_own_asked_for) = (None, false);
    if !text.is_empty() {
        let filter = plain(text)?;
        is_own_asked_for = asks_for(&filter, own::SERVICE);
        let sought = sought(&filter, Clock { now: server.env.now(), zone: 0 })?;
        if !narrow(&mut search, sought.services, sought.times) {
            return Ok((Vec::new(), Some(sought.read_as)));
        }
        search.filter = Filter::And(vec![search.filter, sought.filter]);
        read_as = Some(sought.read_as);
    }
    if search.services.is_empty() && !is_own_asked_for {
        search.exclude_services.push(own::SERVICE.into());
    }
    let records = match order {
        Order::Time { .. } => server.engine.search_stored(&search, control)?,
        Order::Relevance => ranked::search(&server.engine, &search, control)?,
    };
    Ok((records, read_as))
}

/// Whether a filter asks for a service by its name, as a word or as a whole.
fn asks_for(filter: &query::Filter, service: &str) -> bool {
    use query::Test::{AnyCasePhrase, Exact, Phrase};
    match filter {
        query::Filter::And(parts) | query::Filter::Or(parts) => parts.iter().any(|part| asks_for(part, service)),
        query::Filter::Field(FieldTest { field, test: Exact(text) | Phrase(text) | AnyCasePhrase(text), .. }) => {
            field == "service_name" && text.eq_ignore_ascii_case(service)
        }
        _ => false,
    }
}

/// Leaves the services and times that are asked for twice; false where there are none.
fn narrow(search: &mut Search, services: Option<Vec<String>>, (first, last): (i64, i64)) -> bool {
    if let Some(mut services) = services {
        services.retain(|service| search.services.is_empty() || search.services.contains(service));
        if services.is_empty() {
            return false;
        }
        search.services = services;
    }
    if first > i64::MIN {
        search.from = Some(search.from.map_or(first, |from| from.max(first)));
    }
    if last < i64::MAX {
        search.until = Some(search.until.map_or(last, |until| until.min(last)));
    }
    true
}

fn page(records: &[Stored], has_more: bool, order: Order) -> String {
    let mut body = String::from("{\"logs\":[");
    push_rows(&mut body, records);
    let next = match (order, records.last()) {
        (Order::Time { order, .. }, Some((last, _))) if has_more => {
            format!("\"{}\"", Cursor { order, place: Position::of(last) }.text())
        }
        _ => "null".to_owned(),
    };
    body + &format!("],\"count\":{},\"has_more\":{has_more},\"next_cursor\":{next}}}", records.len())
}

/// Appends records as rows, with commas between them.
pub(super) fn push_rows(body: &mut String, records: &[Stored]) {
    for (at, (record, object)) in records.iter().enumerate() {
        if at > 0 {
            body.push(',');
        }
        push_row(body, record, object.as_deref());
    }
}

/// `GET /api/v1/logs/:id`, and the same with `/full`: rows are whole here.
pub(super) async fn by_id(
    State(server): State<Arc<Server>>,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let missing = || ApiError::new(StatusCode::NOT_FOUND, "Log not found");
    let Path(id) = id.map_err(|_| missing())?;
    let own = match RecordId::parse(&id) {
        Some(own) => {
            blocking({
                let server = Arc::clone(&server);
                move || server.engine.get_stored(own)
            })
            .await??
        }
        None => None,
    };
    let own = own.filter(|(record, _)| caller.is_for(record.get("service_name")));
    let (record, object) = match own {
        None => by_old_id(server, caller, id).await?.ok_or_else(missing)?,
        Some(own) => own,
    };
    let mut body = String::from("{\"log\":");
    push_row(&mut body, &record, object.as_deref());
    body.push('}');
    Ok(json_response(StatusCode::OK, body))
}

/// The newest record that had this id where it was before, of those that may be seen.
async fn by_old_id(
    server: Arc<Server>,
    caller: Caller,
    id: String,
) -> Result<Option<(Record, Option<String>)>, ApiError> {
    if id.is_empty() || id.len() > OLD_ID_BYTES_MAX {
        return Ok(None);
    }
    let cancel = Cancel::default();
    let _gone = Gone::of(cancel.clone());
    let turn = server.queries.turn().await?;
    let found = blocking(move || {
        let _until_done = turn;
        let cancel = cancel.within(&server.env, server.queries.duration);
        for field in OLD_IDS {
            let search = Search {
                services: caller.services.as_ref().map_or_else(Vec::new, |services| services.to_vec()),
                filter: Filter::Field(field.into(), Test::exact(&id)),
                limit: 1,
                ..Search::default()
            };
            let control = Control { cancel: cancel.clone(), ..Control::default() };
            if let Some(found) = server.engine.search_stored(&search, &control)?.pop() {
                return Ok(Some(found));
            }
        }
        Ok(None)
    });
    found.await?
}
