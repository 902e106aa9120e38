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
use super::lane::{LaneKind, canonical_int, hex_or_uuid};
use super::recent::{Recent, ShortText};
use super::window::{FIELD_VALUES, STREAM_VALUES, Sightings, Window};
use super::{Batch, Numbers, Stream, TIME_ABSENT, VERSION, put_field, put_times};
use crate::codec::{push_piece, put_bytes, put_varint};
use crate::error::Result;
use crate::limits::{BATCH_ROWS_MAX, FIELD_NAME_BYTES_MAX, KIB, MIB, RECORD_DEPTH_MAX};
use crate::record::FieldPath;
use crate::text::shape::{Split, WHOLE};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Shape text that a builder remembers from batch to batch.
const SHAPE_CACHE_BYTES_MAX: usize = 8 * MIB;
/// Fields that a builder remembers from batch to batch.
const NODES_MAX: usize = 16 * KIB;
/// Fields of one batch, beyond which no further row is begun.
const BATCH_FIELDS: usize = 8 * KIB;
/// Bytes of a key above which a shape is remembered only when it is seen for the second time.
const LONG_SHAPE_BYTES: usize = 256;

const ROOT: u32 = 0;
const NONE: u32 = u32::MAX;

/// A name in an object: a field, an object, or both.
struct Node {
    parent: u32,
    name: Box<str>,
    short_name: Option<ShortText>,
    occurrence: u16,
    depth: u16,
    /// The node that came after this one the last time: nearly always right.
    follower: u32,
    /// The node that holds the next value of the same name in the same record.
    repeat: u32,
    /// The last row in which it had a value.
    row: u64,
    /// Its number among the batch's fields, while `batch` is the current one.
    batch: u64,
    field: u32,
    /// Its lanes so far.
    lanes: Vec<(LaneKind, u32)>,
    is_stream_field: bool,
    /// Of its texts in all streams.
    window: Window,
}

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

#[derive(Default)]
struct LaneData {
    node: u32,
    kind: Option<LaneKind>,
    count: usize,
    /// Listed once a row was skipped.
    rows: Vec<u16>,
    listed: bool,
    values: Vec<u8>,
    ints: Vec<i64>,
    lengths: Vec<u8>,
    variables: Vec<u8>,
}

struct CachedShape {
    key: Arc<[u8]>,
    batch: u64,
    local: u16,
}

struct KnownStream {
    stream: Stream,
    batch: u64,
    local: u16,
    windows: Vec<Window>,
}

