//! What a measurement was made on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::{EngineInfo, processor};

/// Everything on which a time depends beside the models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Machine {
    /// Operating system and processor architecture.
    pub platform: String,
    /// Model of the processor, as the system tells it.
    pub processor: String,
    /// Cores that the program may use.
    pub cores: usize,
}

impl Machine {
    /// This one.
    pub fn here() -> Self {
        Self {
            platform: format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH),
            processor: processor().unwrap_or_else(|| "unknown".into()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }

    /// In what two measurements differ, if in anything that matters.
    pub(super) fn differs(&self, engine: &EngineInfo, other: &Self, other_engine: &EngineInfo) -> Vec<String> {
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
