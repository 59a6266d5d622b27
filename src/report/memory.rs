//! Peak memory of this process.

use crate::engine::bytes_told;

/// Largest resident size so far, in bytes; `None` where the system does not tell.
pub fn peak_memory_bytes() -> Option<u64> {
    bytes_told("/proc/self/status", "VmHWM:")
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn the_peak_covers_what_was_held() {
        let held = vec![1u8; 64 << 20];
        let peak = super::peak_memory_bytes().unwrap();
        assert!(peak >= held.iter().map(|&byte| u64::from(byte)).sum(), "{peak}");
    }
}
