//! Opening a data directory, whatever state it was left in.
//!
//! Order: lock, catalog, segments, log, orphans. `docs/recovery.md` tells it in full.
//!
//! Invariants
//! * It ends in serving: what is damaged is set aside and named, never deleted and never a reason to stop.
//! * It changes nothing that a second run, after a crash in the middle of the first, would read otherwise.
use super::{LiveSegment, Shared, State, is_live};
use crate::catalog::{Catalog, Change, EffectRow, Meta};
use crate::env::{DirLock, Env};
use crate::error::{Error, ErrorKind, Result};
use crate::hot::Generation;
use crate::layout::{Layout, TEMPORARY};
use crate::options::Options;
use crate::payload;
use crate::segment::{ReadCache, Segment};
use crate::wal::{self, Files, Start, Writer};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Condvar, Mutex, RwLock};

/// An engine that has everything but its threads.
pub(super) struct Recovered {
    pub(super) shared: Arc<Shared>,
    pub(super) writer: Writer,
    pub(super) next_seq: u64,
    pub(super) lock: Box<dyn DirLock>,
}

/// Takes the lock of a data directory.
pub(super) fn take_lock(env: &dyn Env, layout: &Layout) -> Result<Box<dyn DirLock>> {
    let path = layout.lock();
    env.lock(&path).map_err(|e| {
        if e.kind() == std::io::ErrorKind::WouldBlock {
            let message =
                format!("{} is held by another process: stop it, or use another data directory", path.display());
            return Error::new(ErrorKind::Locked, message);
        }
        Error::io("lock", &path, e)
    })
}

/// Makes the directories, durably.
fn make_directories(env: &dyn Env, layout: &Layout) -> Result<()> {
    let root = layout.root();
    let mut made = false;
    for directory in [root.to_path_buf(), layout.wal(), layout.segments(), layout.quarantine(), layout.config_copy()] {
        if !env.exists(&directory).map_err(|e| Error::io("look for", &directory, e))? {
            env.create_dir_all(&directory).map_err(|e| Error::io("create", &directory, e))?;
            made = true;
        }
    }
    if made {
        let parent = root.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        env.sync_dir(parent).map_err(|e| Error::io("sync", parent, e))?;
    }
    // Also where an earlier start made them and died before they were durable.
    env.sync_dir(root).map_err(|e| Error::io("sync", root, e))
}

/// Opens the catalog; one that cannot be read is set aside for a new one.
fn open_catalog(env: &Arc<dyn Env>, layout: &Layout, troubles: &mut Vec<String>) -> Result<(Catalog, bool)> {
    match Catalog::open(Arc::clone(env), &layout.catalog()) {
        Ok(opened) => Ok((opened.catalog, opened.created)),
        Err(e) if matches!(e.kind(), ErrorKind::Corrupt) => {
            let aside = Catalog::set_aside(&**env, layout)?;
            let aside = aside.map_or_else(String::new, |path| format!("; it was moved to {}", path.display()));
            troubles.push(format!("the catalog could not be read and is rebuilt: {e}{aside}"));
            Ok((Catalog::open(Arc::clone(env), &layout.catalog())?.catalog, true))
        }
        Err(e) => Err(e),
    }
}

