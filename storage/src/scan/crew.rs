//! Work on many parts by several threads: the caller's own, and as many more as are free.
//!
//! Invariants
//! * All searches of an engine together have no more threads of their own than the crew has.
//! * Parts are taken up in order. The first error ends the work, and so does whoever says that there is enough.
use crate::error::{Error, Result};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Whether to go on with the next part.
pub(crate) type Flow = ControlFlow<()>;

/// Threads that searches may start beside their own.
pub(crate) struct Crew {
    free: AtomicUsize,
    /// The crew that these are a part of.
    of: Option<Arc<Crew>>,
}

/// Threads that were taken from a crew, until this is dropped.
struct Taken<'a> {
    crew: &'a Crew,
    n: usize,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.crew.put_back(self.n);
    }
}

impl Crew {
    /// A crew for so many threads at work in all, one of which is that of who asks; as many as there are cores where
    /// nothing is said.
    pub(crate) fn new(threads: Option<usize>) -> Arc<Self> {
        let threads = threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        Arc::new(Self { free: AtomicUsize::new(threads.saturating_sub(1)), of: None })
    }

    /// The same threads, of which at most so many are at work at once, that of who asks among them.
    pub(crate) fn at_most(self: &Arc<Self>, threads: usize) -> Arc<Self> {
        Arc::new(Self { free: AtomicUsize::new(threads.saturating_sub(1)), of: Some(Arc::clone(self)) })
    }

    fn take(&self, wanted: usize) -> Taken<'_> {
        Taken { crew: self, n: self.take_some(wanted) }
    }

    fn take_some(&self, wanted: usize) -> usize {
        let take = |free: usize| Some(free - free.min(wanted));
        let free = self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).unwrap_or(0);
        let own = free.min(wanted);
        let Some(of) = &self.of else { return own };
        let n = of.take_some(own);
        self.free.fetch_add(own - n, Ordering::Relaxed);
        n
    }

    fn put_back(&self, n: usize) {
        self.free.fetch_add(n, Ordering::Relaxed);
        if let Some(of) = &self.of {
            of.put_back(n);
        }
    }

    /// Works on the parts `0..parts`, the first `alone` of which by the caller only, and gives what each thread has made.
    pub(crate) fn work<S: Send>(
        &self,
        parts: usize,
        alone: usize,
        fresh: &(dyn Fn() -> S + Sync),
        work: &(dyn Fn(&mut S, usize) -> Result<Flow> + Sync),
    ) -> Result<Vec<S>> {
        let mut own = fresh();
        for part in 0..alone.min(parts) {
            if work(&mut own, part)?.is_break() {
                return Ok(vec![own]);
            }
        }
        let (next, is_over, failed) = (AtomicUsize::new(alone), AtomicBool::new(false), Mutex::new(None));
        let go_on = |state: &mut S| {
            while !is_over.load(Ordering::Relaxed) {
                let part = next.fetch_add(1, Ordering::Relaxed);
                if part >= parts {
                    return;
                }
                match work(state, part) {
                    Ok(Flow::Continue(())) => continue,
                    Ok(Flow::Break(())) => {}
                    Err(e) => keep_first(&failed, part, e),
                }
                is_over.store(true, Ordering::Relaxed);
            }
        };
        let taken = self.take(parts.saturating_sub(alone + 1));
        let mut made = std::thread::scope(|scope| {
            let others: Vec<_> = (0..taken.n)
                .filter_map(|_| {
                    let of_thread = || {
                        let mut state = fresh();
                        go_on(&mut state);
                        state
                    };
                    // Where no thread can be had, there is one less.
                    std::thread::Builder::new().name("scan".into()).spawn_scoped(scope, of_thread).ok()
                })
                .collect();
            go_on(&mut own);
            let joined = others.into_iter().map(|thread| thread.join().map_err(|_| Error::bug("a scan panicked")));
            joined.collect::<Result<Vec<S>>>()
        })?;
        match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some((_, e)) => Err(e),
            None => {
                made.insert(0, own);
                Ok(made)
            }
        }
    }
}

/// Of several errors that of the first part is told.
fn keep_first(failed: &Mutex<Option<(usize, Error)>>, part: usize, e: Error) {
    let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
    if failed.as_ref().is_none_or(|(first, _)| part < *first) {
        *failed = Some((part, e));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(crew: &Crew, parts: usize, alone: usize) -> usize {
        let add = |sum: &mut usize, part: usize| {
            *sum += part;
            Ok(Flow::Continue(()))
        };
        crew.work(parts, alone, &|| 0, &add).unwrap().into_iter().sum()
    }

    #[test]
    fn every_part_is_worked_on_once() {
        for threads in 1..5 {
            let crew = Crew::new(Some(threads));
            for parts in [0, 1, 2, 7, 100] {
                for alone in [0, 1, 3] {
                    assert_eq!(sum(&crew, parts, alone), parts * parts.saturating_sub(1) / 2);
                }
            }
            assert_eq!(crew.free.load(Ordering::Relaxed), threads - 1);
        }
        assert!(Crew::new(None).free.load(Ordering::Relaxed) < 1_000);
    }

    #[test]
    fn threads_are_shared_by_all() {
        let crew = Crew::new(Some(3));
        let first = crew.take(1);
        let second = crew.take(9);
        assert_eq!((first.n, second.n, crew.take(1).n), (1, 1, 0));
        drop(second);
        assert_eq!(crew.take(9).n, 1);
    }

    #[test]
    fn a_part_of_a_crew_has_no_more_than_is_free() {
        let crew = Crew::new(Some(4));
        let (few, many) = (crew.at_most(2), crew.at_most(9));
        let one = few.take(9);
        assert_eq!((one.n, few.take(9).n), (1, 0));
        let others = many.take(9);
        assert_eq!((others.n, crew.take(9).n), (2, 0));
        drop((one, others));
        assert_eq!((many.take(9).n, crew.at_most(1).take(9).n), (3, 0));
    }

    #[test]
    fn an_error_or_enough_ends_the_work() {
        let crew = Crew::new(Some(4));
        let done = AtomicUsize::new(0);
        let fails = |_: &mut (), part: usize| {
            done.fetch_add(1, Ordering::Relaxed);
            if part == 5 { Err(Error::invalid("five")) } else { Ok(Flow::Continue(())) }
        };
        let e = crew.work(1_000_000, 1, &|| (), &fails).unwrap_err();
        assert_eq!(e.to_string(), "five");
        assert!(done.load(Ordering::Relaxed) < 1_000_000);
        let stops = |last: &mut usize, part: usize| {
            *last = part;
            Ok(if part == 2 { Flow::Break(()) } else { Flow::Continue(()) })
        };
        assert_eq!(crew.work(1_000_000, 9, &|| 0, &stops).unwrap(), [2]);
        assert_eq!(crew.free.load(Ordering::Relaxed), 3);
    }
}
