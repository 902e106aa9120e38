//! Appends frames: one write and at most one sync a call, to one file at a time.
//!
//! Invariants
//! * What a call reports as durable was synced through the handle that it was written with.
//! * After a failed sync, or a write that failed for another reason than a full disk, the writer is poisoned: the
//!   handle is closed, never synced again, and every later call fails.
//! * A file whose successor may exist, or in which a write failed, takes no further frame: the successor's
//!   `base_batch` makes void what is left of the failed write.
use super::files::{FileInfo, Files, wal_path};
use super::frame::{
    FILE_HEADER_BYTES, FRAME_HEADER_BYTES, FileHeader, Frame, Kind, Previous, Stamp, chain, frame_bytes, put_frame,
};
use super::replay::Replayed;
use crate::env::{File, OpenMode};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{WAL_FILE_BYTES, WAL_GROUP_BYTES_MAX};
use crate::planted;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Room that is kept in every file for the seal of a clean shutdown.
const SEAL_BYTES: usize = FRAME_HEADER_BYTES;
/// What one call can append.
const GROUP_BYTES_MAX: usize = WAL_FILE_BYTES - FILE_HEADER_BYTES - SEAL_BYTES;

/// Where the log goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// No frame has a sequence number from here on.
    pub next_seq: u64,
    /// The next batch number.
    pub batch_no: u64,
    /// The file before.
    pub previous: Option<Previous>,
    /// Of the rows that are appended.
    pub epoch: u32,
}

impl From<&Replayed> for Start {
    fn from(replayed: &Replayed) -> Self {
        Self { next_seq: replayed.next_seq, batch_no: replayed.batch_no, previous: replayed.previous, epoch: 0 }
    }
}

/// The one writer of the log.
pub struct Writer {
    files: Arc<Files>,
    current: Option<Current>,
    previous: Option<Previous>,
    epoch: u32,
    next_seq: u64,
    batch_no: u64,
    durable_seq: u64,
    durable_batch: u64,
    /// Whether the last frame says that everything before it is durable.
    marked: bool,
    buffer: Vec<u8>,
    poisoned: Option<String>,
}

struct Current {
    file: Arc<dyn File>,
    path: PathBuf,
    header: FileHeader,
    offset: u64,
    len: u64,
    keep_until: u64,
    crc: u32,
    /// Takes no further frame.
    full: bool,
}

impl Current {
    fn has_room(&self, bytes: usize) -> bool {
        !self.full && self.offset + (bytes as u64) <= self.len
    }
}

impl Writer {
    /// Starts a new file; an old one is never appended to. On a full disk the file is made by the first append that
    /// finds room.
    pub fn create(files: Arc<Files>, start: Start) -> Result<Self> {
        let mut writer = Self {
            files,
            current: None,
            previous: start.previous,
            epoch: start.epoch,
            next_seq: start.next_seq,
            batch_no: start.batch_no,
            durable_seq: start.next_seq,
            durable_batch: start.batch_no,
            marked: true,
            buffer: Vec::new(),
            poisoned: None,
        };
        match writer.open_next(FILE_HEADER_BYTES) {
            Err(e) if e.kind() != ErrorKind::DiskFull => Err(e),
            _ => Ok(writer),
        }
    }

