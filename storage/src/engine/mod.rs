//! The engine: open, append, search, seal, close. Owns the parts and the order in which their locks are taken.
//!
//! Lock order: `publish`, then `state`, then a generation's own; `publish`, then the feed's, then a generation's own; `meta` or
//! `keys`, then `doubtful`; `effects` is taken alone. Before any of them a turn of `turns`, then `maintenance`.
//!
//! Invariants
//! * A row is in exactly one of: the queue, a generation, a live segment. A snapshot sees each row once.
//! * What is acknowledged with `ack=wal` was synced before; what is refused is not there, unless the error says that it
//!   is unknown.
mod activity;
mod adopt;
mod archive;
mod attempts;
mod backup;
mod check;
mod clock;
mod commit;
mod config;
mod epochs;
mod feed;
mod keys;
mod live;
mod loose;
mod outward;
mod query;
mod recovery;
mod returned;
mod segments;
#[cfg(test)]
mod tests;

pub(crate) use activity::Activity;
pub use activity::ActivityReport;
use archive::{Archive, Mover};
pub use archive::{
    ArchiveStatus, CollectReport, OffloadReport, Offloading, RebuildReport, Rebuilding, RestoreReport, Restoring,
    TargetStatus, VerifyReport,
};
pub use archive::{ArchiveWait, rebuild, verify};
pub use backup::{BackedUp, BackupProgress, BackupStage, back_up_at_rest};
pub use check::{CheckReport, Told, check, check_telling};
pub(crate) use clock::{Clock, ClockRow};
pub use commit::{Ack, Append, Appended};
pub(crate) use config::Configs;
pub use config::DEFAULTS;
use feed::Feed;
pub(crate) use keys::KeyRecords;
pub use live::{Given, LiveOptions, Polled, Subscription};
pub use loose::{Form, Loose, LooseRows};
pub use outward::Streamed;
pub use query::{Answered, QueryControl};
pub(crate) use segments::{may_be_sound, set_aside};

use crate::catalog::{Catalog, Change, EffectRow, Meta, SegmentRecord, SegmentState, Table};
use crate::env::{DirLock, Env};
use crate::error::{Error, ErrorKind, Result};
use crate::hot::Generation;
use crate::layout::Layout;
use crate::maintain::{Census, DiskWatch, Leftovers, Scrub, Turns, Worker};
pub use crate::maintain::{DeletionReceipt, Removed, RetentionReport, ScrubReport};
use crate::memory::{Memory, Pool};
pub use crate::options::Options;
use crate::planted;
use crate::record::{Record, RecordId};
use crate::retention::Lives;
use crate::scan::columns::View;
pub use crate::scan::{Cancel, Control, Numbers, Order, Partial, Position, ScanStats, Search, Spread};
use crate::scan::{Crew, Deletion, Hidden, LostBlocks, Snapshot};
use crate::segment::{Budget, Counters, ReadCache, Segment};
use crate::wal;
use commit::Committer;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};

/// Where the catalog keeps [`ClockRow`].
pub(crate) const CLOCK_KEY: &[u8] = b"clock";
/// Numbers given out ahead, so that a start never uses one twice.
const SEQ_RESERVE: u64 = 1 << 20;

/// A log database in one directory.
pub struct Engine {
    shared: Arc<Shared>,
    committer: Committer,
    worker: Worker,
    mover: Mover,
    _lock: Box<dyn DirLock>,
}

/// A segment that counts.
#[derive(Clone)]
pub(crate) struct LiveSegment {
    pub(crate) record: SegmentRecord,
    pub(crate) segment: Arc<Segment>,
}

/// What searches look at.
#[derive(Default)]
pub(crate) struct State {
    /// Oldest first; the last one grows.
    pub(crate) generations: Vec<Arc<Generation>>,
    pub(crate) segments: Vec<LiveSegment>,
}

