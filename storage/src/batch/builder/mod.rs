//! Collects rows, value by value, and encodes them as one batch.
//!
//! A row is held as it comes until it is committed, so that a bad record leaves nothing behind, limits are applied to
//! the record as a whole, and a text is split once its stream is known. What was learned (fields, shapes, streams)
//! outlives a batch: a builder is meant to be used again.
//!
//! Invariants
//! * An aborted row changes nothing that is encoded.
//! * A text is split once, here. It is kept whole where its shape would be over a limit, or where its stream keeps
//!   bringing shapes that were never seen before.
mod encode;
mod nodes;
mod redact;
mod streams;
mod surplus;
mod values;

use super::recent::Recent;
use super::window::Sightings;
use super::{Stream, TIME_ABSENT};
use crate::limits::{BATCH_ROWS_MAX, KIB, MIB};
use crate::record::FieldPath;
use crate::text::shape::Split;
use nodes::{BEYOND, NODES_MAX, Node, ROOT};
use rustc_hash::FxHashMap;
use streams::KnownStream;
use surplus::Surplus;
pub(super) use surplus::push_value;
use values::{CachedShape, LaneData};

/// Shape text that a builder remembers from batch to batch.
const SHAPE_CACHE_BYTES_MAX: usize = 8 * MIB;
/// Fields of one batch, beyond which no further row is begun.
const BATCH_FIELDS: usize = 8 * KIB;

/// What a value was sent as.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    String,
    Number,
    Json,
    True,
    False,
    Null,
}

