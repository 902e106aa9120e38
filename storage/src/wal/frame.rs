//! The bytes of a file header and of a frame: encoded, decoded, verified; no files here.
//!
//! Invariants
//! * A decoded header has passed its crc and its limits: the length is at most [`FRAME_PAYLOAD_BYTES_MAX`], and adding
//!   the rows to the first sequence number, or one to the batch number, does not overflow.
//! * Every frame starts and ends on a multiple of eight bytes.
use crate::codec::Reader;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::WAL_MAGIC;
use crate::limits::BATCH_BYTES_MAX;
use crate::planted;
use crate::record::EPOCH_END;

/// Payload of one frame: a batch and its effects.
pub const FRAME_PAYLOAD_BYTES_MAX: usize = 2 * BATCH_BYTES_MAX;

pub(super) const FILE_HEADER_BYTES: usize = 64;
pub(super) const FRAME_HEADER_BYTES: usize = 56;
pub(super) const ALIGNMENT: usize = 8;
pub(super) const FRAME_MAGIC: [u8; 2] = [0xF7, 0x4C];

/// Files of the first version have no frame that says its epoch.
const FILE_VERSION: u32 = 2;
/// The first version of frames says no epoch, the second does.
const FRAME_VERSIONS: [u8; 2] = [1, 2];
const PADDING: [u8; ALIGNMENT] = [0; ALIGNMENT];

/// A batch to append. The payload is all parts, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Sequence number of the first row; not below the end of the frame before.
    pub first_seq: u64,
    /// Rows, each with a sequence number; 0 where there are only effects.
    pub rows: u32,
    /// When the batch arrived, nanoseconds since 1970.
    pub arrival: i64,
    /// The payload.
    pub parts: &'a [&'a [u8]],
}

impl Frame<'_> {
    pub(super) fn payload_bytes(&self) -> usize {
        self.parts.iter().fold(0, |sum, part| sum.saturating_add(part.len()))
    }
}

/// The file that a file followed, as it was then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Previous {
    /// Its id; never 0.
    pub file_id: u64,
    /// All its sequence numbers are below this.
    pub end_seq: u64,
    /// The running crc of its frames.
    pub crc: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileHeader {
    pub(super) id: u64,
    pub(super) base_seq: u64,
    pub(super) base_batch: u64,
    pub(super) salt: u64,
    pub(super) previous: Option<Previous>,
}

impl FileHeader {
    pub(super) fn encode(&self) -> Vec<u8> {
        let previous = self.previous.unwrap_or(Previous { file_id: 0, end_seq: 0, crc: 0 });
        let mut out = Vec::with_capacity(FILE_HEADER_BYTES);
        out.extend_from_slice(&WAL_MAGIC);
        out.extend_from_slice(&FILE_VERSION.to_le_bytes());
        for number in [self.id, self.base_seq, self.base_batch, self.salt, previous.file_id, previous.end_seq] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&previous.crc.to_le_bytes());
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(bytes);
        let checked = r.clone().take(FILE_HEADER_BYTES - 4)?;
        if r.array()? != WAL_MAGIC {
            return Err(Error::corrupt("not a WAL file"));
        }
        let version = r.u32()?;
        let (id, base_seq, base_batch, salt) = (r.u64()?, r.u64()?, r.u64()?, r.u64()?);
        let previous = Previous { file_id: r.u64()?, end_seq: r.u64()?, crc: r.u32()? };
        if r.u32()? != crc32fast::hash(checked) {
            return Err(Error::corrupt("the file header fails its checksum"));
        }
        if !(1..=FILE_VERSION).contains(&version) {
            let message = format!("WAL format {version}, this program reads {FILE_VERSION}");
            return Err(Error::new(ErrorKind::NewerFormat, message));
        }
        Ok(Self { id, base_seq, base_batch, salt, previous: (previous.file_id != 0).then_some(previous) })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Data = 1,
    Mark = 2,
    Seal = 3,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Data),
            2 => Some(Self::Mark),
            3 => Some(Self::Seal),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) kind: Kind,
    pub(super) len: u32,
    pub(super) batch_no: u64,
    pub(super) first_seq: u64,
    pub(super) rows: u32,
    pub(super) arrival: i64,
    pub(super) durable_batch: u64,
    /// Of its rows; frames of the first version do not say it.
    pub(super) epoch: Option<u32>,
    payload_crc: u32,
    /// Covers all of the above; what the running crc of a file is made of.
    pub(super) crc: u32,
}

