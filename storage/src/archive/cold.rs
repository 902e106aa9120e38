//! A segment whose blocks are in object storage alone: its footer is on this disk, its shapes and indexes are or are fetched at
//! once, and of its blocks those ranges are fetched that somebody reads. The heads of its blocks lie here behind the indexes, as long
//! as these were not fetched again.
//!
//! What is asked of a block first is fetched as it is asked for, with what lies around it; whoever asks a third time gets the
//! whole block at once.
//!
//! Invariants
//! * A range is asked of one target after the other, until one has it.
//! * What lies here may be lost or damaged: it is compared with its checksum before it is used, and fetched again.
//! * The same range is not fetched by two at once. Who waited for somebody's fetch that failed fails with it: it is not waited for
//!   the same target once more.
//! * What came as something else than what was written is not kept: it is fetched again, from each target that has it.
use super::bucket::Bucket;
use super::chunks::Chunks;
use super::reach::Reach;
use super::shelf::Shelf;
use crate::catalog::ArchiveRecord;
use crate::codec;
use crate::env::{Env, OpenMode, read_file, write_file_atomic};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::Layout;
use crate::limits::{FOOTER_BYTES_MAX, KIB};
use crate::segment::{Backing, Far, Fetched, Footer};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

/// Fewer bytes than this are never asked for, where there are more.
const FETCH_BYTES_MIN: u64 = 128 * KIB as u64;
/// A block of so many bytes is fetched whole at once.
const SMALL_BLOCK_BYTES: u64 = 512 * KIB as u64;
/// How often parts of a block are fetched before all of it is.
const PARTS_MAX: u32 = 2;

const KEPT_MAGIC: [u8; 4] = *b"LYK1";
const KEPT_VERSION: u16 = 1;
/// What may be known of a segment's copies, beside its footer.
const RECORD_BYTES_MAX: usize = 64 * KIB;

/// What all segments in the archive share.
pub(crate) struct Shared {
    pub(crate) env: Arc<dyn Env>,
    pub(crate) layout: Layout,
    pub(crate) chunks: Chunks,
    pub(crate) shelf: Shelf,
    /// What was fetched by all.
    pub(crate) fetched: super::Traffic,
    /// What could not be had lately.
    pub(crate) reach: Reach,
}

/// Such a segment.
pub(crate) struct ColdFile {
    shared: Arc<Shared>,
    record: ArchiveRecord,
    day: String,
    /// Where each block begins and ends.
    blocks: Vec<(u64, u64)>,
    /// Where the head of each is, and where in what is kept here.
    heads: Vec<(u64, u64)>,
    /// Bytes of what is kept here with them.
    kept_bytes: u64,
    /// Whether they are kept here.
    has_heads: AtomicBool,
    /// Held while something is fetched for a block, or for what lies behind all.
    fetching: Vec<Mutex<()>>,
    footer: Vec<u8>,
    copies: Vec<Copy>,
}

/// An object in a target.
pub(crate) struct Copy {
    pub(crate) bucket: Arc<dyn Bucket>,
    pub(crate) object: String,
}

impl ColdFile {
    /// Opens a segment. Where its footer is not here, it is fetched.
    pub(crate) fn open(shared: &Arc<Shared>, record: ArchiveRecord, copies: Vec<Copy>) -> Result<Self> {
        let mut cold = Self {
            shared: Arc::clone(shared),
            record,
            day: String::new(),
            blocks: Vec::new(),
            heads: Vec::new(),
            kept_bytes: 0,
            has_heads: AtomicBool::new(false),
            fetching: Vec::new(),
            footer: Vec::new(),
            copies,
        };
        let (footer, read) = match cold.footer_here() {
            Some(found) => found,
            None => cold.fetch_footer()?,
        };
        if read.id != cold.record.id {
            return Err(Error::corrupt(format!("segment {:016x} in the archive is another one", cold.record.id)));
        }
        cold.footer = footer;
        cold.blocks = read.blocks.iter().map(|block| (block.offset, block.offset + block.stored_bytes())).collect();
        cold.fetching = (0..=cold.blocks.len()).map(|_| Mutex::default()).collect();
        cold.kept_bytes = cold.index_bytes();
        for (from, to) in heads(&read) {
            cold.heads.push((from, cold.kept_bytes));
            cold.kept_bytes += to - from;
        }
        cold.day = read.day;
        let index = shared.layout.cold_index(cold.record.id);
        if let Ok(file) = shared.env.open(&index, OpenMode::Read) {
            let bytes = file.len().unwrap_or(0);
            *cold.has_heads.get_mut() = bytes == cold.kept_bytes;
            shared.shelf.found(cold.record.id, bytes);
        }
        Ok(cold)
    }

