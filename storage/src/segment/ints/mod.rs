//! A column of integers: constant, few values, near each other, or rising.
//!
//! | kind | head | data |
//! |---|---|---|
//! | constant | value | |
//! | packed | scale, lowest, bits | value minus lowest, over the scale |
//! | steps | scale, first, marks | per 128 steps: lowest step, bits, and the steps minus lowest |
//! | steps as bytes | scale, first, marks, signed u8 | a varint for each step, for the compressor: skewed steps, or few large ones |
//! | dictionary | values | a code for each value: packed, or bytes where they compress better |
//!
//! A mark is every 4,096th value and where the steps from it on begin, so that a value is reached without all before it.
//!
//! Invariants
//! * Every `i64` comes back, `MIN` and `MAX` beside each other included: all differences wrap.
use super::bits::{BitWriter, Packed, bits_of, packed_bytes};
use super::pages::{PageCache, PageWriter, Pages, Source, Space, Stream};
use crate::codec::{Reader, put_varint, unzigzag, zigzag};
use crate::error::{Error, Result};
use rustc_hash::FxHashMap;

const CONSTANT: u8 = 0;
const PACKED: u8 = 1;
const STEPS: u8 = 2;
const CODES_PACKED: u8 = 3;
const CODES_BYTES: u8 = 4;
const STEPS_BYTES: u8 = 5;

const STEPS_EACH: usize = 128;
const DICTIONARY_MAX: usize = 256;
/// Values from one mark to the next; whole chunks of steps.
const MARK_EACH: usize = 4_096;
const _: () = assert!(MARK_EACH.is_multiple_of(STEPS_EACH));
/// Values of which one is asked for up to which marks are used: of more, all are gone along.
const SPARSE: usize = 64;

/// Appends a column: its data into pages, how to read it into `head`.
pub(crate) fn put(values: &[i64], pages: &mut PageWriter, head: &mut Vec<u8>) {
    let Some(first) = values.first().copied() else {
        head.push(CONSTANT);
        put_varint(head, 0);
        return;
    };
    let (low, high) = values.iter().fold((first, first), |(l, h), v| (l.min(*v), h.max(*v)));
    if low == high {
        head.push(CONSTANT);
        put_varint(head, zigzag(first));
        return;
    }
    // Where the range is over 63 bits, steps wrap and are no multiples of anything.
    let scale = if high.wrapping_sub(low) < 0 { 1 } else { scale_of(values, low) };
    let width = bits_of(high.wrapping_sub(low) as u64 / scale);
    let packed_cost = packed_bytes(values.len(), width);
    if let Some(dictionary) = Dictionary::of(values, packed_cost) {
        return dictionary.put(pages, head);
    }
    let steps = Steps::of(values, scale);
    if steps.varints_cost < steps.bytes.len().min(packed_cost) {
        head.push(STEPS_BYTES);
        put_varint(head, scale);
        put_varint(head, zigzag(first));
        put_marks(values, &steps.varint_marks, head);
        head.push(u8::from(steps.signed));
        pages.put(Space::Codes, &steps.varints).put(head);
        return;
    }
    if steps.bytes.len() < packed_cost {
        head.push(STEPS);
        put_varint(head, scale);
        put_varint(head, zigzag(first));
        put_marks(values, &steps.marks, head);
        pages.put(Space::Dense, &steps.bytes).put(head);
        return;
    }
    head.push(PACKED);
    put_varint(head, scale);
    put_varint(head, zigzag(low));
    head.push(width as u8);
    let mut bits = BitWriter::default();
    for value in values {
        bits.push(value.wrapping_sub(low) as u64 / scale, width);
    }
    pages.put(Space::Dense, &bits.finish()).put(head);
}

/// The largest of a few scales that all distances from `low` are multiples of: nanoseconds are often milliseconds.
fn scale_of(values: &[i64], low: i64) -> u64 {
    [1_000_000_000u64, 1_000_000, 1_000]
        .into_iter()
        .find(|scale| values.iter().all(|v| (v.wrapping_sub(low) as u64).is_multiple_of(*scale)))
        .unwrap_or(1)
}

/// Appends each marked value and where its steps begin, as gaps.
fn put_marks(values: &[i64], places: &[usize], head: &mut Vec<u8>) {
    put_varint(head, places.len() as u64);
    let (mut value, mut place) = (0i64, 0);
    for (marked, at) in values.iter().step_by(MARK_EACH).skip(1).zip(places) {
        put_varint(head, zigzag(marked.wrapping_sub(value)));
        put_varint(head, (at - place) as u64);
        (value, place) = (*marked, *at);
    }
}

fn read_marks(r: &mut Reader<'_>) -> Result<Vec<(i64, usize)>> {
    let n = r.count(2)?;
    let (mut value, mut place) = (0i64, 0u64);
    let mut marks = Vec::with_capacity(n);
    for _ in 0..n {
        value = value.wrapping_add(unzigzag(r.varint()?));
        place = place.saturating_add(r.varint()?);
        marks.push((value, usize::try_from(place).unwrap_or(usize::MAX)));
    }
    Ok(marks)
}

