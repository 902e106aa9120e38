//! The first rows in an order, without keeping the others.
//!
//! Invariants
//! * At most twice as many rows are kept as are asked for, and some.
//! * Of equal rows those that came first stay.
use super::sort::Sort;
use crate::error::Result;
use crate::query::block::{Block, BlockBuilder};
use crate::query::budget::{Held, Stop};
use crate::query::run::{Context, Flow, Sink, Stage};
use crate::query::value::json::push_json_string;
use crate::query::value::order::{Ranked, merge_sort};
use std::cmp::Ordering as Order;
use std::collections::BTreeMap;

/// Rows kept beyond twice those that are asked for, so that few are not sorted all the time.
const SLACK: usize = 64;

/// What rows are ordered by.
pub(super) struct Ordering {
    by: Vec<(String, bool)>,
    falling: bool,
}

impl Ordering {
    pub(super) fn of(sort: &Sort) -> Self {
        let by = sort.by.iter().map(|(name, falling)| (name.clone(), *falling != sort.falling)).collect();
        Self { by, falling: sort.falling }
    }

    /// What a row is compared by.
    pub(super) fn keys(&self, block: &Block, row: usize) -> Vec<Ranked<String>> {
        if self.by.is_empty() {
            // In the order of their names, so that it does not depend on the columns' places.
            let mut fields: Vec<(&str, &str)> = block.row(row).collect();
            fields.sort_unstable();
            let mut whole = String::new();
            for (name, value) in fields {
                push_json_string(&mut whole, name, true);
                whole.push(':');
                push_json_string(&mut whole, value, true);
                whole.push(',');
            }
            return vec![Ranked::new(whole)];
        }
        self.by.iter().map(|(name, _)| Ranked::new(block.column(name).value(row).to_string())).collect()
    }

    /// Whether a row comes before another one.
    pub(super) fn less(&self, a: &[Ranked<String>], b: &[Ranked<String>]) -> bool {
        for (i, (a, b)) in a.iter().zip(b).enumerate() {
            let falling = self.by.get(i).map_or(self.falling, |(_, falling)| *falling);
            match if falling { b.order(a) } else { a.order(b) } {
                Order::Less => return true,
                Order::Greater => return false,
                Order::Equal => {}
            }
        }
        false
    }
}

struct Row {
    keys: Vec<Ranked<String>>,
    fields: Vec<(String, String)>,
    bytes: usize,
}

#[derive(Default)]
struct Group {
    rows: Vec<Row>,
    /// How many of them are in order, and are all that may stay.
    sorted: usize,
}

/// The stage.
pub(crate) struct TopRows {
    pipe: Sort,
    ordering: Ordering,
    wanted: usize,
    groups: BTreeMap<Vec<String>, Group>,
    held: Held,
    stop: Stop,
}

impl TopRows {
    pub(super) fn new(pipe: &Sort, context: &Context<'_>) -> Self {
        let wanted = usize::try_from(pipe.offset.saturating_add(pipe.limit)).unwrap_or(usize::MAX);
        Self {
            pipe: pipe.clone(),
            ordering: Ordering::of(pipe),
            wanted,
            groups: BTreeMap::new(),
            held: context.memory.hold("sort"),
            stop: context.stop.clone(),
        }
    }

    /// One that has seen nothing.
    pub(super) fn fork(&self, context: &Context<'_>) -> Self {
        Self::new(&self.pipe, context)
    }

    /// Takes what another one has seen.
    pub(super) fn merge(&mut self, other: Self) {
        self.held.join(other.held);
        for (key, mut group) in other.groups {
            if self.groups.contains_key(&key) {
                self.held.give_back(key_bytes(&key));
            }
            let own = self.groups.entry(key).or_default();
            own.sorted = 0;
            own.rows.append(&mut group.rows);
            prune(own, &self.ordering, self.wanted, &mut self.held);
        }
    }

    fn add(&mut self, block: &Block, row: usize) -> Result<()> {
        let key: Vec<String> = self.pipe.partition_by.iter().map(|name| block.column(name).value(row).into()).collect();
        let keys = self.ordering.keys(block, row);
        let group = match self.groups.get_mut(&key) {
            Some(group) => group,
            None => {
                self.held.add(key_bytes(&key))?;
                self.groups.entry(key).or_default()
            }
        };
        let worst = (group.sorted >= self.wanted).then(|| group.rows.get(group.sorted - 1)).flatten();
        if worst.is_some_and(|worst| !self.ordering.less(&keys, &worst.keys)) {
            return Ok(());
        }
        let fields: Vec<(String, String)> = block.row(row).map(|(n, v)| (n.to_string(), v.to_string())).collect();
        let text = |total: usize, (name, value): &(String, String)| total + name.len() + value.len() + 48;
        let bytes = fields.iter().fold(size_of::<Row>(), text)
            + keys.iter().map(|key| key.text.len() + size_of::<Ranked<String>>()).sum::<usize>();
        self.held.add(bytes)?;
        group.rows.push(Row { keys, fields, bytes });
        if group.rows.len() >= self.wanted.saturating_mul(2).saturating_add(SLACK) {
            prune(group, &self.ordering, self.wanted, &mut self.held);
        }
        Ok(())
    }
}

/// What a group takes beside its rows.
fn key_bytes(key: &[String]) -> usize {
    key.iter().map(|part| part.len() + size_of::<String>()).sum::<usize>() + size_of::<Group>()
}

/// Puts the rows of a group in order and drops those that are too many.
fn prune(group: &mut Group, ordering: &Ordering, wanted: usize, held: &mut Held) {
    let mut order: Vec<usize> = (0..group.rows.len()).collect();
    let rows = &group.rows;
    merge_sort(&mut order, &mut |a, b| {
        rows.get(a).zip(rows.get(b)).is_some_and(|(a, b)| ordering.less(&a.keys, &b.keys))
    });
    let mut left: Vec<Option<Row>> = std::mem::take(&mut group.rows).into_iter().map(Some).collect();
    let kept = order.iter().take(wanted).filter_map(|at| left.get_mut(*at).and_then(Option::take));
    group.rows = kept.collect();
    group.sorted = group.rows.len();
    held.give_back(left.iter().flatten().map(|row| row.bytes).sum());
}

impl Stage for TopRows {
    fn push(&mut self, block: Block, _: &mut dyn Sink) -> Result<Flow> {
        for row in 0..block.rows() {
            self.add(&block, row)?;
        }
        Ok(Flow::More)
    }

    fn finish(&mut self, next: &mut dyn Sink) -> Result<()> {
        let mut out = BlockBuilder::default();
        let offset = usize::try_from(self.pipe.offset).unwrap_or(usize::MAX);
        for mut group in std::mem::take(&mut self.groups).into_values() {
            self.stop.check()?;
            prune(&mut group, &self.ordering, self.wanted, &mut self.held);
            for (place, row) in group.rows.iter().enumerate().skip(offset) {
                row.fields.iter().for_each(|(name, value)| out.set(name, value));
                if let Some(rank) = &self.pipe.rank {
                    out.set(rank, &(place + 1).to_string());
                }
                out.end_row();
                if out.is_full() && next.take(out.take())? == Flow::Enough {
                    return Ok(());
                }
            }
        }
        next.take(out.take()).map(|_| ())
    }
}
