//! Rows on their way out of the engine, to be kept in another form: which there are, and what each was sent in.
//!
//! Invariants
//! * What is asked for by numbers is all there is of them once they were seen: see [`crate::scan::Numbers`].
//! * Rows that are hidden are not given.
use super::Engine;
use crate::error::Result;
use crate::record::Record;
use crate::scan::columns::View;
use crate::scan::{Control, Search, Spread, spread};

/// A record with the fields of its stream, as LogsQL shows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Streamed {
    /// The record.
    pub record: Record,
    /// `{app="shop",pod="a"}`
    pub stream: String,
}

impl Engine {
    /// How the rows that pass lie over services, hours and numbers: some pieces for each, in no order.
    pub fn spread(&self, search: &Search, control: &Control) -> Result<Vec<Spread>> {
        let found = |known: &mut Vec<Spread>, view: &View<'_>| spread(view, known);
        Ok(self.fold(search, control, Vec::new, found)?.0.into_iter().flatten().collect())
    }

    /// The rows that pass as a search gives them, with their streams.
    pub fn search_streamed(&self, search: &Search, control: &Control) -> Result<Vec<Streamed>> {
        let counters = self.counters(control);
        let snapshot = self.shared.snapshot();
        let found = snapshot.newest(search, None, &counters)?;
        let streams = snapshot.streams_of(&found, &counters)?;
        let records = snapshot.records(&found, &counters);
        let records = self.shared.activity.asked(records, || counters.stats())?;
        Ok(records.into_iter().zip(streams).map(|(record, stream)| Streamed { record, stream }).collect())
    }
}
