//! Searches that may leave out what cannot be fetched from the archive: which segments they look at, and how often they begin again.
//!
//! A target that did not answer lately is not waited for: its segments are left out before a search begins, so that an answer that
//! is given row by row can say so in its head. Where a target fails in the middle, the search begins again without it, unless rows of
//! it were given already.
//!
//! Invariants
//! * Where nothing may be left out, everything is looked at, and a failure is the answer.
//! * A search begins at most [`ATTEMPTS`] times, the last time without every segment that is away.
use super::{Engine, Shared};
use crate::error::{ErrorKind, Result};
use crate::memory::Memory;
use crate::scan::{Control, Snapshot};
use crate::segment::{Budget, Counters, Partial};

/// How often a search begins at most.
const ATTEMPTS: u32 = 4;

impl Engine {
    /// Runs a search over everything, or where that is allowed over what can be had. `may_begin_again` says whether nothing of its
    /// answer was given away.
    pub(super) fn attempt<T>(
        &self,
        control: &Control,
        memory: &Memory,
        may_begin_again: impl Fn() -> bool,
        mut run: impl FnMut(Snapshot, &Counters) -> Result<T>,
    ) -> (Result<T>, Counters) {
        let mut attempt = 1;
        loop {
            let counters = Counters::new(Budget::new(control.cancel.clone(), memory.clone()));
            let counters = counters.leaving_out(control.partial.clone());
            let ran = run(self.shared.snapshot_of(&control.partial, attempt), &counters);
            let failed = ran.as_ref().err().filter(|e| e.kind() == ErrorKind::Unavailable);
            match failed {
                Some(e) if control.partial.is_allowed() && attempt < ATTEMPTS && may_begin_again() => {
                    control.partial.because(e.to_string());
                    attempt += 1;
                }
                _ => return (ran, counters),
            }
        }
    }
}

impl Shared {
    /// What there is to search at this moment, in a search's so manieth attempt.
    fn snapshot_of(&self, partial: &Partial, attempt: u32) -> Snapshot {
        let mut snapshot = self.snapshot();
        partial.begin();
        let archive = &self.archive;
        let why = archive.unreached();
        if !partial.is_allowed() || (why.is_none() && attempt < ATTEMPTS) {
            return snapshot;
        }
        let is_left_out = |id| if attempt < ATTEMPTS { archive.is_unreached(id) } else { archive.is_away(id) };
        let (left_out, searched) = snapshot.segments.into_iter().partition(|segment| is_left_out(segment.footer.id));
        (snapshot.left_out, snapshot.segments) = (left_out, searched);
        why.into_iter().for_each(|why| partial.because(why));
        snapshot
    }
}
