//! Numbers for people.

use crate::plan::{Budget, Goals, LatencyTarget, Target};

/// `1234567` as `1.23 M`.
pub fn count(value: f64) -> String {
    scaled(value, 1000.0, &["", " k", " M", " G", " T"])
}

/// A budget in words.
pub fn budget_in_words(budget: &Budget) -> String {
    let target = |target: &Target| match target {
        Target::Share(share) => format!("x{}", (share * 1e4).round() / 1e4),
        Target::Absolute(number) => count(*number),
    };
    match budget {
        Budget::Ratio(ratio) => format!("{:.0} % of the channels cut", 100.0 * ratio),
        Budget::Macs(macs) => format!("MACs {}", target(macs)),
        Budget::Params(params) => format!("parameters {}", target(params)),
        Budget::Both { macs, params } => format!("MACs {}, parameters {}", target(macs), target(params)),
    }
}

/// Bounds that take measuring, in words.
pub fn goals_in_words(goals: &Goals) -> String {
    let mut parts = Vec::new();
    match goals.latency {
        Some(LatencyTarget::Share(share)) => parts.push(format!("latency x{share}")),
        Some(LatencyTarget::Ms(ms)) => parts.push(format!("latency {ms} ms")),
        None => {}
    }
    match goals.size {
        Some(Target::Share(share)) => parts.push(format!("file x{share}")),
        Some(Target::Absolute(number)) => parts.push(format!("file {}", bytes(number))),
        None => {}
    }
    parts.extend(goals.max_drop.map(|points| format!("loss of at most {points} points")));
    parts.join(", ")
}

/// `1234567` as `1.23 MB`.
pub fn bytes(value: f64) -> String {
    scaled(value, 1000.0, &[" B", " kB", " MB", " GB", " TB"])
}

fn scaled(mut value: f64, base: f64, units: &[&str]) -> String {
    let mut unit = 0;
    // Three digits: 999.95 would show as 1000.
    while value >= base * 0.9995 && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    let digits = match value {
        _ if unit == 0 => 0,
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$}{}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_a_unit() {
        assert_eq!(count(20_257_408.0), "20.3 M");
        assert_eq!(count(999_999.0), "1.00 M");
        assert_eq!(count(512.0), "512");
        assert_eq!(bytes(1_093_709.0), "1.09 MB");
    }

    #[test]
    fn bounds_in_words() {
        let goals =
            Goals { latency: Some(LatencyTarget::Ms(5.0)), size: Some(Target::Absolute(2e6)), max_drop: Some(1.0) };
        assert_eq!(goals_in_words(&goals), "latency 5 ms, file 2.00 MB, loss of at most 1 points");
        assert!(Goals::default().is_empty() && !goals.is_empty());
    }
}
