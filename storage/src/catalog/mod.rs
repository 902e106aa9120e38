//! The catalog: what exists, how it is kept, and what was promised, in one small redb file.
//!
//! It may be read as a whole when the engine starts. It is changed a few times a second at most; what is written more
//! often lives in the WAL and comes here when its file retires.
//!
//! Tables: [`Table::ALL`], and `core` with the format, the number of commits and a digest per table.
//!
//! Invariants
//! * A [`Change`] is durable as a whole when [`Catalog::commit`] returns, or not there at all. After an error it may
//!   be either; [`Catalog::reopen`] and look.
//! * A file named `catalog.redb` was initialised completely: it is made under another name first.
//! * Damage is reported, never passed on: redb's page checksums are checked at open, ours on every read.
//! * redb is imported in this folder only.
//!
//! redb panics on some damaged files that it was told to believe; [`database::prove`] reads a file first, so that
//! nothing here has to catch a panic.
mod archive;
mod backend;
pub mod config_copy;
mod copy;
mod database;
mod keys;
mod migrate;
mod segments;
mod services;
mod state;
mod tables;
#[cfg(test)]
mod tests;

pub use archive::{ArchiveRecord, ArchivedCopy, CondemnedObject, Residency};
pub use keys::KeyRecord;
pub use segments::{RetentionClass, SEGMENT_SERVICES_MAX, SegmentRecord, SegmentServices, SegmentState, ServiceCount};
pub use services::{ServiceConfig, TTL_FOREVER};
pub use state::{Damage, EffectRow, Meta, State};
pub(crate) use tables::read_stored;
pub use tables::{Change, Row, Scan, Table};

use crate::env::Env;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::FORMAT_VERSION;
use crate::limits::MIB;
use migrate::{MIGRATIONS, Migration};
use redb::{Database, Durability, ReadTransaction, ReadableDatabase, ReadableTable, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use tables::{Digest, Step, open_row, seal_row};

/// What redb may cache.
const CACHE_BYTES: usize = 8 * MIB;
/// The key of [`Meta`] in its table.
const META_KEY: &[u8] = b"meta";
/// The table of what the catalog says about itself.
const CORE: &str = "core";
const FORMAT_KEY: &[u8] = b"format";
const PROGRAM_KEY: &[u8] = b"program";
/// This program's version.
const PROGRAM: &str = env!("CARGO_PKG_VERSION");
const COMMITS_KEY: &[u8] = b"commits";

/// A table of any transaction.
trait StoredTable: ReadableTable<&'static [u8], &'static [u8]> {}
impl<T: ReadableTable<&'static [u8], &'static [u8]>> StoredTable for T {}
type OpenTable<'t> = redb::Table<'t, &'static [u8], &'static [u8]>;

/// How a catalog is opened.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What redb may cache.
    pub cache_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { cache_bytes: CACHE_BYTES }
    }
}

/// The open catalog.
pub struct Catalog {
    env: Arc<dyn Env>,
    path: PathBuf,
    options: Options,
    /// Read-locked by every use, write-locked by [`Catalog::reopen`]; none once that has failed.
    database: RwLock<Option<Database>>,
    /// Set by a failed commit; redb refuses everything from then on.
    failed: AtomicBool,
}

/// A catalog and how it was found.
pub struct Opened {
    /// The catalog.
    pub catalog: Catalog,
    /// Whether there was none.
    pub created: bool,
    /// The format that it was found in, where that was an older one.
    pub migrated_from: Option<u32>,
}

/// Rows in their stored form, and whether they are all there.
struct StoredRows {
    rows: Vec<Row<Vec<u8>>>,
    whole: Option<Error>,
}

impl Catalog {
    /// Opens the catalog at `path`, or makes it where there is no file.
    pub fn open(env: Arc<dyn Env>, path: &Path) -> Result<Opened> {
        Self::open_with(env, path, Options::default())
    }

    /// [`Catalog::open`] with options.
    pub fn open_with(env: Arc<dyn Env>, path: &Path, options: Options) -> Result<Opened> {
        Self::open_as(env, path, options, FORMAT_VERSION, MIGRATIONS)
    }

