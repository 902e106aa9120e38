//! The set of WAL files: which are live, which can be retired, and the spares made before they are needed.
//!
//! Invariants
//! * A file is offered as a spare only when its length, its bytes and its name are durable.
//! * Files retire oldest first, so that a missing file with unsealed rows is always noticed; the current file never
//!   does. A damaged file is set aside in quarantine and never reused.
//! * `state` is never locked during I/O: whoever does I/O has taken its files out first.
use super::frame::FILE_HEADER_BYTES;
use super::replay::{Replayed, is_empty};
use crate::durations::Durations;
use crate::env::{DirEntry, Env, OpenMode};
use crate::error::{Error, Result};
use crate::layout::TEMPORARY;
use crate::limits::{KIB, WAL_FILE_BYTES};
use crate::planted;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

pub(super) const WAL_SUFFIX: &str = "wal";
const SPARE_SUFFIX: &str = "spare";
/// Bytes of an append, in the mean of a file, from which its successor is not filled with zeros: the log's thread is
/// then busy with bytes, not with syncs, and what syncs save on written zeros is less than writing them costs.
const BULK_APPEND_BYTES: u64 = 64 * KIB as u64;
/// Spares kept when files are recycled; one is made ahead when there is none.
const SPARES_MAX: usize = 2;

/// Where the files are and how large.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory of the WAL; it exists.
    pub dir: PathBuf,
    /// Where damaged files are set aside; made when needed.
    pub quarantine: PathBuf,
    /// Bytes of a file, at most `limits::WAL_FILE_BYTES`.
    pub file_bytes: usize,
}

impl Options {
    /// Files of the usual size.
    pub fn new(dir: impl Into<PathBuf>, quarantine: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), quarantine: quarantine.into(), file_bytes: WAL_FILE_BYTES }
    }
}

/// A WAL file that is no longer written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileInfo {
    /// Its id.
    pub id: u64,
    /// Where it is.
    pub path: PathBuf,
    /// The lowest sequence number it can hold.
    pub first_seq: u64,
    /// All its sequence numbers are below this.
    pub end_seq: u64,
    /// It is needed until everything below this sequence number is sealed.
    pub keep_until: u64,
    /// Bytes up to the end of its last frame.
    pub bytes: u64,
    /// Length of the file.
    pub len: u64,
    /// Whether some of it is not what was written.
    pub damaged: bool,
}

#[derive(Default)]
struct State {
    /// By id.
    closed: VecDeque<FileInfo>,
    spares: Vec<PathBuf>,
}

/// The files of one WAL. Shared by the writer, by whoever seals, and by whoever makes spares.
pub struct Files {
    env: Arc<dyn Env>,
    options: Options,
    state: Mutex<State>,
    next_id: AtomicU64,
    /// Files with lower ids are removed, not recycled.
    kept_from: AtomicU64,
    next_spare: AtomicU64,
    current_bytes: AtomicU64,
    /// Appends to the current file.
    appends: AtomicU64,
    /// Bytes of all appends so far.
    written: AtomicU64,
    /// How long syncs took.
    pub(crate) syncs: Durations,
    /// Why nothing more is appended, from when that is so.
    failure: OnceLock<String>,
}

impl Files {
    /// The files as replay found them; removes what has no meaning.
    pub fn open(env: Arc<dyn Env>, options: Options, replayed: &Replayed) -> Result<Arc<Self>> {
        let largest = WAL_FILE_BYTES;
        if options.file_bytes > largest
            || options.file_bytes < 2 * FILE_HEADER_BYTES
            || !options.file_bytes.is_multiple_of(8)
        {
            let message = format!("cannot use WAL files of {} bytes: at most {largest}", options.file_bytes);
            return Err(Error::invalid(message));
        }
        let entries = env.list(&options.dir).map_err(|e| Error::io("list", &options.dir, e))?;
        let files = Self {
            env,
            state: Mutex::new(State { closed: replayed.files.iter().cloned().collect(), spares: Vec::new() }),
            next_id: AtomicU64::new(replayed.last_file_id + 1),
            // Nobody knows any more what was to be forgotten of them.
            kept_from: AtomicU64::new(replayed.last_file_id + 1),
            next_spare: AtomicU64::new(0),
            current_bytes: AtomicU64::new(0),
            appends: AtomicU64::new(0),
            written: AtomicU64::new(0),
            syncs: Durations::default(),
            failure: OnceLock::new(),
            options,
        };
        for entry in entries {
            files.adopt_or_remove(&entry)?;
        }
        files.remove_superseded(replayed)?;
        Ok(Arc::new(files))
    }

    /// Bytes of the frames that are not yet retired.
    pub fn live_bytes(&self) -> u64 {
        let closed: u64 = self.state().closed.iter().map(|file| file.bytes).sum();
        closed + self.current_bytes.load(Ordering::Relaxed)
    }

    /// How many files are in use.
    pub(crate) fn count(&self) -> u64 {
        let is_one_written = self.current_bytes.load(Ordering::Relaxed) > 0;
        self.state().closed.len() as u64 + u64::from(is_one_written)
    }

