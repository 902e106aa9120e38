//! Lets files of segments go that are in the archive.
//!
//! Order: what finds things in it is written beside and durable; the catalog says that the file is away; searches look there;
//! the file is removed. A crash in between leaves a file too many, which the next start removes.
//!
//! Invariants
//! * A file goes only where a copy of it was verified in a target that is configured, and was there, and the target this directory's, a
//!   moment ago.
//! * No turn is held, and nobody waits, while a target is asked.
use super::{LiveSegment, Shared};
use crate::archive::{heads, to_keep};
use crate::catalog::{ArchiveRecord, Change, Residency};
use crate::env::write_file_atomic;
use crate::error::{Error, ErrorKind, Result};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Shared {
    /// Lets the file of a segment go, if it is in the archive and here. Says whether it went.
    ///
    /// The target is asked before the turn is taken, for which others wait.
    pub(crate) fn evict(&self, id: u64) -> Result<bool> {
        let Some(record) = self.archive.record(id) else { return Ok(false) };
        if record.is_away() || self.archive.copies(&record).is_empty() || !self.keeps_a_copy(&record)? {
            return Ok(false);
        }
        let _turn = self.turn();
        let (Some(live), Some(record)) = (self.live(id), self.archive.record(id)) else { return Ok(false) };
        if record.is_away() || self.archive.copies(&record).is_empty() || self.lost.touches(id) {
            return Ok(false);
        }
        self.keep_index(&live, &record)?;
        let away = ArchiveRecord { residency: Residency::Away, ..(*record).clone() };
        let opened = self.archive.open_away(&self.layout, &self.cache, &live.record, &away);
        let opened = opened.inspect_err(|_| self.archive.forget_here(id))?;
        self.settle(&live, &record, away, opened)?;
        self.abandon(vec![live.segment.path().to_path_buf()]);
        Ok(true)
    }

    /// Lets files of segments go that are in the archive, until the disk is below its mark: those with the oldest rows first.
    /// No turn may be held.
    pub(crate) fn make_room_by_leaving(&self) -> Result<()> {
        let mut segments = self.segments();
        segments.sort_by_key(|live| (live.record.time_max, live.record.id));
        for live in segments {
            if !self.is_disk_short() {
                break;
            }
            self.evict(live.record.id)?;
        }
        Ok(())
    }

    /// Lets files of segments go. No turn may be held.
    pub(crate) fn let_leave(&self, ids: &BTreeSet<u64>) -> Result<()> {
        ids.iter().try_for_each(|id| self.evict(*id).map(drop))
    }

    /// Whether a copy of a segment is where the catalog says it is, in a target that is this directory's. A copy that is gone is
    /// forgotten, and made again.
    fn keeps_a_copy(&self, record: &ArchiveRecord) -> Result<bool> {
        let mut failed = None;
        for target in &self.archive.targets {
            let Some(copy) = record.copy_in(&target.name) else { continue };
            let found = self.own(target).and_then(|()| target.bucket.len(&copy.object));
            match found {
                Ok(Some(bytes)) if bytes == record.bytes => return Ok(true),
                Ok(_) => {
                    let message = format!(
                        "{}/{} is gone, or not what was stored there: it is copied again",
                        target.bucket.place(),
                        copy.object
                    );
                    self.archive.blame(target, &Error::new(ErrorKind::Unavailable, message));
                    self.forget_copy(record.id, &target.name)?;
                }
                Err(e) => {
                    if e.kind() == ErrorKind::Unavailable {
                        let (reach, now) = (&self.archive.cold.reach, self.env.monotonic());
                        reach.missed(target.bucket.place(), e.to_string(), now);
                    }
                    failed = Some(failed.unwrap_or(e));
                }
            }
        }
        failed.map_or(Ok(false), Err)
    }

    /// Lets the catalog forget a copy that is not there.
    fn forget_copy(&self, id: u64, target: &str) -> Result<()> {
        let _turn = self.turn();
        let Some(record) = self.archive.record(id) else { return Ok(()) };
        let mut without = (*record).clone();
        without.copies.retain(|copy| copy.target != target);
        let (mut change, mut undo) = (Change::new(), Change::new());
        change.put_archived(&without)?;
        undo.put_archived(&record)?;
        self.commit_catalog(&change, &undo)?;
        self.archive.note(without);
        Ok(())
    }

    /// Lets the catalog know where a segment's file is, then searches.
    pub(super) fn settle(
        &self,
        live: &LiveSegment,
        before: &ArchiveRecord,
        after: ArchiveRecord,
        opened: crate::segment::Segment,
    ) -> Result<()> {
        self.is_closing()?;
        let (mut change, mut undo) = (Change::new(), Change::new());
        change.put_archived(&after)?;
        undo.put_archived(before)?;
        self.commit_catalog(&change, &undo)?;
        self.archive.note(after);
        self.exchange(live.record.id, LiveSegment { record: live.record.clone(), segment: Arc::new(opened) });
        Ok(())
    }

    /// Writes what finds things in a segment beside the others of its kind.
    fn keep_index(&self, live: &LiveSegment, record: &ArchiveRecord) -> Result<()> {
        let folder = self.layout.cold();
        if !self.env.exists(&folder).map_err(|e| Error::io("look for", &folder, e))? {
            self.env.create_dir_all(&folder).map_err(|e| Error::io("create", &folder, e))?;
            let root = self.layout.root();
            self.env.sync_dir(root).map_err(|e| Error::io("sync", root, e))?;
        }
        let [footer, index] = self.archive.cold.paths(live.record.id);
        let source = live.segment.source();
        let read = |from: u64, to: u64| -> Result<Vec<u8>> {
            let mut bytes = vec![0; usize::try_from(to - from).unwrap_or(usize::MAX)];
            source.read(from, &mut bytes)?;
            Ok(bytes)
        };
        let bytes = read(record.index_at, record.footer_at)?;
        if crc32fast::hash(&bytes) != record.index_crc {
            return Err(Error::corrupt(format!("{} is not what was copied", live.segment.path().display())));
        }
        let mut bytes = bytes;
        for (from, to) in heads(&live.segment.footer) {
            bytes.extend(read(from, to)?);
        }
        write_file_atomic(&*self.env, &index, &bytes).map_err(|e| Error::io("write", &index, e))?;
        let kept = bytes.len() as u64;
        let away = ArchiveRecord { residency: Residency::Away, ..record.clone() };
        let bytes = to_keep(&away, &read(record.footer_at, live.segment.bytes)?)?;
        write_file_atomic(&*self.env, &footer, &bytes).map_err(|e| Error::io("write", &footer, e))?;
        let gone = self.archive.cold.shelf.put(live.record.id, kept);
        self.archive.cold.forget_indexes(&gone);
        Ok(())
    }
}
