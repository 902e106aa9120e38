//! Sealed segments: one immutable file each, with column blocks, shapes, their index, effects, and a footer.
mod aside;
mod bits;
mod block;
mod block_reader;
mod cache;
mod control;
mod copy;
mod directory;
mod effects;
mod footer;
mod forms;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod groups;
mod head;
mod index;
mod ints;
mod look;
mod meter;
mod numbers;
mod pages;
mod partial;
mod planes;
mod reader;
mod rowindex;
mod slots;
mod text_lane;
mod thaw;
mod whole;
mod writer;

pub(crate) use block::{Arrivals, BlockMeta, DROPPED, Input, Selection, Seqs, Tables};
pub(crate) use block_reader::{Block, BlockLane};
pub(crate) use cache::ReadCache;
pub(crate) use control::Budget;
pub use control::{Cancel, Control};
pub(crate) use directory::{Directory, Run, Slot, TextRun};
pub(crate) use effects::{SealedEffect, SealedEffects, unite};
pub(crate) use footer::Footer;
pub(crate) use forms::Spelling;
pub(crate) use groups::group_texts;
pub(crate) use index::{Ends, WordQuery, WordTest};
pub(crate) use look::{SlotValues, Words};
pub use meter::ScanStats;
pub(crate) use meter::{Counters, Held, KeptPages, Kind, Metered, add};
pub(crate) use pages::Fetched;
pub use partial::Partial;
pub(crate) use reader::{Backing, Far, Segment};
pub(crate) use slots::Letters;
pub(crate) use text_lane::Shapes;
pub(crate) use thaw::Thawed;
pub(crate) use whole::{Keeper, Opened, Part as WholePart, Sought, WholeTexts};
pub(crate) use writer::{Identity, SegmentWriter};

/// An index of shapes alone, as the bytes of its bundle.
fn build_index(shapes: &crate::text::table::ShapeTable) -> crate::error::Result<Vec<u8>> {
    let mut builder = index::IndexBuilder::new()?;
    builder.add_shapes(shapes)?;
    builder.finish()
}
