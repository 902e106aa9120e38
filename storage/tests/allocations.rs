//! How much is allocated at once: what the tests of absurd lengths watch.
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Allocations below this are not looked at, so that threads do not wait for each other.
const SMALL_BYTES: usize = 64 << 10;

/// The most bytes that were asked for at once, granted or not.
static LARGEST: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static WATCHED: Watched = Watched;

struct Watched;

fn note(bytes: usize) {
    if bytes >= SMALL_BYTES {
        LARGEST.fetch_max(bytes, Ordering::Relaxed);
    }
}

/// The most bytes that this process asked for at once since the last time.
pub(crate) fn take_largest() -> usize {
    LARGEST.swap(0, Ordering::Relaxed)
}

#[expect(
    unsafe_code,
    reason = "an allocator is unsafe to write; this one takes note of a size and leaves all else to the system's"
)]
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        note(bytes);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(block, layout, bytes) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(block, layout) }
    }
}

#[test]
fn what_is_allocated_is_seen() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(48 << 20)));
    assert!(take_largest() >= 48 << 20);
    let mut refused = std::hint::black_box(Vec::<u8>::new());
    assert!(std::hint::black_box(refused.try_reserve_exact(1 << 60)).is_err());
    assert!(take_largest() >= 1 << 60);
}
