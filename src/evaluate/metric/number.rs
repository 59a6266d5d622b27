//! The number in what a command printed.

use serde_json::Value;

use crate::shell::last_line;

/// The number that a command printed: the key `metric` of a JSON object at the end, else the last line that is a number.
///
/// # Errors
/// Why there is none, for the end of a sentence that begins with the command.
pub(super) fn of(stdout: &str) -> Result<f64, String> {
    let Some(last) = last_line(stdout) else { return Err("printed nothing on standard output".into()) };
    let found = match object(stdout) {
        Some(object) => match object.get("metric").and_then(Value::as_f64) {
            Some(number) => Some(number),
            None => return Err("printed a JSON object without a number under `metric`".into()),
        },
        None => stdout.lines().rev().find_map(|line| line.trim().parse::<f64>().ok()),
    };
    match found {
        Some(number) if number.is_finite() => Ok(number),
        Some(number) => Err(format!("printed {number}, which is no finite number")),
        None => Err(format!("printed no line that is a number; its last one is `{last}`")),
    }
}

/// The JSON object that the text ends with, on one line or on several.
fn object(text: &str) -> Option<Value> {
    let text = text.trim_end();
    if !text.ends_with('}') {
        return None;
    }
    let starts = text.match_indices('{').map(|(at, _)| at).filter(|at| {
        let before = text.get(..*at).unwrap_or_default();
        before.is_empty() || before.trim_end_matches([' ', '\t']).ends_with('\n')
    });
    let parsed = |at: usize| serde_json::from_str::<Value>(text.get(at..)?).ok();
    starts.filter_map(parsed).find(Value::is_object)
}
