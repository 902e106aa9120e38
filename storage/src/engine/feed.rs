//! The batches that arrived last, for whoever follows them.
//!
//! There is one queue for all readers, so that what a commit does for them does not hang on how many there are, and each reader
//! knows how far it is. What does not fit any more is dropped from its front.
//!
//! Invariants
//! * A commit never waits for a reader: nobody holds the lock for longer than a look at the queue.
//! * The queue is bounded in batches and bytes, but for a single batch, and empty while nobody reads.
//! * A reader is given each batch that became visible after it began, in their order, or told how many rows it missed.
use super::locked;
use crate::hot::GenerationView;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Batches that arrived, and who reads them.
pub(crate) struct Feed {
    queue: Mutex<Queue>,
    /// Rows that came since the start.
    rows: AtomicU64,
    /// Rows that readers were told they missed.
    missed: AtomicU64,
    batches_max: usize,
    bytes_max: usize,
}

struct Queue {
    batches: VecDeque<Arrived>,
    bytes: usize,
    rows: u64,
    /// One above the last row's number.
    end_seq: u64,
    readers: usize,
    is_closed: bool,
}

/// A batch that arrived.
#[derive(Clone)]
struct Arrived {
    alone: GenerationView,
    /// Rows that came before it.
    rows_before: u64,
    rows: u64,
    bytes: usize,
}

/// Somebody who follows what arrives.
pub(crate) struct Reader {
    feed: Arc<Feed>,
    /// Rows that it was given, told of, or that came before it began.
    seen: u64,
}

/// What comes next for a reader.
pub(crate) enum Next {
    /// A batch.
    Batch(GenerationView),
    /// So many rows were dropped before it came to them.
    Missed(u64),
    /// Nothing so far.
    Nothing,
    /// Nothing more, ever.
    Closed,
}

impl Feed {
    /// Nothing came so far, and the first row will have this number.
    pub(crate) fn new(batches_max: usize, bytes_max: usize, next_seq: u64) -> Self {
        let queue =
            Queue { batches: VecDeque::new(), bytes: 0, rows: 0, end_seq: next_seq, readers: 0, is_closed: false };
        Self {
            queue: Mutex::new(queue),
            rows: AtomicU64::default(),
            missed: AtomicU64::default(),
            batches_max,
            bytes_max,
        }
    }

    /// A batch of so many rows became visible, the first of which has this number.
    pub(crate) fn put(&self, first_seq: u64, rows: u64, alone: impl FnOnce() -> Option<GenerationView>) {
        let mut queue = locked(&self.queue);
        let rows_before = queue.rows;
        queue.rows += rows;
        queue.end_seq = first_seq + rows;
        if queue.readers > 0
            && let Some(alone) = alone()
        {
            let bytes = alone.batches.iter().map(|batch| batch.bytes()).sum();
            queue.bytes += bytes;
            queue.batches.push_back(Arrived { alone, rows_before, rows, bytes });
            while queue.batches.len() > 1 && (queue.batches.len() > self.batches_max || queue.bytes > self.bytes_max) {
                let dropped = queue.batches.pop_front().map_or(0, |dropped| dropped.bytes);
                queue.bytes -= dropped;
            }
        }
        self.rows.store(queue.rows, Ordering::Release);
    }

    /// No more will come.
    pub(crate) fn close(&self) {
        locked(&self.queue).is_closed = true;
    }

    /// Rows that came since the start.
    pub(crate) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Acquire)
    }

    /// How many read.
    pub(crate) fn readers(&self) -> usize {
        locked(&self.queue).readers
    }

    /// Rows that readers were told they missed.
    pub(crate) fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }
}

impl Reader {
    /// Begins with the next batch; gives the number of its first row too. Nothing may become visible meanwhile that the
    /// caller looks at by itself.
    pub(crate) fn begin(feed: &Arc<Feed>) -> (Self, u64) {
        let mut queue = locked(&feed.queue);
        queue.readers += 1;
        (Self { feed: Arc::clone(feed), seen: queue.rows }, queue.end_seq)
    }

    /// What comes next.
    pub(crate) fn next(&mut self) -> Next {
        let queue = locked(&self.feed.queue);
        if self.seen == queue.rows {
            return if queue.is_closed { Next::Closed } else { Next::Nothing };
        }
        let at = queue.batches.partition_point(|batch| batch.rows_before < self.seen);
        // What could not be queued was dropped as well.
        let (until, next) = match queue.batches.get(at) {
            Some(batch) if batch.rows_before == self.seen => {
                (batch.rows_before + batch.rows, Some(batch.alone.clone()))
            }
            Some(batch) => (batch.rows_before, None),
            None => (queue.rows, None),
        };
        let missed = until - self.seen;
        self.seen = until;
        next.map_or_else(
            || {
                self.feed.missed.fetch_add(missed, Ordering::Relaxed);
                Next::Missed(missed)
            },
            Next::Batch,
        )
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut queue = locked(&self.feed.queue);
        queue.readers -= 1;
        if queue.readers == 0 {
            queue.batches.clear();
            queue.bytes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::table::ShapeTable;

    fn put(feed: &Feed, first_seq: u64, rows: u64) {
        feed.put(first_seq, rows, || {
            Some(GenerationView { batches: Vec::new(), shapes: Arc::new(ShapeTable::default()), known: Arc::default() })
        });
    }

    fn all(reader: &mut Reader) -> Vec<Result<(), u64>> {
        let mut all = Vec::new();
        loop {
            match reader.next() {
                Next::Batch(_) => all.push(Ok(())),
                Next::Missed(rows) => all.push(Err(rows)),
                Next::Nothing | Next::Closed => return all,
            }
        }
    }

    #[test]
    fn readers_are_told_of_what_did_not_fit() {
        let feed = Arc::new(Feed::new(3, usize::MAX, 7));
        put(&feed, 7, 5);
        let (mut first, seq) = Reader::begin(&feed);
        assert_eq!(seq, 12);
        assert!(all(&mut first).is_empty(), "what came before is not for it");
        put(&feed, 12, 1);
        let (mut second, seq) = Reader::begin(&feed);
        assert_eq!((all(&mut first), seq), (vec![Ok(())], 13));
        for n in 0..5 {
            put(&feed, 13 + n * 10, 10);
        }
        assert_eq!(all(&mut first), [Err(20), Ok(()), Ok(()), Ok(())]);
        put(&feed, 63, 10);
        assert_eq!(all(&mut first), [Ok(())]);
        assert_eq!(all(&mut second), [Err(30), Ok(()), Ok(()), Ok(())]);
        assert_eq!((feed.rows(), feed.missed(), feed.readers()), (66, 50, 2));
        drop(first);
        assert_eq!(locked(&feed.queue).batches.len(), 3);
        feed.close();
        assert!(matches!(second.next(), Next::Closed));
        drop(second);
        assert!(locked(&feed.queue).batches.is_empty());
        put(&feed, 73, 1);
        assert!(locked(&feed.queue).batches.is_empty(), "nobody reads");
    }
}
