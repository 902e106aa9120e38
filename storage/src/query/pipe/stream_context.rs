//! `stream_context before N after M`: rows with those around them in their stream.
//!
//! Invariants
//! * It stands first, for the rows around are asked of the source.
//! * Of a stream only the rows that can be given are kept.
//! * Where there are several chunks, each ends with a row `---`, also where the next one begins with the row after it.
use super::Step;
use crate::error::{Error, Result};
use crate::query::block::{Block, BlockBuilder};
use crate::query::budget::Held;
use crate::query::fault::{At, Fault, Parsed};
use crate::query::filter::{Filter, Moment, StreamIds, TimeFilter, TimeRange, Values};
use crate::query::needed::Needed;
use crate::query::parse::Parser;
use crate::query::run::{Context, Flow, Sink, Stage};
use crate::query::tree::{Options, Query};
use crate::query::value::duration::{HOUR, duration, show_duration};
use crate::query::value::timestamp::{show_timestamp, timestamp};
use std::collections::BTreeMap;
use std::fmt;

/// Streams whose rows can be looked around.
const STREAMS_MAX: usize = 100;
/// Rows of one stream that can be looked around.
const ROWS_MAX: usize = 1_000;

/// The pipe.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamContext {
    /// Rows before each.
    pub before: usize,
    /// Rows after each.
    pub after: usize,
    /// How far around they are looked for, in nanoseconds.
    pub window: i64,
    /// What rows around have to be besides, where somebody may not see all of them. It is no part of the language.
    pub within: Filter,
}

impl StreamContext {
    pub(super) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        let (mut before, mut after) = (None, None);
        let rows = |parser: &mut Parser<'_>| {
            let at = parser.at();
            let (number, text) = parser.number("a number of rows")?;
            if number >= 0.0 {
                Ok(number as usize)
            } else {
                Err(Fault::new(at.0, format!("'{text}' is no number of rows")))
            }
        };
        loop {
            if parser.takes("before") {
                before = Some(rows(parser)?);
            } else if parser.takes("after") {
                after = Some(rows(parser)?);
            } else {
                break;
            }
        }
        if before.is_none() && after.is_none() {
            return Err(parser.unexpected("'before N' or 'after N'"));
        }
        let mut window = HOUR;
        if parser.takes("time_window") {
            let wanted = duration(parser.text()).filter(|window| *window > 0);
            window = wanted.ok_or_else(|| parser.unexpected("a duration such as 1h"))?;
            parser.advance();
        }
        Ok(Self { before: before.unwrap_or(0), after: after.unwrap_or(0), window, within: Filter::All })
    }
}

impl fmt::Display for StreamContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stream_context")?;
        if self.before > 0 {
            write!(f, " before {}", self.before)?;
        }
        if self.after > 0 || self.before == 0 {
            write!(f, " after {}", self.after)?;
        }
        if self.window == HOUR { Ok(()) } else { write!(f, " time_window {}", show_duration(self.window)) }
    }
}

impl Step for StreamContext {
    fn needed(&self, needed: &mut Needed) {
        needed.add_all(["_time", "_stream", "_stream_id"]);
    }

    fn stage<'c>(&self, context: &Context<'c>) -> Result<Box<dyn Stage + 'c>> {
        let held = context.memory.hold("stream_context");
        Ok(Box::new(Looker { pipe: self.clone(), context: context.clone(), streams: BTreeMap::new(), held }))
    }
}

struct Looker<'c> {
    pipe: StreamContext,
    context: Context<'c>,
    /// The times of the rows to look around, by stream.
    streams: BTreeMap<String, Vec<i64>>,
    held: Held,
}

