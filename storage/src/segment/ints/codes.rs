//! Codes: small numbers that stand for values of a list, laid as bits, bytes or varints.
//!
//! Invariants
//! * A code that its list does not have is damage.
use super::super::bits::{BitWriter, Packed, bits_of, packed_bytes};
use super::super::pages::{PageCache, PageWriter, Pages, Source, Space, Stream};
use super::wrong_length;
use crate::codec::{Reader, put_varint};
use crate::error::{Error, Result};

/// How codes are laid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CodeForm {
    /// As many bits each as the largest needs.
    Packed = 0,
    /// A byte each, for the compressor.
    Bytes = 1,
    /// A varint each, for the compressor: where nearly all are small.
    Varints = 2,
}

impl CodeForm {
    /// The form of codes that occur this often, and about what they take in it.
    pub(crate) fn of(counts: &[usize]) -> (Self, usize) {
        let total: usize = counts.iter().sum();
        let packed = packed_bytes(total, bits_of(counts.len().saturating_sub(1) as u64));
        // The compressor's Huffman stage spends at least a bit a byte.
        let choose = |form, entropy: f64, bytes: usize| {
            let likely = entropy.max(bytes as f64 / 8.0) * 1.05;
            if likely < packed as f64 * 0.9 { (form, likely as usize) } else { (Self::Packed, packed) }
        };
        if counts.len() <= 256 {
            return choose(Self::Bytes, entropy_bytes(counts), total);
        }
        let (mut bytes, mut laid) = ([0usize; 256], Vec::new());
        for (code, count) in counts.iter().enumerate() {
            laid.clear();
            put_varint(&mut laid, code as u64);
            for byte in &laid {
                if let Some(n) = bytes.get_mut(usize::from(*byte)) {
                    *n += count;
                }
            }
        }
        choose(Self::Varints, entropy_bytes(&bytes), bytes.iter().sum())
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self> {
        match r.u8()? {
            0 => Ok(Self::Packed),
            1 => Ok(Self::Bytes),
            2 => Ok(Self::Varints),
            other => Err(Error::corrupt(format!("codes of unknown form {other}"))),
        }
    }
}

/// What an ideal coder would take for codes that occur this often.
pub(super) fn entropy_bytes(counts: &[usize]) -> f64 {
    let total: usize = counts.iter().sum();
    let bits: f64 = counts.iter().filter(|n| **n > 0).map(|n| *n as f64 * (total as f64 / *n as f64).log2()).sum();
    bits / 8.0
}

/// Appends codes below `n`.
pub(crate) fn put_codes(codes: &[u32], n: usize, form: CodeForm, pages: &mut PageWriter, head: &mut Vec<u8>) {
    let (space, bytes) = match form {
        CodeForm::Packed => {
            let width = bits_of(n.saturating_sub(1) as u64);
            let mut bits = BitWriter::default();
            for code in codes {
                bits.push(u64::from(*code), width);
            }
            (Space::Dense, bits.finish())
        }
        CodeForm::Bytes => (Space::Codes, codes.iter().map(|c| *c as u8).collect()),
        CodeForm::Varints => {
            let mut bytes = Vec::with_capacity(codes.len() * 2);
            codes.iter().for_each(|code| put_varint(&mut bytes, u64::from(*code)));
            (Space::Codes, bytes)
        }
    };
    pages.put(space, &bytes).put(head);
}

/// Reads codes of [`put_codes`]; one that is not below `n` is damage.
pub(crate) fn read_codes(
    count: usize,
    n: usize,
    form: CodeForm,
    stream: Stream,
    pages: &Pages,
    source: &dyn Source,
) -> Result<Vec<u32>> {
    let bad = || Error::corrupt("a column of codes has another length than it says");
    let width = bits_of(n.saturating_sub(1) as u64);
    let is_right = match form {
        CodeForm::Packed => stream.len == packed_bytes(count, width),
        CodeForm::Bytes => stream.len == count,
        CodeForm::Varints => stream.len >= count,
    };
    if !is_right {
        return Err(bad());
    }
    let bytes = pages.stream(source, stream)?;
    source.hold(count * size_of::<u32>())?;
    let codes: Vec<u32> = match form {
        CodeForm::Packed => {
            let mut codes = Vec::with_capacity(count);
            Packed::new(&bytes, width).each(count, |_, code| codes.push(code as u32));
            codes
        }
        CodeForm::Bytes => bytes.iter().map(|b| u32::from(*b)).collect(),
        CodeForm::Varints => {
            let (mut codes, mut rest) = (Vec::with_capacity(count), bytes.as_slice());
            while codes.len() < count {
                // Nearly all are small.
                rest = match rest {
                    [small, behind @ ..] if *small < 0x80 => {
                        codes.push(u32::from(*small));
                        behind
                    }
                    [low, high, behind @ ..] if *high < 0x80 => {
                        codes.push(u32::from(low & 0x7F) | u32::from(*high) << 7);
                        behind
                    }
                    _ => {
                        let r = &mut Reader::new(rest);
                        codes.push(u32::try_from(r.varint()?).unwrap_or(u32::MAX));
                        r.rest()
                    }
                };
            }
            if !rest.is_empty() {
                return Err(bad());
            }
            codes
        }
    };
    if codes.iter().any(|c| *c as usize >= n) {
        return Err(Error::corrupt("a code that its dictionary does not have"));
    }
    Ok(codes)
}

/// Some codes of [`put_codes`], of places that ascend: from the pages that hold them, where each has a place of its own.
pub(crate) fn few_codes(
    count: usize,
    n: usize,
    form: CodeForm,
    stream: Stream,
    wanted: &[usize],
    pages: &Pages,
    source: &dyn Source,
) -> Result<Vec<u32>> {
    let width = match form {
        CodeForm::Packed => bits_of(n.saturating_sub(1) as u64),
        CodeForm::Bytes => 8,
        CodeForm::Varints => {
            let all = read_codes(count, n, form, stream, pages, source)?;
            return wanted.iter().map(|place| all.get(*place).copied().ok_or_else(wrong_length)).collect();
        }
    };
    if stream.len != packed_bytes(count, width) || wanted.last().is_some_and(|last| *last >= count) {
        return Err(wrong_length());
    }
    let mut cache = PageCache::new(pages, source);
    let mut codes = Vec::with_capacity(wanted.len());
    for value in wanted {
        let bit = value * width as usize;
        let bytes = cache.bytes(stream, bit / 8, (bit + width as usize).div_ceil(8).max(bit / 8))?;
        let code = Packed::new(&bytes, width).skip_bits(bit % 8).get(0);
        if code >= n as u64 {
            return Err(Error::corrupt("a code that its dictionary does not have"));
        }
        codes.push(code as u32);
    }
    Ok(codes)
}
