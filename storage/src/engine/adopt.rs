//! Which of the segment files on disk count, by their footers alone: for a catalog that is made again, and for a check
//! without one.
//!
//! Invariants
//! * A row is taken once: not from a segment and from one that took its place, nor from a segment and the log.
use super::archive::Archive;
use super::returned::unread_record;
use super::segments::{may_be_sound, open_segment, segment_files, set_aside};
use crate::catalog::{Change, Meta, SegmentRecord};
use crate::env::Env;
use crate::error::{ErrorKind, Result};
use crate::layout::Layout;
use crate::segment::{ReadCache, Segment};
use crate::wal;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

/// Where segments are found.
pub(super) struct Sources<'a> {
    pub(super) env: &'a Arc<dyn Env>,
    pub(super) layout: &'a Layout,
    pub(super) cache: &'a Arc<ReadCache>,
    pub(super) archive: &'a Archive,
}

/// Takes over every whole segment on disk into a new catalog. Those that cannot be read are kept for a start that can.
pub(super) fn adopt_segments(
    found_in: &Sources<'_>,
    records: &mut Vec<SegmentRecord>,
    meta: &mut Meta,
    change: &mut Change,
    troubles: &mut Vec<String>,
) -> Result<()> {
    let Sources { env, layout, cache, archive } = *found_in;
    let (mut footers, mut unread) = (Vec::new(), Vec::new());
    for path in segment_files(&**env, layout)? {
        if path.extension().is_none_or(|extension| extension != "seg") {
            continue;
        }
        match open_segment(&**env, &path, cache) {
            Ok(segment) => footers.push((path, segment)),
            Err(e) if e.kind() == ErrorKind::Corrupt => {
                troubles.push(format!("{} is set aside: {e}", path.display()));
                set_aside(&**env, layout, &path, troubles);
            }
            Err(e) if may_be_sound(&e) => unread.push(path),
            Err(e) => return Err(e.context("the catalog is lost, and it is made again from every segment")),
        }
    }
    footers.extend(archive.adopt(layout, cache, &footers, change, troubles)?);
    let unread: Vec<SegmentRecord> = unread.iter().filter_map(|path| unread_record(path)).collect();
    let unread_ids: Vec<u64> = unread.iter().map(|record| record.id).collect();
    let unfinished = drop_unfinished(&mut footers, &unread_ids, layout, env);
    unfinished.iter().for_each(|path| set_aside(&**env, layout, path, troubles));
    let replaced = drop_replaced(&mut footers);
    for record in unread.into_iter().filter(|record| !replaced.contains(&record.id)) {
        change.put_segment(&record)?;
        records.push(record);
    }
    for (path, segment) in &footers {
        let away = archive.record(segment.footer.id).filter(|record| record.is_away());
        let crc = match away {
            Some(away) => Ok(away.crc),
            None => crate::env::read_file(&**env, path, u64::MAX >> 1).map(|bytes| crc32fast::hash(&bytes)),
        };
        let crc = match crc {
            Ok(crc) => crc,
            Err(e) => {
                troubles.push(format!("{} cannot be read as a whole: {e}", path.display()));
                0
            }
        };
        let record = crate::maintain::record_of(&segment.footer, segment.bytes, crc);
        meta.sealed_seq = meta.sealed_seq.max(segment.footer.sealed_seq);
        change.put_segment(&record)?;
        records.push(record);
    }
    Ok(())
}

/// Leaves out segments that were written and never committed: their rows are in the log still, or in the segments that
/// they were to take the place of. Gives their files. `unread` are there too, and nobody knows what they say.
pub(super) fn drop_unfinished(
    footers: &mut Vec<(PathBuf, Segment)>,
    unread: &[u64],
    layout: &Layout,
    env: &Arc<dyn Env>,
) -> Vec<PathBuf> {
    let merges = unfinished_merges(footers, unread);
    let seal = unfinished_seal(footers).filter(|(_, first_seq)| is_logged(env, layout, *first_seq));
    let mut unfinished = Vec::new();
    footers.retain(|(path, segment)| {
        let footer = &segment.footer;
        let is_unfinished = match footer.replaces.is_empty() {
            true => seal.is_some_and(|(sealed_seq, _)| sealed_seq == footer.sealed_seq),
            false => merges.contains(&footer.replaces),
        };
        if is_unfinished {
            unfinished.push(path.clone());
        }
        !is_unfinished
    });
    unfinished
}

/// Leaves out segments that later ones took the place of. Gives the numbers of all that are to be left out so.
pub(super) fn drop_replaced(footers: &mut Vec<(PathBuf, Segment)>) -> BTreeSet<u64> {
    let replaced: BTreeSet<u64> = footers.iter().flat_map(|(_, s)| s.footer.replaces.iter().copied()).collect();
    footers.retain(|(_, segment)| !replaced.contains(&segment.footer.id));
    replaced
}

/// What merges were to replace that did not write all their segments. Once one is committed the old files go: where one
/// of them is gone it was, and what is missing of the new ones has expired since.
fn unfinished_merges(footers: &[(PathBuf, Segment)], unread: &[u64]) -> BTreeSet<Vec<u64>> {
    let ids: BTreeSet<u64> =
        footers.iter().map(|(_, segment)| segment.footer.id).chain(unread.iter().copied()).collect();
    let mut found: BTreeMap<&[u64], u32> = BTreeMap::new();
    for (_, segment) in footers.iter().filter(|(_, segment)| !segment.footer.replaces.is_empty()) {
        *found.entry(&segment.footer.replaces).or_default() += 1;
    }
    let is_short = |footer: &crate::segment::Footer| {
        found.get(footer.replaces.as_slice()).is_some_and(|n| *n < footer.parts)
            && footer.replaces.iter().all(|old| ids.contains(old))
    };
    footers.iter().map(|(_, segment)| &segment.footer).filter(|f| is_short(f)).map(|f| f.replaces.clone()).collect()
}

/// The seal that may have been cut short, by its `sealed_seq`, and its first number. A later seal or merge, which only
/// begin when it is committed, prove that it was not; where segments are missing of an older one, they have expired.
fn unfinished_seal(footers: &[(PathBuf, Segment)]) -> Option<(u64, u64)> {
    let newest = footers.iter().map(|(_, segment)| segment.footer.sealed_seq).max()?;
    let is_known = footers.iter().any(|(_, s)| s.footer.sealed_seq == newest && !s.footer.replaces.is_empty());
    let of_seal: Vec<_> = footers.iter().map(|(_, s)| &s.footer).filter(|f| f.sealed_seq == newest).collect();
    let parts = of_seal.iter().map(|footer| footer.parts).max()?;
    let first_seq = of_seal.iter().map(|footer| footer.seqs().0).min()?;
    (!is_known && of_seal.len() < parts as usize).then_some((newest, first_seq))
}

/// Whether the log has the record with this number still, or nobody can tell: it retires only what was committed.
fn is_logged(env: &Arc<dyn Env>, layout: &Layout, seq: u64) -> bool {
    let mut found = false;
    let read = wal::replay(env, &layout.wal(), 0, &mut |frame| {
        found |= (frame.first_seq..frame.first_seq + u64::from(frame.rows)).contains(&seq);
        Ok(())
    });
    found || read.is_err()
}
