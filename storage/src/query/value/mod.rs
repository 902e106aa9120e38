//! What LogsQL sees in a text: numbers, durations, sizes, times, addresses, JSON, patterns, and how texts are ordered.
//!
//! Invariants
//! * Nothing here knows of queries; everything is a function of texts.
//! * Every reader returns `None` for what it does not read, whatever the bytes.
pub(crate) mod automaton;
pub(crate) mod bucket;
pub(crate) mod coding;
pub(crate) mod duration;
pub(crate) mod hash;
pub(crate) mod ipv4;
pub(crate) mod json;
pub(crate) mod logfmt;
pub(crate) mod number;
pub(crate) mod order;
pub(crate) mod pattern;
pub(crate) mod quote;
pub(crate) mod regexp;
pub(crate) mod syslog;
pub(crate) mod timestamp;
