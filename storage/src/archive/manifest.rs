//! What a target is the copy of: the segments in it, and the state that belongs to them, as an object.
//!
//! `| length of the head u32 | head, an envelope of codec | rows, compressed by zstd |`; a row is the name of a table of the
//! catalog, a key, and the value as the catalog stores it, with its checksum.
//!
//! Manifests are numbered; the last one that is whole counts. What came after it is known by the segments themselves.
//!
//! Invariants
//! * A manifest that is read is the one that was written: head and rows have checksums, and the head has that of the rows.
//! * Memory is bounded by [`ROWS_BYTES_MAX`], whatever an object says.
use crate::catalog::{Change, Table};
use crate::codec::{self, Reader, put_bytes};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::FORMAT_VERSION;
use crate::limits::{KIB, MIB};
use serde::{Deserialize, Serialize};

/// The folder of manifests.
pub(crate) const MANIFESTS: &str = "manifest";
const MAGIC: [u8; 4] = *b"LYM1";
const VERSION: u16 = 1;
/// All rows of one.
const ROWS_BYTES_MAX: u64 = 512 * MIB as u64;
/// An object.
pub(crate) const MANIFEST_BYTES_MAX: u64 = ROWS_BYTES_MAX;
const HEAD_BYTES_MAX: usize = 64 * KIB;
const LEVEL: i32 = 3;

/// Segments that a manifest says it awaits.
pub(crate) const AWAITED_MAX: usize = 4_096;

/// What a manifest says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// The format of the directory that it was made of.
    pub(crate) format: u32,
    /// Its number; the highest one counts.
    pub(crate) number: u64,
    /// The number of the first one that the same directory wrote there: those below are another's.
    pub(crate) first: u64,
    /// The target's name there.
    pub(crate) target: String,
    /// Whether it is of a backup: made once, and nobody's place.
    pub(crate) is_backup: bool,
    /// The directory's own number.
    pub(crate) directory: String,
    /// When it was made, nanoseconds since 1970.
    pub(crate) written: i64,
    /// Records below this number were in segments.
    pub(crate) sealed_seq: u64,
    /// Every record below this number that goes to the archive is in the target, and effects are as they were then.
    pub(crate) cut: u64,
    /// No record of its segments has this number or a higher one.
    pub(crate) covered: u64,
    /// Every record below this number that goes to the archive is in a segment that it names.
    pub(crate) below: u64,
    /// Segments that were not in the target then, and were to come, the lowest first, [`AWAITED_MAX`] at most: what is there of them has
    /// come since.
    pub(crate) awaited: Vec<u64>,
    /// Segments.
    pub(crate) segments: u64,
    /// Bytes of them.
    pub(crate) bytes: u64,
    /// The hash of the admin key, as it is kept beside the catalog.
    pub(crate) admin_key: Vec<u8>,
}

/// The head as it is written, with what its rows are checked by.
#[derive(Serialize, Deserialize)]
struct SealedHead {
    head: Head,
    rows_len: u64,
    rows_raw: u64,
    rows_crc: u32,
}

/// A manifest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manifest {
    pub(crate) head: Head,
    /// The rows of a catalog, as the change that puts them there.
    pub(crate) rows: Change,
}

/// The object of a manifest.
pub(crate) fn manifest_object(number: u64) -> String {
    format!("{MANIFESTS}/{number:016x}.man")
}

/// The number of a manifest by the name of its object.
pub(crate) fn manifest_number(object: &str) -> Option<u64> {
    let name = object.strip_prefix(MANIFESTS)?.strip_prefix('/')?.strip_suffix(".man")?;
    (name.len() == 16).then(|| u64::from_str_radix(name, 16).ok()).flatten()
}

