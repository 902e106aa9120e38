//! Manifests of targets: what belongs together of segments and state, written when it has changed.
//!
//! Taken while nothing is sealed, merged or removed; written when every segment in it is in the target. What a segment took the
//! place of stays there for as long as the last manifest names it: so the target is whole at every moment.
//!
//! Invariants
//! * A manifest names objects that were read back and compared, and no row twice.
//! * Its checkpoints and keys are as old as its cut or older, never newer: what is fetched or sent again is known to be there.
//! * No record that the manifest before it had is missing, unless it expired, was deleted, or does not go to the archive.
use super::history::Effects;
use super::{Shared, locked};
use crate::archive::{
    AWAITED_MAX, Head, MANIFEST_BYTES_MAX, MANIFESTS, Manifest, Put, Target, manifest_number, manifest_object,
};
use crate::catalog::{ArchiveRecord, Change, SegmentRecord, Table, read_stored};
use crate::env::{read_file, write_file_atomic};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::FORMAT_VERSION;
use crate::planted;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Manifests that stay in a target.
const KEPT: u64 = 3;
/// How often a number is looked for that nobody has.
const ATTEMPTS: u32 = 3;

/// The last manifest of a target.
#[derive(Clone, Debug, Default)]
pub(super) struct Last {
    pub(super) head: Head,
    /// The objects that it names.
    pub(super) objects: BTreeSet<String>,
    content: u64,
}

impl Last {
    fn of(manifest: &Manifest) -> Result<Self> {
        let mut objects = BTreeSet::new();
        for (table, key, stored) in manifest.rows.puts().filter(|(table, ..)| *table == Table::Archive) {
            let record: ArchiveRecord = read_stored(table, key, stored)?;
            objects.extend(record.copy_in(&manifest.head.target).map(|copy| copy.object.clone()));
        }
        Ok(Self { head: manifest.head.clone(), objects, content: manifest.content() })
    }
}

/// The state that a manifest is made of.
struct Taken {
    manifest: Manifest,
    /// Segments without which the target would lose records that it has.
    missing: Vec<u64>,
}

impl Shared {
    /// Writes a target's manifest, if anything has changed. Says whether it is up to date then: it is not where a segment has to
    /// be copied first.
    pub(super) fn write_manifest(&self, target: &Target) -> Result<bool> {
        let last = self.last_manifest(target)?;
        let Taken { mut manifest, missing } = self.take_manifest(target, &last)?;
        if !missing.is_empty() && !planted::on("manifest-without-what-was-merged") {
            return Ok(false);
        }
        let earlier = self.earlier_effects(target);
        let cut = manifest.head.cut;
        let now = self.env.now();
        let sealed = locked(&self.effects).clone();
        let effects = locked(&self.archive.history).as_of(cut, earlier, sealed.into_iter());
        for (key, row) in effects.iter().filter(|(_, row)| !row.is_over(now)) {
            manifest.rows.put_effect(key, row)?;
        }
        let is_told = manifest.head.below <= last.head.below || !self.waits_for_manifest(target)?;
        if last.head.number > 0 && last.content == manifest.content() && is_told {
            return Ok(true);
        }
        self.own(target)?;
        self.put_manifest(target, manifest)?;
        self.forget_history();
        Ok(true)
    }

    /// The last manifest of a target: as it is kept here, or as the target has it.
    pub(super) fn last_manifest(&self, target: &Target) -> Result<Arc<Last>> {
        if let Some(last) = locked(&self.archive.last).get(&target.name) {
            return Ok(Arc::clone(last));
        }
        let id = self.directory_id()?;
        let here = self.manifest_here(target).filter(|manifest| manifest.head.directory == id);
        let last = match here {
            Some(manifest) => Last::of(&manifest)?,
            None => self.manifest_there(target)?,
        };
        let last = Arc::new(last);
        locked(&self.archive.last).insert(target.name.clone(), Arc::clone(&last));
        Ok(last)
    }

    fn manifest_here(&self, target: &Target) -> Option<Manifest> {
        let path = self.layout.cold_manifest(&target.name);
        let bytes = read_file(&*self.env, &path, MANIFEST_BYTES_MAX).ok()?;
        Manifest::decode(&bytes).ok()
    }

    /// What the target has: of another directory's only the number, which is passed over.
    fn manifest_there(&self, target: &Target) -> Result<Last> {
        let Some(number) = numbers(&*target.bucket)?.pop() else { return Ok(Last::default()) };
        let above = Last { head: Head { number, ..Head::default() }, ..Last::default() };
        let Some((bytes, _)) = target.bucket.small(&manifest_object(number), MANIFEST_BYTES_MAX)? else {
            return Ok(above);
        };
        match Manifest::decode(&bytes) {
            Ok(manifest) if manifest.head.directory == self.directory_id()? => {
                self.keep_manifest(target, &bytes)?;
                Last::of(&manifest)
            }
            _ => Ok(above),
        }
    }

