//! Rows by their ids: where one may lie follows from its number and its time, and its row from the column of numbers.
//!
//! Invariants
//! * A row passes where its own id is one of those that are asked for, all of it.
use super::part::Part;
use super::rows::RowSet;
use crate::error::Result;
use crate::hot::HotBatch;
use crate::record::RecordId;
use crate::segment::BlockMeta;
use rustc_hash::FxHashSet;

/// Whether a batch may have the row of an id.
pub(super) fn batch_may_have(batch: &HotBatch, id: RecordId) -> bool {
    let own = batch.first_seq..batch.first_seq + batch.batch.rows() as u64;
    batch.epoch == id.epoch() && own.contains(&id.seq())
}

/// Whether a block may.
pub(super) fn block_may_have(block: &BlockMeta, id: RecordId) -> bool {
    let millis = |time: i64| RecordId::new(time, block.epoch, 0).millis();
    block.epoch == id.epoch()
        && (block.first_seq..=block.last_seq).contains(&id.seq())
        && (millis(block.time_min)..=millis(block.time_max)).contains(&id.millis())
}

/// The rows of a part that have one of these ids.
pub(super) fn rows_of(part: &Part<'_>, ids: &[RecordId]) -> Result<RowSet> {
    let may_have = |id: &&RecordId| match part {
        Part::Hot(hot) => batch_may_have(hot.batch, **id),
        Part::Sealed(sealed) => {
            let block = sealed.segment.footer.blocks.get(sealed.index);
            block.is_some_and(|block| block_may_have(block, **id))
        }
    };
    let wanted: FxHashSet<RecordId> = ids.iter().filter(may_have).copied().collect();
    let mut rows = Vec::with_capacity(wanted.len());
    for id in &wanted {
        rows.extend(part.row_of(id.seq())?);
    }
    rows.sort_unstable();
    let (times, seqs) = (part.few_times(&rows)?, part.few_seqs(&rows)?);
    let own_ids = times.into_iter().zip(seqs).map(|(time, seq)| RecordId::new(time, part.epoch(), seq));
    let kept: Vec<usize> =
        rows.iter().zip(own_ids).filter(|(_, id)| wanted.contains(id)).map(|(row, _)| *row).collect();
    Ok(RowSet::of(part.rows(), &kept))
}
