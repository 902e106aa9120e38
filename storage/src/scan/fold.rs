//! Views of a search, folded by several threads at once or handed on in their order.
//!
//! Invariants
//! * Views are handed on newest first, however their rows were found, and none once the taker has enough.
//! * Of what is found ahead no more is kept than rows of [`AHEAD_MAX`] parts, or what was made of few of them.
use super::columns::{Sieve, View};
use super::crew::Flow;
use super::part::Part;
use super::{Place, Search, Snapshot, Tables};
use crate::error::Result;
use crate::segment::{Counters, add};

/// Parts whose rows are found before the first of them is handed on: of the first ones, and then at most.
const AHEAD_FIRST: usize = 8;
const AHEAD_MAX: usize = 32;

/// Of the rows that are handed on at once, the part up to which they are read as soon as they are found.
const MADE_SHARE: usize = 8;

/// What was found ahead: rows, or what was made of them.
enum Ahead<T> {
    Rows(Vec<usize>),
    Made(T),
}

impl Snapshot {
    /// Folds the views of a search, newest first and several at once, until one is enough, and gives what each thread has made.
    pub(crate) fn fold<S: Send>(
        &self,
        search: &Search,
        counters: &Counters,
        fresh: &(dyn Fn() -> S + Sync),
        fold: &(dyn Fn(&mut S, &View<'_>) -> Result<Flow> + Sync),
    ) -> Result<Vec<S>> {
        let (tables, spots) = (Tables::new(self, &search.filter, counters), self.spots(search, counters)?);
        add(&counters.blocks_considered, spots.len() as u64);
        let look = |state: &mut S, number: usize| {
            let Some(spot) = spots.get(number) else { return Ok(Flow::Break(())) };
            let folded = self.with_part(spot.place, counters, |part| {
                let set = self.select(search, spot, part, tables.of(spot.place))?;
                if set.is_empty() {
                    return Ok(Flow::Continue(()));
                }
                add(&counters.blocks_read, 1);
                fold(state, &View::of(part, &set, spot.place))
            })?;
            Ok(folded.unwrap_or(Flow::Continue(())))
        };
        self.crew.work(spots.len(), 1, fresh, &look)
    }

    /// Calls `take` with what is made of the views of a search, one after another, newest first and at most so many rows in
    /// each, until it has enough. Which rows pass is found ahead, by several threads, and where these are few, so is what is
    /// made of them.
    pub(crate) fn stream<T: Send>(
        &self,
        search: &Search,
        sieve: Option<&Sieve<'_>>,
        rows_max: usize,
        counters: &Counters,
        make: &(dyn Fn(&View<'_>) -> Result<T> + Sync),
        take: &mut dyn FnMut(T) -> Result<Flow>,
    ) -> Result<()> {
        let (tables, spots) = (Tables::new(self, &search.filter, counters), self.spots(search, counters)?);
        add(&counters.blocks_considered, spots.len() as u64);
        let (mut from, mut ahead) = (0, AHEAD_FIRST);
        while from < spots.len() {
            let window = spots.get(from..spots.len().min(from + ahead)).unwrap_or_default();
            (from, ahead) = (from + window.len(), (ahead * 4).min(AHEAD_MAX));
            let look = |found: &mut Vec<(usize, Ahead<T>)>, number: usize| {
                let Some(spot) = window.get(number) else { return Ok(Flow::Break(())) };
                let looked = self.with_part(spot.place, counters, |part| {
                    let mut rows = self.select(search, spot, part, tables.of(spot.place))?.listed();
                    if let Some(sieve) = sieve.filter(|_| !rows.is_empty()) {
                        rows = View::new(part, rows, spot.place).sifted(sieve)?;
                    }
                    if rows.is_empty() {
                        return Ok(None);
                    }
                    add(&counters.blocks_read, 1);
                    if rows.len() > rows_max / MADE_SHARE {
                        return Ok(Some(Ahead::Rows(rows)));
                    }
                    make(&View::new(part, rows, spot.place)).map(|made| Some(Ahead::Made(made)))
                })?;
                found.extend(looked.flatten().map(|ahead| (number, ahead)));
                Ok(Flow::Continue(()))
            };
            let found = self.crew.work(window.len(), 1, &Vec::new, &look)?;
            let mut found: Vec<(usize, Ahead<T>)> = found.into_iter().flatten().collect();
            found.sort_by_key(|(number, _)| *number);
            for (number, ahead) in found {
                let rows = match ahead {
                    Ahead::Made(made) => {
                        if take(made)?.is_break() {
                            return Ok(());
                        }
                        continue;
                    }
                    Ahead::Rows(rows) => rows,
                };
                let Some(spot) = window.get(number) else { continue };
                for piece in rows.chunks(rows_max) {
                    let made = |part: &Part<'_>| make(&View::new(part, piece.to_vec(), spot.place));
                    let Some(made) = self.with_part(spot.place, counters, made)? else { continue };
                    if take(made)?.is_break() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Calls `take` with a view of some rows of one part, ascending.
    pub(crate) fn view_of(
        &self,
        place: Place,
        rows: Vec<usize>,
        counters: &Counters,
        take: &mut dyn FnMut(&View<'_>) -> Result<()>,
    ) -> Result<()> {
        self.with_part(place, counters, |part| take(&View::new(part, rows, place))).map(drop)
    }
}
