//! Open files and held locks of the simulated machine.
//!
//! Invariants
//! * A handle remembers the life it was opened in; it does nothing to a later one, not even when it is dropped.
use super::Shared;
use super::disk::Ino;
use super::faults::IoKind;
use super::machine::Call;
use crate::env::{DirLock, File};
use std::io;
use std::path::PathBuf;

/// An open file.
pub(super) struct SimFile {
    pub(super) machine: Shared,
    pub(super) ino: Ino,
    pub(super) life: u64,
    pub(super) path: PathBuf,
}

impl SimFile {
    fn call(&self, kind: IoKind, offset: u64, len: usize) -> Call<'_> {
        let changes = !matches!(kind, IoKind::Read | IoKind::Stat);
        Call { kind, path: &self.path, life: Some(self.life), changes, offset, len }
    }
}

impl File for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.machine.locked().read(self.call(IoKind::Read, offset, buf.len()), self.ino, buf)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.machine.locked().write(self.call(IoKind::Write, offset, buf.len()), self.ino, buf)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.machine.locked().sync(self.call(IoKind::Sync, 0, 0), self.ino)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.machine.locked().set_len(self.call(IoKind::SetLen, len, 0), self.ino, len)
    }

    fn len(&self) -> io::Result<u64> {
        self.machine.locked().file_len(self.call(IoKind::Stat, 0, 0), self.ino)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.machine.locked().close(self.ino, self.life);
    }
}

/// A held lock; its file stays open along with it.
pub(super) struct SimLock {
    pub(super) file: SimFile,
}

impl DirLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.file.machine.locked().unlock(self.file.ino, self.file.life);
    }
}
