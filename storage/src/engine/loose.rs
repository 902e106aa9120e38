//! Rows that belong to no engine, in any of the forms that an engine has rows in: for queries over what was piped in.
//!
//! Invariants
//! * Rows go through the same builder, batches and blocks as an engine's. No field is added, renamed, cut or changed; a
//!   `_time` is a field like any other.
//! * A row that is over a limit of the engine's is kept as it came.
//! * Rows in memory are bounded where that is asked for: what is more goes into segments on a disk, which have no names there.
use super::{Answered, locked};
use crate::batch::{BatchBuilder, Stream};
use crate::env::Env;
use crate::env::sim::SimEnv;
use crate::error::{Error, Result};
use crate::hot::Generation;
use crate::layout::Layout;
use crate::limits::{FIELD_NAME_BYTES_MAX, MIB, RECORD_BYTES_MAX, RECORD_FIELDS_MAX};
use crate::maintain::seal_rows;
use crate::memory::Memory;
use crate::query::{Flow, Request, Rows, ScanPlan, Sink, Source, Stored, fields_of};
use crate::scan::{Cancel, Crew, Hidden, Snapshot};
use crate::segment::{Budget, Counters, ReadCache, Segment};
use std::path::Path;
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
    /// What rows over a limit take.
    memory: Memory,
    /// Where rows go that are more than may be in memory, and how many bytes may.
    spill: Option<(Disk, usize)>,
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
            memory: Memory::default(),
            spill: None,
        }
    }

    /// The same, with about so many bytes of rows in memory and what is more in files under `folder`; `memory` counts rows that
    /// can only be in memory.
    pub fn spilling(self, env: Arc<dyn Env>, folder: &Path, bytes_max: usize, memory: &Memory) -> Result<Self> {
        Ok(Self { spill: Some((Disk::new(env, folder)?, bytes_max)), memory: memory.clone(), ..self })
    }

    /// Whether some of the rows are on a disk.
    pub fn has_spilled(&self) -> bool {
        self.spill.as_ref().is_some_and(|(disk, _)| !disk.segments.is_empty())
    }

    /// Adds a row that is a JSON object: nested fields under dotted names, arrays as their text. Says whether it is one.
    pub fn push_json(&mut self, object: &str) -> Result<bool> {
        let Some(fields) = fields_of(object) else { return Ok(false) };
        let bytes: usize = fields.iter().map(|(_, value)| value.len()).sum();
        let is_long = |(name, _): &(String, String)| name.len() > FIELD_NAME_BYTES_MAX;
        if fields.len() > RECORD_FIELDS_MAX || bytes > RECORD_BYTES_MAX - HEAD_BYTES || fields.iter().any(is_long) {
            let names: usize = fields.iter().map(|(name, _)| name.len()).sum();
            self.memory.take(bytes + names, "what is longer than a record may be")?;
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
        let most = self.spill.as_ref().map_or(GENERATION_BYTES, |(_, most)| GENERATION_BYTES.min(*most));
        if size.rows >= GENERATION_ROWS || size.bytes >= most {
            self.ended.push(std::mem::take(&mut self.growing));
        }
        let is_over = |most: usize| self.ended.iter().map(|ended| ended.size().bytes).sum::<usize>() >= most;
        if self.has_spilled() || self.spill.as_ref().is_some_and(|(_, most)| is_over(*most)) {
            self.spill()
        } else {
            Ok(())
        }
    }

    /// Brings the generations that have ended onto the disk.
    fn spill(&mut self) -> Result<()> {
        let Some((disk, _)) = &mut self.spill else { return Ok(()) };
        for generation in std::mem::take(&mut self.ended) {
            disk.seal(&generation)?;
        }
        Ok(())
    }

    /// Ends the rows.
    pub fn ended(mut self) -> Result<LooseRows> {
        self.end_batch()?;
        self.ended.push(std::mem::take(&mut self.growing));
        let mut segments = Vec::new();
        if self.has_spilled() {
            // All or nothing is sealed: what is asked is in one form.
            self.spill()?;
            segments = self.spill.take().map_or_else(Vec::new, |(disk, _)| disk.segments);
        } else if self.form == Form::Sealed {
            // A disk in memory.
            let mut disk = Disk::new(Arc::new(SimEnv::new(0)), Path::new("/loose"))?;
            std::mem::take(&mut self.ended).iter().try_for_each(|generation| disk.seal(generation))?;
            segments = disk.segments;
        }
        let mut generations: Vec<_> = self.ended.iter().map(Generation::view).collect();
        generations.retain(|generation| !generation.batches.is_empty());
        // One thread: rows are given in the order in which they came.
        let crew = Crew::new(Some(1));
        let left_out = Vec::new();
        let snapshot = Snapshot { generations, segments, left_out, epoch: 0, hidden: Hidden::default(), crew };
        Ok(LooseRows { snapshot, counters: Counters::default(), surplus: self.surplus.ended(), plans: None })
    }
}

