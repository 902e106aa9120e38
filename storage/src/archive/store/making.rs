//! How objects are made.
//!
//! Invariants
//! * A writer that failed is never used again: its last piece is gone. The object is begun anew from its source.
//! * A write whose answer was lost may have been carried out: before it counts as failed, what is there is looked at.
//! * What is swapped is read back. What is made new is read back by whoever makes it: by its digest.
use super::said::{is_there, kind_of};
use super::{ATTEMPTS, SLOW_BYTES_PER_SECOND, Store, tag_of};
use crate::archive::bucket::{Bucket, Bytes, Put};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::MIB;
use opendal::Buffer;
use std::future::{Future, IntoFuture};
use std::time::{Duration, Instant};

/// Length up to which an object is one request.
const SINGLE_BYTES_MAX: u64 = 64 * MIB as u64;
/// Length of each part of a longer one but the last: all the same, as R2 wants it.
const PART_BYTES: usize = 8 * MIB;

/// Why an object was not made.
enum Failed {
    Store(opendal::Error),
    Source(Error),
}

impl From<opendal::Error> for Failed {
    fn from(e: opendal::Error) -> Self {
        Self::Store(e)
    }
}

impl Store {
    /// Makes an object, unless there is one of the name.
    pub(super) fn make(&self, name: &str, len: u64, bytes: &Bytes<'_>) -> Result<Put> {
        let is_long = len > SINGLE_BYTES_MAX;
        let mut attempt = 1;
        let end = Instant::now() + self.patience_of_writing(len);
        let put = loop {
            // Of a long one all parts would be sent before it turns out to be there. After a failure it may be there because
            // the answer alone was lost; where that is not said, the condition of the next write says it.
            if (is_long || attempt > 1) && matches!(self.len(name), Ok(Some(_))) {
                break Put::Existed;
            }
            let e = match self.write_once(name, len, bytes, end) {
                Ok(put) => break put,
                Err(Failed::Source(e)) => return Err(e),
                Err(Failed::Store(e)) => e,
            };
            // The upload of a long one is gone once it is completed, whether that was heard or not.
            let is_gone = is_long && kind_of(&e) == ErrorKind::NotFound;
            if !is_gone && kind_of(&e) != ErrorKind::Unavailable {
                return Err(self.said("write", name, &e));
            }
            if attempt == ATTEMPTS {
                let said = self.said("write", name, &e).to_string();
                return Err(Error::new(ErrorKind::Unavailable, said));
            }
            attempt += 1;
        };
        self.settle(name)?;
        Ok(put)
    }

    /// Makes an object by one writer.
    fn write_once(&self, name: &str, len: u64, bytes: &Bytes<'_>, end: Instant) -> std::result::Result<Put, Failed> {
        let mut options = self.writing().map_err(Failed::Source)?.writer_with(name).if_not_exists(true);
        if len > SINGLE_BYTES_MAX {
            options = options.chunk(PART_BYTES);
        }
        let mut writer = self.until(end, name, options.into_future())?;
        let written = self.feed(&mut writer, name, len, bytes, end);
        let closed = written.and_then(|()| self.until(end, name, writer.close()).map(drop));
        let Err(e) = closed else { return Ok(Put::Made) };
        if Instant::now() >= end {
            return Err(e);
        }
        // What was sent of it goes; where that fails, the bucket's own rules remove it one day.
        let _gone = self.runtime.block_on(writer.abort());
        match e {
            Failed::Store(e) if is_there(&e) => Ok(Put::Existed),
            e => Err(e),
        }
    }

    /// How long making an object is waited for in all, however often it is begun.
    fn patience_of_writing(&self, len: u64) -> Duration {
        let bytes = Duration::from_millis(len.saturating_mul(1_000) / SLOW_BYTES_PER_SECOND);
        self.patience.saturating_mul(3).saturating_add(bytes)
    }

    /// Waits for a part of it, until that time is over.
    fn until<T>(
        &self,
        end: Instant,
        name: &str,
        work: impl Future<Output = opendal::Result<T>>,
    ) -> std::result::Result<T, Failed> {
        let left = end.saturating_duration_since(Instant::now());
        match self.runtime.block_on(async { tokio::time::timeout(left, work).await }) {
            Ok(done) => Ok(done?),
            Err(_) => {
                let message = format!("cannot write {}/{name}: it does not answer in time", self.place);
                Err(Failed::Source(Error::new(ErrorKind::Unavailable, message)))
            }
        }
    }

    fn feed(
        &self,
        writer: &mut opendal::Writer,
        name: &str,
        len: u64,
        bytes: &Bytes<'_>,
        end: Instant,
    ) -> std::result::Result<(), Failed> {
        let whole = |at: u64, n: u64| -> Result<Vec<u8>> {
            let mut piece = vec![0; n as usize];
            bytes(at, &mut piece)?;
            Ok(piece)
        };
        let step = if len <= SINGLE_BYTES_MAX { len.max(1) } else { PART_BYTES as u64 };
        let mut at = 0;
        while at < len {
            let n = step.min(len - at);
            let piece = whole(at, n).map_err(Failed::Source)?;
            self.until(end, name, writer.write(Buffer::from(piece)))?;
            at += n;
        }
        Ok(())
    }

    /// Replaces an object, where the server looks at the condition, and looks whether it arrived as it was sent: whoever finds it
    /// damaged could not tell whose it is.
    pub(super) fn swap_at_server(&self, name: &str, bytes: &[u8], seen: Option<&str>) -> Result<Option<String>> {
        let is_new = seen.is_none();
        let mut seen = seen.map(str::to_owned);
        for _attempt in 0..ATTEMPTS {
            let Some(made) = self.swap_once(name, bytes, seen.as_deref())? else { return Ok(None) };
            match self.small(name, bytes.len() as u64) {
                Ok(Some((now, tag))) if tag == made && now != bytes => seen = Some(made),
                Err(e) if e.kind() != ErrorKind::Corrupt => return Err(e),
                // It is as it should be, or somebody else was there since.
                _ => return Ok(Some(made)),
            }
        }
        if is_new {
            // Where there was nothing, nothing is better than what nobody can read.
            self.remove(name)?;
        }
        let message = format!("{}/{name} does not come back as it was sent: it is tried again later", self.place);
        Err(Error::new(ErrorKind::Unavailable, message))
    }

    fn swap_once(&self, name: &str, bytes: &[u8], seen: Option<&str>) -> Result<Option<String>> {
        let writing = self.writing()?.write_with(name, bytes.to_vec());
        let writing = match seen {
            Some(tag) => writing.if_match(tag),
            None => writing.if_not_exists(true),
        };
        match self.runtime.block_on(writing.into_future()) {
            Ok(made) => Ok(Some(made.etag().map_or_else(|| tag_of(bytes), str::to_owned))),
            Err(e) if is_there(&e) => self.tag_where(name, bytes),
            Err(e) => Err(self.said("write", name, &e)),
        }
    }

    /// The tag of an object that has these bytes: one that was written, and the answer lost, is in its own way.
    fn tag_where(&self, name: &str, bytes: &[u8]) -> Result<Option<String>> {
        match self.small(name, bytes.len() as u64) {
            Ok(Some((now, tag))) if now == bytes => Ok(Some(tag)),
            Err(e) if e.kind() != ErrorKind::Corrupt => Err(e),
            _ => Ok(None),
        }
    }
}
