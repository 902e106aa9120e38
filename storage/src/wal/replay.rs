//! Reads the whole log at start-up, one file in memory at a time, and says what was found.
//!
//! Invariants
//! * Bytes on disk never make it fail: what is wrong with them is reported, and the rest is given. It fails where the
//!   directory cannot be read, on a newer format, or when the visitor does.
//! * It changes nothing on disk.
//! * Numbers ascend: a batch whose numbers were given before, as of a file of another log, is named and left out.
use super::files::{FileInfo, WAL_SUFFIX, numbered, wal_path};
use super::frame::{FILE_HEADER_BYTES, FileHeader, FrameHeader, Kind, Previous};
use super::scan::{End, Known, Lost, Scanned, scan, scan_bytes};
use crate::env::{Env, File, OpenMode};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{MIB, WAL_FILE_BYTES};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is read of a file at a time; an unreadable place costs no more than this.
const CHUNK_BYTES: usize = MIB;
/// What is read of a file at most; more than any file of ours has.
const READ_BYTES_MAX: u64 = (WAL_FILE_BYTES + MIB) as u64;

/// A batch out of the log.
#[derive(Clone, Copy, Debug)]
pub struct ReplayedFrame<'a> {
    /// Sequence number of the first row.
    pub first_seq: u64,
    /// How many rows.
    pub rows: u32,
    /// When it arrived, nanoseconds since 1970.
    pub arrival: i64,
    /// Of its rows, where the log says it.
    pub epoch: Option<u32>,
    /// What was appended.
    pub payload: &'a [u8],
}

/// Acknowledged rows or effects that cannot be read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// What is gone, and where.
    pub lost: Lost,
    /// Whether all of it had been sealed before, so that no row is lost.
    pub sealed: bool,
}

/// Frames that were never acknowledged, dropped from the end of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The file.
    pub file: PathBuf,
    /// Where they begin.
    pub offset: u64,
    /// The next sequence number at that point.
    pub first_seq: u64,
}

/// What the log held.
#[derive(Clone, Debug, Default)]
pub struct Replayed {
    /// No frame has a sequence number from here on.
    pub next_seq: u64,
    /// The next batch number.
    pub batch_no: u64,
    /// The file that the next one follows.
    pub previous: Option<Previous>,
    /// The highest id of a file.
    pub last_file_id: u64,
    /// Whether the last process closed the log; also where there is no log.
    pub clean_shutdown: bool,
    /// The torn tail of the last file.
    pub torn: Option<Torn>,
    /// What was acknowledged and is gone.
    pub damaged: Vec<Damage>,
    /// The files that count, by id.
    pub files: Vec<FileInfo>,
    /// Files whose frames are all in a later one.
    pub superseded: Vec<PathBuf>,
    /// Whether the last file has batches, or damage, that have to be copied before anything is appended.
    pub(super) tail: Option<Tail>,
}

/// The last file, as the rewrite needs it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tail {
    pub(super) header: FileHeader,
    pub(super) batches: u64,
}

/// A file of the directory, its header read.
struct Found {
    id: u64,
    path: PathBuf,
    len: u64,
    header: Option<FileHeader>,
}

/// Gives all batches that are not wholly below `from_seq`, in order, to `visit`.
pub fn replay(
    env: &Arc<dyn Env>,
    dir: &Path,
    from_seq: u64,
    visit: &mut dyn FnMut(ReplayedFrame<'_>) -> Result<()>,
) -> Result<Replayed> {
    let found = find_files(&**env, dir)?;
    let mut replay = Replay {
        env: &**env,
        dir,
        from_seq,
        bytes: Vec::new(),
        replayed: Replayed {
            last_file_id: found.last().map_or(0, |file| file.id),
            clean_shutdown: found.is_empty(),
            ..Replayed::default()
        },
        intact_end: None,
        given: 0,
    };
    for (index, file) in found.iter().enumerate() {
        let (earlier, later) = (found.get(..index).unwrap_or_default(), found.get(index + 1..).unwrap_or_default());
        match &file.header {
            Some(header) => replay.file(file, header, earlier, later, visit)?,
            None => replay.file_without_header(file, later),
        }
    }
    Ok(replay.replayed)
}

struct Replay<'a> {
    env: &'a dyn Env,
    dir: &'a Path,
    from_seq: u64,
    bytes: Vec<u8>,
    replayed: Replayed,
    /// How the file before ended, if all of it is there.
    intact_end: Option<Previous>,
    /// The first number after all rows that were found so far.
    given: u64,
}

