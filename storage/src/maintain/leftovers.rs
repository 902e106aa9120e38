//! Files of segments that nobody names: what a seal or a merge wrote before it failed, and what could not be removed.
//!
//! They would only take room, but for a catalog that is lost as well: it is made again from the files that are there, and
//! rows in a file of a seal that failed are in one of the seal that came after it too.
//!
//! Invariants
//! * A file is removed only when no commit is in doubt: one that failed and is durable all the same may name it.
//! * What cannot be removed is tried again at the next look, and by the next start.
use super::seal::Place;
use crate::engine::{Shared, locked};
use crate::error::Result;
use crate::layout::TEMPORARY;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Files that are to be removed.
#[derive(Default)]
pub(crate) struct Leftovers(Mutex<Vec<PathBuf>>);

impl Shared {
    /// Writes segments and lets the catalog name them; where that fails, what was written is removed.
    pub(super) fn drafting<T>(&self, write_and_name: impl FnOnce(&Place<'_>) -> Result<T>) -> Result<T> {
        let (env, layout, cache) = (&self.env, &self.layout, &self.cache);
        let place = Place { env, layout, cache, created: env.now(), begun: RefCell::default() };
        let done = write_and_name(&place);
        if done.is_err() {
            self.abandon(place.begun.into_inner());
        }
        done
    }

    /// Removes files that nobody names, now or as soon as it can be done.
    pub(crate) fn abandon(&self, files: Vec<PathBuf>) {
        self.leave(files.into_iter());
        self.clear_leftovers();
    }

    /// Removes what is left over, as far as it can be. For whoever holds the maintenance lock.
    pub(crate) fn clear_leftovers(&self) {
        if locked(&self.leftovers.0).is_empty() || !locked(&self.doubtful).is_empty() {
            return;
        }
        let files = std::mem::take(&mut *locked(&self.leftovers.0));
        let stay = self.remove_files(files);
        self.leave(stay.into_iter().map(|(path, _)| path));
    }

    /// Removes files of the log that are not to be recycled, as soon as all of them is sealed.
    pub(super) fn clear_log(&self) {
        if self.files.awaits_removal() {
            let sealed_seq = locked(&self.meta).sealed_seq;
            // Sealing does not wait for it; a file that stays is tried again.
            let _stays = self.files.retire(sealed_seq);
        }
    }

    /// Leaves files for later.
    pub(super) fn leave(&self, files: impl Iterator<Item = PathBuf>) {
        locked(&self.leftovers.0).extend(files);
    }

    /// Removes files, and folders that are empty then. Gives those that may still be there, and why.
    pub(super) fn remove_files(&self, files: Vec<PathBuf>) -> Vec<(PathBuf, io::Error)> {
        let mut stay = Vec::new();
        let mut directories: BTreeSet<PathBuf> = BTreeSet::new();
        for path in files {
            match self.remove_with_draft(&path) {
                Ok(()) => directories.extend(path.parent().map(Path::to_path_buf)),
                Err(e) => stay.push((path, e)),
            }
        }
        for directory in directories {
            if let Err(e) = self.tidy(&directory) {
                self.trouble(format!("{} could not be tidied: {e}", directory.display()));
            }
        }
        stay
    }

    /// Removes a segment's file, and the one that it is while it is being written.
    fn remove_with_draft(&self, path: &Path) -> io::Result<()> {
        let remove = |path: &Path| match self.env.remove_file(path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        };
        remove(&path.with_extension(TEMPORARY))?;
        remove(path)
    }

    fn tidy(&self, directory: &Path) -> io::Result<()> {
        if !self.env.exists(directory)? {
            return Ok(());
        }
        self.env.sync_dir(directory)?;
        if self.env.list(directory)?.is_empty() {
            self.env.remove_dir(directory)?;
            self.env.sync_dir(&self.layout.segments())?;
        }
        Ok(())
    }
}