/// Collects rows and makes batches of them.
pub struct BatchBuilder {
    nodes: Vec<Node>,
    children: FxHashMap<Box<[u8]>, u32>,
    child_key: Vec<u8>,
    lanes: Vec<LaneData>,
    shape_numbers: FxHashMap<Arc<[u8]>, u32>,
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
    encoded: Vec<u8>,
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
            encoded: Vec::new(),
        };
        builder.reset_nodes();
        builder
    }

    /// The same, with every text kept whole.
    #[must_use]
    pub fn keeping_whole(self) -> Self {
        Self { keeps_whole: true, ..self }
    }

    fn reset_nodes(&mut self) {
        self.nodes.clear();
        self.children.clear();
        self.lanes.clear();
        for stream in &mut self.known_streams {
            stream.windows.clear();
        }
        self.add_node(ROOT, "", 0, 0);
    }

    /// Rows committed so far.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// About how large the batch is by now.
    pub fn bytes(&self) -> usize {
        self.bytes + self.shape_keys.len()
    }

    /// Whether another row may be begun.
    pub fn is_full(&self) -> bool {
        self.rows >= BATCH_ROWS_MAX
            || self.bytes() >= 4 * MIB
            || self.shape_count > u16::MAX - 1024
            || self.batch_fields.len() >= BATCH_FIELDS
            || self.nodes.len() >= 4 * NODES_MAX
    }

    /// Begins a row; one that was not committed is forgotten.
    pub fn begin_row(&mut self) {
        self.arena.clear();
        self.pending.clear();
        self.objects.clear();
        self.previous = ROOT;
        self.time = TIME_ABSENT;
        self.row += 1;
    }

    /// Into a nested object. Its depth is bounded by the caller's decoder; names beyond the limit join their parent's.
    pub fn enter(&mut self, name: &str) {
        let node = self.child(name);
        self.objects.push(node);
    }

    /// Out of a nested object.
    pub fn leave(&mut self) {
        self.objects.pop();
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
        let node = self.value_node(name);
        let start = self.arena.len() as u32;
        let mut digits = Vec::with_capacity(20);
        super::lane::push_int(value, &mut digits);
        self.arena.push_str(std::str::from_utf8(&digits).unwrap_or_default());
        self.pending.push(Pending { node, sent: Sent::Number, start, end: self.arena.len() as u32 });
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
        let start = self.arena.len() as u32;
        self.arena.push_str(value);
        self.pending.push(Pending { node, sent, start, end: self.arena.len() as u32 });
    }

    fn value_node(&mut self, name: &str) -> u32 {
        let mut at = self.child(name);
        let row = self.row;
        // A name that comes again in the same record goes to a node of its own.
        loop {
            let Some(node) = self.nodes.get_mut(at as usize) else { return ROOT };
            if node.row != row {
                node.row = row;
                return at;
            }
            at = if node.repeat == NONE { self.add_repeat(at) } else { node.repeat };
        }
    }

    fn child(&mut self, name: &str) -> u32 {
        let parent = self.objects.last().copied().unwrap_or(ROOT);
        let guess = self.nodes.get(self.previous as usize).map_or(NONE, |node| node.follower);
        let is_right = self.nodes.get(guess as usize).is_some_and(|node| {
            let short = ShortText::of(name.as_bytes());
            // Most names are short, and then they are two numbers.
            node.parent == parent && node.short_name == short && (short.is_some() || *node.name == *name)
        });
        let found = if is_right { guess } else { self.look_up_child(parent, name) };
        self.previous = found;
        found
    }

    fn look_up_child(&mut self, parent: u32, name: &str) -> u32 {
        self.child_key.clear();
        self.child_key.extend_from_slice(&parent.to_le_bytes());
        self.child_key.extend_from_slice(name.as_bytes());
        let found = match self.children.get(&*self.child_key) {
            Some(found) => *found,
            None => {
                let depth = self.nodes.get(parent as usize).map_or(0, |node| node.depth) + 1;
                let found = self.add_node(parent, name, 0, depth);
                self.children.insert(self.child_key.as_slice().into(), found);
                found
            }
        };
        if let Some(previous) = self.nodes.get_mut(self.previous as usize) {
            previous.follower = found;
        }
        found
    }

    fn add_node(&mut self, parent: u32, name: &str, occurrence: u16, depth: u16) -> u32 {
        // Of a name that comes twice the last counts, here as everywhere.
        let is_stream_field = parent == ROOT && self.stream_fields.iter().any(|f| **f == *name);
        self.nodes.push(Node {
            parent,
            name: name.into(),
            short_name: ShortText::of(name.as_bytes()),
            occurrence,
            depth,
            follower: NONE,
            repeat: NONE,
            row: 0,
            batch: 0,
            field: 0,
            lanes: Vec::new(),
            is_stream_field,
            window: Window::default(),
        });
        self.nodes.len() as u32 - 1
    }

    fn add_repeat(&mut self, of: u32) -> u32 {
        let Some((parent, name, occurrence, depth)) =
            self.nodes.get(of as usize).map(|n| (n.parent, n.name.clone(), n.occurrence.saturating_add(1), n.depth))
        else {
            return ROOT;
        };
        let added = self.add_node(parent, &name, occurrence, depth);
        if let Some(node) = self.nodes.get_mut(of as usize) {
            node.repeat = added;
        }
        added
    }

    /// The known stream of the row that is being committed.
    fn find_stream(&mut self) -> u32 {
        // The common case, the service alone, finds its stream without making the tags.
        if let [only] = &*self.stream_fields
            && &**only == "service_name"
        {
            let found = self
                .pending
                .iter()
                .rev()
                .find(|p| self.nodes.get(p.node as usize).is_some_and(|node| node.is_stream_field));
            let value = found.map_or("", |found| self.text_of(found));
            if let Some(known) = self.streams.get(value) {
                return *known;
            }
            let tags = tags([(&**only, value)].into_iter());
            let stream = Stream { service: value.into(), tags };
            let key = value.into();
            return self.add_stream(key, stream);
        }
        let value_of = |name: &str| -> String {
            let found = self.pending.iter().rev().find(|p| {
                self.nodes.get(p.node as usize).is_some_and(|node| node.is_stream_field && *node.name == *name)
            });
            found.map_or("", |found| self.text_of(found)).to_owned()
        };
        let values: Vec<(Box<str>, String)> =
            self.stream_fields.iter().map(|name| (name.clone(), value_of(name))).collect();
        let service = self.service();
        let tags = tags(values.iter().map(|(name, value)| (&**name, value.as_str())));
        let key: Box<str> = format!("{service}\0{tags}").into();
        match self.streams.get(&key) {
            Some(known) => *known,
            None => self.add_stream(key, Stream { service: service.into(), tags }),
        }
    }

    /// LogsQL's text of a value of the row.
    fn text_of(&self, value: &Pending) -> &str {
        match value.sent {
            Sent::True => "true",
            Sent::False => "false",
            _ => self.arena.get(value.start as usize..value.end as usize).unwrap_or_default(),
        }
    }

    fn service(&self) -> String {
        let found = self.pending.iter().rev().find(|p| {
            self.nodes.get(p.node as usize).is_some_and(|node| node.parent == ROOT && &*node.name == "service_name")
        });
        found.map_or("", |found| self.text_of(found)).to_owned()
    }

    fn add_stream(&mut self, key: Box<str>, stream: Stream) -> u32 {
        self.known_streams.push(KnownStream { stream, batch: 0, local: 0, windows: Vec::new() });
        let known = self.known_streams.len() as u32 - 1;
        self.streams.insert(key, known);
        known
    }

    fn local_stream(&mut self, known: u32) -> u16 {
        let Some(stream) = self.known_streams.get_mut(known as usize) else { return 0 };
        if stream.batch != self.batch {
            stream.batch = self.batch;
            stream.local = self.batch_streams.len() as u16;
            self.batch_streams.push(known);
        }
        stream.local
    }

    fn keep(&mut self, row: u16, stream: u32, value: &Pending, text: &str) {
        let bytes = text.as_bytes();
        let mut fixed = [0u8; 32];
        match value.sent {
            Sent::String => match hex_or_uuid(bytes, &mut fixed) {
                Some(kind) => self.keep_fixed(row, value.node, kind, &fixed),
                None => self.keep_text(row, stream, value.node, LaneKind::String, text),
            },
            Sent::Number => match canonical_int(bytes) {
                Some(int) => {
                    if let Some(lane) = self.lane(row, value.node, LaneKind::Int) {
                        lane.ints.push(int);
                    }
                }
                None => self.keep_text(row, stream, value.node, LaneKind::Number, text),
            },
            Sent::Json => self.keep_text(row, stream, value.node, LaneKind::Json, text),
            Sent::True => self.keep_fixed(row, value.node, LaneKind::Bool, &[1]),
            Sent::False => self.keep_fixed(row, value.node, LaneKind::Bool, &[0]),
            Sent::Null => self.keep_fixed(row, value.node, LaneKind::Null, &[]),
        }
    }

    fn keep_fixed(&mut self, row: u16, node: u32, kind: LaneKind, bytes: &[u8]) {
        let width = kind.width().unwrap_or(0);
        if let Some(lane) = self.lane(row, node, kind) {
            lane.values.extend_from_slice(bytes.get(..width).unwrap_or_default());
        }
    }

    fn keep_text(&mut self, row: u16, stream: u32, node: u32, kind: LaneKind, text: &str) {
        let shape = self.shape_of(stream, node, text);
        let spans = std::mem::take(&mut self.split.spans);
        if let Some(lane) = self.lane(row, node, kind) {
            lane.values.extend_from_slice(&shape.to_le_bytes());
            for (start, end) in &spans {
                put_varint(&mut lane.lengths, u64::from(end - start));
                push_piece(&mut lane.variables, text.as_bytes(), *start as usize..*end as usize);
            }
        }
        self.split.spans = spans;
    }

    /// The local shape of a text, with its variables in `split.spans`; [`WHOLE`] where it is kept whole.
    fn shape_of(&mut self, stream: u32, node: u32, text: &str) -> u16 {
        let local = self.find_shape(stream, node, text).unwrap_or(WHOLE as u16);
        if u32::from(local) == WHOLE {
            self.split.spans.clear();
            self.split.spans.push((0, text.len() as u32));
        }
        local
    }

    fn find_shape(&mut self, stream: u32, node: u32, text: &str) -> Option<u16> {
        if self.keeps_whole {
            return None;
        }
        // What came lately is not asked about: it has its shape, whatever the others are like.
        let short = ShortText::of(text.as_bytes());
        if let Some((shape, span)) = short.as_ref().and_then(|short| self.recent.get(short)) {
            self.split.spans.clear();
            self.split.spans.extend(span);
            return self.local_shape(shape);
        }
        let windows = &mut self.known_streams.get_mut(stream as usize)?.windows;
        if windows.len() <= node as usize {
            windows.resize(node as usize + 1, Window::default());
        }
        let (window, field) = (windows.get_mut(node as usize)?, &mut self.nodes.get_mut(node as usize)?.window);
        let is_probe = window.is_whole(field);
        if is_probe && !window.probes() {
            return None;
        }
        if !self.split.split(text) {
            return None;
        }
        let known = self.shape_numbers.get(&*self.split.key).copied();
        window.count(known.is_none(), is_probe, STREAM_VALUES);
        field.count(known.is_none(), is_probe, FIELD_VALUES);
        let shape = match known {
            Some(shape) => shape,
            None if self.split.key.len() > LONG_SHAPE_BYTES && !self.sightings.has_seen(&self.split.key) => {
                return None;
            }
            None => self.add_shape(),
        };
        if let Some(short) = short {
            self.recent.put(short, shape, &self.split.spans);
        }
        self.local_shape(shape)
    }

    /// Remembers the shape that was just split.
    fn add_shape(&mut self) -> u32 {
        let key: Arc<[u8]> = self.split.key.as_slice().into();
        let number = self.shapes.len() as u32;
        self.shape_cache_bytes += key.len() + 96;
        self.shape_numbers.insert(Arc::clone(&key), number);
        self.shapes.push(CachedShape { key, batch: 0, local: 0 });
        number
    }

    /// The number of a shape in this batch, where there is room for it.
    fn local_shape(&mut self, shape: u32) -> Option<u16> {
        let shape = self.shapes.get_mut(shape as usize)?;
        if shape.batch != self.batch {
            if self.shape_count == u16::MAX {
                return None;
            }
            self.shape_count += 1;
            (shape.batch, shape.local) = (self.batch, self.shape_count);
            put_bytes(&mut self.shape_keys, &shape.key);
        }
        Some(shape.local)
    }

    fn lane(&mut self, row: u16, node: u32, kind: LaneKind) -> Option<&mut LaneData> {
        let batch = self.batch;
        let entry = self.nodes.get_mut(node as usize)?;
        if entry.batch != batch {
            entry.batch = batch;
            entry.field = self.batch_fields.len() as u32;
            self.batch_fields.push(node);
        }
        let index = match entry.lanes.iter().find(|(k, _)| *k == kind) {
            Some((_, index)) => *index,
            None => {
                let index = self.lanes.len() as u32;
                entry.lanes.push((kind, index));
                self.lanes.push(LaneData { node, kind: Some(kind), ..LaneData::default() });
                index
            }
        };
        let lane = self.lanes.get_mut(index as usize)?;
        if !lane.listed && lane.count != usize::from(row) {
            lane.listed = true;
            lane.rows.clear();
            lane.rows.extend(0..lane.count as u16);
        }
        if lane.listed {
            lane.rows.push(row);
        }
        lane.count += 1;
        Some(lane)
    }

    /// The batch of all rows committed since the last one.
    pub fn finish(&mut self) -> Result<Batch> {
        // Sized exactly, in a second pass over the same space: batches stay in memory until they are sealed.
        let mut columns = std::mem::take(&mut self.encoded);
        columns.clear();
        self.encode(&mut columns);
        let encoded: Box<[u8]> = Box::from(columns.as_slice());
        self.encoded = columns;
        let shapes = std::mem::take(&mut self.shape_keys);
        let batch = Batch::parse_own(encoded, shapes.as_slice().into());
        debug_assert!(
            batch.as_ref().is_ok_and(|batch| batch.check_lanes().is_ok()),
            "BUG: a batch that cannot be read"
        );
        self.shape_keys = shapes;
        self.reset();
        batch
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        put_varint(out, self.rows as u64);
        self.encode_streams(out);
        put_times(out, &self.times, self.any_time);
        put_varint(out, self.batch_fields.len() as u64);
        for node in &self.batch_fields {
            put_field(out, &self.path(*node));
        }
        put_varint(out, u64::from(self.shape_count));
        let used: Vec<&LaneData> = self.lanes.iter().filter(|lane| lane.count > 0).collect();
        put_varint(out, used.len() as u64);
        for lane in &used {
            put_varint(out, self.nodes.get(lane.node as usize).map_or(0, |node| u64::from(node.field)));
            out.extend_from_slice(&lane.kind.map_or([0, 0], LaneKind::code));
            out.push(u8::from(lane.listed));
            put_varint(out, lane.count as u64);
            if lane.kind == Some(LaneKind::Int) {
                Numbers::of(lane.ints.iter().copied()).write(out);
            }
            if lane.kind.is_some_and(LaneKind::is_text) {
                put_varint(out, lane.lengths.len() as u64);
                put_varint(out, lane.variables.len() as u64);
            }
        }
        for lane in &used {
            if lane.listed {
                for row in &lane.rows {
                    out.extend_from_slice(&row.to_le_bytes());
                }
            }
            out.extend_from_slice(&lane.values);
            if lane.kind == Some(LaneKind::Int) {
                let numbers = Numbers::of(lane.ints.iter().copied());
                lane.ints.iter().for_each(|value| numbers.put(*value, out));
            }
            out.extend_from_slice(&lane.lengths);
            out.extend_from_slice(&lane.variables);
        }
    }

    fn encode_streams(&self, out: &mut Vec<u8>) {
        put_varint(out, self.batch_streams.len() as u64);
        for known in &self.batch_streams {
            if let Some(known) = self.known_streams.get(*known as usize) {
                put_bytes(out, known.stream.service.as_bytes());
                put_bytes(out, known.stream.tags.as_bytes());
            }
        }
        match self.batch_streams.len() {
            0 | 1 => out.push(0),
            2..=256 => {
                out.push(1);
                out.extend(self.row_streams.iter().map(|s| *s as u8));
            }
            _ => {
                out.push(2);
                for stream in &self.row_streams {
                    out.extend_from_slice(&stream.to_le_bytes());
                }
            }
        }
    }

    /// The flat name of a node with its nesting. A name over the limit is cut at a character boundary.
    pub(super) fn path(&self, node: u32) -> FieldPath {
        let mut parts = Vec::new();
        let mut at = node;
        while at != ROOT && parts.len() <= RECORD_DEPTH_MAX {
            let Some(node) = self.nodes.get(at as usize) else { break };
            parts.push(&*node.name);
            at = node.parent;
        }
        let mut name = String::new();
        let mut nesting = Vec::new();
        for (i, part) in parts.iter().rev().enumerate() {
            if i > 0 {
                nesting.push(name.len() as u16);
                name.push('.');
            }
            name.push_str(part);
        }
        let mut end = name.len().min(FIELD_NAME_BYTES_MAX);
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        name.truncate(end);
        nesting.retain(|at| usize::from(*at) < end);
        let occurrence = self.nodes.get(node as usize).map_or(0, |node| node.occurrence);
        FieldPath { name: name.into(), nesting: nesting.into(), occurrence }
    }

    fn reset(&mut self) {
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

/// `{name="value",...}`, as LogsQL shows a stream.
fn tags<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>) -> Box<str> {
    let mut out = String::from("{");
    for (name, value) in fields.filter(|(_, value)| !value.is_empty()) {
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(name);
        out.push('=');
        crate::record::push_json_string(&mut out, value);
    }
    out.push('}');
    out.into()
}
