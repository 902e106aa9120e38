//! Batch builders that requests take turns with: one that knows the fields and shapes of what comes is quicker than a
//! new one, and what it learned of a stream holds from request to request.
//!
//! Invariants
//! * There are never more idle builders than `IDLE_MAX`; each bounds its own memory.
//! * A builder that still has rows, because its request failed, is never used again.
use logyard_storage::batch::BatchBuilder;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// As many as small machines have threads that decode at once.
const IDLE_MAX: usize = 4;

/// The builders that nobody uses.
#[derive(Default)]
pub(crate) struct Builders(Mutex<Vec<BatchBuilder>>);

impl Builders {
    /// Does some work with a builder that has no rows.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut BatchBuilder) -> T) -> T {
        let idle = self.idle().pop();
        let mut rows = idle.unwrap_or_default();
        let done = work(&mut rows);
        let mut idle = self.idle();
        if rows.rows() == 0 && idle.len() < IDLE_MAX {
            idle.push(rows);
        }
        done
    }

    fn idle(&self) -> MutexGuard<'_, Vec<BatchBuilder>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(rows: &mut BatchBuilder) {
        rows.begin_row();
        rows.string("_msg", "text");
        rows.commit_row();
    }

    #[test]
    fn builders_come_back_without_rows_or_not_at_all() {
        let builders = Builders::default();
        builders.with(|rows| {
            commit(rows);
            builders.with(|other| assert_eq!(other.rows(), 0));
            rows.finish().unwrap();
        });
        assert_eq!(builders.idle().len(), 2);
        builders.with(commit);
        assert_eq!(builders.idle().len(), 1);
        builders.with(|rows| assert_eq!(rows.rows(), 0));
    }

    #[test]
    fn idle_builders_are_few() {
        fn nest(builders: &Builders, depth: usize) {
            if depth > 0 {
                builders.with(|_| nest(builders, depth - 1));
            }
        }
        let builders = Builders::default();
        nest(&builders, 2 * IDLE_MAX);
        assert_eq!(builders.idle().len(), IDLE_MAX);
    }
}
