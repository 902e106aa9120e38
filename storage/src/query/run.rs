//! Runs a query: its rows come from a [`Source`], go through the stages of its pipes, and into a [`Sink`].
//!
//! Invariants
//! * Nothing here reads a clock or a file: the time, the zone and the rows are given.
//! * A stage that has enough says so, and no more rows are asked for.
//! * Subqueries share the memory and the stop of the query around them.
use super::block::Block;
use super::budget::{Memory, Stop};
use super::filter::prepare::Matcher;
use super::filter::{Filter, TimeFilter};
use super::needed::Needed;
use super::pipe::Pipe;
use super::tree::{Options, Query};
use crate::error::{Error, Result};

/// Queries within queries.
const SUBQUERY_DEPTH_MAX: u32 = 16;

/// When and where a query runs.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Nanoseconds since 1970.
    pub now: i64,
    /// How far east of UTC times are meant that name no offset, in nanoseconds.
    pub zone: i64,
}

/// Whether more rows are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    More,
    /// No more rows would change the result.
    Enough,
}

/// Where blocks go.
pub trait Sink {
    /// Takes a block.
    fn take(&mut self, block: Block) -> Result<Flow>;
}

impl<F: FnMut(Block) -> Result<Flow>> Sink for F {
    fn take(&mut self, block: Block) -> Result<Flow> {
        self(block)
    }
}

/// What a pipe does with rows.
pub(crate) trait Stage {
    /// Takes a block, and hands on what it has at once.
    fn push(&mut self, block: Block, next: &mut dyn Sink) -> Result<Flow>;

    /// Hands on what it kept.
    fn finish(&mut self, next: &mut dyn Sink) -> Result<()> {
        let _nothing_kept = next;
        Ok(())
    }
}

/// Which rows are wanted.
pub struct Request<'r> {
    /// The filter, ready to run.
    pub matcher: &'r Matcher,
    /// The same, to plan with, but for a time range that was asked for beside the query.
    pub filter: &'r Filter,
    /// The first and the last nanosecond that can pass.
    pub time: (i64, i64),
    /// The fields that are looked at, those of the filter not included.
    pub needed: &'r Needed,
    /// Looked at before each block.
    pub stop: &'r Stop,
}

/// Where rows come from.
pub trait Source {
    /// Hands on the rows that pass the filter, until the sink has enough.
    fn rows(&self, request: &Request<'_>, sink: &mut dyn Sink) -> Result<Flow>;
}

/// What a query runs with.
#[derive(Clone)]
pub struct Context<'c> {
    /// The time.
    pub clock: Clock,
    /// The memory that it may take.
    pub memory: Memory,
    /// What stops it.
    pub stop: Stop,
    /// Where rows come from.
    pub source: &'c dyn Source,
    /// The first and the last nanosecond that a request asks for beside the query.
    time: (i64, i64),
    /// What the query around says.
    options: Options,
    depth: u32,
}

impl<'c> Context<'c> {
    /// A context for a query that stands by itself.
    pub fn new(source: &'c dyn Source, clock: Clock, memory: Memory, stop: Stop) -> Self {
        Self { clock, memory, stop, source, time: (i64::MIN, i64::MAX), options: Options::default(), depth: 0 }
    }

    /// The same for a request that asks for a time range: for the query and those within it, unless they say otherwise.
    #[must_use]
    pub fn within(self, first: i64, last: i64) -> Self {
        Self { time: (first, last), ..self }
    }

    /// Runs a query within the one that this context is for.
    pub(crate) fn run_within(&self, query: &Query, needed: &Needed, sink: &mut dyn Sink) -> Result<()> {
        if self.depth >= SUBQUERY_DEPTH_MAX {
            return Err(Error::invalid(format!("more than {SUBQUERY_DEPTH_MAX} queries within each other")));
        }
        let inner = Self { depth: self.depth + 1, ..self.clone() };
        run_needed(query, &inner, needed, sink)
    }
}

/// Runs a query; its rows go to the sink.
pub fn run(query: &Query, context: &Context<'_>, sink: &mut dyn Sink) -> Result<()> {
    run_needed(query, context, &Needed::all(), sink)
}

fn run_needed(query: &Query, context: &Context<'_>, wanted: &Needed, sink: &mut dyn Sink) -> Result<()> {
    if query.pipes.iter().skip(1).any(|pipe| matches!(pipe, Pipe::StreamContext(_))) {
        return Err(Error::invalid("'stream_context' has to be the first pipe of a query"));
    }
    let context = &Context { options: query.options.within(&context.options), ..context.clone() };
    let asked = match context.options.ignore_global_time_filter {
        Some(true) => (i64::MIN, i64::MAX),
        _ => context.time,
    };
    let matcher = Matcher::prepare(&query.filter, context)?.within(asked);
    let written = time_range(&query.filter, context.clock);
    let time = (written.0.max(asked.0), written.1.min(asked.1));
    let pipes = planned(&query.pipes, time);
    let mut needed = wanted.clone();
    for pipe in pipes.iter().rev() {
        pipe.needed(&mut needed);
    }
    let mut stages = Vec::with_capacity(pipes.len());
    for pipe in &pipes {
        stages.push(pipe.stage(context)?);
    }
    let request = Request { matcher: &matcher, filter: &query.filter, time, needed: &needed, stop: &context.stop };
    let mut chain = Chain { stages: &mut stages, stop: &context.stop, sink };
    context.source.rows(&request, &mut chain)?;
    finish(&mut stages, &context.stop, sink)
}

