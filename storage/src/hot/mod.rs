//! Rows that are not sealed yet: generations of batches, each with one shape table.
//!
//! Invariants
//! * Batches of a generation lie in the order of their sequence numbers, and so do generations.
//! * A batch is in memory as the WAL has it; its shapes are the generation's, so that a word is looked up once.
//! * Only the newest generation grows.
mod known;
mod tails;
mod tally;

pub(crate) use known::Known;
pub(crate) use tails::Tails;
pub(crate) use tally::Tally;

use crate::batch::Batch;
use crate::error::Result;
use crate::payload::Effect;
use crate::text::table::{ShapeInterner, ShapeTable};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// A batch with its place in the sequence.
pub(crate) struct HotBatch {
    pub(crate) batch: Arc<Batch>,
    pub(crate) first_seq: u64,
    /// The epoch of these numbers.
    pub(crate) epoch: u32,
    pub(crate) arrival: i64,
    /// Local shape to the generation's, the whole text first.
    pub(crate) shape_map: Box<[u32]>,
    /// How many variables texts of each local shape have.
    pub(crate) slots: Arc<[u8]>,
    pub(crate) counted: Counted,
    pub(crate) time_min: i64,
    pub(crate) time_max: i64,
}

/// What a batch's own values say, whatever numbers its shapes get.
#[derive(Clone)]
pub(crate) struct Counted {
    /// How often what it has occurs in it.
    pub(crate) tally: Arc<Tally>,
    /// By which its ids are found.
    pub(crate) tails: Arc<Tails>,
}

impl Counted {
    pub(crate) fn of(batch: &Batch) -> Self {
        Self { tally: Arc::new(Tally::of(batch)), tails: Arc::new(Tails::of(batch)) }
    }
}

impl HotBatch {
    /// A batch whose shapes have these numbers, and so many slots each, in a table.
    pub(crate) fn new(
        (batch, counted): (Batch, Counted),
        (first_seq, epoch): (u64, u32),
        arrival: i64,
        shape_map: Vec<u32>,
        slots: Vec<u8>,
    ) -> Self {
        let (mut time_min, mut time_max) = (i64::MAX, i64::MIN);
        for time in batch.times() {
            let time = time.unwrap_or(arrival);
            time_min = time_min.min(time);
            time_max = time_max.max(time);
        }
        let (batch, shape_map, slots) = (Arc::new(batch), shape_map.into(), slots.into());
        Self { batch, first_seq, epoch, arrival, shape_map, slots, counted, time_min, time_max }
    }

    /// Bytes that it keeps in memory.
    pub(crate) fn bytes(&self) -> usize {
        let beside = self.counted.tally.bytes() + self.counted.tails.bytes();
        self.batch.bytes() + self.shape_map.len() * 5 + 512 + self.batch.fields().len() * 64 + beside
    }
}

#[derive(Default)]
struct Inner {
    shapes: ShapeInterner,
    known: Arc<Known>,
    batches: Vec<Arc<HotBatch>>,
    effects: Vec<(u64, Effect)>,
    rows: usize,
    bytes: usize,
    /// When the first batch came, by the clock that never goes back.
    since: Option<Duration>,
    /// One above the last sequence number.
    end_seq: u64,
}

/// A run of batches that is sealed as one.
#[derive(Default)]
pub(crate) struct Generation {
    inner: RwLock<Inner>,
}

/// What a reader sees of a generation.
#[derive(Clone)]
pub(crate) struct GenerationView {
    pub(crate) batches: Vec<Arc<HotBatch>>,
    pub(crate) shapes: Arc<ShapeTable>,
    /// What was worked out about these shapes.
    pub(crate) known: Arc<Known>,
}

/// How much a generation holds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct GenerationSize {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
    pub(crate) since: Option<Duration>,
    pub(crate) end_seq: u64,
    pub(crate) effects: usize,
}

impl Generation {
    /// Adds a batch, or effects alone, and gives the bytes that memory grew by.
    pub(crate) fn publish(
        &self,
        batch: Option<Batch>,
        effects: &[Effect],
        (first_seq, epoch): (u64, u32),
        arrival: i64,
        now: Duration,
    ) -> Result<usize> {
        // Goes through all values: searches need not wait for it.
        let counted = batch.as_ref().map(Counted::of);
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let before = inner.bytes + inner.shapes.bytes();
        for effect in effects {
            inner.bytes += effect.key.len() + effect.value.as_ref().map_or(0, Vec::len) + 64;
            inner.effects.push((first_seq, effect.clone()));
        }
        inner.since.get_or_insert(now);
        let rows = batch.as_ref().map_or(0, Batch::rows);
        if let Some((mut batch, counted)) = batch.zip(counted) {
            let (mut shape_map, mut slots) = (vec![0], vec![1]);
            for key in batch.shape_keys() {
                let number = inner.shapes.intern(key?)?;
                shape_map.push(number);
                slots.push(inner.shapes.slots_of(number));
            }
            batch.drop_shapes();
            let hot = HotBatch::new((batch, counted), (first_seq, epoch), arrival, shape_map, slots);
            inner.bytes += hot.bytes();
            inner.rows += rows;
            inner.batches.push(Arc::new(hot));
        }
        inner.end_seq = first_seq + rows as u64;
        Ok((inner.bytes + inner.shapes.bytes()).saturating_sub(before))
    }

    /// The last batch, with a table of its own shapes and no others: what is asked of these takes no longer for what the
    /// generation has beside.
    pub(crate) fn last_alone(&self) -> Option<GenerationView> {
        let (hot, shapes) = {
            let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
            (Arc::clone(inner.batches.last()?), inner.shapes.snapshot())
        };
        let alone = HotBatch {
            batch: Arc::clone(&hot.batch),
            shape_map: (0..hot.shape_map.len() as u32).collect(),
            slots: Arc::clone(&hot.slots),
            counted: hot.counted.clone(),
            ..*hot
        };
        let shapes = Arc::new(shapes.of_these(&hot.shape_map));
        Some(GenerationView { batches: vec![Arc::new(alone)], shapes, known: Arc::default() })
    }

    /// What is in it now.
    pub(crate) fn view(&self) -> GenerationView {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let (shapes, known) = (inner.shapes.snapshot(), Arc::clone(&inner.known));
        GenerationView { batches: inner.batches.clone(), shapes, known }
    }

    /// How much is in it now.
    pub(crate) fn size(&self) -> GenerationSize {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        GenerationSize {
            rows: inner.rows,
            bytes: inner.bytes + inner.shapes.bytes(),
            since: inner.since,
            end_seq: inner.end_seq,
            effects: inner.effects.len(),
        }
    }

    /// The effects that came with its batches, with the sequence number of each.
    pub(crate) fn effects(&self) -> Vec<(u64, Effect)> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).effects.clone()
    }
}
