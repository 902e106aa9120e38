//! A query over rows as they arrive: its filter and its pipes, made ready once for all rows to come.
//!
//! Invariants
//! * Pipes look at each row by itself; one that needs all rows is refused by its name.
//! * Rows are given in the order in which they arrived, each with the id of the row that it was made of.
//! * A filter's times that are relative are so to the time at which rows are looked at. Those of pipes behind it, and what
//!   subqueries give, are those of the beginning.
use super::block::Block;
use super::filter::prepare::{Matcher, answered_within};
use super::filter::{Filter, TimeFilter};
use super::memory_source::Rows;
use super::needed::Needed;
use super::pipe::Pipe;
use super::run::{Bounds, Chain, Clock, Context, Flow, Request, Sink, Stage, selected};
use super::tree::Query;
use crate::error::{Error, Result};
use crate::query::budget::{Held, Memory, Stop};
use crate::record::RecordId;

/// What tells the rows apart that go into the pipes.
const ID: &str = "_id";
/// How far a clock is moved to see which times move with it: more than any unit that times are rounded to.
const FAR: i64 = 800 * 86_400_000_000_000;

/// With which rows a live query begins, before those that arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// None.
    Now,
    /// So many of the newest that pass.
    Last(usize),
    /// Those that are no older, in nanoseconds since 1970.
    Since(i64),
    /// Those that came after this one.
    After(RecordId),
}

/// A live query, ready to run.
pub(crate) struct Live {
    pub(crate) wanted: Wanted,
    pub(crate) pipes: Pipes,
}

/// Which rows are wanted, and which fields of them.
pub(crate) struct Wanted {
    filter: Filter,
    matcher: Matcher,
    needed: Needed,
    /// Whether the filter has times that move with the clock.
    moves: bool,
    zone: i64,
    stop: Stop,
    memory: Memory,
    _held: Held,
}

/// What is done with the rows that pass.
pub(crate) struct Pipes {
    stages: Vec<Box<dyn Stage>>,
    /// Whether each row that goes in gives one that comes out.
    one_for_one: bool,
    bounds: Bounds,
}

/// Rows that come out of the pipes, and the id of the row that each was made of.
pub(crate) type Given<'g> = dyn FnMut(Vec<RecordId>, Block) -> Result<Flow> + 'g;

/// How many rows a pipe makes of one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Makes {
    One,
    /// None, one or several.
    Some,
    /// That hangs on other rows.
    Unknown,
}

impl Makes {
    fn of(pipe: &Pipe) -> Self {
        match pipe {
            Pipe::CollapseNums(_)
            | Pipe::Copy(_)
            | Pipe::Decolorize(_)
            | Pipe::Delete(_)
            | Pipe::Extract(_)
            | Pipe::ExtractRegexp(_)
            | Pipe::Fields(_)
            | Pipe::Format(_)
            | Pipe::Hash(_)
            | Pipe::JsonArrayLen(_)
            | Pipe::Len(_)
            | Pipe::Math(_)
            | Pipe::Pack(_)
            | Pipe::Rename(_)
            | Pipe::Replace(_)
            | Pipe::ReplaceRegexp(_)
            | Pipe::UnpackJson(_)
            | Pipe::UnpackLogfmt(_)
            | Pipe::UnpackSyslog(_)
            | Pipe::UnpackWords(_) => Self::One,
            Pipe::DropEmptyFields(_) | Pipe::Join(_) | Pipe::Sample(_) | Pipe::Unroll(_) | Pipe::Where(_) => Self::Some,
            Pipe::BlockStats(_)
            | Pipe::BlocksCount(_)
            | Pipe::Facets(_)
            | Pipe::FieldNames(_)
            | Pipe::FieldValues(_)
            | Pipe::First(_)
            | Pipe::Limit(_)
            | Pipe::Offset(_)
            | Pipe::Sort(_)
            | Pipe::Stats(_)
            | Pipe::StreamContext(_)
            | Pipe::Top(_)
            | Pipe::Union(_)
            | Pipe::Uniq(_) => Self::Unknown,
        }
    }
}

