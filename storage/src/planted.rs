//! Faults that can be planted on purpose, to prove that the tests which should find them do.
//!
//! Invariants
//! * Without the feature `planted-faults` every question is answered with a constant no.
//! * At most one fault is planted at a time.

/// Whether the fault `name` is planted.
#[cfg(not(feature = "planted-faults"))]
#[inline(always)]
pub fn on(_name: &str) -> bool {
    false
}

#[cfg(feature = "planted-faults")]
pub use planting::{on, plant};

#[cfg(feature = "planted-faults")]
mod planting {
    use std::sync::{PoisonError, RwLock};

    static PLANTED: RwLock<Option<&'static str>> = RwLock::new(None);

    /// Whether the fault `name` is planted.
    pub fn on(name: &str) -> bool {
        *PLANTED.read().unwrap_or_else(PoisonError::into_inner) == Some(name)
    }

    /// Plants a fault in this process instead of the one before, or none.
    pub fn plant(fault: Option<&'static str>) {
        *PLANTED.write().unwrap_or_else(PoisonError::into_inner) = fault;
    }
}