/// The stages from one on, and the sink behind them.
struct Chain<'a, 'c> {
    stages: &'a mut [Box<dyn Stage + 'c>],
    stop: &'a Stop,
    sink: &'a mut dyn Sink,
}

impl Sink for Chain<'_, '_> {
    fn take(&mut self, block: Block) -> Result<Flow> {
        if block.rows() == 0 {
            return Ok(Flow::More);
        }
        self.stop.check()?;
        match self.stages.split_first_mut() {
            None => self.sink.take(block),
            Some((first, rest)) => first.push(block, &mut Chain { stages: rest, stop: self.stop, sink: self.sink }),
        }
    }
}

fn finish(stages: &mut [Box<dyn Stage + '_>], stop: &Stop, sink: &mut dyn Sink) -> Result<()> {
    let mut left = stages;
    while let Some((first, rest)) = left.split_first_mut() {
        stop.check()?;
        first.finish(&mut Chain { stages: rest, stop, sink })?;
        left = rest;
    }
    Ok(())
}

/// The pipes as they run: a limit goes into the sort before it, and rates learn the time range.
fn planned(pipes: &[Pipe], time: (i64, i64)) -> Vec<Pipe> {
    let mut planned: Vec<Pipe> = Vec::with_capacity(pipes.len());
    for pipe in pipes {
        if let (Pipe::Limit(limit), Some(Pipe::Sort(sort))) = (pipe, planned.last_mut())
            && sort.limit == 0
            && sort.partition_by.is_empty()
            && limit.rows > 0
        {
            sort.limit = limit.rows;
            continue;
        }
        planned.push(pipe.clone());
    }
    if time.0 > i64::MIN && time.1 < i64::MAX {
        let seconds = (time.1.saturating_sub(time.0).saturating_add(1)) as f64 / 1e9;
        for pipe in &mut planned {
            if let Pipe::Stats(stats) = pipe {
                stats.set_rate_seconds(seconds);
            }
        }
    }
    planned
}

/// The first and the last nanosecond of the rows that a filter can select.
pub(crate) fn time_range(filter: &Filter, clock: Clock) -> (i64, i64) {
    let narrow = |(min, max): (i64, i64), time: &TimeFilter| {
        let (from, to) = time.resolve(clock);
        (min.max(from), max.min(to))
    };
    let whole = (i64::MIN, i64::MAX);
    match filter {
        Filter::Time(time) => narrow(whole, time),
        Filter::And(parts) => parts.iter().fold(whole, |range, part| match part {
            Filter::Time(time) => narrow(range, time),
            _ => range,
        }),
        _ => whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::query::testing::{NOW, rows};
    use crate::query::{Rows, parse};

    fn count(query: &str, rows: &Rows, prepare: fn(Context<'_>) -> Context<'_>) -> Result<usize> {
        let context = Context::new(rows, Clock { now: NOW, zone: 0 }, Memory::new(1 << 20), Stop::default());
        let mut count = 0;
        run(&parse(query)?, &prepare(context), &mut |block: Block| {
            count += block.rows();
            Ok(Flow::More)
        })?;
        Ok(count)
    }

    fn last_day(context: Context<'_>) -> Context<'_> {
        context.within(NOW - 86_400_000_000_000, NOW)
    }

    fn stopped(context: Context<'_>) -> Context<'_> {
        context.stop.time_is_over();
        context
    }

    #[test]
    fn a_range_that_a_request_asks_for_is_for_subqueries_too() {
        let rows = rows(
            "{\"_time\":\"2024-06-10T11:00:00Z\",\"a\":\"1\"}
             {\"_time\":\"2024-06-09T11:00:00Z\",\"a\":\"2\",\"b\":\"1\"}",
        );
        for (query, wanted) in [
            ("*", 1),
            ("options(ignore_global_time_filter=true) *", 2),
            ("a:in(b:1 | fields b)", 0),
            ("a:in(options(ignore_global_time_filter=true) b:1 | fields b)", 1),
            ("options(ignore_global_time_filter=true) * | union (options(ignore_global_time_filter=false) *)", 3),
            ("options(ignore_global_time_filter=true) * | union (*)", 4),
        ] {
            assert_eq!(count(query, &rows, last_day).unwrap(), wanted, "{query}");
        }
    }

    #[test]
    fn a_stop_ends_a_query() {
        let rows = rows("{\"a\":\"1\"}");
        let error = count("*", &rows, stopped).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Budget);
        assert!(error.to_string().contains("max_duration"));
    }

    #[test]
    fn rates_are_for_the_time_range() {
        crate::query::testing::check_query_order(
            "_time:[2024-06-10T11:00:00Z, 2024-06-10T11:00:10Z) | stats rate() r, rate_sum(a) s | format '<r> <s>' as x",
            "{\"_time\":\"2024-06-10T11:00:00Z\",\"a\":\"5\"}",
            "x",
            &["0.1 0.5"],
        );
    }

    #[test]
    fn the_time_range_of_a_query_is_known() {
        let range = |query: &str| time_range(&parse(query).unwrap().filter, Clock { now: NOW, zone: 0 });
        assert_eq!(range("a _time:1h b _time:<30m"), (NOW - 1_800_000_000_000 + 1, NOW));
        assert_eq!(range("_time:5m or a"), (i64::MIN, i64::MAX));
        assert_eq!(range("_time:offset 1h"), (i64::MIN, NOW - 3_600_000_000_000));
    }
}
