//! Texts as words, and as shapes with variables.
pub mod shape;
pub(crate) mod table;
pub mod words;
