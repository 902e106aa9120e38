//! Making, proving, opening and setting aside the redb file, and redb's errors as ours.
//!
//! Invariants
//! * A file gets its name only once it is complete and durable.
//! * Every page is checked against its checksum before anything in the file is believed or changed.
use super::backend::{Backend, Header};
use super::tables::{Digest, Table, open_row, seal_row, show_key};
use super::{COMMITS_KEY, CORE, Catalog, FORMAT_KEY, META_KEY, Meta, Options, PROGRAM, PROGRAM_KEY, StoredTable};
use crate::env::{Env, File, OpenMode};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{CATALOG, Layout, TEMPORARY};
use crate::limits::MIB;
use redb::backends::InMemoryBackend;
use redb::{Builder, Database, Durability, ReadableDatabase, StorageBackend, TableDefinition, WriteTransaction};
use serde::de::DeserializeOwned;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// redb's handle of a table.
pub(super) fn table(name: &str) -> TableDefinition<'_, &'static [u8], &'static [u8]> {
    TableDefinition::new(name)
}

/// Makes an empty catalog of `format` at `path`.
pub(super) fn create(env: &dyn Env, path: &Path, options: Options, format: u32) -> Result<()> {
    let failed = |e| Error::io("create", path, e);
    let temporary = beside(path, TEMPORARY);
    // One that a crash left has no meaning yet.
    if env.exists(&temporary).map_err(failed)? {
        env.remove_file(&temporary).map_err(failed)?;
    }
    let file = env.open(&temporary, OpenMode::Create).map_err(failed)?;
    let database = start(Backend::new(Arc::clone(&file)), path, options)?;
    initialise(&database, format, env.random()).map_err(|e| e.context(path.display()))?;
    drop(database);
    // Closing writes once more and cannot say that it failed; opening finds out.
    file.sync_all().map_err(failed)?;
    env.rename(&temporary, path).map_err(failed)?;
    env.sync_dir(parent(path)).map_err(failed)
}

fn initialise(database: &Database, format: u32, random: u64) -> Result<()> {
    let refused = |e: redb::Error| refused(Path::new("the new file"), "fill", e);
    let mut txn = database.begin_write().map_err(|e| refused(e.into()))?;
    txn.set_durability(Durability::Immediate).map_err(|e| refused(e.into()))?;
    txn.set_two_phase_commit(true);
    txn.set_quick_repair(true);
    let meta = seal_row(Table::Meta.name(), META_KEY, &Meta { format, ..Meta::new(random) })?;
    put(&txn, Table::Meta.name(), META_KEY, &meta)?;
    put(&txn, CORE, FORMAT_KEY, &seal_row(CORE, FORMAT_KEY, &format)?)?;
    put(&txn, CORE, PROGRAM_KEY, &seal_row(CORE, PROGRAM_KEY, &PROGRAM.to_owned())?)?;
    put(&txn, CORE, COMMITS_KEY, &seal_row(CORE, COMMITS_KEY, &1u64)?)?;
    for each in Table::ALL {
        // Every table exists from the start, so that one that does not is damage.
        txn.open_table(table(each.name())).map_err(|e| refused(e.into()))?;
        let mut digest = Digest::default();
        if each == Table::Meta {
            digest.add(META_KEY, &meta);
        }
        let key = each.name().as_bytes();
        put(&txn, CORE, key, &seal_row(CORE, key, &digest)?)?;
    }
    txn.commit().map_err(|e| refused(e.into()))
}

fn put(txn: &WriteTransaction, name: &str, key: &[u8], stored: &[u8]) -> Result<()> {
    let refused = |e: redb::Error| refused(Path::new("the new file"), "fill", e);
    let mut rows = txn.open_table(table(name)).map_err(|e| refused(e.into()))?;
    rows.insert(key, stored).map_err(|e| refused(e.into()))?;
    Ok(())
}

/// Opens the catalog at `path`, which must have been proven.
pub(super) fn open(env: &dyn Env, path: &Path, options: Options) -> Result<Database> {
    let file = env.open(path, OpenMode::ReadWrite).map_err(|e| Error::io("open", path, e))?;
    start(Backend::new(file), path, options)
}

/// What a catalog says of how it was made.
pub(super) struct Made {
    pub(super) format: u32,
    /// The version of the program that first wrote this format here, and so of one that reads it.
    pub(super) program: Option<String>,
}

