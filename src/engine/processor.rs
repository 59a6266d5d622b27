//! Which processor this is.

use std::process::Command;

/// Model of the processor, as the system tells it.
pub(crate) fn processor() -> Option<String> {
    let found = match std::env::consts::OS {
        "windows" => std::env::var("PROCESSOR_IDENTIFIER").ok(),
        "macos" => {
            let output = Command::new("/usr/sbin/sysctl").args(["-n", "machdep.cpu.brand_string"]).output().ok()?;
            String::from_utf8(output.stdout).ok()
        }
        _ => of_cpuinfo(&std::fs::read_to_string("/proc/cpuinfo").ok()?),
    };
    found.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// The model in Linux's list of processors. On ARM that has numbers in place of a name.
fn of_cpuinfo(text: &str) -> Option<String> {
    let value = |key: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(own, _)| own.trim() == key).map(|(_, value)| value.trim())
    };
    let named = value("model name").map(ToOwned::to_owned);
    named.or_else(|| Some(format!("implementer {} part {}", value("CPU implementer")?, value("CPU part")?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_of_linux_have_a_name_or_numbers() {
        let named = "processor\t: 0\nmodel\t\t: 143\nmodel name\t: Intel(R) Xeon(R) @ 2.10GHz\n";
        assert_eq!(of_cpuinfo(named).as_deref(), Some("Intel(R) Xeon(R) @ 2.10GHz"));
        let arm = "processor\t: 0\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU part\t: 0xd0c\n";
        assert_eq!(of_cpuinfo(arm).as_deref(), Some("implementer 0x41 part 0xd0c"));
        assert_eq!(of_cpuinfo("processor\t: 0\n"), None);
    }
}