impl Manifest {
    /// The object.
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let mut raw = Vec::new();
        for (table, key, stored) in self.rows.puts() {
            put_bytes(&mut raw, table.name().as_bytes());
            put_bytes(&mut raw, key);
            put_bytes(&mut raw, stored);
        }
        if raw.len() as u64 > ROWS_BYTES_MAX {
            return Err(Error::invalid(format!("a manifest of {} bytes, over the limit", raw.len())));
        }
        let rows = zstd::bulk::compress(&raw, LEVEL)
            .map_err(|e| Error::new(ErrorKind::Io, format!("cannot compress a manifest: {e}")))?;
        let head = SealedHead {
            head: self.head.clone(),
            rows_len: rows.len() as u64,
            rows_raw: raw.len() as u64,
            rows_crc: crc32fast::hash(&rows),
        };
        let head = codec::seal(MAGIC, VERSION, &head)?;
        Ok([&(head.len() as u32).to_le_bytes()[..], &head, &rows].concat())
    }

    /// What an object says.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let short = || Error::corrupt("a manifest is cut short");
        let (len, rest) = bytes.split_first_chunk().ok_or_else(short)?;
        let len = u32::from_le_bytes(*len) as usize;
        let (head, rows) = rest.split_at_checked(len).filter(|_| len <= HEAD_BYTES_MAX).ok_or_else(short)?;
        let SealedHead { head, rows_len, rows_raw, rows_crc } = codec::open(MAGIC, VERSION, head)?;
        if head.format > FORMAT_VERSION {
            let message = format!("a manifest of format {}, this program reads up to {FORMAT_VERSION}", head.format);
            return Err(Error::new(ErrorKind::NewerFormat, message));
        }
        if rows.len() as u64 != rows_len || crc32fast::hash(rows) != rows_crc {
            return Err(Error::corrupt("the rows of a manifest fail their checksum"));
        }
        let raw = rows_raw.min(ROWS_BYTES_MAX) as usize;
        let raw = zstd::bulk::decompress(rows, raw)
            .map_err(|e| Error::corrupt(format!("a manifest cannot be decompressed: {e}")))?;
        let mut rows = Change::new();
        let r = &mut Reader::new(&raw);
        while r.remaining() > 0 {
            let name = std::str::from_utf8(r.bytes()?).map_err(|_| Error::corrupt("a table's name is not UTF-8"))?;
            let table = Table::named(name).ok_or_else(|| Error::corrupt(format!("there is no table {name}")))?;
            let (key, stored) = (r.bytes()?, r.bytes()?);
            rows.put_stored(table, key, stored)?;
        }
        Ok(Self { head, rows })
    }

    /// What it says but for when, and its number: the same where nothing has changed.
    pub(crate) fn content(&self) -> u64 {
        use std::hash::{Hash, Hasher};
        let mut hasher = rustc_hash::FxHasher::default();
        1u8.hash(&mut hasher);
        (self.head.cut, self.head.covered, self.head.segments, self.head.bytes).hash(&mut hasher);
        for (table, key, stored) in self.rows.puts().filter(|(table, ..)| *table != Table::Meta) {
            (table.name(), key, stored).hash(&mut hasher);
        }
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let mut rows = Change::new();
        for n in 0..200u32 {
            rows.put(Table::Jobs, format!("job {n}").as_bytes(), &format!("{n} runs")).unwrap();
        }
        let head = Head { format: FORMAT_VERSION, number: 7, target: "main".into(), cut: 5, ..Head::default() };
        Manifest { head, rows }
    }

    #[test]
    fn it_is_read_as_it_was_written_or_not_at_all() {
        let bytes = manifest().encode().unwrap();
        let read = Manifest::decode(&bytes).unwrap();
        assert_eq!((read.head.number, read.rows.puts().count(), read.content()), (7, 200, manifest().content()));
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 1 << (at % 8);
            assert!(Manifest::decode(&other).is_err(), "{at}");
            assert!(Manifest::decode(&bytes[..at]).is_err(), "{at}");
        }
        let newer = Manifest { head: Head { format: FORMAT_VERSION + 1, ..manifest().head }, ..manifest() };
        let e = Manifest::decode(&newer.encode().unwrap()).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::NewerFormat);
    }

    #[test]
    fn names_are_read_back() {
        assert_eq!(manifest_number(&manifest_object(0xab)), Some(0xab));
        assert_eq!(manifest_number("manifest/ab.man"), None);
        assert_eq!(manifest_number("segments/2026-11-30/aa.seg"), None);
    }
}
