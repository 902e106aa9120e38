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
mod tenants;
mod values;
mod whole;
mod within;

pub(super) use asked::{broke_off, parsed, read_form};
pub(super) use extra::limit;
pub(super) use facets::facets;
pub(super) use hits::hits;
pub(super) use query::query;
pub(super) use stats::{stats_query, stats_query_range};
pub(super) use tenants::tenant_ids;
pub(super) use values::{field_names, field_values, stream_field_names, stream_field_values, stream_ids, streams};
pub(super) use whole::{Gone, Kept, quoted};
