//! redb's storage over an [`Env`](crate::env::Env) file, and what redb's header says before redb reads it.
//!
//! Invariants
//! * After a failed write, resize or sync every later call fails: a failed sync is never repeated on its handle.
//! * A read that would pass the end of the file fails.
//! * There is no lock here: the data directory's lock keeps other processes out.
use crate::codec::Reader;
use crate::env::File;
use crate::error::{Error, ErrorKind, Result};
use redb::StorageBackend;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A file as redb sees it.
pub(super) struct Backend {
    file: Arc<dyn File>,
    refused: AtomicBool,
}

impl Backend {
    pub(super) fn new(file: Arc<dyn File>) -> Self {
        Self { file, refused: AtomicBool::new(false) }
    }

    fn check(&self) -> io::Result<()> {
        if self.refused.load(Ordering::Acquire) {
            return Err(io::Error::other("an earlier operation on this handle failed, or it was closed"));
        }
        Ok(())
    }

    fn change(&self, act: impl FnOnce(&dyn File) -> io::Result<()>) -> io::Result<()> {
        self.check()?;
        act(&*self.file).inspect_err(|_| self.refused.store(true, Ordering::Release))
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("catalog")
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.check()?;
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.check()?;
        self.file.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(|file| file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.change(|file| file.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(|file| file.write_all_at(data, offset))
    }

    fn close(&self) -> io::Result<()> {
        self.refused.store(true, Ordering::Release);
        Ok(())
    }
}

/// The head of redb's file, format 3 of redb =4.4, as far as redb believes it without a checksum.
///
/// | magic 9 | flags 1 | padding 2 | page size, region header pages, region pages: u32 each | counts 8 |, at 64 and 192
/// the two commit slots of 128 bytes, each with a checksum of its own.
pub(super) struct Header([u8; HEADER_BYTES]);

const HEADER_BYTES: usize = 320;
const FLAGS_AT: usize = 9;
const GEOMETRY_AT: usize = 10;
/// What every file of ours has there: no padding, pages of 4 KiB, regions without header of 4 GiB.
pub(super) const GEOMETRY: [u8; 14] = [0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0];
const SLOTS_AT: [usize; 2] = [64, 192];
const SLOT_BYTES: usize = 128;
const SLOT_TRANSACTION_AT: usize = 104;
const PRIMARY: u8 = 1;
const RECOVERY: u8 = 2;
const TWO_PHASE: u8 = 4;

impl Header {
    pub(super) fn read(file: &dyn File) -> Result<Self> {
        let mut header = [0; HEADER_BYTES];
        match file.read_exact_at(&mut header, 0) {
            Ok(()) => Ok(Self(header)),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Err(Error::corrupt("the file ends in its header")),
            Err(e) => Err(Error::new(ErrorKind::Io, format!("cannot read the header: {e}")).with_source(e)),
        }
    }

    /// Refuses a header that is not ours, and one that points at the older of its two commits.
    ///
    /// Which commit counts is one bit, and with two-phase commit redb trusts it: were it flipped, the catalog would
    /// silently go back one commit. After a clean close the other commit is always the older one (a commit that was
    /// cut short is written over by the one that [`Catalog::open`](super::Catalog::open) makes). After a crash the
    /// bit cannot be judged here; that is what [`Catalog::commits`](super::Catalog::commits) is for.
    pub(super) fn check(&self) -> Result<()> {
        let flags = self.flags();
        if flags & !(PRIMARY | RECOVERY | TWO_PHASE) != 0 || flags & TWO_PHASE == 0 {
            return Err(Error::corrupt(format!("the header has flags {flags:#04x}, which are never written")));
        }
        if self.at::<{ GEOMETRY.len() }>(GEOMETRY_AT)? != GEOMETRY {
            return Err(Error::corrupt("the header has pages or regions of another size"));
        }
        let [primary, secondary] = self.slots();
        let (primary, secondary) = (self.transaction(primary)?, self.transaction(secondary)?);
        if flags & RECOVERY == 0 && secondary > primary {
            let message = format!("the header names commit {primary}, but commit {secondary} is there");
            return Err(Error::corrupt(message));
        }
        Ok(())
    }

    /// The same header as that of a file in which redb believes nothing unchecked: no flag that lets it skip its
    /// repair, and no second commit to fall back to.
    pub(super) fn distrusted(&self) -> Result<[u8; HEADER_BYTES]> {
        let [primary, secondary] = self.slots();
        let slot: [u8; SLOT_BYTES] = self.at(primary)?;
        let mut header = self.0;
        for (to, byte) in header.iter_mut().skip(secondary).zip(slot) {
            *to = byte;
        }
        if let Some(flags) = header.get_mut(FLAGS_AT) {
            *flags = (*flags & PRIMARY) | RECOVERY;
        }
        Ok(header)
    }

    fn flags(&self) -> u8 {
        self.0.get(FLAGS_AT).copied().unwrap_or_default()
    }

    /// Where the commit is that counts, and where the other one is.
    fn slots(&self) -> [usize; 2] {
        let [first, second] = SLOTS_AT;
        if self.flags() & PRIMARY == 0 { [first, second] } else { [second, first] }
    }

    fn transaction(&self, slot_at: usize) -> Result<u64> {
        Ok(u64::from_le_bytes(self.at(slot_at + SLOT_TRANSACTION_AT)?))
    }

    fn at<const N: usize>(&self, at: usize) -> Result<[u8; N]> {
        Reader::new(self.0.get(at..).unwrap_or_default()).array()
    }
}
