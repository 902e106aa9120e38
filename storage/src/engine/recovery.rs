//! Opening a data directory, whatever state it was left in.
//!
//! Order: lock, catalog, segments, log, orphans. `docs/recovery.md` tells it in full.
//!
//! Invariants
//! * It ends in serving: what is damaged is set aside and named, never deleted and never a reason to stop. A segment that
//!   cannot be read stays as it is and is named; it is searched again after a start that can read it.
//! * It fails only where nothing could be served or kept: the directory, its lock, the catalog or the log cannot be read
//!   or written, or something is of a newer format.
//! * It changes nothing that a second run, after a crash in the middle of the first, would read otherwise.
use super::adopt::{Sources, adopt_segments};
use super::archive::Archive;
use super::backup::unfinished;
use super::config::{lives, reconcile};
use super::epochs::{EPOCHS_KEY, Epochs};
use super::feed::Feed;
use super::returned::{is_anybodys_guess, seq_after, settle};
use super::segments::{Segments, highest_aside, open_segments, set_aside, sweep};
use super::{Activity, CLOCK_KEY, Clock, ClockRow, LiveSegment, Shared, State, keys};
use crate::archive::Target;
use crate::catalog::{Catalog, Change, Damage, EffectRow, Meta, SegmentRecord, SegmentState, Table};
use crate::env::{DirLock, Env};
use crate::error::{Error, ErrorKind, Result};
use crate::hot::Generation;
use crate::layout::Layout;
use crate::maintain::{Census, DiskWatch, Leftovers, Turns, effects_of_footers, recover_deletions};
use crate::memory::Pool;
use crate::options::Options;
use crate::payload;
use crate::scan::Crew;
use crate::segment::ReadCache;
use crate::wal::{self, Files, Start, Writer};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize};
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
pub(super) fn make_directories(env: &dyn Env, layout: &Layout) -> Result<()> {
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

/// Whether no start has come to its end with a catalog: every one writes the clock with all that it found.
pub(super) fn knows_nothing(catalog: &Catalog) -> bool {
    catalog.get::<ClockRow>(Table::Meta, CLOCK_KEY).is_ok_and(|row| row.is_none())
}

/// Opens everything.
pub(super) fn open(env: &Arc<dyn Env>, options: &Options) -> Result<Recovered> {
    let layout = Layout::new(&options.data);
    if let Some(why) = unfinished(&**env, &layout)? {
        return Err(Error::new(ErrorKind::Conflict, why));
    }
    make_directories(&**env, &layout)?;
    let lock = take_lock(&**env, &layout)?;
    let mut troubles = Vec::new();
    let cache = Arc::new(ReadCache::new(options.read_cache_bytes, options.straight_scan_bytes));
    let (catalog, is_new) = open_catalog(env, &layout, &mut troubles)?;
    let is_new = is_new || knows_nothing(&catalog);
    let found = catalog.load()?;
    troubles.extend(found.damaged.iter().map(|d| format!("the catalog's {} table: {}", d.table.name(), d.error)));
    let mut meta = found.meta.unwrap_or_else(|| Meta::new(env.random()));
    let mut change = Change::new();
    let mut records = found.segments;
    let segments_in_doubt =
        is_new || found.meta.is_none() || found.damaged.iter().any(|damage| damage.table == Table::Segments);
    let repaired = repair(&found.damaged, &mut change);
    let archive_in_doubt = segments_in_doubt || repaired.contains(&Table::Archive);
    let mut epochs = if is_new { Epochs::default() } else { load_epochs(&catalog, &mut troubles) };
    let home = env.identity(&layout.lock());
    let is_home = epochs.is_home(home.as_deref());
    options.archive.iter().try_for_each(Target::check)?;
    let archive = Archive::new(env, &layout, options, found.archived, (archive_in_doubt, is_home));
    if segments_in_doubt {
        // What the catalog says of segments is not whole: their own footers say it all again.
        for record in std::mem::take(&mut records) {
            change.remove_segment(record.id);
        }
        let found_in = Sources { env, layout: &layout, cache: &cache, archive: &archive };
        adopt_segments(&found_in, &mut records, &mut meta, &mut change, &mut troubles)?;
    }
    let in_doubt = |table| is_new || repaired.contains(&table);
    let (services, doubt) = (found.services, in_doubt(Table::Services));
    let configs = reconcile(&**env, &layout, services, doubt, &mut change, &mut troubles)?;
    let keys = keys::recover(&catalog, (&**env, &layout), in_doubt(Table::Keys), &mut change, &mut troubles)?;
    let (deletions, doubt) = (found.deletions, in_doubt(Table::Deletions));
    let deletions = recover_deletions(&**env, &layout, &deletions, doubt, meta.epoch, &mut change, &mut troubles)?;
    let effects_in_doubt = in_doubt(Table::Effects);
    for table in repaired {
        change.accept(table);
    }
    let mut opened = open_segments(&**env, &layout, &cache, &archive, &records, &mut change, &mut troubles)?;
    let mut effects: BTreeMap<Vec<u8>, EffectRow> = found.effects.into_iter().collect();
    if effects_in_doubt || !opened.returned.is_empty() {
        restore_effects(&mut opened, &mut effects, &mut change, &mut troubles)?;
    }
    if effects_in_doubt {
        // Once the table is taken as whole, these are asked for theirs when they can be read.
        for record in &mut opened.unread {
            record.state = SegmentState::Unread;
            change.put_segment(record)?;
        }
    }
    let mut hot = Replay::new(options, env.monotonic(), effects, (epochs.clone(), meta.epoch));
    let wal_options =
        wal::Options { file_bytes: options.wal_file_bytes, ..wal::Options::new(layout.wal(), layout.quarantine()) };
    let mut replayed = wal::replay(env, &layout.wal(), meta.sealed_seq, &mut |frame| hot.take(&frame))?;
    set_aside_frames(&**env, &layout, std::mem::take(&mut hot.unreadable), &mut troubles)?;
    for damage in replayed.damaged.iter().filter(|d| !d.sealed) {
        let (file, records) = (damage.file.display(), damage.lost.records());
        troubles.push(format!("{file} is damaged: {records} may be lost: {}", damage.lost.reason));
    }
    wal::rewrite_tail(env, &wal_options, &mut replayed)?;
    let files = Files::open(Arc::clone(env), wal_options, &replayed)?;
    // Above all that deletions mean, also where nothing else is left that knows of such numbers.
    let meant = deletions.iter().map(|deletion| deletion.end_of(meta.epoch)).max().unwrap_or(0);
    let reserved = if meta.clean_shutdown { 0 } else { meta.seq_reserved };
    let mut next_seq = replayed.next_seq.max(meant).max(meta.sealed_seq).max(reserved).max(epochs.end());
    if segments_in_doubt && opened.unread.iter().any(is_anybodys_guess) {
        next_seq = seq_after(next_seq);
    }
    if !is_new && !is_home {
        meta.epoch = epochs.begin(meta.epoch, next_seq, env.random());
    }
    epochs.settle(home, meta.sealed_seq);
    change.put(Table::Meta, EPOCHS_KEY, &epochs)?;
    let (stale, parts) = settle(&mut opened, &hot.generations, &mut change, &mut troubles)?;
    let Segments { live: segments, unread, .. } = opened;
    let named: BTreeSet<u64> =
        segments.iter().map(|live| &live.record).chain(&unread).map(|record| record.id).collect();
    archive.settle(&named, env.now(), &mut change)?;
    meta.clean_shutdown = false;
    change.put_meta(&meta)?;
    let last = last_clock(&catalog, &segments);
    let mut clock = Clock::new(last, env.now(), env.monotonic());
    let retained_day = last.map_or(0, |last| last.retained_day);
    change.put(Table::Meta, CLOCK_KEY, &clock.row(env.now(), env.monotonic(), retained_day))?;
    catalog.commit(&change)?;
    let named = segments.iter().map(|live| &live.record).chain(&unread).filter(|record| !archive.is_away(record.id));
    let named = named.map(|record| layout.segment(&record.day, record.id)).collect();
    for path in stale {
        troubles.push(format!("{} can be read again, and all of its records are elsewhere", path.display()));
        set_aside(&**env, &layout, &path, &mut troubles);
    }
    sweep(&**env, &layout, &named, segments_in_doubt, &mut troubles);
    let writer = Writer::create(Arc::clone(&files), Start { next_seq, epoch: meta.epoch, ..Start::from(&replayed) })?;
    let ids = segments.iter().map(|live| live.record.id).chain(records.iter().map(|record| record.id));
    let next_segment = ids.chain([highest_aside(&**env, &layout)]).max().unwrap_or(0) + 1;
    let mut shared = Shared {
        env: Arc::clone(env),
        options: options.clone(),
        layout,
        catalog,
        files,
        cache,
        archive,
        crew: Crew::new(options.scan_threads),
        query_memory: Pool::new(options.queries_bytes_max),
        publish: Mutex::default(),
        feed: Arc::new(Feed::new(options.live_batches_max, options.live_bytes_max, next_seq)),
        state: RwLock::new(State { generations: hot.generations, segments }),
        meta: Mutex::new(meta),
        effects: Mutex::new(hot.effects),
        next_segment: AtomicU64::new(next_segment),
        hot_bytes: AtomicUsize::new(hot.bytes),
        hot_room: (Mutex::default(), Condvar::new()),
        hot_wanted: AtomicUsize::new(0),
        turns: Turns::default(),
        maintenance: Mutex::default(),
        closing: AtomicBool::new(false),
        backing_up: Mutex::default(),
        configuring: Mutex::default(),
        keys: Mutex::new(keys),
        lives: RwLock::new(Arc::new(lives(&configs, options.default_ttl_days))),
        configs: RwLock::new(Arc::new(configs)),
        deleting: Mutex::default(),
        deletions: RwLock::new(Arc::new(deletions)),
        clock: Mutex::new(clock),
        retained_day: AtomicI64::new(retained_day),
        unread,
        lost: Arc::default(),
        census: Census::default(),
        scrub: Mutex::default(),
        disk: DiskWatch::default(),
        troubles: Mutex::new(troubles),
        doubtful: Mutex::default(),
        leftovers: Leftovers::default(),
        summaries: Mutex::default(),
        activity: Activity::default(),
    };
    take_parts(&mut shared, parts);
    Ok(Recovered { shared: Arc::new(shared), writer, next_seq, lock })
}

/// Takes what counts of segments that came back, beside what is searched already.
fn take_parts(shared: &mut Shared, parts: Vec<(LiveSegment, Vec<u64>)>) {
    for (live, elsewhere) in parts {
        match shared.take_rest(&live, elsewhere) {
            Ok(said) => {
                shared.unread.retain(|record| record.id != live.record.id);
                said.into_iter().for_each(|what| shared.trouble(what));
            }
            Err(e) => {
                let path = live.segment.path().display();
                shared.trouble(format!("{path} is left out of searches until a start that can take its records: {e}"));
            }
        }
    }
}

/// What is known of epochs; nothing in a directory of a version that drew one only.
fn load_epochs(catalog: &Catalog, troubles: &mut Vec<String>) -> Epochs {
    catalog.get(Table::Meta, EPOCHS_KEY).map(Option::unwrap_or_default).unwrap_or_else(|e| {
        troubles.push(format!("records that are not sealed may have other ids than before: {e}"));
        Epochs::default()
    })
}

/// Removes damaged rows, which were named, and says which tables had any: a table takes no changes before that.
fn repair(damaged: &[Damage], change: &mut Change) -> Vec<Table> {
    for damage in damaged {
        if let Some(key) = &damage.key {
            change.remove(damage.table, key);
        }
    }
    Table::ALL.into_iter().filter(|table| damaged.iter().any(|damage| damage.table == *table)).collect()
}

/// A frame whose checksums hold and whose content does not: an error of ours, kept for whoever looks into it.
struct Unreadable {
    first_seq: u64,
    rows: u32,
    why: Error,
    payload: Vec<u8>,
}

impl Unreadable {
    fn records(&self) -> String {
        records_of_frame(self.first_seq, self.rows)
    }
}

/// The records of a frame, for people: the first one and the last.
pub(super) fn records_of_frame(first_seq: u64, rows: u32) -> String {
    match u64::from(rows).checked_sub(1) {
        Some(more) => format!("records {first_seq} to {}", first_seq.saturating_add(more)),
        None => format!("effects before record {first_seq}"),
    }
}

/// Puts frames that cannot be read beside what else is set aside, and names the records that were in them.
fn set_aside_frames(env: &dyn Env, layout: &Layout, frames: Vec<Unreadable>, troubles: &mut Vec<String>) -> Result<()> {
    for frame in frames {
        let path = layout.quarantine().join(format!("frame-{:016x}.bin", frame.first_seq));
        crate::env::write_file_atomic(env, &path, &frame.payload).map_err(|e| Error::io("set aside", &path, e))?;
        let (why, records) = (&frame.why, frame.records());
        troubles.push(format!("{records} of the log cannot be read and are kept in {}: {why}", path.display()));
    }
    Ok(())
}

/// What was written down of the time last; where that is lost, when the last segment was made.
fn last_clock(catalog: &Catalog, segments: &[LiveSegment]) -> Option<ClockRow> {
    let created = || segments.iter().map(|live| live.record.created).max();
    let guess = || created().map(|believed| ClockRow { believed, ..ClockRow::default() });
    catalog.get(Table::Meta, CLOCK_KEY).unwrap_or_default().or_else(guess)
}

/// Takes effects that the catalog has lost out of the footers of segments. One whose effects cannot be read is left out.
fn restore_effects(
    segments: &mut Segments,
    effects: &mut BTreeMap<Vec<u8>, EffectRow>,
    change: &mut Change,
    troubles: &mut Vec<String>,
) -> Result<()> {
    let (found, unread) = effects_of_footers(segments.live.iter().chain(&segments.returned), troubles);
    for of in [&mut segments.live, &mut segments.returned] {
        for live in of.extract_if(.., |live| unread.contains(&live.record.id)) {
            let record = SegmentRecord { state: SegmentState::Unread, ..live.record };
            change.put_segment(&record)?;
            segments.unread.push(record);
        }
    }
    for (key, found) in found {
        if effects.get(&key).is_some_and(|known| known.seq >= found.seq) {
            continue;
        }
        match found.value {
            Some(value) => {
                let row = EffectRow { value, seq: found.seq, expires: found.expires, shadows: found.shadows };
                change.put_effect(&key, &row)?;
                effects.insert(key, row);
            }
            None => {
                change.remove_effect(&key);
                effects.remove(&key);
            }
        }
    }
    Ok(())
}

/// What the log gives back.
struct Replay<'a> {
    options: &'a Options,
    /// What epochs rows are of that do not say it: earlier ones, and the last.
    epochs: (Epochs, u32),
    now: std::time::Duration,
    generations: Vec<Arc<Generation>>,
    effects: BTreeMap<Vec<u8>, EffectRow>,
    bytes: usize,
    unreadable: Vec<Unreadable>,
}

