//! The tuples of values that the rows of a block have in some columns, each once, and which of them each row has.
//!
//! Invariants
//! * Rows with the same texts have the same tuple, and no others; where values fall into buckets, the bucket is the text.
//! * Each different text is there once, and counted before it is.
use crate::error::Result;
use crate::query::block::{Column, Shown};
use crate::query::budget::Held;
use crate::query::value::bucket::Buckets;
use crate::query::value::timestamp::show_timestamp;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// What a text takes beside its bytes, about.
const TEXT_BYTES: usize = 80;
/// What a tuple takes beside its places, about.
const TUPLE_BYTES: usize = size_of::<Vec<u32>>() + 48;

/// The tuples of a block.
pub(super) struct Tuples {
    columns: Vec<Keys>,
    /// The tuple of each row; nothing where all rows have the first.
    rows: Option<Vec<u32>>,
    /// Each as pairs of a column and the place of its text there; columns with one text in all rows are left out.
    tuples: Vec<Vec<u32>>,
    _held: Held,
}

impl Tuples {
    /// Of some columns, the values of some of which fall into buckets.
    pub(super) fn of<'b>(columns: impl Iterator<Item = (&'b Column, Option<Buckets>)>, mut held: Held) -> Result<Self> {
        let columns: Vec<Keys> =
            columns.map(|(column, buckets)| Keys::of(column, buckets, &mut held)).collect::<Result<_>>()?;
        let mut told: Option<(Vec<u32>, Vec<Vec<u32>>)> = None;
        for (at, keys) in (0u32..).zip(&columns) {
            let Some(rows) = &keys.rows else { continue };
            let pairs = |tuples: &Vec<Vec<u32>>| rows.len().min(tuples.len().saturating_mul(keys.texts.len()));
            let told_apart = told.as_ref().map_or(keys.texts.len(), |(_, tuples)| pairs(tuples));
            held.add(told_apart * (TUPLE_BYTES + 2 * size_of::<u32>() * columns.len()))?;
            told = Some(match told {
                None => (rows.clone(), (0..keys.texts.len() as u32).map(|place| vec![at, place]).collect()),
                Some((before, tuples)) => join(&before, &tuples, rows, at),
            });
        }
        let (rows, tuples) = match told {
            Some((rows, tuples)) => (Some(rows), tuples),
            None => (None, vec![Vec::new()]),
        };
        Ok(Self { columns, rows, tuples, _held: held })
    }

    /// The tuple of each row; nothing where all rows have the first.
    pub(super) fn rows(&self) -> Option<&[u32]> {
        self.rows.as_deref()
    }

    /// How many there are at most; not each is of some row.
    pub(super) fn len(&self) -> usize {
        self.tuples.len()
    }

    /// The texts of a tuple.
    pub(super) fn values(&self, tuple: usize) -> Vec<String> {
        let pairs = self.tuples.get(tuple).map(Vec::as_slice).unwrap_or_default();
        let place = |at: u32| pairs.chunks_exact(2).find(|pair| pair.first() == Some(&at))?.get(1).copied();
        let text =
            |(at, keys): (u32, &Keys)| keys.texts.get(place(at).unwrap_or(0) as usize).map(|text| text.to_string());
        (0u32..).zip(&self.columns).map(|column| text(column).unwrap_or_default()).collect()
    }
}

/// Tells rows apart by what they were told apart by and one more column.
fn join(before: &[u32], tuples: &[Vec<u32>], rows: &[u32], at: u32) -> (Vec<u32>, Vec<Vec<u32>>) {
    let (mut known, mut joined) = (FxHashMap::default(), Vec::new());
    let mut last = None;
    let pairs = before.iter().zip(rows).map(|(tuple, place)| {
        if let Some((pair, at)) = last
            && pair == (*tuple, *place)
        {
            return at;
        }
        let found = *known.entry((*tuple, *place)).or_insert_with(|| {
            let mut longer = tuples.get(*tuple as usize).cloned().unwrap_or_default();
            longer.extend([at, *place]);
            joined.push(longer);
            joined.len() as u32 - 1
        });
        last = Some(((*tuple, *place), found));
        found
    });
    let pairs = pairs.collect();
    (pairs, joined)
}

/// The keys that a column gives: the different ones, and which of them each row has.
struct Keys {
    texts: Vec<Arc<str>>,
    /// Nothing where all rows have the first.
    rows: Option<Vec<u32>>,
}

