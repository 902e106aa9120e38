//! Whether an answer may leave out segments whose blocks cannot be fetched, and which it did leave out.
//!
//! Invariants
//! * Nothing is left out where that was not allowed: what cannot be fetched then ends the search with an error.
//! * Only segments count as left out that may have rows which are asked for, as far as times and services say it.
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Debug, Default)]
struct Inner {
    segments: BTreeSet<u64>,
    why: Option<String>,
}

/// Whether something may be left out of an answer, and what was. Clones are one and the same.
#[derive(Clone, Debug, Default)]
pub struct Partial(Option<Arc<Mutex<Inner>>>);

impl Partial {
    /// What cannot be fetched may be left out. By default it may not.
    pub fn allowed() -> Self {
        Self(Some(Arc::default()))
    }

    /// Whether it may.
    pub fn is_allowed(&self) -> bool {
        self.0.is_some()
    }

    /// What was left out, in words; nothing where the answer is whole.
    pub fn note(&self) -> Option<String> {
        let inner = self.0.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        let (segments, why) =
            (inner.segments.len(), inner.why.as_deref().unwrap_or("the archive did not answer lately"));
        (segments > 0).then(|| {
            let s = if segments == 1 { "" } else { "s" };
            format!("without {segments} segment{s} that could not be fetched from the archive: {why}")
        })
    }

    /// Says why something is left out.
    pub(crate) fn because(&self, why: String) {
        if let Some(inner) = &self.0 {
            inner.lock().unwrap_or_else(PoisonError::into_inner).why = Some(why);
        }
    }

    /// A search begins, or begins again: nothing is left out of it yet.
    pub(crate) fn begin(&self) {
        if let Some(inner) = &self.0 {
            inner.lock().unwrap_or_else(PoisonError::into_inner).segments.clear();
        }
    }

    /// A segment is left out that may have what is asked for.
    pub(crate) fn leave_out(&self, segment: u64) {
        if let Some(inner) = &self.0 {
            inner.lock().unwrap_or_else(PoisonError::into_inner).segments.insert(segment);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_out_is_told_once_each() {
        let whole = Partial::default();
        whole.leave_out(1);
        assert!(!whole.is_allowed() && whole.note().is_none());
        let partial = Partial::allowed();
        assert_eq!(partial.note(), None);
        partial.because("down".into());
        assert_eq!(partial.note(), None);
        for segment in [7, 9, 7] {
            partial.clone().leave_out(segment);
        }
        assert_eq!(partial.note().unwrap(), "without 2 segments that could not be fetched from the archive: down");
        partial.begin();
        assert_eq!(partial.note(), None);
    }
}
