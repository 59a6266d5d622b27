//! The file that maps class folders to output indices.

use std::collections::BTreeMap;
use std::path::Path;

use super::CalibrationError;

/// Folder name to output index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClassMap(BTreeMap<String, usize>);

impl ClassMap {
    /// Reads JSON (`{"name": index}` or a list of names), CSV (`name,index`) or a list whose line `i`, counted from 0,
    /// starts with the name of output `i`.
    pub(super) fn load(path: &Path) -> Result<Self, CalibrationError> {
        let fail = |why: String| CalibrationError::File { path: path.display().to_string(), why };
        let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
        let map = Self::parse(&text).map_err(fail)?;
        if map.0.is_empty() { Err(fail("it names no classes".into())) } else { Ok(map) }
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.trim_start().starts_with(['{', '[']) {
            if let Ok(map) = serde_json::from_str::<BTreeMap<String, usize>>(text) {
                return Ok(Self(map));
            }
            let names: Vec<String> =
                serde_json::from_str(text).map_err(|error| format!("not a list or map: {error}"))?;
            return Ok(Self(names.into_iter().enumerate().map(|(index, name)| (name, index)).collect()));
        }
        let mut map = BTreeMap::new();
        for (line_number, line) in text.lines().filter(|line| !line.trim().is_empty()).enumerate() {
            let (name, index) = match line.split_once(',').map(|(name, rest)| (name, rest.trim().parse())) {
                Some((name, Ok(index))) => (name.trim(), index),
                _ => (line.split_whitespace().next().unwrap_or_default(), line_number),
            };
            if map.insert(name.to_owned(), index).is_some() {
                return Err(format!("`{name}` is there twice"));
            }
        }
        Ok(Self(map))
    }

    pub(super) fn index(&self, name: &str) -> Option<usize> {
        self.0.get(name).copied()
    }

    /// Names by output index.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names = vec![String::new(); self.0.values().max().map_or(0, |most| most + 1).min(1 << 20)];
        for (name, &index) in &self.0 {
            if let Some(slot) = names.get_mut(index) {
                slot.clone_from(name);
            }
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_are_read() {
        for text in ["{\"a\": 0, \"b\": 1}", "[\"a\", \"b\"]", "a,0\nb,1\n", "a first one\nb second\n"] {
            assert_eq!(ClassMap::parse(text).unwrap().index("b"), Some(1), "{text}");
        }
        assert!(ClassMap::parse("a x\na y\n").unwrap_err().contains("twice"));
    }
}
