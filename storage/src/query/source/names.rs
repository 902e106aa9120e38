//! Which fields rows have and how many have each, for a query that asks for nothing else.
//!
//! Invariants
//! * A column is read only where neither a batch nor a block says of itself how many of its values are no empty texts.
use super::columns::text_column;
use super::faces::{SEVERITY, made};
use super::{Plan, Stored};
use crate::error::Result;
use crate::query::block::{Block, Column};
use crate::query::needed::Needed;
use crate::query::run::{Flow, Request, Sink};
use crate::scan::columns::{Lane, View};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// What a name takes in memory beside its text, about.
const NAME_BYTES: usize = 96;

type Names = BTreeMap<String, usize>;

impl Stored<'_> {
    /// Hands on, for each field of the rows that pass, so many rows that have it.
    pub(super) fn names(&self, request: &Request<'_>, plan: &Plan<'_>, sink: &mut dyn Sink) -> Result<Flow> {
        self.tell(request, plan, "counted by field, as far as blocks say it of themselves");
        let held = self.counters.held();
        let fold = |names: &mut Names, view: &View<'_>| {
            request.stop.check()?;
            let before = names.len();
            let bytes = |names: &Names| names.keys().map(|name| name.len() + NAME_BYTES).sum::<usize>();
            let bytes_before = bytes(names);
            self.count_names(view, names)?;
            if names.len() > before {
                held.add(bytes(names) - bytes_before)?;
            }
            Ok(ControlFlow::Continue(()))
        };
        for (name, rows) in self.snapshot.fold(&plan.search, self.counters, &Names::new, &fold)?.into_iter().flatten() {
            if rows > 0 && sink.take(Block::with_columns(rows, vec![Column::constant(&name, "1")]))? == Flow::Enough {
                return Ok(Flow::Enough);
            }
        }
        Ok(Flow::More)
    }

    fn count_names(&self, view: &View<'_>, names: &mut Names) -> Result<()> {
        let mut add = |name: &str, rows: usize| match names.get_mut(name) {
            Some(known) => *known += rows,
            None => {
                names.insert(name.into(), rows);
            }
        };
        // All are there in every row, but for streams of no field, which may be.
        for name in self.made.iter().filter(|name| **name != SEVERITY) {
            let rows = if *name == "_stream" { filled(&made(view, &only(name))?, view.len()) } else { view.len() };
            add(name, rows);
        }
        let mut lanes: FxHashMap<&str, Vec<Lane<'_>>> = FxHashMap::default();
        for lane in view.lanes() {
            lanes.entry(&lane.field().name).or_default().push(lane);
        }
        for (name, lanes) in lanes.into_iter().filter(|(name, _)| !self.made.contains(name)) {
            // Two types of one field have no row in common; two fields of one name may.
            let is_one = lanes.windows(2).all(|pair| matches!(pair, [a, b] if a.field() == b.field()));
            let rows = match if is_one { sum(&lanes, view)? } else { None } {
                Some(rows) => rows,
                None => {
                    let (column, held) = (text_column(view, name)?, self.counters.held());
                    held.add(column.bytes())?;
                    filled(&[column], view.len())
                }
            };
            add(name, rows);
        }
        Ok(())
    }
}

fn only(name: &str) -> Needed {
    let mut needed = Needed::none();
    needed.add(name);
    needed
}

/// How many rows have a text in lanes that have none in common, where that is known.
fn sum(lanes: &[Lane<'_>], view: &View<'_>) -> Result<Option<usize>> {
    let mut all = 0;
    for lane in lanes {
        let Some(rows) = view.filled(*lane)? else { return Ok(None) };
        all += rows;
    }
    Ok(Some(all))
}

/// How many rows have a text in the first of some columns.
fn filled(columns: &[Column], rows: usize) -> usize {
    let Some(column) = columns.first() else { return 0 };
    (0..rows).filter(|row| !column.value(*row).is_empty()).count()
}
