//! Small structured things as bytes: bincode in an envelope, and the little-endian pieces that hot paths lay by hand.
//!
//! Envelope: `| magic 4 | version u16 | reserved u16 | len u32 | crc32 u32 | payload |`, crc over all but itself.
//!
//! Invariants
//! * bincode never sees bytes whose crc has not passed, and always has a limit.
//! * Reading never allocates more than the bytes it was given allow.
use crate::error::{Error, Result};
use crate::limits::{CATALOG_VALUE_BYTES_MAX, KIB};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::ops::Range;

const ENVELOPE_BYTES: usize = 16;
/// Payloads up to this length may say that they hold no more than [`SMALL_LIMIT`] bytes: no value takes 64 times its encoding.
const SMALL_BYTES: usize = 16 * KIB;
const SMALL_LIMIT: usize = 64 * SMALL_BYTES;

fn config() -> bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Fixint,
    bincode::config::Limit<CATALOG_VALUE_BYTES_MAX>,
> {
    bincode::config::legacy().with_limit::<CATALOG_VALUE_BYTES_MAX>()
}

/// The value in an envelope.
pub fn seal<T: Serialize>(magic: [u8; 4], version: u16, value: &T) -> Result<Vec<u8>> {
    let payload = bincode::serde::encode_to_vec(value, config())
        .map_err(|e| Error::invalid(format!("cannot encode a {}: {e}", name(magic))))?;
    let len = u32::try_from(payload.len()).map_err(|_| Error::invalid("cannot encode: over 4 GiB"))?;
    let mut out = Vec::with_capacity(ENVELOPE_BYTES + payload.len());
    out.extend_from_slice(&magic);
    out.extend_from_slice(&version.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&len.to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&out);
    crc.update(&payload);
    out.extend_from_slice(&crc.finalize().to_le_bytes());
    out.extend_from_slice(&payload);
    Ok(out)
}

/// The value out of an envelope that fills `bytes`, or why not.
pub fn open<T: DeserializeOwned>(magic: [u8; 4], version_max: u16, bytes: &[u8]) -> Result<T> {
    let mut r = Reader::new(bytes);
    let found: [u8; 4] = r.array()?;
    let version = r.u16()?;
    let _reserved = r.u16()?;
    let len = r.u32()? as usize;
    let stored = r.u32()?;
    let payload = r.rest();
    if found != magic || len != payload.len() {
        return Err(Error::corrupt(format!("not a {} of {} bytes", name(magic), bytes.len())));
    }
    let mut crc = crc32fast::Hasher::new();
    crc.update(bytes.get(..ENVELOPE_BYTES - 4).unwrap_or_default());
    crc.update(payload);
    if crc.finalize() != stored {
        return Err(Error::corrupt(format!("a {} fails its checksum", name(magic))));
    }
    if version > version_max {
        let message = format!("a {} has format {version}, this program reads up to {version_max}", name(magic));
        return Err(Error::new(crate::error::ErrorKind::NewerFormat, message));
    }
    // A length is believed up to the limit before it is found to reach beyond the end: of what is small, little is.
    let read = match payload.len() {
        0..=SMALL_BYTES => bincode::serde::decode_from_slice(payload, config().with_limit::<SMALL_LIMIT>()),
        _ => bincode::serde::decode_from_slice(payload, config()),
    };
    let (value, used) = read.map_err(|e| Error::corrupt(format!("a {} cannot be decoded: {e}", name(magic))))?;
    if used != payload.len() {
        return Err(Error::corrupt(format!("a {} has {} bytes too many", name(magic), payload.len() - used)));
    }
    Ok(value)
}

fn name(magic: [u8; 4]) -> String {
    String::from_utf8_lossy(&magic).into_owned()
}

/// Appends an unsigned number, seven bits a byte.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends bytes with their length in front.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a short piece of `from`: where there is room behind it, in one move of a fixed size.
#[inline]
pub(crate) fn push_piece(out: &mut Vec<u8>, from: &[u8], piece: Range<usize>) {
    const SHORT: usize = 16;
    let (len, filled) = (piece.len(), out.len());
    match from.get(piece.start..).and_then(<[u8]>::first_chunk::<SHORT>) {
        Some(chunk) if len <= SHORT => {
            out.extend_from_slice(chunk);
            out.truncate(filled + len);
        }
        _ => out.extend_from_slice(from.get(piece).unwrap_or_default()),
    }
}

/// A signed number as an unsigned one, small where it is near zero.
pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The inverse of [`zigzag`].
pub fn unzigzag(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

/// A cursor over bytes that may end anywhere.
#[derive(Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A cursor at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.bytes)
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let (head, tail) = self.bytes.split_at_checked(n).ok_or_else(short)?;
        self.bytes = tail;
        Ok(head)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, tail) = self.bytes.split_first_chunk().ok_or_else(short)?;
        self.bytes = tail;
        Ok(*head)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    /// Two bytes.
    pub fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Eight bytes, signed.
    pub fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// A number of [`put_varint`].
    pub fn varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7F);
            if shift == 63 && bits > 1 {
                return Err(Error::corrupt("a number over 64 bits"));
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Error::corrupt("a number over ten bytes"))
    }

    /// A number that counts things of which each takes at least `bytes_each` of what is left.
    pub fn count(&mut self, bytes_each: usize) -> Result<usize> {
        let n = usize::try_from(self.varint()?).map_err(|_| short())?;
        if n.checked_mul(bytes_each).is_none_or(|bytes| bytes > self.remaining()) {
            return Err(short());
        }
        Ok(n)
    }

    /// Bytes of [`put_bytes`].
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let n = self.count(1)?;
        self.take(n)
    }

    /// Text of [`put_bytes`].
    pub fn text(&mut self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Error::corrupt("text that is not UTF-8"))
    }
}

fn short() -> Error {
    Error::corrupt("bytes end before their content does")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_come_back_and_overlong_ones_are_refused() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(Reader::new(&out).varint().unwrap(), value);
        }
        assert!(Reader::new(&[0xFF; 11]).varint().is_err());
        assert!(Reader::new(&[0x80]).varint().is_err());
    }

    #[test]
    fn an_envelope_refuses_every_flipped_bit_and_every_cut() {
        let sealed = seal(*b"TEST", 3, &("text".to_string(), vec![1u64, 2, 3])).unwrap();
        let back: (String, Vec<u64>) = open(*b"TEST", 3, &sealed).unwrap();
        assert_eq!(back, ("text".to_string(), vec![1, 2, 3]));
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut bad = sealed.clone();
                bad[at] ^= 1 << bit;
                assert!(open::<(String, Vec<u64>)>(*b"TEST", 3, &bad).is_err(), "byte {at} bit {bit}");
            }
            assert!(open::<(String, Vec<u64>)>(*b"TEST", 3, &sealed[..at]).is_err());
        }
    }

    #[test]
    fn a_newer_version_says_so() {
        let sealed = seal(*b"TEST", 9, &1u8).unwrap();
        assert_eq!(open::<u8>(*b"TEST", 3, &sealed).unwrap_err().kind(), crate::error::ErrorKind::NewerFormat);
    }
}
