//! How often each value, or tuple of values, came.
//!
//! Invariants
//! * A tuple is counted to the query's memory before it is kept. Empty texts are values like others.
//! * Of a block, tuples are taken in the order of their first rows, so that a limit leaves those that came first.
use super::tuples::Tuples;
use crate::error::Result;
use crate::query::block::Block;
use crate::query::budget::Held;
use rustc_hash::FxHashMap;

/// What an entry takes besides its text, about.
const ENTRY_BYTES: usize = 96;

/// Values and their hits, in the order they came.
pub(super) struct Tally {
    places: FxHashMap<Box<str>, usize>,
    entries: Vec<(Vec<String>, u64)>,
    held: Held,
    key: String,
}

impl Tally {
    pub(super) fn new(held: Held) -> Self {
        Self { places: FxHashMap::default(), entries: Vec::new(), held, key: String::new() }
    }

    /// Counts every row of some columns. Says no once there would be more entries than a limit; 0 is none.
    pub(super) fn add_block(&mut self, block: &Block, fields: &[String], limit: u64) -> Result<bool> {
        if block.rows() == 0 {
            return Ok(true);
        }
        let columns = fields.iter().map(|name| (block.column(name), None));
        let tuples = Tuples::of(columns, self.held.another())?;
        let Some(rows) = tuples.rows() else { return self.add(tuples.values(0), block.rows() as u64, limit) };
        let mut hits = vec![0u64; tuples.len()];
        let mut order = Vec::new();
        for tuple in rows {
            let Some(hits) = hits.get_mut(*tuple as usize) else { continue };
            if *hits == 0 {
                order.push(*tuple);
            }
            *hits += 1;
        }
        for tuple in order {
            let hits = hits.get(tuple as usize).copied().unwrap_or(0);
            if !self.add(tuples.values(tuple as usize), hits, limit)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn add(&mut self, values: Vec<String>, hits: u64, limit: u64) -> Result<bool> {
        self.set_key(&values);
        self.add_keyed(values, hits, limit)
    }

    fn set_key(&mut self, values: &[String]) {
        self.key.clear();
        for value in values {
            if values.len() > 1 {
                self.key.push_str(&format!("{}:", value.len()));
            }
            self.key.push_str(value);
        }
    }

    /// What an entry of the key takes.
    fn entry_bytes(&self, values: usize) -> usize {
        2 * self.key.len() + values * size_of::<String>() + ENTRY_BYTES
    }

    /// Adds an entry of which the key is that of the values.
    fn add_keyed(&mut self, values: Vec<String>, hits: u64, limit: u64) -> Result<bool> {
        if let Some(place) = self.places.get(self.key.as_str()) {
            if let Some(entry) = self.entries.get_mut(*place) {
                entry.1 += hits;
            }
            return Ok(true);
        }
        if limit > 0 && self.entries.len() as u64 >= limit {
            return Ok(false);
        }
        self.held.add(self.entry_bytes(values.len()))?;
        self.places.insert(self.key.as_str().into(), self.entries.len());
        self.entries.push((values, hits));
        Ok(true)
    }

    /// Takes what another one has counted. Says no once there would be more entries than a limit.
    pub(super) fn merge(&mut self, other: Self, limit: u64) -> Result<bool> {
        self.held.join(other.held);
        if self.entries.is_empty() {
            (self.places, self.entries) = (other.places, other.entries);
            return Ok(true);
        }
        drop(other.places);
        for (values, hits) in other.entries {
            // It moves, and is counted anew where it stays.
            self.set_key(&values);
            self.held.give_back(self.entry_bytes(values.len()));
            if !self.add_keyed(values, hits, limit)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The entries; the tally begins anew.
    pub(super) fn take(&mut self) -> Vec<(Vec<String>, u64)> {
        self.places.clear();
        std::mem::take(&mut self.entries)
    }

    /// The entries with the most hits, at most so many; of equal ones those with the least values.
    pub(super) fn take_top(&mut self, limit: u64) -> Vec<(Vec<String>, u64)> {
        let mut entries = self.take();
        entries.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        entries.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        entries
    }
}

/// A name that no field has: with as many `s` at its end as that takes.
pub(super) fn free_name(name: &str, fields: &[String]) -> String {
    let mut name = name.to_string();
    while fields.contains(&name) {
        name.push('s');
    }
    name
}