    fn keep_manifest(&self, target: &Target, bytes: &[u8]) -> Result<()> {
        let (folder, path) = (self.layout.cold(), self.layout.cold_manifest(&target.name));
        self.env.create_dir_all(&folder).map_err(|e| Error::io("create", &folder, e))?;
        write_file_atomic(&*self.env, &path, bytes).map_err(|e| Error::io("write", &path, e))
    }

    /// Effects as the last manifest has them.
    fn earlier_effects(&self, target: &Target) -> Effects {
        let Some(manifest) = self.manifest_here(target) else { return Effects::new() };
        let effects = manifest.rows.puts().filter(|(table, ..)| *table == Table::Effects);
        effects.filter_map(|(table, key, stored)| Some((key.to_vec(), read_stored(table, key, stored).ok()?))).collect()
    }

    /// Takes the state, while nothing of it changes.
    fn take_manifest(&self, target: &Target, last: &Last) -> Result<Taken> {
        let _held = locked(&self.maintenance);
        let mut records: Vec<SegmentRecord> = self.segments().into_iter().map(|live| live.record).collect();
        records.extend(self.unread.iter().cloned());
        let covered = self.covered(target, last)?;
        let mut head = Head {
            format: FORMAT_VERSION,
            target: target.name.clone(),
            directory: self.directory_id()?,
            written: self.env.now(),
            sealed_seq: locked(&self.meta).sealed_seq,
            admin_key: self.admin_key_hash(),
            ..Head::default()
        };
        let mut rows = Change::new();
        let (mut missing, mut below) = (Vec::new(), head.sealed_seq);
        for record in records.iter().filter(|record| record.class.archive && record.rows > 0) {
            let archived = self.archive.record(record.id).filter(|archived| archived.copy_in(&target.name).is_some());
            let Some(archived) = archived else {
                below = below.min(record.first_seq);
                head.awaited.push(record.id);
                if record.first_seq < covered && self.took_a_place(record.id) {
                    missing.push(record.id);
                }
                continue;
            };
            rows.put_segment(record)?.put_archived(&archived)?;
            head.segments += 1;
            head.bytes += record.bytes;
            head.covered = head.covered.max(record.last_seq + 1);
        }
        head.cut = self.moment_before(below, last.head.cut);
        head.below = below;
        head.awaited.sort_unstable();
        head.awaited.truncate(AWAITED_MAX);
        if missing.is_empty() || planted::on("manifest-without-what-was-merged") {
            let is_own = |table| matches!(table, Table::Segments | Table::Archive | Table::Condemned | Table::Effects);
            rows.then(self.catalog.whole()?.keep_puts(|table, _| !is_own(table)));
        }
        Ok(Taken { manifest: Manifest { head, rows }, missing })
    }

    /// Records below this number may be in the target, in segments that the catalog knows, or in such as others took the place of.
    pub(super) fn covered(&self, target: &Target, last: &Last) -> Result<u64> {
        if let Some(covered) = locked(&self.archive.covered).get(&target.name) {
            return Ok(last.head.covered.max(*covered));
        }
        let has_copy = |id| self.archive.record(id).is_some_and(|record| record.copy_in(&target.name).is_some());
        let copied = self.segments().into_iter().filter(|live| has_copy(live.record.id));
        let copied = copied.map(|live| live.record.last_seq + 1).max().unwrap_or(0);
        // What was condemned may have had any record that was sealed.
        let condemned = if self.condemned(target)?.is_empty() { 0 } else { locked(&self.meta).sealed_seq };
        let mut all = locked(&self.archive.covered);
        let covered = all.entry(target.name.clone()).or_default();
        *covered = copied.max(condemned).max(*covered);
        Ok(last.head.covered.max(*covered))
    }

    /// Whether a segment has rows of others that it took the place of. Of one that cannot be read nobody knows.
    fn took_a_place(&self, id: u64) -> bool {
        self.live(id).is_some_and(|live| !live.segment.footer.replaces.is_empty())
    }

    /// The last moment between two seals up to a sequence number.
    fn moment_before(&self, seq: u64, earlier: u64) -> u64 {
        let sealed_seq = locked(&self.meta).sealed_seq;
        let footers = self.segments().into_iter().map(|live| live.segment.footer.sealed_seq);
        let known = footers.chain([sealed_seq, earlier]).filter(|end| *end <= seq);
        known.chain(locked(&self.archive.history).last_end(seq)).max().unwrap_or(0)
    }

