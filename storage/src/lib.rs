//! The engine of Logyard: appends batches of log records durably, keeps them searchable, seals them into compressed
//! segments indexed by shape, and gives them back.
pub mod batch;
pub mod catalog;
pub mod codec;
pub mod env;
pub mod error;
mod hot;
pub mod layout;
pub mod limits;
pub mod options;
mod payload;
pub mod record;
pub mod retention;
pub mod scan;
pub mod segment;
pub mod text;
pub mod planted;
pub mod record;
pub mod wal;