/// What the engine's threads share.
pub(crate) struct Shared {
    pub(crate) env: Arc<dyn Env>,
    pub(crate) options: Options,
    pub(crate) layout: Layout,
    pub(crate) catalog: Catalog,
    pub(crate) files: Arc<wal::Files>,
    pub(crate) cache: Arc<ReadCache>,
    /// What is in object storage.
    pub(crate) archive: Archive,
    /// Threads that help searches.
    pub(crate) crew: Arc<Crew>,
    /// Memory that all searches share.
    pub(crate) query_memory: Pool,
    /// Held while batches become visible, so that a generation ends between two frames.
    pub(crate) publish: Mutex<()>,
    /// What became visible last, for live queries.
    pub(crate) feed: Arc<Feed>,
    pub(crate) state: RwLock<State>,
    pub(crate) meta: Mutex<Meta>,
    pub(crate) effects: Mutex<BTreeMap<Vec<u8>, EffectRow>>,
    pub(crate) next_segment: AtomicU64,
    /// Bytes of rows that are queued or hot.
    pub(crate) hot_bytes: AtomicUsize,
    pub(crate) hot_room: (Mutex<()>, Condvar),
    /// Appends that wait for that room.
    pub(crate) hot_wanted: AtomicUsize,
    /// Who changes segments, one after the other. Taken before `maintenance`.
    pub(crate) turns: Turns,
    /// Held by whoever seals, or changes segments and does not pause.
    pub(crate) maintenance: Mutex<()>,
    pub(crate) closing: AtomicBool,
    /// Held by whoever makes a backup.
    pub(crate) backing_up: Mutex<()>,
    /// Held by whoever changes a configuration.
    pub(crate) configuring: Mutex<()>,
    pub(crate) configs: RwLock<Arc<Configs>>,
    /// Held while keys are added and removed.
    pub(crate) keys: Mutex<KeyRecords>,
    /// What the configurations say of how long rows live.
    pub(crate) lives: RwLock<Arc<Lives>>,
    /// Held by whoever adds or drops a deletion.
    pub(crate) deleting: Mutex<()>,
    pub(crate) deletions: RwLock<Arc<Vec<Arc<Deletion>>>>,
    pub(crate) clock: Mutex<Clock>,
    /// The day of the last retention pass that ran by itself.
    pub(crate) retained_day: AtomicI64,
    /// Segments that could not be read at the start: nothing searches or changes them until the next one.
    pub(crate) unread: Vec<SegmentRecord>,
    pub(crate) lost: Arc<LostBlocks>,
    pub(crate) census: Census,
    pub(crate) scrub: Mutex<Scrub>,
    pub(crate) disk: DiskWatch,
    pub(crate) troubles: Mutex<Vec<String>>,
    /// Takes back commits that failed and may be durable all the same. Taken after `meta`.
    pub(crate) doubtful: Mutex<Change>,
    pub(crate) leftovers: Leftovers,
    /// What retention removed, until somebody takes it.
    pub(crate) summaries: Mutex<VecDeque<RetentionReport>>,
    /// What was done so far.
    pub(crate) activity: Activity,
}

/// Takes a lock; one that a panicking thread left behind guards data that is replaced as a whole, so it is still right.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sizes, for people and graphs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StorageStats {
    /// Rows in all.
    pub rows: u64,
    /// Rows that are not sealed yet.
    pub hot_rows: u64,
    /// Memory of rows that are not sealed yet.
    pub hot_bytes: u64,
    /// Bytes of WAL files that are not spare.
    pub wal_bytes: u64,
    /// Bytes of segments on this disk.
    pub segment_bytes: u64,
    /// Bytes of the catalog.
    pub catalog_bytes: u64,
    /// How many segments there are.
    pub segments: u64,
}

impl Engine {
    /// Opens a data directory, making it where there is none. Ends in serving, also after a crash.
    pub fn open(env: Arc<dyn Env>, options: Options) -> Result<Arc<Self>> {
        let recovered = recovery::open(&env, &options)?;
        let background = options.background;
        let shared = recovered.shared;
        let committer = Committer::start(Arc::clone(&shared), recovered.writer, recovered.next_seq)?;
        let worker = Worker::start(Arc::clone(&shared), background)?;
        let mover = Mover::start(&shared, background)?;
        Ok(Arc::new(Self { shared, committer, worker, mover, _lock: recovered.lock }))
    }

    /// Appends a batch and waits until it is as durable as `append.ack` says.
    pub fn append(&self, append: Append) -> Result<Appended> {
        self.shared.activity.appended(self.committer.append(append, false))
    }