    /// Bytes that were appended since the start.
    pub(crate) fn bytes_written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Gives up files that hold nothing from `sealed_seq` on: keeps them as spares or removes them. Says how many.
    pub fn retire(&self, sealed_seq: u64) -> Result<usize> {
        let mut retired = 0;
        while let Some(file) = self.take_retired(sealed_seq) {
            if let Err(e) = self.give_up(&file) {
                // A file that is still there stays until the next call.
                if self.env.exists(&file.path).unwrap_or(true) {
                    self.state().closed.push_front(file);
                }
                return Err(e);
            }
            retired += 1;
        }
        Ok(retired)
    }

    /// Removes spares and sees to it that no file of now is recycled: what they hold is not to be kept, not even as what
    /// is left behind the frames of another life.
    pub fn forget_old_bytes(&self) -> Result<()> {
        while let Some(spare) = { self.state().spares.pop() } {
            if let Err(e) = remove(&*self.env, &spare) {
                self.state().spares.push(spare);
                return Err(e);
            }
        }
        self.sync_dir(&self.options.dir)?;
        self.kept_from.store(self.next_id.load(Ordering::SeqCst), Ordering::SeqCst);
        Ok(())
    }

    /// Whether a file that is no longer written is not to be kept once it is retired.
    pub fn awaits_removal(&self) -> bool {
        self.state().closed.front().is_some_and(|file| self.is_to_go(file.id))
    }

    /// Whether the file of this id is removed when it retires.
    pub(super) fn is_to_go(&self, id: u64) -> bool {
        id < self.kept_from.load(Ordering::SeqCst)
    }

    /// Whether a file will soon be needed that is not there: none is spare and a quarter of the current one is used.
    pub fn wants_spare(&self) -> bool {
        let used = self.current_bytes.load(Ordering::Relaxed);
        used >= self.options.file_bytes as u64 / 4 && self.state().spares.is_empty()
    }

    /// Makes a file ready for when the current one is full, unless one is. Slow; meant for a thread of its own.
    pub fn prepare_spare(&self) -> Result<bool> {
        if !self.state().spares.is_empty() {
            return Ok(false);
        }
        let spare = self.make(self.options.file_bytes)?;
        self.state().spares.push(spare);
        Ok(true)
    }

    pub(super) fn env(&self) -> &Arc<dyn Env> {
        &self.env
    }

    pub(super) fn dir(&self) -> &Path {
        &self.options.dir
    }

    /// A durable file of at least `len` bytes that nobody else uses.
    pub(super) fn take_spare(&self, len: usize) -> Result<PathBuf> {
        if len > self.options.file_bytes {
            return self.make(len.next_multiple_of(8));
        }
        if let Some(spare) = self.state().spares.pop() {
            return Ok(spare);
        }
        self.make(self.options.file_bytes)
    }

    /// Takes back a spare that was not used.
    pub(super) fn return_spare(&self, path: PathBuf, len: u64) {
        if len == self.options.file_bytes as u64 {
            self.state().spares.push(path);
        } else {
            // What stays behind is removed at the next start.
            self.env.remove_file(&path).ok();
        }
    }

