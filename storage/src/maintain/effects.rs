//! Effects in footers, so that a lost catalog can be made again: which ones a seal, a merge and retention write there.
//!
//! The catalog has the last sealed value of each key. Footers have what was sealed with them, until a merge, where the newest
//! of a key stays. What is over, or was superseded by one that is sealed too, is left out then, unless an older one would
//! count again. Segments that go for their rows' sake leave what is still needed in a segment without rows.
//!
//! Invariants
//! * The last sealed value of each key that is not over is in the footer of a live segment.
//! * What is over goes by believed time, as rows do.
use super::rewrite::NewFile;
use super::seal::{Lineage, Sealed};
use crate::catalog::{Change, EffectRow};
use crate::engine::{LiveSegment, Shared, locked, may_be_sound};
use crate::error::Result;
use crate::hot::Generation;
use crate::segment::{SealedEffect, SealedEffects, unite};

#[cfg(test)]
mod tests;

/// Effects that are forgotten in one commit.
const FORGET_AT_ONCE: usize = 10_000;

/// Whether a segment has no rows and is there for its effects alone.
pub(super) fn is_bare(live: &LiveSegment) -> bool {
    live.segment.block_count() == 0
}

impl Shared {
    /// The last effect of each key of a generation.
    pub(super) fn effects_of(&self, generation: &Generation) -> SealedEffects {
        let (mut sealed, known) = (SealedEffects::new(), locked(&self.effects));
        for (seq, effect) in generation.effects() {
            let shadows = effect.value.is_none() || known.get(&effect.key).is_none_or(|row| row.shadows);
            let (value, expires) = (effect.value, effect.expires);
            unite(&mut sealed, effect.key, SealedEffect { value, seq, origin: 0, expires, shadows });
        }
        sealed
    }

    /// The effects of segments that are about to go, as far as they are still needed.
    pub(super) fn needed_effects(&self, group: &[LiveSegment]) -> SealedEffects {
        let sealed_seq = locked(&self.meta).sealed_seq;
        let mut needed = SealedEffects::new();
        for live in group {
            let effects = live.segment.effects().unwrap_or_else(|e| {
                self.trouble(format!("the catalog is asked for effects: {e}"));
                self.sealed_effects(sealed_seq, live.record.id)
            });
            effects.into_iter().for_each(|(key, effect)| unite(&mut needed, key, effect));
        }
        if needed.is_empty() {
            return needed;
        }
        let now = self.delete_by();
        let is_of_group = |live: &LiveSegment| group.iter().any(|of_group| of_group.record.id == live.record.id);
        let others: Vec<u64> = self
            .live_segments()
            .iter()
            .filter(|live| !is_of_group(live))
            .filter_map(|live| live.segment.footer.effects_from)
            .collect();
        // What a segment has that cannot be read is anybody's guess.
        let oldest = if self.unread.is_empty() { others.into_iter().min() } else { Some(0) };
        let known = locked(&self.effects);
        needed.retain(|key, effect| {
            let is_superseded = known.get(key).is_some_and(|row| row.seq > effect.seq && row.seq < sealed_seq);
            let is_over = effect.value.is_none() || effect.expires.is_some_and(|at| at <= now);
            let is_shadowing = effect.shadows && oldest.is_some_and(|oldest| oldest <= effect.seq);
            is_shadowing || !is_over && !is_superseded
        });
        needed
    }

    /// All that the catalog has, as if a segment had it.
    fn sealed_effects(&self, sealed_seq: u64, origin: u64) -> SealedEffects {
        let known = locked(&self.effects);
        let sealed = known.iter().filter(|(_, row)| row.seq < sealed_seq);
        let effect = |(key, row): (&Vec<u8>, &EffectRow)| {
            let EffectRow { value, seq, expires, .. } = row.clone();
            (key.clone(), SealedEffect { value: Some(value), seq, origin, expires, shadows: true })
        };
        sealed.map(effect).collect()
    }

    /// Writes what is still needed of segments that are about to go, if anything is. Where it cannot be written they go all
    /// the same: the catalog has it.
    pub(super) fn carry_effects(&self, gone: &[LiveSegment]) -> Vec<Sealed> {
        let effects = self.needed_effects(gone);
        if effects.is_empty() {
            return Vec::new();
        }
        let bare = [NewFile::bare(self.env.now())];
        let written = self.drafting(|place| self.write_files(place, &bare, effects, &Lineage::of(gone), &|_| Ok(())));
        written.unwrap_or_else(|e| {
            self.trouble(format!("effects of segments that went are in the catalog alone: {e}"));
            Vec::new()
        })
    }

    /// Forgets effects that are over.
    pub(super) fn forget_effects(&self, now: i64) -> Result<()> {
        let sealed_seq = locked(&self.meta).sealed_seq;
        // What is not sealed is in the log, and would be there again after a start.
        let is_gone = |row: &EffectRow| row.is_over(now) && row.seq < sealed_seq;
        let keys: Vec<Vec<u8>> =
            locked(&self.effects).iter().filter(|(_, row)| is_gone(row)).map(|(key, _)| key.clone()).collect();
        for keys in keys.chunks(FORGET_AT_ONCE) {
            let mut change = Change::new();
            for key in keys {
                change.remove_effect(key);
            }
            // Where it is in doubt, they are gone or go the next time.
            self.commit_catalog(&change, &Change::new())?;
            let mut effects = locked(&self.effects);
            for key in keys {
                if effects.get(key).is_some_and(is_gone) {
                    effects.remove(key);
                }
            }
        }
        Ok(())
    }
}

/// What footers say of effects: the last value of each key that has one; and the segments whose effects cannot be read at
/// the moment. Of those that are damaged nothing is left.
pub(crate) fn effects_of_footers<'a>(
    segments: impl Iterator<Item = &'a LiveSegment>,
    troubles: &mut Vec<String>,
) -> (SealedEffects, Vec<u64>) {
    let (mut found, mut unread) = (SealedEffects::new(), Vec::new());
    for live in segments {
        let read = match live.segment.effects() {
            // What fails once and not again is nothing to go by.
            Err(e) if may_be_sound(&e) => live.segment.effects(),
            read => read,
        };
        match read {
            Ok(effects) => effects.into_iter().for_each(|(key, effect)| unite(&mut found, key, effect)),
            Err(e) if may_be_sound(&e) => {
                troubles.push(format!("the catalog has lost effects, and some may be in what cannot be read: {e}"));
                unread.push(live.record.id);
            }
            Err(e) => troubles.push(format!("effects may be lost: {e}")),
        }
    }
    (found, unread)
}
