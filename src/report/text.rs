//! Text from outside, made fit for a terminal.

pub(super) use crate::number::{plural, thousands};

/// Columns that a report fills at most, as far as single words allow.
pub(super) const COLUMNS: usize = 80;

/// `text` without characters that steer a terminal: a model's names are somebody else's words.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || steers(character) {
            out.extend(character.escape_unicode());
        } else {
            out.push(character);
        }
    }
    out
}

/// Marks that reverse the order of what follows, and line ends beside the ASCII ones.
fn steers(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Lines of `text`, broken at spaces; the first starts in column `first`, the others in column `next`.
pub(super) fn wrap(text: &str, first: usize, next: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut column = first;
    for word in printable(text).split_whitespace() {
        let width = word.chars().count();
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            line.push_str(word);
            column += width;
        } else if column + 1 + width <= COLUMNS {
            line.push(' ');
            line.push_str(word);
            column += 1 + width;
        } else {
            lines.push(word.to_owned());
            column = next + width;
        }
    }
    lines
}

/// At most `width` characters; the end of a long name tells more than its beginning.
pub(super) fn shorten(name: &str, width: usize) -> String {
    let name = printable(name);
    let length = name.chars().count();
    if length <= width {
        return name;
    }
    let tail: String = name.chars().skip(length + 3 - width).collect();
    format!("...{tail}")
}

/// Text fit for an element.
pub(crate) fn escaped(text: &str) -> String {
    printable(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Text for Markdown that neither ends a cell of a table nor marks anything up.
pub(crate) fn markdown(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '~' => out.extend(['\\', c]),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_steer_the_terminal() {
        let text = printable("a\u{1b}[31mred\u{1b}]0;title\u{7}\nb\u{202e}c\u{9b}é");
        assert_eq!(text, "a\\u{1b}[31mred\\u{1b}]0;title\\u{7}\\u{a}b\\u{202e}c\\u{9b}é");
    }

    #[test]
    fn long_names_keep_their_end() {
        assert_eq!(shorten("/a/very/long/name", 10), "...ng/name");
        assert_eq!(shorten("exactly_10", 10), "exactly_10");
        assert_eq!(shorten("ééééééééééé", 10).chars().count(), 10);
    }

    #[test]
    fn lines_end_before_the_last_column() {
        let lines = wrap(&"word ".repeat(40), 17, 17);
        assert_eq!(lines.len(), 4);
        assert!(lines.iter().all(|line| 17 + line.len() <= COLUMNS));
        assert_eq!(wrap("", 5, 5), [""]);
    }

    #[test]
    fn counts() {
        assert_eq!((plural(1, "group"), plural(1304, "pair")), ("1 group".into(), "1,304 pairs".into()));
        assert_eq!(
            (thousands(0), thousands(999), thousands(1_000_000)),
            ("0".into(), "999".into(), "1,000,000".into())
        );
    }
}
