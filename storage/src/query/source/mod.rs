//! Rows of an engine as a source: hot batches and the blocks of segments, through a scan.
//!
//! A row has fields that were sent, and fields that are made of what the row is: `_time`, `_id`, `_stream`, `_stream_id` and
//! `_severity`. Rows that belong to no engine have only what was sent.
//!
//! Invariants
//! * What the scan cannot answer of a filter is asked of the columns of the rows that it finds.
//! * Only columns that are looked at are read, and no row is put together but those that are given back.
//! * Once a worker has enough, none is given more: what one has seen is enough for all.
mod columns;
mod explain;
mod faces;
mod live;
mod names;

use super::block::{Block, BlockBuilder};
use super::filter::push::Pushed;
use super::needed::Needed;
use super::run::{Flow, Request, Sink, Source, Worker};
use crate::error::Result;
use crate::query::bits::Bits;
use crate::scan::columns::{Sieve, View};
use crate::scan::{Found, Search, Snapshot};
use crate::segment::{Counters, Held};
use columns::{block_of, counted};
pub use explain::ScanPlan;
pub(super) use faces::{MADE, stream_id};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

/// Rows of a block that is handed on.
const BLOCK_ROWS: usize = 8_192;
/// Newest rows that are found before any of them is put together.
const NEWEST_MAX: usize = 65_536;

/// Everything there is at one moment.
pub(crate) struct Stored<'s> {
    snapshot: &'s Snapshot,
    counters: &'s Counters,
    /// Which fields are made of what a row is.
    made: &'static [&'static str],
    /// How the scans went about it, where that is asked for.
    plans: Option<&'s Mutex<Vec<ScanPlan>>>,
}

/// A block among several, and a row of it.
type Place = (usize, usize);

/// A scan that is ready to go.
struct Plan<'r> {
    search: Search,
    pushed: Pushed<'r>,
    /// What the rest of the filter looks at.
    looked_at: Needed,
}

impl<'s> Stored<'s> {
    /// Rows of an engine.
    pub(crate) fn new(snapshot: &'s Snapshot, counters: &'s Counters) -> Self {
        Self { snapshot, counters, made: &MADE, plans: None }
    }

    /// Rows as they were sent, and nothing else.
    pub(crate) fn as_sent(snapshot: &'s Snapshot, counters: &'s Counters) -> Self {
        Self { snapshot, counters, made: &[], plans: None }
    }

    /// The same, which says how it goes about each scan.
    pub(crate) fn telling(self, plans: Option<&'s Mutex<Vec<ScanPlan>>>) -> Self {
        Self { plans, ..self }
    }

    fn tell(&self, request: &Request<'_>, plan: &Plan<'_>, way: &'static str) {
        if let Some(plans) = self.plans {
            let told = ScanPlan::of(self, request, &plan.pushed, &plan.search, way);
            plans.lock().unwrap_or_else(PoisonError::into_inner).push(told);
        }
    }

    fn plan<'r>(&self, request: &Request<'r>) -> Plan<'r> {
        let pushed = request.matcher.pushed(self.made);
        let (first, last) = pushed.times;
        let search = Search {
            services: pushed.services.clone().unwrap_or_default(),
            exclude_services: Vec::new(),
            from: (first > i64::MIN).then_some(first),
            until: (last < i64::MAX).then_some(last),
            filter: pushed.filter.clone(),
            limit: request.newest.unwrap_or(0),
            ..Search::default()
        };
        let mut looked_at = Needed::none();
        looked_at.add_all(pushed.fields());
        Plan { search, pushed, looked_at }
    }

    /// The rows of a view that pass what the scan could not answer.
    fn sift(&self, plan: &Plan<'_>, view: &View<'_>) -> Result<Vec<usize>> {
        let (block, _held) = self.held_block(view, &plan.looked_at)?;
        let mut keep = Bits::new(view.len(), true);
        plan.pushed.apply(&block, &mut keep);
        Ok(keep.rows().collect())
    }

    /// The newest rows, newest first.
    fn newest(&self, request: &Request<'_>, plan: &Plan<'_>, sink: &mut dyn Sink) -> Result<Flow> {
        self.tell(request, plan, "the newest, until no block can have newer ones");
        let sieve = |view: &View<'_>| self.sift(plan, view);
        let sieve: Option<&Sieve<'_>> = if plan.pushed.is_exact() { None } else { Some(&sieve) };
        let found = self.snapshot.newest(&plan.search, sieve, self.counters)?;
        self.hand_on(request, &found, sink)
    }

    /// Rows here and there, in the order that they are given in.
    fn hand_on(&self, request: &Request<'_>, found: &[Found], sink: &mut dyn Sink) -> Result<Flow> {
        let held = self.counters.held();
        let (blocks, places) = self.blocks_of(request, found, &held)?;
        let mut out = BlockBuilder::default();
        for (block, row) in places {
            if let Some(block) = blocks.get(block) {
                block.columns().iter().for_each(|column| out.set_from(column, row));
            }
            out.end_row();
            if out.is_full() && sink.take(out.take())? == Flow::Enough {
                return Ok(Flow::Enough);
            }
        }
        sink.take(out.take())
    }

    /// The columns of rows here and there, a block for each part, and where in them each of the rows is.
    fn blocks_of(&self, request: &Request<'_>, found: &[Found], held: &Held<'_>) -> Result<(Vec<Block>, Vec<Place>)> {
        let mut by_place = BTreeMap::new();
        for (at, (.., place, row)) in found.iter().enumerate() {
            by_place.entry(*place).or_insert_with(Vec::new).push((*row, at));
        }
        let (mut blocks, mut places) = (Vec::new(), vec![(usize::MAX, 0); found.len()]);
        for (place, mut rows) in by_place {
            request.stop.check()?;
            rows.sort_unstable();
            for (row, (_, at)) in rows.iter().enumerate() {
                if let Some(of_row) = places.get_mut(*at) {
                    *of_row = (blocks.len(), row);
                }
            }
            let rows = rows.into_iter().map(|(row, _)| row).collect();
            let mut block = Block::default();
            self.snapshot.view_of(place, rows, self.counters, &mut |view| {
                block = block_of(view, request.needed, self.made)?;
                Ok(())
            })?;
            held.add(block.bytes())?;
            blocks.push(block);
        }
        Ok((blocks, places))
    }

    /// Columns of a view, counted as memory until the second value is dropped.
    fn held_block(&self, view: &View<'_>, wanted: &Needed) -> Result<(Block, Held<'_>)> {
        let block = block_of(view, wanted, self.made)?;
        let held = self.counters.held();
        held.add(block.bytes())?;
        Ok((block, held))
    }

    /// Blocks of as many rows as pass, one of each part, where nothing else is asked for.
    fn count(&self, request: &Request<'_>, plan: &Plan<'_>) -> Result<Option<Vec<Block>>> {
        let asks_nothing = request.needed.names().is_some_and(<[String]>::is_empty);
        if !asks_nothing || !plan.pushed.is_exact() || self.wants_nothing(plan) {
            return Ok(None);
        }
        self.tell(request, plan, "counted, none of them read");
        let counts = self.snapshot.counts(&plan.search, self.counters)?;
        let block = |rows: u64| Block::new(usize::try_from(rows).unwrap_or(usize::MAX), Vec::new());
        Ok(Some(counts.into_iter().map(block).collect()))
    }

    /// Whether no row can pass. (A search that names no service wants all of them.)
    fn wants_nothing(&self, plan: &Plan<'_>) -> bool {
        plan.pushed.services.as_ref().is_some_and(Vec::is_empty) || plan.pushed.times.0 > plan.pushed.times.1
    }
}

