//! When a segment is copied, and when its file leaves this disk: pure policy.
//!
//! Invariants
//! * What is decided here depends on nothing but what it is given.
use crate::archive::Target;
use std::time::Duration;

/// A segment that is not in a target.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Waiting {
    /// How long ago it was sealed.
    pub(super) age: Duration,
    /// Whether it took the place of others, some of whose rows the target has.
    pub(super) took_a_place: bool,
    /// Whether somebody waits until it is there.
    pub(super) is_wanted: bool,
}

/// What holds for all segments at the moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pressure {
    /// Bytes of segments that are not in the target.
    pub(super) waiting_bytes: u64,
    /// Whether the disk is filled to its mark.
    pub(super) disk_is_full: bool,
}

/// Whether a segment is copied now.
pub(super) fn is_due(target: &Target, waiting: Waiting, pressure: Pressure) -> bool {
    let is_bounded = target.max_loss.is_some();
    waiting.is_wanted
        || waiting.took_a_place
        || is_bounded
        || pressure.disk_is_full
        || pressure.waiting_bytes >= target.offload_bytes
        || waiting.age >= target.offload_after
}

/// How old rows may become before they are sealed, so that they are in the target in time: half of what may be lost is for
/// copying them.
pub(super) fn seal_within(targets: &[Target]) -> Option<Duration> {
    targets.iter().filter_map(|target| target.max_loss).min().map(|loss| loss / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::sim::SimBucket;
    use std::sync::Arc;

    #[test]
    fn a_segment_is_copied_when_it_is_old_or_cannot_wait() {
        let target =
            Target { offload_after: Duration::from_secs(600), ..Target::new("main", Arc::new(SimBucket::new())) };
        let young = Waiting { age: Duration::from_secs(599), ..Waiting::default() };
        assert!(!is_due(&target, young, Pressure::default()));
        assert!(is_due(&target, Waiting { age: Duration::from_secs(600), ..young }, Pressure::default()));
        assert!(is_due(&target, Waiting { took_a_place: true, ..young }, Pressure::default()));
        assert!(is_due(&target, Waiting { is_wanted: true, ..young }, Pressure::default()));
        assert!(is_due(&target, young, Pressure { disk_is_full: true, ..Pressure::default() }));
        assert!(is_due(&target, young, Pressure { waiting_bytes: target.offload_bytes, ..Pressure::default() }));
        let bounded = Target { max_loss: Some(Duration::from_secs(60)), ..target.clone() };
        assert!(is_due(&bounded, young, Pressure::default()));
        assert_eq!(seal_within(&[target, bounded]), Some(Duration::from_secs(30)));
    }
}
