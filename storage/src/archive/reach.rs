//! Which targets did not answer lately, and which segments they did not have: so that nobody waits for them again at once.
//!
//! Invariant: what is said of a target or a segment holds for [`LATELY`]; then it is asked again.
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long it is believed that something cannot be had.
const LATELY: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Inner {
    targets: BTreeMap<String, Duration>,
    segments: BTreeMap<u64, Duration>,
    why: String,
}

/// What could not be had.
#[derive(Default)]
pub(crate) struct Reach(Mutex<Inner>);

impl Reach {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A target did not answer.
    pub(super) fn missed(&self, place: String, why: String, now: Duration) {
        let mut inner = self.inner();
        inner.targets.insert(place, now + LATELY);
        inner.why = why;
    }

    /// No target had a segment.
    pub(super) fn lacked(&self, segment: u64, why: String, now: Duration) {
        let mut inner = self.inner();
        inner.segments.insert(segment, now + LATELY);
        inner.why = why;
    }

    /// A target answered, and had a segment.
    pub(super) fn answered(&self, place: &str, segment: u64) {
        let mut inner = self.inner();
        if inner.targets.is_empty() && inner.segments.is_empty() {
            return;
        }
        inner.targets.remove(place);
        inner.segments.remove(&segment);
    }

    /// Whether a target did not answer lately.
    pub(crate) fn is_missed(&self, place: &str, now: Duration) -> bool {
        self.inner().targets.get(place).is_some_and(|until| now < *until)
    }

    /// Whether no target had a segment lately.
    pub(crate) fn is_lacked(&self, segment: u64, now: Duration) -> bool {
        self.inner().segments.get(&segment).is_some_and(|until| now < *until)
    }

    /// What was said last of something that cannot be had at the moment; nothing where everything can.
    pub(crate) fn why(&self, now: Duration) -> Option<String> {
        let mut inner = self.inner();
        inner.targets.retain(|_, until| now < *until);
        inner.segments.retain(|_, until| now < *until);
        (!inner.targets.is_empty() || !inner.segments.is_empty()).then(|| inner.why.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_had_is_asked_for_again_after_a_while() {
        let (reach, at) = (Reach::default(), Duration::from_secs(100));
        assert_eq!(reach.why(at), None);
        reach.missed("a".into(), "down".into(), at);
        reach.lacked(7, "gone".into(), at);
        assert!(reach.is_missed("a", at) && !reach.is_missed("b", at) && reach.is_lacked(7, at));
        assert_eq!(reach.why(at).as_deref(), Some("gone"));
        assert!(!reach.is_missed("a", at + LATELY) && !reach.is_lacked(7, at + LATELY));
        reach.answered("a", 7);
        assert_eq!(reach.why(at), None);
        reach.missed("a".into(), "down".into(), at);
        assert_eq!(reach.why(at + LATELY), None);
    }
}
