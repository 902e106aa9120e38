//! Runs a query: its rows come from a [`Source`], go through the stages of its pipes, and into a [`Sink`].
//!
//! Invariants
//! * Nothing here reads a clock or a file: the time, the zone and the rows are given.
//! * A stage that has enough says so, and no more rows are asked for.
//! * Subqueries share the memory and the stop of the query around them.
//! * Where the first pipes look at each row by itself and the one after them can be put together of parts, several threads
//!   run them side by side.
use super::block::Block;
use super::budget::{Memory, Stop};
use super::filter::prepare::Matcher;
use super::filter::{Filter, TimeFilter};
use super::needed::{Needed, fits_any};
use super::pipe::{Partial, Pipe};
use super::tree::{Options, Query};
use crate::error::Result;
use std::sync::Arc;

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
pub(crate) trait Stage: Send {
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
    /// How many of the rows that pass are wanted at most: the newest where rows have times, else the first.
    pub newest: Option<usize>,
    /// Whether nothing is looked at but which fields rows have and how many have each: any rows that have as many will do.
    pub names_only: bool,
}

/// Where rows come from.
pub trait Source: Send + Sync {
    /// Hands on the rows that pass the filter, until the sink has enough.
    fn rows(&self, request: &Request<'_>, sink: &mut dyn Sink) -> Result<Flow>;

    /// Hands the rows that pass the filter to one worker, or to several of which each sees a part of them.
    fn fold<'w>(
        &self,
        request: &Request<'_>,
        fresh: &(dyn Fn() -> Result<Worker<'w>> + Sync),
    ) -> Result<Vec<Worker<'w>>> {
        let mut worker = fresh()?;
        self.rows(request, &mut worker)?;
        Ok(vec![worker])
    }

    /// Whether every row has a `_time`, and the newest are given where some of them are asked for.
    fn has_times(&self) -> bool {
        false
    }
}

impl<S: Source + ?Sized> Source for &S {
    fn rows(&self, request: &Request<'_>, sink: &mut dyn Sink) -> Result<Flow> {
        (**self).rows(request, sink)
    }

    fn fold<'w>(
        &self,
        request: &Request<'_>,
        fresh: &(dyn Fn() -> Result<Worker<'w>> + Sync),
    ) -> Result<Vec<Worker<'w>>> {
        (**self).fold(request, fresh)
    }

    fn has_times(&self) -> bool {
        (**self).has_times()
    }
}

/// Runs the first pipes of a query over a part of its rows.
pub struct Worker<'c> {
    /// Those that look at each row by itself.
    stages: Vec<Box<dyn Stage + 'c>>,
    last: Partial,
    bounds: Bounds,
}

impl Sink for Worker<'_> {
    fn take(&mut self, block: Block) -> Result<Flow> {
        let last = &mut self.last;
        let mut nothing = |_: Block| Ok(Flow::More);
        let mut push = |block: Block| last.push(block, &mut nothing);
        Chain { stages: &mut self.stages, bounds: &self.bounds, sink: &mut push }.take(block)
    }
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
    source: Arc<dyn Source + 'c>,
    /// The first and the last nanosecond that a request asks for beside the query.
    time: (i64, i64),
    /// What the query around says.
    options: Options,
}

impl<'c> Context<'c> {
    /// A context for a query that stands by itself.
    pub fn new(source: impl Source + 'c, clock: Clock, memory: Memory, stop: Stop) -> Self {
        Self::over(Arc::new(source), clock, memory, stop)
    }

    /// The same over a source that is not only the query's.
    pub(crate) fn over(source: Arc<dyn Source + 'c>, clock: Clock, memory: Memory, stop: Stop) -> Self {
        Self { clock, memory, stop, source, time: (i64::MIN, i64::MAX), options: Options::default() }
    }

    /// The same for a request that asks for a time range: for the query and those within it, unless they say otherwise.
    #[must_use]
    pub fn within(self, first: i64, last: i64) -> Self {
        Self { time: (first, last), ..self }
    }

    /// Runs a query within the one that this context is for.
    pub(crate) fn run_within(&self, query: &Query, needed: &Needed, sink: &mut dyn Sink) -> Result<()> {
        run_needed(query, self, needed, sink)
    }

    /// The same for a query that says how it wants to be run.
    pub(super) fn of(&self, query: &Query) -> Self {
        Self { options: query.options.within(&self.options), ..self.clone() }
    }
}

/// Runs a query; its rows go to the sink.
pub fn run(query: &Query, context: &Context<'_>, sink: &mut dyn Sink) -> Result<()> {
    run_needed(query, context, &Needed::all(), sink)
}