impl<'a> Replay<'a> {
    fn new(
        options: &'a Options,
        now: std::time::Duration,
        effects: BTreeMap<Vec<u8>, EffectRow>,
        epochs: (Epochs, u32),
    ) -> Self {
        Self { options, epochs, now, generations: vec![Arc::default()], effects, bytes: 0, unreadable: Vec::new() }
    }

    fn take(&mut self, frame: &wal::ReplayedFrame<'_>) -> Result<()> {
        let (effects, batch) = match payload::decode(frame.payload) {
            Ok(decoded) => decoded,
            Err(why) => {
                let (first_seq, rows, payload) = (frame.first_seq, frame.rows, frame.payload.to_vec());
                self.unreadable.push(Unreadable { first_seq, rows, why, payload });
                return Ok(());
            }
        };
        for effect in &effects {
            match &effect.value {
                Some(value) => {
                    let before = self.effects.get(&effect.key);
                    let row = EffectRow::after(before, value.clone(), frame.first_seq, effect.expires);
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
            let (before, last) = &self.epochs;
            let epoch = frame.epoch.unwrap_or_else(|| before.of(frame.first_seq, *last));
            let place = (frame.first_seq, epoch);
            self.bytes += generation.publish(batch, &effects, place, frame.arrival, self.now)?;
        }
        Ok(())
    }
}
