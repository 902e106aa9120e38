//! Queries over an engine: everything there is at one moment as a source, within bounds.
//!
//! Invariants
//! * A query reads what its time range and services leave, and writes nothing.
//! * No more queries run at once than there may; whoever waits too long is refused.
use super::{Engine, locked};
use crate::error::{Error, ErrorKind, Result};
use crate::query::{Clock, Context, Memory, Query, ScanPlan, Sink, Stop, Stored, run};
use crate::scan::{Control, Crew, ScanStats};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

/// Bounds of a query.
#[derive(Clone, Debug)]
pub struct QueryControl {
    /// Bounds of its scan, and what ends it early.
    pub control: Control,
    /// What rows that wait in pipes may take, in bytes.
    pub memory_max: usize,
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
            memory_max: 1 << 30,
            duration_max: None,
            time: (i64::MIN, i64::MAX),
            zone: 0,
            explain: false,
        }
    }
}

/// Who may run.
#[derive(Default)]
pub(super) struct Turns {
    running: Mutex<usize>,
    one_ended: Condvar,
}

/// A query's turn, until it is dropped.
struct Turn<'t>(&'t Turns);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *locked(&self.0.running) -= 1;
        self.0.one_ended.notify_one();
    }
}

impl Turns {
    fn take(&self, queries_max: usize, wait: Duration) -> Result<Turn<'_>> {
        let running = locked(&self.running);
        let is_full = |running: &mut usize| *running >= queries_max.max(1);
        let waited = self.one_ended.wait_timeout_while(running, wait, is_full);
        let (mut running, waited) = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
        if waited.timed_out() {
            let message = format!(
                "{running} queries run at once, which is as many as may; ask again later, or raise query.max_concurrent"
            );
            return Err(Error::new(ErrorKind::Budget, message));
        }
        *running += 1;
        Ok(Turn(self))
    }
}

impl Engine {
    /// Runs a query; its rows go to the sink. Gives what it took to find them.
    pub fn query(&self, query: &Query, control: &QueryControl, sink: &mut dyn Sink) -> Result<Answered> {
        let options = &self.shared.options;
        let _turn = self.turns.take(options.queries_max, options.query_wait)?;
        let mut bounds = control.control.clone();
        if let Some(allowed) = control.duration_max {
            bounds.cancel = bounds.cancel.within(&self.shared.env, allowed);
        }
        let (mut snapshot, counters) = (self.snapshot(), self.counters(&bounds));
        if query.options.concurrency == Some(1) {
            snapshot.crew = Crew::new(Some(1));
        }
        let plans = Mutex::new(Vec::new());
        let source = Stored::new(&snapshot, &counters).telling(control.explain.then_some(&plans));
        let clock = Clock { now: self.shared.env.now(), zone: control.zone };
        let context = Context::new(&source, clock, Memory::new(control.memory_max), Stop::with(bounds.cancel));
        let (first, last) = control.time;
        run(query, &context.within(first, last), sink)?;
        let plans = std::mem::take(&mut *locked(&plans));
        Ok(Answered { stats: counters.stats(), plans })
    }
}