/// Checks every page of the catalog at `path` without changing the file, and gives its format.
///
/// redb opens a copy in memory here, in such a way that it verifies each page before it reads it. Opened as they are,
/// files with two-phase commits and quick repair are believed: redb decodes the saved free space without a look at
/// checksums, panics on some damaged ones, and would let a commit write over live rows on others. A panic in the
/// middle of redb is nothing to go on from, so the file is proven first. The catalog is small enough for that.
pub(super) fn prove(env: &dyn Env, path: &Path, options: Options) -> Result<Made> {
    let prove = || {
        let file = env.open(path, OpenMode::Read).map_err(|e| Error::io("open", path, e))?;
        let header = Header::read(&*file)?;
        header.check()?;
        let copy = InMemoryBackend::new();
        copy_into(&copy, &*file).map_err(|e| Error::io("read", path, e))?;
        copy.write(0, &header.distrusted()?).map_err(|e| Error::io("read", path, e))?;
        let database = start(copy, path, options)?;
        let txn = database.begin_read().map_err(|e| refused(path, "read", e))?;
        let core = txn.open_table(table(CORE)).map_err(|e| refused(path, "read", e))?;
        // What is told in a message need not be there.
        Ok(Made { format: core_row(&core, path, FORMAT_KEY)?, program: core_row(&core, path, PROGRAM_KEY).ok() })
    };
    prove().map_err(|e: Error| e.context(format!("the catalog {} cannot be used", path.display())))
}

/// What the catalog says about itself under `key`.
pub(super) fn core_row<T: DeserializeOwned>(core: &impl StoredTable, path: &Path, key: &[u8]) -> Result<T> {
    match core.get(key).map_err(|e| refused(path, "read", e))? {
        Some(stored) => open_row(CORE, key, stored.value()),
        None => Err(Error::corrupt(format!("the {CORE} row {} is missing", show_key(key)))),
    }
}

fn copy_into(copy: &InMemoryBackend, file: &dyn File) -> io::Result<()> {
    let len = file.len()?;
    copy.set_len(len)?;
    let mut buf = vec![0; MIB];
    let mut at = 0;
    while at < len {
        let read = file.read_at(&mut buf, at)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        copy.write(at, buf.get(..read).unwrap_or_default())?;
        at += read as u64;
    }
    Ok(())
}

fn start(backend: impl StorageBackend, path: &Path, options: Options) -> Result<Database> {
    let mut builder = Builder::new();
    builder.set_cache_size(options.cache_bytes);
    builder.create_with_backend(backend).map_err(|e| refused(path, "open", e))
}

/// What redb says, in our words.
pub(super) fn refused(path: &Path, doing: &str, error: impl Into<redb::Error>) -> Error {
    let error = error.into();
    let kind = match error {
        redb::Error::Io(e) if !is_damage(&e) => return Error::io(doing, path, e),
        redb::Error::PreviousIo | redb::Error::Unsupported => ErrorKind::Io,
        redb::Error::DatabaseClosed => ErrorKind::Closed,
        redb::Error::ValueTooLarge(_) => ErrorKind::Invalid,
        // Tables of another type, poisoned locks and the like: bytes or states that we never leave behind.
        _ => ErrorKind::Corrupt,
    };
    Error::new(kind, format!("cannot {doing} {}: {error}", path.display())).with_source(error)
}

/// A page beyond the end, or a file that is none of redb's.
fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData)
}

/// `path` with one more extension.
pub(super) fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

/// The directory of `path`.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

impl Catalog {
    /// Moves a catalog that cannot be used into the quarantine and says where it is now; none where there is no file.
    pub fn set_aside(env: &dyn Env, layout: &Layout) -> Result<Option<PathBuf>> {
        let from = layout.catalog();
        if !env.exists(&from).map_err(|e| Error::io("look for", &from, e))? {
            return Ok(None);
        }
        let move_it = || -> io::Result<PathBuf> {
            env.create_dir_all(&layout.quarantine())?;
            let to = free_name(env, &layout.quarantine())?;
            env.rename(&from, &to)?;
            env.sync_dir(&layout.quarantine())?;
            env.sync_dir(layout.root())?;
            Ok(to)
        };
        move_it().map(Some).map_err(|e| Error::io("set aside", &from, e))
    }
}

/// A name for a catalog in `folder` that nothing has.
fn free_name(env: &dyn Env, folder: &Path) -> io::Result<PathBuf> {
    let now = env.now();
    let mut attempt = 0u32;
    loop {
        let name = folder.join(format!("{CATALOG}.{now}.{attempt}"));
        if !env.exists(&name)? {
            return Ok(name);
        }
        attempt += 1;
    }
}
