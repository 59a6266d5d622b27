//! Single times as CSV, for whoever wants to look at them or to do their own statistics.

use super::{Format, Summary};
use crate::bench::latency::Comparison;

/// A line for each pair of samples: `part,pair,before_ms,after_ms`, counted from 1; see [`Comparison`] for their order.
///
/// # Errors
/// If a line cannot be written.
pub fn times_csv(times: &Comparison) -> Result<String, String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |error: csv::Error| error.to_string();
    writer.write_record(["part", "pair", "before_ms", "after_ms"]).map_err(failed)?;
    let parts = times.parts.iter().enumerate().flat_map(|(at, &pairs)| std::iter::repeat_n(at + 1, pairs));
    let pairs = times.before_ms.iter().zip(&times.after_ms);
    for (number, (part, (before, after))) in parts.zip(pairs).enumerate() {
        let line = [part.to_string(), (number + 1).to_string(), format!("{before:.6}"), format!("{after:.6}")];
        writer.write_record(line).map_err(failed)?;
    }
    let bytes = writer.into_inner().map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|error| error.to_string())
}

/// The single times of a run, as CSV.
#[derive(Debug, Clone, Copy, Default)]
pub struct Times;

impl Format for Times {
    fn name(&self) -> &'static str {
        "csv"
    }

    fn render(&self, summary: &Summary) -> Result<String, String> {
        times_csv(summary.samples.as_ref().ok_or("nothing was timed")?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_each_pair() {
        let samples =
            Comparison { parts: vec![1, 2], before_ms: vec![1.0, 1.5, 2.0], after_ms: vec![0.5, 0.75, 1.0 / 3.0] };
        let text = times_csv(&samples).unwrap();
        assert_eq!(
            text,
            "part,pair,before_ms,after_ms\n1,1,1.000000,0.500000\n2,2,1.500000,0.750000\n2,3,2.000000,0.333333\n"
        );
    }
}
