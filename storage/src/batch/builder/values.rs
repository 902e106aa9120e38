//! Puts the values of a committed row into lanes, with the shape of each text.
//!
//! Invariants
//! * Values of a lane are of the rows from the first on, one each; once a row was skipped, the rows are listed.
//! * A shape is numbered within a batch once a text of it is kept.
use super::super::lane::{LaneKind, canonical_int, hex_or_uuid};
use super::super::recent::ShortText;
use super::super::window::{FIELD_VALUES, STREAM_VALUES, Window};
use super::{BatchBuilder, Pending, Sent};
use crate::codec::{push_piece, put_bytes, put_varint};
use crate::text::shape::WHOLE;
use rustc_hash::{FxHashMap, FxHasher};
use std::hash::Hasher;
use std::num::NonZeroU32;

/// Bytes of a key above which a shape is remembered only when it is seen for the second time.
const LONG_SHAPE_BYTES: usize = 256;

/// Values of one field in one of its types, in the batch that is being collected.
#[derive(Default)]
pub(super) struct LaneData {
    pub(super) node: u32,
    pub(super) kind: Option<LaneKind>,
    pub(super) count: usize,
    /// Listed once a row was skipped.
    pub(super) rows: Vec<u16>,
    pub(super) listed: bool,
    pub(super) values: Vec<u8>,
    pub(super) ints: Vec<i64>,
    pub(super) lengths: Vec<u8>,
    pub(super) variables: Vec<u8>,
}

/// A shape that is remembered from batch to batch.
pub(super) struct CachedShape {
    key: Box<[u8]>,
    batch: u64,
    /// Another shape whose key has the same hash.
    next: Option<NonZeroU32>,
    local: u16,
}

impl BatchBuilder {
    #[inline]
    pub(super) fn keep(&mut self, row: u16, stream: u32, value: &Pending, text: &str) {
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
        let hash = hash(&self.split.key);
        let known = known_shape(&self.shape_numbers, &self.shapes, hash, &self.split.key);
        window.count(known.is_none(), is_probe, STREAM_VALUES);
        field.count(known.is_none(), is_probe, FIELD_VALUES);
        let shape = match known {
            Some(shape) => shape,
            None if self.split.key.len() > LONG_SHAPE_BYTES && !self.sightings.has_seen(&self.split.key) => {
                return None;
            }
            None => self.add_shape(hash),
        };
        if let Some(short) = short {
            self.recent.put(short, shape, &self.split.spans);
        }
        self.local_shape(shape)
    }

    /// Remembers the shape that was just split.
    fn add_shape(&mut self, hash: u64) -> u32 {
        let key: Box<[u8]> = self.split.key.as_slice().into();
        self.shape_cache_bytes += key.len() + 96;
        if self.shapes.is_empty() {
            // No shape has number 0, so that there is always one to say that there is none.
            self.shapes.push(CachedShape { key: Box::default(), batch: 0, next: None, local: 0 });
        }
        let number = self.shapes.len() as u32;
        let next = self.shape_numbers.insert(hash, number).and_then(NonZeroU32::new);
        self.shapes.push(CachedShape { key, batch: 0, next, local: 0 });
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
}

fn hash(key: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(key);
    hasher.finish()
}

/// The shape with a key, where it is known. The table holds hashes alone, so that it stays in the nearest caches.
fn known_shape(numbers: &FxHashMap<u64, u32>, shapes: &[CachedShape], hash: u64, key: &[u8]) -> Option<u32> {
    let mut at = numbers.get(&hash).copied();
    while let Some(number) = at {
        let shape = shapes.get(number as usize)?;
        if *shape.key == *key {
            break;
        }
        at = shape.next.map(NonZeroU32::get);
    }
    at
}
