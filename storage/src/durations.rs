//! How long something took, counted in steps: what graphs of latencies are made of.
//!
//! Invariant: noting one takes no lock and allocates nothing.
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Up to how long each step goes; there is one more for all that took longer.
pub const STEPS: [Duration; 15] = [
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
];

/// Counts of how long something took.
#[derive(Debug, Default)]
pub struct Durations {
    counts: [AtomicU64; STEPS.len() + 1],
    nanos: AtomicU64,
}

/// The counts at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DurationCounts {
    /// How many ended in each step of [`STEPS`], and beyond the last.
    pub counts: [u64; STEPS.len() + 1],
    /// All of them together.
    pub total: Duration,
}

impl Durations {
    /// Notes one.
    pub fn note(&self, took: Duration) {
        let step = STEPS.partition_point(|step| *step < took);
        if let Some(count) = self.counts.get(step) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The counts by now.
    pub fn read(&self) -> DurationCounts {
        let counts = std::array::from_fn(|step| self.counts.get(step).map_or(0, |count| count.load(Ordering::Relaxed)));
        DurationCounts { counts, total: Duration::from_nanos(self.nanos.load(Ordering::Relaxed)) }
    }
}

impl DurationCounts {
    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_in_the_first_step_that_reaches_so_far() {
        let durations = Durations::default();
        for micros in [0, 500, 501, 1_000, 30_000_000, 30_000_001] {
            durations.note(Duration::from_micros(micros));
        }
        let read = durations.read();
        assert_eq!((read.counts[0], read.counts[1], read.counts[14], read.counts[15]), (2, 2, 1, 1));
        assert_eq!((read.count(), read.total), (6, Duration::from_micros(60_002_002)));
        assert!(STEPS.is_sorted());
    }
}