fn run_needed(query: &Query, context: &Context<'_>, wanted: &Needed, sink: &mut dyn Sink) -> Result<()> {
    let context = &context.of(query);
    let asked = match context.options.ignore_global_time_filter {
        Some(true) => (i64::MIN, i64::MAX),
        _ => context.time,
    };
    let (filter, behind) = selected(query);
    let matcher = Matcher::prepare(&filter, context)?.within(asked);
    let written = time_range(&query.filter, context.clock);
    let time = (written.0.max(asked.0), written.1.min(asked.1));
    let pipes = planned(behind, time);
    let mut needed = wanted.clone();
    for pipe in pipes.iter().rev() {
        pipe.needed(&mut needed);
    }
    let newest = newest(&pipes, context.source.has_times());
    let names_only = matches!(pipes.first(), Some(Pipe::FieldNames(_)));
    let stop = &context.stop;
    let request = Request { matcher: &matcher, filter: &filter, time, needed: &needed, stop, newest, names_only };
    let (first, rest) = match split(&pipes, context)? {
        Some((local, last, rest)) if newest.is_none() => (Some((local, last)), rest),
        _ => (None, pipes.as_slice()),
    };
    let mut stages = Vec::with_capacity(rest.len());
    for pipe in rest {
        stages.push(pipe.stage(context)?);
    }
    let bounds = Bounds::of(context);
    let mut chain = Chain { stages: &mut stages, bounds: &bounds, sink };
    match first {
        None => context.source.rows(&request, &mut chain).map(drop)?,
        Some((local, mut last)) => {
            for worker in context.source.fold(&request, &|| worker(local, &last, context))? {
                context.stop.check()?;
                last.merge(worker.last)?;
            }
            last.finish(&mut chain)?;
        }
    }
    finish(&mut stages, &bounds, sink)
}

/// Which rows a query selects, and the pipes behind that: filters that come first are part of the filter.
pub(super) fn selected(query: &Query) -> (Filter, &[Pipe]) {
    let filters = query.pipes.iter().map_while(|pipe| match pipe {
        Pipe::Where(pipe) => Some(pipe.filter.clone()),
        _ => None,
    });
    let all: Vec<Filter> = [query.filter.clone()].into_iter().chain(filters).collect();
    let behind = query.pipes.get(all.len() - 1..).unwrap_or_default();
    (Filter::and(all), behind)
}

fn worker<'c>(local: &[Pipe], last: &Partial, context: &Context<'c>) -> Result<Worker<'c>> {
    let stages = local.iter().map(|pipe| pipe.stage(context)).collect::<Result<_>>()?;
    Ok(Worker { stages, last: last.fork(context)?, bounds: Bounds::of(context) })
}

/// The pipes that look at each row by itself, the one after them where it can be put together of parts, and the others.
type Split<'p> = (&'p [Pipe], Partial, &'p [Pipe]);

fn split<'p>(pipes: &'p [Pipe], context: &Context<'_>) -> Result<Option<Split<'p>>> {
    let local = pipes.iter().take_while(|pipe| pipe.is_local()).count();
    let Some((first, [last, rest @ ..])) = pipes.split_at_checked(local) else { return Ok(None) };
    Ok(last.partial(context)?.map(|last| (first, last, rest)))
}

/// How many rows the pipes look at, where these are the newest or any.
fn newest(pipes: &[Pipe], has_times: bool) -> Option<usize> {
    let rows = |rows: u64| usize::try_from(rows).ok();
    let (mut skipped, mut keeps_time) = (0u64, has_times);
    for pipe in pipes {
        match pipe {
            Pipe::Limit(limit) if has_times => return rows(skipped.saturating_add(limit.rows)),
            Pipe::Offset(offset) => skipped = skipped.saturating_add(offset.rows),
            Pipe::Sort(sort) if keeps_time && skipped == 0 => return sort.newest().and_then(rows),
            Pipe::Fields(fields) => keeps_time &= fits_any(&fields.patterns, "_time"),
            _ => return None,
        }
    }
    None
}

/// The stages from one on, and the sink behind them.
pub(super) struct Chain<'a, 'c> {
    pub(super) stages: &'a mut [Box<dyn Stage + 'c>],
    pub(super) bounds: &'a Bounds,
    pub(super) sink: &'a mut dyn Sink,
}

/// What ends a query between its stages.
#[derive(Clone)]
pub(super) struct Bounds {
    stop: Stop,
    memory: Memory,
}

impl Bounds {
    pub(super) fn of(context: &Context<'_>) -> Self {
        Self { stop: context.stop.clone(), memory: context.memory.clone() }
    }
}

impl Sink for Chain<'_, '_> {
    fn take(&mut self, block: Block) -> Result<Flow> {
        if block.rows() == 0 {
            return Ok(Flow::More);
        }
        self.bounds.stop.check()?;
        self.bounds.memory.check(block.bytes(), "a block of rows")?;
        match self.stages.split_first_mut() {
            None => self.sink.take(block),
            Some((first, rest)) => first.push(block, &mut Chain { stages: rest, bounds: self.bounds, sink: self.sink }),
        }
    }
}

fn finish(stages: &mut [Box<dyn Stage + '_>], bounds: &Bounds, sink: &mut dyn Sink) -> Result<()> {
    let mut left = stages;
    while let Some((first, rest)) = left.split_first_mut() {
        bounds.stop.check()?;
        first.finish(&mut Chain { stages: rest, bounds, sink })?;
        left = rest;
    }
    // What was stopped may have passed over rows.
    bounds.stop.check()
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
        assert_eq!(error.kind(), ErrorKind::OverTime);
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
