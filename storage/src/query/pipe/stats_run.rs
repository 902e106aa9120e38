//! Runs `stats`: finds the group of each row, and lets its functions see it.
//!
//! Invariants
//! * Groups are given in the order in which they came.
//! * Without `by` there is one group, even of no rows.
use super::condition::Condition;
use super::stats::Stats;
use crate::error::Result;
use crate::query::bits::Bits;
use crate::query::block::{Block, BlockBuilder, Column};
use crate::query::budget::Held;
use crate::query::run::{Context, Flow, Sink, Stage};
use crate::query::stats::{Input, State};
use crate::query::value::bucket::Buckets;
use rustc_hash::FxHashMap;

struct Group {
    values: Vec<String>,
    states: Vec<State>,
}

/// The stage.
pub(super) struct Grouper {
    pipe: Stats,
    buckets: Vec<Option<Buckets>>,
    conditions: Vec<Condition>,
    places: FxHashMap<Box<str>, usize>,
    groups: Vec<Group>,
    held: Held,
}

impl Grouper {
    pub(super) fn new(pipe: &Stats, context: &Context<'_>) -> Result<Self> {
        let conditions = pipe.functions.iter().map(|named| Condition::prepare(named.condition.as_ref(), context));
        let mut grouper = Self {
            buckets: pipe.by.iter().map(|by| by.buckets()).collect(),
            conditions: conditions.collect::<Result<_>>()?,
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

    /// The group of each row.
    fn places(&mut self, block: &Block) -> Result<Vec<usize>> {
        let keys = self.pipe.by.iter().zip(&self.buckets);
        let mut columns: Vec<Keys<'_>> =
            keys.map(|(by, buckets)| Keys::new(block.column(&by.field), *buckets)).collect();
        let mut places = Vec::with_capacity(block.rows());
        let mut last: Option<usize> = None;
        for row in 0..block.rows() {
            // All columns are asked, so that each knows the row before the next one.
            let changed = columns.iter_mut().fold(false, |changed, keys| keys.changes(row) | changed);
            let place = match last.filter(|_| !changed) {
                Some(place) => place,
                None => self.group(columns.iter().map(|keys| keys.value.clone()).collect())?,
            };
            last = Some(place);
            places.push(place);
        }
        Ok(places)
    }
}

fn key(values: &[String]) -> String {
    match values {
        [only] => only.clone(),
        many => many.iter().map(|value| format!("{}:{value}", value.len())).collect(),
    }
}

/// The keys that a column gives, row by row.
struct Keys<'b> {
    column: &'b Column,
    buckets: Option<Buckets>,
    raw: Option<&'b str>,
    value: String,
}

impl<'b> Keys<'b> {
    fn new(column: &'b Column, buckets: Option<Buckets>) -> Self {
        Self { column, buckets, raw: None, value: String::new() }
    }

    /// Whether the key of a row is another one than before.
    fn changes(&mut self, row: usize) -> bool {
        let raw = self.column.value(row);
        if self.raw == Some(raw) {
            return false;
        }
        let first = self.raw.is_none();
        self.raw = Some(raw);
        let value = self.buckets.map_or_else(|| raw.to_string(), |buckets| buckets.place(raw));
        let changed = first || value != self.value;
        self.value = value;
        changed
    }
}

impl Stage for Grouper {
    fn push(&mut self, block: Block, _: &mut dyn Sink) -> Result<Flow> {
        let rows: Vec<Bits> = self.conditions.iter().map(|condition| condition.rows(&block)).collect();
        let places = self.places(&block)?;
        let one_group = places.iter().all(|place| places.first() == Some(place));
        for (i, (named, rows)) in self.pipe.functions.iter().zip(&rows).enumerate() {
            let input: Input<'_> = named.function.input(&block);
            if one_group {
                let first = places.first().and_then(|place| self.groups.get_mut(*place));
                let state = first.and_then(|group| group.states.get_mut(i));
                if state.is_some_and(|state| state.add_unseen(&input, rows.count())) {
                    continue;
                }
            }
            for row in rows.rows() {
                let group = places.get(row).and_then(|place| self.groups.get_mut(*place));
                if let Some(state) = group.and_then(|group| group.states.get_mut(i)) {
                    state.add(&named.function, &input, row, &mut self.held)?;
                }
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
