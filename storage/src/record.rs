//! A record's two faces: what was sent, nested and in its own spelling, and LogsQL's flat names with text values.
//!
//! Invariants
//! * A field is known by its flat name, by which dots of that name are nesting, and by how often the name came before
//!   in the same record. So `{"a":{"b":1}}`, `{"a.b":1}` and a repeated name all come back as they were sent.
//! * A number's spelling is kept; arrays and empty objects are kept as the compact JSON text that was sent.
use std::fmt::Write;

/// Which field of a record: the name with its nesting, and its occurrence.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldPath {
    /// Flat name: the parts joined by dots.
    pub name: Box<str>,
    /// Byte offsets of the dots that are nesting.
    pub nesting: Box<[u16]>,
    /// 0 for the first field of this name in a record, 1 for the second.
    pub occurrence: u16,
}

impl FieldPath {
    /// A top-level field.
    pub fn flat(name: &str) -> Self {
        Self { name: name.into(), nesting: Box::default(), occurrence: 0 }
    }

    /// The parts of the name from the outermost object inward.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        let ends = self.nesting.iter().map(|at| usize::from(*at)).chain([self.name.len()]);
        let mut start = 0;
        ends.map(move |end| {
            let part = self.name.get(start..end).unwrap_or_default();
            start = end + 1;
            part
        })
    }
}

/// What kind of JSON value a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ValueKind {
    /// A string.
    String,
    /// A number, by its spelling.
    Number,
    /// `true` or `false`.
    Bool,
    /// `null`.
    Null,
    /// An array or an empty object, as compact JSON text.
    Json,
}

/// A value out of a record: its kind and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// What it was in JSON.
    pub kind: ValueKind,
    /// LogsQL's text of it; empty for null.
    pub text: String,
}

/// A whole record as it is given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Sequence number.
    pub seq: u64,
    /// The epoch that its sequence number belongs to.
    pub epoch: u32,
    /// Event time, nanoseconds since 1970.
    pub time: i64,
    /// Arrival, nanoseconds since 1970.
    pub arrival: i64,
    /// Fields in the order in which they were first seen.
    pub fields: Vec<(FieldPath, Value)>,
}

impl Record {
    /// The id that users see.
    pub fn id(&self) -> RecordId {
        RecordId::new(self.time, self.epoch, self.seq)
    }

    /// LogsQL's value of a field: the last of that name, or empty.
    pub fn get(&self, name: &str) -> &str {
        self.fields.iter().rev().find(|(path, _)| &*path.name == name).map_or("", |(_, value)| &value.text)
    }

    /// The fields that `keep` names, nested as sent, as a JSON object.
    pub fn to_json(&self, keep: impl Fn(&FieldPath) -> bool) -> String {
        let mut fields: Vec<_> = self.fields.iter().filter(|(path, _)| keep(path)).collect();
        // Fields of one object lie together; objects and fields keep the order of their first appearance.
        let parts: Vec<Vec<&str>> = fields.iter().map(|(path, _)| path.parts().collect()).collect();
        let mut order: Vec<usize> = (0..fields.len()).collect();
        let first_with_prefix = |field: usize, depth: usize| {
            let prefix = parts.get(field).and_then(|p| p.get(..depth));
            parts.iter().position(|p| p.get(..depth) == prefix).unwrap_or(field)
        };
        order.sort_by_cached_key(|field| {
            let depth = parts.get(*field).map_or(0, Vec::len);
            let mut key: Vec<usize> = (1..depth).map(|d| first_with_prefix(*field, d)).collect();
            key.push(*field);
            key
        });
        fields = order.iter().filter_map(|i| fields.get(*i).copied()).collect();
        let mut out = String::from("{");
        let mut open: Vec<&str> = Vec::new();
        let mut first = true;
        for (path, value) in fields {
            let parts: Vec<&str> = path.parts().collect();
            let (leaf, objects) = parts.split_last().map_or(("", &[][..]), |(leaf, objects)| (*leaf, objects));
            let shared = open.iter().zip(objects).take_while(|(a, b)| a == b).count();
            for _ in shared..open.len() {
                out.push('}');
                first = false;
            }
            open.truncate(shared);
            for object in objects.get(shared..).unwrap_or_default() {
                if !first {
                    out.push(',');
                }
                push_json_string(&mut out, object);
                out.push_str(":{");
                first = true;
                open.push(object);
            }
            if !first {
                out.push(',');
            }
            first = false;
            push_json_string(&mut out, leaf);
            out.push(':');
            match value.kind {
                ValueKind::String => push_json_string(&mut out, &value.text),
                ValueKind::Null => out.push_str("null"),
                ValueKind::Number | ValueKind::Bool | ValueKind::Json => out.push_str(&value.text),
            }
        }
        for _ in 0..=open.len() {
            out.push('}');
        }
        out
    }
}

