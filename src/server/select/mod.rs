//! `/select/logsql/`: LogsQL over HTTP, in the shapes of VictoriaLogs.
//!
//! * [`query`] gives rows while they are found; the others give one JSON text when all is known: [`values`] of fields and streams,
//!   [`hits`] over time, [`facets`], and [`stats`] as Prometheus has them.
//! * [`asked`] is what all of them are asked with: the query as it is meant, and its bounds. [`whole`] answers with one text.
//!
//! Invariants
//! * A query is parsed and run in its turn, on a thread that may block, and the turn is over when that is.
//! * When the client goes, the query ends.
mod asked;
mod extra;
mod facets;
mod hits;
mod labels;
mod moment;
mod query;
mod stats;
mod values;
mod whole;
mod within;

use super::Server;
pub(super) use asked::{broke_off, parsed, read_form};
use axum::Router;
use axum::routing::{MethodRouter, get};
use facets::facets;
use hits::hits;
use query::query;
use stats::{stats_query, stats_query_range};
use std::sync::Arc;
use values::{field_names, field_values, stream_field_names, stream_field_values, stream_ids, streams};
pub(super) use whole::{Gone, quoted};

/// Every route but that of rows as they arrive.
pub(super) fn routes() -> Router<Arc<Server>> {
    let routes: [(&str, MethodRouter<Arc<Server>>); 11] = [
        ("query", get(query).post(query)),
        ("hits", get(hits).post(hits)),
        ("facets", get(facets).post(facets)),
        ("stats_query", get(stats_query).post(stats_query)),
        ("stats_query_range", get(stats_query_range).post(stats_query_range)),
        ("field_names", get(field_names).post(field_names)),
        ("field_values", get(field_values).post(field_values)),
        ("streams", get(streams).post(streams)),
        ("stream_ids", get(stream_ids).post(stream_ids)),
        ("stream_field_names", get(stream_field_names).post(stream_field_names)),
        ("stream_field_values", get(stream_field_values).post(stream_field_values)),
    ];
    routes
        .into_iter()
        .fold(Router::new(), |router, (name, route)| router.route(&format!("/select/logsql/{name}"), route))
}
