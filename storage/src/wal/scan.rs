//! Which frames of a file count: a pure function of its bytes and of what other files say about its end.
//!
//! A bad frame is damage if it had been acknowledged, and a torn tail otherwise. It had been acknowledged if a later
//! file followed this one after it, or if any later frame of the file says that its batch number was durable.
//!
//! Invariants
//! * Never panics and never allocates by a length that it read.
//! * Linear: the bytes are looked at three times at most, whatever they are.
//! * Frames are given in the order of their batch and sequence numbers, each at most once.
use super::frame::{
    ALIGNMENT, FILE_HEADER_BYTES, FRAME_HEADER_BYTES, FRAME_MAGIC, FileHeader, FrameHeader, Kind, chain, frame_bytes,
};
use crate::error::Result;

/// Acknowledged batches that are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Where in the file.
    pub offset: u64,
    /// The first sequence number that is gone.
    pub first_seq: u64,
    /// The first one after those that are gone; none where nothing that follows tells. Never too small; too large only
    /// by numbers that were never given out. Equal to `first_seq` where only effects are gone.
    pub end_seq: Option<u64>,
    /// What was found.
    pub reason: &'static str,
}

impl Lost {
    /// The records that may be gone, for people: the first one and the last.
    pub fn records(&self) -> String {
        match self.end_seq {
            None => format!("records {} to the end", self.first_seq),
            Some(end) if end > self.first_seq => format!("records {} to {}", self.first_seq, end - 1),
            Some(_) => format!("no records, and perhaps effects before record {},", self.first_seq),
        }
    }
}

/// What a file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// The next batch number.
    pub batch_no: u64,
    /// The next sequence number.
    pub end_seq: u64,
    /// The file is needed until everything below this sequence number is sealed.
    pub keep_until: u64,
    /// Bytes up to the end of the last frame that counts.
    pub bytes: u64,
    /// Frames with data.
    pub batches: u64,
    /// The running crc of the frames.
    pub crc: u32,
    /// Whether the last frame is the seal of a clean shutdown.
    pub sealed: bool,
    /// Damage.
    pub lost: Vec<Lost>,
    /// Where frames begin that were never acknowledged and are dropped.
    pub torn_at: Option<u64>,
}

/// What is known about a file from elsewhere.
#[derive(Clone, Copy, Default)]
pub(super) struct Known {
    /// Frames from this batch number on are void.
    pub(super) void_from: Option<u64>,
    /// The file held everything below these, durably.
    pub(super) end: Option<End>,
    /// Some of its bytes could not be read: what is missing is damage.
    pub(super) unreadable: bool,
}

/// Where a file ended when it was followed.
#[derive(Clone, Copy)]
pub(super) struct End {
    pub(super) batch: u64,
    pub(super) seq: u64,
}

/// Scans the bytes of a file, with nothing known from elsewhere. For fuzzing and inspection.
pub fn scan_bytes(bytes: &[u8]) -> Result<Scanned> {
    scan(bytes, &FileHeader::decode(bytes)?, Known::default(), &mut |_, _| Ok(()))
}

/// Gives every frame that counts, marks and seals too, to `accept`.
pub(super) fn scan(
    bytes: &[u8],
    header: &FileHeader,
    known: Known,
    accept: &mut dyn FnMut(&FrameHeader, &[u8]) -> Result<()>,
) -> Result<Scanned> {
    let mut scan = Scan {
        bytes,
        salt: header.salt,
        known,
        position: FILE_HEADER_BYTES,
        bad_at: None,
        durable_batch: None,
        found: Scanned {
            batch_no: header.base_batch,
            end_seq: header.base_seq,
            keep_until: header.base_seq,
            bytes: FILE_HEADER_BYTES as u64,
            ..Scanned::default()
        },
    };
    while scan.step(accept)? {}
    scan.finish();
    Ok(scan.found)
}

struct Scan<'a> {
    bytes: &'a [u8],
    salt: u64,
    known: Known,
    position: usize,
    /// Where the bytes stopped making sense, until they do again.
    bad_at: Option<(usize, &'static str)>,
    /// The largest `durable_batch` of all frames after the first bad place; looked for once. Frames between one bad
    /// place and the next name batches before the latter, so the answer holds for every bad place.
    durable_batch: Option<u64>,
    found: Scanned,
}

