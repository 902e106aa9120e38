//! Open formats: records out of an engine as Parquet and as single JSON files, and in from these, and from what logs were kept in
//! before.
//!
//! `export.rs` writes what an engine has to a [`Bucket`](logyard_storage::archive::Bucket); `sources/` read what others wrote, or
//! we, and give it as items that a server takes. Names are in `layout.rs`, and what a record is on its way in `flat.rs`.
//!
//! Invariants
//! * It is below `server/` and `cli/`, above the engine, and knows nothing of HTTP.
//! * Exporting twice writes nothing twice, without anything being remembered: names say what is there.
mod audit;
pub(crate) mod columns;
pub(crate) mod export;
pub(crate) mod flat;
pub(crate) mod item;
pub(crate) mod layout;
pub(crate) mod ndjson;
pub(crate) mod parquet;
mod part;
mod repack;
pub(crate) mod row;
pub(crate) mod sources;
mod spool;
