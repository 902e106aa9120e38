//! The engine of Logyard: appends batches of log records durably, keeps them searchable, seals them into compressed
//! segments indexed by shape, and gives them back.
#![forbid(unsafe_code)]

pub mod archive;
pub mod batch;
pub mod catalog;
pub mod codec;
pub mod durations;
pub mod engine;
pub mod env;
pub mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzzing {
    //! What the fuzz targets in `fuzz/` call.
    pub use crate::query::fuzzing::*;
    pub use crate::segment::fuzzing::*;
}
mod hot;
pub mod layout;
pub mod limits;
mod maintain;
pub mod memory;
pub mod options;
mod payload;
pub use payload::{Effect, Place};
pub mod planted;
pub mod privacy;
pub mod query;
pub mod record;
pub mod retention;
pub mod scan;
mod segment;
pub mod text;
pub mod wal;
