//! Segments and their copies in object storage: what is where, and who may change that.
//!
//! A segment that is copied is read back and compared before the catalog says that it is copied; only then may its file leave
//! this disk. A segment whose file has left is searched through what is fetched of it ([`crate::archive`]).
//!
//! Invariants
//! * The catalog says that a file has left before it goes, and that it is back after all of it is durable.
//! * What the catalog forgets of a copy it condemns in the same commit, so that no object is forgotten.
//! * Whoever copies holds no lock that seals and searches wait for while bytes are on their way.
mod backup;
mod collect;
mod evict;
mod history;
mod manifest;
mod mover;
mod offload;
mod owner;
mod pieces;
mod policy;
mod rebuild;
mod restore;
#[cfg(test)]
mod tests;
mod together;
mod wanted;

pub use collect::CollectReport;
pub(super) use mover::Mover;
pub use offload::{OffloadReport, Offloading};
pub use rebuild::{RebuildReport, Rebuilding, VerifyReport, rebuild, verify};
pub use restore::{RestoreReport, Restoring};

use super::{LiveSegment, Shared, locked};
use crate::archive::{Chunks, ColdFile, ColdShared, Copy, Reach, Shelf, Target, Traffic, kept};
use crate::catalog::{ArchiveRecord, ArchivedCopy, Change, CondemnedObject, Residency, SegmentRecord};
use crate::env::Env;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::Layout;
use crate::options::Options;
use crate::segment::{ReadCache, SealedEffects, Segment};
use history::History;
use manifest::Last;
use owner::Hold;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};
pub use wanted::ArchiveWait;
use wanted::Wanted;

/// What the engine knows of object storage.
pub(crate) struct Archive {
    targets: Vec<Target>,
    cold: Arc<ColdShared>,
    /// What is archived of each segment, as the catalog has it.
    records: RwLock<BTreeMap<u64, Arc<ArchiveRecord>>>,
    /// Held by whoever copies segments, or brings them back.
    moving: Mutex<()>,
    /// Why the last attempt failed, by target.
    troubles: Mutex<BTreeMap<String, String>>,
    /// Whether no copy of this directory can be open elsewhere.
    is_home: bool,
    /// This process's own number.
    holder: String,
    /// The directory's own number, once it was asked for.
    directory: Mutex<Option<String>>,
    /// Whose each target is.
    holds: Mutex<BTreeMap<String, Hold>>,
    /// Records below this number may be in a target; nothing where that was not looked at.
    covered: Mutex<BTreeMap<String, u64>>,
    /// Held by whoever lets segments leave to make room.
    leaving: Mutex<()>,
    /// Copies that were noted.
    copied: AtomicU64,
    /// Held by whoever confirms whose a target is.
    confirming: Mutex<()>,
    /// The last manifest of each target, once it was asked for.
    last: Mutex<BTreeMap<String, Arc<Last>>>,
    /// What seals said of effects since then.
    history: Mutex<History>,
    /// Objects that nobody knows of, by target, and when they were seen first.
    strangers: Mutex<BTreeMap<String, BTreeMap<String, i64>>>,
    /// Who waits for records to be there.
    wanted: Wanted,
    /// Copies that were made and attempts that failed, by target.
    attempts: Mutex<BTreeMap<String, (u64, u64)>>,
}

/// What is in one target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetStatus {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub place: String,
    /// Segments that are there.
    pub segments: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Segments that are to go there and are not there yet.
    pub waiting: u64,
    /// Every record below this number that goes to the archive is there.
    pub below: u64,
    /// When the last manifest was written there, nanoseconds since 1970.
    pub manifest: Option<i64>,
    /// When the oldest segment was sealed that is to go there and is not there yet, nanoseconds since 1970.
    pub oldest_waiting: Option<i64>,
    /// Copies that were made there since the start.
    pub uploads: u64,
    /// Attempts at it that failed.
    pub failures: u64,
    /// Why the last attempt failed, where it did.
    pub trouble: Option<String>,
}

