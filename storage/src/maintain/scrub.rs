//! The scrubber: reads every segment again, from the disk, before somebody needs it.
//!
//! Invariants
//! * It changes no file. A block that fails its checksum is left out of searches and its rows are named; all others
//!   are served. A block that proves sound later is served again.
//! * It holds no lock that seals, merges or searches wait for.
use crate::engine::{LiveSegment, Shared, locked};
use crate::error::{ErrorKind, Result};
use crate::segment::Segment;
use std::sync::Arc;
use std::time::Duration;

/// What was verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrubReport {
    /// Segments whose last block was verified.
    pub segments: u64,
    /// Bytes read.
    pub bytes: u64,
    /// What is damaged.
    pub damaged: Vec<String>,
    /// Whether the last segment was reached.
    pub finished: bool,
}

/// Where the scrubber is.
#[derive(Default)]
pub(crate) struct Scrub {
    /// The segment to go on with, or the next one after it.
    segment: u64,
    block: usize,
    /// When it began with the first segment, by the clock that never goes back.
    began: Option<Duration>,
}

impl Shared {
    /// Verifies everything once.
    pub(crate) fn scrub_all(&self) -> Result<ScrubReport> {
        *locked(&self.scrub) = Scrub::default();
        self.scrub_step(u64::MAX)
    }

    /// Verifies about `budget` bytes, going on where the last step ended.
    pub(crate) fn scrub_step(&self, budget: u64) -> Result<ScrubReport> {
        let mut at = locked(&self.scrub);
        let mut report = ScrubReport::default();
        if at.segment == 0 && at.block == 0 {
            at.began = Some(self.env.monotonic());
        }
        while report.bytes < budget {
            let Some(live) = self.next_to_scrub(at.segment) else {
                (at.segment, at.block) = (0, 0);
                report.finished = true;
                break;
            };
            if live.record.id != at.segment {
                (at.segment, at.block) = (live.record.id, 0);
            }
            self.scrub_segment(&live, &mut at, budget, &mut report);
        }
        self.activity.scrubbed_bytes.add(report.bytes);
        self.say_losses();
        Ok(report)
    }

    /// The next segment whose file is on this disk.
    fn next_to_scrub(&self, from: u64) -> Option<LiveSegment> {
        let is_here = |live: &LiveSegment| !self.archive.is_away(live.record.id);
        self.live_segments().into_iter().find(|live| live.record.id >= from && is_here(live))
    }

    /// Whether a pass is under way, or due.
    pub(super) fn is_scrub_due(&self) -> bool {
        let at = locked(&self.scrub);
        let over = |began: Duration| self.env.monotonic() >= began + self.options.scrub_every;
        at.segment != 0 || at.began.is_none_or(over)
    }

    /// Verifies one segment from `at` on, and moves on behind it unless the budget ends first.
    fn scrub_segment(&self, live: &LiveSegment, at: &mut Scrub, budget: u64, report: &mut ScrubReport) {
        let path = live.segment.path();
        // Opened anew, so that nothing comes from memory.
        let fresh = match Segment::open(&*self.env, path, &Arc::default()) {
            Ok(fresh) => fresh,
            Err(e) => {
                let is_live = self.live_segments().iter().any(|other| other.record.id == live.record.id);
                if is_live {
                    let what = format!("{} is served from memory until the next start: {e}", path.display());
                    report.damaged.push(what.clone());
                    self.trouble(what);
                }
                report.bytes += 1;
                (at.segment, at.block) = (live.record.id + 1, 0);
                return;
            }
        };
        if at.block == 0 {
            let footer = &fresh.footer;
            let pieces = [footer.shapes, footer.index, footer.row_index];
            report.bytes += pieces.iter().chain(&footer.effects).map(|piece| piece.len).sum::<u64>();
            self.scrub_tables(live, &fresh, report);
        }
        while at.block < fresh.block_count() {
            self.scrub_block(live, &fresh, at.block, report);
            at.block += 1;
            // Looked at behind a block, so that every step gets on, however small its budget.
            if report.bytes >= budget && at.block < fresh.block_count() {
                return;
            }
        }
        report.segments += 1;
        (at.segment, at.block) = (live.record.id + 1, 0);
    }

    fn scrub_tables(&self, live: &LiveSegment, fresh: &Segment, report: &mut ScrubReport) {
        // No row needs these: an index only helps to find, and effects are in the catalog too.
        for verified in [fresh.verify_head(), fresh.verify_index(), fresh.effects().map(drop)] {
            if let Err(e) = verified {
                report.damaged.push(e.to_string());
                self.trouble(e.to_string());
            }
        }
        if let Err(e) = fresh.verify_shapes() {
            report.damaged.push(e.to_string());
            if e.kind() == ErrorKind::Corrupt {
                (0..fresh.block_count()).for_each(|block| self.lost.add(&live.segment, block, &e.to_string()));
            } else {
                self.trouble(e.to_string());
            }
        }
    }

    fn scrub_block(&self, live: &LiveSegment, fresh: &Segment, block: usize, report: &mut ScrubReport) {
        if let Some(meta) = fresh.footer.blocks.get(block) {
            report.bytes += meta.pages_len + u64::from(meta.head_len);
        }
        match fresh.verify_block(block) {
            Ok(()) if fresh.shapes().is_ok() => self.lost.take_back(live.record.id, block),
            Ok(()) => {}
            Err(e) => {
                report.damaged.push(e.to_string());
                if e.kind() == ErrorKind::Corrupt {
                    self.lost.add(&live.segment, block, &e.to_string());
                } else {
                    self.trouble(e.to_string());
                }
            }
        }
    }

    /// Finds out which blocks of a segment that could not be read as a whole are lost.
    pub(super) fn find_losses(&self, live: &LiveSegment) {
        if self.archive.is_away(live.record.id) {
            return;
        }
        let mut report = ScrubReport::default();
        let mut at = Scrub { segment: live.record.id, ..Scrub::default() };
        self.scrub_segment(live, &mut at, u64::MAX, &mut report);
        self.say_losses();
    }
}
