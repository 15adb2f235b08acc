//! The allocator: how many arenas it may keep, when it gives back what is free, and how much a thread
//! may take.
#![expect(unsafe_code, reason = "glibc has no safe door to these, and an allocator is unsafe")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};

/// Bounds glibc's arenas. Each keeps what was freed in it, and by default there are eight a core:
/// peak memory would creep up with the number of parts (measured: 35 MiB for 2,000 objects, 45 MiB
/// for 8,000; with two arenas 36 MiB for both, at the same speed). Call before any thread is begun.
pub(crate) fn bound_arenas() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let arenas = i32::try_from(cores.div_ceil(4).max(2)).unwrap_or(2);
        // SAFETY: mallopt takes two integers, may be called at any time, and reports failure by its
        // result, after which the default stands.
        let _ = unsafe { libc::mallopt(libc::M_ARENA_MAX, arenas) };
    }
}

/// Gives memory that is free back to the system. Takes milliseconds: for the seams of a run, where
/// what comes next is of other sizes than what was freed and would be laid beside it.
pub(crate) fn give_back_free() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: malloc_trim takes a number, may be called at any time and from any thread.
        let _ = unsafe { libc::malloc_trim(0) };
    }
}

/// Counts what the threads take that were told to stay below a limit. All else is the system's.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What is left of a thread that nothing limits.
const UNLIMITED: i64 = i64::MAX;

thread_local! {
    /// Bytes that this thread may still take. Never dropped, so it is there as long as the thread.
    static LEFT: Cell<i64> = const { Cell::new(UNLIMITED) };
    /// Whom to tell that it wants more.
    static TELL: RefCell<Option<Box<dyn Fn()>>> = const { RefCell::new(None) };
}

/// Does `work`, during which this thread may hold `bytes` more than now. If it wants more, `tell` is
/// called and the thread stands still for ever, with all that it holds: an allocation may neither fail
/// nor unwind. Memory that other threads take for it does not count.
pub(crate) fn within<T>(bytes: u64, tell: Box<dyn Fn()>, work: impl FnOnce() -> T) -> T {
    struct Ends;
    impl Drop for Ends {
        fn drop(&mut self) {
            LEFT.set(UNLIMITED);
        }
    }
    drop(TELL.replace(Some(tell)));
    let ends = Ends;
    LEFT.set(i64::try_from(bytes).unwrap_or(UNLIMITED));
    let done = work();
    drop(ends);
    done
}

/// Says that this thread is about to take `bytes`.
fn take(bytes: usize) {
    let left = LEFT.get();
    if left == UNLIMITED {
        return;
    }
    let after = left.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
    LEFT.set(after);
    if after < 0 {
        stand_still();
    }
}

/// Says that this thread has given back `bytes`, whoever took them.
fn give(bytes: usize) {
    let left = LEFT.get();
    if left != UNLIMITED {
        let after = left.saturating_add(i64::try_from(bytes).unwrap_or(i64::MAX));
        LEFT.set(after.min(UNLIMITED - 1));
    }
}

#[cold]
fn stand_still() -> ! {
    LEFT.set(UNLIMITED);
    TELL.with_borrow(|tell| tell.iter().for_each(|tell| tell()));
    loop {
        std::thread::park();
    }
}

// SAFETY: every call is handed to the system's allocator as it came. What is added neither allocates
// while it counts nor unwinds: a thread without a limit reads one thread-local number that is never
// dropped, and one that is over its limit does not return.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        // SAFETY: the caller keeps the contract of `GlobalAlloc`, which is that of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        give(layout.size());
        // SAFETY: as in `alloc`; `pointer` came from `System`, since all do.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        take(size.saturating_sub(layout.size()));
        give(layout.size().saturating_sub(size));
        // SAFETY: as in `dealloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;

    #[test]
    fn what_is_held_counts_and_what_was_given_back_does_not() {
        let tell = || Box::new(|| panic!("64 KiB at once are within 100,000"));
        let held = within(100_000, tell(), || {
            let mut one_at_a_time = (0..100u8).map(|n| vec![n; 1 << 16]);
            one_at_a_time.all(|bytes| bytes.len() == 1 << 16)
        });
        assert!(held);
        assert_eq!(LEFT.get(), UNLIMITED);
        let grown = within(1 << 20, tell(), || {
            let mut bytes = Vec::with_capacity(1);
            (0..1 << 18).for_each(|_| bytes.push(1u8));
            bytes.shrink_to_fit();
            bytes
        });
        assert_eq!(grown.len(), 1 << 18);
    }

    #[test]
    fn a_thread_that_wants_more_says_so_and_stands_still() {
        let (sender, receiver) = sync_channel(2);
        let hoards = move || {
            let over = sender.clone();
            let tell = Box::new(move || over.send("over").expect("somebody listens"));
            let held = within(1 << 20, tell, || vec![0u8; 2 << 20]);
            sender.send(if held.is_empty() { "empty" } else { "done" }).expect("somebody listens");
        };
        std::thread::Builder::new().name("hoards".to_owned()).spawn(hoards).expect("a thread");
        assert_eq!(receiver.recv(), Ok("over"));
        let soon = std::time::Duration::from_millis(50);
        assert!(receiver.recv_timeout(soon).is_err(), "it never comes back");
    }
}
