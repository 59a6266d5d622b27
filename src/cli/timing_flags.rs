//! How to time.

use clap::Args;

use super::parse;
use crate::bench::latency::TimingOptions;
use crate::pipeline::Timing;

#[derive(Debug, Args)]
pub(super) struct TimingFlags {
    /// Images per run where the model leaves it open
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Timing")]
    batch: usize,
    /// Seconds of timing at most, loading left out; it ends before, once the interval of the ratio is narrow enough
    #[arg(long, value_name = "SECONDS", default_value = "15", value_parser = parse::seconds, help_heading = "Timing")]
    time: f64,
    /// Seconds of runs that are not counted, before
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = parse::seconds, help_heading = "Timing")]
    warm_up: f64,
    /// Width of the 95 % interval of the ratio at which timing ends, in percent
    #[arg(long, value_name = "PERCENT", default_value = "3", value_parser = parse::seconds, help_heading = "Timing")]
    precision: f64,
    /// Cores to keep to, such as 0,2-3
    #[arg(long, value_name = "LIST", value_parser = parse::cores, help_heading = "Timing")]
    cpus: Option<parse::Cores>,
}

impl TimingFlags {
    pub(super) fn options(&self, skip: bool, seed: u64) -> Timing {
        let usual = TimingOptions::default();
        Timing {
            batch: self.batch,
            cores: self.cpus.as_ref().map_or_else(Vec::new, |cores| cores.0.clone()),
            options: TimingOptions {
                warm_up_ms: 1e3 * self.warm_up,
                least_ms: usual.least_ms.min(1e3 * self.time),
                most_ms: 1e3 * self.time,
                width: self.precision / 100.0,
                seed,
                ..usual
            },
            skip,
        }
    }
}