    /// The folder that its file has on a disk.
    pub(crate) fn day(&self) -> String {
        self.day.clone()
    }

    /// Length of the whole.
    pub(crate) fn bytes(&self) -> u64 {
        self.record.bytes
    }

    fn index_bytes(&self) -> u64 {
        self.record.footer_at - self.record.index_at
    }

    fn footer_bytes(&self) -> Result<usize> {
        let len = self.record.bytes.checked_sub(self.record.footer_at).and_then(|len| usize::try_from(len).ok());
        len.filter(|len| *len <= FOOTER_BYTES_MAX + 64).ok_or_else(|| Error::corrupt("a footer that is no footer"))
    }

    fn footer_here(&self) -> Option<(Vec<u8>, Footer)> {
        let (record, bytes) = kept(&*self.shared.env, &self.shared.layout.cold_footer(self.record.id))?;
        let footer = Footer::at_end(&bytes, self.record.bytes).ok()?;
        (record.digest == self.record.digest && Some(bytes.len()) == self.footer_bytes().ok())
            .then_some((bytes, footer))
    }

    fn fetch_footer(&self) -> Result<(Vec<u8>, Footer)> {
        let mut bytes = vec![0; self.footer_bytes()?];
        self.get(self.record.footer_at, &mut bytes)?;
        let footer = Footer::at_end(&bytes, self.record.bytes)?;
        // Where it cannot be kept it is fetched again the next time.
        let _kept = self.keep(&self.shared.layout.cold_footer(self.record.id), &to_keep(&self.record, &bytes)?);
        Ok((bytes, footer))
    }

    fn keep(&self, path: &Path, bytes: &[u8]) -> bool {
        let folder = self.shared.layout.cold();
        let made = self.shared.env.create_dir_all(&folder);
        made.and_then(|()| write_file_atomic(&*self.shared.env, path, bytes)).is_ok()
    }

    /// Fills a buffer by one request, to the first target that answers; those that did not lately are asked last.
    fn get(&self, offset: u64, buf: &mut [u8]) -> Result<Fetched> {
        let (mut failed, id, reach) = (None, self.record.id, &self.shared.reach);
        let now = || self.shared.env.monotonic();
        let places: Vec<String> = self.copies.iter().map(|copy| copy.bucket.place()).collect();
        if let Some(why) = reach.just_missed(places.iter().map(String::as_str), now()) {
            return Err(Error::new(ErrorKind::Unavailable, why));
        }
        let missed = |copy: &&Copy| reach.is_missed(&copy.bucket.place(), now());
        let (last, first): (Vec<&Copy>, Vec<&Copy>) = self.copies.iter().partition(missed);
        for copy in first.into_iter().chain(last) {
            let place = copy.bucket.place();
            match copy.bucket.read(&copy.object, offset, buf) {
                Ok(()) => {
                    let fetched = Fetched { gets: 1, bytes: buf.len() as u64 };
                    self.shared.fetched.note(fetched);
                    reach.answered(&place, id);
                    return Ok(fetched);
                }
                Err(e) => {
                    if matches!(e.kind(), ErrorKind::Unavailable | ErrorKind::Denied) {
                        reach.missed(place, e.to_string(), now());
                    }
                    failed = failed.or(Some(e));
                }
            }
        }
        let failed = failed.unwrap_or_else(|| {
            Error::new(ErrorKind::Unavailable, "no target that has it is configured: name it under [[archive]] again")
        });
        // Whatever a target says of an object, here it is only known that it could not be had: it may come back.
        let failed = format!("segment {id:016x} in the archive: {failed}");
        reach.lacked(id, failed.clone(), now());
        Err(Error::new(ErrorKind::Unavailable, failed))
    }

