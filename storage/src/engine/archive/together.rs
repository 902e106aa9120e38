//! Work on many things, some of them at once, heard of by one.
//!
//! Invariants
//! * Where one thing is done at a time, it is done here, in order, and no thread is started.
//! * After a no, or an error, nothing more is begun; what was begun is waited for, and heard of.
use crate::error::Result;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

/// Does the work on each item, `at_once` of them together. `heard` is told what came of each, and says whether it goes on.
pub(super) fn each<I: Sync, T: Send>(
    at_once: usize,
    items: &[I],
    work: impl Fn(&I) -> Result<T> + Sync,
    mut heard: impl FnMut(&I, Result<T>) -> Result<bool>,
) -> Result<()> {
    if at_once <= 1 || items.len() <= 1 {
        for item in items {
            if !heard(item, work(item))? {
                break;
            }
        }
        return Ok(());
    }
    let (next, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (say, hear) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..at_once.min(items.len()) {
            let (say, next, is_over, work) = (say.clone(), &next, &is_over, &work);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed)
                    && let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed))
                    // Whoever hears it stays until all have ended.
                    && say.send((item, work(item))).is_ok()
                {}
            });
        }
        drop(say);
        let mut ended = Ok(());
        for (item, done) in hear {
            match heard(item, done) {
                Ok(true) => {}
                no_or_error => {
                    is_over.store(true, Ordering::Relaxed);
                    ended = ended.and(no_or_error.map(drop));
                }
            }
        }
        ended
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use std::sync::Barrier;

    #[test]
    fn each_is_done_once_and_heard_of() {
        for at_once in [0, 1, 2, 5, 100] {
            let items: Vec<u32> = (0..50).collect();
            let mut seen = Vec::new();
            let work = |item: &u32| Ok(item * 2);
            each(at_once, &items, work, |item, done| {
                assert_eq!(done?, item * 2);
                seen.push(*item);
                Ok(true)
            })
            .unwrap();
            seen.sort_unstable();
            assert_eq!(seen, items);
        }
    }

    #[test]
    fn some_are_done_together() {
        let meet = Barrier::new(3);
        each(3, &[1, 2, 3], |_| Ok(meet.wait().is_leader()), |_, done| done.map(|_| true)).unwrap();
    }

    #[test]
    fn after_a_no_or_an_error_nothing_more_is_begun() {
        for at_once in [1, 3] {
            let (items, begun) = (Vec::from_iter(0..1_000), AtomicUsize::new(0));
            let work = |_: &i32| {
                begun.fetch_add(1, Ordering::Relaxed);
                Ok(())
            };
            let mut heard = 0;
            each(at_once, &items, work, |_, _| {
                heard += 1;
                Ok(false)
            })
            .unwrap();
            assert_eq!(begun.load(Ordering::Relaxed), heard);
            assert!(heard == 1 || at_once > 1 && heard > 0, "{at_once}: {heard}");
            assert!(each(at_once, &items, work, |_, _| Err(Error::invalid("no"))).is_err());
        }
    }
}