struct Steps {
    /// Packed in chunks.
    bytes: Vec<u8>,
    /// Where the chunks of each marked value begin, and its varints.
    marks: Vec<usize>,
    varint_marks: Vec<usize>,
    /// One after another; zigzag where some go back.
    varints: Vec<u8>,
    signed: bool,
    /// About what a compressor makes of the varints.
    varints_cost: usize,
}

impl Steps {
    fn of(values: &[i64], scale: u64) -> Self {
        let steps: Vec<u64> = values
            .windows(2)
            .map(|pair| {
                let (a, b) = (pair.first().copied().unwrap_or(0), pair.last().copied().unwrap_or(0));
                let step = b.wrapping_sub(a);
                if scale == 1 { zigzag(step) } else { zigzag(step / scale as i64) }
            })
            .collect();
        let (mut bytes, mut marks) = (Vec::new(), Vec::new());
        for (number, chunk) in steps.chunks(STEPS_EACH).enumerate() {
            if number > 0 && number.is_multiple_of(MARK_EACH / STEPS_EACH) {
                marks.push(bytes.len());
            }
            let (low, high) = chunk.iter().fold((u64::MAX, 0), |(l, h), v| (l.min(*v), h.max(*v)));
            let width = bits_of(high - low);
            put_varint(&mut bytes, low);
            bytes.push(width as u8);
            let mut bits = BitWriter::default();
            for step in chunk {
                bits.push(step - low, width);
            }
            bytes.extend_from_slice(&bits.finish());
        }
        let signed = steps.iter().any(|step| step & 1 == 1);
        let mut varints = Vec::with_capacity(steps.len() * 2);
        let mut varint_marks = Vec::new();
        for (number, chunk) in steps.chunks(MARK_EACH).enumerate() {
            if number > 0 {
                varint_marks.push(varints.len());
            }
            chunk.iter().for_each(|step| put_varint(&mut varints, if signed { *step } else { step >> 1 }));
        }
        let mut counts = [0usize; 256];
        for byte in &varints {
            if let Some(count) = counts.get_mut(usize::from(*byte)) {
                *count += 1;
            }
        }
        let varints_cost = (entropy_bytes(&counts).max(varints.len() as f64 / 8.0) * 1.03) as usize + 64;
        Self { bytes, marks, varint_marks, varints, signed, varints_cost }
    }
}

struct Dictionary {
    values: Vec<i64>,
    codes: Vec<u8>,
    form: CodeForm,
}

impl Dictionary {
    /// A dictionary, where it takes less than `cost` bytes.
    fn of(values: &[i64], cost: usize) -> Option<Self> {
        let mut known: FxHashMap<i64, u8> = FxHashMap::default();
        let (mut listed, mut counts, mut codes) = (Vec::new(), Vec::new(), Vec::with_capacity(values.len()));
        for value in values {
            let next = listed.len();
            let code = *known.entry(*value).or_insert_with(|| {
                listed.push(*value);
                counts.push(0usize);
                next as u8
            });
            if listed.len() > DICTIONARY_MAX {
                return None;
            }
            if let Some(count) = counts.get_mut(usize::from(code)) {
                *count += 1;
            }
            codes.push(code);
        }
        let (form, codes_cost) = CodeForm::of(&counts);
        (listed.len() * 4 + codes_cost < cost).then_some(Self { values: listed, codes, form })
    }

    fn put(&self, pages: &mut PageWriter, head: &mut Vec<u8>) {
        head.push(if self.form == CodeForm::Bytes { CODES_BYTES } else { CODES_PACKED });
        put_varint(head, self.values.len() as u64);
        for value in &self.values {
            put_varint(head, zigzag(*value));
        }
        put_codes(
            &self.codes.iter().map(|c| u32::from(*c)).collect::<Vec<_>>(),
            self.values.len(),
            self.form,
            pages,
            head,
        );
    }
}

