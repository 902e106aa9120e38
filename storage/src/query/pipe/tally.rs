//! How often each value, or tuple of values, came.
use crate::error::Result;
use crate::query::block::{Block, Column};
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
        let columns: Vec<&Column> = fields.iter().map(|name| block.column(name)).collect();
        let mut last: Option<usize> = None;
        for row in 0..block.rows() {
            let same = row > 0 && columns.iter().all(|column| column.value(row) == column.value(row - 1));
            match last.filter(|_| same).and_then(|place| self.entries.get_mut(place)) {
                Some(entry) => entry.1 += 1,
                None => match self.add(&columns, row, limit)? {
                    Some(place) => last = Some(place),
                    None => return Ok(false),
                },
            }
        }
        Ok(true)
    }

    fn add(&mut self, columns: &[&Column], row: usize, limit: u64) -> Result<Option<usize>> {
        self.key.clear();
        for column in columns {
            let value = column.value(row);
            if columns.len() > 1 {
                self.key.push_str(&format!("{}:", value.len()));
            }
            self.key.push_str(value);
        }
        if let Some(place) = self.places.get(self.key.as_str()) {
            if let Some(entry) = self.entries.get_mut(*place) {
                entry.1 += 1;
            }
            return Ok(Some(*place));
        }
        if limit > 0 && self.entries.len() as u64 >= limit {
            return Ok(None);
        }
        self.held.add(2 * self.key.len() + columns.len() * size_of::<String>() + ENTRY_BYTES)?;
        let place = self.entries.len();
        self.places.insert(self.key.as_str().into(), place);
        self.entries.push((columns.iter().map(|column| column.value(row).to_string()).collect(), 1));
        Ok(Some(place))
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