impl Stage for Looker<'_> {
    fn push(&mut self, block: Block, _: &mut dyn Sink) -> Result<Flow> {
        for row in 0..block.rows() {
            let Some(time) = timestamp(block.column("_time").value(row)) else { continue };
            let stream = block.column("_stream_id").value(row);
            if stream.is_empty() {
                return Err(Error::invalid(
                    "stream_context asks for rows of a stream, and these have no _stream_id, as those of a file: ask a server",
                ));
            }
            let times = self.streams.entry(stream.to_string()).or_default();
            times.push(time);
            if times.len() > ROWS_MAX || self.streams.len() > STREAMS_MAX {
                return Err(Error::invalid(format!(
                    "stream_context looks around at most {ROWS_MAX} rows of each of {STREAMS_MAX} streams; select fewer rows"
                )));
            }
        }
        Ok(Flow::More)
    }

    fn finish(&mut self, next: &mut dyn Sink) -> Result<()> {
        let mut streams: Vec<(String, Vec<i64>)> = std::mem::take(&mut self.streams).into_iter().collect();
        streams.iter_mut().for_each(|(_, times)| {
            times.sort_unstable();
            times.dedup();
        });
        streams.sort_by_key(|(_, times)| times.first().copied());
        let many = streams.len() > 1;
        for (id, times) in &streams {
            let chunks = self.chunks(id, times)?;
            let parted = many || chunks.len() > 1;
            for chunk in &chunks {
                let mut out = BlockBuilder::default();
                for row in chunk {
                    row.fields.iter().for_each(|(name, value)| out.set(name, value));
                    out.end_row();
                }
                if let Some(last) = chunk.last().filter(|_| parted) {
                    out.set("_time", &show_timestamp(last.time.saturating_add(1)));
                    out.set("_stream_id", id);
                    out.set("_stream", last.field("_stream"));
                    out.set("_msg", "---");
                    out.end_row();
                }
                if next.take(out.take())? == Flow::Enough {
                    return Ok(());
                }
            }
            drop(chunks);
            self.held = self.held.another();
        }
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    time: i64,
    fields: Vec<(String, String)>,
}

impl Row {
    fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

/// The rows around one time.
#[derive(Default)]
struct Around {
    before: Vec<Row>,
    at: Vec<Row>,
    after: Vec<Row>,
}

impl Looker<'_> {
    /// The rows of a stream around some times, in chunks.
    fn chunks(&mut self, id: &str, times: &[i64]) -> Result<Vec<Vec<Row>>> {
        let (Some(first), Some(last)) = (times.first(), times.last()) else { return Ok(Vec::new()) };
        let from = if self.pipe.before > 0 { first.saturating_sub(self.pipe.window) } else { *first };
        let to = if self.pipe.after > 0 { last.saturating_add(self.pipe.window) } else { *last };
        let query = stream_query(id, from, to, &self.pipe.within);
        let mut around: Vec<Around> = times.iter().map(|_| Around::default()).collect();
        let (pipe, held) = (&self.pipe, &mut self.held);
        self.context.run_within(&query, &Needed::all(), &mut |block: Block| {
            for row in 0..block.rows() {
                if let Some(time) = timestamp(block.column("_time").value(row)) {
                    let fields = block.row(row).map(|(name, value)| (name.to_string(), value.to_string()));
                    place(pipe, held, times, &mut around, Row { time, fields: fields.collect() })?;
                }
            }
            Ok(Flow::More)
        })?;
        Ok(joined(&self.pipe, around))
    }
}

fn stream_query(id: &str, from: i64, to: i64, within: &Filter) -> Query {
    let at = At::default();
    let moment = |time| Moment::Time(show_timestamp(time));
    let filter = Filter::and(vec![
        Filter::StreamId(StreamIds { at, ids: Values::List(vec![id.to_string()]) }),
        Filter::Time(TimeFilter { at, range: TimeRange::Between(true, moment(from), moment(to), true), offset: None }),
        within.clone(),
    ]);
    let options = Options { ignore_global_time_filter: Some(true), ..Options::default() };
    Query { options, filter, pipes: Vec::new() }
}

