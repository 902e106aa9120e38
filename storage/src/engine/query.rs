//! Queries over an engine: everything there is at one moment as a source, within bounds.
//!
//! Invariants
//! * A query reads what its time range and services leave, and writes nothing.
//! * What all queries take together is bounded. How many run at once is for the caller to say.
use super::{Engine, locked};
use crate::error::Result;
use crate::memory::Memory;
use crate::query::{Block, Clock, Context, Flow, Query, ScanPlan, Sink, Stop, Stored, run};
use crate::scan::{Control, ScanStats, Snapshot};
use crate::segment::Counters;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Mutex;
use std::time::Duration;

/// Bounds of a query.
#[derive(Clone, Debug)]
pub struct QueryControl {
    /// How much memory it may take, and what ends it early.
    pub control: Control,
    /// The memory itself, where something of it is held already.
    pub memory: Option<Memory>,
    /// How long it may take.
    pub duration_max: Option<Duration>,
    /// The first and the last nanosecond that are asked for beside the query.
    pub time: (i64, i64),
    /// How far east of UTC times are meant that name no offset, in nanoseconds.
    pub zone: i64,
    /// Whether to say how its scans went about it.
    pub explain: bool,
}

/// What a query took.
#[derive(Clone, Debug)]
pub struct Answered {
    /// What its scans did read.
    pub stats: ScanStats,
    /// How they went about it, where that was asked for: those of subqueries, then its own.
    pub plans: Vec<ScanPlan>,
}

impl Default for QueryControl {
    fn default() -> Self {
        Self {
            control: Control::default(),
            memory: None,
            duration_max: None,
            time: (i64::MIN, i64::MAX),
            zone: 0,
            explain: false,
        }
    }
}

impl Answered {
    /// How a query that gave so many rows was answered, for people.
    pub fn explained(&self, query: &str, given: usize) -> String {
        let mut out = format!("query      {query}\n");
        for plan in &self.plans {
            out.push_str(&format!("{plan}\n"));
        }
        let stats = &self.stats;
        out + &format!(
            "did read   {} bytes of {} segments: {} of heads, {} of times and places, {} of codes, {} of values\n\
             in memory  {} bytes of heads, {} of pages\n\
             did fetch  {} bytes by {} requests to the archive\n\
             looked at  {} of {} blocks and batches row by row, {} texts; {given} rows are the answer\n",
            stats.read_bytes(),
            stats.segments_read,
            stats.head_bytes,
            stats.row_bytes,
            stats.code_bytes,
            stats.value_bytes,
            stats.kept_head_bytes,
            stats.kept_bytes,
            stats.bucket_bytes,
            stats.bucket_gets,
            stats.blocks_read,
            stats.blocks_considered,
            stats.texts_rebuilt
        )
    }
}

/// A sink of which is known whether it was given rows.
struct Giving<'s> {
    sink: &'s mut dyn Sink,
    has_given: Rc<Cell<bool>>,
}

impl Sink for Giving<'_> {
    fn take(&mut self, block: Block) -> Result<Flow> {
        if block.rows() > 0 {
            self.has_given.set(true);
        }
        self.sink.take(block)
    }
}

impl Engine {
    /// Memory for one query: that of its text, and all that running it takes.
    pub fn query_memory(&self) -> Memory {
        self.memory(&Control::default())
    }

    /// Runs a query; its rows go to the sink. Gives what it took to find them.
    pub fn query(&self, query: &Query, control: &QueryControl, sink: &mut dyn Sink) -> Result<Answered> {
        let mut cancel = control.control.cancel.clone();
        if let Some(allowed) = control.duration_max {
            cancel = cancel.within(&self.shared.env, allowed);
        }
        let memory = control.memory.clone().unwrap_or_else(|| self.memory(&control.control));
        let bounds = Control { cancel: cancel.clone(), ..control.control.clone() };
        let plans = Mutex::new(Vec::new());
        let clock = Clock { now: self.shared.env.now(), zone: control.zone };
        let mut sink = Giving { sink, has_given: Rc::default() };
        let given = Rc::clone(&sink.has_given);
        let ask = |mut snapshot: Snapshot, counters: &Counters| {
            if let Some(threads) = query.options.concurrency.filter(|threads| *threads > 0) {
                snapshot.crew = snapshot.crew.at_most(threads as usize);
            }
            locked(&plans).clear();
            let source = Stored::new(&snapshot, counters).telling(control.explain.then_some(&plans));
            let context = Context::new(&source, clock, memory.clone(), Stop::with(cancel.clone()));
            let (first, last) = control.time;
            run(query, &context.within(first, last), &mut sink)
        };
        let (ran, counters) = self.attempt(&bounds, &memory, || !given.get(), ask);
        self.shared.activity.asked(ran, || counters.stats())?;
        let plans = std::mem::take(&mut *locked(&plans));
        Ok(Answered { stats: counters.stats(), plans })
    }
}
