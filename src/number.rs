//! Numbers for people.

/// `1234567` as `1.23 M`.
pub fn count(value: f64) -> String {
    scaled(value, 1000.0, &["", " k", " M", " G", " T"])
}

/// `1234567` as `1.23 MB`.
pub fn bytes(value: f64) -> String {
    scaled(value, 1000.0, &[" B", " kB", " MB", " GB", " TB"])
}

/// A number of unknown scale to five significant digits, without zeros at the end: `0.0123`, `1234567`.
pub(crate) fn significant(value: f64) -> String {
    let magnitude = if value == 0.0 || !value.is_finite() { 0.0 } else { value.abs().log10().floor() };
    if !(-5.0..15.0).contains(&magnitude) {
        return format!("{value:.4e}");
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 9")]
    let digits = (4.0 - magnitude).clamp(0.0, 9.0) as usize;
    let text = format!("{value:.digits$}");
    if !text.contains('.') {
        return text;
    }
    let short = text.trim_end_matches('0').trim_end_matches('.');
    if short == "-0" { "0".into() } else { short.into() }
}

/// As [`significant`], with the sign of what is not 0.
pub(crate) fn signed(value: f64) -> String {
    let text = significant(value);
    if value > 0.0 && text != "0" { format!("+{text}") } else { text }
}

/// `1 group`, `1,304 groups`.
pub(crate) fn plural(number: usize, noun: &str) -> String {
    let ending = match number {
        1 => "",
        _ if noun.ends_with('s') => "es",
        _ => "s",
    };
    format!("{} {noun}{ending}", thousands(number))
}

/// `1,304`.
pub(crate) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
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

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// A count that was stored as a double.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturated")]
pub(crate) fn whole_number(value: f64) -> usize {
    value as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_that_tell_something() {
        for (value, text) in [
            (0.91 - 0.9, "0.01"),
            (0.912_345_6, "0.91235"),
            (-31.25, "-31.25"),
            (1_588_526.0, "1588526"),
            (0.0, "0"),
            (-0.0, "0"),
            (9.999_999, "10"),
            (1.5e-9, "1.5000e-9"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(significant(value), text);
        }
    }

    #[test]
    fn three_digits_and_a_unit() {
        assert_eq!(count(20_257_408.0), "20.3 M");
        assert_eq!(count(999_999.0), "1.00 M");
        assert_eq!(count(512.0), "512");
        assert_eq!(bytes(1_093_709.0), "1.09 MB");
    }
}
