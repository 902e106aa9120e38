//! Sealed segments: one immutable file each, with column blocks, shapes, their index, and a footer.
mod bits;
mod block;
mod block_reader;
mod ints;
mod pages;
mod slots;
mod text_lane;
