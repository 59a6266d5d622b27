//! Peak memory of this process.

/// Largest resident size so far, in bytes; `None` where the system does not tell.
pub fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
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
