//! A dictionary of a few values, and a code for each value of the column.
//!
//! Invariants
//! * Values are listed in the order in which they first came.
use super::super::pages::PageWriter;
use super::{CODES_BYTES, CODES_PACKED, CodeForm, put_codes};
use crate::codec::{put_varint, zigzag};
use rustc_hash::FxHashMap;

const DICTIONARY_MAX: usize = 256;

pub(super) struct Dictionary {
    values: Vec<i64>,
    codes: Vec<u8>,
    form: CodeForm,
}

impl Dictionary {
    /// A dictionary, where it takes less than `cost` bytes.
    pub(super) fn of(values: &[i64], cost: usize) -> Option<Self> {
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

    pub(super) fn put(&self, pages: &mut PageWriter, head: &mut Vec<u8>) {
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
