//! Bencher Metric Format: JSON by benchmark and measure.

use serde_json::{Map, Value, json};

use super::{CheckFormat, model_name};
use crate::check::Checked;

/// Latency in nanoseconds with its percentiles, throughput, size and work of the new model, and its ratio to the base.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bencher;

impl CheckFormat for Bencher {
    fn name(&self) -> &'static str {
        "bencher"
    }

    fn render(&self, checked: &Checked) -> Result<String, String> {
        let mut measures = Map::new();
        let mut add = |name: &str, value: f64, bounds: Option<(f64, f64)>| {
            let entry = match bounds {
                Some((low, high)) => json!({ "value": value, "lower_value": low, "upper_value": high }),
                None => json!({ "value": value }),
            };
            measures.insert(name.to_owned(), entry);
        };
        if let Some(own) = &checked.latency_ms {
            const NS: f64 = 1e6;
            add("latency", own.after * NS, Some((own.after * NS, own.after_tail[1].max(own.after) * NS)));
            add("throughput", 1e3 * own.batch as f64 / own.after, None);
            add("latency-ratio", own.ratio, Some((own.ratio_low, own.ratio_high)));
        }
        add("macs", checked.macs.after as f64, None);
        add("parameters", checked.params.after as f64, None);
        add("file-size", checked.bytes.after as f64, None);
        if let Some(own) = &checked.accuracy {
            add("top-1", own.after, Some((own.after_interval.low, own.after_interval.high)));
        }
        if let Some(own) = &checked.detections {
            add("detections-kept", own.kept_share(), None);
        }
        if let Some(own) = &checked.metric {
            add("metric", own.after, None);
        }
        let mut all = Map::new();
        all.insert(model_name(checked), Value::Object(measures));
        serde_json::to_string_pretty(&all).map(|text| text + "\n").map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::formats::samples::checked;

    /// The form that Bencher's documentation gives: names of measures with a value and optional bounds around it.
    #[test]
    fn every_measure_has_a_value_within_its_bounds() {
        let all: Value = serde_json::from_str(&Bencher.render(&checked()).unwrap()).unwrap();
        let measures = all.as_object().unwrap().values().next().unwrap().as_object().unwrap();
        assert!(measures.contains_key("latency") && measures.contains_key("latency-ratio"));
        for (name, entry) in measures {
            let value = entry["value"].as_f64().unwrap();
            let low = entry.get("lower_value").map_or(value, |low| low.as_f64().unwrap());
            let high = entry.get("upper_value").map_or(value, |high| high.as_f64().unwrap());
            assert!(low <= value && value <= high, "{name}");
        }
    }
}