impl LooseRows {
    /// The same, of which queries read so much and so long.
    #[must_use]
    pub fn within(self, cancel: Cancel, memory: Memory) -> Self {
        Self { counters: Counters::new(Budget::new(cancel, memory)), ..self }
    }

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

/// Where generations become segments. Their files are removed as soon as they are open: they end with whoever has them.
struct Disk {
    env: Arc<dyn Env>,
    layout: Layout,
    cache: Arc<ReadCache>,
    segments: Vec<Arc<Segment>>,
}

impl Disk {
    fn new(env: Arc<dyn Env>, folder: &Path) -> Result<Self> {
        let layout = Layout::new(folder);
        env.create_dir_all(&layout.segments()).map_err(|e| Error::io("create", &layout.segments(), e))?;
        let cache = Arc::new(ReadCache::new(CACHE_BYTES, STRAIGHT_BYTES));
        Ok(Self { env, layout, cache, segments: Vec::new() })
    }

    fn seal(&mut self, generation: &Generation) -> Result<()> {
        let view = generation.view();
        if view.batches.is_empty() {
            return Ok(());
        }
        let sealed = seal_rows(&self.env, &self.layout, &self.cache, &view, self.segments.len() as u64)?;
        for segment in &sealed {
            self.env.remove_file(segment.path()).map_err(|e| Error::io("remove", segment.path(), e))?;
        }
        self.segments.extend(sealed);
        Ok(())
    }
}

impl Source for LooseRows {
    fn rows(&self, request: &Request<'_>, sink: &mut dyn Sink) -> Result<Flow> {
        match Stored::as_sent(&self.snapshot, &self.counters).telling(self.plans.as_ref()).rows(request, sink)? {
            Flow::More if !self.surplus.is_empty() => self.surplus.rows(request, sink),
            flow => Ok(flow),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{Block, Clock, Context, Stop, parse, run};

    fn answers(rows: &LooseRows, query: &str) -> Vec<String> {
        let context = Context::new(rows, Clock { now: 0, zone: 0 }, Memory::default(), Stop::default());
        let mut found = Vec::new();
        run(&parse(query).unwrap(), &context, &mut |block: Block| {
            found.extend((0..block.rows()).map(|row| block.row_json(row)));
            Ok(Flow::More)
        })
        .unwrap();
        found
    }

    #[test]
    fn rows_on_a_disk_answer_as_those_in_memory_do_and_leave_nothing_there() {
        let env: Arc<dyn Env> = Arc::new(SimEnv::new(3));
        let spilling = |most: usize| {
            let folder = Path::new("/tmp/of-a-query");
            Loose::new(Form::Hot).spilling(Arc::clone(&env), folder, most, &Memory::new(4 * MIB)).unwrap()
        };
        let (mut all, mut some) = (Loose::new(Form::Hot), spilling(64 << 10));
        for n in 0..9_000 {
            let (id, even) = (format!("x{n:01000}"), n % 2 == 0);
            let row = format!(r#"{{"n":"{n}","_msg":"request {} of {id} took {n} ms","k":{{"even":{even}}}}}"#, n % 7);
            assert!(all.push_json(&row).unwrap() && some.push_json(&row).unwrap());
        }
        assert!(some.has_spilled() && !all.has_spilled());
        let (all, some) = (all.ended().unwrap(), some.ended().unwrap());
        assert!(some.snapshot.segments.len() > 1 && some.snapshot.generations.is_empty());
        for query in
            ["*", "request k.even:true | fields n", "* | stats by (k.even) count() n", "* | sort by (n) desc limit 5"]
        {
            let found = answers(&some, query);
            assert!(!found.is_empty() && found == answers(&all, query), "{query}");
        }
        let days = env.list(Path::new("/tmp/of-a-query/segments")).unwrap();
        let files =
            days.iter().map(|day| env.list(&Path::new("/tmp/of-a-query/segments").join(&day.name)).unwrap().len());
        assert_eq!(files.sum::<usize>(), 0);
    }

    #[test]
    fn what_can_only_be_in_memory_is_bounded() {
        let env: Arc<dyn Env> = Arc::new(SimEnv::new(4));
        let mut rows = Loose::new(Form::Hot).spilling(env, Path::new("/tmp"), MIB, &Memory::new(8 * MIB)).unwrap();
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(3 * MIB));
        assert!(rows.push_json(&long).unwrap() && rows.push_json(&long).unwrap());
        let refused = rows.push_json(&long).unwrap_err();
        assert!(refused.to_string().contains("query.max_memory"), "{refused}");
    }
}
