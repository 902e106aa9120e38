//! Takes the rows of a batch into a builder, so that many small appends become one batch.
//!
//! Invariants
//! * Fields, kinds, spelling, streams and times stay what they were.
use super::{Batch, BatchBuilder, LaneView};
use crate::codec::Reader;
use crate::error::Result;
use crate::record::{FieldPath, ValueKind};
use crate::text::shape::{Shape, WHOLE_KEY};
use std::ops::Range;

/// A value on its way from one batch to the next.
struct Value<'a> {
    field: &'a FieldPath,
    kind: ValueKind,
    text: Range<usize>,
}

impl BatchBuilder {
    /// Adds all rows of `batch`, which has its shapes still.
    pub(crate) fn absorb(&mut self, batch: &Batch) -> Result<()> {
        let mut shapes = vec![Shape::parse(&WHOLE_KEY)?];
        for key in batch.shape_keys() {
            shapes.push(Shape::parse(key?)?);
        }
        let mut lanes: Vec<LaneView<'_>> = batch.lanes().collect();
        lanes.sort_by_key(|lane| lane.field);
        let mut arena = Vec::new();
        let mut rows: Vec<Vec<Value<'_>>> = Vec::new();
        rows.resize_with(batch.rows(), Vec::new);
        for lane in lanes {
            let Some(field) = batch.fields().get(lane.field) else { continue };
            let kind = lane.kind.value_kind();
            each_text(lane, &shapes, &mut arena, |row, text| {
                if let Some(values) = rows.get_mut(row) {
                    values.push(Value { field, kind, text });
                }
            });
        }
        for ((row, values), time) in rows.iter().enumerate().zip(batch.times()) {
            self.begin_row();
            if let Some(time) = time {
                self.time(time);
            }
            for value in values {
                let bytes = arena.get(value.text.clone()).unwrap_or_default();
                self.push_value(value.field, value.kind, std::str::from_utf8(bytes).unwrap_or_default());
            }
            match batch.streams().get(batch.stream_of(row)) {
                Some(stream) => self.commit_row_in(stream),
                None => self.commit_row(),
            }
        }
        Ok(())
    }

    /// Adds a value under its whole path.
    pub(crate) fn push_value(&mut self, field: &FieldPath, kind: ValueKind, text: &str) {
        let parts: Vec<&str> = field.parts().collect();
        let Some((name, objects)) = parts.split_last() else { return };
        objects.iter().for_each(|object| self.enter(object));
        match kind {
            ValueKind::String => self.string(name, text),
            ValueKind::Number => self.number(name, text),
            ValueKind::Bool => self.bool(name, text == "true"),
            ValueKind::Null => self.null(name),
            ValueKind::Json => self.json(name, text),
        }
        objects.iter().for_each(|_| self.leave());
    }
}

/// Rebuilds the values of a lane into `arena` and says where each one is.
fn each_text(
    lane: LaneView<'_>,
    shapes: &[Shape<'_>],
    arena: &mut Vec<u8>,
    mut found: impl FnMut(usize, Range<usize>),
) {
    let rows = lane.rows();
    if lane.kind.is_text() {
        let (mut lengths, mut variables) = (Reader::new(lane.lengths), Reader::new(lane.variables));
        for (row, local) in rows.zip(lane.shapes()) {
            let shape = shapes.get(usize::from(local)).copied().unwrap_or(Shape::whole());
            let start = arena.len();
            let words: Vec<&[u8]> = (0..shape.slots())
                .map(|_| variables.take(lengths.varint().unwrap_or(0) as usize).unwrap_or_default())
                .collect();
            shape.rebuild(words, arena);
            found(row, start..arena.len());
        }
        return;
    }
    for (value, row) in rows.enumerate() {
        let start = arena.len();
        lane.push_text(value, arena);
        found(row, start..arena.len());
    }
}