    /// Writes the frames, all of them or, after an error, none that counts; with `sync` they are then durable.
    ///
    /// `DiskFull` leaves the writer usable; after `Poisoned` it never is again.
    pub fn append(&mut self, frames: &[Frame<'_>], sync: bool) -> Result<()> {
        self.check_usable()?;
        let bytes = self.check(frames)?;
        if !self.current.as_ref().is_some_and(|current| current.has_room(bytes + SEAL_BYTES)) {
            self.open_next(FILE_HEADER_BYTES + bytes + SEAL_BYTES)?;
        }
        self.write(Kind::Data, frames)?;
        if sync { self.sync() } else { Ok(()) }
    }

    /// Makes all that was appended durable.
    pub fn sync(&mut self) -> Result<()> {
        self.check_usable()?;
        if self.durable_batch == self.batch_no {
            return Ok(());
        }
        let Some(current) = &self.current else { return Ok(()) };
        let began = self.files.env().monotonic();
        if !planted::on("ack-before-sync")
            && let Err(e) = current.file.sync_data()
        {
            return Err(self.poison("sync", &e));
        }
        self.files.syncs.note(self.files.env().monotonic().saturating_sub(began));
        self.durable_seq = self.next_seq;
        self.durable_batch = self.batch_no;
        Ok(())
    }

    /// Says in the log that everything before is durable, so that damage to the last batch cannot pass for a torn
    /// tail. Meant for when the writer has been idle for a moment.
    pub fn mark(&mut self) -> Result<()> {
        self.check_usable()?;
        let room = self.current.as_ref().is_some_and(|current| current.has_room(FRAME_HEADER_BYTES + SEAL_BYTES));
        if self.marked || !room {
            return Ok(());
        }
        self.write_empty(Kind::Mark)
    }

    /// Goes on in a new file where the current one is not to be kept. Meant for when the writer has been idle.
    pub fn renew(&mut self) -> Result<()> {
        self.check_usable()?;
        let is_to_go = self.current.as_ref().is_some_and(|current| self.files.is_to_go(current.header.id));
        if is_to_go { self.open_next(FILE_HEADER_BYTES) } else { Ok(()) }
    }

    /// Makes all durable and says that this was a clean shutdown.
    pub fn close(mut self) -> Result<()> {
        self.check_usable()?;
        self.sync()?;
        if self.current.as_ref().is_some_and(|current| current.has_room(SEAL_BYTES)) {
            self.write_empty(Kind::Seal)?;
        }
        self.finish_current();
        self.files.set_current_bytes(0);
        Ok(())
    }

    /// All sequence numbers below this are durable.
    pub fn durable_seq(&self) -> u64 {
        self.durable_seq
    }

    /// The lowest sequence number that the next frame can have.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    fn check_usable(&self) -> Result<()> {
        match &self.poisoned {
            Some(message) => Err(Error::new(ErrorKind::Poisoned, message.clone())),
            None => Ok(()),
        }
    }

