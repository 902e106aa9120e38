//! The one door outside: files, directories, durability, the clock and chance.
//!
//! Everything below the engine, redb and tantivy included, goes through [`Env`], so that [`sim`] can stand in for the
//! machine and lose power, fill the disk, fail, tear and rot from a seed.
//!
//! Invariants
//! * Bytes are durable after `sync_data`/`sync_all` of their file returned; a name is durable after `sync_dir` of its
//!   directory returned. Nothing else is.
//! * A handle stays open from the first write to the sync that covers it: a reopened file may hide a failed writeback.
//! * Reads and writes carry offsets; there is no cursor, so repeating a short write is harmless.
mod real;
pub mod sim;

use crate::limits::MIB;
pub use real::{RealEnv, give_way};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const ZEROS_BYTES: usize = MIB;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    ReadWrite,
    /// A new file, for reading and writing; an error where one exists.
    Create,
    /// For reading and writing, made when missing.
    OpenOrCreate,
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The last part of its path.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Length of a file.
    pub len: u64,
}

/// Space of the file system under a path.
#[derive(Clone, Copy, Debug)]
pub struct Space {
    /// Bytes that can still be written.
    pub available: u64,
    /// Bytes in all.
    pub total: u64,
}

/// An open file.
pub trait File: Send + Sync {
    /// Reads what is there at `offset`, at most `buf.len()` bytes; 0 at the end.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes some of `buf` at `offset` and says how much.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize>;
    /// Makes the file's bytes, and the length needed to read them, durable.
    fn sync_data(&self) -> io::Result<()>;
    /// Makes bytes and metadata durable.
    fn sync_all(&self) -> io::Result<()>;
    /// Cuts or extends with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// The current length.
    fn len(&self) -> io::Result<u64>;

    /// Extends an empty file to `len` with zeros and takes the room on the disk, without writing where that can be
    /// helped. What is written there later costs the file system more than over zeros that were written.
    fn allocate(&self, len: u64) -> io::Result<()> {
        self.write_zeros(len)
    }

    /// Writes `len` zeros from the start.
    fn write_zeros(&self, len: u64) -> io::Result<()> {
        let zeros = vec![0; ZEROS_BYTES.min(usize::try_from(len).unwrap_or(ZEROS_BYTES))];
        let mut filled = 0;
        while filled < len {
            let rest = usize::try_from(len - filled).unwrap_or(ZEROS_BYTES);
            let chunk = zeros.get(..rest.min(zeros.len())).unwrap_or_default();
            self.write_all_at(chunk, filled)?;
            filled += chunk.len() as u64;
        }
        Ok(())
    }

    /// Whether the file is empty.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `buf`, or fails with `UnexpectedEof`.
    fn read_exact_at(&self, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buf.is_empty() {
            match self.read_at(buf, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    buf = buf.get_mut(n..).unwrap_or_default();
                    offset += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Writes the whole of `buf`.
    fn write_all_at(&self, mut buf: &[u8], mut offset: u64) -> io::Result<()> {
        while !buf.is_empty() {
            match self.write_at(buf, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    buf = buf.get(n..).unwrap_or_default();
                    offset += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

/// Held while the data directory is open; released when dropped, also when the process dies.
pub trait DirLock: Send + Sync {}

/// A machine: the real one, or a simulated one.
pub trait Env: Send + Sync {
    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>>;
    /// Makes a directory and its parents. The names are durable after `sync_dir` of each parent.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Renames a file within the file system, replacing what is there.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// What is in a directory, by name.
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>>;
    /// Whether there is a file or directory.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Takes the lock file, at once or nearly so; `WouldBlock` where another holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DirLock>>;
    /// Space of the file system under `path`.
    fn space(&self, path: &Path) -> io::Result<Space>;
    /// The wall clock, nanoseconds since 1970.
    fn now(&self) -> i64;
    /// A clock that never goes back.
    fn monotonic(&self) -> Duration;
    /// Lets time pass by that clock.
    fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }
    /// What tells a file from each copy of it, here or on another machine; nothing where that cannot be told. It may change
    /// for other reasons too.
    fn identity(&self, path: &Path) -> Option<String>;
    /// A random number: salts, epochs.
    fn random(&self) -> u64;
}

/// Reads a whole file of at most `limit` bytes.
pub fn read_file(env: &dyn Env, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = env.open(path, OpenMode::Read)?;
    let len = file.len()?;
    if len > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{len} bytes, over the limit of {limit}")));
    }
    let mut bytes = vec![0; usize::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Replaces a file as a whole: after a crash it has its old content or the new one.
pub fn write_file_atomic(env: &dyn Env, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension(crate::layout::TEMPORARY);
    let file = env.open(&temporary, OpenMode::OpenOrCreate)?;
    file.set_len(0)?;
    file.write_all_at(bytes, 0)?;
    file.sync_all()?;
    env.rename(&temporary, path)?;
    env.sync_dir(path.parent().unwrap_or(Path::new(".")))
}
