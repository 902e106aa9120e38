//! An S3 server in process, and a proxy to stand in front of it that fails in every way that is asked for. For tests alone.
//!
//! [`Server`] keeps objects in a directory that goes with it, checks signatures, and does by conditional requests, ranges, parts
//! and listings what S3 and R2 do. [`Proxy`] passes requests on, and some of them it fails: by shares, from a seed, or the
//! next one as a test says. What the server was asked to make and what the proxy did is counted, so that tests can ask.
//!
//! Invariants
//! * Both listen on 127.0.0.1, at a port of the system's choice, and end when they are dropped.
//! * What was refused by the server, or broken off on its way there, changes nothing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]
mod chance;
mod door;
mod faults;
mod forward;
mod listing;
mod proxy;
mod server;

pub use faults::{Counts, Faults, Kind};
pub use proxy::Proxy;
pub use server::{Key, Made, Right, Server};
