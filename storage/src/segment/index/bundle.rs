//! tantivy's files in one run of bytes, and a directory that reads them there.
//!
//! `| file bytes ... | directory: files varint, then name, len varint, crc32 u32 of each | directory len u32 | crc32 u32 |`,
//! the last crc over the directory and its length. A file's place follows from the lengths before it.
//!
//! Invariants
//! * All checksums have passed before tantivy sees a byte, since it panics on bytes that it did not write.
//! * Reading takes no lock and starts no thread, and the bytes are shared, never copied.
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
use tantivy::directory::{DirectoryLock, FileHandle, Lock, OwnedBytes, WatchCallback, WatchHandle, WritePtr};

use crate::codec::{Reader, put_bytes, put_varint};
use crate::error::{Error, Result};

const TAIL_BYTES: usize = 8;
/// Bytes that a file takes in the directory, at least.
const ENTRY_BYTES_MIN: usize = 6;

/// Puts files into a bundle.
#[derive(Default)]
pub(super) struct BundleWriter {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    files: u64,
}

impl BundleWriter {
    pub(super) fn put(&mut self, name: &str, file: &[u8]) {
        self.bytes.extend_from_slice(file);
        put_bytes(&mut self.directory, name.as_bytes());
        put_varint(&mut self.directory, file.len() as u64);
        self.directory.extend_from_slice(&crc32fast::hash(file).to_le_bytes());
        self.files += 1;
    }

    pub(super) fn finish(self) -> Result<Vec<u8>> {
        let mut out = self.bytes;
        let start = out.len();
        put_varint(&mut out, self.files);
        out.extend_from_slice(&self.directory);
        let len = u32::try_from(out.len() - start).map_err(|_| Error::invalid("cannot bundle an index: too large"))?;
        out.extend_from_slice(&len.to_le_bytes());
        let crc = crc32fast::hash(out.get(start..).unwrap_or_default());
        out.extend_from_slice(&crc.to_le_bytes());
        Ok(out)
    }
}

/// The files of a bundle.
#[derive(Clone)]
pub(super) struct Bundle {
    files: Arc<[(PathBuf, OwnedBytes)]>,
}

impl Bundle {
    /// Reads the directory and checks every file.
    pub(super) fn open(bytes: Arc<[u8]>) -> Result<Self> {
        let mut rest = Reader::new(directory(&bytes)?);
        let all = OwnedBytes::new(Arc::clone(&bytes));
        let mut files = Vec::new();
        let mut start = 0usize;
        for _ in 0..rest.count(ENTRY_BYTES_MIN)? {
            let name = PathBuf::from(rest.text()?);
            let len = usize::try_from(rest.varint()?).map_err(|_| damaged())?;
            let crc = rest.u32()?;
            let end = start.checked_add(len).ok_or_else(damaged)?;
            if crc32fast::hash(bytes.get(start..end).ok_or_else(damaged)?) != crc {
                return Err(Error::corrupt(format!("the file {} of a shape index fails its checksum", name.display())));
            }
            files.push((name, all.slice(start..end)));
            start = end;
        }
        Ok(Self { files: files.into() })
    }

    /// The files whose names begin with `prefix`, as a directory without it. None where there are none.
    pub(super) fn part(&self, prefix: &str) -> Option<Self> {
        let strip = |(path, file): &(PathBuf, OwnedBytes)| {
            path.strip_prefix(prefix).ok().map(|name| (name.to_path_buf(), file.clone()))
        };
        let files: Arc<[_]> = self.files.iter().filter_map(strip).collect();
        (!files.is_empty()).then_some(Self { files })
    }

    fn find(&self, path: &Path) -> std::result::Result<&OwnedBytes, OpenReadError> {
        let found = self.files.iter().find(|(name, _)| name == path);
        found.map(|(_, file)| file).ok_or_else(|| OpenReadError::FileDoesNotExist(path.to_path_buf()))
    }
}

/// The directory's bytes, checked.
fn directory(bytes: &[u8]) -> Result<&[u8]> {
    let tail_start = bytes.len().checked_sub(TAIL_BYTES).ok_or_else(damaged)?;
    let mut tail = Reader::new(bytes.get(tail_start..).ok_or_else(damaged)?);
    let len = tail.u32()? as usize;
    let crc = tail.u32()?;
    let start = tail_start.checked_sub(len).ok_or_else(damaged)?;
    if crc32fast::hash(bytes.get(start..tail_start + 4).ok_or_else(damaged)?) != crc {
        return Err(Error::corrupt("the directory of a shape index fails its checksum"));
    }
    bytes.get(start..tail_start).ok_or_else(damaged)
}

fn damaged() -> Error {
    Error::corrupt("a shape index is damaged")
}

fn read_only() -> io::Error {
    io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "a bundle is only read")
}

impl std::fmt::Debug for Bundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.files.iter().map(|(name, file)| (name, file.len()))).finish()
    }
}

impl tantivy::Directory for Bundle {
    fn get_file_handle(&self, path: &Path) -> std::result::Result<Arc<dyn FileHandle>, OpenReadError> {
        Ok(Arc::new(self.find(path)?.clone()))
    }

    fn delete(&self, path: &Path) -> std::result::Result<(), DeleteError> {
        Err(DeleteError::IoError { io_error: Arc::new(read_only()), filepath: path.to_path_buf() })
    }

    fn exists(&self, path: &Path) -> std::result::Result<bool, OpenReadError> {
        Ok(self.find(path).is_ok())
    }

    fn open_write(&self, path: &Path) -> std::result::Result<WritePtr, OpenWriteError> {
        Err(OpenWriteError::IoError { io_error: Arc::new(read_only()), filepath: path.to_path_buf() })
    }

    fn atomic_read(&self, path: &Path) -> std::result::Result<Vec<u8>, OpenReadError> {
        Ok(self.find(path)?.to_vec())
    }

    fn atomic_write(&self, _path: &Path, _data: &[u8]) -> io::Result<()> {
        Err(read_only())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    /// Nothing here changes, so there is nothing to keep out.
    fn acquire_lock(&self, _lock: &Lock) -> std::result::Result<DirectoryLock, LockError> {
        Ok(DirectoryLock::from(Box::new(())))
    }

    fn watch(&self, _callback: WatchCallback) -> tantivy::Result<WatchHandle> {
        Ok(WatchHandle::empty())
    }
}
