//! Queries over an engine: everything there is at one moment as a source, within bounds.
//!
//! Invariants
//! * A query reads what its time range and services leave, and writes nothing.
//! * What all queries take together is bounded. How many run at once is for the caller to say.
use super::{Engine, locked};
use crate::error::Result;
use crate::memory::Memory;
use crate::query::{Clock, Context, Query, ScanPlan, Sink, Stop, Stored, run};
use crate::scan::{Control, ScanStats};
use crate::segment::{Budget, Counters};
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
             looked at  {} of {} blocks and batches row by row, {} texts; {given} rows are the answer\n",
            stats.read_bytes(),
            stats.segments_read,
            stats.head_bytes,
            stats.row_bytes,
            stats.code_bytes,
            stats.value_bytes,
            stats.kept_head_bytes,
            stats.kept_bytes,
            stats.blocks_read,
            stats.blocks_considered,
            stats.texts_rebuilt
        )
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
        let counters = Counters::new(Budget::new(cancel.clone(), memory.clone()));
        let mut snapshot = self.snapshot();
        if let Some(threads) = query.options.concurrency.filter(|threads| *threads > 0) {
            snapshot.crew = snapshot.crew.at_most(threads as usize);
        }
        let plans = Mutex::new(Vec::new());
        let source = Stored::new(&snapshot, &counters).telling(control.explain.then_some(&plans));
        let clock = Clock { now: self.shared.env.now(), zone: control.zone };
        let context = Context::new(&source, clock, memory, Stop::with(cancel));
        let (first, last) = control.time;
        let ran = run(query, &context.within(first, last), sink);
        self.shared.activity.asked(ran, || counters.stats())?;
        let plans = std::mem::take(&mut *locked(&plans));
        Ok(Answered { stats: counters.stats(), plans })
    }
}
