//! What all blocks of a segment number alike: fields, lanes, streams.
//!
//! Invariants
//! * A number stays what it is: things are only added.
use crate::batch::LaneKind;
use crate::record::FieldPath;
use rustc_hash::FxHashMap;

/// What all blocks of a segment number alike.
#[derive(Default)]
pub(crate) struct Tables {
    pub(crate) fields: Vec<FieldPath>,
    field_numbers: FxHashMap<FieldPath, u32>,
    pub(super) lanes: Vec<(u32, LaneKind)>,
    lane_numbers: FxHashMap<(u32, LaneKind), u32>,
    pub(crate) streams: Vec<(String, String)>,
    stream_numbers: FxHashMap<(String, String), u32>,
}

impl Tables {
    pub(crate) fn field(&mut self, path: &FieldPath) -> u32 {
        if let Some(number) = self.field_numbers.get(path) {
            return *number;
        }
        let number = self.fields.len() as u32;
        self.fields.push(path.clone());
        self.field_numbers.insert(path.clone(), number);
        number
    }

    pub(super) fn lane(&mut self, field: u32, kind: LaneKind) -> u32 {
        let next = self.lanes.len() as u32;
        let number = *self.lane_numbers.entry((field, kind)).or_insert(next);
        if number == next {
            self.lanes.push((field, kind));
        }
        number
    }

    pub(crate) fn stream(&mut self, service: &str, tags: &str) -> u32 {
        let key = (service.to_string(), tags.to_string());
        if let Some(number) = self.stream_numbers.get(&key) {
            return *number;
        }
        let number = self.streams.len() as u32;
        self.streams.push(key.clone());
        self.stream_numbers.insert(key, number);
        number
    }
}
