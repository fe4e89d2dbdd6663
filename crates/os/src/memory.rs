//! The memory of this program.

/// Returns freed memory to the kernel.
///
/// The allocator keeps it for later, but a program that has finished its preparations (command line, capabilities of
/// FFmpeg, self-tests) will not need as much again. This has an effect with glibc only.
pub fn return_freed() {
    #[cfg(target_env = "gnu")]
    // SAFETY: `malloc_trim` has no preconditions.
    unsafe {
        nix::libc::malloc_trim(0);
    }
}