/// Appends `text` as a JSON string.
pub fn push_json_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x20 => {
                // Writing to a string cannot fail.
                let _infallible = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Epochs are below this: as many as an id has room for.
pub(crate) const EPOCH_END: u32 = 1 << 24;

/// A record's id: UUID v7's shape with the time in milliseconds, 24 bits of epoch and 50 bits of sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId(u128);

impl RecordId {
    /// The id of the record with this event time, epoch and sequence number.
    pub fn new(time: i64, epoch: u32, seq: u64) -> Self {
        let millis = (time.div_euclid(1_000_000)).clamp(0, (1 << 48) - 1) as u128;
        let epoch = u128::from(epoch & (EPOCH_END - 1));
        let seq = u128::from(seq & ((1 << 50) - 1));
        // 48 bits time | 7 | 12 bits epoch | 0b10 | 12 bits epoch | 50 bits sequence
        Self((millis << 80) | (7 << 76) | ((epoch >> 12) << 64) | (0b10 << 62) | ((epoch & 0xFFF) << 50) | seq)
    }

    /// Event time in milliseconds.
    pub fn millis(self) -> i64 {
        (self.0 >> 80) as i64
    }

    /// The epoch.
    pub fn epoch(self) -> u32 {
        ((((self.0 >> 64) & 0xFFF) << 12) | ((self.0 >> 50) & 0xFFF)) as u32
    }

    /// The sequence number.
    pub fn seq(self) -> u64 {
        (self.0 & ((1 << 50) - 1)) as u64
    }

    /// Reads the usual text form; nothing where it is not one of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let dashes = [8, 13, 18, 23];
        if text.len() != 36 || !text.is_ascii() || !dashes.iter().all(|at| text.as_bytes().get(*at) == Some(&b'-')) {
            return None;
        }
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        if digits.len() != 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let id = u128::from_str_radix(&digits, 16).ok()?;
        ((id >> 76) & 0xF == 7 && (id >> 62) & 0b11 == 0b10).then_some(Self(id))
    }
}

impl std::fmt::Display for RecordId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let n = self.0;
        let part = |shift: u32, bits: u32| (n >> shift) & ((1 << bits) - 1);
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            part(96, 32),
            part(80, 16),
            part(64, 16),
            part(48, 16),
            part(0, 48)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, nesting: &[u16], occurrence: u16, kind: ValueKind, text: &str) -> (FieldPath, Value) {
        (FieldPath { name: name.into(), nesting: nesting.into(), occurrence }, Value { kind, text: text.into() })
    }

    #[test]
    fn nesting_dots_and_repeats_come_back() {
        let record = Record {
            seq: 1,
            epoch: 2,
            time: 3,
            arrival: 4,
            fields: vec![
                field("a.b", &[1], 0, ValueKind::Number, "1.50"),
                field("x", &[], 0, ValueKind::Null, ""),
                field("a.c.d", &[1, 3], 0, ValueKind::String, "q\"\u{1}"),
                field("a.b", &[], 0, ValueKind::Bool, "true"),
                field("x", &[], 1, ValueKind::Json, "[1, 2]"),
                field("a.e", &[1], 0, ValueKind::Json, "{}"),
            ],
        };
        let json = record.to_json(|_| true);
        assert_eq!(json, r#"{"a":{"b":1.50,"c":{"d":"q\"\u0001"},"e":{}},"x":null,"a.b":true,"x":[1, 2]}"#);
    }

    #[test]
    fn an_id_gives_its_parts_back() {
        let id = RecordId::new(1_780_000_000_123_456_789, 0xABCDEF, (1 << 50) - 3);
        let back = RecordId::parse(&id.to_string()).unwrap();
        assert_eq!(back, id);
        assert_eq!((back.millis(), back.epoch(), back.seq()), (1_780_000_000_123, 0xABCDEF, (1 << 50) - 3));
        assert!(RecordId::parse("not an id").is_none());
        assert!(RecordId::new(5_000_000, 1, 9) > RecordId::new(4_999_999, 9, 10));
    }
}
