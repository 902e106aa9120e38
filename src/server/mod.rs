//! The HTTP API: routes, who may use them, and what surrounds each request.
//!
//! Invariants
//! * The router is built from the table of routes (`access/table.rs`), each behind its guard, and from nothing else.
//! * The engine blocks, so it is called on the blocking pool only.
mod access;
mod admin_key;
mod admission;
mod archive;
mod backup;
mod body;
mod builders;
mod busy;
mod configs;
mod counters;
mod cursor;
mod days;
mod deletion;
mod durable;
mod encoding;
mod error;
mod follow;
mod ingest;
mod keys;
mod leftover;
mod lines;
mod listen;
mod logs;
mod metrics;
mod once;
mod openapi;
mod ops;
mod own;
mod params;
mod partial;
mod progress;
mod ranked;
mod request_id;
mod room;
mod select;
mod services;
mod socket;
mod storing;
mod tail;
mod tails;
mod tls;
mod transfer;
mod turns;

pub(crate) use access::{Door, Gate, keep_written};
pub(crate) use admin_key::{KeyHash, is_in_file, load_or_make};
pub(crate) use admission::Admissions;
pub(crate) use archive::{Archives, open_targets, watch_archive};
pub(crate) use backup::{done as backup_done, whole_path};
pub(crate) use body::WholeBounds;
pub(crate) use builders::Builders;
pub(crate) use counters::Counters;
pub(crate) use listen::{listen, serve};
pub(crate) use metrics::Requests;
pub(crate) use once::Once;
pub(crate) use own::{keep_log, tell_retention, tell_troubles};
pub(crate) use room::BodyMemory;
pub(crate) use storing::Storing;
pub(crate) use tails::Tails;
pub(crate) use tls::Tls;
pub(crate) use transfer::{Transfers, Wish, watch_parquet};
pub(crate) use turns::Queries;

use crate::config::Ingest;
use access::table::{Class, Method, Name, Route, Scope, TABLE};
use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use error::ApiError;
use logyard_storage::engine::Engine;
use logyard_storage::env::Env;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;

/// What the handlers share.
pub(crate) struct Server {
    pub(crate) engine: Arc<Engine>,
    /// What is known of the targets of the archive.
    pub(crate) archives: Archives,
    pub(crate) env: Arc<dyn Env>,
    pub(crate) gate: Gate,
    pub(crate) bodies: BodyMemory,
    /// Bounds of a body that is read as a whole.
    pub(crate) whole: WholeBounds,
    /// Room for requests that are answered at once.
    pub(crate) requests: Arc<Semaphore>,
    pub(crate) builders: Builders,
    /// The bounds of ingest.
    pub(crate) ingest: Ingest,
    pub(crate) storing: Storing,
    pub(crate) admissions: Admissions,
    pub(crate) once: Once,
    pub(crate) transfers: Transfers,
    pub(crate) counters: Counters,
    pub(crate) queries: Queries,
    pub(crate) tails: Tails,
    /// Requests as they are counted.
    pub(crate) requests_seen: Requests,
    /// When the server was ready to listen.
    pub(crate) began: Instant,
}

/// Every route of the table, with its guard.
pub(crate) fn router(server: Arc<Server>) -> Router {
    let routes = TABLE.iter().fold(Router::new(), |router, route| {
        let guard = from_fn_with_state((Arc::clone(&server), route), access::guard);
        let handler = handler(route).route_layer(guard);
        let handler = match route.name {
            Name::LogsSocket => handler.route_layer(from_fn_with_state(Arc::clone(&server), socket::token_as_header)),
            _ => handler,
        };
        // Who asks whether the server is there is answered however many others there are.
        let handler = match route.scope {
            Scope::Open => handler,
            _ => handler.route_layer(from_fn_with_state(Arc::clone(&server), busy::admit)),
        };
        router.route(route.path, handler)
    });
    routes
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .layer(from_fn_with_state(Arc::clone(&server), access::allow))
        .layer(from_fn(leftover::read_on))
        .layer(from_fn(listen::refuse_ambiguous))
        .layer(from_fn(listen::refuse_too_many))
        .layer(from_fn_with_state(Arc::clone(&server), request_id::tag))
        .layer(from_fn_with_state(Arc::clone(&server), metrics::requests::count))
        .with_state(server)
}

