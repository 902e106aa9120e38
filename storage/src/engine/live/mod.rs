//! Live queries: rows as they arrive, through the filter and the pipes that a search has, and those that were there before.
//!
//! Invariants
//! * Rows come in the order of their numbers, each once: between those that were there and those that arrive none is left out
//!   and none comes twice. How many rows were missed is told where they would have come.
//! * Whoever follows slows nobody: it looks at batches on its own thread, and holds a few rows of one batch and what it begins
//!   with.
//! * Rows that are expired or deleted when they are looked at are not given.
mod pending;

use super::feed::{Next, Reader};
use super::{Engine, Shared, locked};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::Memory;
use crate::query::live::{Live, Pipes};
use crate::query::{Block, Clock, Context, Flow, Query, Start, Stop, Stored};
use crate::record::{Record, RecordId};
use crate::scan::{Control, Hidden};
use crate::segment::{Budget, Counters};
use pending::{Before, Current, Moment, Piece};
use std::sync::{Arc, Weak};

/// Batches that one call looks at.
const BATCHES_AT_ONCE: usize = 64;
/// How many rows a live query can begin with by their number.
const LAST_MAX: usize = 10_000;

/// How a live query begins, and its bounds.
#[derive(Clone, Debug)]
pub struct LiveOptions {
    /// With which rows it begins.
    pub start: Start,
    /// How much memory it may take, and what ends it.
    pub control: Control,
    /// The memory itself, where something of it is held already.
    pub memory: Option<Memory>,
    /// How far east of UTC times are meant that name no offset, in nanoseconds.
    pub zone: i64,
    /// Whether records are given as they were sent, which go through no pipes.
    pub whole: bool,
}

impl Default for LiveOptions {
    fn default() -> Self {
        Self { start: Start::Now, control: Control::default(), memory: None, zone: 0, whole: false }
    }
}

/// What a live query gives.
#[derive(Debug)]
pub enum Given {
    /// Rows, and the id of the record that each was made of: a live query that starts after it goes on where this one was.
    Rows(Vec<RecordId>, Block),
    /// Records as they were sent, where these were asked for.
    Records(Vec<Record>),
    /// So many rows arrived and were not looked at: whoever reads is too slow.
    Missed(u64),
}

/// What there is after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// Nothing that was not given.
    Nothing,
    /// There may be more at once.
    More,
}

/// A live query that runs.
pub struct Subscription {
    shared: Weak<Shared>,
    reader: Reader,
    live: Live,
    control: Control,
    /// What is left of the rows that were there before.
    before: Option<Before>,
    /// What is left of a batch.
    current: Option<Current>,
    epoch: u32,
    /// The number up to which all was given, where that is known.
    passed: Option<u64>,
    /// The number of the first row that comes after what was there before.
    first_seq: u64,
    /// Whether records are given as they were sent.
    whole: bool,
    piece: Piece,
}

impl Engine {
    /// Begins to follow the rows that a query selects. Its pipes have to be such that look at each row by itself.
    pub fn live(&self, query: &Query, options: &LiveOptions) -> Result<Subscription> {
        let shared = &self.shared;
        shared.is_closing()?;
        let start = options.start.at_most(LAST_MAX)?;
        if options.whole && !query.pipes.is_empty() {
            return Err(Error::invalid(
                "records as they were sent go through no pipes: leave out what stands behind `|`",
            ));
        }
        let memory = options.memory.clone().unwrap_or_else(|| self.memory(&options.control));
        let counters = Counters::new(Budget::new(options.control.cancel.clone(), memory.clone()));
        let (reader, first_seq, snapshot) = {
            // So that a row is either there already or arrives.
            let _publishing = locked(&shared.publish);
            let (reader, first_seq) = Reader::begin(&shared.feed);
            (reader, first_seq, shared.snapshot())
        };
        let epoch = snapshot.epoch;
        if let Start::After(id) = start
            && id.epoch() != epoch
        {
            let message = format!("{id} is of other data than what is here: start without it");
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        let moment = Arc::new(Moment { snapshot, counters });
        let settling = memory.clone();
        let clock = Clock { now: shared.env.now(), zone: options.zone };
        let stop = Stop::with(options.control.cancel.clone());
        let source: Arc<Moment> = Arc::clone(&moment);
        let context = Context::over(source, clock, memory, stop);
        let live = Live::prepare(query, &context)?;
        drop(context);
        let before = Before::find(moment, &live.wanted, &start)?;
        // What only its preparation took is for others.
        settling.settle();
        let passed = match (&before, start) {
            (None, _) => Some(first_seq.saturating_sub(1)),
            (Some(_), Start::After(id)) => Some(id.seq()),
            (Some(_), _) => None,
        };
        Ok(Subscription {
            shared: Arc::downgrade(shared),
            reader,
            live,
            control: options.control.clone(),
            before,
            current: None,
            epoch,
            passed,
            first_seq,
            whole: options.whole,
            piece: Piece::default(),
        })
    }

    /// How many rows arrived since the start: while it stays the same, live queries that were given all have no more to give.
    pub fn rows_arrived(&self) -> u64 {
        self.shared.feed.rows()
    }
}

impl Start {
    /// Checked.
    fn at_most(self, rows: usize) -> Result<Self> {
        match self {
            Self::Last(wanted) if wanted > rows => {
                Err(Error::invalid(format!("a live query begins with at most {rows} rows, not with {wanted}")))
            }
            start => Ok(start),
        }
    }
}

impl Subscription {
    /// Gives what there is, until the sink has enough or there is nothing more. What was given before the sink had enough is
    /// not given again. An error of kind [`ErrorKind::Closed`] says that nothing will come any more.
    pub fn poll(&mut self, sink: &mut dyn FnMut(Given) -> Result<Flow>) -> Result<Polled> {
        let closed = || Error::new(ErrorKind::Closed, "the engine is shutting down");
        let shared = self.shared.upgrade().ok_or_else(closed)?;
        self.control.cancel.check()?;
        let bytes_max = self.control.bytes_max.unwrap_or(shared.options.query_bytes_max);
        let memory = Memory::of(&shared.query_memory, bytes_max);
        let counters = Counters::new(Budget::new(self.control.cancel.clone(), memory));
        if self.give_before(&counters, sink)? == Flow::Enough {
            return Ok(Polled::More);
        }
        for _ in 0..BATCHES_AT_ONCE {
            if self.current.is_none() {
                match self.reader.next() {
                    Next::Nothing => return Ok(Polled::Nothing),
                    Next::Closed => return Err(closed()),
                    Next::Missed(rows) => {
                        if sink(Given::Missed(rows))? == Flow::Enough {
                            return Ok(Polled::More);
                        }
                        continue;
                    }
                    Next::Batch(alone) => {
                        let hidden = Hidden { now: shared.env.now(), ..shared.hidden() };
                        self.live.wanted.set_now(hidden.now)?;
                        self.current = Some(Current::new(alone, self.epoch, hidden, &shared.crew));
                    }
                }
            }
            if self.give_current(&counters, sink)? == Flow::Enough {
                return Ok(Polled::More);
            }
        }
        Ok(Polled::More)
    }