    fn open_as(env: Arc<dyn Env>, path: &Path, options: Options, target: u32, steps: &[Migration]) -> Result<Opened> {
        let created = !env.exists(path).map_err(|e| Error::io("look for", path, e))?;
        if created {
            database::create(&*env, path, options, target)?;
        }
        let made = database::prove(&*env, path, options)?;
        migrate::check_format(path, &made, target, steps)?;
        let found = made.format;
        if found < target {
            migrate::back_up(&*env, path, found)?;
        }
        let database = RwLock::new(Some(database::open(&*env, path, options)?));
        let catalog = Self { env, path: path.to_owned(), options, database, failed: AtomicBool::new(false) };
        // Written over is a commit that was cut short, if there was one: `Header::check` relies on it.
        catalog.apply(&Change::new(), None)?;
        migrate::run(&catalog, found, target, steps)?;
        Ok(Opened { catalog, created, migrated_from: (found < target).then_some(found) })
    }

    /// Carries out a change and makes it durable. Takes about two milliseconds.
    pub fn commit(&self, change: &Change) -> Result<()> {
        self.apply(change, None)
    }

    fn apply(&self, change: &Change, format: Option<u32>) -> Result<()> {
        let result = self.with(|database| {
            let mut txn = database.begin_write().map_err(|e| self.refused("begin a change of", e))?;
            txn.set_durability(Durability::Immediate).map_err(|e| self.refused("begin a change of", e))?;
            txn.set_two_phase_commit(true);
            txn.set_quick_repair(true);
            self.write_steps(&txn, change)?;
            self.write_core(&txn, format)?;
            txn.commit().map_err(|e| self.refused("commit to", e))
        });
        if result.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        result
    }

    fn write_steps(&self, txn: &WriteTransaction, change: &Change) -> Result<()> {
        let mut core = txn.open_table(database::table(CORE)).map_err(|e| self.refused("change", e))?;
        for table in Table::ALL {
            if !change.steps.iter().any(|step| step.table() == table) {
                continue;
            }
            let mut rows = txn.open_table(database::table(table.name())).map_err(|e| self.refused("change", e))?;
            let mut digest = self.core_in::<Digest>(&core, table.name().as_bytes());
            for step in change.steps.iter().filter(|step| step.table() == table) {
                self.write_step(&mut rows, &mut digest, step)?;
            }
            self.put_core(&mut core, table.name().as_bytes(), &digest?)?;
        }
        Ok(())
    }

    fn write_step(&self, rows: &mut OpenTable<'_>, digest: &mut Result<Digest>, step: &Step) -> Result<()> {
        let (key, old) = match step {
            Step::Put(_, key, stored) => {
                if let Ok(digest) = digest {
                    digest.add(key, stored);
                }
                (key, rows.insert(key.as_slice(), stored.as_slice()))
            }
            Step::Remove(_, key) => (key, rows.remove(key.as_slice())),
            Step::Accept(_) => {
                *digest = Ok(self.digest_of(rows)?);
                return Ok(());
            }
        };
        let old = old.map_err(|e| self.refused("change", e))?;
        if let (Ok(digest), Some(old)) = (digest, old) {
            digest.take(key, old.value());
        }
        Ok(())
    }

    fn write_core(&self, txn: &WriteTransaction, format: Option<u32>) -> Result<()> {
        let mut core = txn.open_table(database::table(CORE)).map_err(|e| self.refused("change", e))?;
        let commits = self.core_in::<u64>(&core, COMMITS_KEY)?;
        self.put_core(&mut core, COMMITS_KEY, &(commits + 1))?;
        let Some(format) = format else { return Ok(()) };
        self.put_core(&mut core, PROGRAM_KEY, &PROGRAM.to_owned())?;
        self.put_core(&mut core, FORMAT_KEY, &format)
    }