/// An error for a pipe that needs all rows.
fn check(pipes: &[Pipe]) -> Result<()> {
    let Some(pipe) = pipes.iter().find(|pipe| Makes::of(pipe) == Makes::Unknown) else { return Ok(()) };
    let shown = pipe.to_string();
    let name = shown.split_whitespace().next().unwrap_or_default();
    Err(Error::invalid(format!(
        "`{name}` needs all rows, and rows that arrive have no end: a live query takes pipes that look at each row by itself, such \
         as fields, extract, format, math or filter"
    )))
}

impl Live {
    /// Makes a query ready; its subqueries are run.
    pub(crate) fn prepare(query: &Query, context: &Context<'static>) -> Result<Self> {
        check(&query.pipes)?;
        let context = &context.of(query);
        let (filter, behind) = selected(query);
        let mut needed = Needed::all();
        for pipe in behind.iter().rev() {
            pipe.needed(&mut needed);
        }
        needed.add(ID);
        let stages = behind.iter().map(|pipe| pipe.stage(context)).collect::<Result<Vec<_>>>()?;
        let one_for_one = behind.iter().all(|pipe| Makes::of(pipe) == Makes::One);
        let pipes = Pipes { stages, one_for_one, bounds: Bounds::of(context) };
        Ok(Self { wanted: Wanted::prepare(filter, needed, context)?, pipes })
    }
}

impl Wanted {
    fn prepare(filter: Filter, needed: Needed, context: &Context<'static>) -> Result<Self> {
        let moves = moves(&filter, context.clock);
        let mut held = context.memory.hold("the values that a subquery gives for a filter");
        let filter = if moves { answered_within(&filter, context, &mut held)? } else { filter };
        let matcher = Matcher::prepare(&filter, context)?;
        let (stop, memory, zone) = (context.stop.clone(), context.memory.clone(), context.clock.zone);
        Ok(Self { filter, matcher, needed, moves, zone, stop, memory, _held: held })
    }

    /// What it is now that relative times are relative to.
    pub(crate) fn set_now(&mut self, now: i64) -> Result<()> {
        if self.moves {
            let clock = Clock { now, zone: self.zone };
            // It has no subqueries any more.
            let context = Context::new(Rows::default(), clock, self.memory.clone(), self.stop.clone());
            self.matcher = Matcher::prepare(&self.filter, &context)?;
        }
        Ok(())
    }

    /// The same as a request for rows.
    pub(crate) fn request(&self) -> Request<'_> {
        Request {
            matcher: &self.matcher,
            filter: &self.filter,
            time: (i64::MIN, i64::MAX),
            needed: &self.needed,
            stop: &self.stop,
            newest: None,
            names_only: false,
        }
    }
}

/// Whether a filter has times that move with the clock.
fn moves(filter: &Filter, clock: Clock) -> bool {
    let later = |by: i64| Clock { now: clock.now.saturating_add(by), ..clock };
    let moved = |time: &TimeFilter| [1, FAR].iter().any(|by| time.resolve(later(*by)) != time.resolve(clock));
    let mut found = false;
    filter.visit(&mut |part| found |= matches!(part, Filter::Time(time) if moved(time)));
    found
}

impl Pipes {
    /// Puts rows through the pipes, in their order. All of them go through, also where there is enough.
    pub(crate) fn push(&mut self, block: Block, given: &mut Given<'_>) -> Result<Flow> {
        let column = block.column(ID);
        let ids: Vec<RecordId> = (0..block.rows()).filter_map(|row| RecordId::parse(column.value(row))).collect();
        if self.one_for_one {
            let (mut left, mut flow) = (ids.into_iter(), Flow::More);
            self.run(block, &mut |out: Block| {
                let own: Vec<RecordId> = left.by_ref().take(out.rows()).collect();
                if given(own, out)? == Flow::Enough {
                    flow = Flow::Enough;
                }
                Ok(Flow::More)
            })?;
            return Ok(flow);
        }
        let mut flow = Flow::More;
        for (row, id) in ids.into_iter().enumerate() {
            self.run(block.clone().range(row, row + 1), &mut |out: Block| {
                if out.rows() > 0 && given(vec![id; out.rows()], out)? == Flow::Enough {
                    flow = Flow::Enough;
                }
                Ok(Flow::More)
            })?;
        }
        Ok(flow)
    }

    fn run(&mut self, block: Block, sink: &mut dyn Sink) -> Result<()> {
        Chain { stages: &mut self.stages, bounds: &self.bounds, sink }.take(block).map(drop)
    }
}