impl Replay<'_> {
    fn file(
        &mut self,
        file: &Found,
        header: &FileHeader,
        earlier: &[Found],
        later: &[Found],
        visit: &mut dyn FnMut(ReplayedFrame<'_>) -> Result<()>,
    ) -> Result<()> {
        let void_from = later.iter().filter_map(|later| later.header.as_ref()).map(|later| later.base_batch).min();
        if void_from.is_some_and(|batch| batch <= header.base_batch) {
            self.replayed.superseded.push(file.path.clone());
            return Ok(());
        }
        self.check_predecessor(header, earlier);
        let unreadable = read_lossy(self.env, file, &mut self.bytes)?;
        let known = Known { void_from, end: followed_at(file.id, later), unreadable };
        let (from_seq, before) = (self.from_seq, self.given);
        let mut again: Option<(u64, u64)> = None;
        let scanned = scan(&self.bytes, header, known, &mut |frame, payload| {
            if frame.kind != Kind::Data || frame.keep_until() <= from_seq {
                return Ok(());
            }
            if frame.first_seq < before {
                let first = again.map_or(frame.first_seq, |(first, _)| first);
                again = Some((first, frame.end_seq()));
                return Ok(());
            }
            let FrameHeader { first_seq, rows, arrival, epoch, .. } = *frame;
            visit(ReplayedFrame { first_seq, rows, arrival, epoch, payload })
        })?;
        self.given = before.max(scanned.end_seq);
        self.take(file, header, scanned);
        if let Some((first_seq, end_seq)) = again {
            let reason = "records have numbers of other records of the log";
            self.report(file.path.clone(), Lost { offset: 0, first_seq, end_seq: Some(end_seq), reason });
        }
        Ok(())
    }

    /// Adds what a file held to what is known.
    fn take(&mut self, file: &Found, header: &FileHeader, scanned: Scanned) {
        let replayed = &mut self.replayed;
        let damaged = !scanned.lost.is_empty();
        replayed.next_seq = replayed.next_seq.max(scanned.end_seq);
        replayed.batch_no = replayed.batch_no.max(scanned.batch_no);
        let end = Previous { file_id: file.id, end_seq: scanned.end_seq, crc: scanned.crc };
        self.intact_end = (!damaged).then_some(end);
        replayed.previous = Some(end);
        replayed.clean_shutdown = scanned.sealed;
        replayed.tail = Some(Tail { header: *header, batches: scanned.batches });
        replayed.torn =
            scanned.torn_at.map(|offset| Torn { file: file.path.clone(), offset, first_seq: scanned.end_seq });
        replayed.files.push(FileInfo {
            id: file.id,
            path: file.path.clone(),
            first_seq: header.base_seq,
            end_seq: scanned.end_seq,
            keep_until: scanned.keep_until,
            bytes: scanned.bytes,
            len: file.len,
            damaged,
        });
        for lost in scanned.lost {
            self.report(file.path.clone(), lost);
        }
    }

    fn report(&mut self, file: PathBuf, lost: Lost) {
        if let Some(end) = lost.end_seq {
            self.replayed.next_seq = self.replayed.next_seq.max(end);
        }
        // Without rows there may have been effects, which go with the row after them.
        let sealed = lost.end_seq.is_some_and(|end| end.max(lost.first_seq.saturating_add(1)) <= self.from_seq);
        self.replayed.damaged.push(Damage { file, lost, sealed });
    }

    /// The file that this one followed has to be there, as it was then, unless all of it is sealed.
    fn check_predecessor(&mut self, header: &FileHeader, earlier: &[Found]) {
        let Some(expected) = header.previous else { return };
        let reason = match earlier.iter().find(|file| file.id == expected.file_id) {
            None if expected.end_seq > self.from_seq => "the file is missing",
            Some(_) if self.intact_end.is_some_and(|end| end.file_id == expected.file_id && end != expected) => {
                "the file is not as it was when it was followed"
            }
            _ => return,
        };
        let first_seq = self.replayed.next_seq.max(self.from_seq).min(expected.end_seq);
        let lost = Lost { offset: 0, first_seq, end_seq: Some(expected.end_seq), reason };
        self.report(wal_path(self.dir, expected.file_id), lost);
    }

    /// A file gets its name when its header is durable, so this is damage and all that it held is gone.
    fn file_without_header(&mut self, file: &Found, later: &[Found]) {
        let first_seq = self.replayed.next_seq.max(self.from_seq);
        let following = later.iter().find_map(|later| later.header.as_ref());
        let end_seq = match (followed_at(file.id, later), following) {
            (Some(end), _) => Some(end.seq),
            (None, following) => following.map(|header| header.base_seq),
        };
        let end_seq = end_seq.map(|end| end.max(first_seq));
        self.intact_end = None;
        self.replayed.clean_shutdown = false;
        let until = end_seq.unwrap_or(first_seq);
        self.replayed.files.push(FileInfo {
            id: file.id,
            path: file.path.clone(),
            first_seq,
            end_seq: until,
            keep_until: until,
            bytes: 0,
            len: file.len,
            damaged: true,
        });
        self.report(file.path.clone(), Lost { offset: 0, first_seq, end_seq, reason: "the file header is damaged" });
    }
}

