//! Sealed segments: one immutable file each, with column blocks, shapes, their index, and a footer.
mod bits;
mod block;
mod block_reader;
mod footer;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod index;
mod ints;
mod pages;
mod planes;
mod reader;
mod rowindex;
mod slots;
mod text_lane;
mod writer;

pub(crate) use block::{Arrivals, DROPPED, Input, Selection, Seqs, Tables};
pub(crate) use block_reader::{Block, BlockLane};
pub(crate) use footer::Footer;
pub(crate) use reader::Segment;
pub(crate) use writer::{Identity, SegmentWriter};

/// The index of a segment's shapes, as the bytes of its bundle.
pub(crate) fn build_index(shapes: &crate::text::table::ShapeTable) -> crate::error::Result<Vec<u8>> {
    let mut builder = index::IndexBuilder::new()?;
    for number in 0..shapes.len() as u32 {
        let shape = shapes.shape(number);
        builder.add_shape(shape, &vec![index::SlotWords::Look; shape.slots()])?;
    }
    builder.finish()
}