/// Opens everything.
pub(super) fn open(env: &Arc<dyn Env>, options: &Options) -> Result<Recovered> {
    let layout = Layout::new(&options.data);
    make_directories(&**env, &layout)?;
    let lock = take_lock(&**env, &layout)?;
    let mut troubles = Vec::new();
    let cache = Arc::new(ReadCache::new(options.read_cache_bytes, options.straight_scan_bytes));
    let (catalog, is_new) = open_catalog(env, &layout, &mut troubles)?;
    let found = catalog.load()?;
    troubles.extend(found.damaged.iter().map(|d| format!("the catalog's {} table: {}", d.table.name(), d.error)));
    let mut meta = found.meta.unwrap_or_else(|| Meta::new(env.random()));
    let mut change = Change::new();
    let mut records = found.segments;
    if is_new {
        adopt_segments(&**env, &layout, &cache, &mut records, &mut meta, &mut change, &mut troubles)?;
    }
    let segments = open_segments(&**env, &layout, &cache, &records, &mut change, &mut troubles)?;
    let effects: BTreeMap<Vec<u8>, EffectRow> = found.effects.into_iter().collect();
    let mut hot = Replay::new(options, env.monotonic(), effects);
    let wal_options =
        wal::Options { file_bytes: options.wal_file_bytes, ..wal::Options::new(layout.wal(), layout.quarantine()) };
    let mut replayed = wal::replay(env, &layout.wal(), meta.sealed_seq, &mut |frame| hot.take(&frame))?;
    for damage in replayed.damaged.iter().filter(|d| !d.sealed) {
        let end = damage.lost.end_seq.map_or_else(|| "the end".into(), |end| end.to_string());
        let (file, from) = (damage.file.display(), damage.lost.first_seq);
        troubles.push(format!("{file} is damaged: records {from} to {end} may be lost: {}", damage.lost.reason));
    }
    wal::rewrite_tail(env, &wal_options, &mut replayed)?;
    let files = Files::open(Arc::clone(env), wal_options, &replayed)?;
    let next_seq = replayed.next_seq.max(meta.sealed_seq).max(if meta.clean_shutdown { 0 } else { meta.seq_reserved });
    meta.clean_shutdown = false;
    change.put_meta(&meta)?;
    catalog.commit(&change)?;
    sweep(&**env, &layout, &segments, &mut troubles);
    let writer = Writer::create(Arc::clone(&files), Start { next_seq, ..Start::from(&replayed) })?;
    let next_segment =
        segments.iter().map(|live| live.record.id).chain(records.iter().map(|r| r.id)).max().unwrap_or(0) + 1;
    let shared = Arc::new(Shared {
        env: Arc::clone(env),
        options: options.clone(),
        layout,
        catalog,
        files,
        cache,
        publish: Mutex::default(),
        state: RwLock::new(State { generations: hot.generations, segments }),
        meta: Mutex::new(meta),
        effects: Mutex::new(hot.effects),
        next_segment: AtomicU64::new(next_segment),
        hot_bytes: AtomicUsize::new(hot.bytes),
        hot_room: (Mutex::default(), Condvar::new()),
        maintenance: Mutex::default(),
        closing: AtomicBool::new(false),
        troubles: Mutex::new(troubles),
        doubtful: Mutex::default(),
    });
    Ok(Recovered { shared, writer, next_seq, lock })
}

/// What the log gives back.
struct Replay<'a> {
    options: &'a Options,
    now: std::time::Duration,
    generations: Vec<Arc<Generation>>,
    effects: BTreeMap<Vec<u8>, EffectRow>,
    bytes: usize,
}

impl<'a> Replay<'a> {
    fn new(options: &'a Options, now: std::time::Duration, effects: BTreeMap<Vec<u8>, EffectRow>) -> Self {
        Self { options, now, generations: vec![Arc::default()], effects, bytes: 0 }
    }

    fn take(&mut self, frame: &wal::ReplayedFrame<'_>) -> Result<()> {
        let (effects, batch) = payload::decode(frame.payload)?;
        for effect in &effects {
            match &effect.value {
                Some(value) => {
                    let row = EffectRow { value: value.clone(), seq: frame.first_seq, expires: effect.expires };
                    self.effects.insert(effect.key.clone(), row);
                }
                None => {
                    self.effects.remove(&effect.key);
                }
            }
        }
        let full = self.generations.last().is_some_and(|generation| {
            let size = generation.size();
            size.rows >= self.options.seal_rows || size.bytes >= self.options.seal_bytes
        });
        if full {
            self.generations.push(Arc::default());
        }
        if let Some(generation) = self.generations.last() {
            self.bytes += generation.publish(batch, &effects, frame.first_seq, frame.arrival, self.now)?;
        }
        Ok(())
    }
}

/// Opens the segments that the catalog names. One that cannot be opened is set aside; its rows are named as lost.
fn open_segments(
    env: &dyn Env,
    layout: &Layout,
    cache: &Arc<ReadCache>,
    records: &[crate::catalog::SegmentRecord],
    change: &mut Change,
    troubles: &mut Vec<String>,
) -> Result<Vec<LiveSegment>> {
    let mut live = Vec::new();
    for record in records {
        if !is_live(record) {
            change.remove_segment(record.id);
            continue;
        }
        let path = layout.segment(&record.day, record.id);
        match Segment::open(env, &path, cache) {
            Ok(segment) if segment.footer.id == record.id => {
                live.push(LiveSegment { record: record.clone(), segment: Arc::new(segment) });
            }
            Ok(_) => troubles.push(lost(record, &format!("{} is another segment", path.display()))),
            Err(e) if matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {
                troubles.push(lost(record, &e.to_string()));
                set_aside(env, layout, &path, troubles);
                change.remove_segment(record.id);
            }
            // Not known to be damaged: rather no start than one that forgets rows.
            Err(e) => return Err(e),
        }
    }
    Ok(live)
}

