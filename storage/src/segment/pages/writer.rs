//! Streams of bytes cut into pages.
//!
//! Invariants
//! * What the directory says of a page is what was written of it: its stored bytes, their checksum, its raw length.
//! * The same streams, put in the same order, give the same bytes.
use super::{Space, Stream};
use crate::codec::put_varint;
use crate::limits::PAGE_BYTES_MAX;
use std::cell::RefCell;

struct Page {
    space: Space,
    compressed: bool,
    stored: usize,
    raw: usize,
    crc: u32,
}

/// Collects streams into pages.
#[derive(Default)]
pub(crate) struct PageWriter {
    out: Vec<u8>,
    pages: Vec<Page>,
    open: [Vec<u8>; 3],
    ends: [usize; 3],
}

thread_local! {
    static COMPRESSORS: RefCell<[Option<zstd::bulk::Compressor<'static>>; 3]> = const { RefCell::new([None, None, None]) };
}

/// The bytes compressed, where that saves a tenth.
fn compress(space: Space, raw: &[u8]) -> Option<Vec<u8>> {
    if space == Space::Dense || raw.len() < 64 {
        return None;
    }
    COMPRESSORS.with_borrow_mut(|compressors| {
        let slot = compressors.get_mut(space as usize)?;
        if slot.is_none() {
            *slot = zstd::bulk::Compressor::new(space.level()).ok();
        }
        let small = slot.as_mut()?.compress(raw).ok()?;
        (small.len() < raw.len() - raw.len() / 10).then_some(small)
    })
}

/// Pages that [`estimate`] compresses.
const SAMPLED_PAGES: usize = 4;

/// About what a stream would take: what some of its pages, evenly spread, take.
pub(crate) fn estimate(space: Space, bytes: &[u8]) -> usize {
    let pages = bytes.len().div_ceil(PAGE_BYTES_MAX);
    let step = pages.div_ceil(SAMPLED_PAGES).max(1);
    let (mut raw, mut stored) = (0, 0);
    for page in bytes.chunks(PAGE_BYTES_MAX).step_by(step) {
        raw += page.len();
        stored += compress(space, page).map_or(page.len(), |small| small.len());
    }
    if raw == 0 { 0 } else { (stored as u64 * bytes.len() as u64 / raw as u64) as usize }
}

impl PageWriter {
    /// An empty writer that uses the space of bytes that are done with.
    pub(crate) fn reusing(mut out: Vec<u8>) -> Self {
        out.clear();
        Self { out, ..Self::default() }
    }

    /// Adds a stream.
    pub(crate) fn put(&mut self, space: Space, bytes: &[u8]) -> Stream {
        let start = self.ends.get(space as usize).copied().unwrap_or(0);
        let stream = Stream { space, start, len: bytes.len() };
        // A large stream begins a page of its own, so that reading it reads little else.
        let page_bytes = space.page_bytes();
        if bytes.len() > page_bytes / 2 {
            self.flush(space);
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let Some(open) = self.open.get_mut(space as usize) else { break };
            let (now, later) = rest.split_at(rest.len().min(page_bytes - open.len()));
            open.extend_from_slice(now);
            rest = later;
            if open.len() == page_bytes {
                self.flush(space);
            }
        }
        if let Some(end) = self.ends.get_mut(space as usize) {
            *end += bytes.len();
        }
        stream
    }

    fn flush(&mut self, space: Space) {
        let Some(open) = self.open.get_mut(space as usize) else { return };
        if open.is_empty() {
            return;
        }
        let small = compress(space, open);
        let stored = small.as_deref().unwrap_or(open);
        let crc = crc32fast::hash(stored);
        self.pages.push(Page { space, compressed: small.is_some(), stored: stored.len(), raw: open.len(), crc });
        self.out.extend_from_slice(stored);
        open.clear();
    }

    /// The bytes of all pages; their directory goes into `head`.
    pub(crate) fn finish(mut self, head: &mut Vec<u8>) -> Vec<u8> {
        for space in Space::ALL {
            self.flush(space);
        }
        put_varint(head, self.pages.len() as u64);
        for page in &self.pages {
            head.push(page.space as u8);
            head.push(u8::from(page.compressed));
            put_varint(head, page.stored as u64);
            put_varint(head, page.raw as u64);
            head.extend_from_slice(&page.crc.to_le_bytes());
        }
        self.out
    }
}
