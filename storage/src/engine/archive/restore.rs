//! Brings files of segments back from the archive for a while.
//!
//! Order: the object is fetched into a file without a meaning, compared with its digest, synced and named; the catalog says
//! that it is here; searches look there. What was fetched before an end in the middle stays: only the rest is fetched again.
//!
//! Invariants
//! * A segment is searched in one place at every moment, so its rows count once.
//! * Memory holds one piece, whatever is restored.
use super::pieces::digest;
use super::{Shared, locked, no_archive};
use crate::archive::Copy;
use crate::catalog::{ArchiveRecord, Residency};
use crate::env::{Env, OpenMode};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::TEMPORARY;
use crate::segment::Segment;
use std::path::Path;
use std::time::Duration;

/// What is to be brought back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restoring {
    /// From this event time on, nanoseconds since 1970.
    pub since: i64,
    /// Before this one.
    pub before: i64,
    /// Only what may have records of this service.
    pub service: Option<String>,
    /// How long it stays.
    pub ttl: Duration,
}

/// What was brought back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreReport {
    /// Segments.
    pub segments: u64,
    /// Records in them, of all services and times.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
    /// Segments that were here already, and stay as long.
    pub here: u64,
    /// When they leave again, nanoseconds since 1970.
    pub until: i64,
}

/// How far it is: bytes that are here, and of how many.
type Told<'a> = dyn FnMut(u64, u64) -> Result<()> + 'a;

impl Shared {
    /// Brings back the segments of a range.
    pub(crate) fn restore(&self, wanted: &Restoring, told: &mut Told<'_>) -> Result<RestoreReport> {
        if self.archive.targets.is_empty() {
            return Err(no_archive());
        }
        let _alone = locked(&self.archive.moving);
        let ttl = i64::try_from(wanted.ttl.as_nanos()).unwrap_or(i64::MAX);
        let mut report = RestoreReport { until: self.env.now().saturating_add(ttl), ..RestoreReport::default() };
        let mut segments = self.segments();
        segments.retain(|live| {
            let record = &live.record;
            let is_in = record.time_max >= wanted.since && record.time_min < wanted.before;
            is_in && wanted.service.as_ref().is_none_or(|service| has_service(&live.segment, service))
        });
        let is_away = |id| self.archive.is_away(id);
        let total = segments.iter().map(|live| &live.record).filter(|r| is_away(r.id)).map(|r| r.bytes).sum();
        let mut done = 0;
        for live in &segments {
            self.is_closing()?;
            let Some(record) = self.archive.record(live.record.id) else { continue };
            if record.is_away() {
                let is_back = self.bring_back(&record, report.until, &mut |bytes| told(done + bytes, total))?;
                done += live.record.bytes;
                if is_back {
                    report.segments += 1;
                    report.rows += live.record.rows;
                    report.bytes += live.record.bytes;
                }
            } else if self.stay_until(&record, report.until)? {
                report.here += 1;
            }
        }
        told(total, total)?;
        Ok(report)
    }

    /// Brings one back; says whether it is. It is not where the segment went meanwhile.
    fn bring_back(&self, record: &ArchiveRecord, until: i64, told: &mut dyn FnMut(u64) -> Result<()>) -> Result<bool> {
        let Some(live) = self.live(record.id) else { return Ok(false) };
        let path = self.layout.segment(&live.record.day, record.id);
        let draft = path.with_extension(TEMPORARY);
        self.make_day(&path)?;
        let mut failed = None;
        for copy in self.archive.copies(record) {
            match self.fetch(&copy, record, &draft, told) {
                Ok(()) => {
                    failed = None;
                    break;
                }
                Err(e) => failed = Some(failed.unwrap_or(e)),
            }
        }
        if let Some(e) = failed {
            return Err(e);
        }
        let named = |e| Error::io("name", &path, e);
        let _turn = self.turn();
        if self.live(record.id).is_none() || !self.archive.is_away(record.id) {
            self.env.remove_file(&draft).map_err(|e| Error::io("remove", &draft, e))?;
            return Ok(false);
        }
        self.env.rename(&draft, &path).map_err(named)?;
        self.env.sync_dir(path.parent().unwrap_or(Path::new("."))).map_err(named)?;
        let opened = Segment::open(&*self.env, &path, &self.cache)?;
        let after = ArchiveRecord { residency: Residency::Restored { until }, ..record.clone() };
        self.settle(&live, record, after, opened)?;
        self.archive.forget_here(record.id);
        Ok(true)
    }

    fn fetch(
        &self,
        copy: &Copy,
        record: &ArchiveRecord,
        draft: &Path,
        told: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<()> {
        fetch_object(&*self.env, copy, record, draft, &mut |bytes| {
            self.is_closing()?;
            told(bytes)
        })
    }

    fn make_day(&self, path: &Path) -> Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        if !self.env.exists(folder).map_err(|e| Error::io("look for", folder, e))? {
            self.env.create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
            let parent = self.layout.segments();
            self.env.sync_dir(&parent).map_err(|e| Error::io("sync", &parent, e))?;
        }
        Ok(())
    }

    /// Lets one that is here for a while stay longer; says whether it is one.
    fn stay_until(&self, record: &ArchiveRecord, until: i64) -> Result<bool> {
        let Residency::Restored { until: before } = record.residency else { return Ok(false) };
        if before < until {
            let _turn = self.turn();
            let after = ArchiveRecord { residency: Residency::Restored { until }, ..record.clone() };
            let (mut change, mut undo) = (crate::catalog::Change::new(), crate::catalog::Change::new());
            change.put_archived(&after)?;
            undo.put_archived(record)?;
            self.commit_catalog(&change, &undo)?;
            self.archive.note(after);
        }
        Ok(true)
    }

    /// Lets those go again that were here for long enough.
    pub(crate) fn expire_restored(&self) -> Result<()> {
        let now = self.delete_by();
        for record in self.archive.all() {
            if matches!(record.residency, Residency::Restored { until } if until <= now) {
                self.evict(record.id)?;
            }
        }
        Ok(())
    }
}

fn has_service(segment: &Segment, service: &str) -> bool {
    segment.footer.streams.iter().any(|(name, _)| name == service)
}

/// Fetches an object into a file, whose bytes are durable then. `told` hears how many are there.
pub(super) fn fetch_object(
    env: &dyn Env,
    copy: &Copy,
    record: &ArchiveRecord,
    draft: &Path,
    told: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<()> {
    let file = env.open(draft, OpenMode::OpenOrCreate).map_err(|e| Error::io("create", draft, e))?;
    file.set_len(0).map_err(|e| Error::io("empty", draft, e))?;
    let fetched = digest(record.bytes, &mut |at, piece| {
        told(at)?;
        copy.bucket.read(&copy.object, at, piece)?;
        file.write_all_at(piece, at).map_err(|e| Error::io("write", draft, e))
    })?;
    if fetched != record.digest {
        let message = format!("{}/{} is not what was stored there", copy.bucket.place(), copy.object);
        return Err(Error::new(ErrorKind::Unavailable, message));
    }
    file.sync_all().map_err(|e| Error::io("sync", draft, e))
}