    pub(super) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::SeqCst)
    }

    pub(super) fn set_current_bytes(&self, bytes: u64) {
        self.current_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Notes an append of so many bytes, after which the current file has `bytes`.
    pub(super) fn note_append(&self, appended: u64, bytes: u64) {
        self.set_current_bytes(bytes);
        self.written.fetch_add(appended, Ordering::Relaxed);
        self.appends.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the current file is written in large pieces.
    fn is_bulk(&self) -> bool {
        let appends = self.appends.load(Ordering::Relaxed);
        appends > 0 && self.current_bytes.load(Ordering::Relaxed) / appends >= BULK_APPEND_BYTES
    }

    /// Why nothing more is appended until the log is opened again, if that is so.
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// The first failure is the one that counts.
    pub(super) fn fail(&self, why: &str) {
        self.failure.get_or_init(|| why.to_owned());
    }

    pub(super) fn push_closed(&self, file: FileInfo) {
        self.set_current_bytes(0);
        self.appends.store(0, Ordering::Relaxed);
        self.state().closed.push_back(file);
    }

    pub(super) fn sync_dir(&self, dir: &Path) -> Result<()> {
        sync_dir(&*self.env, dir)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What is done under the lock cannot leave it half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_retired(&self, sealed_seq: u64) -> Option<FileInfo> {
        let mut state = self.state();
        match state.closed.front() {
            Some(file) if file.keep_until <= sealed_seq => state.closed.pop_front(),
            _ => None,
        }
    }

    fn give_up(&self, file: &FileInfo) -> Result<()> {
        if file.damaged {
            return set_aside(&*self.env, &file.path, &self.options.quarantine);
        }
        let recycle = file.len == self.options.file_bytes as u64
            && !self.is_to_go(file.id)
            && self.state().spares.len() < SPARES_MAX;
        if !recycle {
            remove(&*self.env, &file.path)?;
            return self.sync_dir(&self.options.dir);
        }
        let spare = self.spare_path();
        self.env.rename(&file.path, &spare).map_err(|e| Error::io("recycle", &file.path, e))?;
        // Without this a crash could bring the name back, over frames of the file's next life.
        if let Err(e) = self.sync_dir(&self.options.dir) {
            // Under its new name nobody uses it before the next start.
            return Err(e.context("the recycled file is left alone"));
        }
        self.state().spares.push(spare);
        Ok(())
    }

    /// Makes a file of zeros and its name durable.
    fn make(&self, len: usize) -> Result<PathBuf> {
        let spare = self.spare_path();
        let temporary = spare.with_extension(TEMPORARY);
        self.fill(&temporary, &spare, len).inspect_err(|_| {
            // Gives the space back to whoever needs it now; what stays is removed at the next start.
            self.env.remove_file(&temporary).ok();
        })?;
        Ok(spare)
    }

    fn fill(&self, temporary: &Path, spare: &Path, len: usize) -> Result<()> {
        let file = self.env.open(temporary, OpenMode::Create).map_err(|e| Error::io("create", temporary, e))?;
        let filled = if self.is_bulk() { file.allocate(len as u64) } else { file.write_zeros(len as u64) };
        filled.map_err(|e| Error::io("zero", temporary, e))?;
        file.sync_all().map_err(|e| Error::io("sync", temporary, e))?;
        self.env.rename(temporary, spare).map_err(|e| Error::io("rename", temporary, e))?;
        self.sync_dir(&self.options.dir)
    }

    fn spare_path(&self) -> PathBuf {
        let number = self.next_spare.fetch_add(1, Ordering::Relaxed);
        self.options.dir.join(format!("{number:016x}.{SPARE_SUFFIX}"))
    }

    fn adopt_or_remove(&self, entry: &DirEntry) -> Result<()> {
        let path = self.options.dir.join(&entry.name);
        let Some(suffix @ (SPARE_SUFFIX | TEMPORARY)) = path.extension().and_then(|suffix| suffix.to_str()) else {
            return Ok(());
        };
        let number = numbered(&path, suffix);
        if let Some(number) = number {
            self.next_spare.fetch_max(number.saturating_add(1), Ordering::Relaxed);
        }
        let usable = suffix == SPARE_SUFFIX && number.is_some() && entry.len == self.options.file_bytes as u64;
        let mut state = self.state();
        if usable && state.spares.len() < SPARES_MAX {
            state.spares.push(path);
            return Ok(());
        }
        drop(state);
        remove(&*self.env, &path)
    }

    /// Removes what was copied to a later file before a crash could.
    fn remove_superseded(&self, replayed: &Replayed) -> Result<()> {
        for path in &replayed.superseded {
            if replayed.damaged.is_empty() || is_empty(&*self.env, path)? {
                remove(&*self.env, path)?;
            } else {
                set_aside(&*self.env, path, &self.options.quarantine)?;
            }
        }
        if replayed.superseded.is_empty() { Ok(()) } else { self.sync_dir(&self.options.dir) }
    }
}

/// A file's path by its id. Ids and not sequence numbers: two files can start at the same sequence number.
pub(super) fn wal_path(dir: &Path, id: u64) -> PathBuf {
    dir.join(format!("{id:016x}.{WAL_SUFFIX}"))
}

/// The number that a file of this suffix is named by.
pub(super) fn numbered(path: &Path, suffix: &str) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let digits = name.strip_suffix(suffix)?.strip_suffix('.')?;
    if digits.len() != 16 {
        return None;
    }
    // Names beyond are not ours, and leave no number for the next file.
    u64::from_str_radix(digits, 16).ok().filter(|number| *number < u64::MAX / 2)
}

pub(super) fn sync_dir(env: &dyn Env, dir: &Path) -> Result<()> {
    if planted::on("no-dir-sync") {
        return Ok(());
    }
    env.sync_dir(dir).map_err(|e| Error::io("sync", dir, e))
}

pub(super) fn remove(env: &dyn Env, path: &Path) -> Result<()> {
    env.remove_file(path).map_err(|e| Error::io("remove", path, e))
}

/// Moves a damaged file to quarantine, under a name that is not taken.
pub(super) fn set_aside(env: &dyn Env, path: &Path, quarantine: &Path) -> Result<()> {
    let fail = |e| Error::io("set aside", path, e);
    env.create_dir_all(quarantine).map_err(fail)?;
    if let Some(parent) = quarantine.parent() {
        sync_dir(env, parent)?;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut target = quarantine.join(&name);
    let mut copy = 1;
    while env.exists(&target).map_err(fail)? {
        target = quarantine.join(format!("{name}.{copy}"));
        copy += 1;
    }
    env.rename(path, &target).map_err(fail)?;
    sync_dir(env, quarantine)?;
    path.parent().map_or(Ok(()), |dir| sync_dir(env, dir))
}
