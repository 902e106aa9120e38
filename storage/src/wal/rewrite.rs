//! Makes the end of the log safe to build on, before anything is served.
//!
//! After a sync failed, the page cache can show bytes, marked clean, that the disk does not have; the process that
//! starts next cannot know. So after any but a clean shutdown every frame of the last file is written once more, to
//! a new file, and synced there. Only the last file needs it: all others were synced, through the handle that wrote
//! them, before their successor got its name, or were themselves made here.
//!
//! The new file gets its `.wal` name when it is durable as a whole, and its `base_batch` is that of the old one, which
//! voids the old file in the same instant. A crash before that leaves a `.tmp`, which has no meaning; a crash after it
//! leaves an old file that no longer counts. All frames are copied, sealed ones too, so that the new file also takes
//! the old one's place in the chain of files. Gaps in the batch numbers are kept: damage is reported at every start
//! until what it touches is sealed.
//!
//! A last file without batches is not copied: its successor, which begins with the same batch, takes its place, so that a
//! process that starts again and again does not fill the disk.
//!
//! Invariants
//! * At every moment each batch that replay gave is in a file that the next replay reads, and counts once.
//! * The old file is removed, or set aside where it was damaged, only when the new one and its name are durable.
use super::files::{FileInfo, Options, remove, set_aside, sync_dir, wal_path};
use super::frame::{FileHeader, Frame, FrameHeader, Kind, Previous, Stamp, chain, put_frame};
use super::replay::{Replayed, Tail, scan_tail};
use crate::env::{Env, File, OpenMode};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::TEMPORARY;
use crate::limits::MIB;
use crate::planted;
use std::path::Path;
use std::sync::Arc;

/// What is written of the new file at a time.
const CHUNK_BYTES: usize = MIB;

/// Copies what counts of the last file to a new one where the shutdown was not clean. Call it between replay and
/// [`super::Files::open`], before anything is acknowledged or served.
///
/// After an error, a full disk for one, every batch is still there: what replay gave can be read, and this can be
/// called again, but nothing may be appended before it succeeded.
pub fn rewrite_tail(env: &Arc<dyn Env>, options: &Options, replayed: &mut Replayed) -> Result<()> {
    let Some(tail) = replayed.tail else { return Ok(()) };
    // A later file whose header is damaged also followed this one: then it was synced.
    let Some(info) = replayed.files.last().filter(|file| file.id == tail.header.id).cloned() else { return Ok(()) };
    if tail.batches == 0 && !info.damaged {
        end_before_empty(replayed, &tail);
        return Ok(());
    }
    if replayed.clean_shutdown || planted::on("wal-no-tail-rewrite") {
        return Ok(());
    }
    let path = wal_path(&options.dir, replayed.last_file_id + 1);
    let copied = copy(&**env, &options.dir, &info, &tail, replayed.last_file_id + 1).inspect_err(|_| {
        // Gives the space back; what stays is removed at the next start.
        env.remove_file(&path.with_extension(TEMPORARY)).ok();
    })?;
    // From here on the new file counts; should the old one stay, the next start gives it up.
    replayed.tail = None;
    replayed.last_file_id = copied.info.id;
    replayed.batch_no = copied.batch_no;
    replayed.previous = Some(Previous { file_id: copied.info.id, end_seq: copied.info.end_seq, crc: copied.crc });
    replayed.files.pop();
    replayed.files.push(copied.info);
    if info.damaged {
        return set_aside(&**env, &info.path, &options.quarantine);
    }
    remove(&**env, &info.path)?;
    sync_dir(&**env, &options.dir)
}

/// Lets the log end before a last file without batches. The file stays until the ones before it retire: its header may
/// void frames of theirs that were refused, and removed before its successor has a name it would bring them back. The
/// successor has the same first batch, so it is given up at the next start at the latest.
fn end_before_empty(replayed: &mut Replayed, tail: &Tail) {
    replayed.tail = None;
    replayed.batch_no = tail.header.base_batch;
    replayed.previous = tail.header.previous;
}

struct Copied {
    info: FileInfo,
    batch_no: u64,
    crc: u32,
}

