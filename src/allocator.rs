//! The allocator: how many arenas it may keep, and when it gives back what is free.
#![expect(unsafe_code, reason = "glibc has no safe door to these")]

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