    /// The same, with the value of each effect followed by where the rows are: what [`crate::Place::split`] parts.
    pub fn append_placed(&self, append: Append) -> Result<Appended> {
        self.shared.activity.appended(self.committer.append(append, true))
    }

    fn snapshot(&self) -> Snapshot {
        self.shared.snapshot()
    }

    #[cfg(test)]
    pub(crate) fn shared_for_tests(&self) -> &Shared {
        &self.shared
    }

    /// Memory for one query or search.
    pub(crate) fn memory(&self, control: &Control) -> Memory {
        let shared = &self.shared;
        Memory::of(&shared.query_memory, control.bytes_max.unwrap_or(shared.options.query_bytes_max))
    }

    /// Counters for one search, within its bounds.
    fn counters(&self, control: &Control) -> Counters {
        Counters::new(Budget::new(control.cancel.clone(), self.memory(control)))
    }

    /// The newest rows that pass, newest first, or the oldest, as the search says.
    pub fn search(&self, search: &Search) -> Result<Vec<Record>> {
        self.search_with(search, &Control::default()).map(|(found, _)| found)
    }

    /// The same within bounds, and what it took to find them.
    pub fn search_with(&self, search: &Search, control: &Control) -> Result<(Vec<Record>, ScanStats)> {
        let run = |snapshot: Snapshot, counters: &Counters| snapshot.search(search, counters);
        let (found, counters) = self.attempt(control, &self.memory(control), || true, run);
        let found = self.shared.activity.asked(found, || counters.stats())?;
        Ok((found, counters.stats()))
    }

    /// The same, each with the object in the archive that it is in too, where there is one.
    pub fn search_stored(&self, search: &Search, control: &Control) -> Result<Vec<(Record, Option<String>)>> {
        let run = |snapshot: Snapshot, counters: &Counters| snapshot.search_placed(search, counters);
        let (found, counters) = self.attempt(control, &self.memory(control), || true, run);
        let found = self.shared.activity.asked(found, || counters.stats())?;
        Ok(found.into_iter().map(|(record, segment)| (record, self.object_of(segment))).collect())
    }

    fn object_of(&self, segment: Option<u64>) -> Option<String> {
        self.shared.archive.object_of(segment?)
    }

    /// How many rows pass.
    pub fn count(&self, search: &Search) -> Result<u64> {
        self.count_with(search, &Control::default()).map(|(counted, _)| counted)
    }

    /// How many rows pass, within bounds, and what it took to count them.
    pub fn count_with(&self, search: &Search, control: &Control) -> Result<(u64, ScanStats)> {
        let run = |snapshot: Snapshot, counters: &Counters| snapshot.count(search, counters);
        let (counted, counters) = self.attempt(control, &self.memory(control), || true, run);
        let counted = self.shared.activity.asked(counted, || counters.stats())?;
        Ok((counted, counters.stats()))
    }

