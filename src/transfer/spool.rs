//! A file without a name, in which a part grows before it is put: it is gone with whoever holds it, however that ends.
//!
//! Invariant: what was read is what was written; the digest is of all of it.
use logyard_storage::archive::{Bucket, Put};
use logyard_storage::error::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes that are copied at once.
const PIECE_BYTES: usize = 4 << 20;

/// Such a file.
pub(super) struct Spool {
    file: File,
    digest: Sha256,
    bytes: u64,
}

impl Spool {
    /// In a directory.
    pub(super) fn new(directory: &Path) -> Result<Self> {
        let made = tempfile::tempfile_in(directory);
        let file = made.map_err(|e| Error::io("create a file in", directory, e))?;
        Ok(Self { file, digest: Sha256::new(), bytes: 0 })
    }

    /// An object, fetched, whose contents have this digest.
    pub(super) fn fetched(directory: &Path, bucket: &dyn Bucket, name: &str, digest: &str) -> Result<File> {
        let len = bucket.len(name)?.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no {name}")))?;
        let mut spool = Self::new(directory)?;
        let mut piece = vec![0; PIECE_BYTES.min(usize::try_from(len).unwrap_or(PIECE_BYTES)).max(1)];
        while spool.bytes < len {
            let wanted = piece.len().min(usize::try_from(len - spool.bytes).unwrap_or(usize::MAX));
            let part = piece.get_mut(..wanted).unwrap_or_default();
            bucket.read(name, spool.bytes, part)?;
            spool.write_all(part).map_err(|e| failed(&e))?;
        }
        if spool.digest() != digest {
            let place = bucket.place();
            return Err(Error::corrupt(format!(
                "{place}/{name} is damaged: its contents are not those that its name says"
            )));
        }
        spool.file.seek(SeekFrom::Start(0)).map_err(|e| failed(&e))?;
        Ok(spool.file)
    }

    /// The first hex digits of the digest of what is in it.
    pub(super) fn digest(&self) -> String {
        shown(&self.digest)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Puts it under a name, unless something is there.
    pub(super) fn put(&self, bucket: &dyn Bucket, name: &str) -> Result<Put> {
        bucket.put_new(name, self.bytes, &|at, buf| self.file.read_exact_at(buf, at).map_err(|e| failed(&e)))
    }
}

fn shown(digest: &Sha256) -> String {
    digest.clone().finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// The first hex digits of a file's digest.
pub(super) fn digest_of(path: &Path) -> io::Result<String> {
    let (mut file, mut digest) = (File::open(path)?, Sha256::new());
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok(shown(&digest));
        }
        digest.update(piece.get(..read).unwrap_or_default());
    }
}

fn failed(error: &io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("cannot use a file for what is exported: {error}"))
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.digest.update(bytes.get(..written).unwrap_or_default());
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The bytes of a small object, unpacked as gzip.
#[cfg(test)]
pub(super) fn unpacked(bytes: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
    text
}
