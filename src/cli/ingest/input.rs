//! What is read: a file or standard input, unpacked where its first bytes say gzip or Zstandard.
//!
//! Invariants
//! * Of a stream that is not packed, no more is read ahead than says so: whoever writes to it may wait.
//! * `read` counts bytes of the input itself, before they are unpacked, and those that were read by an earlier run.
use super::super::Failure;
use super::shown;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// An open input.
pub(super) struct Input {
    pub(super) reader: Box<dyn Read>,
    /// Bytes that were read of it, before they are unpacked.
    pub(super) read: Arc<AtomicU64>,
    /// How many there are, where that is known.
    pub(super) length: Option<u64>,
}

/// Opens a file as it is.
pub(super) fn open(path: &Path) -> Result<File, Failure> {
    let failed = |e: io::Error| Failure::Failed(format!("cannot open {}: {e}", shown(path)));
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(Failure::Failed(format!("{} is a directory; name files, such as those in it", shown(path))));
    }
    Ok(file)
}

impl Input {
    /// A file, behind what was read of it before.
    pub(super) fn of_file(mut file: File, done: u64) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let first = first_bytes(&mut file)?;
        let is_packed = is_packed(&first);
        file.seek(SeekFrom::Start(if is_packed { 0 } else { done }))?;
        let mut input = Self::unpacked(&first, file, Some(length))?;
        if is_packed {
            input.skip(done)?;
        } else {
            input.read.store(done, Ordering::Relaxed);
        }
        Ok(input)
    }

    /// What can be read once, from its beginning to its end.
    pub(super) fn of_stream<R: Read + 'static>(mut stream: R) -> io::Result<Self> {
        let first = first_bytes(&mut stream)?;
        let whole = io::Cursor::new(first.clone()).chain(stream);
        Self::unpacked(&first, whole, None)
    }

    fn unpacked(first: &[u8], input: impl Read + 'static, length: Option<u64>) -> io::Result<Self> {
        let read = Arc::new(AtomicU64::new(0));
        let counted = Counted { input, read: Arc::clone(&read) };
        let reader: Box<dyn Read> = if first.starts_with(&GZIP) {
            Box::new(flate2::read::MultiGzDecoder::new(counted))
        } else if first.starts_with(&ZSTD) {
            Box::new(zstd::stream::read::Decoder::new(counted)?)
        } else {
            Box::new(counted)
        };
        Ok(Self { reader, read, length })
    }

    /// Passes over what was read before.
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let skipped = io::copy(&mut (&mut self.reader).take(bytes), &mut io::sink())?;
        if skipped == bytes { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

/// Whether a file is packed.
pub(super) fn is_packed_file(file: &File) -> io::Result<bool> {
    let mut first = [0; ZSTD.len()];
    let read = file.read_at(&mut first, 0)?;
    Ok(is_packed(first.get(..read).unwrap_or_default()))
}

fn is_packed(first: &[u8]) -> bool {
    first.starts_with(&GZIP) || first.starts_with(&ZSTD)
}

/// As many of the first bytes as it takes to know whether something is packed: whoever writes to a pipe may wait behind them.
fn first_bytes(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut first = Vec::new();
    while !is_packed(&first) && (GZIP.starts_with(&first) || ZSTD.starts_with(&first)) {
        if input.by_ref().take(1).read_to_end(&mut first)? == 0 {
            break;
        }
    }
    Ok(first)
}

struct Counted<R> {
    input: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(into)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
