//! Groups of whole texts: what of a block goes into the index beside the shapes.
//!
//! A group is as many texts of one lane of one block that are kept whole as have about [`GROUP_BYTES`], in the order of
//! their rows; the last of a lane has fewer. Only lanes with more whole text than a few pages, whose texts are more than a word, have groups:
//! anything less is as quickly read as looked up. Groups are numbered through the segment, block by block, and in a block
//! lane by lane; the footer says how many each lane has. So a block that is copied into another segment keeps its own
//! bytes, and only the footer and the index are made anew.
//!
//! Invariants
//! * The texts are read back from the encoded block, whoever encoded it.
use super::block_reader::{Block, BlockLane};
use super::index::IndexBuilder;
use super::whole::Afresh;
use crate::error::Result;
use crate::limits::{BLOCK_ROWS_MAX, KIB, MIB};

/// Text of one group. A word that is in nearly every group helps nobody, and takes room in each.
const GROUP_BYTES: usize = MIB / 2;
/// Texts of one group at least, however long they are.
const GROUP_TEXTS_MIN: usize = 1_024;
/// Whole text of a lane from which it has groups.
const LANE_BYTES_MIN: usize = 16 * KIB;
/// Mean length of whole texts from which a lane has groups: ids and names are one word.
const TEXT_BYTES_MIN: usize = 24;

/// How many texts a group has in a lane of `count` texts of `bytes` bytes together.
pub(crate) fn group_texts(count: usize, bytes: usize) -> usize {
    let mean = bytes / count.max(1);
    (GROUP_BYTES / mean.max(1)).clamp(GROUP_TEXTS_MIN, BLOCK_ROWS_MAX)
}

/// Adds the groups of a block, whose bytes are `bytes`, and gives how many each of its lanes has.
pub(super) fn add(block: &Block, bytes: &Vec<u8>, index: &mut IndexBuilder) -> Result<Vec<(u32, u32)>> {
    let mut groups = Vec::new();
    for (number, lane) in block.lanes.iter().enumerate() {
        if lane.is_text() && block.whole_bytes(lane) >= LANE_BYTES_MIN {
            let n = add_lane(block, lane, bytes, index)?;
            if n > 0 {
                groups.push((number as u32, n));
            }
        }
    }
    Ok(groups)
}

fn add_lane(block: &Block, lane: &BlockLane, bytes: &Vec<u8>, index: &mut IndexBuilder) -> Result<u32> {
    let count = block.shapes(lane)?.whole();
    if count == 0 || block.whole_bytes(lane) / count < TEXT_BYTES_MIN {
        return Ok(0);
    }
    let mut texts = block.whole_texts(lane, count, bytes, &Afresh)?;
    texts.load(0, count)?;
    let mut groups = 0;
    let each = group_texts(count, block.whole_bytes(lane));
    for start in (0..count).step_by(each) {
        let group = start..count.min(start + each);
        index.add_group(group.map(|i| std::str::from_utf8(texts.get(i)).unwrap_or_default()))?;
        groups += 1;
    }
    Ok(groups)
}