    fn put_manifest(&self, target: &Target, mut manifest: Manifest) -> Result<()> {
        for _again in 0..ATTEMPTS {
            let last = self.last_manifest(target)?;
            manifest.head.number = last.head.number + 1;
            manifest.head.first = if last.head.first > 0 { last.head.first } else { manifest.head.number };
            let (object, bytes) = (manifest_object(manifest.head.number), manifest.encode()?);
            let piece = |at: u64, buf: &mut [u8]| {
                let from = usize::try_from(at).ok().and_then(|at| bytes.get(at..at.checked_add(buf.len())?));
                buf.copy_from_slice(from.ok_or_else(|| Error::bug("a manifest is shorter than it is"))?);
                Ok(())
            };
            let put = target.bucket.put_new(&object, bytes.len() as u64, &piece)?;
            let back = target.bucket.small(&object, MANIFEST_BYTES_MAX)?;
            self.is_closing()?;
            if back.is_some_and(|(back, _)| back == bytes) {
                self.keep_manifest(target, &bytes)?;
                locked(&self.archive.last).insert(target.name.clone(), Arc::new(Last::of(&manifest)?));
                self.archive.praise(target);
                self.remove_old_manifests(target, &manifest.head);
                return Ok(());
            }
            if put == Put::Made {
                target.bucket.remove(&object)?;
                continue;
            }
            // One of this number is there: perhaps one's own, of which the answer was lost.
            let above = self.manifest_there(target)?;
            let number = above.head.number.max(manifest.head.number);
            let above = Last { head: Head { number, ..above.head }, ..above };
            locked(&self.archive.last).insert(target.name.clone(), Arc::new(above));
        }
        let message = format!("{}: the manifest does not come back as it was sent", target.bucket.place());
        Err(Error::new(ErrorKind::Unavailable, message))
    }

    /// Removes manifests that are older than the last ones. Those of another directory, whose place this was, stay: they name
    /// what it had there.
    fn remove_old_manifests(&self, target: &Target, head: &Head) {
        let Ok(numbers) = numbers(&*target.bucket) else { return };
        for old in numbers.into_iter().filter(|old| *old >= head.first && old + KEPT <= head.number) {
            // What stays is removed with the next one.
            let _gone = target.bucket.remove(&manifest_object(old));
        }
    }

    /// Forgets what all targets have.
    fn forget_history(&self) {
        let last = locked(&self.archive.last);
        let cuts = self.archive.targets.iter().map(|target| last.get(&target.name).map_or(0, |last| last.head.cut));
        let all = cuts.min().unwrap_or(0);
        drop(last);
        locked(&self.archive.history).forget(all);
    }

    /// Every record below this number that goes to the archive is in a target.
    pub(super) fn archived_below(&self, target: &Target) -> u64 {
        let _held = locked(&self.maintenance);
        let sealed_seq = locked(&self.meta).sealed_seq;
        let is_missing = |record: &SegmentRecord| {
            let is_there = || self.archive.record(record.id).is_some_and(|known| known.copy_in(&target.name).is_some());
            record.class.archive && record.rows > 0 && !is_there()
        };
        let segments = self.segments();
        let missing = segments.iter().map(|live| &live.record).chain(&self.unread).filter(|record| is_missing(record));
        missing.map(|record| record.first_seq).min().map_or(sealed_seq, |first| first.min(sealed_seq))
    }
}

/// The objects that manifests of other directories name, below the first of this one's own. One that cannot be read is an error.
pub(super) fn named_by_others(bucket: &dyn crate::archive::Bucket, head: &Head) -> Result<BTreeSet<String>> {
    let mut named = BTreeSet::new();
    for number in numbers(bucket)?.into_iter().filter(|number| *number < head.first || head.first == 0) {
        if let Some((bytes, _)) = bucket.small(&manifest_object(number), MANIFEST_BYTES_MAX)? {
            let manifest = Manifest::decode(&bytes)?;
            named.extend(Last::of(&manifest)?.objects);
        }
    }
    Ok(named)
}

/// The numbers of the manifests that are there, lowest first.
pub(super) fn numbers(bucket: &dyn crate::archive::Bucket) -> Result<Vec<u64>> {
    let mut numbers = Vec::new();
    bucket.list(MANIFESTS, &mut |found| {
        numbers.extend(manifest_number(&found.name));
        Ok(())
    })?;
    numbers.sort_unstable();
    Ok(numbers)
}