    /// Folds the rows that pass, as columns: one view for each batch or block that has some, newest first, several at once
    /// on as many threads, each with a state of its own out of `fresh`. Gives these states, to be merged.
    pub fn fold<S: Send>(
        &self,
        search: &Search,
        control: &Control,
        fresh: impl Fn() -> S + Sync,
        fold: impl Fn(&mut S, &View<'_>) -> Result<()> + Sync,
    ) -> Result<(Vec<S>, ScanStats)> {
        let all = |state: &mut S, view: &View<'_>| fold(state, view).map(ControlFlow::Continue);
        let run = |snapshot: Snapshot, counters: &Counters| snapshot.fold(search, counters, &fresh, &all);
        let (states, counters) = self.attempt(control, &self.memory(control), || true, run);
        Ok((states?, counters.stats()))
    }

    /// Calls `found` with every record there is.
    pub fn for_each(&self, mut found: impl FnMut(Record)) -> Result<()> {
        self.snapshot().for_each(&self.counters(&Control::default()), &mut found)
    }

    /// The record with this id.
    pub fn get(&self, id: RecordId) -> Result<Option<Record>> {
        Ok(self.get_stored(id)?.map(|(record, _)| record))
    }

    /// The same, with the object in the archive that it is in too, where there is one.
    pub fn get_stored(&self, id: RecordId) -> Result<Option<(Record, Option<String>)>> {
        let found = self.snapshot().by_id(id, &self.counters(&Control::default()))?;
        Ok(found.map(|(record, segment)| (record, self.object_of(segment))))
    }

    /// The services that have rows, sorted.
    pub fn services(&self) -> Vec<String> {
        let snapshot = self.snapshot();
        let mut names = BTreeSet::new();
        for batch in snapshot.generations.iter().flat_map(|generation| &generation.batches) {
            names.extend(batch.batch.streams().iter().map(|stream| stream.service.to_string()));
        }
        for segment in &snapshot.segments {
            names.extend(segment.footer.streams.iter().map(|(service, _)| service.clone()));
        }
        names.remove("");
        names.into_iter().collect()
    }

    /// About what a service's records take: their share of the segments that they are in, and of what is in memory.
    pub fn service_bytes(&self, service: &str) -> Result<u64> {
        self.shared.bytes_of_service(service)
    }

    /// The value of an effect, if one was committed and is not over.
    pub fn effect(&self, key: &[u8]) -> Option<Vec<u8>> {
        let now = self.shared.env.now();
        let effects = locked(&self.shared.effects);
        effects.get(key).filter(|row| !row.is_over(now)).map(|row| row.value.clone())
    }

    /// How many effects there are whose keys begin so, those that are over and not yet forgotten among them.
    pub fn count_effects(&self, prefix: &[u8]) -> usize {
        let effects = locked(&self.shared.effects);
        effects.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix)).count()
    }

    /// The time as it is believed: a wall clock that jumps does not move it.
    pub fn believed_time(&self) -> i64 {
        let shared = &self.shared;
        locked(&shared.clock).look(shared.env.now(), shared.env.monotonic())
    }

    /// How many rows of a service have arrived since a time, of those that are there.
    pub fn arrived_since(&self, service: &str, since: i64) -> Result<u64> {
        let search = Search { services: vec![service.to_owned()], ..Search::default() };
        let count = |sum: &mut u64, view: &View<'_>| {
            *sum += view.arrived_since(since)?;
            Ok(())
        };
        Ok(self.fold(&search, &Control::default(), || 0, count)?.0.into_iter().sum())
    }

    /// Seals everything that is hot, now.
    pub fn seal(&self) -> Result<()> {
        self.shared.seal_all()
    }

    /// Carries out deletions, merges small segments, and rewrites those from which rows leave, now.
    pub fn compact(&self) -> Result<()> {
        self.shared.compact()
    }

    /// Removes what is past its life or over a service's budget; with `dry_run`, only says what that would be.
    pub fn retain(&self, dry_run: bool) -> Result<RetentionReport> {
        self.shared.retain(dry_run)
    }

    /// What retention removed since the last call: of each pass that removed something, whoever asked for it, oldest
    /// first.
    pub fn take_retention_summaries(&self) -> Vec<RetentionReport> {
        std::mem::take(&mut *locked(&self.shared.summaries)).into()
    }

    /// Hides the rows that a search finds at once, whatever its limit, and removes them for good at the next
    /// compaction; with `dry_run`, only counts them. Rows that come later stay.
    pub fn delete(&self, search: &Search, dry_run: bool) -> Result<DeletionReceipt> {
        self.shared.delete(search, dry_run)
    }

    /// The deletions that are not yet carried out everywhere.
    pub fn pending_deletions(&self) -> Vec<u64> {
        self.shared.deletions().iter().map(|deletion| deletion.id).collect()
    }

    /// Seals everything and copies every sealed segment to the archive, now; with `evict` their files leave this disk. `told`
    /// hears how far it is, and its error ends it.
    pub fn offload(&self, evict: bool, told: &mut dyn FnMut(Offloading) -> Result<()>) -> Result<OffloadReport> {
        self.shared.offload_all(evict, told)
    }

    /// Brings segments back from the archive for a while. `told` hears how many bytes are here, and of how many.
    pub fn restore(&self, wanted: &Restoring, told: &mut dyn FnMut(u64, u64) -> Result<()>) -> Result<RestoreReport> {
        self.shared.restore(wanted, told)
    }

    /// Waits for all that was appended before to be in the archive's first target: until this is dropped it is sealed and copied
    /// together with what else waits. Of records that their service keeps out of the archive it says nothing.
    pub fn want_archived(&self) -> Result<ArchiveWait> {
        self.shared.want_archived()
    }

    /// Removes from the archive what nothing needs any more, now; with `dry_run`, only says what that would be.
    pub fn collect(&self, dry_run: bool) -> Result<CollectReport> {
        self.shared.collect(dry_run)
    }

    /// Makes a target of the archive this directory's, whosever it was. Says whose.
    pub fn take_over(&self, target: &str) -> Result<Option<String>> {
        self.shared.take_over(target)
    }

    /// What is in the archive.
    pub fn archive_status(&self) -> ArchiveStatus {
        self.shared.archive_status()
    }

    /// Verifies every checksum of every segment, now.
    pub fn scrub(&self) -> Result<ScrubReport> {
        self.shared.scrub_all()
    }

    /// Goes on verifying where the last step ended, for about so many bytes.
    pub fn scrub_step(&self, budget_bytes: u64) -> Result<ScrubReport> {
        self.shared.scrub_step(budget_bytes)
    }

    /// Sizes of everything.
    pub fn stats(&self) -> Result<StorageStats> {
        let shared = &self.shared;
        // A disk that hangs is waited for before the lock, not under it.
        let catalog = shared.layout.catalog();
        let catalog_bytes = match shared.env.open(&catalog, crate::env::OpenMode::Read) {
            Ok(file) => file.len().map_err(|e| Error::io("measure", &catalog, e))?,
            Err(e) => return Err(Error::io("open", &catalog, e)),
        };
        let state = shared.state.read().unwrap_or_else(PoisonError::into_inner);
        let sizes = state.generations.iter().map(|generation| generation.size());
        let hot_rows = sizes.map(|size| size.rows as u64).sum();
        Ok(StorageStats {
            rows: hot_rows + state.segments.iter().map(|live| live.record.rows).sum::<u64>(),
            hot_rows,
            hot_bytes: shared.hot_bytes.load(Ordering::Relaxed) as u64,
            wal_bytes: shared.files.live_bytes(),
            segment_bytes: {
                let here = state.segments.iter().filter(|live| !shared.archive.is_away(live.record.id));
                here.map(|live| live.record.bytes).sum()
            },
            catalog_bytes,
            segments: state.segments.len() as u64,
        })
    }

    /// Why every append is refused until the directory is opened again, once a write or a sync of the log has failed.
    pub fn failure(&self) -> Option<&str> {
        self.shared.files.failure()
    }

    /// What recovery or maintenance found wrong, in words.
    pub fn troubles(&self) -> Vec<String> {
        self.shared.say_losses();
        let mut troubles = locked(&self.shared.troubles).clone();
        troubles.extend(self.shared.cache.troubles());
        troubles
    }

    /// The epoch of new sequence numbers.
    pub fn epoch(&self) -> u32 {
        locked(&self.shared.meta).epoch
    }

    /// Says goodbye: takes no more appends, seals what is hot, and marks the directory as closed in order.
    pub fn close(&self) -> Result<()> {
        if self.shared.closing.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        self.worker.stop();
        self.mover.stop();
        let writer = self.committer.stop();
        self.shared.feed.close();
        self.shared.seal_all()?;
        let Some(writer) = writer else { return Ok(()) };
        // One number is passed over, so that effects that came after the last row are sealed too.
        let sealed_seq = writer.next_seq() + 1;
        writer.close()?;
        let mut meta = locked(&self.shared.meta);
        meta.clean_shutdown = true;
        let sealed_seq = meta.sealed_seq.max(sealed_seq);
        meta.sealed_seq = sealed_seq;
        let mut change = Change::new();
        change.put_meta(&meta)?;
        self.shared.put_clock(&mut change)?;
        self.shared.commit_catalog(&change, &Change::new())?;
        drop(meta);
        let _held = locked(&self.shared.maintenance);
        self.shared.clear_leftovers();
        // Nothing in the log is needed any more.
        self.shared.files.retire(sealed_seq)?;
        Ok(())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Without `close`, an engine ends as a crash would end it, but for its threads.
        self.shared.closing.store(true, Ordering::SeqCst);
        self.worker.stop();
        self.mover.stop();
        drop(self.committer.stop());
        self.shared.feed.close();
    }
}

