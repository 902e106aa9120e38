//! Batch builders that requests take turns with: one that knows the fields and shapes of what comes is quicker than a
//! new one, and what it learned of a stream holds from request to request.
//!
//! Invariants
//! * There are never more builders than `most`, and each bounds its own memory: so is what decoding takes. Who comes when all
//!   are used waits; nothing is done with a builder that waits for anything else, but for the first count of a service's day.
//! * A builder that still has rows, because its request failed, is never used again.
use logyard_storage::batch::BatchBuilder;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Fewer would let one that is slow hold up all others.
const LEAST: usize = 4;

/// The builders that nobody uses, and how many are used.
#[derive(Default)]
struct Idle {
    /// The last used one last, each with the fields that name its streams.
    builders: VecDeque<(Box<[String]>, BatchBuilder)>,
    used: usize,
}

/// All builders.
pub(crate) struct Builders {
    idle: Mutex<Idle>,
    is_free: Condvar,
    most: usize,
}

/// Counts a builder as free again, also where its work panicked.
struct Turn<'a>(&'a Builders);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.idle().used -= 1;
        self.0.is_free.notify_one();
    }
}

impl Builders {
    /// As many builders as keep so many processors busy.
    pub(crate) fn new(processors: usize) -> Self {
        Self { idle: Mutex::default(), is_free: Condvar::new(), most: LEAST.max(processors + 1) }
    }

    /// Does some work with a builder that has no rows. Its streams are named by these fields; by the service where there are
    /// none.
    pub(super) fn with<T>(&self, stream_fields: &[String], work: impl FnOnce(&mut BatchBuilder) -> T) -> T {
        let (turn, idle) = self.turn(stream_fields);
        let mut rows = idle.unwrap_or_else(|| fresh(stream_fields));
        let done = work(&mut rows);
        if rows.rows() == 0 {
            let mut idle = self.idle();
            idle.builders.push_back((stream_fields.into(), rows));
            // The one that waited longest is for fields that have not come for longest.
            if idle.builders.len() > self.most {
                idle.builders.pop_front();
            }
        }
        drop(turn);
        done
    }

    /// Waits until a builder may be used, and gives one that is idle.
    fn turn(&self, stream_fields: &[String]) -> (Turn<'_>, Option<BatchBuilder>) {
        let mut idle = self.idle();
        while idle.used >= self.most {
            idle = self.is_free.wait(idle).unwrap_or_else(PoisonError::into_inner);
        }
        idle.used += 1;
        let found = idle.builders.iter().rposition(|(fields, _)| **fields == *stream_fields);
        let builder = found.and_then(|found| idle.builders.remove(found)).map(|(_, builder)| builder);
        if builder.is_none() && idle.builders.len() + idle.used > self.most {
            idle.builders.pop_front();
        }
        (Turn(self), builder)
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fresh(stream_fields: &[String]) -> BatchBuilder {
    if stream_fields.is_empty() {
        return BatchBuilder::new();
    }
    let names: Vec<&str> = stream_fields.iter().map(String::as_str).collect();
    BatchBuilder::with_stream_fields(&names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn commit(rows: &mut BatchBuilder) {
        rows.begin_row();
        rows.string("_msg", "text");
        rows.commit_row();
    }

    fn count(builders: &Builders) -> usize {
        builders.idle().builders.len()
    }

    #[test]
    fn builders_come_back_without_rows_or_not_at_all() {
        let builders = Builders::new(1);
        builders.with(&[], |rows| {
            commit(rows);
            builders.with(&[], |other| assert_eq!(other.rows(), 0));
            rows.finish().unwrap();
        });
        assert_eq!(count(&builders), 2);
        builders.with(&[], commit);
        assert_eq!(count(&builders), 1);
        builders.with(&[], |rows| assert_eq!(rows.rows(), 0));
    }

    #[test]
    fn builders_of_other_streams_are_others() {
        let builders = Builders::new(1);
        let tags = |fields: &[String]| {
            builders.with(fields, |rows| {
                rows.begin_row();
                rows.string("host", "h");
                rows.commit_row();
                rows.finish().unwrap().streams()[0].tags.to_string()
            })
        };
        assert_eq!((tags(&["host".into()]), tags(&[])), ("{host=\"h\"}".into(), "{}".into()));
        for n in 0..100 {
            tags(&[format!("field{n}")]);
        }
        assert_eq!(count(&builders), LEAST);
    }

    #[test]
    fn no_more_are_used_at_once_than_there_may_be() {
        let builders = Builders::new(1);
        let (used, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 * LEAST {
                scope.spawn(|| {
                    builders.with(&[], |_| {
                        let now = used.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(now, Ordering::SeqCst);
                        std::thread::yield_now();
                        used.fetch_sub(1, Ordering::SeqCst);
                    });
                });
            }
        });
        assert!(most.into_inner() <= LEAST);
        assert_eq!(builders.idle().used, 0);
    }
}
