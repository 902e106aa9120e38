//! Rows by their sequence numbers, and how rows lie over hours and numbers: what goes on where somebody ended.
//!
//! Invariants
//! * A row passes where its epoch is the one that is asked for and its number is within the bounds, and no other does.
//! * Numbers become visible in their order: where all rows up to one were seen, none of that epoch comes later below it.
use super::columns::View;
use super::part::Part;
use super::rows::RowSet;
use crate::error::Result;
use crate::hot::HotBatch;
use crate::segment::BlockMeta;
use std::collections::BTreeMap;

/// Nanoseconds of an hour.
const HOUR: i64 = 3_600_000_000_000;

/// Some of the sequence numbers of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// The epoch.
    pub epoch: u32,
    /// The first of them.
    pub first: u64,
    /// The last of them.
    pub last: u64,
}

/// Rows of one service and one hour that lie together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spread {
    /// The service.
    pub service: String,
    /// Whole hours since 1970 of their event times.
    pub hour: i64,
    /// How many there are.
    pub rows: u64,
    /// Between which numbers they are.
    pub numbers: Numbers,
}

impl Numbers {
    fn meets(self, epoch: u32, first: u64, last: u64) -> bool {
        self.epoch == epoch && self.first <= last && first <= self.last
    }

    fn has(self, seq: u64) -> bool {
        (self.first..=self.last).contains(&seq)
    }

    /// Whether a batch may have some of them.
    pub(super) fn may_be_in_batch(self, batch: &HotBatch) -> bool {
        let rows = batch.batch.rows() as u64;
        rows > 0 && self.meets(batch.epoch, batch.first_seq, batch.first_seq + rows - 1)
    }

    /// Whether a block may.
    pub(super) fn may_be_in_block(self, block: &BlockMeta) -> bool {
        self.meets(block.epoch, block.first_seq, block.last_seq)
    }

    /// The rows of a part that have them.
    pub(super) fn rows_of(self, part: &Part<'_>) -> Result<RowSet> {
        if part.epoch() != self.epoch {
            return Ok(RowSet::none(part.rows()));
        }
        if let Part::Sealed(sealed) = part
            && let Some(block) = sealed.segment.footer.blocks.get(sealed.index)
        {
            if self.has(block.first_seq) && self.has(block.last_seq) {
                return Ok(RowSet::all(part.rows()));
            }
            if !self.may_be_in_block(block) {
                return Ok(RowSet::none(part.rows()));
            }
        }
        let seqs = part.seqs()?;
        Ok(RowSet::where_true(part.rows(), |row| seqs.get(row).is_some_and(|seq| self.has(*seq))))
    }
}

/// How the rows of a view lie over services and hours, added to what is known.
pub(crate) fn spread(view: &View<'_>, known: &mut Vec<Spread>) -> Result<()> {
    let (times, seqs, streams) = (view.times()?, view.seqs()?, view.streams()?);
    let mut found: BTreeMap<(u32, i64), (u64, u64, u64)> = BTreeMap::new();
    for ((time, seq), stream) in times.into_iter().zip(seqs).zip(streams) {
        let (rows, first, last) = found.entry((stream, time.div_euclid(HOUR))).or_insert((0, seq, seq));
        (*rows, *first, *last) = (*rows + 1, seq.min(*first), seq.max(*last));
    }
    known.extend(found.into_iter().map(|((stream, hour), (rows, first, last))| Spread {
        service: view.service(stream).to_owned(),
        hour,
        rows,
        numbers: Numbers { epoch: view.epoch(), first, last },
    }));
    Ok(())
}
