//! Which targets did not answer lately, and which segments they did not have: so that nobody waits for them again at once.
//!
//! Invariant: what is said of a target or a segment holds for [`LATELY`], of damage for [`DAMAGED`]; then it is asked again.
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long it is believed that something cannot be had.
const LATELY: Duration = Duration::from_secs(10);
/// And that something is damaged.
const DAMAGED: Duration = Duration::from_secs(600);

#[derive(Default)]
struct Inner {
    targets: BTreeMap<String, Duration>,
    segments: BTreeMap<u64, Duration>,
    damaged: BTreeMap<u64, Duration>,
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
    pub(crate) fn missed(&self, place: String, why: String, now: Duration) {
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

    /// What every target had of a segment was damaged: it will be so again, and is not asked for so soon.
    pub(super) fn damaged(&self, segment: u64, why: String, now: Duration) {
        let mut inner = self.inner();
        inner.damaged.insert(segment, now + DAMAGED);
        inner.why = why;
    }

    /// Whether none of some targets is worth asking, since each failed a moment ago. Gives why.
    pub(super) fn just_missed<'p>(&self, places: impl IntoIterator<Item = &'p str>, now: Duration) -> Option<String> {
        let inner = self.inner();
        let is_fresh = |place: &str| inner.targets.get(place).is_some_and(|until| *until > now + LATELY / 2);
        let mut places = places.into_iter().peekable();
        (places.peek().is_some() && places.all(is_fresh)).then(|| inner.why.clone())
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
        let inner = self.inner();
        [&inner.segments, &inner.damaged].iter().any(|all| all.get(&segment).is_some_and(|until| now < *until))
    }

    /// What was said last of something that cannot be had at the moment; nothing where everything can.
    pub(crate) fn why(&self, now: Duration) -> Option<String> {
        let mut inner = self.inner();
        inner.targets.retain(|_, until| now < *until);
        inner.segments.retain(|_, until| now < *until);
        inner.damaged.retain(|_, until| now < *until);
        let all = [inner.targets.len(), inner.segments.len(), inner.damaged.len()];
        all.iter().any(|count| *count > 0).then(|| inner.why.clone())
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
        assert_eq!(reach.just_missed(["a"], at).as_deref(), Some("down"));
        assert_eq!((reach.just_missed(["a", "b"], at), reach.just_missed(["a"], at + LATELY / 2)), (None, None));
        assert_eq!(reach.just_missed([], at), None);
        assert_eq!(reach.why(at + LATELY), None);
        // What is damaged is not sound again because another part of it is.
        reach.damaged(7, "damaged".into(), at);
        reach.answered("a", 7);
        assert!(reach.is_lacked(7, at + LATELY) && !reach.is_lacked(7, at + DAMAGED));
        assert_eq!((reach.why(at).as_deref(), reach.why(at + DAMAGED)), (Some("damaged"), None));
    }
}
