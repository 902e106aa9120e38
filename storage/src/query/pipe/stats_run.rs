//! Runs `stats`: finds the group of each row, and lets its functions see it.
//!
//! Invariants
//! * Groups are given in the order in which they came.
//! * Without `by` there is one group, even of no rows.
//! * What groups hold is counted once, also when those of several threads are put together.
use super::condition::Condition;
use super::stats::Stats;
use super::tuples::Tuples;
use crate::error::Result;
use crate::query::bits::Bits;
use crate::query::block::{Block, BlockBuilder};
use crate::query::budget::{Held, Stop};
use crate::query::run::{Context, Flow, Sink, Stage};
use crate::query::stats::State;
use crate::query::value::bucket::Buckets;
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
    stop: Stop,
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
            stop: context.stop.clone(),
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
        drop(other.places);
        for group in other.groups {
            let key = key(&group.values);
            let Some(place) = self.places.get(key.as_str()).copied() else {
                // It moves with all that it holds.
                self.places.insert(key.into(), self.groups.len());
                self.groups.push(group);
                continue;
            };
            self.held.give_back(group_bytes(&key, &group));
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
        let (place, group) = (self.groups.len(), Group { values, states });
        self.held.add(group_bytes(&key, &group))?;
        self.places.insert(key.into(), place);
        self.groups.push(group);
        Ok(place)
    }

    /// The group of each row; nothing where all are of the same, which is then the other answer.
    fn places(&mut self, block: &Block) -> Result<(Option<Vec<u32>>, usize)> {
        let columns = self.pipe.by.iter().zip(&self.buckets);
        let columns = columns.map(|(by, buckets)| (block.column(&by.field), *buckets));
        let tuples = Tuples::of(columns, self.held.another())?;
        let Some(rows) = tuples.rows() else { return Ok((None, self.group(tuples.values(0))?)) };
        let mut known: Vec<Option<u32>> = vec![None; tuples.len()];
        let mut places = Vec::with_capacity(rows.len());
        for tuple in rows {
            let Some(known) = known.get_mut(*tuple as usize) else { continue };
            places.push(match *known {
                Some(place) => place,
                None => *known.insert(self.group(tuples.values(*tuple as usize))? as u32),
            });
        }
        Ok((Some(places), 0))
    }

    /// Lets a function see all rows, which are of one group.
    fn add_all(&mut self, i: usize, place: usize, block: &Block) -> Result<()> {
        let Some(named) = self.pipe.functions.get(i) else { return Ok(()) };
        let input = named.function.input(block);
        let Some(state) = self.groups.get_mut(place).and_then(|group| group.states.get_mut(i)) else { return Ok(()) };
        if state.add_unseen(&input, block.rows()) {
            return Ok(());
        }
        if let Some(ints) = input.only_ints()
            && state.add_ints(ints, &named.function, &mut self.held)?
        {
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
        let ints = input.only_ints();
        for row in rows.rows() {
            let group = places.get(row).and_then(|place| self.groups.get_mut(*place as usize));
            if let Some(state) = group.and_then(|group| group.states.get_mut(i)) {
                if let Some(value) = ints.and_then(|ints| ints.get(row))
                    && state.add_int(*value, &named.function, &mut self.held)?
                {
                    continue;
                }
                state.add(&named.function, &input, row, &mut self.held)?;
            }
        }
        Ok(())
    }
}

/// What a group takes whose states have seen nothing, about.
fn group_bytes(key: &str, group: &Group) -> usize {
    let states = group.states.iter().map(State::bytes).sum::<usize>();
    3 * key.len() + group.values.len() * size_of::<String>() + states + size_of::<Group>() + 48
}

fn key(values: &[String]) -> String {
    match values {
        [only] => only.clone(),
        many => many.iter().map(|value| format!("{}:{value}", value.len())).collect(),
    }
}

impl Stage for Grouper {
    fn push(&mut self, block: Block, _: &mut dyn Sink) -> Result<Flow> {
        if block.rows() == 0 {
            return Ok(Flow::More);
        }
        let conditions = Arc::clone(&self.conditions);
        let (places, only) = self.places(&block)?;
        for (i, condition) in conditions.iter().enumerate() {
            self.stop.check()?;
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
        let mut making = self.held.another();
        for (number, mut group) in std::mem::take(&mut self.groups).into_iter().enumerate() {
            if number.is_multiple_of(64) {
                self.stop.check()?;
            }
            for (by, value) in self.pipe.by.iter().zip(&group.values) {
                out.set(&by.field, value);
            }
            for (named, state) in self.pipe.functions.iter().zip(&mut group.states) {
                let result = state.result(&named.function, self.pipe.seconds(), &mut making)?;
                // It is there once more in the row.
                making.add(result.len())?;
                out.set(&named.result, &result);
            }
            out.end_row();
            if out.is_full() {
                if next.take(out.take())? == Flow::Enough {
                    return Ok(());
                }
                making = self.held.another();
            }
        }
        next.take(out.take()).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::{least_memory, lines, rows};

    #[test]
    fn what_several_threads_hold_is_counted_once() {
        let line = |i: u64| format!("{{\"a\":\"{i:040}\",\"n\":\"{}\",\"g\":\"{}\"}}\n", i * 7_919, i % 3);
        let rows = rows(&(0..2_000).map(line).collect::<String>());
        for query in [
            "* | stats by (a) count() n",
            "* | stats by (a) histogram(n) h",
            "* | stats count_uniq(a) n",
            "* | stats count_uniq(a, n) n",
            "* | stats by (g) count_uniq(n) n",
            "* | stats count_uniq_hash(a) n",
            "* | stats by (g) quantile(0.9, a) q",
            "* | stats by (a) row_max(n, a) r",
            "* | top 3 by (a)",
            "* | uniq by (a) | stats count() n",
            "* | sort by (n) partition by (a) limit 1",
        ] {
            let (one, several) = (least_memory(query, &rows, 1), least_memory(query, &rows, 4));
            assert!(several <= one + one / 2, "{query}: {several}, and {one} in one");
        }
        assert_eq!(lines("* | stats count_uniq(a) n", &rows), [r#"{"n":"2000"}"#]);
    }

    #[test]
    fn values_that_all_threads_have_are_counted_once() {
        // Each piece has all values.
        let line = |i: u64| format!("{{\"a\":\"{:040}\",\"n\":\"{}\"}}\n", i % 500, i % 500 * 7_919);
        let rows = rows(&(0..2_000).map(line).collect::<String>());
        for query in [
            "* | stats by (a) count() n, min(a) m, row_any(n) r, row_min(n, a) s",
            "* | stats median(a) n, count_uniq(n) u",
            "* | uniq by (a)",
        ] {
            let (one, several) = (least_memory(query, &rows, 1), least_memory(query, &rows, 4));
            // While all threads have them they are there as often.
            assert!(several <= 4 * one, "{query}: {several}, and {one} in one");
        }
    }
}
