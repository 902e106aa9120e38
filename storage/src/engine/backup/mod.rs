//! A copy of everything there is at one moment, in a directory that another engine can be opened on.
//!
//! Of an engine that is open: what is hot is sealed; then, before anything else is sealed or removed, the catalog is copied
//! and the segments that it names are taken hold of. Their files never change, and one that is removed meanwhile can be read
//! by whoever holds it; so copying them stops nobody. Of a directory that nobody has open: its files as they are.
//!
//! Invariants
//! * The target says that it is unfinished from before anything else is in it until all of it is durable and was checked.
//!   Until then no engine is opened on it.
//! * Nothing is written into a directory that has something in it, and a file is made, never replaced.
//! * Damage that is in the source is copied and named.
//! * A copy is known as one by its first start, which begins an epoch: it never gives a record the id of one of the original's.
mod target;
#[cfg(test)]
mod tests;

use super::recovery::take_lock;
use super::{Engine, LiveSegment, Shared, locked};
use crate::archive::Bucket;
use crate::catalog::{Change, Meta, SegmentRecord};
use crate::env::{DirEntry, Env, OpenMode, read_file, write_file_atomic};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{Layout, UNFINISHED_BACKUP};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard, PoisonError, TryLockError};
use target::{Failed, Source, Target, name_of, reading};

/// What a backup is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupStage {
    /// Files are copied.
    Copying,
    /// What was copied is checked.
    Checking,
}

/// How far a backup is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupProgress {
    /// What it is at.
    pub stage: BackupStage,
    /// Bytes of it that are done.
    pub done: u64,
    /// And of how many.
    pub total: u64,
}

/// A backup that is made, and whole as far as what it was made of is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackedUp {
    /// Files.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// What is damaged in it, as it is in what it was made of.
    pub damaged: Vec<String>,
}

/// Is told how far a backup is; its error ends it.
pub(super) type Teller<'a> = dyn FnMut(BackupProgress) -> Result<()> + 'a;

/// Why nothing may be opened on a directory, where it is a backup that is not finished.
pub(super) fn unfinished(env: &dyn Env, layout: &Layout) -> Result<Option<String>> {
    let mark = layout.root().join(UNFINISHED_BACKUP);
    let is_marked = env.exists(&mark).map_err(|e| Error::io("look for", &mark, e))?;
    if !is_marked {
        return Ok(None);
    }
    let root = layout.root().display();
    Ok(Some(match is_rebuilding(env, &mark) {
        true => {
            format!("{root} is being rebuilt from an archive ({UNFINISHED_BACKUP}): run the rebuild again, to its end")
        }
        false => {
            format!("{root} is a backup that was not finished ({UNFINISHED_BACKUP}): remove it, and make another one")
        }
    }))
}

/// What the mark says in a directory that is being rebuilt.
const REBUILDING: &str = "This directory is being rebuilt from an archive. Run the rebuild again, to its end.\n";

/// Marks a directory as one that is being rebuilt.
pub(super) fn mark_rebuilding(env: &dyn Env, mark: &Path) -> Result<()> {
    write_file_atomic(env, mark, REBUILDING.as_bytes()).map_err(|e| Error::io("create", mark, e))
}

/// Whether a mark is that of a rebuild.
pub(super) fn is_rebuilding(env: &dyn Env, mark: &Path) -> bool {
    read_file(env, mark, REBUILDING.len() as u64).is_ok_and(|text| text == REBUILDING.as_bytes())
}

impl Engine {
    /// The directory that it is opened on.
    pub fn data(&self) -> &Path {
        self.shared.layout.root()
    }

    /// Copies everything that was appended before into a place for objects, which has nothing in it, or backups of the same
    /// directory: then only what is not there is sent. One at a time.
    pub fn back_up_to(&self, bucket: &dyn Bucket, told: &mut Teller<'_>) -> Result<BackedUp> {
        let _alone = self.shared.back_up_alone()?;
        self.shared.back_up_to(bucket, told)
    }

    /// Copies everything that was appended before into `target`, which is made, or empty, and checks the copy. One at a time.
    pub fn backup(&self, target: &Path, told: &mut Teller<'_>) -> Result<BackedUp> {
        let shared = &self.shared;
        let _alone = shared.back_up_alone()?;
        let mut told = |progress: BackupProgress| {
            shared.is_closing()?;
            told(progress)
        };
        let mut target = Target::begin(&shared.env, target, &shared.layout, &mut told)?;
        let (segments, unread) = shared.cut(&target.layout.catalog())?;
        let bytes = segments.iter().map(|live| &live.record).chain(&unread).map(|record| record.bytes).sum();
        target.expect(bytes)?;
        for live in &segments {
            let (record, source) = (&live.record, live.segment.source());
            let from =
                Source { path: live.segment.path(), len: live.segment.bytes, read: &|at, buf| source.read(at, buf) };
            target.copy_segment(&from, &record.day)?;
        }
        for record in &unread {
            let path = shared.layout.segment(&record.day, record.id);
            // What is not there is named when the copy is checked.
            if let Ok(file) = shared.env.open(&path, OpenMode::Read) {
                let len = file.len().map_err(|e| Error::io("measure", &path, e))?;
                target.copy_segment(&Source::of(&path, len, &reading(&file, &path)), &record.day)?;
            }
        }
        target.copy_readable(&shared.layout)?;
        target.finish()
    }
}

