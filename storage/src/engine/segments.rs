//! The segment files of a directory at its start: which can be read, which are set aside, and which nobody names.
//!
//! Invariants
//! * What is damaged is set aside and named. What cannot be read stays where it is, and the catalog keeps it.
//! * A file that nothing names is removed only where the catalog was whole.
//! * The number of a segment that is in quarantine is not given to another, which would take its name there one day.
use super::LiveSegment;
use super::archive::Archive;
use super::returned::is_anybodys_guess;
use crate::catalog::{Change, SegmentRecord, SegmentState};
use crate::env::Env;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{Layout, TEMPORARY};
use crate::segment::{ReadCache, Segment};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Opens a segment; what fails once and not again is nothing to go by.
pub(super) fn open_segment(env: &dyn Env, path: &Path, cache: &Arc<ReadCache>) -> Result<Segment> {
    match Segment::open(env, path, cache) {
        Err(e) if may_be_sound(&e) => Segment::open(env, path, cache),
        opened => opened,
    }
}

/// Whether an error says nothing of what is stored: permissions or the device may be mended.
pub(crate) fn may_be_sound(e: &Error) -> bool {
    !matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::NotFound | ErrorKind::NewerFormat)
}

/// The segments that the catalog names, as they were found.
pub(super) struct Segments {
    /// What is searched.
    pub(super) live: Vec<LiveSegment>,
    /// What can be read again, and is not yet compared with the rest.
    pub(super) returned: Vec<LiveSegment>,
    /// What cannot be read: the catalog keeps them, and their files stay where they are.
    pub(super) unread: Vec<SegmentRecord>,
}

/// Opens the segments that the catalog names; those whose files are in the archive from there. One that is damaged or gone is set aside; its rows are named as lost.
pub(super) fn open_segments(
    env: &dyn Env,
    layout: &Layout,
    cache: &Arc<ReadCache>,
    archive: &Archive,
    records: &[SegmentRecord],
    change: &mut Change,
    troubles: &mut Vec<String>,
) -> Result<Segments> {
    let mut opened = Segments { live: Vec::new(), returned: Vec::new(), unread: Vec::new() };
    for record in records {
        if record.state == SegmentState::Doomed {
            change.remove_segment(record.id);
            continue;
        }
        if let Some(away) = archive.record(record.id).filter(|archived| archived.is_away()) {
            match archive.open_away(layout, cache, record, &away) {
                Ok(segment) => {
                    opened.live.push(LiveSegment { record: record.clone(), segment: Arc::new(segment) });
                }
                Err(e) => {
                    let named = named(record);
                    troubles.push(format!("{named} is left out of searches until a start that can reach it: {e}"));
                    opened.unread.push(record.clone());
                }
            }
            continue;
        }
        let path = layout.segment(&record.day, record.id);
        let found = match open_segment(env, &path, cache) {
            Err(e) if matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {
                match from_archive(layout, cache, archive, record, change)? {
                    Some(segment) => {
                        troubles.push(format!("{} is read from the archive from now on: {e}", named(record)));
                        set_aside(env, layout, &path, troubles);
                        Ok(segment)
                    }
                    None => Err(e),
                }
            }
            found => found,
        };
        match found {
            Ok(segment) if segment.footer.id == record.id => {
                let is_back = record.state == SegmentState::Unread;
                let of = if is_back { &mut opened.returned } else { &mut opened.live };
                of.push(LiveSegment { record: record.clone(), segment: Arc::new(segment) });
            }
            Ok(_) => {
                troubles.push(lost(record, &format!("{} is another segment", path.display())));
                set_aside(env, layout, &path, troubles);
                change.remove_segment(record.id);
            }
            Err(e) if matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {
                troubles.push(lost(record, &e.to_string()));
                set_aside(env, layout, &path, troubles);
                change.remove_segment(record.id);
            }
            Err(e) if may_be_sound(&e) => {
                troubles.push(format!(
                    "{} cannot be read and is left out of searches until a start that can read it: {e}",
                    named(record)
                ));
                opened.unread.push(record.clone());
            }
            Err(e) => return Err(e),
        }
    }
    Ok(opened)
}

/// A segment whose file here is lost, where a copy of it can be read.
fn from_archive(
    layout: &Layout,
    cache: &Arc<ReadCache>,
    archive: &Archive,
    record: &SegmentRecord,
    change: &mut Change,
) -> Result<Option<Segment>> {
    let Some(away) = archive.away(record.id) else { return Ok(None) };
    let Ok(segment) = archive.open_away(layout, cache, record, &away) else { return Ok(None) };
    change.put_archived(&away)?;
    archive.note(away);
    Ok(Some(segment))
}

fn lost(record: &SegmentRecord, why: &str) -> String {
    format!("{} is set aside: {why}", named(record))
}

/// A segment and its records, for people.
pub(super) fn named(record: &SegmentRecord) -> String {
    let SegmentRecord { id, first_seq, last_seq, .. } = record;
    if is_anybodys_guess(record) {
        return format!("segment {id:016x}, and nothing else says which records are in it,");
    }
    format!("segment {id:016x} with records {first_seq} to {last_seq}")
}

/// Moves a damaged file to the quarantine.
pub(crate) fn set_aside(env: &dyn Env, layout: &Layout, path: &Path, troubles: &mut Vec<String>) {
    let Some(name) = path.file_name() else { return };
    let to = layout.quarantine().join(name);
    let moved = env.rename(path, &to).and_then(|()| env.sync_dir(&layout.quarantine()));
    match moved {
        Ok(()) => troubles.push(format!("{} was moved to {}", path.display(), to.display())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => troubles.push(format!("{} could not be moved to {}: {e}", path.display(), to.display())),
    }
}

/// Every segment file there is.
pub(super) fn segment_files(env: &dyn Env, layout: &Layout) -> Result<Vec<PathBuf>> {
    let root = layout.segments();
    let mut files = Vec::new();
    for day in env.list(&root).map_err(|e| Error::io("list", &root, e))?.into_iter().filter(|entry| entry.is_dir) {
        let directory = root.join(&day.name);
        let entries = env.list(&directory).map_err(|e| Error::io("list", &directory, e))?;
        files.extend(entries.into_iter().filter(|entry| !entry.is_dir).map(|entry| directory.join(entry.name)));
    }
    Ok(files)
}

/// The highest number of a segment that was set aside: who brings it back from a backup finds its place free.
pub(super) fn highest_aside(env: &dyn Env, layout: &Layout) -> u64 {
    let numbered = |name: &str| u64::from_str_radix(name.strip_suffix(".seg")?, 16).ok();
    let aside = env.list(&layout.quarantine()).unwrap_or_default();
    aside.iter().filter_map(|entry| numbered(&entry.name)).max().unwrap_or(0)
}

/// Removes what a crash left behind: unfinished files, and segments that the catalog never named. Where the catalog was
/// not whole, a segment that nothing names is set aside instead.
pub(super) fn sweep(
    env: &dyn Env,
    layout: &Layout,
    named: &BTreeSet<PathBuf>,
    in_doubt: bool,
    troubles: &mut Vec<String>,
) {
    let Ok(files) = segment_files(env, layout) else { return };
    for path in files.into_iter().filter(|path| !named.contains(path)) {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("seg") if in_doubt => set_aside(env, layout, &path, troubles),
            Some("seg" | TEMPORARY) => {
                if let Err(e) = env.remove_file(&path) {
                    troubles.push(format!("{} could not be removed: {e}", path.display()));
                }
            }
            _ => {}
        }
    }
}
