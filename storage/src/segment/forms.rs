//! What form the values of a lane of strings, numbers or JSON take in a block, by what they are: shaped text, a list of
//! few texts, or integers with a spelling.
//!
//! The form's byte comes first: 0 shaped (`text_lane.rs`), 3 listed (`listed.rs`), else that of a spelling
//! (`spelling.rs`) and then an integer column.
//!
//! Invariants
//! * Another form than shaped text is chosen only where it is no larger, by what the first values take.
//! * All forms give the same bytes back.
use super::ints::{self, IntHead};
use super::listed::{ListedHead, Listing};
use super::pages::PageWriter;
use super::spelling::{Fit, SPELLED_BYTES_MAX, Spelling};
use super::text_lane::{self, Scratch, TextHead, Values, next};
use crate::codec::Reader;
use crate::error::{Error, Result};
use crate::text::table::ShapeTable;

const SHAPED: u8 = 0;
const LISTED: u8 = 3;

/// Values by which forms are compared.
const SAMPLED: usize = 4_096;

/// Appends a lane; shaped text says which shapes of the segment it has.
pub(super) fn put(
    values: &Values<'_>,
    shapes: &ShapeTable,
    scratch: &mut Scratch,
    pages: &mut PageWriter,
    head: &mut Vec<u8>,
) -> Option<Vec<u32>> {
    match choose(values, shapes, scratch) {
        Choice::Listed(listing) => {
            head.push(LISTED);
            listing.put(pages, head);
            None
        }
        Choice::Spelled(spelling, ints) => {
            spelling.put(head);
            ints::put(&ints, pages, head);
            None
        }
        Choice::Shaped => {
            head.push(SHAPED);
            Some(text_lane::put(values, shapes.slots(), scratch, pages, head))
        }
    }
}

/// A form, with what it takes to write it.
enum Choice {
    Shaped,
    Listed(Listing),
    Spelled(Spelling, Vec<i64>),
}

/// The form that takes least, by the first values; then all have to fit.
fn choose(values: &Values<'_>, shapes: &ShapeTable, scratch: &mut Scratch) -> Choice {
    let count = values.shapes.len();
    let sampled = count.min(SAMPLED);
    let (listing, fit) = (Listing::of(values, sampled, shapes), spelled(values, sampled, shapes));
    if listing.is_none() && fit.is_none() {
        return Choice::Shaped;
    }
    let of_all = |cost: usize| cost * count / sampled.max(1);
    let shaped_cost = of_all(cost(|pages, head| {
        let mut part = Values::default();
        part.shapes.extend(values.shapes.iter().take(sampled));
        part.variables.extend(values.variables.iter().take(sampled));
        text_lane::put(&part, shapes.slots(), scratch, pages, head);
    }));
    let spelled_cost = fit.map(|(_, ints)| of_all(cost(|pages, head| ints::put(&ints, pages, head))));
    let spelled_cost = spelled_cost.filter(|cost| *cost <= shaped_cost);
    // The list is about complete, the codes go on.
    let listed_cost = listing.map(|listing| listing.list_cost + of_all(listing.codes_cost));
    if listed_cost.is_some_and(|cost| cost < spelled_cost.unwrap_or(shaped_cost / 10 * 9))
        && let Some(listing) = Listing::of(values, count, shapes)
    {
        return Choice::Listed(listing);
    }
    match spelled_cost.and_then(|_| spelled(values, count, shapes)) {
        Some((spelling, ints)) => Choice::Spelled(spelling, ints),
        None => Choice::Shaped,
    }
}

/// What something takes on its own.
fn cost(put: impl FnOnce(&mut PageWriter, &mut Vec<u8>)) -> usize {
    let (mut pages, mut head) = (PageWriter::default(), Vec::new());
    put(&mut pages, &mut head);
    pages.finish(&mut head).len() + head.len()
}

