//! Where memory comes from: mimalloc, which keeps what is freed for a while.
//!
//! Invariants
//! * What nobody has used for [`KEPT_MS`] goes back to the system; `MIMALLOC_PURGE_DELAY` names another time.
use std::ffi::c_long;

/// How long freed memory stays with the process. A generation that has been sealed frees its 64 MiB and more, which the
/// batches of the next one fill again at once: docs/decisions/0029-freed-memory-stays-half-a-second.md has the figures.
const KEPT_MS: c_long = 500;

/// `mi_option_purge_delay` of mimalloc's `mi_option_t`; the bindings have no name for it.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Sets the allocator up, once, before there is a second thread.
pub(crate) fn set_up() {
    #[expect(unsafe_code, reason = "the setter is a C function; it stores one number and asks for nothing else")]
    unsafe {
        libmimalloc_sys::mi_option_set_default(PURGE_DELAY, KEPT_MS);
    }
}
