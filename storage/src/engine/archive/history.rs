//! What each seal said of effects, until it is in a manifest: so that one can be written as of an earlier moment.
//!
//! Invariants
//! * [`History::as_of`] gives for each key a value that it had at the moment, or an older one; never a newer.
//! * Bytes are bounded: of two old moments one is given up, and what was longest ago is forgotten where that is not enough.
use crate::catalog::EffectRow;
use crate::limits::MIB;
use crate::segment::SealedEffects;
use std::collections::{BTreeMap, VecDeque};

/// Bytes of keys and values.
const BYTES_MAX: usize = 16 * MIB;

/// Effects by key; nothing where one was taken away.
type Changed = BTreeMap<Vec<u8>, Option<EffectRow>>;
/// Effects by key.
pub(super) type Effects = BTreeMap<Vec<u8>, EffectRow>;

/// What seals said, the oldest first.
#[derive(Default)]
pub(super) struct History {
    seals: VecDeque<(u64, Changed, usize)>,
    bytes: usize,
}

fn bytes_of(changed: &Changed) -> usize {
    changed.iter().map(|(key, row)| key.len() + row.as_ref().map_or(0, |row| row.value.len()) + 128).sum()
}

impl History {
    /// Notes what became sealed with all records below `end_seq`.
    pub(super) fn note(&mut self, end_seq: u64, sealed: &SealedEffects) {
        let row = |effect: &crate::segment::SealedEffect| {
            let (seq, expires, shadows) = (effect.seq, effect.expires, effect.shadows);
            effect.value.clone().map(|value| EffectRow { value, seq, expires, shadows })
        };
        let changed: Changed = sealed.iter().map(|(key, effect)| (key.clone(), row(effect))).collect();
        self.push(end_seq, changed);
        while self.bytes > BYTES_MAX {
            let Some((_, mut first, was)) = self.seals.pop_front() else { break };
            self.bytes -= was;
            if let Some((end, second, was)) = self.seals.pop_front() {
                self.bytes -= was;
                first.extend(second);
                let bytes = bytes_of(&first);
                if bytes <= BYTES_MAX / 2 {
                    self.bytes += bytes;
                    self.seals.push_front((end, first, bytes));
                }
            }
        }
    }

    fn push(&mut self, end_seq: u64, changed: Changed) {
        let bytes = bytes_of(&changed);
        self.bytes += bytes;
        self.seals.push_back((end_seq, changed, bytes));
    }

    /// The last moment up to `seq` between two seals that is known here.
    pub(super) fn last_end(&self, seq: u64) -> Option<u64> {
        self.seals.iter().rev().map(|(end, ..)| *end).find(|end| *end <= seq)
    }

    /// The effects at a moment between two seals: from those at an earlier one, what is known of the time between, and what
    /// there is now.
    pub(super) fn as_of(&self, cut: u64, earlier: Effects, now: impl Iterator<Item = (Vec<u8>, EffectRow)>) -> Effects {
        let mut effects = earlier;
        for (_, changed, _) in self.seals.iter().take_while(|(end, ..)| *end <= cut) {
            for (key, row) in changed {
                match row {
                    Some(row) => drop(effects.insert(key.clone(), row.clone())),
                    None => drop(effects.remove(key)),
                }
            }
        }
        effects.extend(now.filter(|(_, row)| row.seq < cut));
        effects
    }

    /// Forgets what is in every manifest.
    pub(super) fn forget(&mut self, cut: u64) {
        while self.seals.front().is_some_and(|(end, ..)| *end <= cut) {
            self.bytes -= self.seals.pop_front().map_or(0, |(_, _, bytes)| bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::SealedEffect;

    fn sealed(seq: u64, of: &[(&str, Option<&str>)]) -> SealedEffects {
        let effect = |value: Option<&str>| SealedEffect {
            value: value.map(|value| value.as_bytes().to_vec()),
            seq,
            origin: 1,
            expires: None,
            shadows: false,
        };
        of.iter().map(|(key, value)| (key.as_bytes().to_vec(), effect(*value))).collect()
    }

    fn row(seq: u64, value: &str) -> EffectRow {
        EffectRow { value: value.into(), seq, expires: None, shadows: false }
    }

    fn shown(effects: &Effects) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        effects.iter().map(|(key, row)| (text(key), text(&row.value))).collect()
    }

    #[test]
    fn effects_are_as_they_were_at_the_moment_or_older() {
        let mut history = History::default();
        history.note(10, &sealed(5, &[("a", Some("5")), ("b", Some("5"))]));
        history.note(20, &sealed(15, &[("a", Some("15")), ("b", None), ("c", Some("15"))]));
        let now = || [(b"a".to_vec(), row(25, "25")), (b"c".to_vec(), row(15, "15")), (b"d".to_vec(), row(7, "7"))];
        let pairs = |of: &[(&str, &str)]| of.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect::<Vec<_>>();
        assert_eq!((history.last_end(9), history.last_end(19), history.last_end(99)), (None, Some(10), Some(20)));
        let at = |cut| shown(&history.as_of(cut, Effects::new(), now().into_iter()));
        assert_eq!(at(10), pairs(&[("a", "5"), ("b", "5"), ("d", "7")]));
        assert_eq!(at(20), pairs(&[("a", "15"), ("c", "15"), ("d", "7")]));
        // After a start nothing is known of the time between: what was before it stays, and never what came after.
        let earlier = Effects::from([(b"a".to_vec(), row(3, "3"))]);
        assert_eq!(
            shown(&History::default().as_of(20, earlier, now().into_iter())),
            pairs(&[("a", "3"), ("c", "15"), ("d", "7")])
        );
        history.forget(10);
        assert_eq!(history.last_end(19), None);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut history = History::default();
        let value = "x".repeat(1 << 20);
        for n in 0..100u64 {
            history.note(n, &sealed(n, &[(&format!("key {}", n % 40), Some(&value))]));
            assert!(history.bytes <= BYTES_MAX, "{n}");
            assert_eq!(history.bytes, history.seals.iter().map(|(_, changed, _)| bytes_of(changed)).sum::<usize>());
        }
        assert_eq!(history.last_end(99), Some(99));
    }
}