/// The integers that stand for the first `count` values, and how they are spelled.
fn spelled(values: &Values<'_>, count: usize, shapes: &ShapeTable) -> Option<(Spelling, Vec<i64>)> {
    let (mut fit, mut text) = (None, Vec::new());
    for value in 0..count {
        text.clear();
        if !is_short(values, value, shapes) {
            return None;
        }
        push_text(values, value, shapes, &mut text);
        match &mut fit {
            None => fit = Some(Fit::of(&text)?),
            Some(fit) => fit.add(&text).then_some(())?,
        }
    }
    fit?.finish()
}

/// Whether a value can have a spelling, by its length.
fn is_short(values: &Values<'_>, value: usize, shapes: &ShapeTable) -> bool {
    let (shape, cursor) = (values.shapes.get(value).copied(), values.variables.get(value).copied());
    let shape = shape.unwrap_or_default();
    let slots = shapes.slots().get(shape as usize).copied().unwrap_or(0);
    let literal = shapes.key(shape).len().saturating_sub(usize::from(slots) * 2);
    literal + cursor.unwrap_or_default().1.len() <= SPELLED_BYTES_MAX
}

/// Appends the text of a value.
pub(super) fn push_text(values: &Values<'_>, value: usize, shapes: &ShapeTable, out: &mut Vec<u8>) {
    let shape = values.shapes.get(value).copied().unwrap_or_default();
    let mut cursor = values.variables.get(value).copied().unwrap_or_default();
    shapes.shape(shape).rebuild(std::iter::repeat_with(|| next(&mut cursor)), out);
}

/// How a lane of strings, numbers or JSON is read.
pub(super) enum Form {
    Shaped(Box<TextHead>),
    Listed(ListedHead),
    Spelled(Spelling, IntHead),
}