impl Shared {
    /// Everything there is to search now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let epoch = locked(&self.meta).epoch;
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        Snapshot {
            generations: state.generations.iter().map(|generation| generation.view()).collect(),
            segments: state.segments.iter().map(|live| Arc::clone(&live.segment)).collect(),
            left_out: Vec::new(),
            epoch,
            hidden: Hidden { now: self.env.now(), ..self.hidden() },
            crew: Arc::clone(&self.crew),
        }
    }

    /// What is there and not shown; the time by which rows expire is for the caller to say.
    pub(crate) fn hidden(&self) -> Hidden {
        Hidden { now: i64::MIN, lives: self.lives(), deletions: self.deletions(), lost: Arc::clone(&self.lost) }
    }

    /// The time by which rows are deleted.
    pub(crate) fn delete_by(&self) -> i64 {
        locked(&self.clock).delete_by(self.env.now(), self.env.monotonic())
    }

    /// When a row arrives that comes now.
    pub(crate) fn arrival(&self) -> i64 {
        locked(&self.clock).arrival(self.env.now(), self.env.monotonic())
    }

    /// Writes down what is believed of the time.
    pub(crate) fn put_clock(&self, change: &mut Change) -> Result<()> {
        let retained_day = self.retained_day.load(Ordering::SeqCst);
        let row = locked(&self.clock).row(self.env.now(), self.env.monotonic(), retained_day);
        change.put(Table::Meta, CLOCK_KEY, &row)?;
        Ok(())
    }

    /// Makes sure that numbers below `needed` were reserved before they are used.
    pub(crate) fn reserve(&self, needed: u64) -> Result<()> {
        let mut meta = locked(&self.meta);
        if needed <= meta.seq_reserved || planted::on("numbers-not-reserved") {
            return Ok(());
        }
        let next = Meta { seq_reserved: needed + SEQ_RESERVE, clean_shutdown: false, ..*meta };
        let mut change = Change::new();
        change.put_meta(&next)?;
        // Where it is in doubt, numbers are reserved that nobody needs.
        self.commit_catalog(&change, &Change::new())?;
        *meta = next;
        Ok(())
    }

    /// Commits to the catalog, opening it anew where a commit before this one failed. Such a commit may be durable
    /// all the same, and nobody acts on it: the next one takes it back by its `undo`.
    pub(crate) fn commit_catalog(&self, change: &Change, undo: &Change) -> Result<()> {
        let mut doubtful = locked(&self.doubtful);
        if self.catalog.needs_reopen() {
            self.catalog.reopen()?;
        }
        let mut whole = doubtful.clone();
        match self.catalog.commit(whole.then(change)) {
            Ok(()) => *doubtful = Change::new(),
            Err(e) => {
                doubtful.then(undo);
                return Err(e);
            }
        }
        Ok(())
    }

    /// Gives memory back to whoever waits to append.
    pub(crate) fn release(&self, bytes: usize) {
        self.hot_bytes.fetch_sub(bytes, Ordering::SeqCst);
        let _held = locked(&self.hot_room.0);
        self.hot_room.1.notify_all();
    }

    /// Notes something wrong for people to see.
    pub(crate) fn trouble(&self, what: impl Into<String>) {
        const KEPT: usize = 100;
        let mut troubles = locked(&self.troubles);
        if troubles.len() < KEPT {
            troubles.push(what.into());
        }
    }

    /// Names the rows that searches or the scrubber found lost.
    pub(crate) fn say_losses(&self) {
        self.lost.take_unsaid().into_iter().for_each(|what| self.trouble(what));
    }

    pub(crate) fn is_closing(&self) -> Result<()> {
        if self.closing.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Closed, "the engine is shutting down"));
        }
        Ok(())
    }
}

/// A segment's record only while it counts.
pub(crate) fn is_live(record: &SegmentRecord) -> bool {
    record.state == SegmentState::Live
}