fn lost(record: &crate::catalog::SegmentRecord, why: &str) -> String {
    format!("segment {:016x} with records {} to {} is set aside: {why}", record.id, record.first_seq, record.last_seq)
}

/// Moves a damaged file to the quarantine.
pub(super) fn set_aside(env: &dyn Env, layout: &Layout, path: &Path, troubles: &mut Vec<String>) {
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

/// Takes over every whole segment on disk into a new catalog.
fn adopt_segments(
    env: &dyn Env,
    layout: &Layout,
    cache: &Arc<ReadCache>,
    records: &mut Vec<crate::catalog::SegmentRecord>,
    meta: &mut Meta,
    change: &mut Change,
    troubles: &mut Vec<String>,
) -> Result<()> {
    let mut footers = Vec::new();
    for path in segment_files(env, layout)? {
        if path.extension().is_none_or(|extension| extension != "seg") {
            continue;
        }
        match Segment::open(env, &path, cache) {
            Ok(segment) => footers.push((path, segment)),
            Err(e) if e.kind() == ErrorKind::Corrupt => {
                troubles.push(format!("{} is set aside: {e}", path.display()));
                set_aside(env, layout, &path, troubles);
            }
            Err(e) => return Err(e),
        }
    }
    drop_unfinished_seals(&mut footers, layout, env, troubles);
    let replaced: BTreeSet<u64> = footers.iter().flat_map(|(_, s)| s.footer.replaces.iter().copied()).collect();
    for (path, segment) in footers.iter().filter(|(_, segment)| !replaced.contains(&segment.footer.id)) {
        let bytes = crate::env::read_file(env, path, u64::MAX >> 1).map_err(|e| Error::io("read", path, e))?;
        let record = crate::maintain::record_of(&segment.footer, segment.bytes, crc32fast::hash(&bytes));
        meta.sealed_seq = meta.sealed_seq.max(segment.footer.sealed_seq);
        change.put_segment(&record)?;
        records.push(record);
    }
    Ok(())
}

/// Leaves out segments of a seal that was cut short: their rows are in the log still. A seal was finished where all its
/// segments are there, or where a later merge, which only takes what the catalog had, knows of it.
fn drop_unfinished_seals(
    footers: &mut Vec<(PathBuf, Segment)>,
    layout: &Layout,
    env: &dyn Env,
    troubles: &mut Vec<String>,
) {
    let known = footers.iter().filter(|(_, s)| !s.footer.replaces.is_empty()).map(|(_, s)| s.footer.sealed_seq).max();
    let mut found: BTreeMap<u64, u32> = BTreeMap::new();
    for (_, segment) in footers.iter().filter(|(_, s)| s.footer.replaces.is_empty()) {
        *found.entry(segment.footer.sealed_seq).or_default() += 1;
    }
    footers.retain(|(path, segment)| {
        let footer = &segment.footer;
        let whole = !footer.replaces.is_empty()
            || known.is_some_and(|known| known >= footer.sealed_seq)
            || found.get(&footer.sealed_seq).is_some_and(|n| *n >= footer.parts);
        if !whole {
            set_aside(env, layout, path, troubles);
        }
        whole
    });
}

/// Removes what a crash left behind: unfinished files, and segments that the catalog never named.
fn sweep(env: &dyn Env, layout: &Layout, live: &[LiveSegment], troubles: &mut Vec<String>) {
    let named: BTreeSet<PathBuf> = live.iter().map(|live| live.segment.path().to_path_buf()).collect();
    let Ok(files) = segment_files(env, layout) else { return };
    for path in files {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if (extension == TEMPORARY || extension == "seg")
            && !named.contains(&path)
            && let Err(e) = env.remove_file(&path)
        {
            troubles.push(format!("{} could not be removed: {e}", path.display()));
        }
    }
}