/// Puts a row to the times that it is around.
fn place(pipe: &StreamContext, held: &mut Held, times: &[i64], around: &mut [Around], row: Row) -> Result<()> {
    let bytes = bytes_of(&row);
    let at = times.partition_point(|time| *time < row.time);
    if times.get(at) == Some(&row.time) {
        held.add(bytes)?;
        if let Some(around) = around.get_mut(at) {
            around.at.push(row);
        }
        return Ok(());
    }
    if let Some(next) = around.get_mut(at).filter(|_| pipe.before > 0) {
        held.add(bytes)?;
        next.before.push(row.clone());
        if next.before.len() >= pipe.before.saturating_mul(2).saturating_add(16) {
            next.before.sort_unstable_by(|a, b| b.cmp(a));
            held.give_back(drop_beyond(&mut next.before, pipe.before));
        }
    }
    let previous = at.checked_sub(1).and_then(|before| around.get_mut(before));
    if let Some(previous) = previous.filter(|_| pipe.after > 0) {
        held.add(bytes)?;
        previous.after.push(row);
        if previous.after.len() >= pipe.after.saturating_mul(2).saturating_add(16) {
            previous.after.sort_unstable();
            held.give_back(drop_beyond(&mut previous.after, pipe.after));
        }
    }
    Ok(())
}

fn bytes_of(row: &Row) -> usize {
    size_of::<Row>() + row.fields.iter().map(|(name, value)| name.len() + value.len() + 48).sum::<usize>()
}

fn drop_beyond(rows: &mut Vec<Row>, kept: usize) -> usize {
    let dropped = rows.get(kept..).unwrap_or_default();
    let bytes = dropped.iter().map(bytes_of).sum();
    rows.truncate(kept);
    bytes
}