    /// After which a live query would go on as this one does, where that is known: not while it gives rows that were there
    /// before and were not asked for by an id.
    pub fn cursor(&self) -> Option<RecordId> {
        let now = self.shared.upgrade()?.env.now();
        Some(RecordId::new(now, self.epoch, self.passed?))
    }

    /// Gives what is left of the rows that were there before.
    fn give_before(&mut self, counters: &Counters, sink: &mut dyn FnMut(Given) -> Result<Flow>) -> Result<Flow> {
        let Some(before) = &mut self.before else { return Ok(Flow::More) };
        let request = self.live.wanted.request();
        let source = Stored::new(&before.moment.snapshot, counters);
        while before.given < before.found.len() {
            let left = before.found.get(before.given..).unwrap_or_default();
            let found = left.get(..self.piece.rows).unwrap_or(left);
            let (mut flow, mut bytes) = (Flow::More, 0);
            if self.whole {
                let records = before.moment.snapshot.records(found, counters)?;
                bytes = bytes_of(&records);
                flow = sink(Given::Records(records))?;
            } else {
                source.rows_of_earlier(&request, found, &mut |block: Block| {
                    bytes += block.bytes();
                    if give(&mut self.live.pipes, block, sink)? == Flow::Enough {
                        flow = Flow::Enough;
                    }
                    Ok(Flow::More)
                })?;
            }
            before.given += found.len();
            if self.passed.is_some() {
                self.passed = found.last().map(|(_, seq, ..)| *seq);
            }
            self.piece.fit(bytes);
            if flow == Flow::Enough {
                return Ok(flow);
            }
        }
        self.before = None;
        self.passed = Some(self.first_seq.saturating_sub(1));
        Ok(Flow::More)
    }

    /// Gives what is left of the batch that is being looked at.
    fn give_current(&mut self, counters: &Counters, sink: &mut dyn FnMut(Given) -> Result<Flow>) -> Result<Flow> {
        let Some(current) = &mut self.current else { return Ok(Flow::More) };
        let request = self.live.wanted.request();
        loop {
            current.look_ahead(&request, counters)?;
            let left = current.rows.get(current.given..).unwrap_or_default();
            let rows = left.get(..self.piece.rows).unwrap_or(left).to_vec();
            if rows.is_empty() {
                break;
            }
            let flow = if self.whole {
                let records = current.snapshot.records_of_batch(&rows, counters)?;
                self.piece.fit(bytes_of(&records));
                sink(Given::Records(records))?
            } else {
                let block = Stored::new(&current.snapshot, counters).columns_of_arrived(&request, rows.clone())?;
                self.piece.fit(block.bytes());
                give(&mut self.live.pipes, block, sink)?
            };
            current.given += rows.len();
            self.passed = rows.last().and_then(|row| current.seq_of(*row));
            if flow == Flow::Enough {
                return Ok(flow);
            }
        }
        self.passed = Some(current.last_seq);
        self.current = None;
        Ok(Flow::More)
    }
}

fn give(pipes: &mut Pipes, block: Block, sink: &mut dyn FnMut(Given) -> Result<Flow>) -> Result<Flow> {
    pipes.push(block, &mut |ids, block| sink(Given::Rows(ids, block)))
}

/// About the bytes of records.
fn bytes_of(records: &[Record]) -> usize {
    records.iter().flat_map(|record| &record.fields).map(|(path, value)| path.name.len() + value.text.len()).sum()
}
