//! Runs `stats`: finds the group of each row, and lets its functions see it.
//!
//! Invariants
//! * Groups are given in the order in which they came.
//! * Without `by` there is one group, even of no rows.
use super::condition::Condition;
use super::stats::Stats;
use crate::error::Result;
use crate::query::bits::Bits;
use crate::query::block::{Block, BlockBuilder, Column, Shown};
use crate::query::budget::Held;
use crate::query::run::{Context, Flow, Sink, Stage};
use crate::query::stats::State;
use crate::query::value::bucket::Buckets;
use crate::query::value::timestamp::show_timestamp;
use rustc_hash::FxHashMap;
use std::sync::Arc;

struct Group {
    values: Vec<String>,
    states: Vec<State>,
}

/// The stage.
pub(crate) struct Grouper {
    pipe: Stats,
    buckets: Vec<Option<Buckets>>,
    conditions: Arc<[Condition]>,
    places: FxHashMap<Box<str>, usize>,
    groups: Vec<Group>,
    held: Held,
}

impl Grouper {
    pub(super) fn new(pipe: &Stats, context: &Context<'_>) -> Result<Self> {
        let conditions = pipe.functions.iter().map(|named| Condition::prepare(named.condition.as_ref(), context));
        Self::with(pipe, conditions.collect::<Result<_>>()?, context)
    }

    fn with(pipe: &Stats, conditions: Arc<[Condition]>, context: &Context<'_>) -> Result<Self> {
        let mut grouper = Self {
            buckets: pipe.by.iter().map(|by| by.buckets()).collect(),
            conditions,
            places: FxHashMap::default(),
            groups: Vec::new(),
            held: context.memory.hold("stats"),
            pipe: pipe.clone(),
        };
        if pipe.by.is_empty() {
            grouper.group(Vec::new())?;
        }
        Ok(grouper)
    }

    /// One that has seen nothing.
    pub(super) fn fork(&self, context: &Context<'_>) -> Result<Self> {
        Self::with(&self.pipe, Arc::clone(&self.conditions), context)
    }

    /// Takes what another one has seen.
    pub(super) fn merge(&mut self, other: Self) -> Result<()> {
        self.held.join(other.held);
        for group in other.groups {
            let place = self.group(group.values)?;
            let Some(own) = self.groups.get_mut(place) else { continue };
            for ((named, own), state) in self.pipe.functions.iter().zip(&mut own.states).zip(group.states) {
                own.merge(&named.function, state, &mut self.held)?;
            }
        }
        Ok(())
    }

    /// The place of the group of some values.
    fn group(&mut self, values: Vec<String>) -> Result<usize> {
        let key = key(&values);
        if let Some(place) = self.places.get(key.as_str()) {
            return Ok(*place);
        }
        let states: Vec<State> = self.pipe.functions.iter().map(|named| named.function.state()).collect();
        let bytes = 3 * key.len() + values.len() * size_of::<String>() + states.len() * size_of::<State>();
        self.held.add(bytes + size_of::<Group>() + 48)?;
        let place = self.groups.len();
        self.places.insert(key.into(), place);
        self.groups.push(Group { values, states });
        Ok(place)
    }

    /// The group of each row; nothing where all are of the same, which is then the other answer.
    fn places(&mut self, block: &Block) -> Result<(Option<Vec<u32>>, usize)> {
        let keys: Vec<Keys> =
            self.pipe.by.iter().zip(&self.buckets).map(|(by, b)| Keys::of(block.column(&by.field), *b)).collect();
        // Columns with one key say nothing of which rows are together.
        let mut together: Option<(Vec<u32>, Vec<Vec<u32>>)> = None;
        for (at, of) in keys.iter().enumerate() {
            let Some(rows) = &of.rows else { continue };
            together = Some(match together {
                None => (rows.clone(), (0..of.texts.len() as u32).map(|place| vec![at as u32, place]).collect()),
                Some((rows_before, tuples)) => join(&rows_before, &tuples, rows, at as u32),
            });
        }
        let values = |tuple: &[u32]| -> Vec<String> {
            let place =
                |at: usize| tuple.chunks_exact(2).find(|pair| pair.first() == Some(&(at as u32)))?.get(1).copied();
            let text = |(at, of): (usize, &Keys)| of.texts.get(place(at).unwrap_or(0) as usize).cloned();
            keys.iter().enumerate().map(|pair| text(pair).unwrap_or_default()).collect()
        };
        let Some((mut rows, tuples)) = together else {
            return Ok((None, self.group(values(&[]))?));
        };
        // Only what rows have is a group.
        let mut places: Vec<Option<u32>> = vec![None; tuples.len()];
        for row in &mut rows {
            let Some(place) = places.get_mut(*row as usize) else { continue };
            let known = match *place {
                Some(known) => known,
                None => {
                    let tuple = tuples.get(*row as usize).map(Vec::as_slice).unwrap_or_default();
                    *place.insert(self.group(values(tuple))? as u32)
                }
            };
            *row = known;
        }
        Ok((Some(rows), 0))
    }

