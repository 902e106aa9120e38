//! Texts as words, and as shapes with variables.
pub(crate) mod digits;
pub mod shape;
pub(crate) mod table;
pub mod words;
