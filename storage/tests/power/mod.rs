//! Power cuts at every step of the engine's life: a client that remembers what it was told, lives that end in the
//! middle, and what must be true after each.
mod campaign;
pub(crate) mod client;
pub(crate) mod life;
mod numbers;
mod plants;
mod steps;
