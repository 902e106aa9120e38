//! Sealed segments: one immutable file each, with column blocks, shapes, their index, and a footer.
mod bits;
mod block;
mod block_reader;
mod footer;
mod ints;
mod pages;
mod reader;
mod slots;
mod text_lane;
mod writer;

pub(crate) use block::{Arrivals, Input, Seqs, Tables};
pub(crate) use block_reader::{Block, BlockLane};
pub(crate) use footer::Footer;
pub(crate) use pages::Source;
pub(crate) use reader::Segment;
pub(crate) use text_lane::{Shapes, Variables};
pub(crate) use writer::{Identity, SegmentWriter, Written};
