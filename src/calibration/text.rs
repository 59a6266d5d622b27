//! Text files as people have them.

use std::path::Path;

use super::CalibrationError;

/// Contents of a text file in UTF-8 or, with its mark at the beginning, UTF-16; without the mark.
pub(crate) fn read_text(path: &Path) -> Result<String, CalibrationError> {
    let bytes = std::fs::read(path).map_err(|source| CalibrationError::read(path, source))?;
    let help = "save it as plain text in UTF-8";
    let fail = |why: &str| CalibrationError::format(path, "", why, help);
    let wide = |little: bool| {
        let units: Vec<u16> =
            bytes[2..]
                .chunks_exact(2)
                .map(|pair| {
                    if little { u16::from_le_bytes([pair[0], pair[1]]) } else { u16::from_be_bytes([pair[0], pair[1]]) }
                })
                .collect();
        String::from_utf16(&units).map_err(|_| fail("its UTF-16 is damaged"))
    };
    match &bytes[..] {
        [0xff, 0xfe, ..] => wide(true),
        [0xfe, 0xff, ..] => wide(false),
        _ if bytes.contains(&0) => {
            Err(fail("it is not plain text: it holds zero bytes, as UTF-16 without its mark does"))
        }
        _ => {
            let text = String::from_utf8(bytes).map_err(|_| fail("it is not UTF-8"))?;
            Ok(text.trim_start_matches('\u{feff}').to_owned())
        }
    }
}

/// What separates the columns of a table: a comma, or what the first line has in place of it.
pub(crate) fn delimiter(text: &str) -> u8 {
    let first = text.lines().next().unwrap_or_default();
    let found = [b',', b';', b'\t'].into_iter().find(|&byte| first.as_bytes().contains(&byte));
    found.unwrap_or(b',')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::Explain;

    #[test]
    fn both_encodings_are_read_and_others_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        let text = "größe.png;3\n";
        let wide = |f: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(f).collect::<Vec<u8>>();
        for bytes in [
            text.as_bytes().to_vec(),
            [&[0xef, 0xbb, 0xbf], text.as_bytes()].concat(),
            [&[0xff, 0xfe], &wide(u16::to_le_bytes)[..]].concat(),
            [&[0xfe, 0xff], &wide(u16::to_be_bytes)[..]].concat(),
        ] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(read_text(&path).unwrap(), text);
        }
        assert_eq!((delimiter(text), delimiter("a,b;c"), delimiter("a")), (b';', b',', b','));
        for (bytes, word) in [(wide(u16::to_le_bytes), "zero bytes"), (vec![b'a', 0xff], "not UTF-8")] {
            std::fs::write(&path, bytes).unwrap();
            let error = read_text(&path).unwrap_err();
            assert!(error.why().unwrap().contains(word) && error.help().unwrap().contains("UTF-8"), "{error:?}");
        }
    }
}