    /// Lets a function see all rows, which are of one group.
    fn add_all(&mut self, i: usize, place: usize, block: &Block) -> Result<()> {
        let Some(named) = self.pipe.functions.get(i) else { return Ok(()) };
        let input = named.function.input(block);
        let Some(state) = self.groups.get_mut(place).and_then(|group| group.states.get_mut(i)) else { return Ok(()) };
        if state.add_unseen(&input, block.rows()) {
            return Ok(());
        }
        (0..block.rows()).try_for_each(|row| state.add(&named.function, &input, row, &mut self.held))
    }

    /// Lets a function see rows that are of one group.
    fn add_to_one(&mut self, i: usize, place: usize, block: &Block, rows: &Bits) -> Result<()> {
        let Some(named) = self.pipe.functions.get(i) else { return Ok(()) };
        let input = named.function.input(block);
        let Some(state) = self.groups.get_mut(place).and_then(|group| group.states.get_mut(i)) else { return Ok(()) };
        if state.add_unseen(&input, rows.count()) {
            return Ok(());
        }
        rows.rows().try_for_each(|row| state.add(&named.function, &input, row, &mut self.held))
    }

    /// Lets a function see rows that are of several groups.
    fn add_to_groups(&mut self, i: usize, block: &Block, rows: &Bits, places: &[u32]) -> Result<()> {
        let Some(named) = self.pipe.functions.get(i) else { return Ok(()) };
        let input = named.function.input(block);
        let is_unseen = self.groups.first_mut().and_then(|group| group.states.get_mut(i));
        if is_unseen.is_some_and(|state| state.add_unseen(&input, 0)) {
            let mut counts = vec![0usize; self.groups.len()];
            if rows.is_full() {
                for place in places {
                    if let Some(count) = counts.get_mut(*place as usize) {
                        *count += 1;
                    }
                }
            } else {
                for place in rows.rows().filter_map(|row| places.get(row)) {
                    if let Some(count) = counts.get_mut(*place as usize) {
                        *count += 1;
                    }
                }
            }
            for (group, count) in self.groups.iter_mut().zip(counts).filter(|(_, count)| *count > 0) {
                if let Some(state) = group.states.get_mut(i) {
                    state.add_unseen(&input, count);
                }
            }
            return Ok(());
        }
        for row in rows.rows() {
            let group = places.get(row).and_then(|place| self.groups.get_mut(*place as usize));
            if let Some(state) = group.and_then(|group| group.states.get_mut(i)) {
                state.add(&named.function, &input, row, &mut self.held)?;
            }
        }
        Ok(())
    }
}

fn key(values: &[String]) -> String {
    match values {
        [only] => only.clone(),
        many => many.iter().map(|value| format!("{}:{value}", value.len())).collect(),
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

impl Stage for Grouper {
    fn push(&mut self, block: Block, _: &mut dyn Sink) -> Result<Flow> {
        let conditions = Arc::clone(&self.conditions);
        let (places, only) = self.places(&block)?;
        for (i, condition) in conditions.iter().enumerate() {
            if places.is_none() && condition.is_none() {
                self.add_all(i, only, &block)?;
                continue;
            }
            let rows = condition.rows(&block);
            match &places {
                Some(places) => self.add_to_groups(i, &block, &rows, places)?,
                None => self.add_to_one(i, only, &block, &rows)?,
            }
        }
        Ok(Flow::More)
    }

    fn finish(&mut self, next: &mut dyn Sink) -> Result<()> {
        let mut out = BlockBuilder::default();
        for mut group in std::mem::take(&mut self.groups) {
            for (by, value) in self.pipe.by.iter().zip(&group.values) {
                out.set(&by.field, value);
            }
            for (named, state) in self.pipe.functions.iter().zip(&mut group.states) {
                out.set(&named.result, &state.result(&named.function, self.pipe.seconds()));
            }
            out.end_row();
            if out.is_full() && next.take(out.take())? == Flow::Enough {
                return Ok(());
            }
        }
        next.take(out.take()).map(|_| ())
    }
}