/// What is where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArchiveStatus {
    /// Each target.
    pub targets: Vec<TargetStatus>,
    /// Segments whose files have been on this disk ever since, and their bytes.
    pub here: (u64, u64),
    /// Segments that are in the archive alone, and their bytes.
    pub away: (u64, u64),
    /// Segments that were brought back for a while, and their bytes.
    pub restored: (u64, u64),
    /// Bytes on this disk of what finds things in segments that are away.
    pub index_bytes: u64,
    /// Requests that fetched parts of these since the start, and their bytes.
    pub fetched: (u64, u64),
}

impl Archive {
    /// What the catalog knows, and where it is in doubt what is kept here beside it.
    pub(super) fn new(
        env: &Arc<dyn Env>,
        layout: &Layout,
        options: &Options,
        mut records: Vec<ArchiveRecord>,
        (in_doubt, is_home): (bool, bool),
    ) -> Self {
        if in_doubt {
            let known: BTreeSet<u64> = records.iter().map(|record| record.id).collect();
            records.extend(kept_here(&**env, layout).into_iter().filter(|record| !known.contains(&record.id)));
        }
        let cold = ColdShared {
            env: Arc::clone(env),
            layout: layout.clone(),
            chunks: Chunks::new(options.cold_cache_bytes),
            shelf: Shelf::new(options.cold_index_bytes),
            fetched: Traffic::default(),
            reach: Reach::default(),
        };
        Self {
            targets: options.archive.clone(),
            cold: Arc::new(cold),
            records: RwLock::new(records.into_iter().map(|record| (record.id, Arc::new(record))).collect()),
            moving: Mutex::default(),
            troubles: Mutex::default(),
            is_home,
            holder: owner::drawn(&**env),
            directory: Mutex::default(),
            holds: Mutex::default(),
            covered: Mutex::default(),
            confirming: Mutex::default(),
            leaving: Mutex::default(),
            copied: AtomicU64::default(),
            last: Mutex::default(),
            history: Mutex::default(),
            strangers: Mutex::default(),
            wanted: Wanted::default(),
            attempts: Mutex::default(),
        }
    }

