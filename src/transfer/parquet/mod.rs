//! Parquet files, written and read: the only folder that knows the crate.
//!
//! Files are flat: a column has a value, or none, for each row. The crate is used without arrow, whose arrays would stand between
//! rows and columns and bring a dozen crates: docs/decisions/0041-parquet-without-arrow.md.
//!
//! Invariants
//! * A row group at a time is in memory, in either direction.
//! * A file that is damaged, or has what is not known here, is an error that says so, never a panic.
mod read;
mod write;

pub(crate) use read::{ParquetReader, Read, ReadRows};
pub(crate) use write::{Column, ParquetWriter};

use ::parquet::errors::ParquetError;

/// What went wrong, in words.
fn said(error: &ParquetError) -> String {
    let text = error.to_string();
    text.strip_prefix("Parquet error: ").unwrap_or(&text).chars().filter(|c| !c.is_control()).take(300).collect()
}