fn copy(env: &dyn Env, dir: &Path, old: &FileInfo, tail: &Tail, id: u64) -> Result<Copied> {
    let path = wal_path(dir, id);
    let temporary = path.with_extension(TEMPORARY);
    let file = env.open(&temporary, OpenMode::OpenOrCreate).map_err(|e| Error::io("create", &temporary, e))?;
    file.set_len(0).map_err(|e| Error::io("empty", &temporary, e))?;
    let mut copy = Copy {
        file,
        path: &temporary,
        header: FileHeader { id, salt: env.random(), ..tail.header },
        buffer: Vec::new(),
        offset: 0,
        crc: 0,
        pending: None,
    };
    copy.buffer.extend_from_slice(&copy.header.encode());
    let scanned = scan_tail(env, old, &tail.header, &mut |header, payload| copy.frame(header, payload))?;
    // The old file goes once the new one counts: what could be read for the replay must not be missing here.
    if (scanned.end_seq, scanned.keep_until, scanned.batches) != (old.end_seq, old.keep_until, tail.batches) {
        let message = format!("cannot copy {}: it reads otherwise than a moment ago", old.path.display());
        return Err(Error::new(ErrorKind::Io, message));
    }
    let batch_no = copy.finish(scanned.batch_no, scanned.end_seq)?;
    if !planted::on("copy-not-synced") {
        copy.file.sync_all().map_err(|e| Error::io("sync", &temporary, e))?;
    }
    env.rename(&temporary, &path).map_err(|e| Error::io("rename", &temporary, e))?;
    sync_dir(env, dir)?;
    let info = FileInfo {
        id,
        path: path.clone(),
        first_seq: tail.header.base_seq,
        end_seq: scanned.end_seq,
        keep_until: scanned.keep_until,
        bytes: copy.offset,
        len: copy.offset,
        // The gaps are damage of the old file, which is set aside; the bytes of this one are sound.
        damaged: false,
    };
    Ok(Copied { info, batch_no, crc: copy.crc })
}

struct Copy<'a> {
    file: Arc<dyn File>,
    path: &'a Path,
    header: FileHeader,
    buffer: Vec<u8>,
    offset: u64,
    crc: u32,
    /// A mark, held back in case it is the last frame: the copy ends with a mark of its own, and must not grow each
    /// time that it is copied again.
    pending: Option<FrameHeader>,
}

impl Copy<'_> {
    fn frame(&mut self, header: &FrameHeader, payload: &[u8]) -> Result<()> {
        if let Some(mark) = self.pending.take() {
            self.put(&mark, &[])?;
        }
        if header.kind == Kind::Data {
            return self.put(header, payload);
        }
        self.pending = Some(*header);
        Ok(())
    }

    /// Ends the copy with a mark, so that damage to its last frame can be told; gives the next batch number.
    fn finish(&mut self, batch_no: u64, next_seq: u64) -> Result<u64> {
        let replaced = self.pending.take().map(|mark| mark.batch_no).filter(|mark| mark + 1 == batch_no);
        let batch_no = replaced.unwrap_or(batch_no);
        let frame = Frame { first_seq: next_seq, rows: 0, arrival: 0, parts: &[] };
        self.put_stamped(Stamp { kind: Kind::Mark, batch_no, durable_batch: batch_no, epoch: None }, &frame)?;
        self.flush()?;
        Ok(batch_no + 1)
    }

    fn put(&mut self, header: &FrameHeader, payload: &[u8]) -> Result<()> {
        let FrameHeader { kind, batch_no, durable_batch, epoch, .. } = *header;
        let stamp = Stamp { kind, batch_no, durable_batch, epoch };
        let parts = [payload];
        let frame = Frame { first_seq: header.first_seq, rows: header.rows, arrival: header.arrival, parts: &parts };
        self.put_stamped(stamp, &frame)
    }

    fn put_stamped(&mut self, stamp: Stamp, frame: &Frame<'_>) -> Result<()> {
        let crc = put_frame(&mut self.buffer, self.header.salt, stamp, frame)?;
        self.crc = chain(self.crc, crc);
        if self.buffer.len() >= CHUNK_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        self.file.write_all_at(&self.buffer, self.offset).map_err(|e| Error::io("write", self.path, e))?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
