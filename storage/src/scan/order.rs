//! In which order a search gives rows, and places in that order.
//!
//! Invariant: of two different rows of an epoch one comes before the other, whatever arrives or is sealed meanwhile, so that a
//! search that goes on behind a place leaves none out and gives none twice.
use super::Search;
use crate::record::Record;

/// In which order rows are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// By event time from the newest on, of equal times by sequence number.
    #[default]
    Newest,
    /// The other way round.
    Oldest,
}

/// What rows are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Event time, nanoseconds since 1970.
    pub time: i64,
    /// Sequence number.
    pub seq: u64,
}

impl Position {
    /// That of a record.
    pub fn of(record: &Record) -> Self {
        Self { time: record.time, seq: record.seq }
    }
}

impl Order {
    /// How early a row comes: the greatest first.
    pub(super) fn rank(self, time: i64, seq: u64) -> (i64, u64) {
        match self {
            Self::Newest => (time, seq),
            Self::Oldest => (!time, !seq),
        }
    }

    /// How early the first row comes of some between two times, as far as times say it.
    pub(super) fn best(self, time_min: i64, time_max: i64) -> i64 {
        match self {
            Self::Newest => time_max,
            Self::Oldest => !time_min,
        }
    }
}

impl Search {
    /// The same for the rows that come behind a place.
    #[must_use]
    pub fn behind(mut self, place: Position) -> Self {
        match self.order {
            Order::Newest => self.until = Some(self.until.map_or(place.time, |until| until.min(place.time))),
            Order::Oldest => self.from = Some(self.from.map_or(place.time, |from| from.max(place.time))),
        }
        self.behind = Some(place);
        self
    }

    /// Whether a row of this rank is behind the place where the search goes on.
    pub(super) fn is_left(&self, rank: (i64, u64)) -> bool {
        self.behind.is_none_or(|place| rank < self.order.rank(place.time, place.seq))
    }
}
