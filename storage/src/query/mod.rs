//! LogsQL: the language of queries, as VictoriaLogs 1.26 documents it, and what queries mean.
//!
//! * [`parse`] makes a [`Query`] of text, or a [`Fault`] with its place and reason; a query shows itself in a canonical form.
//! * [`run`] runs a query over a [`Source`] of rows, in blocks of columns, within a budget of memory.
//! * [`live`] has a query ready for rows as they arrive.
//! * [`filter`] has the filters as a tree for planners, and ready to run on values and blocks.
//! * [`pipe`] has the pipes and [`stats`] the functions, each in a file with its words, its needs and its stage.
//!
//! Invariants
//! * Nothing here reads files or a clock. The engine gives rows, time and zone; `query` asks for them by [`Source`].
//! * A field that is missing is empty, an empty one is missing, and every value is text.
//! * Hostile queries end: text, nesting, expressions and memory are bounded.
pub mod block;
pub mod budget;
pub mod fault;
pub mod filter;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
pub(crate) mod live;
pub mod memory_source;
pub mod needed;
mod parse;
pub mod pipe;
pub mod plain;
pub mod run;
pub mod stats;
pub mod tree;

mod bits;
mod source;
#[cfg(test)]
mod testing;
mod value;

pub use block::{Block, Column, Texts};
pub use budget::{Held, Memory, Stop};
pub use fault::Fault;
pub use live::Start;
pub use memory_source::Rows;
pub(crate) use memory_source::fields_of;
pub use needed::Needed;
pub use parse::{QUERY_BYTES_MAX, parse, parse_within};
pub use run::{Clock, Context, Flow, Request, Sink, Source, Worker, run};
pub use source::ScanPlan;
pub(crate) use source::Stored;
pub use tree::Query;
pub use value::duration::duration;
pub use value::number::size;
pub use value::regexp::escape as escape_regexp;

/// A time in nanoseconds since 1970 as rows show it.
pub fn time_text(time: i64) -> String {
    value::timestamp::show_timestamp(time)
}

/// The `key=value` pairs of a text, in order, as `unpack_logfmt` sees them; a lone word is a key without a value.
pub fn logfmt_pairs(text: &str) -> Vec<(String, String)> {
    value::logfmt::parse_logfmt(text)
}

/// The fields of a syslog line, RFC 5424 or RFC 3164, under the names that `unpack_syslog` gives them. A time without a year is the last
/// such before `now`, and one without an offset is UTC.
pub fn syslog_fields(line: &str, now: i64) -> Vec<(String, String)> {
    value::syslog::parse_syslog(line, value::syslog::Era { now, zone: 0 })
}

/// The first and the last nanosecond of a time that is asked for beside a query: `2026-05`, `2026-05-28T10:00:00Z`, `now-5m`, or
/// a number of seconds, or of their fractions, since 1970.
pub fn time_span(text: &str, now: i64) -> Option<(i64, i64)> {
    let start = value::timestamp::query_time(text, now, 0)?;
    Some((start, value::timestamp::query_time_end(text, start)))
}