    /// Fills a buffer from one target.
    fn get_from(&self, copy: &Copy, offset: u64, buf: &mut [u8]) -> Result<Fetched> {
        let id = self.record.id;
        let unavailable = |e| {
            Error::new(ErrorKind::Unavailable, format!("segment {id:016x} in the archive came damaged, and then: {e}"))
        };
        copy.bucket.read(&copy.object, offset, buf).map_err(unavailable)?;
        let fetched = Fetched { gets: 1, bytes: buf.len() as u64 };
        self.shared.fetched.note(fetched);
        Ok(fetched)
    }

    /// What comes is not what was stored: it is left out of answers for a while.
    fn not_as_stored(&self) -> Error {
        let id = self.record.id;
        let message = format!(
            "segment {id:016x} in the archive does not come as it was stored: `logyard archive verify` says whether it is damaged there"
        );
        self.shared.reach.damaged(id, message.clone(), self.shared.env.monotonic());
        Error::new(ErrorKind::Unavailable, message)
    }

    fn block_at(&self, offset: u64) -> usize {
        self.blocks.partition_point(|(_, block_end)| *block_end <= offset)
    }

    /// Waits until nobody else fetches something of a block.
    fn alone(&self, place: usize) -> Result<Option<MutexGuard<'_, ()>>> {
        let Some(held) = self.fetching.get(place) else { return Ok(None) };
        match held.try_lock() {
            Ok(held) => return Ok(Some(held)),
            Err(TryLockError::Poisoned(held)) => return Ok(Some(held.into_inner())),
            Err(TryLockError::WouldBlock) => {}
        }
        let held = held.lock().unwrap_or_else(PoisonError::into_inner);
        let (id, reach, now) = (self.record.id, &self.shared.reach, self.shared.env.monotonic());
        match reach.why(now).filter(|_| reach.is_lacked(id, now)) {
            Some(why) => Err(Error::new(ErrorKind::Unavailable, why)),
            None => Ok(Some(held)),
        }
    }

    /// Fills a buffer with a part of a block.
    fn read_block(&self, number: usize, offset: u64, buf: &mut [u8]) -> Result<Fetched> {
        let key = (self.record.id, number as u32);
        let chunks = &self.shared.chunks;
        if self.read_head(number, offset, buf) || chunks.fill(key, offset, buf).0 {
            return Ok(Fetched::default());
        }
        let _alone = self.alone(number)?;
        let (is_there, fetches) = chunks.fill(key, offset, buf);
        if is_there {
            return Ok(Fetched::default());
        }
        let Some(block) = self.blocks.get(number).copied() else { return Err(outside(self.record.id, offset)) };
        let (from, to) = fetched_for((offset, offset + buf.len() as u64), block, fetches);
        let mut part = vec![0; usize::try_from(to - from).unwrap_or(usize::MAX)];
        let fetched = self.get(from, &mut part)?;
        let own = usize::try_from(offset - from).ok().and_then(|at| part.get(at..at + buf.len()));
        buf.copy_from_slice(own.unwrap_or_default());
        chunks.keep(key, from, part, (from, to) == block);
        Ok(fetched)
    }

    /// Fills a buffer with a part of a block's head, where that is kept here. Whoever reads it compares it with its checksum.
    fn read_head(&self, number: usize, offset: u64, buf: &mut [u8]) -> bool {
        let Some((from, kept_at)) = self.heads.get(number).copied().filter(|(from, _)| offset >= *from) else {
            return false;
        };
        let is_here = self.has_heads.load(Ordering::Relaxed) && self.shared.shelf.has(self.record.id);
        is_here && self.read_here(&self.shared.layout.cold_index(self.record.id), kept_at + (offset - from), buf)
    }

    /// Fills a buffer with what lies between blocks and footer.
    fn read_index(&self, offset: u64, buf: &mut [u8]) -> Result<Fetched> {
        let at = offset - self.record.index_at;
        let path = self.shared.layout.cold_index(self.record.id);
        let id = self.record.id;
        if self.shared.shelf.is_sound(id) && self.read_here(&path, at, buf) {
            return Ok(Fetched::default());
        }
        let _alone = self.alone(self.blocks.len())?;
        if self.shared.shelf.is_sound(id) && self.read_here(&path, at, buf) {
            return Ok(Fetched::default());
        }
        let (index, fetched) = match self.index_here(&path) {
            Some(index) => (index, Fetched::default()),
            None => {
                let mut index = vec![0; usize::try_from(self.index_bytes()).unwrap_or(usize::MAX)];
                let mut fetched = self.get(self.record.index_at, &mut index)?;
                if crc32fast::hash(&index) != self.record.index_crc {
                    fetched.gets += self.get(self.record.index_at, &mut index)?.gets;
                }
                if crc32fast::hash(&index) != self.record.index_crc {
                    return Err(self.not_as_stored());
                }
                (index, fetched)
            }
        };
        let is_kept = fetched.gets == 0 || self.keep(&path, &index);
        if is_kept {
            // What was fetched has no heads.
            let has_heads = self.has_heads.fetch_and(fetched.gets == 0, Ordering::Relaxed) && fetched.gets == 0;
            let gone = self.shared.shelf.put(id, if has_heads { self.kept_bytes } else { self.index_bytes() });
            self.shared.forget_indexes(&gone);
        }
        let own = usize::try_from(at).ok().and_then(|at| index.get(at..at.checked_add(buf.len())?));
        let own = own.ok_or_else(|| outside(id, offset))?;
        buf.copy_from_slice(own);
        Ok(fetched)
    }

    fn read_here(&self, path: &Path, at: u64, buf: &mut [u8]) -> bool {
        let open = self.shared.env.open(path, OpenMode::Read);
        open.and_then(|file| file.read_exact_at(buf, at)).is_ok()
    }

    /// The indexes as they are kept here, where they are sound.
    fn index_here(&self, path: &Path) -> Option<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.index_bytes()).ok()?];
        (self.read_here(path, 0, &mut bytes) && crc32fast::hash(&bytes) == self.record.index_crc).then_some(bytes)
    }
}

