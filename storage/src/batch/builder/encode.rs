//! Encodes what was collected: the one place that writes the bytes which [`Batch::parse`] reads.
//!
//! Invariants
//! * Heads of lanes and their sections come in one order, of the lanes that have a value in this batch.
use super::super::lane::LaneKind;
use super::super::{Batch, Numbers, VERSION, put_field, put_times};
use super::BatchBuilder;
use super::values::LaneData;
use crate::codec::{put_bytes, put_varint};
use crate::error::Result;

impl BatchBuilder {
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
}
