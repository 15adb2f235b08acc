//! An allocator that knows how much is held, and ends the program when that is too much.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system's allocator, counting.
pub struct Counting;

/// Bytes that are held now.
static HELD: AtomicUsize = AtomicUsize::new(0);
/// Bytes that may be held.
static MOST: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Runs something that may hold `bytes` more at any one time than are held now.
///
/// Aborts the program when it holds more, so that the fuzzer keeps the input.
pub fn at_most(bytes: usize, run: impl FnOnce()) {
    let held = HELD.load(Ordering::Relaxed);
    MOST.store(held.saturating_add(bytes), Ordering::Relaxed);
    run();
    MOST.store(usize::MAX, Ordering::Relaxed);
}

fn take(bytes: usize) {
    let held = HELD.fetch_add(bytes, Ordering::Relaxed) + bytes;
    let most = MOST.load(Ordering::Relaxed);
    if held > most {
        // Printing may allocate, too.
        MOST.store(usize::MAX, Ordering::Relaxed);
        eprintln!("runaway allocation: {bytes} bytes more make {held}, {most} are allowed");
        std::process::abort();
    }
}

fn give_back(bytes: usize) {
    HELD.fetch_sub(bytes, Ordering::Relaxed);
}

// SAFETY: every call is handed on to the system's allocator as it is; counting touches no memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        // SAFETY: the caller keeps the promises of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        give_back(layout.size());
        // SAFETY: the memory came from the system's allocator, with this layout.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        take(size);
        give_back(layout.size());
        // SAFETY: the memory came from the system's allocator, with this layout.
        unsafe { System.realloc(memory, layout, size) }
    }
}
