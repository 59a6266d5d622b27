//! Frames on a stream of bytes.
//!
//! Each side begins with [`MAGIC`] and the version of the protocol, which tell a peer of another version, and anything that is
//! no peer, before a frame is read. A frame is the length of its header (`u32`), the length of its payload (`u64`), both
//! little-endian, the header in JSON, and the payload.

use std::io::{Read, Write};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a peer begins with. A shell that greets does not write a zero.
pub(super) const MAGIC: &[u8] = b"\0onnx-prune-agent\n";

/// Version of the messages.
pub(super) const PROTOCOL: u32 = 3;

/// Bytes before [`MAGIC`] that are passed over: what a login shell prints.
const MOST_GREETING: usize = 64 << 10;

/// Bytes of a header at most: names and indices of the channels of one model.
const MOST_HEADER: u32 = 64 << 20;

/// Bytes of a payload at most: what a protobuf message may have.
const MOST_PAYLOAD: u64 = 2 << 30;

/// Why a stream cannot be read further.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WireError {
    /// It ended between two frames.
    Ended,
    /// It does not hold what it should.
    Broken(String),
    /// The peer speaks another version.
    Version(u32),
}

impl From<std::io::Error> for WireError {
    fn from(error: std::io::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

/// Begins a stream.
pub(super) fn greet(to: &mut impl Write) -> std::io::Result<()> {
    to.write_all(MAGIC)?;
    to.write_all(&PROTOCOL.to_le_bytes())?;
    to.flush()
}

/// Reads the beginning of a stream, and what stands before it.
pub(super) fn greeted(from: &mut impl Read) -> Result<(), WireError> {
    let mut seen: Vec<u8> = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(MAGIC) {
        if from.read(&mut byte)? == 0 || seen.len() > MOST_GREETING {
            let text = String::from_utf8_lossy(&seen);
            let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
            let line: String = line.chars().filter(|c| !c.is_control()).take(100).collect();
            let said = if line.is_empty() { "nothing came".into() } else { format!("what came is `{line}`") };
            return Err(WireError::Broken(said));
        }
        seen.push(byte[0]);
    }
    let mut version = [0; 4];
    from.read_exact(&mut version)?;
    match u32::from_le_bytes(version) {
        PROTOCOL => Ok(()),
        other => Err(WireError::Version(other)),
    }
}

/// A frame as bytes: lengths and header in one piece, then the payload's pieces.
pub(super) fn frame(header: &impl Serialize, payload: Vec<Bytes>) -> Result<Vec<Bytes>, WireError> {
    let text = serde_json::to_vec(header).map_err(|error| WireError::Broken(error.to_string()))?;
    let bytes: u64 = payload.iter().map(|piece| piece.len() as u64).sum();
    let length = u32::try_from(text.len()).ok().filter(|&length| length <= MOST_HEADER);
    let Some(length) = length.filter(|_| bytes <= MOST_PAYLOAD) else {
        return Err(WireError::Broken(format!("a message of {} and {bytes} bytes is too large", text.len())));
    };
    let mut first = Vec::with_capacity(12 + text.len());
    first.extend_from_slice(&length.to_le_bytes());
    first.extend_from_slice(&bytes.to_le_bytes());
    first.extend_from_slice(&text);
    Ok(std::iter::once(Bytes::from(first)).chain(payload).collect())
}

/// Writes the pieces of a frame.
pub(super) fn write(to: &mut impl Write, pieces: &[Bytes]) -> std::io::Result<()> {
    pieces.iter().try_for_each(|piece| to.write_all(piece))?;
    to.flush()
}

/// Reads a frame. Memory grows with what has come, not with the lengths that are promised.
pub(super) fn read<H: DeserializeOwned>(from: &mut impl Read) -> Result<(H, Bytes), WireError> {
    let mut lengths = [0; 12];
    let got = fill(from, &mut lengths)?;
    if got == 0 {
        return Err(WireError::Ended);
    }
    if got < lengths.len() {
        return Err(WireError::Broken("it ends inside a message".into()));
    }
    let [a, b, c, d, payload @ ..] = lengths;
    let (header, payload) = (u32::from_le_bytes([a, b, c, d]), u64::from_le_bytes(payload));
    if header > MOST_HEADER || payload > MOST_PAYLOAD {
        return Err(WireError::Broken(format!("a message of {header} and {payload} bytes is too large")));
    }
    let text = exactly(from, u64::from(header))?;
    let payload = exactly(from, payload)?;
    let header = serde_json::from_slice(&text).map_err(|error| WireError::Broken(format!("a message: {error}")))?;
    Ok((header, payload.into()))
}

/// Fills as much of a buffer as comes.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut at = 0;
    while let Some(rest) = buffer.get_mut(at..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(count) => at += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(at)
}

fn exactly(from: &mut impl Read, length: u64) -> Result<Vec<u8>, WireError> {
    let mut bytes = Vec::new();
    let got = from.take(length).read_to_end(&mut bytes)? as u64;
    if got == length { Ok(bytes) } else { Err(WireError::Broken("it ends inside a message".into())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(header: &str, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, &frame(&header, vec![Bytes::copy_from_slice(payload)]).unwrap()).unwrap();
        bytes
    }

    #[test]
    fn frames_come_as_they_were_sent() {
        let mut bytes = sent("a", b"12");
        bytes.extend(sent("b", b""));
        let mut from = &bytes[..];
        assert_eq!(read::<String>(&mut from).unwrap(), ("a".into(), Bytes::from_static(b"12")));
        assert_eq!(read::<String>(&mut from).unwrap(), ("b".into(), Bytes::new()));
        assert_eq!(read::<String>(&mut from).unwrap_err(), WireError::Ended);
    }

    #[test]
    fn what_is_cut_or_too_large_is_refused() {
        let bytes = sent("a", b"12");
        for length in 1..bytes.len() {
            assert!(matches!(read::<String>(&mut &bytes[..length]), Err(WireError::Broken(_))), "{length}");
        }
        let huge = [&[0xff; 12][..], &bytes[..]].concat();
        assert!(matches!(read::<String>(&mut &huge[..]), Err(WireError::Broken(why)) if why.contains("too large")));
    }

    #[test]
    fn greetings_of_a_shell_are_passed_over_and_other_peers_named() {
        let mut hello = b"Welcome to the board\r\n".to_vec();
        greet(&mut hello).unwrap();
        assert_eq!(greeted(&mut &hello[..]), Ok(()));
        let other = [MAGIC, &7_u32.to_le_bytes()].concat();
        assert_eq!(greeted(&mut &other[..]), Err(WireError::Version(7)));
        let shell = b"sh: onnx-prune: not found\n";
        assert!(matches!(greeted(&mut &shell[..]), Err(WireError::Broken(why)) if why.contains("not found")));
    }
}
