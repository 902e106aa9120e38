//! Copies sealed segments to object storage.
//!
//! A segment is read twice here and once there: for its digest, which names the object, for sending it, and back. It counts as
//! copied when what came back has the same digest. Where somebody waits for it, one is sent while another one is read back; by itself
//! the archive's thread copies one after the other.
//!
//! Invariants
//! * An object that is there under the right name and is not what it should be is made again, once.
//! * A segment that went away while it was on its way is condemned where it arrived.
use super::pieces::{Facts, facts, read_back};
use super::together::each;
use super::{LiveSegment, Shared, condemn, locked, no_archive};
use crate::archive::{Put, Target, segment_object};
use crate::catalog::{ArchiveRecord, ArchivedCopy, Change};
use crate::error::{Error, ErrorKind, Result};
use crate::planted;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How far an offload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offloading {
    /// Bytes of segments that are done.
    pub done: u64,
    /// And of how many.
    pub total: u64,
}

/// How fast segments are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Haste {
    /// Somebody waits for it.
    Waited,
    /// One after the other.
    None,
}

/// What was offloaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffloadReport {
    /// Segments that were copied, counted for each target.
    pub segments: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Segments whose files left this disk.
    pub evicted: u64,
    /// What could not be copied, and why.
    pub failed: Vec<String>,
}

impl OffloadReport {
    fn fail(&mut self, why: String) {
        if !self.failed.contains(&why) {
            self.failed.push(why);
        }
    }
}

/// How often what was merged meanwhile is copied, where somebody waits for all of it.
const CONCLUSIONS: u32 = 8;

impl Shared {
    /// Seals everything, copies every sealed segment to every target that does not have it, and where it is asked for lets
    /// their files go.
    pub(crate) fn offload_all(
        &self,
        evict: bool,
        told: &mut dyn FnMut(Offloading) -> Result<()>,
    ) -> Result<OffloadReport> {
        if self.archive.targets.is_empty() {
            return Err(no_archive());
        }
        self.seal_all()?;
        self.archive.targets.iter().for_each(|target| self.doubt_owner(target));
        let mut report = self.offload_some(&self.archive.targets, Haste::Waited, |_, _| true, told)?;
        for target in &self.archive.targets {
            self.conclude(target, &mut report)?;
        }
        if !evict {
            return Ok(report);
        }
        let (mut report, mut evicted) = (report, 0);
        for live in self.segments() {
            match self.evict(live.record.id) {
                Ok(left) => evicted += u64::from(left),
                // What is wrong with the target is what could not be done.
                Err(e) if is_of_target(&e) => {
                    report.failed.push(e.to_string());
                    break;
                }
                Err(e) => return Err(e),
            }
        }
        Ok(OffloadReport { evicted, ..report })
    }

    /// Has a target know all that was copied to it: what took the place of others meanwhile is copied too.
    fn conclude(&self, target: &Target, report: &mut OffloadReport) -> Result<()> {
        for _again in 0..CONCLUSIONS {
            let written = {
                let _alone = locked(&self.archive.moving);
                let written = self.write_manifest(target);
                self.noting(target, written)
            };
            match written {
                Ok(false) => {}
                Ok(true) => return Ok(()),
                Err(e) if e.kind() == ErrorKind::Closed => return Err(e),
                Err(e) => {
                    report.fail(e.to_string());
                    return Ok(());
                }
            }
            let more = self.offload_some(std::slice::from_ref(target), Haste::Waited, |_, _| true, &mut |_| Ok(()))?;
            report.segments += more.segments;
            report.bytes += more.bytes;
            if !more.failed.is_empty() {
                more.failed.into_iter().for_each(|why| report.fail(why));
                return Ok(());
            }
        }
        report.fail(format!("{}: segments are merged faster than they are copied; ask again", target.bucket.place()));
        Ok(())
    }

    /// Copies segments for which `is_due` says yes to the targets that do not have them. What fails is named, and the rest is
    /// gone on with; a target that fails is left alone for the rest of it.
    pub(super) fn offload_some(
        &self,
        targets: &[Target],
        haste: Haste,
        is_due: impl Fn(&Target, &LiveSegment) -> bool,
        told: &mut dyn FnMut(Offloading) -> Result<()>,
    ) -> Result<OffloadReport> {
        let _alone = locked(&self.archive.moving);
        let mut report = OffloadReport::default();
        let segments = self.segments();
        let wanted = |target: &Target, live: &LiveSegment| self.is_waiting(target, live) && is_due(target, live);
        let bytes =
            |target| segments.iter().filter(|live| wanted(target, live)).map(|live| live.record.bytes).sum::<u64>();
        let total = targets.iter().map(bytes).sum();
        let mut done = 0;
        for target in targets {
            told(Offloading { done, total })?;
            let wanted: Vec<&LiveSegment> = segments.iter().filter(|live| wanted(target, live)).collect();
            let at_once = match haste {
                Haste::Waited if target.bytes_per_second.is_none() => target.at_once,
                _ => 1,
            };
            let copy = |live: &&LiveSegment| self.is_closing().and_then(|()| self.offload(target, live));
            each(at_once, &wanted, copy, |live, copied| {
                let goes_on = self.count(target, live, copied, &mut report)?;
                done += live.record.bytes;
                told(Offloading { done, total })?;
                Ok(goes_on)
            })?;
        }
        told(Offloading { done, total })?;
        Ok(report)
    }

