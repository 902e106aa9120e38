//! Reads columns of integers: all values, some of them, or the places of one.
//!
//! Invariants
//! * What a head says is checked against the data before a value is given: another length is damage.
use super::super::bits::{Packed, bits_of, packed_bytes};
use super::super::pages::{PageCache, Pages, Source, Stream};
use super::steps::{MARK_EACH, read_marks, step_bytes, steps};
use super::{
    CODES_BYTES, CODES_PACKED, CONSTANT, CodeForm, PACKED, STEPS, STEPS_BYTES, few_codes, read_codes, wrong_length,
};
use crate::codec::{Reader, unzigzag};
use crate::error::{Error, Result};

/// Values of which one is asked for up to which marks are used: of more, all are gone along.
const SPARSE: usize = 64;

/// How a column is read, before its data is.
#[derive(Clone, Debug)]
pub(crate) enum IntHead {
    Constant(i64),
    Packed { scale: u64, low: i64, width: u32, data: Stream },
    Steps { scale: u64, first: i64, marks: Vec<(i64, usize)>, data: Stream },
    StepBytes { scale: u64, first: i64, marks: Vec<(i64, usize)>, signed: bool, data: Stream },
    Codes { values: Vec<i64>, form: CodeForm, data: Stream },
}

impl IntHead {
    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self> {
        let kind = r.u8()?;
        Ok(match kind {
            CONSTANT => Self::Constant(unzigzag(r.varint()?)),
            PACKED => Self::Packed {
                scale: r.varint()?,
                low: unzigzag(r.varint()?),
                width: u32::from(r.u8()?),
                data: Stream::read(r)?,
            },
            STEPS => Self::Steps {
                scale: r.varint()?,
                first: unzigzag(r.varint()?),
                marks: read_marks(r)?,
                data: Stream::read(r)?,
            },
            STEPS_BYTES => Self::StepBytes {
                scale: r.varint()?,
                first: unzigzag(r.varint()?),
                marks: read_marks(r)?,
                signed: r.u8()? == 1,
                data: Stream::read(r)?,
            },
            CODES_PACKED | CODES_BYTES => {
                let n = r.count(1)?;
                let values = (0..n).map(|_| Ok(unzigzag(r.varint()?))).collect::<Result<_>>()?;
                let form = if kind == CODES_BYTES { CodeForm::Bytes } else { CodeForm::Packed };
                Self::Codes { values, form, data: Stream::read(r)? }
            }
            other => return Err(Error::corrupt(format!("a column of unknown kind {other}"))),
        })
    }

    /// All values.
    pub(crate) fn load(&self, count: usize, pages: &Pages, source: &dyn Source) -> Result<Vec<i64>> {
        source.hold(count * size_of::<i64>())?;
        let mut values = Vec::with_capacity(count);
        match self {
            Self::Packed { scale, low, width, data } if *width <= 64 && data.len == packed_bytes(count, *width) => {
                let bytes = pages.stream(source, *data)?;
                let packed = Packed::new(&bytes, *width).iter(count);
                values.extend(packed.map(|code| low.wrapping_add(code.wrapping_mul(*scale) as i64)));
                return Ok(values);
            }
            Self::Codes { values: listed, form, data } if count > 0 => {
                let codes = read_codes(count, listed.len(), *form, *data, pages, source)?;
                values.extend(codes.iter().map(|code| listed.get(*code as usize).copied().unwrap_or_default()));
                return Ok(values);
            }
            _ => {}
        }
        self.each(count, pages, source, &mut |value| {
            values.push(value);
            true
        })?;
        Ok(values)
    }

    /// Gives one value after another to `take`, until it has enough.
    fn each(&self, count: usize, pages: &Pages, source: &dyn Source, take: &mut impl FnMut(i64) -> bool) -> Result<()> {
        if count == 0 {
            return Ok(());
        }
        match self {
            Self::Constant(value) => {
                (0..count).all(|_| take(*value));
            }
            Self::Packed { scale, low, width, data } => {
                if *width > 64 || data.len != packed_bytes(count, *width) {
                    return Err(wrong_length());
                }
                let bytes = pages.stream(source, *data)?;
                let value = |code: u64| low.wrapping_add(code.wrapping_mul(*scale) as i64);
                Packed::new(&bytes, *width).iter(count).all(|code| take(value(code)));
            }
            Self::Steps { scale, first, data, .. } => {
                let bytes = pages.stream(source, *data)?;
                steps(&bytes, *scale, *first, count, take)?;
            }
            Self::StepBytes { scale, first, signed, data, .. } => {
                let bytes = pages.stream(source, *data)?;
                if step_bytes(&bytes, *scale, *first, *signed, count, take)? > 0 {
                    return Err(wrong_length());
                }
            }
            Self::Codes { values, form, data } => {
                let codes = read_codes(count, values.len(), *form, *data, pages, source)?;
                codes.iter().all(|code| take(values.get(*code as usize).copied().unwrap_or_default()));
            }
        }
        Ok(())
    }