/// Hands on blocks until there is enough.
fn take_all(sink: &mut dyn Sink, blocks: Vec<Block>) -> Result<Flow> {
    for block in blocks {
        if sink.take(block)? == Flow::Enough {
            return Ok(Flow::Enough);
        }
    }
    Ok(Flow::More)
}

/// Whether a scan goes on.
fn goes_on(flow: Flow) -> ControlFlow<()> {
    match flow {
        Flow::More => ControlFlow::Continue(()),
        Flow::Enough => ControlFlow::Break(()),
    }
}

impl Source for Stored<'_> {
    fn rows(&self, request: &Request<'_>, sink: &mut dyn Sink) -> Result<Flow> {
        let plan = self.plan(request);
        if self.wants_nothing(&plan) {
            return Ok(Flow::More);
        }
        if request.newest.is_some_and(|rows| rows <= NEWEST_MAX) {
            return self.newest(request, &plan, sink);
        }
        if let Some(blocks) = self.count(request, &plan)? {
            return take_all(sink, blocks);
        }
        if request.names_only && plan.pushed.is_exact() {
            return self.names(request, &plan, sink);
        }
        self.tell(request, &plan, "one block after another");
        let sieve = |view: &View<'_>| self.sift(&plan, view);
        let sieve: Option<&Sieve<'_>> = if plan.pushed.is_exact() { None } else { Some(&sieve) };
        let mut flow = Flow::More;
        let make = |view: &View<'_>| {
            request.stop.check()?;
            self.held_block(view, request.needed)
        };
        self.snapshot.stream(&plan.search, sieve, BLOCK_ROWS, self.counters, &make, &mut |(block, _held)| {
            request.stop.check()?;
            flow = sink.take(block)?;
            Ok(goes_on(flow))
        })?;
        Ok(flow)
    }

    fn fold<'w>(
        &self,
        request: &Request<'_>,
        fresh: &(dyn Fn() -> Result<Worker<'w>> + Sync),
    ) -> Result<Vec<Worker<'w>>> {
        let plan = self.plan(request);
        if self.wants_nothing(&plan) {
            return Ok(Vec::new());
        }
        if let Some(blocks) = self.count(request, &plan)? {
            let mut worker = fresh()?;
            take_all(&mut worker, blocks)?;
            return Ok(vec![worker]);
        }
        self.tell(request, &plan, "blocks by several threads at once");
        let made =
            self.snapshot.fold(&plan.search, self.counters, &|| None, &|state: &mut Option<Worker<'w>>, view| {
                request.stop.check()?;
                let worker = match state {
                    Some(worker) => worker,
                    none => none.insert(fresh()?),
                };
                if plan.pushed.is_exact() {
                    if let Some(blocks) = counted(view, request.needed, self.made)? {
                        return take_all(worker, blocks).map(goes_on);
                    }
                    let (block, _held) = self.held_block(view, request.needed)?;
                    return worker.take(block).map(goes_on);
                }
                let mut wanted = request.needed.clone();
                wanted.add_all(plan.pushed.fields());
                let (block, _held) = self.held_block(view, &wanted)?;
                let mut keep = Bits::new(block.rows(), true);
                plan.pushed.apply(&block, &mut keep);
                worker.take(block.filtered(&keep)).map(goes_on)
            })?;
        Ok(made.into_iter().flatten().collect())
    }

    fn has_times(&self) -> bool {
        self.made.contains(&"_time")
    }
}
