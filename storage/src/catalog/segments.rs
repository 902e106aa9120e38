//! What the catalog knows of each sealed segment.
//!
//! Invariants
//! * The key is the id, big-endian, so that segments come in the order in which they were sealed.
//! * Only what a segment's own footer can say again is kept here, so that the table can be rebuilt from the files.
use super::tables::{Change, Table};
use crate::error::{Error, Result};
pub use crate::retention::RetentionClass;
use serde::{Deserialize, Serialize};

/// Services counted in one record; with more of them the list is left out.
pub const SEGMENT_SERVICES_MAX: usize = 64;

/// Whether a segment still counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SegmentState {
    /// Its rows are part of the data.
    Live,
    /// It is about to be unlinked: recorded first, so that a crash between cannot bring it back.
    Doomed,
    /// It could not be read when all that it says was asked for: its rows count once they were compared with the rest.
    Unread,
}

/// How many rows of a segment a service has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceCount {
    /// The service.
    pub name: String,
    /// Its rows.
    pub rows: u64,
}

/// The services of a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SegmentServices {
    /// Each of them.
    Counted(Vec<ServiceCount>),
    /// Over [`SEGMENT_SERVICES_MAX`]; any service may be in it.
    Many,
}

impl SegmentServices {
    /// The counts, or that there are too many of them.
    pub fn new(counts: Vec<ServiceCount>) -> Self {
        if counts.len() > SEGMENT_SERVICES_MAX { Self::Many } else { Self::Counted(counts) }
    }

    /// Whether rows of a service may be in it.
    pub fn may_hold(&self, service: &str) -> bool {
        match self {
            Self::Counted(counts) => counts.iter().any(|count| count.name == service),
            Self::Many => true,
        }
    }
}

/// A sealed segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRecord {
    /// Its number, never used twice.
    pub id: u64,
    /// Its folder.
    pub day: String,
    /// Whether it counts.
    pub state: SegmentState,
    /// Its retention class.
    pub class: RetentionClass,
    /// Rows.
    pub rows: u64,
    /// Length of the file.
    pub bytes: u64,
    /// Lowest sequence number.
    pub first_seq: u64,
    /// Highest sequence number.
    pub last_seq: u64,
    /// Earliest event time, nanoseconds since 1970.
    pub time_min: i64,
    /// Latest event time.
    pub time_max: i64,
    /// Largest of each row's later one of event time and arrival: where the life of its last row is counted from.
    pub expire_from: i64,
    /// crc32 of the whole file.
    pub crc: u32,
    /// When it was sealed.
    pub created: i64,
    /// Whose rows it holds.
    pub services: SegmentServices,
}

impl SegmentRecord {
    /// Its key in the catalog.
    pub fn key(id: u64) -> [u8; 8] {
        id.to_be_bytes()
    }

    /// Refuses a record under another key, or one that contradicts itself.
    pub(super) fn check(&self, key: &[u8]) -> Result<()> {
        if key != Self::key(self.id) {
            return Err(Error::corrupt(format!("segment {:016x} is stored under another id", self.id)));
        }
        if self.first_seq > self.last_seq || self.time_min > self.time_max {
            return Err(Error::corrupt(format!("segment {:016x} has ranges that end before they begin", self.id)));
        }
        Ok(())
    }
}

impl Change {
    /// Adds or replaces a segment.
    pub fn put_segment(&mut self, segment: &SegmentRecord) -> Result<&mut Self> {
        self.put(Table::Segments, &SegmentRecord::key(segment.id), segment)
    }

    /// Forgets a segment.
    pub fn remove_segment(&mut self, id: u64) -> &mut Self {
        self.remove(Table::Segments, &SegmentRecord::key(id))
    }
}
