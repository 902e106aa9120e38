//! The tuples of values that the rows of a block have in some columns, each once, and which of them each row has.
//!
//! Invariants
//! * Rows with the same texts have the same tuple, and no others; where values fall into buckets, the bucket is the text.
use crate::query::block::{Column, Shown};
use crate::query::value::bucket::Buckets;
use crate::query::value::timestamp::show_timestamp;
use rustc_hash::FxHashMap;

/// The tuples of a block.
pub(super) struct Tuples {
    columns: Vec<Keys>,
    /// The tuple of each row; nothing where all rows have the first.
    rows: Option<Vec<u32>>,
    /// Each as pairs of a column and the place of its text there; columns with one text in all rows are left out.
    tuples: Vec<Vec<u32>>,
}

impl Tuples {
    /// Of some columns, the values of some of which fall into buckets.
    pub(super) fn of<'b>(columns: impl Iterator<Item = (&'b Column, Option<Buckets>)>) -> Self {
        let columns: Vec<Keys> = columns.map(|(column, buckets)| Keys::of(column, buckets)).collect();
        let mut told: Option<(Vec<u32>, Vec<Vec<u32>>)> = None;
        for (at, keys) in (0u32..).zip(&columns) {
            let Some(rows) = &keys.rows else { continue };
            told = Some(match told {
                None => (rows.clone(), (0..keys.texts.len() as u32).map(|place| vec![at, place]).collect()),
                Some((before, tuples)) => join(&before, &tuples, rows, at),
            });
        }
        match told {
            Some((rows, tuples)) => Self { columns, rows: Some(rows), tuples },
            None => Self { columns, rows: None, tuples: vec![Vec::new()] },
        }
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
        let text = |(at, keys): (u32, &Keys)| keys.texts.get(place(at).unwrap_or(0) as usize).cloned();
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
    texts: Vec<String>,
    /// Nothing where all rows have the first.
    rows: Option<Vec<u32>>,
}

impl Keys {
    fn of(column: &Column, buckets: Option<Buckets>) -> Self {
        let place = |text: &str| buckets.map_or_else(|| text.to_string(), |buckets| buckets.place(text));
        let mut keys = Distinct::default();
        let rows = match column.shown() {
            Shown::Const(text) => return Self { texts: vec![place(text)], rows: None },
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
        if let [_] = keys.texts.as_slice() {
            return Self { texts: keys.texts, rows: None };
        }
        Self { texts: keys.texts, rows: Some(rows) }
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
#[derive(Default)]
struct Distinct {
    known: FxHashMap<String, u32>,
    texts: Vec<String>,
}

impl Distinct {
    fn text(&mut self, text: &str) -> u32 {
        if let Some(at) = self.known.get(text) {
            return *at;
        }
        let at = self.texts.len() as u32;
        self.known.insert(text.into(), at);
        self.texts.push(text.into());
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

    #[test]
    fn rows_are_told_apart_by_all_columns() {
        let a = Column::listed("a", ["x", "y"].into_iter().collect(), vec![0, 1, 0, 1]);
        let b = Column::ints("b", vec![5, 5, 7, 5]);
        let c = Column::constant("c", "k");
        let tuples = Tuples::of([&a, &c, &b].into_iter().map(|column| (column, None)));
        let rows = tuples.rows().unwrap();
        assert_eq!((rows[1], rows[0] == rows[2]), (rows[3], false));
        assert_eq!(tuples.values(rows[2] as usize), ["x", "k", "7"]);
        let alike = Tuples::of([(&c, None)].into_iter());
        assert!(alike.rows().is_none() && alike.values(0) == ["k"]);
    }
}
