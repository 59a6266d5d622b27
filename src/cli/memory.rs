//! What the allocator does with memory that was given back.
#![allow(unsafe_code, reason = "calls of one function of the C library, argued for below")]

/// Blocks from this size on go back to the system when they are freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE: i32 = 1 << 20;

/// Keeps the peak near what is in use: glibc raises its threshold to the largest block freed so far and keeps what lies
/// below it, so that weights scored in passing stay resident (ResNet-50, 102 MB: 2.5 times the file, 2.0 with this).
pub(super) fn return_large_blocks() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` only sets a parameter of the allocator; it is called before other threads are started.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
    }
}

/// Blocks from this size on are mapped on their own; the largest that glibc allows.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED: i32 = 32 << 20;

/// Free memory at the end of a heap that is kept.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT: i32 = 1 << 30;

/// Keeps freed blocks for the next ones: repair allocates the same activations and windows over and over, and a fifth of
/// its time went into pages that the kernel took back and cleared.
pub(super) fn keep_blocks() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` holds the allocator's lock and sets words; a program that runs the command in itself may have other
    // threads, which read the old or the new ones.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
    }
}