/// The rows around each time in order, without those that an earlier chunk has.
fn joined(pipe: &StreamContext, around: Vec<Around>) -> Vec<Vec<Row>> {
    let mut chunks: Vec<Vec<Row>> = Vec::new();
    for mut part in around {
        part.before.sort_unstable_by(|a, b| b.cmp(a));
        part.before.truncate(pipe.before);
        part.after.sort_unstable();
        part.after.truncate(pipe.after);
        part.at.sort_unstable();
        let mut chunk: Vec<Row> = part.before.into_iter().rev().chain(part.at).chain(part.after).collect();
        if let Some(last) = chunks.last().and_then(|chunk| chunk.last()) {
            chunk.retain(|row| row > last);
        }
        if !chunk.is_empty() {
            chunks.push(chunk);
        }
    }
    chunks
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check_query_order;

    #[test]
    fn rows_around_are_given() {
        check_query_order(
            "m2 | stream_context before 1 after 2",
            r#"{"_time":"2024-06-10T11:00:00Z","_stream":"{app=\"x\"}","_stream_id":"0a","_msg":"m0"}
{"_time":"2024-06-10T11:01:00Z","_stream":"{app=\"x\"}","_stream_id":"0a","_msg":"m1"}
{"_time":"2024-06-10T11:02:00Z","_stream":"{app=\"x\"}","_stream_id":"0a","_msg":"m2"}
{"_time":"2024-06-10T11:03:00Z","_stream":"{app=\"x\"}","_stream_id":"0a","_msg":"m3"}
{"_time":"2024-06-10T11:04:00Z","_stream":"{app=\"x\"}","_stream_id":"0a","_msg":"m4"}
{"_time":"2024-06-10T11:05:00Z","_stream":"{app=\"x\"}","_stream_id":"0a","_msg":"m5"}
{"_time":"2024-06-10T11:02:30Z","_stream_id":"0b","_msg":"other"}"#,
            "_msg",
            &["m1", "m2", "m3", "m4"],
        );
        check_query_order(
            "m0 or m4 | stream_context after 1",
            r#"{"_time":"2024-06-10T11:00:00Z","_stream":"{app=\"x\"}","_stream_id":"0a","_msg":"m0"}
{"_time":"2024-06-10T11:01:00Z","_stream":"{app=\"x\"}","_stream_id":"0a","_msg":"m1"}
{"_time":"2024-06-10T11:02:00Z","_stream":"{app=\"x\"}","_stream_id":"0a","_msg":"m2"}
{"_time":"2024-06-10T11:03:00Z","_stream":"{app=\"x\"}","_stream_id":"0a","_msg":"m3"}
{"_time":"2024-06-10T11:04:00Z","_stream":"{app=\"x\"}","_stream_id":"0a","_msg":"m4"}
{"_time":"2024-06-10T11:05:00Z","_stream":"{app=\"x\"}","_stream_id":"0a","_msg":"m5"}
{"_time":"2024-06-10T11:02:30Z","_stream_id":"0b","_msg":"other"}"#,
            "_msg",
            &["m0", "m1", "---", "m4", "m5", "---"],
        );
        check_query_order(
            "m2 or other | stream_context before 0",
            r#"{"_time":"2024-06-10T11:00:00Z","_stream":"{app=\"x\"}","_stream_id":"0a","_msg":"m0"}
{"_time":"2024-06-10T11:01:00Z","_stream":"{app=\"x\"}","_stream_id":"0a","_msg":"m1"}
{"_time":"2024-06-10T11:02:00Z","_stream":"{app=\"x\"}","_stream_id":"0a","_msg":"m2"}
{"_time":"2024-06-10T11:03:00Z","_stream":"{app=\"x\"}","_stream_id":"0a","_msg":"m3"}
{"_time":"2024-06-10T11:04:00Z","_stream":"{app=\"x\"}","_stream_id":"0a","_msg":"m4"}
{"_time":"2024-06-10T11:05:00Z","_stream":"{app=\"x\"}","_stream_id":"0a","_msg":"m5"}
{"_time":"2024-06-10T11:02:30Z","_stream_id":"0b","_msg":"other"}"#,
            "_msg",
            &["m2", "---", "other", "---"],
        );
        check_query_order(
            "m2 or m3 | stream_context before 1",
            r#"{"_time":"2024-06-10T11:00:00Z","_stream":"{app=\"x\"}","_stream_id":"0a","_msg":"m0"}
{"_time":"2024-06-10T11:01:00Z","_stream":"{app=\"x\"}","_stream_id":"0a","_msg":"m1"}
{"_time":"2024-06-10T11:02:00Z","_stream":"{app=\"x\"}","_stream_id":"0a","_msg":"m2"}
{"_time":"2024-06-10T11:03:00Z","_stream":"{app=\"x\"}","_stream_id":"0a","_msg":"m3"}
{"_time":"2024-06-10T11:04:00Z","_stream":"{app=\"x\"}","_stream_id":"0a","_msg":"m4"}
{"_time":"2024-06-10T11:05:00Z","_stream":"{app=\"x\"}","_stream_id":"0a","_msg":"m5"}
{"_time":"2024-06-10T11:02:30Z","_stream_id":"0b","_msg":"other"}"#,
            "_msg",
            &["m1", "m2", "---", "m3", "---"],
        );
        check_query_order(
            "m5 | stream_context before 9 time_window 2m",
            r#"{"_time":"2024-06-10T11:00:00Z","_stream":"{app=\"x\"}","_stream_id":"0a","_msg":"m0"}
{"_time":"2024-06-10T11:01:00Z","_stream":"{app=\"x\"}","_stream_id":"0a","_msg":"m1"}
{"_time":"2024-06-10T11:02:00Z","_stream":"{app=\"x\"}","_stream_id":"0a","_msg":"m2"}
{"_time":"2024-06-10T11:03:00Z","_stream":"{app=\"x\"}","_stream_id":"0a","_msg":"m3"}
{"_time":"2024-06-10T11:04:00Z","_stream":"{app=\"x\"}","_stream_id":"0a","_msg":"m4"}
{"_time":"2024-06-10T11:05:00Z","_stream":"{app=\"x\"}","_stream_id":"0a","_msg":"m5"}
{"_time":"2024-06-10T11:02:30Z","_stream_id":"0b","_msg":"other"}"#,
            "_msg",
            &["m3", "m4", "m5"],
        );
    }
}