impl Backing for ColdFile {
    fn far(&self) -> Option<&dyn Far> {
        Some(self)
    }

    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<Fetched> {
        let end = offset.checked_add(buf.len() as u64).filter(|end| *end <= self.record.bytes);
        let end = end.ok_or_else(|| outside(self.record.id, offset))?;
        if offset >= self.record.footer_at {
            let at = usize::try_from(offset - self.record.footer_at).unwrap_or(usize::MAX);
            let own = self.footer.get(at..at.saturating_add(buf.len()));
            buf.copy_from_slice(own.ok_or_else(|| outside(self.record.id, offset))?);
            return Ok(Fetched::default());
        }
        if offset >= self.record.index_at {
            return self.read_index(offset, buf);
        }
        let number = self.block_at(offset);
        match self.blocks.get(number) {
            Some((start, block_end)) if *start <= offset && end <= *block_end => self.read_block(number, offset, buf),
            // The first bytes of the file belong to no block.
            _ => self.get(offset, buf),
        }
    }

    fn read_again(&self, offset: u64, buf: &mut [u8], times: u32) -> Result<Option<Fetched>> {
        let id = self.record.id;
        if offset >= self.record.footer_at {
            return Ok(None);
        }
        if offset >= self.record.index_at {
            // What is kept here was sound when it was looked at last.
            self.shared.shelf.forget(id);
            return if times == 0 { self.read_index(offset, buf).map(Some) } else { Ok(None) };
        }
        self.has_heads.store(false, Ordering::Relaxed);
        self.shared.chunks.forget_block((id, self.block_at(offset) as u32));
        if times == 0 {
            return self.get(offset, buf).map(Some);
        }
        match self.copies.get(times as usize) {
            Some(other) => self.get_from(other, offset, buf).map(Some),
            // Nothing is lost by that: what is there may be sound, and come as it is the next time.
            None => Err(self.not_as_stored()),
        }
    }
}

