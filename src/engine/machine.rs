//! What a measurement was made on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::EngineInfo;
use super::processor::processor;

/// In the name of the vectors.
const VNNI: &str = "+vnni";

/// Everything on which a time depends beside the models.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Machine {
    /// Operating system and processor architecture.
    pub platform: String,
    /// Model of the processor, as the system tells it.
    pub processor: String,
    /// Cores that the program may use.
    pub cores: usize,
    /// The widest vectors of the processor, where kernels depend on them: `avx512` or `avx2`, with `+vnni` where it sums
    /// products of bytes in 32 bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vectors: Option<String>,
    /// How the system sets the clock of the processor, where it tells: `performance`, `powersave` and so on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub governor: Option<String>,
    /// Bytes of memory, where the system tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
}

impl Machine {
    /// This one.
    pub fn here() -> Self {
        Self {
            platform: format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH),
            processor: processor().unwrap_or_else(|| "unknown".into()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            vectors: vectors(),
            governor: governor(),
            memory_bytes: memory_bytes(),
        }
    }

    /// Whether its processor is an x86.
    pub fn is_x86(&self) -> bool {
        self.platform.ends_with("x86_64") || self.platform.ends_with("x86")
    }

    /// Whether its processor sums products of bytes in 32 bits.
    pub fn sums_bytes(&self) -> bool {
        self.vectors.as_ref().is_some_and(|own| own.ends_with(VNNI))
    }

    /// What kernels depend on, as a name.
    pub(super) fn key(&self) -> String {
        format!("{}-{}-{}", self.platform, self.processor, self.vectors.as_deref().unwrap_or("plain"))
    }

    /// For people, in one line.
    pub fn describe(&self) -> String {
        let governor = self.governor.as_ref().map(|own| format!(", governor {own}")).unwrap_or_default();
        format!("{}, {} cores, {}{governor}", self.processor, self.cores, self.platform)
    }

    /// In what two measurements differ, if in anything that matters.
    pub(crate) fn differs(&self, engine: &EngineInfo, other: &Self, other_engine: &EngineInfo) -> Vec<String> {
        let pairs = [
            ("platform", self.platform.clone(), other.platform.clone()),
            ("processor", self.processor.clone(), other.processor.clone()),
            ("cores", self.cores.to_string(), other.cores.to_string()),
            (
                "engine",
                format!("{} {}", engine.name, engine.version),
                format!("{} {}", other_engine.name, other_engine.version),
            ),
            ("provider", engine.provider.clone(), other_engine.provider.clone()),
            ("threads", engine.threads.to_string(), other_engine.threads.to_string()),
        ];
        let differs = |(name, here, there): (&str, String, String)| {
            (here != there).then(|| format!("{name} {there} then, {here} now"))
        };
        pairs.into_iter().filter_map(differs).collect()
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(clippy::unnecessary_wraps, reason = "other processors have no such name")]
fn vectors() -> Option<String> {
    let wide = std::arch::is_x86_feature_detected!("avx512f");
    let sums_bytes =
        std::arch::is_x86_feature_detected!("avx512vnni") || std::arch::is_x86_feature_detected!("avxvnni");
    Some(format!("{}{}", if wide { "avx512" } else { "avx2" }, if sums_bytes { VNNI } else { "" }))
}

#[cfg(not(target_arch = "x86_64"))]
fn vectors() -> Option<String> {
    None
}

/// Of the first core, by Linux.
fn governor() -> Option<String> {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").ok()?;
    Some(text.trim().to_owned()).filter(|name| !name.is_empty())
}

/// Of the machine, by Linux.
fn memory_bytes() -> Option<u64> {
    bytes_told("/proc/meminfo", "MemTotal:")
}

/// Bytes that Linux tells in a file of kilobytes behind a key; `None` elsewhere.
pub(crate) fn bytes_told(path: &str, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    Some(1024 * line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?)
}
