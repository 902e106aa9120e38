//! Tests of the engine as a whole: power cuts, failing I/O, rot, and a plain model, all on a simulated machine.
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
mod states;