pub(super) struct Pending {
    pub(super) node: u32,
    pub(super) sent: Sent,
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Pending {
    /// Bytes of its text.
    pub(super) fn len(&self) -> usize {
        (self.end - self.start) as usize
    }
}

/// Collects rows and makes batches of them.
pub struct BatchBuilder {
    nodes: Vec<Node>,
    children: FxHashMap<Box<[u8]>, u32>,
    /// How many nodes have each path whose name is cut, or could be.
    long_names: FxHashMap<FieldPath, u16>,
    child_key: Vec<u8>,
    lanes: Vec<LaneData>,
    /// The shape that was added last of those whose keys have a hash.
    shape_numbers: FxHashMap<u64, u32>,
    shapes: Vec<CachedShape>,
    shape_cache_bytes: usize,
    recent: Recent,
    sightings: Sightings,
    streams: FxHashMap<Box<str>, u32>,
    known_streams: Vec<KnownStream>,
    stream_fields: Vec<Box<str>>,
    split: Split,
    // The row that is being collected.
    pub(super) arena: String,
    pub(super) pending: Vec<Pending>,
    pub(super) objects: Vec<u32>,
    pub(super) surplus: Surplus,
    previous: u32,
    time: i64,
    row: u64,
    /// Whether no text is split.
    keeps_whole: bool,
    // The batch that is being collected.
    batch: u64,
    rows: usize,
    times: Vec<i64>,
    any_time: bool,
    row_streams: Vec<u16>,
    batch_streams: Vec<u32>,
    batch_fields: Vec<u32>,
    shape_keys: Vec<u8>,
    shape_count: u16,
    bytes: usize,
    /// Space for what stands before the sections of a batch.
    head: Vec<u8>,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchBuilder {
    /// An empty builder whose rows belong to the stream of their `service_name`.
    pub fn new() -> Self {
        Self::with_stream_fields(&["service_name"])
    }

    /// An empty builder whose rows belong to the stream of these fields.
    pub fn with_stream_fields(names: &[&str]) -> Self {
        let mut builder = Self {
            nodes: Vec::new(),
            children: FxHashMap::default(),
            long_names: FxHashMap::default(),
            child_key: Vec::new(),
            lanes: Vec::new(),
            shape_numbers: FxHashMap::default(),
            shapes: Vec::new(),
            shape_cache_bytes: 0,
            recent: Recent::default(),
            sightings: Sightings::default(),
            streams: FxHashMap::default(),
            known_streams: Vec::new(),
            stream_fields: names.iter().map(|name| Box::from(*name)).collect(),
            split: Split::default(),
            arena: String::new(),
            pending: Vec::new(),
            objects: Vec::new(),
            surplus: Surplus::default(),
            previous: ROOT,
            time: TIME_ABSENT,
            row: 1,
            keeps_whole: false,
            batch: 1,
            rows: 0,
            times: Vec::new(),
            any_time: false,
            row_streams: Vec::new(),
            batch_streams: Vec::new(),
            batch_fields: Vec::new(),
            shape_keys: Vec::new(),
            shape_count: 0,
            bytes: 0,
            head: Vec::new(),
        };
        builder.reset_nodes();
        builder
    }

    /// The same, with every text kept whole.
    #[must_use]
    pub fn keeping_whole(self) -> Self {
        Self { keeps_whole: true, ..self }
    }

    /// Rows committed so far.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// About how large the batch is by now.
    pub fn bytes(&self) -> usize {
        self.bytes + self.shape_keys.len()
    }

    /// Whether no other row may be begun; one may be where there is none.
    pub fn is_full(&self) -> bool {
        let is_full = self.rows >= BATCH_ROWS_MAX
            || self.bytes() >= 4 * MIB
            || self.shape_count > u16::MAX - 1024
            || self.batch_fields.len() >= BATCH_FIELDS
            || self.has_many_names();
        self.rows > 0 && is_full
    }

    fn has_many_names(&self) -> bool {
        self.nodes.len() >= 4 * NODES_MAX
    }

    /// Begins a row; one that was not committed is forgotten.
    pub fn begin_row(&mut self) {
        // Names of rows that were begun and not committed, which nothing else would forget.
        if self.rows == 0 && self.has_many_names() {
            self.reset();
        }
        self.arena.clear();
        self.pending.clear();
        self.objects.clear();
        self.surplus.clear();
        self.previous = ROOT;
        self.time = TIME_ABSENT;
        self.row += 1;
    }

    /// Into a nested object. Its depth is bounded by the caller's decoder; names beyond the limit join their parent's.
    pub fn enter(&mut self, name: &str) {
        let node = self.child(name);
        if node == BEYOND {
            self.surplus.enter(name);
        }
        self.objects.push(node);
    }

    /// Out of a nested object.
    pub fn leave(&mut self) {
        if self.objects.pop() == Some(BEYOND) {
            self.surplus.leave();
        }
    }

    /// A string.
    pub fn string(&mut self, name: &str, value: &str) {
        self.push(name, Sent::String, value);
    }

    /// A number, as it was spelled.
    pub fn number(&mut self, name: &str, spelling: &str) {
        self.push(name, Sent::Number, spelling);
    }

    /// A whole number.
    pub fn int(&mut self, name: &str, value: i64) {
        let mut digits = Vec::with_capacity(20);
        super::lane::push_int(value, &mut digits);
        self.push(name, Sent::Number, std::str::from_utf8(&digits).unwrap_or_default());
    }

    /// A boolean.
    pub fn bool(&mut self, name: &str, value: bool) {
        self.push(name, if value { Sent::True } else { Sent::False }, "");
    }

    /// A null.
    pub fn null(&mut self, name: &str) {
        self.push(name, Sent::Null, "");
    }

    /// An array or an empty object, as compact JSON text.
    pub fn json(&mut self, name: &str, raw: &str) {
        self.push(name, Sent::Json, raw);
    }

    /// The row's event time, nanoseconds since 1970; its arrival where this is never called.
    pub fn time(&mut self, nanos: i64) {
        // The one value that stands for absence is 292 years before 1970.
        self.time = nanos.max(TIME_ABSENT + 1);
    }

    /// Forgets the row.
    pub fn abort_row(&mut self) {
        self.begin_row();
    }

    /// Keeps the row, in the stream that its fields name.
    pub fn commit_row(&mut self) {
        let known = self.find_stream();
        self.commit(known);
    }

    /// Keeps the row, in a stream that was named before.
    pub(crate) fn commit_row_in(&mut self, stream: &Stream) {
        let key: Box<str> = format!("{}\0{}", stream.service, stream.tags).into();
        let known = match self.streams.get(&key) {
            Some(known) => *known,
            None => self.add_stream(key, stream.clone()),
        };
        self.commit(known);
    }

    fn commit(&mut self, known: u32) {
        self.fit();
        let stream = self.local_stream(known);
        let row = self.rows;
        let mut pending = std::mem::take(&mut self.pending);
        let arena = std::mem::take(&mut self.arena);
        for value in pending.drain(..) {
            let text = arena.get(value.start as usize..value.end as usize).unwrap_or_default();
            self.keep(row as u16, known, &value, text);
        }
        self.bytes += arena.len() + 8;
        self.pending = pending;
        self.arena = arena;
        self.times.push(self.time);
        self.any_time |= self.time != TIME_ABSENT;
        self.row_streams.push(stream);
        self.rows += 1;
        self.begin_row();
    }

    fn push(&mut self, name: &str, sent: Sent, value: &str) {
        let node = self.value_node(name);
        if node == BEYOND {
            return self.keep_beyond(name, sent, value);
        }
        let start = self.arena.len() as u32;
        self.arena.push_str(value);
        self.pending.push(Pending { node, sent, start, end: self.arena.len() as u32 });
    }

    pub(super) fn reset(&mut self) {
        for lane in &mut self.lanes {
            lane.count = 0;
            lane.listed = false;
            lane.values.clear();
            lane.ints.clear();
            lane.lengths.clear();
            lane.variables.clear();
        }
        self.times.clear();
        self.any_time = false;
        self.row_streams.clear();
        self.batch_streams.clear();
        self.batch_fields.clear();
        self.shape_keys.clear();
        self.shape_count = 0;
        self.rows = 0;
        self.bytes = 0;
        self.batch += 1;
        if self.nodes.len() > NODES_MAX {
            self.reset_nodes();
        }
        if self.shape_cache_bytes > SHAPE_CACHE_BYTES_MAX {
            self.shapes.clear();
            self.shape_numbers.clear();
            self.recent = Recent::default();
            self.shape_cache_bytes = 0;
        }
        if self.known_streams.len() > NODES_MAX {
            self.known_streams.clear();
            self.streams.clear();
        }
        self.begin_row();
    }
}
