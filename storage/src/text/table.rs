//! Shapes by number: a generation's, which grows, and a segment's, which does not.
//!
//! Invariants
//! * Number 0 is the whole text.
//! * Numbers are given in order and never change; a snapshot of a growing table stays valid.
use super::shape::{Shape, WHOLE_KEY};
use crate::codec::{Reader, put_bytes};
use crate::error::{Error, Result};
use crate::limits::{SEGMENT_SHAPE_BYTES_MAX, SEGMENT_SHAPES_MAX};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Shapes by number.
#[derive(Clone, Debug)]
pub(crate) struct ShapeTable {
    keys: Vec<Arc<[u8]>>,
    slots: Vec<u8>,
}

impl Default for ShapeTable {
    fn default() -> Self {
        Self { keys: vec![Arc::from(WHOLE_KEY)], slots: vec![1] }
    }
}

impl ShapeTable {
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The key of a shape; the whole text's where the number is unknown.
    pub(crate) fn key(&self, number: u32) -> &[u8] {
        self.keys.get(number as usize).map_or(&WHOLE_KEY, |key| key)
    }

    /// A shape; keys are checked when they enter the table.
    pub(crate) fn shape(&self, number: u32) -> Shape<'_> {
        Shape::parse(self.key(number)).unwrap_or_else(|_| Shape::whole())
    }

    /// How many slots each shape has.
    pub(crate) fn slots(&self) -> &[u8] {
        &self.slots
    }

    /// About the bytes that it takes in memory.
    pub(crate) fn memory(&self) -> usize {
        self.keys.iter().map(|key| key.len() + 48).sum()
    }

    /// A table of some of its shapes, the whole text first.
    pub(crate) fn of_these(&self, numbers: &[u32]) -> Self {
        let mut some = Self::default();
        for number in numbers.iter().skip(1).map(|number| *number as usize) {
            let (key, slots) = (self.keys.get(number), self.slots.get(number));
            some.keys.push(key.or(self.keys.first()).map_or_else(|| Arc::from(WHOLE_KEY), Arc::clone));
            some.slots.push(slots.copied().unwrap_or(1));
        }
        some
    }

    /// Adds a shape without asking whether it is known.
    pub(crate) fn push(&mut self, key: &[u8]) -> Result<u32> {
        let slots = Shape::parse(key)?.slots();
        self.keys.push(key.into());
        self.slots.push(slots as u8);
        Ok(self.keys.len() as u32 - 1)
    }

    /// The keys of all shapes but the whole text.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for key in self.keys.iter().skip(1) {
            put_bytes(&mut out, key);
        }
        out
    }

    /// Reads what [`Self::encode`] wrote.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let (r, mut table) = (&mut Reader::new(bytes), Self::default());
        while r.remaining() > 0 {
            table.push(r.bytes()?)?;
            if table.len() > SEGMENT_SHAPES_MAX * 4 {
                return Err(Error::corrupt("a shape table of too many shapes"));
            }
        }
        Ok(table)
    }
}

/// A table that grows, with the number of each key.
#[derive(Default)]
pub(crate) struct ShapeInterner {
    table: Arc<ShapeTable>,
    numbers: FxHashMap<Arc<[u8]>, u32>,
    key_bytes: usize,
}

impl ShapeInterner {
    /// The number of a key, given now where it is new.
    pub(crate) fn intern(&mut self, key: &[u8]) -> Result<u32> {
        if key == WHOLE_KEY {
            return Ok(0);
        }
        if let Some(number) = self.numbers.get(key) {
            return Ok(*number);
        }
        // Copies the table only while a snapshot of it is being read.
        let table = Arc::make_mut(&mut self.table);
        let number = table.push(key)?;
        if let Some(key) = table.keys.last() {
            self.numbers.insert(Arc::clone(key), number);
        }
        self.key_bytes += key.len();
        Ok(number)
    }

    /// How many slots a shape has.
    pub(crate) fn slots_of(&self, number: u32) -> u8 {
        self.table.slots().get(number as usize).copied().unwrap_or(1)
    }

    /// The table as it is now.
    pub(crate) fn snapshot(&self) -> Arc<ShapeTable> {
        Arc::clone(&self.table)
    }

    /// About how much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.key_bytes + self.numbers.len() * 96
    }

    /// Whether a segment can have all of these shapes.
    pub(crate) fn fits_segment(&self) -> bool {
        self.table.len() <= SEGMENT_SHAPES_MAX && self.key_bytes <= SEGMENT_SHAPE_BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_stable_and_tables_come_back() {
        let mut interner = ShapeInterner::default();
        let keys: [&[u8]; 3] = [&[b'a', 0], &[b'b', b' ', 2, 0, 1], &[0]];
        let numbers: Vec<u32> = keys.iter().map(|k| interner.intern(k).unwrap()).collect();
        assert_eq!(numbers, [1, 2, 3]);
        let before = interner.snapshot();
        assert_eq!(interner.intern(keys[1]).unwrap(), 2);
        interner.intern(&[b'z', 0]).unwrap();
        assert_eq!((before.len(), interner.snapshot().len()), (4, 5));
        let back = ShapeTable::decode(&before.encode()).unwrap();
        assert_eq!(back.slots(), [1, 0, 1, 0]);
        assert_eq!(back.shape(2).display(), "b <*>");
        assert!(interner.intern(&[9]).is_err());
    }
}