impl Form {
    /// Reads the head of a lane of `count` values; shaped text has the next of the lists of shapes.
    pub(super) fn read(r: &mut Reader<'_>, lists: &mut impl Iterator<Item = Vec<u32>>, count: usize) -> Result<Self> {
        Ok(match r.u8()? {
            SHAPED => {
                let list = lists.next().ok_or_else(|| Error::corrupt("a text lane without shapes"))?;
                Self::Shaped(Box::new(TextHead::read(r, list, count)?))
            }
            LISTED => Self::Listed(ListedHead::read(r)?),
            form => Self::Spelled(Spelling::read(form, r)?, IntHead::read(r)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::pages::Pages;
    use super::*;
    use crate::codec::put_varint;
    use crate::text::shape::{Split, WHOLE};

    /// Which form a lane of these texts takes, after all of them were read back.
    fn form_of(texts: &[String]) -> &'static str {
        let (mut table, mut split) = (ShapeTable::default(), Split::default());
        let (mut numbers, mut variables) = (Vec::new(), Vec::new());
        let mut known = rustc_hash::FxHashMap::default();
        for text in texts {
            let (mut lengths, mut bytes) = (Vec::new(), Vec::new());
            let shape = if split.split(text) {
                for (from, to) in &split.spans {
                    put_varint(&mut lengths, u64::from(to - from));
                    bytes.extend_from_slice(&text.as_bytes()[*from as usize..*to as usize]);
                }
                *known.entry(split.key.clone()).or_insert_with(|| table.push(&split.key).unwrap())
            } else {
                put_varint(&mut lengths, text.len() as u64);
                bytes.extend_from_slice(text.as_bytes());
                WHOLE
            };
            numbers.push(shape);
            variables.push((lengths, bytes));
        }
        let variables = variables.iter().map(|(lengths, bytes)| (lengths.as_slice(), bytes.as_slice())).collect();
        let values = Values { shapes: numbers.clone(), variables };
        let (mut pages, mut head, mut directory) = (PageWriter::default(), Vec::new(), Vec::new());
        let list = put(&values, &table, &mut Scratch::default(), &mut pages, &mut head);
        let bytes = pages.finish(&mut directory);
        let pages = Pages::read(&mut Reader::new(&directory), 0).unwrap();
        let r = &mut Reader::new(&head);
        let form = Form::read(r, &mut list.into_iter(), texts.len()).unwrap();
        assert_eq!(r.remaining(), 0);
        match form {
            Form::Shaped(head) => {
                let codes = head.codes(texts.len(), &pages, &bytes).unwrap();
                let local = |code: &u32| head.shapes.listed[*code as usize];
                assert_eq!(codes.iter().map(local).collect::<Vec<_>>(), numbers);
                "shaped"
            }
            Form::Listed(head) => {
                let listed = head.list(texts.len(), &pages, &bytes).unwrap();
                let codes = head.codes(texts.len(), &pages, &bytes).unwrap();
                assert!(listed.texts.is_sorted());
                for (text, code) in texts.iter().zip(&codes) {
                    assert_eq!(&*listed.texts[*code as usize], text.as_bytes());
                }
                for (code, count) in (0..).zip(&listed.counts) {
                    assert_eq!(codes.iter().filter(|c| **c == code).count(), *count as usize);
                }
                assert!(head.list(texts.len() + 1, &pages, &bytes).is_err());
                assert!(listed.texts.len() == 1 || head.codes(texts.len() + 64, &pages, &bytes).is_err());
                "listed"
            }
            Form::Spelled(spelling, head) => {
                let values = head.load(texts.len(), &pages, &bytes).unwrap();
                for (text, value) in texts.iter().zip(values) {
                    let mut out = Vec::new();
                    spelling.push(value, &mut out);
                    assert_eq!(out, text.as_bytes());
                }
                "spelled"
            }
        }
    }

    fn texts(n: usize, text: impl Fn(usize) -> String) -> Vec<String> {
        (0..n).map(text).collect()
    }

    fn mixed(i: usize) -> usize {
        i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20
    }

    #[test]
    fn a_lane_takes_the_form_that_suits_it() {
        let time = |i: usize| {
            format!("2026-06-01T{:02}:{:02}:{:02}.{:03}Z", i / 9_000, i / 150 % 60, i / 3 % 50, mixed(i) % 1_000)
        };
        assert_eq!(form_of(&texts(20_000, time)), "spelled");
        let walk = |i: usize| format!("{}.{}", 100 + i / 50, i % 50 * 2 + 1);
        assert_eq!(form_of(&texts(20_000, walk)), "spelled");
        let pod = |i: usize| format!("web-{:x}-{:05x}", mixed(i) % 9 * 7_919, mixed(i) % 900 * 1_117);
        assert_eq!(form_of(&texts(20_000, pod)), "listed");
        let few = |i: usize| ["0.5", "1.0", "12.75"][mixed(i) % 3].to_string();
        assert_eq!(form_of(&texts(20_000, few)), "spelled");
        let few = |i: usize| ["0.5", "1.50", "n7"][mixed(i) % 3].to_string();
        assert_eq!(form_of(&texts(20_000, few)), "listed");
        // As small as shapes, or smaller so.
        let level = |i: usize| ["INFO", "WARN", "ERROR"][mixed(i) % 3].to_string();
        assert_eq!(form_of(&texts(20_000, level)), "shaped");
        assert_eq!(form_of(&texts(20_000, |i| format!("task {i} of {}", mixed(i)))), "shaped");
        let broken = |i: usize| if i == 19_999 { "1e5".into() } else { walk(i) };
        assert_eq!(form_of(&texts(20_000, broken)), "shaped");
        for n in 0..4 {
            form_of(&texts(n, time));
            form_of(&texts(n, pod));
        }
        let odd = ["", "é5", "\u{0}7", "日本9", "x"];
        form_of(&texts(3_000, |i| odd[mixed(i) % 5].into()));
        form_of(&texts(300, |i| "1 ".repeat(mixed(i) % 4 * 40)));
        form_of(&texts(65_536, |i| format!("n{}", mixed(i) % 4_096)));
        form_of(&texts(65_536, |i| format!("n{}", mixed(i) % 4_097)));
    }
}