impl FrameHeader {
    /// The header at the start of `bytes`, if one of this salt is there and within limits.
    pub(super) fn decode(bytes: &[u8], salt: u64) -> Option<Self> {
        let mut r = Reader::new(bytes);
        if r.array().ok()? != FRAME_MAGIC {
            return None;
        }
        let (version, kind, len) = (r.u8().ok()?, r.u8().ok()?, r.u32().ok()?);
        let (batch_no, first_seq, rows) = (r.u64().ok()?, r.u64().ok()?, r.u32().ok()?);
        let epoch = r.u32().ok()?;
        let (arrival, durable_batch) = (r.i64().ok()?, r.u64().ok()?);
        let (payload_crc, crc) = (r.u32().ok()?, r.u32().ok()?);
        let mut hasher = salted(salt);
        hasher.update(bytes.get(..FRAME_HEADER_BYTES - 4)?);
        let sound = hasher.finalize() == crc
            && FRAME_VERSIONS.contains(&version)
            && if version == 1 { epoch == 0 } else { epoch < EPOCH_END }
            && len as usize <= FRAME_PAYLOAD_BYTES_MAX
            && durable_batch <= batch_no
            && batch_no < u64::MAX
            && first_seq.checked_add(u64::from(rows)).is_some_and(|end| end < u64::MAX);
        let kind = Kind::from_byte(kind)?;
        let epoch = (version > 1).then_some(epoch);
        sound.then_some(Self { kind, len, batch_no, first_seq, rows, arrival, durable_batch, epoch, payload_crc, crc })
    }

    /// The first sequence number after the frame.
    pub(super) fn end_seq(&self) -> u64 {
        self.first_seq + u64::from(self.rows)
    }

    /// The frame is needed until everything below this sequence number is sealed. A batch of effects alone has no
    /// sequence number of its own and goes with the row after it.
    pub(super) fn keep_until(&self) -> u64 {
        match (self.kind, self.rows) {
            (Kind::Data, 0) => self.first_seq + 1,
            _ => self.end_seq(),
        }
    }

    /// The payload without its padding, if it is whole; `bytes` start at the frame.
    pub(super) fn payload<'a>(&self, bytes: &'a [u8], salt: u64) -> Option<&'a [u8]> {
        let body = bytes.get(FRAME_HEADER_BYTES..frame_bytes(self.len as usize))?;
        if payload_crc(salt, [body]) != self.payload_crc && !planted::on("torn-tail-kept") {
            return None;
        }
        body.get(..self.len as usize)
    }
}

/// What a frame says beside its payload.
#[derive(Clone, Copy)]
pub(super) struct Stamp {
    pub(super) kind: Kind,
    pub(super) batch_no: u64,
    pub(super) durable_batch: u64,
    /// Of its rows; not said where the frame is of the first version.
    pub(super) epoch: Option<u32>,
}

/// Appends a frame and gives its header's crc.
pub(super) fn put_frame(out: &mut Vec<u8>, salt: u64, stamp: Stamp, frame: &Frame<'_>) -> Result<u32> {
    let payload_bytes = frame.payload_bytes();
    let len = match u32::try_from(payload_bytes) {
        Ok(len) if payload_bytes <= FRAME_PAYLOAD_BYTES_MAX => len,
        _ => return Err(Error::invalid(format!("cannot log a batch of {payload_bytes} bytes: too large"))),
    };
    let padding = PADDING.get(..payload_bytes.next_multiple_of(ALIGNMENT) - payload_bytes).unwrap_or_default();
    let parts = frame.parts.iter().copied().chain([padding]);
    let start = out.len();
    out.reserve(frame_bytes(payload_bytes));
    out.extend_from_slice(&FRAME_MAGIC);
    let [without_epoch, with_epoch] = FRAME_VERSIONS;
    let version = if stamp.epoch.is_some() { with_epoch } else { without_epoch };
    out.extend_from_slice(&[version, stamp.kind as u8]);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&stamp.batch_no.to_le_bytes());
    out.extend_from_slice(&frame.first_seq.to_le_bytes());
    out.extend_from_slice(&frame.rows.to_le_bytes());
    out.extend_from_slice(&stamp.epoch.unwrap_or(0).to_le_bytes());
    out.extend_from_slice(&frame.arrival.to_le_bytes());
    out.extend_from_slice(&stamp.durable_batch.to_le_bytes());
    out.extend_from_slice(&payload_crc(salt, parts.clone()).to_le_bytes());
    let mut hasher = salted(salt);
    hasher.update(out.get(start..).unwrap_or_default());
    let crc = hasher.finalize();
    out.extend_from_slice(&crc.to_le_bytes());
    for part in parts {
        out.extend_from_slice(part);
    }
    Ok(crc)
}

/// Bytes of a frame with a payload of `len`.
pub(super) fn frame_bytes(len: usize) -> usize {
    FRAME_HEADER_BYTES + len.next_multiple_of(ALIGNMENT)
}

/// The running crc of a file after one more frame.
pub(super) fn chain(running: u32, header_crc: u32) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(running);
    hasher.update(&header_crc.to_le_bytes());
    hasher.finalize()
}

fn payload_crc<'a>(salt: u64, parts: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    let mut hasher = salted(salt);
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

fn salted(salt: u64) -> crc32fast::Hasher {
    let mut hasher = crc32fast::Hasher::new();
    if !planted::on("salt-unused") {
        hasher.update(&salt.to_le_bytes());
    }
    hasher
}