impl Far for ColdFile {
    fn block_at_most(&self, bytes: u64) -> (u64, u64) {
        if bytes <= SMALL_BLOCK_BYTES {
            return (1, bytes);
        }
        // Parts are less than half of it each, and then comes all of it.
        let parts = u64::from(PARTS_MAX);
        (parts + 1, bytes + parts * (bytes / 2))
    }

    fn index_at_most(&self) -> (u64, u64) {
        let is_here = self.shared.shelf.has(self.record.id);
        if is_here { (0, 0) } else { (1, self.index_bytes()) }
    }
}

impl Drop for ColdFile {
    fn drop(&mut self) {
        self.shared.chunks.forget(self.record.id);
    }
}

impl Shared {
    /// Removes indexes that are over the budget.
    pub(crate) fn forget_indexes(&self, ids: &[u64]) {
        for path in ids.iter().map(|id| self.layout.cold_index(*id)) {
            // What stays is found at the next start.
            let _gone = self.env.remove_file(&path);
        }
    }

    /// What there is here of a segment.
    pub(crate) fn paths(&self, id: u64) -> [PathBuf; 2] {
        [self.layout.cold_footer(id), self.layout.cold_index(id)]
    }
}

/// A footer as it is kept, with what is archived of its segment: so that it is known also where the catalog is lost.
///
/// `| length of the envelope u32 | envelope of codec | footer |`
pub(crate) fn to_keep(record: &ArchiveRecord, footer: &[u8]) -> Result<Vec<u8>> {
    let sealed = codec::seal(KEPT_MAGIC, KEPT_VERSION, record)?;
    Ok([&(sealed.len() as u32).to_le_bytes()[..], &sealed, footer].concat())
}

/// What is kept of a segment at a path; nothing where that is damaged.
pub(crate) fn kept(env: &dyn Env, path: &Path) -> Option<(ArchiveRecord, Vec<u8>)> {
    let bytes = read_file(env, path, (FOOTER_BYTES_MAX + RECORD_BYTES_MAX) as u64).ok()?;
    let (len, rest) = bytes.split_first_chunk()?;
    let (sealed, footer) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    Some((codec::open(KEPT_MAGIC, KEPT_VERSION, sealed).ok()?, footer.to_vec()))
}

/// Where the head of each block begins and ends in a segment, in their order.
pub(crate) fn heads(footer: &Footer) -> impl Iterator<Item = (u64, u64)> + '_ {
    footer.blocks.iter().map(|block| (block.offset + block.pages_len, block.offset + block.stored_bytes()))
}

fn outside(id: u64, offset: u64) -> Error {
    Error::corrupt(format!("segment {id:016x} has nothing at byte {offset}"))
}

/// Which bytes of a block are fetched where some are asked for, and others were fetched so often before.
fn fetched_for(wanted: (u64, u64), block: (u64, u64), fetches: u32) -> (u64, u64) {
    let (len, all) = (wanted.1 - wanted.0, block.1 - block.0);
    if fetches >= PARTS_MAX || all <= SMALL_BLOCK_BYTES || len * 2 >= all {
        return block;
    }
    let more = FETCH_BYTES_MIN.saturating_sub(len);
    let to = wanted.1.saturating_add(more).min(block.1);
    // Where the block ends sooner, the rest is what lies before.
    (wanted.0.min(to.saturating_sub(FETCH_BYTES_MIN)).max(block.0), to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_fetched_in_parts_and_then_whole() {
        let block = (1_000, 3_001_000);
        let small = FETCH_BYTES_MIN;
        assert_eq!(fetched_for((2_000, 2_010), block, 0), (2_000, 2_000 + small));
        assert_eq!(fetched_for((3_000_990, 3_001_000), block, 0), (3_001_000 - small, 3_001_000));
        assert_eq!(fetched_for((2_000, 2_000 + 2 * small), block, 1), (2_000, 2_000 + 2 * small));
        assert_eq!(fetched_for((2_000, 2_010), block, 2), block);
        assert_eq!(fetched_for((1_000, 1_600_000), block, 0), block);
        assert_eq!(fetched_for((10, 20), (0, 400_000), 0), (0, 400_000));
    }
}
