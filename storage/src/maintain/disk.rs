//! The disk budget: at its mark segments leave this disk that are in the archive; then appends are refused, or the oldest
//! segments go.
//!
//! Invariants
//! * Reads, seals and starts are never refused. Appends are taken again as soon as there is room.
//! * Only segments whose services all have a time to live are given up for room.
use super::effects::is_bare;
use super::retain::RetentionReport;
use crate::engine::Shared;
use crate::error::{Error, ErrorKind, Result};
use crate::options::{DiskBudget, WhenFull};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How long a look at a disk with room stays right.
const LOOK: Duration = Duration::from_secs(1);

/// What the last look at the disk said.
#[derive(Default)]
pub(crate) struct DiskWatch {
    /// Milliseconds of the clock that never goes back, plus one; 0 before the first look.
    looked: AtomicU64,
    full: AtomicBool,
}

/// Whether so much is used that nothing more may be.
fn is_over(budget: DiskBudget, used_here: u64, available: u64, total: u64) -> bool {
    match budget {
        DiskBudget::Bytes(bytes) => used_here >= bytes,
        DiskBudget::Percent(percent) => {
            let used = u128::from(total.saturating_sub(available));
            total > 0 && used * 100 >= u128::from(total) * u128::from(percent)
        }
    }
}

impl Shared {
    /// Refuses to append where the disk budget is used up.
    pub(crate) fn need_disk(&self) -> Result<()> {
        let Some(budget) = self.options.disk_budget else { return Ok(()) };
        let now = u64::try_from(self.env.monotonic().as_millis()).unwrap_or(u64::MAX - 1) + 1;
        let looked = self.disk.looked.load(Ordering::Relaxed);
        let recent = looked > 0 && now.saturating_sub(looked) < LOOK.as_millis() as u64;
        if recent && !self.disk.full.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.disk.looked.store(now, Ordering::Relaxed);
        let mut full = self.is_disk_full(budget);
        // Where the archive does not answer, nobody waits for it here.
        if full
            && self.archive.unreached().is_none()
            && let Some(_alone) = self.archive.leaves_alone()
        {
            self.make_room_by_leaving()?;
            full = self.is_disk_full(budget);
        }
        if full && self.options.when_full == WhenFull::DropOldest {
            self.free_disk()?;
            full = self.is_disk_full(budget);
        }
        self.disk.full.store(full, Ordering::Relaxed);
        if !full {
            return Ok(());
        }
        let message = match budget {
            DiskBudget::Percent(percent) => format!("the disk is filled to the mark of {percent} %"),
            DiskBudget::Bytes(bytes) => format!("the disk budget of {bytes} bytes is used up"),
        };
        Err(Error::new(ErrorKind::DiskFull, format!("{message}; nothing is appended until there is room")))
    }

    fn is_disk_full(&self, budget: DiskBudget) -> bool {
        match budget {
            DiskBudget::Bytes(_) => {
                let segments = self.live_segments();
                let here = segments.iter().filter(|live| !self.archive.is_away(live.record.id));
                let segments: u64 = here.map(|live| live.record.bytes).sum();
                is_over(budget, segments + self.files.live_bytes(), 0, 0)
            }
            // A disk that cannot be asked refuses by itself when it is full.
            DiskBudget::Percent(_) => {
                self.env.space(self.layout.root()).is_ok_and(|space| is_over(budget, 0, space.available, space.total))
            }
        }
    }

    /// Whether the disk is filled to its mark.
    pub(crate) fn is_disk_short(&self) -> bool {
        self.options.disk_budget.is_some_and(|budget| self.is_disk_full(budget))
    }

    /// Gives up the oldest segments until there is room; nothing where somebody is at work on segments.
    pub(super) fn free_disk(&self) -> Result<()> {
        let (Some(budget), WhenFull::DropOldest) = (self.options.disk_budget, self.options.when_full) else {
            return Ok(());
        };
        let Some(_turn) = self.try_turn() else { return Ok(()) };
        let lives = self.lives();
        let mut segments = self.live_segments();
        segments.retain(|live| !is_bare(live));
        segments.sort_by_key(|live| (live.record.time_max, live.record.id));
        let mut report = RetentionReport { at: self.delete_by(), ..RetentionReport::default() };
        for live in segments {
            if !self.is_disk_full(budget) {
                break;
            }
            let Some(counts) = self.known(&live, self.census.counts(&live))? else { continue };
            if counts.keys().all(|service| lives.days(service).is_some()) {
                counts.iter().for_each(|(service, rows)| report.add(&live, service, *rows, live.record.time_min));
                report.segments_removed += 1;
                self.drop_segments(&[live])?;
            }
        }
        self.summarise(&report);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_itself_is_full() {
        assert!(is_over(DiskBudget::Percent(90), 0, 10, 100));
        assert!(!is_over(DiskBudget::Percent(90), 0, 11, 100));
        assert!(!is_over(DiskBudget::Percent(90), 0, 0, 0));
        assert!(is_over(DiskBudget::Bytes(5), 5, 0, 0));
        assert!(!is_over(DiskBudget::Bytes(5), 4, 0, 0));
    }
}