/// Copies a data directory that no process has open into `target`, which is made, or empty, and checks the copy.
pub fn back_up_at_rest(env: &Arc<dyn Env>, data: &Path, target: &Path, told: &mut Teller<'_>) -> Result<BackedUp> {
    let source = Layout::new(data);
    for needed in [source.wal(), source.segments()] {
        if !env.exists(&needed).map_err(|e| Error::io("look for", &needed, e))? {
            return Err(Error::invalid(format!(
                "{} is no data directory: there is no {}",
                data.display(),
                needed.display()
            )));
        }
    }
    if let Some(why) = unfinished(&**env, &source)? {
        return Err(Error::new(ErrorKind::Conflict, why));
    }
    let _lock = take_lock(&**env, &source)?;
    let mut target = Target::begin(env, target, &source, told)?;
    let logs = files_in(&**env, &source.wal(), "wal")?;
    let mut segments = Vec::new();
    for day in list(&**env, &source.segments())?.into_iter().filter(|entry| entry.is_dir) {
        let files = files_in(&**env, &source.segments().join(&day.name), "seg")?;
        segments.extend(files.into_iter().map(|(path, len)| (day.name.clone(), path, len)));
    }
    let catalog = single(&**env, &source.catalog())?;
    let lens = logs.iter().chain(&catalog).map(|(_, len)| len).chain(segments.iter().map(|(_, _, len)| len));
    target.expect(lens.sum())?;
    for (path, len) in catalog.iter().chain(&logs) {
        let file = env.open(path, OpenMode::Read).map_err(|e| Error::io("open", path, e))?;
        let to =
            if path == &source.catalog() { target.layout.catalog() } else { target.layout.wal().join(name_of(path)) };
        target.copy(&Source::of(path, *len, &reading(&file, path)), &to).map_err(Failed::into_error)?;
    }
    for (day, path, len) in &segments {
        let file = env.open(path, OpenMode::Read).map_err(|e| Error::io("open", path, e))?;
        target.copy_segment(&Source::of(path, *len, &reading(&file, path)), day)?;
    }
    target.copy_readable(&source)?;
    target.finish()
}

impl Shared {
    fn back_up_alone(&self) -> Result<MutexGuard<'_, ()>> {
        match self.backing_up.try_lock() {
            Ok(alone) => Ok(alone),
            Err(TryLockError::Poisoned(alone)) => Ok(alone.into_inner()),
            Err(TryLockError::WouldBlock) => {
                Err(Error::new(ErrorKind::Conflict, "a backup is being made already: wait until it is done"))
            }
        }
    }

    /// Seals everything, makes a catalog of what there is then, and takes hold of the segments that it names; those that
    /// nobody could read are given by their records.
    fn cut(&self, catalog: &Path) -> Result<(Vec<LiveSegment>, Vec<SegmentRecord>)> {
        self.seal_all_and(|| {
            let mut change = Change::new();
            self.put_clock(&mut change)?;
            // It also takes back what a commit in doubt may have left.
            self.commit_catalog(&change, &Change::new())?;
            // With the same epoch: the first start of the copy sees that it is one, and begins another.
            let meta = *locked(&self.meta);
            self.catalog
                .copy_to(catalog, &Meta { clean_shutdown: false, ..meta }, |change| self.put_all_here(change))?;
            let segments = self.state.read().unwrap_or_else(PoisonError::into_inner).segments.clone();
            Ok((segments, self.unread.clone()))
        })
    }
}

/// What is in a folder; nothing where there is none.
fn list(env: &dyn Env, folder: &Path) -> Result<Vec<DirEntry>> {
    match env.list(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed.map_err(|e| Error::io("list", folder, e)),
    }
}

/// The files of a folder with an extension, and their lengths. What is being written, or kept for later, has another.
fn files_in(env: &dyn Env, folder: &Path, extension: &str) -> Result<Vec<(PathBuf, u64)>> {
    let files = list(env, folder)?.into_iter().filter(|entry| !entry.is_dir);
    let files = files.map(|entry| (folder.join(entry.name), entry.len));
    Ok(files.filter(|(path, _)| path.extension().is_some_and(|found| found == extension)).collect())
}

/// A file and its length, where it is there.
fn single(env: &dyn Env, path: &Path) -> Result<Option<(PathBuf, u64)>> {
    match env.open(path, OpenMode::Read) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => {
            let file = opened.map_err(|e| Error::io("open", path, e))?;
            let len = file.len().map_err(|e| Error::io("measure", path, e))?;
            Ok(Some((path.to_path_buf(), len)))
        }
    }
}