impl Keys {
    fn of(column: &Column, buckets: Option<Buckets>, held: &mut Held) -> Result<Self> {
        let place = |text: &str| buckets.map_or_else(|| text.to_string(), |buckets| buckets.place(text));
        let mut keys = Distinct { known: FxHashMap::default(), texts: Vec::new(), held, counted: Ok(()) };
        let rows = match column.shown() {
            Shown::Const(text) => return Ok(Self { texts: vec![place(text).into()], rows: None }),
            Shown::Listed(texts, places) if texts.len() <= places.len() => {
                let known: Vec<u32> = (0..texts.len()).map(|at| keys.text(&place(texts.get(at)))).collect();
                if keys.texts.len() == known.len() {
                    places.to_vec()
                } else {
                    places.iter().map(|at| known.get(*at as usize).copied().unwrap_or(0)).collect()
                }
            }
            Shown::Listed(texts, places) => {
                let mut known: Vec<Option<u32>> = vec![None; texts.len()];
                let of = |text: &u32| match known.get_mut(*text as usize) {
                    Some(known) => *known.get_or_insert_with(|| keys.text(&place(texts.get(*text as usize)))),
                    None => keys.text(&place("")),
                };
                places.iter().map(of).collect()
            }
            Shown::Ints(values) => keys.numbers(values, |value| place(&value.to_string())),
            Shown::Times(times) => match buckets {
                Some(buckets) => keys.numbers(&Starts::new(buckets).of(times), show_timestamp),
                None => keys.numbers(times, show_timestamp),
            },
            Shown::Each(texts) => {
                let mut last: Option<(&str, u32)> = None;
                let of = |row: usize| {
                    let text = texts.get(row);
                    match last {
                        Some((known, at)) if known == text => at,
                        _ => {
                            let at = if buckets.is_some() { keys.text(&place(text)) } else { keys.text(text) };
                            last = Some((text, at));
                            at
                        }
                    }
                };
                (0..texts.len()).map(of).collect()
            }
        };
        keys.counted?;
        let is_one = keys.texts.len() == 1;
        Ok(Self { texts: keys.texts, rows: (!is_one).then_some(rows) })
    }
}

/// Where buckets of times begin; neighbours in time are mostly of the same.
struct Starts {
    buckets: Buckets,
    known: Option<(i64, i64, i64)>,
}

impl Starts {
    fn new(buckets: Buckets) -> Self {
        Self { buckets, known: None }
    }

    fn of(mut self, times: &[i64]) -> Vec<i64> {
        times.iter().map(|time| self.start(*time)).collect()
    }

    fn start(&mut self, time: i64) -> i64 {
        if let Some((from, to, start)) = self.known
            && (from..to).contains(&time)
        {
            return start;
        }
        let (start, next) = self.buckets.around(time);
        self.known = Some((start, next, start));
        start
    }
}

/// Different texts, numbered as they come.
struct Distinct<'h> {
    known: FxHashMap<Arc<str>, u32>,
    texts: Vec<Arc<str>>,
    held: &'h mut Held,
    /// Whether there was memory for all of them; none is kept once there was not.
    counted: Result<()>,
}

impl Distinct<'_> {
    fn text(&mut self, text: &str) -> u32 {
        if let Some(at) = self.known.get(text) {
            return *at;
        }
        if self.counted.is_ok() {
            self.counted = self.held.add(text.len() + TEXT_BYTES);
        }
        if self.counted.is_err() {
            return 0;
        }
        let (at, text) = (self.texts.len() as u32, Arc::<str>::from(text));
        self.known.insert(Arc::clone(&text), at);
        self.texts.push(text);
        at
    }

    fn numbers(&mut self, values: &[i64], show: impl Fn(i64) -> String) -> Vec<u32> {
        let (mut known, mut last) = (FxHashMap::default(), None);
        let of = |value: &i64| match last {
            Some((known, at)) if known == *value => at,
            _ => {
                let at = *known.entry(*value).or_insert_with(|| self.text(&show(*value)));
                last = Some((*value, at));
                at
            }
        };
        values.iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::query::budget::Memory;

    #[test]
    fn different_texts_are_counted_while_they_are_there() {
        let many: Vec<String> = (0..1_000).map(|i| format!("{i:0100}")).collect();
        let each = Column::new("a", many.iter().map(String::as_str).collect());
        let ints = Column::ints("b", (0..1_000).collect());
        for columns in [vec![&each], vec![&ints], vec![&each, &ints]] {
            let of = |memory: &Memory| Tuples::of(columns.iter().map(|column| (*column, None)), memory.hold("test"));
            let memory = Memory::new(1 << 20);
            let tuples = of(&memory).unwrap();
            assert!(tuples.len() == 1_000 && memory.used() >= 1_000 * TEXT_BYTES, "{}", memory.used());
            drop(tuples);
            assert_eq!(memory.used(), 0);
            let memory = Memory::new(50_000);
            assert_eq!(of(&memory).err().unwrap().kind(), ErrorKind::Budget);
        }
    }

    #[test]
    fn rows_are_told_apart_by_all_columns() {
        let a = Column::listed("a", ["x", "y"].into_iter().collect(), vec![0, 1, 0, 1]);
        let b = Column::ints("b", vec![5, 5, 7, 5]);
        let c = Column::constant("c", "k");
        let memory = Memory::new(1 << 20);
        let tuples = Tuples::of([&a, &c, &b].into_iter().map(|column| (column, None)), memory.hold("test")).unwrap();
        let rows = tuples.rows().unwrap();
        assert_eq!((rows[1], rows[0] == rows[2]), (rows[3], false));
        assert_eq!(tuples.values(rows[2] as usize), ["x", "k", "7"]);
        let alike = Tuples::of([(&c, None)].into_iter(), memory.hold("test")).unwrap();
        assert!(alike.rows().is_none() && alike.values(0) == ["k"]);
    }
}