    /// Counts what came of a segment. Says whether the target is of use still.
    fn count(
        &self,
        target: &Target,
        live: &LiveSegment,
        copied: Result<bool>,
        report: &mut OffloadReport,
    ) -> Result<bool> {
        match copied {
            Ok(true) => {
                report.segments += 1;
                report.bytes += live.record.bytes;
                self.archive.praise(target);
                self.archive.attempted(target, true);
            }
            Ok(false) => {}
            Err(e) if e.kind() == ErrorKind::Closed => return Err(e),
            Err(e) => {
                self.archive.blame(target, &e);
                self.archive.attempted(target, false);
                report.fail(e.to_string());
                return Ok(!is_of_target(&e));
            }
        }
        Ok(true)
    }

    /// Copies one segment to one target; says whether it is there then. It is not where the segment went away meanwhile.
    fn offload(&self, target: &Target, live: &LiveSegment) -> Result<bool> {
        self.own(target)?;
        let began = self.env.monotonic();
        let facts = self.facts(live)?;
        let object = segment_object(&live.record.day, &facts.digest);
        self.send(target, live, &object, &facts)?;
        let counts = self.note_copy(target, live, object, &facts)?;
        if let Some(rate) = target.bytes_per_second.filter(|rate| *rate > 0) {
            let least = Duration::from_secs_f64(live.record.bytes as f64 / rate as f64);
            self.rest(least.saturating_sub(self.env.monotonic().saturating_sub(began)))?;
        }
        Ok(counts)
    }

    /// Waits, and ends early where the engine does.
    fn rest(&self, time: Duration) -> Result<()> {
        const STEP: Duration = Duration::from_millis(100);
        let until = self.env.monotonic() + time;
        while self.env.monotonic() < until {
            self.is_closing()?;
            self.env.pause(until.saturating_sub(self.env.monotonic()).min(STEP));
        }
        Ok(())
    }

    /// Reads the file of a segment, and refuses one that is not what was written.
    fn facts(&self, live: &LiveSegment) -> Result<Facts> {
        // What is away was read when it was copied to another target, and is sent from there.
        if let Some(record) = self.archive.record(live.record.id).filter(|record| record.is_away()) {
            return Ok(Facts { digest: record.digest, crc: record.crc, index_crc: record.index_crc });
        }
        let (source, segment) = (live.segment.source(), &live.segment);
        let facts = facts(segment.bytes, segment.index_range(), &mut |at, piece| source.read(at, piece).map(drop))?;
        if facts.crc != live.record.crc {
            let path = segment.path().display();
            return Err(Error::corrupt(format!("{path} is not what was written, and is not copied to the archive")));
        }
        Ok(facts)
    }

    /// Makes an object and compares what comes back.
    fn send(&self, target: &Target, live: &LiveSegment, object: &str, facts: &Facts) -> Result<()> {
        let (bucket, source, len) = (&*target.bucket, live.segment.source(), live.segment.bytes);
        let put = || bucket.put_new(object, len, &|at, buf| source.read(at, buf));
        let mut made = put()?;
        if planted::on("copy-not-compared") {
            return Ok(());
        }
        if read_back(bucket, object, len)? == Some(facts.digest) {
            return Ok(());
        }
        // What was there before is not what its name says, or what was made did not arrive as it was sent.
        for _again in 0..2 {
            bucket.remove(object)?;
            made = put()?;
            if read_back(bucket, object, len)? == Some(facts.digest) {
                return Ok(());
            }
        }
        let place = bucket.place();
        let what = if made == Put::Made { "what was sent" } else { "it should be" };
        let message = format!("{place}/{object} does not come back as {what}: it is tried again later");
        Err(Error::new(ErrorKind::Unavailable, message))
    }

    /// Lets the catalog know of a copy. Says whether the segment is still there.
    fn note_copy(&self, target: &Target, live: &LiveSegment, object: String, facts: &Facts) -> Result<bool> {
        self.is_closing()?;
        // Held by whoever lets the catalog forget segments.
        let _held = locked(&self.maintenance);
        let id = live.record.id;
        let (index_at, footer_at) = live.segment.index_range();
        let before = self.archive.record(id);
        let new = ArchiveRecord {
            id,
            digest: facts.digest,
            crc: live.record.crc,
            bytes: live.segment.bytes,
            index_at,
            footer_at,
            index_crc: facts.index_crc,
            ..ArchiveRecord::default()
        };
        let mut record = before.as_deref().cloned().unwrap_or(new);
        let copy = ArchivedCopy { target: target.name.clone(), object, verified: self.env.now() };
        let (mut change, mut undo) = (Change::new(), Change::new());
        if self.live(id).is_none() {
            record.copies = vec![copy];
            condemn(&record, self.env.now(), &mut change)?;
            self.commit_catalog(&change, &undo)?;
            return Ok(false);
        }
        change.spare(&copy.target, &copy.object);
        record.copies.push(copy);
        change.put_archived(&record)?;
        match &before {
            Some(before) => undo.put_archived(before)?,
            None => undo.remove_archived(id),
        };
        self.commit_catalog(&change, &undo)?;
        self.archive.note(record);
        self.archive.copied.fetch_add(1, Ordering::Relaxed);
        if let Some(covered) = locked(&self.archive.covered).get_mut(&target.name) {
            *covered = (*covered).max(live.record.last_seq + 1);
        }
        Ok(true)
    }
}

/// Whether the target is at fault, and not one segment.
fn is_of_target(e: &Error) -> bool {
    matches!(e.kind(), ErrorKind::Unavailable | ErrorKind::Denied | ErrorKind::Conflict)
}
