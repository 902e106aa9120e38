//! Tests of the engine as a whole: power cuts, failing I/O, rot, and a plain model, on a simulated machine; and of its archive in an S3
//! server that fails.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]
mod absurd;
mod allocations;
mod budget;
mod chance;
mod check;
mod copies;
mod faults;
mod frozen;
mod live;
mod model;
mod power;
mod queries;
mod recovery;
mod rot;
mod rows;
mod s3;
mod states;
