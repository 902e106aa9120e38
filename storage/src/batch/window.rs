//! Which texts are worth a shape: judged by how many of the latest brought shapes that were never seen before.
//!
//! Each field of a stream is judged for itself. Before that has happened once, the field's window over all streams stands
//! for it: of hundreds of streams each would otherwise bring thousands of shapes that nobody sees again.
//!
//! Invariants
//! * What is kept whole is still split now and then, so that a judgement can change.
use rustc_hash::FxBuildHasher;
use std::hash::BuildHasher;

/// Values after which a stream's share of new shapes is judged.
pub(super) const STREAM_VALUES: u32 = 4_096;
/// Values after which that of a field is, over all streams: many streams may begin at once, each with all its shapes.
pub(super) const FIELD_VALUES: u32 = 65_536;
/// While texts are kept whole, one in this many is still split, to see whether that is still right.
const PROBE_EVERY: u32 = 16;
const SIGHTINGS_LOG2: u32 = 12;

/// How many of the latest texts had a shape that was never seen before.
#[derive(Clone, Copy, Default)]
pub(super) struct Window {
    values: u32,
    fresh: u32,
    skipped: u32,
    is_whole: bool,
    is_judged: bool,
}

impl Window {
    /// Whether texts of this stream are kept whole, by its own judgement or that of its field.
    pub(super) fn is_whole(&self, field: &Self) -> bool {
        if self.is_judged { self.is_whole } else { field.is_whole }
    }

    /// Whether the next text is split all the same.
    pub(super) fn probes(&mut self) -> bool {
        self.skipped += 1;
        self.skipped.is_multiple_of(PROBE_EVERY)
    }

    /// Notes a text that was split, one of many where it was a probe.
    pub(super) fn count(&mut self, fresh: bool, is_probe: bool, values_max: u32) {
        self.values += 1;
        self.fresh += u32::from(fresh);
        let full = if is_probe || self.is_whole { values_max / PROBE_EVERY } else { values_max };
        if self.values >= full {
            self.is_whole = self.fresh * 4 > self.values;
            self.is_judged = true;
            self.values = 0;
            self.fresh = 0;
        }
    }
}

/// Long shapes that were seen once: what is seen only once is not worth an entry of every table on its way.
pub(super) struct Sightings(Box<[u32]>);

impl Default for Sightings {
    fn default() -> Self {
        Self(vec![0; 1 << SIGHTINGS_LOG2].into())
    }
}

impl Sightings {
    /// Whether a shape was seen lately, now noted as seen.
    pub(super) fn has_seen(&mut self, key: &[u8]) -> bool {
        let hash = FxBuildHasher.hash_one(key);
        let Some(seen) = self.0.get_mut((hash >> (64 - SIGHTINGS_LOG2)) as usize) else { return false };
        std::mem::replace(seen, hash as u32) == hash as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_follows_its_field_until_it_is_judged() {
        let (mut field, mut own) = (Window::default(), Window::default());
        (0..FIELD_VALUES).for_each(|n| field.count(n % 3 == 0, false, FIELD_VALUES));
        assert!(own.is_whole(&field));
        assert_eq!((0..160).filter(|_| own.probes()).count(), 10);
        // Its probes show that it is not like the others.
        (0..STREAM_VALUES / PROBE_EVERY).for_each(|_| own.count(false, true, STREAM_VALUES));
        assert!(!own.is_whole(&field));
        (0..STREAM_VALUES).for_each(|_| own.count(true, false, STREAM_VALUES));
        assert!(own.is_whole(&Window::default()));
    }

    #[test]
    fn the_second_sight_of_a_shape_is_noticed() {
        let mut sightings = Sightings::default();
        assert!(!sightings.has_seen(b"a"));
        assert!(!sightings.has_seen(b"b"));
        assert!(sightings.has_seen(b"a") && sightings.has_seen(b"a"));
    }
}