    /// The value of a key; an error where it is damaged.
    pub fn get<T: DeserializeOwned>(&self, table: Table, key: &[u8]) -> Result<Option<T>> {
        self.with(|database| {
            let txn = database.begin_read().map_err(|e| self.refused("read", e))?;
            let rows = txn.open_table(database::table(table.name())).map_err(|e| self.refused("read", e))?;
            let stored = rows.get(key).map_err(|e| self.refused("read", e))?;
            stored.map(|stored| open_row(table.name(), key, stored.value())).transpose()
        })
    }

    /// All rows of a table, by key. Damaged ones are named; an error is that the table cannot be read.
    pub fn scan<T: DeserializeOwned>(&self, table: Table) -> Result<Scan<T>> {
        let StoredRows { rows: stored, whole } = self.stored_rows(table)?;
        let mut rows = Vec::with_capacity(stored.len());
        let mut damaged = Vec::new();
        for (key, value) in stored {
            match open_row(table.name(), &key, &value) {
                Ok(value) => rows.push((key, value)),
                Err(error) => damaged.push((key, error)),
            }
        }
        Ok(Scan { rows, damaged, whole })
    }

    fn stored_rows(&self, table: Table) -> Result<StoredRows> {
        self.with(|database| {
            let txn = database.begin_read().map_err(|e| self.refused("read", e))?;
            self.stored_rows_in(&txn, table)
        })
    }

    fn stored_rows_in(&self, txn: &ReadTransaction, table: Table) -> Result<StoredRows> {
        let core = txn.open_table(database::table(CORE)).map_err(|e| self.refused("read", e))?;
        let table_rows = txn.open_table(database::table(table.name())).map_err(|e| self.refused("read", e))?;
        let mut rows = Vec::new();
        let mut found = Digest::default();
        for row in table_rows.iter().map_err(|e| self.refused("read", e))? {
            let (key, stored) = row.map_err(|e| self.refused("read", e))?;
            found.add(key.value(), stored.value());
            rows.push((key.value().to_vec(), stored.value().to_vec()));
        }
        let digest = self.core_in::<Digest>(&core, table.name().as_bytes());
        let whole = digest.and_then(|digest| digest.check(table, &found)).err();
        Ok(StoredRows { rows, whole })
    }

    fn digest_of(&self, rows: &impl StoredTable) -> Result<Digest> {
        let mut digest = Digest::default();
        for row in rows.iter().map_err(|e| self.refused("read", e))? {
            let (key, stored) = row.map_err(|e| self.refused("read", e))?;
            digest.add(key.value(), stored.value());
        }
        Ok(digest)
    }

    fn core_in<T: DeserializeOwned>(&self, core: &impl StoredTable, key: &[u8]) -> Result<T> {
        database::core_row(core, &self.path, key)
    }

    fn put_core<T: Serialize>(&self, core: &mut OpenTable<'_>, key: &[u8], value: &T) -> Result<()> {
        let stored = seal_row(CORE, key, value)?;
        core.insert(key, stored.as_slice()).map_err(|e| self.refused("change", e))?;
        Ok(())
    }

    /// Whether a commit has failed since it was opened, so that [`Catalog::reopen`] is called for.
    pub fn needs_reopen(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Closes the file and opens it again: what there is to do after a failed commit.
    pub fn reopen(&self) -> Result<()> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // Closed before it is opened: two handles of redb on one file would not know of each other.
        drop(database.take());
        database::prove(&*self.env, &self.path, self.options)?;
        *database = Some(database::open(&*self.env, &self.path, self.options)?);
        drop(database);
        self.failed.store(false, Ordering::Release);
        self.apply(&Change::new(), None)
    }

    fn with<R>(&self, act: impl FnOnce(&Database) -> Result<R>) -> Result<R> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or_else(|| Error::new(ErrorKind::Closed, "the catalog is closed"))?;
        act(database).map_err(|e| if e.kind() == ErrorKind::Corrupt { e.context(self.path.display()) } else { e })
    }

    fn refused(&self, doing: &str, error: impl Into<redb::Error>) -> Error {
        database::refused(&self.path, doing, error)
    }
}
