//! Integers in fixed width, counted from the smallest.
//!
//! Invariants
//! * A width is 0, 1, 2, 4 or 8 bytes; any other is refused when it is read.
//! * What is behind the end of the bytes reads as the smallest; it never panics.
use crate::codec::Reader;
use crate::error::{Error, Result};

/// Integers in fixed width, counted from the smallest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) base: i64,
    pub(super) width: u8,
}

impl Numbers {
    /// The narrowest form that holds all of these.
    pub(super) fn of(values: impl Iterator<Item = i64> + Clone) -> Self {
        let (Some(base), Some(high)) = (values.clone().min(), values.max()) else { return Self::default() };
        let width = match high.wrapping_sub(base) as u64 {
            0 => 0,
            1..=0xFF => 1,
            0x100..=0xFFFF => 2,
            0x1_0000..=0xFFFF_FFFF => 4,
            _ => 8,
        };
        Self { base, width }
    }

    pub(super) fn put(self, value: i64, out: &mut Vec<u8>) {
        let bytes = (value.wrapping_sub(self.base) as u64).to_le_bytes();
        out.extend_from_slice(bytes.get(..usize::from(self.width)).unwrap_or_default());
    }

    #[inline]
    pub(super) fn get(self, bytes: &[u8], index: usize) -> i64 {
        let width = usize::from(self.width);
        let value = bytes.get(index * width..(index + 1) * width).unwrap_or_default();
        let offset = match *value {
            [] => 0,
            [a] => u64::from(a),
            [a, b] => u64::from(u16::from_le_bytes([a, b])),
            [a, b, c, d] => u64::from(u32::from_le_bytes([a, b, c, d])),
            _ => u64::from_le_bytes(value.try_into().unwrap_or_default()),
        };
        self.base.wrapping_add(offset as i64)
    }

    pub(super) fn write(self, out: &mut Vec<u8>) {
        crate::codec::put_varint(out, crate::codec::zigzag(self.base));
        out.push(self.width);
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self> {
        let numbers = Self { base: crate::codec::unzigzag(r.varint()?), width: r.u8()? };
        match numbers.width {
            0 | 1 | 2 | 4 | 8 => Ok(numbers),
            width => Err(Error::corrupt(format!("numbers of {width} bytes"))),
        }
    }
}