    /// Some values, which ascend in their places: from the pages that hold them where each has a place of its own, else
    /// from the first on to the last of them.
    pub(crate) fn pick(&self, count: usize, wanted: &[usize], pages: &Pages, source: &dyn Source) -> Result<Vec<i64>> {
        let mut picked = Vec::with_capacity(wanted.len());
        let is_sparse = wanted.len() < count / SPARSE;
        match self {
            Self::Packed { scale, low, width, data }
                if is_sparse && *width <= 64 && data.len == packed_bytes(count, *width) =>
            {
                let mut cache = PageCache::new(pages, source);
                for value in wanted {
                    let (bit, width) = (value * *width as usize, *width as usize);
                    let bytes = cache.bytes(*data, bit / 8, (bit + width).div_ceil(8).max(bit / 8))?;
                    let code = Packed::new(&bytes, width as u32).skip_bits(bit % 8).get(0);
                    picked.push(low.wrapping_add(code.wrapping_mul(*scale) as i64));
                }
            }
            // Of more, all are read, and those that are wanted unpacked.
            Self::Packed { scale, low, width, data } if *width <= 64 && data.len == packed_bytes(count, *width) => {
                let bytes = pages.stream(source, *data)?;
                let packed = Packed::new(&bytes, *width);
                let value = |at: &usize| low.wrapping_add(packed.get(*at).wrapping_mul(*scale) as i64);
                picked.extend(wanted.iter().filter(|at| **at < count).map(value));
            }
            Self::Codes { form, values, data } if is_sparse => {
                let codes = few_codes(count, values.len(), *form, *data, wanted, pages, source)?;
                picked.extend(codes.iter().map(|code| values.get(*code as usize).copied().unwrap_or_default()));
            }
            Self::Steps { marks, .. } | Self::StepBytes { marks, .. } if is_sparse => {
                let chunk_of = |value: usize| (value / MARK_EACH).min(marks.len());
                let (mut cache, mut left) = (PageCache::new(pages, source), wanted.iter().peekable());
                while let Some(next) = left.peek() {
                    let chunk = chunk_of(**next);
                    let (mut at, before) = (chunk * MARK_EACH, picked.len());
                    self.each_of(chunk, count, &mut cache, &mut |value| {
                        while left.next_if(|wanted| **wanted == at).is_some() {
                            picked.push(value);
                        }
                        at += 1;
                        left.peek().is_some_and(|wanted| chunk_of(**wanted) == chunk)
                    })?;
                    if picked.len() == before {
                        return Err(wrong_length());
                    }
                }
            }
            _ => {
                let (mut at, mut left) = (0, wanted.iter().peekable());
                self.each(count, pages, source, &mut |value| {
                    while left.next_if(|wanted| **wanted == at).is_some() {
                        picked.push(value);
                    }
                    at += 1;
                    left.peek().is_some()
                })?;
            }
        }
        if picked.len() == wanted.len() { Ok(picked) } else { Err(wrong_length()) }
    }

    /// Gives the values from one mark up to the next to `take`, until it has enough.
    fn each_of(
        &self,
        chunk: usize,
        count: usize,
        cache: &mut PageCache<'_>,
        take: &mut impl FnMut(i64) -> bool,
    ) -> Result<()> {
        let (Self::Steps { first, marks, data, .. } | Self::StepBytes { first, marks, data, .. }) = self else {
            return Ok(());
        };
        let (value, from) = match chunk.checked_sub(1) {
            None => (*first, 0),
            Some(mark) => *marks.get(mark).ok_or_else(wrong_length)?,
        };
        let to = marks.get(chunk).map_or(data.len, |(_, place)| *place);
        // Behind the last mark there may be one more: the last value has no steps.
        let n = if chunk < marks.len() { MARK_EACH } else { count.saturating_sub(chunk * MARK_EACH) };
        let bytes = cache.bytes(*data, from, to)?;
        match self {
            Self::Steps { scale, .. } => steps(&bytes, *scale, value, n, take),
            Self::StepBytes { scale, signed, .. } => step_bytes(&bytes, *scale, value, *signed, n, take).map(drop),
            _ => Ok(()),
        }
    }

    /// The place of a value in a column that rises, if it is there.
    pub(crate) fn place_of(
        &self,
        count: usize,
        wanted: i64,
        pages: &Pages,
        source: &dyn Source,
    ) -> Result<Option<usize>> {
        let mut found = None;
        if let Self::Steps { marks, .. } | Self::StepBytes { marks, .. } = self {
            let chunk = marks.partition_point(|(value, _)| *value <= wanted);
            let mut at = chunk * MARK_EACH;
            self.each_of(chunk, count, &mut PageCache::new(pages, source), &mut |value| {
                found = found.or((value == wanted).then_some(at));
                at += 1;
                value < wanted
            })?;
        } else {
            self.find(count, wanted, pages, source, &mut |at| found = Some(at))?;
        }
        Ok(found)
    }

    /// Calls `found` with the place of each value that is this number.
    pub(crate) fn find(
        &self,
        count: usize,
        wanted: i64,
        pages: &Pages,
        source: &dyn Source,
        found: &mut dyn FnMut(usize),
    ) -> Result<()> {
        if let Self::Codes { values, form, data } = self {
            // A dictionary is small, and a column without the number is not read.
            let Some(code) = values.iter().position(|value| *value == wanted) else { return Ok(()) };
            let width = if *form == CodeForm::Packed { bits_of(values.len().saturating_sub(1) as u64) } else { 8 };
            if data.len != packed_bytes(count, width) {
                return Err(wrong_length());
            }
            let bytes = pages.stream(source, *data)?;
            if *form == CodeForm::Bytes {
                memchr::memchr_iter(code as u8, &bytes).for_each(found);
            } else {
                Packed::new(&bytes, width).each(count, |at, own| {
                    if own == code as u64 {
                        found(at);
                    }
                });
            }
            return Ok(());
        }
        let mut at = 0;
        self.each(count, pages, source, &mut |value| {
            if value == wanted {
                found(at);
            }
            at += 1;
            true
        })
    }
}
