//! Encodes what was collected: the one place that writes the bytes which [`Batch::parse`] reads.
//!
//! Invariants
//! * Heads of lanes and their sections come in one order, of the lanes that have a value in this batch.
use super::super::head::{put_field, put_times};
use super::super::lane::LaneKind;
use super::super::numbers::Numbers;
use super::super::{Batch, VERSION};
use super::BatchBuilder;
use super::values::LaneData;
use crate::codec::{put_bytes, put_varint};
use crate::error::Result;

impl BatchBuilder {
    /// The batch of all rows committed since the last one.
    pub fn finish(&mut self) -> Result<Batch> {
        let encoded = self.encode();
        let shapes = std::mem::take(&mut self.shape_keys);
        let batch = Batch::parse_own(encoded.into(), shapes.as_slice().into());
        debug_assert!(
            batch.as_ref().is_ok_and(|batch| batch.check_lanes().is_ok()),
            "BUG: a batch that cannot be read"
        );
        self.shape_keys = shapes;
        self.reset();
        batch
    }

    /// All columns, in space of just their size: batches stay in memory until they are sealed.
    fn encode(&mut self) -> Vec<u8> {
        let mut head = std::mem::take(&mut self.head);
        head.clear();
        head.push(VERSION);
        put_varint(&mut head, self.rows as u64);
        self.encode_streams(&mut head);
        put_times(&mut head, &self.times, self.any_time);
        put_varint(&mut head, self.batch_fields.len() as u64);
        for node in &self.batch_fields {
            put_field(&mut head, &self.path(*node));
        }
        put_varint(&mut head, u64::from(self.shape_count));
        let used = || self.lanes.iter().filter(|lane| lane.count > 0);
        put_varint(&mut head, used().count() as u64);
        let mut sections = Vec::new();
        let mut bytes = 0;
        for lane in used() {
            let field = self.nodes.get(lane.node as usize).map_or(0, |node| u64::from(node.field));
            let numbers = lane.put_head(field, &mut head);
            bytes += lane.section_bytes(numbers);
            sections.push((lane, numbers));
        }
        let mut out = Vec::with_capacity(head.len() + bytes);
        out.extend_from_slice(&head);
        sections.into_iter().for_each(|(lane, numbers)| lane.put_sections(numbers, &mut out));
        debug_assert_eq!(out.len(), out.capacity(), "BUG: a batch of another size than was reckoned");
        self.head = head;
        out
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

impl LaneData {
    /// Appends what says how its sections are read, and gives how its integers are kept.
    fn put_head(&self, field: u64, out: &mut Vec<u8>) -> Numbers {
        put_varint(out, field);
        out.extend_from_slice(&self.kind.map_or([0, 0], LaneKind::code));
        out.push(u8::from(self.listed));
        put_varint(out, self.count as u64);
        let numbers = Numbers::of(self.ints.iter().copied());
        if self.kind == Some(LaneKind::Int) {
            numbers.write(out);
        }
        if self.kind.is_some_and(LaneKind::is_text) {
            put_varint(out, self.lengths.len() as u64);
            put_varint(out, self.variables.len() as u64);
        }
        numbers
    }

    fn section_bytes(&self, numbers: Numbers) -> usize {
        let rows = if self.listed { self.rows.len() * size_of::<u16>() } else { 0 };
        let ints = self.ints.len() * usize::from(numbers.width);
        rows + self.values.len() + ints + self.lengths.len() + self.variables.len()
    }

    fn put_sections(&self, numbers: Numbers, out: &mut Vec<u8>) {
        if self.listed {
            out.extend(self.rows.iter().flat_map(|row| row.to_le_bytes()));
        }
        out.extend_from_slice(&self.values);
        self.ints.iter().for_each(|value| numbers.put(*value, out));
        out.extend_from_slice(&self.lengths);
        out.extend_from_slice(&self.variables);
    }
}
