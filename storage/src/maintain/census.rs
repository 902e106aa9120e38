//! What was found out about segments, which never change: whose rows they have, and which deletions are done with them.
//!
//! Invariants
//! * What is known of a segment is forgotten with it.
use super::with_block;
use crate::catalog::SegmentServices;
use crate::engine::{LiveSegment, locked};
use crate::error::Result;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// Rows of each service in a segment.
pub(crate) type Counts = Arc<BTreeMap<String, u64>>;

/// What was found out about segments, which never change.
#[derive(Default)]
pub(crate) struct Census {
    counts: Mutex<BTreeMap<u64, Counts>>,
    /// Deletions and segments that have none of their rows.
    clear: Mutex<BTreeSet<(u64, u64)>>,
}

impl Census {
    pub(super) fn is_clear(&self, deletion: u64, segment: u64) -> bool {
        locked(&self.clear).contains(&(deletion, segment))
    }

    pub(super) fn set_clear(&self, deletion: u64, segment: u64) {
        locked(&self.clear).insert((deletion, segment));
    }

    pub(super) fn forget_deletion(&self, deletion: u64) {
        locked(&self.clear).retain(|(of, _)| *of != deletion);
    }

    pub(super) fn forget_segment(&self, segment: u64) {
        locked(&self.clear).retain(|(_, of)| *of != segment);
        locked(&self.counts).remove(&segment);
    }

    /// Rows of each service in a segment: from the catalog, or counted once where it does not say.
    pub(super) fn counts(&self, live: &LiveSegment) -> Result<Counts> {
        if let SegmentServices::Counted(counts) = &live.record.services {
            return Ok(Arc::new(counts.iter().map(|count| (count.name.clone(), count.rows)).collect()));
        }
        if let Some(counts) = locked(&self.counts).get(&live.record.id) {
            return Ok(Arc::clone(counts));
        }
        let counts = Arc::new(count(live)?);
        locked(&self.counts).insert(live.record.id, Arc::clone(&counts));
        Ok(counts)
    }
}

fn count(live: &LiveSegment) -> Result<BTreeMap<String, u64>> {
    let segment = &live.segment;
    let mut counts = BTreeMap::new();
    for index in 0..segment.block_count() {
        with_block(segment, index, |part| {
            for (stream, rows) in part.stream_rows() {
                *counts.entry(part.service(*stream).to_string()).or_default() += u64::from(*rows);
            }
            Ok(())
        })?;
    }
    Ok(counts)
}
