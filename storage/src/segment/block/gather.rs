//! Gathers the values that the rows of one block have in one lane.
//!
//! Invariants
//! * Values come in the order of the block's rows, and `rows` says which ones have one.
use super::super::text_lane::Values;
use super::input::{Input, InputLane, NO_VALUE, Presence};
use crate::batch::LaneKind;
use crate::text::shape::WHOLE;

/// A lane of the block that is being put together.
#[derive(Default)]
pub(super) struct Gathered<'a> {
    pub(super) rows: Vec<u32>,
    /// Values of the batch that is being gone through.
    values: Vec<u16>,
    pub(super) ints: Vec<i64>,
    pub(super) fixed: Vec<u8>,
    pub(super) text: Values<'a>,
}

impl<'a> Gathered<'a> {
    /// Takes all values of one lane, which the segment has this number for.
    ///
    /// A block's rows lie far apart in the batches, so that nearly every value is a miss of the caches: loops are kept
    /// short, so that the processor waits for many at once.
    pub(super) fn gather(&mut self, inputs: &'a [Input<'_>], rows: &[(u32, u16)], number: usize) {
        self.rows.clear();
        self.ints.clear();
        self.fixed.clear();
        self.text.shapes.clear();
        self.text.variables.clear();
        let mut base = 0;
        for run in rows.chunk_by(|a, b| a.0 == b.0) {
            let input = run.first().and_then(|(i, _)| inputs.get(*i as usize));
            if let Some((input, lane)) = input.and_then(|input| Some((input, input.lane(number)?))) {
                self.find_values(lane, run, base);
                self.take(lane, &input.shape_map, rows.len());
            }
            base += run.len();
        }
        if !self.text.variables.is_empty() {
            self.text.variables.resize(self.text.shapes.len(), Default::default());
        }
    }

    /// Which of a lane's values these rows have, and the rows that have one.
    fn find_values(&mut self, lane: &InputLane<'_>, run: &[(u32, u16)], base: usize) {
        self.values.clear();
        let numbered = run.iter().zip(base as u32..);
        match &lane.presence {
            Presence::First => {
                for ((_, row), number) in numbered.filter(|((_, row), _)| usize::from(*row) < lane.view.count) {
                    self.values.push(*row);
                    self.rows.push(number);
                }
            }
            Presence::Dense(positions) => {
                for ((_, row), number) in numbered {
                    let value = positions.get(usize::from(*row)).copied().unwrap_or(NO_VALUE);
                    if value != NO_VALUE {
                        self.values.push(value);
                        self.rows.push(number);
                    }
                }
            }
            Presence::Sparse(listed) => {
                let mut rest = run;
                for (value, row) in listed.iter().enumerate() {
                    rest = rest.get(rest.partition_point(|(_, other)| other < row)..).unwrap_or_default();
                    let Some((_, next)) = rest.first() else { break };
                    if next == row {
                        self.values.push(value as u16);
                        self.rows.push((base + run.len() - rest.len()) as u32);
                    }
                }
            }
        }
    }

    fn take(&mut self, lane: &'a InputLane<'_>, shape_map: &[u32], block_rows: usize) {
        let view = &lane.view;
        let values = self.values.iter().map(|value| usize::from(*value));
        match view.kind {
            LaneKind::String | LaneKind::Number | LaneKind::Json => {
                if !lane.starts.is_empty() {
                    self.text.variables.reserve(block_rows - self.text.variables.len().min(block_rows));
                    self.text.variables.resize(self.text.shapes.len(), Default::default());
                    self.text.variables.extend(values.clone().map(|value| lane.variables(value)));
                }
                let shape = |value| shape_map.get(usize::from(view.shape(value))).copied().unwrap_or(WHOLE);
                self.text.shapes.extend(values.map(shape));
            }
            LaneKind::Int => self.ints.extend(values.map(|value| view.int(value))),
            LaneKind::Bool => self.ints.extend(values.map(|value| i64::from(view.fixed(value) == [1]))),
            LaneKind::Null => {}
            LaneKind::Hex { .. } | LaneKind::Uuid { .. } => {
                values.for_each(|value| self.fixed.extend_from_slice(view.fixed(value)));
            }
        }
    }
}
