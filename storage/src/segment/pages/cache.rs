//! The pages of one block that somebody looks at, each read once.
//!
//! Invariants
//! * Pages that lie together are read by one call; every page was checked before any of its bytes is given.
use super::{Pages, Source, Stream};
use crate::error::{Error, Result};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Bytes of a stream: a part of a page, or put together from several.
#[derive(Clone, Debug)]
pub(crate) struct Bytes {
    owner: Arc<Vec<u8>>,
    from: usize,
    to: usize,
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.owner.get(self.from..self.to).unwrap_or_default()
    }
}

/// Pages of a block that were read, each once.
pub(crate) struct PageCache<'a> {
    pages: &'a Pages,
    source: &'a dyn Source,
    read: FxHashMap<u32, Arc<Vec<u8>>>,
}

impl<'a> PageCache<'a> {
    pub(crate) fn new(pages: &'a Pages, source: &'a dyn Source) -> Self {
        Self { pages, source, read: FxHashMap::default() }
    }

    pub(crate) fn pages(&self) -> &'a Pages {
        self.pages
    }

    pub(crate) fn source(&self) -> &'a dyn Source {
        self.source
    }

    /// Bytes `from..to` of a stream, out of the pages that hold them.
    pub(crate) fn bytes(&mut self, stream: Stream, from: usize, to: usize) -> Result<Bytes> {
        if from > to || to > stream.len {
            return Err(Error::corrupt("a value lies outside its stream"));
        }
        let (from, to) = (stream.start + from, stream.start + to);
        let held = self.pages.holding(stream.space, from, to)?;
        if let ([one], true) = (held, from < to) {
            let start = self.pages.pages.get(*one as usize).map_or(0, |page| page.raw_start);
            return Ok(Bytes { owner: self.page(*one)?, from: from - start, to: to - start });
        }
        let mut out = Vec::with_capacity(to - from);
        let held = if from < to { held } else { &[] };
        self.load(held)?;
        for number in held {
            let start = self.pages.pages.get(*number as usize).map_or(0, |page| page.raw_start);
            let page = self.page(*number)?;
            let (from, to) = (from.saturating_sub(start), (to - start).min(page.len()));
            out.extend_from_slice(page.get(from..to).unwrap_or_default());
        }
        Ok(Bytes { from: 0, to: out.len(), owner: Arc::new(out) })
    }

    /// Reads those of some pages that were not read yet, as many at once as lie together.
    fn load(&mut self, numbers: &[u32]) -> Result<()> {
        let mut stored = Vec::new();
        for missing in numbers.split(|number| self.read.contains_key(number)).map(<[u32]>::to_vec).collect::<Vec<_>>() {
            for run in self.pages.runs(&missing).filter(|run| run.len() > 1) {
                self.pages.read_run(run, self.source, &mut stored)?;
                let mut rest = stored.as_slice();
                for number in run {
                    let len = self.pages.pages.get(*number as usize).map_or(0, |page| page.stored);
                    let (own, behind) = rest.split_at_checked(len).unwrap_or_default();
                    self.read.insert(*number, Arc::new(own.to_vec()));
                    rest = behind;
                }
            }
        }
        Ok(())
    }

    fn page(&mut self, number: u32) -> Result<Arc<Vec<u8>>> {
        if let Some(page) = self.read.get(&number) {
            return Ok(Arc::clone(page));
        }
        let entry = self.pages.pages.get(number as usize);
        let entry = entry.ok_or_else(|| Error::corrupt("a page that its block does not have"))?;
        let page = entry.raw(self.source, &mut Vec::new())?;
        self.read.insert(number, Arc::clone(&page));
        Ok(page)
    }
}
