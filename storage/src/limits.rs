//! Every hard limit of the engine, unit last. Nothing that is read from a file, a socket or a caller is trusted beyond them.
//!
//! Invariants
//! * A limit that files are checked by may grow, never shrink: what was written within it has to be read again.
//! * What has to hold between some of them is asserted at the end.

/// A kibibyte.
pub const KIB: usize = 1 << 10;
/// A mebibyte.
pub const MIB: usize = 1 << 20;

/// A record, as sent.
pub const RECORD_BYTES_MAX: usize = 2 * MIB;
/// Fields of one record; surplus ones are kept together in `_rest`.
pub const RECORD_FIELDS_MAX: usize = 2_000;
/// The flat name of a field.
pub const FIELD_NAME_BYTES_MAX: usize = 256;
/// Nesting of a record.
pub const RECORD_DEPTH_MAX: usize = 64;

/// Rows of one batch.
pub const BATCH_ROWS_MAX: usize = 65_536;
/// An encoded batch; one record of the largest size always fits.
pub const BATCH_BYTES_MAX: usize = 16 * MIB;
/// Lanes (a field in one of its types) of one batch.
pub const BATCH_LANES_MAX: usize = 65_536;

/// Literal text of one shape; longer texts are kept whole.
pub const SHAPE_BYTES_MAX: usize = 1_024;
/// Slots of one shape; texts with more variables are kept whole.
pub const SHAPE_SLOTS_MAX: usize = 64;
/// Shapes of one segment; the rarest fall back to whole texts.
pub const SEGMENT_SHAPES_MAX: usize = 65_536;
/// Shape text of one segment.
pub const SEGMENT_SHAPE_BYTES_MAX: usize = 4 * MIB;

/// Rows of one block.
pub const BLOCK_ROWS_MAX: usize = 65_536;
/// Raw bytes of one page: the least that is read and decompressed for a value.
pub const PAGE_BYTES_MAX: usize = 64 * KIB;
/// The same of pages that are never compressed, which small ones cost nothing but a checksum.
pub const DENSE_PAGE_BYTES_MAX: usize = 8 * KIB;
/// Rows of one segment.
pub const SEGMENT_ROWS_MAX: usize = 4_000_000;
/// A segment's footer.
pub const FOOTER_BYTES_MAX: usize = 16 * MIB;

/// One WAL file.
pub const WAL_FILE_BYTES: usize = 64 * MIB;
/// What one group commit writes at most, unless a single batch is larger.
pub const WAL_GROUP_BYTES_MAX: usize = 4 * MIB;
/// Appends that wait for the WAL's writer.
pub const WAL_QUEUE_MAX: usize = 1_024;
/// Effects of one frame.
pub const EFFECTS_MAX: usize = 65_536;
/// Key or value of one effect.
pub const EFFECT_BYTES_MAX: usize = 64 * KIB;

/// A value in the catalog.
pub const CATALOG_VALUE_BYTES_MAX: usize = 16 * MIB;

const _: () = assert!(BATCH_BYTES_MAX > 4 * RECORD_BYTES_MAX);
const _: () = assert!(WAL_FILE_BYTES > 2 * BATCH_BYTES_MAX);
const _: () = assert!(BLOCK_ROWS_MAX <= 1 << 16);
const _: () = assert!(SEGMENT_SHAPES_MAX <= 1 << 16);