/// Where the file ended, if a later one followed it directly.
fn followed_at(id: u64, later: &[Found]) -> Option<End> {
    later.iter().filter_map(|later| later.header.as_ref()).find_map(|header| match header.previous {
        Some(previous) if previous.file_id == id => Some(End { batch: header.base_batch, seq: previous.end_seq }),
        _ => None,
    })
}

fn find_files(env: &dyn Env, dir: &Path) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in env.list(dir).map_err(|e| Error::io("list", dir, e))? {
        let path = dir.join(&entry.name);
        if let Some(id) = numbered(&path, WAL_SUFFIX).filter(|_| !entry.is_dir) {
            let header = read_header(env, &path, id)?;
            found.push(Found { id, path, len: entry.len, header });
        }
    }
    found.sort_by_key(|file| file.id);
    Ok(found)
}

fn read_header(env: &dyn Env, path: &Path, id: u64) -> Result<Option<FileHeader>> {
    let file = open(env, path)?;
    let mut bytes = [0; FILE_HEADER_BYTES];
    if read_twice(&*file, &mut bytes, 0).is_err() {
        return Ok(None);
    }
    match FileHeader::decode(&bytes) {
        Ok(header) if header.id == id => Ok(Some(header)),
        Err(e) if e.kind() == ErrorKind::NewerFormat => Err(e.context(path.display())),
        _ => Ok(None),
    }
}

fn open(env: &dyn Env, path: &Path) -> Result<Arc<dyn File>> {
    env.open(path, OpenMode::Read).map_err(|e| Error::io("open", path, e))
}

/// What fails once and not again is no damage.
fn read_twice(file: &dyn File, buf: &mut [u8], offset: u64) -> std::io::Result<()> {
    file.read_exact_at(buf, offset).or_else(|_| file.read_exact_at(buf, offset))
}

/// Reads a file into `bytes`. What cannot be read is zeros; says whether there was any.
fn read_lossy(env: &dyn Env, found: &Found, bytes: &mut Vec<u8>) -> Result<bool> {
    let file = open(env, &found.path)?;
    let len = file.len().map_err(|e| Error::io("read the length of", &found.path, e))?.min(READ_BYTES_MAX);
    bytes.resize(len as usize, 0);
    let mut unreadable = false;
    for (index, chunk) in bytes.chunks_mut(CHUNK_BYTES).enumerate() {
        if read_twice(&*file, chunk, (index * CHUNK_BYTES) as u64).is_err() {
            chunk.fill(0);
            unreadable = true;
        }
    }
    Ok(unreadable)
}

/// Whether a file holds nothing that was appended.
pub(super) fn is_empty(env: &dyn Env, path: &Path) -> Result<bool> {
    let found = Found { id: 0, path: path.to_path_buf(), len: 0, header: None };
    let mut bytes = Vec::new();
    let unreadable = read_lossy(env, &found, &mut bytes)?;
    let held = scan_bytes(&bytes);
    Ok(!unreadable && held.is_ok_and(|held| held.batches == 0 && held.lost.is_empty()))
}

/// Scans the last file again, as [`replay`] did.
pub(super) fn scan_tail(
    env: &dyn Env,
    info: &FileInfo,
    header: &FileHeader,
    accept: &mut dyn FnMut(&FrameHeader, &[u8]) -> Result<()>,
) -> Result<Scanned> {
    let found = Found { id: info.id, path: info.path.clone(), len: info.len, header: None };
    let mut bytes = Vec::new();
    let unreadable = read_lossy(env, &found, &mut bytes)?;
    scan(&bytes, header, Known { unreadable, ..Known::default() }, accept)
}