    /// What is archived of a segment.
    pub(crate) fn record(&self, id: u64) -> Option<Arc<ArchiveRecord>> {
        self.records.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// Lets a start forget what is archived of segments that there are no more, and of others what is here and has no use.
    pub(super) fn settle(&self, named: &BTreeSet<u64>, now: i64, change: &mut Change) -> Result<()> {
        let mut records = self.records.write().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<u64> = records.keys().copied().filter(|id| !named.contains(id)).collect();
        for record in gone.iter().filter_map(|id| records.remove(id)) {
            condemn(&record, now, change)?;
        }
        let cold = &self.cold;
        for entry in cold.env.list(&cold.layout.cold()).unwrap_or_default() {
            if self.targets.iter().any(|target| cold.layout.cold_manifest(&target.name).ends_with(&entry.name)) {
                continue;
            }
            let id = entry.name.split('.').next().and_then(|id| u64::from_str_radix(id, 16).ok());
            if !id.is_some_and(|id| records.get(&id).is_some_and(|record| record.is_away())) {
                // What stays is found at the next start.
                let _gone = cold.env.remove_file(&cold.layout.cold().join(&entry.name));
            }
        }
        Ok(())
    }

    /// What would be archived of a segment if its file here were gone; nothing where there is no copy to be read.
    pub(super) fn away(&self, id: u64) -> Option<ArchiveRecord> {
        let record = self.record(id).filter(|record| !self.copies(record).is_empty())?;
        Some(ArchiveRecord { residency: Residency::Away, ..(*record).clone() })
    }

    /// Opens those that are away and not among the files that were found, for a catalog that is made again. Those whose files
    /// are here as well are here.
    pub(super) fn adopt(
        &self,
        layout: &Layout,
        cache: &Arc<ReadCache>,
        found: &[(PathBuf, Segment)],
        change: &mut Change,
        troubles: &mut Vec<String>,
    ) -> Result<Vec<(PathBuf, Segment)>> {
        let here: BTreeSet<u64> = found.iter().map(|(_, segment)| segment.footer.id).collect();
        let mut away = Vec::new();
        for archived in self.all() {
            if here.contains(&archived.id) {
                let back = ArchiveRecord { residency: Residency::Here, ..(*archived).clone() };
                change.put_archived(&back)?;
                self.note(back);
                continue;
            }
            let opened = ColdFile::open(&self.cold, (*archived).clone(), self.copies(&archived)).and_then(|cold| {
                let (path, bytes) = (layout.segment(&cold.day(), archived.id), cold.bytes());
                Ok((path.clone(), Segment::over(Arc::new(cold), &path, bytes, cache)?))
            });
            change.put_archived(&archived)?;
            match opened {
                Ok(segment) => away.push(segment),
                Err(e) => troubles.push(format!("segment {:016x} in the archive is left out: {e}", archived.id)),
            }
        }
        Ok(away)
    }

    /// Whether a segment's file is not on this disk.
    pub(crate) fn is_away(&self, id: u64) -> bool {
        self.record(id).is_some_and(|record| record.is_away())
    }

    /// Whether a segment is in the archive alone, or back from there for a while.
    pub(crate) fn is_settled(&self, id: u64) -> bool {
        self.record(id).is_some_and(|record| record.residency != Residency::Here)
    }

    /// Whether a segment's file can leave this disk: a copy of it can be read.
    pub(crate) fn can_leave(&self, id: u64) -> bool {
        self.record(id).is_some_and(|record| !record.is_away() && !self.copies(&record).is_empty())
    }

    /// Whoever makes room by letting segments leave, unless somebody does.
    pub(crate) fn leaves_alone(&self) -> Option<MutexGuard<'_, ()>> {
        match self.leaving.try_lock() {
            Ok(alone) => Some(alone),
            Err(TryLockError::Poisoned(alone)) => Some(alone.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// How many copies were noted since the start.
    pub(crate) fn copied(&self) -> u64 {
        self.copied.load(Ordering::Relaxed)
    }

    /// Whether a segment is to go to the archive, and no copy of it is there yet.
    pub(crate) fn is_to_come(&self, live: &LiveSegment) -> bool {
        let has_copy = || self.record(live.record.id).is_some_and(|record| !record.copies.is_empty());
        !self.targets.is_empty() && live.record.class.archive && !has_copy()
    }

    /// Why something could not be had of the archive lately, if that is so.
    pub(crate) fn unreached(&self) -> Option<String> {
        self.cold.reach.why(self.cold.env.monotonic())
    }

    /// Whether a segment is away, and none of the targets that have it had it or answered lately.
    pub(crate) fn is_unreached(&self, id: u64) -> bool {
        let Some(record) = self.record(id).filter(|record| record.is_away()) else { return false };
        let (reach, now) = (&self.cold.reach, self.cold.env.monotonic());
        let is_missed = |copy: &Copy| reach.is_missed(&copy.bucket.place(), now);
        reach.is_lacked(id, now) || self.copies(&record).iter().all(is_missed)
    }

    /// The object of a segment, by its name in the first target that has it.
    pub(crate) fn object_of(&self, id: u64) -> Option<String> {
        self.record(id)?.copies.first().map(|copy| copy.object.clone())
    }

    /// All that is archived.
    fn all(&self) -> Vec<Arc<ArchiveRecord>> {
        self.records.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(super) fn note(&self, record: ArchiveRecord) {
        self.records.write().unwrap_or_else(PoisonError::into_inner).insert(record.id, Arc::new(record));
    }

    /// Forgets a segment that the catalog has forgotten, and removes what is here of it.
    pub(crate) fn forget(&self, id: u64) {
        let known = self.records.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if known.is_some() {
            self.forget_here(id);
        }
    }

    /// Removes what is here of a segment beside its file.
    fn forget_here(&self, id: u64) {
        self.cold.shelf.forget(id);
        for path in self.cold.paths(id) {
            // What stays is removed by the next start.
            let _gone = self.cold.env.remove_file(&path);
        }
    }

    /// Where a segment's copies are, of those in targets that are configured.
    fn copies(&self, record: &ArchiveRecord) -> Vec<Copy> {
        let of = |name: &str| self.targets.iter().find(|target| target.name == name);
        let copy = |copy: &ArchivedCopy| {
            of(&copy.target).map(|target| Copy { bucket: Arc::clone(&target.bucket), object: copy.object.clone() })
        };
        // In the order of the targets: the first is the primary one.
        let mut copies: Vec<_> = record.copies.iter().filter_map(copy).collect();
        copies.sort_by_key(|copy| self.targets.iter().position(|target| Arc::ptr_eq(&target.bucket, &copy.bucket)));
        copies
    }

    /// Opens a segment of which the file is in the archive alone.
    pub(super) fn open_away(
        &self,
        layout: &Layout,
        cache: &Arc<ReadCache>,
        record: &SegmentRecord,
        archived: &ArchiveRecord,
    ) -> Result<Segment> {
        let cold = ColdFile::open(&self.cold, archived.clone(), self.copies(archived))?;
        // By this path its file is known again when it comes back.
        Segment::over(Arc::new(cold), &layout.segment(&record.day, record.id), record.bytes, cache)
    }

    /// Notes what became sealed with all records below a number.
    pub(crate) fn sealed(&self, end_seq: u64, effects: &SealedEffects) {
        if !self.targets.is_empty() {
            locked(&self.history).note(end_seq, effects);
        }
    }

    /// Counts an attempt at copying a segment.
    fn attempted(&self, target: &Target, is_made: bool) {
        let mut attempts = locked(&self.attempts);
        let (made, failed) = attempts.entry(target.name.clone()).or_default();
        *(if is_made { made } else { failed }) += 1;
    }

    fn blame(&self, target: &Target, e: &Error) {
        locked(&self.troubles).insert(target.name.clone(), e.to_string());
    }

    fn praise(&self, target: &Target) {
        locked(&self.troubles).remove(&target.name);
    }
}

impl Shared {
    /// Lets a change condemn the copies of segments that it forgets.
    pub(crate) fn condemn_copies(&self, ids: &[u64], change: &mut Change, undo: &mut Change) -> Result<()> {
        for record in ids.iter().filter_map(|id| self.archive.record(*id)) {
            condemn(&record, self.env.now(), change)?;
            undo.put_archived(&record)?;
            for copy in &record.copies {
                undo.spare(&copy.target, &copy.object);
            }
        }
        Ok(())
    }

    /// Lets a change say that every segment's file is here: it is that of a copy which has all of them.
    pub(crate) fn put_all_here(&self, change: &mut Change) -> Result<()> {
        for record in self.archive.all().into_iter().filter(|record| record.residency != Residency::Here) {
            change.put_archived(&ArchiveRecord { residency: Residency::Here, ..(*record).clone() })?;
        }
        Ok(())
    }

    /// A segment that counts.
    fn live(&self, id: u64) -> Option<LiveSegment> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.segments.iter().find(|live| live.record.id == id).cloned()
    }

    fn segments(&self) -> Vec<LiveSegment> {
        let mut segments = self.state.read().unwrap_or_else(PoisonError::into_inner).segments.clone();
        segments.sort_by_key(|live| live.record.id);
        segments
    }

    /// A target by its name.
    fn target(&self, name: &str) -> Result<&Target> {
        self.archive.targets.iter().find(|target| target.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.archive.targets.iter().map(|target| target.name.as_str()).collect();
            let known =
                if names.is_empty() { "there is none".into() } else { format!("there are {}", names.join(", ")) };
            Error::new(ErrorKind::NotFound, format!("the archive has no target {name}: {known}"))
        })
    }

    /// Whether a segment is to go to a target and is not there.
    fn is_waiting(&self, target: &Target, live: &LiveSegment) -> bool {
        let record = self.archive.record(live.record.id);
        let is_there = record.is_some_and(|record| record.copy_in(&target.name).is_some());
        live.record.class.archive && live.record.rows > 0 && !is_there
    }

    /// Lets the status of a target say why something failed.
    fn noting<T>(&self, target: &Target, outcome: Result<T>) -> Result<T> {
        outcome.inspect_err(|e| {
            if e.kind() != ErrorKind::Closed {
                self.archive.blame(target, e);
            }
        })
    }

    /// Waits for all that was appended before to be in the first target.
    pub(super) fn want_archived(self: &Arc<Self>) -> Result<ArchiveWait> {
        if self.archive.targets.is_empty() {
            return Err(no_archive());
        }
        let sealed_seq = locked(&self.meta).sealed_seq;
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let end = state.generations.iter().map(|generation| generation.size().end_seq).max().unwrap_or(0);
        drop(state);
        Ok(ArchiveWait::begin(self, end.max(sealed_seq).saturating_sub(1)))
    }

    /// What is where.
    pub(super) fn archive_status(&self) -> ArchiveStatus {
        let archive = &self.archive;
        let mut status = ArchiveStatus {
            index_bytes: archive.cold.shelf.bytes(),
            fetched: archive.cold.fetched.sums(),
            ..ArchiveStatus::default()
        };
        let segments = self.segments();
        let add = |sum: &mut (u64, u64), bytes: u64| *sum = (sum.0 + 1, sum.1 + bytes);
        for live in &segments {
            match archive.record(live.record.id).map(|record| record.residency) {
                Some(Residency::Away) => add(&mut status.away, live.record.bytes),
                Some(Residency::Restored { .. }) => add(&mut status.restored, live.record.bytes),
                _ => add(&mut status.here, live.record.bytes),
            }
        }
        for target in &archive.targets {
            let (uploads, failures) = locked(&archive.attempts).get(&target.name).copied().unwrap_or_default();
            let mut of = TargetStatus {
                uploads,
                failures,
                name: target.name.clone(),
                place: target.bucket.place(),
                below: self.archived_below(target),
                manifest: locked(&archive.last).get(&target.name).map(|last| last.head.written).filter(|at| *at > 0),
                trouble: locked(&archive.troubles).get(&target.name).cloned(),
                ..TargetStatus::default()
            };
            for live in &segments {
                if archive.record(live.record.id).is_some_and(|r| r.copy_in(&target.name).is_some()) {
                    of.segments += 1;
                    of.bytes += live.record.bytes;
                } else if self.is_waiting(target, live) {
                    of.waiting += 1;
                    of.oldest_waiting = Some(of.oldest_waiting.unwrap_or(i64::MAX).min(live.record.created));
                }
            }
            status.targets.push(of);
        }
        status
    }
}

/// What is kept of segments whose files are away.
fn kept_here(env: &dyn Env, layout: &Layout) -> Vec<ArchiveRecord> {
    let entries = env.list(&layout.cold()).unwrap_or_default();
    let footers = entries.iter().map(|entry| layout.cold().join(&entry.name));
    footers.filter_map(|path| kept(env, &path).map(|(record, _)| record)).collect()
}

/// Lets a change forget what is archived of a segment, and condemn it.
pub(super) fn condemn(record: &ArchiveRecord, now: i64, change: &mut Change) -> Result<()> {
    change.remove_archived(record.id);
    for copy in &record.copies {
        let (target, object) = (copy.target.clone(), copy.object.clone());
        change.condemn(&CondemnedObject { target, object, since: now })?;
    }
    Ok(())
}

/// Why nothing is offloaded or restored where there is nowhere to.
fn no_archive() -> Error {
    Error::new(ErrorKind::Invalid, "there is no archive: name a target under [[archive]] in logyard.toml")
}
