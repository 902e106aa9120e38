//! Which sequence numbers the rows of a batch have, and when they arrived.
//!
//! Invariants
//! * Runs of arrivals rise by their first sequence number.

/// Where the rows of a batch have their sequence numbers from.
#[derive(Clone, Debug)]
pub(crate) enum Seqs {
    /// One after another from here.
    From(u64),
    /// One for each row.
    Listed(Vec<u64>),
}

impl Seqs {
    #[inline]
    pub(super) fn of(&self, row: usize) -> u64 {
        match self {
            Self::From(first) => first + row as u64,
            Self::Listed(seqs) => seqs.get(row).copied().unwrap_or(0),
        }
    }
}

/// When rows arrived.
#[derive(Clone, Debug)]
pub(crate) enum Arrivals {
    /// All at once.
    One(i64),
    /// From each of these sequence numbers on, at that time.
    Runs(Vec<(u64, i64)>),
}

impl Arrivals {
    /// When the first rows arrived, and the last.
    pub(crate) fn range(&self) -> (i64, i64) {
        match self {
            Self::One(at) => (*at, *at),
            Self::Runs(runs) => {
                let times = || runs.iter().map(|(_, at)| *at);
                (times().min().unwrap_or(0), times().max().unwrap_or(0))
            }
        }
    }

    /// When the row of this sequence number arrived.
    pub(crate) fn at(&self, seq: u64) -> i64 {
        match self {
            Self::One(at) => *at,
            Self::Runs(runs) => {
                let after = runs.partition_point(|(first, _)| *first <= seq);
                runs.get(after.saturating_sub(1)).map_or(0, |(_, at)| *at)
            }
        }
    }
}
