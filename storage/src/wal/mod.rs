//! The write-ahead log: a run of files `wal/<file id>.wal` that hold frames, of which each is one batch.
//!
//! ```text
//! file   | header 64 | frame | frame | ... | zeros, or what a recycled file held before |
//!
//! header | magic 4 | version u32 | file id u64 | base_seq u64 | base_batch u64 | salt u64
//!        | previous file id u64 | previous end_seq u64 | previous running crc u32 | crc u32 |
//!
//! frame  | magic u16 | version u8 | kind u8 | len u32 | batch_no u64 | first_seq u64 | count u32 | epoch u32
//!        | arrival i64 | durable_batch u64 | payload_crc u32 | header_crc u32 | payload len | zeros to 8 bytes |
//! ```
//!
//! All numbers are little-endian. Both crcs of a frame start from the file's salt, so that the frames a recycled file
//! held before are noise. Kinds: `data`; `mark`, an empty frame that says how much is durable; `seal`, the last frame
//! of a clean shutdown. `durable_batch` is the number below which every batch was durable when the frame was written:
//! it is what tells damage (an acknowledged batch is gone) from a torn tail (a batch was never acknowledged). It is
//! a batch number and not a sequence number because a batch without rows uses up no sequence number.
//!
//! Beside them lie `<n>.spare`, files ready for use, and `<n>.tmp`, which have no meaning yet.
//!
//! Start-up: [`replay`], then [`rewrite_tail`], then [`Files::open`], then [`Writer::create`].
//!
//! Invariants
//! * A batch is acknowledged only after the sync that covers it; after a failed sync nothing is ever acknowledged.
//! * A file gets its `.wal` name only when its header is durable and everything in the file before it is durable.
//!   Hence a header that cannot be read is damage, never tearing, and only the last file can have a torn tail.
//! * A header's `base_batch` ends all files with lower ids: what they hold from that number on is void. Hence a file
//!   that was copied to a new one, or abandoned, can stay behind in any crash without its frames coming twice.
//! * Batch numbers rise by one within a file; a gap is damage. Sequence numbers never go back; they can skip.
//! * Nothing is appended to a file by a process that did not create it.
mod files;
mod frame;
mod replay;
mod rewrite;
mod scan;
#[cfg(test)]
mod tests;
mod writer;

pub use files::{FileInfo, Files, Options};
pub use frame::{FRAME_PAYLOAD_BYTES_MAX, Frame, Previous};
pub use replay::{Damage, Replayed, ReplayedFrame, Torn, replay};
pub use rewrite::rewrite_tail;
pub use scan::{Lost, Scanned, scan_bytes};
pub use writer::{Start, Writer};
