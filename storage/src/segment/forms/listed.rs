//! A lane of few different texts that have variables in them: each text once, and a code for each value.
//!
//! Head: `| texts n | form of codes u8 | list | codes |`, where list and codes are streams. In the list each text has its
//! length, its bytes, and how many values are it, lengths and counts as varints. Texts ascend.
//!
//! Invariants
//! * The counts add up to the number of values: counts by text read no codes.
use super::super::ints::{CodeForm, few_codes, put_codes, read_codes};
use super::super::pages::{PageWriter, Pages, Source, Space, Stream};
use super::super::text_lane::Values;
use super::push_text;
use crate::codec::{Reader, put_bytes, put_varint};
use crate::error::{Error, Result};
use crate::text::table::ShapeTable;
use rustc_hash::FxHashMap;

/// Texts of a list.
const TEXTS_MAX: usize = 4_096;
/// Texts from which a lane is given up where most values have been different.
const TEXTS_FREE: usize = 2_048;

/// The different texts of a lane.
pub(super) struct Listing {
    /// Ascending.
    texts: Vec<Vec<u8>>,
    counts: Vec<usize>,
    codes: Vec<u32>,
    form: CodeForm,
    /// About what the list takes, and the codes.
    pub(super) list_cost: usize,
    pub(super) codes_cost: usize,
}

impl Listing {
    /// Lists the first `count` texts of a lane, where few are different and not all are literal: shapes list those as well.
    pub(super) fn of(values: &Values<'_>, count: usize, shapes: &ShapeTable) -> Option<Self> {
        let (mut numbers, mut firsts, mut codes) = (FxHashMap::default(), Vec::new(), Vec::with_capacity(count));
        let mut counts: Vec<usize> = Vec::new();
        for (value, (shape, (lengths, bytes))) in values.shapes.iter().zip(&values.variables).take(count).enumerate() {
            let next = firsts.len() as u32;
            let code = *numbers.entry((*shape, *lengths, *bytes)).or_insert(next);
            if code == next {
                firsts.push(value);
                counts.push(0);
                if firsts.len() > TEXTS_MAX || firsts.len() > TEXTS_FREE.max(value / 4 * 3) {
                    return None;
                }
            }
            if let Some(count) = counts.get_mut(code as usize) {
                *count += 1;
            }
            codes.push(code);
        }
        // Where no value has any, none are there.
        let has_variables = values.variables.iter().take(count).any(|(lengths, _)| !lengths.is_empty());
        has_variables.then(|| Self::sort(values, shapes, &firsts, &counts, &codes))
    }

    /// Puts the list in order, of which `firsts` says where each text comes first; a text can be there by two shapes.
    fn sort(values: &Values<'_>, shapes: &ShapeTable, firsts: &[usize], of_codes: &[usize], codes: &[u32]) -> Self {
        let mut order: Vec<(Vec<u8>, usize)> = Vec::with_capacity(firsts.len());
        for (code, value) in firsts.iter().enumerate() {
            let mut text = Vec::new();
            push_text(values, *value, shapes, &mut text);
            order.push((text, code));
        }
        order.sort_unstable();
        let (mut texts, mut counts, mut places): (Vec<Vec<u8>>, Vec<usize>, Vec<u32>) = Default::default();
        places.resize(order.len(), 0);
        for (text, code) in order {
            if texts.last() != Some(&text) {
                texts.push(text);
                counts.push(0);
            }
            if let Some(place) = places.get_mut(code) {
                *place = texts.len() as u32 - 1;
            }
            if let Some(count) = counts.last_mut() {
                *count += of_codes.get(code).copied().unwrap_or(0);
            }
        }
        let (form, codes_cost) = CodeForm::of(&counts);
        let list_cost = texts.iter().map(|text| text.len() / 2 + 3).sum();
        let codes = codes.iter().map(|code| places.get(*code as usize).copied().unwrap_or(0)).collect();
        Self { texts, counts, codes, form, list_cost, codes_cost }
    }

    pub(super) fn put(&self, pages: &mut PageWriter, head: &mut Vec<u8>) {
        let mut list = Vec::new();
        for (text, count) in self.texts.iter().zip(&self.counts) {
            put_bytes(&mut list, text);
            put_varint(&mut list, *count as u64);
        }
        put_varint(head, self.texts.len() as u64);
        head.push(self.form as u8);
        pages.put(Space::Text, &list).put(head);
        put_codes(&self.codes, self.texts.len(), self.form, pages, head);
    }
}

/// How a listed lane is read.
pub(crate) struct ListedHead {
    texts: usize,
    form: CodeForm,
    list: Stream,
    codes: Stream,
}

impl ListedHead {
    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self> {
        let texts = usize::try_from(r.varint()?).map_err(|_| damaged())?;
        let head = Self { texts, form: CodeForm::read(r)?, list: Stream::read(r)?, codes: Stream::read(r)? };
        if texts > TEXTS_MAX || texts > head.list.len { Err(damaged()) } else { Ok(head) }
    }

    /// The texts of a lane of `count` values, and how many of them are each.
    pub(in crate::segment) fn list(&self, count: usize, pages: &Pages, source: &dyn Source) -> Result<Listed> {
        let bytes = pages.stream(source, self.list)?;
        let r = &mut Reader::new(&bytes);
        let (mut texts, mut counts) = (Vec::with_capacity(self.texts), Vec::with_capacity(self.texts));
        for _ in 0..self.texts {
            texts.push(Box::from(r.bytes()?));
            counts.push(u32::try_from(r.varint()?).map_err(|_| damaged())?);
        }
        if r.remaining() != 0 || counts.iter().map(|n| u64::from(*n)).sum::<u64>() != count as u64 {
            return Err(damaged());
        }
        Ok(Listed { texts, counts })
    }

    /// The text of each value, by its place in the list.
    pub(in crate::segment) fn codes(&self, count: usize, pages: &Pages, source: &dyn Source) -> Result<Vec<u32>> {
        read_codes(count, self.texts, self.form, self.codes, pages, source)
    }

    /// The texts of some values.
    pub(in crate::segment) fn few_codes(
        &self,
        count: usize,
        wanted: &[usize],
        pages: &Pages,
        source: &dyn Source,
    ) -> Result<Vec<u32>> {
        few_codes(count, self.texts, self.form, self.codes, wanted, pages, source)
    }
}

/// The different texts of a lane, ascending, and how many values are each.
pub(crate) struct Listed {
    pub(crate) texts: Vec<Box<[u8]>>,
    pub(crate) counts: Vec<u32>,
}

fn damaged() -> Error {
    Error::corrupt("a lane's list of texts is damaged")
}
