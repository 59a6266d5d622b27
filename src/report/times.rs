//! Single times as CSV, for whoever wants to look at them or to do their own statistics.

use super::{Format, Summary};

/// Times of two models that ran in turn, A B B A.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Samples {
    /// Pairs of each part; every part has sessions of its own.
    pub parts: Vec<usize>,
    /// Milliseconds of the first model, pair by pair.
    pub before_ms: Vec<f64>,
    /// Milliseconds of the second model, pair by pair.
    pub after_ms: Vec<f64>,
}

impl Samples {
    /// A line for each pair: `part,pair,before_ms,after_ms`, counted from 1.
    ///
    /// # Errors
    /// If a line cannot be written.
    pub fn to_csv(&self) -> Result<String, String> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let failed = |error: csv::Error| error.to_string();
        writer.write_record(["part", "pair", "before_ms", "after_ms"]).map_err(failed)?;
        let parts = self.parts.iter().enumerate().flat_map(|(at, &pairs)| std::iter::repeat_n(at + 1, pairs));
        let pairs = self.before_ms.iter().zip(&self.after_ms);
        for (number, (part, (before, after))) in parts.zip(pairs).enumerate() {
            let line = [part.to_string(), (number + 1).to_string(), format!("{before:.6}"), format!("{after:.6}")];
            writer.write_record(line).map_err(failed)?;
        }
        let bytes = writer.into_inner().map_err(|error| error.to_string())?;
        String::from_utf8(bytes).map_err(|error| error.to_string())
    }
}

/// The single times of a run, as CSV.
#[derive(Debug, Clone, Copy, Default)]
pub struct Times;

impl Format for Times {
    fn name(&self) -> &'static str {
        "csv"
    }

    fn render(&self, summary: &Summary) -> Result<String, String> {
        summary.samples.as_ref().ok_or("nothing was timed")?.to_csv()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_each_pair() {
        let samples =
            Samples { parts: vec![1, 2], before_ms: vec![1.0, 1.5, 2.0], after_ms: vec![0.5, 0.75, 1.0 / 3.0] };
        let text = samples.to_csv().unwrap();
        assert_eq!(
            text,
            "part,pair,before_ms,after_ms\n1,1,1.000000,0.500000\n2,2,1.500000,0.750000\n2,3,2.000000,0.333333\n"
        );
    }
}
