//! Texts as words, and as shapes with variables.
pub mod shape;
pub mod words;
