//! Rows that belong to no engine, in any of the forms that an engine has rows in: for queries over what was piped in.
//!
//! Invariants
//! * Rows go through the same builder, batches and blocks as an engine's. No field is added, renamed, cut or changed; a
//!   `_time` is a field like any other.
//! * A row that is over a limit of the engine's is kept as it came.
use super::{Answered, locked};
use crate::batch::{BatchBuilder, Stream};
use crate::env::Env;
use crate::env::sim::SimEnv;
use crate::error::{Error, Result};
use crate::hot::{Generation, GenerationView};
use crate::layout::Layout;
use crate::limits::{FIELD_NAME_BYTES_MAX, MIB, RECORD_BYTES_MAX, RECORD_FIELDS_MAX};
use crate::maintain::seal_rows;
use crate::query::{Flow, Request, Rows, ScanPlan, Sink, Source, Stored, fields_of};
use crate::scan::{Crew, Hidden, Snapshot};
use crate::segment::{Counters, ReadCache, Segment};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Rows and bytes after which a generation ends.
const GENERATION_ROWS: usize = 1_000_000;
const GENERATION_BYTES: usize = 96 * MIB;
/// What is kept in memory of segments, and shape text up to which a straight scan answers words.
const CACHE_BYTES: usize = 48 * MIB;
const STRAIGHT_BYTES: usize = 0;
/// What names and kinds may take of a record beside its values.
const HEAD_BYTES: usize = 2_048;

/// How rows are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Batches in memory, with shapes.
    #[default]
    Hot,
    /// Sealed segments, with shapes, index and filters.
    Sealed,
    /// Batches in memory, with every text kept whole.
    Plain,
}

/// Rows that are being collected.
pub struct Loose {
    form: Form,
    builder: BatchBuilder,
    growing: Generation,
    ended: Vec<Generation>,
    next_seq: u64,
    surplus: Rows,
}

/// Rows to be asked.
pub struct LooseRows {
    snapshot: Snapshot,
    counters: Counters,
    surplus: Rows,
    /// How queries went about it, once that is asked for.
    plans: Option<Mutex<Vec<ScanPlan>>>,
}

impl Loose {
    /// None so far.
    pub fn new(form: Form) -> Self {
        let builder = BatchBuilder::with_stream_fields(&[]);
        Self {
            form,
            builder: if form == Form::Plain { builder.keeping_whole() } else { builder },
            growing: Generation::default(),
            ended: Vec::new(),
            next_seq: 1,
            surplus: Rows::default(),
        }
    }

    /// Adds a row that is a JSON object: nested fields under dotted names, arrays as their text. Says whether it is one.
    pub fn push_json(&mut self, object: &str) -> Result<bool> {
        let Some(fields) = fields_of(object) else { return Ok(false) };
        let bytes: usize = fields.iter().map(|(_, value)| value.len()).sum();
        let is_long = |(name, _): &(String, String)| name.len() > FIELD_NAME_BYTES_MAX;
        if fields.len() > RECORD_FIELDS_MAX || bytes > RECORD_BYTES_MAX - HEAD_BYTES || fields.iter().any(is_long) {
            self.surplus.push(fields);
            return Ok(true);
        }
        self.builder.begin_row();
        for (name, value) in &fields {
            self.builder.string(name, value);
        }
        self.builder.commit_row_in(&Stream { service: "".into(), tags: "{}".into() });
        if self.builder.is_full() {
            self.end_batch()?;
        }
        Ok(true)
    }

    fn end_batch(&mut self) -> Result<()> {
        if self.builder.rows() == 0 {
            return Ok(());
        }
        let batch = self.builder.finish()?;
        let rows = batch.rows() as u64;
        self.growing.publish(Some(batch), &[], (self.next_seq, 0), 0, Duration::ZERO)?;
        self.next_seq += rows;
        let size = self.growing.size();
        if size.rows >= GENERATION_ROWS || size.bytes >= GENERATION_BYTES {
            self.ended.push(std::mem::take(&mut self.growing));
        }
        Ok(())
    }

    /// Ends the rows.
    pub fn ended(mut self) -> Result<LooseRows> {
        self.end_batch()?;
        self.ended.push(self.growing);
        let mut generations: Vec<GenerationView> = self.ended.iter().map(Generation::view).collect();
        generations.retain(|generation| !generation.batches.is_empty());
        let mut segments = Vec::new();
        if self.form == Form::Sealed {
            segments = sealed(&generations)?;
            generations.clear();
        }
        // One thread: rows are given in the order in which they came.
        let crew = Crew::new(Some(1));
        let snapshot = Snapshot { generations, segments, epoch: 0, hidden: Hidden::default(), crew };
        Ok(LooseRows { snapshot, counters: Counters::default(), surplus: self.surplus.ended(), plans: None })
    }
}

impl LooseRows {
    /// The same, which keeps how queries go about it.
    #[must_use]
    pub fn explaining(self) -> Self {
        Self { plans: Some(Mutex::default()), ..self }
    }

    /// What queries did read, and how they went about it.
    pub fn explained(&self) -> Answered {
        let plans = self.plans.as_ref().map(|plans| std::mem::take(&mut *locked(plans)));
        Answered { stats: self.counters.stats(), plans: plans.unwrap_or_default() }
    }
}

fn sealed(generations: &[GenerationView]) -> Result<Vec<Arc<Segment>>> {
    // A disk in memory.
    let env: Arc<dyn Env> = Arc::new(SimEnv::new(0));
    let layout = Layout::new("/loose");
    env.create_dir_all(&layout.segments()).map_err(|e| Error::io("create", &layout.segments(), e))?;
    let cache = Arc::new(ReadCache::new(CACHE_BYTES, STRAIGHT_BYTES));
    let mut segments = Vec::new();
    for generation in generations {
        segments.extend(seal_rows(&env, &layout, &cache, generation, segments.len() as u64)?);
    }
    Ok(segments)
}

impl Source for LooseRows {
    fn rows(&self, request: &Request<'_>, sink: &mut dyn Sink) -> Result<Flow> {
        match Stored::as_sent(&self.snapshot, &self.counters).telling(self.plans.as_ref()).rows(request, sink)? {
            Flow::More if !self.surplus.is_empty() => self.surplus.rows(request, sink),
            flow => Ok(flow),
        }
    }
}