/// What an ideal coder would take for codes that occur this often.
pub(crate) fn entropy_bytes(counts: &[usize]) -> f64 {
    let total: usize = counts.iter().sum();
    let bits: f64 = counts.iter().filter(|n| **n > 0).map(|n| *n as f64 * (total as f64 / *n as f64).log2()).sum();
    bits / 8.0
}

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
            let r = &mut Reader::new(&bytes);
            let code = |_| Ok(u32::try_from(r.varint()?).unwrap_or(u32::MAX));
            let codes = (0..count).map(code).collect::<Result<_>>()?;
            if r.remaining() != 0 {
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

fn wrong_length() -> Error {
    Error::corrupt("a column of numbers has another length than it says")
}

/// Values that are kept as packed steps, until `take` has enough.
fn steps(bytes: &[u8], scale: u64, first: i64, count: usize, take: &mut impl FnMut(i64) -> bool) -> Result<()> {
    let r = &mut Reader::new(bytes);
    let (mut value, mut given) = (first, 1);
    if !take(value) {
        return Ok(());
    }
    while given < count {
        let low = r.varint()?;
        let width = u32::from(r.u8()?);
        let n = STEPS_EACH.min(count - given);
        let packed = Packed::new(r.take(packed_bytes(n, width))?, width);
        for step in packed.iter(n) {
            value = value.wrapping_add(unzigzag(low.wrapping_add(step)).wrapping_mul(scale as i64));
            if !take(value) {
                return Ok(());
            }
        }
        given += n;
    }
    Ok(())
}

/// Values that are kept as a varint a step, until `take` has enough; gives how many bytes are left.
fn step_bytes(
    bytes: &[u8],
    scale: u64,
    first: i64,
    signed: bool,
    count: usize,
    take: &mut impl FnMut(i64) -> bool,
) -> Result<usize> {
    let (mut value, mut rest) = (first, bytes);
    if !take(value) {
        return Ok(0);
    }
    for _ in 1..count {
        let step = match rest.split_first() {
            Some((byte, tail)) if *byte < 0x80 => {
                rest = tail;
                u64::from(*byte)
            }
            _ => {
                let r = &mut Reader::new(rest);
                let step = r.varint()?;
                rest = r.rest();
                step
            }
        };
        let step = if signed { unzigzag(step) } else { step as i64 };
        value = value.wrapping_add(step.wrapping_mul(scale as i64));
        if !take(value) {
            return Ok(0);
        }
    }
    Ok(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(values: &[i64]) -> usize {
        let (mut pages, mut head) = (PageWriter::default(), Vec::new());
        put(values, &mut pages, &mut head);
        let column = IntHead::read(&mut Reader::new(&head)).unwrap();
        let mut directory = Vec::new();
        let bytes = pages.finish(&mut directory);
        let pages = Pages::read(&mut Reader::new(&directory), 0).unwrap();
        assert_eq!(column.load(values.len(), &pages, &bytes).unwrap(), values);
        let some: Vec<usize> = (0..values.len()).step_by(7).collect();
        let expected: Vec<i64> = some.iter().map(|i| values[*i]).collect();
        assert_eq!(column.pick(values.len(), &some, &pages, &bytes).unwrap(), expected);
        let sparse: Vec<usize> = (0..values.len()).step_by(3_001).chain(values.len().checked_sub(1)).collect();
        let expected: Vec<i64> = sparse.iter().map(|i| values[*i]).collect();
        assert_eq!(column.pick(values.len(), &sparse, &pages, &bytes).unwrap(), expected);
        if values.is_sorted_by(|a, b| a < b) {
            for (at, value) in values.iter().enumerate().step_by(997) {
                assert_eq!(column.place_of(values.len(), *value, &pages, &bytes).unwrap(), Some(at));
                let missing = value.wrapping_add(1);
                let expected = values.iter().position(|value| *value == missing);
                assert_eq!(column.place_of(values.len(), missing, &pages, &bytes).unwrap(), expected);
            }
        }
        for wanted in values.iter().step_by(values.len() / 3 + 1).chain(&[17]) {
            let mut found = Vec::new();
            column.find(values.len(), *wanted, &pages, &bytes, &mut |at| found.push(at)).unwrap();
            assert!(found.into_iter().eq((0..values.len()).filter(|i| values[*i] == *wanted)));
        }
        bytes.len()
    }

    #[test]
    fn kinds_are_chosen_by_the_data() {
        assert_eq!(round_trip(&[7; 1000]), 0);
        assert_eq!(round_trip(&[]), 0);
        round_trip(&[i64::MIN, i64::MAX, 0, -1, i64::MIN]);
        let rising: Vec<i64> = (0..10_000).map(|i| 1_780_000_000_000_000_000 + i * 17_000_000).collect();
        assert!(round_trip(&rising) < 300);
        let skewed: Vec<i64> = (0..10_000)
            .scan(0, |at, i| {
                *at += if i % 500 == 0 { 1_000_000 } else { i * i % 7 };
                Some(*at)
            })
            .collect();
        assert!(round_trip(&skewed) < 4_200);
        for n in [4_096, 4_097, 8_192, 8_193, 20_000] {
            let uneven: Vec<i64> = (0..n).map(|i| i * 1_000 + i * i * 7_919 % 911).collect();
            round_trip(&uneven);
            let back: Vec<i64> = (0..n).map(|i| i * 10 + i * i % 37).collect();
            round_trip(&back);
            let seldom: Vec<i64> = (0..n).map(|i| i + i / 700 * 1_000_000).collect();
            round_trip(&seldom);
        }
        let codes: Vec<i64> = (0..10_000).map(|i| [200, 404, 500][i as usize * 7 % 3]).collect();
        assert!(round_trip(&codes) <= 2_500);
        let near: Vec<i64> = (0..10_000).map(|i| (i * 7919) % 1000).collect();
        assert!(round_trip(&near) <= 12_500);
    }

    proptest! {
        #[test]
        fn every_number_comes_back(values in prop::collection::vec(prop_oneof![any::<i64>(), -3i64..300, Just(i64::MIN), Just(i64::MAX)], 0..400)) {
            round_trip(&values);
        }

        #[test]
        fn scaled_numbers_come_back(values in prop::collection::vec((-1000i64..1000).prop_map(|v| v * 1_000_000), 0..400)) {
            round_trip(&values);
        }
    }
}
