//! Which records that are to be imported are here already: those with the same service, time and id.
//!
//! Invariants
//! * What is asked does not depend on how records were put into batches: each is looked for at its own time.
//! * A record whose time was too far ahead to be taken, and became its arrival, is looked for at every time.
use super::super::error::ApiError;
use crate::transfer::item::ID_SENT;
use logyard_storage::engine::{Engine, Position, Search};
use logyard_storage::record::{Record, RecordId};
use logyard_storage::scan::filter::{Asked, Filter, Question, Test};
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Records of an answer at once.
const PAGE_ROWS: usize = 4_096;

/// By what a record is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    pub(super) service: String,
    /// Its time; none where that was not taken.
    pub(super) time: Option<i64>,
    /// The field that has its id, and the id.
    pub(super) field: String,
    pub(super) id: String,
}

/// Those of some records that are here.
#[derive(Default)]
pub(super) struct Known {
    found: HashSet<Identity>,
    /// Ids of records of our own.
    own: HashSet<String>,
}

impl Known {
    /// Looks for records.
    pub(super) fn look(engine: &Engine, wanted: &[Identity]) -> Result<Self, ApiError> {
        let mut known = Self::default();
        known.look_for_own(engine, wanted)?;
        let fields: HashSet<&str> = wanted.iter().map(|identity| identity.field.as_str()).collect();
        for field in fields {
            let (at_times, anywhere): (Vec<&Identity>, Vec<&Identity>) =
                wanted.iter().filter(|identity| identity.field == field).partition(|identity| identity.time.is_some());
            let times = || at_times.iter().filter_map(|identity| identity.time);
            known.look_between(engine, field, &at_times, (times().min(), times().max()))?;
            known.look_between(engine, field, &anywhere, (None, None))?;
        }
        Ok(known)
    }

    /// Whether a record is here.
    pub(super) fn has(&self, identity: &Identity) -> bool {
        self.found.contains(identity) || (identity.field == ID_SENT && self.own.contains(&identity.id))
    }

    /// Records that are here under the ids that they had here.
    fn look_for_own(&mut self, engine: &Engine, wanted: &[Identity]) -> Result<(), ApiError> {
        let sent = wanted.iter().filter(|identity| identity.field == ID_SENT);
        let ids: Vec<RecordId> = sent.filter_map(|identity| RecordId::parse(&identity.id)).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let search = Search { filter: Filter::Ids(ids.clone()), limit: ids.len(), ..Search::default() };
        self.own.extend(engine.search(&search)?.iter().map(|record| record.id().to_string()));
        Ok(())
    }

    fn look_between(
        &mut self,
        engine: &Engine,
        field: &str,
        wanted: &[&Identity],
        (from, until): (Option<i64>, Option<i64>),
    ) -> Result<(), ApiError> {
        if wanted.is_empty() {
            return Ok(());
        }
        let ids = wanted.iter().map(|identity| identity.id.clone()).collect();
        let services: HashSet<&str> = wanted.iter().map(|identity| identity.service.as_str()).collect();
        let has_time = from.is_some();
        let mut search = Search {
            services: services.into_iter().map(str::to_owned).collect(),
            from,
            until,
            filter: Filter::Field(field.to_owned(), Test::Asked(Asked::new(Arc::new(OneOf::new(ids))))),
            limit: PAGE_ROWS,
            ..Search::default()
        };
        loop {
            let records = engine.search(&search)?;
            let Some(last) = records.last().map(Position::of) else { return Ok(()) };
            self.found.extend(records.iter().map(|record| identity(record, field, has_time)));
            if records.len() < PAGE_ROWS {
                return Ok(());
            }
            search = search.behind(last);
        }
    }
}

fn identity(record: &Record, field: &str, has_time: bool) -> Identity {
    Identity {
        service: record.get("service_name").to_owned(),
        time: has_time.then_some(record.time),
        field: field.to_owned(),
        id: record.get(field).to_owned(),
    }
}

/// Whether a text is one of many.
struct OneOf {
    texts: HashSet<String>,
    key: String,
}

impl OneOf {
    fn new(texts: HashSet<String>) -> Self {
        let mut sorted: Vec<&String> = texts.iter().collect();
        sorted.sort();
        // Only what tells it from the other questions of a search, of which there is none.
        let mut hasher = std::hash::DefaultHasher::new();
        sorted.hash(&mut hasher);
        let key = format!("one of {} ids, {:016x}", texts.len(), hasher.finish());
        Self { texts, key }
    }
}

impl Question for OneOf {
    fn key(&self) -> &str {
        &self.key
    }

    fn matches(&self, text: &str) -> bool {
        self.texts.contains(text)
    }
}