impl Scan<'_> {
    /// Looks at one place; false at the end.
    fn step(&mut self, accept: &mut dyn FnMut(&FrameHeader, &[u8]) -> Result<()>) -> Result<bool> {
        let here = self.bytes.get(self.position..).unwrap_or_default();
        if here.is_empty() || self.known.void_from.is_some_and(|batch| self.found.batch_no >= batch) {
            return Ok(false);
        }
        let Some(header) = FrameHeader::decode(here, self.salt).filter(|header| self.follows(header)) else {
            return Ok(self.skip_to_next_header());
        };
        if self.known.void_from.is_some_and(|batch| header.batch_no >= batch) {
            return Ok(false);
        }
        if header.batch_no > self.found.batch_no {
            if !self.acknowledged() {
                self.found.torn_at = Some(self.bad_offset());
                return Ok(false);
            }
            self.lose(Some(header.first_seq), "frames are missing");
            self.found.batch_no = header.batch_no;
            self.found.end_seq = header.first_seq;
        }
        self.bad_at = None;
        match header.payload(here, self.salt) {
            Some(payload) => {
                accept(&header, payload)?;
                self.take(&header);
                Ok(true)
            }
            None => Ok(self.drop_frame(&header)),
        }
    }

    fn follows(&self, header: &FrameHeader) -> bool {
        header.batch_no >= self.found.batch_no && header.first_seq >= self.found.end_seq
    }

    fn take(&mut self, header: &FrameHeader) {
        self.position += frame_bytes(header.len as usize);
        self.found.batch_no = header.batch_no + 1;
        self.found.end_seq = header.end_seq();
        self.found.keep_until = self.found.keep_until.max(header.keep_until());
        self.found.bytes = self.position as u64;
        self.found.batches += u64::from(header.kind == Kind::Data);
        self.found.crc = chain(self.found.crc, header.crc);
        self.found.sealed = header.kind == Kind::Seal;
    }

    /// A frame whose header is sound and whose payload is not: what it held is known.
    fn drop_frame(&mut self, header: &FrameHeader) -> bool {
        if !self.acknowledged() {
            self.found.torn_at = Some(self.position as u64);
            return false;
        }
        let lost = Lost {
            offset: self.position as u64,
            first_seq: header.first_seq,
            end_seq: Some(header.end_seq()),
            reason: "a frame fails its checksum",
        };
        self.found.lost.push(lost);
        self.take(header);
        // Its length reaches past the end: there may still be frames behind the header.
        if self.position > self.bytes.len() {
            self.position -= frame_bytes(header.len as usize) - FRAME_HEADER_BYTES;
        }
        true
    }

    /// Nothing sound is here: goes on at the next sound header if what is missing had been acknowledged.
    fn skip_to_next_header(&mut self) -> bool {
        self.bad_at = Some((self.position, "a frame header fails its checksum"));
        if !self.acknowledged() {
            let looks_like_frame = self.bytes.get(self.position..).is_some_and(|here| here.starts_with(&FRAME_MAGIC));
            let followed = self.headers_from(self.position).any(|(_, header)| self.follows(&header));
            if followed || (looks_like_frame && self.same_batch_here()) {
                self.found.torn_at = Some(self.position as u64);
            }
            return false;
        }
        let next = self.headers_from(self.position + ALIGNMENT).find(|(_, header)| self.follows(header));
        let Some((position, _)) = next else { return false };
        self.position = position;
        true
    }

    /// Whether the broken header here names the batch that is expected: then it is ours and not an older file's.
    fn same_batch_here(&self) -> bool {
        let named = self.bytes.get(self.position + 8..).and_then(|rest| rest.first_chunk());
        named.is_some_and(|named| u64::from_le_bytes(*named) == self.found.batch_no)
    }

    /// Whether the batch that is expected next had been acknowledged.
    fn acknowledged(&mut self) -> bool {
        let expected = self.found.batch_no;
        if self.known.unreadable {
            return true;
        }
        if let Some(end) = self.known.end {
            return expected < end.batch;
        }
        if self.durable_batch.is_none() {
            self.durable_batch = self.headers_from(self.position).map(|(_, header)| header.durable_batch).max();
        }
        self.durable_batch.is_some_and(|durable| durable > expected)
    }

    /// Every sound header from a place on.
    fn headers_from(&self, position: usize) -> impl Iterator<Item = (usize, FrameHeader)> {
        let rest = self.bytes.get(position..).unwrap_or_default();
        let salt = self.salt;
        rest.chunks_exact(ALIGNMENT).enumerate().filter_map(move |(index, chunk)| {
            if !chunk.starts_with(&FRAME_MAGIC) {
                return None;
            }
            let here = rest.get(index * ALIGNMENT..)?;
            Some((position + index * ALIGNMENT, FrameHeader::decode(here, salt)?))
        })
    }

    fn bad_offset(&self) -> u64 {
        self.bad_at.map_or(self.position, |(at, _)| at) as u64
    }

    fn lose(&mut self, end_seq: Option<u64>, otherwise: &'static str) {
        let reason = self.bad_at.map_or(otherwise, |(_, reason)| reason);
        let (offset, first_seq) = (self.bad_offset(), self.found.end_seq);
        self.found.lost.push(Lost { offset, first_seq, end_seq: end_seq.map(|end| end.max(first_seq)), reason });
    }

    /// What the file should have held and does not.
    fn finish(&mut self) {
        match self.known.end {
            Some(end) if self.found.batch_no < end.batch => {
                self.lose(Some(end.seq), "the file ends early");
                self.found.batch_no = end.batch;
                self.found.end_seq = self.found.end_seq.max(end.seq);
                self.found.keep_until = self.found.keep_until.max(end.seq);
            }
            None if self.known.unreadable && !self.found.sealed => {
                self.lose(None, "the file cannot be read to its end")
            }
            _ => {}
        }
        self.found.sealed &= self.found.torn_at.is_none();
    }
}