    /// How many bytes the frames take, if they can be appended.
    fn check(&self, frames: &[Frame<'_>]) -> Result<usize> {
        let mut next_seq = self.next_seq;
        let mut bytes = 0usize;
        for frame in frames {
            if frame.first_seq < next_seq {
                let message = format!("cannot log a batch from {}: {next_seq} is next", frame.first_seq);
                return Err(Error::invalid(message));
            }
            let end = frame.first_seq.checked_add(u64::from(frame.rows)).filter(|end| *end < u64::MAX);
            next_seq = end.ok_or_else(|| Error::invalid("cannot log a batch: out of sequence numbers"))?;
            bytes = bytes.saturating_add(frame_bytes(frame.payload_bytes().min(WAL_FILE_BYTES)));
        }
        if bytes > GROUP_BYTES_MAX {
            return Err(Error::invalid(format!("cannot log {bytes} bytes at once: at most {GROUP_BYTES_MAX}")));
        }
        Ok(bytes)
    }

    fn write_empty(&mut self, kind: Kind) -> Result<()> {
        self.sync()?;
        self.write(kind, &[Frame { first_seq: self.next_seq, rows: 0, arrival: 0, parts: &[] }])?;
        self.sync()?;
        self.marked = true;
        Ok(())
    }

    /// Writes frames for which there is room. Nothing of the writer changes unless all were written.
    fn write(&mut self, kind: Kind, frames: &[Frame<'_>]) -> Result<()> {
        let Some(current) = &mut self.current else { return Err(Error::bug("no WAL file to write to")) };
        self.buffer.clear();
        self.buffer.shrink_to(WAL_GROUP_BYTES_MAX);
        let (mut batch_no, mut next_seq) = (self.batch_no, self.next_seq);
        let (mut crc, mut keep_until) = (current.crc, current.keep_until);
        // A mark is written when everything before it is durable, so for it this is its own number.
        let durable_batch = self.durable_batch;
        for frame in frames {
            let stamp = Stamp { kind, batch_no, durable_batch, epoch: Some(self.epoch) };
            crc = chain(crc, put_frame(&mut self.buffer, current.header.salt, stamp, frame)?);
            batch_no += 1;
            next_seq = frame.first_seq + u64::from(frame.rows);
            let alone = kind == Kind::Data && frame.rows == 0;
            keep_until = keep_until.max(next_seq + u64::from(alone));
        }
        if let Err(e) = current.file.write_all_at(&self.buffer, current.offset) {
            return Err(self.refuse_write(e));
        }
        current.offset += self.buffer.len() as u64;
        (current.crc, current.keep_until) = (crc, keep_until);
        (self.batch_no, self.next_seq) = (batch_no, next_seq);
        self.marked &= frames.is_empty();
        self.files.note_append(self.buffer.len() as u64, current.offset);
        Ok(())
    }

    /// A full disk can show inside a file that has all its bytes, where the file system copies on write. What was
    /// written before is sound, but this file may now hold part of frames that are refused. The next append goes to a
    /// new file, whose header voids them; for a crash before that, the first of them is made unreadable, as far as the
    /// disk lets us: frames count only up to the first that does not.
    fn refuse_write(&mut self, e: std::io::Error) -> Error {
        let Some(current) = &mut self.current else { return Error::bug("no WAL file to write to") };
        let error = Error::io("write", &current.path, e);
        if error.kind() == ErrorKind::DiskFull {
            current.full = true;
            let _refused_again = current.file.write_all_at(&[0; FRAME_HEADER_BYTES], current.offset);
            return match current.file.sync_data() {
                Ok(()) => error,
                Err(e) => self.poison("sync", &e),
            };
        }
        let path = current.path.clone();
        self.poison_as(format!("cannot append to the log, {}: {error}", path.display()))
    }

    fn poison(&mut self, doing: &str, e: &std::io::Error) -> Error {
        let path = self.current.as_ref().map(|current| current.path.clone()).unwrap_or_default();
        self.poison_as(format!("cannot append to the log: cannot {doing} {}: {e}", path.display()))
    }

    fn poison_as(&mut self, message: String) -> Error {
        self.current = None;
        self.files.fail(&message);
        self.poisoned = Some(message.clone());
        Error::new(ErrorKind::Poisoned, message)
    }

    /// Goes on in a new file of at least `len` bytes. Until its name may exist, an error leaves all as it was.
    fn open_next(&mut self, len: usize) -> Result<()> {
        // Numbered before a spare is taken: see `Files::forget_old_bytes`.
        let id = self.files.next_id();
        let spare = self.files.take_spare(len)?;
        let mut next = match self.start_file(&spare, id) {
            Ok(next) => next,
            Err(e) => {
                self.files.env().remove_file(&spare).ok();
                return Err(e);
            }
        };
        // From its name on, the new file stands for everything before it: that must be durable by then.
        if let Err(e) = self.sync() {
            self.files.return_spare(spare, next.len);
            return Err(e);
        }
        self.finish_current();
        let path = wal_path(self.files.dir(), next.header.id);
        self.files.env().rename(&spare, &path).map_err(|e| Error::io("rename", &spare, e))?;
        if let Err(e) = self.files.sync_dir(self.files.dir()) {
            // Empty, and void as soon as there is a later file; so it may also stay.
            self.files.env().remove_file(&path).ok();
            return Err(e);
        }
        next.path = path;
        self.files.set_current_bytes(next.offset);
        self.current = Some(next);
        Ok(())
    }

    /// Writes a durable header over a spare.
    fn start_file(&self, spare: &Path, id: u64) -> Result<Current> {
        let file = self.files.env().open(spare, OpenMode::ReadWrite).map_err(|e| Error::io("open", spare, e))?;
        let header = FileHeader {
            id,
            base_seq: self.next_seq,
            base_batch: self.batch_no,
            salt: self.files.env().random(),
            previous: self.current.as_ref().map_or(self.previous, |current| self.as_previous(current)),
        };
        file.write_all_at(&header.encode(), 0).map_err(|e| Error::io("write", spare, e))?;
        file.sync_data().map_err(|e| Error::io("sync", spare, e))?;
        let len = file.len().map_err(|e| Error::io("read the length of", spare, e))?;
        Ok(Current {
            file,
            path: spare.to_path_buf(),
            offset: FILE_HEADER_BYTES as u64,
            len,
            keep_until: header.base_seq,
            crc: 0,
            full: false,
            header,
        })
    }

    /// What the next file follows. A file without frames is void as soon as there is a later one, and is removed at the
    /// next start: to follow it would look as if it was missing.
    fn as_previous(&self, current: &Current) -> Option<Previous> {
        if self.batch_no == current.header.base_batch {
            return current.header.previous;
        }
        Some(Previous { file_id: current.header.id, end_seq: self.next_seq, crc: current.crc })
    }

    fn finish_current(&mut self) {
        let Some(current) = self.current.take() else { return };
        self.previous = self.as_previous(&current);
        self.files.push_closed(FileInfo {
            id: current.header.id,
            path: current.path,
            first_seq: current.header.base_seq,
            end_seq: self.next_seq,
            keep_until: current.keep_until,
            bytes: current.offset,
            len: current.len,
            damaged: false,
        });
    }
}