/// What answers at a route.
fn handler(route: &Route) -> MethodRouter<Arc<Server>> {
    let methods = methods(route);
    match route.name {
        Name::Health => on(methods, ops::health),
        Name::Ready => on(methods, ops::ready),
        Name::Metrics => on(methods, metrics::metrics),
        Name::OpenApi => on(methods, openapi::description),
        Name::IngestOne => on(methods, ingest::one),
        Name::IngestBatch => on(methods, ingest::batch),
        Name::InsertLines => on(methods, lines::insert),
        Name::LogsSearch => on(methods, logs::search),
        Name::LogsServices => on(methods, services::services),
        Name::LogsRecent => on(methods, services::recent),
        Name::LogsStats => on(methods, services::stats),
        Name::LogsConfig => on(methods, configs::get),
        Name::LogsConfigs => on(methods, configs::all),
        Name::LogsSocket => on(methods, socket::socket),
        Name::LogsConfigPut => on(methods, configs::put),
        Name::LogsById | Name::LogsByIdFull | Name::LogsLogsById | Name::LogsLogsByIdFull => on(methods, logs::by_id),
        Name::SelectQuery => on(methods, select::query),
        Name::SelectTail => on(methods, tail::tail),
        Name::SelectHits => on(methods, select::hits),
        Name::SelectFacets => on(methods, select::facets),
        Name::SelectStats => on(methods, select::stats_query),
        Name::SelectStatsRange => on(methods, select::stats_query_range),
        Name::SelectFieldNames => on(methods, select::field_names),
        Name::SelectFieldValues => on(methods, select::field_values),
        Name::SelectStreams => on(methods, select::streams),
        Name::SelectStreamIds => on(methods, select::stream_ids),
        Name::SelectStreamFieldNames => on(methods, select::stream_field_names),
        Name::SelectStreamFieldValues => on(methods, select::stream_field_values),
        Name::SelectTenants => on(methods, select::tenant_ids),
        Name::Keys => on(methods, keys::list),
        Name::KeyCreate => on(methods, keys::create),
        Name::KeyRevoke => on(methods, keys::revoke),
        Name::AdminSeal => on(methods, ops::seal),
        Name::AdminCompact => on(methods, ops::compact),
        Name::AdminDelete => on(methods, deletion::delete),
        Name::AdminBackup => on(methods, backup::backup),
        Name::AdminStorage => on(methods, ops::storage),
        Name::ArchiveStatus => on(methods, archive::status),
        Name::ArchiveOffload => on(methods, archive::offload),
        Name::ArchiveRestore => on(methods, archive::restore),
        Name::ArchiveCollect => on(methods, archive::collect),
        Name::ArchiveTakeOver => on(methods, archive::take_over),
        Name::ArchiveExport => on(methods, transfer::export),
        Name::ArchiveImport => on(methods, transfer::import),
    }
}

/// The methods of a route as the router has them; it answers HEAD where it answers GET.
fn methods(route: &Route) -> MethodFilter {
    let filter = |method: &Method| match method {
        Method::Get => MethodFilter::GET,
        Method::Post => MethodFilter::POST,
        Method::Put => MethodFilter::PUT,
        Method::Delete => MethodFilter::DELETE,
    };
    let all = route.methods.iter().map(filter).reduce(MethodFilter::or);
    all.unwrap_or(MethodFilter::GET)
}

async fn not_found(State(server): State<Arc<Server>>, request: Request) -> Response {
    let path = request.uri().path();
    let answer = ApiError::new(StatusCode::NOT_FOUND, "Not found").with("path", path);
    if path.starts_with("/api/") {
        return access::turn_away(&server, &request, Class::Read, answer);
    }
    answer.into_response()
}

/// Where there is a route, but not for this method: who has no key is not told.
async fn not_allowed(State(server): State<Arc<Server>>, request: Request) -> Response {
    let answer = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed");
    let path = request.extensions().get::<MatchedPath>().map_or(request.uri().path(), MatchedPath::as_str);
    match TABLE.iter().find(|route| route.path == path) {
        Some(route) if route.scope == Scope::Open => answer.into_response(),
        route => access::turn_away(&server, &request, route.map_or(Class::Read, |route| route.class), answer),
    }
}

/// Runs what blocks where it may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| {
        complain(format_args!("a request failed: {e}"));
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error")
            .with("message", "the server's log says more")
    })
}

/// Runs what decodes or appends where it may block, once it is its turn.
async fn storing<T: Send + 'static>(
    server: Arc<Server>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    let turn = server.storing.turn().await?;
    turn.run(work).await
}

/// Tells the operator.
fn complain(what: std::fmt::Arguments<'_>) {
    crate::log::error(what);
}
