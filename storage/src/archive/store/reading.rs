//! How objects are read.
//!
//! Invariants
//! * What is given has the length that was asked for, and bytes that come with a tag are those of the tag.
use super::said::{is_in_part, is_there, kind_of};
use super::{ATTEMPTS, SLOW_BYTES_PER_SECOND, Store, tag_of};
use crate::archive::bucket::Bucket;
use crate::error::{Error, ErrorKind, Result};
use opendal::Buffer;
use std::time::Duration;
use tokio::time::timeout;

impl Store {
    /// How long so many bytes are waited for in all, however often they are asked for: somebody waits for them.
    fn patience(&self, bytes: usize) -> Duration {
        self.patience.saturating_add(Duration::from_millis(bytes as u64 * 1_000 / SLOW_BYTES_PER_SECOND))
    }

    /// Fills a buffer.
    pub(super) fn fill(&self, name: &str, offset: u64, buf: &mut [u8]) -> Result<()> {
        let end = offset.saturating_add(buf.len() as u64);
        if offset == end {
            return Ok(());
        }
        let mut attempt = 1;
        let found = loop {
            let reading = self.reading.read_with(name).range(offset..end).into_future();
            let read = self.runtime.block_on(async { timeout(self.patience(buf.len()), reading).await });
            let Ok(read) = read else {
                let message = format!("cannot read {}/{name}: it does not answer in time", self.place);
                return Err(Error::new(ErrorKind::Unavailable, message));
            };
            let e = match read {
                Ok(found) if found.len() == buf.len() => break found,
                Ok(_) => Error::new(ErrorKind::Unavailable, format!("{}/{name} comes in part", self.place)),
                Err(e) if is_in_part(&e) => self.said("read", name, &e),
                Err(e) => return Err(self.said("read", name, &e)),
            };
            // Too little comes where there is no more, and where something went wrong on the way.
            if self.len(name)?.is_some_and(|len| len < end) {
                return Err(Error::corrupt(format!("{}/{name} ends before byte {end}", self.place)));
            }
            if attempt == ATTEMPTS {
                return Err(e);
            }
            attempt += 1;
        };
        let mut rest = buf;
        for piece in found {
            let (own, behind) = std::mem::take(&mut rest).split_at_mut_checked(piece.len()).unwrap_or_default();
            own.copy_from_slice(piece.get(..own.len()).unwrap_or_default());
            rest = behind;
        }
        Ok(())
    }

    /// A small object as a whole, and its tag.
    pub(super) fn read_small(&self, name: &str, limit: u64) -> Result<Option<(Vec<u8>, String)>> {
        for _attempt in 0..ATTEMPTS {
            let found = match self.wait("look for", name, self.reading.stat(name)) {
                Ok(found) => found,
                Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
                Err(e) => return Err(e),
            };
            let (len, tag) = (found.content_length(), found.etag());
            if len > limit {
                return Err(Error::corrupt(format!(
                    "{}/{name} has {len} bytes, over the limit of {limit}",
                    self.place
                )));
            }
            // The bytes are those of the tag, or they are read again.
            let can_match = self.reading.info().capability().read_with_if_match;
            let mut reading = self.reading.read_with(name).range(0..len);
            if let Some(tag) = tag.filter(|_| can_match) {
                reading = reading.if_match(tag);
            }
            let read = if len == 0 { Ok(Buffer::new()) } else { self.runtime.block_on(reading.into_future()) };
            match read {
                Ok(bytes) if bytes.len() as u64 == len => {
                    let bytes = bytes.to_vec();
                    let tag = tag.map_or_else(|| tag_of(&bytes), str::to_owned);
                    return Ok(Some((bytes, tag)));
                }
                Ok(_) => {}
                // It was replaced or removed meanwhile, or came in part.
                Err(e) if is_there(&e) || is_in_part(&e) => {}
                Err(e) if matches!(kind_of(&e), ErrorKind::NotFound | ErrorKind::Corrupt) => {}
                Err(e) => return Err(self.said("read", name, &e)),
            }
        }
        let message = format!("cannot read {}/{name}: it does not come as it is", self.place);
        Err(Error::new(ErrorKind::Unavailable, message))
    }
}
