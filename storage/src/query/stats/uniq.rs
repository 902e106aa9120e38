//! `count_uniq`, `count_uniq_hash` and `uniq_values`: different values that are not empty.
use super::Input;
use crate::error::Result;
use crate::query::budget::Held;
use crate::query::value::hash::xxh64;
use crate::query::value::json::show_array;
use crate::query::value::order::{Ranked, merge_sort};
use rustc_hash::FxHashSet;

/// What a set takes for each member, about.
const MEMBER_BYTES: usize = 2 * size_of::<String>();

/// The values of a row as one text, if any of them is not empty.
fn tuple(input: &Input<'_>, row: usize) -> Option<String> {
    match input.columns.as_slice() {
        [only] => Some(only.value(row).to_string()).filter(|value| !value.is_empty()),
        many => {
            let mut key = String::new();
            let mut any = false;
            for column in many {
                let value = column.value(row);
                any |= !value.is_empty();
                key.push_str(&format!("{}:", value.len()));
                key.push_str(value);
            }
            any.then_some(key)
        }
    }
}

fn is_full(len: usize, limit: u64) -> bool {
    limit > 0 && len as u64 > limit
}

/// Different values.
#[derive(Default)]
pub(crate) struct Uniq {
    values: FxHashSet<String>,
}

impl Uniq {
    pub(super) fn add(&mut self, value: &str, limit: u64, held: &mut Held) -> Result<()> {
        if value.is_empty() || is_full(self.values.len(), limit) || self.values.contains(value) {
            return Ok(());
        }
        held.add(value.len() + MEMBER_BYTES)?;
        self.values.insert(value.into());
        Ok(())
    }

    pub(super) fn add_tuple(&mut self, input: &Input<'_>, row: usize, limit: u64, held: &mut Held) -> Result<()> {
        match tuple(input, row) {
            Some(key) => self.add(&key, limit, held),
            None => Ok(()),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// The values in their order.
    pub(super) fn result(&self, limit: u64) -> String {
        let mut ranked: Vec<Ranked<&str>> = self.values.iter().map(|value| Ranked::new(value.as_str())).collect();
        // Sets have no order; values that are equal as numbers would come in any.
        ranked.sort_unstable_by_key(|ranked| ranked.text);
        let mut order: Vec<usize> = (0..ranked.len()).collect();
        merge_sort(&mut order, &mut |a, b| ranked.get(a).zip(ranked.get(b)).is_some_and(|(a, b)| a.less(b)));
        let kept = if limit == 0 { usize::MAX } else { usize::try_from(limit).unwrap_or(usize::MAX) };
        show_array(order.iter().take(kept).filter_map(|at| ranked.get(*at)).map(|ranked| ranked.text))
    }
}

/// Different hashes of values.
#[derive(Default)]
pub(crate) struct Hashes {
    hashes: FxHashSet<u64>,
}

impl Hashes {
    pub(super) fn add_tuple(&mut self, input: &Input<'_>, row: usize, limit: u64, held: &mut Held) -> Result<()> {
        let Some(key) = tuple(input, row).filter(|_| !is_full(self.hashes.len(), limit)) else { return Ok(()) };
        if self.hashes.insert(xxh64(key.as_bytes())) {
            held.add(2 * size_of::<u64>())?;
        }
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check;

    #[test]
    fn empty_values_do_not_count() {
        check(
            "count_uniq(a) x, count_uniq(a, b) y, count_uniq(a) limit 1 z, count_uniq_hash(a, b) h, uniq_values(a, b) v, uniq_values(a) limit 1 w",
            r#"{"a":"10","b":"q"}
{"a":"9"}
{"a":"9","b":"q"}
{"b":"q"}
{"z":"1"}"#,
            r#"{"x":"2","y":"4","z":"1","h":"4","v":"[\"9\",\"10\",\"q\"]","w":"[\"9\"]"}"#,
        );
    }
}
