//! Keeping the program to some cores.

/// Restricts this thread, and the threads that it starts from now on, to some cores, numbered from 0.
///
/// # Errors
/// Why the system refuses, or that it cannot do this at all.
#[cfg(target_os = "linux")]
pub fn pin(cores: &[usize]) -> Result<(), String> {
    use nix::sched::{CpuSet, sched_setaffinity};
    use nix::unistd::Pid;
    let mut set = CpuSet::new();
    for &core in cores {
        set.set(core).map_err(|_| format!("there is no core {core}"))?;
    }
    sched_setaffinity(Pid::from_raw(0), &set).map_err(|error| match error {
        nix::errno::Errno::EINVAL => "none of these cores is there, or this program may not use them".to_owned(),
        other => other.desc().to_owned(),
    })
}

/// Restricts this thread to some cores.
///
/// # Errors
/// Always: only Linux is supported.
#[cfg(not(target_os = "linux"))]
pub fn pin(_cores: &[usize]) -> Result<(), String> {
    Err("only Linux can keep a program to some cores".into())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_sees_its_cores_only() {
        let seen = std::thread::spawn(|| {
            pin(&[0]).unwrap();
            std::thread::available_parallelism().unwrap().get()
        });
        assert_eq!(seen.join().unwrap(), 1);
        assert!(std::thread::spawn(|| pin(&[1_000_000])).join().unwrap().unwrap_err().contains("no core"));
        assert!(std::thread::spawn(|| pin(&[900])).join().unwrap().is_err());
    }
}
